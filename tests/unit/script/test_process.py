"""What ends of runs say, what the board tells and keeps, how orphans are found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.messages import Event, State, TrackerChanged, TrackerState
from script_proc.board import REFRESH_S, Board, Tracker
from script_proc.jobs import Result as Ended
from script_proc.ledger import TrackerRecord
from script_proc.orphans import Orphan, find_orphans
from script_proc.process import required_records
from script_proc.schedule import Verdict
from script_proc.scripts import judgement
from tests.netns.script.rig import slice_of
from tests.unit.script.builders import vrrp_script
from worker import log as logging
from worker.blackbox import BlackBox


@pytest.mark.parametrize(
    ("ended", "decided", "verdict", "text"),
    [
        (Ended(pid=5, status=0), False, Verdict.GOOD, "exit status 0"),
        (Ended(status=0), False, Verdict.GOOD, "exit status 0"),
        (Ended(pid=5, status=1), True, Verdict.BAD, "exit status 1"),
        (Ended(pid=5, killed_by="SIGSEGV"), True, Verdict.BAD, "ended by SIGSEGV"),
        (Ended(why="missing"), False, Verdict.UNJUDGED, "missing"),
        (Ended(why="missing"), True, Verdict.BAD, "missing"),
        (Ended(why="no process left", trouble=True), True, Verdict.UNJUDGED, "no process left"),
        (Ended(why="does not answer", late=True), False, Verdict.BAD, "does not answer"),
        (Ended(why="busy", late=True, trouble=True), True, Verdict.UNJUDGED, "busy"),
        (Ended(pid=5, status=0, late=True), True, Verdict.UNJUDGED, "started too late to end in time"),
    ],
)
def test_what_the_end_of_a_run_says(ended: Ended, decided: bool, verdict: Verdict, text: str) -> None:
    found = judgement(ended, decided=decided)
    assert (found.verdict, found.text) == (verdict, text)


# --- board -------------------------------------------------------------------------------------------


class Said:
    """A board on a box, and what it said."""

    def __init__(self, box: BlackBox) -> None:
        self.said: list[State | Event] = []
        self.deleted: list[str] = []
        self.board = Board(
            say=self.said.append, delete=self.deleted.append, box=box, log=logging.logger("script")
        )

    def take(self) -> list[State | Event]:
        found = self.said[:]
        self.said.clear()
        return found


SCRIPT = Tracker(kind="script", name="chk", interval_s=1.0)
FILE = Tracker(kind="file", name="f")


@pytest.fixture
def box() -> Iterator[BlackBox]:
    fd = BlackBox.create("script", records=4)
    yield BlackBox.attach(fd)
    os.close(fd)


def test_a_value_is_kept_said_and_an_event(box: BlackBox) -> None:
    one = Said(box)
    one.board.retain([SCRIPT, FILE], 10.0)
    first = one.take()
    assert [(s.key, s.value) for s in first if isinstance(s, TrackerState)] == [
        ("script:chk", None),
        ("file:f", None),
    ]
    one.board.value("file", "f", -3, "-3", 11.0)
    state, event = one.take()
    assert isinstance(state, TrackerState)
    assert (state.value, state.since_at, state.last_result) == (-3, 11.0, "-3")
    assert event == TrackerChanged(tracker_kind="file", name="f", value=-3, before=None, reason="-3")
    one.board.value("file", "f", -3, "-3", 12.0)
    assert one.take() == [], "nothing new"
    one.board.value("file", "f", -3, "-3", 11.0 + REFRESH_S)
    (state,) = one.take()
    assert isinstance(state, TrackerState)
    assert (state.since_at, state.last_at) == (11.0, 11.0 + REFRESH_S)


def test_a_successor_says_what_was_left_and_forgets_what_is_not_wanted(box: BlackBox) -> None:
    one = Said(box)
    one.board.retain([SCRIPT, FILE], 10.0)
    one.board.value("file", "f", 7, "7", 11.0)
    one.board.found(
        "script:chk", TrackerRecord(value=0, since_at=12.0, text="exit status 1"), 12.0, notable=True
    )
    two = Said(box)
    assert set(two.board.left) == {"script:chk", "file:f"}
    two.board.retain([FILE], 20.0)
    (state,) = two.take()
    assert isinstance(state, TrackerState)
    assert (state.key, state.value, state.since_at) == ("file:f", 7, 11.0)
    assert set(Said(box).board.left) == {"file:f"}
    two.board.retain([], 21.0)
    assert two.deleted == ["file:f"]
    assert Said(box).board.left == {}
    two.board.retain([FILE], 22.0)
    (state,) = two.take()
    assert isinstance(state, TrackerState)
    assert state.value is None, "what was taken out is not remembered"


def test_the_first_start_is_that_of_the_daemon(box: BlackBox) -> None:
    one = Said(box)
    assert one.board.first_start
    one.board.retain([FILE], 1.0)
    one.board.applied()
    assert not Said(box).board.first_start
    two = Said(box)
    two.board.retain([], 2.0)
    assert not Said(box).board.first_start, "a reload to nothing is no new daemon"


def test_without_room_everything_works_and_is_said(box: BlackBox) -> None:
    one = Said(box)
    one.board.retain([Tracker(kind="file", name=f"f{number}") for number in range(6)], 1.0)
    one.take()
    for number in range(6):
        one.board.value("file", f"f{number}", number, "", 2.0)
    assert one.board.values("file") == {f"f{number}": number for number in range(6)}
    assert len(Said(box).board.left) == 4


def test_records_for_every_tracker_and_one_more() -> None:
    assert required_records(slice_of(vrrp_script("a"), vrrp_script("b"))) == 3


# --- orphans -----------------------------------------------------------------------------------------


def test_an_orphan_is_found_by_its_words_and_nobody_elses_child_is(tmp_path: Path) -> None:
    script = tmp_path / "watch.sh"
    script.write_text("#!/bin/sh\nsleep 60\n")
    script.chmod(0o755)
    start = (
        "import subprocess, sys; "
        "print(subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=-3, stderr=-3).pid)"
    )
    made = subprocess.run(
        [sys.executable, "-c", start, str(script), "eth0"], capture_output=True, text=True, check=True
    )
    orphan = int(made.stdout)
    child = subprocess.Popen([str(script), "eth1"], start_new_session=True)
    try:
        wanted = {
            "script:a": (str(script), "eth0"),
            "script:b": (str(script), "eth1"),
            "script:c": (str(script),),
        }
        end = time.monotonic() + 10
        while "script:a" not in (found := find_orphans(wanted)) and time.monotonic() < end:
            time.sleep(0.01)  # until it is executed, and inherited
        assert set(found) == {"script:a"}
        assert isinstance(found["script:a"], Orphan)
        assert found["script:a"].pid == orphan
    finally:
        for pid in (orphan, child.pid):
            os.killpg(pid, signal.SIGKILL)
        child.wait()
