"""``--log-format classic``: log records in the words that keepalived's users and their scripts know.

A table from event identifiers to lines, no more: what a record says decides alone. Records of events that
keepalived does not have come as text (``event key=value ...``). The words were taken down from what
keepalived 2.4.3 and 2.2.7 write; lines that those write with ``-D`` only are marked as detail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

IDENTITIES = {
    "supervisor": "Keepalived",
    "vrrp": "Keepalived_vrrp",
    "script": "Keepalived_vrrp",
    "checker": "Keepalived_healthcheckers",
    "ipvs": "Keepalived_healthcheckers",
}
"""Process -> identifier in syslog. keepalived runs its scripts in the VRRP process, IPVS in the checkers'."""

_Fields = Mapping[str, Any]
_HEAD = frozenset(("at", "level", "event", "process", "pid"))


class Detail(str):
    """A line that is written with -D only."""

    __slots__ = ()


def identity(process: str) -> str:
    """Identifier in syslog of a process of ours."""
    return IDENTITIES.get(process, f"Keepalived_{process}")


def lines(record: _Fields, *, detail: bool = False) -> list[str]:
    """What keepalived would write for a record; empty when it would write nothing."""
    template = TABLE.get(record["event"])
    try:
        found = template(record) if template is not None else None
        if found is not None:
            return [str(line) for line in found if detail or not isinstance(line, Detail)]
    except (LookupError, TypeError, ValueError):
        pass  # a record that lacks what its line needs is shown as it is: to log must not fail
    return [text(record)]


def text(record: _Fields) -> str:
    """A record without counterpart in keepalived."""
    words = " ".join(f"{key}={value}" for key, value in record.items() if key not in _HEAD)
    return f"{record['event']} {words}".rstrip()


# --- the supervisor -----------------------------------------------------------------------------------

_CHILDREN = {"vrrp": "VRRP", "checker": "Healthcheck"}


def _starting(of: _Fields) -> Iterable[str]:
    yield f"Starting Keepalived v{of.get('version')} (pykeepalived)"
    yield Detail(f"Opening file '{of.get('config')}'.")
    yield f"Configuration file {of.get('config')}"


def _child_started(of: _Fields) -> Iterable[str] | None:
    child = _CHILDREN.get(of["role"])
    return child and [f"Starting {child} child process, pid={of['role_pid']}"]


def _child_died(of: _Fields) -> Iterable[str] | None:
    child = _CHILDREN.get(of["role"])
    if child is None:
        return None
    pid, why = of["role_pid"], str(of.get("why") or "")
    how = why.replace("killed by", "exited due to signal").replace("exit status", "exited with status")
    return [f"pid {pid} {how}", f"{child} child process({pid}) died: Respawning"]


# --- vrrp ---------------------------------------------------------------------------------------------


_DOWN = re.compile(r"interface (\S+) is down")


def _transition(of: _Fields) -> Iterable[str]:
    name, before, after, reason = of["instance"], of["from"], of["to"], of["reason"]
    peer, theirs, ours = of.get("peer"), of.get("peer_priority"), of.get("own_priority")
    if reason == "priority_zero" and before == "BACKUP":
        yield Detail(f"({name}) Backup received priority 0 advertisement")
    if of.get("trigger") == "timer" and before == "BACKUP":
        yield Detail(f"({name}) Receive advertisement timeout")
    if before == "MASTER" and peer is not None and theirs is not None and after == "BACKUP":
        if theirs == ours:
            yield (
                f"({name}) Master received advert from {peer} with same priority {ours}"
                " but higher IP address than ours"
            )
        else:
            yield f"({name}) Master received advert from {peer} with higher priority {theirs}, ours {ours}"
    if before == "INIT" and after == "FAULT":
        yield from _fault_at_start(name, of)
    elif after in ("BACKUP", "MASTER", "FAULT"):
        init = " (init)" if before == "INIT" and of.get("trigger") == "startup" else ""
        yield f"({name}) Entering {after} STATE{init}"
    if before == "MASTER" and after in ("FAULT", "INIT"):
        yield Detail(f"({name}) sent 0 priority")
    if after == "MASTER":
        yield Detail(f"({name}) setting VIPs.")
    elif before == "MASTER":
        yield Detail(f"({name}) removing VIPs.")


