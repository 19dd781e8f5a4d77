"""The script worker alone: a control channel, a black box, and everything it says on its ingress."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import zmq

from bus import envelope
from bus.codec import dumps
from bus.envelope import Change
from bus.messages import TrackerChanged, TrackerState
from keepalived_conf.model import GlobalDefs, ScriptSlice, VrrpScript
from tests.unit.script.builders import vrrp_script
from worker import control
from worker.blackbox import BlackBox
from worker.control import Applied, Apply, Channel, ControlClosed, Epoch, Message, Prepare, Stop, make_slice

ROOT = Path(__file__).resolve().parents[3]


class Worker:
    """One incarnation, and what it has said so far."""

    def __init__(self, rig: Rig, incarnation: int) -> None:
        self.rig = rig
        self.said: list[Message] = []
        self.control: Channel
        self.control, theirs = control.pair()
        command = [sys.executable, "-m", "tests.netns.script.worker_main", str(theirs.fileno())]
        command += [
            str(rig.box_fd),
            rig.endpoint,
            f"ipc://{rig.folder}/out",
            str(incarnation),
            str(rig.folder),
        ]
        self.log_path = rig.folder / f"log.{incarnation}"
        with self.log_path.open("wb") as log_file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, pass_fds=(theirs.fileno(), rig.box_fd), stderr=log_file
            )
        theirs.close()

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def prepare(self, generation: int, wanted: ScriptSlice | bytes) -> None:
        fd = make_slice("slice", wanted if isinstance(wanted, bytes) else dumps(wanted))
        self.control.send(Prepare(generation=generation), fd)
        os.close(fd)

    def configure(self, generation: int, wanted: ScriptSlice, *, epoch: int | None = None) -> None:
        """As the supervisor does it: epoch, prepare and apply back to back."""
        if epoch is not None:
            self.control.send(Epoch(epoch=epoch))
        self.prepare(generation, wanted)
        self.control.send(Apply(generation=generation, phase="full"))
        self.rig.until(lambda: any(m == Applied(generation=generation, phase="full") for m in self.said))

    def listen(self) -> None:
        with contextlib.suppress(ControlClosed):
            self.said += self.control.receive()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.control.close()

    def stop(self, timeout_s: float = 20) -> int:
        self.control.send(Stop())
        return self.process.wait(timeout_s)


class Rig:
    """Supervisor and broker of the tests."""

    def __init__(self, folder: Path, *, records: int = 64) -> None:
        self.folder = folder
        self.box_fd = BlackBox.create("script", records=records)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.ingress: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.endpoint = f"ipc://{folder}/in.script"
        self.ingress.bind(self.endpoint)
        self.heard: list[envelope.Envelope] = []
        self.workers: list[Worker] = []

    def start(self, wanted: ScriptSlice | None = None) -> Worker:
        worker = Worker(self, len(self.workers) + 1)
        self.workers.append(worker)
        if wanted is not None:
            worker.configure(1, wanted, epoch=7)
        return worker

    def until(self, true: Callable[[], object], timeout_s: float = 30) -> None:
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, f"not within {timeout_s:g} s; heard {self.heard[-5:]}"
            self.read(10)
            for worker in self.workers:
                if not worker.control.closed:
                    worker.listen()

    def read(self, timeout_ms: int = 0) -> None:
        while self.ingress.poll(timeout_ms):
            self.heard.append(envelope.decode(self.ingress.recv_multipart()[-1]))
            timeout_ms = 0

    def quiet(self, for_s: float) -> None:
        end = time.monotonic() + for_s
        self.until(lambda: time.monotonic() >= end, for_s + 30)

    def states(self, name: str, kind: str = "script", since: int = 0) -> Iterator[TrackerState]:
        for change in self.heard[since:]:
            if (
                isinstance(change, Change)
                and isinstance(change.message, TrackerState)
                and (change.message.tracker_kind, change.message.name) == (kind, name)
            ):
                yield change.message

    def state(self, name: str, kind: str = "script") -> TrackerState | None:
        """The record as the bus has it now."""
        found: TrackerState | None = None
        for change in self.heard:
            if isinstance(change, Change) and change.key == f"{kind}:{name}":
                assert change.message is None or isinstance(change.message, TrackerState)
                found = change.message
        return found

    def value(self, name: str, kind: str = "script") -> int | None:
        state = self.state(name, kind)
        return None if state is None else state.value

    def changes(self, since: int = 0) -> list[TrackerChanged]:
        return [
            change.message
            for change in self.heard[since:]
            if isinstance(change, Change) and isinstance(change.message, TrackerChanged)
        ]

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.context.destroy(linger=0)
        os.close(self.box_fd)


def slice_of(*scripts: VrrpScript) -> ScriptSlice:
    return ScriptSlice(globals=GlobalDefs(), scripts=scripts)


class Script:
    """A shell script of a test: its text, how it is tracked, what it has noted."""

    def __init__(self, folder: Path, name: str, text: str) -> None:
        self.name = name
        self.flag = folder / f"{name}.bad"
        self.notes_file = folder / f"{name}.notes"
        self.path = folder / f"{name}.sh"
        head = f"#!/bin/sh\nexport NAME={name} BAD={self.flag} NOTES={self.notes_file}\n"
        self.path.write_text(head + text)
        self.path.chmod(0o755)

    def tracked(self, **changes: object) -> VrrpScript:
        settings = {"interval_s": 0.2, "timeout_s": 2.0}
        return vrrp_script(self.name, str(self.path), **{**settings, **changes})

    def notes(self) -> list[str]:
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    def be(self, good: bool) -> None:
        if good:
            self.flag.unlink(missing_ok=True)
        else:
            self.flag.touch()
