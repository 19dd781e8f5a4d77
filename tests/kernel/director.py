"""A director with VRRP and two real servers on real IPVS, and everything that watches it from outside.

What is watched, and by what:

    the IPVS table    read every 20 ms through our own adapter (``TableWatch``)
    orders to IPVS    every netlink request of the node, from an nlmon interface (``Tap``)
    addresses         the kernel's own notifications, and the requests in the same tap
    the segment       adverts and gratuitous ARP, from the switch
    clients           HTTP requests on new connections, and one connection that stays open
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen

from ipvs_proc import messages
from ipvs_proc.model import Entry, ServiceKey
from ipvs_proc.netlink import NetlinkIpvs
from ipvs_proc.port import read_table
from tests.kernel import ipvsadm
from tests.lab import Daemon, Lab, conf, programs
from tests.lab.system import in_netns, wait_until
from tests.unit.ipvs.builders import destination, entry, key, service, table

VIP = "10.100.1.1"
"""Held by VRRP."""
FIXED = "10.100.0.100"
"""Put on the director by hand: it stays when VRRP gives up its own."""
WEB_PORT, ECHO_PORT = 80, 7
START_S = 60.0
SLACK_S = 4.0
"""The test kernel has one slow CPU and shares it with everybody."""
REQUEST_EVERY_S, REQUEST_TIMEOUT_S = 0.1, 3.0

_WEB = Path(__file__).resolve().parents[1] / "lab/webserver.py"
_SERVERS = ("r1", "r2", "s")
_ROUTE, _GENERIC = 0, 16  # netlink protocols
_ETH_P_ALL = 3
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_ORDERS = {
    (_ROUTE, 20): "NEWADDR",
    (_ROUTE, 21): "DELADDR",
    (_GENERIC, messages.NEW_SERVICE): "NEW_SERVICE",
    (_GENERIC, messages.SET_SERVICE): "SET_SERVICE",
    (_GENERIC, messages.DEL_SERVICE): "DEL_SERVICE",
    (_GENERIC, messages.NEW_DEST): "NEW_DEST",
    (_GENERIC, messages.SET_DEST): "SET_DEST",
    (_GENERIC, messages.DEL_DEST): "DEL_DEST",
    (_GENERIC, messages.SET_CONFIG): "SET_CONFIG",
    (_GENERIC, messages.FLUSH): "FLUSH",
}

_REQUEST = 1  # NLM_F_REQUEST: to the kernel, not from it
# Classic BPF: keep what begins with a request (low byte of its flags on a little-endian machine).
_REQUESTS = ((0x30, 0, 0, 6), (0x45, 0, 1, _REQUEST), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))


class Tap:
    """Every netlink request in a node that changes addresses or IPVS, by name, in the order made."""

    def __init__(self, lab: Lab, node: str) -> None:
        lab.ip(node, "link", "add", "nlmon0", "type", "nlmon")
        lab.ip(node, "link", "set", "nlmon0", "up")
        with in_netns(lab.ns(node)):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            ipvs = NetlinkIpvs()
        self._ipvs = ipvs._family
        ipvs.close()
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
        blob = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _REQUESTS))
        program = struct.pack("HxxxxxxP", len(_REQUESTS), ctypes.addressof(blob))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.bind(("nlmon0", _ETH_P_ALL))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def take(self) -> list[str]:
        """The orders since the last call. An overrun is a failure: nothing may have been missed."""
        orders: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, (_, protocol, *_rest) = self._socket.recvfrom(65536)
                orders += self._orders(protocol, data)
        _, dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert not dropped, f"{dropped} netlink messages were not seen"
        return orders

    def _orders(self, protocol: int, data: bytes) -> list[str]:
        found: list[str] = []
        offset = 0
        while offset + 16 <= len(data):
            length, kind, flags = struct.unpack_from("=IHH", data, offset)
            if length < 16 or not flags & _REQUEST:
                break
            if protocol == _GENERIC:
                kind = data[offset + 16] if kind == self._ipvs and length > 16 else -1
            if (protocol, kind) in _ORDERS:
                found.append(_ORDERS[protocol, kind])
            offset += (length + 3) & ~3
        return found


class TableWatch:
    """Reads a node's IPVS table again and again; keeps each reading that differs from the one before."""

    INTERVAL_S = 0.02

    def __init__(self, netns: str) -> None:
        with in_netns(netns):
            self._port = NetlinkIpvs()
        self.readings = 0
        self.longest_gap_s = 0.0
        self._seen: list[tuple[float, dict[ServiceKey, Entry]]] = [(time.time(), read_table(self._port))]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ending.wait(self.INTERVAL_S):
            found = read_table(self._port)
            now = time.monotonic()
            self.readings += 1
            self.longest_gap_s, before = max(self.longest_gap_s, now - before), now
            if found != self._seen[-1][1]:
                self._seen.append((time.time(), found))

    @property
    def now(self) -> dict[ServiceKey, Entry]:
        """The last reading."""
        return self._seen[-1][1]

    def changes(self, since: float) -> list[dict[ServiceKey, Entry]]:
        """Readings after ``since`` that differed from the one before."""
        assert self._thread.is_alive(), "the watch has died"
        return [found for at, found in self._seen if at > since]

    def close(self) -> None:
        self._ending.set()
        self._thread.join(5)
        self._port.close()


