"""Packets: published vectors, the order of judgement, and encoding. Ids are rows of docs/vrrp.md."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived_conf.model import UnicastPeer, VirtualAddress, VrrpInstance
from tests.unit.vrrp.build import VIP4, config
from vrrp_proc import checksum
from vrrp_proc.packet import (
    Advert,
    Datagram,
    Reason,
    Rejection,
    Remark,
    accept,
    datagram_from_ipv4,
    encode,
    peek_vrid,
)

VECTORS = {
    v["name"]: v
    for v in json.loads((Path(__file__).parent / "data" / "vrrp-vectors.json").read_text())["vectors"]
}

REASONS = {
    "v2-ah": Reason.AUTH_MISMATCH,  # not yet: IP AH
    "v2-bad-checksum": Reason.CHECKSUM,
    "v2-adver-mismatch": Reason.INTERVAL,
    "v2-unknown-auth": Reason.AUTH_TYPE,
    "v2-pass-wrong": Reason.AUTH_FAILURE,
    "v2-auth-type-mismatch": Reason.AUTH_MISMATCH,
    "v2-ttl254": Reason.TTL,
    "v2-no-authdata": Reason.PACKET_LENGTH,
    "v3-4-int0": Reason.INTERVAL_ZERO,
    "v3-4-count0": Reason.COUNT_ZERO,
    "v3-4-bad-checksum": Reason.CHECKSUM,
    "v3-4-bad-checksum-as-v2": Reason.CHECKSUM,
    "v3-4-truncated-list": Reason.PACKET_LENGTH,
    "v3-4-truncated-header": Reason.PACKET_LENGTH,
    "v3-4-trailing-junk": Reason.PACKET_LENGTH,
    "v3-4-version4": Reason.VERSION,
    "v3-4-type2": Reason.TYPE,
    "v3-4-other-vrid": Reason.VRID,
    "v3-4-ttl1": Reason.TTL,
    "v3-4-unicast-old-csum": Reason.CHECKSUM,
    "v3-4-unicast-minttl": Reason.TTL,
    "v3-4-unicast-stranger": Reason.UNICAST_SOURCE,
    "v3-6-bad-checksum": Reason.CHECKSUM,
    "v3-6-hl64": Reason.TTL,
    # not yet: auth_hmac. Signed packets are longer than the addresses make them.
    "hmac-v3-4": Reason.PACKET_LENGTH,
    "hmac-v3-4-to-plain": Reason.PACKET_LENGTH,
    "hmac-v3-4-badtag": Reason.PACKET_LENGTH,
    "hmac-v3-4-unknown-key": Reason.PACKET_LENGTH,
    "hmac-v3-4-reserved": Reason.PACKET_LENGTH,
    "hmac-v3-4-spoofed-src": Reason.PACKET_LENGTH,
    "hmac-v3-6": Reason.PACKET_LENGTH,
    "hmac-v2": Reason.PACKET_LENGTH,
}
UNSIGNED_TO_ENFORCING = "hmac-v3-4-missing"
"""A plain advert to a receiver that asks for auth_hmac, which we cannot be yet."""
NOT_LINK_LOCAL = "v3-6-first-not-ll"
"""FLD-18: the receiver's own list does not begin with a link-local address either; like keepalived, the
two go on forming one virtual router."""
LIST_ONLY = "v2-other-vip"
"""RX-10: like keepalived, a differing address list is remarked upon and never drops the packet."""


ROWS = {
    Reason.AUTH_MISMATCH: "FLD-07",
    Reason.CHECKSUM: "RX-04",
    Reason.INTERVAL: "RX-08",
    Reason.AUTH_TYPE: "FLD-07",
    Reason.AUTH_FAILURE: "RX-07",
    Reason.TTL: "IP-07",
    Reason.PACKET_LENGTH: "RX-02",
    Reason.INTERVAL_ZERO: "FLD-11",
    Reason.COUNT_ZERO: "FLD-06",
    Reason.VERSION: "RX-01",
    Reason.TYPE: "FLD-02",
    Reason.VRID: "RX-05",
    Reason.UNICAST_SOURCE: "UNI-02",
}
ROWS_OF_ACCEPTED = {
    "v2-none-1vip": "FLD-12",
    "v2-pass-8": "AUT-01",
    "v2-pass-short": "AUT-01",
    "v2-none-3vip": "FLD-16",
    "v2-prio0": "FLD-04",
    "v2-other-vip": "RX-10",
    "v3-4-pseudo": "FLD-14",
    "v3-4-message-only": "FLD-13",
    "v3-4-message-only-to-default": "FLD-13",
    "v3-4-3vip-100ms": "FLD-10",
    "v3-4-prio0": "FLD-04",
    "v3-4-owner": "FLD-04",
    "v3-4-maxint": "RX-09",
    "v3-4-rsvd-set": "FLD-09",
    "v3-4-unicast": "UNI-01",
    "v3-4-unicast-ttl10": "IP-07",
    "v3-6-2vip": "FLD-15",
    "v3-6-first-not-ll": "FLD-18",
    "v3-6-prio0": "FLD-15",
    "hmac-v3-4-missing": "HMC-08",
}


def row_and_name(name: str) -> str:
    """``FLD-11-v3-4-int0``: the rule's row, then the vector."""
    return f"{ROWS[REASONS[name]] if name in REASONS else ROWS_OF_ACCEPTED[name]}-{name}"


