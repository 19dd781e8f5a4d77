"""Who is told of a change, and that nothing of it is lost: scripts, FIFOs, mail. The shell.

Around ``notify`` (what is told to whom), ``book`` (what was told, what is still to do), ``journal`` (where
that is kept over a death of this worker), ``fifo`` and ``mail``. Runs on the worker's loop.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.messages import Event, NotifyStatus, State
from bus.replica import Update
from keepalived_conf.model import ScriptSlice
from script_proc.notify import scripts_of
from worker.context import WorkerContext

__all__ = ["STREAMS", "Notifier", "scripts_of"]
"""``scripts_of(slice)``: (what for, Script) of all that may be run, to be judged at PREPARE."""

STREAMS = ("e.vrrp", "s.vrrp", "e.ipvs")
"""What it must be subscribed to."""


class Notifier:
    """All methods run on the loop's thread; none raises because of a script, a FIFO or a mail server.

    ``ctx``: it keeps descriptors by ``ctx.control.store`` and finds those of its predecessor in
    ``ctx.kept_fds`` (names that begin with ``notify``); no record of the black box is used.
    ``publish`` takes states and events for the bus (``ScriptEnded``, ``NotifyStatus``).
    """

    def __init__(self, ctx: WorkerContext, *, publish: Callable[[State | Event], None]) -> None:
        raise NotImplementedError

    async def apply(self, wanted: ScriptSlice, now: float) -> None:
        """Make a configuration effective. The first time: continue what a predecessor left."""
        raise NotImplementedError

    def handle(self, update: Update, now: float) -> None:
        """Anything that a ``Subscriber`` of ``STREAMS`` says. Before the first ``apply``: kept for it."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """With every heartbeat."""
        raise NotImplementedError

    def status(self) -> NotifyStatus:
        """The queues, as published when they change."""
        raise NotImplementedError

    async def stop(self, timeout_s: float = 1.0) -> None:
        """Write what is to be written, let scripts and mails finish for so long; then end them, close FIFOs
        and remove those that were made here."""
        raise NotImplementedError
