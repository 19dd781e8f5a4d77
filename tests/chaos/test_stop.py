"""A vrrp worker that hangs or dies while it is told to stop: nobody comes after it, and its addresses go."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from supervisor.operator import OperatorError
from tests.chaos.pairs import VIP, Pair, fence_s, pair_config, stalls
from tests.lab import conf
from tests.lab.system import wait_until

HUNG_S = 1.2
"""Silence of a worker that hangs (docs/supervisor.md)."""
SLACK_S = 0.7
"""For what a busy host adds: two processes are started, one of them a janitor."""


def configs(handover: str) -> tuple[str, str]:
    first, second = (pair_config(priority, 1.0, balancer=False) for priority in (150, 100))
    return first.replace("global_defs {", f"global_defs {{\n    @pykeepalived handover {handover}", 1), second


def stop_it(pid: int) -> float:
    at = time.time()
    os.kill(pid, signal.SIGSTOP)
    return at


def test_a_master_that_hangs_is_fenced_at_a_stop() -> None:
    """Not after child_wait_time: by then the other one has been master for long."""
    with Pair(1.0, configs=configs("off")) as pair:
        daemon = pair.daemons["n1"]
        last = pair.observer.await_advert(5, time.time(), src="10.100.0.1").at
        hung_at = stop_it(pair.pid("n1", "vrrp"))
        daemon.terminate()
        wait_until(lambda: VIP not in pair.lab.addresses("n1"), 10, "the address is gone")
        gone_at = time.time()
        stalled = stalls.longest_s(hung_at, gone_at)
        assert gone_at - hung_at < HUNG_S + SLACK_S + stalled, pair.log("n1")[-3000:]
        zeros = pair.observer.adverts(hung_at, gone_at, src="10.100.0.1", active=False)
        assert zeros, pair.log("n1")[-3000:]
        assert zeros[0].at - last < fence_s(1.0) + stalled
        first = pair.observer.await_advert(3, zeros[0].at, src="10.100.0.2")
        assert first.at - zeros[0].at < conf.skew_s(100, 1.0) + 0.1 + stalls.longest_s(zeros[0].at, first.at)
        assert daemon.wait(5) == 0
        assert pair.holders() == {"n2"}
        assert '"process.hung"' in daemon.log_text()


def test_one_that_hangs_in_the_middle_of_a_hand_over_does_not_keep_the_addresses() -> None:
    with Pair(1.0, configs=configs("on")) as pair:
        daemon = pair.daemons["n1"]
        vrrp = pair.pid("n1", "vrrp")
        since = daemon.terminate()
        zero = pair.observer.await_advert(3, since, src="10.100.0.1", active=False)
        hung_at = stop_it(vrrp)
        assert VIP in pair.lab.addresses("n1"), "this host is too slow for the test"
        wait_until(lambda: pair.holders() == {"n2"}, 10, "the other one alone has the address")
        gone_at = time.time()
        stalled = stalls.longest_s(hung_at, gone_at)
        assert gone_at - hung_at < HUNG_S + SLACK_S + stalled, pair.log("n1")[-3000:]
        assert daemon.wait(5) == 0
        again = pair.observer.adverts(zero.at + 0.001, time.time(), src="10.100.0.1")
        assert again == [], "the other one is master: no word from us any more"


@pytest.mark.parametrize("how", ["hangs", "dies"])
def test_what_a_reload_without_instances_left_is_taken_off(how: str) -> None:
    """The daemon goes on; no vrrp worker comes that could do it."""
    with Pair(1.0, configs=configs("off")) as pair:
        daemon = pair.daemons["n1"]
        vrrp = pair.pid("n1", "vrrp")
        before = daemon.config_file.read_text()
        daemon.config_file.write_text(conf.global_defs())
        hung_at = stop_it(vrrp)
        daemon.signal(signal.SIGHUP)
        if how == "dies":
            wait_until(lambda: state(pair) == "stopping", 1, "it was told to stop")
            os.kill(vrrp, signal.SIGKILL)
        wait_until(lambda: VIP not in pair.lab.addresses("n1"), 10, "the address is gone")
        gone_at = time.time()
        stalled = stalls.longest_s(hung_at, gone_at)
        assert gone_at - hung_at < HUNG_S + SLACK_S + stalled, pair.log("n1")[-3000:]
        wait_until(lambda: state(pair) == "stopped", 5, "no vrrp worker any more")
        pair.observer.await_advert(5, hung_at, src="10.100.0.2")
        daemon.config_file.write_text(before)  # and it serves again when it is told to
        daemon.signal(signal.SIGHUP)
        pair.observer.await_advert(20, gone_at, src="10.100.0.1", priority=150)
        wait_until(lambda: pair.holders() == {"n1"}, 5, "master again")
        assert daemon.terminate() > 0
        assert daemon.wait(5) == 0
        assert VIP not in pair.lab.addresses("n1")


def state(pair: Pair) -> str:
    with contextlib.suppress(OperatorError):
        return str(pair.processes("n1")["vrrp"]["state"])
    return ""
