"""Tracked processes where the kernel tells nothing, or what a test lets it tell: real ones, real /proc."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from keepalived_conf.model import TrackProcess
from script_proc.proc_connector import Acknowledged, Connector, Lost, ProcessEvent, Told
from script_proc.proc_match import Rules
from script_proc.proc_quorum import Cause
from script_proc.procs import OurOwnFaultError, ProcessTable, ProcessTrackers
from tests.lab.system import wait_until

SLEEP = shutil.which("sleep") or "/bin/sleep"


class Zoo:
    """Processes of a name that nobody else has."""

    def __init__(self, folder: Path) -> None:
        self.name = f"zoo{os.getpid()}x{os.urandom(2).hex()}"[:15]
        self.program = folder / self.name
        self.program.symlink_to(SLEEP)
        self.animals: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        animal = subprocess.Popen([str(self.program), "60", *words])
        self.animals.append(animal)
        # A program runs for an instant before the kernel gives it its name.
        comm = Path(f"/proc/{animal.pid}/comm")
        wait_until(lambda: comm.read_text().strip() == self.name, 10, "a new process")
        return animal

    def end(self, *, wait: bool = True) -> subprocess.Popen[bytes]:
        animal = self.animals.pop()
        animal.kill()
        if wait:
            animal.wait()
        return animal

    def tracked(self, **options: Any) -> TrackProcess:
        return TrackProcess(**({"name": "zoo", "process": (self.name,)} | options))


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Zoo]:
    found = Zoo(tmp_path)
    yield found
    while found.animals:
        found.end()


class Kernel:
    """A connector that tells what the test says."""

    number = 5

    def __init__(self, *, answers: bool = True) -> None:
        self._mine, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._mine.setblocking(False)
        self.queue: list[Told] = []
        self.closed = False
        if answers:
            self.tell(Acknowledged(self.number))

    def tell(self, *told: Told) -> None:
        self.queue += told
        self._theirs.send(b"x")

    def fileno(self) -> int:
        return self._mine.fileno()

    def read(self, limit: int) -> tuple[list[Told], bool]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._mine.recv(1)
        told, self.queue = self.queue, []
        return told, False

    def more_room(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True
        self._mine.close()
        self._theirs.close()


def no_kernel(*_: object) -> Connector:
    raise OSError(111, "Connection refused")


class Bench:
    def __init__(self, connect: Callable[..., Any], **options: float) -> None:
        self.said: list[str] = []
        self.told: list[tuple[str, int, str]] = []
        self.trackers = ProcessTrackers(
            lambda *told: self.told.append(told), cast(Any, self), connect=connect, **options
        )

    def _say(self, event: str, **_: Any) -> None:
        self.said.append(event)

    debug = info = warning = error = _say

    def value(self, name: str = "zoo") -> int:
        return next((value for told, value, _ in reversed(self.told) if told == name), -1)

    async def until(self, value: int, text: str = "", timeout_s: float = 15.0) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self.value() != value or text not in self.told[-1][2]:
            assert loop.time() < end, f"not {value}: {self.told}"
            await asyncio.sleep(0.002)


def play(
    body: Callable[[Bench], Coroutine[Any, Any, None]],
    connect: Callable[..., Any] = no_kernel,
    **options: float,
) -> Bench:
    bench = Bench(connect, **({"scan_each_s": 0.02} | options))

    async def run() -> None:
        before = len(os.listdir("/proc/self/fd"))
        try:
            await asyncio.wait_for(body(bench), 60)
        finally:
            bench.trackers.close()
        assert len(os.listdir("/proc/self/fd")) <= before, "descriptors were leaked"

    asyncio.run(run())
    return bench


# --- without the kernel's help ---------------------------------------------------------------------


def test_processes_are_counted_by_their_short_name(zoo: Zoo) -> None:
    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(quorum=2),))
        assert bench.told == [("zoo", 0, "0 processes, wanted: at least 2")]
        zoo.start()
        zoo.start()
        await bench.until(1, "2 processes")
        zoo.end(wait=False)  # a zombie counts no more
        await bench.until(0, "1 process,")

    bench = play(body)
    assert bench.said == ["script.process_events_missing"]


def test_processes_are_counted_by_their_command_line(zoo: Zoo) -> None:
    program = str(zoo.program)

    async def body(bench: Bench) -> None:
        zoo.start("1")
        bench.trackers.apply(
            (
                zoo.tracked(name="short", process=(program,)),
                zoo.tracked(name="path", process=(program,), full_command=True),
                zoo.tracked(name="exact", process=(program, "60"), full_command=True, param_match="exact"),
                zoo.tracked(name="all", process=(program, "60", "1"), full_command=True, param_match="exact"),
                zoo.tracked(name="begin", process=(program, "6"), full_command=True, param_match="initial"),
            )
        )
        assert {name: value for name, value, _ in bench.told} == {
            "short": 0, "path": 1, "exact": 0, "all": 1, "begin": 1,
        }  # fmt: skip

    assert "script.process_never_matches" in play(body).said


def test_none_may_run(zoo: Zoo) -> None:
    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(quorum=0, quorum_max=0),))
        assert bench.value() == 1
        zoo.start()
        await bench.until(0)

    play(body)


def test_delays_are_kept(zoo: Zoo) -> None:
    async def body(bench: Bench) -> None:
        zoo.start()
        loop = asyncio.get_running_loop()
        bench.trackers.apply((zoo.tracked(terminate_delay_s=0.2),))
        assert bench.value() == 1
        ended_at = loop.time()
        zoo.end()
        await bench.until(0)
        assert loop.time() - ended_at >= 0.19

    play(body)


def test_a_restarted_worker_goes_on_with_the_delay(zoo: Zoo) -> None:
    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(terminate_delay_s=0.1),), held={"zoo": 1})
        assert bench.value() == 1
        await bench.until(0)

    play(body)


def test_a_look_at_all_in_parts_tells_when_it_is_done(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("script_proc.procs._FIRST_S", 0.0)
    monkeypatch.setattr("script_proc.procs._PART_S", 0.0)
    monkeypatch.setattr("script_proc.procs._PAUSE_S", 0.0)

    async def body(bench: Bench) -> None:
        zoo.start()
        bench.trackers.apply((zoo.tracked(),))
        assert not bench.told
        while not bench.told:
            await asyncio.sleep(0.001)
        assert bench.value() == 1

    play(body)


def test_a_reload_keeps_what_goes_on_and_forgets_the_rest(zoo: Zoo) -> None:
    async def body(bench: Bench) -> None:
        zoo.start()
        bench.trackers.apply((zoo.tracked(name="old"), zoo.tracked()))
        bench.trackers.apply((zoo.tracked(),))
        bench.told.clear()
        zoo.end()
        await bench.until(0)
        assert {name for name, _, _ in bench.told} == {"zoo"}
        bench.trackers.apply((zoo.tracked(quorum=0),))
        assert bench.value() == 1, "a new rule counts at once"
        bench.trackers.apply(())
        assert not bench.trackers._timers

    play(body)


def test_what_cannot_be_read_for_a_fault_of_ours_is_held(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = ProcessTable.judge
    broken = True

    def faulty(table: ProcessTable, pid: int, rules: Rules) -> frozenset[str]:
        if broken:
            raise OurOwnFaultError("Too many open files")
        return judge(table, pid, rules)

    async def body(bench: Bench) -> None:
        nonlocal broken
        broken = False
        zoo.start()
        bench.trackers.apply((zoo.tracked(),))
        broken = True
        monkeypatch.setattr(ProcessTable, "judge", faulty)
        await asyncio.sleep(0.1)
        assert bench.value() == 1
        zoo.end()
        broken = False
        await bench.until(0)

    assert "script.process_not_read" in play(body).said


# --- what the kernel tells -------------------------------------------------------------------------


def test_events_are_acted_on_one_by_one(zoo: Zoo) -> None:
    kernel = Kernel()

    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(),))
        animal = zoo.start()
        await asyncio.sleep(0.05)
        assert bench.value() == 0, "nobody looks while the kernel tells"
        kernel.tell(ProcessEvent(Cause.NAME, animal.pid), ProcessEvent(Cause.EXIT, animal.pid))
        while len(bench.told) < 3:
            await asyncio.sleep(0.002)
        assert [value for _, value, _ in bench.told] == [0, 1, 0]

    assert play(body, lambda *_: kernel).said == []
    assert kernel.closed


def test_a_child_counts_like_its_parent_if_it_is_one(zoo: Zoo) -> None:
    kernel = Kernel()

    async def body(bench: Bench) -> None:
        parent = zoo.start()
        bench.trackers.apply((zoo.tracked(quorum=2, quorum_max=2),))
        child, stranger = zoo.start(), zoo.start()
        kernel.tell(ProcessEvent(Cause.FORK, stranger.pid, os.getpid()))  # of none that counts
        kernel.tell(ProcessEvent(Cause.FORK, os.getpid(), parent.pid))  # has become another program
        kernel.tell(ProcessEvent(Cause.FORK, child.pid, parent.pid))
        await bench.until(1, "2 processes")
        await asyncio.sleep(0.02)
        assert [value for _, value, _ in bench.told] == [0, 1]

    play(body, lambda *_: kernel)


def test_after_a_loss_all_are_looked_at_and_nothing_is_told_before(zoo: Zoo) -> None:
    kernel = Kernel()

    async def body(bench: Bench) -> None:
        zoo.start()
        zoo.start()
        bench.trackers.apply((zoo.tracked(quorum=2),))
        gone = zoo.end()
        zoo.start()
        kernel.tell(Lost(), ProcessEvent(Cause.EXIT, gone.pid))
        await asyncio.sleep(0.05)
        assert bench.value() == 1
        zoo.end()
        await bench.until(0, "1 process,")
        assert [value for _, value, _ in bench.told] == [1, 0]

    assert play(body, lambda *_: kernel).said == ["script.process_events_lost"]


def test_a_look_that_missed_something_again_does_not_count(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("script_proc.procs._AFTER_LOSS_S", 0.01)
    kernel = Kernel()
    pids = ProcessTable.pids
    troubles = 2

    def troubled(table: ProcessTable) -> list[int]:
        nonlocal troubles
        if not troubles:
            return pids(table)
        troubles -= 1
        kernel.tell(Lost())
        return []

    async def body(bench: Bench) -> None:
        zoo.start()
        bench.trackers.apply((zoo.tracked(quorum_max=1),))
        monkeypatch.setattr(ProcessTable, "pids", troubled)
        kernel.tell(Lost())
        zoo.start()
        await bench.until(0, "2 processes")
        assert [told[1:] for told in bench.told[1:]] == [(0, "2 processes, wanted: 1")]
        assert not troubles

    play(body, lambda *_: kernel)


def test_a_child_born_while_all_are_looked_at_is_not_missed(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of processes is older than the child, and its parent had not been looked at yet."""
    kernel = Kernel()
    pids = ProcessTable.pids

    def then_a_birth(table: ProcessTable) -> list[int]:
        found = pids(table)
        kernel.tell(ProcessEvent(Cause.FORK, zoo.start().pid, parent.pid))
        return found

    parent = zoo.start()
    monkeypatch.setattr(ProcessTable, "pids", then_a_birth)

    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(quorum=2),))
        assert bench.told == [("zoo", 1, "2 processes, wanted: at least 2")]

    play(body, lambda *_: kernel)


