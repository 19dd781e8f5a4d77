"""Runs a real broker as a process of its own: ``python broker_child.py '{"control": fd, ...}'``."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from bus import process
from worker import log
from worker.context import WorkerContext
from worker.control import WorkerEnd


def main() -> None:
    given = json.loads(sys.argv[1])
    log.configure(level="info", form="json")
    control = WorkerEnd(
        socket.socket(fileno=given["control"]), version="test", role="bus", incarnation=given["incarnation"]
    )
    process.main(
        WorkerContext(
            role="bus",
            incarnation=given["incarnation"],
            control=control,
            kept_fds=given["kept"],
            run_dir=Path(given["run_dir"]),
            bus_ingress="",
            bus_out="",
        )
    )


if __name__ == "__main__":
    main()
