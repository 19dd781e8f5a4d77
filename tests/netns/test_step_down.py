"""The whole daemon: stop, step-down and resume as an operator sees them, and what dies in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Daemon, Lab, Observer, conf
from tests.lab.programs import ours
from tests.lab.system import wait_until

if os.geteuid():
    pytest.skip("needs root (network namespaces)", allow_module_level=True)

VIP = "10.100.1.1"
LEAVER, HEIR = "n2", "n1"
PRIORITY = {LEAVER: 150, HEIR: 100}
FLAGS = "-n -l -D -P"


class Pair:
    """Two daemons; the leaver is master."""

    def __init__(self, lab: Lab, *, advert_s: float = 0.5, extra: str = "", version: int = 3) -> None:
        self.lab = lab
        self.wire: Observer = lab.observer()
        self.daemons: dict[str, Daemon] = {}
        for node in (HEIR, LEAVER):
            text = conf.global_defs() + extra
            text += conf.instance(
                priority=PRIORITY[node], advert_int=advert_s, addresses=[f"{VIP}/16"], version=version
            )
            self.daemons[node] = lab.daemon(node, ours(), text, FLAGS).start()
        wait_until(lambda: self.holders() == [LEAVER], 30, "the better one is master")
        wait_until(lambda: self.status()["vrrp"], 10, "the bus knows it")
        time.sleep(2.2 * advert_s)

    def holders(self) -> list[str]:
        return [node for node in (HEIR, LEAVER) if VIP in self.lab.addresses(node)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb of the leaver's daemon."""
        run_dir = self.daemons[LEAVER].folder / "run"
        return subprocess.run(
            [*ours().argv, words[0], "--run-dir", str(run_dir), *words[1:]],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def status(self) -> dict[str, Any]:
        found = self.run("status", "--json")
        with contextlib.suppress(ValueError):
            status: dict[str, Any] = json.loads(found.stdout)
            return status
        return {"vrrp": []}

    def record(self) -> dict[str, Any]:
        (record,) = self.status()["vrrp"]
        return dict(record)

    def kill(self, role: str) -> None:
        pid = (
            self.daemons[LEAVER].worker_pid(role) if role != "supervisor" else self.daemons[LEAVER].parent_pid
        )
        assert pid
        os.kill(pid, signal.SIGKILL)

    def zero(self, since: float) -> float:
        return self.wire.await_advert(3, since, active=False).at

    def settles_to(self, node: str, within_s: float = 6.0) -> None:
        """One holder in the end, and nothing moves any more."""
        wait_until(lambda: self.holders() == [node], within_s, f"{node} alone has the address")
        time.sleep(1.0)
        assert self.holders() == [node]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


def test_a_term_hands_over_and_says_so(lab: Lab) -> None:
    pair = Pair(lab)
    daemon = pair.daemons[LEAVER]
    client = lab.probe("c", "icmp", VIP, 0.002, 0.4)
    client.await_answer(10)
    since = daemon.terminate()
    assert daemon.wait() == 0
    assert time.time() - since < 2.5
    pair.settles_to(HEIR)
    assert [a.ok for a in client.stop()].count(False) < 50
    assert len(pair.wire.adverts(since, active=False)) == 1
    assert '"vrrp.handed_over"' in daemon.log_text()
    assert '"vrrp.left"' in daemon.log_text()


def test_step_down_status_and_resume(lab: Lab) -> None:
    pair = Pair(lab)
    done = pair.run("step-down", "V1", "--reason", "new kernel", "--for", "1h")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"V1 handed over to {lab.address(HEIR)} in 0.")
    assert pair.holders() == [HEIR]
    wait_until(lambda: pair.record()["held_back"] == "new kernel", 5, "status")
    assert 3500 < pair.record()["held_back_until_wall_at"] - time.time() < 3601
    text = pair.run("status").stdout
    assert "held back: new kernel" in text
    pair.kill("vrrp")
    wait_until(lambda: pair.record()["incarnation"] > 0 and pair.record()["owner_silent_s"] < 1, 10, "again")
    daemon = pair.daemons[LEAVER]
    daemon.config_file.write_text(daemon.config_file.read_text().replace("priority 150", "priority 151"))
    assert pair.run("reload", "--wait").returncode == 0
    time.sleep(2.5)
    assert pair.holders() == [HEIR]
    assert pair.record()["held_back"] == "new kernel"
    assert pair.record()["priority"] == 1
    done = pair.run("resume", "--all")
    assert (done.returncode, done.stdout) == (0, "V1 takes part with priority 151 again\n")
    pair.settles_to(LEAVER)
    assert pair.record()["held_back"] == ""


