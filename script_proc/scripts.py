"""Tracked scripts as programs: the shell around ``track``.

Each run is noted in the black box before it is started and with its pid once it is. So the successor of a
killed worker knows what still runs: it waits for it until the deadline, from which on the script is bad. How
one ended before that nobody knows, so the script is run anew at once. It is ended at once and run anew where
its deadline may not count: nobody reads what it writes, and who writes much waits for that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from structlog.stdlib import BoundLogger

from keepalived_conf.model import VrrpScript
from script_proc.board import Board, Tracker
from script_proc.jobs import Job
from script_proc.jobs import Result as Ended
from script_proc.ledger import STARTING, TrackerRecord, stored_key
from script_proc.orphans import Orphan, find_orphans
from script_proc.program import Program
from script_proc.runner import OnDeadline, OnEnded, OnStarted, Started
from script_proc.schedule import Draw, Result, Verdict, same_program
from script_proc.track import Applied, Fleet, Launch, number_of, record_of
from worker.clock import boottime

_NOBODY = Program(command=("-",), identity=None, problem="left by an earlier worker")
_WORKED_S = 1.0
"""Who beat so short a time ago did not hang: that is seen after three heartbeats (1.2 s)."""
_LITTLE = 2048
"""Octets of last words, of which 4096 are kept; a pipe holds at least so much."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Programs(Protocol):
    """What is needed of ``runner.Runner``."""

    def submit(
        self,
        job: Job,
        *,
        on_ended: OnEnded,
        on_started: OnStarted | None = None,
        on_deadline: OnDeadline | None = None,
    ) -> None: ...

    def adopt(
        self,
        job: Job,
        pid: int,
        start_ticks: int,
        started_at: float,
        *,
        on_ended: OnEnded,
        on_deadline: OnDeadline | None = None,
    ) -> bool: ...

    def terminate(self, key: str, why: str) -> None: ...

    async def end_all(self, why: str, timeout_s: float = 1.5) -> bool: ...


