"""What the VRRP worker says on the bus: a state record per instance, and every transition.

The bus is for others to read. It is opened after the first adverts, it never delays them, and nothing
in here is needed to be master.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import zmq

from bus.client import Publisher
from bus.messages import (
    Event,
    TrackerShare,
    TransitionCause,
    Trigger,
    VrrpGroupState,
    VrrpInstanceState,
    VrrpLowerPriorityHeard,
    VrrpPriorityChanged,
    VrrpStateName,
    VrrpTransition,
)
from vrrp_proc.effects import Cause, LowerPriorityHeard, PriorityChanged, Reason, State, Transition
from vrrp_proc.effects import Trigger as CoreTrigger
from vrrp_proc.loop import Loop, Stage
from vrrp_proc.tracking import Share
from worker.clock import boottime
from worker.context import WorkerContext

if TYPE_CHECKING:
    from vrrp_proc.virtual_router import VirtualRouter

_EVENTS_KEPT = 256

_TRIGGERS: dict[CoreTrigger, Trigger] = {
    CoreTrigger.STARTUP: "start",
    CoreTrigger.ADVERT: "advert",
    CoreTrigger.TIMER: "timer",
    CoreTrigger.LINK: "link",
    CoreTrigger.ADDRESS: "address",
    CoreTrigger.TRACKER: "tracker",
    CoreTrigger.SCRIPT: "script",
    CoreTrigger.OPERATOR: "operator",
    CoreTrigger.RELOAD: "reload",
    CoreTrigger.RESUME: "resume",
    CoreTrigger.STALL: "resume",
}
_BY_REASON: dict[Reason, Trigger] = {
    Reason.OWNER: "owner",
    Reason.PRIORITY_ZERO: "priority_zero",
    Reason.STOP: "stop",
}
_STATES: dict[State, VrrpStateName] = {
    State.INIT: "INIT",
    State.BACKUP: "BACKUP",
    State.MASTER: "MASTER",
    State.FAULT: "FAULT",
}


def state_name(state: State) -> VrrpStateName:
    """A state in the words of the bus."""
    return _STATES[state]


def bus_cause(cause: Cause) -> TransitionCause:
    """The core's cause in the words of the bus."""
    words = [cause.reason.value.replace("_", " ")]
    if cause.rule is not None:
        words.append(f"resume rule {cause.rule}")
    if cause.detail:
        words.append(cause.detail)
    return TransitionCause(
        trigger=_BY_REASON.get(cause.reason, _TRIGGERS[cause.trigger]),
        detail=", ".join(words),
        peer=cause.peer,
        peer_priority=cause.peer_priority,
        own_priority=cause.own_priority,
        late_s=cause.late_s,
    )


def bus_share(share: Share) -> TrackerShare:
    """One tracker in the words of the bus."""
    follow = share.follow
    return TrackerShare(
        tracker_kind=follow.kind,
        name=follow.name,
        value=share.value,
        weight=-follow.weight if follow.reverse else follow.weight,
        share=share.share,
        fault=share.fault,
        stale=share.stale,
    )


def _first_cause(router: VirtualRouter) -> TransitionCause:
    """Of a router that has not changed its state yet."""
    awaiting = router.core.awaiting if router.core is not None else ()
    detail = f"waits for the first result of {', '.join(awaiting)}" if awaiting else ""
    return TransitionCause(trigger="start", detail=detail)


def state_record(router: VirtualRouter) -> VrrpInstanceState | None:
    """The published record of a router; None before it has a state."""
    record, core = router.record, router.core
    if core is None:
        return None
    cause = router.cause
    config = router.config
    state = core.state
    master = state is State.MASTER
    since_at = record.since_at if record is not None else (cause.at if cause is not None else boottime())
    return VrrpInstanceState(
        instance=config.name,
        interface=config.interface,
        vrid=config.virtual_router_id,
        family=config.family,
        version=config.version,
        state=_STATES[state],
        priority=core.priority,
        base_priority=config.priority,
        advert_int_cs=config.advert_int_cs if master or record is None else record.master_interval_cs,
        master_address=router.source if master else (record.master_address if record is not None else None),
        master_priority=(record.priority if master else record.master_priority)
        if record is not None
        else None,
        addresses=tuple(vip.interface for vip in router.addresses() if vip in router.installed),
        since_at=since_at,
        since_wall_at=router.trailer.since_wall_at,
        transitions=router.trailer.transitions,
        cause=bus_cause(cause.cause) if cause is not None else _first_cause(router),
        group=router.group,
        trackers=tuple(map(bus_share, core.tracking.shares)),
        held_back=hold.reason if (hold := core.hold) is not None else "",
        held_back_until_wall_at=_wall_at(hold.until_at) if hold is not None else None,
    )


