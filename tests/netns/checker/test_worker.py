"""The whole worker process: control channel, black box, bus, real servers; killed and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from bus import envelope
from bus.codec import dumps
from bus.envelope import Begin, Change, End
from bus.messages import CheckState, HealthChanged
from checker_proc.ledger import Ledger
from keepalived_conf.model import Check, CheckerSlice, GlobalDefs
from tests.lab.system import in_netns
from tests.netns.checker.servers import closed_port
from tests.unit.checker.builders import http, tcp
from worker import control
from worker.blackbox import BlackBox
from worker.control import (
    Applied,
    Apply,
    Channel,
    ControlClosed,
    Epoch,
    Heartbeat,
    Hello,
    Message,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Stop,
    make_slice,
)

ROOT = Path(__file__).resolve().parents[3]


class Worker:
    """One incarnation, and what it has said so far."""

    def __init__(self, rig: Rig, incarnation: int) -> None:
        self.rig = rig
        self.said: list[Message] = []
        self.control: Channel
        self.control, theirs = control.pair()
        command = [sys.executable, "-m", "tests.netns.checker.worker_main", str(theirs.fileno())]
        command += [str(rig.box_fd), rig.endpoint, str(incarnation), str(rig.folder)]
        self.log_path = rig.folder / f"log.{incarnation}"
        with self.log_path.open("wb") as log_file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, pass_fds=(theirs.fileno(), rig.box_fd), stderr=log_file
            )
        theirs.close()

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def prepare(self, generation: int, *checks: Check, raw: bytes | None = None) -> None:
        wanted = CheckerSlice(globals=GlobalDefs(), checks=checks)
        fd = make_slice("slice", raw if raw is not None else dumps(wanted))
        self.control.send(Prepare(generation=generation), fd)
        os.close(fd)

    def configure(self, generation: int, *checks: Check, epoch: int | None = None) -> None:
        """As the supervisor does it: epoch, prepare and apply back to back."""
        if epoch is not None:
            self.control.send(Epoch(epoch=epoch))
        self.prepare(generation, *checks)
        self.control.send(Apply(generation=generation, phase="full"))
        self.rig.until(lambda: any(m == Applied(generation=generation, phase="full") for m in self.said))

    def listen(self) -> None:
        with contextlib.suppress(ControlClosed):
            self.said += self.control.receive()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.control.close()


class Rig:
    """Supervisor and broker of the tests: a box, an ingress, and everything that came in by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.box_fd = BlackBox.create("checker", records=4)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.ingress: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.endpoint = f"ipc://{folder}/in.checker"
        self.ingress.bind(self.endpoint)
        self.heard: list[envelope.Envelope] = []
        self.workers: list[Worker] = []

    def start(self) -> Worker:
        worker = Worker(self, len(self.workers) + 1)
        self.workers.append(worker)
        return worker

    def until(self, true: Callable[[], object], timeout_s: float = 20) -> None:
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, f"not within {timeout_s:g} s; heard {self.heard[-5:]}"
            if self.ingress.poll(10):
                self.heard.append(envelope.decode(self.ingress.recv_multipart()[-1]))
            for worker in self.workers:
                if not worker.control.closed:
                    worker.listen()

    def quiet(self, for_s: float) -> None:
        end = time.monotonic() + for_s
        self.until(lambda: time.monotonic() >= end)

    def state(self, check: Check) -> CheckState | None:
        """The record as the bus has it now."""
        found: CheckState | None = None
        for change in self.heard:
            if isinstance(change, Change) and change.key == check.check_id:
                assert change.message is None or isinstance(change.message, CheckState)
                found = change.message
        return found

    def is_up(self, check: Check) -> bool | None:
        state = self.state(check)
        return None if state is None else state.up

    def changes(self, since: int = 0) -> list[HealthChanged]:
        return [
            change.message
            for change in self.heard[since:]
            if isinstance(change, Change) and isinstance(change.message, HealthChanged)
        ]

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.context.destroy(linger=0)
        os.close(self.box_fd)


@pytest.fixture
def rig(netns: str, tmp_path: Path) -> Iterator[Rig]:
    with in_netns(netns):
        rig = Rig(tmp_path)
        try:
            yield rig
        finally:
            rig.close()


@pytest.fixture
def server(netns: str) -> Iterator[socket.socket]:
    with in_netns(netns), socket.create_server(("127.0.0.1", 0), backlog=512) as sock:
        yield sock


