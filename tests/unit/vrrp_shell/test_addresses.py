"""Address work: order, slices, what is dropped, what is answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_interface

import pytest

from keepalived_conf.model import VirtualAddress
from vrrp_proc.addresses import AddressWork
from vrrp_proc.announce import Announcer, Frame
from vrrp_proc.events import AddressesInstalled, AddressesVerified, AddressesWithdrawn, Announced, Event
from vrrp_proc.loop import Loop
from vrrp_proc.netlink import NetlinkError, Refusal


def _vips(*numbers: int) -> tuple[VirtualAddress, ...]:
    return tuple(VirtualAddress(interface=ip_interface(f"192.0.2.{n}/24"), dev="e0") for n in numbers)


def _short(vip: VirtualAddress) -> str:
    return str(vip.interface.ip).rpartition(".")[2]


class Kernel:
    """Stands for the route socket: notes batches, refuses what it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.refuse: dict[str, str] = {}
        self.broken = False

    def perform(self, requests: Sequence[bytes], *, fine: Sequence[int] = ()) -> list[Refusal]:
        if self.broken:
            raise NetlinkError("gone")
        batch = [request.decode() for request in requests]
        self.batches.append(batch)
        return [
            Refusal(position=position, error=1, text=self.refuse[name])
            for position, name in enumerate(batch)
            if name in self.refuse
        ]

    @property
    def done(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


class FakeOwner:
    def __init__(self, name: str) -> None:
        self.name = name
        self.installed: set[VirtualAddress] = set()
        self.foreign: set[VirtualAddress] = set()
        self.events: list[Event] = []
        self.complaints: list[str] = []

    def add_request(self, vip: VirtualAddress) -> bytes | str:
        return (
            f"+{self.name}{_short(vip)}".encode()
            if vip.dev == "e0"
            else f"interface {vip.dev} does not exist"
        )

    def delete_request(self, vip: VirtualAddress) -> bytes | None:
        return None if vip in self.foreign else f"-{self.name}{_short(vip)}".encode()

    def frame(self, vip: VirtualAddress) -> Frame | None:
        return Frame("e0", 1, f"{self.name}{_short(vip)}".encode(), is_arp=True)

    def deliver(self, event: Event) -> None:
        self.events.append(event)

    def complain(self, text: str, vip: VirtualAddress | None) -> None:
        self.complaints.append(text)


class Rig:
    def __init__(self) -> None:
        self.loop = Loop(lambda: 1.0)
        self.kernel = Kernel()
        self.sent: list[str] = []
        self.absent: set[VirtualAddress] = set()
        self.refreshed = 0
        announcer = Announcer(self.loop, lambda *_: None)
        announcer._send = self._send  # type: ignore[method-assign]
        self.work = AddressWork(self.loop, self.kernel, announcer, self._refresh, self._absent)  # type: ignore[arg-type]
        self.a, self.b = FakeOwner("a"), FakeOwner("b")

    def _send(self, frame: Frame) -> OSError | None:
        self.sent.append(frame.data.decode())
        return None

    def _refresh(self) -> None:
        self.refreshed += 1

    def _absent(self, addresses: Sequence[VirtualAddress]) -> tuple[VirtualAddress, ...]:
        return tuple(vip for vip in addresses if vip in self.absent)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.loop.close()


def test_installed_then_announced(rig: Rig) -> None:
    rig.work.install(rig.a, _vips(1, 2), 1)
    rig.work.announce(rig.a, _vips(1, 2), 2, 2)
    rig.loop.drain_work()
    assert rig.kernel.batches == [["+a1", "+a2"]]
    assert rig.sent == ["a1", "a2", "a1", "a2"]
    assert rig.a.events == [AddressesInstalled(ticket=1), Announced(ticket=2)]
    assert rig.a.installed == set(_vips(1, 2))


def test_many_addresses_go_in_slices_in_order(rig: Rig) -> None:
    rig.work.install(rig.a, _vips(*range(1, 51)), 1)
    rig.loop.drain_work()
    assert [len(batch) for batch in rig.kernel.batches] == [16, 16, 16, 2]
    assert rig.kernel.done == [f"+a{n}" for n in range(1, 51)]
    assert rig.a.events == [AddressesInstalled(ticket=1)]


def test_refusals_and_missing_interfaces_are_named(rig: Rig) -> None:
    elsewhere = VirtualAddress(interface=ip_interface("192.0.2.9/24"), dev="gone")
    rig.kernel.refuse["+a2"] = "No space left on device"
    rig.work.install(rig.a, (*_vips(1, 2), elsewhere), 1)
    rig.loop.drain_work()
    (event,) = rig.a.events
    assert isinstance(event, AddressesInstalled)
    assert dict(event.failed) == {
        _vips(2)[0]: "No space left on device",
        elsewhere: "interface gone does not exist",
    }
    assert rig.a.installed == set(_vips(1))


def test_withdrawals_go_before_installations_of_others(rig: Rig) -> None:
    rig.work.install(rig.b, _vips(7), 1)
    rig.work.withdraw(rig.a, _vips(1), 2)
    rig.loop.drain_work()
    assert rig.kernel.done == ["-a1", "+b7"]


def test_withdrawal_drops_what_has_not_happened_yet(rig: Rig) -> None:
    rig.work.install(rig.a, _vips(*range(1, 21)), 1)
    rig.work.announce(rig.a, _vips(*range(1, 21)), 5, 2)
    rig.work._slice()
    rig.work.withdraw(rig.a, _vips(*range(1, 21)), 3)
    rig.loop.drain_work()
    assert [name for name in rig.kernel.done if name.startswith("+")] == [f"+a{n}" for n in range(1, 17)]
    assert [name for name in rig.kernel.done if name.startswith("-")] == [f"-a{n}" for n in range(1, 21)]
    assert rig.sent == []
    assert rig.a.installed == set()
    assert AddressesWithdrawn(ticket=3) in rig.a.events


def test_withdrawal_spares_what_is_not_ours_and_takes_left_overs(rig: Rig) -> None:
    rig.a.foreign = set(_vips(1))
    rig.work.withdraw(rig.a, _vips(1, 2), 1, leftovers=[b"-old", b"-a2"])
    rig.loop.drain_work()
    assert rig.kernel.done == ["-a2", "-old"]


def test_refused_deletion_is_complained_about_and_still_answered(rig: Rig) -> None:
    rig.kernel.refuse["-a1"] = "Operation not permitted"
    rig.a.installed = set(_vips(1, 2))
    rig.work.withdraw(rig.a, _vips(1, 2), 1)
    rig.loop.drain_work()
    assert rig.a.complaints == ["cannot take the address off: Operation not permitted"]
    assert rig.a.installed == set(_vips(1))
    assert rig.a.events == [AddressesWithdrawn(ticket=1)]


def test_verify_takes_off_left_overs_first_and_changes_nothing_else(rig: Rig) -> None:
    rig.absent = set(_vips(2))
    rig.work.verify(rig.a, _vips(1, 2), [b"-a1", b"-old"])
    rig.loop.drain_work()
    assert rig.kernel.done == ["-old"]
    assert rig.a.events == [AddressesVerified(missing=_vips(2))]
    assert rig.a.installed == set(_vips(1))


def test_one_look_at_the_kernel_for_many_routers(rig: Rig) -> None:
    rig.work.verify(rig.a, _vips(1), [])
    rig.work.verify(rig.b, _vips(2), [])
    rig.loop.drain_work()
    assert rig.refreshed == 1
    assert rig.a.events == rig.b.events == [AddressesVerified()]


def test_broken_netlink_socket_fails_the_addresses_not_the_worker(rig: Rig) -> None:
    rig.kernel.broken = True
    rig.work.install(rig.a, _vips(1), 1)
    rig.loop.drain_work()
    assert rig.a.events == [AddressesInstalled(ticket=1, failed=((_vips(1)[0], "gone"),))]


def test_dropped_router_causes_nothing_more(rig: Rig) -> None:
    rig.work.install(rig.a, _vips(1), 1)
    rig.work.withdraw(rig.a, _vips(2), 2)
    rig.work.install(rig.b, _vips(3), 3)
    rig.work.drop(rig.a)
    rig.loop.drain_work()
    assert rig.kernel.done == ["+b3"]
    assert rig.a.events == []