def _fault_at_start(name: str, of: _Fields) -> Iterable[str]:
    reason = str(of.get("detail") or "")
    down = _DOWN.search(reason)
    if down:
        yield f"({name}): entering FAULT state (interface {down[1]} down)"
    elif "no address" in reason:
        yield f"({name}) entering FAULT state (no IPv4 address for interface)"
    yield f"({name}) entering FAULT state"


def _lower_heard(of: _Fields) -> Iterable[str]:
    peer, theirs, ours = of["peer"], of["peer_priority"], of.get("priority", of.get("own_priority"))
    heard = f"({of['instance']}) Received advert from {peer} with lower priority {theirs}, ours {ours}"
    yield f"{heard}, forcing new election"


def _priority_changed(of: _Fields) -> Iterable[str]:
    yield f"({of['instance']}) Changing effective priority from {of['before']} to {of['priority']}"


def _group(of: _Fields) -> Iterable[str] | None:
    if of["to"] == "INIT" or of["from"] == "INIT":
        return []
    return [f"VRRP_Group({of['group']}) Syncing instances to {of['to']} state"]


def _link(of: _Fields) -> Iterable[str]:
    yield f"Netlink reports {of['interface']} {'up' if of['up'] else 'down'}"


# --- scripts ------------------------------------------------------------------------------------------

_STATUS = re.compile(r"exit status (\d+)")
_TIMED_OUT = re.compile(r"(no|did not) end within")


def _tracker_good(of: _Fields) -> Iterable[str] | None:
    return [f"VRRP_Script({of['name']}) succeeded"] if of["kind"] == "script" else None


def _tracker_bad(of: _Fields) -> Iterable[str] | None:
    if of["kind"] != "script":
        return None
    reason = str(of["reason"])
    status = _STATUS.search(reason)
    if status:
        return [f"VRRP_Script({of['name']}) failed (exited with status {status[1]})"]
    if _TIMED_OUT.search(reason):
        return [f"VRRP_Script({of['name']}) timed_out"]
    return [f"VRRP_Script({of['name']}) failed ({reason})"]


def _tracker_result(of: _Fields) -> Iterable[str] | None:
    """One of several that are needed; the first of a row is when the exit status changed."""
    status = _STATUS.search(str(of.get("reason")))
    if of["kind"] != "script":
        return None
    if status is None or of.get("failures", 0) + of.get("successes", 0) != 1:
        return []
    return [f"Script `{of['name']}` now returning {status[1]}"]


# --- health checks and IPVS ---------------------------------------------------------------------------

_REAL_SERVER = re.compile(r"(\[.+\]):(\d+)")
_SERVICE = re.compile(r"\[.+\]:(\w+):\d+")
_WEB = ("HTTP_GET", "SSL_GET")


def _server(real_server: str, virtual_server: str) -> str:
    """``[ADDR]:PORT`` of a service as keepalived names it: with the protocol of the service."""
    address, service = _REAL_SERVER.fullmatch(real_server), _SERVICE.fullmatch(virtual_server)
    if address is None:
        return real_server
    return f"{address[1]}:{service[1] if service else 'tcp'}:{address[2]}"


def _check(of: _Fields) -> tuple[str, str]:
    """(kind as keepalived calls it, server)."""
    kind = str(of["kind"])
    server = _server(str(of["real_server"]), str(of["virtual_server"]))
    return ("HTTP_CHECK" if kind in _WEB else kind), server


