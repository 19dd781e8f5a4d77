"""Sync groups in the worker: settled after every input of a member, and told of before their members.

Nothing is decided here: ``group.SyncGroup`` says who is to be told what. All orders of a step are carried
out within the turn of the loop that the input came in, adverts at once, addresses by the address queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bus.messages import TransitionCause, VrrpGroupState, VrrpGroupTransition
from keepalived_conf.model import SyncGroup as GroupConfig
from vrrp_proc.effects import State
from vrrp_proc.group import GroupChange, SyncGroup, worst
from vrrp_proc.publish import bus_cause, state_name
from vrrp_proc.record import RecordState
from worker.clock import boottime

if TYPE_CHECKING:
    from vrrp_proc.instance import Instance
    from vrrp_proc.virtual_router import VirtualRouter

_ROUNDS = 8
"""A group that still has orders after so many rounds would go on for ever: a fault of ours."""

_SHOWN = {
    RecordState.MASTER: State.MASTER,
    RecordState.BECOMING_MASTER: State.MASTER,
    RecordState.BACKUP: State.BACKUP,
    RecordState.LEAVING: State.BACKUP,
    RecordState.FAULT: State.FAULT,
    RecordState.INIT: State.INIT,
}
"""A record's state, as the group had told it."""

Tell = Callable[[], None]
Say = Callable[[VrrpGroupTransition], None]
Log = Callable[..., None]


class Group:
    """One vrrp_sync_group that is in effect."""

    def __init__(self, config: GroupConfig) -> None:
        self.config = config
        self.core = SyncGroup(config.name)
        self.routers: list[VirtualRouter] = []
        self.transitions = 0
        self.since_at = boottime()
        self.since_wall_at = time.time()
        self.cause = TransitionCause(trigger="start")
        self.decided_by = ""
        self.settling = False
        self.held: list[Tell] = []
        """What members have to tell, until the group has told its own."""

    @property
    def name(self) -> str:
        return self.config.name

    def resume(self) -> None:
        """Before the members start: the group as an earlier incarnation left it, if it left all of it."""
        entries = [router.entry for router in self.routers if router.entry is not None]
        if not entries or len(entries) != len(self.routers):
            return
        self.core.state = worst(_SHOWN[entry.record.state] for entry in entries)
        self.transitions = max(entry.trailer.group_transitions for entry in entries)
        self.since_at = max(entry.record.since_at for entry in entries)
        self.since_wall_at = max(entry.trailer.since_wall_at for entry in entries)
        self.cause = TransitionCause(trigger="resume")

    def cores(self) -> list[Instance] | None:
        """Of all members; None while one of them has not started."""
        cores = [router.core for router in self.routers if router.core is not None]
        return cores if len(cores) == len(self.routers) else None

    def take(self, change: GroupChange) -> VrrpGroupTransition:
        """The group is in another state: count it, and what is said of it."""
        self.transitions += 1
        self.since_at, self.since_wall_at = boottime(), time.time()
        self.cause, self.decided_by = bus_cause(change.cause), change.decided_by
        return VrrpGroupTransition(
            group=self.name,
            from_state=state_name(change.from_state),
            to_state=state_name(change.to_state),
            cause=self.cause,
            decided_by=self.decided_by,
            number=self.transitions,
        )

    def record(self) -> VrrpGroupState:
        return VrrpGroupState(
            group=self.name,
            state=state_name(self.core.state),
            members=tuple(router.name for router in self.routers),
            since_at=self.since_at,
            since_wall_at=self.since_wall_at,
            transitions=self.transitions,
            cause=self.cause,
            decided_by=self.decided_by,
        )


class Groups:
    """All groups of the worker. ``say`` puts a transition on the bus, ``defer`` runs what may wait."""

    def __init__(self, defer: Callable[[Tell], None], say: Say, changed: Tell, log: Log) -> None:
        self._defer, self._say, self._changed, self._log = defer, say, changed, log
        self._groups: dict[str, Group] = {}
        self._of: dict[VirtualRouter, Group] = {}
        self._paused = False

    # --- configuration ---------------------------------------------------------------------------

    def configure(
        self, configs: Sequence[GroupConfig], routers: Mapping[str, VirtualRouter], *, running: bool
    ) -> list[str]:
        """The groups of a committed configuration; names of those that are no more. New routers have not
        started yet. ``running``: by a reload, so a new router in a running group comes along with it."""
        before, self._groups = self._groups, {}
        self._of = {}
        for config in configs:
            members = [routers[name] for name in config.members if name in routers]
            if not members:
                continue
            group = before.get(config.name) or Group(config)
            known = group.routers
            group.config, group.routers = config, members
            self._groups[config.name] = group
            for router in members:
                self._of[router] = group
                if running and known and router not in known and router.core is None:
                    group.core.join(router.name)
            if not running:
                group.resume()
        for router in routers.values():
            router.join_group(self._of[router].name if router in self._of else "")
        return [name for name in before if name not in self._groups]

    def forget(self, router: VirtualRouter) -> None:
        """Not configured any more: it leaves alone, without its group."""
        group = self._of.pop(router, None)
        if group is not None:
            group.routers = [one for one in group.routers if one is not router]
            router.join_group("")

    @contextmanager
    def together(self) -> Iterator[None]:
        """Several members are told something at once (start, reload): groups settle when all know it."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False
            for group in self._groups.values():
                self._settle(group, "")

    # --- at work -----------------------------------------------------------------------------------

    def next_number(self, router: VirtualRouter) -> int:
        """What the number of the next transition of this router's group will be; 0: it has no group."""
        group = self._of.get(router)
        return group.transitions + 1 if group is not None else 0

    def fed(self, router: VirtualRouter) -> None:
        """After any input of a router."""
        group = self._of.get(router)
        if group is not None:
            self._settle(group, router.name)

    def tell(self, router: VirtualRouter, tell: Tell) -> None:
        """A transition of a router is told: at once, or behind that of its group."""
        group = self._of.get(router)
        if group is None:
            self._defer(tell)
        else:
            group.held.append(tell)

    def _settle(self, group: Group, by: str) -> None:
        cores = group.cores()
        if group.settling or self._paused:
            return
        group.settling = True
        try:
            if cores is not None:
                self._carry_out(group, cores, by)
        finally:
            group.settling = False
        held, group.held = group.held, []
        for tell in held:
            self._defer(tell)

    def _carry_out(self, group: Group, cores: list[Instance], by: str) -> None:
        routers = dict(zip(map(id, cores), group.routers, strict=True))
        for _ in range(_ROUNDS):
            orders = group.core.settle(cores)
            if not orders:
                break
            for core, said in orders:
                routers[id(core)].feed(said)
        else:
            self._log("error", "vrrp.group_unsettled", group=group.name)
        change = group.core.changed(cores, by)
        if change is not None:
            event = group.take(change)
            self._log(
                "info",
                "vrrp.group_transition",
                group=group.name,
                **{"from": event.from_state, "to": event.to_state},
                trigger=event.cause.trigger,
                decided_by=by,
                detail=event.cause.detail,
            )
            self._defer(lambda: self._say(event))
            self._changed()

    def records(self) -> list[VrrpGroupState]:
        """What is published."""
        return [group.record() for group in self._groups.values()]
