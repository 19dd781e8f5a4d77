"""The ipvs worker's process: the only one that writes the kernel's IPVS table.

A thin shell around ``Keeper``: control channel in (configuration), bus in (health of checks), bus out
(what is served and why), one look at the kernel every ``VERIFY_INTERVAL_S``. Needs CAP_NET_ADMIN and
nothing else.

It acts on knowledge only: while the checker or the bus is silent, everything stays as it is. When this
process dies the table stays in the kernel and traffic flows on; the successor reads it, compares, and
changes nothing when it is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Mapping

import zmq

from bus.client import Publisher
from bus.codec import CodecError, loads
from bus.messages import CheckState, IpvsStatus, RealServerState, StaleEvent, VirtualServerState
from bus.replica import Changed, Fresh, Record, Removed, Snapshot, Stale, Update
from bus.subscriber import Subscriber
from ipvs_proc import report
from ipvs_proc.desired import ServerVerdict, ServiceVerdict
from ipvs_proc.keeper import Keeper, Outcome
from ipvs_proc.ledger import Entries, Ledger
from ipvs_proc.model import Entry, ServiceKey, service_key
from ipvs_proc.netlink import NetlinkIpvs
from ipvs_proc.port import IpvsError, IpvsPort, IpvsUnavailableError, read_entry, service_key_of
from ipvs_proc.reconcile import describe
from ipvs_proc.validate import problems
from keepalived_conf.model import GlobalDefs, IpvsSlice, VirtualServer
from worker import log as logging
from worker.aio import AioWorker, run_aio
from worker.clock import boottime
from worker.context import WorkerContext

ROLE = "ipvs"
STATES, HEALTH = "s.ipvs", "s.checker"
VERIFY_INTERVAL_S = 10.0
"""How often the kernel's table is compared with what should be there."""
RETRY_INTERVAL_S = 60.0
"""How often a kernel without IPVS is asked again."""
PUMP_INTERVAL_S = 0.5
LAST_WORDS_S = 0.1
_SERVICES_AT_A_TIME = 16
"""Services read in one go while verifying, so that health and heartbeats get their turn."""

_OPERATION_EVENTS = {
    "AddService": "ipvs.service_added",
    "EditService": "ipvs.service_edited",
    "RemoveService": "ipvs.service_removed",
    "AddDestination": "ipvs.server_added",
    "EditDestination": "ipvs.server_edited",
    "RemoveDestination": "ipvs.server_removed",
}


class HealthMap:
    """Health of each check, as far as the bus has said: check_id -> up, None for not known."""

    def __init__(self) -> None:
        self.values: dict[str, bool | None] = {}

    def take(self, update: Update) -> bool:
        """Note an update of the stream. True when something changed."""
        match update:
            case Snapshot(records=records):
                before = self.values
                # What a snapshot does not name is not known: its owner may still have to announce it.
                self.values = dict(filter(None, map(_health, records)))
                return before != self.values
            case Changed(record=record):
                found = _health(record)
                if found is None or self.values.get(found[0], ...) == found[1]:
                    return False
                self.values[found[0]] = found[1]
                return True
            case Removed(record=record):
                return self.values.pop(record.key, ...) is not ...
            case _:
                return False  # also Stale: the last values are held


def _health(record: Record) -> tuple[str, bool | None] | None:
    message = record.message
    if not isinstance(message, CheckState):
        return None
    # A check that has never run says what it starts from. That is no knowledge: a dead server whose
    # removal we remember must not come back because everything but the kernel was restarted.
    return message.check_id, (None if message.last_check_at is None else message.up)