def _check_good(of: _Fields) -> Iterable[str] | None:
    kind, server = _check(of)
    if kind == "HTTP_CHECK":
        return [f"Remote Web server {server} succeed on service."]
    return [f"TCP connection to {server} success."] if kind == "TCP_CHECK" else None


def _check_down(of: _Fields) -> Iterable[str]:
    kind, server = _check(of)
    retries = of.get("retries")
    yield f"{kind} on service {server} failed" + (f" after {retries} retries." if retries else ".")


def _server_line(words: str, inhibited: str) -> Callable[[_Fields], Iterable[str]]:
    def line(of: _Fields) -> Iterable[str]:
        template = inhibited if of.get("inhibited") else words
        yield template.format(_server(str(of["server"]), str(of["service"])), of["service"])

    return line


_NAMED = re.compile(r"server (\S+)")


def _table_entry(of: _Fields) -> Iterable[str] | None:
    """An entry of the kernel's table: after a health check the verdict is told already."""
    why = of.get("why")
    if why == "stop" and of["event"] == "ipvs.server_removed":
        server = _NAMED.search(str(of["did"]))
        service = str(of["service"])
        if server is not None:
            return [f"Shutting down service {_server(server[1], service)} from VS {service}"]
    return [] if why in ("health", "stop") else None


def _quorum(of: _Fields) -> Iterable[str]:
    gained = of["event"] == "ipvs.quorum_gained"
    quorum, hysteresis = of["quorum"], of.get("hysteresis", 0)
    service, sorry = of["service"], of.get("sorry_server")
    if gained:
        limit = f"{quorum}+{hysteresis}={quorum + hysteresis} <= {of['weight_up']}"
    else:
        limit = f"{quorum}-{hysteresis}={quorum - hysteresis} > {of['weight_up']}"
    yield f"{'Gained' if gained else 'Lost'} quorum {limit} for VS {service}"
    if sorry:
        name = _server(str(sorry), str(service))
        if gained:
            yield f"Removing sorry server {name} from VS {service}"
            yield f"Adding alive servers to the pool for VS {service}"
        else:
            yield f"Adding sorry server {name} to VS {service}"
            yield f"Removing alive servers from the pool for VS {service}"


TABLE: dict[str, Callable[[_Fields], Iterable[str] | None]] = {
    "supervisor.starting": _starting,
    "supervisor.ready": lambda _: ["Startup complete"],
    "supervisor.stopping": lambda _: ["Stopping"],
    "supervisor.stopped": lambda of: [f"Stopped Keepalived v{of['version']} (pykeepalived)"],
    "process.started": _child_started,
    "process.died": _child_died,
    "reload.started": lambda _: ["Reloading ..."],
    "reload.applied": lambda _: ["Reload complete"],
    "config.finding": lambda of: [str(of["text"]).splitlines()[0]],
    "vrrp.transition": _transition,
    "vrrp.lower_priority_heard": _lower_heard,
    "vrrp.priority": _priority_changed,
    "vrrp.tracker": lambda _: [],
    "vrrp.group_transition": _group,
    "vrrp.link": _link,
    "tracker.good": _tracker_good,
    "tracker.bad": _tracker_bad,
    "tracker.result": _tracker_result,
    "check.up": _check_good,
    "check.good": lambda _: [],
    "check.down": _check_down,
    "check.failed": lambda _: [],
    "ipvs.server_up": _server_line("Adding service {} to VS {}", "Enabling service {} of VS {}"),
    "ipvs.server_down": _server_line("Removing service {} from VS {}", "Disabling service {} of VS {}"),
    **dict.fromkeys(
        (f"ipvs.{what}_{done}" for what in ("server", "service") for done in ("added", "edited", "removed")),
        _table_entry,
    ),
    "ipvs.quorum_gained": _quorum,
    "ipvs.quorum_lost": _quorum,
}
"""Event -> lines; None for a record without counterpart, an empty list for one that is not to be seen."""
