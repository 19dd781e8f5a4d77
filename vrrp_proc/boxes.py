"""The VRRP worker's side of the black box: a record and a fence slot per virtual router.

Record ``n`` and fence slot ``n`` belong together; a slot belongs to the instance whose name digest is
in its record. Behind the core's record the shell keeps a few words of its own (see ``Trailer``). The
uppermost records hold the values of trackers (``values``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from keepalived_conf.model import VrrpInstance
from vrrp_proc.record import Fence, RecordError, ResumeRecord, digest_name
from vrrp_proc.values import KeptValues, reserved
from worker.blackbox import BlackBox, BoxError, FenceSlot

_TRAILER = struct.Struct("!4sIddI")
_TRAILER_MAGIC = b"pkv2"


@dataclass(frozen=True, slots=True)
class Trailer:
    """What the shell itself wants back after a restart."""

    transitions: int = 0
    """State changes of the instance over all incarnations."""
    since_wall_at: float = 0.0
    """Wall time at which the state was entered."""
    suspended_s: float = 0.0
    """CLOCK_BOOTTIME minus CLOCK_MONOTONIC when the record was written: grows by each suspend."""
    group_transitions: int = 0
    """Number of the last transition of its sync group; 0: none, or it has none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A slot as an earlier incarnation left it."""

    slot: int
    record: ResumeRecord
    trailer: Trailer
    undo: bytes


@dataclass(frozen=True, slots=True)
class Orphan:
    """A slot of an instance that is not configured any more."""

    slot: int
    fence: FenceSlot
    undo: bytes


class Ledger:
    """Records, fence slots and undo bytes by slot. Without a box it keeps nothing (and says so)."""

    def __init__(self, box: BlackBox | None) -> None:
        self._box = box
        self.values = KeptValues(box)
        """Last values of trackers."""
        self._entries: dict[bytes, Entry] = {}
        self._taken: set[int] = set()
        self.damaged: list[str] = []
        """Why records were not usable, for the log."""
        if box is not None:
            self._scan(box)

    @property
    def capacity(self) -> int:
        """How many virtual routers fit."""
        if self._box is None:
            return 4096
        return min(self._box.slots, self._box.records - reserved(self._box))

    def _scan(self, box: BlackBox) -> None:
        for slot in range(self.capacity):
            data = box.read(slot)
            if data is None:  # handed out from the lowest on: behind the first unused one is nothing
                break
            if not data:
                continue
            try:
                record = ResumeRecord.unpack(data)
            except RecordError as error:
                self.damaged.append(f"record {slot}: {error}")
                continue
            self._entries[record.name_digest] = Entry(slot, record, _unpack_trailer(data), box.undo(slot))
            self._taken.add(slot)

    def knows(self, name: str) -> bool:
        """Whether an earlier incarnation left something for the instance of this name that nobody took."""
        return digest_name(name) in self._entries

    def take(self, name: str) -> Entry | None:
        """What an earlier incarnation left for the instance of this name; its slot is now in use."""
        return self._entries.pop(digest_name(name), None)

    def take_renamed(self, config: VrrpInstance, ifindex: int) -> Entry | None:
        """As ``take``, of the same virtual router under a name that is not configured any more; to be asked
        when every configured name has taken what is its own. The record comes back under the new name."""
        for digest, entry in self._entries.items():
            old = entry.record
            elsewhere = bool(config.unicast_peers) and old.local_address != config.source_address
            if not elsewhere and (old.family, old.version, old.virtual_router_id, old.ifindex) == (
                config.family,
                config.version,
                config.virtual_router_id,
                ifindex,
            ):
                del self._entries[digest]
                return replace(entry, record=replace(old, name_digest=digest_name(config.name)))
        return None

    def allocate(self) -> int:
        """A free slot. Raises BoxError when all are in use."""
        for slot in range(self.capacity):
            if slot not in self._taken and not self._fence(slot).active:
                self._taken.add(slot)
                if self._box is not None and self._box.read(slot) is None:
                    self._box.write(slot, b"")  # from here on it counts as used, see ``_scan``
                return slot
        raise BoxError(f"all {self.capacity} slots of the black box are in use")

    def _fence(self, slot: int) -> FenceSlot:
        return self._box.fence(slot) if self._box is not None else FenceSlot(slot, False, 0.0, 0.0)

    def orphans(self) -> list[Orphan]:
        """Slots that nobody took: instances that are not configured any more."""
        found = {
            entry.slot: Orphan(entry.slot, self._fence(entry.slot), entry.undo)
            for entry in self._entries.values()
        }
        if self._box is not None:
            for fence in self._box.armed():
                if fence.slot not in self._taken:  # guarded, but its record is damaged
                    found[fence.slot] = Orphan(fence.slot, fence, self._box.undo(fence.slot))
        return list(found.values())

    def forget_orphan(self, orphan: Orphan) -> None:
        """It is undone: free its slot."""
        self._entries = {key: entry for key, entry in self._entries.items() if entry.slot != orphan.slot}
        self.release(orphan.slot)

    def guarded(self, slot: int) -> bool:
        """Whether the slot's fence is armed. Without a box nothing is ever fenced."""
        return self._box is None or self._box.fence(slot).active

    def save(self, slot: int, record: ResumeRecord, fence: Fence | None, trailer: Trailer) -> None:
        """Arm before the record, disarm after it: a mastership is never unguarded."""
        if self._box is None:
            return
        data = record.pack() + _TRAILER.pack(
            _TRAILER_MAGIC,
            trailer.transitions,
            trailer.since_wall_at,
            trailer.suspended_s,
            trailer.group_transitions,
        )
        if fence is not None:
            self._box.arm(slot, fence.deadline_at, fence.prio0_until_at)
        self._box.write(slot, data)
        if fence is None and self._box.fence(slot).active:
            self._box.disarm(slot)

    def set_undo(self, slot: int, data: bytes) -> None:
        """Store undo bytes, unless these are stored already (it is not cheap)."""
        if self._box is None or self._box.undo(slot) == data:
            return
        self._box.set_undo(slot, data)

    def release(self, slot: int) -> None:
        """The instance is gone and everything of it undone: the slot is free again."""
        self._taken.discard(slot)
        if self._box is not None:
            self._box.write(slot, b"")
            self._box.disarm(slot)

    def log(self, data: bytes) -> None:
        """One entry of the flight recorder."""
        if self._box is not None:
            self._box.log(data)


def _unpack_trailer(data: bytes) -> Trailer:
    at = len(data) - _TRAILER.size
    if at < 0:
        return Trailer()
    magic, *values = _TRAILER.unpack_from(data, at)
    return Trailer(*values) if magic == _TRAILER_MAGIC else Trailer()
