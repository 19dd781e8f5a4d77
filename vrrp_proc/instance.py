"""One virtual router: the state machine of RFC 9568 section 6.4 and RFC 3768 section 6.4, sans-IO.

``Instance.handle(event, now)`` and ``Instance.wake(now, drained=...)`` return what is to be done, in order.
Every timer is a stored instant: what is not stored cannot fire. Versions 2 and 3 differ by a
``timers.Profile``. ``TABLE`` has an entry for every state and event; an ignored event says why.

How a mastership begins: record (intent), advert, addresses, announcements. How it ends: record, priority
0 where it helps, addresses off, record. A rejected packet touches no timer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vrrp_proc import events as ev
from vrrp_proc.effects import (
    Effect,
    ReadPending,
    Reason,
    Resumed,
    SaveRecord,
    State,
    Trigger,
)
from vrrp_proc.events import AdvertReceived, Event, ResumePlan, Rule
from vrrp_proc.handover import Hold
from vrrp_proc.mastership import Mastership
from vrrp_proc.record import RecordState, ResumeRecord, digest_addresses, digest_name
from vrrp_proc.resume import OWNER_PRIORITY, judge_mastership
from vrrp_proc.router import all_addresses, same_router
from vrrp_proc.timers import seconds, survival_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """Table entry: nothing happens, and why that is right."""

    because: str


_UNREAD_LATENESS = 0.1
"""Part of the interval by which an advert may be late before what was received must be read first."""


class Instance(Mastership):
    """A virtual router. All instants are CLOCK_BOOTTIME seconds; ``now`` never runs backwards."""

    # --- what the shell calls -----------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; the answer is what is to be done about it, in order."""
        leaving = self._leaving_on(event, now) if self.handing_over else []
        entry = TABLE[self.state][type(event)]
        if isinstance(entry, Ignored):
            if isinstance(event, AdvertReceived):
                self.counters.adverts_ignored += 1
            return leaving
        return leaving + entry(self, event, now)

    def _leaving_on(self, event: Event, now: float) -> list[Effect]:
        """What ends a hand-over, before the event itself is looked at."""
        if isinstance(event, AdvertReceived):
            return self._successor_heard(event, now)
        why = {
            ev.InterfaceDown: "the link went down",
            ev.AdvertNotSent: "priority 0 could not be sent",
            ev.Reconfigured: "the configuration changed",
        }.get(type(event))
        if isinstance(event, ev.LocalAddressChanged) and event.address is None:
            why = "there is no address to send from"
        if isinstance(event, ev.Shutdown) and event.hand_over_s <= 0:
            why = event.detail
        if isinstance(event, ev.TrackersChanged) and event.tracking.faults:
            why = "; ".join(event.tracking.faults)
        if isinstance(event, ev.GroupSays) and event.fault:
            why = event.fault
        return [] if why is None else self._end_hand_over(now, why=why)

    def wake(self, now: float, *, drained: bool) -> list[Effect]:
        """Act on every timer that is due at ``now``; harmless when none is.

        ``drained``: the receive queue was seen empty at or after ``now``. When it was not and an
        election (or a send after a stall) is due, the answer is ``[ReadPending()]`` and nothing else."""
        if self._handing_over is not None and now >= self._handing_over.until_at:
            return self._nobody_took_over(now) if drained else [ReadPending()]
        if self.hold is not None and self.hold.until_at is not None and now >= self.hold.until_at:
            return self._release("its time is over", now)
        due = self.state is State.BACKUP and self.wish is None
        if due and self._down_at is not None and now >= self._down_at:
            return self._down_timer_fired(now) if drained else [ReadPending()]
        if self._await_until_at is not None and now >= self._await_until_at:
            return self._awaited_in_vain(now)
        if self.state is not State.MASTER:
            return []
        if self.stalled(now):
            if not drained:
                return [ReadPending()]
            return self.after_stall(tuple(self._stall_queue), now, self._gap_at is not None)
        late_s = 0.0 if self._advert_at is None else now - self._advert_at
        if not drained and late_s > _UNREAD_LATENESS * self._interval_s():
            # Late, if not by a stall: somebody better may have spoken meanwhile.
            return [ReadPending()]
        return self._master_timers(now)

    def _interval_s(self) -> float:
        return seconds(self.config.advert_int_cs)

    def after_stall(self, queued: Sequence[AdvertReceived], now: float, blind: bool) -> list[Effect]:
        """Rule 2 for a living master that fell silent. ``queued``: all that was received meanwhile.

        ``wake`` calls it by itself with what ``handle`` has collected."""
        self._stall_queue.clear()
        self._gap_at = None
        self.counters.stalls += 1
        gap_s = self._gap_s(now) or 0.0
        plan = judge_mastership(
            queued,
            now=now,
            last_own_advert_at=self.last_own_advert_at,
            own_priority=self.priority,
            local_address=self.local_address,
            config=self.config,
            blind=blind,
        )
        effects: list[Effect] = list(
            self._limiter.notice(
                "vrrp.stalled",
                "warning",
                f"silent as master for {gap_s:.3f} s (rule {plan.rule}): the process did not run",
                now,
                gap_s=gap_s,
                rule=str(plan.rule),
            )
        )
        if plan.rule in (Rule.YIELD, Rule.STEP_DOWN_BLIND, Rule.SUCCEEDED):
            return effects + self._lose(plan, now, Trigger.STALL)
        long = gap_s >= survival_s(self.config.advert_int_cs, self.config.down_timer_adverts)
        effects += self._advertise(now)
        if long or self._verify_after_stall:
            self._verify_after_stall = False
            effects.append(self._verify())
        if plan.announce_all:
            bursts = self._garp.takeover(self.config, now)
            effects += self._announce("resume", bursts[0][1], all_addresses(self.config))
        return self._saved(effects, now)

    # --- start and resume ---------------------------------------------------------------------

    def _startup(self, event: ev.Startup, now: float) -> list[Effect]:
        plan = event.plan or ResumePlan(rule=Rule.FRESH)
        self.started = True
        record = plan.record
        if record is None or plan.rule is Rule.FRESH:
            return self._start_fresh(plan, now)
        self._restore(record)
        if plan.rule in (Rule.CONTINUE, Rule.CONTINUE_UNCONTESTED):
            self.state = State.MASTER
            return self._check_faults(now, Trigger.RESUME) or self._resume_master(plan, record, now)
        if plan.rule in (Rule.YIELD, Rule.STEP_DOWN_BLIND, Rule.SUCCEEDED):
            self.state = State.MASTER
            # Somebody else is master by now: our priority 0 would only disturb him.
            faults = self._check_faults(now, Trigger.RESUME, release=False)
            return faults or self._lose(plan, now, Trigger.RESUME)
        effects: list[Effect] = []
        if plan.rule is Rule.FAULT:
            self.state = State.FAULT
            self._await_trackers(now)
            self._await_group()
        else:
            self.state = State.BACKUP
            if self._down_at is None or plan.blind:
                self._down_at = now + self._down_s()
            if plan.rule is Rule.FINISH_LEAVING:
                self._leaving_fence = self._fence_of_leaving(now, release=False)
                effects.append(self._withdraw_all(leftovers=False))
        effects += self._replay(plan, now)
        if not plan.blind:
            self._wish_again(now)
        cause = self._cause(Trigger.RESUME, Reason.START, rule=plan.rule)
        heard_at = record.last_accepted_advert_at
        effects += [
            SaveRecord(record=self.record(now), fence=self._fence()),
            Resumed(
                state=self.state, cause=cause, gap_s=None if heard_at is None else now - heard_at, at=now
            ),
        ]
        return effects + self._check_faults(now, Trigger.RESUME)

    def _start_fresh(self, plan: ResumePlan, now: float) -> list[Effect]:
        self._leaving_fence = self._fence_of_leaving(now, release=False)
        effects: list[Effect] = [self._withdraw_all(leftovers=True)]
        self.since_at = now
        self._await_trackers(now)
        begun = self._begin(now, Trigger.STARTUP, f"rule {plan.rule}")
        return effects + (begun or [SaveRecord(record=self.record(now), fence=self._fence())])

    def _resume_master(self, plan: ResumePlan, record: ResumeRecord, now: float) -> list[Effect]:
        """Rules 2b and 2c: advertise first, everything else may take its time."""
        gap_s = self._gap_s(now)
        self._announce_when_verified = plan.announce_all
        self._settled = record.state is RecordState.MASTER
        unfinished = record.announcing or record.state is RecordState.BECOMING_MASTER
        if plan.announce_all and not unfinished:
            self._garp.takeover(self.config, now)
        effects = self._advertise(now)
        effects.append(self._verify())
        cause = self._cause(Trigger.RESUME, Reason.START, rule=plan.rule)
        effects.append(Resumed(state=State.MASTER, cause=cause, gap_s=gap_s, at=now))
        return self._saved(effects, now)

    def _shutdown(self, event: ev.Shutdown, now: float) -> list[Effect]:
        self._down_at = self._preempt_until_at = self._await_until_at = self.wish = None
        self.started = False
        if self.state is State.MASTER:
            cause = self._cause(Trigger.OPERATOR, Reason.STOP, detail=event.detail)
            return self._leave_master(State.INIT, now, cause, release=True, hand_over_s=event.hand_over_s)
        return self._enter(State.INIT, now, Trigger.OPERATOR, Reason.STOP, event.detail)

    # --- an operator's step-down ---------------------------------------------------------------

    def _hold_back(self, event: ev.HeldBack, now: float) -> list[Effect]:
        """Step back: hand a mastership over, and take part with the lowest priority from now on."""
        if self.config.priority == OWNER_PRIORITY:
            return []  # its addresses are its own, nobody else can serve them
        before_s = self._down_s()
        cause = self._cause(Trigger.OPERATOR, Reason.STEP_DOWN, detail=event.reason)
        again = self.hold is not None  # as master then: nobody else is there
        self.hold = Hold(reason=event.reason, until_at=event.until_at)
        self.priority = self._wanted_priority()
        if self.state is State.MASTER and not again:
            self._learned_cs = self.config.advert_int_cs
            self.master_address = self.master_priority = None
            self._down_at = now + self._down_s()
            effects = self._leave_master(
                State.BACKUP, now, cause, release=True, hand_over_s=event.hand_over_s
            )
        else:
            effects = self._shift_down_timer(before_s, now)
        return [*effects, self._held_back_notice()]

    def _released(self, event: ev.Released, now: float) -> list[Effect]:
        return self._release(event.why, now)

    # --- faults -------------------------------------------------------------------------------

    def _interface_up(self, event: ev.InterfaceUp, now: float) -> list[Effect]:
        self._link_up = True
        self.ifindex = event.ifindex
        return self._check_faults(now, Trigger.LINK)

    def _interface_down(self, event: ev.InterfaceDown, now: float) -> list[Effect]:
        self._link_up = False
        return self._check_faults(now, Trigger.LINK, event.detail)

    def _local_address_changed(self, event: ev.LocalAddressChanged, now: float) -> list[Effect]:
        self.local_address = event.address
        effects = self._check_faults(now, Trigger.ADDRESS)
        if not effects and self.state is State.MASTER:
            self.master_address = event.address
            return self._saved([], now)
        return effects

    def _check_faults(
        self, now: float, trigger: Trigger, detail: str = "", *, release: bool = True
    ) -> list[Effect]:
        """Enter or leave FAULT as the causes say. Priority 0 goes out where link and address let it; nobody
        leaves FAULT while a first result is awaited."""
        if self.state is State.INIT:
            return self._begin(now, trigger, detail) if self._await_until_at is not None else []
        faults = "; ".join(self.faults())
        if bool(faults) == (self.state is State.FAULT) or (self.state is State.FAULT and self.awaiting):
            return []
        if self.state is State.MASTER:
            self._down_at = None
            cause = self._cause(trigger, Reason.FAULT, detail=detail or faults)
            heard = self._link_up and self.local_address is not None
            release = release and heard and not self.stalled(now)
            return self._leave_master(State.FAULT, now, cause, release=release)
        if self.state is State.BACKUP:
            self._down_at = self._preempt_until_at = self.wish = None
            return self._enter(State.FAULT, now, trigger, Reason.FAULT, detail or faults)
        self._learned_cs = self.config.advert_int_cs
        self.master_address = self.master_priority = None
        self._await_until_at = None
        if self.priority == OWNER_PRIORITY and self.config.state == "MASTER":
            return self._become_master_as_owner(now, trigger)
        self._down_at = now + self._down_s()
        return self._enter(State.BACKUP, now, trigger, Reason.FAULT_OVER, detail)

    # --- changes while running ----------------------------------------------------------------

    def _reconfigured(self, event: ev.Reconfigured, now: float) -> list[Effect]:
        old, new = self.config, event.config
        if not same_router(old, new):
            raise ValueError(f"{old.name}: another virtual router; stop the old one and start a new one")
        before_s = self._down_s()
        self.config, self.generation = new, event.generation
        self._name_digest = digest_name(new.name)
        self._addresses_digest = digest_addresses(all_addresses(new))
        if event.tracking is not None:
            self._take_tracking(event.tracking)
        if new.priority == OWNER_PRIORITY:
            self.hold = None  # owners cannot be held back
        before = self.priority
        self.priority = self._wanted_priority()
        if self.master_address is None or self.state is not State.BACKUP:
            self._learned_cs = new.advert_int_cs
        if new.preempt_delay_s <= 0 or not new.preempt:
            self._preempt_until_at = None
        elif self._preempt_until_at is not None:
            self._preempt_until_at = min(self._preempt_until_at, now + new.preempt_delay_s)
        effects = self._shift_down_timer(before_s, now)
        if self.state is State.MASTER:
            effects = self._reconfigured_as_master(old, before, now)
        effects += self._told_priority(before, "reload")
        return effects + self._check_faults(now, Trigger.RELOAD)

    def _shift_down_timer(self, before_s: float, now: float) -> list[Effect]:
        if self.state is State.INIT:
            return []  # the record still is the predecessor's, for Startup to come
        if self._down_at is not None and self.wish is None:
            self._down_at += self._down_s() - before_s
        return self._saved([], now)

    # --- receiving ----------------------------------------------------------------------------

    def _packet_rejected(self, event: ev.PacketRejected, now: float) -> list[Effect]:
        """RFC 9568 section 7.1: counted and (rate limited) logged; no timer is touched."""
        rejection = event.rejection
        self.counters.by_reason[rejection.reason.value] += 1
        text = f"packet from {event.source} discarded: {rejection.detail}"
        key = rejection.reason.value
        return list(self._limiter.notice("vrrp.packet_rejected", "warning", text, now, key=key))

    def _receive_gap(self, _event: ev.ReceiveGap, now: float) -> list[Effect]:
        """Blind from here on, until an advert that came later was heard (BACKUP) or sent in time (MASTER)."""
        self._gap_at = now
        if self.state is State.BACKUP:
            self.wish = None  # made of silence, which proves nothing any more: ``wake`` looks at it again
        return []