def receiver(vector: dict[str, Any]) -> VrrpInstance:
    """The receiver_config of a vector as our model."""
    wanted = vector["receiver_config"]
    family = vector["family"]
    interface = IPv4Interface if family == 4 else IPv6Interface
    peers = tuple(
        UnicastPeer(address=ip_address(a), min_ttl=wanted.get("peer_min_ttl"))
        for a in wanted.get("unicast_peer", [])
    )
    password = wanted.get("auth_pass")
    return config(
        family=family,
        version=wanted["version"],
        virtual_router_id=wanted["vrid"],
        advert_int_cs=round(wanted["adver_int"] * 100),
        virtual_addresses=tuple(VirtualAddress(interface=interface(a), dev="eth0") for a in wanted["vips"]),
        auth_pass=password.encode() if password and wanted.get("auth") == "PASS" else None,
        unicast_peers=peers,
        check_unicast_src=wanted.get("check_unicast_src", False),
        v3_checksum_as_v2=wanted.get("checksum") == "message",
    )


def datagram(vector: dict[str, Any]) -> Datagram:
    envelope = vector["ip"]
    return Datagram(
        payload=bytes.fromhex(vector["payload_hex"]),
        source=ip_address(envelope["src"]),
        destination=ip_address(envelope["dst"]),
        ttl=envelope["ttl"],
        protocol=envelope["proto"],
    )


@pytest.mark.parametrize("name", VECTORS, ids=row_and_name)
def test_vector_is_judged_as_the_rfcs_say(name: str) -> None:
    vector = VECTORS[name]
    got = accept(receiver(vector), datagram(vector))
    if name in REASONS:
        assert isinstance(got, Rejection)
        assert got.reason is REASONS[name], got
        return
    assert isinstance(got, Advert), got
    assert vector["valid"] == "yes" or name in (LIST_ONLY, NOT_LINK_LOCAL, UNSIGNED_TO_ENFORCING)
    wanted = vector["expected"]
    assert (got.version, got.virtual_router_id, got.priority) == (
        wanted["version"],
        wanted["vrid"],
        wanted["priority"],
    )
    assert [str(a) for a in got.addresses] == wanted["addresses"]
    interval_cs = wanted["adver_int_s"] * 100 if got.version == 2 else wanted["max_adver_int_cs"]
    assert got.interval_cs == interval_cs


def test_fld_18_discarded_where_our_own_list_begins_with_a_link_local_address() -> None:
    vector = VECTORS[NOT_LINK_LOCAL]
    proper = receiver(vector)
    proper = replace(proper, virtual_addresses=proper.virtual_addresses[::-1])
    got = accept(proper, datagram(vector))
    assert isinstance(got, Rejection)
    assert got.reason is Reason.FIRST_NOT_LINK_LOCAL


def test_every_vector_that_must_be_refused_is_named_with_its_reason() -> None:
    refused = {name for name, v in VECTORS.items() if v["valid"] == "no"}
    assert refused - set(REASONS) == {LIST_ONLY, NOT_LINK_LOCAL, UNSIGNED_TO_ENFORCING}


@pytest.mark.parametrize(
    "name",
    ["v2-none-1vip", "v2-pass-8", "v2-pass-short", "v2-none-3vip", "v2-prio0", "v3-4-pseudo",
     "v3-4-message-only", "v3-4-3vip-100ms", "v3-4-prio0", "v3-4-owner", "v3-4-unicast", "v3-6-2vip",
     "v3-6-prio0"],
)  # fmt: skip
def test_encode_makes_the_vector_octet_for_octet(name: str) -> None:
    vector = VECTORS[name]
    source, destination = ip_address(vector["ip"]["src"]), ip_address(vector["ip"]["dst"])
    got = encode(receiver(vector), vector["expected"]["priority"], source, destination)
    assert got.hex() == vector["payload_hex"]


def test_signed_packet_says_what_it_probably_is() -> None:
    vector = VECTORS["hmac-v3-4-to-plain"]
    got = accept(receiver(vector), datagram(vector))
    assert isinstance(got, Rejection)
    assert "signed with auth_hmac?" in got.detail


def test_rx_10_rx_11_other_addresses_are_a_remark_whatever_the_order() -> None:
    plain = config()
    data = encode(plain, 100, ip_address("192.0.2.1"), ip_address("224.0.0.18"))
    packet = Datagram(
        payload=data, source=ip_address("192.0.2.1"), destination=ip_address("224.0.0.18"), ttl=255
    )
    turned = accept(config(virtual_addresses=VIP4[::-1]), packet)
    other = accept(config(virtual_addresses=VIP4[:1]), packet)
    assert isinstance(turned, Advert)
    assert turned.remarks == ()
    assert isinstance(other, Advert)
    assert other.remarks == (Remark.ADDRESS_LIST_DIFFERS,)


