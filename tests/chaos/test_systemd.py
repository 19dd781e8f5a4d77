"""The shipped unit under a real systemd: ready, reload, restart, watchdog, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from supervisor.operator import OperatorError, ask
from supervisor.table import OOM_SCORE, UID_BASE
from tests.chaos import booted
from tests.chaos.booted import Booted
from tests.chaos.pairs import VIP, kill, pair_config, rounds, stalls
from tests.lab import conf
from tests.lab.daemons import Daemon
from tests.lab.net import Lab
from tests.lab.observer import Observer
from tests.lab.programs import ours
from tests.lab.system import REPOSITORY, alive, raw_protocol_reader, state_and_parent, wait_until
from worker.privileges import effective, mask_of

UNIT = "pykeepalived.service"
SHIPPED = REPOSITORY / "deploy" / UNIT
HARDENED = REPOSITORY / "deploy" / "hardened.conf"
ADVERT_INT = 1.0
SKEW_S = conf.skew_s(100, ADVERT_INT)
WATCHDOG_S = 2
OOM_SCORE_CAN_BE_LOWERED = bool(effective() & mask_of(["SYS_RESOURCE"]))
"""Even root of a virtual machine may have been denied it; then systemd passes over OOMScoreAdjust=."""


def drop_in(binary: str) -> str:
    """The shipped unit's command lines with this tree's program, this lab's file, a log, a quicker watchdog;
    and the shipped sandbox, under which everything must work too.

    Where the tree (or its Python) lies below a folder that the unit hides, that folder is shown.
    """
    lines = ["[Service]"]
    for line in SHIPPED.read_text().splitlines():
        if line.startswith(("ExecStart=", "ExecReload=", "ExecStopPost=")):
            key = line.partition("=")[0]
            here = line.replace("/opt/pykeepalived/current/bin/pykeepalived", binary)
            here = here.replace("/etc/keepalived/keepalived.conf", f"{booted.INSIDE}/keepalived.conf")
            lines += [f"{key}=", here]
    assert len(lines) == 7, "start, reload and stop-post are there, and nothing else runs anything"
    lines += [line for line in HARDENED.read_text().splitlines() if line and not line.startswith(("#", "["))]
    used = (str(REPOSITORY), sys.base_prefix, os.path.realpath(sys.executable))
    if any(path.startswith(("/home/", "/root/", "/run/user/")) for path in used):
        lines.append("ProtectHome=read-only")
    if any(path.startswith(("/tmp/", "/var/tmp/")) for path in used):
        lines.append("PrivateTmp=no")
    lines += [
        f"WatchdogSec={WATCHDOG_S}",
        f"StandardOutput=append:{booted.INSIDE}/log",
        f"StandardError=append:{booted.INSIDE}/log",
        f"Environment=PYTHONPYCACHEPREFIX={REPOSITORY}/.cache/pycache",
    ]
    return "\n".join(lines) + "\n"


class Site:
    """n1 under systemd, n2 a plain backup, an observer on the wire, a client that asks for the address."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.node: Booted | None = None

    def __enter__(self) -> Site:
        self.lab.__enter__()
        try:
            self.observer: Observer = self.lab.observer()
            folder = self.lab.dir / "n1"
            folder.mkdir()
            self.n1 = self.node = Booted(self.lab.ns("n1"), folder)
            (self.n1.units / UNIT).write_bytes(SHIPPED.read_bytes())
            extra = self.n1.units / f"{UNIT}.d"
            extra.mkdir()
            (extra / "lab.conf").write_text(drop_in(str(ours().argv[0])))
            self.configure(150)
            self.n1.boot()
            backup = pair_config(100, ADVERT_INT, balancer=False)
            self.backup: Daemon = self.lab.daemon("n2", ours(), backup).start()
            self.observer.await_advert(30, src="10.100.0.2")
            self.lab.probe("c", "arp", VIP, 0.01)
        except BaseException:
            self.leave(failed=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.leave(failed=kind is not None)

    def leave(self, *, failed: bool) -> None:
        if failed:
            print(f"--- n1\n{self.log()[-6000:]}\n{self.status_text()}", flush=True)
        if self.node is not None:
            self.node.shut_down()
        self.lab.close()

    def configure(self, priority: int, text: str | None = None) -> None:
        config = pair_config(priority, ADVERT_INT) if text is None else text
        (self.n1.folder / "keepalived.conf").write_text(config)

    def status_text(self) -> str:
        if self.node is None or not self.node.pid:
            return "systemd was never up"
        return self.node.systemctl("status", "--full", UNIT).stdout

    def log(self) -> str:
        try:
            return (self.n1.folder / "log").read_text(errors="replace")
        except OSError:
            return ""

    def events(self, name: str) -> list[dict[str, Any]]:
        found = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if record.get("event") == name:
                    found.append(record)
        return found

    def ask(self, command: str) -> dict[str, Any]:
        return ask(self.n1.path("/run/pykeepalived/default/operator.sock"), command)

    def main_pid(self) -> int:
        """The supervisor, as we number it; 0 while there is none."""
        inside = int(self.n1.show(UNIT).get("MainPID", "0"))
        if inside:
            with contextlib.suppress(ProcessLookupError):
                return self.n1.outside(inside)
        return 0

    def family(self) -> list[int]:
        """The supervisor and its workers, as we number them."""
        main = self.main_pid()
        rows = {int(pid): state_and_parent(int(pid)) for pid in filter(str.isdigit, os.listdir("/proc"))}
        return [main, *(pid for pid, row in rows.items() if row and row[1] == main)]

    def holders(self) -> set[str]:
        return {node for node in ("n1", "n2") if VIP in self.lab.addresses(node)}

    def in_service(self, other_than: int = 0) -> int:
        """Wait until the unit is active with all processes ready and n1 is master; the supervisor's pid."""

        def look() -> int:
            shown = self.n1.show(UNIT)
            pid = self.main_pid()
            if shown.get("ActiveState") != "active" or shown.get("SubState") != "running":
                return 0
            try:
                states = {row["state"] for row in self.ask("status")["processes"]}
            except OperatorError:
                return 0
            return pid if states == {"ready"} and pid != other_than else 0

        pid = wait_until(look, 30, f"the unit is in service\n{self.status_text()}", step_s=0.05)
        self.observer.await_advert(20, time.time(), src="10.100.0.1", active=True)
        wait_until(lambda: self.holders() == {"n1"}, 10, "n1 is the only holder")
        return pid

    def start(self) -> int:
        done = self.n1.systemctl("start", UNIT)
        assert done.returncode == 0, f"{done.stderr}\n{self.status_text()}\n{self.log()}"
        return self.in_service()

    def answers(self, since: float) -> list[str]:
        """Who answered for the address since then, each change of hands once."""
        hands: list[str] = []
        for frame in self.observer.arp_answers(VIP, since):
            who = str(frame.sender_mac)[-2:]
            if hands[-1:] != [who]:
                hands.append(who)
        return hands


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    if why := booted.why_not():
        pytest.skip(why)
    if pathlib.Path("/proc/self/uid_map").read_text().split() != ["0", "0", str(2**32 - 1)]:
        pytest.skip("an ordinary user cannot give systemd a branch of the cgroup tree: sudo ./run test chaos")
    if mask_of(["SYS_ADMIN"]) & ~effective():
        pytest.skip("booting systemd needs CAP_SYS_ADMIN: run this on a host, or in a privileged container")
    found = Site()
    try:
        found.__enter__()
    except OSError as error:
        pytest.skip(f"systemd cannot be booted in a namespace here: {error}")
    try:
        yield found
    finally:
        found.leave(failed=False)


@pytest.fixture
def serving(site: Site, request: pytest.FixtureRequest) -> Iterator[Site]:
    """In service as master with the configuration everybody starts from."""
    site.configure(150)
    if not site.main_pid():
        site.start()
    before = request.session.testsfailed
    site.in_service()
    time.sleep(ADVERT_INT)
    yield site
    if request.session.testsfailed > before:
        print(f"--- n1\n{site.log()[-6000:]}\n{site.status_text()}", flush=True)


def test_start_means_ready(site: Site) -> None:
    pid = site.start()
    shown = site.n1.show(UNIT)
    assert (shown["Type"], shown["ActiveState"], shown["SubState"]) == ("notify", "active", "running")
    assert shown["NRestarts"] == "0"
    assert shown["StatusText"]
    ready = site.events("supervisor.ready")
    assert len(ready) == 1, "systemctl start came back when it was ready"
    assert int(shown["WatchdogTimestampMonotonic"]) > 0
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    # What the unit gives is what the daemon needs: no complaint, and a user for each worker.
    may_not_give = [] if OOM_SCORE_CAN_BE_LOWERED else [f"oom_score_adj {OOM_SCORE['supervisor']}"]
    assert [record["what"] for record in site.events("start.limited")] == may_not_give
    assert site.events("privileges.not_dropped") == []
    assert site.events("vrrp.memory_not_locked") == []
    assert "NoNewPrivs:\t1" in status
    uids = {row["role"]: row["uid"] for row in site.ask("status")["processes"]}
    assert set(uids.values()) <= set(range(UID_BASE, UID_BASE + 4))
    assert len(set(uids.values())) == 4
    if OOM_SCORE_CAN_BE_LOWERED:
        score = pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
        assert score == str(OOM_SCORE["supervisor"])


def test_a_watched_daemon_that_is_well_stays(serving: Site) -> None:
    pid = serving.main_pid()
    time.sleep(2.5 * WATCHDOG_S)
    assert serving.main_pid() == pid
    first = int(serving.n1.show(UNIT)["WatchdogTimestampMonotonic"])
    wait_until(
        lambda: int(serving.n1.show(UNIT)["WatchdogTimestampMonotonic"]) > first, WATCHDOG_S, "a sign of life"
    )


def test_reload_takes_a_good_file_and_refuses_a_bad_one(serving: Site) -> None:
    pid = serving.main_pid()
    generation = serving.ask("status")["generation"]
    serving.configure(160)
    done = serving.n1.systemctl("reload", UNIT)
    assert done.returncode == 0, done.stderr
    assert serving.ask("status")["generation"] == generation + 1, "reload came back when it was done"
    serving.observer.await_advert(5, time.time(), src="10.100.0.1", priority=160)
    wait_until(lambda: serving.n1.show(UNIT)["SubState"] == "running", 5, "reloading is over")

    serving.configure(0, "vrrp_instance V1 {\n    interface e0\n    priority 170\n")
    done = serving.n1.systemctl("reload", UNIT)
    assert done.returncode != 0, "a file that is refused must not look like a success"
    wait_until(lambda: serving.n1.show(UNIT)["SubState"] == "running", 5, "reloading is over")
    assert serving.n1.show(UNIT)["ActiveState"] == "active"
    assert serving.main_pid() == pid
    assert serving.observer.await_advert(5, time.time(), src="10.100.0.1", priority=160)
    serving.configure(150)
    assert serving.n1.systemctl("reload", UNIT).returncode == 0
    assert all(frame.priority for frame in serving.observer.adverts(src="10.100.0.1"))


def gives_up(site: Site, deed: Callable[[], float], within_s: float) -> int:
    """Do it, and judge what the segment and the service manager make of it; the next supervisor's pid.

    ``within_s`` is how long the node may take until it has withdrawn; then the peer has its skew time.
    """
    old = site.main_pid()
    family = site.family()
    restarts = int(site.n1.show(UNIT)["NRestarts"])
    logged = len(site.log())
    time.sleep(0.3)
    at = deed()
    first = site.observer.await_advert(within_s + 10, at, src="10.100.0.2")
    took, stalled = first.at - at, stalls.longest_s(at, first.at)
    assert took <= within_s + SKEW_S + 0.2 + stalled, f"peer master after {took:.3f} s, stall {stalled:.3f} s"
    assert VIP not in site.lab.addresses("n1"), "the address is still there"
    new = site.in_service(other_than=old)
    assert not any(alive(pid) for pid in family), "no process of the old family is left"
    assert int(site.n1.show(UNIT)["NRestarts"]) == restarts + 1
    # By one hand to the peer, and by election back.
    time.sleep(0.2)
    hands = site.answers(at - 0.2)
    assert hands == ["01", "02", "01"], hands
    assert re.search(r"\d+ virtual routers fenced", site.log()[logged:]), "ExecStopPost has run"
    assert "fence.incomplete" not in site.log()[logged:]
    rows = {row["role"]: row for row in site.ask("status")["processes"]}
    assert [row["restarts"] for row in rows.values()] == [0] * len(rows), "the new start is clean"
    return new


def _kill_main(site: Site) -> float:
    return kill(site.main_pid())


def test_sigkill_of_the_main_process(serving: Site) -> None:
    for _ in range(rounds(3)):
        gives_up(serving, partial(_kill_main, serving), 0.0)
        time.sleep(ADVERT_INT)


def _kill_all(site: Site) -> float:
    family = site.family()
    at = time.time()
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return at


def test_sigkill_of_every_process(serving: Site) -> None:
    """Nobody is left to send the priority-0 advert but the ledger and ExecStopPost."""
    at = time.time()
    gives_up(serving, partial(_kill_all, serving), 1.0)
    assert serving.observer.adverts(at, src="10.100.0.1", active=False), "the fence sent priority 0"


def _hang_and_kill(site: Site) -> float:
    worker = raw_protocol_reader(site.lab.ns("n1"))
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    return kill(site.main_pid())


def test_sigkill_of_the_main_process_while_vrrp_hangs(serving: Site) -> None:
    gives_up(serving, partial(_hang_and_kill, serving), 1.0)


def _stop_main(site: Site) -> float:
    return kill(site.main_pid(), signal.SIGSTOP)


def test_the_watchdog_notices_a_supervisor_that_hangs(serving: Site) -> None:
    at = time.time()
    gives_up(serving, partial(_stop_main, serving), WATCHDOG_S + 2.0)
    noticed = serving.observer.await_advert(1, at, src="10.100.0.2").at
    assert noticed - at > WATCHDOG_S / 2 - 0.2, "until then the workers served on"


def test_stop_gives_back_and_stays_stopped(serving: Site) -> None:
    family, logged = serving.family(), len(serving.log())
    at = time.time()
    done = serving.n1.systemctl("stop", UNIT)
    assert done.returncode == 0, done.stderr
    zero = serving.observer.await_advert(1, at, src="10.100.0.1", active=False)
    first = serving.observer.await_advert(10, at, src="10.100.0.2")
    assert first.at - zero.at < SKEW_S + 0.2 + stalls.longest_s(zero.at, first.at)
    shown = serving.n1.show(UNIT)
    assert (shown["ActiveState"], shown["SubState"], shown["Result"]) == ("inactive", "dead", "success")
    assert "\npykeepalived: 0 virtual routers fenced" in serving.log()[logged:], "nothing was left to fence"
    assert not any(alive(pid) for pid in family)
    assert serving.holders() <= {"n2"}
    assert serving.n1.path("/run/pykeepalived").is_dir(), "the ledger's folder outlives the unit"


def test_a_file_that_cannot_be_used_is_not_tried_again_and_again(site: Site) -> None:
    if site.main_pid():
        site.n1.systemctl("stop", UNIT)
    site.configure(0, "vrrp_instance V1 {\n    interface e0\n")
    done = site.n1.systemctl("start", UNIT)
    assert done.returncode != 0
    time.sleep(1)
    shown = site.n1.show(UNIT)
    assert (shown["ActiveState"], shown["NRestarts"]) == ("failed", "0"), site.status_text()
    assert "Traceback" not in site.log()
    site.configure(150)
    site.start()
