"""A virtual router that is not master: whom it accepts, and when it has waited long enough. Pure.

RFC 9568 section 6.4.2 and RFC 3768 section 6.4.2. What it then becomes is done by ``mastership``.
"""

from __future__ import annotations

from typing import Final

from vrrp_proc.effects import Effect, SaveRecord, State
from vrrp_proc.events import AdvertReceived, ResumePlan
from vrrp_proc.member import Member
from vrrp_proc.packet import Remark


class Backup(Member):
    """What a backup hears and learns, and its Active_Down_Timer."""

    # --- receiving ----------------------------------------------------------------------------

    def _note_advert(self, event: AdvertReceived, now: float) -> list[Effect]:
        self.counters.adverts_received += 1
        effects: list[Effect] = []
        known = self.state is State.BACKUP and event.source == self.master_address
        for remark in event.advert.remarks:
            if remark is Remark.ADDRESS_LIST_DIFFERS and known and self.config.skip_check_adv_addr:
                continue
            self.counters.by_reason[remark.value] += 1
            text = f"advert from {event.source}: {_REMARKS[remark]}"
            key = remark.value
            effects += self._limiter.notice("vrrp.advert_remark", "warning", text, now, key=key)
        return effects

    def _advert_as_backup(self, event: AdvertReceived, now: float) -> list[Effect]:
        effects = self._note_advert(event, now)
        advert, at = event.advert, min(event.received_at, now)
        if self._gap_at is not None and at >= self._gap_at:
            self._gap_at = None
        if advert.priority == 0:
            self.counters.priority_zero_received += 1
            if self.wish is None:  # else its time is up already
                self._down_at = at + self._profile.skew_s(self.priority, self.master_interval_cs)
            self.master_address, self.master_priority = event.source, 0
            self.last_accepted_advert_at = at
            self._preempting = self._postponed = False
            return self._saved(effects, now)
        if not self._yields_to(advert.priority, at):
            self.counters.adverts_discarded += 1
            if self._preempting:
                return effects
            self._preempting = True
            return self._saved(effects, now)
        self._learn(event, at)
        return self._saved(effects, now)

    def _yields_to(self, priority: int, at: float) -> bool:
        """Does a backup accept this advert? RFC 9568 section 6.4.2; preempt_delay as keepalived:
        it runs from the first lower advert, and a higher or equal one stops it."""
        if priority >= self.priority:
            self._preempt_until_at = None
            return True
        if not self.config.preempt:
            return True
        if self.config.preempt_delay_s <= 0:
            return False
        if self._preempt_until_at is None:
            self._preempt_until_at = at + self.config.preempt_delay_s
        return at < self._preempt_until_at

    def _learn(self, event: AdvertReceived, at: float) -> None:
        """An accepted master: its interval, and a whole down timer from the arrival of its advert."""
        if event.source != self.master_address:
            self._limiter.reset()
        self.master_address, self.master_priority = event.source, event.advert.priority
        self.last_accepted_advert_at = at
        self._learned_cs = event.advert.interval_cs
        self.wish = None
        self._preempting = self._postponed = False
        self._down_at = at + self._down_s()

    def _down_timer_fired(self, now: float) -> list[Effect]:
        assert self._down_at is not None
        if self._gap_at is not None and not self._postponed:
            # Adverts may have been lost, so silence proves nothing. Once only: a flood that overflows
            # the queue for ever must not keep the segment without a master.
            self._gap_at = None
            self._postponed = True
            self._down_at = now + self._down_s()
            return [SaveRecord(record=self.record(now), fence=self._fence())]
        self._gap_at = None
        return self._elected(now, self._election(now, self._down_at))

    def _nobody_took_over(self, now: float) -> list[Effect]:
        """The hand-over is overdue. Who has stopped leaves; who only stepped back is needed."""
        effects: list[Effect] = []
        if self.state is State.BACKUP and self.wish is None:
            self._down_at = now
            effects = self._down_timer_fired(now)
            if self._leave_to_group(now):
                return effects
        if self.handing_over:
            effects += self._end_hand_over(now, why="nobody took over in time")
        return effects

    def _replay(self, plan: ResumePlan, now: float) -> list[Effect]:
        """Queued adverts, as a backup sees them; a blind one then waits a full down timer at least."""
        effects: list[Effect] = []
        if self.state is State.BACKUP:
            for heard in plan.replay:
                effects += self._advert_as_backup(heard, now)
            if plan.blind and self._down_at is not None:
                self._down_at = max(self._down_at, now + self._down_s())
        return effects


_REMARKS: Final = {
    Remark.INTERVAL_DIFFERS: "its advert_int differs from ours",
    Remark.ADDRESS_LIST_DIFFERS: "its addresses differ from ours",
    Remark.OTHER_CHECKSUM_FORM: "its checksum is of the other form (v3_checksum_as_v2), which we accept too",
}
