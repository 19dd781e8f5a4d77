"""``status --check``: the daemon's state as one line and exit status of a monitoring plugin.

``judge`` is a function of what the bus holds; the line and the statuses are those of the Monitoring Plugins
Development Guidelines: ``NAME STATUS - text | performance data``, 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from bus.messages import (
    IpvsStatus,
    ProcessState,
    RealServerState,
    ReloadState,
    State,
    TrackerState,
    VirtualServerState,
    VrrpGroupState,
    VrrpInstanceState,
)

SILENT_S = 3.0
"""A publisher that has not been heard of for longer: its records are what it said last, and may be old."""
STARTING_S = 10.0
_FINDINGS_SHOWN = 8


class Level(IntEnum):
    """Exit status of a monitoring plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_WORST_FIRST = (Level.CRITICAL, Level.UNKNOWN, Level.WARNING, Level.OK)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What there is to judge by."""

    records: tuple[State, ...] = ()
    silent_s: Mapping[str, float | None]
    """Publisher -> how long it has not been heard of (None: never), of those whose records matter."""
    bus_why: str = ""
    """Why the records are not there; empty: they are."""
    now: float
    """CLOCK_BOOTTIME seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The judgement: worst level, findings (worst first), performance data in the guidelines' form."""

    level: Level
    findings: tuple[tuple[Level, str], ...]
    summary: str
    performance: str

    @property
    def line(self) -> str:
        """The one line that a plugin prints."""
        shown = [_clean(text) for _, text in self.findings[:_FINDINGS_SHOWN]]
        if len(self.findings) > _FINDINGS_SHOWN:
            shown.append(f"and {len(self.findings) - _FINDINGS_SHOWN} more")
        text = "; ".join(shown) or _clean(self.summary)
        return f"PYKEEPALIVED {self.level.name} - {text}" + (
            f" | {self.performance}" if self.performance else ""
        )


def judge(seen: Seen, *, expect: str | None = None, instances: Collection[str] = ()) -> Verdict:
    """What a monitoring system should be told. ``instances``: judge these and what they depend on, not the
    services. ``expect``: MASTER or BACKUP, the state that every judged instance should have."""
    vrrp = sorted(_all(seen, VrrpInstanceState), key=lambda record: record.instance)
    chosen = [record for record in vrrp if not instances or record.instance in instances]
    findings = list(_unknown(seen, vrrp, expect, instances))
    findings += _processes(seen, instances)
    for record in chosen:
        findings += _instance(record, expect)
    if not instances:
        findings += _services(seen)
    # Stable: equal levels stay in the order in which they were found.
    findings.sort(key=lambda finding: _WORST_FIRST.index(finding[0]))
    return Verdict(
        level=findings[0][0] if findings else Level.OK,
        findings=tuple(findings),
        summary=_summary(seen, chosen),
        performance=_performance(seen, chosen, named=bool(instances)),
    )


_Finding = tuple[Level, str]
_S = TypeVar("_S", bound=State)


def _all(seen: Seen, kind: type[_S]) -> list[_S]:
    return [record for record in seen.records if isinstance(record, kind)]


def _unknown(
    seen: Seen, vrrp: Sequence[VrrpInstanceState], expect: str | None, instances: Collection[str]
) -> Iterator[_Finding]:
    """What was asked about and cannot be answered."""
    if seen.bus_why:
        # Who asked for something certain is not told that all is nearly well.
        yield (Level.UNKNOWN if expect or instances else Level.WARNING), seen.bus_why
        return
    names = [record.instance for record in vrrp]
    for name in instances:
        if name not in names:
            there = f"there are {', '.join(names[:10])}" if names else "there is none"
            yield Level.UNKNOWN, f"no vrrp_instance {name}: {there}"
    if expect and not instances and not names:
        yield Level.UNKNOWN, f"no vrrp_instance that could be {expect}"


def _processes(seen: Seen, instances: Collection[str]) -> Iterator[_Finding]:
    for process in sorted(_all(seen, ProcessState), key=lambda record: record.role):
        if instances and process.role not in ("vrrp", "bus"):
            continue
        worst = Level.CRITICAL if process.role == "vrrp" else Level.WARNING
        last = f", last exit: {process.last_exit}" if process.last_exit else ""
        if process.state in ("backoff", "hung"):
            word = "waits to be restarted" if process.state == "backoff" else "is hung"
            yield worst, f"worker {process.role} {word} ({process.restarts} restarts{last})"
        elif process.state == "starting" and seen.now - process.since_at > STARTING_S:
            yield worst, f"worker {process.role} is starting for {seen.now - process.since_at:.0f} s{last}"
        elif process.state == "stopping":
            yield Level.WARNING, f"worker {process.role} is stopping"
    for owner, silent_s in sorted(seen.silent_s.items()):
        if instances and owner not in ("vrrp", "script", "supervisor"):
            continue
        if silent_s is None:
            yield Level.WARNING, f"worker {owner} was not heard of"
        elif silent_s > SILENT_S:
            yield Level.WARNING, f"records of {owner} are stale: silent for {silent_s:.0f} s"
    for reload in _all(seen, ReloadState):
        if reload.result in ("refused", "rolled_back"):
            word = "refused" if reload.result == "refused" else "rolled back"
            why = f": {reload.errors[0]}" if reload.errors else ""
            yield Level.WARNING, f"last reload {word}, generation {reload.generation} in force{why}"


