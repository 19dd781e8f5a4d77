"""When checks run: a heap of due instants, and the arithmetic of a check's grid.

Pure. Instants are CLOCK_BOOTTIME seconds (``_at``), durations seconds (``_s``); randomness comes in
as ``draw``, a function that returns floats in [0, 1).

The grid. A check first runs at a random instant within ``warmup``; that instant is the origin of its
grid, and regular runs fall on origin + k * delay_loop. Retries leave the grid, the next regular run
returns to it. So a thousand servers that failed together do not run in step for ever after, and a
slow answer does not make a check drift into its neighbours.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

Draw = Callable[[], float]


def first_at(now: float, warmup_s: float, draw: Draw) -> float:
    """First run of a new check: a random instant in [now, now + warmup_s] (warmup, keepalived.conf(5))."""
    return now + max(0.0, warmup_s) * draw()


def regular_at(grid_at: float, period_s: float, now: float, wait_s: float) -> float:
    """The grid point nearest to ``now + wait_s``: at least ``wait_s - period_s / 2`` from now.

    keepalived counts ``wait_s`` from the end of an attempt; snapping to the nearest grid point keeps
    that wait on average and the phase exactly. Always later than ``now``.
    """
    if period_s <= 0:
        return now + max(wait_s, 0.0)
    wanted_at = now + wait_s - period_s / 2
    due_at = grid_at + math.ceil((wanted_at - grid_at) / period_s) * period_s
    if due_at <= now:
        due_at = grid_at + (math.floor((now - grid_at) / period_s) + 1) * period_s
    return due_at if due_at > now else now + period_s  # rounding: a period of microseconds after weeks


def overdue_at(due_at: float, now: float, period_s: float, draw: Draw) -> float:
    """When to run a check whose instant passed while nobody could run it (restart, suspend).

    The missed runs are spread over as much time as was missed, at most one period: the load is the
    normal one, and after a short gap nobody waits for a whole period. Future instants are kept.
    """
    if due_at > now:
        return due_at
    return now + min(now - due_at, max(period_s, 0.0)) * draw()


class Schedule:
    """Which check is due when. One entry per key; setting a key again replaces its entry."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: str) -> bool:
        return key in self._due

    def set(self, key: str, due_at: float) -> None:
        if self._due.get(key) == due_at:
            return
        self._due[key] = due_at
        heapq.heappush(self._heap, (due_at, key))
        if len(self._heap) > 64 and len(self._heap) > 3 * len(self._due):
            # Entries replaced by reloads are left in the heap; drop them before they outnumber the rest.
            self._heap = [(at, key) for key, at in self._due.items()]
            heapq.heapify(self._heap)

    def remove(self, key: str) -> None:
        self._due.pop(key, None)

    def due_at(self, key: str) -> float | None:
        return self._due.get(key)

    def next_at(self) -> float | None:
        """The earliest instant, None when nothing is scheduled."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float, limit: int) -> list[str]:
        """Take up to ``limit`` keys that are due, the earliest first; they are no longer scheduled."""
        taken: list[str] = []
        while len(taken) < limit:
            at = self.next_at()
            if at is None or at > now:
                break
            _, key = heapq.heappop(self._heap)
            del self._due[key]
            taken.append(key)
        return taken
