"""Undo bytes: what goes in comes out; damage is named, never performed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from worker import undo

FOUR = undo.Packet(
    ifindex=3,
    protocol=112,
    source=IPv4Address("192.0.2.1"),
    destination=IPv4Address("224.0.0.18"),
    ttl=255,
    tos=0xC0,
    payload=b"\x31\x33\x00",
)
SIX = undo.Packet(
    ifindex=3,
    protocol=112,
    source=IPv6Address("fe80::1"),
    destination=IPv6Address("ff02::12"),
    ttl=255,
    tos=0xC0,
    payload=b"\x31" * 40,
)


def test_operations_come_out_as_they_went_in() -> None:
    data = undo.undo_packet(FOUR) + undo.undo_netlink(b"n" * 48) + undo.undo_packet(SIX)
    assert list(undo.operations(data)) == [FOUR, undo.NetlinkBatch(b"n" * 48), SIX]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_damage_is_named(cut: int) -> None:
    data = undo.undo_packet(FOUR)
    with pytest.raises(ValueError, match="undo bytes"):
        list(undo.operations(data[:-cut]))
    assert undo.perform(data[:cut] if cut < 40 else b"\xff" * 40, packets=False)


def test_packets_can_be_left_out() -> None:
    assert undo.perform(undo.undo_packet(FOUR), packets=False) == []
