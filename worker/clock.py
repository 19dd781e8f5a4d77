"""The one clock of the daemon: CLOCK_BOOTTIME in float seconds.

It counts a suspend (a machine that slept did not keep its virtual addresses alive) and never steps
with the wall clock. Every process of the machine reads the same value, so instants may be compared
across processes and kept in the black box.
"""

from __future__ import annotations

import time


def boottime() -> float:
    """Seconds since boot, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boottime_from_realtime(wall_at: float) -> float:
    """Translate a CLOCK_REALTIME instant (kernel packet timestamps) by the offset of this moment.

    A wall clock stepped between the stamp and this call moves the result by the step; the result is
    therefore never later than now.
    """
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return min(now, wall_at - time.clock_gettime(time.CLOCK_REALTIME) + now)
