"""A client, a virtual address, two real servers and a sorry server on real IPVS, with the whole daemon.

After each step the table that ipvsadm prints is the one the configuration and the servers' health ask for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipvs_proc.model import Entry, ServiceKey
from tests.kernel import ipvsadm
from tests.lab import Daemon, Lab, programs
from tests.lab.system import wait_until
from tests.unit.ipvs.builders import destination, entry, fwmark, key, service, table

VIP = "10.100.0.100"
WEB = Path(__file__).resolve().parents[1] / "lab/webserver.py"
DELAY_LOOP_S, CONNECT_TIMEOUT_S, DELAY_BEFORE_RETRY_S = 1, 1, 1
DOWN_WITHIN_S = DELAY_LOOP_S + 2 * CONNECT_TIMEOUT_S + DELAY_BEFORE_RETRY_S
UP_WITHIN_S = DELAY_LOOP_S + CONNECT_TIMEOUT_S
SLACK_S = 4.0
"""The test kernel has one slow CPU and shares it with everybody."""
START_S = 60.0


class Site:
    """Director d, real servers r1 and r2, sorry server s, client c; segment 0 outside, 1 inside."""

    def __init__(self, lab: Lab, method: str) -> None:
        self.lab, self.method = lab, method
        self.web: dict[str, subprocess.Popen[str]] = {}
        self.inside = {node: str(lab.address(node, 1)) for node in ("r1", "r2", "s")}
        lab.ip("d", "addr", "add", f"{VIP}/32", "dev", "e0")
        lab.sysctl("d", {"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0"})
        lab.set_link("c", "e1", up=False)
        for node in self.inside:
            getattr(self, f"_{method.lower()}")(node)
            self.serve(node)

    def _nat(self, node: str) -> None:
        """Answers go back through the director."""
        self.lab.set_link(node, "e0", up=False)
        self.lab.ip(node, "route", "add", "default", "via", str(self.lab.address("d", 1)))

    def _dr(self, node: str) -> None:
        """Answers go straight to the client; the address is on lo and never announced."""
        self.lab.sysctl(node, {"ipv4/conf/all/arp_ignore": "1", "ipv4/conf/all/arp_announce": "2"})
        self.lab.ip(node, "addr", "add", f"{VIP}/32", "dev", "lo")

    def _tun(self, node: str) -> None:
        self._dr(node)
        self.lab.ip(node, "link", "set", "tunl0", "up")
        self.lab.sysctl(node, {"ipv4/conf/tunl0/rp_filter": "0"})

    def serve(self, node: str) -> None:
        self.web[node] = self.lab.spawn(node, sys.executable, "-I", "-S", str(WEB), node, "80")

    def stop_serving(self, *nodes: str) -> float:
        """Kill web servers; returns the instant before."""
        at = time.time()
        for node in nodes:
            # `ip netns exec` has replaced itself by the server, so this is its pid.
            self.web[node].kill()
            self.web[node].wait(5)
        return at

    def config(self, *, quorum: int = 1, extra: str = "") -> str:
        servers = "".join(
            f"""
    real_server {self.inside[node]} 80 {{
        TCP_CHECK {{ connect_timeout {CONNECT_TIMEOUT_S} }}
    }}"""
            for node in ("r1", "r2")
        )
        return f"""
