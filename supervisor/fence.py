"""Fencing: what is undone, and when, for a vrrp worker that does not come back in time.

The deadlines stand in the black box; ``policy.due_fences`` says what is due; a forked janitor does it,
for undoing asks the kernel, and the supervisor never waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor import fork, janitor, policy, table
from supervisor.table import Process
from worker import log
from worker.clock import boottime

if TYPE_CHECKING:
    from supervisor.daemon import Supervisor

_LIMIT_S = 3.0
_TRIES = 5
"""Janitors in a row, before a worker became ready again: what five could not do, a sixth will not."""


class Fence:
    """The janitor of one supervisor."""

    def __init__(self, owner: Supervisor) -> None:
        self._owner = owner
        self._pid: int | None = None
        self._deadline_at = 0.0
        self.tries = 0

    @property
    def running(self) -> bool:
        return self._pid is not None

    def cases(self, row: Process) -> list[policy.FenceCase]:
        """What is armed in the row's black box."""
        if row.box is None or row.role != "vrrp":
            return []
        return [
            policy.FenceCase(slot=slot.slot, deadline_at=slot.deadline_at, prio0_until_at=slot.prio0_until_at)
            for slot in row.box.armed()
        ]

    def deadlines(self, row: Process) -> list[float]:
        """When to look again because of this row."""
        if self.running or self.tries >= _TRIES:
            return []
        return [case.deadline_at for case in self.cases(row)]

    def if_due(self, row: Process, now: float) -> bool:
        """Start the janitor for slots whose owner did not come back in time; True when it is at work."""
        if self.running or self.tries >= _TRIES:
            return self.running
        order = policy.due_fences(self.cases(row), now)
        if order is None:
            return False
        if row.alive:
            # The one that is starting did not make it; it must not advertise while we withdraw.
            row.kill("not advertising by the fence deadline")
            return True
        self._start(row, order)
        return self.running

    def left_over(self, row: Process) -> bool:
        """Of a worker that was told to stop and died: its addresses go now, whatever their deadline. True: at
        work."""
        if self.running:
            return True
        cases = self.cases(row)
        if not cases or self.tries >= _TRIES or not self._owner.options.release_vips:
            return False
        now = boottime()
        order = policy.FenceOrder(
            with_packets=tuple(case.slot for case in cases if now <= case.prio0_until_at),
            without_packets=tuple(case.slot for case in cases if now > case.prio0_until_at),
        )
        self._start(row, order)
        return self.running

    def timers(self, now: float) -> None:
        """End a janitor that hangs; what it left armed is due still, so another one follows."""
        if self._pid is not None and now >= self._deadline_at:
            janitor.end_process(self._pid, wait_s=0)
            self._deadline_at = now + _LIMIT_S

    def _start(self, row: Process, order: policy.FenceOrder) -> None:
        box, box_fd = row.box, row.box_fd
        assert box is not None
        assert box_fd is not None

        def body() -> None:
            problems = janitor.undo_slots(box, order.with_packets, order.without_packets)
            if problems:
                log.logger("janitor").error("fence.incomplete", problems=problems)
                raise SystemExit(1)

        self.tries += 1
        try:
            pid = fork.fork_child(body, keep_fds=[box_fd, *log.sink.descriptors()], role="janitor")
        except OSError as error:
            self._owner.log.error("fence.no_janitor", why=error.strerror)
            return
        self._pid, self._deadline_at = pid, boottime() + _LIMIT_S
        count = len(order.with_packets) + len(order.without_packets)

        def ended(status: int) -> None:
            self._pid = None
            how = table.describe_exit(status, None)
            released = "with" if order.with_packets else "without"
            self._owner.reporter.event(
                row, "fenced", f"{count} virtual routers, {released} priority 0: {how}"
            )

        self._owner.children[pid] = ended
