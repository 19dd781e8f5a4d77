"""``status --check``: what is judged how, and the line of a monitoring plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bus import messages
from bus.messages import State, TrackerShare, TransitionCause, VrrpInstanceState
from supervisor import cli, monitor
from supervisor.check_status import Level, Seen, Verdict, judge

NOW = 1000.0


def instance(name: str = "VI_1", **changes: Any) -> VrrpInstanceState:
    found = VrrpInstanceState(
        instance=name, interface="eth0", vrid=51, family=4, version=3, state="MASTER", priority=100,
        base_priority=100, advert_int_cs=100, master_address=IPv4Address("192.0.2.1"), master_priority=100,
        addresses=(), since_at=900.0, since_wall_at=0.0, transitions=2,
        cause=TransitionCause(trigger="timer", detail="master no response"),
    )  # fmt: skip
    return replace(found, **changes)


def process(role: str = "vrrp", **changes: Any) -> messages.ProcessState:
    found = messages.ProcessState(
        role=role, pid=1, incarnation=1, state="ready", since_at=900.0, since_wall_at=0.0, restarts=0,
        last_exit=None, generation=1, heartbeat_at=999.9,
    )  # fmt: skip
    return replace(found, **changes)


def service(**changes: Any) -> messages.VirtualServerState:
    found = messages.VirtualServerState(
        virtual_server="[192.0.2.10]:tcp:80", quorum_up=True, quorum=1, weight_up=2, scheduler="rr",
        lvs_method="DR", sorry_server=None, sorry_active=False, in_kernel=True, reason="", since_at=0.0,
        since_wall_at=0.0,
    )  # fmt: skip
    return replace(found, **changes)


def server(**changes: Any) -> messages.RealServerState:
    found = messages.RealServerState(
        virtual_server="[192.0.2.10]:tcp:80", real_server="[10.0.0.1]:80", alive=True, weight=1,
        in_kernel=True, reason="", since_at=0.0, since_wall_at=0.0,
    )  # fmt: skip
    return replace(found, **changes)


def reload(**changes: Any) -> messages.ReloadState:
    found = messages.ReloadState(
        generation=1, attempted=1, result="applied", errors=(), since_at=0.0, since_wall_at=0.0
    )
    return replace(found, **changes)


def ipvs(available: bool) -> messages.IpvsStatus:
    return messages.IpvsStatus(
        available=available, reason="" if available else "no ip_vs", kernel_version=None, services=0,
        servers=0, repairs=0,
    )  # fmt: skip


def share(**changes: Any) -> TrackerShare:
    found = TrackerShare(tracker_kind="script", name="chk", value=1, weight=0, share=0, fault=False)
    return replace(found, **changes)


def judged(*records: State, silent: dict[str, float | None] | None = None, **asked: Any) -> Verdict:
    return judge(Seen(records=records, silent_s=silent or {}, now=NOW), **asked)


HEALTHY = (instance(), process(), process("bus"), reload(), service(), server(), ipvs(True))


def test_a_healthy_daemon_is_ok_with_its_figures() -> None:
    verdict = judged(*HEALTHY, silent={"vrrp": 0.4, "supervisor": 0.2})
    assert verdict.level is Level.OK
    assert verdict.line == (
        "PYKEEPALIVED OK - VI_1 MASTER, 1 services, 1 real servers up | instances=1 master=1 backup=0"
        " fault=0;;0;0;1 held_back=0;0;;0;1 transitions=2c trackers_stale=0;0;;0 quorum_lost=0;;0;0;1"
        " real_servers_down=0;0;;0;1 restarts=0c"
    )


CASES: list[tuple[str, tuple[State, ...], dict[str, float | None], dict[str, Any], Level, str]] = [
    ("fault", (instance(state="FAULT", cause=TransitionCause(trigger="link", detail="eth0 is down")),),
     {}, {},
     Level.CRITICAL, "VI_1 is in FAULT (link: eth0 is down)"),
    ("fault by a tracker", (instance(state="FAULT", trackers=(share(fault=True), share(name="ok"))),), {}, {},
     Level.CRITICAL, "VI_1 is in FAULT (script chk)"),
    ("init", (instance(state="INIT"),), {}, {}, Level.WARNING, "VI_1 is in INIT"),
    ("expected another state", (instance(state="BACKUP"),), {}, {"expect": "MASTER"},
     Level.CRITICAL, "VI_1 is BACKUP, not MASTER (timer: master no response)"),
    ("held back", (instance(state="BACKUP", held_back="kernel upgrade"),), {}, {},
     Level.WARNING, "VI_1 is held back by the operator: kernel upgrade"),
    ("held back as an operator wants it", (instance(state="BACKUP", held_back="upgrade"),), {},
     {"expect": "MASTER"}, Level.WARNING, "held back"),
    ("held back and not backup", (instance(held_back="upgrade"),), {}, {"expect": "BACKUP"},
     Level.CRITICAL, "VI_1 is MASTER, not BACKUP"),
    ("no such instance", (instance(),), {}, {"instances": ("VI_9",)},
     Level.UNKNOWN, "no vrrp_instance VI_9: there are VI_1"),
    ("nothing that could be master", (process(),), {}, {"expect": "MASTER"},
     Level.UNKNOWN, "no vrrp_instance"),
    ("stale tracker", (instance(trackers=(share(stale=True),)),), {}, {},
     Level.WARNING, "VI_1 goes by old values of script chk"),
    ("vrrp in back-off",
     (process(state="backoff", pid=None, restarts=4, last_exit="exit status 70"),), {}, {},
     Level.CRITICAL, "worker vrrp waits to be restarted (4 restarts, last exit: exit status 70)"),
    ("checker hung", (process("checker", state="hung"),), {}, {}, Level.WARNING, "worker checker is hung"),
    ("long start", (process(state="starting", since_at=980.0),), {}, {},
     Level.CRITICAL, "worker vrrp is starting for 20 s"),
    ("silent owner", (process(),), {"checker": 12.0}, {}, Level.WARNING, "records of checker are stale"),
    ("never heard owner", (process(),), {"ipvs": None}, {}, Level.WARNING, "ipvs was not heard of"),
    ("refused reload", (reload(result="refused", attempted=2, errors=("a.conf:3:1: no",)),), {}, {},
     Level.WARNING, "last reload refused, generation 1 in force: a.conf:3:1: no"),
    ("rolled back", (reload(result="rolled_back"),), {}, {}, Level.WARNING, "rolled back"),
    ("quorum lost", (service(quorum_up=False, weight_up=0, sorry_active=True),), {}, {},
     Level.CRITICAL, "[192.0.2.10]:tcp:80 lost its quorum (weight 0 of 1, sorry server in service)"),
    ("not in the kernel", (service(in_kernel=False, reason="refused"),), {}, {}, Level.WARNING, "refused"),
    ("real server down", (server(alive=False), server(real_server="[10.0.0.2]:80")), {}, {},
     Level.WARNING, "1 of 2 real servers down: [10.0.0.1]:80 of [192.0.2.10]:tcp:80"),
    ("no IPVS", (ipvs(False), service()), {}, {}, Level.CRITICAL, "IPVS is not available: no ip_vs"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("records", "silent", "asked", "level", "text"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_each_finding_has_its_level_and_says_what(
    records: tuple[State, ...],
    silent: dict[str, float | None],
    asked: dict[str, Any],
    level: Level,
    text: str,
) -> None:
    verdict = judged(*records, silent=silent, **asked)
    assert verdict.level is level
    assert text in verdict.line


@pytest.mark.parametrize(
    "records",
    [
        (instance(state="BACKUP"),),
        (process(state="starting", since_at=999.0),),
        (ipvs(False),),
        (process("checker", state="stopped", pid=None),),
    ],
    ids=["backup", "young", "nothing to balance", "not needed"],
)
def test_what_is_no_finding(records: tuple[State, ...]) -> None:
    assert judged(*records).level is Level.OK


def test_one_instance_is_judged_without_the_services() -> None:
    records = (
        instance(), instance("VI_2", state="FAULT"), process(), process("checker", state="hung"),
        service(quorum_up=False), server(alive=False),
    )  # fmt: skip
    assert judged(*records, instances=("VI_1",)).level is Level.OK
    assert "'priority VI_1'=100;;;0;255" in judged(*records, instances=("VI_1",)).line
    assert judged(*records, instances=("VI_2",)).level is Level.CRITICAL
    assert judged(*records).level is Level.CRITICAL


def test_the_worst_comes_first_and_all_is_one_line() -> None:
    records = [
        reload(result="refused", errors=("a | b\nc",)),
        *(instance(f"VI_{n}", state="FAULT") for n in range(20)),
    ]
    line = judged(*records).line
    text, _, performance = line.partition(" | ")
    assert "\n" not in line and "|" not in text
    assert text.startswith("PYKEEPALIVED CRITICAL - VI_0 is in FAULT") and text.endswith("and 13 more")
    label = r"('[^']+'|[a-z_]+)=\d+c?(;\d*){0,4}"
    assert re.fullmatch(f"{label}( {label})*", performance)
    assert " a / b c" in judged(records[0]).line


def test_a_silent_bus_is_a_warning_unless_something_certain_was_asked() -> None:
    seen = Seen(records=(process(),), silent_s={}, bus_why="the bus does not answer", now=NOW)
    assert judge(seen).level is Level.WARNING
    assert judge(seen, expect="MASTER").level is Level.UNKNOWN
    assert judge(seen, instances=("VI_1",)).level is Level.UNKNOWN


# --- the shell ------------------------------------------------------------------------------------------


def test_no_daemon_is_critical(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert monitor.check(tmp_path, expect=None, instances=()) == Level.CRITICAL
    assert capsys.readouterr().out.startswith("PYKEEPALIVED CRITICAL - no daemon here")


@pytest.mark.parametrize("words", [["--expect", "SLAVE"], ["--nonsense"]])
def test_a_wrong_question_is_unknown_not_critical(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.cli", "status", "--check", "--run-dir", str(tmp_path), *words],
        capture_output=True, text=True, check=False, timeout=60, cwd=Path(cli.__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == Level.UNKNOWN
    assert done.stdout.startswith("PYKEEPALIVED UNKNOWN - ")


def test_the_supervisors_answer_stands_for_records() -> None:
    answer = {
        "generation": 3,
        "reload": {"attempted": 4, "result": "refused", "errors": ["no"]},
        "processes": [
            {"role": "bus", "pid": None, "state": "backoff", "for_s": 1.0, "incarnation": 7, "restarts": 3,
             "last_exit": "killed by SIGKILL", "generation": 3, "heartbeat_age_s": None},
        ],
    }  # fmt: skip
    seen = Seen(records=monitor.from_answer(answer), silent_s={}, bus_why="the bus does not answer", now=NOW)
    verdict = judge(seen)
    assert [level for level, _ in verdict.findings] == [Level.WARNING] * 3
    assert "worker bus waits to be restarted" in verdict.line and "last reload refused" in verdict.line