class IpvsWorker(AioWorker):
    """See the module."""

    def __init__(
        self, ctx: WorkerContext, ledger: Ledger, *, first_start: bool, limits: Iterable[str] = ()
    ) -> None:
        self.ctx = ctx
        self.log = logging.logger(ROLE)
        self.ledger = ledger
        self.keeper = Keeper(open_port=self._open_port, ledger=ledger, flush_first=first_start)
        self.health = HealthMap()
        self.prepared: dict[int, IpvsSlice] = {}
        self._limits = tuple(limits)
        self._published: dict[str, VirtualServerState | RealServerState] = {}
        self._status: IpvsStatus | None = None
        self._unavailable_told = ""
        self._ledger_problem_told = ""
        self._retry_at = 0.0
        self._fresh: set[str] = set()
        """Keys of records whose condition changed in what was told last."""
        self._tasks: list[asyncio.Task[None]] = []

    def _open_port(self) -> IpvsPort:
        return NetlinkIpvs()

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        for text in self._limits:
            self.log.warning("ipvs.privileges", reason=text)
        self._tell_ledger()
        for name, fd in self.ledger.descriptors():
            if name not in self.ctx.kept_fds:
                self.ctx.control.store(name, fd)
        self.zmq = zmq.Context()
        self.publisher = Publisher(
            self.zmq, role=ROLE, incarnation=self.ctx.incarnation, endpoint=self.ctx.bus_ingress
        )
        self.subscriber = Subscriber(self.zmq, endpoint=self.ctx.bus_out, streams=[HEALTH])
        loop = asyncio.get_running_loop()
        for fd in (self.publisher.fileno(), self.subscriber.fileno()):
            loop.add_reader(fd, self._pump)
        self._tasks = [asyncio.create_task(self._pumping()), asyncio.create_task(self._verifying())]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        loop.set_exception_handler(lambda _, context: self._broken(context.get("exception"), context))
        self._pump()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._broken(task.exception(), {"message": "a task ended"})

    def _broken(self, error: BaseException | None, context: Mapping[str, object]) -> None:
        # A worker of which a part is dead must not look healthy: end, the successor resumes.
        self.log.critical("ipvs.bug", what=context.get("message"), exc_info=error)
        os._exit(os.EX_SOFTWARE)

    async def stop(self, *, supervisor_gone: bool) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._leave(supervisor_gone=supervisor_gone)
        self.publisher.pump(boottime())
        loop = asyncio.get_running_loop()
        for fd in (self.publisher.fileno(), self.subscriber.fileno()):
            loop.remove_reader(fd)
        self.publisher.close()
        self.subscriber.close()
        self.zmq.destroy(linger=0)

    async def _leave(self, *, supervisor_gone: bool) -> None:
        """Leave the table as it is to be left, and say so."""
        mode = release_mode(
            self.keeper.config.globals if self.keeper.config else GlobalDefs(),
            supervisor_gone=supervisor_gone,
            dont_release=self.ctx.options.dont_release_ipvs,
        )
        if mode is None:
            self.log.info("ipvs.left", reason="the table stays in the kernel")
            return
        self._tell(self.keeper.release(mode), why="stop")
        spoken = await self._say_last_words(mode)
        self._publish()
        if spoken:
            # What is on its way when the socket is closed is lost.
            await asyncio.sleep(LAST_WORDS_S)

    async def _say_last_words(self, mode: str) -> bool:
        """For scripts and FIFOs of services with omega. True: there was something to say."""
        if self.keeper.config is None or self.keeper.decision is None:
            return False
        words = list(report.last_words(self.keeper.config, self.keeper.decision, mode))
        for word in words:
            self.publisher.event(word)
        while self.publisher.pump(boottime()):
            await asyncio.sleep(0)
        return bool(words)

    # --- configuration ---------------------------------------------------------------------------

    def prepare(self, generation: int, payload: bytes) -> str | None:
        try:
            config = loads(IpvsSlice, payload)
        except CodecError as error:
            return f"the ipvs slice cannot be read: {error}"
        found = problems(config)
        if found:
            return "; ".join(found)
        self.prepared[generation] = config
        return None

    def abort(self, generation: int) -> None:
        self.prepared.pop(generation, None)

    async def apply(self, generation: int, phase: str) -> str | None:
        config = self.prepared.get(generation)
        if config is None:
            return f"generation {generation} was not prepared"
        if phase != "additions":
            self.prepared = {g: c for g, c in self.prepared.items() if g > generation}
        self._pump()  # health that is already here counts from the first decision on
        self.publisher.generation = generation
        self.keeper.health = self.health.values
        self._finish(self.keeper.configure(config, phase), why=f"configuration {generation} ({phase})")
        self.log.info(
            "ipvs.applied", generation=generation, phase=phase, services=len(config.virtual_servers)
        )
        return None

    def epoch(self, epoch: int) -> None:
        self.publisher.announce(epoch)
        self._pump()

    # --- health ----------------------------------------------------------------------------------

    def _pump(self) -> None:
        now = boottime()
        changed = False
        while True:
            for update in self.subscriber.pump(now):
                changed |= self.health.take(update)
                self._note(update)
            if not self.subscriber.more:
                break
        if changed and self.keeper.config is not None:
            self.keeper.health = self.health.values
            self._finish(self.keeper.settle(), why="health")
        while self.publisher.pump(now):
            pass

    def _note(self, update: Update) -> None:
        match update:
            case Stale(publisher=publisher, silent_s=silent_s):
                owner = publisher or "bus"
                self.log.warning("ipvs.health_stale", owner=owner, silent_s=round(silent_s, 1), policy="hold")
                self.publisher.event(StaleEvent(stream=HEALTH, owner=owner, silent_s=silent_s, policy="hold"))
            case Fresh(publisher=publisher):
                self.log.info("ipvs.health_fresh", owner=publisher or "bus")
            case _:
                pass

    async def _pumping(self) -> None:
        while True:
            await asyncio.sleep(PUMP_INTERVAL_S)
            self._pump()

    # --- the kernel ------------------------------------------------------------------------------

    async def _verifying(self) -> None:
        while True:
            await asyncio.sleep(VERIFY_INTERVAL_S)
            await self.verify()

    async def verify(self) -> None:
        """Compare the kernel with what should be there, or look whether there is an IPVS by now."""
        keeper = self.keeper
        if keeper.config is None:
            return
        if keeper.port is None:
            if boottime() >= self._retry_at:
                self._finish(keeper.settle(), why="retry")
            return
        revision = keeper.revision
        try:
            actual = await self._read(keeper.port)
        except IpvsUnavailableError as error:
            keeper.lose(str(error))
            self._finish(Outcome(available=False), why="verify")
            return
        except IpvsError as error:
            self.log.error("ipvs.unreadable", reason=str(error))
            return
        if keeper.revision == revision and keeper.port is not None:
            self._finish(keeper.verify(actual), why="verify")

    async def _read(self, port: IpvsPort) -> dict[ServiceKey, Entry]:
        table: dict[ServiceKey, Entry] = {}
        for number, service in enumerate(port.services(), 1):
            entry = read_entry(port, service)
            if entry is not None:
                table[service.key] = entry
            if number % _SERVICES_AT_A_TIME == 0:
                await asyncio.sleep(0)
                if self.keeper.port is not port:
                    break
        return table

    # --- telling -----------------------------------------------------------------------------------

    def _finish(self, outcome: Outcome, *, why: str) -> None:
        self._tell(outcome, why=why)
        self._publish()

    def _tell(self, outcome: Outcome, *, why: str) -> None:
        keeper = self.keeper
        if outcome.available:
            if self._unavailable_told:
                self._unavailable_told = ""
                self.log.info("ipvs.available", reason="the kernel has IPVS now")
        elif keeper.unavailable:
            self._retry_at = boottime() + RETRY_INTERVAL_S
            if self._unavailable_told != keeper.unavailable:
                self._unavailable_told = keeper.unavailable
                self.log.error("ipvs.unavailable", reason=keeper.unavailable)
        if outcome.flushed:
            self.log.warning("ipvs.flushed", why=why)
        repaired = {id(op) for op in outcome.repaired}
        for op in outcome.done:
            name = _OPERATION_EVENTS[type(op).__name__]
            service = str(service_key_of(op))
            if id(op) in repaired:
                self.log.warning("ipvs.repaired", service=service, did=describe(op), why="foreign change")
            else:
                self.log.info(name, service=service, did=describe(op), why=why)
        for error in outcome.refused:
            self.log.error("ipvs.refused", reason=str(error), place=self._place(str(error)))
        configured = {} if keeper.config is None else {v.key: v for v in keeper.config.virtual_servers}
        changes = outcome.changes
        for gone in report.left(changes):
            self.publisher.event(gone)
        for begun in changes.started:
            virtual = configured[begun.virtual_server]
            self.publisher.event(report.quorum_changed(begun, virtual.quorum))
            self.log.info("ipvs.quorum_gained", sorry_server=None, **_about_quorum(virtual, begun))
        for verdict in changes.servers:
            if not verdict.sorry:
                event = report.server_changed(verdict, changes)
                self._fresh.add(" ".join(verdict.id))
                self.publisher.event(event)
                self.log.warning(
                    _server_event(verdict),
                    service=event.virtual_server,
                    server=event.real_server,
                    weight=event.weight,
                    inhibited=_inhibits(configured.get(event.virtual_server), event.real_server),
                    reason=event.reason,
                )
        for service_verdict in changes.quorums:
            virtual = configured[service_verdict.virtual_server]
            self._fresh.add(service_verdict.virtual_server)
            self.publisher.event(report.quorum_changed(service_verdict, virtual.quorum))
            self.log.warning(
                "ipvs.quorum_gained" if service_verdict.quorum_up else "ipvs.quorum_lost",
                sorry_server=virtual.sorry_server.key if virtual.sorry_server is not None else None,
                **_about_quorum(virtual, service_verdict),
            )
        self._tell_ledger()

    def _tell_ledger(self) -> None:
        if self.ledger.problem != self._ledger_problem_told:
            self._ledger_problem_told = self.ledger.problem
            if self.ledger.problem:
                self.log.warning("ipvs.ledger", reason=self.ledger.problem)

    def _place(self, text: str) -> str | None:
        """Where the service that an error names is configured."""
        for virtual in self.keeper.config.virtual_servers if self.keeper.config else ():
            if str(service_key(virtual)) in text and "" in virtual.places:
                return str(virtual.places[""])
        return None

    def _publish(self) -> None:
        keeper = self.keeper
        if keeper.config is None or keeper.decision is None:
            return
        records = {
            record.key: record
            for record in report.states(
                keeper.config, keeper.decision, keeper.believed, keeper.refusals, keeper.unavailable
            )
        }
        since = self._since(records)
        for key, record in records.items():
            dated = report.dated(record, since[key])
            if self._published.get(key) != dated:
                self._published[key] = dated
                self.publisher.set_state(dated)
        for key in self._published.keys() - records.keys():
            del self._published[key]
            self.publisher.delete_state(STATES, key)
        status = report.status(
            unavailable=keeper.unavailable,
            version=keeper.info.version if keeper.info else None,
            believed=keeper.believed,
            config=keeper.config,
            repairs=keeper.repairs,
        )
        if status != self._status:
            self._status = status
            self.publisher.set_state(status)
        while self.publisher.pump(boottime()):
            pass

    def _since(
        self, records: Mapping[str, VirtualServerState | RealServerState]
    ) -> dict[str, tuple[float, float]]:
        """Since when each record is as it is; remembered across restarts, so that a restart is no change."""
        known, now = self.ledger.entries.since, (boottime(), time.time())
        since: dict[str, tuple[float, float]] = {}
        for key, record in records.items():
            old = self._published.get(key)
            unchanged = key not in self._fresh
            if old is not None:
                unchanged = report.same_condition(old, record)
            since[key] = known.get(key, now) if unchanged else now
        self._fresh.clear()
        if since != known:
            entries = self.ledger.entries
            self.ledger.write(Entries(owned=entries.owned, memory=entries.memory, since=since))
        return since