class TrackedScripts:
    """All vrrp_scripts of a slice, run on the loop."""

    def __init__(self, *, runner: Programs, board: Board, draw: Draw, log: BoundLogger) -> None:
        self.fleet = Fleet(draw)
        self._runner, self._board, self.log = runner, board, log
        self._programs: Mapping[str, Program] = {}
        self._runs: dict[str, Started] = {}
        self._quiet: set[str] = set()
        """Scripts whose last run wrote little."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False

    # --- configuration -------------------------------------------------------------------------

    def apply(
        self,
        scripts: Iterable[VrrpScript],
        programs: Mapping[str, Program],
        left: Mapping[str, TrackerRecord],
    ) -> Applied:
        """Track ``scripts``, each run as its program of the same name. The board has their records already.

        ``left``: what an earlier incarnation kept, by ``script:NAME`` as it is stored.
        """
        wanted = list(scripts)
        now = boottime()
        known = {script.name: left[key] for script in wanted if (key := stored_key(_key(script))) in left}
        before = dict(self.fleet.entries)
        applied = self.fleet.apply(wanted, now, known)
        self._quiet &= {
            n for n in applied.kept if same_program(before[n].script, self.fleet.entries[n].script)
        }
        self._programs = programs
        self._take_over(wanted, left, now)
        for launch in applied.end:
            self._runner.terminate(_key(launch.script), "the configuration has changed")
        for name in self.fleet.entries:
            self._keep(name)
        self._run_due()
        return applied

    def _take_over(self, wanted: Iterable[VrrpScript], left: Mapping[str, TrackerRecord], now: float) -> None:
        """Go on with what an earlier worker had running, or end it; the next run waits for that."""
        scripts = {stored_key(_key(script)): script for script in wanted}
        same = {key for key in left if key in scripts and left[key].program == number_of(scripts[key])}
        running = {
            key: Orphan(pid=record.pid, start_ticks=record.pid_started)
            for key, record in left.items()
            if record.pid > STARTING
        }
        unknown = {key: scripts[key].script.command for key in same if left[key].pid == STARTING}
        if unknown:
            running |= find_orphans(unknown)
        self._quiet.update(scripts[key].name for key in same if left[key].quiet)
        worked = now - self._board.former_beat_at < _WORKED_S
        for key, orphan in running.items():
            judged = left[key].last_at >= orphan.start_ticks / _TICKS_PER_S  # its deadline has passed
            if key in same and left[key].quiet and worked and not judged:
                self._continue(scripts[key], orphan, now)
            else:
                self._end(_key(scripts[key]) if key in scripts else key, orphan, now)

    def _continue(self, script: VrrpScript, orphan: Orphan, now: float) -> None:
        started_at = orphan.start_ticks / _TICKS_PER_S
        launch = self.fleet.adopt(script.name, started_at)
        job = _left_job(_key(script), now, script.timeout_s)
        run = Started(job=job, pid=orphan.pid, start_ticks=orphan.start_ticks, started_at=started_at)
        self._runs[script.name] = run
        if self._runner.adopt(
            job,
            orphan.pid,
            orphan.start_ticks,
            started_at,
            on_ended=partial(self._gone, launch),
            on_deadline=partial(self._late, launch),
        ):
            self.log.info("script.left_over", tracker=job.key, program_pid=orphan.pid, effect="waited for")
        else:
            del self._runs[script.name]
            self.fleet.ended(launch, now)

    def _end(self, key: str, orphan: Orphan, now: float) -> None:
        job = _left_job(key, now)
        if self._runner.adopt(job, orphan.pid, orphan.start_ticks, now, on_ended=_nothing):
            self.log.info(
                "script.left_over", tracker=key, program_pid=orphan.pid, effect="ended, then run anew"
            )
            self._runner.terminate(key, "left by an earlier worker")

    def _gone(self, launch: Launch, *_: object) -> None:
        """One that an earlier worker had started; after its deadline it has been judged."""
        self._runs.pop(launch.script.name, None)
        self.fleet.ended(launch, boottime())
        self._keep(launch.script.name)
        self._run_due()

    # --- running -------------------------------------------------------------------------------

    def tick(self) -> None:
        """With each heartbeat. Looks whether something is due: a suspend does not count for the timers."""
        self._board.beat(boottime())
        self._run_due()

    def _run_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopping:
            return
        now = boottime()
        for launch in self.fleet.launch(now):
            try:
                self._run(launch)
            except Exception:
                # The script must not silently be the one that never runs again.
                self.log.exception("script.fault", script=launch.script.name)
                self._judge(launch, Result(verdict=Verdict.UNJUDGED, text="internal fault, see the log"))
                self.fleet.ended(launch, now)
        next_at = self.fleet.next_at()
        if next_at is not None:
            # The loop's timers may fire a millisecond early: never spin on what is not yet due.
            delay_s = max(next_at - boottime(), 0.001)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._run_due)

    def _run(self, launch: Launch) -> None:
        script = launch.script
        job = Job(
            key=_key(script),
            purpose=f"vrrp_script {script.name}",
            program=self._programs[script.name],
            asked_at=launch.started_at,
            timeout_s=script.timeout_s,
        )
        record = self._board.record("script", script.name)
        if record is not None:
            self._board.keep(job.key, replace(record, pid=STARTING, pid_started=0))
        self._runner.submit(
            job,
            on_started=partial(self._started, launch),
            on_deadline=partial(self._late, launch),
            on_ended=partial(self._ended, launch),
        )

    def _started(self, launch: Launch, run: Started) -> None:
        self._runs[launch.script.name] = run
        record = self._board.record("script", launch.script.name)
        if record is not None:
            self._board.keep(_key(launch.script), replace(record, pid=run.pid, pid_started=run.start_ticks))

    def _late(self, launch: Launch, _: Job) -> None:
        if launch.script.name not in self._runs:
            return  # not started yet: whether that is its fault is seen when it is over
        text = f"no end within {launch.script.timeout_s:g} s"
        self._judge(launch, Result(verdict=Verdict.BAD, text=text))

    def _ended(self, launch: Launch, _: Job, ended: Ended) -> None:
        name = launch.script.name
        self._runs.pop(name, None)
        if ended.started:
            (self._quiet.add if len(ended.output.encode()) < _LITTLE else self._quiet.discard)(name)
        entry = self.fleet.entries.get(name)
        decided = entry is not None and entry.progress.decided
        self._judge(launch, judgement(ended, decided=decided))
        self.fleet.ended(launch, boottime())
        self._keep(name)
        self._run_due()

    def _judge(self, launch: Launch, result: Result) -> None:
        now = boottime()
        step = self.fleet.judged(launch, result, now)
        if step is not None:
            name = launch.script.name
            self._board.found(f"script:{name}", self._record(name), now, notable=step.notable)

    def _keep(self, name: str) -> None:
        if name in self.fleet.entries:
            self._board.keep(f"script:{name}", self._record(name))

    def _record(self, name: str) -> TrackerRecord:
        run = self._runs.get(name)
        if run is not None:
            pid, ticks = run.pid, run.start_ticks
        else:
            pid, ticks = (STARTING if name in self.fleet.running else 0), 0
        record = record_of(self.fleet.entries[name], pid=pid, pid_started=ticks)
        return replace(record, quiet=name in self._quiet)

    async def close(self) -> None:
        """End what runs; nothing is judged any more."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        self.fleet.stop()
        await self._runner.end_all("pykeepalived stops")


def judgement(ended: Ended, *, decided: bool) -> Result:
    """What the end of a run says of its script. ``decided``: the script has been run before.

    One that was never run and cannot be is not bad, as in keepalived: it is not known. One that could be
    run and now cannot is.
    """
    if ended.good:
        return Result(verdict=Verdict.GOOD, text="exit status 0")
    if not ended.started and ended.status is None:
        if ended.late and not ended.trouble:
            return Result(verdict=Verdict.BAD, text=ended.why)
        verdict = Verdict.BAD if decided and not ended.trouble else Verdict.UNJUDGED
        return Result(verdict=verdict, text=ended.why or "not started")
    if ended.late and ended.started:
        # Its deadline passed before it was started: that was us.
        return Result(verdict=Verdict.UNJUDGED, text="started too late to end in time")
    if ended.killed_by:
        text = f"ended by {ended.killed_by}"
    elif ended.status is not None:
        text = f"exit status {ended.status}"
    else:
        text = ended.why or "how it ended is not known"
    return Result(verdict=Verdict.BAD, text=text)


def _key(script: VrrpScript) -> str:
    return f"script:{script.name}"


def _left_job(key: str, now: float, timeout_s: float | None = None) -> Job:
    return Job(
        key=key, purpose="left by an earlier worker", program=_NOBODY, asked_at=now, timeout_s=timeout_s
    )


def _nothing(_: Job, __: Ended) -> None:
    """What an earlier worker had running says nothing."""


def trackers_of(scripts: Iterable[VrrpScript]) -> list[Tracker]:
    return [Tracker(kind="script", name=script.name, interval_s=script.interval_s) for script in scripts]
