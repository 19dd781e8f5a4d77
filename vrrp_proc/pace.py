"""When the worker may tidy up, and how late it ran: garbage, suspend, lateness of the loop."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from vrrp_proc.loop import Loop, Timer
from worker.clock import boottime

_GC_EVERY_S = 10.0
_SUSPEND_NOTICED_S = 0.05
_LATE_TOLD_AFTER_S = 10.0


class Pace:
    """``woken(slept_s)`` is called when the machine was suspended."""

    def __init__(self, loop: Loop, woken: Callable[[float], None], log: Any) -> None:
        self._loop, self._woken, self._log = loop, woken, log
        self.suspended_s = suspended_s()
        """How long the machine has slept since it booted, as last seen."""
        self._advert_left = False
        self._collect_at = boottime() + _GC_EVERY_S
        self._collections = 0
        self._worst_late_s = 0.0
        self._late_timer = Timer(self._tell_late)
        loop.before_timers = self.before_timers

    def collect(self, now: float) -> None:
        """Garbage right after an advert, when the next one is furthest away."""
        due_at = self._loop.next_due_at()
        if now < self._collect_at or (due_at is not None and due_at - now < 0.005):
            return
        self._collect_at = now + _GC_EVERY_S
        found = gc.collect(1)
        self._collections += 1
        self._log.debug("vrrp.collected", found=found, collections=self._collections)

    def before_timers(self, now: float, late_s: float) -> None:
        if late_s < _SUSPEND_NOTICED_S:
            return
        asleep_s = suspended_s()
        slept_s = asleep_s - self.suspended_s
        if slept_s > 0.001:
            self.suspended_s = asleep_s
            self._woken(slept_s)
        elif late_s > self._worst_late_s:
            if not self._worst_late_s:
                self._loop.arm(self._late_timer, now + _LATE_TOLD_AFTER_S)
            self._worst_late_s = late_s

    def _tell_late(self, _now: float) -> None:
        worst_s, self._worst_late_s = self._worst_late_s, 0.0
        fields = {"worst_s": round(worst_s, 4), "within_s": _LATE_TOLD_AFTER_S}
        self._loop.defer(lambda: self._log.info("vrrp.loop_late", **fields))

    def advert_sent(self) -> None:
        if not self._advert_left:
            self._advert_left = True
            self._loop.defer(self._after_adverts)

    def _after_adverts(self) -> None:
        self._advert_left = False
        self.collect(boottime())


def suspended_s() -> float:
    """How long the machine has slept since it booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