def _about_quorum(virtual: VirtualServer, verdict: ServiceVerdict) -> dict[str, object]:
    return {
        "service": verdict.virtual_server,
        "quorum": virtual.quorum,
        "hysteresis": virtual.hysteresis,
        "weight_up": verdict.weight_up,
        "sorry_active": verdict.sorry_active,
        "reason": verdict.reason,
    }


def _inhibits(virtual: VirtualServer | None, real_server: str) -> bool:
    """Whether a server that is down stays in the table, with weight 0."""
    servers = virtual.real_servers if virtual is not None else ()
    return any(real.inhibit_on_failure for real in servers if real.key == real_server)


def _server_event(verdict: ServerVerdict) -> str:
    if not verdict.up:
        return "ipvs.server_down"
    # Up without weight: the sorry server serves instead, or the configured weight is 0.
    return "ipvs.server_up" if verdict.weight else "ipvs.server_standby"


def release_mode(globals_: GlobalDefs, *, supervisor_gone: bool, dont_release: bool) -> str | None:
    """How the table is left at a stop; None: as it is.

    keepalived removes its services at a clean stop, unless -I says not to. When the supervisor died,
    traffic is to go on until the next one adopts the table, unless lvs_flush_on_stop asks otherwise.
    """
    if dont_release or (supervisor_gone and globals_.lvs_flush_on_stop == "no"):
        return None
    return globals_.lvs_flush_on_stop


def main(ctx: WorkerContext) -> None:
    """Run the ipvs worker until it is told to stop or the supervisor is gone."""
    # Opened with the privileges of the start: the run directory may belong to another user.
    ledger, inherited = Ledger.open(ctx.run_dir, ctx.kept_fds)
    limits = ctx.drop_privileges()
    run_aio(ctx, IpvsWorker(ctx, ledger, first_start=not inherited, limits=limits))
