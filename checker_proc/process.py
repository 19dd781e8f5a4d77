"""The checker worker: runs the checks of its slice, keeps their state, tells the bus.

The thin shell around ``fleet`` (decides), ``probes`` (ask) and ``ledger`` (remembers). One timer for
the whole schedule, one task per running attempt, a budget of attempts that run at once.

What a result does, in this order: the record in the black box, the state on the bus, the event, the
log line. A worker killed anywhere in between is continued from the record, and its successor
announces the state again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import time

import zmq

from bus.client import Publisher
from bus.codec import CodecError, loads
from bus.messages import CheckState, HealthChanged
from checker_proc.capabilities import KEYWORDS, required_capabilities
from checker_proc.check import Step
from checker_proc.fleet import Entry, Fleet, Launch
from checker_proc.http import RequestError, build_request
from checker_proc.ledger import CHECKS_PER_RECORD, Kept, Ledger
from checker_proc.outcome import Outcome, Reason, Verdict
from checker_proc.pattern import PatternError, compile_pattern
from checker_proc.probes import PROBES
from keepalived_conf.model import Check, CheckerSlice
from worker import log as logging
from worker import privileges
from worker.aio import AioWorker, run_aio
from worker.blackbox import BlackBox, BoxError
from worker.clock import boottime
from worker.context import WorkerContext

__all__ = ["main", "required_capabilities", "required_records"]
"""All that the supervisor may know of this package."""

MAX_ATTEMPTS = 4000
"""Attempts that run at the same time, if the limit of open files allows."""
RESERVED_FDS = 64
LAUNCHES_PER_TURN = 256
"""Attempts started before the loop gets its turn: heartbeats and results must not wait."""
REFRESH_S = 10.0
"""An unchanged record is published again after this time (or each delay_loop, if that is longer)."""
BEAT_S = 1.0
LATE_S = 1.0
REPORT_LATE_S = 60.0


class Checker(AioWorker):
    """See the module."""

    def __init__(self, ctx: WorkerContext) -> None:
        self.ctx = ctx
        self.log = logging.logger(ctx.role)
        self.fleet = Fleet(random.SystemRandom().random)
        self.ledger = Ledger(0)
        self.tasks: dict[Launch, asyncio.Task[None]] = {}
        self.budget = attempts_budget()
        self._box: BlackBox | None = None
        self._left: dict[bytes, Kept] = {}
        self._prepared: tuple[int, CheckerSlice] | None = None
        self._epoch: int | None = None
        self._applied = False
        self._timer: asyncio.TimerHandle | None = None
        self._published_at: dict[str, float] = {}
        self._pump_due = False
        self._beat_at = 0.0
        self._late_reported_at = float("-inf")

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        for problem in self.ctx.drop_privileges():
            self.log.warning("checker.privileges", problem=problem)
        self.loop = asyncio.get_running_loop()
        self._open_box()
        self.zmq = zmq.Context()
        self.publisher = Publisher(
            self.zmq, role=self.ctx.role, incarnation=self.ctx.incarnation, endpoint=self.ctx.bus_ingress
        )
        self.loop.add_reader(self.publisher.fileno(), self._pump)

    async def stop(self, *, supervisor_gone: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._cancel(list(self.tasks))
        self._pump()
        self.loop.remove_reader(self.publisher.fileno())
        self.publisher.close()
        self.zmq.destroy(linger=0)
        self.log.info("checker.stopped", checks=len(self.fleet.entries), supervisor_gone=supervisor_gone)

    def _open_box(self) -> None:
        if self.ctx.box_fd is None:
            self.log.warning("checker.no_box", effect="a restarted checker starts all checks anew")
            return
        try:
            self._box = BlackBox.attach(self.ctx.box_fd)
        except (BoxError, OSError) as error:
            self.log.error("checker.no_box", reason=str(error))
            return
        self.ledger = Ledger(self._box.records)
        self._left = self.ledger.load(self._box.read)

    # --- configuration -------------------------------------------------------------------------

    def prepare(self, generation: int, payload: bytes) -> str | None:
        try:
            wanted = loads(CheckerSlice, payload)
        except CodecError as error:
            return f"checker slice of generation {generation} cannot be read: {error}"
        for check in wanted.checks:
            problem = problem_of(check)
            if problem is not None:
                return problem
        self._warn(wanted)
        self._prepared = (generation, wanted)
        return None

    def abort(self, generation: int) -> None:
        if self._prepared is not None and self._prepared[0] == generation:
            self._prepared = None

    async def apply(self, generation: int, phase: str) -> str | None:  # noqa: ARG002  (one phase here)
        if self._prepared is None or self._prepared[0] != generation:
            return f"generation {generation} was not prepared"
        _, wanted = self._prepared
        self._prepared = None
        self.publisher.generation = generation
        now = boottime()
        applied = self.fleet.apply(wanted.checks, now, self._left)
        self._left = {}
        # Records first: whatever happens from here on, a successor finds the same checks.
        for index, data in self.ledger.retain(set(self.fleet.entries)):
            self._write(index, data)
        for check_id in self.fleet.entries:
            self._keep(self.fleet.entries[check_id])
        for check_id in (*applied.added, *applied.resumed, *applied.redefined):
            self._publish(self.fleet.entries[check_id], now)
        for check_id in applied.removed:
            self._published_at.pop(check_id, None)
            self.publisher.delete_state("s.checker", check_id)
        self._applied = True
        if self._epoch is not None:
            self.epoch(self._epoch)
        gone = {*applied.removed, *applied.redefined}
        await self._cancel([launch for launch in self.tasks if launch.check.check_id in gone])
        self._request_pump()
        self._run_due()
        self.log.info(
            "checker.applied",
            generation=generation,
            added=len(applied.added),
            kept=len(applied.kept),
            resumed=len(applied.resumed),
            removed=len(applied.removed),
            redefined=len(applied.redefined),
        )
        if self.ledger.without_room and self._box is not None:
            self.log.warning(
                "checker.box_full",
                checks=len(self.fleet.entries),
                room=self.ledger.capacity,
                effect="a restarted checker starts the checks without room anew",
            )
        return None

    def epoch(self, epoch: int) -> None:
        # An announcement replaces everything that the broker has of us. Before the first apply that
        # would be nothing, and every server's health would be withdrawn: it waits.
        self._epoch = epoch
        if self._applied:
            self._epoch = None
            self.publisher.announce(epoch)
            self._request_pump()

    def _warn(self, wanted: CheckerSlice) -> None:
        have = set(privileges.names_of(privileges.effective()))
        for check in wanted.checks:
            for url in check.urls:
                if url.regex is None:
                    continue
                try:
                    compile_pattern(url.regex)
                except PatternError as error:
                    self.log.warning(
                        "checker.bad_regex", at=where(check, "regex"), reason=str(error),
                        effect="the URL is judged without it",
                    )  # fmt: skip
        for keyword, capability, used in KEYWORDS:
            user = next((check for check in wanted.checks if used(check)), None)
            if user is not None and capability not in have:
                self.log.warning(
                    "checker.capability_missing", keyword=keyword, capability=f"CAP_{capability}",
                    at=where(user, keyword), effect="checks that need it may be left unjudged",
                )  # fmt: skip

    # --- running -------------------------------------------------------------------------------

    def tick(self) -> None:
        now = boottime()
        self._run_due()  # a suspend does not count for the loop's timers
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._pump()
        if now - self._late_reported_at >= REPORT_LATE_S and len(self.tasks) >= self.budget:
            late = self.fleet.overdue(now, lambda _: LATE_S)
            if late:
                self._late_reported_at = now
                self.log.warning("checker.behind", late=late, running=len(self.tasks), budget=self.budget)

    def _run_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._applied:
            return
        now = boottime()
        for launch in self.fleet.launch(now, min(LAUNCHES_PER_TURN, self.budget - len(self.tasks))):
            task = self.loop.create_task(self._attempt(launch))
            self.tasks[launch] = task
        next_at = self.fleet.next_at()
        if next_at is not None and len(self.tasks) < self.budget:
            # The loop's timers may fire a millisecond early: never spin on what is not yet due.
            delay_s = next_at - boottime()
            self._timer = self.loop.call_later(max(delay_s, 0.001 if next_at > now else 0.0), self._run_due)

    async def _attempt(self, launch: Launch) -> None:
        try:
            outcome = await PROBES[launch.check.kind](launch)
        except Exception:
            self.log.exception("check.fault", check=launch.check.check_id, at=where(launch.check, ""))
            outcome = Outcome(reason=Reason.INTERNAL)
        finally:
            self.tasks.pop(launch, None)
        try:
            self._finished(launch, outcome)
        except Exception:
            # The check must not silently be the one that never runs again.
            self.log.exception("check.fault", check=launch.check.check_id, at=where(launch.check, ""))
            self.fleet.postpone(launch, boottime())
        self._run_due()

    def _finished(self, launch: Launch, outcome: Outcome) -> None:
        now = boottime()
        step = self.fleet.finished(launch, outcome, now)
        if step is not None:
            entry = self.fleet.entries[launch.check.check_id]
            self._keep(entry)
            since_published_s = now - self._published_at.get(launch.check.check_id, float("-inf"))
            if step.notable or since_published_s >= REFRESH_S:
                self._publish(entry, now)
            if step.changed:
                self.publisher.event(
                    HealthChanged(
                        check_id=entry.check.check_id,
                        virtual_server=entry.check.virtual_server,
                        real_server=entry.check.real_server,
                        check_kind=entry.check.kind,
                        up=step.progress.up,
                        reason=step.text,
                    )
                )
            if step.notable:
                self._log_step(entry, step)

    async def _cancel(self, launches: list[Launch]) -> None:
        tasks = [self.tasks[launch] for launch in launches if launch in self.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- telling -------------------------------------------------------------------------------

    def _keep(self, entry: Entry) -> None:
        record = self.ledger.put(entry.check, entry.progress)
        if record is not None:
            self._write(*record)

    def _write(self, index: int, data: bytes) -> None:
        if self._box is not None:
            self._box.write(index, data)

    def _publish(self, entry: Entry, now: float) -> None:
        self._published_at[entry.check.check_id] = now
        self.publisher.set_state(state_of(entry, now, time.time()))
        self._request_pump()

    def _request_pump(self) -> None:
        if not self._pump_due:
            self._pump_due = True
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        if self.publisher.pump(boottime()):
            self._request_pump()

    def _log_step(self, entry: Entry, step: Step) -> None:
        verdict = step.progress.last.verdict
        if step.changed:
            event, say = ("check.up", self.log.info) if step.progress.up else ("check.down", self.log.warning)
        elif verdict is Verdict.UNJUDGED:
            event, say = "check.unjudged", self.log.warning
        elif verdict is Verdict.BAD:
            event, say = "check.failed", self.log.info
        else:
            event, say = "check.good", self.log.info
        extra = {"short_by_bytes": step.progress.last.short_by} if step.progress.last.short_by else {}
        if event == "check.down":
            extra["retries"] = entry.check.retry
        say(
            event,
            kind=entry.check.kind,
            real_server=entry.check.real_server,
            virtual_server=entry.check.virtual_server,
            reason=step.text,
            check=entry.check.check_id,
            **extra,
        )


def state_of(entry: Entry, now: float, wall: float) -> CheckState:
    """The bus record of a check. ``wall`` is the wall clock at ``now``."""
    check, progress = entry.check, entry.progress
    return CheckState(
        check_id=check.check_id,
        virtual_server=check.virtual_server,
        real_server=check.real_server,
        check_kind=check.kind,
        up=progress.up,
        since_at=progress.since_at,
        since_wall_at=wall - (now - progress.since_at),
        interval_s=float(check.delay_loop_s),
        last_result=entry.text,
        last_check_at=progress.last_at or None,
        attempts_failed=progress.failures,
        next_check_at=progress.due_at,
    )


def problem_of(check: Check) -> str | None:
    """Why a check cannot be run at all, with its place; None when it can."""
    if check.kind not in PROBES:
        known = ", ".join(sorted(PROBES))
        return f"{where(check, '')}: check kind {check.kind} is not known (there are {known})"
    if check.kind == "HTTP_GET":
        if not check.urls:
            return f"{where(check, '')}: HTTP_GET has no url: add a url block with a path"
        for url in check.urls:
            try:
                build_request(check, url)
            except RequestError as error:
                return f"{where(check, 'url')}: {error}"
    return None


def where(check: Check, keyword: str) -> str:
    """Place of a keyword (or else of the block) as file:line:column; the server when that is unknown."""
    place = check.places.get(keyword) or check.places.get("")
    return str(place) if place is not None else f"{check.kind} of {check.real_server}"


def required_records(wanted: CheckerSlice) -> int:
    """Records of the black box that the progress of these checks fills."""
    return -(-len({check.check_id for check in wanted.checks}) // CHECKS_PER_RECORD)


def attempts_budget() -> int:
    """How many attempts may run at once; raises the soft limit of open files to the hard one first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_ATTEMPTS + RESERVED_FDS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        top = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, top), hard))
            soft = max(soft, top)
    if soft == resource.RLIM_INFINITY:
        return MAX_ATTEMPTS
    return max(8, min(MAX_ATTEMPTS, soft - RESERVED_FDS))


def main(ctx: WorkerContext) -> None:
    """Entry point of the role ``checker``; returns when told to stop or the supervisor is gone."""
    run_aio(ctx, Checker(ctx))
