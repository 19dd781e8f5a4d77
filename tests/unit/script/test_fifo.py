"""FIFOs: the file, and each line exactly once whichever step a worker is killed at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture

from script_proc import book as booking
from script_proc import fifo as fifos
from script_proc.book import Task, plain
from script_proc.desk import Desk
from script_proc.fifo import BATCH_BYTES, LOOK_S, RETRY_S, FifoWriter
from script_proc.notify import FifoPlan, Line
from worker.context import WorkerContext
from worker.control import TO_SUPERVISOR, Channel, Store, Unstore, WorkerEnd


class Killed(BaseException):
    """The worker dies here."""


class Life:
    """The lives of a worker with one FIFO, one after the other, and the supervisor that keeps descriptors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.kept: dict[str, int] = {}
        self._capture = LogCapture()
        self.log: BoundLogger = structlog.wrap_logger(
            None, processors=[self._capture], wrapper_class=structlog.stdlib.BoundLogger
        )
        self.steps_left: int | None = None
        self.told = 0
        self.begin()

    @property
    def events(self) -> list[str]:
        return [str(row["event"]) for row in self._capture.entries]

    def begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = Channel(ours, TO_SUPERVISOR)
        self.control = WorkerEnd(theirs, version="0", role="script", incarnation=1)
        context = WorkerContext(
            role="script", incarnation=1, control=self.control,
            kept_fds={name: os.dup(fd) for name, fd in self.kept.items()},
            run_dir=self.path.parent, bus_ingress="", bus_out="",
        )  # fmt: skip
        desk = self.desk = Desk(context, self.log)
        commit = desk.commit

        def counted(*entry: object) -> list[Task]:
            self.step()
            return commit(*entry)

        desk.commit = counted  # type: ignore[method-assign]

    def open(self, now: float = 100.0, umask: int = 0o177) -> FifoWriter:
        plan = FifoPlan(path=str(self.path), user=None, group=None, vrrp=True, lvs=True, script=None)

        async def make() -> FifoWriter:
            return FifoWriter(plan, desk=self.desk, log=self.log, umask=umask)

        self.writer = self.loop.run_until_complete(make())
        self.writer.open_now(now)
        return self.writer

    def step(self) -> None:
        """Before each thing that outlives the worker."""
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise Killed

    def tell(self, count: int = 1, *, length: int = 0) -> None:
        for _ in range(count):
            self.told += 1
            effects = (plain(Line(fifo=str(self.path), data=self.line(self.told, length))),)
            self.desk.commit("event", "e.vrrp", 1, self.told, 0.0, None, effects)

    @staticmethod
    def line(number: int, length: int = 0) -> bytes:
        return f"line {number} ".encode().ljust(max(0, length - 1), b".") + b"\n"

    def supervise(self) -> None:
        for message in self.channel.receive():
            if isinstance(message, Store | Unstore) and message.name in self.kept:
                os.close(self.kept.pop(message.name))
            if isinstance(message, Store):
                self.kept[message.name] = message.fd

    def die(self) -> None:
        """What the kernel does when the process is killed."""
        self.steps_left = None
        self.supervise()
        writer = getattr(self, "writer", None)
        if writer is not None:
            writer._unwatch()
            for fd in (writer._fd, writer._out, writer._in):
                if fd >= 0:
                    os.close(fd)
            del self.writer
        for fd in self.desk._kept.values():
            os.close(fd)
        self.desk._journal.close()
        self.control.close()
        self.channel.close()

    def turn(self) -> None:
        """Let the loop see what is ready."""
        self.loop.run_until_complete(asyncio.sleep(0.01))

    def close(self) -> None:
        self.die()
        for fd in self.kept.values():
            os.close(fd)
        self.loop.close()


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path / "fifo")
    yield made
    made.close()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def everything(fd: int) -> bytes:
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(fd, 65536):
            data += part
    return data


def read(path: Path) -> bytes:
    with opened(path) as fd:
        return everything(fd)


# --- exactly once ----------------------------------------------------------------------------------


