"""A log of entries in shared memory that outlives the process: what a killed worker's successor plays again.

One memfd with two halves. The active half begins with a head (magic, generation, CRC-32), then come entries:
length, CRC-32, msgpack. An entry counts once its length and CRC are written, which happens after its bytes;
the CRC is seeded with the half's generation, so that what an earlier use of the half left is never taken
for one. When the active half is full or much longer than what it stands for, the other half gets a snapshot
under the next generation, and its head last: a process killed at any point leaves one half that is whole.

Appending is a copy in memory, no system call; it never waits.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

from bus.codec import CodecError, pack, unpack
from script_proc.book import Entry

HALF_BYTES = 16 * 1024 * 1024
COMPACT_BYTES = 1024 * 1024
"""A half that has grown by this and to twice its snapshot is written anew."""
MAX_ENTRY_BYTES = 1024 * 1024
_MAGIC = b"PKNJ"
_HEAD = struct.Struct("=4sQI")
_ENTRY = struct.Struct("=II")
_HEAD_BYTES = 64


class JournalError(Exception):
    """The descriptor holds no journal, or an entry does not fit."""


class Journal:
    """``fd`` None: a new one in memory; ``fileno`` is to be kept for the successor."""

    def __init__(self, fd: int | None = None, *, half_bytes: int = HALF_BYTES) -> None:
        if fd is None:
            fd = os.memfd_create("notify.journal", os.MFD_CLOEXEC)
            os.ftruncate(fd, 2 * half_bytes)
        else:
            half_bytes = os.fstat(fd).st_size // 2
            if half_bytes < _HEAD_BYTES or half_bytes % mmap.PAGESIZE:
                raise JournalError(f"a journal of {2 * half_bytes} bytes")
        self._fd = fd
        self._half_bytes = half_bytes
        self._map = mmap.mmap(fd, 2 * half_bytes)
        self._generation, self._half = 0, 1
        for half in (0, 1):
            generation = self._head(half)
            if generation is not None and generation > self._generation:
                self._generation, self._half = generation, half
        self._at = self._base + _HEAD_BYTES
        self._snapshot_bytes = 0

    def fileno(self) -> int:
        return self._fd

    @property
    def _base(self) -> int:
        return self._half * self._half_bytes

    def _head(self, half: int) -> int | None:
        magic, generation, crc = _HEAD.unpack_from(self._map, half * self._half_bytes)
        return generation if magic == _MAGIC and crc == _seed(generation) else None

    def read(self) -> Iterator[Entry]:
        """All entries, oldest first; call it once, before ``append``."""
        end = self._base + self._half_bytes
        while self._generation and self._at + _ENTRY.size <= end:
            length, crc = _ENTRY.unpack_from(self._map, self._at)
            begin = self._at + _ENTRY.size
            if not 0 < length <= end - begin:
                return
            data = self._map[begin : begin + length]
            if zlib.crc32(data, _seed(self._generation)) != crc:
                return
            try:
                entry = unpack(data, limit=MAX_ENTRY_BYTES)
            except CodecError:
                return
            if not isinstance(entry, tuple):
                return
            self._at = begin + length
            yield entry

    def append(self, entry: Entry, snapshot: Callable[[], Iterable[Entry]]) -> None:
        """Add an entry. ``snapshot``: everything up to, but without it, for when the half must be changed.
        JournalError: there is no room, even so; nothing was written."""
        try:
            data = pack(entry, limit=MAX_ENTRY_BYTES)
        except CodecError as error:
            raise JournalError(str(error)) from None
        grown_bytes = self._at - self._base - self._snapshot_bytes
        full = self._at + _ENTRY.size + len(data) > self._base + self._half_bytes
        if not self._generation or full or grown_bytes > max(COMPACT_BYTES, self._snapshot_bytes):
            self.rewrite(snapshot())
        self._put(data)

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Begin the other half with these. JournalError: they do not fit, all is as it was."""
        former = self._generation, self._half, self._at
        self._generation, self._half = self._generation + 1, 1 - self._half
        self._at = self._base + _HEAD_BYTES
        try:
            self._map[self._base : self._base + _HEAD_BYTES] = bytes(_HEAD_BYTES)
            for entry in entries:
                self._put(pack(entry, limit=MAX_ENTRY_BYTES))
        except (JournalError, CodecError) as error:
            self._generation, self._half, self._at = former
            raise JournalError(str(error)) from None
        self._snapshot_bytes = self._at - self._base
        _HEAD.pack_into(self._map, self._base, _MAGIC, self._generation, _seed(self._generation))
        # The half that is no longer needed gives its memory back.
        with contextlib.suppress(OSError, ValueError):
            self._map.madvise(mmap.MADV_REMOVE, (1 - self._half) * self._half_bytes, self._half_bytes)

    def _put(self, data: bytes) -> None:
        begin = self._at + _ENTRY.size
        if begin + len(data) > self._base + self._half_bytes:
            raise JournalError(f"no room for {len(data)} more bytes in {self._half_bytes}")
        self._map[begin : begin + len(data)] = data
        _ENTRY.pack_into(self._map, self._at, len(data), zlib.crc32(data, _seed(self._generation)))
        self._at = begin + len(data)

    def close(self) -> None:
        """The memory lives on as long as somebody has the descriptor."""
        self._map.close()
        os.close(self._fd)


def _seed(generation: int) -> int:
    return zlib.crc32(generation.to_bytes(8, "little"))
