"""The whole daemon: what the firewall keeps out is gone with the daemon, or with its next start."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.lab import Daemon, Lab, conf, reach
from tests.lab.programs import ours
from tests.lab.system import in_netns, wait_until
from vrrp_proc.firewall import NftSocket

if os.geteuid():
    pytest.skip("needs root (network namespaces)", allow_module_level=True)

VIP = "10.100.1.1"


def config(*global_lines: str) -> str:
    return conf.global_defs(*global_lines) + conf.instance(
        priority=100, advert_int=0.2, addresses=[f"{VIP}/16"]
    )


def tables(lab: Lab) -> list[str]:
    with in_netns(lab.ns("n1")):
        asked = NftSocket()
    return [table.name for table in asked.tables()]


def signal_worker(daemon: Daemon, number: int) -> None:
    wait_until(daemon.vrrp_pid, 15, "a worker")
    pid = daemon.vrrp_pid()
    assert pid, "it has just gone"
    os.kill(pid, number)


def test_after_the_death_of_everything_and_a_start_without_need_nothing_is_left() -> None:
    with Lab(("n1", "c")) as lab:
        daemon = lab.daemon("n1", ours(), config("vrrp_strict", "nftables edge")).start()
        wait_until(lambda: VIP in lab.addresses("n1"), 30, "master")
        assert tables(lab) == ["edge"]
        assert not reach.echoes(lab, "c", VIP, 0.5)
        signal_worker(daemon, signal.SIGSTOP)  # else it leaves cleanly while the supervisor dies
        lab.kill_node("n1")
        assert tables(lab) == ["edge"]
        daemon.config_file.write_text(config())
        daemon.start()
        wait_until(lambda: tables(lab) == [], 30, "nothing left")
        assert reach.echoes(lab, "c", VIP, 15)


@pytest.mark.parametrize("supervisor_dies", [False, True], ids=["stopped", "supervisor killed"])
def test_an_end_takes_the_table_along(supervisor_dies: bool) -> None:
    with Lab(("n1", "c")) as lab:
        daemon = lab.daemon("n1", ours(), config("vrrp_strict")).start()
        wait_until(lambda: VIP in lab.addresses("n1"), 30, "master")
        assert tables(lab) == ["keepalived"]
        os.kill(daemon.parent_pid, signal.SIGKILL if supervisor_dies else signal.SIGTERM)
        wait_until(lambda: tables(lab) == [], 15, "nothing left")
        assert VIP not in lab.addresses("n1")
        daemon.wait()


def test_killing_only_the_worker_lets_nobody_in() -> None:
    with Lab(("n1", "c")) as lab:
        daemon = lab.daemon("n1", ours(), config("vrrp_strict")).start()
        wait_until(lambda: VIP in lab.addresses("n1"), 30, "master")
        probe = lab.probe("c", "icmp", VIP, 0.002, 0.3)
        for _round in range(3):
            signal_worker(daemon, signal.SIGKILL)
            time.sleep(0.7)
        assert [answer for answer in probe.stop() if answer.ok] == []
        assert tables(lab) == ["keepalived"]
        daemon.terminate()
        daemon.wait()
        assert tables(lab) == []
