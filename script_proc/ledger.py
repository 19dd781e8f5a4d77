"""What the script worker's black box holds: a small table of texts to bytes.

Pure: it makes and reads the bytes of records, the black box stores them. A value that fits into one record
is replaced in place (the box itself keeps the former copy until the new one is whole). A longer one is
written beside the former one, which is given up only then. So a worker killed at any point leaves the
old value or the new one, never a mixture and never none.

``TrackerRecord`` is what is kept of a tracked script, file or process under ``script:NAME``,
``file:NAME``, ``process:NAME``; whoever else keeps something chooses keys of another beginning.
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
MAX_VALUE_BYTES = 480
MAX_KEY_BYTES = 64
_LAYOUT = 1
_HEAD = struct.Struct("=BBBBI")  # layout, length of the key, part, parts, sequence of the value

Write = tuple[int, bytes]
"""(index of the record, its bytes)."""


class LedgerError(Exception):
    """A value that is too long, or no room for it."""


def stored_key(key: str) -> bytes:
    """The key as it is stored: itself, or its beginning and a hash when it is longer than MAX_KEY_BYTES."""
    raw = key.encode("utf-8", "surrogateescape")
    if len(raw) <= MAX_KEY_BYTES:
        return raw
    return raw[: MAX_KEY_BYTES - 17] + b"#" + hashlib.sha256(raw).hexdigest()[:16].encode()


@dataclass(slots=True)
class _Value:
    data: bytes
    sequence: int
    places: list[int]


class Ledger:
    """Which key has which records. Every change returns the records to write, in this order."""

    def __init__(self, records: int) -> None:
        self.records = records
        self._values: dict[bytes, _Value] = {}
        self._free = list(range(records))  # sorted, therefore a heap

    def load(self, read: Callable[[int], bytes | None]) -> list[Write]:
        """Take over what earlier incarnations wrote; returns records to write (leftovers of a kill)."""
        found: dict[bytes, dict[int, dict[int, tuple[int, int, bytes]]]] = {}
        used: set[int] = set()
        for index in range(self.records):
            decoded = _decode(read(index) or b"")
            if decoded is not None:
                key, sequence, part, parts, data = decoded
                used.add(index)
                found.setdefault(key, {}).setdefault(sequence, {})[part] = (index, parts, data)
        self._values.clear()
        for key, versions in found.items():
            for sequence in sorted(versions, reverse=True):
                pieces = versions[sequence]
                if len(pieces) == pieces[min(pieces)][1]:
                    order = [pieces[part] for part in sorted(pieces)]
                    self._values[key] = _Value(
                        data=b"".join(data for _, _, data in order),
                        sequence=sequence,
                        places=[index for index, _, _ in order],
                    )
                    break
        taken = {place for value in self._values.values() for place in value.places}
        self._free = [index for index in range(self.records) if index not in taken]
        return [(index, b"") for index in sorted(used - taken)]

    def get(self, key: str) -> bytes | None:
        value = self._values.get(stored_key(key))
        return None if value is None else value.data

    def keys(self, beginning: str = "") -> list[str]:
        """Stored keys that begin so (long ones end in a hash)."""
        texts = (key.decode("utf-8", "surrogateescape") for key in self._values)
        return sorted(text for text in texts if text.startswith(beginning))

    def put(self, key: str, data: bytes) -> list[Write]:
        """Set a value. Raises LedgerError when it is too long or there is no room; the old one then stays."""
        if len(data) > MAX_VALUE_BYTES:
            raise LedgerError(f"value of {len(data)} bytes for {key!r} is over {MAX_VALUE_BYTES}")
        name = stored_key(key)
        old = self._values.get(name)
        if old is not None and old.data == data:
            return []
        room = RECORD_BYTES - _HEAD.size - len(name)
        pieces = [data[at : at + room] for at in range(0, len(data), room)] or [b""]
        sequence = old.sequence + 1 if old is not None else 1
        if old is not None and len(pieces) == len(old.places) == 1:
            places, given_up = old.places, []
        elif len(pieces) > len(self._free):
            raise LedgerError(f"no room for {key!r}: all {self.records} records are in use")
        else:
            places = [heapq.heappop(self._free) for _ in pieces]
            given_up = old.places if old is not None else []
        self._values[name] = _Value(data=data, sequence=sequence, places=places)
        writes = [
            (place, _HEAD.pack(_LAYOUT, len(name), part, len(pieces), sequence) + name + piece)
            for part, (place, piece) in enumerate(zip(places, pieces, strict=True))
        ]
        return [*writes, *self._give_up(given_up)]

    def remove(self, key: str) -> list[Write]:
        value = self._values.pop(stored_key(key), None)
        return [] if value is None else self._give_up(value.places)

    def _give_up(self, places: Iterable[int]) -> list[Write]:
        given_up = list(places)
        for place in given_up:
            heapq.heappush(self._free, place)
        return [(place, b"") for place in given_up]


def _decode(record: bytes) -> tuple[bytes, int, int, int, bytes] | None:
    if len(record) < _HEAD.size:
        return None
    layout, key_length, part, parts, sequence = _HEAD.unpack_from(record)
    if layout != _LAYOUT or part >= parts or len(record) < _HEAD.size + key_length:
        return None
    at = _HEAD.size + key_length
    return record[_HEAD.size : at], sequence, part, parts, record[at:]


# --- trackers ------------------------------------------------------------------------------------------

_TRACKER = struct.Struct("=BBqHHdddd8sIQ")
# layout, flags, value, successes, failures, since, grid, due, last, program, pid, start of the pid
_KNOWN, _DECIDED = 1, 2
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
    successes: int = 0
    failures: int = 0
    program: bytes = b""
    """``program_number`` of what is run."""
    pid: int = 0
    """Of the running program; 0: none. Written before it can do anything, cleared when it is gone."""
    pid_started: int = 0
    """Its start time as /proc/PID/stat has it: the number may have been given to another one since."""

    def encode(self) -> bytes:
        flags = (_KNOWN if self.value is not None else 0) | (_DECIDED if self.decided else 0)
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
            successes=successes,
            failures=failures,
            program=program,
            pid=pid,
            pid_started=pid_started,
        )


def program_number(words: Iterable[str]) -> bytes:
    """Eight bytes that stand for a command and who runs it."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).digest()[:8]
