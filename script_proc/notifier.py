"""Who is told of a change, and that nothing of it is lost: scripts, FIFOs, mail. The shell.

Around ``notify`` (what is told to whom), ``hearing`` (what the bus says), ``book`` and ``desk`` (what was
told, what is still to do, kept over a death of this worker), ``fifo``, ``fifo_readers`` and ``mail``. Runs
on the worker's loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from structlog.stdlib import BoundLogger

from bus.messages import Event, NotifyStatus, ScriptEnded, State
from bus.replica import Update
from keepalived_conf.model import GlobalDefs, Script, ScriptSlice
from script_proc.book import Process, Task
from script_proc.desk import Desk
from script_proc.fifo import FifoWriter
from script_proc.fifo_readers import FifoReaders
from script_proc.hearing import Hearing
from script_proc.jobs import Job, Result
from script_proc.mail import Postman
from script_proc.notify import FifoPlan, Line, Mail, Rules, Run, scripts_of
from script_proc.orphans import find_orphans
from script_proc.program import Program
from script_proc.runner import Runner, Started
from script_proc.users import DEFAULT_UMASK, IdentityError, identity, program_of
from worker import log as logging
from worker.clock import boottime
from worker.context import WorkerContext

__all__ = ["STREAMS", "Notifier", "scripts_of"]
"""``scripts_of(slice)``: (what for, Script) of all that may be run, to be judged at PREPARE."""

STREAMS = ("e.vrrp", "s.vrrp", "e.ipvs", "s.ipvs", "e.supervisor")
"""What it must be subscribed to."""
AT_ONCE = 32
"""Notify scripts that run at the same time."""


class Notifier:
    """All methods run on the loop's thread; none raises because of a script, a FIFO or a mail server.

    ``ctx``: it keeps descriptors by ``ctx.control.store`` and finds those of its predecessor in
    ``ctx.kept_fds`` (names that begin with ``notify.``); no record of the black box is used.
    ``publish`` takes states and events for the bus (``ScriptEnded``, ``NotifyStatus``).
    """

    def __init__(self, ctx: WorkerContext, *, publish: Callable[[State | Event], None]) -> None:
        self.log: BoundLogger = logging.logger(ctx.role)
        self._publish = publish
        self._desk = Desk(ctx, self.log)
        self.book = self._desk.book
        self.rules = Rules(socket.gethostname())
        self.hearing = Hearing(
            desk=self._desk,
            rules=self.rules,
            log=self.log,
            perform=self._perform,
            later=asyncio.get_running_loop().call_later,
        )
        self._runner = Runner(name="notify", concurrent=AT_ONCE, log=self.log)
        self._readers = FifoReaders(desk=self._desk, log=self.log, clock=boottime, ended=self._publish_ended)
        self._postman = Postman(desk=self._desk, log=self.log, clock=boottime)
        self._writers: dict[str, FifoWriter] = {}
        self._programs: dict[Script, Program] = {}
        self._early: list[Update] | None = []
        """Updates before the first ``apply``."""
        self._told_status: NotifyStatus | None = None
        self._stopping = False

    # --- configuration -----------------------------------------------------------------------------

    async def apply(self, wanted: ScriptSlice, now: float) -> None:
        """Make a configuration effective. The first time: continue what a predecessor left."""
        first = self._early is not None
        settings = wanted.globals
        self.rules.apply(wanted, now)
        self._programs = {script: program_of(script, settings) for _, script in scripts_of(wanted)}
        if first and not self._desk.continued:
            self._desk.commit("born", _process_started_at())
        self._apply_fifos(settings, now)
        self._readers.apply(self.rules.fifos, settings)
        self._postman.apply(settings)
        if first:
            self._continue()
            early, self._early = self._early or [], None
            for update in early:
                self.handle(update, now)
            self._desk.drop_rest()
        self.tick(now)

    def _apply_fifos(self, settings: GlobalDefs, now: float) -> None:
        plans = {plan.path: plan for plan in self.rules.fifos}
        for path in self._writers.keys() - plans.keys():
            self._writers.pop(path).close()
            self._give_up_lines(path)
        for path in set(self.book.lines) | self.book.made:
            if path not in plans:  # of a predecessor with another configuration
                gone = FifoWriter(_plan_of(path), desk=self._desk, log=self.log)
                gone.open_now(now)
                gone.close()
                self._give_up_lines(path)
        for path, plan in plans.items():
            if path not in self._writers:
                owner = self._owner(plan, settings)
                self._writers[path] = FifoWriter(
                    plan,
                    desk=self._desk,
                    log=self.log,
                    owner=owner,
                    umask=DEFAULT_UMASK if settings.umask is None else settings.umask,
                )
                self._writers[path].open_now(now)

    def _give_up_lines(self, path: str) -> None:
        waiting = self.book.lines.get(path)
        if waiting:
            self.log.warning("fifo.lines_given_up", path=path, lines=len(waiting), why="not configured now")
            self._desk.commit("given_up", *(task.number for task in waiting))
        self.book.lines.pop(path, None)

    def _owner(self, plan: FifoPlan, settings: GlobalDefs) -> tuple[int, int] | None:
        try:
            who = identity(plan.user, plan.group, settings)
        except IdentityError as error:
            self.log.warning("fifo.owner_unknown", path=plan.path, reason=str(error))
            return None
        return who.uid, who.gid

    def _continue(self) -> None:
        """Do what a predecessor left undone. Scripts that it started go on, and are waited for."""
        runs = [task for task in self.book.tasks.values() if isinstance(task.effect, Run)]
        if runs or self.book.mails:
            self.log.info("notify.continued", scripts=len(runs), mails=len(self.book.mails))
        commands: dict[str, tuple[str, ...]] = {}
        heads: dict[str, Task] = {}
        for task in runs:
            assert isinstance(task.effect, Run)
            heads.setdefault(task.effect.key, task)
        for key, task in heads.items():
            if task.process is None and isinstance(task.effect, Run):
                commands[key] = (*task.effect.script.command, *task.effect.arguments)
        # It may have been killed between the start of a script and the note about it.
        for key, orphan in (find_orphans(commands) if commands else {}).items():
            self._desk.commit("started", heads[key].number, orphan.pid, orphan.start_ticks, boottime())
        for task in runs:
            self._run(task)

    # --- what is told --------------------------------------------------------------------------------

    def handle(self, update: Update, now: float) -> None:
        """Anything that a ``Subscriber`` of ``STREAMS`` says. Before the first ``apply``: kept for it."""
        if self._early is not None:
            self._early.append(update)
            return
        try:
            self.hearing.handle(update, now)
        except Exception:
            # One message that cannot be handled must not stop the others.
            self.log.exception("notify.fault", update=type(update).__name__)

    def _perform(self, tasks: list[Task]) -> None:
        fifos: dict[str, None] = {}
        for task in tasks:
            if isinstance(task.effect, Run):
                self._run(task)
            elif isinstance(task.effect, Line):
                fifos[task.effect.fifo] = None
            elif isinstance(task.effect, Mail):
                self._postman.wake()
        for path in fifos:
            writer = self._writers.get(path)
            if writer is not None:
                writer.pump(boottime())

    def _run(self, task: Task) -> None:
        effect = task.effect
        assert isinstance(effect, Run)
        program = self._programs.get(effect.script) or program_of(effect.script, self.rules.settings)
        job = Job(
            key=effect.key,
            purpose=effect.purpose,
            program=program,
            arguments=effect.arguments,
            asked_at=task.at,
        )

        def started(what: Started) -> None:
            self._desk.commit("started", task.number, what.pid, what.start_ticks, what.started_at)
            self.log.debug("script.started", purpose=effect.purpose, program=program.path, pid=what.pid)

        def ended(job: Job, result: Result) -> None:
            if self._stopping and not result.started:
                return  # whoever comes after us finds it in the book
            self._desk.commit("done", task.number)
            self._publish_ended(job, result)

        process = task.process
        if process is not None:
            if not self._adopt(job, process, ended):
                # It ended while nobody looked. It was run, that is what was promised.
                self._desk.commit("done", task.number)
            return
        self._runner.submit(job, on_ended=ended, on_started=started)

    def _adopt(self, job: Job, process: Process, ended: Callable[[Job, Result], None]) -> bool:
        try:
            return self._runner.adopt(
                job, process.pid, process.start_ticks, process.started_at, on_ended=ended
            )
        except ValueError:  # one that hung in the kernel and was not waited for; it was run
            return False

    def _publish_ended(self, job: Job, result: Result) -> None:
        fields = {"purpose": job.purpose, "program": job.program.path, **result.fields()}
        well = result.good or (result.started and result.status is None and not result.why)
        (self.log.info if well else self.log.warning)("script.ended", **fields)
        self._publish(
            ScriptEnded(
                purpose=job.purpose,
                program=job.program.path,
                pid=result.pid,
                status=result.status,
                killed_by=result.killed_by,
                why=result.why,
                waited_s=result.waited_s,
                ran_s=result.ran_s,
                output=result.output,
            )
        )

    # --- time ------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """With every heartbeat."""
        if self._early is not None:
            return
        self.hearing.tick(now)
        for path, writer in self._writers.items():
            writer.tick(now)
            if writer.reopened:
                writer.reopened = False
                self._readers.restart(path)
        self._readers.tick(now)
        status = self.status()
        if status != self._told_status:
            self._told_status = status
            self._publish(status)

    def status(self) -> NotifyStatus:
        """The queues, as published when they change."""
        book = self.book
        return NotifyStatus(
            waiting=self._runner.waiting,
            running=self._runner.active,
            fifo_lines=book.written,
            fifo_waiting=sum(map(len, book.lines.values())),
            fifo_lost=book.lost_lines,
            mails_waiting=len(book.mails),
            mails_sent=book.sent,
            mails_lost=book.lost_mails,
        )

    # --- end -------------------------------------------------------------------------------------------

    async def stop(self, timeout_s: float = 1.0, mail_timeout_s: float = 3.0) -> None:
        """Write what is to be written, let scripts finish for so long, and mails beside them; then end them,
        close FIFOs and remove those that were made here."""
        ends_at = boottime() + timeout_s
        self.hearing.flush(boottime())
        mails = asyncio.create_task(self._postman.drain(mail_timeout_s, timeout_s))
        for writer in self._writers.values():
            writer.pump(boottime())
        await self._runner.drain(timeout_s)
        while any(self.book.lines.values()) and boottime() < ends_at:
            await asyncio.sleep(0.01)  # the loop writes them as their readers make room
        self._stopping = True
        if self._runner.active or self._runner.waiting:
            self.log.warning(
                "notify.cut_short", running=self._runner.active, waiting=self._runner.waiting,
                why=f"scripts have {timeout_s:g} s at a stop",
            )  # fmt: skip
            await self._runner.end_all("the daemon stops")
        self._runner.close()
        waiting = sum(map(len, self.book.lines.values()))
        if waiting:
            self.log.warning("notify.left", lines=waiting)
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        # Without the file open anywhere its reader sees the end, and ends by itself if it is well-behaved.
        await self._readers.stop(0.2)
        await mails
        await self._postman.close()
        self._desk.close()


def _plan_of(path: str) -> FifoPlan:
    return FifoPlan(path=path, user=None, group=None, vrrp=False, lvs=False, script=None)


def _process_started_at() -> float:
    """When this process was forked, CLOCK_BOOTTIME: what happened later is ours to tell."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")