global_defs {{
    router_id LAB
}}
virtual_server {VIP} 80 {{
    delay_loop {DELAY_LOOP_S}
    delay_before_retry {DELAY_BEFORE_RETRY_S}
    lvs_sched rr
    lvs_method {self.method}
    protocol TCP
    quorum {quorum}
    sorry_server {self.inside["s"]} 80{servers}
}}
{extra}
"""

    def wanted(self, *nodes: str) -> dict[ServiceKey, Entry]:
        servers = (destination(self.inside[node], method=self.method) for node in nodes)
        return table(entry(service(key(VIP), "rr"), *servers))

    def now(self) -> dict[ServiceKey, Entry]:
        return ipvsadm.table(self.lab.ns("d"))

    def await_table(self, *nodes: str, within_s: float) -> float:
        """Wait until the kernel has just these servers; returns the instant when it was seen."""
        wanted = self.wanted(*nodes)
        try:
            wait_until(lambda: self.now() == wanted, within_s, f"table {nodes}", step_s=0.05)
        except TimeoutError as error:
            raise AssertionError(f"{error}; it is {self.now()}\n{self.daemon.log_text()[-3000:]}") from None
        return time.time()

    def start(self, config: str, flags: str | None = None) -> Daemon:
        self.daemon = self.lab.daemon("d", programs.ours(), config, flags).start()
        return self.daemon

    def reload(self, config: str) -> None:
        self.daemon.config_file.write_text(config)
        os.kill(self.daemon.parent_pid, signal.SIGHUP)

    def ask(self, seconds: float) -> Counter[str]:
        """What a client gets for a while: name of the server -> answers; lost ones under their error."""
        probe = self.lab.probe("c", "http", f"{VIP}:80", 0.1, 2.0)
        time.sleep(seconds)
        return Counter(answer.who if answer.ok else f"lost: {answer.error}" for answer in probe.stop())

    def replace_worker(self, role: str) -> None:
        """SIGKILL a worker and wait for its successor."""
        pid = wait_until(lambda: self.daemon.worker_pid(role), 20, f"{role} to live")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.daemon.worker_pid(role) not in (None, pid), 30, f"a new {role}")

    def events(self) -> str:
        return self.daemon.log_text()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(("d", "r1", "r2", "s", "c"), segments=2) as lab:
        yield lab


@pytest.mark.parametrize("method", ["NAT", "DR", "TUN"])
def test_requests_are_balanced(lab: Lab, method: str) -> None:
    site = Site(lab, method)
    site.start(site.config())
    site.await_table("r1", "r2", within_s=START_S)
    got = site.ask(4)
    assert set(got) == {"r1", "r2"}
    assert abs(got["r1"] - got["r2"]) <= 2, got  # round robin, but for the checks


def test_a_service_heals(lab: Lab) -> None:
    site = Site(lab, "NAT")
    site.start(site.config())
    site.await_table("r1", "r2", within_s=START_S)
    assert set(site.ask(2)) == {"r1", "r2"}

    # one dies: out within delay_loop + timeouts, and no request fails afterwards
    killed_at = site.stop_serving("r1")
    gone_at = site.await_table("r2", within_s=DOWN_WITHIN_S + SLACK_S)
    assert gone_at - killed_at < DOWN_WITHIN_S + SLACK_S
    assert set(site.ask(3)) == {"r2"}

    # it comes back
    site.serve("r1")
    site.await_table("r1", "r2", within_s=UP_WITHIN_S + SLACK_S)
    assert set(site.ask(2)) == {"r1", "r2"}

    # both die: the sorry server, alone
    site.stop_serving("r1", "r2")
    site.await_table("s", within_s=DOWN_WITHIN_S + SLACK_S)
    assert set(site.ask(2)) == {"s"}
    site.serve("r2")
    site.await_table("r2", within_s=UP_WITHIN_S + SLACK_S)
    assert set(site.ask(2)) == {"r2"}
    site.serve("r1")
    site.await_table("r1", "r2", within_s=UP_WITHIN_S + SLACK_S)

    # a quorum of 2, by reload: the loss of one is the loss of quorum
    site.reload(site.config(quorum=2))
    wait_until(
        lambda: '"generation": 2, "phase": "removals"' in site.events(), 30, "the reload to be applied"
    )
    assert site.now() == site.wanted("r1", "r2")
    site.stop_serving("r2")
    site.await_table("s", within_s=DOWN_WITHIN_S + SLACK_S)
    assert set(site.ask(2)) == {"s"}
    site.serve("r2")
    site.await_table("r1", "r2", within_s=UP_WITHIN_S + SLACK_S)

    # a clean stop takes ours away and nothing else
    ipvsadm.ipvsadm("-A", "-t", "10.100.0.200:443", "-s", "rr", netns=lab.ns("d"))
    site.daemon.terminate()
    assert site.daemon.wait(30) == 0
    assert list(site.now()) == [key("10.100.0.200", 443)]


def test_killed_workers_cost_nothing(lab: Lab) -> None:
    site = Site(lab, "NAT")
    site.start(site.config())
    site.await_table("r1", "r2", within_s=START_S)
    site.stop_serving("r1")
    site.await_table("r2", within_s=DOWN_WITHIN_S + SLACK_S)
    probe = lab.probe("c", "http", f"{VIP}:80", 0.1, 2.0)
    watch = site.events().count("ipvs.server_")
    for role in ("ipvs", "checker", "bus", "ipvs"):
        site.replace_worker(role)
        time.sleep(2)
        assert site.now() == site.wanted("r2"), role
    answers = probe.stop()
    assert Counter(a.who if a.ok else a.error for a in answers).keys() == {"r2"}
    assert site.events().count("ipvs.server_") == watch, "a restart changed the table"
    # and it still works
    site.serve("r1")
    site.await_table("r1", "r2", within_s=UP_WITHIN_S + SLACK_S)


def test_the_table_survives_the_supervisor_and_is_adopted(lab: Lab) -> None:
    site = Site(lab, "NAT")
    gone = f"""
