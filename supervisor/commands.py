"""What an operator may ask of the supervisor: status, reload, restart, stop, log level."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from supervisor.operator import Client
from worker import log
from worker.clock import boottime
from worker.control import LogLevel

if TYPE_CHECKING:
    from supervisor.daemon import Supervisor

OPERATOR_RESTART = "restart by the operator"


def handle(owner: Supervisor, request: dict[str, Any], client: Client) -> None:
    """Do what one request of an operator asks, and answer."""
    command = request.get("do")
    if command == "status":
        client.answer({"ok": True, **status(owner)})
    elif command == "reload":
        if request.get("wait"):
            owner.reload.request(client)
        else:
            owner.reload.request(None)
            client.answer({"ok": True})
    elif command == "stop":
        owner.begin_stop("operator")
        client.answer({"ok": True})
    elif command == "step-down":
        owner.maintenance.step_down(request, client)
    elif command == "resume":
        owner.maintenance.resume(request, client)
    elif command == "restart":
        role = request.get("role")
        row = owner.table.get(role) if isinstance(role, str) else None
        if row is None or not row.alive:
            running = ", ".join(row.role for row in owner.table.values() if row.alive)
            client.answer({"ok": False, "error": f"no running worker {role!r}; running: {running}"})
            return
        row.kill(OPERATOR_RESTART)
        client.answer({"ok": True, "pid": row.pid})
    elif command == "log-level":
        level = str(request.get("level"))
        try:
            log.set_level(level)
        except ValueError as error:
            client.answer({"ok": False, "error": str(error)})
            return
        for row in owner.table.values():
            if row.channel is not None:
                row.channel.send(LogLevel(level=level))
        client.answer({"ok": True})
    else:
        client.answer({"ok": False, "error": f"unknown command {command!r}"})


def status(owner: Supervisor) -> dict[str, Any]:
    """What the operator's ``status`` shows of processes: plain values only."""
    now = boottime()
    wanted = owner.wanted_roles()
    return {
        "version": owner.version,
        "pid": os.getpid(),
        "run_dir": str(owner.run_dir.path),
        "config": owner.options.config,
        "bus_out": f"ipc://{owner.run_dir.path}/out",
        "epoch": owner.epoch,
        "uptime_s": round(now - owner.started_at, 3),
        "stopping": owner.stopping,
        "generation": owner.reload.current.number,
        "reload": {
            "attempted": owner.reporter.reload.attempted,
            "result": owner.reporter.reload.result,
            "errors": list(owner.reporter.reload.errors),
        },
        "processes": [
            {
                "role": row.role,
                "pid": row.pid,
                "state": row.state,
                "for_s": round(now - row.since_at, 3) if row.since_at else None,
                "incarnation": row.incarnation,
                "restarts": row.restarts,
                "last_exit": row.last_exit,
                "generation": row.generation,
                "heartbeat_age_s": round(now - row.beat_at, 3) if row.alive else None,
                "uid": row.uid,
                "kept": sorted(row.kept),
                "armed": len(owner.fence.cases(row)),
            }
            for row in owner.table.values()
            if row.incarnation or row.role in wanted  # no line for what this configuration never needed
        ],
    }