def test_it_comes_back_when_its_time_is_over(lab: Lab) -> None:
    pair = Pair(lab, advert_s=0.2)
    assert pair.run("step-down", "--all", "--for", "2s").returncode == 0
    assert pair.holders() == [HEIR]
    pair.settles_to(LEAVER, 8)


def test_unknown_names_and_missing_words(lab: Lab) -> None:
    pair = Pair(lab, advert_s=0.2)
    done = pair.run("step-down", "V2")
    assert done.returncode == 1
    assert "no vrrp_instance or vrrp_sync_group is named 'V2'; there are: V1" in done.stderr
    assert pair.run("step-down").returncode == 2
    assert "is no time" in pair.run("step-down", "V1", "--for", "soon").stderr
    assert pair.holders() == [LEAVER]


@pytest.mark.parametrize("how", ["stop", "step-down"])
def test_a_fault_in_the_middle_takes_the_addresses_off_at_once(lab: Lab, how: str) -> None:
    """Nobody else is there: without the fault they would stay for 2 s, or for good."""
    number = lab.dir / "number"
    number.write_text("0\n")
    number.chmod(0o644)
    text = conf.global_defs("@pykeepalived handover on") + conf.block(
        "vrrp_track_file f", [f"file {number}"], ""
    )
    text += conf.instance(
        priority=150, advert_int=1, addresses=[f"{VIP}/16"], extra=["track_file {", "f weight 0", "}"]
    )
    daemon = lab.daemon(LEAVER, ours(), text, FLAGS).start()
    wire = lab.observer()
    wait_until(lambda: VIP in lab.addresses(LEAVER), 30, "master")
    wait_until(lambda: daemon.worker_pid("script"), 5, "the file is watched")
    time.sleep(1.0)
    since = time.time()
    if how == "stop":
        daemon.terminate()
    else:
        lab.spawn(LEAVER, *ours().argv, "step-down", "--all", "--run-dir", str(daemon.folder / "run"))
    wire.await_advert(5, since, active=False)
    assert VIP in lab.addresses(LEAVER)
    number.write_text("1\n")
    broken_at = time.time()
    wait_until(lambda: VIP not in lab.addresses(LEAVER), 3, "they are off")
    assert time.time() - broken_at < 1.0
    wait_until(lambda: "no hand-over: file f holds 1" in daemon.log_text(), 5, "and the log says why")
    if how == "stop":
        assert daemon.wait(10) == 0
    else:
        time.sleep(2.0)
        assert VIP not in lab.addresses(LEAVER)
        number.write_text("0\n")
        wait_until(lambda: VIP in lab.addresses(LEAVER), 10, "alone it serves again")


@pytest.mark.parametrize("how", ["stop", "step-down"])
@pytest.mark.parametrize("victim", ["vrrp", "supervisor", "bus"])
def test_killed_in_the_middle_there_is_one_holder_in_the_end(lab: Lab, victim: str, how: str) -> None:
    """And what is dead answers no longer than its janitor needs."""
    pair = Pair(lab, advert_s=1.0)
    daemon = pair.daemons[LEAVER]
    since = time.time()
    command = None
    if how == "stop":
        daemon.terminate()
    else:
        command = lab.spawn(
            LEAVER, *ours().argv, "step-down", "--all", "--run-dir", str(daemon.folder / "run")
        )
    zero_at = pair.zero(since)
    assert pair.holders() == [LEAVER]
    pair.kill(victim)
    killed_at = time.time()
    heir = pair.wire.await_advert(5, zero_at, src=lab.address(HEIR), active=True)
    assert heir.at - zero_at < 1.5
    wait_until(lambda: pair.holders() == [HEIR], 1, "one holder")
    assert time.time() - max(heir.at, killed_at) < 1.0
    if command is not None:
        command.wait(15)
    pair.settles_to(HEIR)
