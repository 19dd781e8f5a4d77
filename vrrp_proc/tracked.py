"""A virtual router that follows trackers: its effective priority, and the wait for their first results.

A tracker of weight 0 that has not reported yet may be a fault. A router that starts waits for it in INIT,
and tells nobody; one in FAULT stays there. After ``Tracking.wait_s`` it counts as good: a silent tracker
must not keep a segment without a master. Whoever is BACKUP or MASTER already waits for nothing.
"""

from __future__ import annotations

from vrrp_proc import events as ev
from vrrp_proc.effects import Effect, LowerPriorityHeard, PriorityChanged, Reason, State, Trigger
from vrrp_proc.router import Router
from vrrp_proc.timers import seconds
from vrrp_proc.tracking import OWNER_PRIORITY, Kind, Share, Tracking, decisive

_TRIGGERS: dict[Kind, Trigger] = {
    "interface": Trigger.LINK,
    "script": Trigger.SCRIPT,
    "file": Trigger.TRACKER,
    "process": Trigger.TRACKER,
}


class Tracked(Router):
    """What trackers do to a router; what it then becomes is decided by ``Instance``."""

    def _check_faults(
        self, now: float, trigger: Trigger, detail: str = "", *, release: bool = True
    ) -> list[Effect]:
        raise NotImplementedError

    def _become_master_as_owner(self, now: float, trigger: Trigger) -> list[Effect]:
        raise NotImplementedError

    # --- values -------------------------------------------------------------------------------

    def _trackers_changed(self, event: ev.TrackersChanged, now: float) -> list[Effect]:
        """BACKUP: the running timer moves by the difference of the skews. MASTER: the next advert of the
        grid carries the new priority."""
        share = decisive(self.tracking, event.tracking)
        self._take_tracking(event.tracking)
        before = self._take_priority()
        trigger, detail = _told(share)
        effects: list[Effect] = []
        if self.priority != before and self.state is not State.INIT:
            if self.state is State.MASTER:
                self.master_priority = self.priority
            effects = self._saved([], now) + self._told_priority(before, detail)
        return effects + self._check_faults(now, trigger, detail)

    def _take_tracking(self, tracking: Tracking) -> None:
        self.tracking, self._added = tracking, tracking.sum
        if not self.awaiting and self.state is not State.INIT:
            self._await_until_at = None

    def _told_priority(self, before: int, detail: str) -> list[Effect]:
        if self.priority == before or self.state is State.INIT:
            return []
        return [PriorityChanged(state=self.state, before=before, priority=self.priority, detail=detail)]

    def _told_lower(self, event: ev.AdvertReceived, now: float) -> list[Effect]:
        """keepalived tells each of them, unless it is strict; an honest router sends one each interval."""
        last = self._lower_heard
        honest_s = seconds(self.config.advert_int_cs) / 2
        if self.config.strict_mode or (last and last[0] == event.source and now - last[1] < honest_s):
            return []
        self._lower_heard = (event.source, now)
        peer_priority = event.advert.priority
        return [LowerPriorityHeard(priority=self.priority, peer=event.source, peer_priority=peer_priority)]

    # --- start --------------------------------------------------------------------------------

    def _await_trackers(self, now: float) -> None:
        """From now on, as long as a tracker that may be a fault has not reported."""
        self._await_until_at = now + self.tracking.wait_s if self.tracking.waiting else None

    @property
    def awaiting(self) -> tuple[str, ...]:
        """Trackers whose first result this router waits for, in words."""
        return self.tracking.waiting if self._await_until_at is not None else ()

    def _begin(self, now: float, trigger: Trigger, detail: str) -> list[Effect]:
        """Leave INIT as faults and trackers allow; nothing while a first result is awaited."""
        awaiting = self.awaiting
        if not awaiting:
            self._await_until_at = None
        faults = self.faults()
        if faults:
            return self._enter(State.FAULT, now, trigger, Reason.FAULT, "; ".join(faults))
        if awaiting:
            return []
        if self.priority == OWNER_PRIORITY and self.config.state == "MASTER":
            return self._become_master_as_owner(now, Trigger.STARTUP)
        self._down_at = now + self._down_s()
        return self._enter(State.BACKUP, now, Trigger.STARTUP, Reason.START, detail)

    def _awaited_in_vain(self, now: float) -> list[Effect]:
        """A first result is overdue: ignorance is no fault."""
        names = ", ".join(self.awaiting)
        self._await_until_at = None
        text = f"{names}: no result in time; counts as good until there is one"
        effects: list[Effect] = list(self._limiter.notice("vrrp.tracker_silent", "warning", text, now))
        if self.state is State.INIT:
            return effects + self._begin(now, Trigger.STARTUP, text)
        return effects + self._check_faults(now, Trigger.TRACKER, text)

    def _never_start(self, _event: ev.Shutdown, _now: float) -> list[Effect]:
        """Stopped before it was anything: there is nothing to give back."""
        self._await_until_at = None
        return []


def _told(share: Share | None) -> tuple[Trigger, str]:
    if share is None:
        return Trigger.TRACKER, ""
    return _TRIGGERS[share.follow.kind], share.text
