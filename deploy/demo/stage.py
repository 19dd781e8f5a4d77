"""The lab of one daemon: directors d1 and d2, web servers w1 and w2, a client c, on one segment.

With IPVS the virtual service is balanced by direct routing: the web servers hold the virtual address on
their loopback, where it answers no ARP. Without it the directors serve the page themselves, so that the
client of the virtual address is real in both cases.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
from types import TracebackType

from tests.lab import Daemon, Lab, Observer, Probe, conf
from tests.lab.programs import Program
from tests.lab.system import REPOSITORY

DIRECTORS = ("d1", "d2")
SERVERS = ("w1", "w2")
PRIORITY = {"d1": 150, "d2": 100}
VIRTUAL_ADDRESS = "10.100.1.1"
PORT = 80
VRID = 51
ADVERT_INT_S = 1.0
DELAY_LOOP_S = 1.0
CONNECT_TIMEOUT_S = 1.0
_SLOW = 2.0 if os.environ.get("PYKEEPALIVED_TEST_KERNEL") else 1.0
"""The test kernel has one slow CPU, and the clients take their share of it."""
PING_INTERVAL_S = 0.01 * _SLOW
REQUEST_INTERVAL_S = 0.025 * _SLOW
ANSWER_TIMEOUT_S = 0.9
"""Below the second after which TCP would send its SYN again: a request is not saved by that."""

_WEBSERVER = str(REPOSITORY / "tests/lab/webserver.py")


class Stage:
    """A lab in which one program plays both directors."""

    def __init__(
        self, program: Program, *, balancer: bool, configured: bool, logs: pathlib.Path | None
    ) -> None:
        self.program = program
        self.balancer = balancer
        self.configured = configured
        """Is the virtual service in the configuration? keepalived does not start with one without IPVS."""
        self.lab = Lab((*DIRECTORS, *SERVERS, "c"), keep_logs=logs)
        self.directors: dict[str, Daemon] = {}
        self.wire: Observer
        self.pings: Probe
        self.requests: Probe
        self._pages: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Stage:
        self.lab.__enter__()
        for server in SERVERS:
            self.lab.sysctl(server, {"ipv4/conf/all/arp_ignore": "1", "ipv4/conf/all/arp_announce": "2"})
            self.lab.ip(server, "addr", "add", f"{VIRTUAL_ADDRESS}/32", "dev", "lo")
            self.serve(server)
        for director in DIRECTORS:
            self.prepare_director(director)
        self.wire = self.lab.observer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lab.__exit__(kind, error, trace)

    # --- hosts --------------------------------------------------------------------------------------

    def serve(self, node: str) -> None:
        """Start a node's web server."""
        self._pages[node] = self.lab.spawn(
            node, sys.executable, "-I", "-S", _WEBSERVER, node, str(PORT), log=f"{node}.log"
        )

    def kill_server(self, node: str) -> float:
        at = time.time()
        self._pages[node].kill()
        self._pages[node].wait()
        return at

    def prepare_director(self, node: str) -> None:
        self.lab.sysctl(node, {"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0"})
        if not self.balancer:
            self.serve(node)

    def start_director(self, node: str) -> Daemon:
        self.directors[node] = self.lab.daemon(node, self.program, self.config(node)).start()
        return self.directors[node]

    def config(self, node: str) -> str:
        """keepalived.conf of a director."""
        text = conf.global_defs("vrrp_garp_master_delay 1", router_id=node) + conf.instance(
            vrid=VRID,
            priority=PRIORITY[node],
            advert_int=ADVERT_INT_S,
            addresses=[f"{VIRTUAL_ADDRESS}/16"],
            extra=["nopreempt"],
        )
        if not self.configured:
            return text
        check = conf.tcp_check(timeout_s=CONNECT_TIMEOUT_S)
        servers = [conf.real_server(str(self.lab.address(server)), PORT, check) for server in SERVERS]
        return text + conf.virtual_server(VIRTUAL_ADDRESS, PORT, servers, delay_loop_s=DELAY_LOOP_S)

    def start_clients(self) -> None:
        self.pings = self.lab.probe("c", "icmp", VIRTUAL_ADDRESS, PING_INTERVAL_S, ANSWER_TIMEOUT_S)
        self.requests = self.lab.probe(
            "c", "http", f"{VIRTUAL_ADDRESS}:{PORT}", REQUEST_INTERVAL_S, ANSWER_TIMEOUT_S
        )

    def listening(self) -> bool:
        """Do both directors have their VRRP socket open?"""
        return all(daemon.vrrp_pid() for daemon in self.directors.values())

    def stop_clients(self) -> None:
        for probe in (self.pings, self.requests):
            probe.stop()

    # --- sight ------------------------------------------------------------------------------------

    def node_of(self, address: object) -> str | None:
        """The director whose own address this is."""
        for director in DIRECTORS:
            if self.lab.address(director) == address:
                return director
        return None

    def master(self) -> str | None:
        """Who speaks as master on the wire now."""
        advert = self.wire.master(time.time())
        return self.node_of(advert.src) if advert is not None else None

    def counters(self) -> str:
        """One short piece of the live line."""
        if not hasattr(self, "requests"):
            return "starting"
        return (
            f"master {self.master() or '-'}, {self.requests.answered} requests answered, "
            f"{self.requests.lost} lost"
        )
