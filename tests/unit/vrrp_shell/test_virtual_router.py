"""The shell of one router, with everything around it replaced and time standing still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface
from typing import Any

import pytest

from keepalived_conf.model import GlobalDefs, VirtualAddress, VrrpInstance
from vrrp_proc import flight, packet, virtual_router
from vrrp_proc.boxes import Ledger
from vrrp_proc.effects import State
from vrrp_proc.events import AddressesWithdrawn
from vrrp_proc.group_shell import Groups
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop
from vrrp_proc.netlink import IFF_RUNNING, IFF_UP, AddressEvent, LinkEvent
from vrrp_proc.packet import Datagram
from vrrp_proc.sockets import Received
from vrrp_proc.tracking import Follow, Tracking, judge
from vrrp_proc.virtual_router import VirtualRouter
from worker.blackbox import MAX_RING_BYTES

OWN, PEER, GROUP = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), IPv4Address("224.0.0.18")
CONFIG = VrrpInstance(
    name="VI",
    interface="e0",
    virtual_router_id=51,
    family=4,
    version=3,
    state="BACKUP",
    priority=100,
    advert_int_cs=100,
    virtual_addresses=(VirtualAddress(interface=ip_interface("192.0.2.100/24"), dev="e0"),),
)


class FakeSocket:
    def __init__(self) -> None:
        self.sent: list[int] = []
        self.error: OSError | None = None

    def send(self, data: bytes, destination: str) -> OSError | None:
        assert destination == str(GROUP)
        if self.error is None:
            self.sent.append(data[22])
        return self.error


class FakeWork:
    """Notes what is asked of the kernel, in order with the adverts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def install(self, *_: object) -> None:
        self.asked.append("install")

    def withdraw(self, *_: object) -> None:
        self.asked.append("withdraw")

    def verify(self, *_: object) -> None:
        self.asked.append("verify")

    def announce(self, *_: object) -> None:
        self.asked.append("announce")


class NobodyHeld:
    def hold_of(self, _name: str) -> None: ...


class FakeHost:
    def __init__(self) -> None:
        self.maintenance = NobodyHeld()
        self.groups = Groups(lambda tell: tell(), lambda _said: None, lambda: None, lambda *_a, **_f: None)
        self.now = 1000.0
        self.loop = Loop(lambda: self.now)
        self.links = LinkTable()
        self.links.load(
            [LinkEvent(index=7, name="e0", flags=IFF_UP | IFF_RUNNING, mtu=1500, mac=b"\x02\0\0\0\0\x01")],
            [AddressEvent(index=7, address=OWN, prefix_length=24, flags=0, scope=0, by_port=0)],
        )
        self.ledger = Ledger(None)
        self.notes: list[bytes] = []
        self.ledger.log = self.notes.append  # type: ignore[method-assign, assignment]
        self.work = FakeWork()
        self.globals = GlobalDefs()
        self.socket: FakeSocket | None = FakeSocket()
        self.waiting: Callable[[], None] = lambda: None
        self.logged: list[tuple[str, str]] = []
        self.transitions: list[str] = []
        self.numbers: list[int] = []
        self.priorities: list[int] = []
        self.lower: list[int] = []
        self.said = Tracking()
        self.reports = self

    def send_socket(self, _interface: str, _family: int) -> FakeSocket | None:
        return self.socket

    def deaf(self, _interface: str, _family: int) -> str | None:
        return None

    def drain(self, _interface: str, _family: int) -> None:
        self.waiting()

    def suspended_s(self) -> float:
        return 0.0

    def advert_sent(self) -> None:
        pass

    def transition(self, _router: VirtualRouter, effect: Any, number: int) -> None:
        self.transitions.append(effect.to_state.value)
        self.numbers.append(number)

    def priority_changed(self, _router: VirtualRouter, effect: Any) -> None:
        self.priorities.append(effect.priority)

    def lower_heard(self, _router: VirtualRouter, effect: Any) -> None:
        self.lower.append(effect.peer_priority)

    def link_up(self, name: str) -> bool:
        link = self.links.by_name(name)
        return link is not None and link.usable

    def tracking(self, _instance: str) -> Tracking:
        return self.said

    def resumed(self, _router: VirtualRouter, _effect: Any) -> None:
        pass

    def changed(self, _router: VirtualRouter) -> None:
        pass

    def log(self, level: str, event_id: str, **_fields: Any) -> None:
        self.logged.append((level, event_id))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    made = FakeHost()
    monkeypatch.setattr(virtual_router, "boottime", lambda: made.now)
    yield made
    made.loop.close()


def _router(host: FakeHost) -> VirtualRouter:
    router = VirtualRouter(host, CONFIG, 1, 0)  # type: ignore[arg-type]
    router.look()
    router.start((), blind=False)
    return router


def _advert(host: FakeHost, priority: int, source: IPv4Address = PEER) -> Received:
    payload = packet.encode(CONFIG, priority, source, GROUP)
    return Received(Datagram(payload=payload, source=source, destination=GROUP, ttl=255), host.now)


def _pass(host: FakeHost, seconds: float) -> None:
    host.now += seconds
    host.loop.turn(block=False)


def test_takeover_is_advert_then_addresses_then_announcements(host: FakeHost) -> None:
    router = _router(host)
    host.work.asked.clear()
    _pass(host, 3.7)
    assert host.socket is not None
    assert host.socket.sent == [100]
    assert host.work.asked == ["install", "announce"]
    assert router.core is not None
    assert router.core.state is State.MASTER