def _wall_at(at: float | None) -> float | None:
    """An instant of CLOCK_BOOTTIME to come, for people: whole seconds, so that it does not flutter."""
    return None if at is None else float(round(time.time() + at - boottime()))


class BusVoice:
    """Publishes for the worker once ``open`` was called; remembers what happened before."""

    def __init__(self, ctx: WorkerContext, loop: Loop) -> None:
        self._ctx = ctx
        self._loop = loop
        self._publisher: Publisher | None = None
        self.context: zmq.Context[zmq.Socket[bytes]] | None = None
        """From ``open`` to ``close``."""
        self._records: dict[str, VrrpInstanceState | VrrpGroupState] = {}
        self._early: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._epoch: int | None = None
        self._pumping = False
        self._generation = 0

    def open(self) -> None:
        """Make the ZeroMQ context and connect (about a millisecond, and a thread of libzmq)."""
        if self._publisher is not None:
            return
        self.context = zmq.Context(1)
        self._publisher = Publisher(
            self.context,
            role=self._ctx.role,
            incarnation=self._ctx.incarnation,
            endpoint=self._ctx.bus_ingress,
            generation=self._generation,
        )
        self._loop.add_reader(self._publisher.fileno(), Stage.BUS, self.pump)
        for record in self._records.values():
            self._publisher.set_state(record)
        if self._epoch is not None:
            self._publisher.announce(self._epoch)
        while self._early:
            self._publisher.event(self._early.popleft())
        self.pump()

    def generation(self, generation: int) -> None:
        """What is said from now on is said under this configuration."""
        self._generation = generation
        if self._publisher is not None:
            self._publisher.generation = generation

    def epoch(self, epoch: int) -> None:
        """The broker is new: say everything again."""
        self._epoch = epoch
        if self._publisher is not None:
            self._publisher.announce(epoch)
            self.pump()

    def state(self, record: VrrpInstanceState | VrrpGroupState) -> None:
        if self._records.get(record.key) == record:
            return
        self._records[record.key] = record
        if self._publisher is not None:
            self._publisher.set_state(record)
            self.pump()

    def gone(self, key: str) -> None:
        """``key`` of a record: the name of an instance, or ``group:`` and the name of a sync group."""
        if self._records.pop(key, None) is not None and self._publisher is not None:
            self._publisher.delete_state("s.vrrp", key)
            self.pump()

    def transition(self, router: VirtualRouter, effect: Transition, number: int) -> None:
        """``number``: how many transitions of this instance there were, with this one."""
        event = VrrpTransition(
            instance=router.name,
            interface=router.interface,
            vrid=router.config.virtual_router_id,
            family=router.config.family,
            from_state=_STATES[effect.from_state],
            to_state=_STATES[effect.to_state],
            cause=bus_cause(effect.cause),
            number=number,
            priority=effect.cause.own_priority,
            removed=router.removed,
        )
        self.event(event)

    def priority_changed(self, router: VirtualRouter, effect: PriorityChanged) -> None:
        self.event(
            VrrpPriorityChanged(
                instance=router.name,
                state=_STATES[effect.state],
                priority=effect.priority,
                before=effect.before,
                detail=effect.detail,
            )
        )

    def lower_heard(self, router: VirtualRouter, effect: LowerPriorityHeard) -> None:
        self.event(
            VrrpLowerPriorityHeard(
                instance=router.name,
                priority=effect.priority,
                peer=effect.peer,
                peer_priority=effect.peer_priority,
            )
        )

    def event(self, event: Event) -> None:
        """Say it, or remember it until there is somebody to say it to."""
        if self._publisher is None:
            self._early.append(event)
        else:
            self._publisher.event(event)
            self.pump()

    def pump(self) -> None:
        """Whenever the bus is readable, after each use, and with each heartbeat."""
        if self._publisher is not None and self._publisher.pump(boottime()) and not self._pumping:
            self._pumping = True
            self._loop.add_work(self._pump_more)

    def _pump_more(self) -> bool:
        self._pumping = self._publisher is not None and self._publisher.pump(boottime())
        return self._pumping

    def close(self) -> None:
        """Without waiting for anybody."""
        if self._publisher is not None:
            self.pump()
            self._loop.remove_reader(self._publisher.fileno())
            self._publisher.close()
            if self.context is not None:
                self.context.destroy(linger=0)
            self._publisher = self.context = None
