"""The whole worker process: control channel, black box, bus, real scripts; killed and resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.envelope import Begin, Change, End
from keepalived_conf.model import GlobalDefs, InitFile, ScriptSlice, TrackFile, TrackProcess
from tests.netns.script.rig import Rig, Script, slice_of
from tests.unit.script.builders import vrrp_script
from worker.clock import boottime
from worker.control import Applied, Epoch, Heartbeat, Hello, Prepared, Ready, Refused

SIMPLE = 'echo run >> "$NOTES"\ntest ! -e "$BAD"\n'
# What overlaps finds the other's folder. (mkdir is atomic.)
ALONE = (
    "trap 'rmdir \"$NOTES.lock\"; exit 9' TERM\n"
    'mkdir "$NOTES.lock" || { echo overlap >> "$NOTES"; exit 0; }\n'
    'echo run >> "$NOTES"\nsleep 0.05\n'
    'test ! -e "$BAD"\nstatus=$?\nrmdir "$NOTES.lock"\nexit $status\n'
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    tmp_path.chmod(0o755)
    rig = Rig(tmp_path)
    try:
        yield rig
    finally:
        rig.close()


def test_results_are_told(rig: Rig, tmp_path: Path) -> None:
    good, bad = Script(tmp_path, "good", SIMPLE), Script(tmp_path, "bad", SIMPLE)
    bad.be(False)
    worker = rig.start(slice_of(good.tracked(), bad.tracked(fall=3)))
    rig.until(lambda: rig.value("good") == 1 and rig.value("bad") == 0)
    rig.until(lambda: len(rig.changes()) == 2)
    by_name = {change.name: change for change in rig.changes()}
    assert (by_name["bad"].before, by_name["bad"].reason) == (None, "exit status 1")
    assert by_name["good"].value == 1
    state = next(rig.states("bad"))
    assert (state.value, state.interval_s, state.last_at) == (None, 0.2, None)
    rig.until(lambda: (state := rig.state("bad")) and state.failures == 3)
    bad.be(True)
    rig.until(lambda: rig.value("bad") == 1)
    said = [type(message) for message in worker.said]
    assert said[0] is Hello
    assert said.index(Prepared) < said.index(Applied) < said.index(Ready)
    rig.until(lambda: [type(m) for m in worker.said].count(Heartbeat) >= 3)


def test_rise_and_fall_count_in_a_row(rig: Rig, tmp_path: Path) -> None:
    script = Script(tmp_path, "s", SIMPLE)
    rig.start(slice_of(script.tracked(interval_s=0.1, rise=4, fall=3)))
    rig.until(lambda: rig.value("s") == 1)
    script.be(False)
    rig.until(lambda: rig.value("s") == 0)
    script.be(True)
    rig.until(lambda: rig.value("s") == 1)
    seen = [(state.value, state.failures, state.successes) for state in rig.states("s")]
    assert (1, 1, 0) in seen
    assert (1, 2, 0) in seen
    assert [step for step in seen if step[0] == 0] == [(0, 3, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)]


def test_it_announces_only_a_complete_set(rig: Rig, tmp_path: Path) -> None:
    """An epoch told before the configuration must not withdraw every record."""
    scripts = [Script(tmp_path, name, SIMPLE).tracked() for name in "abc"]
    worker = rig.start()
    worker.control.send(Epoch(epoch=7))
    rig.until(lambda: any(isinstance(message, Hello) for message in worker.said))
    rig.quiet(0.5)
    assert not [heard for heard in rig.heard if isinstance(heard, Begin | End)]
    worker.configure(1, slice_of(*scripts))
    rig.until(lambda: any(isinstance(heard, End) for heard in rig.heard))
    assert [(h.epoch, h.rows) for h in rig.heard if isinstance(h, End)] == [(7, 4)]  # and the notify status
    worker.control.send(Epoch(epoch=8))
    rig.until(lambda: [h.rows for h in rig.heard if isinstance(h, End) and h.epoch == 8] == [4])


@pytest.mark.parametrize("ignores_term", [False, True])
def test_a_script_that_hangs_is_bad_and_never_runs_twice(
    rig: Rig, tmp_path: Path, ignores_term: bool
) -> None:
    text = 'echo run >> "$NOTES"\ntest -e "$BAD" || exit 0\n'
    text += "trap '' TERM\n" if ignores_term else ""
    script = Script(tmp_path, "s", text + "while :; do sleep 0.1; done\n")
    rig.start(slice_of(script.tracked(interval_s=0.2, timeout_s=0.5)))
    rig.until(lambda: rig.value("s") == 1)
    script.be(False)
    since = time.monotonic()
    rig.until(lambda: rig.value("s") == 0)
    assert rig.changes()[-1].reason == "no end within 0.5 s"
    if not ignores_term:
        assert time.monotonic() - since < 0.2 + 0.5 + 1.0
    script.be(True)
    rig.until(lambda: rig.value("s") == 1)


@pytest.mark.slow
def test_killed_again_and_again_nothing_changes(rig: Rig, tmp_path: Path) -> None:
    """50 kills in the middle of runs while scripts flip: no wrong value, values held, no two runs at once."""
    scripts = {name: Script(tmp_path, name, ALONE) for name in ("steady", "dead", "flips")}
    scripts["dead"].be(False)
    wanted = slice_of(*(script.tracked(interval_s=0.1) for script in scripts.values()))
    rig.start(wanted)
    rig.until(lambda: rig.value("steady") == 1 and rig.value("dead") == 0 and rig.value("flips") == 1)
    truth, held = True, {name: rig.state(name) for name in ("steady", "dead")}
    heard = len(rig.heard)
    for number in range(50):
        rig.quiet(0.01 * (number % 11))
        rig.workers[-1].kill()
        if number % 5 == 4:
            truth = not truth
            scripts["flips"].be(truth)
        flips_before = rig.value("flips")
        since = len(rig.heard)
        rig.start(wanted)
        rig.until(lambda since=since: any(isinstance(h, End) for h in rig.heard[since:]))  # type: ignore[misc]
        first = next(
            change.message
            for change in rig.heard[since:]
            if isinstance(change, Change) and change.key == "script:flips"
        )
        assert getattr(first, "value", None) == flips_before, "the successor did not take the last value"
        if number % 5 == 4:
            rig.until(lambda truth=truth: rig.value("flips") == int(truth))  # type: ignore[misc]
    for name, before in held.items():
        now = rig.state(name)
        assert before is not None
        assert now is not None
        assert (now.value, now.since_at) == (before.value, before.since_at)
    wrong = [change for change in rig.changes(heard) if change.name != "flips"]
    assert wrong == []
    assert not [h for h in rig.heard if isinstance(h, Change) and h.op == "del"]
    for script in scripts.values():
        assert "overlap" not in script.notes()


HANGS = (
    'echo "begin $$" >> "$NOTES"\ntrap \'sleep 0.3; echo "end $$" >> "$NOTES"; exit 0\' TERM\n'
    "while :; do sleep 0.05; done\n"
)


def test_what_a_hung_worker_had_running_is_ended_first(rig: Rig, tmp_path: Path) -> None:
    script = Script(tmp_path, "s", HANGS)
    wanted = slice_of(script.tracked(interval_s=5.0, timeout_s=60.0))
    rig.start(wanted)
    rig.until(script.notes)
    rig.quiet(0.5)  # the worker has beaten meanwhile
    rig.workers[-1].process.send_signal(signal.SIGSTOP)
    time.sleep(1.2)
    rig.workers[-1].kill()
    rig.start(wanted)
    rig.until(lambda: len(script.notes()) == 3)
    first, second, third = (note.split() for note in script.notes())
    assert (first[0], second, third[0]) == ("begin", ["end", first[1]], "begin")
    assert rig.workers[-1].stop() == 0
    assert not os.path.exists(f"/proc/{third[1]}")


def test_what_a_killed_worker_had_running_keeps_its_deadline(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills do not make it young again; and what hangs is counted once, by whomever."""
    monkeypatch.setenv("WORKED_S", "20")
    script = Script(tmp_path, "s", f'test -e "$BAD" || exit 0\n{HANGS}')
    wanted = slice_of(script.tracked(interval_s=5.0, timeout_s=4.0, fall=2))
    rig.start(wanted)
    rig.until(lambda: rig.value("s") == 1)
    script.be(False)
    rig.until(script.notes)
    began_at = boottime()
    rig.quiet(0.5)  # the worker has beaten meanwhile
    for _ in range(2):
        rig.workers[-1].kill()
        rig.start(wanted)
        rig.quiet(0.2)
    assert len(script.notes()) == 1, "run twice at once, or anew"
    rig.until(lambda: (state := rig.state("s")) and state.failures == 1)
    state = rig.state("s")
    assert state is not None
    assert state.last_at is not None
    assert state.last_at - began_at < 4.0 + 0.5
    rig.workers[-1].kill()  # while it takes its time to end
    rig.start(wanted)
    rig.quiet(0.5)
    state = rig.state("s")
    assert state is not None
    assert (state.value, state.failures, state.last_result) == (1, 1, "no end within 4 s")


