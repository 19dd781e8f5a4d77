"""The laboratory's own reading of packets: it judges the daemon, so it is judged by published bytes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from tests.lab import wire

SOURCE, GROUP = IPv4Address("192.0.2.1"), wire.V4_GROUP
SOURCE6 = IPv6Address("fe80::1")
V6_LIST = [IPv6Address("fe80::5e:100"), IPv6Address("2001:db8::100")]
MACS = ("02:00:00:00:00:01", "01:00:5e:00:00:12")

# Octets after the IP header for VRID 51, decoded alike by wireshark and tcpdump.
V2_NONE = "2133c80100015465c00002640000000000000000"
V2_PASS = "2133c8010101e5e6c00002647365637265743132"
V2_PRIORITY_0 = "2133000100011c66c00002640000000000000000"
V2_THREE = "2133c803000167c2c0000264c0000265c63364070000000000000000"
V3_PSEUDO = "3133c8010064a171c0000264"
V3_MESSAGE = "3133c80100644402c0000264"
V3_TEN_CS = "3133c803000ab520c0000264c0000265c6336407"
V3_PRIORITY_0 = "3133000100646972c0000264"
V3_UNICAST = "3133c8010064bf81c0000264"
V3_V6 = "3133c8020064d99efe8000000000000000000000005e010020010db8000000000000000000000100"
V3_BAD = "3133c8010064a170c0000264"
TRUNCATED = "3133c8020064a170c0000264"

GARP = "ffffffffffff00005e0001330806000108000604000100005e000133c0000264ffffffffffffc0000264"
UNSOLICITED_NA = (
    "33330000000100005e00023386dd6000000000203aff20010db8000000000000000000000100"
    "ff020000000000000000000000000001880018faa000000020010db8000000000000000000000100"
    "020100005e000233"
)


@pytest.mark.parametrize(
    ("expected", "version", "priority", "interval_cs", "dst", "listed", "password"),
    [
        (V2_NONE, 2, 200, 100, GROUP, ["192.0.2.100"], None),
        (V2_PASS, 2, 200, 100, GROUP, ["192.0.2.100"], b"secret12"),
        (V2_PRIORITY_0, 2, 0, 100, GROUP, ["192.0.2.100"], None),
        (V2_THREE, 2, 200, 100, GROUP, ["192.0.2.100", "192.0.2.101", "198.51.100.7"], None),
        (V3_PSEUDO, 3, 200, 100, GROUP, ["192.0.2.100"], None),
        (V3_TEN_CS, 3, 200, 10, GROUP, ["192.0.2.100", "192.0.2.101", "198.51.100.7"], None),
        (V3_PRIORITY_0, 3, 0, 100, GROUP, ["192.0.2.100"], None),
        (V3_UNICAST, 3, 200, 100, IPv4Address("192.0.2.2"), ["192.0.2.100"], None),
    ],
)
def test_built_adverts_are_the_published_octets(
    expected: str,
    version: int,
    priority: int,
    interval_cs: int,
    dst: IPv4Address,
    listed: list[str],
    password: bytes | None,
) -> None:
    built = wire.build_advert(
        version=version,
        src=SOURCE,
        dst=dst,
        vrid=51,
        priority=priority,
        interval_cs=interval_cs,
        addresses=[ip_address(text) for text in listed],
        auth_pass=password,
    )
    assert built.hex() == expected


def test_built_ipv6_advert_is_the_published_octets() -> None:
    built = wire.build_advert(
        version=3,
        src=SOURCE6,
        dst=wire.V6_GROUP,
        vrid=51,
        priority=200,
        interval_cs=100,
        addresses=V6_LIST,
    )
    assert built.hex() == V3_V6


@pytest.mark.parametrize(
    ("octets", "form"),
    [
        (V2_NONE, "message"),
        (V2_PASS, "message"),
        (V3_PSEUDO, "pseudo"),
        (V3_MESSAGE, "message"),
        (V3_BAD, "bad"),
    ],
)
def test_the_form_of_a_checksum_is_told(octets: str, form: str) -> None:
    frame = _vrrp(octets)
    assert frame is not None
    assert frame.checksum == form


def test_fields_of_a_version_2_advert() -> None:
    frame = _vrrp(V2_PASS)
    assert frame is not None
    assert (frame.version, frame.type, frame.vrid, frame.priority, frame.count) == (2, 1, 51, 200, 1)
    assert (frame.interval_cs, frame.auth_type, frame.auth_data) == (100, 1, b"secret12")
    assert frame.addresses == (IPv4Address("192.0.2.100"),)


def test_fields_of_an_ipv6_advert() -> None:
    frame = _vrrp(V3_V6, SOURCE6, wire.V6_GROUP)
    assert frame is not None
    assert (frame.version, frame.family, frame.interval_cs, frame.checksum) == (3, 6, 100, "pseudo")
    assert list(frame.addresses) == V6_LIST


@pytest.mark.parametrize("octets", [TRUNCATED, V3_PSEUDO[:12], ""])
def test_what_is_too_short_is_no_advert(octets: str) -> None:
    assert _vrrp(octets) is None


def test_an_ethernet_frame_with_padding_is_cut_to_its_ip_length() -> None:
    payload = bytes.fromhex(V3_PSEUDO)
    header = bytes.fromhex("45c00020000100" + "00ff70" + "0000") + SOURCE.packed + GROUP.packed
    raw = bytes.fromhex("01005e000012" + "020000000001" + "0800") + header + payload + bytes(14)
    frame = wire.parse(raw, 7.5)
    assert isinstance(frame, wire.VrrpFrame)
    assert (frame.at, frame.ttl, frame.payload) == (7.5, 255, payload)
    assert (frame.src_mac, frame.dst_mac) == MACS


def test_gratuitous_arp() -> None:
    frame = wire.parse(bytes.fromhex(GARP), 1.0)
    assert isinstance(frame, wire.ArpFrame)
    assert frame.gratuitous
    assert (frame.op, frame.sender_mac, frame.sender) == (1, "00:00:5e:00:01:33", IPv4Address("192.0.2.100"))


def test_an_arp_answer_is_not_gratuitous() -> None:
    raw = bytearray.fromhex(GARP)
    raw[21], raw[38:42] = 2, IPv4Address("192.0.2.9").packed
    frame = wire.parse(bytes(raw), 1.0)
    assert isinstance(frame, wire.ArpFrame)
    assert not frame.gratuitous


def test_unsolicited_neighbour_advertisement() -> None:
    frame = wire.parse(bytes.fromhex(UNSOLICITED_NA), 1.0)
    assert isinstance(frame, wire.NaFrame)
    assert frame.unsolicited
    assert (frame.router, frame.solicited, frame.override) == (True, False, True)
    assert (str(frame.target), frame.link_address) == ("2001:db8::100", "00:00:5e:00:02:33")


@pytest.mark.parametrize("raw", [b"", bytes(13), bytes(60), bytes.fromhex(UNSOLICITED_NA)[:60]])
def test_other_frames_are_nothing(raw: bytes) -> None:
    assert wire.parse(raw, 0.0) is None


def _vrrp(octets: str, src: wire.IpAddress = SOURCE, dst: wire.IpAddress = GROUP) -> wire.VrrpFrame | None:
    return wire.parse_vrrp(bytes.fromhex(octets), at=0.0, src=src, dst=dst, ttl=255, macs=MACS)
