"""Address requests octet by octet, and what is read out of the kernel's messages."""

from __future__ import annotations

import errno
import struct
from ipaddress import IPv4Address, IPv6Address, ip_interface

import pytest

from keepalived_conf.model import VirtualAddress
from vrrp_proc import netlink
from vrrp_proc.netlink import AddressEvent, LinkEvent
from worker.privileges import effective, mask_of


def _vip(text: str, **given: object) -> VirtualAddress:
    return VirtualAddress(interface=ip_interface(text), dev="e0", **given)  # type: ignore[arg-type]


def _attributes(request: bytes) -> dict[int, bytes]:
    return netlink._attributes(request, 16 + 8)


def test_add_ipv4() -> None:
    request = netlink.add_address(
        _vip("192.0.2.1/24", label="e0:1", broadcast=IPv4Address("192.0.2.255"), scope=253), 7
    )
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", request)
    assert (length, kind, sequence, port) == (len(request), netlink.RTM_NEWADDR, 0, 0)
    assert flags == 0x1 | 0x4 | 0x400 | 0x200  # REQUEST ACK CREATE EXCL
    assert struct.unpack_from("=BBBBi", request, 16) == (2, 24, 0, 253, 7)
    assert _attributes(request) == {
        1: IPv4Address("192.0.2.1").packed,
        2: IPv4Address("192.0.2.1").packed,
        3: b"e0:1\0",
        4: IPv4Address("192.0.2.255").packed,
    }


def test_ipv6_is_usable_at_once_and_a_128_is_never_a_source() -> None:
    request = netlink.add_address(_vip("2001:db8::1/128"), 7)
    assert struct.unpack_from("=BBBBi", request, 16) == (10, 128, 0x02, 0, 7)  # IFA_F_NODAD
    assert _attributes(request)[6] == struct.pack("=IIII", 0, 0xFFFFFFFF, 0, 0)
    assert 6 not in _attributes(netlink.add_address(_vip("2001:db8::1/64"), 7))
    written = netlink.add_address(_vip("2001:db8::1/128", preferred_lft_s=300), 7)
    assert struct.unpack("=IIII", _attributes(written)[6])[0] == 300
    assert struct.unpack_from("=BBBBi", netlink.add_address(_vip("fe80::1/64", no_dad=False), 7), 16)[2] == 0


def test_peer_and_its_prefix() -> None:
    request = netlink.add_address(_vip("10.0.0.1/32", peer=ip_interface("10.0.0.2/24")), 3)
    assert request[17] == 24
    assert _attributes(request)[2] == IPv4Address("10.0.0.1").packed
    assert _attributes(request)[1] == IPv4Address("10.0.0.2").packed
    deletion = netlink.delete_address(_vip("10.0.0.1/32", peer=ip_interface("10.0.0.2/24")), 3)
    assert deletion[17] == 24
    assert _attributes(deletion)[1] == IPv4Address("10.0.0.2").packed


def test_batches_split_into_what_they_were_made_of() -> None:
    requests = [netlink.delete_address(_vip(f"192.0.2.{n}/24"), 5) for n in range(1, 4)]
    assert netlink.split(b"".join(requests)) == requests
    assert netlink.split(b"") == []
    with pytest.raises(netlink.NetlinkError):
        netlink.split(b"\x03\0\0\0" + b"\0" * 12)


def test_address_event_with_peer_names_the_local_address() -> None:
    body = struct.pack("=BBBBi", 2, 24, 0x80, 0, 7)
    body += netlink._attribute(1, IPv4Address("10.0.0.2").packed)
    body += netlink._attribute(2, IPv4Address("10.0.0.1").packed)
    body += netlink._attribute(8, struct.pack("=I", 0x280))
    assert netlink._decode_event(netlink.RTM_DELADDR, 44, body) == AddressEvent(
        index=7,
        address=IPv4Address("10.0.0.1"),
        prefix_length=24,
        flags=0x280,
        scope=0,
        by_port=44,
        gone=True,
    )


def test_ipv6_address_event_without_local() -> None:
    body = struct.pack("=BBBBi", 10, 64, 0x42, 253, 7) + netlink._attribute(1, IPv6Address("fe80::1").packed)
    event = netlink._decode_event(netlink.RTM_NEWADDR, 0, body)
    assert isinstance(event, AddressEvent)
    assert (event.address, event.flags, event.scope, event.gone) == (IPv6Address("fe80::1"), 0x42, 253, False)


def test_link_event_and_messages_that_say_nothing_to_us() -> None:
    body = struct.pack("=BxHiII", 0, 1, 7, 0x43, 0)
    attributes = netlink._attribute(3, b"eth0\0") + netlink._attribute(4, struct.pack("=I", 1500))
    attributes += netlink._attribute(1, b"\x02\0\0\0\0\x01")
    assert netlink._decode_event(netlink.RTM_NEWLINK, 0, body + attributes) == LinkEvent(
        index=7, name="eth0", flags=0x43, mtu=1500, mac=b"\x02\0\0\0\0\x01"
    )
    bridge = struct.pack("=BxHiII", 7, 1, 7, 0x43, 0)
    assert netlink._decode_event(netlink.RTM_NEWLINK, 0, bridge + attributes) is None
    assert netlink._decode_event(24, 0, body) is None


def test_truncated_message_is_an_error() -> None:
    with pytest.raises(netlink.NetlinkError):
        list(netlink._messages(struct.pack("=IHHII", 64, 20, 0, 0, 0)))


def test_requests_are_acknowledged_one_by_one() -> None:
    """Against this host's kernel, on an interface that does not exist: nothing is changed."""
    route = netlink.RouteSocket()
    try:
        requests = [netlink.delete_address(_vip(f"192.0.2.{n}/24"), 0x7FFFFFF0) for n in (1, 2)]
        refused = route.perform(requests)
        # An ordinary user is refused before the kernel looks for the interface.
        why = errno.ENODEV if effective() & mask_of(["NET_ADMIN"]) else errno.EPERM
        assert [(r.position, r.error) for r in refused] == [(0, why), (1, why)]
        assert all(r.text for r in refused)
        assert route.perform(requests, fine=(why,)) == []
        assert route.perform([]) == []
        assert any(link.name == "lo" for link in route.links())
    finally:
        route.close()
