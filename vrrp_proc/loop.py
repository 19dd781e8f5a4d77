"""The VRRP worker's loop: epoll and one absolute timerfd, nothing else.

A turn has a fixed order, whatever woke it: packets, core (timers that are due), slices of long work
(address batches, announcements), netlink, control channel, bus, what was deferred (logs). So an
advert that waits in a socket is read before a timer elects, an advert of ours leaves before an
address batch, and the bus and the log come last. Long work is cut into slices that end when another
timer is due: no advert is late because something else is long.

Clock: CLOCK_BOOTTIME seconds. Not thread-safe; one loop per process.
"""

from __future__ import annotations

import heapq
import select
from collections import deque
from collections.abc import Callable
from enum import IntEnum

from vrrp_proc.timerfd import TimerFd

COALESCE_S = 0.001
"""Slack that a periodic advert may be given, so that adverts of one millisecond share a wake-up."""

_SLICE_BUDGET_S = 0.002
"""Long work yields to packets and timers at least this often."""

_MAX_EVENTS = 64


class Stage(IntEnum):
    """Order in which readable descriptors are served within one turn."""

    PACKETS = 0
    NETLINK = 1
    CONTROL = 2
    BUS = 3


class Timer:
    """One deadline and what to do then. Re-armed by ``Loop.arm``; never fires before it is due."""

    __slots__ = ("callback", "due_at", "slack_s")

    def __init__(self, callback: Callable[[float], None]) -> None:
        self.callback = callback
        self.due_at: float | None = None
        self.slack_s = 0.0


class Loop:
    """``run()`` until ``stop()``. ``clock`` returns CLOCK_BOOTTIME seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._timerfd = TimerFd()
        self._epoll.register(self._timerfd.fileno(), select.EPOLLIN)
        self._readers: dict[int, tuple[Stage, Callable[[], None]]] = {}
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._work: deque[Callable[[], bool]] = deque()
        self._deferred: deque[Callable[[], None]] = deque()
        self._running = False
        self.turn_started_at = clock()
        """When the current turn woke up."""
        self.before_timers: Callable[[float, float], None] | None = None
        """Called with (now, lateness_s) before due timers run; lateness is that of the most overdue
        one. The place to notice a stall and read what was queued meanwhile."""

    def now(self) -> float:
        """CLOCK_BOOTTIME seconds."""
        return self._clock()

    # --- descriptors -------------------------------------------------------------------------

    def add_reader(self, fd: int, stage: Stage, callback: Callable[[], None]) -> None:
        """Call ``callback`` in ``stage`` of each turn in which ``fd`` is readable (level-triggered)."""
        if fd in self._readers:
            self._readers[fd] = (stage, callback)
            return
        self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = (stage, callback)

    def remove_reader(self, fd: int) -> None:
        """Forget ``fd``; call it before closing the descriptor. Unknown descriptors are fine."""
        if self._readers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    # --- timers ------------------------------------------------------------------------------

    def arm(self, timer: Timer, due_at: float | None, slack_s: float = 0.0) -> None:
        """Set the one deadline of ``timer`` (None: none). ``slack_s``: how late it may be made, to
        share a wake-up with its neighbours."""
        timer.slack_s = slack_s
        if due_at == timer.due_at:
            return
        timer.due_at = due_at
        if due_at is not None:
            self._order += 1
            heapq.heappush(self._heap, (due_at, self._order, timer))

    def next_due_at(self) -> float | None:
        """The earliest armed deadline."""
        heap = self._heap
        while heap and heap[0][2].due_at != heap[0][0]:  # re-armed or disarmed meanwhile
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def _wake_at(self) -> float | None:
        """The latest instant that is late for nobody: minimum of due + slack."""
        first = self.next_due_at()
        if first is None:
            return None
        wake_at = first + self._heap[0][2].slack_s
        if wake_at == first:
            return first
        for due_at, _order, timer in self._heap:
            if timer.due_at == due_at and due_at + timer.slack_s < wake_at:
                wake_at = due_at + timer.slack_s
        return wake_at

    def _run_due(self) -> None:
        now = self._clock()
        first = self.next_due_at()
        if first is None or first > now:
            return
        if self.before_timers is not None:
            self.before_timers(now, now - first)
            now = self._clock()
        due: list[tuple[float, Timer]] = []
        while (at := self.next_due_at()) is not None and at <= now:
            due.append((at, heapq.heappop(self._heap)[2]))
        for at, timer in due:
            # An earlier callback of this turn may have moved or disarmed it.
            if timer.due_at == at:
                timer.due_at = None
                timer.callback(self._clock())

    # --- long work ---------------------------------------------------------------------------

    def add_work(self, piece: Callable[[], bool]) -> None:
        """Queue long work: ``piece`` does one short slice per call and returns True while there is
        more. Pieces take turns, between timers."""
        self._work.append(piece)

    def _run_work(self) -> None:
        end_at = self._clock() + _SLICE_BUDGET_S
        while self._work:
            # In turn: the first announcements do not wait for the last addresses.
            piece = self._work.popleft()
            if piece():
                self._work.append(piece)
            if self._time_is_up(end_at):
                return

    def defer(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when nothing else is left to do: logging, publishing, all that may wait."""
        self._deferred.append(callback)

    def run_deferred(self) -> None:
        """Everything that was deferred, now (when leaving)."""
        while self._deferred:
            self._deferred.popleft()()

    def _run_some_deferred(self) -> None:
        end_at = self._clock() + _SLICE_BUDGET_S
        while self._deferred and not self._work:
            self._deferred.popleft()()
            if self._time_is_up(end_at):
                return

    def _time_is_up(self, end_at: float) -> bool:
        now = self._clock()
        due_at = self.next_due_at()
        return now >= end_at or (due_at is not None and now >= due_at)

    # --- turns -------------------------------------------------------------------------------

    def turn(self, block: bool = True) -> None:
        """One turn; with ``block`` it first waits for something to do."""
        if not block or self._work or self._deferred:
            timeout = 0.0
        else:
            timeout = -1.0
            self._timerfd.set(self._wake_at())
        try:
            ready = self._epoll.poll(timeout, _MAX_EVENTS)
        except InterruptedError:  # pragma: no cover - Python retries EINTR itself
            ready = []
        self.turn_started_at = self._clock()
        callbacks: list[tuple[Stage, int]] = []
        for fd, _mask in ready:
            reader = self._readers.get(fd)
            if reader is not None:
                callbacks.append((reader[0], fd))
            elif fd == self._timerfd.fileno():
                self._timerfd.acknowledge()
        callbacks.sort()
        position = 0
        while position < len(callbacks) and callbacks[position][0] is Stage.PACKETS:
            self._serve(callbacks[position][1])
            position += 1
        self._run_due()
        if self._work:
            self._run_work()
        for _stage, fd in callbacks[position:]:
            self._serve(fd)
        if self._deferred:
            self._run_some_deferred()

    def _serve(self, fd: int) -> None:
        reader = self._readers.get(fd)  # may have been removed by an earlier callback
        if reader is not None:
            reader[1]()

    def run(self) -> None:
        """Turn until ``stop()``."""
        self._running = True
        while self._running:
            self.turn()

    def stop(self) -> None:
        self._running = False

    def drain_work(self) -> None:
        """Do all queued long work now (when leaving)."""
        while self._work:
            piece = self._work.popleft()
            if piece():
                self._work.append(piece)

    def close(self) -> None:
        self._timerfd.close()
        self._epoll.close()
