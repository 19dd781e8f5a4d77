"""What a virtual router asks for: the whole output vocabulary of the core.

A list of effects is performed in its order, each started before the next; only ``Announce`` and the
netlink work behind ``InstallAddresses``/``WithdrawAddresses``/``VerifyAddresses`` may go on in the
background, per instance in the order asked for (a withdrawal never overtakes an installation, an
address is never announced before its installation was handed to the kernel).

Tickets are numbers of one instance's life that grow; the matching event carries the ticket back, and
the core ignores answers to questions it no longer has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from keepalived_conf.model import IpAddress, VirtualAddress
from vrrp_proc.record import Fence, ResumeRecord


class State(StrEnum):
    """RFC 9568 section 6.4 (Initialize, Backup, Active) and keepalived's FAULT."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"
    FAULT = "FAULT"


class Trigger(StrEnum):
    """What set off a transition."""

    STARTUP = "startup"
    ADVERT = "advert"
    TIMER = "timer"
    LINK = "link"
    ADDRESS = "address"
    TRACKER = "tracker"
    """A tracked file or process."""
    SCRIPT = "script"
    """A tracked script."""
    OPERATOR = "operator"
    RELOAD = "reload"
    RESUME = "resume"
    STALL = "stall"


class Reason(StrEnum):
    """Why this router became master (RFC 6527 vrrpv3StatisticsNewMasterReason) or stopped being it."""

    OWNER = "owner"
    PRIORITY_ZERO = "priority_zero"
    PREEMPTED = "preempted"
    NO_RESPONSE = "master_no_response"
    BEATEN = "beaten"
    SUCCEEDED = "succeeded"
    BLIND = "blind"
    FAULT = "fault"
    FAULT_OVER = "fault_over"
    STOP = "stop"
    STEP_DOWN = "step_down"
    START = "start"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why a transition happened, for the one who is asked at night."""

    trigger: Trigger
    reason: Reason
    own_priority: int
    peer: IpAddress | None = None
    peer_priority: int | None = None
    late_s: float = 0.0
    """Timer: how late it was acted upon. Advert: how long it lay in the queue. That is the loop lag
    as this instance felt it."""
    rule: str | None = None
    """Clause of the resume rule, with triggers RESUME and STALL."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SaveRecord:
    """Write ``record.pack()`` to this instance's record, and arm the fence slot with ``fence`` (or
    disarm it: None). Arm before the record, disarm after it, so that a mastership is never unguarded."""

    record: ResumeRecord
    fence: Fence | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SendAdvert:
    """Send one advert (to the group, or one copy to each unicast peer) with this priority.

    Everything else in it is configuration and the local address, so the shell keeps the encoded
    packets of the current priority and of priority 0 ready."""

    priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallAddresses:
    """Put these addresses on their interfaces. Answer: ``AddressesInstalled(ticket)``."""

    addresses: tuple[VirtualAddress, ...]
    ticket: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawAddresses:
    """Take these addresses off. Answer: ``AddressesWithdrawn(ticket)``. Also drops installations and
    announcements of these addresses that have not happened yet."""

    addresses: tuple[VirtualAddress, ...]
    ticket: int
    leftovers: bool = False
    """Also everything else that the ledger of an earlier life says is this instance's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyAddresses:
    """Compare the kernel with these addresses: change none of them, but take off what the ledger says
    is this instance's and is not listed. Answer: ``AddressesVerified(missing)``."""

    addresses: tuple[VirtualAddress, ...]


AnnounceKind = Literal["master", "delayed", "refresh", "lower_prio", "lower_prio_delayed", "repair", "resume"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Announce:
    """Gratuitous ARP / unsolicited NA for these addresses: the whole list in order, ``copies`` times.
    Answer when the last frame has left: ``Announced(ticket)``."""

    kind: AnnounceKind
    addresses: tuple[VirtualAddress, ...]
    copies: int
    ticket: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """The state changed. For state records, events and logs; nothing on the wire depends on it."""

    from_state: State
    to_state: State
    cause: Cause
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """A new incarnation took up the state of the old one: no transition happened."""

    state: State
    cause: Cause
    gap_s: float | None
    """Time since the last own advert (MASTER) or the last accepted one."""
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorityChanged:
    """The effective priority changed. For events and logs; the wire shows it with the next advert."""

    state: State
    before: int
    priority: int
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LowerPriorityHeard:
    """As master: an advert that loses against us. For events; told as often as keepalived does, but not
    for a flood from one router."""

    priority: int
    peer: IpAddress
    peer_priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something an operator should know. Already rate limited by the core."""

    event_id: str
    """Stable, for example ``vrrp.packet_rejected``."""
    level: Literal["debug", "info", "warning", "error"]
    text: str
    fields: dict[str, str | int | float] = field(default_factory=dict)
    suppressed: int = 0
    """Equal notices that were held back since the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPending:
    """Nothing was done: an election or a send after a stall is due, and the receive queue has not
    been read yet. Read it empty, feed it by ``handle``, then ``wake(now, drained=True)``."""


Effect = (
    SaveRecord
    | SendAdvert
    | InstallAddresses
    | WithdrawAddresses
    | VerifyAddresses
    | Announce
    | Transition
    | Resumed
    | PriorityChanged
    | LowerPriorityHeard
    | Notice
    | ReadPending
)
