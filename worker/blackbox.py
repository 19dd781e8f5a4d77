"""The black box: what a worker resumes from, and what others undo for it. Standard library only.

One shared file mapping per resuming role. It lives on a tmpfs and is owned by the supervisor, so it
outlives every incarnation, and ``pykeepalived fence`` can read it when every process is gone. Pages
are allocated at creation: a full file system can never raise SIGBUS under a worker.

Everything that changes is written twice in turn (copy A, copy B), each copy with a sequence number
and a CRC-32; a reader takes the newest valid one. A process killed in the middle of a write leaves
the older copy, never a mixture.

Layout (native byte order; both ends are on one machine)::

    0      header, 64 bytes: magic, layout version, size, slots, records, ring, undo size, role
    64     slots * 128: fence copy A, fence copy B (32 each), undo index A, B (16 each), 32 spare
    ...    records * 512: copy A, copy B: sequence, CRC, length, up to 240 bytes
    ...    ring: write position (8), spare (56), then entries of 64 bytes
    ...    undo area
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"PKBX"
LAYOUT_VERSION = 1
MAX_RECORD_BYTES = 240
MAX_RING_BYTES = 56

_HEADER = struct.Struct("=4sHHQIIIQ16s")
_FENCE = struct.Struct("=II?3xdd")  # sequence crc active deadline_at prio0_until_at (28 of 32 bytes)
_FENCE_BODY = struct.Struct("=I?3xdd")
_INDEX = struct.Struct("=IIII")  # sequence crc offset length
_RECORD = struct.Struct("=IIH")  # sequence crc length
_SLOTS_AT, _SLOT_BYTES, _COPY_BYTES, _RECORD_BYTES, _RING_ENTRY = 64, 128, 256, 512, 64


class BoxError(Exception):
    """The file is not a black box of this layout, or something does not fit in it."""


@dataclass(frozen=True, slots=True)
class FenceSlot:
    """One thing that must be undone when its owner does not renew it."""

    slot: int
    active: bool
    deadline_at: float
    prio0_until_at: float
    """After this instant a release packet has no meaning any more: undo without packets."""


class BlackBox:
    """A mapped black box; any number of processes may have it mapped, one writes."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if size < _SLOTS_AT:
            raise BoxError(f"black box of {size} bytes is too short")
        self._map = mmap.mmap(fd, size)
        self.slots: int
        self.records: int
        self.ring: int
        self.undo_bytes: int
        magic, layout, _, total, self.slots, self.records, self.ring, self.undo_bytes, role = (
            _HEADER.unpack_from(self._map, 0)
        )
        if magic != MAGIC or layout != LAYOUT_VERSION or total != size:
            self._map.close()
            raise BoxError(
                f"not a black box of layout {LAYOUT_VERSION}: {magic!r} layout {layout} size {total}"
            )
        self.role = role.rstrip(b"\0").decode()
        self._records_at = _SLOTS_AT + self.slots * _SLOT_BYTES
        self._ring_at = self._records_at + self.records * _RECORD_BYTES
        self._undo_at = self._ring_at + 64 + self.ring * _RING_ENTRY

    # --- making and opening --------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        role: str,
        path: Path | None = None,
        *,
        slots: int = 1024,
        records: int = 1024,
        ring: int = 4096,
        undo_bytes: int = 1 << 20,
    ) -> int:
        """A new empty box as a descriptor: a file at ``path``, or an anonymous memfd without one."""
        size = (
            _SLOTS_AT + slots * _SLOT_BYTES + records * _RECORD_BYTES + 64 + ring * _RING_ENTRY + undo_bytes
        )
        if path is None:
            fd = os.memfd_create(f"box.{role}", os.MFD_CLOEXEC)
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
            os.pwrite(
                fd,
                _HEADER.pack(MAGIC, LAYOUT_VERSION, 0, size, slots, records, ring, undo_bytes, role.encode()),
                0,
            )
        except OSError:
            os.close(fd)
            raise
        return fd

    @classmethod
    def attach(cls, fd: int) -> BlackBox:
        """Map the box behind ``fd``. Raises BoxError when it is not one."""
        return cls(fd)

    def close(self) -> None:
        self._map.close()

    def take_over(self, other: BlackBox) -> None:
        """Make this new box hold what a smaller one of the same kind holds, as it is, byte for byte.

        Nobody may be writing to either. Raises BoxError when more than the number of records differs.
        """
        kind = (self.role, self.slots, self.ring, self.undo_bytes)
        if kind != (other.role, other.slots, other.ring, other.undo_bytes) or self.records < other.records:
            raise BoxError("only a box of the same role and sizes with fewer records can be taken over")
        self._map[_SLOTS_AT : self._records_at + other.records * _RECORD_BYTES] = other._map[
            _SLOTS_AT : other._ring_at
        ]
        self._map[self._ring_at :] = other._map[other._ring_at :]

    # --- fence slots ---------------------------------------------------------------------------

    def arm(self, slot: int, deadline_at: float, prio0_until_at: float) -> None:
        """From now on: unless renewed before ``deadline_at``, the janitor performs the slot's undo."""
        self._write_fence(slot, True, deadline_at, prio0_until_at)

    def disarm(self, slot: int) -> None:
        self._write_fence(slot, False, 0.0, 0.0)

    def _write_fence(self, slot: int, active: bool, deadline_at: float, prio0_until_at: float) -> None:
        at = self._slot_at(slot)
        newest, where = self._newest_fence(at)
        sequence = _next(newest[0]) if newest else 1
        target = at + 32 if where == at else at
        crc = zlib.crc32(_FENCE_BODY.pack(sequence, active, deadline_at, prio0_until_at))
        _FENCE.pack_into(self._map, target, sequence, crc, active, deadline_at, prio0_until_at)

    def _newest_fence(self, at: int) -> tuple[tuple[int, bool, float, float] | None, int]:
        best: tuple[int, bool, float, float] | None = None
        where = at + 32
        for copy in (at, at + 32):
            sequence, crc, active, deadline_at, until_at = _FENCE.unpack_from(self._map, copy)
            if not sequence or crc != zlib.crc32(_FENCE_BODY.pack(sequence, active, deadline_at, until_at)):
                continue
            if best is None or _newer(sequence, best[0]):
                best, where = (sequence, active, deadline_at, until_at), copy
        return best, where

    def fence(self, slot: int) -> FenceSlot:
        """The slot as last written (inactive when never written)."""
        newest, _ = self._newest_fence(self._slot_at(slot))
        if newest is None:
            return FenceSlot(slot, False, 0.0, 0.0)
        return FenceSlot(slot, *newest[1:])

    def armed(self) -> list[FenceSlot]:
        """Every slot that is armed."""
        found = []
        for slot in range(self.slots):
            at = self._slot_at(slot)
            # Slots in use are few: look only at those whose first bytes were ever written.
            if self._map[at : at + 4] != b"\0\0\0\0" or self._map[at + 32 : at + 36] != b"\0\0\0\0":
                state = self.fence(slot)
                if state.active:
                    found.append(state)
        return found

    # --- undo bytes ----------------------------------------------------------------------------

    def set_undo(self, slot: int, data: bytes) -> None:
        """Store what undoes this slot. The former bytes stay valid until the new ones are complete."""
        at = self._slot_at(slot) + 64
        newest, where = self._newest_index(at)
        offset = self._free_space(len(data))
        self._map[self._undo_at + offset : self._undo_at + offset + len(data)] = data
        sequence = _next(newest[0]) if newest else 1
        target = at + 16 if where == at else at
        crc = zlib.crc32(data, zlib.crc32(struct.pack("=III", sequence, offset, len(data))))
        _INDEX.pack_into(self._map, target, sequence, crc, offset, len(data))

    def undo(self, slot: int) -> bytes:
        """The slot's undo bytes (empty when there are none)."""
        newest, _ = self._newest_index(self._slot_at(slot) + 64)
        if newest is None:
            return b""
        _, offset, length = newest
        return self._map[self._undo_at + offset : self._undo_at + offset + length]

    def _newest_index(self, at: int) -> tuple[tuple[int, int, int] | None, int]:
        best: tuple[int, int, int] | None = None
        where = at + 16
        for copy in (at, at + 16):
            sequence, crc, offset, length = _INDEX.unpack_from(self._map, copy)
            if not sequence or offset + length > self.undo_bytes:
                continue
            data = self._map[self._undo_at + offset : self._undo_at + offset + length]
            if crc != zlib.crc32(data, zlib.crc32(struct.pack("=III", sequence, offset, length))):
                continue
            if best is None or _newer(sequence, best[0]):
                best, where = (sequence, offset, length), copy
        return best, where

    def _free_space(self, length: int) -> int:
        """Offset of a gap of ``length`` bytes that no slot's current undo bytes use."""
        used = []
        for slot in range(self.slots):
            at = self._slot_at(slot) + 64
            if self._map[at : at + 4] == b"\0\0\0\0" and self._map[at + 16 : at + 20] == b"\0\0\0\0":
                continue
            newest, _ = self._newest_index(at)
            if newest and newest[2]:
                used.append((newest[1], newest[1] + newest[2]))
        start = 0
        for begin, end in sorted(used):
            if begin - start >= length:
                return start
            start = max(start, end)
        if self.undo_bytes - start < length:
            raise BoxError(f"no room for {length} undo bytes in an area of {self.undo_bytes}")
        return start

    def _slot_at(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise BoxError(f"fence slot {slot} is outside 0..{self.slots - 1}")
        return _SLOTS_AT + slot * _SLOT_BYTES

    # --- records -------------------------------------------------------------------------------

    def write(self, index: int, data: bytes) -> None:
        """Replace record ``index`` (at most MAX_RECORD_BYTES)."""
        if len(data) > MAX_RECORD_BYTES:
            raise BoxError(f"record of {len(data)} bytes is over {MAX_RECORD_BYTES}")
        at = self._record_at(index)
        newest, where = self._newest_record(at)
        sequence = _next(newest[0]) if newest else 1
        target = at + _COPY_BYTES if where == at else at
        crc = zlib.crc32(data, sequence)
        # Body first, head (with the CRC over it) last: a copy cut short fails its CRC either way.
        self._map[target + _RECORD.size : target + _RECORD.size + len(data)] = data
        _RECORD.pack_into(self._map, target, sequence, crc, len(data))

    def read(self, index: int) -> bytes | None:
        """Record ``index`` as last written completely; None when never."""
        newest, _ = self._newest_record(self._record_at(index))
        return newest[1] if newest else None

    def _newest_record(self, at: int) -> tuple[tuple[int, bytes] | None, int]:
        best: tuple[int, bytes] | None = None
        where = at + _COPY_BYTES
        for copy in (at, at + _COPY_BYTES):
            sequence, crc, length = _RECORD.unpack_from(self._map, copy)
            if not sequence or length > MAX_RECORD_BYTES:
                continue
            data = self._map[copy + _RECORD.size : copy + _RECORD.size + length]
            if crc == zlib.crc32(data, sequence) and (best is None or _newer(sequence, best[0])):
                best, where = (sequence, data), copy
        return best, where

    def _record_at(self, index: int) -> int:
        if not 0 <= index < self.records:
            raise BoxError(f"record {index} is outside 0..{self.records - 1}")
        return self._records_at + index * _RECORD_BYTES

    # --- flight recorder -----------------------------------------------------------------------

    def log(self, data: bytes) -> None:
        """Append at most MAX_RING_BYTES to the flight recorder, overwriting the oldest entry."""
        (position,) = struct.unpack_from("=Q", self._map, self._ring_at)
        at = self._ring_at + 64 + (position % self.ring) * _RING_ENTRY
        body = data[:MAX_RING_BYTES]
        struct.pack_into("=IB", self._map, at, zlib.crc32(body), len(body))
        self._map[at + 8 : at + 8 + len(body)] = body
        struct.pack_into("=Q", self._map, self._ring_at, position + 1)

    def recorded(self) -> list[bytes]:
        """What the flight recorder holds, oldest first; entries cut by a kill are left out."""
        (position,) = struct.unpack_from("=Q", self._map, self._ring_at)
        found = []
        for number in range(max(0, position - self.ring), position):
            at = self._ring_at + 64 + (number % self.ring) * _RING_ENTRY
            crc, length = struct.unpack_from("=IB", self._map, at)
            body = self._map[at + 8 : at + 8 + min(length, MAX_RING_BYTES)]
            if zlib.crc32(body) == crc:
                found.append(body)
        return found


def _next(sequence: int) -> int:
    """The following sequence number; 0 means never written."""
    return sequence + 1 if sequence < 0xFFFFFFFF else 1


def _newer(left: int, right: int) -> bool:
    """RFC 1982 serial comparison: sequences wrap."""
    return bool(0 < ((left - right) & 0xFFFFFFFF) < 0x80000000)
