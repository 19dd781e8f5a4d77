"""Tracked processes as the kernel tells of them: the real proc connector."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from keepalived_conf.model import TrackProcess
from script_proc.proc_connector import Acknowledged, Connector, Lost
from script_proc.procs import ProcessTrackers
from tests.lab.system import in_netns, run


def told_of_processes() -> bool:
    try:
        connector = Connector()
    except OSError:
        return False
    told, _ = connector.read(64)
    connector.close()
    return any(isinstance(one, Acknowledged) and one.number == connector.number for one in told)


needs_events = pytest.mark.skipif(
    not told_of_processes(), reason="the kernel tells of processes only in the host's own namespaces"
)


class Bench:
    def __init__(self, **options: Any) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[str, int, str]] = []
        self.trackers = ProcessTrackers(lambda *told: self.told.append(told), cast(Any, self), **options)

    def _say(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    debug = info = warning = error = _say

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.said]

    async def until(self, value: int, text: str = "", timeout_s: float = 20.0) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while not self.told or self.told[-1][1] != value or text not in self.told[-1][2]:
            assert loop.time() < end, f"not {value} {text}: {self.told[-5:]}"
            await asyncio.sleep(0.001)


def play(body: Callable[[Bench], Coroutine[Any, Any, None]], **options: Any) -> Bench:
    # Nobody looks by himself: what is known is known from the kernel.
    bench = Bench(**({"scan_each_s": 1000.0, "check_each_s": 1000.0} | options))

    async def main() -> None:
        try:
            await asyncio.wait_for(body(bench), 120)
        finally:
            bench.trackers.close()

    asyncio.run(main())
    return bench


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    """A program of a name of its own; all that still run at the end are ended."""
    found = tmp_path / f"{os.urandom(4).hex()}{os.getpid()}"[:15]
    shutil.copy(shutil.which("sleep") or "/bin/sleep", found)
    yield found
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text().strip() == found.name:
                    os.kill(int(entry.name), signal.SIGKILL)


def track(program: Path, **options: Any) -> TrackProcess:
    return TrackProcess(**({"name": "p", "process": (program.name,)} | options))


@needs_events
def test_start_and_end_are_told_at_once(program: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.trackers.apply(
            (
                track(program),
                track(
                    program, name="line", process=(str(program), "60"), full_command=True, param_match="exact"
                ),
            )
        )
        assert {value for _, value, _ in bench.told} == {0}
        for _ in range(20):
            bench.told.clear()
            child = subprocess.Popen([str(program), "60"])
            while len(bench.told) < 2:
                await asyncio.sleep(0.0005)
            assert sorted(told[:2] for told in bench.told) == [("line", 1), ("p", 1)]
            bench.told.clear()
            child.kill()
            while len(bench.told) < 2:
                await asyncio.sleep(0.0005)
            assert sorted(told[:2] for told in bench.told) == [("line", 0), ("p", 0)]
            child.wait()

    assert play(body).events == []


@needs_events
def test_a_process_takes_another_name_and_another_program(program: Path) -> None:
    script = (
        "import ctypes, os, sys\n"
        "for line in sys.stdin:\n"
        "    word = line.strip()\n"
        "    if word.startswith('/'): os.execv(word, [word, '60'])\n"
        "    if word == 'fork':\n"
        "        if os.fork() == 0: os.execv('/bin/sleep', ['sleep', '60'])\n"
        "        continue\n"
        "    ctypes.CDLL(None).prctl(15, word.encode())\n"
    )

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(program, quorum_max=1, fork_delay_s=5.0),))
        child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True)
        assert child.stdin is not None

        def say(word: str) -> None:
            assert child.stdin is not None
            child.stdin.write(word + "\n")
            child.stdin.flush()

        try:
            say(program.name)
            await bench.until(1)
            told = len(bench.told)
            say("fork")  # for an instant there are two
            await asyncio.sleep(0.5)
            assert {value for _, value, _ in bench.told[told:]} <= {1}
            say("other")
            await bench.until(0)
            say(str(program))
            await bench.until(1)
        finally:
            child.kill()
            child.wait()
        await bench.until(0)

    assert play(body).events == []


@needs_events
def test_a_storm_of_processes_ends_with_the_right_number(program: Path) -> None:
    """A small buffer overflows; the number is right all the same, and it is found by itself."""
    storm = f"""
import os, random, sys, time
random.seed(7)
alive = []
def start(argv):
    pid = os.posix_spawn(argv[0], argv, os.environ)
    alive.append(pid)
for number in range(600):
    start([{str(program)!r}, "60"])
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
    while len(alive) > 20 or (alive and random.random() < 0.5):
        pid = alive.pop(random.randrange(len(alive)))
        os.kill(pid, 9)
        os.waitpid(pid, 0)
