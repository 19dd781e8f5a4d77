"""What the bus says: each change told once, what was missed made good by the record, nothing of the past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bus.messages import (
    Message,
    QuorumChanged,
    RealServerChanged,
    RealServerState,
    TransitionCause,
    VrrpGroupState,
    VrrpGroupTransition,
    VrrpInstanceState,
    VrrpLowerPriorityHeard,
    VrrpStateName,
    VrrpTransition,
)
from bus.replica import Changed, EventHappened, Gap, Record, Removed, Snapshot
from keepalived_conf.model import Fifo, GlobalDefs, NotifyTarget, ScriptSlice, ServerTarget, ServiceTarget
from script_proc.book import Task
from script_proc.hearing import GRACE_S, Hearing
from script_proc.notify import Line, Rules
from tests.unit.script.desk_stub import Supervisor

CAUSE = TransitionCause(trigger="timer")
SLICE = ScriptSlice(
    globals=GlobalDefs(notify_fifo=Fifo(path="/f")),
    targets=(
        NotifyTarget(kind="INSTANCE", name="V1"),
        NotifyTarget(kind="INSTANCE", name="V2"),
        NotifyTarget(kind="GROUP", name="G"),
    ),
    services=(ServiceTarget(key="vs", fifo_name="VS", servers=(ServerTarget(key="rs", fifo_name="RS"),)),),
)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.supervisor = Supervisor(folder)
        self.desk = self.supervisor.desk()
        self.desk.commit("born", 10.0)
        rules = Rules("host")
        rules.apply(SLICE, 0.0)
        self.lines: list[str] = []
        self.timers: list[Callable[[], None]] = []
        self.hearing = Hearing(
            desk=self.desk, rules=rules, log=self.supervisor.log, perform=self._perform, later=self._later
        )
        self._numbers = {"e.vrrp": 0, "e.ipvs": 0, "e.supervisor": 0}

    def _perform(self, tasks: list[Task]) -> None:
        for task in tasks:
            assert isinstance(task.effect, Line)
            self.lines.append(task.effect.data.decode().rstrip("\n\0"))

    def _later(self, _: float, call: Callable[[], None]) -> None:
        self.timers.append(call)

    def take(self) -> list[str]:
        taken, self.lines = self.lines, []
        return taken

    def record(
        self, message: Message, stream: str, number: int, *, incarnation: int = 1, at: float = 20.0
    ) -> Record:
        return Record(
            stream=stream, key="", message=message, publisher=stream[2:], incarnation=incarnation,
            number=number, at=at, wall_at=0.0, generation=1, epoch=1,
        )  # fmt: skip

    def event(
        self,
        message: Message,
        number: int = 0,
        *,
        stream: str = "e.vrrp",
        incarnation: int = 1,
        at: float = 20.0,
    ) -> list[str]:
        number = number or self._numbers[stream] + 1
        self._numbers[stream] = number
        made = self.record(message, stream, number, incarnation=incarnation, at=at)
        self.hearing.handle(EventHappened(record=made), at)
        return self.take()

    def state(
        self, state: VrrpStateName, transitions: int, *, incarnation: int = 1, at: float = 20.0
    ) -> list[str]:
        message = VrrpInstanceState(
            instance="V1", interface="e0", vrid=1, family=4, version=3, state=state, priority=150,
            base_priority=150, advert_int_cs=100, master_address=None, master_priority=None, addresses=(),
            since_at=at, since_wall_at=0.0, transitions=transitions, cause=CAUSE,
        )  # fmt: skip
        made = self.record(message, "s.vrrp", 1, incarnation=incarnation, at=at)
        self.hearing.handle(Changed(record=made, previous=None), at)
        return self.take()

    def later(self, at: float) -> list[str]:
        self.hearing.tick(at)
        return self.take()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.desk.close()
    made.supervisor.close()


def move(
    before: VrrpStateName, after: VrrpStateName, number: int, *, removed: bool = False, name: str = "V1"
) -> VrrpTransition:
    return VrrpTransition(
        instance=name, interface="e0", vrid=1, family=4, from_state=before, to_state=after, cause=CAUSE,
        number=number, priority=100, removed=removed,
    )  # fmt: skip


def test_an_event_is_told_once(bench: Bench) -> None:
    assert bench.event(move("INIT", "BACKUP", 1)) == ['INSTANCE "V1" BACKUP 100']
    assert bench.event(move("INIT", "BACKUP", 1), 1) == []
    assert bench.event(move("BACKUP", "MASTER", 2)) == ['INSTANCE "V1" MASTER 100']


def test_a_record_that_comes_before_its_event_tells_nothing(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    assert bench.state("MASTER", 2) == []
    assert bench.later(21.0) == []
    assert bench.event(move("BACKUP", "MASTER", 2)) == ['INSTANCE "V1" MASTER 100']
    assert bench.later(20 + GRACE_S) == []
    assert bench.hearing.missed == 0


def test_a_record_whose_events_never_come_is_told_in_their_place(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    assert bench.state("MASTER", 4) == []
    assert bench.later(20 + GRACE_S - 0.1) == []
    assert bench.later(20 + GRACE_S) == ['INSTANCE "V1" MASTER 150']
    assert bench.hearing.missed == 3
    assert "notify.missed" in bench.supervisor.events
    assert bench.event(move("BACKUP", "MASTER", 4)) == [], "told already"
    assert bench.event(move("MASTER", "BACKUP", 5)) == ['INSTANCE "V1" BACKUP 100']


def test_a_flap_that_was_missed_is_counted_but_the_state_not_told_again(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.state("BACKUP", 3)
    assert bench.later(20 + GRACE_S) == []
    assert bench.hearing.missed == 2


def test_a_jump_in_the_numbers_is_counted_and_the_event_told(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    assert bench.event(move("BACKUP", "MASTER", 4), 9) == ['INSTANCE "V1" MASTER 100']
    assert bench.hearing.missed == 2


def test_what_happened_before_our_time_is_known_but_not_told(bench: Bench) -> None:
    old = bench.record(move("BACKUP", "MASTER", 6), "e.vrrp", 6, at=9.0)
    new = bench.record(move("MASTER", "BACKUP", 7), "e.vrrp", 7, at=11.0)
    bench.hearing.handle(Snapshot(stream="e.vrrp", records=(old, new), missing=()), 12.0)
    assert bench.take() == ['INSTANCE "V1" BACKUP 100']


def test_a_record_of_before_our_time_is_a_baseline(bench: Bench) -> None:
    bench.state("MASTER", 6, at=9.0)
    assert bench.later(30.0) == []
    bench.state("BACKUP", 7)
    assert bench.later(40.0) == ['INSTANCE "V1" BACKUP 150']


def test_a_new_instance_whose_event_was_lost_is_told_by_its_record(bench: Bench) -> None:
    bench.state("BACKUP", 1)
    assert bench.later(30.0) == ['INSTANCE "V1" BACKUP 150']
    assert bench.hearing.missed == 0


def test_a_restarted_vrrp_tells_nothing_by_itself(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.event(move("BACKUP", "MASTER", 2))
    bench.state("MASTER", 2, incarnation=2)
    assert bench.later(30.0) == []
    bench.state("INIT", 2, incarnation=2)
    assert bench.later(40.0) == []
    assert bench.event(move("MASTER", "BACKUP", 3), 1, incarnation=2) == ['INSTANCE "V1" BACKUP 100']
    assert bench.hearing.missed == 0


def test_a_vrrp_that_lost_its_memory_counts_anew(bench: Bench) -> None:
    for number in range(1, 6):
        bench.event(move("MASTER", "BACKUP", number) if number % 2 else move("BACKUP", "MASTER", number))
    assert bench.event(move("INIT", "BACKUP", 1), 1, incarnation=2) == ['INSTANCE "V1" BACKUP 100']
    assert bench.event(move("BACKUP", "MASTER", 2), 2, incarnation=2) == ['INSTANCE "V1" MASTER 100']
    assert bench.hearing.missed == 0


def test_a_lost_stop_is_told(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.state("INIT", 2)
    assert bench.later(30.0) == ['INSTANCE "V1" STOP 150']


def test_an_instance_that_was_removed_begins_anew(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.event(move("BACKUP", "MASTER", 2))
    assert bench.event(move("MASTER", "INIT", 3, removed=True)) == ['INSTANCE "V1" FAULT 100']
    assert bench.event(move("INIT", "BACKUP", 1)) == ['INSTANCE "V1" BACKUP 100']
    assert bench.hearing.missed == 0


def test_a_record_that_is_withdrawn_is_not_told(bench: Bench) -> None:
    bench.state("MASTER", 4)
    made = bench.record(bench.hearing.states["INSTANCE V1"], "s.vrrp", 2)
    bench.hearing.handle(Removed(record=made), 20.0)
    assert bench.later(30.0) == []
    assert bench.hearing.states == {}


def test_events_without_a_number_of_their_own_are_told_once_too(bench: Bench) -> None:
    from ipaddress import ip_address

    heard = VrrpLowerPriorityHeard(instance="V1", priority=100, peer=ip_address("10.0.0.2"), peer_priority=50)
    assert bench.event(heard) == ['INSTANCE "V1" MASTER_RX_LOWER_PRI 100']
    assert bench.event(heard, 1) == []
    assert bench.event(heard) == ['INSTANCE "V1" MASTER_RX_LOWER_PRI 100']


def server(*, alive: bool, at: float) -> RealServerState:
    return RealServerState(
        virtual_server="vs", real_server="rs", alive=alive, weight=1, in_kernel=True, reason="",
        since_at=at, since_wall_at=0.0,
    )  # fmt: skip


def server_event(*, alive: bool, turned: bool = True, removed: bool = False) -> RealServerChanged:
    return RealServerChanged(
        virtual_server="vs",
        real_server="rs",
        alive=alive,
        weight=1,
        reason="r",
        turned=turned,
        removed=removed,
    )


def test_a_server_is_told_of_when_it_comes_and_goes_not_when_its_weight_changes(bench: Bench) -> None:
    assert bench.event(server_event(alive=True, turned=False), stream="e.ipvs") == []
    assert bench.event(server_event(alive=False), stream="e.ipvs") == ["RS RS VS DOWN"]
    assert bench.event(server_event(alive=False, turned=False), stream="e.ipvs") == []
    assert bench.event(server_event(alive=False), stream="e.ipvs") == []  # said once more by a successor
    assert bench.event(server_event(alive=True), stream="e.ipvs") == ["RS RS VS UP"]


def test_what_a_reload_took_out_begins_anew_when_it_comes_back(bench: Bench) -> None:
    assert bench.event(server_event(alive=False, removed=True), stream="e.ipvs") == ["RS RS VS DOWN"]
    assert bench.event(server_event(alive=False), stream="e.ipvs") == ["RS RS VS DOWN"]
    quorum = QuorumChanged(virtual_server="vs", up=False, weight_up=0, quorum=1, sorry_active=False)
    assert bench.event(replace(quorum, removed=True), stream="e.ipvs") == ["VS VS DOWN"]
    assert bench.event(quorum, stream="e.ipvs") == ["VS VS DOWN"]
    assert bench.event(quorum, stream="e.ipvs") == []


def test_a_server_that_was_down_from_the_start_is_told_when_it_comes(bench: Bench) -> None:
    first = bench.record(server(alive=False, at=12.0), "s.ipvs", 1, at=12.0)
    bench.hearing.handle(Changed(record=first, previous=None), 12.0)
    assert bench.event(server_event(alive=True), stream="e.ipvs") == ["RS RS VS UP"]


def test_a_gap_is_logged(bench: Bench) -> None:
    bench.hearing.handle(Gap(stream="e.vrrp", publisher="vrrp", lost=3), 20.0)
    assert bench.supervisor.events == ["notify.gap"]


# --- groups ------------------------------------------------------------------------------------------


def group(before: VrrpStateName, after: VrrpStateName, number: int) -> VrrpGroupTransition:
    return VrrpGroupTransition(
        group="G", from_state=before, to_state=after, cause=CAUSE, decided_by="V1", number=number
    )


def know_group(bench: Bench, number: int) -> None:
    state = VrrpGroupState(
        group="G", state="BACKUP", members=("V1", "V2"), since_at=20.0, since_wall_at=0.0,
        transitions=number, cause=CAUSE, decided_by="",
    )  # fmt: skip
    bench.hearing.handle(Changed(record=bench.record(state, "s.vrrp", 1), previous=None), 20.0)


def begun(bench: Bench) -> None:
    """At the start keepalived, too, tells of the group first."""
    assert bench.event(group("INIT", "BACKUP", 1)) == ['GROUP "G" BACKUP 0']
    for name in ("V1", "V2"):
        assert bench.event(move("INIT", "BACKUP", 1, name=name)) == [f'INSTANCE "{name}" BACKUP 100']


UP = ['INSTANCE "V1" MASTER 100', 'INSTANCE "V2" MASTER 100', 'GROUP "G" MASTER 0']


def test_a_group_is_told_after_its_members(bench: Bench) -> None:
    begun(bench)
    know_group(bench, 1)
    assert bench.event(group("BACKUP", "MASTER", 2)) == []
    assert bench.event(move("BACKUP", "MASTER", 2)) == []
    assert bench.event(move("BACKUP", "MASTER", 2, name="V2")) == UP
    bench.timers.pop()()
    assert bench.take() == [], "the timer comes to nothing"
    assert bench.desk.book.cursors["e.vrrp"] == (1, 6)
    assert bench.desk.book.told["GROUP G"].number == 2


@pytest.mark.parametrize("how", ["timer", "other"])
def test_a_group_does_not_wait_for_ever(bench: Bench, how: str) -> None:
    begun(bench)
    know_group(bench, 1)
    bench.event(group("BACKUP", "FAULT", 2))
    assert bench.event(move("BACKUP", "FAULT", 2)) == []
    fault = ['INSTANCE "V1" FAULT 100', 'GROUP "G" FAULT 0']
    if how == "timer":
        bench.timers.pop()()
        assert bench.take() == fault
    else:
        back = 'INSTANCE "V1" BACKUP 100'
        assert bench.event(move("FAULT", "BACKUP", 3)) == [*fault, back]


def test_a_group_whose_members_are_not_known_takes_those_that_follow_it(bench: Bench) -> None:
    begun(bench)
    bench.event(group("BACKUP", "MASTER", 2))
    bench.event(move("BACKUP", "MASTER", 2))
    bench.event(move("BACKUP", "MASTER", 2, name="V2"))
    bench.timers.pop()()
    assert bench.take() == UP


def test_what_is_held_back_is_heard_again_by_a_successor(bench: Bench) -> None:
    begun(bench)
    know_group(bench, 1)
    bench.event(group("BACKUP", "MASTER", 2))
    bench.event(move("BACKUP", "MASTER", 2))
    assert bench.desk.book.is_news("e.vrrp", 1, 4)
    assert bench.desk.book.cursors["e.vrrp"] == (1, 3)
