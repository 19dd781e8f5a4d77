"""Trackers of every kind, told by a real broker or by netlink, and what the worker makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import pytest

from bus.client import Publisher, boottime
from bus.messages import (
    TrackerState,
    VrrpInstanceState,
    VrrpLowerPriorityHeard,
    VrrpPriorityChanged,
    VrrpTransition,
)
from bus.replica import EventHappened, Snapshot
from bus.subscriber import Subscriber
from keepalived_conf.model import InterfaceDelay, TrackRef, VrrpInstance
from tests.chaos.bus.bench import Bench
from tests.lab import Lab
from tests.lab.system import wait_until
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import Worker, instance, send_advert
from worker.control import Epoch

VIP = "192.0.2.100"
ElsewhereKind = Literal["script", "file", "process"]


def ref(name: str, weight: int = 0, *, reverse: bool = False) -> TrackRef:
    return TrackRef(name=name, weight=weight, reverse=reverse)


def tracks(kind: ElsewhereKind, one: TrackRef) -> dict[str, Any]:
    return {f"track_{kind}": (one,)}


class World:
    """A broker, the script worker's voice, and what the vrrp worker says."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        bench.start()
        self.script: Publisher = bench.publisher("script")
        self.heard = Subscriber(
            bench.context, endpoint=bench.endpoint("out"), streams=["s.vrrp", "e.vrrp"], stale_after_s=60
        )
        self.events: list[object] = []
        self.beating = True

    def start(self, made: Worker, *, wait: bool = True) -> None:
        """The next incarnation, named to the broker as the supervisor does."""
        made.start(wait=wait)
        self.bench.name("vrrp", made.pid)

    def say(
        self, kind: ElsewhereKind, name: str, value: int | None, result: str = "", interval_s: float = 1.0
    ) -> float:
        at = time.time()
        self.script.set_state(
            TrackerState(
                tracker_kind=kind, name=name, value=value, since_at=boottime(), since_wall_at=at,
                interval_s=interval_s, last_result=result, last_at=boottime(), successes=0, failures=0,
            )
        )  # fmt: skip
        self.pump()
        return at

    def restart(self, made: Worker) -> None:
        """The broker, killed before."""
        self.bench.start()
        self.bench.name("vrrp", made.pid)
        assert made.channel is not None
        made.channel.send(Epoch(epoch=self.bench.epoch))

    def pump(self) -> None:
        if self.beating:
            self.script.pump(boottime())
        for update in self.heard.pump(boottime()):
            if isinstance(update, Snapshot) and update.stream == "e.vrrp":
                self.events += [record.message for record in update.records]
            elif isinstance(update, EventHappened):
                self.events.append(update.record.message)

    def state(self, name: str = "VI") -> VrrpInstanceState | None:
        self.pump()
        record = self.heard.records("s.vrrp").get(name)
        if record is None:
            return None
        assert isinstance(record.message, VrrpInstanceState)
        return record.message

    def until(
        self, fits: Callable[[VrrpInstanceState], bool], what: str, timeout_s: float = 15
    ) -> VrrpInstanceState:
        def look() -> bool:
            state = self.state()
            return state is not None and fits(state)

        wait_until(look, timeout_s, what)
        found = self.state()
        assert found is not None
        return found

    def for_(self, seconds: float) -> None:
        """Time passes; the script worker beats."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()
            time.sleep(0.02)

    def transitions(self) -> list[tuple[str, str]]:
        self.pump()
        return [(e.to_state, e.cause.detail) for e in self.events if isinstance(e, VrrpTransition)]


@pytest.fixture
def world(lab: Lab) -> Iterator[World]:
    with Bench(lab.dir) as bench:
        made = World(bench)
        yield made
        made.heard.close()


def _cable(lab: Lab, name: str = "d0") -> None:
    lab.ip("n1", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    lab.ip("n1", "link", "set", f"{name}p", "up")
    lab.ip("n1", "link", "set", name, "up")


@pytest.mark.parametrize("kind", ["script", "file", "process"])
def test_weights_change_the_priority_on_the_wire(
    lab: Lab, worker: MakeWorker, world: World, kind: ElsewhereKind
) -> None:
    wire = lab.observer()
    config = replace(instance(advert_int_cs=20), **tracks(kind, ref("t", -40)))
    world.start(worker("n1", config))
    good, bad = (0, 1) if kind == "file" else (1, 0)
    world.say(kind, "t", good)
    world.until(lambda s: s.state == "MASTER" and s.priority == 100, "master with its own priority")
    at = world.say(kind, "t", bad, "as planted")
    state = world.until(lambda s: s.priority == 60, "the priority of a bad tracker")
    (share,) = state.trackers
    assert (share.tracker_kind, share.name, share.value, share.weight, share.share) == (
        kind,
        "t",
        bad,
        -40,
        -40,
    )
    assert not share.fault
    assert wire.await_advert(5, since=at + 0.3, src=lab.address("n1")).priority == 60
    world.say(kind, "t", good)
    world.until(lambda s: s.priority == 100, "the own priority again")
    told = [(e.before, e.priority, e.state) for e in world.events if isinstance(e, VrrpPriorityChanged)]
    assert told[-2:] == [(100, 60, "MASTER"), (60, 100, "MASTER")]
    assert [to for to, _ in world.transitions()] == ["BACKUP", "MASTER"]


@pytest.mark.parametrize("kind", ["script", "file", "process"])
def test_weight_0_is_a_fault_with_priority_0_and_its_name(
    lab: Lab, worker: MakeWorker, world: World, kind: ElsewhereKind
) -> None:
    wire = lab.observer()
    config = replace(instance(advert_int_cs=20), **tracks(kind, ref("t")))
    world.start(worker("n1", config))
    good, bad = (0, 7) if kind == "file" else (1, 0)
    world.say(kind, "t", good)
    world.until(lambda s: s.state == "MASTER", "master")
    wait_until(lambda: VIP in lab.addresses("n1"), 5, "address on")
    at = world.say(kind, "t", bad, "exit status 1")
    state = world.until(lambda s: s.state == "FAULT", "fault")
    assert state.trackers[0].fault
    assert state.cause.trigger == ("script" if kind == "script" else "tracker")
    assert f"{kind} t " in state.cause.detail
    assert "exit status 1" in state.cause.detail
    wait_until(lambda: VIP not in lab.addresses("n1"), 5, "address off")
    assert [a.priority for a in wire.adverts(since=at, src=lab.address("n1"))][-1] == 0
    world.say(kind, "t", good)
    world.until(lambda s: s.state == "MASTER", "master again")


def test_first_result_is_awaited_in_init_and_nothing_is_told(
    lab: Lab, worker: MakeWorker, world: World
) -> None:
    made = worker("n1", instance(advert_int_cs=10, track_script=(ref("chk"),)))
    made.extra["script_runs_s"] = {"chk": 2.0}
    world.start(made)
    state = world.until(lambda s: True, "a record")
    assert (state.state, state.trackers[0].value) == ("INIT", None)
    assert "first result of script chk" in state.cause.detail
    world.for_(1.0)
    assert world.transitions() == []
    world.say("script", "chk", 1)
    world.until(lambda s: s.state == "MASTER", "master after the first result", 5)
    assert [to for to, _ in world.transitions()] == ["BACKUP", "MASTER"]


def test_bad_first_result_is_a_fault_and_a_silent_tracker_counts_as_good(
    worker: MakeWorker, world: World
) -> None:
    made = worker("n1", instance(advert_int_cs=10, track_script=(ref("chk"),)))
    made.extra["script_runs_s"] = {"chk": 2.0}
    began_at = time.monotonic()
    world.start(made)
    world.say("script", "chk", 0, "exit status 3")
    world.until(lambda s: s.state == "FAULT", "fault at once")
    assert [to for to, _ in world.transitions()] == ["FAULT"]
    made.kill()
    silent = worker("n2", instance("VI2", virtual_router_id=52, advert_int_cs=10, track_file=(ref("f"),)))
    began_at = time.monotonic()
    silent.start()
    wait_until(lambda: "vrrp.tracker_silent" in silent.log(), 15, "gave up waiting")
    assert time.monotonic() - began_at > 4.5


def test_a_script_that_cannot_be_run_is_not_waited_for(worker: MakeWorker, world: World) -> None:
    """As in keepalived: the instance goes on without it."""
    made = worker("n1", instance(advert_int_cs=10, track_script=(ref("chk"),)))
    made.extra["script_runs_s"] = {"chk": 120.0}
    world.start(made)
    world.say("script", "chk", None, "/bin/chk does not exist")
    world.until(lambda s: s.state == "MASTER", "master at once")
    assert "vrrp.tracker_unusable" in made.log()
    world.say("script", "chk", 0, "exit status 1")
    world.until(lambda s: s.state == "FAULT", "it can be run now")


def test_interface_elsewhere_is_a_fault_with_the_link_as_its_cause(
    lab: Lab, worker: MakeWorker, world: World
) -> None:
    _cable(lab)
    world.start(worker("n1", instance(advert_int_cs=10, track_interface=(ref("d0"),))))
    world.until(lambda s: s.state == "MASTER", "master")
    lab.set_link("n1", "d0", up=False)
    state = world.until(lambda s: s.state == "FAULT", "fault")
    assert (state.cause.trigger, "interface d0 is down" in state.cause.detail) == ("link", True)
    lab.ip("n1", "link", "del", "d0")
    _cable(lab)
    world.until(lambda s: s.state == "MASTER", "master again")


def test_interface_of_an_address_elsewhere_is_followed_unless_it_says_no(
    lab: Lab, worker: MakeWorker, world: World
) -> None:
    _cable(lab)
    _cable(lab, "d1")
    config = instance(advert_int_cs=10)
    first = config.virtual_addresses[0]
    elsewhere = replace(first, interface=type(first.interface)("192.0.2.101/24"), dev="d0")
    untracked = replace(elsewhere, interface=type(first.interface)("192.0.2.102/24"), dev="d1", no_track=True)
    config = replace(config, virtual_addresses=(first, elsewhere, untracked))
    world.start(worker("n1", config))
    state = world.until(lambda s: s.state == "MASTER", "master")
    assert [(s.tracker_kind, s.name, s.weight) for s in state.trackers] == [("interface", "d0", 0)]
    lab.set_link("n1", "d1", up=False)
    world.for_(0.5)
    assert world.transitions()[-1][0] == "MASTER"
    lab.set_link("n1", "d0", up=False)
    world.until(lambda s: s.state == "FAULT", "fault")


def test_a_flap_shorter_than_its_delay_is_nothing_a_longer_one_counts(
    lab: Lab, worker: MakeWorker, world: World
) -> None:
    _cable(lab)
    made = worker(
        "n1", instance(advert_int_cs=100, priority=255, state="MASTER", track_interface=(ref("d0"),))
    )
    made.extra["interface_delays"] = (InterfaceDelay(interface="d0", down_s=1.0, up_s=0.5),)
    world.start(made)
    world.until(lambda s: s.state == "MASTER", "master")
    for _ in range(3):
        lab.set_link("n1", "d0", up=False)
        world.for_(0.3)
        lab.set_link("n1", "d0", up=True)
        world.for_(0.2)
    assert [to for to, _ in world.transitions()] == ["MASTER"]
    down_at = lab.set_link("n1", "d0", up=False)
    state = world.until(lambda s: s.state == "FAULT", "fault")
    assert 0.99 < state.since_wall_at - down_at < 2.0
    up_at = lab.set_link("n1", "d0", up=True)
    state = world.until(lambda s: s.state == "MASTER", "master again")
    assert 0.49 < state.since_wall_at - up_at < 1.5


def test_killed_worker_resumes_with_the_last_values_though_the_bus_is_dead(
    lab: Lab, worker: MakeWorker, world: World
) -> None:
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=50, track_script=(ref("chk"), ref("w", -30))))
    world.start(made)
    world.say("script", "chk", 1)
    world.say("script", "w", 0)
    world.until(lambda s: s.state == "MASTER" and s.priority == 70, "master with 70")
    wait_until(lambda: VIP in lab.addresses("n1"), 5, "address on")
    peer = worker("n2", instance(priority=60, advert_int_cs=50)).start()
    watch = lab.address_watch("n1")
    watch.take()
    for _ in range(3):
        world.bench.kill()
        at = made.kill()
        made.start()
        assert wire.await_advert(5, since=at, src=lab.address("n1")).priority == 70
        assert next(a.priority for a in wire.adverts(since=at, src=lab.address("n1"))) == 70
        world.restart(made)
        time.sleep(0.3)
    assert wire.adverts(since=0, src=lab.address("n2")) == []
    assert watch.take() == []
    state = world.until(lambda s: s.cause.trigger == "resume", "the record of the last incarnation")
    assert (state.transitions, state.priority) == (2, 70)
    peer.stop()


def test_a_silent_script_worker_makes_values_stale_and_nothing_else(worker: MakeWorker, world: World) -> None:
    world.start(worker("n1", instance(advert_int_cs=50, track_script=(ref("chk"), ref("w", 20)))))
    world.say("script", "chk", 1)
    world.say("script", "w", 1)
    world.until(lambda s: s.state == "MASTER" and s.priority == 120, "master")
    world.beating = False
    state = world.until(lambda s: s.trackers[0].stale, "stale", 30)
    assert (state.state, state.priority, [s.value for s in state.trackers]) == ("MASTER", 120, [1, 1])
    world.beating = True
    state = world.until(lambda s: not s.trackers[0].stale, "fresh again")
    assert state.transitions == 2


def test_reload_changes_trackers_without_leaving_master(worker: MakeWorker, world: World) -> None:
    def config(*refs: TrackRef, priority: int = 100) -> VrrpInstance:
        return instance(advert_int_cs=20, priority=priority, track_script=refs)

    made = worker("n1", config(ref("a", -10)))
    world.start(made)
    world.say("script", "a", 0)
    world.say("script", "b", 0)
    world.until(lambda s: s.state == "MASTER" and s.priority == 90, "master")
    made.reload(config(ref("a", -25)))
    world.until(lambda s: s.priority == 75, "another weight")
    made.reload(config(ref("a", -25), ref("b", -5), ref("c"), priority=150))
    state = world.until(lambda s: s.priority == 120, "another tracker and base")
    assert [(s.name, s.value) for s in state.trackers] == [("a", 0), ("b", 0), ("c", None)]
    made.reload(config(priority=150))
    state = world.until(lambda s: s.priority == 150, "no trackers")
    assert (state.trackers, state.transitions) == ((), 2)


def test_numbers_are_exact_removal_and_lower_adverts_are_told(
    lab: Lab, worker: MakeWorker, world: World
) -> None:
    _cable(lab)
    keep = instance("keep", virtual_router_id=9, advert_int_cs=50, addresses=("192.0.2.9/24",))
    made = worker("n1", keep, instance(advert_int_cs=20, track_interface=(ref("d0"),)))
    world.start(made)
    world.until(lambda s: s.state == "MASTER", "master")
    lab.ip("n1", "link", "set", "d0", "down")
    lab.ip("n1", "link", "set", "d0", "up")
    world.until(lambda s: s.state == "MASTER" and s.transitions > 2, "master again")
    send_advert(lab, "n2", 50)
    world.until(lambda _: any(isinstance(e, VrrpLowerPriorityHeard) for e in world.events), "told")
    (first, *_) = [e for e in world.events if isinstance(e, VrrpLowerPriorityHeard)]
    assert (first.instance, first.priority, first.peer_priority) == ("VI", 100, 50)
    made.reload(keep)
    wait_until(lambda: world.state("VI") is None, 10, "the record is gone")
    wait_until(lambda: any(to == "INIT" for to, _ in world.transitions()), 10, "the removal")
    mine = [e for e in world.events if isinstance(e, VrrpTransition) and e.instance == "VI"]
    assert [e.number for e in mine] == list(range(1, len(mine) + 1))
    assert [e.removed for e in mine] == [False] * (len(mine) - 1) + [True]
    assert mine[-1].to_state == "INIT"
