"""Announcement frames octet by octet, and bursts that yield, pause and can be called off."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrp_proc.announce import Announcer, Frame, frame_for, gratuitous_arp, unsolicited_na
from vrrp_proc.loop import Loop

GARP = "ffffffffffff00005e0001330806000108000604000100005e000133c0000264ffffffffffffc0000264"
NA = (
    "33330000000100005e00023386dd6000000000203aff20010db8000000000000000000000100ff02000000000000000000"
    "0000000001880018faa000000020010db8000000000000000000000100020100005e000233"
)


def test_gratuitous_arp_as_keepalived_sends_it() -> None:
    assert gratuitous_arp(bytes.fromhex("00005e000133"), IPv4Address("192.0.2.100")).hex() == GARP


def test_unsolicited_neighbour_advertisement() -> None:
    address = IPv6Address("2001:db8::100")
    assert unsolicited_na(bytes.fromhex("00005e000233"), address).hex() == NA


def test_links_without_ethernet_addresses_have_no_frames() -> None:
    assert frame_for("tun0", 3, b"", IPv4Address("192.0.2.1")) is None
    assert frame_for("lo", 1, b"\0" * 6, IPv4Address("192.0.2.1")) is None


class Rig:
    """An announcer whose frames go into a list; its clock moves when told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.loop = Loop(lambda: self.now)
        self.sent: list[tuple[float, bytes]] = []
        self.errors: list[OSError] = []
        self.failures: list[tuple[str, int, int]] = []
        self.announcer = Announcer(self.loop, lambda o, n, e: self.failures.append((o, n, e.errno or 0)))
        self.announcer._send = self._send  # type: ignore[method-assign]

    def _send(self, frame: Frame) -> OSError | None:
        if self.errors:
            return self.errors.pop(0)
        self.sent.append((self.now, frame.data))
        return None

    def frames(self, *names: str, arp: bool = True) -> list[Frame]:
        return [Frame("e0", 1, name.encode(), arp) for name in names]

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.loop.turn(block=False)
            due = self.loop.next_due_at()
            self.now = min(end, due if due is not None else end)
        self.loop.turn(block=False)

    @property
    def names(self) -> str:
        return "".join(data.decode() for _at, data in self.sent)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.loop.close()


def test_whole_list_repeated_and_done_is_told_once(rig: Rig) -> None:
    done: list[int] = []
    rig.announcer.announce("A", rig.frames("a", "b"), 3, lambda: done.append(len(rig.sent)))
    rig.announcer.announce("B", rig.frames("x"), 1, lambda: done.append(len(rig.sent)))
    rig.run(0.1)
    assert rig.names == "abababx"
    assert done == [6, 7]


def test_nothing_to_announce_is_done_at_once(rig: Rig) -> None:
    done: list[str] = []
    rig.announcer.announce("A", [], 5, lambda: done.append("none"))
    rig.announcer.announce("A", rig.frames("a"), 0, lambda: done.append("zero"))
    assert done == ["none", "zero"]


def test_a_slice_is_short(rig: Rig) -> None:
    rig.announcer.announce("A", rig.frames("a"), 100, lambda: None)
    assert rig.announcer._slice()
    assert len(rig.sent) == 16


def test_spacing_by_kind(rig: Rig) -> None:
    rig.announcer.garp_interval_s, rig.announcer.gna_interval_s = 0.5, 0.0
    rig.announcer.announce("A", rig.frames("a", "b"), 2, lambda: None)
    rig.run(10)
    assert [at for at, _data in rig.sent] == pytest.approx([100.0, 100.5, 101.0, 101.5])
    rig.sent.clear()
    rig.announcer.announce("A", rig.frames("n", arp=False), 3, lambda: None)
    rig.run(1)
    assert len({at for at, _data in rig.sent}) == 1


def test_cancelled_frames_are_not_sent(rig: Rig) -> None:
    rig.announcer.garp_interval_s = 0.1
    rig.announcer.announce("A", rig.frames("a", "b", "c"), 2, lambda: None)
    rig.announcer.announce("B", rig.frames("x"), 1, lambda: None)
    rig.run(0.15)
    assert rig.names == "ab"
    rig.announcer.cancel("A", [b"b"])
    rig.run(10)
    assert rig.names == "abcacx"


def test_cancelled_owner_sends_nothing_more(rig: Rig) -> None:
    rig.announcer.garp_interval_s = 0.1
    rig.announcer.announce("A", rig.frames("a"), 9, lambda: None)
    rig.announcer.announce("B", rig.frames("x"), 2, lambda: None)
    rig.run(0.05)
    rig.announcer.cancel("A")
    rig.run(10)
    assert rig.names == "axx"


def test_full_queue_of_the_interface_is_tried_again(rig: Rig) -> None:
    rig.errors = [OSError(errno.ENOBUFS, "full"), OSError(errno.EAGAIN, "full")]
    rig.announcer.announce("A", rig.frames("a", "b"), 1, lambda: None)
    rig.run(1)
    assert rig.names == "ab"
    assert rig.failures == []


def test_refused_frames_are_told_once_per_burst(rig: Rig) -> None:
    done: list[bool] = []
    rig.errors = [OSError(errno.ENETDOWN, "down")] * 3
    rig.announcer.announce("A", rig.frames("a", "b"), 2, lambda: done.append(True))
    rig.run(1)
    assert rig.failures == [("A", 2, errno.ENETDOWN)]
    assert done == [True]
