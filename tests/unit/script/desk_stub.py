"""A desk whose supervisor keeps nothing, and a log that can be read."""

from __future__ import annotations

import socket
from pathlib import Path

import structlog
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture

from script_proc.desk import Desk
from worker.context import WorkerContext
from worker.control import WorkerEnd


class Supervisor:
    """Holds the other end of the control channel; ``close`` it."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control = WorkerEnd(theirs, version="0", role="script", incarnation=1)
        self.context = WorkerContext(
            role="script", incarnation=1, control=self.control, run_dir=folder, bus_ingress="", bus_out=""
        )
        self._capture = LogCapture()
        self.log: BoundLogger = structlog.wrap_logger(
            None, processors=[self._capture], wrapper_class=structlog.stdlib.BoundLogger
        )

    def desk(self) -> Desk:
        return Desk(self.context, self.log)

    @property
    def events(self) -> list[str]:
        """Ids of all log records."""
        return [str(row["event"]) for row in self._capture.entries]

    def close(self) -> None:
        self.control.close()
        self._ours.close()
