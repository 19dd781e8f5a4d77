"""The supervisor's side of the bus, as far as tests need it: listeners, control channel, epochs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import zmq

from bus.client import Publisher, boottime
from bus.codec import loads_message
from bus.messages import ROLES, BusRefused
from worker.control import (
    TO_SUPERVISOR,
    Apply,
    Channel,
    Epoch,
    Heartbeat,
    Message,
    Mirror,
    Peer,
    Prepare,
    Report,
    Stop,
    make_slice,
)

ROOT = Path(__file__).resolve().parents[3]


def until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Wait for something that must come; the bound is for a broken test, not for the figure."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout_s} s: {what}"
        time.sleep(0.002)


class Bench:
    """One run directory; a broker that can be killed and started again."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.epoch = 0
        self.peers: dict[str, int] = {}
        self.publishers: list[Publisher] = []
        self.reports: list[BusRefused] = []
        self.heartbeats = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None
        names = {f"listen:in.{role}": f"in.{role}" for role in ROLES if role != "supervisor"}
        self.listeners: dict[str, socket.socket] = {}
        for name, file in (names | {"listen:out": "out"}).items():
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(run_dir / file))
            listener.listen(128)
            self.listeners[name] = listener

    def endpoint(self, name: str) -> str:
        return f"ipc://{self.run_dir / name}"

    def start(self) -> None:
        """A new broker under a new epoch; publishers are told, as the supervisor does."""
        self.epoch += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: listener.fileno() for name, listener in self.listeners.items()}
        given = {
            "control": theirs.fileno(),
            "kept": kept,
            "run_dir": str(self.run_dir),
            "incarnation": self.epoch,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.bus.broker_child", json.dumps(given)],
            pass_fds=[theirs.fileno(), *kept.values()],
            cwd=ROOT,
            stderr=(self.run_dir / "broker.log").open("ab"),
        )
        theirs.close()
        self.channel = Channel(ours, TO_SUPERVISOR)
        for role, pid in self.peers.items():
            self.channel.send(Peer(role=role, pid=pid))
        self.channel.send(Epoch(epoch=self.epoch))
        fd = make_slice("bus", b"")
        self.channel.send(Prepare(generation=1), fd)
        os.close(fd)
        self.channel.send(Apply(generation=1))
        for publisher in self.publishers:
            publisher.announce(self.epoch)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.channel is not None
        self.channel.close()

    def stop(self) -> int:
        """A clean stop; the exit status."""
        assert self.process is not None
        self.say(Stop())
        return self.process.wait(timeout=20)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def say(self, message: Message) -> None:
        assert self.channel is not None
        self.channel.send(message)

    def mirror(self, payload: bytes) -> None:
        self.say(Mirror(payload=payload))

    def name(self, role: str, pid: int) -> None:
        self.peers[role] = pid
        if self.channel is not None:
            self.say(Peer(role=role, pid=pid))

    def publisher(self, role: str, incarnation: int = 1) -> Publisher:
        """A publisher in this process, named to the broker."""
        self.name(role, os.getpid())
        made = Publisher(
            self.context, role=role, incarnation=incarnation, endpoint=self.endpoint(f"in.{role}")
        )
        if self.epoch:
            made.announce(self.epoch)
        self.publishers.append(made)
        return made

    def listen(self) -> None:
        """Read what the broker tells the supervisor."""
        assert self.channel is not None
        for message in self.channel.receive():
            if isinstance(message, Report):
                report = loads_message(message.payload)
                assert isinstance(report, BusRefused)
                self.reports.append(report)
            self.heartbeats += isinstance(message, Heartbeat)

    def refused(self, why: str, timeout_s: float = 20.0) -> BusRefused:
        """Wait for the report of a refusal."""

        def found() -> bool:
            self.listen()
            return any(why in report.why for report in self.reports)

        until(found, f"no report about {why!r}: {self.reports}", timeout_s)
        return next(report for report in self.reports if why in report.why)

    def drain(self, *publishers: Publisher, timeout_s: float = 30.0) -> None:
        """Until the publishers have handed over all they have."""

        def empty() -> bool:
            return not any(
                publisher.pump(boottime()) or publisher.outbox.peek(boottime()) is not None
                for publisher in publishers
            )

        until(empty, "the broker does not take the messages", timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for publisher in self.publishers:
            publisher.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        if self.channel is not None:
            self.channel.close()
        for listener in self.listeners.values():
            listener.close()
        self.context.destroy(linger=0)
