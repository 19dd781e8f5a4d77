"""All checks of one worker: which run now, what their results mean, what a reload keeps.

Pure. The shell asks ``launch`` for attempts to start, tells ``finished`` how each ended, and gives
``apply`` the checks of a new configuration. Identity is the check id: an unchanged check keeps its
state *and* its place in the schedule, whatever happens around it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from checker_proc.check import Progress, Step, after, describe, start
from checker_proc.ledger import Kept, check_number, server_number
from checker_proc.outcome import Outcome
from checker_proc.schedule import Draw, Schedule, first_at, overdue_at, regular_at
from keepalived_conf.model import Check, HttpUrl


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Launch:
    """One attempt to start now; equal only to itself."""

    check: Check
    url: HttpUrl | None
    """HTTP_GET: the URL of this attempt."""
    due_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A check and where it stands."""

    check: Check
    progress: Progress
    text: str
    """What the last attempt found, for people; empty before the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What a configuration changed: check ids."""

    added: tuple[str, ...]
    kept: tuple[str, ...]
    resumed: tuple[str, ...]
    """New to this incarnation, continued from what an earlier one left."""
    removed: tuple[str, ...]
    redefined: tuple[str, ...]
    """Kept, but with other settings under the same id: running attempts are of no use."""


class Fleet:
    """State of every check. ``draw`` returns floats in [0, 1) and decides about jitter only."""

    def __init__(self, draw: Draw) -> None:
        self.entries: dict[str, Entry] = {}
        self.running: dict[str, Launch] = {}
        self._schedule = Schedule()
        self._draw = draw

    # --- configuration -------------------------------------------------------------------------

    def apply(self, checks: Iterable[Check], now: float, left: Mapping[bytes, Kept] | None = None) -> Applied:
        """Make ``checks`` the ones that run. ``left``: what an earlier incarnation left, by check number.

        Equal ids are one check (keepalived would ask the same server the same thing twice).
        """
        wanted = {check.check_id: check for check in checks}
        left = left or {}
        server_up = self._servers(left)
        added, kept, resumed, redefined = [], [], [], []
        removed = [check_id for check_id in self.entries if check_id not in wanted]
        for check_id, check in wanted.items():
            entry = self.entries.get(check_id)
            if entry is not None:
                kept.append(check_id)
                if entry.check != check:
                    redefined.append(check_id)
                    self._redefine(entry, check, now)
                else:
                    self.entries[check_id] = replace(entry, check=check)  # its places may have moved
                continue
            found = left.get(check_number(check_id))
            if found is not None and found.progress.since_at <= now:
                resumed.append(check_id)
                progress = self._resumed(check, found.progress, now)
                text = describe(check, progress) if progress.last_at else ""
            else:
                added.append(check_id)
                # A server that is known keeps its present state under a new check (as keepalived's
                # reload does): editing the check of a dead server must not put it into service.
                up = server_up.get(server_number(check), not check.alpha)
                progress = start(up=up, first_at=first_at(now, check.warmup_s, self._draw), now=now)
                text = ""
            self.entries[check_id] = Entry(check=check, progress=progress, text=text)
            self._schedule.set(check_id, progress.due_at)
        for check_id in removed:
            del self.entries[check_id]
            self._schedule.remove(check_id)
            self.running.pop(check_id, None)
        return Applied(
            added=tuple(added),
            kept=tuple(kept),
            resumed=tuple(resumed),
            removed=tuple(removed),
            redefined=tuple(redefined),
        )

    def _servers(self, left: Mapping[bytes, Kept]) -> dict[int, bool]:
        """Present state of each known server: up when none of its checks is down."""
        states: dict[int, bool] = defaultdict(lambda: True)
        for kept in left.values():
            states[kept.server] &= kept.progress.up
        for entry in self.entries.values():
            states[server_number(entry.check)] &= entry.progress.up
        return dict(states)

    def _resumed(self, check: Check, progress: Progress, now: float) -> Progress:
        longest_s = max(check.delay_loop_s, check.delay_before_retry_s, check.warmup_s)
        due_at = overdue_at(progress.due_at, now, check.delay_loop_s, self._draw)
        if due_at > now + 2 * longest_s:
            due_at = regular_at(progress.grid_at, check.delay_loop_s, now, check.delay_loop_s)
        if progress.url_index >= max(1, len(check.urls)):
            progress = replace(progress, url_index=0, failed_url=None)
        return replace(progress, due_at=due_at)

    def _redefine(self, entry: Entry, check: Check, now: float) -> None:
        """Other settings under the same id (the identity does not cover them): keep the state."""
        check_id = check.check_id
        progress = self._resumed(check, entry.progress, now)
        if check.delay_loop_s != entry.check.delay_loop_s and progress.has_run:
            progress = replace(progress, due_at=min(progress.due_at, now + check.delay_loop_s))
            progress = replace(progress, grid_at=progress.due_at)
        self.running.pop(check_id, None)
        self.entries[check_id] = replace(entry, check=check, progress=progress)
        self._schedule.set(check_id, progress.due_at)

    # --- running -------------------------------------------------------------------------------

    def next_at(self) -> float | None:
        """When ``launch`` has something to do next."""
        return self._schedule.next_at()

    def launch(self, now: float, limit: int) -> list[Launch]:
        """Attempts to start now, at most ``limit``, those that are due longest first."""
        launches = []
        for check_id in self._schedule.pop_due(now, limit):
            entry = self.entries[check_id]
            urls = entry.check.urls
            url = urls[min(entry.progress.url_index, len(urls) - 1)] if urls else None
            launch = Launch(check=entry.check, url=url, due_at=entry.progress.due_at)
            self.running[check_id] = launch
            launches.append(launch)
        return launches

    def finished(self, launch: Launch, outcome: Outcome, now: float) -> Step | None:
        """An attempt ended. None when it no longer counts (check removed or redefined meanwhile)."""
        check_id = launch.check.check_id
        if self.running.get(check_id) is not launch:
            return None
        del self.running[check_id]
        entry = self.entries[check_id]
        step = after(entry.check, entry.progress, outcome, now)
        self.entries[check_id] = Entry(check=entry.check, progress=step.progress, text=step.text)
        self._schedule.set(check_id, step.progress.due_at)
        return step

    def postpone(self, launch: Launch, now: float) -> None:
        """Try again after one delay_loop, as if the attempt had not been made."""
        check = launch.check
        if self.running.get(check.check_id) is launch:
            del self.running[check.check_id]
        if check.check_id in self.entries and check.check_id not in self._schedule:
            self._schedule.set(check.check_id, now + check.delay_loop_s)

    def overdue(self, now: float, is_late: Callable[[Check], float]) -> int:
        """How many checks wait to be started for longer than ``is_late(check)`` seconds."""
        return sum(
            1
            for check_id, entry in self.entries.items()
            if check_id not in self.running and now - entry.progress.due_at > is_late(entry.check)
        )
