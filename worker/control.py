"""Control channel between the supervisor and one worker: SOCK_SEQPACKET, versioned, never blocking.

Messages are msgpack maps ``{"v": 1, "t": kind, ...}`` of at most 64 KiB; configuration slices travel
as sealed memfds beside ``prepare``, kept sockets beside ``store`` (SCM_RIGHTS). Every message is
checked against its dataclass before it is believed; a wrong one raises ``ControlError`` and names
what was wrong.
"""

from __future__ import annotations

import array
import errno
import mmap
import os
import socket
from collections import deque
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import msgpack

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 65536
MAX_SLICE_BYTES = 256 << 20
MAX_FDS = 8


class ControlError(Exception):
    """A message that breaks the protocol: what came, and what was expected."""


class ControlClosed(Exception):  # noqa: N818 - an end, not an error
    """The other end is gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    KIND: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepare(Message):
    """Parse and validate this slice; touch nothing."""

    KIND: ClassVar[str] = "prepare"
    generation: int
    payload: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Apply(Message):
    """Make the prepared generation effective. phase: full | additions | removals."""

    KIND: ClassVar[str] = "apply"
    generation: int
    phase: str = "full"


@dataclass(frozen=True, kw_only=True, slots=True)
class Abort(Message):
    KIND: ClassVar[str] = "abort"
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch(Message):
    """The broker is new: announce everything under this epoch."""

    KIND: ClassVar[str] = "epoch"
    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer(Message):
    """To the broker: only ``pid`` may speak on the ingress of ``role`` (0: nobody)."""

    KIND: ClassVar[str] = "peer"
    role: str
    pid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirror(Message):
    """To the broker: publish this encoded bus message on behalf of the supervisor."""

    KIND: ClassVar[str] = "mirror"
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop(Message):
    KIND: ClassVar[str] = "stop"


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLevel(Message):
    KIND: ClassVar[str] = "log_level"
    level: str = ""
    """Empty: as it is."""
    form: str = ""
    """What records look like: auto, text or json; empty: as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDown(Message):
    """To vrrp: hold back this vrrp_instance or vrrp_sync_group (empty: all) until CLOCK_BOOTTIME ``until_at``
    (0: until ``resume``). Request 0, before ``prepare``: an earlier incarnation held this instance back."""

    KIND: ClassVar[str] = "step_down"
    name: str
    reason: str
    until_at: float
    request: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume(Message):
    """To vrrp: ``step_down`` is over."""

    KIND: ClassVar[str] = "resume"
    name: str
    request: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello(Message):
    KIND: ClassVar[str] = "hello"
    version: str
    role: str
    incarnation: int
    pid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared(Message):
    KIND: ClassVar[str] = "prepared"
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused(Message):
    KIND: ClassVar[str] = "refused"
    generation: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied(Message):
    KIND: ClassVar[str] = "applied"
    generation: int
    phase: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed(Message):
    KIND: ClassVar[str] = "failed"
    generation: int
    phase: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready(Message):
    KIND: ClassVar[str] = "ready"


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat(Message):
    KIND: ClassVar[str] = "heartbeat"


@dataclass(frozen=True, kw_only=True, slots=True)
class Store(Message):
    """Keep the descriptor that comes along for my successors."""

    KIND: ClassVar[str] = "store"
    name: str
    fd: int = -1
    """Set by the receiver; never on the wire."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unstore(Message):
    KIND: ClassVar[str] = "unstore"
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report(Message):
    """An encoded bus message for the supervisor's own log and status."""

    KIND: ClassVar[str] = "report"
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Held(Message):
    """Say this to my successors as ``step_down``: it must not be forgotten by a restart."""

    KIND: ClassVar[str] = "held"
    name: str
    reason: str
    until_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Unheld(Message):
    KIND: ClassVar[str] = "unheld"
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered(Message):
    """What came of the operator's request of that number; ``ok`` 1 or 0."""

    KIND: ClassVar[str] = "answered"
    request: int
    ok: int
    text: str


