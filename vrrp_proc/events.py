"""What can happen to a virtual router: the whole input vocabulary of the core.

The shell turns packets, netlink messages, commands and the outcome of its own work into these and
hands them to ``Instance.handle(event, now)``. Due timers are not an event: see ``Instance.wake``.

All instants are CLOCK_BOOTTIME seconds (float), named ``_at``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from keepalived_conf.model import IpAddress, VirtualAddress, VrrpInstance
from vrrp_proc.effects import Cause, Reason, State, Trigger
from vrrp_proc.packet import Advert, Rejection
from vrrp_proc.record import ResumeRecord
from vrrp_proc.tracking import Tracking


class Rule(StrEnum):
    """Which clause of the resume rule applied (docs/vrrp.md, "Resume rule")."""

    FRESH = "1"
    YIELD = "2a"
    CONTINUE = "2b"
    CONTINUE_UNCONTESTED = "2c"
    STEP_DOWN_BLIND = "2d"
    SUCCEEDED = "2e"
    FINISH_LEAVING = "3"
    BACKUP = "4"
    FAULT = "5"


@dataclass(frozen=True, kw_only=True, slots=True)
class AdvertReceived:
    """An advert that ``packet.accept`` has accepted. Rejected packets are ``PacketRejected``."""

    advert: Advert
    source: IpAddress
    received_at: float
    """When the kernel got it (its own time stamp), not when it was read: the down timer runs from
    here, so that a busy loop or a restart does not lengthen a takeover."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumePlan:
    """What ``resume.resume`` decided for a new incarnation (or a stalled one)."""

    rule: Rule
    record: ResumeRecord | None = None
    """What the predecessor left; None only with ``Rule.FRESH``."""
    decisive: AdvertReceived | None = None
    """With ``Rule.YIELD``: the advert that took the mastership from us."""
    replay: tuple[AdvertReceived, ...] = ()
    """Queued adverts that the core still has to see as a backup, oldest first."""
    announce_all: bool = False
    """Neighbours may have learnt somebody else: announce every address, not only repaired ones."""
    blind: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Startup:
    """Start (or resume by ``plan``). The first event, but for link and address news before it."""

    plan: ResumePlan | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PacketRejected:
    """A packet for this virtual router that ``packet.accept`` refused. Counted; touches no timer."""

    rejection: Rejection
    source: IpAddress


@dataclass(frozen=True, kw_only=True, slots=True)
class InterfaceUp:
    """The instance's interface is usable: administratively up and with carrier."""

    ifindex: int


@dataclass(frozen=True, kw_only=True, slots=True)
class InterfaceDown:
    """The interface is gone, administratively down or without carrier."""

    detail: str = "link down"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalAddressChanged:
    """The address adverts are sent from (tie-break key); None: there is none, which is a fault."""

    address: IpAddress | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackersChanged:
    """What all trackers of this router say now. Told before ``Startup`` too, with what is known then."""

    tracking: Tracking


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconfigured:
    """A committed configuration. Only differences act. The virtual router's identity (interface,
    family, version, VRID) must be the same: see ``instance.same_router``; otherwise the shell stops
    the old instance and starts a new one."""

    config: VrrpInstance
    generation: int
    tracking: Tracking | None = None
    """Of the trackers that the new configuration follows; None: they are what they were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressesInstalled:
    """The kernel has acknowledged ``InstallAddresses`` with this ticket, but for ``failed``."""

    ticket: int
    failed: tuple[tuple[VirtualAddress, str], ...] = ()
    """(address, reason) of those the kernel refused. 'Exists already' is success."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressesWithdrawn:
    """The kernel has acknowledged ``WithdrawAddresses`` with this ticket ('was not there' included)."""

    ticket: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressesVerified:
    """Answer to ``VerifyAddresses``; also sent unasked when one of our addresses has disappeared."""

    missing: tuple[VirtualAddress, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """The last frame of the ``Announce`` with this ticket has left."""

    ticket: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AdvertNotSent:
    """The advert asked for last left on no wire at all (send failed for every destination)."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiveGap:
    """Adverts may have been missed since the last wake-up: receive queue overflowed, machine was
    suspended, socket reopened, interface replaced. Tell it before ``wake``."""

    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shutdown:
    """Stop cleanly: give the mastership back, take the addresses off. Done when ``Instance.quiet``."""

    detail: str = "stop"
    hand_over_s: float = 0.0
    """For so long at most the addresses wait for a successor (see ``handover``); 0: off at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldBack:
    """An operator wants this router to step back, and not to be master while another one is there."""

    reason: str
    until_at: float | None
    hand_over_s: float = 0.0
    """As in ``Shutdown``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """``HeldBack`` is over."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupSays:
    """The sync group of this instance has decided (``group.SyncGroup.settle``)."""

    group: str
    state: State
    """FAULT: another member is, ``fault`` says whose and which. BACKUP: no fault of others any more, whoever
    waits may begin, and whoever is master is it no longer. MASTER: every member wants it."""
    cause: Cause | None = None
    """Of the transition of the member that decided."""
    by: str = ""
    """Name of that member."""
    fault: str = ""
    release: bool = True
    """A master that is pulled down sends priority 0, so that its peer does not wait."""
    hand_over_s: float = 0.0
    """As in ``Shutdown``: the member that decided hands over, the others do too."""
    join: bool = False
    """MASTER, also without its own wish: it is new in a group that is master."""

    def told(self, own_priority: int) -> Cause:
        """The cause that the pulled member tells: the decider's, and who that is."""
        found = self.cause or Cause(trigger=Trigger.STARTUP, reason=Reason.START, own_priority=own_priority)
        words = [f"vrrp_sync_group {self.group}"]
        if self.by:
            words.append(f"with {self.by}")
        why = self.fault or found.detail
        return replace(
            found,
            own_priority=own_priority,
            peer=None,
            peer_priority=None,
            late_s=0.0,
            detail=", ".join(words) + (f": {why}" if why else ""),
        )


Event = (
    Startup
    | AdvertReceived
    | PacketRejected
    | InterfaceUp
    | InterfaceDown
    | LocalAddressChanged
    | TrackersChanged
    | Reconfigured
    | AddressesInstalled
    | AddressesWithdrawn
    | AddressesVerified
    | Announced
    | AdvertNotSent
    | ReceiveGap
    | GroupSays
    | Shutdown
    | HeldBack
    | Released
)
