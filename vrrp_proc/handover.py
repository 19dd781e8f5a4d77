"""Planned hand-over and step-down: what a master does that leaves on purpose. Pure.

A master that leaves on purpose says priority 0, and then serves on until its successor's first advert, at
most for a bounded time. RFC 9568 section 6.4.3 takes the addresses off at once: then nobody answers until
the successor's skew is over. Meanwhile the record says LEAVING, and the fence is due when a successor may
speak first: a worker that is dead cannot hear it, so its addresses go at once. So they do on a fault: what is
broken serves nobody until the successor comes, and a tracker without weight says: this node must not serve.

A router that an operator holds back takes part with priority 1, the lowest that a backup can have: any
other router goes before it, and without any other one the service stays up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vrrp_proc.effects import Effect, Notice, SaveRecord, State
from vrrp_proc.events import AdvertReceived
from vrrp_proc.record import Fence, RecordState, ResumeRecord
from vrrp_proc.resume import OWNER_PRIORITY
from vrrp_proc.router import all_addresses
from vrrp_proc.timers import FENCE_MARGIN_MIN_S, Profile, seconds
from vrrp_proc.tracked import Tracked

HELD_PRIORITY: Final = 1
_LOWEST, _HIGHEST = 1, OWNER_PRIORITY - 1
"""Priorities that a backup may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """An operator's wish that a router steps back."""

    reason: str
    until_at: float | None
    """None: until it is released."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedOver:
    """How a hand-over ended."""

    successor: str
    """Address of who took over; empty: nobody in time, or the hand-over was cut short."""
    took_s: float
    why: str
    """Why without a successor; empty otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Leaving:
    began_at: float
    until_at: float
    fence: Fence


def longest_s(profile: Profile, advert_int_cs: int) -> float:
    """How long a successor may take: the skew of the lowest priority, and an interval for its host."""
    return profile.skew_s(_LOWEST, advert_int_cs) + seconds(advert_int_cs)


class HandOver(Tracked):
    """A virtual router that may still serve though it is not master any more."""

    hold: Hold | None = None
    """Set: an operator holds it back."""
    handed_over: HandedOver | None = None
    """How the last hand-over ended; None while one is under way, and before the first."""
    _handing_over: _Leaving | None = None

    @property
    def handing_over(self) -> bool:
        """Not master any more, and the addresses stay until a successor speaks."""
        return self._handing_over is not None

    @property
    def record_state(self) -> RecordState:
        return RecordState.LEAVING if self.handing_over else super().record_state

    @property
    def quiet(self) -> bool:
        """Shut down completely: state INIT, and the addresses are acknowledged to be gone."""
        return super().quiet and not self.handing_over

    def next_deadline(self) -> float | None:
        instants = [super().next_deadline()]
        if self._handing_over is not None:
            instants.append(self._handing_over.until_at)
        if self.hold is not None:
            instants.append(self.hold.until_at)
        return min((at for at in instants if at is not None), default=None)

    # --- priority -----------------------------------------------------------------------------

    @property
    def own_priority(self) -> int:
        """The effective priority as it is without ``hold``."""
        return super()._wanted_priority()

    def _wanted_priority(self) -> int:
        return self.own_priority if self.hold is None else HELD_PRIORITY

    def _restore(self, record: ResumeRecord) -> None:
        if self._added is None and record.priority == HELD_PRIORITY:
            self._added = 0  # most likely of a hold: without trackers it says nothing about them
        super()._restore(record)

    # --- hand-over ----------------------------------------------------------------------------

    def _may_hand_over(self, now: float) -> bool:
        """Does it help that the addresses stay? Never for an owner (they are its own), and not when we cannot
        be heard or may have missed who spoke."""
        return (
            self.config.priority != OWNER_PRIORITY
            and self._link_up
            and self.local_address is not None
            and not self.stalled(now)
            and bool(all_addresses(self.config))
        )

    def _begin_hand_over(self, now: float, within_s: float) -> None:
        interval_cs = self.config.advert_int_cs
        # The earliest instant at which somebody else may be master. A worker that is dead cannot hear that.
        alone_until_at = now + self._profile.skew_s(_HIGHEST, interval_cs)
        self._handing_over = _Leaving(
            began_at=now,
            until_at=now + min(longest_s(self._profile, interval_cs), within_s),
            fence=Fence(deadline_at=alone_until_at, prio0_until_at=alone_until_at + FENCE_MARGIN_MIN_S),
        )
        self.handed_over = None

    def _fence(self) -> Fence | None:
        if self._handing_over is not None:
            return self._handing_over.fence
        return super()._fence()

    def _successor_heard(self, event: AdvertReceived, now: float) -> list[Effect]:
        """Whoever speaks as master after our priority 0 serves now."""
        leaving = self._handing_over
        if leaving is None or event.advert.priority == 0 or event.received_at < leaving.began_at:
            return []
        return self._end_hand_over(now, successor=str(event.source))

    def _end_hand_over(self, now: float, *, successor: str = "", why: str = "") -> list[Effect]:
        """The addresses go off now."""
        leaving, self._handing_over = self._handing_over, None
        assert leaving is not None
        self._leaving_fence = leaving.fence
        withdraw = self._withdraw_all(leftovers=False)
        return [withdraw, self._ended(leaving, now, successor, why)]

    def _ended(self, leaving: _Leaving, now: float, successor: str, why: str) -> Notice:
        took_s = now - leaving.began_at
        self.handed_over = HandedOver(successor=successor, took_s=took_s, why=why)
        if successor:
            text = f"handed over to {successor} in {took_s:.3f} s"
            fields: dict[str, str | int | float] = {"successor": successor, "took_s": round(took_s, 4)}
            return Notice(event_id="vrrp.handed_over", level="info", text=text, fields=fields)
        return Notice(
            event_id="vrrp.nobody_took_over",
            level="warning",
            text=f"no hand-over: {why}",
            fields={"took_s": round(took_s, 4)},
        )

    def _keep_serving(self, now: float) -> list[Notice]:
        """Nobody took over and we still take part: master again, the addresses never left."""
        leaving, self._handing_over = self._handing_over, None
        if leaving is None:
            return []
        return [self._ended(leaving, now, "", "nobody took over in time, it goes on as master")]

    # --- hold ---------------------------------------------------------------------------------

    def start_held(self, hold: Hold | None) -> None:
        """Before ``Startup``: an earlier incarnation was told to hold it back (None: it was not)."""
        if self.config.priority != OWNER_PRIORITY:
            self.hold = hold
            self._take_priority()

    def _held_back_notice(self) -> Notice:
        assert self.hold is not None
        text = f"held back by the operator ({self.hold.reason}): takes part with priority {HELD_PRIORITY}"
        return Notice(event_id="vrrp.held_back", level="warning", text=text)

    def _alone_notice(self) -> Notice:
        text = "master though the operator holds it back: no other router is there"
        return Notice(event_id="vrrp.held_back_alone", level="warning", text=text)

    def _release(self, why: str, now: float) -> list[Effect]:
        """Take part with the own priority again; preemption is up to the configuration, as ever."""
        before_s = self._down_s()
        held, self.hold = self.hold is not None, None
        self.priority = self._wanted_priority()
        if self.state is State.MASTER:
            self.master_priority = self.priority
        if self._down_at is not None:
            self._down_at += self._down_s() - before_s
        effects: list[Effect] = []
        if self.state is not State.INIT:  # before a start the record still is the predecessor's
            effects.append(SaveRecord(record=self.record(now), fence=self._fence()))
        if held:
            effects.append(Notice(event_id="vrrp.released", level="info", text=f"held back no more: {why}"))
        return effects
