"""A checker worker by itself: ``worker_main.py CONTROL_FD BOX_FD INGRESS INCARNATION RUN_DIR``."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from checker_proc.process import main
from worker import log
from worker.context import WorkerContext
from worker.control import WorkerEnd

if __name__ == "__main__":
    control_fd, box_fd, ingress, incarnation, run_dir = sys.argv[1:]
    log.configure(level="debug", form="json")
    end = WorkerEnd(
        socket.socket(fileno=int(control_fd)), version="test", role="checker", incarnation=int(incarnation)
    )
    main(
        WorkerContext(
            role="checker",
            incarnation=int(incarnation),
            control=end,
            box_fd=int(box_fd) if int(box_fd) >= 0 else None,
            run_dir=Path(run_dir),
            bus_ingress=ingress,
            bus_out="",
        )
    )
