"""What the script worker's black box holds of its trackers: one record each.

Pure: it makes and reads the bytes of records, the black box stores them (and keeps the former copy of one
until the new one is whole). The key of a record is ``script:NAME``, ``file:NAME`` or ``process:NAME``, as
on the bus.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

RECORD_BYTES = 240
"""As worker.blackbox.MAX_RECORD_BYTES."""
MAX_KEY_BYTES = 80
_LAYOUT = 1
_HEAD = struct.Struct("=BB")  # layout, length of the key

Write = tuple[int, bytes]
"""(index of the record, its bytes)."""


def stored_key(key: str) -> str:
    """The key as it is stored: itself, or its beginning and a hash when it is longer than MAX_KEY_BYTES."""
    raw = key.encode("utf-8", "surrogateescape")
    if len(raw) <= MAX_KEY_BYTES:
        return key
    short = raw[: MAX_KEY_BYTES - 17] + b"#" + hashlib.sha256(raw).hexdigest()[:16].encode()
    return short.decode("utf-8", "surrogateescape")


class Ledger:
    """Which key has which record."""

    def __init__(self, records: int) -> None:
        self.records = records
        self._places: dict[str, int] = {}
        self._free = list(range(records))  # sorted, therefore a heap

    def load(self, read: Callable[[int], bytes | None]) -> dict[str, TrackerRecord]:
        """Take over what earlier incarnations wrote: stored key -> record. Its places stay occupied."""
        found: dict[str, TrackerRecord] = {}
        for index in range(self.records):
            decoded = _decode(read(index) or b"")
            if decoded is not None and decoded[0] not in found:
                found[decoded[0]] = decoded[1]
                self._places[decoded[0]] = index
        taken = set(self._places.values())
        self._free = [index for index in range(self.records) if index not in taken]
        return found

    def put(self, key: str, record: TrackerRecord) -> Write | None:
        """The record to write; None when there is no room for it."""
        name = stored_key(key)
        place = self._places.get(name)
        if place is None:
            if not self._free:
                return None
            place = self._places[name] = heapq.heappop(self._free)
        raw = name.encode("utf-8", "surrogateescape")
        return place, _HEAD.pack(_LAYOUT, len(raw)) + raw + record.encode()

    def remove(self, key: str) -> Write | None:
        """Free its place; the record to write, None when it had none."""
        place = self._places.pop(stored_key(key), None)
        if place is None:
            return None
        heapq.heappush(self._free, place)
        return place, b""


def _decode(data: bytes) -> tuple[str, TrackerRecord] | None:
    if len(data) < _HEAD.size:
        return None
    layout, length = _HEAD.unpack_from(data)
    at = _HEAD.size + length
    record = TrackerRecord.decode(data[at:]) if layout == _LAYOUT and length else None
    if record is None:
        return None
    return data[_HEAD.size : at].decode("utf-8", "surrogateescape"), record


# --- trackers ------------------------------------------------------------------------------------------

_TRACKER = struct.Struct("=BBqHHdddd8sIQ")
# layout, flags, value, successes, failures, since, grid, due, last, program, pid, start of the pid
_KNOWN, _DECIDED, _QUIET = 1, 2, 4
STARTING = 1
"""In place of a pid. Written before a program is started: a worker killed before it could note the pid leaves
a program that nobody knows, and a successor has to look for it."""
_TEXT_BYTES = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerRecord:
    """What is kept of one tracker. Of files and processes only value, since, last and text."""

    value: int | None
    since_at: float
    last_at: float = 0.0
    text: str = ""
    grid_at: float = 0.0
    due_at: float = 0.0
    decided: bool = False
    quiet: bool = False
    """Its last run wrote little."""
    successes: int = 0
    failures: int = 0
    program: bytes = bytes(8)
    """``program_number`` of what is run."""
    pid: int = 0
    """Of the program that runs; 0: none, STARTING: one is being started."""
    pid_started: int = 0
    """Its start time as /proc/PID/stat has it: the number may have been given to another one since."""

    def encode(self) -> bytes:
        flags = (_KNOWN if self.value is not None else 0) | (_DECIDED if self.decided else 0)
        flags |= _QUIET if self.quiet else 0
        text = self.text.encode("utf-8", "replace")[:_TEXT_BYTES]
        return (
            _TRACKER.pack(
                _LAYOUT,
                flags,
                self.value or 0,
                min(self.successes, 0xFFFF),
                min(self.failures, 0xFFFF),
                self.since_at,
                self.grid_at,
                self.due_at,
                self.last_at,
                self.program,
                self.pid,
                self.pid_started,
            )
            + text
        )

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """None for bytes that make no sense."""
        if len(data) < _TRACKER.size:
            return None
        layout, flags, value, successes, failures, *instants, program, pid, pid_started = (
            _TRACKER.unpack_from(data)
        )
        if layout != _LAYOUT or not all(map(math.isfinite, instants)):
            return None
        since_at, grid_at, due_at, last_at = instants
        return cls(
            value=value if flags & _KNOWN else None,
            since_at=since_at,
            last_at=last_at,
            text=data[_TRACKER.size :].decode("utf-8", "ignore"),
            grid_at=grid_at,
            due_at=due_at,
            decided=bool(flags & _DECIDED),
            quiet=bool(flags & _QUIET),
            successes=successes,
            failures=failures,
            program=program,
            pid=pid,
            pid_started=pid_started,
        )


def program_number(words: Iterable[str]) -> bytes:
    """Eight bytes that stand for a command and who runs it."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).digest()[:8]