def test_rx_09_other_interval_in_version_3_is_a_remark() -> None:
    vector = VECTORS["v3-4-maxint"]
    got = accept(receiver(vector), datagram(vector))
    assert isinstance(got, Advert)
    assert (got.interval_cs, got.remarks) == (4095, (Remark.INTERVAL_DIFFERS,))


def test_fld_13_14_the_other_checksum_form_is_accepted_and_remarked() -> None:
    vector = VECTORS["v3-4-message-only-to-default"]
    got = accept(receiver(vector), datagram(vector))
    assert isinstance(got, Advert)
    assert got.remarks == (Remark.OTHER_CHECKSUM_FORM,)


@pytest.mark.parametrize("form", [True, False])
def test_v3_checksum_as_v2_still_verifies(form: bool) -> None:
    """FLD-13: keepalived accepts any checksum with that option; we accept either form and no other."""
    vector = VECTORS["v3-4-message-only" if form else "v3-4-pseudo"]
    settings = config(v3_checksum_as_v2=True, virtual_addresses=VIP4[:1])
    assert isinstance(accept(settings, datagram(vector)), Advert)


def test_rx_17_multicast_and_unicast_do_not_mix() -> None:
    unicast, multicast = VECTORS["v3-4-unicast"], VECTORS["v3-4-pseudo"]
    one = accept(receiver(multicast), datagram(unicast))
    two = accept(receiver(unicast), datagram(multicast))
    assert isinstance(one, Rejection)
    assert isinstance(two, Rejection)
    assert one.reason is two.reason is Reason.DESTINATION


def test_ip_08_missing_hop_limit_is_no_hop_limit_of_255() -> None:
    vector = VECTORS["v3-6-2vip"]
    good = datagram(vector)
    unknown = Datagram(payload=good.payload, source=good.source, destination=good.destination)
    got = accept(receiver(vector), unknown)
    assert isinstance(got, Rejection)
    assert got.reason is Reason.TTL


def test_rx_04_kernel_verified_checksum_is_believed() -> None:
    vector = VECTORS["v3-6-2vip"]
    good = datagram(vector)
    no_destination = Datagram(payload=good.payload, source=good.source, ttl=255, checksum_verified=True)
    assert isinstance(accept(receiver(vector), no_destination), Advert)


def ipv4(payload: bytes, *, options: bytes = b"", total: int | None = None, protocol: int = 112) -> bytes:
    length = 20 + len(options) + len(payload) if total is None else total
    head = bytes((0x40 | (5 + len(options) // 4), 0xC0)) + length.to_bytes(2, "big") + bytes(4)
    return head + bytes((255, protocol, 0, 0, 192, 0, 2, 1, 224, 0, 0, 18)) + options + payload


def test_ip_12_options_are_skipped() -> None:
    got = datagram_from_ipv4(ipv4(b"payload!", options=b"\x01\x01\x01\x00"))
    assert isinstance(got, Datagram)
    assert (got.payload, str(got.source), got.ttl) == (b"payload!", "192.0.2.1", 255)


@pytest.mark.parametrize("total", [10, 500])
def test_rx_03_total_length_must_agree(total: int) -> None:
    got = datagram_from_ipv4(ipv4(b"payload!", total=total))
    assert isinstance(got, Rejection)
    assert got.reason is Reason.PACKET_LENGTH


def test_padding_after_the_packet_is_cut_off() -> None:
    got = datagram_from_ipv4(ipv4(b"payload!") + bytes(18))
    assert isinstance(got, Datagram)
    assert got.payload == b"payload!"


@given(st.binary(max_size=80), st.sampled_from([2, 3]), st.sampled_from([4, 6]))
def test_no_bytes_make_the_judge_raise(data: bytes, version: int, family: int) -> None:
    source, group = ("192.0.2.1", "224.0.0.18") if family == 4 else ("fe80::1", "ff02::12")
    settings = config(family=family, version=version)
    packet = Datagram(payload=data, source=ip_address(source), destination=ip_address(group), ttl=255)
    assert isinstance(accept(settings, packet), Advert | Rejection)
    datagram_from_ipv4(data)
    peek_vrid(data)


@given(st.binary(max_size=64))
def test_checksum_equals_the_sum_of_words(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[i : i + 2], "big") for i in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert checksum.ones_complement_sum(data) == total


@given(st.integers(0, 255), st.sampled_from([1, 10, 100, 4095]), st.booleans())
def test_what_we_send_we_accept(priority: int, interval_cs: int, as_v2: bool) -> None:
    settings = config(advert_int_cs=interval_cs, v3_checksum_as_v2=as_v2)
    source, group = ip_address("192.0.2.1"), ip_address("224.0.0.18")
    packet = Datagram(
        payload=encode(settings, priority, source, group), source=source, destination=group, ttl=255
    )
    got = accept(settings, packet)
    assert isinstance(got, Advert)
    assert (got.priority, got.interval_cs, got.remarks) == (priority, interval_cs, ())
