"""Whether enough processes run, and how long the answer is kept back. Pure.

Good while quorum <= count <= quorum_max. As keepalived does it, what the delay is depends on what changed
the count: after a fork fork_delay (the child may become another program at once), after an end
terminate_delay (a parent may start another one), and none when a process became or ceased to be such a
program by itself: that is as sure as it gets. A count that comes back meanwhile was never away.
"""

from __future__ import annotations

from enum import Enum

from keepalived_conf.model import TrackProcess


class Cause(Enum):
    """What changed the number of processes."""

    FORK = "fork"
    EXIT = "exit"
    NAME = "name"
    """Another program (exec), another name."""
    SCAN = "scan"
    """Found by looking at all processes: how it came about is not known."""


class Quorum:
    """One vrrp_track_process. Instants are CLOCK_BOOTTIME seconds."""

    def __init__(self, wanted: TrackProcess, count: int, now: float, before: bool | None = None) -> None:
        """``before``: what an earlier incarnation knew; then only the delay changes it."""
        self._wanted = wanted
        self.count = count
        self.good = self._enough(count) if before is None else before
        self.due_at: float | None = None
        """When the delay is over."""
        if before is not None:
            self.change(count, Cause.SCAN, now)

    def _enough(self, count: int) -> bool:
        most = self._wanted.quorum_max
        return count >= self._wanted.quorum and (most is None or count <= most)

    def change(self, count: int, cause: Cause, now: float) -> bool:
        """There are ``count`` now. True: ``good`` is another one."""
        self.count = count
        enough = self._enough(count)
        if enough == self.good:
            self.due_at = None
            return False
        if self.due_at is not None:
            return self.tick(now)
        delay_s = self._delay_s(cause, enough=enough)
        if delay_s > 0:
            self.due_at = now + delay_s
            return False
        self.good = enough
        return True

    def tick(self, now: float) -> bool:
        """Time has passed. True: ``good`` is another one."""
        if self.due_at is None or now < self.due_at:
            return False
        self.due_at = None
        self.good = not self.good
        return True

    def _delay_s(self, cause: Cause, *, enough: bool) -> float:
        if cause is Cause.NAME:
            return 0.0
        if cause is Cause.FORK or (cause is Cause.SCAN and enough):
            return self._wanted.fork_delay_s
        return self._wanted.terminate_delay_s

    def text(self) -> str:
        """For people."""
        wanted = self._wanted
        if wanted.quorum_max is None:
            range_ = f"at least {wanted.quorum}"
        elif wanted.quorum == wanted.quorum_max:
            range_ = str(wanted.quorum)
        else:
            range_ = f"{wanted.quorum} to {wanted.quorum_max}"
        return f"{self.count} {'process' if self.count == 1 else 'processes'}, wanted: {range_}"
