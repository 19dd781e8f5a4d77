"""One check's state machine: attempts in, up or down out.

Pure (no socket, clock, random). Rules as keepalived.conf(5) and keepalived 2.4.3 have them:

* Without ``alpha`` a check starts up, and the *first* failure takes it down: nothing has vouched for
  the server yet. With ``alpha`` it starts down until the first success.
* A check that has run needs ``retry`` + 1 failures in a row; the extra attempts follow
  ``delay_before_retry`` after each failure.
* While down it is tried every ``delay_loop``; one success brings it up.
* HTTP_GET tests one URL per ``delay_loop`` and is only judged as run when all have succeeded once.
  After a failure only the failed URL is tried; when it succeeds, all are tried again from the first
  one, and the check is up when all succeeded. The wait after a definite failure is the larger of
  ``delay_loop`` and ``delay_before_retry``. ``fast_recovery`` takes away the waits between good
  answers before the first complete round and during recovery.

Three deliberate differences, all in HTTP_GET's recovery (docs/checker.md):

* With a single URL one success is enough; keepalived asks for the same URL a second time.
* A failure during the recovery round makes that URL the failed one. keepalived forgets to, and then
  asks every ``delay_before_retry``, or without any pause under ``fast_recovery``.
* Waits end on the check's grid (see ``schedule``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from checker_proc.outcome import NEVER, Outcome, Verdict
from checker_proc.schedule import regular_at
from keepalived_conf.model import Check


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """All that a check remembers; what a restarted checker continues from."""

    up: bool
    since_at: float
    """When ``up`` last changed, or the check came to be."""
    grid_at: float
    """Origin of the regular runs."""
    due_at: float
    """Next attempt; while one is running, when it was due."""
    has_run: bool = False
    """False: nothing is known yet, the first-failure rule applies."""
    failures: int = 0
    """Failed attempts in a row."""
    url_index: int = 0
    failed_url: int | None = None
    """HTTP_GET: the URL that took it down and has not succeeded since."""
    runs: int = 0
    """Attempts ever made."""
    last_at: float = 0.0
    """End of the last attempt, 0: none yet."""
    last: Outcome = NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What an attempt led to."""

    progress: Progress
    changed: bool
    """``up`` differs from before."""
    notable: bool
    """Worth a log line although nothing changed: first success or failure ever, failures being
    counted, trouble of our own."""
    text: str
    """For people: ``connect refused, attempt 2 of 3``."""


def start(*, up: bool, first_at: float, now: float) -> Progress:
    """A check that has never run. ``up`` is the start state (not alpha, or the server's present one)."""
    return Progress(up=up, since_at=now, grid_at=first_at, due_at=first_at)


def after(check: Check, before: Progress, outcome: Outcome, now: float) -> Step:
    """The rules of this module: ``before`` plus one finished attempt."""
    verdict = outcome.verdict
    if verdict is Verdict.GOOD:
        return _good(check, before, outcome, now)
    if verdict is Verdict.BAD:
        return _bad(check, before, outcome, now)
    progress = replace(
        before,
        runs=before.runs + 1,
        last_at=now,
        last=outcome,
        due_at=regular_at(before.grid_at, check.delay_loop_s, now, check.delay_loop_s),
    )
    return Step(progress=progress, changed=False, notable=before.last != outcome, text=outcome.text())


def describe(check: Check, progress: Progress) -> str:
    """Why the check is as it is, from the state alone: for one that resumes and has not run since."""
    last = progress.last
    if not _is_bad(last):
        return last.text()
    text = last.text() + _which_url(check, progress.url_index)
    if progress.up:
        return f"{text}, attempt {progress.failures} of {check.retry + 1}"
    return f"{text}, {progress.failures} failures in a row" if progress.failures > 1 else text


def _good(check: Check, before: Progress, outcome: Outcome, now: float) -> Step:
    text = outcome.text() + _which_url(check, before.url_index)
    count = max(1, len(check.urls))
    recovered = before.failed_url is not None
    if recovered and count > 1:
        url_index, complete = 0, False  # good again: now vouch for all of them, from the first
    elif not recovered and before.url_index + 1 < count:
        url_index, complete = before.url_index + 1, False
    else:
        url_index, complete = 0, True
    up, has_run = before.up or complete, before.has_run or complete
    if check.fast_recovery and not (has_run and up):
        due_at = now
    else:
        due_at = regular_at(before.grid_at, check.delay_loop_s, now, check.delay_loop_s)
    changed = up != before.up
    if changed and before.failures:
        text += f" after {before.failures} failure{'s' if before.failures > 1 else ''}"
    progress = Progress(
        up=up,
        since_at=now if changed else before.since_at,
        grid_at=before.grid_at,
        due_at=due_at,
        has_run=has_run,
        url_index=url_index,
        runs=before.runs + 1,
        last_at=now,
        last=outcome,
    )
    notable = changed or has_run != before.has_run or before.failures > 0 or outcome.short_by > 0
    return Step(progress=progress, changed=changed, notable=notable, text=text)


def _bad(check: Check, before: Progress, outcome: Outcome, now: float) -> Step:
    text = outcome.text() + _which_url(check, before.url_index)
    failures = before.failures + 1
    judging = before.up or not before.has_run
    again = False
    if not judging:
        text += f", {failures} failures in a row"
    elif before.has_run:
        again = failures <= check.retry
        text += f", attempt {failures} of {check.retry + 1}"
    else:
        text += ", first check"
    http = check.kind == "HTTP_GET"
    if again:
        up, failed_url, due_at = before.up, before.failed_url, now + check.delay_before_retry_s
    else:
        wait_s = max(check.delay_loop_s, check.delay_before_retry_s) if http else check.delay_loop_s
        up, failed_url = False, before.url_index if http else None
        due_at = regular_at(before.grid_at, check.delay_loop_s, now, wait_s)
    changed = up != before.up
    progress = Progress(
        up=up,
        since_at=now if changed else before.since_at,
        grid_at=before.grid_at,
        due_at=due_at,
        has_run=True,
        failures=failures,
        url_index=before.url_index,
        failed_url=failed_url,
        runs=before.runs + 1,
        last_at=now,
        last=outcome,
    )
    return Step(progress=progress, changed=changed, notable=judging or check.log_all_failures, text=text)


def _is_bad(outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.BAD


def _which_url(check: Check, index: int | None) -> str:
    if index is None or index >= len(check.urls):
        return ""
    return f" ({check.urls[index].path})"