def test_who_writes_much_is_not_kept_by_the_death_of_the_worker(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads what it writes: it waits for that, and must not seem to hang."""
    monkeypatch.setenv("WORKED_S", "20")
    script = Script(tmp_path, "s", 'echo run >> "$NOTES"\nsleep 1.5\nhead -c 1000000 /dev/zero\nexit 0\n')
    wanted = slice_of(script.tracked(interval_s=5.0, timeout_s=5.0))
    rig.start(wanted)
    rig.until(lambda: rig.value("s") == 1)
    rig.until(lambda: len(script.notes()) == 2)
    rig.quiet(0.5)
    rig.workers[-1].kill()
    heard = len(rig.heard)
    rig.start(wanted)
    rig.until(lambda: len(script.notes()) == 3)
    rig.quiet(2.0)
    assert rig.changes(heard) == []
    assert {state.failures for state in rig.states("s", since=heard)} == {0}


def test_how_one_ended_that_a_killed_worker_had_running_is_not_known(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKED_S", "20")
    script = Script(tmp_path, "s", 'echo run >> "$NOTES"\ntest ! -e "$BAD" || { sleep 1.2; exit 1; }\n')
    wanted = slice_of(script.tracked(interval_s=0.2, timeout_s=3.0))
    rig.start(wanted)
    rig.until(lambda: rig.value("s") == 1)
    rig.quiet(0.5)
    script.be(False)
    before = len(script.notes())
    rig.until(lambda: len(script.notes()) > before)
    rig.quiet(0.3)
    heard, runs = len(rig.heard), len(script.notes())
    rig.workers[-1].kill()
    script.be(True)
    rig.start(wanted)
    rig.until(lambda: len(script.notes()) > runs)
    rig.quiet(0.3)
    assert rig.changes(heard) == []
    assert rig.value("s") == 1


def test_a_reload_keeps_adds_removes_and_changes(rig: Rig, tmp_path: Path) -> None:
    kept, gone, added = (Script(tmp_path, name, SIMPLE) for name in ("kept", "gone", "added"))
    kept.be(False)
    slow = Script(tmp_path, "slow", 'echo run >> "$NOTES"\nsleep 30\n')
    worker = rig.start(slice_of(kept.tracked(), gone.tracked(), slow.tracked(timeout_s=60.0)))
    rig.until(lambda: rig.value("kept") == 0 and rig.value("gone") == 1)
    rig.until(slow.notes)
    since = rig.state("kept")
    other = Script(tmp_path, "other", SIMPLE)
    worker.configure(
        2,
        slice_of(kept.tracked(fall=2), added.tracked(), vrrp_script("slow", str(other.path), interval_s=0.2)),
    )
    rig.until(lambda: rig.value("added") == 1 and rig.value("slow") == 1)
    assert rig.state("gone") is None
    now = rig.state("kept")
    assert since is not None
    assert now is not None
    assert (now.value, now.since_at) == (0, since.since_at)
    assert slow.notes() == ["run"]
    runs = len(gone.notes())
    rig.quiet(0.6)
    assert len(gone.notes()) == runs


def test_what_cannot_be_run_is_not_known_until_it_can(rig: Rig, tmp_path: Path) -> None:
    script = Script(tmp_path, "s", SIMPLE)
    script.path.rename(tmp_path / "away")
    worker = rig.start(slice_of(script.tracked()))
    rig.until(lambda: (state := rig.state("s")) and state.last_result)
    assert rig.value("s") is None
    said = [line for line in worker.log() if line["event"] == "script.not_runnable"]
    assert said
    assert said[0]["what"] == "vrrp_script s"
    (tmp_path / "away").rename(script.path)
    rig.until(lambda: rig.value("s") == 1)
    script.path.rename(tmp_path / "away")
    rig.until(lambda: rig.value("s") == 0)


def test_files_and_processes_are_told_and_held_over_a_kill(rig: Rig, tmp_path: Path) -> None:
    number, watched = tmp_path / "number", "pyka-no-such-process"
    number.write_text("12\n")
    wanted = ScriptSlice(
        globals=GlobalDefs(),
        files=(
            TrackFile(name="n", file=str(number)),
            TrackFile(name="made", file=str(tmp_path / "made"), init_file=InitFile(value=5, overwrite=True)),
        ),
        processes=(TrackProcess(name="p", process=(watched,)),),
    )
    rig.start(wanted)
    rig.until(lambda: rig.value("n", "file") == 12 and rig.value("made", "file") == 5)
    rig.until(lambda: rig.value("p", "process") == 0)
    (tmp_path / "made").write_text("6")
    # The event comes behind the record.
    rig.until(lambda: rig.value("made", "file") == 6 and any(change.value == 6 for change in rig.changes()))
    heard = len(rig.heard)
    rig.workers[-1].kill()
    number.write_text("-3\n")
    rig.start(wanted)
    rig.until(lambda: rig.value("n", "file") == -3 and rig.changes(heard))
    values = [state.value for kind in ("n", "made") for state in rig.states(kind, "file", heard)]
    assert values
    assert None not in values
    assert rig.value("made", "file") == 6, "init_file counts at the start of the daemon only"
    assert [(c.name, c.value, c.before) for c in rig.changes(heard)] == [("n", -3, 12)]


def test_a_slice_that_cannot_be_read_is_refused(rig: Rig, tmp_path: Path) -> None:
    script = Script(tmp_path, "s", SIMPLE)
    worker = rig.start(slice_of(script.tracked()))
    worker.prepare(2, b"\xc1 no slice")
    rig.until(lambda: any(isinstance(message, Refused) for message in worker.said))
    (refused,) = [message for message in worker.said if isinstance(message, Refused)]
    assert "generation 2" in refused.reason
    runs = len(script.notes())
    rig.until(lambda: len(script.notes()) > runs + 2)  # still at work


@pytest.mark.parametrize("how", ["stop", "supervisor gone"])
def test_it_leaves_cleanly_in_the_middle_of_runs(rig: Rig, tmp_path: Path, how: str) -> None:
    script = Script(tmp_path, "s", 'echo $$ >> "$NOTES"\ntrap "" TERM\nwhile :; do sleep 0.1; done\n')
    worker = rig.start(slice_of(script.tracked(timeout_s=60.0)))
    rig.until(script.notes)
    if how == "stop":
        assert worker.stop() == 0
    else:
        worker.control.close()
        assert worker.process.wait(20) == 0
    (last,) = [line for line in worker.log() if line["event"] == "script.stopped"]
    assert last["supervisor_gone"] == (how != "stop")
    assert not os.path.exists(f"/proc/{script.notes()[0]}")
    rig.read()
    assert rig.changes() == []


def test_two_hundred_and_fifty_five_scripts_at_one_instant(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    rig = Rig(tmp_path, records=300)
    try:
        names = [f"s{number}" for number in range(255)]
        scripts = [
            vrrp_script(name, "/bin/true" if number % 3 else "/bin/false", interval_s=3.0, timeout_s=3.0)
            for number, name in enumerate(names)
        ]
        worker = rig.start(slice_of(*scripts))
        beats = [type(m) for m in worker.said].count(Heartbeat)
        rig.until(lambda: len(rig.changes()) >= 255, 60)
        assert {change.name: change.value for change in rig.changes()} == {
            name: int(number % 3 > 0) for number, name in enumerate(names)
        }
        rig.quiet(7)
        assert len(rig.changes()) == 255
        assert [type(m) for m in worker.said].count(Heartbeat) - beats >= 10
    finally:
        rig.close()
