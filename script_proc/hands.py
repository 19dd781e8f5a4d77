"""Threads that do one thing and end: some wait ready, so that what is asked for begins at once.

One for each deed, because it may take the identity of a program, and does not get rid of it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable

Deed = Callable[[], None]


class Hands:
    """``give`` and ``refill`` are called on one thread; at most ``spare`` wait."""

    def __init__(self, name: str, *, spare: int) -> None:
        self._name, self._spare = name, spare
        self._waiting: deque[queue.SimpleQueue[Deed | None]] = deque()
        self._closed = False
        self.refill()

    def give(self, deed: Deed) -> None:
        """Do it in a thread of its own. RuntimeError: this process may not have another."""
        box = self._waiting.popleft() if self._waiting else self._new()
        box.put(deed)

    def refill(self) -> None:
        """When there is nothing more urgent."""
        with contextlib.suppress(RuntimeError):  # then there are less
            while len(self._waiting) < self._spare and not self._closed:
                self._waiting.append(self._new())

    def _new(self) -> queue.SimpleQueue[Deed | None]:
        box: queue.SimpleQueue[Deed | None] = queue.SimpleQueue()
        threading.Thread(target=_do, args=(box,), name=self._name, daemon=True).start()
        return box

    def close(self) -> None:
        """Those that wait end; what was given is done."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().put(None)


def _do(box: queue.SimpleQueue[Deed | None]) -> None:
    deed = box.get()
    if deed is not None:
        deed()