def quick(check: Check, **changes: object) -> Check:
    settings = {"delay_loop_s": 0.2, "warmup_s": 0.1, "delay_before_retry_s": 0.1, "connect_timeout_s": 2.0}
    return replace(check, **{**settings, **changes})  # type: ignore[arg-type]


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_a_worker_checks_and_tells(rig: Rig, server: socket.socket) -> None:
    good = quick(tcp(1, connect_port=port_of(server)))
    bad = quick(tcp(2, connect_port=closed_port()))
    alpha = quick(tcp(3, connect_port=port_of(server), alpha=True))
    worker = rig.start()
    worker.configure(1, good, bad, alpha, epoch=7)
    rig.until(lambda: rig.is_up(bad) is False and rig.is_up(alpha) is True)
    rig.until(lambda: len(rig.changes()) == 2)
    assert rig.is_up(good) is True
    by_id = {change.check_id: change for change in rig.changes()}
    assert by_id[bad.check_id].reason == "connect refused, first check"
    assert by_id[alpha.check_id].up
    state = rig.state(bad)
    assert state is not None
    assert state.last_result.startswith("connect refused")
    assert abs(state.since_wall_at - time.time()) < 30
    said = [type(message) for message in worker.said]
    assert said[0] is Hello
    assert said.index(Prepared) < said.index(Applied) < said.index(Ready)
    rig.until(lambda: [type(m) for m in worker.said].count(Heartbeat) >= 3)


def test_it_announces_only_a_complete_set(rig: Rig, server: socket.socket) -> None:
    """An epoch told before the configuration must not withdraw every record."""
    checks = [quick(tcp(number, connect_port=port_of(server))) for number in (1, 2, 3)]
    worker = rig.start()
    worker.control.send(Epoch(epoch=7))
    rig.until(lambda: any(isinstance(message, Hello) for message in worker.said))
    rig.quiet(0.5)
    assert not [heard for heard in rig.heard if isinstance(heard, Begin | End)]
    worker.configure(1, *checks)
    rig.until(lambda: any(isinstance(heard, End) for heard in rig.heard))
    (end,) = [heard for heard in rig.heard if isinstance(heard, End)]
    assert (end.epoch, end.rows) == (7, 3)
    worker.control.send(Epoch(epoch=8))
    rig.until(lambda: [h.rows for h in rig.heard if isinstance(h, End) and h.epoch == 8] == [3])


def test_a_server_dies_and_comes_back(rig: Rig, server: socket.socket) -> None:
    port = port_of(server)
    check = quick(tcp(1, connect_port=port), retry=2)
    rig.start().configure(1, check, epoch=7)
    rig.until(lambda: (state := rig.state(check)) and state.last_check_at)
    server.close()
    rig.until(lambda: rig.is_up(check) is False)
    with socket.create_server(("127.0.0.1", port)):
        rig.until(lambda: rig.is_up(check) is True)
        rig.until(lambda: len(rig.changes()) == 2)
    down, up = rig.changes()
    assert down.reason == "connect refused, attempt 3 of 3"
    assert up.reason.startswith("connected after ")


def test_killed_and_started_again_nothing_changes(rig: Rig, server: socket.socket) -> None:
    good = quick(tcp(1, connect_port=port_of(server)))
    bad = quick(tcp(2, connect_port=closed_port()))
    failing = quick(tcp(3, connect_port=port_of(server)), retry=1, delay_loop_s=60.0)
    seldom = quick(http(4, connect_port=closed_port(), urls=3), delay_loop_s=3600.0, warmup_s=3600.0)
    checks = (good, bad, failing, seldom)
    rig.start().configure(1, *checks, epoch=7)
    rig.until(lambda: rig.is_up(bad) is False)
    rig.until(lambda: (state := rig.state(failing)) and state.last_check_at)
    rig.until(lambda: len(rig.changes()) == 1)
    before = {check.check_id: rig.state(check) for check in checks}
    for _ in range(3):
        rig.workers[-1].kill()
        heard = len(rig.heard)
        worker = rig.start()
        worker.configure(1, *checks, epoch=7)
        rig.until(lambda since=heard: any(isinstance(h, End) for h in rig.heard[since:]))  # type: ignore[misc]
        rig.quiet(0.6)
        assert rig.changes(heard) == []
        for check in checks:
            state, old = rig.state(check), before[check.check_id]
            assert state is not None
            assert old is not None
            assert (state.up, state.since_at) == (old.up, old.since_at)
        state, old = rig.state(seldom), before[seldom.check_id]
        assert state is not None
        assert old is not None
        assert state.next_check_at == old.next_check_at
    assert not [h for h in rig.heard if isinstance(h, Change) and h.op == "del"]


