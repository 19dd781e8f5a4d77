"""Terminal output: a time line above, one live line below; plain lines where nobody watches."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence

LIVE_VARIABLE = "PYKEEPALIVED_DEMO_LIVE"
"""Set for a demo in the test kernel, whose output is a file here but a terminal at its reader's."""
_CODES = {"good": "32", "bad": "31;1", "deed": "33", "head": "1", "faint": "2"}


class Screen:
    """Safe to use from several threads."""

    def __init__(self, live: bool | None = None) -> None:
        wanted = sys.stdout.isatty() or os.environ.get(LIVE_VARIABLE) == "1"
        self.live = wanted if live is None else live
        self._colour = self.live and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._started_at = time.monotonic()
        self._status = ""

    def paint(self, text: str, kind: str) -> str:
        return f"\x1b[{_CODES[kind]}m{text}\x1b[0m" if self._colour else text

    def clock(self) -> str:
        return f"{time.monotonic() - self._started_at:5.1f} s"

    def start_clock(self) -> None:
        self._started_at = time.monotonic()

    def line(self, text: str = "", kind: str | None = None) -> None:
        with self._lock:
            self._erase()
            print(self.paint(text, kind) if kind else text)
            self._draw()

    def event(self, who: str, text: str, kind: str | None = None) -> None:
        """One entry of the time line."""
        body = self.paint(text, kind) if kind else text
        self.line(f"{self.clock()}  {who:<13} {body}")

    def status(self, text: str) -> None:
        """The live line; nothing where the output is not a terminal."""
        if not self.live:
            return
        width = int(os.environ.get("COLUMNS") or 0) or shutil.get_terminal_size((110, 24)).columns
        with self._lock:
            self._erase()
            self._status = text[: width - 1]
            self._draw()

    def end_status(self) -> None:
        with self._lock:
            self._erase()
            self._status = ""
            sys.stdout.flush()

    def _erase(self) -> None:
        if self._status:
            sys.stdout.write("\r\x1b[K")

    def _draw(self) -> None:
        sys.stdout.write(self._status)
        sys.stdout.flush()

    def table(self, head: Sequence[str], rows: Sequence[Sequence[tuple[str, str | None]]]) -> None:
        """Columns as wide as they need; a cell is its text and how to paint it."""
        widths = [
            max(len(head[i]), *(len(row[i][0]) for row in rows)) if rows else len(head[i])
            for i in range(len(head))
        ]
        self.line("  ".join(text.ljust(width) for text, width in zip(head, widths, strict=True)), "head")
        self.line("  ".join("-" * width for width in widths), "faint")
        for row in rows:
            cells = []
            for (text, kind), width in zip(row, widths, strict=True):
                padded = text.ljust(width)
                cells.append(self.paint(padded, kind) if kind else padded)
            self.line("  ".join(cells).rstrip())
