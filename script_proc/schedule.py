"""One vrrp_script: when it runs, and what its results make of its value.

Pure. Instants are CLOCK_BOOTTIME seconds (``_at``), durations seconds (``_s``); randomness comes in as
``draw``, a function that returns floats in [0, 1).

The rules are keepalived's: the first result decides at once, then ``rise`` good or ``fall`` bad runs in a
row; a run that takes too long is a bad one; a run that is still active when the next is due takes its
place (unless it is over soon after: keepalived would skip that one too). Runs fall on a grid of their own, so
that scripts that were all started at one instant do not stay in step for ever.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

from keepalived_conf.model import VrrpScript

Draw = Callable[[], float]

_JUST_MISSED = 0.25
"""Of an interval: a run that was due this short a time ago is not skipped, it follows at once."""


class Verdict(IntEnum):
    """What one run says. The numbers are kept in the black box."""

    GOOD = 0
    BAD = 1
    UNJUDGED = 2
    """It could not be run, for a reason that is not the script's: nothing is counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How one run ended."""

    verdict: Verdict
    text: str
    """For people: ``exit status 1``, ``no end within 2 s``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a script stands."""

    value: int | None
    """1 good, 0 bad, None: not known yet."""
    since_at: float
    grid_at: float
    """Runs fall on grid_at + k * interval."""
    due_at: float
    """When the next run starts, or the present one started."""
    decided: bool = False
    """A run of this very command has been counted: from now on ``rise`` and ``fall`` rule."""
    successes: int = 0
    """In a row, at most ``rise``."""
    failures: int = 0
    """In a row, at most ``fall``."""
    last_at: float = 0.0
    """End of the last run; 0: none yet."""
    text: str = ""
    """What it found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What a result did."""

    progress: Progress
    before: int | None
    notable: bool
    """Readers should see it now: value, counts or words are new."""

    @property
    def changed(self) -> bool:
        return self.progress.value != self.before


def start(script: VrrpScript, now: float, draw: Draw) -> Progress:
    """A script that nothing is known of: its first run is at once, instances wait for it.

    The grid begins within the second half of an interval from now, so that further runs spread.
    """
    return Progress(
        value=0 if script.init_fail else None,
        since_at=now,
        grid_at=now + script.interval_s * (0.5 + draw() / 2),
        due_at=now,
    )


def after(script: VrrpScript, progress: Progress, result: Result, started_at: float, now: float) -> Step:
    """A run that began at ``started_at`` ended at ``now``."""
    value, successes, failures, decided = (
        progress.value,
        progress.successes,
        progress.failures,
        progress.decided,
    )
    if result.verdict is Verdict.GOOD:
        successes, failures = min(successes + 1, script.rise), 0
        if not decided or successes >= script.rise:
            value = 1
        decided = True
    elif result.verdict is Verdict.BAD:
        successes, failures = 0, min(failures + 1, script.fall)
        if not decided or failures >= script.fall:
            value = 0
        decided = True
    then = replace(
        progress,
        value=value,
        since_at=progress.since_at if value == progress.value else now,
        due_at=next_at(progress.grid_at, script.interval_s, started_at, now),
        decided=decided,
        successes=successes,
        failures=failures,
        last_at=now,
        text=result.text,
    )
    notable = (value, successes, failures, result.text) != (
        progress.value,
        progress.successes,
        progress.failures,
        progress.text,
    )
    return Step(progress=then, before=progress.value, notable=notable)


def next_at(grid_at: float, interval_s: float, started_at: float, now: float) -> float:
    """The next run after one that was active from ``started_at`` to ``now``: never before ``now``.

    A point of the grid; runs that were due meanwhile are skipped. Only if it took so long that the gap
    to the former start would be more than an interval, it is one interval after that start. That may just
    have passed: a script that hangs is ended when the next run is due, where its timeout is its interval.
    """
    due_at = grid_at + (math.floor((now - grid_at) / interval_s) + 1) * interval_s
    if due_at < grid_at:
        due_at = grid_at
    if due_at <= now:  # rounding: an interval of microseconds after weeks
        due_at = now + interval_s
    regular_at = started_at + interval_s
    if regular_at > now:
        return min(due_at, regular_at)
    return now if now - regular_at <= interval_s * _JUST_MISSED else due_at


def resumed(script: VrrpScript, progress: Progress, now: float) -> Progress:
    """Continued by a new worker: what was due meanwhile, or was running and ended with the worker, is
    due at once, so that a script is not found out later because the worker was killed."""
    grid_at = progress.grid_at
    if not math.isfinite(grid_at) or grid_at > now + script.interval_s:
        grid_at = now + script.interval_s
    due_at = progress.due_at if now < progress.due_at <= now + script.interval_s else now
    return replace(progress, grid_at=grid_at, due_at=due_at)


def redefined(old: VrrpScript, new: VrrpScript, progress: Progress, now: float) -> Progress:
    """Other settings under the same name.

    The same command keeps what it has found. Another one is run at once and its first result decides;
    until then the last value is held: a reload by itself makes nothing bad.
    """
    if not same_program(old, new):
        return replace(progress, decided=False, successes=0, failures=0, due_at=now)
    if old.interval_s == new.interval_s:
        return progress
    due_at = min(progress.due_at, now + new.interval_s)
    return replace(progress, grid_at=due_at, due_at=due_at)


def same_program(old: VrrpScript, new: VrrpScript) -> bool:
    """Whether both run the same: command and user."""
    return (old.script, old.user) == (new.script, new.user)


class DueQueue:
    """Which name is due when. One entry per name; setting it again replaces the entry."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._due

    def set(self, name: str, due_at: float) -> None:
        self._due[name] = due_at
        heapq.heappush(self._heap, (due_at, name))
        if len(self._heap) > 64 and len(self._heap) > 3 * len(self._due):
            # Entries replaced by reloads are left in the heap; drop them before they outnumber the rest.
            self._heap = [(at, key) for key, at in self._due.items()]
            heapq.heapify(self._heap)

    def remove(self, name: str) -> None:
        self._due.pop(name, None)

    def next_at(self) -> float | None:
        """The earliest instant; None when nothing waits."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[str]:
        """Take the names that are due, the earliest first."""
        taken: list[str] = []
        while (at := self.next_at()) is not None and at <= now:
            _, name = heapq.heappop(self._heap)
            del self._due[name]
            taken.append(name)
        return taken
