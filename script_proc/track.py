"""All tracked scripts of one worker: which run now, what their results mean, what a reload keeps.

Pure. The shell asks ``launch`` for runs to start, tells ``judged`` what each run says (its end, or that its
time is over) and ``ended`` when nothing of it is left. A script is never run twice at once: what is due
while a run is not gone waits, also after a reload that changed what is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from keepalived_conf.model import VrrpScript
from script_proc.ledger import TrackerRecord, program_number
from script_proc.schedule import (
    Draw,
    DueQueue,
    Progress,
    Result,
    Step,
    after,
    next_at,
    redefined,
    resumed,
    same_program,
    start,
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Launch:
    """One run to start now; equal only to itself."""

    script: VrrpScript
    started_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    script: VrrpScript
    progress: Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What a configuration changed: names."""

    added: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    """New to this incarnation, continued from what an earlier one left."""
    removed: tuple[str, ...] = ()
    end: tuple[Launch, ...] = ()
    """Running, and of no use any more."""


class Fleet:
    """State of every tracked script. ``draw`` returns floats in [0, 1) and decides about jitter only."""

    def __init__(self, draw: Draw) -> None:
        self.entries: dict[str, Entry] = {}
        self.running: dict[str, Launch] = {}
        """Name -> the run that is not gone yet, also of scripts that are not configured any more."""
        self._judged: set[Launch] = set()
        self._queue = DueQueue()
        self._draw = draw

    # --- configuration -------------------------------------------------------------------------

    def apply(self, scripts: Iterable[VrrpScript], now: float, left: Mapping[str, TrackerRecord]) -> Applied:
        """Make ``scripts`` the ones that are tracked. ``left``: what an earlier incarnation kept, by name."""
        wanted = {script.name: script for script in scripts}
        added, kept, continued, end = [], [], [], []
        removed = [name for name in self.entries if name not in wanted]
        for name, script in wanted.items():
            entry, record = self.entries.get(name), left.get(name)
            if entry is not None:
                kept.append(name)
                progress = redefined(entry.script, script, entry.progress, now)
                if not same_program(entry.script, script) and name in self.running:
                    end.append(self.running[name])
            elif record is not None and record.since_at <= now:
                continued.append(name)
                progress = _progress(script, record, now)
            else:
                added.append(name)
                progress = start(script, now, self._draw)
            self.entries[name] = Entry(script=script, progress=progress)
            if name not in self.running:
                self._queue.set(name, progress.due_at)
        for name in removed:
            del self.entries[name]
            self._queue.remove(name)
            if name in self.running:
                end.append(self.running[name])
        self._judged.update(end)
        return Applied(
            added=tuple(added),
            kept=tuple(kept),
            resumed=tuple(continued),
            removed=tuple(removed),
            end=tuple(end),
        )

    # --- running -------------------------------------------------------------------------------

    def next_at(self) -> float | None:
        """When ``launch`` has something to do next."""
        return self._queue.next_at()

    def launch(self, now: float) -> list[Launch]:
        """Runs to start now, those that are due longest first."""
        launches = []
        for name in self._queue.pop_due(now):
            launch = Launch(script=self.entries[name].script, started_at=now)
            self.running[name] = launch
            launches.append(launch)
        return launches

    def adopt(self, name: str, started_at: float) -> Launch:
        """A run that an earlier worker started goes on."""
        launch = Launch(script=self.entries[name].script, started_at=started_at)
        self.running[name] = launch
        self._queue.remove(name)
        return launch

    def judged(self, launch: Launch, result: Result, now: float) -> Step | None:
        """What a run says. None when that counts no more (said before, or removed or changed meanwhile)."""
        name = launch.script.name
        if self.running.get(name) is not launch or launch in self._judged:
            return None
        self._judged.add(launch)
        entry = self.entries[name]
        step = after(entry.script, entry.progress, result, launch.started_at, now)
        self.entries[name] = replace(entry, progress=step.progress)
        return step

    def ended(self, launch: Launch, now: float) -> None:
        """Nothing of the run is left: the script may be run again when it is due; at once if the run has said
        nothing."""
        name = launch.script.name
        if self.running.get(name) is not launch:
            return
        del self.running[name]
        spoke = launch in self._judged
        self._judged.discard(launch)
        entry = self.entries.get(name)
        if entry is None:
            return
        progress = entry.progress
        if not spoke:
            self._queue.set(name, now)
            return
        if progress.due_at <= now and (progress.decided or progress.due_at <= launch.started_at):
            # Points of the grid that passed while it took its time to go are skipped. What a reload made
            # due since it was started is not.
            due_at = next_at(progress.grid_at, entry.script.interval_s, launch.started_at, now)
            progress = replace(progress, due_at=due_at)
            self.entries[name] = replace(entry, progress=progress)
        self._queue.set(name, max(progress.due_at, now))

    def stop(self) -> None:
        """What runs is ended and says nothing any more."""
        self._judged.update(self.running.values())


def record_of(entry: Entry, *, pid: int = 0, pid_started: int = 0) -> TrackerRecord:
    """What to keep of a script, with the program that runs for it."""
    progress = entry.progress
    return TrackerRecord(
        value=progress.value,
        since_at=progress.since_at,
        last_at=progress.last_at,
        text=progress.text,
        grid_at=progress.grid_at,
        due_at=progress.due_at,
        decided=progress.decided,
        successes=progress.successes,
        failures=progress.failures,
        program=number_of(entry.script),
        pid=pid,
        pid_started=pid_started,
    )


def number_of(script: VrrpScript) -> bytes:
    """``program_number`` of a script's command and user."""
    user = (script.user.name, script.user.group or "") if script.user is not None else ("", "")
    return program_number((*user, *script.script.command))


def _progress(script: VrrpScript, record: TrackerRecord, now: float) -> Progress:
    same = record.program == number_of(script)
    value = record.value
    if value is None and script.init_fail:
        value = 0
    progress = Progress(
        value=value,
        since_at=record.since_at,
        grid_at=record.grid_at,
        due_at=record.due_at if same else now,
        decided=record.decided and same,
        successes=record.successes if same else 0,
        failures=record.failures if same else 0,
        last_at=record.last_at,
        text=record.text,
    )
    return resumed(script, progress, now)
