"""The operator's view: ``status`` and ``events``. Runs in the operator's process, never in the daemon.

``status`` asks the supervisor for processes (works when the bus is sick) and the bus for records; every
record shows its age and whether its owner still beats.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

from bus import messages
from bus.replica import (
    Announced,
    Changed,
    EventHappened,
    Fresh,
    Gap,
    Record,
    Removed,
    Snapshot,
    Stale,
    Update,
)
from bus.subscriber import Subscriber
from worker.clock import boottime

STATE_STREAMS = ("s.vrrp", "s.checker", "s.ipvs", "s.script")
STREAMS = (
    "s.vrrp",
    "e.vrrp",
    "s.checker",
    "e.checker",
    "s.ipvs",
    "e.ipvs",
    "s.script",
    "e.script",
    "s.supervisor",
    "e.supervisor",
)
BUS_PATIENCE_S = 1.0


# --- status ------------------------------------------------------------------------------------------


def show_status(answer: dict[str, Any], *, as_json: bool) -> int:
    """Print the daemon's status. Returns 0, or 1 when something is not as it should be."""
    wanted = {row["role"] for row in answer["processes"] if row["state"] != "stopped"}
    streams = [stream for stream in STATE_STREAMS if stream[2:] in wanted]
    with Subscriber(endpoint=answer["bus_out"], streams=streams) as bus:
        bus.join(BUS_PATIENCE_S)
        now = boottime()
        records = {stream: bus.records(stream) for stream in streams}
        silent = {stream: bus.owner_silent_s(stream, now) for stream in streams}
        bus_ok = all(bus.joined(stream) for stream in streams)
    healthy = bus_ok and all(row["state"] in ("ready", "stopped") for row in answer["processes"])
    if as_json:
        print(json.dumps(_status_json(answer, records, silent, bus_ok, now), indent=1, default=str))
    else:
        sys.stdout.write("\n".join(_status_text(answer, records, silent, bus_ok, now)) + "\n")
    return 0 if healthy else 1


def _status_json(
    answer: dict[str, Any],
    records: dict[str, dict[str, Record]],
    silent: dict[str, float | None],
    bus_ok: bool,
    now: float,
) -> dict[str, Any]:
    body = {key: value for key, value in answer.items() if key not in ("ok", "v")}
    body["bus_answers"] = bus_ok
    for stream, rows in records.items():
        body[stream[2:]] = [
            {
                "kind": record.message.KIND,
                **plain(record.message),
                "age_s": round(record.age_s(now), 3),
                "owner_silent_s": None if silent[stream] is None else round(silent[stream] or 0.0, 3),
                "generation": record.generation,
                "incarnation": record.incarnation,
            }
            for record in rows.values()
        ]
    return body


