"""The VRRP worker alone in a namespace of the laboratory, with the test in the supervisor's place.

Keeps what a supervisor keeps (black box, stored sockets), forks incarnations, talks the control channel.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface
from typing import Any, Literal, TypeVar

from bus.codec import dumps
from keepalived_conf.model import GlobalDefs, VirtualAddress, VrrpInstance, VrrpSlice
from tests.lab import Lab
from tests.lab.system import in_netns
from tests.lab.wire import V4_GROUP, build_advert
from vrrp_proc import process
from worker import log
from worker.blackbox import BlackBox
from worker.context import Options, WorkerContext
from worker.control import (
    Applied,
    Apply,
    Channel,
    ControlClosed,
    Epoch,
    Message,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Stop,
    Store,
    Unstore,
    WorkerEnd,
    make_slice,
    pair,
)

M = TypeVar("M", bound=Message)


def vip(text: str, dev: str = "e0") -> VirtualAddress:
    return VirtualAddress(interface=ip_interface(text), dev=dev)


def instance(name: str = "VI", **given: Any) -> VrrpInstance:
    """An instance with the values that a parsed configuration would have."""
    addresses = given.pop("addresses", ("192.0.2.100/24",))
    excluded = given.pop("excluded", ())
    family: Literal[4, 6] = 6 if ip_address(addresses[0].split("/")[0]).version == 6 else 4
    values: dict[str, Any] = {
        "interface": "e0",
        "virtual_router_id": 51,
        "family": family,
        "version": 3,
        "state": "BACKUP",
        "priority": 100,
        "advert_int_cs": 100,
        "garp_master_delay_s": 0,
        "virtual_addresses": tuple(vip(text) for text in addresses),
        "virtual_addresses_excluded": tuple(vip(text) for text in excluded),
    }
    return VrrpInstance(name=name, **(values | given))


def send_advert(lab: Lab, node: str, priority: int) -> None:
    """One advert for VRID 51 from a node where nobody else speaks."""
    with in_netns(lab.ns(node)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    with sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        source = lab.address(node)
        mreqn = struct.pack("=4s4si", source.packed, source.packed, 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)
        data = build_advert(
            version=3,
            src=source,
            dst=V4_GROUP,
            vrid=51,
            priority=priority,
            interval_cs=100,
            addresses=[IPv4Address("192.0.2.100")],
        )
        sock.sendto(data, (str(V4_GROUP), 0))


class Worker:
    """One role's life over all its incarnations."""

    def __init__(self, lab: Lab, node: str, *instances: VrrpInstance, **globals_: Any) -> None:
        self.lab, self.node = lab, node
        # Nobody else is there in most tests: a stop would serve on for as long as it may.
        self.slice = VrrpSlice(globals=GlobalDefs(**({"handover": False} | globals_)), instances=instances)
        self.extra: dict[str, Any] = {}
        """Further fields of every slice: groups, delays, scripts."""
        self.box_fd = BlackBox.create("vrrp")
        self.box = BlackBox.attach(self.box_fd)
        self.kept: dict[str, int] = {}
        self.options = Options()
        self.incarnation = 0
        self.generation = 1
        self.pid = 0
        self.channel: Channel | None = None
        self.messages: list[Message] = []
        self.forked_at = 0.0

    # --- life -------------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> Worker:
        """Fork the next incarnation and give it the configuration."""
        self.fork()
        assert self.channel is not None
        self.channel.send(Epoch(epoch=1))
        self._configure()
        if wait:
            self.await_message(Ready)
        return self

    def fork(self) -> None:
        """The next incarnation, told nothing yet."""
        self.incarnation += 1
        self.channel, theirs = pair()
        self.messages.clear()
        gc.freeze()
        self.forked_at = time.time()
        self.pid = os.fork()
        if self.pid == 0:
            self._child(theirs)
        theirs.close()

    def _child(self, theirs: Any) -> None:
        status = 70
        try:
            assert self.channel is not None
            self.channel.close()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            out = os.open(self.lab.dir / f"{self.node}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            log.configure(level="debug", form="json")
            end = WorkerEnd(theirs, version="test", role="vrrp", incarnation=self.incarnation)
            ctx = WorkerContext(
                role="vrrp",
                incarnation=self.incarnation,
                control=end,
                box_fd=self.box_fd,
                kept_fds=dict(self.kept),
                run_dir=self.lab.dir,
                bus_ingress=f"ipc://{self.lab.dir}/in.vrrp",
                bus_out=f"ipc://{self.lab.dir}/out",
                options=self.options,
                capabilities=("NET_ADMIN", "NET_RAW"),
            )
            with in_netns(self.lab.ns(self.node)):
                process.main(ctx)
                status = 0
                os._exit(status)
        except BaseException:  # noqa: BLE001 - a forked child of pytest must never return into pytest
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(status)

    def _configure(self) -> None:
        assert self.channel is not None
        fd = make_slice("slice", dumps(replace(self.slice, **self.extra)))
        self.channel.send(Prepare(generation=self.generation), fd)
        os.close(fd)
        self.channel.send(Apply(generation=self.generation))

    def reload(self, *instances: VrrpInstance, **globals_: Any) -> None:
        """A new generation, applied."""
        given = {"handover": self.slice.globals.handover} | globals_
        self.slice = VrrpSlice(globals=GlobalDefs(**given), instances=instances)
        self.generation += 1
        self._configure()
        self.await_message(Applied, lambda m: m.generation == self.generation)

    def prepare_raw(self, payload: bytes) -> Message:
        """Send any bytes as a slice; the answer."""
        assert self.channel is not None
        fd = make_slice("slice", payload)
        self.channel.send(Prepare(generation=99), fd)
        os.close(fd)
        return self.await_any(lambda m: isinstance(m, Prepared | Refused) and m.generation == 99)

    def kill(self) -> float:
        """SIGKILL and reap; the instant just before."""
        at = time.time()
        os.kill(self.pid, signal.SIGKILL)
        self.pump()
        os.waitpid(self.pid, 0)
        self.pid = 0
        return at

    def signal(self, number: int) -> float:
        at = time.time()
        os.kill(self.pid, number)
        return at

    def stop(self, timeout_s: float = 5.0) -> float:
        """Stop cleanly; returns how long the process took to end, in seconds."""
        assert self.channel is not None
        at = time.monotonic()
        self.channel.send(Stop())
        return self._reap(at, timeout_s)

    def abandon(self, timeout_s: float = 5.0) -> float:
        """The supervisor dies: the channel closes. Returns how long the worker took to end."""
        assert self.channel is not None
        at = time.monotonic()
        self.channel.close()
        return self._reap(at, timeout_s)

    def _reap(self, since: float, timeout_s: float) -> float:
        pidfd = os.pidfd_open(self.pid)
        try:
            if not select.select([pidfd], [], [], timeout_s)[0]:
                raise TimeoutError(f"worker {self.pid} did not end within {timeout_s} s")
        finally:
            os.close(pidfd)
        took_s = time.monotonic() - since
        status = os.waitpid(self.pid, 0)[1]
        self.pid = 0
        assert status == 0, f"worker ended with status {status:#x}: {self.log()}"
        return took_s

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        for fd in self.kept.values():
            os.close(fd)
        self.kept.clear()
        if self.channel is not None:
            self.channel.close()
        self.box.close()
        os.close(self.box_fd)

    # --- control channel ----------------------------------------------------------------------------

    def pump(self, timeout_s: float = 0.0) -> None:
        """Take in what the worker says, as the supervisor would."""
        assert self.channel is not None
        if not select.select([self.channel], [], [], timeout_s)[0]:
            return
        try:
            found = self.channel.receive()
        except ControlClosed:
            return
        for message in found:
            if isinstance(message, Store | Unstore):
                old = self.kept.pop(message.name, None)
                if old is not None:
                    os.close(old)
            if isinstance(message, Store):
                self.kept[message.name] = message.fd
            self.messages.append(message)

    def await_any(self, fits: Callable[[Message], bool], timeout_s: float = 10.0) -> Message:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for message in self.messages:
                if fits(message):
                    return message
            self.pump(0.02)
        raise TimeoutError(f"not said within {timeout_s} s; log: {self.log()}")

    def await_message(
        self, kind: type[M], fits: Callable[[M], bool] = lambda _m: True, timeout_s: float = 10.0
    ) -> M:
        found = self.await_any(lambda m: isinstance(m, kind) and fits(m), timeout_s)
        assert isinstance(found, kind)
        return found

    def log(self) -> str:
        path = self.lab.dir / f"{self.node}.log"
        return path.read_text() if path.exists() else "(no log)"
