"""The rules of one check, first case by case, then against a small model of keepalived's counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checker_proc.check import Progress, Step, after, describe, start
from checker_proc.outcome import Outcome, Reason
from keepalived_conf.model import Check
from tests.unit.checker.builders import GOOD, OURS, REFUSED, http, tcp


def begin(check: Check, at: float = 100.0) -> Progress:
    return start(up=not check.alpha, first_at=at, now=at)


def play(check: Check, outcomes: list[Outcome], at: float = 100.0) -> list[Step]:
    """Each attempt at its due instant, results at once."""
    progress, steps = begin(check, at), []
    for outcome in outcomes:
        step = after(check, progress, outcome, progress.due_at)
        steps.append(step)
        progress = step.progress
    return steps


def test_without_alpha_the_first_failure_is_enough() -> None:
    (step,) = play(tcp(retry=3), [REFUSED])
    assert step.changed
    assert not step.progress.up
    assert step.text == "connect refused, first check"


def test_with_alpha_it_is_down_until_the_first_success() -> None:
    steps = play(tcp(alpha=True, retry=3), [REFUSED, REFUSED, GOOD])
    assert [step.progress.up for step in steps] == [False, False, True]
    assert [step.changed for step in steps] == [False, False, True]


def test_after_a_success_it_needs_retry_plus_one_failures_in_a_row() -> None:
    steps = play(tcp(retry=2), [GOOD, REFUSED, REFUSED, REFUSED])
    assert [step.progress.up for step in steps] == [True, True, True, False]
    assert [step.text for step in steps[1:]] == [
        "connect refused, attempt 1 of 3",
        "connect refused, attempt 2 of 3",
        "connect refused, attempt 3 of 3",
    ]


def test_a_success_in_between_starts_the_count_again() -> None:
    steps = play(tcp(retry=1), [GOOD, REFUSED, GOOD, REFUSED, GOOD])
    assert all(step.progress.up for step in steps)


def test_retries_follow_delay_before_retry_and_the_rest_the_grid() -> None:
    check = tcp(retry=2, delay_loop_s=10.0, delay_before_retry_s=1.5)
    steps = play(check, [GOOD, REFUSED, REFUSED, REFUSED, REFUSED, GOOD], at=100.0)
    # 100 good; 110, 111.5, 113 bad: down; 113 + 10 is nearest to 120, on the grid of 100.
    assert [step.progress.due_at for step in steps] == [110.0, 111.5, 113.0, 120.0, 130.0, 140.0]


def test_while_down_one_success_is_enough_and_says_how_long_it_was_bad() -> None:
    steps = play(tcp(retry=0), [GOOD, REFUSED, REFUSED, GOOD])
    assert steps[-1].changed
    assert steps[-1].progress.up
    assert steps[-1].text == "connected after 2 failures"


def test_down_says_how_many_failures() -> None:
    steps = play(tcp(retry=0), [GOOD, REFUSED, REFUSED])
    assert steps[-1].text == "connect refused, 2 failures in a row"
    assert not steps[-1].notable
    steps = play(tcp(retry=0, log_all_failures=True), [GOOD, REFUSED, REFUSED])
    assert steps[-1].notable


def test_since_moves_only_when_the_state_changes() -> None:
    steps = play(tcp(retry=0), [GOOD, GOOD, REFUSED, REFUSED, GOOD])
    assert [step.progress.since_at for step in steps] == [100.0, 100.0, 120.0, 120.0, 140.0]


def test_trouble_of_our_own_changes_nothing_but_the_time() -> None:
    steps = play(tcp(retry=1), [OURS, GOOD, REFUSED, OURS, REFUSED])
    assert steps[0].progress.up
    assert not steps[0].progress.has_run
    assert steps[0].notable
    assert steps[0].text == "no socket for the check: too many open files"
    assert [step.progress.failures for step in steps] == [0, 0, 1, 1, 2]
    assert not steps[-1].progress.up


def test_the_same_trouble_of_our_own_is_told_once() -> None:
    steps = play(tcp(), [GOOD, OURS, OURS, GOOD, OURS])
    assert [step.notable for step in steps] == [True, True, False, False, True]


def test_a_slow_answer_keeps_the_phase() -> None:
    check = tcp(delay_loop_s=10.0)
    progress = begin(check, 100.0)
    assert after(check, progress, GOOD, 104.0).progress.due_at == 110.0
    assert after(check, progress, GOOD, 108.0).progress.due_at == 120.0
    assert after(check, progress, GOOD, 131.0).progress.due_at == 140.0


# --- HTTP_GET ------------------------------------------------------------------------------------


def urls_tried(check: Check, outcomes: list[Outcome]) -> list[int]:
    """The URL of each attempt."""
    tried, progress = [], begin(check)
    for outcome in outcomes:
        tried.append(progress.url_index)
        progress = after(check, progress, outcome, progress.due_at).progress
    return tried


def test_one_url_per_delay_loop() -> None:
    check = http(urls=3)
    assert urls_tried(check, [GOOD] * 4) == [0, 1, 2, 0]
    steps = play(check, [GOOD] * 4)
    assert [step.progress.due_at for step in steps] == [110.0, 120.0, 130.0, 140.0]
    assert [step.progress.has_run for step in steps] == [False, False, True, True]


def test_with_alpha_all_urls_must_succeed_first() -> None:
    steps = play(http(urls=3, alpha=True), [GOOD] * 3)
    assert [step.progress.up for step in steps] == [False, False, True]


def test_before_the_first_round_is_complete_one_failure_is_enough() -> None:
    steps = play(http(urls=3, retry=3), [GOOD, REFUSED])
    assert not steps[-1].progress.up


def test_a_failed_url_is_retried_alone_then_the_round_goes_on() -> None:
    check = http(urls=3, retry=2)
    assert urls_tried(check, [GOOD, GOOD, GOOD, GOOD, REFUSED, REFUSED, GOOD, GOOD]) == [
        0, 1, 2, 0, 1, 1, 1, 2,
    ]  # fmt: skip


def test_down_by_one_url_only_that_one_is_tried_then_all_again() -> None:
    check = http(urls=3, retry=0)
    outcomes = [GOOD, GOOD, GOOD, GOOD, REFUSED, REFUSED, GOOD, GOOD, GOOD, GOOD]
    assert urls_tried(check, outcomes) == [0, 1, 2, 0, 1, 1, 1, 0, 1, 2]
    assert [step.progress.up for step in play(check, outcomes)] == [True] * 4 + [False] * 5 + [True]


def test_a_failure_in_the_recovery_round_makes_that_url_the_failed_one() -> None:
    check = http(urls=2, retry=0)
    outcomes = [REFUSED, GOOD, GOOD, REFUSED, GOOD, GOOD, GOOD]
    assert urls_tried(check, outcomes) == [0, 0, 0, 1, 1, 0, 1]
    assert [step.progress.up for step in play(check, outcomes)] == [False] * 6 + [True]


def test_a_single_url_recovers_with_one_success() -> None:
    steps = play(http(retry=0), [GOOD, REFUSED, GOOD])
    assert [step.progress.up for step in steps] == [True, False, True]
    assert steps[1].text == "connect refused (/0), attempt 1 of 1"


def test_after_a_definite_failure_the_longer_of_both_waits() -> None:
    check = http(retry=0, delay_loop_s=2.0, delay_before_retry_s=8.0)
    steps = play(check, [GOOD, REFUSED, REFUSED])
    assert [step.progress.due_at for step in steps] == [102.0, 110.0, 118.0]


def test_fast_recovery_takes_away_the_waits_at_start_and_recovery_only() -> None:
    check = http(urls=3, retry=0, fast_recovery=True)
    steps = play(check, [GOOD, GOOD, GOOD, REFUSED, GOOD, GOOD, GOOD, GOOD])
    assert [step.progress.due_at for step in steps] == [
        100.0, 100.0, 110.0,  # start: at once until all have succeeded
        120.0,  # definite failure: wait
        120.0, 120.0, 120.0,  # good again: all at once
        130.0,
    ]  # fmt: skip


def test_fast_recovery_never_asks_a_failing_server_without_pause() -> None:
    check = http(urls=2, retry=0, fast_recovery=True, delay_loop_s=10.0)
    steps = play(check, [REFUSED, GOOD, GOOD, REFUSED, GOOD, GOOD, REFUSED])
    for step in steps:
        if step.progress.last == REFUSED:
            assert step.progress.due_at - step.progress.last_at >= 5.0


def test_the_state_alone_explains_itself() -> None:
    check = http(retry=2)
    steps = play(check, [GOOD, REFUSED, REFUSED, REFUSED, REFUSED])
    assert describe(check, steps[0].progress) == "connected"
    assert describe(check, steps[1].progress) == "connect refused (/0), attempt 1 of 3"
    assert describe(check, steps[4].progress) == "connect refused (/0), 4 failures in a row"
    assert describe(check, begin(check)) == "not checked yet"


@pytest.mark.parametrize("short_by", [0, 7])
def test_a_short_body_is_worth_a_line(short_by: int) -> None:
    answered = Outcome(reason=Reason.ANSWERED, detail=200, short_by=short_by)
    steps = play(http(), [answered, answered])
    assert steps[1].notable == bool(short_by)


# --- against a model of the original -------------------------------------------------------------


@dataclass
class Original:
    """keepalived's rules as counters (facts of its check_tcp and check_http, 2.4.3), with the two
    corrections that docs/checker.md names. Waits are words, not numbers."""

    check: Check
    up: bool = True
    has_run: bool = False
    retry_it: int = 0
    url: int = 0
    failed: int | None = None

    def __post_init__(self) -> None:
        self.up = not self.check.alpha
        self.retry_it = self.check.retry  # so that the first failure is one too many

    def result(self, good: bool) -> str:
        return self._http(good) if self.check.kind == "HTTP_GET" else self._tcp(good)

    def _tcp(self, good: bool) -> str:
        wait = "loop"
        judging = self.up or not self.has_run
        if good:
            self.up, self.retry_it = True, 0
        elif judging and self.retry_it >= self.check.retry:
            self.up, self.retry_it = False, 0
        elif self.up:
            self.retry_it += 1
            wait = "retry"
        self.has_run = True
        return wait

    def _http(self, good: bool) -> str:
        count = len(self.check.urls)
        if good:
            was_failed, self.failed = self.failed, None
            self.retry_it = 0
            if was_failed is not None and count > 1:
                self.url = 0
            elif was_failed is None and self.url < count - 1:
                self.url += 1
            else:
                self.url, self.up, self.has_run = 0, True, True
            if not self.has_run:
                self.retry_it = self.check.retry
            hurry = self.check.fast_recovery and (not self.has_run or not self.up)
            return "now" if hurry else "loop"
        if self.up or not self.has_run:
            self.has_run = True
            self.retry_it += 1
            if self.retry_it <= self.check.retry:
                return "retry"
            self.up = False
        self.failed = self.url
        return "longest"


@given(
    kind=st.sampled_from(["tcp", "http"]),
    urls=st.integers(1, 4),
    retry=st.integers(0, 3),
    alpha=st.booleans(),
    fast=st.booleans(),
    delay_loop_s=st.sampled_from([0.1, 1.0, 6.0, 60.0]),
    before_retry_s=st.sampled_from([0.0, 0.3, 3.0, 100.0]),
    results=st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=40),
)
def test_same_decisions_as_the_original(
    kind: str,
    urls: int,
    retry: int,
    alpha: bool,
    fast: bool,
    delay_loop_s: float,
    before_retry_s: float,
    results: list[tuple[bool, float]],
) -> None:
    settings: dict[str, Any] = {
        "retry": retry,
        "alpha": alpha,
        "delay_loop_s": delay_loop_s,
        "fast_recovery": fast,
    }
    settings["delay_before_retry_s"] = before_retry_s
    check = tcp(**settings) if kind == "tcp" else http(urls=urls, **settings)
    model, progress = Original(check), begin(check, 1000.0)
    for good, took_s in results:
        now = progress.due_at + took_s
        was_up = progress.up
        step = after(check, progress, GOOD if good else REFUSED, now)
        progress = step.progress
        wait = model.result(good)
        assert (progress.up, progress.has_run) == (model.up, model.has_run)
        assert step.changed == (was_up != model.up)
        if kind == "http":
            assert (progress.url_index, progress.failed_url) == (model.url, model.failed)
        waits_s = progress.due_at - now
        wanted_s = {
            "now": 0.0,
            "retry": before_retry_s,
            "loop": delay_loop_s,
            "longest": max(delay_loop_s, before_retry_s),
        }[wait]
        if wait in ("now", "retry"):
            assert waits_s == pytest.approx(wanted_s, abs=1e-6)
        else:
            assert wanted_s - delay_loop_s / 2 - 1e-6 <= waits_s <= wanted_s + delay_loop_s / 2 + 1e-6
            phase = (progress.due_at - progress.grid_at) / delay_loop_s
            assert phase == pytest.approx(round(phase), abs=1e-6)
