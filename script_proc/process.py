"""The script worker's process: its slice, its life. What it does is in the modules around it.

Tracked scripts (``scripts``), files and processes tell the ``board``, which keeps, publishes and logs what
they say; the ``Notifier`` is fed with what vrrp and ipvs say on the bus.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sys
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass

import zmq

from bus.client import Publisher
from bus.codec import CodecError, loads
from bus.messages import Event, State, VirtualServerState, VrrpGroupState, VrrpInstanceState
from bus.replica import Changed, EventHappened, Fresh, Gap, Snapshot, Stale, Update
from bus.subscriber import Subscriber
from keepalived_conf.model import Place, Script, ScriptSlice
from script_proc.board import Board, Tracker
from script_proc.capabilities import required_capabilities
from script_proc.files import FileTrackers
from script_proc.notifier import STREAMS, Notifier, scripts_of
from script_proc.procs import ProcessTrackers
from script_proc.program import Program
from script_proc.runner import Runner, use_signals_for_children
from script_proc.scripts import TrackedScripts, trackers_of
from script_proc.security import judge
from script_proc.users import program_of, tracked_program
from worker import log as logging
from worker.aio import AioWorker, run_aio
from worker.blackbox import BlackBox, BoxError
from worker.clock import boottime
from worker.context import WorkerContext

__all__ = ["main", "required_capabilities", "required_records"]
"""All that the supervisor may know of this package."""

TRACKED_AT_ONCE = 512
"""Tracked scripts that run at the same time. Each is run once at a time, so this many scripts never wait for
each other."""
WANTED_FDS = 8192
JUDGE_S = 0.5
"""How long PREPARE waits for the file systems that scripts are on."""
LAST_WORDS_S = 0.5
"""At a stop: how long after the last thing heard on the bus more is waited for."""
NOTIFY_END_S = 1.0
"""At a stop: how long notify scripts may still run (keepalived: about a second)."""
MAIL_END_S = 3.0
"""At a stop: how long a mail server that answers is waited for. One that is away has ``NOTIFY_END_S``."""
STOP_ROOM_S = 2.0
"""Part of child_wait_time for everything else of a stop."""
BEAT_S = 1.0
_MESSAGES_AT_ONCE = 4
"""What the first of many asks for is not to wait until the last was read."""
_SWITCH_S = 0.0005
"""A thread that starts a program has the interpreter back after so long, however much the loop has to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared:
    generation: int
    wanted: ScriptSlice
    programs: Mapping[str, Program]


