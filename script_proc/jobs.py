"""Which program runs when: queues, a budget, deadlines. Pure.

Jobs of one key run one after the other, in the order in which they were asked for; jobs of different keys
run side by side, at most ``concurrent`` at a time. Every job is run, none is merged with another; where
more than ``waiting_per_key`` of one key wait, the oldest waiting one is given up.

A job with a time limit is told to end at its deadline (TERM to its process group) and made to end
``KILL_AFTER_S`` later (KILL to the group). It is over when its process has ended and, after a deadline, the
rest of its group too. A process that KILL does not end (it hangs within the kernel) will not run an
instruction of its own any more: it is over ``RELEASE_AFTER_S`` after the KILL, whether or not it is seen to
end. Without a deadline only the process itself counts: what it left in the background is left alone.

Methods take what happened and ``now`` (CLOCK_BOOTTIME seconds) and return effects in the order to carry out.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from script_proc.program import Program

KILL_AFTER_S = 0.75
"""From TERM to KILL (keepalived: 2 s). A quarter of a second is left to reap everything within one."""
RELEASE_AFTER_S = 2.0
"""From KILL to the moment from which a process that still exists no longer counts."""
OUTPUT_LOGGED = 400
"""Characters of a script's last words in its log record."""

Phase = Literal["waiting", "starting", "running", "ending", "killed", "over"]
"""ending: told to (TERM sent, or to be sent once it is started); killed: KILL likewise."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """A program to run once; equal only to itself."""

    key: str
    """What it belongs to: jobs of one key never overlap and keep their order."""
    purpose: str
    """For people: what it is run for, such as ``INSTANCE VI_1 MASTER``."""
    program: Program
    arguments: tuple[str, ...] = ()
    """Behind those of the configuration."""
    asked_at: float
    """When what it is run for happened."""
    timeout_s: float | None = None
    """How long it may run from its start; None: without limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How a job ended."""

    pid: int = 0
    """0: it was never started."""
    status: int | None = None
    """Exit status; None: ended by ``killed_by``, never started, or not known (adopted)."""
    killed_by: str = ""
    """Name of the signal that ended it."""
    why: str = ""
    """Why it was ended or not started; empty when it ended by itself."""
    late: bool = False
    """Its deadline passed."""
    waited_s: float = 0.0
    """From ``asked_at`` to its start."""
    ran_s: float = 0.0
    output: str = ""
    """Its last words, at most 4096 octets."""
    trouble: bool = False
    """Not started because no process, memory or descriptor was left: that says nothing about it."""

    @property
    def started(self) -> bool:
        return self.pid > 0

    @property
    def good(self) -> bool:
        """It was run, in time, and ended with status 0."""
        return self.status == 0 and not self.late

    def fields(self) -> dict[str, object]:
        """For a log record; what says nothing is left out."""
        found: dict[str, object] = {
            "pid": self.pid,
            "status": self.status,
            "ran_s": round(self.ran_s, 3),
            "waited_s": round(self.waited_s, 3),
        }
        more = {"killed_by": self.killed_by, "why": self.why, "output": self.output[-OUTPUT_LOGGED:]}
        return found | {name: text for name, text in more.items() if text}


@dataclass(kw_only=True, slots=True, eq=False)
class Run:
    """A job and where it stands. Read only for everybody but ``Jobs``."""

    job: Job
    number: int
    phase: Phase = "waiting"
    pid: int = 0
    starting_at: float = 0.0
    started_at: float = 0.0
    due_at: float | None = None
    """When something has to be done about it next."""
    why: str = ""
    late: bool = False
    ended: Result | None = None
    """Its process has ended, others of its group have not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Start it; then tell ``started`` or ``refused``."""

    run: Run


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadlinePassed:
    """It did not end in time; what ends it follows."""

    run: Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Terminate:
    """Send TERM to its process group."""

    run: Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """Send KILL to its process group."""

    run: Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Over:
    """Tell whoever asked for it; nothing more is heard of it."""

    run: Run
    result: Result


Effect = Start | DeadlinePassed | Terminate | Kill | Over


@dataclass(slots=True)
class _Key:
    active: Run | None = None
    waiting: deque[Run] = field(default_factory=deque)
    queued: bool = False
    """It is in the line of those that may start."""


class Jobs:
    """See the module. ``concurrent``: programs at a time, over all keys."""

    def __init__(self, *, concurrent: int, waiting_per_key: int = 1000) -> None:
        self.concurrent, self.waiting_per_key = concurrent, waiting_per_key
        self.waiting = 0
        """Jobs that wait for their turn."""
        self.active = 0
        """Jobs that were started, or are being started, and are not over."""
        self.given_up = 0
        """Jobs that were dropped because too many of their key waited."""
        self._keys: dict[str, _Key] = {}
        self._line: deque[str] = deque()
        self._due: list[tuple[float, int, Run]] = []
        self._numbers = itertools.count(1)
        self._holding = False

    # --- what others want ----------------------------------------------------------------------

    def submit(self, job: Job, now: float) -> list[Effect]:
        """Run it when its turn comes."""
        key = self._keys.setdefault(job.key, _Key())
        key.waiting.append(Run(job=job, number=next(self._numbers)))
        self.waiting += 1
        effects: list[Effect] = []
        if len(key.waiting) > self.waiting_per_key:
            self.given_up += 1
            effects.append(self._drop(key, f"more than {self.waiting_per_key} of its kind waited", now))
        self._enqueue(job.key, key)
        return effects + self._start_some(now)

    def adopt(self, job: Job, pid: int, started_at: float, now: float) -> tuple[Run, list[Effect]]:
        """A process that an earlier worker started is still there. ValueError: the key is busy already."""
        key = self._keys.setdefault(job.key, _Key())
        if key.active is not None:
            raise ValueError(f"{job.key}: a program of it is running already")
        run = Run(job=job, number=next(self._numbers), phase="running", pid=pid, starting_at=started_at)
        run.started_at = started_at
        key.active = run
        self.active += 1
        if job.timeout_s is not None:
            self._set_due(run, started_at + job.timeout_s)
        return run, self.tick(now)

    def terminate(self, key_name: str, why: str, now: float) -> list[Effect]:
        """End what runs for a key, and give up what waits for it."""
        key = self._keys.get(key_name)
        if key is None:
            return []
        effects = self.give_up(key_name, why, now)
        if key.active is not None and key.active.phase in ("starting", "running"):
            effects += self._tell_to_end(key.active, why, now)
        return effects

    def give_up(self, key_name: str, why: str, now: float) -> list[Effect]:
        """Drop what waits for a key; what runs goes on."""
        key = self._keys.get(key_name)
        effects: list[Effect] = []
        while key is not None and key.waiting:
            effects.append(self._drop(key, why, now))
        self._tidy(key_name)
        return effects

    def hold(self) -> None:
        """Start nothing more."""
        self._holding = True

    def busy(self, key_name: str) -> bool:
        """Something runs or waits for this key."""
        return key_name in self._keys

    def running(self) -> list[Run]:
        """Everything that was started, or is being started, and is not over."""
        return [key.active for key in self._keys.values() if key.active is not None]

    def names(self) -> list[str]:
        """Keys for which something runs or waits."""
        return list(self._keys)

    # --- what happened -------------------------------------------------------------------------

    def launching(self, run: Run, now: float) -> None:
        """Its start begins. That takes its time too: it must not take for ever. What a busy machine let it
        wait before is not its fault."""
        run.starting_at = now
        if run.job.timeout_s is not None:
            self._set_due(run, now + run.job.timeout_s)

    def started(self, run: Run, pid: int, now: float) -> list[Effect]:
        """Its process exists."""
        run.pid, run.started_at = pid, now
        if run.phase == "starting":
            run.phase = "running"
            if run.job.timeout_s is not None:
                self._set_due(run, now + run.job.timeout_s)
            return []
        # It was told to end while it was being started (a start can hang where a file system does).
        return [Kill(run=run)] if run.phase in ("killed", "over") else [Terminate(run=run)]

    def refused(self, run: Run, why: str, now: float, *, trouble: bool = False) -> list[Effect]:
        """It could not be started. ``trouble``: as in ``Result``."""
        if run.phase == "over":
            return []
        waited_s = self._waited_s(run, now)
        result = Result(why=run.why or why, late=run.late, waited_s=waited_s, trouble=trouble)
        return self._over(run, result, now)

    def exited(
        self, run: Run, now: float, *, status: int | None, killed_by: str = "", group_left: bool = False
    ) -> list[Effect]:
        """Its process ended. ``group_left``: others of its process group are still there."""
        if run.phase == "over":
            return []
        result = Result(
            pid=run.pid,
            status=status,
            killed_by=killed_by,
            why=run.why,
            late=run.late,
            waited_s=self._waited_s(run, now),
            ran_s=max(0.0, now - run.started_at),
        )
        if group_left and run.phase in ("ending", "killed"):
            run.ended = result
            return [Kill(run=run)] if run.phase == "killed" else []
        return self._over(run, result, now)

    def group_gone(self, run: Run, now: float) -> list[Effect]:
        """The last of its process group ended."""
        return [] if run.ended is None or run.phase == "over" else self._over(run, run.ended, now)

    def tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        effects: list[Effect] = []
        while (at := self.next_at()) is not None and at <= now:
            _, _, run = heapq.heappop(self._due)
            run.due_at = None
            if run.phase in ("starting", "running"):
                run.late = True
                effects.append(DeadlinePassed(run=run))
                limit_s = run.job.timeout_s or 0.0
                effects += self._tell_to_end(run, f"did not end within {limit_s:g} s", now)
            elif run.phase == "ending":
                run.phase = "killed"
                if run.pid:
                    effects.append(Kill(run=run))
                self._set_due(run, now + RELEASE_AFTER_S)
            elif run.ended is not None:
                effects += self._over(run, run.ended, now)
            elif run.phase == "killed":
                why = "hangs in the kernel: it will end as soon as that lets it"
                if not run.pid:
                    why = "could not be started in time: what it is on does not answer"
                result = Result(
                    pid=run.pid,
                    why=f"{run.why}; {why}",
                    late=run.late,
                    waited_s=self._waited_s(run, now),
                    ran_s=now - run.started_at if run.pid else 0.0,
                )
                effects += self._over(run, result, now)
        return effects

    def due(self, now: float) -> list[Run]:
        """Those whose time to run is over at ``now``, if they still run."""
        return [run for at, _, run in self._due if at <= now and run.due_at == at and run.phase == "running"]

    def once_more(self, run: Run, now: float) -> None:
        """It may have stood still itself: its time to run begins anew."""
        if run.phase == "running" and run.job.timeout_s is not None:
            self._set_due(run, now + run.job.timeout_s)

    def next_at(self) -> float | None:
        """When ``tick`` has something to do next."""
        while self._due and self._due[0][2].due_at != self._due[0][0]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    # --- within --------------------------------------------------------------------------------

    def _start_some(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while self._line and self.active < self.concurrent and not self._holding:
            name = self._line.popleft()
            key = self._keys.get(name)
            if key is None or not key.queued:
                continue  # all of it was given up meanwhile
            key.queued = False
            run = key.active = key.waiting.popleft()
            self.waiting -= 1
            self.active += 1
            run.phase, run.starting_at = "starting", now
            effects.append(Start(run=run))
        return effects

    def _tell_to_end(self, run: Run, why: str, now: float) -> list[Effect]:
        run.phase, run.why = "ending", why
        self._set_due(run, now + KILL_AFTER_S)
        return [Terminate(run=run)] if run.pid else []

    def _over(self, run: Run, result: Result, now: float) -> list[Effect]:
        run.phase, run.due_at = "over", None
        key = self._keys[run.job.key]
        key.active = None
        self.active -= 1
        self._enqueue(run.job.key, key)
        self._tidy(run.job.key)
        return [Over(run=run, result=result), *self._start_some(now)]

    def _drop(self, key: _Key, why: str, now: float) -> Over:
        run = key.waiting.popleft()
        run.phase = "over"
        self.waiting -= 1
        if not key.waiting:
            key.queued = False
        return Over(run=run, result=Result(why=f"not run: {why}", waited_s=self._waited_s(run, now)))

    def _enqueue(self, name: str, key: _Key) -> None:
        if key.active is None and key.waiting and not key.queued:
            key.queued = True
            self._line.append(name)

    def _tidy(self, name: str) -> None:
        key = self._keys.get(name)
        if key is not None and key.active is None and not key.waiting:
            del self._keys[name]

    def _set_due(self, run: Run, due_at: float) -> None:
        run.due_at = due_at
        heapq.heappush(self._due, (due_at, next(self._numbers), run))

    @staticmethod
    def _waited_s(run: Run, now: float) -> float:
        return max(0.0, (run.started_at or run.starting_at or now) - run.job.asked_at)