def test_what_is_told_counts_more_than_what_a_look_found_before(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel()
    judge = ProcessTable.judge
    animal = zoo.start()

    def then_a_death(table: ProcessTable, pid: int, rules: Rules) -> frozenset[str]:
        found = judge(table, pid, rules)
        if pid == animal.pid and zoo.animals:
            zoo.end()
            kernel.tell(ProcessEvent(Cause.EXIT, pid))
        return found

    monkeypatch.setattr(ProcessTable, "judge", then_a_death)

    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(),))
        assert bench.value() == 0

    play(body, lambda *_: kernel)


def test_a_kernel_that_never_answers_is_done_without(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("script_proc.procs._ACKNOWLEDGE_S", 0.05)
    kernel = Kernel(answers=False)
    kernel.tell(Acknowledged(Kernel.number + 1))  # the answer to somebody else

    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(),))
        zoo.start()
        await bench.until(1)
        while not kernel.closed:
            await asyncio.sleep(0.002)
        zoo.end()
        await bench.until(0)

    assert play(body, lambda *_: kernel).said == ["script.process_events_missing"]


def test_a_kernel_that_refuses_is_done_without(zoo: Zoo) -> None:
    kernel = Kernel(answers=False)
    kernel.tell(Acknowledged(Kernel.number, error=1))

    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(),))
        assert kernel.closed
        zoo.start()
        await bench.until(1)

    assert play(body, lambda *_: kernel).said == ["script.process_events_missing"]


def test_a_quiet_kernel_is_checked_now_and_then(zoo: Zoo) -> None:
    async def body(bench: Bench) -> None:
        bench.trackers.apply((zoo.tracked(),))
        zoo.start()
        await bench.until(1)

    play(body, lambda *_: Kernel(), check_each_s=0.05)


def test_a_mere_number_is_told_too(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("script_proc.procs._TEXT_S", 0.02)

    async def body(bench: Bench) -> None:
        zoo.start()
        bench.trackers.apply((zoo.tracked(),))
        zoo.start()
        await bench.until(1, "2 processes")

    play(body)
