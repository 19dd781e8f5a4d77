from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_conf.model import Script
from script_proc.schedule import (
    DueQueue,
    Progress,
    Result,
    Verdict,
    after,
    next_at,
    redefined,
    resumed,
    start,
)
from script_proc.track import Fleet, record_of
from tests.unit.script.builders import vrrp_script

GOOD = Result(verdict=Verdict.GOOD, text="exit status 0")
BAD = Result(verdict=Verdict.BAD, text="exit status 1")
LATE = Result(verdict=Verdict.BAD, text="no end within 1 s")
UNJUDGED = Result(verdict=Verdict.UNJUDGED, text="no process can be started")
RESULTS = {Verdict.GOOD: GOOD, Verdict.BAD: BAD, Verdict.UNJUDGED: UNJUDGED}
verdicts = st.sampled_from(list(Verdict))


def model(history: list[Verdict], rise: int, fall: int, first: int | None = None) -> int | None:
    """The value that keepalived's rule gives: looks at the whole history, keeps no counters."""
    counted = [verdict for verdict in history if verdict is not Verdict.UNJUDGED]
    value = first
    for at, verdict in enumerate(counted, 1):
        for wanted, number, makes in ((Verdict.GOOD, rise, 1), (Verdict.BAD, fall, 0)):
            row = counted[max(0, at - number) : at]
            if verdict is wanted and (at == 1 or (len(row) == number and set(row) == {wanted})):
                value = makes
    return value


