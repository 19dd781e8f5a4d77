"""What probes share: a socket as the check asks for, connecting, and waiting with a deadline.

Bare non-blocking sockets with add_reader and add_writer: an attempt costs no transport and no
protocol object, errors arrive as errno, and closing is ours alone.

Deadlines are judged fairly: when a timer fires, the socket is looked at once more. A worker that did
not get the CPU for a second must not take a server down because its answer lay unread that long.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from checker_proc.outcome import Outcome, Reason
from keepalived_conf.model import Check, IpAddress

_IP_BIND_ADDRESS_NO_PORT = 24
_ANY = {4: "0.0.0.0", 6: "::"}
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_NO_PORT = {errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAGAIN}


class ProbeEnd(Exception):  # noqa: N818  (not always an error of ours: it carries the outcome)
    """The attempt is over before its regular end."""

    def __init__(self, reason: Reason, detail: int = 0) -> None:
        super().__init__(reason, detail)
        self.outcome = Outcome(reason=reason, detail=detail)


@asynccontextmanager
async def connected(check: Check) -> AsyncIterator[socket.socket]:
    """A connection to the check's target within connect_timeout, closed at the end of the block.

    Raises ProbeEnd with the outcome when there is none.
    """
    sock = _open(check)
    try:
        await _connect(sock, _target(check, check.connect_ip, check.connect_port), check.connect_timeout_s)
        yield sock
    finally:
        sock.close()


async def wait_ready(sock: socket.socket, timeout_s: float, *, write: bool = False) -> bool:
    """Wait until ``sock`` can be read (or written); False when ``timeout_s`` passed without."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()
    fd = sock.fileno()

    def settle(value: bool) -> None:
        if not ready.done():
            ready.set_result(value)

    def expire() -> None:
        settle(_ready_now(fd, write=write))

    (loop.add_writer if write else loop.add_reader)(fd, settle, True)
    timer = loop.call_later(timeout_s, expire)
    try:
        return await ready
    finally:
        timer.cancel()
        (loop.remove_writer if write else loop.remove_reader)(fd)


def _ready_now(fd: int, *, write: bool) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(0))


def _open(check: Check) -> socket.socket:
    family = socket.AF_INET6 if check.connect_ip.version == 6 else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise ProbeEnd(Reason.NO_SOCKET, error.errno or 0) from None
    try:
        _set_options(sock, check)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_options(sock: socket.socket, check: Check) -> None:
    if check.fwmark:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, check.fwmark)
        except OSError as error:
            raise ProbeEnd(Reason.CANNOT_MARK, error.errno or 0) from None
    try:
        if check.bind_if is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, check.bind_if.encode())
        if check.bindto is None and not check.bind_port:
            return
        if check.bind_port:
            # One local port for every attempt: the last connection must not occupy it for a minute
            # (TIME_WAIT), so it is ended with a reset, and others may use the port to other targets.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            # Choose the port at connect, where only the pair has to be unique: no limit of 28,000.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind(_target(check, check.bindto, check.bind_port))
    except OSError as error:
        raise ProbeEnd(Reason.CANNOT_BIND, error.errno or 0) from None


def _target(check: Check, address: IpAddress | None, port: int) -> tuple[Any, ...]:
    if address is None:
        return (_ANY[check.connect_ip.version], port)
    if address.version == 4:
        return (str(address), port)
    scope = 0
    if address.is_link_local and check.bind_if is not None:
        try:
            scope = socket.if_nametoindex(check.bind_if)
        except OSError as error:
            raise ProbeEnd(Reason.CANNOT_BIND, error.errno or errno.ENODEV) from None
    return (str(address), port, 0, scope)


async def _connect(sock: socket.socket, target: tuple[Any, ...], timeout_s: float) -> None:
    try:
        number = sock.connect_ex(target)
    except OSError as error:  # address conversion only; the call itself returns its errno
        raise ProbeEnd(Reason.CONNECT_ERROR, error.errno or 0) from None
    if number == errno.EINPROGRESS:
        if not await wait_ready(sock, timeout_s, write=True):
            raise ProbeEnd(Reason.CONNECT_TIMEOUT)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise _connect_end(number)
    if sock.getsockname()[:2] == target[:2]:
        # A closed port of this host in the ephemeral range: the kernel may choose that very port for
        # our side and connect the socket to itself.
        raise ProbeEnd(Reason.REFUSED)


def _connect_end(number: int) -> ProbeEnd:
    if number == errno.ECONNREFUSED:
        return ProbeEnd(Reason.REFUSED)
    if number == errno.ETIMEDOUT:
        return ProbeEnd(Reason.CONNECT_TIMEOUT)
    if number in _UNREACHABLE:
        return ProbeEnd(Reason.UNREACHABLE, number)
    if number in _NO_PORT:
        return ProbeEnd(Reason.NO_LOCAL_PORT, number)
    if number in _OUT_OF_RESOURCES:
        return ProbeEnd(Reason.NO_SOCKET, number)
    return ProbeEnd(Reason.CONNECT_ERROR, number)
