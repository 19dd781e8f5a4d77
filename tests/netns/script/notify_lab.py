"""A notifier in a process of its own that may be killed, a supervisor that keeps its descriptors, and a
source of events that replays the recent ones to whoever comes, as the broker does."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import random
import signal
import socket
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import uvloop

from bus.messages import Event, Message, State, TransitionCause, VrrpTransition
from bus.replica import EventHappened, Record, Snapshot
from keepalived_conf.model import ScriptSlice
from script_proc.notifier import Notifier
from script_proc.runner import use_signals_for_children
from worker import log
from worker.clock import boottime
from worker.context import WorkerContext
from worker.control import TO_SUPERVISOR, Channel, ControlClosed, Store, Unstore, WorkerEnd

REPLAYED = 1024
INSTANCES = 4


def record(
    number: int, message: Message, *, incarnation: int = 1, stream: str = "e.vrrp", at: float | None = None
) -> Record:
    return Record(
        stream=stream, key="", message=message, publisher=stream[2:], incarnation=incarnation, number=number,
        at=boottime() if at is None else at, wall_at=time.time(), generation=1, epoch=1,
    )  # fmt: skip


def transition(instance: str, number: int, *, priority: int = 100) -> VrrpTransition:
    """Odd numbers go to BACKUP, even ones to MASTER."""
    up = number % 2 == 0
    return VrrpTransition(
        instance=instance, interface="e0", vrid=1, family=4,
        from_state="BACKUP" if up else ("INIT" if number == 1 else "MASTER"),
        to_state="MASTER" if up else "BACKUP",
        cause=TransitionCause(trigger="timer"), number=number, priority=priority,
    )  # fmt: skip


def event(index: int) -> Record:
    """Event ``index`` from 1: the instances take turns, the priority is the number of the transition."""
    number = (index - 1) // INSTANCES + 1
    return record(index, transition(f"V{index % INSTANCES}", number, priority=number))


@dataclass
class NotifyLab:
    """``with NotifyLab(slice, folder) as lab``; ``start``, ``kill`` and ``start`` again, ``stop``."""

    wanted: ScriptSlice
    folder: Path
    kept: dict[str, int] = field(default_factory=dict)
    incarnation: int = 0
    pid: int = 0

    def __post_init__(self) -> None:
        self._shared = mmap.mmap(-1, 4096)
        # One store each: ``struct.pack_into`` fills with zeros first, and the other process sees them.
        self._counters = memoryview(self._shared).cast("q")
        self._channel: Channel | None = None

    # (events told by the source, events handled, scripts waiting or running, lines waiting)

    @property
    def told(self) -> int:
        return self._counters[0]

    def tell(self, count: int) -> None:
        """The source says ``count`` more events."""
        self._counters[0] += count

    @property
    def handled(self) -> int:
        return self._counters[1]

    @property
    def scripts(self) -> int:
        return self._counters[2]

    @property
    def lines(self) -> int:
        return self._counters[3]

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.incarnation += 1
        self.pid = os.fork()
        if not self.pid:
            try:
                ours.close()
                if self._channel is not None:
                    self._channel.close()
                os.setsid()
                self._child(theirs)
            except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
                (self.folder / "fault").write_text(traceback.format_exc())
            finally:
                os._exit(1)
        theirs.close()
        self._channel = Channel(ours, TO_SUPERVISOR)

    def _child(self, sock: socket.socket) -> None:
        with open(self.folder / "log", "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        log.configure(level="info", form="text")
        ctx = WorkerContext(
            role="script", incarnation=self.incarnation,
            control=WorkerEnd(sock, version="0", role="script", incarnation=self.incarnation),
            kept_fds=dict(self.kept), run_dir=self.folder, bus_ingress="", bus_out="",
        )  # fmt: skip
        use_signals_for_children()
        asyncio.Runner(loop_factory=uvloop.new_event_loop).run(self._serve(ctx))
        os._exit(0)

    async def _serve(self, ctx: WorkerContext) -> None:
        def publish(_: State | Event) -> None:
            pass

        stopping = asyncio.Event()
        asyncio.get_running_loop().add_reader(ctx.control.fileno(), stopping.set)
        notifier = Notifier(ctx, publish=publish)
        now = self.told
        recent = tuple(event(index) for index in range(max(1, now - REPLAYED + 1), now + 1))
        notifier.handle(Snapshot(stream="e.vrrp", records=recent, missing=()), boottime())
        await notifier.apply(self.wanted, boottime())
        while True:
            for index in range(now + 1, min(self.told, now + 64) + 1):
                notifier.handle(EventHappened(record=event(index)), boottime())
                now = index
            status = notifier.status()
            self._counters[2] = status.waiting + status.running
            self._counters[3] = status.fifo_waiting
            self._counters[1] = now
            notifier.tick(boottime())
            if stopping.is_set() and now == self.told:
                break
            await asyncio.sleep(0.001)
        await notifier.stop()

    def serve(self) -> None:
        """What the supervisor does: take what is to be kept."""
        assert self._channel is not None
        with contextlib.suppress(ControlClosed):
            for message in self._channel.receive():
                if isinstance(message, Store | Unstore):
                    old = self.kept.pop(message.name, None)
                    if old is not None:
                        os.close(old)
                if isinstance(message, Store):
                    self.kept[message.name] = message.fd

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.serve()

    def stop(self, timeout_s: float = 20.0) -> None:
        """End it as the supervisor going away does."""
        assert self._channel is not None
        self._channel._sock.shutdown(socket.SHUT_WR)
        ends_at = time.monotonic() + timeout_s
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            self.serve()
            assert time.monotonic() < ends_at, "it does not stop"
            time.sleep(0.005)
        self.serve()
        self.pid = 0

    def until(self, what: object, timeout_s: float = 30.0) -> None:
        """Wait until ``what()`` holds, as the supervisor."""
        assert callable(what)
        ends_at = time.monotonic() + timeout_s
        while not what():
            self.serve()
            assert time.monotonic() < ends_at, f"not in time: {self.status()}"
            time.sleep(0.002)

    def status(self) -> str:
        fault = self.folder / "fault"
        text = (self.folder / "log").read_text()[-2000:] + (fault.read_text() if fault.exists() else "")
        return f"told {self.told} handled {self.handled} scripts {self.scripts} lines {self.lines}\n{text}"

    def run(self, events: int, *, kills: int, ahead: int = 400, chance: random.Random) -> None:
        """Tell ``events`` and see them handled, with ``kills`` on the way."""
        kill_at = sorted(chance.sample(range(1, events), kills))
        self.start()
        ends_at = time.monotonic() + 60 + events / 20
        while self.told < events or self.handled < events:
            self.serve()
            assert not (self.folder / "fault").exists(), self.status()
            if self.told < events and self.told - self.handled < ahead and self.scripts < ahead:
                self.tell(min(chance.randint(1, 40), events - self.told))
            if kill_at and self.handled >= kill_at[0]:
                kill_at.pop(0)
                time.sleep(chance.random() * 0.004)
                self.kill()
                self.start()
            assert time.monotonic() < ends_at, self.status()
            time.sleep(0.0005)

    def __enter__(self) -> NotifyLab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        if self._channel is not None:
            self.serve()
            self._channel.close()
        for fd in self.kept.values():
            os.close(fd)
        self._counters.release()
        self._shared.close()


class Reader:
    """Reads a FIFO as a subscriber's script does; may be slow, and come and go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.data = b""
        self._ending = False
        self._thread: threading.Thread | None = None

    def come(self) -> None:
        self._ending = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def go(self) -> None:
        assert self._thread is not None
        self._ending = True
        self._thread.join(10)

    def _read(self) -> None:
        fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        while not self._ending:
            try:
                data = os.read(fd, 4096)
            except BlockingIOError:
                data = b""
            self.data += data
            if not data:
                time.sleep(0.001)
        os.close(fd)

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()
