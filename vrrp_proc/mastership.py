"""A virtual router as master: how that begins, what it does meanwhile, how it ends. Pure.

RFC 9568 section 6.4.3 and RFC 3768 section 6.4.3. A mastership begins with: record (intent), advert,
addresses, announcements; it ends with: record, priority 0 where that helps, addresses off, record.
"""

from __future__ import annotations

from keepalived_conf.model import VrrpInstance
from vrrp_proc import events as ev
from vrrp_proc.backup import Backup
from vrrp_proc.effects import (
    Cause,
    Effect,
    Reason,
    SaveRecord,
    State,
    Transition,
    Trigger,
    WithdrawAddresses,
)
from vrrp_proc.events import AdvertReceived, ResumePlan, Rule
from vrrp_proc.resume import OWNER_PRIORITY, beats
from vrrp_proc.router import INSTALL_RETRY_S, advert_differs, all_addresses
from vrrp_proc.timers import seconds, survival_s

_LOST_BY = {Rule.SUCCEEDED: Reason.SUCCEEDED}


class Mastership(Backup):
    """Election won, adverts and announcements on time, and every way out."""

    # --- becoming and being master ------------------------------------------------------------

    def _become_master(self, now: float, cause: Cause) -> list[Effect]:
        """One list in the order of RFC 9568 section 6.4.2: advert, addresses, announcements."""
        old, self.state = self.state, State.MASTER
        self.since_at = now
        self.last_cause = cause
        notices = self._keep_serving(now)
        if self.hold is not None:
            notices.append(self._alone_notice())
        self.counters.become_master += 1
        self._down_at = self._preempt_until_at = None
        self._preempting = self._postponed = False
        self._leaving = self._leaving_fence = self.wish = None
        self._limiter.reset()
        self._await_until_at = self._lower_heard = None
        self.master_address, self.master_priority = self.local_address, self.priority
        self._advert_at = now + seconds(self.config.advert_int_cs)
        self._unsent_own_advert_at = self.last_own_advert_at
        self.last_own_advert_at = now
        addresses = all_addresses(self.config)
        self._settled = not addresses
        install = self._install(addresses)
        announce: list[Effect] = []
        for kind, copies in self._garp.takeover(self.config, now):
            announce += self._announce(kind, copies, addresses)
        save = SaveRecord(record=self.record(now), fence=self._fence())
        transition = Transition(from_state=old, to_state=State.MASTER, cause=cause, at=now)
        return [save, self._send(self.priority), *install, *announce, transition, *notices]

    def _become_master_as_owner(self, now: float, trigger: Trigger) -> list[Effect]:
        rule = Rule.FRESH if trigger is Trigger.STARTUP else None
        return self._elected(now, self._cause(trigger, Reason.OWNER, rule=rule))

    def _master_timers(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if self._advert_at is not None and now >= self._advert_at:
            self._gap_at = None
            effects += self._advertise(now)
        addresses = all_addresses(self.config)
        later: list[Effect] = []
        for kind, copies in self._garp.due(self.config, now):
            later += self._announce(kind, copies, addresses)
        if self._retry_at is not None and now >= self._retry_at:
            retry, self._retry, self._retry_at = self._retry, (), None
            later += [*self._install(retry), *self._announce("repair", self.config.garp_master_repeat, retry)]
        if not effects and not later:
            return []
        return [*effects, SaveRecord(record=self.record(now), fence=self._fence()), *later]

    def _advert_as_master(self, event: AdvertReceived, now: float) -> list[Effect]:
        if self.stalled(now):
            self._stall_queue.append(event)
            return []
        if self.priority == OWNER_PRIORITY and self.config.owner_ignore_adverts:
            self.counters.adverts_ignored += 1
            text = f"{event.source} advertises priority {event.advert.priority} for addresses we own"
            return list(self._limiter.notice("vrrp.owner_ignores", "warning", text, now))
        effects = self._note_advert(event, now)
        priority = event.advert.priority
        if priority == 0:
            self.counters.priority_zero_received += 1
            effects += self._advertise(now)
            self._advert_at = now + seconds(self.config.advert_int_cs)
            return self._saved(effects, now)
        ours = self.local_address is not None and int(event.source) == int(self.local_address)
        if ours and priority == self.priority:
            text = "our own advert came back, or another router uses our address and priority"
            return [*effects, *self._limiter.notice("vrrp.own_advert", "warning", text, now)]
        if not beats(priority, event.source, self.priority, self.local_address):
            return effects + self._losing_advert(event, now)
        if priority == OWNER_PRIORITY == self.priority:
            text = f"two routers claim to own the addresses (priority 255): {event.source} and us"
            effects += self._limiter.notice("vrrp.two_owners", "error", text, now)
        if self.config.higher_prio_send_advert:
            effects += self._advertise(now)
        plan = ResumePlan(rule=Rule.YIELD, decisive=event)
        return effects + self._lose(plan, now, Trigger.ADVERT)

    def _losing_advert(self, event: AdvertReceived, now: float) -> list[Effect]:
        """RFC 9568 section 6.4.3: answer at once, so that the other one steps down."""
        self.counters.adverts_discarded += 1
        effects = [] if self.config.lower_prio_no_advert else self._advertise(now)
        later: list[Effect] = []
        for kind, copies in self._garp.losing_advert(self.config, now):
            later += self._announce(kind, copies, all_addresses(self.config))
        told = self._told_lower(event, now)
        return [*self._saved(effects, now), *later, *told] if effects or later else told

    def _addresses_installed(self, event: ev.AddressesInstalled, now: float) -> list[Effect]:
        if event.ticket not in self._installing:
            return []
        self._installing.discard(event.ticket)
        self._settled |= not self._installing and not self._verifying
        effects: list[Effect] = []
        for address, reason in event.failed:
            text = f"cannot put {address.interface} on {address.dev}: {reason}; tried again soon"
            key = str(address.interface)
            effects += self._limiter.notice("vrrp.address_refused", "error", text, now, key=key)
        if event.failed:
            self._retry = tuple(dict.fromkeys((*self._retry, *(address for address, _ in event.failed))))
            self._retry_at = now + INSTALL_RETRY_S
        return self._saved(effects, now)

    def _addresses_verified(self, event: ev.AddressesVerified, now: float) -> list[Effect]:
        if self.stalled(now):
            # Not ours to repair before the resume rule has said that we are still master.
            self._verify_after_stall = True
            return []
        asked, self._verifying = self._verifying, False
        wanted = set(all_addresses(self.config))
        missing = tuple(address for address in event.missing if address in wanted)
        effects: list[Effect] = []
        if missing and not asked:
            text = f"{len(missing)} of our addresses were removed by somebody else, put back"
            effects += self._limiter.notice("vrrp.address_lost", "warning", text, now)
        later = self._install(missing)
        self._settled |= not self._installing
        copies = self.config.garp_master_repeat
        if self._announce_when_verified:
            self._announce_when_verified = False
            later += self._announce("resume", copies, all_addresses(self.config))
        else:
            later += self._announce("repair", copies, missing)
        return [*self._saved(effects, now), *later]

    def _announced(self, event: ev.Announced, now: float) -> list[Effect]:
        if event.ticket not in self._announcing:
            return []
        self._announcing.discard(event.ticket)
        return [] if self._announcing else self._saved([], now)

    def _advert_not_sent(self, event: ev.AdvertNotSent, now: float) -> list[Effect]:
        """Nobody heard us: the record must not say so, or the fence would come too late."""
        self.counters.adverts_not_sent += 1
        text = f"advert could not be sent: {event.reason}"
        effects: list[Effect] = list(self._limiter.notice("vrrp.advert_not_sent", "error", text, now))
        if self.state is State.MASTER and self._unsent_own_advert_at is not None:
            self.last_own_advert_at = self._unsent_own_advert_at
            return self._saved(effects, now)
        return effects

    # --- leaving ------------------------------------------------------------------------------

    def _lose(self, plan: ResumePlan, now: float, trigger: Trigger) -> list[Effect]:
        """MASTER to BACKUP: beaten (rule 2a and RFC 9568 section 6.4.3), blind (2d) or succeeded (2e)."""
        heard = plan.decisive
        late_s = 0.0
        self._learned_cs = self.config.advert_int_cs
        if heard is not None:
            at = min(heard.received_at, now)
            late_s = now - at
            self._learn(heard, at)
            if plan.rule is Rule.SUCCEEDED:
                self._down_at = now + self._down_s()
        else:
            self.master_address = self.master_priority = None
            self._down_at = now + self._down_s()
        cause = self._cause(
            trigger,
            Reason.BLIND if heard is None else _LOST_BY.get(plan.rule, Reason.BEATEN),
            late_s=late_s,
            rule=None if trigger is Trigger.ADVERT else plan.rule,
        )
        effects = self._leave_master(State.BACKUP, now, cause)
        if heard is not None and heard.advert.priority < self.priority and self.config.preempt_delay_s > 0:
            # The delay is for a router that has just come to: what lay in the queue has not used it up.
            self._preempt_until_at = now + self.config.preempt_delay_s
        return effects + self._replay(plan, now)

    def _leave_master(
        self, to: State, now: float, cause: Cause, *, release: bool = False, hand_over_s: float = 0.0
    ) -> list[Effect]:
        """Record, priority 0 if that helps anyone, addresses off; LEAVING until the kernel says so. With
        ``hand_over_s`` they go off when a successor has spoken, after so many seconds at most."""
        gap_s = self._gap_s(now)
        survival = survival_s(self.config.advert_int_cs, self.config.down_timer_adverts)
        # After kA somebody else may be master: priority 0 would only disturb him.
        release = release and gap_s is not None and gap_s < survival
        self._leaving_fence = self._fence_of_leaving(now, release=release)
        if release and hand_over_s > 0 and self._may_hand_over(now):
            self._begin_hand_over(now, hand_over_s)
        old, self.state = self.state, to
        self.since_at = now
        self.last_cause = cause
        self.counters.release_master += 1
        self._preempt_until_at = self._advert_at = self._retry_at = None
        self._retry = ()
        self._installing.clear()
        self._announcing.clear()
        self._verifying = self._announce_when_verified = self._verify_after_stall = False
        self._stall_queue.clear()
        self._garp.clear()
        self._limiter.reset()
        withdraw = [] if self.handing_over else [self._withdraw_all(leftovers=False)]
        effects: list[Effect] = [SaveRecord(record=self.record(now), fence=self._fence())]
        if release:
            self.counters.priority_zero_sent += 1
            effects.append(self._send(0))
        return [*effects, *withdraw, Transition(from_state=old, to_state=to, cause=cause, at=now)]

    def _addresses_withdrawn(self, event: ev.AddressesWithdrawn, now: float) -> list[Effect]:
        if event.ticket != self._leaving:
            return []
        self._leaving = self._leaving_fence = None
        return self._saved([], now)

    # --- changes while running ----------------------------------------------------------------

    def _reconfigured_as_master(self, old: VrrpInstance, priority: int, now: float) -> list[Effect]:
        new = self.config
        before, after = all_addresses(old), all_addresses(new)
        removed = tuple(address for address in before if address not in set(after))
        added = tuple(address for address in after if address not in set(before))
        self._retry = tuple(address for address in self._retry if address in set(after))
        self._retry_at = self._retry_at if self._retry else None
        self._garp.reconfigure(new, now)
        self.master_priority = self.priority
        effects: list[Effect] = []
        if (advert_differs(old, new) or self.priority != priority) and not self.stalled(now):
            self._advert_at = now
            effects += self._advertise(now)
        later: list[Effect] = []
        if removed:
            later.append(WithdrawAddresses(addresses=removed, ticket=self._next_ticket()))
        later += [*self._install(added), *self._announce("master", new.garp_master_repeat, added)]
        return [*self._saved(effects, now), *later]
