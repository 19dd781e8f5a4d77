"""What programs write: always read, so that none waits for us, and only the last words kept."""

from __future__ import annotations

import asyncio
import os
from collections import deque

KEPT_BYTES = 4096
_AT_ONCE = 8
_PAUSE_S = 0.02
"""After so many reads in a turn. Who writes more than 26 MB a second waits for us, which costs nobody a
processor; read without pauses, a flood takes one of its own and one of this worker."""
_CHUNK_BYTES = 65536
_LEFT_MAX = 256
"""Pipes of programs that ended but left somebody in the background who may write."""


class Output:
    """The output of one program."""

    def __init__(self, owner: Outputs, fd: int) -> None:
        self._owner, self._fd = owner, fd
        self._last = b""
        self._keeping = True
        self._pause: asyncio.TimerHandle | None = None
        owner.loop.add_reader(fd, self._readable)

    def text(self) -> str:
        """Its last words, at most 4096 octets."""
        return self._last.decode("utf-8", "replace").strip()

    def finish(self) -> None:
        """The program ended: what it wrote until now counts; what others of it write is thrown away."""
        for _ in range(_AT_ONCE):
            if self._fd < 0 or not self._read():
                break
        self._keeping = False
        if self._fd >= 0:
            self._owner.leave(self)

    def close(self) -> None:
        if self._fd >= 0:
            if self._pause is not None:
                self._pause.cancel()
            self._owner.loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._owner.closed(self)

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            if self._fd < 0 or not self._read():
                return
        self._owner.loop.remove_reader(self._fd)
        self._pause = self._owner.loop.call_later(_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._owner.loop.add_reader(self._fd, self._readable)

    def _read(self) -> bool:
        """Read once. False: nothing more now."""
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        if self._keeping:
            self._last = (self._last + data)[-KEPT_BYTES:]
        return True


class Outputs:
    """All of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._open: set[Output] = set()
        self._left: deque[Output] = deque()

    def open(self, fd: int) -> Output:
        """Read from ``fd`` (non-blocking, taken over) until everybody who could write is gone."""
        output = Output(self, fd)
        self._open.add(output)
        return output

    def leave(self, output: Output) -> None:
        """Its program is gone, somebody else still holds it."""
        self._left.append(output)
        while len(self._left) > _LEFT_MAX:
            self._left.popleft().close()

    def closed(self, output: Output) -> None:
        self._open.discard(output)
        if output in self._left:
            self._left.remove(output)

    def close(self) -> None:
        for output in list(self._open):
            output.close()
