"""The resume rule, clause by clause, and what a new incarnation does by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keepalived_conf.model import VrrpInstance
from tests.unit.vrrp.build import (
    T0,
    VIP4,
    acknowledge,
    advert,
    backup,
    config,
    ip,
    kinds,
    last_save,
    master,
    new,
    sent,
    transition,
)
from vrrp_proc import effects as ef
from vrrp_proc import events as ev
from vrrp_proc.effects import Effect, State
from vrrp_proc.events import AdvertReceived, ResumePlan, Rule
from vrrp_proc.instance import Instance
from vrrp_proc.record import RecordState, ResumeRecord
from vrrp_proc.resume import beats, config_of, resume

DOWN_S = 3 + 156 / 256


def succeed(
    old: Instance,
    died_at: float,
    now: float,
    queued: tuple[AdvertReceived, ...] = (),
    *,
    blind: bool = False,
    link_up: bool = True,
) -> tuple[Instance, ResumePlan, list[Effect]]:
    """The next incarnation of ``old``, by way of the bytes of its record."""
    record = ResumeRecord.unpack(old.record(died_at).pack())
    plan = resume(record, now, queued, blind, old.config)
    fresh = Instance(old.config, generation=1, local_address=old.local_address, ifindex=2, link_up=link_up)
    return fresh, plan, fresh.handle(ev.Startup(plan=plan), now)


# --- rule 1 ----------------------------------------------------------------------------------


def test_rule_1_no_record() -> None:
    plan = resume(None, T0, (advert(200, T0 - 9),), False, config())
    assert plan == ResumePlan(rule=Rule.FRESH)


@pytest.mark.parametrize(
    "other",
    [config(name="VI_2"), config(virtual_router_id=52), config(version=2), config(family=6)],
    ids=["name", "vrid", "version", "family"],
)
def test_rule_1_record_of_another_router(other: VrrpInstance) -> None:
    instance, at = master()
    assert resume(instance.record(at), at + 0.1, (), False, other).rule is Rule.FRESH


def test_rule_1_record_from_the_future_is_from_another_boot() -> None:
    instance, at = master()
    assert resume(instance.record(at), at - 100, (), False, config()).rule is Rule.FRESH


def test_rule_1_after_a_clean_stop() -> None:
    instance, at = master()
    acknowledge(instance, instance.handle(ev.Shutdown(), at + 0.1), at + 0.1)
    assert resume(instance.record(at + 0.2), at + 0.3, (), False, config()).rule is Rule.FRESH


# --- rule 2 ----------------------------------------------------------------------------------


def test_rule_2b_advertises_at_once_repairs_and_announces_nothing() -> None:
    old, at = master()
    fresh, plan, effects = succeed(old, at + 0.5, at + 1.4)
    assert plan.rule is Rule.CONTINUE
    assert kinds(effects) == ["SendAdvert", "VerifyAddresses", "Resumed"]
    assert sent(effects) == [100]
    assert fresh.since_at == at
    assert fresh.next_deadline() == at + 2
    assert kinds(acknowledge(fresh, effects, at + 1.4)) == []
    assert fresh.record_state is RecordState.MASTER


def test_rule_2b_announces_only_what_had_to_be_repaired() -> None:
    old, at = master()
    fresh, _, _ = succeed(old, at + 0.5, at + 1.4)
    effects = fresh.handle(ev.AddressesVerified(missing=VIP4[1:]), at + 1.41)
    assert kinds(effects) == ["InstallAddresses", "Announce"]
    (announce,) = [e for e in effects if isinstance(e, ef.Announce)]
    assert (announce.kind, announce.addresses) == ("repair", VIP4[1:])


def test_rule_2b_the_second_burst_is_neither_lost_nor_repeated() -> None:
    old, at = master(garp_master_delay_s=5)
    fresh, _, _ = succeed(old, at + 0.5, at + 1.0)
    fresh.handle(ev.AddressesVerified(), at + 1.0)
    bursts = [
        (second, e.kind)
        for second in range(2, 12)
        for e in fresh.wake(at + second, drained=True)
        if isinstance(e, ef.Announce)
    ]
    assert bursts == [(5, "delayed")]


def test_rule_2b_in_the_middle_of_a_takeover_announces_everything() -> None:
    old = backup()
    old.wake(T0 + DOWN_S, drained=True)
    assert old.record_state is RecordState.BECOMING_MASTER
    fresh, plan, _ = succeed(old, T0 + DOWN_S, T0 + DOWN_S + 0.1)
    assert (plan.rule, plan.announce_all) == (Rule.CONTINUE, True)
    effects = fresh.handle(ev.AddressesVerified(missing=VIP4), T0 + DOWN_S + 0.1)
    (announce,) = [e for e in effects if isinstance(e, ef.Announce)]
    assert (announce.kind, announce.addresses) == ("resume", VIP4)
    assert last_save(effects).record.state is RecordState.BECOMING_MASTER
    assert last_save(acknowledge(fresh, effects, T0 + 4)).record.state is RecordState.MASTER


def test_rule_2b_an_unfinished_burst_is_started_over() -> None:
    old = new(priority=255, state="MASTER")
    started = old.handle(ev.Startup(), T0)
    acknowledge(old, [e for e in started if not isinstance(e, ef.Announce)], T0)
    assert old.record_state is RecordState.MASTER
    fresh, plan, _ = succeed(old, T0, T0 + 0.1)
    assert plan.announce_all
    assert "Announce" in kinds(fresh.handle(ev.AddressesVerified(), T0 + 0.1))


def test_rule_2c_nobody_took_over() -> None:
    old, at = master()
    fresh, plan, effects = succeed(old, at + 0.5, at + 9.5)
    assert plan.rule is Rule.CONTINUE_UNCONTESTED
    assert sent(effects) == [100]
    after = fresh.handle(ev.AddressesVerified(), at + 9.5)
    assert [e.kind for e in after if isinstance(e, ef.Announce)] == ["resume"]
    assert fresh.record(at).garp_delayed_at == at + 14.5


def test_rule_2d_blind_takes_the_addresses_off_first() -> None:
    old, at = master()
    fresh, plan, effects = succeed(old, at + 0.5, at + 3.0, blind=True)
    assert plan.rule is Rule.STEP_DOWN_BLIND
    assert [type(e) for e in effects][:2] == [ef.SaveRecord, ef.WithdrawAddresses]
    assert sent(effects) == []
    assert fresh.state is State.BACKUP
    assert fresh.next_deadline() == at + 3.0 + DOWN_S


def test_rule_2e_a_lower_router_serves_now() -> None:
    old, at = master()
    queued = (advert(50, at + 4.0), advert(50, at + 5.0))
    fresh, plan, effects = succeed(old, at + 0.5, at + 5.5, queued)
    assert plan.rule is Rule.SUCCEEDED
    assert [type(e) for e in effects][:2] == [ef.SaveRecord, ef.WithdrawAddresses]
    assert sent(effects) == []
    assert transition(effects).cause.reason is ef.Reason.SUCCEEDED
    assert fresh.next_deadline() == at + 5.5 + DOWN_S  # by election, with a full down timer


def test_rule_2e_is_not_for_the_address_owner() -> None:
    old, at = master(priority=255, state="MASTER")
    _, plan, effects = succeed(old, at + 0.5, at + 5.5, (advert(50, at + 5.0),))
    assert plan.rule is Rule.CONTINUE_UNCONTESTED
    assert sent(effects) == [255]


def test_blind_within_ka_goes_on() -> None:
    old, at = master()
    _, plan, effects = succeed(old, at + 0.5, at + 2.99, blind=True)
    assert plan.rule is Rule.CONTINUE
    assert sent(effects) == [100]


@pytest.mark.parametrize(
    ("settings", "heard", "rule"),
    [
        ({}, 200, Rule.YIELD),
        ({}, 50, Rule.CONTINUE),
        ({"preempt": False}, 50, Rule.YIELD),
        ({"preempt_delay_s": 3.0}, 50, Rule.YIELD),
        ({"preempt": False}, 0, Rule.CONTINUE),
        ({"priority": 255, "state": "MASTER", "owner_ignore_adverts": True}, 255, Rule.CONTINUE),
    ],
)
def test_rule_2a_who_is_beaten_by_what(settings: dict[str, object], heard: int, rule: Rule) -> None:
    old, at = master(**settings)
    _, plan, effects = succeed(old, at + 0.5, at + 1.5, (advert(heard, at + 1.2),))
    assert plan.rule is rule
    assert bool(sent(effects)) is (rule is Rule.CONTINUE)


def test_rule_2a_backup_of_the_one_who_beat_us() -> None:
    old, at = master()
    queued = (advert(50, at + 1.0, source="192.0.2.2"), advert(200, at + 1.2), advert(200, at + 2.2))
    fresh, plan, effects = succeed(old, at + 0.5, at + 2.5, queued)
    assert plan.decisive is queued[1]
    assert kinds(effects) == ["WithdrawAddresses", "Transition"]
    cause = transition(effects).cause
    assert (cause.rule, str(cause.peer), cause.peer_priority) == ("2a", "192.0.2.9", 200)
    assert fresh.next_deadline() == at + 2.2 + DOWN_S


def test_rule_2a_equal_priority_goes_by_address() -> None:
    old, at = master()
    assert succeed(old, at, at + 1, (advert(100, at + 0.5, source="192.0.2.6"),))[1].rule is Rule.YIELD
    assert succeed(old, at, at + 1, (advert(100, at + 0.5, source="192.0.2.4"),))[1].rule is Rule.CONTINUE


def test_a_usurper_we_outrank_makes_us_announce_everything() -> None:
    old, at = master()
    _, plan, _ = succeed(old, at + 0.5, at + 1.5, (advert(50, at + 1.2),))
    assert plan.announce_all


def test_link_that_went_down_meanwhile_is_a_fault() -> None:
    old, at = master()
    fresh, _, effects = succeed(old, at, at + 1, link_up=False)
    assert fresh.state is State.FAULT
    assert sent(effects) == []
    assert "WithdrawAddresses" in kinds(effects)


# --- rules 3 to 6 ----------------------------------------------------------------------------


def test_rule_3_finishes_leaving() -> None:
    old, at = master()
    old.handle(advert(200, at + 0.5), at + 0.5)
    fresh, plan, effects = succeed(old, at + 0.5, at + 0.7)
    assert plan.rule is Rule.FINISH_LEAVING
    assert kinds(effects) == ["WithdrawAddresses", "Resumed"]
    assert last_save(effects).record.state is RecordState.LEAVING
    assert last_save(effects).fence is not None
    assert fresh.next_deadline() == at + 0.5 + DOWN_S
    assert last_save(acknowledge(fresh, effects, at + 0.7)).record.state is RecordState.BACKUP


def test_rule_4_what_remains_of_the_down_timer() -> None:
    old = backup()
    old.handle(advert(200, T0 + 1, interval_cs=200), T0 + 1)
    fresh, plan, effects = succeed(old, T0 + 1, T0 + 5)
    assert plan.rule is Rule.BACKUP
    assert kinds(effects) == ["Resumed"]
    assert fresh.next_deadline() == pytest.approx(T0 + 1 + 6 + 2 * 156 / 256)
    assert fresh.master_interval_cs == 200


def test_rule_4_after_the_queued_adverts() -> None:
    old = backup()
    old.handle(advert(200, T0 + 1), T0 + 1)
    fresh, _, _ = succeed(old, T0 + 1, T0 + 7, (advert(200, T0 + 4), advert(0, T0 + 6.9)))
    assert fresh.next_deadline() == pytest.approx(T0 + 6.9 + 156 / 256)


def test_rule_4_blind_waits_a_full_down_timer() -> None:
    old = backup()
    fresh, _, _ = succeed(old, T0, T0 + 60, blind=True)
    assert fresh.next_deadline() == T0 + 60 + DOWN_S


def test_rule_4_keeps_what_is_left_of_preempt_delay() -> None:
    old = backup(preempt_delay_s=10.0)
    old.handle(advert(50, T0 + 1), T0 + 1)
    fresh, _, _ = succeed(old, T0 + 1, T0 + 3)
    assert fresh.record(T0 + 3).preempt_until_at == T0 + 11


def test_rule_5_fault_ends_when_the_link_is_back() -> None:
    old = backup()
    old.handle(ev.InterfaceDown(), T0 + 1)
    still, plan, _ = succeed(old, T0 + 1, T0 + 2, link_up=False)
    assert (plan.rule, still.state) == (Rule.FAULT, State.FAULT)
    over, _, effects = succeed(old, T0 + 1, T0 + 2)
    assert over.state is State.BACKUP
    assert over.next_deadline() == T0 + 2 + DOWN_S
    assert transition(effects).from_state is State.FAULT


def test_rule_6_resumes_under_the_old_values_and_reloads_then() -> None:
    old, at = master(priority=150, advert_int_cs=200)
    record = ResumeRecord.unpack(old.record(at).pack())
    wanted = config(priority=90, advert_int_cs=10, virtual_addresses=VIP4[:1])
    before = config_of(record, wanted)
    assert (before.priority, before.advert_int_cs) == (150, 200)
    plan = resume(record, at + 4.5, (advert(120, at + 3),), False, before)
    assert plan.rule is Rule.CONTINUE  # 4.5 s are no gap at 2 s, and 120 does not beat 150
    fresh = Instance(
        before, generation=record.generation, local_address=ip("192.0.2.5"), ifindex=2, link_up=True
    )
    effects = fresh.handle(ev.Startup(plan=plan), at + 4.5)
    effects += fresh.handle(ev.Reconfigured(config=wanted, generation=2), at + 4.5)
    assert sent(effects) == [150, 90]
    assert fresh.next_deadline() == pytest.approx(at + 4.6)
    verify = next(e for e in effects if isinstance(e, ef.VerifyAddresses))
    assert verify.addresses == VIP4[:1]


def test_a_second_restart_before_the_first_has_verified_announces_nothing() -> None:
    old, at = master(garp_master_delay_s=0)
    fresh, _, _ = succeed(old, at + 0.1, at + 0.2)
    again, plan, _ = succeed(fresh, at + 0.2, at + 0.3)
    assert not plan.announce_all
    assert kinds(again.handle(ev.AddressesVerified(), at + 0.3)) == []


def test_beats() -> None:
    assert beats(2, ip("10.0.0.1"), 1, ip("10.0.0.2"))
    assert not beats(0, ip("10.0.0.9"), 1, ip("10.0.0.2"))
    assert beats(1, ip("10.0.0.10"), 1, ip("10.0.0.9"))
    assert not beats(1, ip("fe80::a"), 1, ip("fe80::10"))


def test_the_record_says_how_it_looks_not_what_the_config_wants() -> None:
    instance, at = master()
    record = replace(instance.record(at), local_address=ip("192.0.2.200"))
    queued = (advert(100, at + 0.5, source="192.0.2.100"),)
    assert resume(record, at + 1, queued, False, config()).rule is Rule.CONTINUE
