"""The shell of ``status --check``: reads the bus, asks the supervisor when that is silent.

The bus may be read by anybody, so a monitoring agent needs no rights; only why the bus is silent is for root.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bus.messages import ProcessState, ReloadState, State
from bus.subscriber import Subscriber
from supervisor.check_status import Level, Seen, Verdict, judge
from supervisor.operator import OperatorError, ask
from supervisor.view import BUS_PATIENCE_S, STATE_STREAMS
from worker.clock import boottime

_ASK_TIMEOUT_S = 3.0


def check(run_dir: Path, *, expect: str | None, instances: Collection[str]) -> int:
    """Print the one line of a monitoring plugin; returns its exit status. Raises nothing."""
    try:
        verdict = _verdict(run_dir, expect, instances)
    except Exception as error:  # noqa: BLE001 - whatever it is, a monitoring system gets its line
        verdict = _only(Level.UNKNOWN, f"internal error: {type(error).__name__}: {error}")
    print(verdict.line)
    return int(verdict.level)


def _verdict(run_dir: Path, expect: str | None, instances: Collection[str]) -> Verdict:
    seen = _from_bus(f"ipc://{run_dir}/out") if (run_dir / "out").exists() else None
    if seen is None:
        try:
            answer = ask(run_dir / "operator.sock", "status", timeout_s=_ASK_TIMEOUT_S)
        except OperatorError as error:
            if isinstance(error.__context__, PermissionError):
                return _only(Level.UNKNOWN, f"the bus does not answer, and why is for root to ask: {error}")
            return _only(Level.CRITICAL, str(error))
        seen = Seen(
            records=from_answer(answer),
            silent_s={},
            bus_why="the bus does not answer: the states of instances and services are not known",
            now=boottime(),
        )
    return judge(seen, expect=expect, instances=instances)


def _only(level: Level, text: str) -> Verdict:
    return Verdict(level=level, findings=((level, text),), summary="", performance="")


def _from_bus(endpoint: str) -> Seen | None:
    """What the bus holds; None when it does not answer."""
    found: list[State] = []
    silent_s: dict[str, float | None] = {}
    with Subscriber(endpoint=endpoint, streams=["s.supervisor"]) as bus:
        bus.join(BUS_PATIENCE_S)
        if not bus.joined("s.supervisor"):
            return None
        _take(bus, "s.supervisor", found, silent_s)
    running = {record.role for record in found if isinstance(record, ProcessState) and record.pid is not None}
    wanted = {record.role for record in found if isinstance(record, ProcessState)}
    wanted -= {r.role for r in found if isinstance(r, ProcessState) and r.state == "stopped"}
    streams = [stream for stream in STATE_STREAMS if stream[2:] in wanted]
    if streams:
        with Subscriber(endpoint=endpoint, streams=streams) as bus:
            bus.join(BUS_PATIENCE_S)
            for stream in streams:
                _take(bus, stream, found, silent_s)
                # Of one that is not running, the process record says more than its silence.
                if stream[2:] not in running:
                    del silent_s[stream[2:]]
    return Seen(records=tuple(found), silent_s=silent_s, now=boottime())


def _take(bus: Subscriber, stream: str, found: list[State], silent_s: dict[str, float | None]) -> None:
    silent_s[stream[2:]] = bus.owner_silent_s(stream, boottime())
    messages = (record.message for record in bus.records(stream).values())
    found.extend(message for message in messages if isinstance(message, State))


def from_answer(answer: dict[str, Any]) -> tuple[State, ...]:
    """The records that the supervisor's own answer to ``status`` stands for."""
    now, wall_now = boottime(), time.time()
    found: list[State] = [
        ProcessState(
            role=row["role"],
            pid=row["pid"],
            incarnation=row["incarnation"],
            state=row["state"],
            since_at=now - (row["for_s"] or 0.0),
            since_wall_at=wall_now - (row["for_s"] or 0.0),
            restarts=row["restarts"],
            last_exit=row["last_exit"],
            generation=row["generation"],
            heartbeat_at=None if row["heartbeat_age_s"] is None else now - row["heartbeat_age_s"],
        )
        for row in answer["processes"]
    ]
    reload = answer["reload"]
    found.append(
        ReloadState(
            generation=answer["generation"],
            attempted=reload["attempted"],
            result=reload["result"],
            errors=tuple(reload["errors"]),
            since_at=now,
            since_wall_at=wall_now,
        )
    )
    return tuple(found)
