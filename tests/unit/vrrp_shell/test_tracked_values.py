"""Values off the bus: who is told of a change."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

import pytest

from bus.messages import TrackerState
from bus.replica import Changed, Record, Stale, Update
from keepalived_conf.model import GlobalDefs, TrackRef, VrrpInstance, VrrpSlice
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop
from vrrp_proc.trackers import Trackers
from vrrp_proc.values import KeptValues
from worker.blackbox import BlackBox
from worker.clock import boottime


class Heard:
    """In the place of a subscriber."""

    more = False

    def __init__(self, *updates: Update) -> None:
        self.updates = list(updates)

    def pump(self, _now: float, *, limit: int) -> list[Update]:
        taken, self.updates = self.updates[:limit], self.updates[limit:]
        return taken


def instance(name: str, *scripts: str) -> VrrpInstance:
    return VrrpInstance(
        name=name, interface="e0", virtual_router_id=51, family=4, version=3, state="BACKUP", priority=100,
        advert_int_cs=100, virtual_addresses=(),
        track_script=tuple(TrackRef(name=script, weight=2, reverse=False) for script in scripts),
    )  # fmt: skip


def said(name: str, value: int) -> Changed:
    state = TrackerState(
        tracker_kind="script", name=name, value=value, since_at=1.0, since_wall_at=1.0, interval_s=1.0,
        last_result="", last_at=1.0, successes=1, failures=0,
    )  # fmt: skip
    record = Record(
        stream="s.script", key=state.key, message=state, publisher="script", incarnation=1, number=1,
        at=1.0, wall_at=1.0, generation=1, epoch=1,
    )  # fmt: skip
    return Changed(record=record, previous=None)


@pytest.fixture
def told() -> list[Collection[str] | None]:
    return []


@pytest.fixture
def trackers(told: list[Collection[str] | None]) -> Iterator[Trackers]:
    fd = BlackBox.create("vrrp", slots=64, records=64, ring=16, undo_bytes=4096)
    box = BlackBox.attach(fd)
    os.close(fd)
    loop = Loop(boottime)
    made = Trackers(
        loop, LinkTable(), KeptValues(box), endpoint="", changed=told.append,
        log=lambda *_, **__: None, stale=lambda _: None,
    )  # fmt: skip
    made.configure(
        VrrpSlice(globals=GlobalDefs(), instances=(instance("A", "a", "both"), instance("B", "b", "both")))
    )
    yield made
    loop.close()
    box.close()


@pytest.mark.parametrize(
    ("updates", "names"),
    [
        ([said("a", 1)], {"A"}),
        ([said("both", 1)], {"A", "B"}),
        ([said("a", 1), said("b", 0)], {"A", "B"}),
        ([said("a", 1), Stale(stream="s.script", publisher="script", silent_s=11.0)], None),
    ],
)
def test_those_who_follow_what_changed_are_told(
    trackers: Trackers,
    told: list[Collection[str] | None],
    updates: list[Update],
    names: set[str] | None,
) -> None:
    trackers._subscriber = Heard(*updates)  # type: ignore[assignment]
    trackers.pump()
    assert told == [names]


def test_nobody_is_told_of_what_nobody_follows_or_was_so_before(
    trackers: Trackers, told: list[Collection[str] | None]
) -> None:
    trackers._subscriber = Heard(said("else", 1), said("a", 1))  # type: ignore[assignment]
    trackers.pump()
    trackers._subscriber = Heard(said("a", 1))  # type: ignore[assignment]
    trackers.pump()
    assert told == [{"A"}]
