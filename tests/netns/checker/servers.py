"""Servers that answer, refuse, stall, drip, reset and lie, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(talk: Talk, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server whose every connection is one ``talk``; gives its port."""
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            talks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


def saying(*pieces: bytes, pause_s: float = 0.0, hold: bool = False, reset: bool = False) -> Talk:
    """Read the request, send the pieces, then close (or hold the connection, or reset it)."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if hold:
            await asyncio.sleep(60)
        if reset:
            await asyncio.sleep(0.05)  # let the bytes arrive before the reset overtakes them
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    return talk


def recording(requests: list[bytes], answer: bytes) -> Talk:
    """Keep what was asked; answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()

    return talk


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A listener whose queue is full: further connection requests are dropped without a word."""
    listener = socket.socket()
    clients = []
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            client.connect_ex(listener.getsockname())
            clients.append(client)
        yield listener.getsockname()[1]
    finally:
        for sock in (listener, *clients):
            sock.close()


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