virtual_server {VIP} 8080 {{
    lvs_sched rr
    protocol TCP
    real_server {site.inside["r1"]} 80 {{ }}
}}
"""
    first = site.start(site.config(extra=gone))
    both = {
        **site.wanted("r2"),
        key(VIP, 8080): entry(service(key(VIP, 8080)), destination(site.inside["r1"], 80)),
    }
    site.stop_serving("r1")
    wait_until(lambda: site.now() == both, START_S, "the table without r1", step_s=0.1)
    os.kill(first.parent_pid, signal.SIGKILL)
    wait_until(lambda: not first.pids(), 20, "the workers to leave")
    assert site.now() == both
    assert set(site.ask(2)) == {"r2"}
    # The configuration has changed meanwhile: what only we had made goes, the rest is adopted.
    site.daemon = Daemon("d", lab.ns("d"), programs.ours(), site.config(), lab.dir / "again", None)
    lab.daemons.append(site.daemon)
    argv = site.daemon.argv
    for flag in ("-p", "-r", "-c", "-b", "--run-dir"):  # the same instance: the same files
        argv[argv.index(flag) + 1] = first.argv[first.argv.index(flag) + 1]
    site.daemon.start()
    site.await_table("r2", within_s=START_S)
    changes = [line for line in site.events().splitlines() if "ipvs.server_added" in line]
    assert changes == []
    site.serve("r1")
    site.await_table("r1", "r2", within_s=UP_WITHIN_S + SLACK_S)


def test_foreign_changes_are_repaired(lab: Lab) -> None:
    site = Site(lab, "NAT")
    site.start(site.config())
    site.await_table("r1", "r2", within_s=START_S)
    ns = lab.ns("d")
    server = f"{site.inside['r1']}:80"
    ipvsadm.ipvsadm("-A", "-f", "99", "-s", "wlc", netns=ns)
    ipvsadm.ipvsadm("-e", "-t", f"{VIP}:80", "-r", server, "-m", "-w", "7", netns=ns)
    foreign = table(entry(service(fwmark(99), "wlc")))
    wanted = {**site.wanted("r1", "r2"), **foreign}
    wait_until(lambda: site.now() == wanted, 10 + SLACK_S, "the weight to be mended")
    ipvsadm.ipvsadm("-C", netns=ns)
    site.await_table("r1", "r2", within_s=10 + SLACK_S)
    assert "ipvs.repaired" in site.events()


def test_lvs_flush_on_stop_and_dont_release(lab: Lab) -> None:
    site = Site(lab, "NAT")
    site.start(site.config(), "-n -l -D -I")
    site.await_table("r1", "r2", within_s=START_S)
    site.daemon.terminate()
    assert site.daemon.wait(30) == 0
    assert site.now() == site.wanted("r1", "r2")
    ipvsadm.ipvsadm("-A", "-f", "99", "-s", "wlc", netns=lab.ns("d"))
    config = site.config().replace("router_id LAB", "router_id LAB\n    lvs_flush_on_stop")
    site.start(config)
    wait_until(lambda: "supervisor.ready" in site.events(), START_S, "ready")
    site.daemon.terminate()
    assert site.daemon.wait(30) == 0
    assert site.now() == {}
