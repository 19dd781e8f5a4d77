"""From one decision to the next: what others are to be told. Pure.

What is new in the configuration is told as keepalived tells it: it begins as if no check had been made yet
(a server is up, or down with ``alpha``), and what the checks have said by now comes after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ipvs_proc.desired import Decision, Memory, ServerId, ServerVerdict, ServiceVerdict, desired
from keepalived_conf.model import IpvsSlice


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """In the order in which they are told."""

    servers_left: tuple[ServerId, ...] = ()
    """Servers that were up and are not configured any more."""
    services_left: tuple[str, ...] = ()
    """Services that had their quorum and are not configured any more."""
    started: tuple[ServiceVerdict, ...] = ()
    """New services that begin with their quorum, as they begin."""
    servers: tuple[ServerVerdict, ...] = ()
    """Verdicts on servers that differ from the ones before."""
    turned: frozenset[ServerId] = field(default_factory=frozenset)
    """Those of ``servers`` that came up or went down; the others have another weight or place."""
    confirmed: frozenset[ServerId] = field(default_factory=frozenset)
    """Those of ``turned`` that were down by ``alpha`` alone, and now a check has said so."""
    quorums: tuple[ServiceVerdict, ...] = ()
    """Verdicts on services whose quorum was gained or lost."""


def changes(config: IpvsSlice, told: Memory, before: Decision | None, now: Decision) -> Changes:
    """What is new in ``now``, a decision under ``config``. ``told``: what others know; ``before``: the
    decision behind that, if it is known."""
    start = _start(config, told, now)
    servers: list[ServerVerdict] = []
    turned: set[ServerId] = set()
    confirmed: set[ServerId] = set()
    for id_, verdict in now.servers.items():
        former = told if id_ in told.servers else start.memory
        if _turned(id_, former, now.memory):
            turned.add(id_)
            if not former.servers[id_] and not now.memory.servers[id_]:
                confirmed.add(id_)
        old = before.servers.get(id_) if before is not None else None
        if id_ in turned or (old is not None and _place(old) != _place(verdict)):
            servers.append(verdict)
    started = [verdict for key, verdict in start.services.items() if key not in told.quorums]
    up = {**told.quorums, **{verdict.virtual_server: verdict.quorum_up for verdict in started}}
    return Changes(
        servers_left=tuple(id_ for id_, was in told.servers.items() if was and id_ not in now.memory.servers),
        services_left=tuple(key for key, was in told.quorums.items() if was and key not in now.services),
        started=tuple(verdict for verdict in started if verdict.quorum_up),
        servers=tuple(servers),
        turned=frozenset(turned),
        confirmed=frozenset(confirmed),
        quorums=tuple(v for key, v in now.services.items() if up[key] != v.quorum_up),
    )


def _start(config: IpvsSlice, told: Memory, now: Decision) -> Decision:
    """How services begin that are new, or have new servers."""
    new = {id_.virtual_server for id_ in now.memory.servers.keys() - told.servers.keys()}
    new |= now.memory.quorums.keys() - told.quorums.keys()
    services = tuple(virtual for virtual in config.virtual_servers if virtual.key in new)
    return desired(replace(config, virtual_servers=services), {}, Memory())


def _place(verdict: ServerVerdict) -> tuple[bool, bool, int]:
    return verdict.up, verdict.in_table, verdict.weight


def _turned(id_: ServerId, before: Memory, now: Memory) -> bool:
    if id_ not in before.servers or id_ not in now.servers:  # a sorry server that is nothing else
        return False
    if now.servers[id_]:
        return not before.servers[id_]
    # keepalived tells the first bad news of a server that was down from the start, too.
    return before.servers[id_] or (id_ in before.assumed and id_ not in now.assumed)
