"""The progress of checks as fixed-size records: what a restarted checker continues from.

Pure: it makes and reads the bytes; the black box stores them. Native byte order, one machine.
A record of the box holds ``CHECKS_PER_RECORD`` checks, so that a box of 1,024 records keeps 5,120.
``runs`` is not kept: it counts since the worker started.

A check that finds no room is not recorded. It works like any other, but a restarted checker starts
it anew; ``Ledger.without_room`` lists such checks and the worker says so.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from checker_proc.check import Progress
from checker_proc.outcome import Outcome, Reason
from keepalived_conf.model import Check

_VERSION = 1
_ENTRY = struct.Struct("=8sBBHHHIfddd")
# id, flags, reason, detail, failures, url index, server, age of the last attempt before due, since, grid, due
_USED, _UP, _HAS_RUN, _URL_FAILED = 1, 2, 4, 8
_VERSION_SHIFT = 4  # the layout version sits in the upper half of the flags

ENTRY_BYTES = _ENTRY.size
RECORD_BYTES = 240
CHECKS_PER_RECORD = RECORD_BYTES // ENTRY_BYTES
_EMPTY = bytes(ENTRY_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One check as an earlier incarnation left it."""

    progress: Progress
    server: int
    """``server_number`` of its real server: for checks that a reload gives to a known server."""


def check_number(check_id: str) -> bytes:
    """The 8 bytes that stand for a check id (itself when it is 16 hex digits, else a hash)."""
    if len(check_id) == 16:
        try:
            return bytes.fromhex(check_id)
        except ValueError:
            pass
    return hashlib.sha256(check_id.encode()).digest()[:8]


def server_number(check: Check) -> int:
    """CRC-32 over virtual and real server. A collision only picks another start state for a new check."""
    return zlib.crc32(f"{check.virtual_server}\0{check.real_server}".encode())


def encode(check: Check, progress: Progress) -> bytes:
    """``ENTRY_BYTES`` bytes."""
    flags = (
        _USED
        | (_UP if progress.up else 0)
        | (_HAS_RUN if progress.has_run else 0)
        | (_URL_FAILED if progress.failed_url is not None else 0)
        | _VERSION << _VERSION_SHIFT
    )
    before_due_s = progress.due_at - progress.last_at if progress.last_at else math.nan
    return _ENTRY.pack(
        check_number(check.check_id),
        flags,
        progress.last.reason,
        min(progress.last.detail, 0xFFFF),
        min(progress.failures, 0xFFFF),
        min(progress.url_index, 0xFFFF),
        server_number(check),
        before_due_s,
        progress.since_at,
        progress.grid_at,
        progress.due_at,
    )


def decode(entry: bytes) -> tuple[bytes, Kept] | None:
    """The check number and what was kept of it; None for an empty entry or one that makes no sense."""
    if len(entry) != ENTRY_BYTES:
        return None
    number, flags, reason, detail, failures, url_index, server, before_due_s, since_at, grid_at, due_at = (
        _ENTRY.unpack(entry)
    )
    if not flags & _USED or flags >> _VERSION_SHIFT != _VERSION:
        return None
    if not all(map(math.isfinite, (since_at, grid_at, due_at))):
        return None
    try:
        last = Outcome(reason=Reason(reason), detail=detail)
    except ValueError:
        return None
    progress = Progress(
        up=bool(flags & _UP),
        since_at=since_at,
        grid_at=grid_at,
        due_at=due_at,
        has_run=bool(flags & _HAS_RUN),
        failures=failures,
        url_index=url_index,
        failed_url=url_index if flags & _URL_FAILED else None,
        last_at=due_at - before_due_s if math.isfinite(before_due_s) else 0.0,
        last=last,
    )
    return number, Kept(progress=progress, server=server)


class Ledger:
    """Which check has which place in the box, and the bytes of each record."""

    def __init__(self, records: int) -> None:
        self.without_room: set[str] = set()
        """Ids of checks that are not recorded because the box is full."""
        self._images = [bytearray(RECORD_BYTES) for _ in range(records)]
        self._places: dict[bytes, int] = {}
        self._free = list(range(records * CHECKS_PER_RECORD))  # sorted, therefore a heap

    @property
    def capacity(self) -> int:
        return len(self._images) * CHECKS_PER_RECORD

    def load(self, read: Callable[[int], bytes | None]) -> dict[bytes, Kept]:
        """Take over what earlier incarnations wrote; ``read(index)`` gives a record or None.

        Returns what was kept by check number. Every place stays occupied until it is removed.
        """
        kept: dict[bytes, Kept] = {}
        for index, image in enumerate(self._images):
            data = read(index) or b""
            image[:] = data[:RECORD_BYTES].ljust(RECORD_BYTES, b"\0")
            for slot in range(CHECKS_PER_RECORD):
                decoded = decode(bytes(image[slot * ENTRY_BYTES : (slot + 1) * ENTRY_BYTES]))
                if decoded is not None and decoded[0] not in self._places:
                    kept[decoded[0]] = decoded[1]
                    self._places[decoded[0]] = index * CHECKS_PER_RECORD + slot
        taken = set(self._places.values())
        self._free = [place for place in range(self.capacity) if place not in taken]
        return kept

    def put(self, check: Check, progress: Progress) -> tuple[int, bytes] | None:
        """The record to write for a check: (index, data); None when there is no room for it."""
        number = check_number(check.check_id)
        place = self._places.get(number)
        if place is None:
            if not self._free:
                self.without_room.add(check.check_id)
                return None
            place = self._places[number] = heapq.heappop(self._free)
            self.without_room.discard(check.check_id)
        return self._set(place, encode(check, progress))

    def retain(self, check_ids: set[str]) -> Iterator[tuple[int, bytes]]:
        """Free the places of all other checks; yields the records to write."""
        self.without_room &= check_ids
        wanted = {check_number(check_id) for check_id in check_ids}
        for number in [number for number in self._places if number not in wanted]:
            place = self._places.pop(number)
            heapq.heappush(self._free, place)
            yield self._set(place, _EMPTY)

    def _set(self, place: int, entry: bytes) -> tuple[int, bytes]:
        index, slot = divmod(place, CHECKS_PER_RECORD)
        image = self._images[index]
        image[slot * ENTRY_BYTES : (slot + 1) * ENTRY_BYTES] = entry
        return index, bytes(image)
