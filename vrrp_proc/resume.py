"""The resume rule: what a new incarnation, or one that stalled, makes of the past. Pure functions.

A = own interval, k = min(3, down_timer_adverts), gap = now - last own advert. The kept sockets have been
drained before. *Blind*: adverts may have been missed (sockets not inherited, receive queue
overflowed, link was down, interface replaced, machine suspended).

1.  No valid record: take off what is left over, then start as the RFC says (what was queued before is
    of no use: it says nothing about how long a router that starts has to wait).
2.  MASTER or BECOMING_MASTER:
    a. a queued advert beats us, or with nopreempt or preempt_delay any foreign one: addresses off, BACKUP;
    b. gap < kA: advertise at once, then compare the addresses and repair them;
    c. gap >= kA, not blind, nothing heard: nobody took over, as (b), and announce everything;
    d. gap >= kA and blind: addresses off first, then BACKUP with a full down timer;
    e. gap >= kA and only lower adverts heard: somebody took over and serves now. As (d), and preempt by
       election, with a full down timer, not at once; the address owner goes on as (c).
3.  LEAVING: finish leaving, BACKUP.
4.  BACKUP: what remains of the down timer, after the queued adverts. Blind: a full one.
5.  FAULT: stays FAULT while a cause holds.
6.  A record of another generation: resume under the old values (``config_of``), then ``Reconfigured``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keepalived_conf.model import IpAddress, VrrpInstance
from vrrp_proc.events import AdvertReceived, ResumePlan, Rule
from vrrp_proc.record import RecordState, ResumeRecord, digest_name
from vrrp_proc.timers import survival_s

OWNER_PRIORITY = 255
_CLOCK_SLACK_S = 1.0


def beats(priority: int, source: IpAddress, own_priority: int, local_address: IpAddress | None) -> bool:
    """Does an advert win against a master? Higher priority, or equal and numerically greater source
    address (unsigned, network order); priority 0 never. RFC 9568 section 6.4.3."""
    if priority != own_priority:
        return priority > own_priority
    return local_address is None or int(source) > int(local_address)


def judge_mastership(
    queued: Sequence[AdvertReceived],
    *,
    now: float,
    last_own_advert_at: float | None,
    own_priority: int,
    local_address: IpAddress | None,
    config: VrrpInstance,
    blind: bool,
) -> ResumePlan:
    """Rule 2, for a router that was master until it fell silent. ``queued``: oldest first."""
    foreign = [a for a in queued if a.advert.priority and _is_foreign(a, own_priority, local_address)]
    if own_priority == OWNER_PRIORITY and config.owner_ignore_adverts:
        foreign = []
    any_will_do = not config.preempt or config.preempt_delay_s > 0
    for heard in foreign:
        if any_will_do or beats(heard.advert.priority, heard.source, own_priority, local_address):
            replay = tuple(queued[queued.index(heard) :])
            return ResumePlan(rule=Rule.YIELD, decisive=heard, replay=replay, blind=blind)
    gap_s = float("inf") if last_own_advert_at is None else now - last_own_advert_at
    if gap_s < survival_s(config.advert_int_cs, config.down_timer_adverts):
        return ResumePlan(rule=Rule.CONTINUE, announce_all=bool(foreign), blind=blind)
    if foreign and own_priority != OWNER_PRIORITY:
        # Silent for so long that others elected a master: two would answer until it heard us. It serves
        # now; we come back the way every better router does, by the down timer.
        return ResumePlan(rule=Rule.SUCCEEDED, decisive=foreign[-1], blind=blind)
    if blind:
        return ResumePlan(rule=Rule.STEP_DOWN_BLIND, blind=True)
    return ResumePlan(rule=Rule.CONTINUE_UNCONTESTED, announce_all=True)


def resume(
    record: ResumeRecord | None,
    now: float,
    queued: Sequence[AdvertReceived],
    blind: bool,
    config: VrrpInstance,
) -> ResumePlan:
    """What the next incarnation does. ``queued``: accepted adverts out of the kept sockets, oldest first,
    judged by ``config``; ``record`` is None when there is none, or when it was fenced.

    ``config`` is the one of the record's generation (``config_of(record, current)``)."""
    if record is None or not is_record_of(record, config) or record.saved_at > now + _CLOCK_SLACK_S:
        return ResumePlan(rule=Rule.FRESH)
    if record.state in (RecordState.MASTER, RecordState.BECOMING_MASTER):
        plan = judge_mastership(
            queued,
            now=now,
            last_own_advert_at=record.last_own_advert_at,
            own_priority=record.priority,
            local_address=record.local_address,
            config=config,
            blind=blind,
        )
        unfinished = record.announcing or record.state is RecordState.BECOMING_MASTER
        return replace(plan, record=record, announce_all=plan.announce_all or unfinished)
    if record.state is RecordState.INIT:
        return ResumePlan(rule=Rule.FRESH)
    rule = {
        RecordState.LEAVING: Rule.FINISH_LEAVING,
        RecordState.BACKUP: Rule.BACKUP,
        RecordState.FAULT: Rule.FAULT,
    }[record.state]
    return ResumePlan(rule=rule, record=record, replay=tuple(queued), blind=blind)


def is_record_of(record: ResumeRecord, config: VrrpInstance) -> bool:
    """Is it the record of this virtual router (not only of a slot that is used anew)?"""
    return (
        record.name_digest == digest_name(config.name)
        and record.family == config.family
        and record.version == config.version
        and record.virtual_router_id == config.virtual_router_id
    )


def config_of(record: ResumeRecord, config: VrrpInstance) -> VrrpInstance:
    """The configuration that the record was written under, as far as the resume rule needs it (rule 6).

    The addresses are those of ``config``: what else the old one had is in the ledger and goes with
    ``VerifyAddresses`` or ``WithdrawAddresses(leftovers=True)``."""
    return replace(
        config,
        priority=record.base_priority,
        advert_int_cs=record.advert_int_cs,
        down_timer_adverts=record.down_timer_adverts,
        preempt=record.preempt,
        preempt_delay_s=record.preempt_delay_s,
    )


def _is_foreign(heard: AdvertReceived, own_priority: int, local_address: IpAddress | None) -> bool:
    """Not our own advert come back by a loop in the network."""
    if local_address is None or int(heard.source) != int(local_address):
        return True
    return heard.advert.priority != own_priority
