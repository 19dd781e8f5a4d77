"""What a virtual router knows, and the small steps its state machine is made of.

``Router`` holds the fields, the record and fence made of them, and builds effects. What happens on which
event is ``instance.Instance``, the only subclass.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from keepalived_conf.model import IpAddress, VirtualAddress, VrrpInstance
from vrrp_proc.counters import Counters
from vrrp_proc.effects import (
    Announce,
    AnnounceKind,
    Cause,
    Effect,
    InstallAddresses,
    Reason,
    SaveRecord,
    SendAdvert,
    State,
    Transition,
    Trigger,
    VerifyAddresses,
    WithdrawAddresses,
)
from vrrp_proc.events import AdvertReceived, Rule
from vrrp_proc.garp_plan import GarpPlan
from vrrp_proc.notices import NoticeLimiter
from vrrp_proc.record import Fence, RecordState, ResumeRecord, digest_addresses, digest_name
from vrrp_proc.timers import (
    Profile,
    fence_deadline,
    fence_margin_s,
    next_on_grid,
    profile,
    seconds,
    survival_s,
)
from vrrp_proc.tracking import Tracking, effective_priority

INSTALL_RETRY_S: Final = 5.0
STALL_QUEUE_MAX: Final = 256


_RECORD_STATE: Final = {
    State.INIT: RecordState.INIT,
    State.BACKUP: RecordState.BACKUP,
    State.FAULT: RecordState.FAULT,
}


def same_router(old: VrrpInstance, new: VrrpInstance) -> bool:
    """Can ``Reconfigured`` turn the one into the other? Else: stop the old instance, start a new one.

    Interface, family, version and VRID say which virtual router this is, and the way packets go decides
    which sockets it has. The name is only what people call it."""
    return all(
        getattr(old, name) == getattr(new, name)
        for name in ("interface", "family", "version", "virtual_router_id")
    ) and bool(old.unicast_peers) == bool(new.unicast_peers)


def is_renamed(old: VrrpInstance, new: VrrpInstance) -> bool:
    """Are they one virtual router under two names? As keepalived matches them: unicast routers of one VRID
    and interface are told apart by the address that they send from."""
    return same_router(old, new) and (not old.unicast_peers or old.source_address == new.source_address)


def all_addresses(config: VrrpInstance) -> tuple[VirtualAddress, ...]:
    """What the master puts on interfaces: the advertised addresses, then the excluded ones."""
    return config.virtual_addresses + config.virtual_addresses_excluded


def advert_differs(old: VrrpInstance, new: VrrpInstance) -> bool:
    """Would the wire show the difference?"""
    return any(
        getattr(old, name) != getattr(new, name)
        for name in ("priority", "advert_int_cs", "auth_pass", "v3_checksum_as_v2", "unicast_peers")
    ) or [a.interface.ip for a in old.virtual_addresses] != [a.interface.ip for a in new.virtual_addresses]


class Router:
    """A virtual router. All instants are CLOCK_BOOTTIME seconds; ``now`` never runs backwards."""

    def __init__(
        self,
        config: VrrpInstance,
        *,
        generation: int,
        local_address: IpAddress | None,
        ifindex: int,
        link_up: bool,
    ) -> None:
        """``local_address``: what adverts are sent from; None is a fault. Nothing happens before
        ``Startup``."""
        self.config: VrrpInstance = config
        self.generation: int = generation
        self.local_address: IpAddress | None = local_address
        self.ifindex: int = ifindex
        self.state: State = State.INIT
        self.since_at: float = 0.0
        self.priority: int = config.priority
        """Effective priority."""
        self.tracking: Tracking = Tracking()
        """What the trackers said last."""
        self.counters: Counters = Counters()
        self.master_address: IpAddress | None = None
        """Source of the last accepted advert (BACKUP) or our own address (MASTER)."""
        self.master_priority: int | None = None
        self.last_cause: Cause | None = None
        self.last_own_advert_at: float | None = None
        self.last_accepted_advert_at: float | None = None
        self.wish: Cause | None = None
        """A member of a sync group: its own election has made it master, the group has not. Kept until an
        advert is accepted; the down timer stays where it ran out."""
        self._link_up = link_up
        self._added: int | None = None
        """Sum of all contributions to the priority; None: nobody has said yet."""
        self._await_until_at: float | None = None
        """Until then a tracker that may be a fault and has not reported keeps INIT and FAULT as they are."""
        self._lower_heard: tuple[IpAddress, float] | None = None
        self._profile: Profile = profile(config.version)
        self._learned_cs = config.advert_int_cs
        self._down_at: float | None = None
        self._advert_at: float | None = None
        self._preempt_until_at: float | None = None
        self._preempting = False
        self._garp = GarpPlan()
        self._limiter = NoticeLimiter()
        self._name_digest = digest_name(config.name)
        self._addresses_digest = digest_addresses(all_addresses(config))
        self._ticket = 0
        self._installing: set[int] = set()
        self._announcing: set[int] = set()
        self._settled = False
        """The takeover's addresses were acknowledged once; what is added or repaired later is verified by
        every resume anyway."""
        self._verifying = False
        self._announce_when_verified = False
        self._leaving: int | None = None
        self._leaving_fence: Fence | None = None
        self._retry: tuple[VirtualAddress, ...] = ()
        self._retry_at: float | None = None
        self._unsent_own_advert_at: float | None = None
        self._gap_at: float | None = None
        """Adverts may have been missed just before this instant (``ReceiveGap``)."""
        self._postponed = False
        self._verify_after_stall = False
        self._stall_queue: deque[AdvertReceived] = deque(maxlen=STALL_QUEUE_MAX)

    def next_deadline(self) -> float | None:
        """When ``wake`` has something to do next (CLOCK_BOOTTIME s); None: only an event can help."""
        if self.state is State.BACKUP:
            return self._down_at if self.wish is None else None
        if self.state is State.MASTER:
            instants = (self._advert_at, self._garp.next_at(), self._retry_at)
            return min((at for at in instants if at is not None), default=None)
        return self._await_until_at

    def stalled(self, now: float) -> bool:
        """Master, and a whole interval late with an advert: others may have acted meanwhile.

        While that is so, adverts given to ``handle`` are only collected; ``wake`` decides by the resume
        rule."""
        return (
            self.state is State.MASTER
            and self._advert_at is not None
            and now - self._advert_at >= seconds(self.config.advert_int_cs)
        )

    @property
    def record_state(self) -> RecordState:
        """The state as the record says it."""
        if self.state is State.MASTER:
            return RecordState.MASTER if self._settled else RecordState.BECOMING_MASTER
        if self._leaving is not None:
            return RecordState.LEAVING
        return _RECORD_STATE[self.state]

    @property
    def quiet(self) -> bool:
        """Shut down completely: state INIT, and the addresses are acknowledged to be gone."""
        return self.state is State.INIT and self._leaving is None

    @property
    def master_interval_cs(self) -> int:
        """Active_Adver_Interval: the learned one in version 3, our own in version 2."""
        return self._learned_cs if self._profile.learns_interval else self.config.advert_int_cs

    def faults(self) -> tuple[str, ...]:
        """What keeps this router from taking part, in words."""
        causes: list[str] = []
        if not self._link_up and not self.config.dont_track_primary:
            causes.append(f"interface {self.config.interface} is down")
        if self.local_address is None:
            causes.append(f"interface {self.config.interface} has no address to send from")
        return (*causes, *self.tracking.faults)

    def record(self, now: float) -> ResumeRecord:
        """What a next incarnation needs, as of now."""
        return ResumeRecord(
            state=self.record_state,
            name_digest=self._name_digest,
            generation=self.generation,
            family=self.config.family,
            version=self.config.version,
            virtual_router_id=self.config.virtual_router_id,
            priority=self.priority,
            base_priority=self.config.priority,
            advert_int_cs=self.config.advert_int_cs,
            down_timer_adverts=self.config.down_timer_adverts,
            preempt=self.config.preempt,
            preempt_delay_s=self.config.preempt_delay_s,
            addresses_digest=self._addresses_digest,
            ifindex=self.ifindex,
            local_address=self.local_address,
            saved_at=now,
            since_at=self.since_at,
            master_interval_cs=self._learned_cs,
            master_address=self.master_address,
            master_priority=self.master_priority,
            last_own_advert_at=self.last_own_advert_at,
            last_accepted_advert_at=self.last_accepted_advert_at,
            down_at=self._down_at,
            advert_at=self._advert_at,
            preempt_until_at=self._preempt_until_at,
            announcing=bool(self._announcing) or self._announce_when_verified,
            garp_delayed_at=self._garp.delayed_at,
            garp_refresh_at=self._garp.refresh_at,
            garp_lower_at=self._garp.lower_at,
            preempting=self._preempting,
        )

    def _restore(self, record: ResumeRecord) -> None:
        self.priority = record.priority
        self.since_at = record.since_at
        self.master_address = record.master_address
        self.master_priority = record.master_priority
        self.last_own_advert_at = record.last_own_advert_at
        self.last_accepted_advert_at = record.last_accepted_advert_at
        self._learned_cs = record.master_interval_cs
        self._down_at = record.down_at
        self._advert_at = record.advert_at
        self._preempt_until_at = record.preempt_until_at
        self._preempting = record.preempting
        self._garp.delayed_at = record.garp_delayed_at
        self._garp.refresh_at = record.garp_refresh_at
        self._garp.lower_at = record.garp_lower_at
        if self._added is None:
            self._added = record.priority - record.base_priority
        self._take_priority()

    def _wanted_priority(self) -> int:
        return effective_priority(self.config.priority, self._added or 0)

    def _take_priority(self) -> int:
        """The effective priority of configuration and trackers; a running down timer moves by the
        difference of the skews. Returns what it was before."""
        before, before_s = self.priority, self._down_s()
        self.priority = self._wanted_priority()
        if self._down_at is not None and self.wish is None:
            self._down_at += self._down_s() - before_s
        return before

    def _advertise(self, now: float) -> list[Effect]:
        """One advert now; the grid stays where it is."""
        interval_s = seconds(self.config.advert_int_cs)
        due_at = now if self._advert_at is None else self._advert_at
        self._advert_at = next_on_grid(due_at, interval_s, now)
        self._unsent_own_advert_at = self.last_own_advert_at
        self.last_own_advert_at = now
        return [self._send(self.priority)]

    def _enter(self, to: State, now: float, trigger: Trigger, reason: Reason, detail: str) -> list[Effect]:
        """A change between states that hold no address."""
        cause = self._cause(trigger, reason, detail=detail)
        old, self.state = self.state, to
        self.since_at = now
        self.last_cause = cause
        return [
            SaveRecord(record=self.record(now), fence=self._fence()),
            Transition(from_state=old, to_state=to, cause=cause, at=now),
        ]

    def _cause(
        self,
        trigger: Trigger,
        reason: Reason,
        *,
        late_s: float = 0.0,
        rule: Rule | None = None,
        detail: str = "",
    ) -> Cause:
        return Cause(
            trigger=trigger,
            reason=reason,
            own_priority=self.priority,
            peer=None if self.state is State.MASTER and reason is not Reason.BEATEN else self.master_address,
            peer_priority=(
                None if self.state is State.MASTER and reason is not Reason.BEATEN else self.master_priority
            ),
            late_s=late_s,
            rule=rule,
            detail=detail,
        )

    def _down_s(self) -> float:
        return self._profile.down_s(self.priority, self.master_interval_cs, self.config.down_timer_adverts)

    def _gap_s(self, now: float) -> float | None:
        return None if self.last_own_advert_at is None else now - self.last_own_advert_at

    def _next_ticket(self) -> int:
        self._ticket += 1
        return self._ticket

    def _send(self, priority: int) -> SendAdvert:
        self.counters.adverts_sent += 1
        return SendAdvert(priority=priority)

    def _install(self, addresses: tuple[VirtualAddress, ...]) -> list[Effect]:
        if not addresses:
            return []
        ticket = self._next_ticket()
        self._installing.add(ticket)
        return [InstallAddresses(addresses=addresses, ticket=ticket)]

    def _withdraw_all(self, *, leftovers: bool) -> WithdrawAddresses:
        self._leaving = self._next_ticket()
        return WithdrawAddresses(
            addresses=all_addresses(self.config), ticket=self._leaving, leftovers=leftovers
        )

    def _verify(self) -> VerifyAddresses:
        self._verifying = True
        return VerifyAddresses(addresses=all_addresses(self.config))

    def _announce(
        self, kind: AnnounceKind, copies: int, addresses: tuple[VirtualAddress, ...]
    ) -> list[Effect]:
        if copies <= 0 or not addresses:
            return []
        ticket = self._next_ticket()
        if kind != "refresh":
            self._announcing.add(ticket)
        self.counters.announcements += 1
        return [Announce(kind=kind, addresses=addresses, copies=copies, ticket=ticket)]

    def _saved(self, effects: list[Effect], now: float) -> list[Effect]:
        """The effects, then the record of how things stand after them."""
        return [*effects, SaveRecord(record=self.record(now), fence=self._fence())]

    def _fence(self) -> Fence | None:
        if self.state is not State.MASTER:
            return self._leaving_fence if self._leaving is not None else None
        return self._mastership_fence()

    def _mastership_fence(self) -> Fence:
        last = self.last_own_advert_at or 0.0
        interval_cs, adverts = self.config.advert_int_cs, self.config.down_timer_adverts
        return Fence(
            deadline_at=fence_deadline(last, interval_cs, adverts),
            prio0_until_at=last + survival_s(interval_cs, adverts),
        )

    def _fence_of_leaving(self, now: float, *, release: bool) -> Fence:
        """While addresses are going: they are due to go, so soon; priority 0 only if we would send it."""
        fence = self._mastership_fence()
        soon_at = now + fence_margin_s(self.config.advert_int_cs)
        if release:
            return replace(fence, deadline_at=min(fence.deadline_at, soon_at))
        return Fence(deadline_at=soon_at, prio0_until_at=0.0)