TO_WORKER: dict[str, type[Message]] = {
    kind.KIND: kind for kind in (Prepare, Apply, Abort, Epoch, Peer, Mirror, Stop, LogLevel, StepDown, Resume)
}
TO_SUPERVISOR: dict[str, type[Message]] = {
    kind.KIND: kind
    for kind in (Hello, Prepared, Refused, Applied, Failed, Ready, Heartbeat, Store, Unstore, Report)
}
TO_SUPERVISOR |= {kind.KIND: kind for kind in (Held, Unheld, Answered)}
_TYPES: dict[str, type] = {"int": int, "str": str, "bytes": bytes, "float": float}
_OFF_WIRE = {("prepare", "payload"), ("store", "fd")}


def encode(message: Message) -> bytes:
    """One message as bytes. Raises ControlError when it is longer than MAX_MESSAGE_BYTES."""
    body: dict[str, object] = {"v": PROTOCOL_VERSION, "t": message.KIND}
    for item in fields(message):
        if (message.KIND, item.name) not in _OFF_WIRE:
            body[item.name] = getattr(message, item.name)
    data: bytes = msgpack.packb(body)
    if len(data) > MAX_MESSAGE_BYTES:
        raise ControlError(f"{message.KIND} message of {len(data)} bytes is over {MAX_MESSAGE_BYTES}")
    return data


def decode(data: bytes, kinds: dict[str, type[Message]]) -> Message:
    """Bytes of the other end as a message of one of ``kinds``; ControlError when they are not."""
    try:
        body = msgpack.unpackb(data, strict_map_key=True)
    except Exception as error:  # noqa: BLE001 - msgpack raises many types; the caller needs one
        raise ControlError(f"control message is not msgpack: {error}") from None
    if not isinstance(body, dict):
        raise ControlError(f"control message is a {type(body).__name__}, not a map")
    version, kind = body.pop("v", None), body.pop("t", None)
    if version != PROTOCOL_VERSION:
        raise ControlError(f"control protocol version {version!r}, this end speaks {PROTOCOL_VERSION}")
    cls = kinds.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ControlError(f"unknown control message {kind!r}")
    values: dict[str, Any] = {}
    for item in fields(cls):
        if (cls.KIND, item.name) in _OFF_WIRE:
            continue
        if item.name not in body:
            if item.default is MISSING:
                raise ControlError(f"control message {kind}: field {item.name} is missing")
            continue
        value, want = body.pop(item.name), _TYPES[str(item.type)]
        if type(value) is not want:
            raise ControlError(
                f"control message {kind}: field {item.name} is a {type(value).__name__}, not {want.__name__}"
            )
        values[item.name] = value
    if body:
        raise ControlError(f"control message {kind}: unknown field {sorted(map(str, body))[0]}")
    return cls(**values)


