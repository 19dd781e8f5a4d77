"""Scripts that read FIFOs: started with the FIFO, started again when they end, continued by a successor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from keepalived_conf.model import GlobalDefs
from script_proc.desk import Desk
from script_proc.jobs import Job, Result
from script_proc.notify import FifoPlan
from script_proc.program import Program
from script_proc.runner import Runner, Started
from script_proc.users import program_of

BACKOFF_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
HEALTHY_S = 60.0
"""One that ran for so long begins again with the first back-off."""
AT_ONCE = 8


@dataclass(slots=True)
class _Reader:
    job: Job
    failures: int = 0
    start_at: float | None = None
    """None: it runs."""


class FifoReaders:
    """``ended`` is told of each end."""

    def __init__(
        self,
        *,
        desk: Desk,
        log: BoundLogger,
        clock: Callable[[], float],
        ended: Callable[[Job, Result], None],
    ) -> None:
        self._desk, self._log, self._clock, self._tell_ended = desk, log, clock, ended
        self._runner = Runner(name="fifo", concurrent=AT_ONCE, log=log)
        self._readers: dict[str, _Reader] = {}

    def apply(self, plans: Iterable[FifoPlan], settings: GlobalDefs) -> None:
        """These and no others. One whose program is the same goes on."""
        now = self._clock()
        wanted: dict[str, Job] = {}
        for plan in plans:
            if plan.script is not None:
                wanted[plan.path] = Job(
                    key=f"fifo {plan.path}",
                    purpose=f"fifo {plan.path}",
                    program=program_of(plan.script, settings),
                    arguments=(plan.path,),
                    asked_at=now,
                )
        for path in self._readers.keys() - wanted.keys():
            self._end(path, "no longer configured")
        for path in self._desk.book.readers.keys() - wanted.keys() - self._readers.keys():
            # Of a predecessor: watched just to be ended.
            left = self._desk.book.readers[path]
            job = Job(
                key=f"fifo {path}",
                purpose=f"fifo {path}",
                program=Program(command=("",), identity=None),
                asked_at=now,
            )
            if self._runner.adopt(job, left.pid, left.start_ticks, left.started_at, on_ended=self._ended):
                self._runner.terminate(job.key, "no longer configured")
            else:
                self._desk.commit("reader", path, 0, 0, 0.0)
        for path, job in wanted.items():
            there = self._readers.get(path)
            if there is not None and there.job.program == job.program:
                continue
            if there is not None:
                self._end(path, "another script is configured")
            self._begin(path, job, now)

    def _begin(self, path: str, job: Job, now: float) -> None:
        reader = self._readers[path] = _Reader(job)
        left = self._desk.book.readers.get(path)
        if left is not None and not self._runner.busy(job.key):
            if self._runner.adopt(job, left.pid, left.start_ticks, left.started_at, on_ended=self._ended):
                self._log.info("fifo.script_continued", path=path, pid=left.pid)
                return
            self._desk.commit("reader", path, 0, 0, 0.0)
        # The former one of this path may be at its end still: the runner lets this one wait.
        reader.start_at = now
        self._start(path, reader)

    def tick(self, now: float) -> None:
        """Start those whose time has come."""
        for path, reader in list(self._readers.items()):
            if reader.start_at is not None and now >= reader.start_at:
                self._start(path, reader)

    def restart(self, path: str) -> None:
        """Its FIFO is another file now."""
        reader = self._readers.get(path)
        if reader is not None:
            self._runner.terminate(reader.job.key, "its FIFO was replaced")

    def _start(self, path: str, reader: _Reader) -> None:
        reader.start_at = None

        def started(what: Started) -> None:
            self._log.info("fifo.script_started", path=path, program=what.job.program.path, pid=what.pid)
            self._desk.commit("reader", path, what.pid, what.start_ticks, what.started_at)

        self._runner.submit(reader.job, on_ended=self._ended, on_started=started)

    def _ended(self, job: Job, result: Result) -> None:
        path = job.key.removeprefix("fifo ")
        reader = self._readers.get(path)
        self._tell_ended(job, result)
        if reader is None or reader.job is not job:
            if reader is None:
                self._desk.commit("reader", path, 0, 0, 0.0)
            return
        self._desk.commit("reader", path, 0, 0, 0.0)
        reader.failures = 0 if result.ran_s >= HEALTHY_S else reader.failures + 1
        delay_s = BACKOFF_S[min(reader.failures, len(BACKOFF_S) - 1)]
        reader.start_at = self._clock() + delay_s
        self._log.warning(
            "fifo.script_ended", path=path, program=job.program.path, status=result.status,
            killed_by=result.killed_by, why=result.why, again_in_s=delay_s,
        )  # fmt: skip

    def _end(self, path: str, why: str) -> None:
        reader = self._readers.pop(path)
        self._runner.terminate(reader.job.key, why)

    async def stop(self, timeout_s: float) -> None:
        """End them; those that see the end of their FIFO end by themselves."""
        for reader in self._readers.values():
            reader.start_at = None
        self._readers.clear()
        if not await self._runner.drain(timeout_s):
            await self._runner.end_all("the daemon stops")
        self._runner.close()