class ScriptWorker(AioWorker):
    """See the module."""

    def __init__(self, ctx: WorkerContext) -> None:
        self.ctx = ctx
        self.log = logging.logger(ctx.role)
        self._prepared: _Prepared | None = None
        self._epoch: int | None = None
        self._applied = False
        self._child_wait_time_s = 0.0
        self._subscriber: Subscriber | None = None
        self._heard_at = 0.0
        self._pump_due = False
        self._beat_at = 0.0
        self._judges = futures.ThreadPoolExecutor(max_workers=4, thread_name_prefix="judge")

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        # Scripts that run as root must get root's rights back when they are started: the bounding set
        # stays as it is, and new privileges are allowed.
        for problem in self.ctx.drop_privileges(starts_programs=True):
            self.log.warning("script.privileges", problem=problem)
        use_signals_for_children()
        sys.setswitchinterval(_SWITCH_S)
        _raise_open_files()
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self._fault)
        self.zmq = zmq.Context()
        self.publisher = Publisher(
            self.zmq, role=self.ctx.role, incarnation=self.ctx.incarnation, endpoint=self.ctx.bus_ingress
        )
        self.loop.add_reader(self.publisher.fileno(), self._pump)
        self.board = Board(say=self._say, delete=self._delete, box=self._open_box(), log=self.log)
        self.runner = Runner(name="track", concurrent=TRACKED_AT_ONCE, log=self.log)
        self.scripts = TrackedScripts(
            runner=self.runner, board=self.board, draw=random.SystemRandom().random, log=self.log
        )
        self.files = FileTrackers(self._file_value, self.log)
        self.processes = ProcessTrackers(self._process_value, self.log)
        self.notifier = Notifier(self.ctx, publish=self._say)

    def _open_box(self) -> BlackBox | None:
        effect = "a restarted script worker finds out everything anew"
        if self.ctx.box_fd is None:
            self.log.warning("script.no_box", effect=effect)
            return None
        try:
            return BlackBox.attach(self.ctx.box_fd)
        except (BoxError, OSError) as error:
            self.log.error("script.no_box", reason=str(error), effect=effect)
            return None

    def _fault(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        # A callback of one script or file went wrong: say so and go on with all the others.
        error = context.get("exception")
        self.log.error(
            "script.fault",
            what=context.get("message"),
            exc_info=error if isinstance(error, Exception) else None,
        )

    async def stop(self, *, supervisor_gone: bool) -> None:
        ends = asyncio.gather(self.scripts.close(), self._last_words())
        for result in await asyncio.gather(ends, return_exceptions=True):
            if isinstance(result, BaseException):
                self.log.error("script.fault", what="stop", reason=str(result))
        for close in (self.files.close, self.processes.close, self.runner.close):
            try:
                close()
            except Exception:  # the others are closed all the same
                self.log.exception("script.fault", what="the end of a part")
        self._pump()
        self.loop.remove_reader(self.publisher.fileno())
        self.publisher.close()
        if self._subscriber is not None:
            self.loop.remove_reader(self._subscriber.fileno())
            self._subscriber.close()
        self.zmq.destroy(linger=0)
        self._judges.shutdown(wait=False, cancel_futures=True)
        self.log.info(
            "script.stopped", trackers=len(self.scripts.fleet.entries), supervisor_gone=supervisor_gone
        )

    async def _last_words(self) -> None:
        """vrrp and ipvs have stopped before us: hear what they said, then let what is run for it finish."""
        if self._subscriber is not None:
            self._heard_at = boottime()
            while boottime() - self._heard_at < LAST_WORDS_S and not self._all_stopped():
                await asyncio.sleep(0.02)
                self._pump()
            self._pump()
        mail_s = min(MAIL_END_S, self._child_wait_time_s - STOP_ROOM_S)
        await self.notifier.stop(NOTIFY_END_S, max(NOTIFY_END_S, mail_s))

    def _all_stopped(self) -> bool:
        """Every instance, group and service that is known of has told that it stopped."""
        if self._subscriber is None:
            return True
        ended: list[bool] = []
        for stream in ("s.vrrp", "s.ipvs"):
            for record in self._subscriber.records(stream).values():
                row = record.message
                if isinstance(row, VrrpInstanceState | VrrpGroupState):
                    ended.append(row.state == "INIT")
                elif isinstance(row, VirtualServerState):
                    ended.append(not row.in_kernel)
        return bool(ended) and all(ended)

    # --- configuration -------------------------------------------------------------------------

    def prepare(self, generation: int, payload: bytes) -> str | None:
        try:
            wanted = loads(ScriptSlice, payload)
        except CodecError as error:
            return f"script slice of generation {generation} cannot be read: {error}"
        programs = {script.name: tracked_program(script, wanted.globals) for script in wanted.scripts}
        self._warn(wanted, programs)
        self._prepared = _Prepared(generation=generation, wanted=wanted, programs=programs)
        return None

    def abort(self, generation: int) -> None:
        if self._prepared is not None and self._prepared.generation == generation:
            self._prepared = None

    async def apply(self, generation: int, phase: str) -> str | None:  # noqa: ARG002  (one phase here)
        prepared = self._prepared
        if prepared is None or prepared.generation != generation:
            return f"generation {generation} was not prepared"
        self._prepared = None
        wanted = prepared.wanted
        self.publisher.generation = generation
        self._child_wait_time_s = wanted.globals.child_wait_time_s
        now = boottime()
        left = self.board.left
        # Records first: whatever happens from here on, a successor finds the same trackers.
        self.board.retain(_trackers(wanted), now)
        applied = self.scripts.apply(wanted.scripts, prepared.programs, left)
        self.files.apply(
            wanted.files,
            first_start=self.board.first_start,
            held=self.board.values("file"),
            umask=wanted.globals.umask,
        )
        self.processes.apply(
            wanted.processes,
            held=self.board.values("process"),
            receive_bytes=wanted.globals.process_monitor_rcv_bufs_bytes,
            force=wanted.globals.process_monitor_rcv_bufs_force,
        )
        await self.notifier.apply(wanted, now)
        self._listen(wanted)
        self.board.applied()
        self._applied = True
        if self._epoch is not None:
            self.epoch(self._epoch)
        self._request_pump()
        self.log.info(
            "script.applied",
            generation=generation,
            scripts=len(wanted.scripts),
            files=len(wanted.files),
            processes=len(wanted.processes),
            added=len(applied.added),
            kept=len(applied.kept),
            resumed=len(applied.resumed),
            removed=len(applied.removed),
        )
        return None

    def epoch(self, epoch: int) -> None:
        # An announcement replaces everything that the broker has of us. Before the first apply that
        # would be nothing, and every tracker would be withdrawn: it waits.
        self._epoch = epoch
        if self._applied:
            self._epoch = None
            self.publisher.announce(epoch)
            self._request_pump()

    def _listen(self, wanted: ScriptSlice) -> None:
        if self._subscriber is None and (wanted.targets or wanted.services):
            self._subscriber = Subscriber(self.zmq, endpoint=self.ctx.bus_out, streams=STREAMS)
            self.loop.add_reader(self._subscriber.fileno(), self._pump)

    def _warn(self, wanted: ScriptSlice, programs: Mapping[str, Program]) -> None:
        """Say which scripts cannot be run as things are. None of them refuses the configuration."""
        found: list[tuple[str, Place | None, Program]] = [
            (
                f"vrrp_script {script.name}",
                script.places.get("script") or script.places.get(""),
                programs[script.name],
            )
            for script in wanted.scripts
        ]
        known: dict[Script, Program] = {}
        for purpose, script in scripts_of(wanted):
            if script not in known:
                known[script] = program_of(script, wanted.globals)
                found.append((purpose, None, known[script]))
        asked = {self._judges.submit(judge, program): (purpose, place) for purpose, place, program in found}
        done, slow = futures.wait(asked, timeout=JUDGE_S)
        for one in done:
            purpose, place = asked[one]
            at = str(place) if place is not None else purpose
            error = one.exception()
            if error is not None:
                self.log.error("script.fault", at=at, what="judging a script", reason=str(error))
                continue
            verdict = one.result()
            if not verdict.runnable:
                self.log.warning(
                    "script.not_runnable", at=at, what=purpose, reason=verdict.reason,
                    effect="it is not run until that is mended",
                )  # fmt: skip
            elif verdict.warning:
                self.log.warning("script.insecure", at=at, what=purpose, reason=verdict.warning)
        for one in slow:
            purpose, place = asked[one]
            self.log.warning(
                "script.not_judged", at=str(place) if place is not None else purpose, what=purpose,
                reason="its file system does not answer",
            )  # fmt: skip

    # --- running -------------------------------------------------------------------------------

    def tick(self) -> None:
        now = boottime()
        if self._applied:
            self.scripts.tick()
            self.notifier.tick(now)
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._pump()

    def _file_value(self, name: str, value: int, text: str) -> None:
        self.board.value("file", name, value, text, boottime())

    def _process_value(self, name: str, value: int, text: str) -> None:
        self.board.value("process", name, value, text, boottime())

    def _heard(self, update: Update, now: float) -> None:
        match update:
            case Stale(stream=stream, publisher=publisher, silent_s=silent_s):
                self.log.warning(
                    "script.bus_stale", stream=stream, owner=publisher or "bus", silent_s=round(silent_s, 1)
                )
            case Fresh(stream=stream, publisher=publisher):
                self.log.info("script.bus_fresh", stream=stream, owner=publisher or "bus")
            case Gap(stream=stream, publisher=publisher, lost=lost):
                self.log.warning("script.bus_gap", stream=stream, owner=publisher, lost=lost)
            case Snapshot() | Changed() | EventHappened():
                self._heard_at = now
            case _:
                pass
        try:
            self.notifier.handle(update, now)
        except Exception:
            self.log.exception("script.fault", what=f"news of {type(update).__name__}")

    # --- the bus -------------------------------------------------------------------------------

    def _say(self, message: State | Event) -> None:
        if isinstance(message, State):
            self.publisher.set_state(message)
        else:
            self.publisher.event(message)
        self._request_pump()

    def _delete(self, key: str) -> None:
        self.publisher.delete_state("s.script", key)
        self._request_pump()

    def _request_pump(self) -> None:
        if not self._pump_due:
            self._pump_due = True
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        now = boottime()
        more = self.publisher.pump(now)
        if self._subscriber is not None:
            for update in self._subscriber.pump(now, limit=_MESSAGES_AT_ONCE):
                self._heard(update, now)
            more = more or self._subscriber.more
        if more:
            self._request_pump()


def _trackers(wanted: ScriptSlice) -> list[Tracker]:
    return [
        *trackers_of(wanted.scripts),
        *(Tracker(kind="file", name=one.name) for one in wanted.files),
        *(Tracker(kind="process", name=one.name) for one in wanted.processes),
    ]


def _raise_open_files() -> None:
    """Each running program costs two descriptors here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FDS if hard == resource.RLIM_INFINITY else min(WANTED_FDS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def required_records(wanted: ScriptSlice) -> int:
    """Records of the black box for a slice: one for each tracker, and that it was applied."""
    return len(wanted.scripts) + len(wanted.files) + len(wanted.processes) + 1


def main(ctx: WorkerContext) -> None:
    """Entry point of the role ``script``; returns when told to stop or the supervisor is gone."""
    run_aio(ctx, ScriptWorker(ctx))