class Channel:
    """One end of a control channel; queues what the kernel will not take yet and never blocks."""

    def __init__(self, sock: socket.socket, incoming: dict[str, type[Message]]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._incoming = incoming
        self._outbox: deque[tuple[bytes, int | None]] = deque()
        self.closed = False

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message, fd: int | None = None) -> None:
        """Send or queue. The descriptor is duplicated, the caller keeps its own."""
        if self.closed:
            return
        self._outbox.append((encode(message), None if fd is None else os.dup(fd)))
        self.flush()

    @property
    def backlog(self) -> int:
        """Messages that wait for the other end to read."""
        return len(self._outbox)

    def flush(self) -> None:
        while self._outbox:
            data, fd = self._outbox[0]
            ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            try:
                self._sock.sendmsg([data], ancillary, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ENOBUFS, errno.ETOOMANYREFS):
                    return
                self._drop_outbox()
                self.closed = True
                return
            self._outbox.popleft()
            if fd is not None:
                os.close(fd)

    def receive(self) -> list[Message]:
        """All messages that are there. Raises ControlClosed when there are none and never will be."""
        found: list[Message] = []
        while True:
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(
                    MAX_MESSAGE_BYTES,
                    socket.CMSG_SPACE(MAX_FDS * 4),
                    socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC,
                )
            except BlockingIOError:
                return found
            except OSError as error:
                if found:
                    return found
                raise ControlClosed(f"control channel broke: {os.strerror(error.errno or 0)}") from None
            fds = array.array("i")
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
            if not data and not fds:
                if found:
                    return found
                raise ControlClosed("the other end closed the control channel")
            try:
                if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                    raise ControlError("control message was cut short")
                message = decode(data, self._incoming)
                found.append(self._attach(message, fds))
            finally:
                for fd in fds:
                    os.close(fd)

    def _attach(self, message: Message, fds: array.array[int]) -> Message:
        if isinstance(message, Prepare):
            if len(fds) != 1:
                raise ControlError(f"prepare came with {len(fds)} descriptors, expected the slice")
            return Prepare(generation=message.generation, payload=read_slice(fds[0]))
        if isinstance(message, Store):
            if len(fds) != 1:
                raise ControlError(f"store {message.name} came with {len(fds)} descriptors, expected one")
            return Store(name=message.name, fd=os.dup(fds[0]))
        return message

    def _drop_outbox(self) -> None:
        for _, fd in self._outbox:
            if fd is not None:
                os.close(fd)
        self._outbox.clear()

    def close(self) -> None:
        self._drop_outbox()
        self.closed = True
        self._sock.close()


def read_slice(fd: int) -> bytes:
    """The bytes of a sealed memfd; ControlError when it is not sealed or too large."""
    import fcntl

    size = os.fstat(fd).st_size
    if size > MAX_SLICE_BYTES:
        raise ControlError(f"configuration slice of {size} bytes is over {MAX_SLICE_BYTES}")
    if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE:
        raise ControlError("configuration slice is not sealed")
    if size == 0:
        return b""
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as view:
        return view[:]


def make_slice(name: str, data: bytes) -> int:
    """A sealed memfd that holds ``data``; the caller owns the descriptor."""
    import fcntl

    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


class WorkerEnd(Channel):
    """The worker's end, with a verb for each thing a worker says."""

    def __init__(self, sock: socket.socket, *, version: str, role: str, incarnation: int) -> None:
        super().__init__(sock, TO_WORKER)
        self._version, self._role, self._incarnation = version, role, incarnation

    def hello(self) -> None:
        self.send(
            Hello(version=self._version, role=self._role, incarnation=self._incarnation, pid=os.getpid())
        )

    def prepared(self, generation: int) -> None:
        self.send(Prepared(generation=generation))

    def refused(self, generation: int, reason: str) -> None:
        self.send(Refused(generation=generation, reason=reason[:4000]))

    def applied(self, generation: int, phase: str = "full") -> None:
        self.send(Applied(generation=generation, phase=phase))

    def failed(self, generation: int, phase: str, reason: str) -> None:
        self.send(Failed(generation=generation, phase=phase, reason=reason[:4000]))

    def ready(self) -> None:
        self.send(Ready())

    def heartbeat(self) -> None:
        # A worker must not pile up heartbeats behind a stopped supervisor: one waiting is enough.
        if not self.backlog:
            self.send(Heartbeat())
        else:
            self.flush()

    def store(self, name: str, fd: int) -> None:
        self.send(Store(name=name), fd)

    def unstore(self, name: str) -> None:
        self.send(Unstore(name=name))

    def report(self, payload: bytes) -> None:
        if self.backlog < 64:
            self.send(Report(payload=payload))


def pair() -> tuple[Channel, socket.socket]:
    """(supervisor end, raw socket for the worker). The worker wraps its socket in ``WorkerEnd``."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return Channel(ours, TO_SUPERVISOR), theirs