def _status_text(
    answer: dict[str, Any],
    records: dict[str, dict[str, Record]],
    silent: dict[str, float | None],
    bus_ok: bool,
    now: float,
) -> Iterable[str]:
    yield (
        f"pykeepalived {answer['version']}, pid {answer['pid']}, up {span(answer['uptime_s'])}"
        f", generation {answer['generation']}, {answer['config']}"
    )
    reload = answer["reload"]
    if reload["result"] != "running" and reload["attempted"]:
        yield f"last reload: generation {reload['attempted']} {reload['result']}"
        for error in reload["errors"][:10]:
            yield f"  {error}"
    yield ""
    yield from _table(
        ["PROCESS", "PID", "STATE", "FOR", "RESTARTS", "BEAT", "LAST EXIT"],
        [
            [
                row["role"],
                str(row["pid"] or "-"),
                row["state"],
                span(row["for_s"]),
                str(row["restarts"]),
                span(row["heartbeat_age_s"]),
                row["last_exit"] or "-",
            ]
            for row in answer["processes"]
            if row["state"] != "stopped" or row["restarts"]
        ],
    )
    if not bus_ok:
        yield ""
        yield "the bus does not answer: what follows may be missing or old"
    kinds: list[tuple[type[messages.Message], list[str], Callable[[Any], list[str]]]] = [
        (
            messages.VrrpInstanceState,
            ["INSTANCE", "STATE", "FOR", "PRIO", "MASTER", "ADDRESSES", "WHY"],
            lambda m: [
                m.instance,
                m.state,
                span(now - m.since_at),
                str(m.priority),
                str(m.master_address or "-"),
                " ".join(str(address) for address in m.addresses) or "-",
                _held(m) + f"{m.cause.trigger}: {m.cause.detail}".rstrip(": "),
            ],
        ),
        (
            messages.VrrpGroupState,
            ["GROUP", "STATE", "FOR", "MEMBERS", "DECIDED BY", "WHY"],
            lambda m: [
                m.group,
                m.state,
                span(now - m.since_at),
                " ".join(m.members),
                m.decided_by or "-",
                f"{m.cause.trigger}: {m.cause.detail}".rstrip(": "),
            ],
        ),
        (
            messages.TrackerState,
            ["TRACKER", "NAME", "VALUE", "FOR", "EACH", "SEEN", "LAST RESULT"],
            lambda m: [
                m.tracker_kind,
                m.name,
                _tracked(m),
                span(now - m.since_at),
                span(m.interval_s) if m.interval_s else "change",
                span(now - m.last_at) if m.last_at is not None else "-",
                m.last_result or "-",
            ],
        ),
        (
            messages.VirtualServerState,
            ["SERVICE", "QUORUM", "WEIGHT", "SCHED", "METHOD", "KERNEL", "NOTE"],
            lambda m: [
                m.virtual_server,
                "up" if m.quorum_up else "LOST",
                f"{m.weight_up}/{m.quorum}",
                m.scheduler,
                m.lvs_method,
                "yes" if m.in_kernel else "NO",
                m.reason or ("sorry server in service" if m.sorry_active else "-"),
            ],
        ),
        (
            messages.RealServerState,
            ["REAL SERVER", "OF", "ALIVE", "WEIGHT", "KERNEL", "FOR", "WHY"],
            lambda m: [
                m.real_server,
                m.virtual_server,
                "yes" if m.alive else "NO",
                str(m.weight),
                "yes" if m.in_kernel else "no",
                span(now - m.since_at),
                m.reason or "-",
            ],
        ),
        (
            messages.CheckState,
            ["CHECK", "KIND", "SERVER", "UP", "FOR", "NEXT", "LAST RESULT"],
            lambda m: [
                m.check_id[:8],
                m.check_kind,
                m.real_server,
                {True: "yes", False: "NO", None: "?"}[m.up],
                span(now - m.since_at),
                span(max(0.0, m.next_check_at - now)) if m.next_check_at else "-",
                m.last_result or "-",
            ],
        ),
    ]
    for kind, head, cells in kinds:
        rows = [
            [*cells(record.message), _age(record, silent[stream], now)]
            for stream, found in records.items()
            for record in found.values()
            if isinstance(record.message, kind)
        ]
        if rows:
            yield ""
            yield from _table([*head, "AGE"], sorted(rows))
    for found in records.values():
        for record in found.values():
            if isinstance(record.message, messages.IpvsStatus) and not record.message.available:
                yield ""
                yield f"IPVS is not available: {record.message.reason}"


def _tracked(state: messages.TrackerState) -> str:
    if state.value is None:
        return "?"
    return str(state.value) if state.tracker_kind == "file" else ("good" if state.value else "BAD")


def _held(state: messages.VrrpInstanceState) -> str:
    if not state.held_back:
        return ""
    until_at = state.held_back_until_wall_at
    until = "" if until_at is None else time.strftime(" until %Y-%m-%d %H:%M:%S", time.localtime(until_at))
    return f"held back: {state.held_back}{until}; "


def _age(record: Record, silent_s: float | None, now: float) -> str:
    age = span(record.age_s(now))
    if silent_s is None:
        return f"{age} (owner not heard)"
    return f"{age} (owner silent {span(silent_s)})" if silent_s > 3.0 else age