Entry = Callable[[Instance, Any, float], list[Effect]] | Ignored
_I = Instance
_EVERYWHERE: Final[dict[type, Entry]] = {
    ev.PacketRejected: _I._packet_rejected,
    ev.InterfaceUp: _I._interface_up,
    ev.InterfaceDown: _I._interface_down,
    ev.LocalAddressChanged: _I._local_address_changed,
    ev.TrackersChanged: _I._trackers_changed,
    ev.Reconfigured: _I._reconfigured,
    ev.AddressesWithdrawn: _I._addresses_withdrawn,
    ev.AdvertNotSent: _I._advert_not_sent,
    ev.ReceiveGap: _I._receive_gap,
    ev.GroupSays: _I._group_says,
    ev.HeldBack: _I._hold_back,
    ev.Released: _I._released,
}
_NOT_MASTER: Final[dict[type, Entry]] = {
    ev.AddressesInstalled: Ignored(because="a later withdrawal stands behind it"),
    ev.AddressesVerified: Ignored(because="only a master has addresses"),
    ev.Announced: Ignored(because="the burst belonged to a mastership that is over"),
}
TABLE: Final[dict[State, dict[type, Entry]]] = {
    State.INIT: {
        **_EVERYWHERE,
        **_NOT_MASTER,
        ev.Startup: _I._startup,
        ev.AdvertReceived: Ignored(because="not started (RFC 9568 section 6.4.1)"),
        ev.Shutdown: _I._never_start,
    },
    State.BACKUP: {
        **_EVERYWHERE,
        **_NOT_MASTER,
        ev.Startup: Ignored(because="running already"),
        ev.AdvertReceived: _I._advert_as_backup,
        ev.Shutdown: _I._shutdown,
    },
    State.MASTER: {
        **_EVERYWHERE,
        ev.AddressesInstalled: _I._addresses_installed,
        ev.AddressesVerified: _I._addresses_verified,
        ev.Announced: _I._announced,
        ev.AddressesWithdrawn: Ignored(
            because="of a mastership before, or of addresses taken out by a reload"
        ),
        ev.Startup: Ignored(because="running already"),
        ev.AdvertReceived: _I._advert_as_master,
        ev.Shutdown: _I._shutdown,
    },
    State.FAULT: {
        **_EVERYWHERE,
        **_NOT_MASTER,
        ev.Startup: Ignored(because="running already"),
        ev.AdvertReceived: Ignored(because="cannot take part while in fault"),
        ev.Shutdown: _I._shutdown,
    },
}
"""Every (state, event) pair, the due timers of ``wake`` aside."""
