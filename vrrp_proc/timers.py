"""Where centiseconds on the wire, seconds in the program and the RFCs' formulas meet, once.

Everything is float seconds: at an interval of one centisecond a step of priority is 39 us, so skews
are never rounded. Sources: RFC 9568 section 6.1 (version 3), RFC 3768 section 6.1 (version 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FENCE_MARGIN_MIN_S = 0.020
FENCE_MARGIN_INTERVALS = 0.2
DOWN_ADVERTS_MAX = 3


def seconds(interval_cs: int) -> float:
    """Centiseconds, the unit of the wire (v3) and of the model, to seconds."""
    return interval_cs / 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """In what the two protocol versions differ. Not in their states."""

    version: Literal[2, 3]
    learns_interval: bool
    """v3: the backup times the master out by the interval in its adverts. v2: by its own."""
    skew_scales: bool
    """v3: the skew is a fraction of the master's interval. v2: of one second, whatever the interval."""

    def skew_s(self, priority: int, master_interval_cs: int) -> float:
        """Skew_Time. v2: (256 - Priority) / 256 s; v3: the same fraction of Active_Adver_Interval."""
        fraction = (256 - priority) / 256
        return fraction * seconds(master_interval_cs) if self.skew_scales else fraction

    def down_s(self, priority: int, master_interval_cs: int, down_timer_adverts: int) -> float:
        """Active_Down_Interval (v2: Master_Down_Interval): so many intervals plus the skew."""
        return down_timer_adverts * seconds(master_interval_cs) + self.skew_s(priority, master_interval_cs)


_PROFILES = {
    2: Profile(version=2, learns_interval=False, skew_scales=False),
    3: Profile(version=3, learns_interval=True, skew_scales=True),
}


def profile(version: int) -> Profile:
    """The profile of protocol version 2 or 3."""
    return _PROFILES[version]


def survival_s(advert_int_cs: int, down_timer_adverts: int) -> float:
    """kA: for how long after our last advert no peer can have timed us out.

    k = min(3, down_timer_adverts), since a peer may use fewer adverts than we do but then the same
    file says so; no skew, since a peer's priority may be 254."""
    return min(DOWN_ADVERTS_MAX, down_timer_adverts) * seconds(advert_int_cs)


def fence_margin_s(advert_int_cs: int) -> float:
    """Time the fence needs before a peer could take over: max(20 ms, 0.2 A)."""
    return max(FENCE_MARGIN_MIN_S, FENCE_MARGIN_INTERVALS * seconds(advert_int_cs))


def fence_deadline(last_own_advert_at: float, advert_int_cs: int, down_timer_adverts: int) -> float:
    """F = last own advert + kA - max(20 ms, 0.2 A). 2.8 s at 1 s, 0.28 s at 0.1 s.

    Never before the last advert itself: with an interval of 10 ms and few adverts the margin would
    eat the whole time."""
    room_s = survival_s(advert_int_cs, down_timer_adverts) - fence_margin_s(advert_int_cs)
    return last_own_advert_at + max(0.0, room_s)


def next_on_grid(due_at: float, interval_s: float, now: float) -> float:
    """The first point after ``now`` of the grid that ``due_at`` lies on.

    A late wake-up neither shifts the following adverts nor makes up for the missed ones in a burst."""
    if now < due_at:
        return due_at
    missed = int((now - due_at) / interval_s)
    next_at = due_at + (missed + 1) * interval_s
    return next_at if next_at > now else next_at + interval_s