def test_a_line_is_written_exactly_once_wherever_the_worker_is_killed(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stepped(call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **options: Any) -> Any:
            life.step()
            return call(*arguments, **options)

        return made

    names = {name: getattr(os, name) for name in dir(os) if not name.startswith("_")}
    names |= {"write": stepped(os.write), "splice": stepped(os.splice)}
    monkeypatch.setattr(fifos, "os", SimpleNamespace(**names))
    deaths = 0
    for first in range(8):
        for second in range(8):
            life.steps_left = None
            life.tell(3)
            if not hasattr(life, "writer"):
                life.open()
            for steps in (first, second):
                life.steps_left = steps
                try:
                    if not hasattr(life, "writer"):
                        life.open()
                    life.writer.pump(100.0)
                except Killed:
                    deaths += 1
                    life.die()
                    life.begin()
            life.steps_left = None
    if not hasattr(life, "writer"):
        life.open()
    life.writer.pump(100.0)
    assert deaths > 25, "the test kills nobody"
    assert read(life.path).splitlines(keepends=True) == [life.line(n) for n in range(1, life.told + 1)]
    assert life.desk.book.written == life.told
    assert not life.desk.book.tasks


def test_what_nobody_has_read_survives_the_worker(life: Life) -> None:
    life.open()
    life.tell(2)
    life.writer.pump(100.0)
    life.die()
    life.begin()
    life.open()
    assert read(life.path) == life.line(1) + life.line(2)


def test_a_pipe_that_is_not_the_journals_is_emptied(life: Life) -> None:
    life.open()
    life.tell(1)
    os.write(life.writer._in, b"something else")
    life.die()
    life.begin()
    life.open()
    assert read(life.path) == life.line(1)
    assert "fifo.leftover" in life.events


# --- room ------------------------------------------------------------------------------------------


def test_a_full_fifo_goes_on_when_it_is_read(life: Life) -> None:
    life.open()
    count = 2000
    for _ in range(count):
        life.tell(length=1000)
        life.writer.pump(100.0)
    waiting = len(life.desk.book.lines[str(life.path)])
    assert 0 < waiting < count
    life.turn()
    assert len(life.desk.book.lines[str(life.path)]) == waiting, "nobody made room"
    data = b""
    with opened(life.path) as fd:
        while len(data) < count * 1000:
            part = everything(fd)
            assert part, f"stuck at {len(data)}"
            data += part
            life.turn()
    assert data == b"".join(life.line(number, 1000) for number in range(1, count + 1))
    assert not life.writer._watching, "no wake-ups for nothing"


def test_lines_that_waited_travel_together(life: Life) -> None:
    life.tell(1000)
    life.open()
    assert not life.desk.book.tasks
    with opened(life.path) as fd:
        first = os.read(fd, 65536)
        assert len(first) > BATCH_BYTES, "one read of 64 KiB gets several"
        data = first + everything(fd)
    assert data == b"".join(life.line(number) for number in range(1, 1001))


def test_what_does_not_fit_is_counted_and_told_once(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (booking, fifos):
        monkeypatch.setattr(module, "MAX_LINES", 10)
    life.path.write_text("no FIFO")
    life.open()
    life.tell(15)
    for now in (101.0, 102.0):
        life.writer.tick(now)
    assert life.desk.book.lost_lines == 5
    assert life.events == ["fifo.unusable", "fifo.full"]
    life.path.unlink()
    life.writer.tick(100.0 + RETRY_S)
    assert read(life.path) == b"".join(life.line(number) for number in range(6, 16))


def test_a_line_that_no_pipe_takes_whole_is_given_up(life: Life) -> None:
    life.open()
    life.tell(length=BATCH_BYTES + 1)
    life.tell()
    life.writer.pump(100.0)
    assert read(life.path) == life.line(2)
    assert life.events == ["fifo.line_too_long"]
    assert life.desk.book.lost_lines == 1


# --- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "expected"), [(0o177, 0o600), (0o022, 0o644), (0, 0o644)])
def test_it_is_made_and_removed(life: Life, umask: int, expected: int) -> None:
    life.open(umask=umask)
    mode = life.path.stat().st_mode
    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == expected
    life.writer.close()
    del life.writer
    assert not life.path.exists()
    life.supervise()
    assert set(life.kept) == {"notify.journal"}


def test_one_that_was_there_stays(life: Life) -> None:
    os.mkfifo(life.path, 0o600)
    life.open()
    life.tell()
    life.writer.pump(100.0)
    with opened(life.path) as fd:
        life.writer.close()
        del life.writer
        life.supervise()
        assert everything(fd) == life.line(1)
        assert os.read(fd, 1) == b"", "its reader sees the end"
    assert stat.S_IMODE(life.path.stat().st_mode) == 0o600


def test_a_successor_knows_that_it_was_made_here(life: Life) -> None:
    life.open()
    life.die()
    life.begin()
    life.open().close()
    del life.writer
    assert not life.path.exists()


def test_a_reload_that_closes_it_half_way_leaves_the_line_for_the_next(life: Life) -> None:
    life.open()
    life.tell()
    life.writer._place()
    life.writer.close()
    del life.writer
    life.open()
    assert read(life.path) == life.line(1)


def test_a_fifo_that_was_removed_is_made_again(life: Life) -> None:
    life.open()
    life.path.unlink()
    life.writer.tick(100.0 + LOOK_S)
    assert stat.S_ISFIFO(life.path.stat().st_mode)
    assert life.writer.reopened
    assert life.events == ["fifo.replaced"]
    life.tell()
    life.writer.pump(100.0)
    assert read(life.path) == life.line(1)


@pytest.mark.parametrize("kind", ["file", "folder", "nowhere"])
def test_what_is_no_fifo_is_said_once_and_tried_again(life: Life, kind: str) -> None:
    if kind == "file":
        life.path.write_text("keep")
    elif kind == "folder":
        life.path.mkdir()
    else:
        life.path = life.path / "deep" / "fifo"
    life.open()
    life.tell()
    for now in (101.0, 100.0 + RETRY_S, 100.0 + 3 * RETRY_S):
        life.writer.tick(now)
    assert life.events == ["fifo.unusable"]
    if kind == "file":
        assert life.path.read_text() == "keep"
        life.path.unlink()
    elif kind == "folder":
        life.path.rmdir()
    else:
        life.path.parent.mkdir(parents=True)
    life.writer.tick(200.0)
    assert read(life.path) == life.line(1)
