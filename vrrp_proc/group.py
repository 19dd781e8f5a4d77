"""One state machine per vrrp_sync_group; its members are projections of it. Pure.

A member's own election never makes it master: its down timer runs out (or it is an owner that starts),
and it only *wants* to be (``Instance.wish``) until it accepts an advert. After every input of any member
``SyncGroup.settle`` is asked until it has no more orders; when it has none the group is settled and all
members are in one state:

FAULT   while any member is (its own faults; the others are told whose fault it is);
MASTER  when every member is or wants to be, all in the same step;
BACKUP  otherwise: who is master is pulled down with the one that fell;
INIT    while any member has not started, or has stopped: nobody is told anything; and while any waits
        for the first result of a tracker, unless the group has begun before.

A torn group (some masters, some not, as a worker leaves it that died within a step, or as a reload makes
it) is settled the same way: MASTER if each one that is not has its down timer run out and has heard
nobody since (the masters have passed the resume rule, so they are within their survival time or nobody
took over), BACKUP if in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vrrp_proc.effects import Cause, Reason, State, Trigger
from vrrp_proc.events import GroupSays
from vrrp_proc.instance import Instance

Order = tuple[Instance, GroupSays]

_AS_LONG_AS_IT_MAY_S = 3600.0
_BLIND_TRIGGERS = (Trigger.STALL,)
_BLIND_REASONS = (Reason.BLIND,)


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupChange:
    """A settled group is in another state than before."""

    from_state: State
    to_state: State
    cause: Cause
    """That of the member that decided."""
    decided_by: str
    """The member whose input it was; empty: none."""


class SyncGroup:
    """The machine. It holds no instant and no timer: those are the members'."""

    def __init__(self, name: str, state: State = State.INIT) -> None:
        self.name = name
        self.state: State = state
        """Of the group as last settled; given: as an earlier incarnation left it."""
        self._joining: set[str] = set()

    def join(self, member: str) -> None:
        """A reload put this new instance into the running group: it comes along if the group is master
        and it has heard nobody, and does not take the mastership off the others."""
        self._joining.add(member)

    def settle(self, members: Sequence[Instance]) -> list[Order]:
        """What members are to be told now, in order; empty: settled. Bounded: twice at most before that."""
        if any(_absent(one) for one in members):
            return self._cut_short(members)
        return self._faults(members) or self._mastership(members)

    def _faults(self, members: Sequence[Instance]) -> list[Order]:
        """Whose faults each one shares; none, where it still thinks so."""
        own = {one.config.name: _troubles(one) for one in members}
        orders: list[Order] = []
        for one in members:
            others = [(name, found) for name, found in own.items() if found and name != one.config.name]
            text = "; ".join(f"{name}: {', '.join(found)}" for name, found in others)
            if text == one.group_fault:
                continue
            if text:
                said = self._pull(State.FAULT, _cause_of(members, others[0][0]), others[0][0], text)
            else:
                by = next((m for m in members if m is not one and m.state is not State.FAULT), one)
                said = self._pull(State.BACKUP, by.last_cause, by.config.name)
            orders.append((one, said))
        return orders

    def _cut_short(self, members: Sequence[Instance]) -> list[Order]:
        """The group stops. Who hands over while another one is in fault serves on no longer than that one."""
        orders: list[Order] = []
        for one in members:
            broken = next((other for other in members if other is not one and other.own_faults()), None)
            if one.handing_over and broken is not None:
                text = f"{broken.config.name}: {', '.join(broken.own_faults())}"
                orders.append((one, self._pull(State.FAULT, None, broken.config.name, text)))
        return orders

    def _mastership(self, members: Sequence[Instance]) -> list[Order]:
        if any(one.state is State.FAULT for one in members):
            return []
        if all(one.state is State.INIT for one in members) and not all(one.ready for one in members):
            return []  # nobody begins before the first result of each one's trackers
        masters = [one for one in members if one.state is State.MASTER]
        others = [one for one in members if one.state is not State.MASTER]
        if not masters or not others:
            self._joining.clear()
        if not others:
            return []
        joining = {one.config.name for one in others if masters and self._may_join(one)}
        if all(one.wish is not None or one.config.name in joining for one in others):
            return [
                (one, GroupSays(group=self.name, state=State.MASTER, join=one.config.name in joining))
                for one in others
            ]
        fallen = next(one for one in others if one.wish is None)
        said = self._pull(State.BACKUP, fallen.last_cause, fallen.config.name)
        if fallen.handing_over:
            said = replace(said, hand_over_s=_AS_LONG_AS_IT_MAY_S)
        told = [*masters, *(one for one in others if one.state is State.INIT)]
        return [(one, said) for one in told]

    def _may_join(self, one: Instance) -> bool:
        return one.config.name in self._joining and one.master_address is None

    def _pull(self, to: State, cause: Cause | None, by: str, fault: str = "") -> GroupSays:
        return GroupSays(group=self.name, state=to, cause=cause, by=by, fault=fault, release=_helps(cause))

    def changed(self, members: Sequence[Instance], by: str) -> GroupChange | None:
        """After settling: the group's new state, if it is one. ``by``: the member whose input it was."""
        state = worst(one.state for one in members)
        if state is self.state:
            return None
        before, self.state = self.state, state
        cause = _cause_of(members, by)
        if cause is None:
            return None
        return GroupChange(from_state=before, to_state=state, cause=cause, decided_by=by)


def worst(states: Iterable[State]) -> State:
    """The state of a group whose members show these."""
    states = set(states)
    for state in (State.FAULT, State.INIT, State.BACKUP):
        if state in states:
            return state
    return State.MASTER


def _absent(one: Instance) -> bool:
    """Not started, or stopped: it wants nothing and must not be judged."""
    return not one.started


def _troubles(one: Instance) -> tuple[str, ...]:
    """Why others must be in FAULT with this one. A tracker without a first result keeps it there, too."""
    if one.state is State.FAULT and one.awaiting:
        return (*one.own_faults(), *(f"{text} is not known yet" for text in one.awaiting))
    return one.own_faults()


def _cause_of(members: Sequence[Instance], name: str) -> Cause | None:
    """The last cause of the named member; of any, when that one has none."""
    ordered = sorted(members, key=lambda one: one.config.name != name)
    return next((one.last_cause for one in ordered if one.last_cause is not None), None)


def _helps(cause: Cause | None) -> bool:
    """May a pulled-down master send priority 0? Whoever was blind or stood still does not know whether
    another one is master by now; that one must not be disturbed."""
    return cause is None or (cause.trigger not in _BLIND_TRIGGERS and cause.reason not in _BLIND_REASONS)
