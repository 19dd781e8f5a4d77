"""A virtual router as a member of a sync group: it wants, the group decides. Pure.

``group.SyncGroup`` is the machine; this is what a member adds to a router that is alone. Without a group
nothing in here happens.
"""

from __future__ import annotations

from dataclasses import replace

from vrrp_proc import events as ev
from vrrp_proc.effects import Cause, Effect, Reason, State, Trigger
from vrrp_proc.handover import HandOver
from vrrp_proc.resume import OWNER_PRIORITY
from vrrp_proc.timers import seconds

_OTHERS_SOON = 0.1
"""Part of the interval within which members that began to hand over together are overdue."""


class Member(HandOver):
    """What the group says to a router, and what it answers; what it becomes is done by ``Instance``."""

    group: str = ""
    """Its vrrp_sync_group; empty: none, and its own election decides."""
    group_fault: str = ""
    """What keeps other members of the group, and so this one, from taking part."""
    started: bool = False
    """Between ``Startup`` and ``Shutdown``."""
    ready: bool = False
    """INIT: it would begin but for its group."""
    _begin_detail: str = ""

    def _become_master(self, now: float, cause: Cause) -> list[Effect]:
        raise NotImplementedError

    def _leave_master(
        self, to: State, now: float, cause: Cause, *, release: bool = False, hand_over_s: float = 0.0
    ) -> list[Effect]:
        raise NotImplementedError

    def join(self, group: str) -> None:
        """The vrrp_sync_group that decides from now on; empty: none. Tell it ``GroupSays`` of the new one,
        or ``wake`` it, afterwards."""
        if group != self.group:
            self.group, self.wish = group, None

    def faults(self) -> tuple[str, ...]:
        return (*self.own_faults(), self.group_fault) if self.group_fault else self.own_faults()

    def own_faults(self) -> tuple[str, ...]:
        """As ``faults``, without those of other members of its sync group."""
        return super().faults()

    # --- start --------------------------------------------------------------------------------

    def _begin(self, now: float, trigger: Trigger, detail: str) -> list[Effect]:
        """A member begins with its group: not while another one waits for the first result of a tracker."""
        if not self.group or self.faults() or self.awaiting:
            return super()._begin(now, trigger, detail)
        self._await_until_at = None
        self.ready, self._begin_detail = True, detail
        if self.priority == OWNER_PRIORITY and self.config.state == "MASTER":
            self._down_at = now
            self.wish = self._cause(Trigger.STARTUP, Reason.OWNER)
        return []

    def _never_start(self, event: ev.Shutdown, now: float) -> list[Effect]:
        self.started = self.ready = False
        self.wish = None
        return super()._never_start(event, now)

    def _begin_as_told(self, now: float) -> list[Effect]:
        self.ready = False
        self._await_until_at = None  # a group that has begun waits for nothing
        if self.wish is None:
            return super()._begin(now, Trigger.STARTUP, self._begin_detail)
        return self._enter(State.BACKUP, now, Trigger.STARTUP, Reason.START, self._begin_detail)

    def _await_group(self) -> None:
        """A next incarnation in FAULT does not know whether the fault was its own: the group will say."""
        if self.group:
            self.group_fault = "the sync group has not settled yet"

    # --- wishes -------------------------------------------------------------------------------

    def _elected(self, now: float, cause: Cause) -> list[Effect]:
        """Master by its own election. A member of a sync group only says that it wants to be.

        Its down timer stays where it ran out: so the record says what it wants."""
        if not self.group:
            return self._become_master(now, cause)
        self.wish = cause
        if self._down_at is None:
            self._down_at = now
        if self.state is State.FAULT:
            return self._enter(State.BACKUP, now, cause.trigger, Reason.FAULT_OVER, "")
        return []

    def _election(self, now: float, due_at: float) -> Cause:
        """Why the down timer that was due makes us master."""
        if self.priority == OWNER_PRIORITY:
            reason = Reason.OWNER
        elif self._preempting:
            reason = Reason.PREEMPTED
        else:
            reason = Reason.PRIORITY_ZERO if self.master_priority == 0 else Reason.NO_RESPONSE
        return self._cause(Trigger.TIMER, reason, late_s=now - due_at)

    def _wish_again(self, now: float) -> None:
        """A next incarnation: what it wanted before, it still wants, if nobody was heard meanwhile."""
        due = self._down_at is not None and now >= self._down_at
        if self.group and self.state is State.BACKUP and due and self._gap_at is None:
            self.wish = self._election(now, self._down_at or now)

    def _leave_to_group(self, now: float) -> bool:
        """Nobody took over from a member. The others find that out in a moment, and then the group goes on as
        master: so long the addresses stay. False: the group has no say in it."""
        if self.wish is None or self._handing_over is None:
            return False
        until_at = now + _OTHERS_SOON * seconds(self.config.advert_int_cs)
        self._handing_over = replace(self._handing_over, until_at=until_at)
        return True

    # --- what the group says ------------------------------------------------------------------

    def _group_says(self, event: ev.GroupSays, now: float) -> list[Effect]:
        """A decision of the group: members follow it in the same step."""
        if not self.started:
            return []  # it has left; what it still hands over, ``Instance`` has ended
        if event.state is State.MASTER:
            return self._granted(event, now)
        self.group_fault = event.fault
        cause = event.told(self.priority)
        if self.state is State.INIT:
            if self.faults():
                return self._begin(now, cause.trigger, cause.detail)
            return self._begin_as_told(now)
        if bool(self.faults()) != (self.state is State.FAULT):
            return self._check_faults(now, cause.trigger, cause.detail, release=event.release)
        if event.state is State.FAULT or self.state is not State.MASTER:
            return []
        self._learned_cs = self.config.advert_int_cs
        self.master_address = self.master_priority = None
        self._down_at = now + self._down_s()
        return self._leave_master(
            State.BACKUP, now, cause, release=event.release, hand_over_s=event.hand_over_s
        )

    def _granted(self, event: ev.GroupSays, now: float) -> list[Effect]:
        wish = self.wish
        waits = self.state in (State.INIT, State.BACKUP)
        if wish is None and event.join:
            wish = self._cause(Trigger.RELOAD, Reason.START, detail=f"new in {event.group}")
        if wish is None or not waits:
            return []
        self.ready = False
        return self._become_master(now, wish)
