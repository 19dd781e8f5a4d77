"""What is told to whom of a change: scripts to run, lines for FIFOs, mails. Pure.

Words, order and formats are keepalived's: the script of the state, then ``notify``, then FIFOs, then mail.
An instance that a reload took out is told as FAULT (not if it was in FAULT already) by ``notify``, FIFO and
mail, but not by ``notify_fault``; with notify_deleted as DELETED, by all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from keepalived_conf.model import GlobalDefs, NotifyTarget, Script, ScriptSlice, ServerTarget, ServiceTarget

FORMER_S = 30.0
"""How long a target that a reload removed is still known: vrrp and ipvs speak of its end after us."""

Kind = Literal["INSTANCE", "GROUP"]
StateName = Literal["INIT", "BACKUP", "MASTER", "FAULT"]


# --- what happened ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """An instance or a sync group changed its state."""

    kind: Kind
    name: str
    before: StateName
    after: StateName
    priority: int
    """Effective one; of a group 0."""
    removed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LowerPriorityHeard:
    """A master heard an advert that loses against its own."""

    name: str
    priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorityChanged:
    name: str
    state: StateName
    priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerChanged:
    """A real server went into or out of service."""

    service: str
    server: str
    up: bool
    confirmed: bool = False
    """It was down from the start, and now it is known to be: no mail says that."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuorumChanged:
    """A virtual server gained or lost its quorum."""

    service: str
    up: bool
    weight_up: int
    quorum: int


Happening = Transition | LowerPriorityHeard | PriorityChanged | ServerChanged | QuorumChanged


# --- what is done about it -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Run a script; those of one key in order and one at a time."""

    key: str
    script: Script
    arguments: tuple[str, ...] = ()
    """Behind its own."""
    purpose: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    fifo: str
    """Path."""
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    subject: str
    body: str


Effect = Run | Line | Mail


@dataclass(frozen=True, kw_only=True, slots=True)
class FifoPlan:
    """A FIFO of the configuration; each path once."""

    path: str
    user: str | None
    group: str | None
    vrrp: bool
    """It gets lines of instances and groups."""
    lvs: bool
    """It gets lines of virtual and real servers."""
    script: Script | None
    """Reads it; its last argument is the path."""


def fifo_plans(settings: GlobalDefs) -> tuple[FifoPlan, ...]:
    """The FIFOs. Of two keywords with one path the general one counts; where those of VRRP and of services
    share a path, it is one FIFO, and the script of VRRP reads it."""
    plans: dict[str, FifoPlan] = {}
    rows = (
        (settings.notify_fifo, settings.notify_fifo_script, True, True),
        (settings.vrrp_notify_fifo, settings.vrrp_notify_fifo_script, True, False),
        (settings.lvs_notify_fifo, settings.lvs_notify_fifo_script, False, True),
    )
    for fifo, script, vrrp, lvs in rows:
        if fifo is None:
            continue
        there = plans.get(fifo.path)
        if there is None:
            plans[fifo.path] = FifoPlan(
                path=fifo.path, user=fifo.user, group=fifo.group, vrrp=vrrp, lvs=lvs, script=script
            )
        elif not (there.vrrp and there.lvs):
            plans[fifo.path] = replace(
                there,
                vrrp=there.vrrp or vrrp,
                lvs=there.lvs or lvs,
                script=there.script if there.script is not None else script,
            )
    return tuple(plans.values())


_Key = tuple[str, ...]
_Target = NotifyTarget | ServiceTarget | ServerTarget


