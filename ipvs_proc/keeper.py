"""The keeper: holds configuration, health and the kernel's table, and brings the table to what it should be.

No loop, clock, bus or socket of its own: it is called, talks to an ``IpvsPort`` and a ledger, and
returns what happened as data. It plans against what it believes the kernel has (its own successful
changes), so that a dead server leaves within the call; ``verify`` is given what the kernel really has
and repairs what somebody else changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ipvs_proc.changes import Changes, changes
from ipvs_proc.desired import Decision, Memory, desired, infer_memory
from ipvs_proc.ledger import Entries
from ipvs_proc.model import (
    DestinationKey,
    Entry,
    ServiceKey,
    Table,
    destination_key,
    service_key,
)
from ipvs_proc.port import (
    Info,
    IpvsError,
    IpvsPort,
    IpvsUnavailableError,
    destination_key_of,
    read_table,
    service_key_of,
)
from ipvs_proc.reconcile import (
    AddService,
    Operation,
    RemoveDestination,
    RemoveService,
    describe,
    perform,
    reconcile,
)
from keepalived_conf.model import IpvsSlice

Subject = tuple[ServiceKey, DestinationKey | None]
"""A service, or one of its servers: what a refusal is about."""


class LedgerPort(Protocol):
    """What the keeper needs of ``ledger.Ledger``."""

    @property
    def entries(self) -> Entries: ...

    def write(self, entries: Entries) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one call of the keeper did."""

    done: tuple[Operation, ...] = ()
    refused: tuple[IpvsError, ...] = ()
    """New or different refusals; the same one again is not repeated."""
    repaired: tuple[Operation, ...] = ()
    """Those of ``done`` that undid a foreign change."""
    changes: Changes = field(default_factory=Changes)
    flushed: bool = False
    available: bool = True