def _instance(record: VrrpInstanceState, expect: str | None) -> Iterator[_Finding]:
    name, state = record.instance, record.state
    why = f" ({record.cause.trigger}: {record.cause.detail})".replace(": )", ")")
    held = bool(record.held_back)
    if state == "FAULT":
        # The trackers of now say more than the cause of then: a second one may have failed since.
        bad = ", ".join(f"{share.tracker_kind} {share.name}" for share in record.trackers if share.fault)
        yield Level.CRITICAL, f"{name} is in FAULT{f' ({bad})' if bad else why}"
    elif expect and state != expect and not (held and expect == "MASTER"):
        yield Level.CRITICAL, f"{name} is {state}, not {expect}{why}"
    elif state == "INIT":
        yield Level.WARNING, f"{name} is in INIT{why}"
    if held:
        yield Level.WARNING, f"{name} is held back by the operator: {record.held_back}"
    stale = [f"{share.tracker_kind} {share.name}" for share in record.trackers if share.stale]
    if stale:
        yield Level.WARNING, f"{name} goes by old values of {', '.join(stale)}"


def _services(seen: Seen) -> Iterator[_Finding]:
    services = sorted(_all(seen, VirtualServerState), key=lambda record: record.virtual_server)
    for status in _all(seen, IpvsStatus):
        if not status.available and services:
            yield Level.CRITICAL, f"IPVS is not available: {status.reason}"
    for service in services:
        if not service.quorum_up:
            sorry = ", sorry server in service" if service.sorry_active else ""
            weight = f"weight {service.weight_up} of {service.quorum}"
            yield Level.CRITICAL, f"{service.virtual_server} lost its quorum ({weight}{sorry})"
        if service.reason and not service.in_kernel:
            yield Level.WARNING, f"{service.virtual_server} is not in the kernel: {service.reason}"
    servers = _all(seen, RealServerState)
    down = sorted((r for r in servers if not r.alive), key=lambda record: record.key)
    if down:
        first = ", ".join(f"{r.real_server} of {r.virtual_server}" for r in down[:3])
        more = f" and {len(down) - 3} more" if len(down) > 3 else ""
        yield Level.WARNING, f"{len(down)} of {len(servers)} real servers down: {first}{more}"


def _summary(seen: Seen, chosen: Sequence[VrrpInstanceState]) -> str:
    """What is well, when all is."""
    parts = []
    if chosen and len(chosen) <= 3:
        parts += [f"{record.instance} {record.state}" for record in chosen]
    elif chosen:
        master = sum(record.state == "MASTER" for record in chosen)
        parts.append(f"{len(chosen)} instances, {master} of them MASTER")
    if services := _all(seen, VirtualServerState):
        parts.append(f"{len(services)} services, {len(_all(seen, RealServerState))} real servers up")
    return ", ".join(parts) or "running; no instance and no service is configured"


def _performance(seen: Seen, chosen: Sequence[VrrpInstanceState], *, named: bool) -> str:
    if seen.bus_why:
        return ""
    servers, services = _all(seen, RealServerState), _all(seen, VirtualServerState)
    stale = {(s.tracker_kind, s.name) for record in chosen for s in record.trackers if s.stale}
    words = [f"instances={len(chosen)}"]
    words += [f"{s.lower()}={sum(record.state == s for record in chosen)}" for s in ("MASTER", "BACKUP")]
    words.append(f"fault={sum(record.state == 'FAULT' for record in chosen)};;0;0;{len(chosen)}")
    words.append(f"held_back={sum(bool(record.held_back) for record in chosen)};0;;0;{len(chosen)}")
    words.append(f"transitions={sum(record.transitions for record in chosen)}c")
    words.append(f"trackers_stale={len(stale)};0;;0")
    if named:
        words += [f"'priority {_label(r.instance)}'={r.priority};;;0;255" for r in chosen]
    else:
        groups, trackers = _all(seen, VrrpGroupState), _all(seen, TrackerState)
        words += [f"groups={len(groups)}"] if groups else []
        words += [f"trackers={len(trackers)}"] if trackers else []
        if services:
            words.append(f"quorum_lost={sum(not s.quorum_up for s in services)};;0;0;{len(services)}")
            words.append(f"real_servers_down={sum(not s.alive for s in servers)};0;;0;{len(servers)}")
    restarts = sum(process.restarts for process in _all(seen, ProcessState))
    return " ".join([*words, f"restarts={restarts}c"])


def _clean(text: str) -> str:
    """One line without what separates performance data."""
    return " ".join(text.replace("|", "/").split())


def _label(name: str) -> str:
    return name.replace("'", "").replace("=", "")
