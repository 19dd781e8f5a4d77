"""Last values of trackers in the black box, for the next incarnation.

They are in the uppermost records, which no virtual router gets: entries of a digest of the tracker's key
and its value, each at a place of its own for as long as it is followed. A value that finds no place is
not kept: a restart then knows nothing of that tracker until it reports.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection

from worker.blackbox import MAX_RECORD_BYTES, BlackBox

_ENTRY = struct.Struct("!8sqB")
_HEAD = b"trk1"
PER_RECORD = (MAX_RECORD_BYTES - len(_HEAD)) // _ENTRY.size
_RECORDS_MAX = 64
_FREE = _ENTRY.pack(b"", 0, 0)


def reserved(box: BlackBox) -> int:
    """How many of the uppermost records are for values."""
    return min(_RECORDS_MAX, box.records // 16)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


class KeptValues:
    """Values by key of ``TrackerState``. Without a box nothing outlives the process."""

    def __init__(self, box: BlackBox | None) -> None:
        self._box = box
        self._records: list[bytearray] = []
        self._place: dict[bytes, int] = {}
        self._free: list[int] = []
        if box is None:
            return
        for number in range(reserved(box)):
            data = box.read(self._index(number)) or b""
            entries = bytearray(_FREE * PER_RECORD)
            if data.startswith(_HEAD) and len(data) == len(_HEAD) + len(entries):
                entries = bytearray(data[len(_HEAD) :])
            self._records.append(entries)
        for place in range(len(self._records) * PER_RECORD):
            digest, _, known = self._entry(place)
            if known:
                self._place[digest] = place
            else:
                self._free.append(place)
        self._free.reverse()

    def _index(self, number: int) -> int:
        assert self._box is not None
        return self._box.records - 1 - number

    def _entry(self, place: int) -> tuple[bytes, int, int]:
        record, at = divmod(place, PER_RECORD)
        digest, value, known = _ENTRY.unpack_from(self._records[record], at * _ENTRY.size)
        return digest, value, known

    def get(self, key: str) -> int | None:
        """What an earlier incarnation, or this one, put down; None: nothing."""
        place = self._place.get(_digest(key))
        return None if place is None else self._entry(place)[1]

    def put(self, key: str, value: int) -> None:
        """Write it down, before anybody acts on it."""
        digest = _digest(key)
        place = self._place.get(digest)
        if place is None:
            if not self._free:
                return
            place = self._place[digest] = self._free.pop()
        self._write(place, _ENTRY.pack(digest, value, 1))

    def keep_only(self, keys: Collection[str]) -> None:
        """Forget what is followed no more."""
        wanted = {_digest(key) for key in keys}
        for digest in [digest for digest in self._place if digest not in wanted]:
            place = self._place.pop(digest)
            self._free.append(place)
            self._write(place, _FREE)

    def _write(self, place: int, entry: bytes) -> None:
        record, at = divmod(place, PER_RECORD)
        entries = self._records[record]
        entries[at * _ENTRY.size : (at + 1) * _ENTRY.size] = entry
        if self._box is not None:
            self._box.write(self._index(record), _HEAD + bytes(entries))
