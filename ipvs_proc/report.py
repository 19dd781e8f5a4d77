"""From what the keeper knows to what is said on the bus. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bus.messages import (
    IpvsStatus,
    QuorumChanged,
    RealServerChanged,
    RealServerState,
    State,
    VirtualServerState,
)
from ipvs_proc.changes import Changes
from ipvs_proc.desired import Decision, ServerId, ServerVerdict, ServiceVerdict
from ipvs_proc.keeper import Subject
from ipvs_proc.model import Table, destination_key, service_key
from keepalived_conf.model import IpvsSlice, VirtualServer

Since = Mapping[str, tuple[float, float]]
"""Key of a record -> (CLOCK_BOOTTIME s, wall clock s) since when it is as it is."""


def states(
    config: IpvsSlice, decision: Decision, believed: Table, refusals: Mapping[Subject, str], unavailable: str
) -> Iterator[VirtualServerState | RealServerState]:
    """A record per virtual and per real server, without since (see ``dated``)."""
    for virtual in config.virtual_servers:
        key = service_key(virtual)
        entry = believed.get(key)
        yield _virtual(
            virtual, decision.services[virtual.key], entry is not None, refusals.get((key, None), unavailable)
        )
        for real in virtual.real_servers:
            dest_key = destination_key(real)
            destination = entry.destinations.get(dest_key) if entry else None
            verdict = decision.servers[ServerId(virtual.key, real.key)]
            refusal = refusals.get((key, dest_key)) or refusals.get((key, None)) or unavailable
            yield RealServerState(
                virtual_server=virtual.key,
                real_server=real.key,
                alive=verdict.up,
                weight=destination.weight if destination else 0,
                in_kernel=destination is not None,
                reason=refusal or verdict.reason,
                since_at=0.0,
                since_wall_at=0.0,
            )


def _virtual(
    virtual: VirtualServer, verdict: ServiceVerdict, in_kernel: bool, reason: str
) -> VirtualServerState:
    return VirtualServerState(
        virtual_server=virtual.key,
        quorum_up=verdict.quorum_up,
        quorum=virtual.quorum,
        weight_up=verdict.weight_up,
        scheduler=virtual.scheduler,
        lvs_method=virtual.lvs_method,
        sorry_server=virtual.sorry_server.key if virtual.sorry_server else None,
        sorry_active=verdict.sorry_active,
        in_kernel=in_kernel,
        reason=reason,
        since_at=0.0,
        since_wall_at=0.0,
    )


def status(
    *, unavailable: str, version: str | None, believed: Table, config: IpvsSlice, repairs: int
) -> IpvsStatus:
    """The worker's own record. Counts what is ours in the kernel."""
    ours = [entry for v in config.virtual_servers if (entry := believed.get(service_key(v))) is not None]
    return IpvsStatus(
        available=not unavailable,
        reason=unavailable,
        kernel_version=version,
        services=len(ours),
        servers=sum(len(entry.destinations) for entry in ours),
        repairs=repairs,
    )


def record_id(record: State) -> str:
    """Identity of a record over both kinds, for ``Since``."""
    return f"{record.KIND} {record.key}"


def same_condition(
    old: VirtualServerState | RealServerState, new: VirtualServerState | RealServerState
) -> bool:
    """Whether a record says the same, apart from dates and wording: then its ``since`` stays."""
    if isinstance(old, VirtualServerState) and isinstance(new, VirtualServerState):
        return (old.quorum_up, old.sorry_active, old.in_kernel) == (
            new.quorum_up,
            new.sorry_active,
            new.in_kernel,
        )
    if isinstance(old, RealServerState) and isinstance(new, RealServerState):
        return (old.alive, old.weight, old.in_kernel) == (new.alive, new.weight, new.in_kernel)
    return False


def dated(
    record: VirtualServerState | RealServerState, since: tuple[float, float]
) -> VirtualServerState | RealServerState:
    return replace(record, since_at=since[0], since_wall_at=since[1])


def server_changed(verdict: ServerVerdict, changes: Changes) -> RealServerChanged:
    return RealServerChanged(
        virtual_server=verdict.id.virtual_server,
        real_server=verdict.id.real_server,
        alive=verdict.up,
        weight=verdict.weight,
        reason=verdict.reason,
        turned=verdict.id in changes.turned,
        confirmed=verdict.id in changes.confirmed,
    )


def quorum_changed(verdict: ServiceVerdict, quorum: int) -> QuorumChanged:
    return QuorumChanged(
        virtual_server=verdict.virtual_server,
        up=verdict.quorum_up,
        weight_up=verdict.weight_up,
        quorum=quorum,
        sorry_active=verdict.sorry_active,
    )


def left(changes: Changes) -> Iterator[RealServerChanged | QuorumChanged]:
    """What the configuration has no more, servers first."""
    for id_ in changes.servers_left:
        yield _server_gone(id_, "not configured any more", removed=True)
    for key in changes.services_left:
        yield _service_gone(key, removed=True)


def last_words(
    config: IpvsSlice, decision: Decision, mode: str
) -> Iterator[RealServerChanged | QuorumChanged]:
    """What ``omega`` asks for at a stop: all that is up goes down. ``mode`` as for ``Keeper.release``: where
    whole services are removed, keepalived does not speak of their servers."""
    for virtual in config.virtual_servers:
        if not virtual.omega:
            continue
        for real in virtual.real_servers if mode == "no" else ():
            id_ = ServerId(virtual.key, real.key)
            if decision.memory.servers[id_]:
                yield _server_gone(id_, "stop")
        if decision.memory.quorums[virtual.key]:
            yield _service_gone(virtual.key, quorum=virtual.quorum)


def _server_gone(id_: ServerId, reason: str, *, removed: bool = False) -> RealServerChanged:
    return RealServerChanged(
        virtual_server=id_.virtual_server,
        real_server=id_.real_server,
        alive=False,
        weight=0,
        reason=reason,
        removed=removed,
    )


def _service_gone(key: str, *, quorum: int = 0, removed: bool = False) -> QuorumChanged:
    return QuorumChanged(
        virtual_server=key, up=False, weight_up=0, quorum=quorum, sorry_active=False, removed=removed
    )