while len(alive) > 7: pid = alive.pop(); os.kill(pid, 9); os.waitpid(pid, 0)
while len(alive) < 7: start([{str(program)!r}, "60"])
print("done", flush=True)
sys.stdin.read()
for pid in alive: os.kill(pid, 9)
"""

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(program, quorum=7, quorum_max=7),), receive_bytes=1 if small else 0)
        child = subprocess.Popen(
            [sys.executable, "-c", storm], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout is not None
            if small:
                time.sleep(1.5)  # deaf for a while
            await asyncio.get_running_loop().run_in_executor(None, child.stdout.readline)
            await bench.until(1, "7 processes")
            await asyncio.sleep(0.3)
            assert bench.told[-1][1:] == (1, "7 processes, wanted: 7")
        finally:
            child.communicate("")
        await bench.until(0, "0 processes")

    for small in (True, False):
        bench = play(body)
        assert bench.events == (["script.process_events_lost"] if small else [])


@needs_events
def test_nobody_who_is_there_at_the_beginning_is_missed(program: Path) -> None:
    """Processes that are born while the trackers begin to look."""
    birth = f"import os\nfor _ in range(100): os.posix_spawn({str(program)!r}, ['x', '60'], os.environ)\n"
    birth += "input()\n"

    async def body(bench: Bench) -> None:
        child = subprocess.Popen([sys.executable, "-c", birth], stdin=subprocess.PIPE)
        for _ in range(8):
            bench.trackers.apply((track(program, quorum=100),))
            await asyncio.sleep(0.02)
        await bench.until(1, "100 processes")
        child.kill()
        child.wait()

    assert play(body).events == []


@needs_events
def test_there_is_room_for_a_burst() -> None:
    """Each event takes about 800 octets of it; the kernel gives twice what is asked for."""

    def room(connector: Connector) -> int:
        with contextlib.closing(connector), socket.socket(fileno=os.dup(connector.fileno())) as sock:
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    assert room(Connector(force=False)) >= 4 << 20
    assert room(Connector(8 << 20, force=True)) >= 8 << 20
    allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    assert room(Connector(8 << 20, force=False)) <= max(allowed, 4 << 20) * 2
    tight = Connector(1 << 20, force=False)
    tight.more_room()
    assert room(tight) >= 2 << 20


UNPRIVILEGED = """
import asyncio, os, sys
from keepalived_conf.model import InitFile, TrackFile, TrackProcess
from script_proc.files import FileTrackers
from script_proc.procs import ProcessTrackers
from worker import log, privileges

log.configure(level="debug", form="json")
folder, program = sys.argv[1:]
kept = ("SETUID", "SETGID", "KILL", "NET_ADMIN", "DAC_READ_SEARCH")
assert not privileges.drop(64321, kept, starts_programs=True)
assert os.geteuid() == 64321
said = lambda *told: print(*told[:2], flush=True)

async def main():
    files, processes = FileTrackers(said, log.logger("script")), ProcessTrackers(said, log.logger("script"))
    files.apply(
        (TrackFile(name="f", file=folder + "/weight"),
         TrackFile(name="i", file=folder + "/made", init_file=InitFile(value=7))),
        first_start=True,
    )
    processes.apply((TrackProcess(name="p", process=(program,)),))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@needs_events
def test_the_worker_needs_no_more_than_its_capabilities(tmp_path: Path, program: Path) -> None:
    """A user of its own: files that only root may read, and made for root; events of the kernel."""
    folder = tmp_path / "roots"
    folder.mkdir(mode=0o700)
    (folder / "weight").write_text("1")
    (folder / "weight").chmod(0o600)
    worker = subprocess.Popen(
        [sys.executable, "-c", UNPRIVILEGED, str(folder), program.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert worker.stdout is not None and worker.stderr is not None and worker.stdin is not None
    try:
        assert [worker.stdout.readline() for _ in range(3)] == ["f 1\n", "i 7\n", "p 0\n"]
        (folder / "weight").write_text("2")
        assert worker.stdout.readline() == "f 2\n"
        child = subprocess.Popen([str(program), "60"])
        assert worker.stdout.readline() == "p 1\n"
        child.kill()
        child.wait()
        assert worker.stdout.readline() == "p 0\n"
        made = (folder / "made").stat()
        assert (made.st_uid, made.st_mode & 0o777) == (0, 0o600)
        worker.stdin.close()
        assert worker.stderr.read() == ""
    finally:
        worker.kill()
        worker.wait()


@needs_events
def test_what_the_kernel_lost_is_noticed(program: Path) -> None:
    connector = Connector(1)
    try:
        connector.read(64)
        for _ in range(200):
            subprocess.run(["/bin/true"], check=True)
        found = []
        more = True
        while more:
            told, more = connector.read(64)
            found += told
        assert any(isinstance(one, Lost) for one in found)
        assert connector.more_room() == 2
    finally:
        connector.close()


def test_in_a_network_namespace_all_are_looked_at_each_second(program: Path) -> None:
    name = f"prc{os.getpid()}"
    run("ip", "netns", "add", name)
    try:

        async def body(bench: Bench) -> None:
            with in_netns(name):
                bench.trackers.apply((track(program),))
            child = subprocess.Popen([str(program), "60"])
            await bench.until(1)
            child.kill()
            child.wait()
            await bench.until(0)

        assert play(body, scan_each_s=0.1).events == ["script.process_events_missing"]
    finally:
        run("ip", "netns", "del", name)
