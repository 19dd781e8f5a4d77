"""The classic form: records become the lines that keepalived 2.4.3 and 2.2.7 wrote in the same situation."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worker import log_classic

VS = "[10.100.1.51]:tcp:80"


def record(event: str, process: str = "vrrp", **fields: Any) -> dict[str, Any]:
    head = {"at": "2026-11-22T16:34:50Z", "level": "info", "event": event, "process": process, "pid": 7}
    return head | fields


def transition(before: str, after: str, **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "instance": "VI_1", "from": before, "to": after, "trigger": "timer", "reason": "fault",
        "own_priority": 100, "peer": None, "peer_priority": None, "late_s": 0.0, "rule": None, "detail": "",
    }  # fmt: skip
    return record("vrrp.transition", **(base | fields))


def tracker(event: str, **fields: Any) -> dict[str, Any]:
    return record(f"tracker.{event}", "script", **{"kind": "script", "name": "chk", **fields})


def check(event: str, kind: str, port: int, **fields: Any) -> dict[str, Any]:
    server = f"[10.100.0.2]:{port}"
    return record(f"check.{event}", "checker", kind=kind, real_server=server, virtual_server=VS, **fields)


def quorum(gained: bool, weight_up: int, sorry: str | None) -> dict[str, Any]:
    return record(
        f"ipvs.quorum_{'gained' if gained else 'lost'}", "ipvs", service=VS, quorum=1, hysteresis=0,
        weight_up=weight_up, sorry_active=not gained, sorry_server=sorry, reason="",
    )  # fmt: skip


def table_entry(event: str, did: str, *, why: str) -> dict[str, Any]:
    return record(f"ipvs.{event}", "ipvs", service=VS, did=f"{did} {VS}", why=why)


BEATEN = {"trigger": "advert", "reason": "beaten", "peer": "10.100.0.2"}

AS_KEEPALIVED: list[tuple[dict[str, Any], list[str], list[str]]] = [
    # record; lines without -D; further lines with -D
    (transition("INIT", "BACKUP", trigger="startup", reason="start"),
     ["(VI_1) Entering BACKUP STATE (init)"], []),
    (transition("INIT", "BACKUP", trigger="script", reason="start"), ["(VI_1) Entering BACKUP STATE"], []),
    (transition("INIT", "FAULT", trigger="startup", detail="interface e7 is down"),
     ["(VI_1): entering FAULT state (interface e7 down)", "(VI_1) entering FAULT state"], []),
    (transition("BACKUP", "MASTER", reason="master_no_response"), ["(VI_1) Entering MASTER STATE"],
     ["(VI_1) Receive advertisement timeout", "(VI_1) setting VIPs."]),
    (transition("BACKUP", "MASTER", reason="priority_zero", peer="10.100.0.2", peer_priority=0),
     ["(VI_1) Entering MASTER STATE"],
     ["(VI_1) Backup received priority 0 advertisement", "(VI_1) Receive advertisement timeout",
      "(VI_1) setting VIPs."]),
    (transition("MASTER", "BACKUP", **BEATEN, peer_priority=90, own_priority=80),
     ["(VI_1) Master received advert from 10.100.0.2 with higher priority 90, ours 80",
      "(VI_1) Entering BACKUP STATE"], ["(VI_1) removing VIPs."]),
    (transition("MASTER", "BACKUP", **BEATEN, peer_priority=100),
     ["(VI_1) Master received advert from 10.100.0.2 with same priority 100 but higher IP address than ours",
      "(VI_1) Entering BACKUP STATE"], ["(VI_1) removing VIPs."]),
    (transition("MASTER", "FAULT", trigger="link", detail="interface e0 is down"),
     ["(VI_1) Entering FAULT STATE"], ["(VI_1) sent 0 priority", "(VI_1) removing VIPs."]),
    (transition("BACKUP", "FAULT", trigger="tracker"), ["(VI_1) Entering FAULT STATE"], []),
    (transition("FAULT", "BACKUP", trigger="link", reason="fault_over"),
     ["(VI_1) Entering BACKUP STATE"], []),
    (transition("MASTER", "INIT", trigger="operator", reason="stop"), [],
     ["(VI_1) sent 0 priority", "(VI_1) removing VIPs."]),
    (record("vrrp.lower_priority_heard", instance="VI_1", peer="10.100.0.2", peer_priority=90, priority=100),
     ["(VI_1) Received advert from 10.100.0.2 with lower priority 90, ours 100, forcing new election"], []),
    (record("vrrp.priority", instance="VI_1", before=100, priority=80),
     ["(VI_1) Changing effective priority from 100 to 80"], []),
    (record("vrrp.group_transition", group="G1", **{"from": "BACKUP", "to": "MASTER"}),
     ["VRRP_Group(G1) Syncing instances to MASTER state"], []),
    (record("vrrp.link", interface="e1", up=False), ["Netlink reports e1 down"], []),
    (record("vrrp.link", interface="e1", up=True), ["Netlink reports e1 up"], []),
    (tracker("good", reason="exit status 0"), ["VRRP_Script(chk) succeeded"], []),
    (tracker("bad", reason="exit status 1"), ["VRRP_Script(chk) failed (exited with status 1)"], []),
    (tracker("bad", reason="did not end within 1 s"), ["VRRP_Script(chk) timed_out"], []),
    (tracker("result", reason="exit status 1", failures=1, successes=0),
     ["Script `chk` now returning 1"], []),
    (record("supervisor.starting", "supervisor", version="0.1.0", config="/etc/k.conf", run_dir="/run/x"),
     ["Starting Keepalived v0.1.0 (pykeepalived)", "Configuration file /etc/k.conf"],
     ["Opening file '/etc/k.conf'."]),
    (record("process.started", "supervisor", role="vrrp", role_pid=23549),
     ["Starting VRRP child process, pid=23549"], []),
    (record("process.started", "supervisor", role="checker", role_pid=801),
     ["Starting Healthcheck child process, pid=801"], []),
    (record("process.died", "supervisor", role="vrrp", role_pid=23549, why="killed by SIGKILL"),
     ["pid 23549 exited due to signal SIGKILL", "VRRP child process(23549) died: Respawning"], []),
    (record("supervisor.ready", "supervisor", after_s=0.2), ["Startup complete"], []),
    (record("reload.started", "supervisor"), ["Reloading ..."], []),
    (record("reload.applied", "supervisor"), ["Reload complete"], []),
    (record("supervisor.stopping", "supervisor", why="SIGTERM"), ["Stopping"], []),
    (record("supervisor.stopped", "supervisor", version="0.1.0", uptime_s=1),
     ["Stopped Keepalived v0.1.0 (pykeepalived)"], []),
    (check("up", "TCP_CHECK", 80), ["TCP connection to [10.100.0.2]:tcp:80 success."], []),
    (check("up", "HTTP_GET", 81), ["Remote Web server [10.100.0.2]:tcp:81 succeed on service."], []),
    (check("down", "TCP_CHECK", 80, retries=0), ["TCP_CHECK on service [10.100.0.2]:tcp:80 failed."], []),
    (check("down", "TCP_CHECK", 80, retries=1),
     ["TCP_CHECK on service [10.100.0.2]:tcp:80 failed after 1 retries."], []),
    (check("down", "HTTP_GET", 81, retries=0), ["HTTP_CHECK on service [10.100.0.2]:tcp:81 failed."], []),
    (record("ipvs.server_down", "ipvs", service=VS, server="[10.100.0.2]:81"),
     [f"Removing service [10.100.0.2]:tcp:81 from VS {VS}"], []),
    (record("ipvs.server_up", "ipvs", service=VS, server="[10.100.0.2]:81"),
     [f"Adding service [10.100.0.2]:tcp:81 to VS {VS}"], []),
    (record("ipvs.server_down", "ipvs", service=VS, server="[10.100.0.2]:80", inhibited=True),
     [f"Disabling service [10.100.0.2]:tcp:80 of VS {VS}"], []),
    (record("ipvs.server_up", "ipvs", service=VS, server="[10.100.0.2]:80", inhibited=True),
     [f"Enabling service [10.100.0.2]:tcp:80 of VS {VS}"], []),
    (table_entry("server_removed", "remove server [10.100.0.2]:80 from service", why="stop"),
     [f"Shutting down service [10.100.0.2]:tcp:80 from VS {VS}"], []),
    (table_entry("server_removed", "remove server [10.100.0.2]:80 from service", why="health"), [], []),
    (table_entry("service_removed", "remove service", why="stop"), [], []),
    (quorum(False, 0, None), [f"Lost quorum 1-0=1 > 0 for VS {VS}"], []),
    (quorum(True, 3, None), [f"Gained quorum 1+0=1 <= 3 for VS {VS}"], []),
    (quorum(False, 0, "[10.100.0.2]:99"),
     [f"Lost quorum 1-0=1 > 0 for VS {VS}", f"Adding sorry server [10.100.0.2]:tcp:99 to VS {VS}",
      f"Removing alive servers from the pool for VS {VS}"], []),
    (quorum(True, 1, "[10.100.0.2]:99"),
     [f"Gained quorum 1+0=1 <= 1 for VS {VS}", f"Removing sorry server [10.100.0.2]:tcp:99 from VS {VS}",
      f"Adding alive servers to the pool for VS {VS}"], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "always", "detail"), AS_KEEPALIVED, ids=[case[0]["event"] for case in AS_KEEPALIVED]
)
def test_records_become_keepalived_s_lines(
    said: dict[str, Any], always: list[str], detail: list[str]
) -> None:
    assert log_classic.lines(said) == always
    assert sorted(log_classic.lines(said, detail=True)) == sorted([*always, *detail])


def test_the_wish_for_mastership_comes_before_it() -> None:
    assert log_classic.lines(transition("BACKUP", "MASTER", reason="master_no_response"), detail=True) == [
        "(VI_1) Receive advertisement timeout",
        "(VI_1) Entering MASTER STATE",
        "(VI_1) setting VIPs.",
    ]


def test_what_keepalived_does_not_have_comes_as_text() -> None:
    for said in (
        record("vrrp.resumed", instance="VI_1", gap_s=0.1),
        record("process.started", "supervisor", role="bus", role_pid=3),
        tracker("bad", kind="process", reason="0 processes"),
        table_entry("server_added", "add server [10.100.0.2]:80 to service", why="configuration 1 (full)"),
    ):
        (line,) = log_classic.lines(said)
        assert line.startswith(said["event"] + " ") and "at=" not in line


def test_a_record_that_lacks_something_is_shown_nevertheless() -> None:
    for event in log_classic.TABLE:
        log_classic.lines(record(event))
    assert log_classic.lines(record("ipvs.server_up", service=VS)) == [f"ipvs.server_up service={VS}"]


def test_names_that_are_no_addresses_stay_as_they_are() -> None:
    said = record("ipvs.server_down", "ipvs", service="FWM 1", server="[fd00::2]:80")
    assert log_classic.lines(said) == ["Removing service [fd00::2]:tcp:80 from VS FWM 1"]


# --- through the sink --------------------------------------------------------------------------------------

_PROGRAM = """
import sys
from worker import log
log.configure(form="classic", detail="-D" in sys.argv)
if len(sys.argv) > 1 and sys.argv[1] != "-D":
    log.sink.open_syslog(sys.argv[1])