@dataclass
class Keeper:
    """See the module. ``open_port`` raises IpvsUnavailableError while the kernel has no IPVS."""

    open_port: Callable[[], IpvsPort]
    ledger: LedgerPort
    flush_first: bool = False
    """It is the first one in the daemon's life: lvs_flush applies when the table is opened."""
    config: IpvsSlice | None = None
    health: Mapping[str, bool | None] = field(default_factory=dict)
    decision: Decision | None = None
    unavailable: str = ""
    """Why there is no IPVS and what to do; empty when there is, or before the first try."""
    info: Info | None = None
    refusals: dict[Subject, str] = field(default_factory=dict)
    """What the kernel refuses at present."""
    repairs: int = 0
    revision: int = 0
    """Grows with every change of the believed table: a reading from before a change is worthless."""

    def __post_init__(self) -> None:
        self.port: IpvsPort | None = None
        self.memory: Memory = self.ledger.entries.memory
        self.owned: set[ServiceKey] = set(self.ledger.entries.owned)
        self.believed: dict[ServiceKey, Entry] = {}
        self._defer_removals = False
        self._first = self.flush_first

    # --- what comes in -----------------------------------------------------------------------

    def configure(self, config: IpvsSlice, phase: str) -> Outcome:
        """Make a configuration effective. phase: ``full``, or ``additions`` and later ``removals``.

        Between the two, what left the configuration stays; what health takes out goes at once.
        """
        self.config, self._defer_removals = config, phase == "additions"
        return self.settle()

    def settle(self) -> Outcome:
        """Decide anew and bring the kernel there; finds the IPVS first when there was none."""
        if self.config is None:
            return Outcome(available=self.port is not None)
        before, memory_before = self.decision, self.memory
        flushed = False
        if self.port is None:
            opened = self._open(self.config)
            if opened is None:
                self._decide(self.config)
                return self._changes(Outcome(available=False), before, memory_before)
            flushed, memory_before = opened, self.memory
        port, known = self.port, set(self.refusals)
        assert port is not None, "it was just opened"
        try:
            outcome = self._reach(port, self.believed)
            if self.refusals.keys() - known:
                # Perhaps the kernel is not as believed: look, and plan once more.
                again = self._reach(port, read_table(port))
                outcome = Outcome(done=outcome.done + again.done, refused=again.refused)
        except IpvsError as error:
            outcome = Outcome(refused=(error,))
        except IpvsUnavailableError as error:
            self.lose(str(error))
            return self._changes(Outcome(available=False), before, memory_before)
        outcome = Outcome(done=outcome.done, refused=self._new_refusals(outcome.refused), flushed=flushed)
        return self._changes(outcome, before, memory_before)

    def verify(self, actual: Table) -> Outcome:
        """Compare with what the kernel has; repair what somebody else changed, try again what was refused."""
        port = self.port
        if self.config is None or port is None:
            return Outcome(available=port is not None)
        ours = {key: entry for key, entry in actual.items() if key in self.owned}
        foreign_changes = ours != {k: e for k, e in self.believed.items() if k in self.owned}
        refused_before = set(self.refusals)
        try:
            outcome = self._reach(port, actual)  # same health, so no verdict changes
        except IpvsUnavailableError as error:
            self.lose(str(error))
            return Outcome(available=False)
        repaired: tuple[Operation, ...] = ()
        if foreign_changes:
            repaired = tuple(op for op in outcome.done if subject_of(op) not in refused_before)
            self.repairs += len(repaired)
        return Outcome(done=outcome.done, refused=self._new_refusals(outcome.refused), repaired=repaired)

    def lose(self, reason: str) -> None:
        """The kernel's IPVS is gone (module unloaded): believe nothing, wait for it."""
        if self.port is not None:
            self.port.close()
        self.port, self.unavailable, self.info = None, reason, None
        self.believed, self.refusals = {}, {}
        self.revision += 1

    def release(self, mode: str) -> Outcome:
        """Remove what is ours at a stop. mode: ``no`` one by one, ``VS`` whole services, ``all`` flush."""
        port = self.port
        if port is None:
            return Outcome(available=False)
        try:
            if mode == "all":
                port.flush()
                self.believed = {}
                self._close_books()
                return Outcome(flushed=True)
            actual = read_table(port)
            plan = reconcile({}, actual, self.owned)
            if mode == "VS":
                plan = tuple(op for op in plan if isinstance(op, RemoveService))
            done, refused = self._perform(port, actual, plan)
        except IpvsUnavailableError:
            return Outcome(available=False)
        except IpvsError as error:
            return Outcome(refused=(error,))
        self._close_books()
        return Outcome(done=done, refused=refused)

    # --- how -----------------------------------------------------------------------------------

    def _open(self, config: IpvsSlice) -> bool | None:
        """Find the IPVS and what is in it. None: there is none. True: it was flushed."""
        flush = self.flush_first and config.globals.lvs_flush
        try:
            port = self.open_port()
            try:
                if flush:
                    port.flush()
                actual = read_table(port)
                self.info = port.info()
            except BaseException:
                port.close()
                raise
        except (IpvsUnavailableError, IpvsError) as error:
            self.unavailable = str(error)
            return None
        self.port, self.believed, self.unavailable, self.flush_first = port, actual, "", False
        self.revision += 1
        self.memory = infer_memory(config, actual, self.memory)
        return flush

    def _decide(self, config: IpvsSlice) -> Decision:
        self.decision = decision = desired(config, self.health, self.memory)
        self.memory = decision.memory
        return decision

    def _reach(self, port: IpvsPort, actual: Table) -> Outcome:
        assert self.config is not None, "the caller has looked"
        decision = self._decide(self.config)
        plan = reconcile(decision.table, actual, self.owned)
        if self._defer_removals:
            plan = tuple(op for op in plan if not self._left_configuration(op))
        # Intent before effect: a service that we are about to make is ours even if we die now.
        self._keep_books(owned=self.owned | decision.table.keys())
        done, refused = self._perform(port, actual, plan)
        wanted_or_there = decision.table.keys() | self.believed.keys()
        self._keep_books(owned=self.owned & wanted_or_there)
        return Outcome(done=done, refused=refused)

    def _perform(
        self, port: IpvsPort, actual: Table, plan: Sequence[Operation]
    ) -> tuple[tuple[Operation, ...], tuple[IpvsError, ...]]:
        if plan or actual is not self.believed:
            self.revision += 1
        results = port.perform(plan) if plan else []
        done = tuple(op for op, error in zip(plan, results, strict=True) if error is None)
        self.believed = perform(actual, done)
        refused: list[IpvsError] = []
        self.refusals = {}
        without_service = {
            op.service.key
            for op, error in zip(plan, results, strict=True)
            if error is not None and isinstance(op, AddService)
        }
        for op, error in zip(plan, results, strict=True):
            if error is None:
                continue
            key, dest_key = service_key_of(op), destination_key_of(op)
            self.refusals[key, dest_key] = str(error)
            # Servers of a service that was refused fail for that reason alone: one complaint is enough.
            if dest_key is None or key not in without_service:
                refused.append(error)
        return done, tuple(refused)

    def _left_configuration(self, operation: Operation) -> bool:
        """Whether a removal is for the configuration's sake and not for a server's health."""
        if isinstance(operation, RemoveService):
            return True
        if not isinstance(operation, RemoveDestination):
            return False
        return operation.key not in _configured(self.config, operation.service)

    def _new_refusals(self, refused: Sequence[IpvsError]) -> tuple[IpvsError, ...]:
        texts = {str(error) for error in refused}
        new = tuple(error for error in refused if str(error) not in self._told)
        self._told = texts
        return new

    _told: Collection[str] = frozenset()

    def _keep_books(self, *, owned: set[ServiceKey]) -> None:
        self.owned = owned
        self.ledger.write(
            Entries(owned=frozenset(owned), memory=self.memory, since=self.ledger.entries.since)
        )

    def _close_books(self) -> None:
        """After a release: what could not be removed stays ours, what was decided is forgotten.

        The next start is a fresh one: a server that was down when we left starts by its rules again.
        """
        self.owned &= self.believed.keys()
        self.ledger.write(Entries(owned=frozenset(self.owned)))

    def _changes(self, outcome: Outcome, before: Decision | None, memory_before: Memory) -> Outcome:
        """``outcome`` with what changed since ``before`` (or since the ledger's memory; in a daemon that has
        just been started nothing was told yet)."""
        now, first, self._first = self.decision, self._first, False
        assert now is not None, "there is a configuration"
        assert self.config is not None, "there is a decision"
        return Outcome(
            done=outcome.done,
            refused=outcome.refused,
            changes=changes(self.config, Memory() if first else memory_before, before, now),
            flushed=outcome.flushed,
            available=outcome.available,
        )


def _configured(config: IpvsSlice | None, key: ServiceKey) -> frozenset[DestinationKey]:
    for virtual in config.virtual_servers if config else ():
        if service_key(virtual) == key:
            servers = virtual.real_servers
            if virtual.sorry_server is not None:
                servers = (*servers, virtual.sorry_server)
            return frozenset(map(destination_key, servers))
    return frozenset()


def subject_of(operation: Operation) -> Subject:
    """What an operation is about."""
    return service_key_of(operation), destination_key_of(operation)


__all__ = ["Keeper", "LedgerPort", "Outcome", "Subject", "describe", "subject_of"]