def test_failures_counted_before_the_kill_count_after_it(rig: Rig, server: socket.socket) -> None:
    port = port_of(server)
    check = quick(tcp(1, connect_port=port), retry=2, delay_before_retry_s=1.5)
    rig.start().configure(1, check, epoch=7)
    rig.until(lambda: (state := rig.state(check)) and state.last_check_at)
    server.close()
    for failures in (1, 2):
        rig.until(lambda n=failures: (state := rig.state(check)) and state.attempts_failed == n)  # type: ignore[misc]
        rig.workers[-1].kill()
        rig.start().configure(1, check, epoch=7)
    rig.until(rig.changes)
    assert [change.reason for change in rig.changes()] == ["connect refused, attempt 3 of 3"]


def test_a_reload_keeps_adds_and_removes(rig: Rig, server: socket.socket) -> None:
    kept = quick(tcp(1, connect_port=closed_port()))
    removed = quick(tcp(2, connect_port=port_of(server)))
    added = quick(tcp(3, connect_port=port_of(server)), alpha=True)
    worker = rig.start()
    worker.configure(1, kept, removed, epoch=7)
    rig.until(lambda: rig.is_up(kept) is False)
    since = rig.state(kept)
    worker.configure(2, kept, added)
    rig.until(lambda: rig.is_up(added) is True)
    assert rig.state(removed) is None
    now = rig.state(kept)
    assert since is not None
    assert now is not None
    assert now.since_at == since.since_at
    box = BlackBox.attach(rig.box_fd)
    kept_in_box = Ledger(box.records).load(box.read)
    box.close()
    assert len(kept_in_box) == 2


def test_what_cannot_be_run_is_refused_with_its_place(rig: Rig, server: socket.socket) -> None:
    check = quick(tcp(1, connect_port=port_of(server)))
    worker = rig.start()
    worker.configure(1, check, epoch=7)
    worker.prepare(2, raw=b"\xc1 no slice")
    worker.prepare(3, replace(http(5), urls=()))
    rig.until(lambda: sum(isinstance(message, Refused) for message in worker.said) == 2)
    first, second = [message for message in worker.said if isinstance(message, Refused)]
    assert "generation 2" in first.reason
    assert "HTTP_GET has no url" in second.reason
    heard = len(rig.heard)
    rig.until(lambda: any(isinstance(h, Change) for h in rig.heard[heard:]), 30)  # still at work


@pytest.mark.parametrize("how", ["stop", "supervisor gone"])
def test_it_leaves_cleanly_in_the_middle_of_attempts(rig: Rig, how: str) -> None:
    slow = [
        replace(
            quick(tcp(number), connect_timeout_s=30.0),
            connect_ip=type(tcp().connect_ip)("192.0.2.66"),
        )
        for number in range(1, 9)
    ]
    worker = rig.start()
    worker.configure(1, *slow, epoch=7)
    rig.quiet(0.5)
    heard = len(rig.changes())
    if how == "stop":
        worker.control.send(Stop())
    else:
        worker.control.close()
    assert worker.process.wait(10) == 0
    assert len(rig.changes()) == heard == 0
    (last,) = [line for line in worker.log() if line["event"] == "checker.stopped"]
    assert last["supervisor_gone"] == (how != "stop")


def test_more_checks_than_the_box_has_room_for(rig: Rig, server: socket.socket) -> None:
    checks = [quick(tcp(number, connect_port=port_of(server))) for number in range(1, 30)]
    worker = rig.start()
    worker.configure(1, *checks, epoch=7)
    rig.until(lambda: all((s := rig.state(check)) and s.last_check_at for check in checks))
    (full,) = [line for line in worker.log() if line["event"] == "checker.box_full"]
    assert full["room"] == 20
    assert full["checks"] == 29


def test_the_log_says_why(rig: Rig, server: socket.socket) -> None:
    marked = quick(tcp(1, connect_port=port_of(server), fwmark=5))
    pattern = quick(http(2, connect_port=closed_port()))
    pattern = replace(pattern, urls=(replace(pattern.urls[0], regex="(oops"),))
    worker = rig.start()
    worker.configure(1, marked, pattern, epoch=7)
    rig.until(lambda: len(rig.changes()) == 1)
    rig.until(lambda: (state := rig.state(marked)) and state.last_check_at)
    events = {str(line["event"]): line for line in worker.log()}
    assert events["checker.bad_regex"]["effect"] == "the URL is judged without it"
    assert events["check.down"]["reason"] == "connect refused (/0), first check"
    # No capability was granted: the check is left unjudged, its server keeps its state.
    assert events["checker.capability_missing"]["keyword"] == "fwmark"
    assert events["check.unjudged"]["reason"] == "cannot set fwmark: operation not permitted"
    assert rig.is_up(marked) is True