@given(st.lists(verdicts, max_size=60), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_the_value_is_the_models(history: list[Verdict], rise: int, fall: int, init_fail: bool) -> None:
    script = vrrp_script(rise=rise, fall=fall, init_fail=init_fail)
    progress = start(script, 100.0, lambda: 0.5)
    for number in range(len(history)):
        now = 100.5 + number
        step = after(script, progress, RESULTS[history[number]], now - 0.1, now)
        wanted = model(history[: number + 1], rise, fall, 0 if init_fail else None)
        assert step.progress.value == wanted
        assert step.changed == (wanted != progress.value)
        assert (step.progress.since_at == now) == step.changed
        assert step.progress.successes <= rise
        assert step.progress.failures <= fall
        progress = step.progress


def test_the_first_result_decides_whatever_rise_and_fall_say() -> None:
    script = vrrp_script(rise=5, fall=5)
    for result, value in ((GOOD, 1), (BAD, 0)):
        step = after(script, start(script, 0.0, lambda: 0.0), result, 0.0, 0.1)
        assert (step.before, step.progress.value) == (None, value)


def test_init_fail_is_bad_until_it_has_run() -> None:
    script = vrrp_script(init_fail=True, rise=3)
    progress = start(script, 0.0, lambda: 0.0)
    assert progress.value == 0
    assert after(script, progress, UNJUDGED, 0.0, 0.1).progress.value == 0
    assert after(script, progress, GOOD, 0.0, 0.1).progress.value == 1


@pytest.mark.parametrize(("result", "notable"), [(GOOD, False), (BAD, True), (UNJUDGED, True)])
def test_what_is_new_is_notable(result: Result, notable: bool) -> None:
    script = vrrp_script()
    progress = after(script, start(script, 0.0, lambda: 0.0), GOOD, 0.0, 0.1).progress
    step = after(script, progress, result, 1.0, 1.1)
    assert step.notable == notable
    assert step.progress.last_at == 1.1


# --- when --------------------------------------------------------------------------------------------


@given(st.floats(0.1, 3600), st.floats(0, 0.999), st.lists(st.floats(0.0, 3.0), min_size=1, max_size=50))
def test_runs_follow_each_other_within_an_interval_or_their_own_length(
    interval_s: float, draw: float, lengths: list[float]
) -> None:
    """``lengths``: how long each run takes, in intervals."""
    script = vrrp_script(interval_s=interval_s)
    progress = start(script, 1000.0, lambda: draw)
    assert progress.due_at == 1000.0
    for length in lengths:
        started_at = progress.due_at
        now = started_at + length * interval_s
        progress = after(script, progress, GOOD, started_at, now).progress
        assert progress.due_at >= now
        assert progress.due_at <= max(now, started_at) + interval_s * 1.001
        if length <= 0.99:
            assert progress.due_at <= started_at + interval_s * 1.001
            phase = (progress.due_at - progress.grid_at) / interval_s
            assert abs(phase - round(phase)) < 1e-3 or abs(progress.due_at - started_at - interval_s) < 1e-6


def test_a_long_run_takes_the_place_of_the_next() -> None:
    # On its grid: started at 10, took 1.3 intervals; the run of 11 is skipped.
    assert next_at(10.0, 1.0, 10.0, 11.3) == 12.0
    assert next_at(10.0, 1.0, 10.0, 10.3) == 11.0


def test_a_script_that_hangs_is_run_each_interval_where_that_is_its_timeout() -> None:
    # Ended a moment after the next run was due; from another point of the grid as well.
    assert next_at(10.0, 1.0, 10.0, 11.02) == 11.02
    assert next_at(10.4, 1.0, 12.0, 13.02) == 13.02
    script = vrrp_script(interval_s=1.0, timeout_s=1.0, fall=3)
    progress, good_at = start(script, 0.0, lambda: 0.0), 10.0
    progress = after(script, progress, GOOD, good_at, good_at + 0.01).progress
    now = good_at
    while progress.value:
        started_at = progress.due_at
        now = started_at + script.timeout_s + 0.02
        progress = after(script, progress, BAD, started_at, now).progress
    assert now <= good_at + script.interval_s * script.fall + script.timeout_s + 0.1


def test_the_first_step_onto_the_grid_skips_nothing() -> None:
    # First run at 10, grid from 10.6: it took until 10.7, the next is not later than 11.
    assert next_at(10.6, 1.0, 10.0, 10.3) == 10.6
    assert next_at(10.6, 1.0, 10.0, 10.7) == 11.0


def test_scripts_started_together_do_not_stay_in_step() -> None:
    draws = iter(number / 255 for number in range(255))
    fleet = Fleet(lambda: next(draws))
    fleet.apply([vrrp_script(f"s{number}") for number in range(255)], 50.0, {})
    launches = fleet.launch(50.0)
    assert len(launches) == 255
    for launch in launches:
        fleet.judged(launch, GOOD, 50.01)
        fleet.ended(launch, 50.01)
    at_once = [len(fleet.launch(50.0 + tick / 100)) for tick in range(1, 101)]
    assert sum(at_once) == 255
    assert max(at_once) < 10


def test_ten_thousand_timeouts() -> None:
    """Each is a bad run; the value never wavers, and runs do not pile up."""
    script = vrrp_script(interval_s=1.0, timeout_s=1.0, fall=3)
    fleet = Fleet(lambda: 0.3)
    fleet.apply([script], 0.0, {})
    now, values = 0.0, []
    for _ in range(10_000):
        due_at = fleet.next_at()
        assert due_at is not None
        assert due_at >= now
        (launch,) = fleet.launch(due_at)
        assert fleet.next_at() is None
        now = due_at + script.timeout_s
        assert fleet.judged(launch, LATE, now) is not None
        assert fleet.judged(launch, GOOD, now + 0.5) is None
        assert fleet.launch(now + 10) == []
        now += 1.0  # it ignored TERM
        fleet.ended(launch, now)
        values.append(fleet.entries["chk"].progress.value)
    assert set(values) == {0}
    assert fleet.entries["chk"].progress.failures == 3
    assert now <= 10_000 * 3.01


@settings(max_examples=50)
@given(st.data())
def test_no_history_runs_a_script_twice_or_never_again(data: st.DataObject) -> None:
    """Runs, judgements, ends, reloads and restarts in any order, against a model of one script."""
    script = vrrp_script(interval_s=1.0, rise=2, fall=2)
    fleet = Fleet(lambda: 0.7)
    fleet.apply([script], 0.0, {})
    now, history, version = 0.0, list[Verdict](), 0
    running = None
    void = False  # what runs is of no use any more
    value: int | None = None
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.floats(0.01, 1.5))
        launches = fleet.launch(now)
        if launches:
            assert running is None, "two at once"
            (running,) = launches
            void = False
        move = data.draw(st.sampled_from(["judge", "end", "reload", "change", "remove", "restart"]))
        if move == "judge" and running is not None:
            verdict = data.draw(verdicts)
            if fleet.judged(running, RESULTS[verdict], now) is not None:
                assert not void
                history.append(verdict)
                value = model(history, 2, 2, value) if len(history) else value
        elif move == "end" and running is not None:
            fleet.judged(running, UNJUDGED, now)
            fleet.ended(running, now)
            running = None
        elif move == "reload":
            fleet.apply([replace(script, places={})], now, {})
        elif move == "change":
            version += 1
            script = replace(script, script=Script(command=("/bin/true", str(version))))
            applied = fleet.apply([script], now, {})
            assert applied.end == (() if running is None else (running,))
            history, void = [], True
        elif move == "remove":
            fleet.apply([], now, {})
            fleet.apply([script], now, {})
            value, history, void = None, [], True
        elif move == "restart":
            left = {name: record_of(entry) for name, entry in fleet.entries.items()}
            fleet = Fleet(lambda: 0.7)
            applied = fleet.apply([script], now, left)
            assert applied.resumed == ("chk",)
            running = None
        assert fleet.entries["chk"].progress.value == value
        if running is None:
            due_at = fleet.next_at()
            assert due_at is not None
            assert due_at <= now + script.interval_s * 1.001


