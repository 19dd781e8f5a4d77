"""Nodes, cables and switches: network namespaces joined by bridges."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Any

from tests.lab.daemons import Daemon
from tests.lab.netlink import AddressWatch
from tests.lab.observer import Observer
from tests.lab.probes import Probe
from tests.lab.programs import Program
from tests.lab.system import NETNS_DIR, in_netns, pids_in_netns, run, send_signal

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
_numbers = itertools.count(1)

_ALWAYS = {"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0"}
_NO_IPV6 = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}
_QUIET_IPV6 = {  # addresses usable at once and nothing said that nobody asked for
    f"ipv6/conf/{which}/{knob}": "0"
    for which in ("all", "default")
    for knob in ("accept_dad", "accept_ra", "autoconf", "router_solicitations", "disable_ipv6")
}


def _scratch() -> pathlib.Path:
    """Where the folders of labs are: in memory if possible, as a daemon's run directory is in earnest."""
    shm = pathlib.Path("/dev/shm")
    return shm if os.access(shm, os.W_OK) else pathlib.Path(tempfile.gettempdir())


class Lab:
    """Nodes joined by bridges in a namespace of their own, the switch.

    Segment k (from 0) is bridge ``br<k>``; node i (from 1, in the order given) has interface ``e<k>`` with
    MAC 02:0a:<k>:00:00:<i>, 10.<100+k>.0.<i>/16 and, with ``ipv6``, fe80::<i>/64 and fd00:<100+k>::<i>/64.
    The namespaces are called ``<prefix>-<node>`` (the switch: ``<prefix>-sw``); ``ip netns exec
    <prefix>-n1 sh`` is a shell in one of them. ``keep`` leaves everything as it is at the end. Several
    labs may live side by side in one process, each used by one thread at a time.
    """

    def __init__(
        self,
        nodes: Sequence[str] = ("n1", "n2", "c"),
        *,
        segments: int = 1,
        ipv6: bool = False,
        prefix: str | None = None,
        keep: bool = False,
        keep_logs: pathlib.Path | None = None,
    ) -> None:
        self.nodes = tuple(nodes)
        self.segments = segments
        self.ipv6 = ipv6
        self.prefix = prefix or f"pk{os.getpid()}x{next(_numbers)}"
        self.keep = keep
        self.keep_logs = keep_logs
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.prefix}-", dir=_scratch()))
        self.dir.chmod(0o711)  # daemons that drop privileges reach their own folder
        self.daemons: list[Daemon] = []
        self._names: list[str] = []
        self._children: list[subprocess.Popen[str]] = []
        self._probes: list[Probe] = []
        self._observers: list[Observer] = []
        self._watches: list[AddressWatch] = []

    # --- life -------------------------------------------------------------------------------------

    def __enter__(self) -> Lab:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep:
            self.close()

    def _build(self) -> None:
        run("ip", "netns", "add", self.ns("sw"))
        self._names.append(self.ns("sw"))
        self.sysctl("sw", _ALWAYS | _NO_IPV6)
        lines = ["link set lo up"]
        for k in range(self.segments):
            lines += [
                f"link add br{k} type bridge forward_delay 0 mcast_snooping 0",
                f"link set br{k} up",
            ]
        self._batch("sw", lines)
        for node in self.nodes:
            self._add_node(node)
        time.sleep(0.1)  # carrier and bridge ports settle

    def _add_node(self, node: str) -> None:
        run("ip", "netns", "add", self.ns(node))
        self._names.append(self.ns(node))
        self.sysctl(node, _ALWAYS | (_QUIET_IPV6 if self.ipv6 else _NO_IPV6))
        i = self.nodes.index(node) + 1
        at_switch, at_node = [], ["link set lo up"]
        for k in range(self.segments):
            port = self.port(node, k)
            mac = f"02:0a:{k:02x}:00:00:{i:02x}"
            at_switch += [
                f"link add {port} type veth peer name e{k} address {mac} netns {self.ns(node)}",
                f"link set {port} master br{k} up",
            ]
            at_node += [f"link set e{k} addrgenmode none"] if self.ipv6 else []
            at_node += [f"link set e{k} up", f"addr add 10.{100 + k}.0.{i}/16 brd + dev e{k}"]
            if self.ipv6:
                at_node += [
                    f"addr add fe80::{i}/64 dev e{k} nodad",
                    f"addr add fd00:{100 + k}::{i}/64 dev e{k} nodad",
                ]
        self._batch("sw", at_switch)
        self._batch(node, at_node)

    def _batch(self, node: str, lines: Sequence[str]) -> None:
        run("ip", "-n", self.ns(node), "-batch", "-", stdin="\n".join(lines) + "\n")

    def close(self) -> None:
        """Take everything down; on the main thread an end signal waits until that is done."""
        signals = {signal.SIGTERM, signal.SIGINT}
        masked = threading.current_thread() is threading.main_thread()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals) if masked else set()
        try:
            self._tear_down()
        finally:
            if masked:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _tear_down(self) -> None:
        for probe in self._probes:
            probe.abandon()
        for observer in self._observers:
            observer.close()
        for watch in self._watches:
            watch.close()
        for child in self._children:
            child.kill()
        for name in self._names:
            for _round in range(20):  # a supervisor may fork between the look and the kill
                pids = pids_in_netns(name)
                if not pids:
                    break
                send_signal(pids, signal.SIGKILL)
                time.sleep(0.01)
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
        for daemon in self.daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if daemon.process is not None:
                    daemon.process.wait(5)
        for name in self._names:
            run("ip", "netns", "del", name, check=False)
        self._names.clear()
        if self.keep_logs is not None:
            target = self.keep_logs / self.dir.name
            shutil.copytree(self.dir, target, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    @staticmethod
    def remove(prefix: str) -> bool:
        """Take down a lab that was kept, known by its prefix; False when there is none."""
        names = [path.name for path in NETNS_DIR.glob(f"{prefix}-*")]
        for name in names:
            for _round in range(20):
                pids = pids_in_netns(name)
                if not pids:
                    break
                send_signal(pids, signal.SIGKILL)
                time.sleep(0.01)
            run("ip", "netns", "del", name, check=False)
        for folder in _scratch().glob(f"{prefix}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        return bool(names)

    # --- names and addresses ----------------------------------------------------------------------

    def ns(self, node: str) -> str:
        """Name of a node's network namespace."""
        return f"{self.prefix}-{node}"

    @staticmethod
    def port(node: str, segment: int = 0) -> str:
        """The switch's end of a node's cable."""
        return f"{node}-{segment}"

    def address(self, node: str, segment: int = 0) -> IPv4Address:
        return IPv4Address(f"10.{100 + segment}.0.{self.nodes.index(node) + 1}")

    def address6(self, node: str, segment: int = 0) -> IPv6Address:
        return IPv6Address(f"fd00:{100 + segment}::{self.nodes.index(node) + 1}")

    def link_local(self, node: str) -> IPv6Address:
        return IPv6Address(f"fe80::{self.nodes.index(node) + 1}")

    def mac(self, node: str, dev: str = "e0") -> str:
        links: list[dict[str, Any]] = json.loads(run("ip", "-n", self.ns(node), "-j", "link", "show", dev))
        return str(links[0]["address"])

    def addresses(self, node: str, dev: str | None = None) -> set[str]:
        """Every address that is on a node (or one interface of it) now, as text without prefix."""
        device = ["dev", dev] if dev else []
        links: list[dict[str, Any]] = json.loads(
            run("ip", "-n", self.ns(node), "-j", "addr", "show", *device)
        )
        return {entry["local"] for link in links for entry in link.get("addr_info", ()) if "local" in entry}

    # --- deeds ------------------------------------------------------------------------------------

    def sysctl(self, node: str, knobs: Mapping[str, str]) -> None:
        """Write /proc/sys/net knobs in a node; one that this kernel lacks is passed over."""
        with in_netns(self.ns(node)):
            for knob, value in knobs.items():
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    pathlib.Path("/proc/sys/net", knob).write_text(value)

    def ip(self, node: str, *argv: str) -> str:
        """``ip -n NODE ...``"""
        return run("ip", "-n", self.ns(node), *argv)

    def set_link(self, node: str, dev: str, *, up: bool) -> float:
        """Set a link up or down by ioctl; returns the instant just before the call."""
        with in_netns(self.ns(node)):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            request = struct.pack("16sH14x", dev.encode(), 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
            flags = flags | IFF_UP if up else flags & ~IFF_UP
            at = time.time()
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", dev.encode(), flags))
            return at

    def cut(self, node: str, segment: int = 0) -> float:
        """Pull a node's cable at the switch; returns the instant just before."""
        return self.set_link("sw", self.port(node, segment), up=False)

    def plug(self, node: str, segment: int = 0) -> float:
        """Put the cable back in."""
        return self.set_link("sw", self.port(node, segment), up=True)

    def kill_node(self, node: str) -> float:
        """SIGKILL every process of a node; returns the instant just before."""
        at = time.time()
        # Stopped first: a host that dies leaves nobody the time to see another one die.
        send_signal(pids_in_netns(self.ns(node)), signal.SIGSTOP)
        for _round in range(20):
            pids = pids_in_netns(self.ns(node))
            if not pids:
                break
            send_signal(pids, signal.SIGKILL)
            time.sleep(0.002)
        for daemon in self.daemons:
            if daemon.node == node and daemon.process:
                daemon.process.wait(10)
        return at

    def reboot(self, node: str) -> None:
        """Bring a node back as a host comes back: nothing of its processes, addresses or tables is left."""
        self.kill_node(node)
        for k in range(self.segments):
            run("ip", "-n", self.ns("sw"), "link", "del", self.port(node, k))
        run("ip", "netns", "del", self.ns(node))
        self._names.remove(self.ns(node))
        self._add_node(node)

    def spawn(self, node: str, *argv: str, log: str | None = None) -> subprocess.Popen[str]:
        """Start a command in a node (it ends with the lab); output to a file of the lab's folder."""
        with open(self.dir / log if log else os.devnull, "ab") as output:
            child = subprocess.Popen(
                ["ip", "netns", "exec", self.ns(node), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                cwd=self.dir,
            )
        self._children.append(child)
        return child

    def daemon(self, node: str, program: Program, config: str, flags: str | None = None) -> Daemon:
        """A director's daemon on a node, not yet started."""
        folder = self.dir / f"{node}-{len(self.daemons)}"
        daemon = Daemon(node, self.ns(node), program, config, folder, flags)
        self.daemons.append(daemon)
        return daemon

    def observer(self, segment: int = 0) -> Observer:
        """Watch a segment from the switch."""
        observer = Observer(self.ns("sw"), f"br{segment}")
        self._observers.append(observer)
        return observer

    def address_watch(self, node: str) -> AddressWatch:
        """Collect a node's address changes from now on."""
        watch = AddressWatch(self.ns(node))
        self._watches.append(watch)
        return watch

    def probe(self, node: str, kind: str, target: str, interval_s: float, timeout_s: float = 0.9) -> Probe:
        """Start a client on a node; ``kind`` is icmp, arp or http (see ``probes``)."""
        probe = Probe(self.ns(node), kind, target, interval_s, timeout_s)
        self._probes.append(probe)
        return probe