why = {"from": "BACKUP", "to": "MASTER", "trigger": "timer", "reason": "master_no_response"}
log.logger("vrrp").info("vrrp.transition", instance="VI_1", **why)
log.logger("bus").info("bus.epoch", epoch=3)
"""


def _written(*argv: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *argv],
        capture_output=True, text=True, check=True, timeout=60, cwd=Path(log_classic.__file__).parents[1],
    )  # fmt: skip
    return done.stderr.splitlines()


def test_the_console_has_keepalived_s_clock() -> None:
    clock = r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}: "
    first, second = _written()
    assert re.fullmatch(clock + r"\(VI_1\) Entering MASTER STATE", first)
    assert re.fullmatch(clock + r"bus\.epoch epoch=3", second)
    assert len(_written("-D")) == 4


def test_syslog_has_keepalived_s_identifiers(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(path)
        syslog.settimeout(10)
        _written(path)
        first, second = syslog.recv(1000).decode(), syslog.recv(1000).decode()
    assert re.fullmatch(r"<30>Keepalived_vrrp\[\d+\]: \(VI_1\) Entering MASTER STATE", first)
    assert re.fullmatch(r"<30>Keepalived_bus\[\d+\]: bus\.epoch epoch=3", second)
    found = {process: log_classic.identity(process) for process in ("supervisor", "checker", "ipvs")}
    assert found == {
        "supervisor": "Keepalived",
        "checker": "Keepalived_healthcheckers",
        "ipvs": "Keepalived_healthcheckers",
    }
