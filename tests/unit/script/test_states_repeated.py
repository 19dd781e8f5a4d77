"""fifo_write_vrrp_states_on_reload: each reload once, the states as they are after it, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bus.messages import ProcessEvent, ReloadEvent, VrrpGroupState, VrrpPriorityChanged
from bus.replica import Changed, EventHappened
from tests.unit.script.test_hearing import CAUSE, SLICE, Bench, move


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    flag(made, on=True)
    yield made
    made.desk.close()
    made.supervisor.close()


def flag(bench: Bench, *, on: bool) -> None:
    settings = replace(SLICE.globals, fifo_write_vrrp_states_on_reload=on)
    bench.hearing._rules.apply(replace(SLICE, globals=settings), 0.0)


def reload(bench: Bench, generation: int, at: float) -> list[str]:
    """All of one, up to the moment at which the states are told."""
    said = []
    for what in ("started", "committed", "applied"):
        event = ReloadEvent(generation=generation, what=what, why="")
        said += bench.event(event, stream="e.supervisor", at=at)
    assert said == [], "vrrp may still be telling what it made of it"
    return ripe(bench)


def ripe(bench: Bench) -> list[str]:
    timers, bench.timers = bench.timers, []
    for timer in timers:
        timer()
    return bench.take()


def group(bench: Bench, at: float) -> None:
    state = VrrpGroupState(
        group="G", state="MASTER", members=("V1", "V2"), since_at=at, since_wall_at=0.0, transitions=2,
        cause=CAUSE, decided_by="",
    )  # fmt: skip
    made = bench.record(state, "s.vrrp", 9, at=at)
    bench.hearing.handle(Changed(record=made, previous=None), at)


def test_each_reload_repeats_the_states(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.state("BACKUP", 1)
    for generation in (2, 3):
        assert reload(bench, generation, 30.0 + generation) == ['INSTANCE "V1" BACKUP 150']


def test_two_reloads_at_once_are_two(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.state("BACKUP", 1)
    first = ReloadEvent(generation=2, what="applied", why="")
    assert bench.event(first, stream="e.supervisor", at=30.0) == []
    second = replace(first, generation=3)
    assert bench.event(second, stream="e.supervisor", at=30.0) == ['INSTANCE "V1" BACKUP 150']
    assert ripe(bench) == ['INSTANCE "V1" BACKUP 150']


def test_only_where_it_is_asked_for(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.state("BACKUP", 1)
    flag(bench, on=False)
    assert reload(bench, 2, 30.0) == []
    flag(bench, on=True)
    assert reload(bench, 3, 31.0) == ['INSTANCE "V1" BACKUP 150'], "of this one, not of the one before"


def test_what_the_reload_brought_is_not_told_twice(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1), at=30.5)
    bench.state("BACKUP", 1, at=30.5)
    assert reload(bench, 2, 30.0) == []


def test_a_reload_that_came_to_nothing_repeats_nothing(bench: Bench) -> None:
    bench.state("BACKUP", 1, at=9.0)
    for what in ("refused", "rolled_back", "committed"):
        bench.event(
            ReloadEvent(generation=2, what=what, why=""),
            stream="e.supervisor",
            at=30.0,
        )
    other = ProcessEvent(role="vrrp", what="died", pid=1, incarnation=1, why="")
    assert bench.event(other, stream="e.supervisor", at=30.0) == []
    assert ripe(bench) == []


def test_a_successor_repeats_what_its_predecessor_had_not(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.state("BACKUP", 1)
    applied = ReloadEvent(generation=2, what="applied", why="")
    bench.event(applied, stream="e.supervisor", at=30.0)
    bench.timers.clear()
    bench.hearing._applied = None  # it was killed here; the broker says it again
    made = bench.record(applied, "e.supervisor", 1, at=30.0)
    bench.hearing.handle(EventHappened(record=made), 31.0)
    assert bench.take() + ripe(bench) == ['INSTANCE "V1" BACKUP 150']
    bench.hearing.handle(EventHappened(record=made), 32.0)
    assert bench.take() + ripe(bench) == [], "it was done"


def test_what_the_broker_says_again_is_done_once(bench: Bench) -> None:
    bench.event(move("INIT", "BACKUP", 1))
    bench.state("BACKUP", 1)
    applied = ReloadEvent(generation=2, what="applied", why="")
    bench.event(applied, stream="e.supervisor", at=30.0)
    bench.event(applied, 1, stream="e.supervisor", at=30.0)
    assert ripe(bench) == ['INSTANCE "V1" BACKUP 150']


def test_before_our_time_it_was_told_by_others(bench: Bench) -> None:
    bench.state("BACKUP", 1, at=5.0)
    assert reload(bench, 2, 9.0) == []


def test_groups_too(bench: Bench) -> None:
    bench.state("MASTER", 2, at=9.0)
    group(bench, 9.0)
    assert reload(bench, 2, 30.0) == ['GROUP "G" MASTER 0', 'INSTANCE "V1" MASTER 150']


def test_a_priority_that_a_reload_changed_is_not_told_as_such(bench: Bench) -> None:
    targets = tuple(replace(one, priority_changes=True) for one in SLICE.targets)
    bench.hearing._rules.apply(replace(SLICE, targets=targets), 0.0)
    changed = VrrpPriorityChanged(
        instance="V1", state="MASTER", priority=90, before=100, detail="script chk: -10"
    )
    assert bench.event(changed) == ['INSTANCE "V1" MASTER_PRIORITY 90']
    assert bench.event(replace(changed, detail="reload")) == []
