"""FIFOs that notifications are written to: each line exactly once, in order, whoever dies in between.

A line is first written into a pipe of our own that the supervisor keeps, noted as placed there, and then
moved into the FIFO by one ``splice``, which cannot happen by half. So a successor can tell what became of it:
the pipe holds something - it is still to be moved (and its length says which lines it is); the pipe is empty
and lines are noted as placed - they are in the FIFO; otherwise nothing was begun. The supervisor keeps the
FIFO open as well, so what nobody has read yet survives too.

A splice fills one of the FIFO's buffers, however short the line is: lines that wait travel together, up to
a page at a time, and the FIFO is made as large as the kernel lets us.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import stat
import termios

from structlog.stdlib import BoundLogger

from script_proc.book import MAX_LINES, Task
from script_proc.desk import Desk
from script_proc.notify import FifoPlan, Line
from script_proc.users import DEFAULT_UMASK

MODE = 0o644
"""Before the umask of the configuration. That is 0177 by default: then only its owner may read it."""
WANTED_BYTES = 1024 * 1024
BATCH_BYTES = 4096
"""What one buffer of a pipe holds, and what a pipe takes whole or not at all (PIPE_BUF)."""
RETRY_S = 5.0
"""A FIFO that cannot be opened is tried again."""
LOOK_S = 10.0
"""How often it is looked whether the file is still the one that is open."""


def kept_name(kind: str, path: str) -> str:
    """Name of a descriptor with the supervisor; ``kind``: ``fifo``, ``out`` and ``in`` (of our own pipe)."""
    return f"notify.{kind}:{path}"


class FifoWriter:
    """One FIFO. ``owner``: (uid, gid) that it is made for, None: ours."""

    def __init__(
        self,
        plan: FifoPlan,
        *,
        desk: Desk,
        log: BoundLogger,
        owner: tuple[int, int] | None = None,
        umask: int = DEFAULT_UMASK,
    ) -> None:
        self.plan, self.path = plan, plan.path
        self.owner, self._mode = owner, MODE & ~umask
        self.reopened = False
        """Since the last look another file was opened: whoever reads the old one hears nothing more."""
        self._desk, self._log = desk, log
        self._loop = asyncio.get_running_loop()
        self._fd = -1
        self._out = self._in = -1
        self._moving: list[Task] = []
        """What our own pipe holds."""
        self._watching = False
        self._try_at = 0.0
        self._problem = ""
        self._lost_told = False
        self._open_own_pipe()

    # --- files -----------------------------------------------------------------------------------

    def _open_own_pipe(self) -> None:
        names = kept_name("out", self.path), kept_name("in", self.path)
        kept = [self._desk.take(name) for name in names]
        if kept[0] is not None and kept[1] is not None:
            self._out, self._in = kept[0], kept[1]
            self._resume()
            return
        for fd in filter(None, kept):
            os.close(fd)
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for name, fd in zip(names, (self._out, self._in), strict=True):
            self._desk.store(name, fd)
        self._resume()

    def _resume(self) -> None:
        """Find out what became of the lines that a predecessor was at."""
        held_bytes = _held_bytes(self._out)
        waiting = self._waiting()
        placed = [task for task in waiting if task.placed]
        if not held_bytes:
            if placed:
                self._desk.commit("done", *(task.number for task in placed))
            return
        found: list[Task] = []
        length_bytes = 0
        for task in waiting:
            if length_bytes >= held_bytes:
                break
            found.append(task)
            length_bytes += len(_data(task))
        if length_bytes == held_bytes and (not placed or placed == found):
            self._desk.commit("placed", *(task.number for task in found))
            self._moving = found
            return
        # Not what the journal says, so the journal is not the one of this pipe. What is in it is older.
        self._log.warning("fifo.leftover", path=self.path, lost_bytes=held_bytes)
        with contextlib.suppress(OSError):
            os.read(self._out, 65536)

    def _open(self, now: float) -> bool:
        if self._fd >= 0:
            return True
        if now < self._try_at:
            return False
        self._try_at = now + RETRY_S
        try:
            self._fd = self._kept_fifo() or self._open_file()
        except OSError as error:
            self._tell_problem(os.strerror(error.errno or 0))
            return False
        if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            self._fd = -1
            self._tell_problem("it is there and not a FIFO: remove it, or name another path")
            return False
        self._problem = ""
        self._try_at = now + LOOK_S
        size_bytes = WANTED_BYTES
        while size_bytes > 65536:
            try:
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, size_bytes)
                break
            except OSError:  # more than this user may have, or less than it holds
                size_bytes //= 2
        self._desk.store(kept_name("fifo", self.path), self._fd)
        return True

    def _kept_fifo(self) -> int:
        """The FIFO as a predecessor opened it, if that is still the file at the path; 0: it is not."""
        fd = self._desk.take(kept_name("fifo", self.path))
        if fd is None or _same_file(fd, self.path):
            return fd or 0
        os.close(fd)
        return 0

    def _open_file(self) -> int:
        if not os.path.lexists(self.path):
            self._desk.commit("made", self.path, True)
            try:
                os.mkfifo(self.path, 0o600)
            except OSError:
                self._desk.commit("made", self.path, False)
                raise
            os.chmod(self.path, self._mode)
            if self.owner is not None:
                self._give_away(self.owner)
        # For reading too: there is always a reader, so writing never fails, and never waits for one.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        if not stat.S_ISFIFO(os.stat(self.path).st_mode):
            flags = os.O_PATH | os.O_CLOEXEC  # do not touch a device
        return os.open(self.path, flags)

    def _give_away(self, owner: tuple[int, int]) -> None:
        try:
            os.chown(self.path, *owner)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            self._log.warning("fifo.not_given", path=self.path, uid=owner[0], gid=owner[1], reason=reason)

    def _tell_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._log.error("fifo.unusable", path=self.path, reason=problem, effect="lines wait")

    # --- lines -----------------------------------------------------------------------------------

    def _waiting(self) -> list[Task]:
        return list(self._desk.book.lines.get(self.path, ()))

    def pump(self, now: float) -> None:
        """Move lines as far as the FIFO takes them."""
        try:
            while self._desk.book.lines.get(self.path):
                if not self._open(now):
                    return
                if not self._moving:
                    self._place()
                    continue
                size_bytes = sum(len(_data(task)) for task in self._moving)
                moved_bytes = os.splice(self._out, self._fd, size_bytes, flags=os.SPLICE_F_NONBLOCK)
                if moved_bytes != size_bytes:  # a kernel that moves halves: better twice than never
                    self._log.error("fifo.short", path=self.path, moved=moved_bytes, wanted=size_bytes)
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._out, 65536)
                self._desk.commit("done", *(task.number for task in self._moving))
                self._moving = []
        except BlockingIOError:
            self._watch()
            return
        except OSError as error:
            self._tell_problem(os.strerror(error.errno or 0))
            self._let_go()
            return
        self._lost_told = False
        self._unwatch()

    def _place(self) -> None:
        """Put the next lines into our own pipe."""
        batch: list[Task] = []
        size_bytes = 0
        for task in self._desk.book.lines[self.path]:
            length_bytes = len(_data(task))
            if size_bytes + length_bytes > BATCH_BYTES:
                break
            batch.append(task)
            size_bytes += length_bytes
        if not batch:
            task = self._desk.book.lines[self.path][0]
            self._log.error("fifo.line_too_long", path=self.path, length=len(_data(task)), limit=BATCH_BYTES)
            self._desk.commit("given_up", task.number)
            return
        os.write(self._in, b"".join(map(_data, batch)))
        self._desk.commit("placed", *(task.number for task in batch))
        self._moving = batch

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._loop.add_writer(self._fd, self._writable)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_writer(self._fd)

    def _writable(self) -> None:
        self.pump(0.0)

    def tick(self, now: float) -> None:
        """Every now and then: try again, see whether the file is still there, say what was lost."""
        if self._fd >= 0 and now >= self._try_at:
            self._try_at = now + LOOK_S
            if not _same_file(self._fd, self.path):
                self._log.warning("fifo.replaced", path=self.path, effect="it is opened anew")
                self._let_go()
                self._try_at = 0.0
                self.reopened = self._open(now)
        if len(self._desk.book.lines.get(self.path, ())) >= MAX_LINES and not self._lost_told:
            self._lost_told = True
            self._log.error(
                "fifo.full", path=self.path, waiting=MAX_LINES, effect="the oldest lines are lost"
            )
        self.pump(now)

    def open_now(self, now: float) -> None:
        """At the start: its reader may wait for the file."""
        self._open(now)
        self.pump(now)

    def _let_go(self) -> None:
        self._unwatch()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._desk.unstore(kept_name("fifo", self.path))

    def close(self) -> None:
        """Let go of the file, and remove it if it was made here. What waits is kept by the book."""
        made = self.path in self._desk.book.made
        ours = self._fd >= 0 and _same_file(self._fd, self.path)
        self._let_go()
        if made and ours:
            try:
                os.unlink(self.path)
            except OSError as error:
                self._log.warning("fifo.not_removed", path=self.path, reason=os.strerror(error.errno or 0))
        if made:
            self._desk.commit("made", self.path, False)
        if self._moving:
            # Our own pipe goes: what it holds is to be written anew by whoever opens this path next.
            with contextlib.suppress(OSError):
                os.read(self._out, 65536)
            self._desk.commit("unplaced", *(task.number for task in self._moving))
            self._moving = []
        for name, fd in (("out", self._out), ("in", self._in)):
            os.close(fd)
            self._desk.unstore(kept_name(name, self.path))


def _data(task: Task) -> bytes:
    assert isinstance(task.effect, Line)
    return task.effect.data


def _held_bytes(fd: int) -> int:
    held = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, held)
    return held[0]


def _same_file(fd: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except OSError:
        return False
    opened = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
