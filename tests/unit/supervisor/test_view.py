"""What the operator sees of trackers."""

from __future__ import annotations

import pytest

from bus.messages import TrackerChanged, TrackerState
from bus.replica import Record
from supervisor import view

NOW = 1000.0


def record(message: TrackerState, at: float = NOW - 2) -> Record:
    return Record(
        stream="s.script", key=message.key, message=message, publisher="script", incarnation=1, number=1,
        at=at, wall_at=0.0, generation=1, epoch=1,
    )  # fmt: skip


def tracker(**changes: object) -> TrackerState:
    fields: dict[str, object] = {
        "tracker_kind": "script", "name": "chk", "value": 1, "since_at": NOW - 65, "since_wall_at": 0.0,
        "interval_s": 1.5, "last_result": "exit status 0", "last_at": NOW - 1, "successes": 1, "failures": 0,
    }  # fmt: skip
    return TrackerState(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "cells"),
    [
        (tracker(), "script chk good 1m5s 1.5s 1.0s exit status 0 2.0s"),
        (tracker(value=0, last_result="exit status 1"), "script chk BAD 1m5s 1.5s 1.0s exit status 1 2.0s"),
        (tracker(value=None, last_at=None, last_result=""), "script chk ? 1m5s 1.5s - - 2.0s"),
        (
            tracker(tracker_kind="file", value=-12, interval_s=0.0, last_result="-12"),
            "file chk -12 1m5s change 1.0s -12 2.0s",
        ),
    ],
)
def test_the_status_has_a_table_of_trackers(state: TrackerState, cells: str) -> None:
    answer = {
        "version": "1", "pid": 1, "uptime_s": 1.0, "generation": 1, "config": "f", "processes": [],
        "reload": {"result": "applied", "attempted": 0, "errors": []},
    }  # fmt: skip
    rows = {"s.script": {state.key: record(state)}}
    text = list(view._status_text(answer, rows, {"s.script": 0.1}, True, NOW))
    head = next(number for number, line in enumerate(text) if line.startswith("TRACKER "))
    assert text[head].split() == ["TRACKER", "NAME", "VALUE", "FOR", "EACH", "SEEN", "LAST", "RESULT", "AGE"]
    assert " ".join(text[head + 1].split()) == cells


def test_events_of_trackers_in_one_line() -> None:
    event = TrackerChanged(tracker_kind="script", name="chk", value=0, before=1, reason="exit status 1")
    assert view.describe(event) == "script chk: 1 -> 0 (exit status 1)"
    assert view.describe(tracker()) == "script chk good: exit status 0"