class Conversation:
    """One TCP connection that stays open: what is said comes back, from one and the same real server."""

    def __init__(self, netns: str, address: str) -> None:
        with in_netns(netns):
            self._socket = socket.create_connection((address, ECHO_PORT), timeout=5)
        self.who = self._socket.recv(16).decode()
        self._said = 0

    def say(self) -> None:
        """Say something and hear it back; OSError (timed out, reset) when the connection is lost."""
        self._said += 1
        text = f"{self._said:08}".encode()
        self._socket.sendall(text)
        heard = b""
        while len(heard) < len(text):
            heard += self._socket.recv(64) or text[:0]
            assert heard, "the connection was closed"
        assert heard == text

    def close(self) -> None:
        self._socket.close()


def _echo(listener: socket.socket, name: str) -> None:
    """Serve until the listener is closed: greets with its name, then says everything back."""

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(name.encode())
            while data := connection.recv(4096):
                connection.sendall(data)

    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=one, args=(connection,), daemon=True).start()


class Director:
    """Director d, real servers r1, r2 and s (spare), client c; segment 0 outside, 1 inside; NAT."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.inside = {node: str(lab.address(node, 1)) for node in _SERVERS}
        self.web: dict[str, Popen[str]] = {}
        self._echoes: list[socket.socket] = []
        lab.ip("d", "addr", "add", f"{FIXED}/32", "dev", "e0")
        lab.sysctl("d", {"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0"})
        lab.set_link("c", "e1", up=False)
        for node in _SERVERS:
            lab.set_link(node, "e0", up=False)
            lab.ip(node, "route", "add", "default", "via", str(lab.address("d", 1)))
            self.serve(node)
            with in_netns(lab.ns(node)):
                listener = socket.create_server(("", ECHO_PORT), backlog=128)
            self._echoes.append(listener)
            threading.Thread(target=_echo, args=(listener, node), daemon=True).start()
        self.tap = Tap(lab, "d")
        self.watch = TableWatch(lab.ns("d"))
        self.observer = lab.observer()
        self.addresses = lab.address_watch("d")

    def close(self) -> None:
        self.watch.close()
        self.tap.close()
        for listener in self._echoes:
            listener.close()

    # --- real servers --------------------------------------------------------------------------

    def serve(self, node: str) -> None:
        self.web[node] = self.lab.spawn(node, sys.executable, "-I", "-S", str(_WEB), node, str(WEB_PORT))

    def stop_serving(self, node: str) -> None:
        # `ip netns exec` has replaced itself by the server, so this is its pid.
        self.web[node].kill()
        self.web[node].wait(5)

    # --- the daemon ----------------------------------------------------------------------------

    def config(
        self,
        weights: dict[str, int] | None = None,
        *,
        scheduler: str = "rr",
        retry: int = 1,
        advert_int: float = 0.3,
        options: Sequence[str] = (),
    ) -> str:
        """``weights``: real servers of the web service on the VIP. Another one serves echo on ``FIXED``.

        A short ``advert_int`` saves each start most of the wait for other masters.
        """

        def servers(port: int, found: dict[str, int]) -> list[str]:
            check = conf.tcp_check(retry=retry)
            return [conf.real_server(self.inside[n], port, check, weight=w) for n, w in found.items()]

        text = conf.global_defs("vrrp_garp_master_delay 1", *options)
        text += conf.instance(priority=150, advert_int=advert_int, addresses=[f"{VIP}/16"])
        both = {"r1": 1, "r2": 1}
        web = servers(WEB_PORT, both if weights is None else weights)
        text += conf.virtual_server(VIP, WEB_PORT, web, scheduler=scheduler, method="NAT")
        text += conf.virtual_server(FIXED, ECHO_PORT, servers(ECHO_PORT, both), method="NAT")
        return text

    def wanted(
        self,
        weights: dict[str, int] | None = None,
        *,
        scheduler: str = "rr",
        echo: Sequence[str] = ("r1", "r2"),
    ) -> dict[ServiceKey, Entry]:
        """The table of a configuration."""
        both = {"r1": 1, "r2": 1}
        web = (both if weights is None else weights).items()
        return table(
            entry(
                service(key(VIP, WEB_PORT), scheduler),
                *(destination(self.inside[node], WEB_PORT, weight=weight) for node, weight in web),
            ),
            entry(
                service(key(FIXED, ECHO_PORT), "rr"),
                *(destination(self.inside[node], ECHO_PORT) for node in echo),
            ),
        )

    def start(self, config: str, *, like: Daemon | None = None) -> Daemon:
        """Start a daemon and wait until it serves; ``like`` an earlier one: under the same PID files."""
        self.daemon = self.lab.daemon("d", programs.ours(), config)
        if like is not None:
            for flag in ("-p", "-r", "-c", "-b"):
                self.daemon.argv[self.daemon.argv.index(flag) + 1] = like.argv[like.argv.index(flag) + 1]
        began = time.time()
        self.daemon.start()
        self.await_log("supervisor.ready", START_S)
        self.observer.await_advert(START_S, began, active=True)
        wait_until(
            lambda: len(self.observer.garps(began)) >= 10, 15, "both bursts of gratuitous ARP", step_s=0.1
        )
        return self.daemon

    def log(self) -> str:
        return self.daemon.log_text()

    def await_log(self, text: str, within_s: float, *, times: int = 1) -> None:
        try:
            wait_until(lambda: self.log().count(text) >= times, within_s, f"log: {text}", step_s=0.05)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from None

    def await_table(self, wanted: dict[ServiceKey, Entry], within_s: float) -> None:
        try:
            wait_until(lambda: self.watch.now == wanted, within_s, "the table", step_s=0.02)
        except TimeoutError as error:
            raise AssertionError(f"{error}; it is {self.watch.now}\n{self.log()[-4000:]}") from None
        assert ipvsadm.table(self.lab.ns("d")) == wanted

    def pid(self, role: str) -> int:
        found = wait_until(lambda: self.daemon.worker_pid(role), 20, f"a {role} process")
        assert found is not None
        return found

    def hit(self, role: str, signum: int = signal.SIGKILL) -> int:
        """Signal the worker of a role; returns the pid that was hit."""
        pid = self.pid(role)
        os.kill(pid, signum)
        return pid

    def await_successor(self, role: str, pid: int) -> None:
        wait_until(lambda: self.daemon.worker_pid(role) not in (None, pid), 20, f"a new {role}")

    def reload(self, config: str) -> None:
        """SIGHUP with a new text, and wait until it is in force everywhere."""
        done = self.log().count('"reload.applied"')
        self.daemon.config_file.write_text(config)
        os.kill(self.daemon.parent_pid, signal.SIGHUP)
        self.await_log('"reload.applied"', 30, times=done + 1)

    # --- what it looks like from outside -------------------------------------------------------

    def holds(self) -> bool:
        """Whether the director has the VIP."""
        return VIP in self.lab.addresses("d")

    def counters(self) -> Counter[tuple[str, str]]:
        """(service, server) -> connections so far, as the kernel counts; server "" is the whole service."""
        found: Counter[tuple[str, str]] = Counter()
        current = ""
        for line in ipvsadm.ipvsadm("-Ln", "--stats", "--exact", netns=self.lab.ns("d")).splitlines():
            words = line.split()
            if words[0] in ("TCP", "UDP", "FWM"):
                current = words[1]
                found[current, ""] = int(words[2])
            elif words[0] == "->" and words[2:]:
                found[current, words[1]] = int(words[2])
        return found
