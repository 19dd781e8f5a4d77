"""Reloads under way: adverts go on in time, whatever the configuration costs to read."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from supervisor.operator import ask
from tests.lab import conf
from tests.lab.daemons import Daemon
from tests.lab.net import Lab
from tests.lab.observer import Observer
from tests.lab.programs import ours
from tests.lab.system import wait_until

VIP = "10.100.1.1"
ADVERT_S = 0.2
SERVERS = 2000
LATE_S = 0.25
"""How much later than due an advert may be on a noisy host; its master is down after three of them."""

ROUTER = conf.global_defs() + conf.instance(priority=150, advert_int=ADVERT_S, addresses=[f"{VIP}/16"])
BAD = ROUTER + "virtual_server 10.100.1.1 80 {\n    delay_loop\n}\n"


def with_servers(count: int) -> str:
    base = int(IPv4Address("10.101.0.1"))
    servers = [conf.real_server(str(IPv4Address(base + at)), 80, "") for at in range(count)]
    return ROUTER + conf.virtual_server(VIP, 80, servers)


class Site:
    def __init__(self, lab: Lab, config: str) -> None:
        self.lab = lab
        self.observer: Observer = lab.observer()
        self.daemon: Daemon = lab.daemon("n1", ours(), config, "-n -l -D -P").start()
        self.observer.await_advert(30, src="10.100.0.1")

    def status(self) -> dict[str, Any]:
        return ask(self.daemon.folder / "run" / "operator.sock", "status")

    def ended(self, number: int) -> dict[str, Any]:
        """The status when the attempt of that number is over."""

        def look() -> dict[str, Any]:
            found = self.status()
            over = found["reload"]["attempted"] >= number and found["reload"]["result"] != "running"
            return found if over else {}

        return wait_until(look, 40, f"reload {number}")

    def longest_gap_s(self, since: float, until: float) -> float:
        at = [one.at for one in self.observer.adverts(since=since, until=until, src="10.100.0.1")]
        assert len(at) > 3
        return max(later - earlier for earlier, later in itertools.pairwise(at))

    def records(self, event: str) -> list[dict[str, Any]]:
        lines = self.daemon.log_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one.get("event") == event]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


def test_a_reload_without_a_change_costs_no_advert(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(lab, with_servers(SERVERS))
    began = time.time()
    for number in (2, 3, 4):
        site.daemon.signal(signal.SIGHUP)
        status = site.ended(number)
        assert status["reload"]["result"] == "applied"
        assert {row["generation"] for row in status["processes"] if row["role"] == "vrrp"} == {number}
    took_s = (time.time() - began) / 3
    time.sleep(6 * ADVERT_S)
    gap_s = site.longest_gap_s(began, time.time())
    with capsys.disabled():
        print(f" [{SERVERS} real servers: reload {took_s:.2f} s, longest gap {gap_s * 1000:.0f} ms]", end="")
    assert gap_s < ADVERT_S + LATE_S
    assert [one["generation"] for one in site.records("vrrp.applied")] == [1], "vrrp was not disturbed"


@pytest.mark.parametrize("fault", ["crash", "eat"])
def test_a_parser_that_misbehaves_hurts_nobody(lab: Lab, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setenv("PYKEEPALIVED_FAULT", f"loader={fault}")
    site = Site(lab, ROUTER)
    before = {row["role"]: row["pid"] for row in site.status()["processes"]}
    began = time.time()
    site.daemon.signal(signal.SIGHUP)
    status = site.ended(2)
    assert (status["reload"]["result"], status["generation"]) == ("refused", 1)
    assert "could not be read" in status["reload"]["errors"][0]
    time.sleep(6 * ADVERT_S)
    assert site.longest_gap_s(began, time.time()) < ADVERT_S + LATE_S
    assert {row["role"]: row["pid"] for row in site.status()["processes"]} == before
    assert site.records("reload.refused")


def test_an_invalid_file_changes_nothing(lab: Lab) -> None:
    site = Site(lab, ROUTER)
    before = {row["role"]: row["pid"] for row in site.status()["processes"]}
    began = time.time()
    site.daemon.config_file.write_text(BAD)
    site.daemon.signal(signal.SIGHUP)
    status = site.ended(2)
    assert (status["reload"]["result"], status["generation"]) == ("refused", 1)
    assert "delay_loop: the argument is missing" in status["reload"]["errors"][0]
    time.sleep(6 * ADVERT_S)
    assert site.longest_gap_s(began, time.time()) < ADVERT_S + LATE_S
    assert {row["role"]: row["pid"] for row in site.status()["processes"]} == before
    assert VIP in {address.partition("/")[0] for address in lab.addresses("n1")}