def test_addresses_are_kept_out_from_before_they_go_on_until_they_are_off(host: FakeHost) -> None:
    router = VirtualRouter(host, replace(CONFIG, accept=False), 1, 0)  # type: ignore[arg-type]
    router.look()
    router.start((), blind=False)
    vips = CONFIG.virtual_addresses
    core = router.core
    assert core is not None
    router.deliver(AddressesWithdrawn(ticket=core._leaving or 0))
    assert router.kept_out() == ()
    _pass(host, 3.7)
    assert host.work.asked[-2:] == ["install", "announce"]
    assert router.kept_out() == vips
    router.installed.update(vips)
    router.hear(_advert(host, 200))
    assert (core.state, host.work.asked[-1]) == (State.BACKUP, "withdraw")
    assert router.kept_out() == vips
    router.deliver(AddressesWithdrawn(ticket=core._leaving or 0))
    assert router.kept_out() == vips, "the kernel has not let go of it"
    router.installed.clear()
    assert router.kept_out() == ()


@pytest.mark.parametrize("given", [{"accept": True}, {"accept": False, "priority": 255}], ids=str)
def test_who_accepts_and_who_owns_keeps_nothing_out(host: FakeHost, given: dict[str, Any]) -> None:
    router = VirtualRouter(host, replace(CONFIG, **given), 1, 0)  # type: ignore[arg-type]
    router.look()
    router.start((), blind=False)
    _pass(host, 3.7)
    assert router.core is not None
    assert router.core.state is State.MASTER
    assert router.kept_out() == ()


def test_what_waits_in_the_socket_is_read_before_an_election(host: FakeHost) -> None:
    router = _router(host)
    host.waiting = lambda: router.hear(_advert(host, 200))
    _pass(host, 3.7)
    assert host.socket is not None
    assert host.socket.sent == []
    assert host.transitions == ["BACKUP"]
    host.waiting = lambda: None
    _pass(host, 3.7)
    assert host.transitions == ["BACKUP", "MASTER"]


def test_our_own_advert_come_back_is_nothing(host: FakeHost) -> None:
    router = _router(host)
    before = len(host.notes)
    router.hear(_advert(host, 255, source=OWN))
    assert len(host.notes) == before


def test_advert_that_could_not_leave_is_told_to_the_core(host: FakeHost) -> None:
    assert host.socket is not None
    host.socket.error = OSError(100, "Network is down")
    _router(host)
    _pass(host, 3.7)
    assert ("error", "vrrp.advert_not_sent") in host.logged
    assert host.socket.sent == []
    host.socket.error = None
    _pass(host, 1.0)
    assert host.socket.sent == [100]  # tried again when the next one is due


def test_lost_link_takes_the_addresses_off(host: FakeHost) -> None:
    router = _router(host)
    _pass(host, 3.7)
    host.work.asked.clear()
    host.links.apply(LinkEvent(index=7, name="e0", flags=IFF_UP, mtu=1500, mac=b"\x02\0\0\0\0\x01"))
    router.links_changed()
    assert host.transitions[-1] == "FAULT"
    assert host.work.asked == ["withdraw"]
    router.links_changed()
    assert host.transitions.count("FAULT") == 1


def test_inputs_and_transitions_are_in_the_flight_recorder(host: FakeHost) -> None:
    router = _router(host)
    router.hear(_advert(host, 200))
    host.links.apply(LinkEvent(index=7, name="e0", flags=IFF_UP, mtu=1500, mac=b"\x02\0\0\0\0\x01"))
    router.links_changed()
    notes = flight.read_all(host.notes)
    assert [note.text for note in notes] == [
        "Startup",
        "INIT -> BACKUP (rule 1)",
        "advert priority 200 from 10.0.0.2",
        "InterfaceDown interface e0 is down",
        "BACKUP -> FAULT (interface e0 is down)",
    ]
    assert (notes[-1].at, notes[-1].slot) == (1000.0, 0)
    assert notes[-1].change is not None
    assert (notes[-1].change.trigger, notes[-1].change.reason) == ("link", "fault")
    assert all(len(note) <= MAX_RING_BYTES for note in host.notes)


SCRIPT = Follow(kind="script", name="chk", weight=-20)


def test_trackers_reach_the_core_and_the_flight_recorder(host: FakeHost) -> None:
    host.said = judge([SCRIPT], {"script:chk": 1})
    router = _router(host)
    host.said = judge([SCRIPT], {"script:chk": 0}, results={"script:chk": "exit status 1"})
    router.track()
    router.track()
    assert host.priorities == [80]
    notes = [note.text for note in flight.read_all(host.notes)]
    assert notes == ["Startup", "INIT -> BACKUP (rule 1)", "script chk is bad (exit status 1)"]


def test_two_transitions_of_one_turn_have_two_numbers(host: FakeHost) -> None:
    router = _router(host)
    for flags in (IFF_UP, IFF_UP | IFF_RUNNING):
        host.links.apply(LinkEvent(index=7, name="e0", flags=flags, mtu=1500, mac=b"\x02\0\0\0\0\x01"))
        router.links_changed()
    assert (host.transitions, host.numbers) == (["BACKUP", "FAULT", "BACKUP"], [1, 2, 3])


def test_a_losing_advert_is_told(host: FakeHost) -> None:
    router = _router(host)
    _pass(host, 3.7)
    router.hear(_advert(host, 50))
    assert host.lower == [50]
