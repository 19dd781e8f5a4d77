"""Which services and servers should be in the kernel now, and why: keepalived's rules, as a function.

Pure: configuration, health and memory in; table, verdicts and new memory out.

* A real server is up when none of its checks is down; without checks it is always up.
* Down: removed, or kept with weight 0 when it has inhibit_on_failure.
* Quorum is a sum of the weights of the servers that are up. Lost below quorum - hysteresis or at
  0, gained at quorum + hysteresis or more. Losing it removes nothing, unless there is a sorry server:
  then the sorry server enters and the servers leave (inhibited ones stay with weight 0).
* What is not known is held. A check nobody has reported on keeps its last known value; a check that is
  new to a server we know takes the server's present state; a new server starts up, or down with alpha.

Sources: keepalived.conf(5), virtual_server; keepalived 2.4.3's behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ipvs_proc.model import (
    Destination,
    DestinationKey,
    Entry,
    ServiceKey,
    Table,
    destination_key,
    destination_of,
    service_key,
    service_of,
)
from keepalived_conf.model import IpvsSlice, RealServer, VirtualServer

Health = Mapping[str, bool | None]
"""check_id -> up, or None (or no entry) when nobody knows."""


class ServerId(NamedTuple):
    """Keys of a virtual server and of one of its real servers, as the configuration names them."""

    virtual_server: str
    real_server: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What was decided last, so that ignorance changes nothing and hysteresis has a past."""

    checks: Mapping[str, bool] = field(default_factory=dict)
    servers: Mapping[ServerId, bool] = field(default_factory=dict)
    quorums: Mapping[str, bool] = field(default_factory=dict)
    assumed: frozenset[ServerId] = frozenset()
    """Servers that are down by the rule of the start alone: no check has ever said so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerVerdict:
    """What was decided about a real server (or the sorry server) and why."""

    id: ServerId
    up: bool
    in_table: bool
    weight: int
    """Effective weight; 0 when it is not in the table."""
    reason: str
    sorry: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceVerdict:
    virtual_server: str
    quorum_up: bool
    sorry_active: bool
    weight_up: int
    """Sum of the weights of the servers that are up."""
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    table: Table
    memory: Memory
    servers: Mapping[ServerId, ServerVerdict]
    """Real servers in configured order; a sorry server under its own key unless it is one of them."""
    services: Mapping[str, ServiceVerdict]


def desired(config: IpvsSlice, health: Health, memory: Memory) -> Decision:
    """The table wanted under ``config`` with this ``health``, following on from ``memory``.

    The memory returned holds entries of ``config`` only: what leaves the configuration is forgotten.
    """
    table: dict[ServiceKey, Entry] = {}
    checks: dict[str, bool] = {}
    up: dict[ServerId, bool] = {}
    quorums: dict[str, bool] = {}
    assumed: set[ServerId] = set()
    servers: dict[ServerId, ServerVerdict] = {}
    services: dict[str, ServiceVerdict] = {}
    for virtual in config.virtual_servers:
        reasons: dict[ServerId, str] = {}
        for real in virtual.real_servers:
            id_ = ServerId(virtual.key, real.key)
            up[id_], reasons[id_] = _server_up(real, id_, health, memory, checks)
            found = any(health.get(check.check_id) is False for check in real.checks)
            if not up[id_] and not found and (id_ in memory.assumed or id_ not in memory.servers):
                assumed.add(id_)
        verdict = _quorum(virtual, up, memory)
        quorums[virtual.key], services[virtual.key] = verdict.quorum_up, verdict
        destinations: dict[DestinationKey, Destination] = {}
        for real in virtual.real_servers:
            id_ = ServerId(virtual.key, real.key)
            wanted = up[id_] and not verdict.sorry_active
            if wanted or real.inhibit_on_failure:
                destination = destination_of(real, real.weight if wanted else 0)
                destinations[destination.key] = destination
            reason = reasons[id_]
            if up[id_] and verdict.sorry_active:
                reason = f"quorum is lost and the sorry server serves; {reason}"
            servers[id_] = _verdict(id_, up[id_], destinations.get(destination_key(real)), reason)
        _add_sorry(virtual, verdict, destinations, servers)
        service = service_of(virtual)
        table[service.key] = Entry(service=service, destinations=destinations)
    return Decision(
        table=table,
        memory=Memory(checks=checks, servers=up, quorums=quorums, assumed=frozenset(assumed)),
        servers=servers,
        services=services,
    )


def _server_up(
    real: RealServer, id_: ServerId, health: Health, memory: Memory, checks: dict[str, bool]
) -> tuple[bool, str]:
    if not real.checks:
        return True, "has no checks"
    down: list[str] = []
    held: list[str] = []
    for check in real.checks:
        value = health.get(check.check_id)
        if value is None:
            value = memory.checks.get(check.check_id)
            if value is None:
                value = memory.servers.get(id_, not check.alpha)
            held.append(check.kind)
        checks[check.check_id] = value
        if not value:
            down.append(check.kind)
    unknown = f"; not known now, held: {', '.join(held)}" if held else ""
    if down:
        return False, f"down by {', '.join(down)}{unknown}"
    return True, (f"held: no result yet of {', '.join(held)}" if held else "all checks up")


def _quorum(virtual: VirtualServer, up: Mapping[ServerId, bool], memory: Memory) -> ServiceVerdict:
    weight = sum(max(0, real.weight) for real in virtual.real_servers if up[ServerId(virtual.key, real.key)])
    gained_at, lost_below = virtual.quorum + virtual.hysteresis, virtual.quorum - virtual.hysteresis
    # A new service starts with its quorum, so that hysteresis does not keep a healthy one out.
    was = memory.quorums.get(virtual.key, True)
    if was:
        quorum_up = weight > 0 and weight >= lost_below
    else:
        quorum_up = weight >= gained_at
    limit = f"lost below {max(lost_below, 1)}" if quorum_up else f"gained at {gained_at}"
    return ServiceVerdict(
        virtual_server=virtual.key,
        quorum_up=quorum_up,
        sorry_active=not quorum_up and virtual.sorry_server is not None,
        weight_up=weight,
        reason=f"weight {weight} of servers that are up, {limit}",
    )


def _add_sorry(
    virtual: VirtualServer,
    verdict: ServiceVerdict,
    destinations: dict[DestinationKey, Destination],
    servers: dict[ServerId, ServerVerdict],
) -> None:
    sorry = virtual.sorry_server
    if sorry is None:
        return
    inhibit = virtual.sorry_server_inhibit or sorry.inhibit_on_failure
    key = destination_key(sorry)
    if verdict.sorry_active:
        destinations[key] = destination_of(sorry, sorry.weight)
    elif inhibit and key not in destinations:
        destinations[key] = destination_of(sorry, 0)
    id_ = ServerId(virtual.key, sorry.key)
    reason = f"sorry server: quorum is {'up' if verdict.quorum_up else 'lost'}"
    if id_ not in servers:
        servers[id_] = _verdict(id_, True, destinations.get(key), reason, sorry=True)
    elif verdict.sorry_active:
        servers[id_] = _verdict(id_, servers[id_].up, destinations[key], reason, sorry=True)


def _verdict(
    id_: ServerId, up: bool, destination: Destination | None, reason: str, *, sorry: bool = False
) -> ServerVerdict:
    return ServerVerdict(
        id=id_,
        up=up,
        in_table=destination is not None,
        weight=destination.weight if destination else 0,
        reason=reason,
        sorry=sorry,
    )


def infer_memory(config: IpvsSlice, actual: Table, memory: Memory) -> Memory:
    """``memory`` completed from a table found in the kernel, for services it says nothing about.

    For the case that our ledger is gone but the kernel still serves (it was left by a daemon that
    died): a server that has checks and is not there is taken as down, until its checks say otherwise.
    """
    servers, quorums = dict(memory.servers), dict(memory.quorums)
    for virtual in config.virtual_servers:
        entry = actual.get(service_key(virtual))
        if entry is None or virtual.key in memory.quorums:
            continue
        sorry = virtual.sorry_server
        sorry_key = None if sorry is None else destination_key(sorry)
        # A destination that is both real and sorry server says nothing about either.
        told = sorry_key is not None and all(destination_key(r) != sorry_key for r in virtual.real_servers)
        present = entry.destinations.get(sorry_key) if sorry_key is not None and told else None
        quorums[virtual.key] = present is None or present.weight == 0
        for real in virtual.real_servers:
            id_ = ServerId(virtual.key, real.key)
            if id_ in servers or not real.checks:
                continue
            found = entry.destinations.get(destination_key(real))
            inhibited = found is not None and found.weight == 0 and real.inhibit_on_failure
            servers[id_] = found is not None and not inhibited
    return replace(memory, servers=servers, quorums=quorums)
