"""startup_script before the first worker, shutdown_script after the last one.

Each runs in a forked child, as the loader does; the loop goes on meanwhile. Whatever becomes of it, the start
and the stop go on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor import fork
from supervisor.table import describe_exit
from worker import log
from worker.clock import boottime
from worker.control import read_slice

if TYPE_CHECKING:
    from supervisor.daemon import Supervisor

SPARE_S = 6.0
"""For the end of a script that is late, and a busy machine. A child that is not gone by then is killed."""


class Hooks:
    """The two scripts of one supervisor; which there are says the generation in force."""

    def __init__(self, owner: Supervisor) -> None:
        self.owner = owner
        self.running = ""
        """``startup`` or ``shutdown``."""
        self._pid = 0
        self._kill_at = 0.0
        self._then: Callable[[], None] = lambda: None
        self._shutdown_begun = False

    def warm(self) -> None:
        """Import what a child will need: the installation may be another one by then."""
        if self.owner.reload.current.hooks:
            import script_proc.hook  # noqa: F401

    def before_start(self, then: Callable[[], None]) -> None:
        """Run startup_script, if there is one; then call ``then``."""
        self._run("startup", then)

    def after_stop(self) -> bool:
        """No worker is left: run shutdown_script, once. True: it is over, or there is none."""
        if not self.running and not self._shutdown_begun:
            self._shutdown_begun = True
            self._run("shutdown", lambda: None)
        return not self.running

    def stop(self) -> None:
        """The daemon stops: nothing is to be prepared any more."""
        if self.running == "startup":
            os.kill(self._pid, signal.SIGTERM)

    def timers(self, now: float) -> None:
        if self.running and now >= self._kill_at:
            self._kill_at = now + SPARE_S
            os.kill(self._pid, signal.SIGKILL)  # ours, and not waited for yet: it is no stranger

    def _run(self, name: str, then: Callable[[], None]) -> None:
        current = self.owner.reload.current
        limit_s = current.hooks.get(name)
        if limit_s is None:
            then()
            return
        from script_proc.hook import run_hook

        slice_fd = current.slices["hooks"]
        try:
            self._pid = fork.fork_child(
                lambda: run_hook(name, read_slice(slice_fd)),
                keep_fds=[slice_fd, *log.sink.descriptors()],
                role=name,
                ignore_stops=False,
            )
        except OSError as error:
            self.owner.log.error("hook.not_run", script=name, why=error.strerror)
            then()
            return
        self.running, self._then = name, then
        self._kill_at = boottime() + limit_s + SPARE_S
        self.owner.children[self._pid] = self._ended
        self.owner.notifier.extend(limit_s + 2 * SPARE_S, f"{name}_script runs")

    def _ended(self, status: int) -> None:
        if status:
            self.owner.log.error("hook.lost", script=self.running, why=describe_exit(status, None))
        self.running = ""
        self._then()
