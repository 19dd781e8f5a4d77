"""What a virtual router leaves for its next incarnation: one fixed-size record in the black box.

Written with intent before effect: BECOMING_MASTER before the first advert, MASTER when the
addresses are acknowledged, LEAVING before the first delete, BACKUP (or FAULT, INIT) after the last.
The instant of the last own advert is the exception: it is written after the advert has left, so
that a record never claims an advert that nobody heard.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from keepalived_conf.model import Family, IpAddress, VirtualAddress

RECORD_BYTES_MAX = 240
_LAYOUT = 1


class RecordState(IntEnum):
    """State as written in the record: the four of the machine and two intermediate ones."""

    INIT = 0
    BACKUP = 1
    MASTER = 2
    FAULT = 3
    BECOMING_MASTER = 4
    """Advertising, or about to; addresses not all acknowledged."""
    LEAVING = 5
    """No master any more; addresses not all gone."""


class RecordError(ValueError):
    """The bytes are not a record of this layout; says why. Start by rule 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """Until when the next incarnation must advertise, else others undo our mastership for us."""

    deadline_at: float
    """F: from here on the addresses are to be taken off."""
    prio0_until_at: float
    """A priority-0 advert helps only before this instant (0.0: never send one): later, or when we
    lost an election, somebody else is master and must not be disturbed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumeRecord:
    """Everything a new incarnation needs besides the configuration. Instants: CLOCK_BOOTTIME s."""

    state: RecordState
    name_digest: bytes
    """``digest_name(instance name)``: a record in another instance's slot is no record."""
    generation: int
    """Generation of the configuration it was written under."""
    family: Family
    version: int
    virtual_router_id: int
    priority: int
    """Effective priority, 1..255."""
    base_priority: int
    advert_int_cs: int
    down_timer_adverts: int
    preempt: bool
    preempt_delay_s: float
    addresses_digest: bytes
    """``digest_addresses`` of what the instance puts on interfaces."""
    ifindex: int
    local_address: IpAddress | None
    saved_at: float
    since_at: float
    """When the state was entered."""
    master_interval_cs: int
    """Interval of the current master as learned (own one before anything was heard)."""
    master_address: IpAddress | None = None
    master_priority: int | None = None
    last_own_advert_at: float | None = None
    last_accepted_advert_at: float | None = None
    down_at: float | None = None
    """BACKUP: when the down timer fires."""
    advert_at: float | None = None
    """MASTER: next point of the advert grid."""
    preempt_until_at: float | None = None
    """BACKUP: end of the running preempt_delay."""
    announcing: bool = False
    """A burst of announcements for the takeover has not all left yet."""
    garp_delayed_at: float | None = None
    """When the second burst (garp_master_delay) is due; None: done or not configured."""
    garp_refresh_at: float | None = None
    garp_lower_at: float | None = None
    """When the second burst after a losing advert (garp_lower_prio_delay) is due."""
    preempting: bool = False
    """BACKUP: the last advert heard was discarded because we outrank its sender."""

    def pack(self) -> bytes:
        """At most RECORD_BYTES_MAX octets, network order."""
        flags = self.preempt * 1 | self.announcing * 2 | self.preempting * 4
        return _STRUCT.pack(
            _LAYOUT,
            self.state,
            self.family,
            self.version,
            self.virtual_router_id,
            self.priority,
            self.base_priority,
            self.down_timer_adverts,
            flags,
            0 if self.master_priority is None else 1,
            self.master_priority or 0,
            self.advert_int_cs,
            self.master_interval_cs,
            self.ifindex,
            self.generation,
            self.name_digest,
            self.addresses_digest,
            *_address_out(self.local_address),
            *_address_out(self.master_address),
            self.preempt_delay_s,
            self.saved_at,
            self.since_at,
            *(math.nan if (at := getattr(self, name)) is None else at for name in _OPTIONAL_AT),
        )

    @classmethod
    def unpack(cls, data: bytes) -> ResumeRecord:
        """Inverse of ``pack``; trailing octets (a larger slot) are ignored. Raises RecordError."""
        if len(data) < _STRUCT.size:
            raise RecordError(f"{len(data)} octets, a record has {_STRUCT.size}")
        if data[0] != _LAYOUT:
            raise RecordError(f"layout {data[0]}, this program knows {_LAYOUT}")
        (
            _, state, family, version, vrid, priority, base, down_adverts, flags, has_mp, mp,
            own_cs, master_cs, ifindex, generation, name_digest, addresses_digest,
            local_kind, local, master_kind, master, preempt_delay_s, saved_at, since_at, *instants,
        ) = _STRUCT.unpack_from(data)  # fmt: skip
        if state not in RecordState.__members__.values() or family not in (4, 6):
            raise RecordError(f"state {state}, family {family}: not a record")
        if not (own_cs and master_cs and down_adverts and 1 <= priority <= 255):
            raise RecordError("an interval, a multiplier or a priority of 0: not a record")
        if not all(math.isfinite(value) for value in (preempt_delay_s, saved_at, since_at)):
            raise RecordError("an instant that is no number: not a record")
        return cls(
            state=RecordState(state),
            name_digest=name_digest,
            generation=generation,
            family=family,
            version=version,
            virtual_router_id=vrid,
            priority=priority,
            base_priority=base,
            advert_int_cs=own_cs,
            down_timer_adverts=down_adverts,
            preempt=bool(flags & 1),
            preempt_delay_s=preempt_delay_s,
            addresses_digest=addresses_digest,
            ifindex=ifindex,
            local_address=_address_in(local_kind, local),
            saved_at=saved_at,
            since_at=since_at,
            master_interval_cs=master_cs,
            master_address=_address_in(master_kind, master),
            master_priority=mp if has_mp else None,
            announcing=bool(flags & 2),
            preempting=bool(flags & 4),
            **{
                name: value if math.isfinite(value) else None
                for name, value in zip(_OPTIONAL_AT, instants, strict=True)
            },
        )


_OPTIONAL_AT = (
    "last_own_advert_at",
    "last_accepted_advert_at",
    "down_at",
    "advert_at",
    "preempt_until_at",
    "garp_delayed_at",
    "garp_refresh_at",
    "garp_lower_at",
)
_STRUCT = struct.Struct(f"!11BxHHIQ8s8sB16sB16s3d{len(_OPTIONAL_AT)}d")
assert _STRUCT.size <= RECORD_BYTES_MAX


def digest_name(name: str) -> bytes:
    """8 octets that stand for an instance name."""
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


def digest_addresses(addresses: Iterable[VirtualAddress]) -> bytes:
    """8 octets that stand for a set of addresses with all their attributes, in any order."""
    texts = sorted(
        f"{a.interface}|{a.dev}|{a.label}|{a.scope}|{a.broadcast}|{a.peer}|{a.no_dad}|{a.preferred_lft_s}"
        for a in addresses
    )
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).digest()


def _address_out(address: IpAddress | None) -> tuple[int, bytes]:
    if address is None:
        return 0, b""
    return address.version, address.packed


def _address_in(kind: int, octets: bytes) -> IpAddress | None:
    if kind == 4:
        return IPv4Address(octets[:4])
    return IPv6Address(octets) if kind == 6 else None
