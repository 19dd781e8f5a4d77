"""Programs as processes: started, watched, ended, reaped. The shell around ``jobs``.

On a running loop; all callbacks are called on its thread, and none is called from within ``submit``.
What can hang (looking at a file, executing it) happens in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from script_proc.jobs import Job, Result


def use_signals_for_children() -> None:
    """Once per process, before the first program: let children start with every signal as it is by default.

    What is ignored stays ignored in a program that is executed; what is caught does not. So the signals
    that a worker ignores are caught, by a function that does nothing.
    """
    raise NotImplementedError


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


class Runner:
    """Runs jobs. ``name``: for the log, ``notify`` or ``track``; ``concurrent``: programs at a time."""

    def __init__(self, *, name: str, concurrent: int, log: BoundLogger, waiting_per_key: int = 1000) -> None:
        raise NotImplementedError

    waiting: int
    """Jobs that wait for their turn."""
    active: int
    """Jobs that were started, or are being started, and are not over."""
    given_up: int
    """Jobs dropped because too many of their key waited."""

    def submit(
        self,
        job: Job,
        *,
        on_ended: OnEnded,
        on_started: OnStarted | None = None,
        on_deadline: OnDeadline | None = None,
    ) -> None:
        """Run it when its turn comes; see ``Jobs``. ``Result.good``: status 0, in time."""
        raise NotImplementedError

    def adopt(self, job: Job, pid: int, start_ticks: int, started_at: float, *, on_ended: OnEnded) -> bool:
        """Watch a process that an earlier worker started: the key is busy until it ends (its exit status
        is not known: ``status`` None, ``killed_by`` empty, ``why`` "adopted"). False: it is gone, nothing
        is called. Its ``timeout_s`` counts from ``started_at``. ValueError: the key is busy already."""
        raise NotImplementedError

    def terminate(self, key: str, why: str) -> None:
        """TERM, then KILL, for what runs for a key; what waits for it is given up."""
        raise NotImplementedError

    def give_up(self, key: str, why: str) -> None:
        """Drop what waits for a key; what runs goes on."""
        raise NotImplementedError

    def busy(self, key: str) -> bool:
        """Something runs or waits for this key."""
        raise NotImplementedError

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing runs or waits, at most so long. True: all is over."""
        raise NotImplementedError

    async def end_all(self, why: str, timeout_s: float = 1.5) -> bool:
        """Start nothing more, give up what waits, TERM and KILL what runs; wait for its end."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything: no callback any more, what still runs goes on by itself."""
        raise NotImplementedError
