"""What the kernel tells of processes: the proc connector (netlink, linux/cn_proc.h).

Needs CAP_NET_ADMIN, and the network, process and user namespaces of the host: elsewhere the kernel refuses,
or says nothing at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from dataclasses import dataclass

from script_proc.proc_quorum import Cause

_NETLINK_CONNECTOR = 11
_INDEX, _VALUE = 1, 1
_LISTEN, _IGNORE = 1, 2
_NOTHING, _FORK, _EXEC, _COMM, _EXIT = 0, 0x1, 0x2, 0x200, 0x80000000
_NLMSG_NOOP, _NLMSG_ERROR, _NLMSG_DONE = 1, 2, 3
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_CONNECTOR = struct.Struct("=IIIIHH")  # index, value, sequence, acknowledgement, length, flags
_EVENT = struct.Struct("=IIQ")  # what, processor, time
_FOUR = struct.Struct("=iiii")
_TWO = struct.Struct("=ii")
_UNKNOWN_CPU = 0xFFFFFFFF

RECEIVE_BYTES = 4 << 20
"""Room for some 5,000 events: the kernel counts about 800 octets for each."""
MAX_RECEIVE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ProcessEvent:
    cause: Cause
    pid: int
    parent: int = 0
    """With FORK."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The kernel has heard a wish to listen: ``number`` is that of the wish."""

    number: int
    error: int = 0
    """Why it does not tell."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Some events were not told."""


Told = ProcessEvent | Acknowledged | Lost


class Sequence:
    """Finds gaps: the kernel numbers its events on each processor."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def gap(self, cpu: int, number: int) -> bool:
        last = self._last.get(cpu)
        self._last[cpu] = number
        return last is not None and number != (last + 1) & 0xFFFFFFFF


def decode(data: bytes, sequence: Sequence) -> list[Told]:
    """One datagram. What is no event of a whole process (threads, other kinds) is left out."""
    offset = _HEADER.size + _CONNECTOR.size
    if len(data) < offset + _EVENT.size:
        return []
    kind = _HEADER.unpack_from(data)[1]
    index, value, number, ack, _, _ = _CONNECTOR.unpack_from(data, _HEADER.size)
    if kind in (_NLMSG_NOOP, _NLMSG_ERROR) or (index, value) != (_INDEX, _VALUE):
        return []
    what, cpu, _ = _EVENT.unpack_from(data, offset)
    body = data[offset + _EVENT.size :].ljust(_FOUR.size, b"\0")
    # Newer kernels number their answers like events, older ones name no processor there.
    found: list[Told] = [Lost()] if cpu != _UNKNOWN_CPU and sequence.gap(cpu, number) else []
    if what == _NOTHING:
        return [*found, Acknowledged(ack - 1, _TWO.unpack_from(body)[0])] if ack else found
    if what == _FORK:
        _, parent, child, group = _FOUR.unpack_from(body)
        if child == group:
            found.append(ProcessEvent(Cause.FORK, group, parent))
    elif what in (_EXEC, _COMM, _EXIT):
        thread, group = _TWO.unpack_from(body)
        if thread == group:
            found.append(ProcessEvent(Cause.EXIT if what == _EXIT else Cause.NAME, group))
    return found


class Connector:
    """One subscription. OSError when the kernel refuses it."""

    def __init__(self, receive_bytes: int = 0, *, force: bool = True) -> None:
        """``receive_bytes`` 0: RECEIVE_BYTES, by force. ``force``: beyond the system's limit."""
        self._receive_bytes = receive_bytes or RECEIVE_BYTES
        self._force = force or not receive_bytes
        self._sequence = Sequence()
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._sock = socket.socket(socket.AF_NETLINK, kind, _NETLINK_CONNECTOR)
        # The answer to a wish is told to every listener of the machine; the kernel gives this back, plus one.
        self.number = int.from_bytes(os.urandom(3), "little")
        try:
            self._make_room()
            self._sock.bind((0, _INDEX))
            self._ask(_LISTEN)
        except BaseException:
            self._sock.close()
            raise

    def _ask(self, what: int) -> None:
        body = struct.pack("=I", what)
        message = _CONNECTOR.pack(_INDEX, _VALUE, 0, self.number, len(body), 0) + body
        port = self._sock.getsockname()[0]
        self._sock.send(_HEADER.pack(_HEADER.size + len(message), _NLMSG_DONE, 0, 0, port) + message)

    def _make_room(self) -> None:
        forced = getattr(socket, "SO_RCVBUFFORCE", 33) if self._force else socket.SO_RCVBUF
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, forced, self._receive_bytes)
        except PermissionError:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)

    def more_room(self) -> int:
        """Twice as much, up to MAX_RECEIVE_BYTES; returns how much is asked for now."""
        if self._receive_bytes * 2 <= MAX_RECEIVE_BYTES:
            self._receive_bytes *= 2
            self._force = True  # it was too little
            self._make_room()
        return self._receive_bytes

    def fileno(self) -> int:
        return self._sock.fileno()

    def read(self, limit: int) -> tuple[list[Told], bool]:
        """What the kernel has told since, at most ``limit`` datagrams; and whether there may be more."""
        found: list[Told] = []
        for _ in range(limit):
            try:
                data, (port, _) = self._sock.recvfrom(4096)
            except (BlockingIOError, InterruptedError):
                return found, False
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found.append(Lost())
                continue
            if port == 0:  # others may write to the group, too
                found += decode(data, self._sequence)
        return found, True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._ask(_IGNORE)
        self._sock.close()
