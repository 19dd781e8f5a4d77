"""Programs as processes: started, watched, ended, reaped. The shell around ``jobs``.

On a running loop; all callbacks are called on its thread, and none is called from within ``submit``.
What can hang (looking at a file, executing it) happens in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from structlog.stdlib import BoundLogger

from script_proc.hands import Hands
from script_proc.jobs import (
    DeadlinePassed,
    Effect,
    Job,
    Jobs,
    Kill,
    Over,
    Result,
    Run,
    Start,
    Terminate,
)
from script_proc.launch import (
    Launched,
    Refused,
    group_exists,
    launch,
    living_groups,
    reap,
    start_ticks,
    use_signals_for_children,
)
from script_proc.security import Judgement
from script_proc.watch import Output, Outputs
from worker.clock import boottime

__all__ = ["Job", "Result", "Runner", "Started", "use_signals_for_children"]

STARTS_AT_ONCE = 2
"""Threads that start programs at a time: more would keep the loop from its turn."""
_STUCK_S = 0.5
"""A start that takes longer hangs, and does not keep others from theirs."""
_STALL_S = 0.5
"""A timer that fires later than this: this process was stopped, or the machine suspended."""
_SWEEP_S = 0.05
_FIRST_SWEEP_S = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A job's process exists: enough to find it again after a restart of this worker."""

    job: Job
    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: pid and this name a process for ever (until a reboot)."""
    started_at: float


OnStarted = Callable[[Started], None]
OnDeadline = Callable[[Job], None]
"""It did not end in time: for who must know at that moment, not when it is gone."""
OnEnded = Callable[[Job, Result], None]
"""Exactly once for each submitted or adopted job, also when it was never started."""


@dataclass(kw_only=True, slots=True)
class _Process:
    """What belongs to one run."""

    on_ended: OnEnded
    on_started: OnStarted | None = None
    on_deadline: OnDeadline | None = None
    launched: Launched | None = None
    adopted_pidfd: int = -1
    adopted_ticks: int = 0
    output: Output | None = None
    reaped: bool = False


class Runner:
    """Runs jobs. ``name``: for the log, ``notify`` or ``track``; ``concurrent``: programs at a time.

    How each job ended is for its owner to log; here is logged what is wrong with a program (once per
    change), and what had to be ended.
    """

    def __init__(self, *, name: str, concurrent: int, log: BoundLogger, waiting_per_key: int = 1000) -> None:
        self.name = name
        self.log = log
        self._jobs = Jobs(concurrent=concurrent, waiting_per_key=waiting_per_key)
        self._loop = asyncio.get_running_loop()
        self._hanging: set[Run] = set()
        """Starts that do not come to an end; each holds a thread."""
        self._processes: dict[Run, _Process] = {}
        self._told: dict[Run, _Process] = {}
        """Over for their owner, but their process is still to be reaped."""
        self._asked: dict[Job, _Process] = {}
        self._to_start: deque[Run] = deque()
        self._starting: set[Run] = set()
        """Threads are at them; without those that hang."""
        self._judged: dict[tuple[str, int], Judgement | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._outputs = Outputs(self._loop)
        self._hands = Hands(f"start {name}", spare=STARTS_AT_ONCE)
        self._untold = 0
        """Callbacks that are on their way."""
        self._changed = asyncio.Event()
        self._closed = False

    # --- what others want ----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Jobs that wait for their turn."""
        return self._jobs.waiting

    @property
    def active(self) -> int:
        """Jobs that were started, or are being started, and are not over."""
        return self._jobs.active

    @property
    def given_up(self) -> int:
        """Jobs dropped because too many of their key waited."""
        return self._jobs.given_up

    def submit(
        self,
        job: Job,
        *,
        on_ended: OnEnded,
        on_started: OnStarted | None = None,
        on_deadline: OnDeadline | None = None,
    ) -> None:
        """Run it when its turn comes; see ``Jobs``. ``Result.good``: status 0, in time."""
        process = _Process(on_ended=on_ended, on_started=on_started, on_deadline=on_deadline)
        self._asked[job] = process
        self._carry_out(self._jobs.submit(job, boottime()))

    def adopt(
        self,
        job: Job,
        pid: int,
        start_ticks: int,
        started_at: float,
        *,
        on_ended: OnEnded,
        on_deadline: OnDeadline | None = None,
    ) -> bool:
        """Watch a process that an earlier worker started: the key is busy until it ends (its exit status
        is not known: ``status`` None, ``killed_by`` empty). False: it is gone, nothing is called. Its
        ``timeout_s`` counts from ``started_at``. ValueError: the key is busy already."""
        pidfd = self._find(pid, start_ticks)
        if pidfd < 0:
            return False
        process = _Process(
            on_ended=on_ended, on_deadline=on_deadline, adopted_pidfd=pidfd, adopted_ticks=start_ticks
        )
        try:
            run, effects = self._jobs.adopt(job, pid, started_at, boottime())
        except ValueError:
            os.close(pidfd)
            raise
        self._processes[run] = process
        self._loop.add_reader(pidfd, self._ended, run)
        self._carry_out(effects)
        return True

    def terminate(self, key: str, why: str) -> None:
        """TERM, then KILL, for what runs for a key; what waits for it is given up."""
        self._carry_out(self._jobs.terminate(key, why, boottime()))

    def give_up(self, key: str, why: str) -> None:
        """Drop what waits for a key; what runs goes on."""
        self._carry_out(self._jobs.give_up(key, why, boottime()))

    def busy(self, key: str) -> bool:
        """Something runs or waits for this key."""
        return self._jobs.busy(key)

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing runs or waits, at most so long. True: all is over, and told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._jobs.active or self._jobs.waiting or self._untold:
                    self._changed.clear()
                    await self._changed.wait()
        return not (self._jobs.active or self._jobs.waiting)

    async def end_all(self, why: str, timeout_s: float = 1.5) -> bool:
        """Start nothing more, give up what waits, TERM and KILL what runs; wait for its end."""
        self._jobs.hold()
        for key in self._jobs.names():
            self.terminate(key, why)
        return await self.drain(timeout_s)

    def close(self) -> None:
        """Let go of everything: no callback any more, what still runs goes on by itself."""
        if self._closed:
            return
        self._closed = True
        self._jobs.hold()
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        for process in [*self._processes.values(), *self._told.values()]:
            self._forget(process)
        self._processes.clear()
        self._told.clear()
        self._outputs.close()
        self._hands.close()

    # --- effects -------------------------------------------------------------------------------

    def _carry_out(self, effects: list[Effect]) -> None:
        start = False
        for effect in effects:
            match effect:
                case Start(run=run):
                    self._processes[run] = self._asked.pop(run.job)
                    self._to_start.append(run)
                    start = True
                case DeadlinePassed(run=run):
                    self._log_end("script.late", run)
                    if (tell := self._processes[run].on_deadline) is not None:
                        self._tell(tell, run.job)
                case Terminate(run=run):
                    self._signal(run, signal.SIGTERM)
                case Kill(run=run):
                    self._signal(run, signal.SIGKILL)
                case Over(run=run, result=result):
                    self._over(run, result)
        if start:
            # After what is told meanwhile: whoever keeps a record of the last one has written it by then.
            self._loop.call_soon(self._start_some)
        self._arm()

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        self._untold += 1
        self._loop.call_soon(self._tell_now, callback, arguments)

    def _tell_now(self, callback: Callable[..., None], arguments: tuple[object, ...]) -> None:
        self._untold -= 1
        self._call(callback, arguments)
        self._changed.set()

    def _call(self, callback: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if self._closed:
            return
        try:
            callback(*arguments)
        except Exception:  # the fault of one owner must not stop the others
            self.log.exception("script.callback_failed", runner=self.name)

    def _over(self, run: Run, result: Result) -> None:
        process = self._processes.pop(run, None) or self._asked.pop(run.job)
        if process.output is not None:
            result = replace(result, output=process.output.text())
        if run.pid and not process.reaped:
            self._told[run] = process
            self.log.error("script.stuck", purpose=run.job.purpose, pid=run.pid, why=result.why)
        elif run.starting_at and not run.pid:
            self._told[run] = process  # its start may hang; should it come about, it is ended at once
        self._tell(process.on_ended, run.job, result)

    def _signal(self, run: Run, number: signal.Signals) -> None:
        process = self._processes.get(run) or self._told.get(run)
        if process is None:
            return
        try:
            if process.reaped:
                # Its own number is free again, but not as long as its group has members.
                if not os.path.exists(f"/proc/{run.pid}"):
                    os.killpg(run.pid, number)
            elif process.launched is not None:
                os.killpg(run.pid, number)
            else:
                signal.pidfd_send_signal(process.adopted_pidfd, number)
                if start_ticks(run.pid) == process.adopted_ticks:
                    os.killpg(run.pid, number)
        except ProcessLookupError:
            pass
        except OSError as error:
            self.log.warning("script.not_ended", purpose=run.job.purpose, pid=run.pid, reason=error.strerror)

    def _arm(self) -> None:
        next_at = self._jobs.next_at()
        if next_at == self._timer_at or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = next_at
        self._timer = None
        if next_at is not None:
            self._timer = self._loop.call_later(max(0.0, next_at - boottime()), self._tick)

    def _tick(self) -> None:
        now = boottime()
        late_s = 0.0 if self._timer_at is None else now - self._timer_at
        self._timer = self._timer_at = None
        for run in self._jobs.due(now):
            # Timers come before what is readable. Who ended while this process had no turn was in time; and
            # where it had none for long, the whole machine may have stood still: then nobody is late yet.
            if not self._has_ended(run) and late_s > _STALL_S:
                self._jobs.once_more(run, now)
        self._carry_out(self._jobs.tick(boottime()))

    def _has_ended(self, run: Run) -> bool:
        """Its process has, and is dealt with now."""
        process = self._processes.get(run)
        if process is None:
            return True
        pidfd = process.launched.pidfd if process.launched is not None else process.adopted_pidfd
        look = select.poll()
        look.register(pidfd, select.POLLIN)
        if not look.poll(0):
            return False
        self._ended(run)
        return True

    # --- starting ------------------------------------------------------------------------------

    def _start_some(self) -> None:
        while self._to_start and len(self._starting) < STARTS_AT_ONCE and not self._closed:
            run = self._to_start.popleft()
            if run.phase != "starting":
                # Told to end before its turn to be started came.
                self._not_started(run, "", trouble=True)
                continue
            if len(self._hanging) >= self._jobs.concurrent:
                self._not_started(run, f"{len(self._hanging)} programs hang while they start", trouble=True)
                continue
            self._starting.add(run)
            self._jobs.launching(run, boottime())
            stuck = self._loop.call_later(_STUCK_S, self._stuck, run)
            try:
                self._hands.give(partial(self._launch, run, stuck))
            except RuntimeError:
                stuck.cancel()
                self._starting.discard(run)
                self._not_started(run, "this process may not have another thread", trouble=True)
        self._arm()

    def _not_started(self, run: Run, why: str, *, trouble: bool) -> None:
        self._carry_out(self._jobs.refused(run, why, boottime(), trouble=trouble))
        self._told.pop(run, None)

    def _launch(self, run: Run, stuck: asyncio.TimerHandle) -> None:
        """In a thread."""
        outcome: Launched | Refused
        try:
            outcome = launch(run.job.program, run.job.arguments)
        except Exception as error:  # noqa: BLE001 - one program that cannot be started stops no other
            outcome = Refused(
                why=f"{type(error).__name__}: {error}", judgement=Judgement(command=(), runnable=False)
            )
        with contextlib.suppress(RuntimeError):  # the loop is closed: this process leaves
            self._loop.call_soon_threadsafe(self._outcome, run, outcome, stuck)

    def _stuck(self, run: Run) -> None:
        self.log.warning("script.start_hangs", purpose=run.job.purpose, program=run.job.program.path)
        self._starting.discard(run)
        self._hanging.add(run)
        self._start_some()

    def _outcome(self, run: Run, outcome: Launched | Refused, stuck: asyncio.TimerHandle) -> None:
        if self._closed:
            if isinstance(outcome, Launched):
                self._forget(_Process(on_ended=_nobody, launched=outcome))
                os.close(outcome.output)
            return
        stuck.cancel()
        self._starting.discard(run)
        self._hanging.discard(run)
        self._loop.call_soon(self._hands.refill)
        self._note(run, outcome)
        if isinstance(outcome, Refused):
            self._not_started(run, outcome.why, trouble=outcome.trouble)
        else:
            process = self._processes.get(run) or self._told[run]
            process.launched = outcome
            process.output = self._outputs.open(outcome.output)
            pid = outcome.pid
            effects = self._jobs.started(run, pid, outcome.started_at)
            if process.on_started is not None and run.phase != "over":
                started = Started(
                    job=run.job, pid=pid, start_ticks=outcome.start_ticks, started_at=run.started_at
                )
                self._call(process.on_started, (started,))
            self._loop.add_reader(outcome.pidfd, self._ended, run)
            self._carry_out(effects)
        self._start_some()

    # --- ending --------------------------------------------------------------------------------

    def _ended(self, run: Run) -> None:
        """The process of a run ended (its pidfd is readable)."""
        process = self._processes.get(run) or self._told.pop(run)
        status: int | None = None
        killed_by = ""
        if (launched := process.launched) is not None:
            code = reap(launched.pid)
            if code is None:
                return
            status, killed_by = (code, "") if code >= 0 else (None, _signal_name(-code))
        if process.output is not None:
            process.output.finish()
        process.reaped = True
        self._forget(process)
        group_left = run.phase in ("ending", "killed") and group_exists(run.pid)
        effects = self._jobs.exited(
            run, boottime(), status=status, killed_by=killed_by, group_left=group_left
        )
        if run.ended is not None and self._sweeper is None:
            self._sweeper = self._loop.call_later(_FIRST_SWEEP_S, self._sweep)
        self._carry_out(effects)

    def _sweep(self) -> None:
        """Look whether the groups of those that were told to end are gone. Zombies do not count: in a
        container nobody may reap them."""
        self._sweeper = None
        left = [run for run in self._processes if run.ended is not None and group_exists(run.pid)]
        living = living_groups() if left else set()
        for run in [run for run in self._processes if run.ended is not None]:
            if run.pid not in living:
                self._carry_out(self._jobs.group_gone(run, boottime()))
        if living.intersection(run.pid for run in left) and not self._closed:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _forget(self, process: _Process) -> None:
        """Close what watches a process."""
        if process.launched is not None:
            self._loop.remove_reader(process.launched.pidfd)
            with contextlib.suppress(OSError):
                os.close(process.launched.pidfd)
        if process.adopted_pidfd >= 0:
            self._loop.remove_reader(process.adopted_pidfd)
            os.close(process.adopted_pidfd)
            process.adopted_pidfd = -1

    @staticmethod
    def _find(pid: int, ticks: int) -> int:
        """A pidfd of exactly this process, or -1."""
        if pid <= 1:
            return -1
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return -1
        if start_ticks(pid) == ticks:
            return pidfd
        os.close(pidfd)
        return -1

    # --- log -----------------------------------------------------------------------------------

    def _note(self, run: Run, outcome: Launched | Refused) -> None:
        """Log what is to be said about a program, once per change."""
        program = run.job.program
        key = (program.path, -1 if program.identity is None else program.identity.uid)
        known = key in self._judged
        before, now = self._judged.get(key), outcome.judgement
        if isinstance(outcome, Refused):
            now = replace(now, command=(), reason=outcome.why)
        if known and before == now:
            return
        self._judged[key] = now
        where = {"program": program.path, "purpose": run.job.purpose}
        if isinstance(outcome, Refused):
            self.log.warning("script.unusable", **where, reason=now.reason)
        elif known and before is not None and before.reason:
            self.log.info("script.usable_again", **where)
        if now.warning and (before is None or before.warning != now.warning):
            self.log.warning(
                "script.insecure", **where, reason=now.warning, hint="enable_script_security forbids it"
            )
        if isinstance(outcome, Launched) and outcome.by_shell and not known:
            self.log.warning("script.no_interpreter", **where, hint="its first line should be #!/bin/sh")

    def _log_end(self, event: str, run: Run) -> None:
        # A tracked script that hangs says so through its value; each run in the log would flood it.
        write = self.log.debug if self.name == "track" else self.log.warning
        write(event, purpose=run.job.purpose, program=run.job.program.path, pid=run.pid, why=run.why)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _nobody(_job: Job, _result: Result) -> None:
    pass
