"""The operator's socket: a SOCK_SEQPACKET of the supervisor's own, mode 0600.

It works exactly when the bus is sick. One request per message, one answer: msgpack maps with the
protocol version in ``v``. Root and the daemon's own user may speak; anybody else is told so.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

OPERATOR_VERSION = 1
MAX_BYTES = 1 << 18
MAX_CLIENTS = 32


class OperatorError(Exception):
    """The supervisor cannot be asked, or refused; the text is for the user."""


class Client:
    """One connection; an answer that does not fit in the socket is dropped with the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def answer(self, body: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.sock.send(
                msgpack.packb({"v": OPERATOR_VERSION, **body}), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
            )

    def close(self) -> None:
        self.sock.close()


class OperatorServer:
    """Listens, accepts, decodes; what a request means is the caller's ``handle(request, client)``."""

    def __init__(self, path: Path, handle: Callable[[dict[str, Any], Client], None]) -> None:
        self._handle = handle
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        old = os.umask(0o177)
        try:
            self._sock.bind(str(path))
        finally:
            os.umask(old)
        self._sock.listen(16)
        self.clients: dict[int, Client] = {}

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> Client | None:
        """The next connection if its user may speak; anyone else is told why not."""
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return None
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_BYTES * 2)
        _, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        client = Client(sock)
        if uid not in (0, os.geteuid()):
            client.answer({"ok": False, "error": f"uid {uid} may not command this daemon; use root"})
        elif len(self.clients) >= MAX_CLIENTS:
            client.answer({"ok": False, "error": "too many operators are connected; try again"})
        else:
            self.clients[sock.fileno()] = client
            return client
        client.close()
        return None

    def readable(self, client: Client) -> bool:
        """Read one request; False when the connection ended."""
        try:
            data = client.sock.recv(MAX_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.drop(client)
            return False
        try:
            request = msgpack.unpackb(data)
            if not isinstance(request, dict) or request.get("v") != OPERATOR_VERSION:
                raise ValueError(f"expected a map with v={OPERATOR_VERSION}")
        except Exception as error:  # noqa: BLE001 - msgpack raises many types; the operator needs one text
            client.answer({"ok": False, "error": f"malformed request: {error}"})
            return True
        self._handle(request, client)
        return True

    def drop(self, client: Client) -> None:
        self.clients.pop(client.sock.fileno(), None)
        client.close()

    def close(self) -> None:
        for client in list(self.clients.values()):
            self.drop(client)
        self._sock.close()


def ask(path: Path, command: str, *, timeout_s: float = 10.0, **arguments: Any) -> dict[str, Any]:
    """One request to the daemon behind ``path``. Raises OperatorError with a text for the user."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MAX_BYTES * 2)
        try:
            sock.connect(str(path))
            sock.send(msgpack.packb({"v": OPERATOR_VERSION, "do": command, **arguments}))
            data = sock.recv(MAX_BYTES)
        except FileNotFoundError:
            raise OperatorError(f"no daemon here: there is no {path}") from None
        except ConnectionRefusedError:
            raise OperatorError(f"no daemon answers at {path}; is it running?") from None
        except PermissionError:
            raise OperatorError(f"not allowed to use {path}: try as root") from None
        except TimeoutError:
            raise OperatorError(f"the daemon did not answer within {timeout_s:g} s") from None
        except OSError as error:
            raise OperatorError(f"{path}: {error.strerror}") from None
    if not data:
        raise OperatorError("the daemon closed the connection")
    answer = msgpack.unpackb(data)
    if not isinstance(answer, dict):
        raise OperatorError("the daemon's answer is malformed")
    if not answer.get("ok"):
        raise OperatorError(str(answer.get("error", "the daemon refused")))
    return answer
