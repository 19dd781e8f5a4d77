"""Adverts as complete IP packets."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import Any

import pytest

from keepalived_conf.model import GlobalDefs, UnicastPeer, VirtualAddress, VrrpInstance
from vrrp_proc.adverts import Adverts, fit_mtu, group_of
from vrrp_proc.sockets import ip_packet
from worker import undo as worker_undo


def _config(*addresses: str, **given: Any) -> VrrpInstance:
    vips = tuple(VirtualAddress(interface=ip_interface(text), dev="e0") for text in addresses)
    values: dict[str, Any] = {
        "name": "VI",
        "interface": "e0",
        "virtual_router_id": 51,
        "family": vips[0].interface.version,
        "version": 3,
        "state": "BACKUP",
        "priority": 200,
        "advert_int_cs": 100,
        "virtual_addresses": vips,
    }
    return VrrpInstance(**(values | given))


FOUR = _config("192.0.2.100/24")
SIX = _config("fe80::5e:1/64", "2001:db8::100/64")


def test_ipv4_packet() -> None:
    ((packet, destination),) = Adverts(FOUR, GlobalDefs(), IPv4Address("192.0.2.1")).encoded(200)
    assert destination == "224.0.0.18"
    header, payload = packet[:20], packet[20:]
    # IHL 5, class 0xC0, DF clear, identification and checksum left to the kernel, TTL 255, VRRP
    assert header.hex() == "45c00020" + "00000000" + "ff700000" + "c0000201" + "e0000012"
    assert payload.hex() == "3133c8010064a171c0000264"


def test_ipv6_packet() -> None:
    ((packet, destination),) = Adverts(SIX, GlobalDefs(), IPv6Address("fe80::1")).encoded(200)
    assert destination == "ff02::12"
    assert packet[:8].hex() == "6c000000" + "0028" + "70" + "ff"
    assert packet[8:24] == IPv6Address("fe80::1").packed
    payload = packet[40:]
    assert payload[:6].hex() == "3133c8020064"
    assert payload[8:] == IPv6Address("fe80::5e:1").packed + IPv6Address("2001:db8::100").packed
    # Summed with the pseudo header the message is right (RFC 9568 section 5.2.8).
    covered = packet[8:40] + len(payload).to_bytes(4, "big") + b"\0\0\0\x70" + payload
    assert sum(struct.unpack(f"!{len(covered) // 2}H", covered)) % 0xFFFF == 0


def test_families_do_not_mix() -> None:
    with pytest.raises(ValueError, match="different families"):
        ip_packet(IPv4Address("192.0.2.1"), IPv6Address("ff02::12"), 255, b"")


def test_release_and_own_priority_are_ready_before_they_are_needed() -> None:
    adverts = Adverts(FOUR, GlobalDefs(), IPv4Address("192.0.2.1"))
    assert set(adverts._encoded) == {0, 200}
    assert adverts.encoded(0)[0][0][22] == 0
    assert adverts.encoded(0) is adverts.encoded(0)


def test_unicast_copies_in_order_with_their_own_checksums_and_ttl() -> None:
    peers = tuple(UnicastPeer(address=ip_address(f"192.0.2.{n}")) for n in (9, 2))
    config = replace(FOUR, unicast_peers=peers, unicast_ttl=64)
    adverts = Adverts(config, GlobalDefs(), IPv4Address("192.0.2.1"))
    pairs = adverts.encoded(200)
    assert [destination for _packet, destination in pairs] == ["192.0.2.9", "192.0.2.2"]
    assert pairs[0][0][26:28] != pairs[1][0][26:28]
    assert {packet[8] for packet, _destination in pairs} == {64}
    assert pairs[1][0][20:].hex() == "3133c8010064bf81c0000264"


def test_multicast_group() -> None:
    globals_ = GlobalDefs(vrrp_mcast_group4=IPv4Address("224.0.0.99"))
    assert group_of(FOUR, globals_) == IPv4Address("224.0.0.99")
    assert group_of(replace(FOUR, mcast_dst_ip=IPv4Address("224.0.0.77")), globals_) == IPv4Address(
        "224.0.0.77"
    )
    assert group_of(SIX, globals_) == IPv6Address("ff02::12")
    assert (
        group_of(replace(FOUR, unicast_peers=(UnicastPeer(address=IPv4Address("192.0.2.9")),)), globals_)
        is None
    )


def test_release_operations_are_what_is_sent_on_the_wire() -> None:
    adverts = Adverts(FOUR, GlobalDefs(), IPv4Address("192.0.2.1"))
    (release,) = adverts.releases(7)
    ((packet, _destination),) = adverts.encoded(0)
    assert release.payload == packet[20:]
    assert (release.ifindex, release.ttl, release.tos, release.protocol) == (7, 255, 0xC0, 112)
    assert list(worker_undo.operations(worker_undo.undo_packet(release))) == [release]


@pytest.mark.parametrize(("mtu", "listed"), [(1500, 90), (1280, 77), (9000, 200), (0, 200), (60, 1)])
def test_surplus_of_an_mtu_is_excluded(mtu: int, listed: int) -> None:
    config = _config("fe80::1/64", *(f"2001:db8::{n:x}/128" for n in range(1, 200)))
    fitted = fit_mtu(config, mtu)
    assert len(fitted.virtual_addresses) == listed
    assert fitted.virtual_addresses + fitted.virtual_addresses_excluded == config.virtual_addresses
    if mtu >= 1280:
        ((packet, _destination),) = Adverts(fitted, GlobalDefs(), IPv6Address("fe80::2")).encoded(200)
        assert len(packet) <= mtu


def test_at_most_255_addresses_are_listed() -> None:
    config = _config(*(f"10.0.{n // 250}.{n % 250}/32" for n in range(300)))
    assert len(fit_mtu(config, 9000).virtual_addresses) == 255