class Rules:
    """Who is told, by the configuration in force. ``host``: what stands for an unset router_id."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.settings = GlobalDefs()
        self.fifos: tuple[FifoPlan, ...] = ()
        self._targets: dict[_Key, _Target] = {}
        self._former: dict[_Key, tuple[_Target, float]] = {}

    def apply(self, wanted: ScriptSlice, now: float) -> None:
        """From now on ``wanted``; what it no longer has is known for ``FORMER_S`` more."""
        targets = dict(_targets(wanted))
        self._former = {key: row for key, row in self._former.items() if row[1] > now}
        for key in self._targets.keys() - targets.keys():
            self._former[key] = (self._targets[key], now + FORMER_S)
        self._targets = targets
        self.settings = wanted.globals
        self.fifos = fifo_plans(wanted.globals)

    def followed(self) -> list[tuple[Kind, str]]:
        """Every group, then every instance, as configured."""
        targets = [one for one in self._targets.values() if isinstance(one, NotifyTarget)]
        return [(one.kind, one.name) for one in sorted(targets, key=lambda one: one.kind)]

    # --- one change ------------------------------------------------------------------------------

    def effects(self, what: Happening, now: float) -> list[Effect]:
        """What is done about it, in order; empty when nobody is to be told."""
        if isinstance(what, Transition):
            return self._transition(what, now)
        if isinstance(what, LowerPriorityHeard):
            target = self._target("INSTANCE", what.name, now)
            if target is None:
                return []
            purpose = f"INSTANCE {what.name} MASTER_RX_LOWER_PRI"
            return [
                *_run(f"INSTANCE {what.name}", target.master_rx_lower_pri, purpose),
                *self._vrrp_lines("INSTANCE", what.name, "MASTER_RX_LOWER_PRI", what.priority),
            ]
        if isinstance(what, PriorityChanged):
            target = self._target("INSTANCE", what.name, now)
            if target is None or not target.priority_changes or what.state not in ("MASTER", "BACKUP"):
                return []
            return [*self._vrrp_lines("INSTANCE", what.name, f"{what.state}_PRIORITY", what.priority)]
        if isinstance(what, ServerChanged):
            return self._server(what, now)
        return self._quorum(what, now)

    def word(self, what: Transition, now: float) -> str:
        """The state as it is told; empty: it is not told."""
        if what.after != "INIT":
            return what.after
        if not what.removed:
            return "STOP"
        target = self._target(what.kind, what.name, now)
        if target is not None and target.notify_deleted:
            return "DELETED"
        # One that was never announced, or is known to be in FAULT, goes silently. So do groups.
        return "" if what.before in ("FAULT", "INIT") or what.kind == "GROUP" else "FAULT"

    def _transition(self, what: Transition, now: float) -> list[Effect]:
        target, word = self._target(what.kind, what.name, now), self.word(what, now)
        if target is None or not word:
            return []
        special = {
            "MASTER": target.master,
            "BACKUP": target.backup,
            "FAULT": None if what.removed else target.fault,
            "STOP": target.stop,
            "DELETED": target.deleted,
        }[word]
        priority = what.priority if what.kind == "INSTANCE" else 0
        key, purpose = f"{what.kind} {what.name}", f"{what.kind} {what.name} {word}"
        effects: list[Effect] = [
            *_run(key, special, purpose),
            *_run(key, target.generic, purpose, (what.kind, what.name, word, str(priority))),
            *self._vrrp_lines(what.kind, what.name, word, priority),
        ]
        if target.smtp_alert and not (word == "FAULT" and self.settings.no_email_faults):
            end = {"STOP": "Stopping", "DELETED": "Deleted"}.get(word, f"Entering {word} state")
            about = f"VRRP {what.kind.capitalize()} {what.name}"
            effects += self._mail(
                f"{about} - {end}", f"{about}: {what.before} to {word}, priority {priority}"
            )
        return effects

    def _server(self, what: ServerChanged, now: float) -> list[Effect]:
        service = self._known(("VS", what.service), now)
        server = self._known(("RS", what.service, what.server), now)
        if not isinstance(service, ServiceTarget) or not isinstance(server, ServerTarget):
            return []
        word = "UP" if what.up else "DOWN"
        effects: list[Effect] = [
            *_run(
                f"RS {what.service} {what.server}",
                server.up if what.up else server.down,
                f"notify_{word.lower()} {server.fifo_name} of {service.fifo_name}",
            ),
            *self._lvs_lines(f"RS {server.fifo_name} {service.fifo_name} {word}"),
        ]
        if server.smtp_alert and not what.confirmed:
            subject = f"Realserver {server.fifo_name} of virtual server {service.fifo_name} - {word}"
            effects += self._mail(subject, what.reason or word)
        return effects

    def _quorum(self, what: QuorumChanged, now: float) -> list[Effect]:
        service = self._known(("VS", what.service), now)
        if not isinstance(service, ServiceTarget):
            return []
        word = "UP" if what.up else "DOWN"
        effects: list[Effect] = [
            *_run(
                f"VS {what.service}",
                service.up if what.up else service.down,
                f"quorum_{word.lower()} {service.fifo_name}",
            ),
            *self._lvs_lines(f"VS {service.fifo_name} {word}"),
        ]
        if service.smtp_alert:
            subject = f"Virtualserver {service.fifo_name} - {word}"
            body = f"Weight of the servers in service: {what.weight_up}, quorum: {what.quorum}"
            effects += self._mail(subject, body)
        return effects

    # --- parts -----------------------------------------------------------------------------------

    def _target(self, kind: Kind, name: str, now: float) -> NotifyTarget | None:
        found = self._known((kind, name), now)
        return found if isinstance(found, NotifyTarget) else None

    def _known(self, key: _Key, now: float) -> _Target | None:
        found = self._targets.get(key)
        if found is not None:
            return found
        former = self._former.get(key)
        return former[0] if former is not None and now < former[1] else None

    def _vrrp_lines(self, kind: Kind, name: str, word: str, priority: int) -> Iterator[Line]:
        data = f'{kind} "{name}" {word} {priority}\n'.encode("utf-8", "surrogateescape")
        return (Line(fifo=plan.path, data=data) for plan in self.fifos if plan.vrrp)

    def _lvs_lines(self, text: str) -> Iterator[Line]:
        data = f"{text}\n".encode("utf-8", "surrogateescape")
        return (Line(fifo=plan.path, data=data) for plan in self.fifos if plan.lvs)

    def _mail(self, subject: str, body: str) -> list[Effect]:
        if self.settings.smtp_server is None or not self.settings.notification_email:
            return []
        return [Mail(subject=f"[{self.settings.router_id or self._host}] {subject}", body=body)]


def scripts_of(wanted: ScriptSlice) -> Iterator[tuple[str, Script]]:
    """(keyword and what it belongs to, script) of all that is run on a change: to be judged at PREPARE."""
    for target in wanted.targets:
        for keyword, script in (
            ("notify_master", target.master),
            ("notify_backup", target.backup),
            ("notify_fault", target.fault),
            ("notify_stop", target.stop),
            ("notify_deleted", target.deleted),
            ("notify", target.generic),
            ("notify_master_rx_lower_pri", target.master_rx_lower_pri),
        ):
            if script is not None:
                yield f"{keyword} of {target.kind} {target.name}", script
    for service in wanted.services:
        for keyword, script in (("quorum_up", service.up), ("quorum_down", service.down)):
            if script is not None:
                yield f"{keyword} of {service.fifo_name}", script
        for server in service.servers:
            for keyword, script in (("notify_up", server.up), ("notify_down", server.down)):
                if script is not None:
                    yield f"{keyword} of {server.fifo_name} of {service.fifo_name}", script
    for plan in fifo_plans(wanted.globals):
        if plan.script is not None:
            yield f"script of the FIFO {plan.path}", plan.script


def _targets(wanted: ScriptSlice) -> Iterator[tuple[_Key, _Target]]:
    for target in wanted.targets:
        yield (target.kind, target.name), target
    for service in wanted.services:
        yield ("VS", service.key), service
        for server in service.servers:
            yield ("RS", service.key, server.key), server


def _run(key: str, script: Script | None, purpose: str, arguments: tuple[str, ...] = ()) -> Iterator[Run]:
    if script is not None:
        yield Run(key=key, script=script, arguments=arguments, purpose=purpose)
