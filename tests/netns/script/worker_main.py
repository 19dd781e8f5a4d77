"""A script worker by itself: ``worker_main.py CONTROL_FD BOX_FD INGRESS OUT INCARNATION RUN_DIR``."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
from pathlib import Path

from script_proc import scripts
from script_proc.process import main
from worker import log
from worker.context import WorkerContext
from worker.control import WorkerEnd

if __name__ == "__main__":
    control_fd, box_fd, ingress, out, incarnation, run_dir = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # as the supervisor leaves them
    faulthandler.dump_traceback_later(25)  # a worker that hangs says where
    # Python is started here, the real worker is a fork.
    scripts._WORKED_S = float(os.environ.get("WORKED_S", scripts._WORKED_S))
    log.configure(level="debug", form="json")
    end = WorkerEnd(
        socket.socket(fileno=int(control_fd)), version="test", role="script", incarnation=int(incarnation)
    )
    main(
        WorkerContext(
            role="script",
            incarnation=int(incarnation),
            control=end,
            box_fd=int(box_fd) if int(box_fd) >= 0 else None,
            run_dir=Path(run_dir),
            bus_ingress=ingress,
            bus_out=out,
        )
    )