def _table(head: list[str], rows: list[list[str]]) -> Iterable[str]:
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}{int(seconds % size // small)}{small_unit}"
    return f"{int(seconds)}s"


def plain(value: Any) -> Any:
    """A message as JSON would have it: addresses as text, tuples as lists."""
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, IPv4Address | IPv6Address | IPv4Interface | IPv6Interface):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


# --- events ------------------------------------------------------------------------------------------


def follow_events(
    endpoint: str, *, as_json: bool, since_s: float | None, topics: list[str] | None, count: int | None
) -> int:
    """Print the state as it is, then what happens, until interrupted or ``count`` events."""
    wanted = [s for s in STREAMS if not topics or any(t in s or s in t for t in topics)] or list(STREAMS)
    left = count
    with Subscriber(endpoint=endpoint, streams=wanted) as bus:
        while True:
            for update in bus.wait(0.5):
                for line, is_event in _lines(update, since_s, topics, as_json):
                    print(line, flush=True)
                    if left is not None and is_event:
                        left -= 1
                        if left <= 0:
                            return 0


def _lines(
    update: Update, since_s: float | None, topics: list[str] | None, as_json: bool
) -> Iterable[tuple[str, bool]]:
    shown: list[tuple[str, Record | None, dict[str, Any]]] = []
    if isinstance(update, Snapshot):
        for record in update.records:
            if record.stream.startswith("e."):
                if since_s is None or time.time() - record.wall_at > since_s:
                    continue
                shown.append(("event", record, {}))
            else:
                shown.append(("state", record, {}))
    elif isinstance(update, Changed):
        shown.append(("state", update.record, {}))
    elif isinstance(update, Removed):
        shown.append(("removed", update.record, {}))
    elif isinstance(update, EventHappened):
        shown.append(("event", update.record, {}))
    elif isinstance(update, Gap):
        shown.append(
            ("gap", None, {"stream": update.stream, "publisher": update.publisher, "lost": update.lost})
        )
    elif isinstance(update, Stale):
        who = update.publisher or "bus"
        shown.append(
            ("stale", None, {"stream": update.stream, "publisher": who, "silent_s": update.silent_s})
        )
    elif isinstance(update, Fresh):
        shown.append(("fresh", None, {"stream": update.stream, "publisher": update.publisher or "bus"}))
    elif isinstance(update, Announced):
        return
    for what, found, extra in shown:
        if found is not None and topics:
            names = (found.stream, found.message.KIND)
            if not any(topic in name for topic in topics for name in names):
                continue
        yield (_json_line if as_json else _text_line)(what, found, extra), what == "event"


def _json_line(what: str, record: Record | None, extra: dict[str, Any]) -> str:
    if record is None:
        return json.dumps({"what": what, **extra})
    return json.dumps(
        {
            "what": what,
            "stream": record.stream,
            "kind": record.message.KIND,
            "key": record.key,
            "publisher": record.publisher,
            "incarnation": record.incarnation,
            "number": record.number,
            "wall_at": record.wall_at,
            "generation": record.generation,
            "body": plain(record.message),
        }
    )


def _text_line(what: str, record: Record | None, extra: dict[str, Any]) -> str:
    if record is None:
        words = " ".join(f"{key}={value}" for key, value in extra.items())
        return f"{'':<23} {what:<7} {words}"
    clock = datetime.datetime.fromtimestamp(record.wall_at).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{clock} {what:<7} {record.message.KIND} {describe(record.message)}"


def describe(message: messages.Message) -> str:
    """One line for people."""
    if isinstance(message, messages.VrrpTransition):
        cause = message.cause
        return (
            f"{message.instance}: {message.from_state} -> {message.to_state} ({cause.trigger}"
            f"{': ' + cause.detail if cause.detail else ''}{f', peer {cause.peer}' if cause.peer else ''})"
        )
    if isinstance(message, messages.VrrpInstanceState):
        return f"{message.instance}: {message.state} priority {message.priority} ({message.cause.trigger})"
    if isinstance(message, messages.ProcessEvent):
        return f"{message.role} {message.what} pid {message.pid} {message.why}".rstrip()
    if isinstance(message, messages.ProcessState):
        return f"{message.role}: {message.state} pid {message.pid}"
    if isinstance(message, messages.HealthChanged):
        health = "up" if message.up else "DOWN"
        return f"{message.real_server} of {message.virtual_server} {health}: {message.reason}"
    if isinstance(message, messages.TrackerState):
        return f"{message.tracker_kind} {message.name} {_tracked(message)}: {message.last_result}"
    if isinstance(message, messages.TrackerChanged):
        return (
            f"{message.tracker_kind} {message.name}: {message.before} -> {message.value} ({message.reason})"
        )
    if isinstance(message, messages.CheckState):
        state = {True: "up", False: "DOWN", None: "unknown"}[message.up]
        return f"{message.real_server} of {message.virtual_server} {state}: {message.last_result}"
    return " ".join(f"{key}={value}" for key, value in plain(message).items())