# --- reload, restart ---------------------------------------------------------------------------------


def test_an_unchanged_command_keeps_what_it_found() -> None:
    old = vrrp_script(fall=2)
    progress = after(old, start(old, 0.0, lambda: 0.0), GOOD, 0.0, 0.1).progress
    progress = after(old, progress, BAD, 1.0, 1.1).progress
    kept = redefined(old, replace(old, fall=3, timeout_s=9.0), progress, 1.2)
    assert kept == progress
    faster = redefined(old, replace(old, interval_s=0.1), progress, 1.2)
    assert (faster.value, faster.failures) == (1, 1)
    assert faster.due_at == pytest.approx(1.3)


def test_another_command_decides_at_once_and_nothing_is_bad_before() -> None:
    old = vrrp_script(fall=3, rise=3)
    progress = after(old, start(old, 0.0, lambda: 0.0), GOOD, 0.0, 0.1).progress
    new = replace(old, script=Script(command=("/bin/false",)))
    changed = redefined(old, new, progress, 0.5)
    assert (changed.value, changed.due_at) == (1, 0.5)
    assert after(new, changed, BAD, 0.5, 0.6).progress.value == 0


def test_what_was_missed_is_due_at_once() -> None:
    script = vrrp_script(interval_s=60.0)
    progress = Progress(value=1, since_at=1.0, grid_at=40.0, due_at=100.0, decided=True)
    assert resumed(script, progress, 90.0).due_at == 100.0
    assert resumed(script, progress, 101.0).due_at == 101.0
    # Nonsense from another time is not waited for.
    assert resumed(script, replace(progress, due_at=1e9, grid_at=1e9), 90.0).due_at == 90.0
    assert resumed(script, replace(progress, due_at=float("nan")), 90.0).due_at == 90.0


def test_a_resumed_script_with_another_command_runs_at_once_and_holds_its_value() -> None:
    old = vrrp_script()
    fleet = Fleet(lambda: 0.0)
    fleet.apply([old], 0.0, {})
    (launch,) = fleet.launch(0.0)
    fleet.judged(launch, BAD, 0.1)
    left = {"chk": record_of(fleet.entries["chk"])}
    young = Fleet(lambda: 0.0)
    young.apply([vrrp_script("chk", "/bin/false")], 0.2, left)
    entry = young.entries["chk"]
    assert (entry.progress.value, entry.progress.decided, young.next_at()) == (0, False, 0.2)


@pytest.mark.parametrize("hangs", [False, True])
def test_a_run_of_a_former_worker_counts_only_when_its_deadline_passes(hangs: bool) -> None:
    script = vrrp_script(interval_s=1.0, timeout_s=1.0, fall=2)
    former = Fleet(lambda: 0.0)
    former.apply([script], 0.0, {})
    (launch,) = former.launch(0.0)
    former.judged(launch, GOOD, 0.1)
    former.ended(launch, 0.1)
    assert former.launch(0.5)
    fleet = Fleet(lambda: 0.0)
    fleet.apply([script], 0.8, {"chk": record_of(former.entries["chk"])})
    launch = fleet.adopt("chk", 0.5)
    assert fleet.launch(1.2) == [], "two at once"
    if hangs:
        assert fleet.judged(launch, BAD, 1.5) is not None
    fleet.ended(launch, 1.5)
    progress = fleet.entries["chk"].progress
    assert (progress.value, progress.failures) == (1, int(hangs))
    assert len(fleet.launch(1.5)) == 1, "the next is due at once"


def test_the_queue_gives_the_earliest_first_and_forgets_what_was_replaced() -> None:
    queue = DueQueue()
    for number in range(500):
        queue.set("a", 900.0 - number)
    queue.set("b", 2.0)
    queue.set("c", 3.0)
    queue.remove("c")
    assert queue.next_at() == 2.0
    assert queue.pop_due(401.0) == ["b", "a"]
    assert queue.pop_due(1e9) == []
    assert "a" not in queue
