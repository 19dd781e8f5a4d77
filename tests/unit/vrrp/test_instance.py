"""The state machine, rule by rule. Ids (INI-01, ACT-10, ...) are rows of the table in docs/vrrp.md."""

from __future__ import annotations

import typing

import pytest

from tests.unit.vrrp.build import (
    T0,
    VIP4,
    acknowledge,
    added,
    advert,
    backup,
    config,
    ip,
    kinds,
    last_save,
    master,
    new,
    sent,
    state_of,
    transition,
)
from vrrp_proc import effects as ef
from vrrp_proc import events as ev
from vrrp_proc.effects import Reason, State, Trigger
from vrrp_proc.events import Event
from vrrp_proc.instance import TABLE, Ignored, Instance
from vrrp_proc.packet import Reason as Refused
from vrrp_proc.packet import Rejection
from vrrp_proc.record import RecordState

DOWN_S = 3 + 156 / 256
"""Priority 100, one second."""


def test_table_has_an_entry_for_every_state_and_event() -> None:
    every = set(typing.get_args(Event))
    for state in State:
        assert set(TABLE[state]) == every, state
        for entry in TABLE[state].values():
            assert not isinstance(entry, Ignored) or len(entry.because) > 5


# --- start -----------------------------------------------------------------------------------


def test_ini_01_owner_is_master_at_once_advert_addresses_announcements() -> None:
    instance = new(priority=255, state="MASTER")
    effects = instance.handle(ev.Startup(), T0)
    assert kinds(effects) == ["WithdrawAddresses", "SendAdvert", "InstallAddresses", "Announce", "Transition"]
    assert sent(effects) == [255]
    assert instance.next_deadline() == T0 + 1
    assert transition(effects).cause.reason is Reason.OWNER


def test_ini_01_owner_that_is_told_to_start_as_backup_waits() -> None:
    """keepalived: ``state BACKUP`` with priority 255 waits a whole down interval."""
    instance = backup(priority=255, state="BACKUP")
    assert instance.next_deadline() == T0 + 3 + 1 / 256


@pytest.mark.parametrize("state", ["MASTER", "BACKUP"])
def test_ini_02_others_start_as_backup_whatever_the_state_keyword(state: str) -> None:
    instance = backup(state=state)
    assert state_of(instance) is State.BACKUP
    assert instance.next_deadline() == T0 + DOWN_S


def test_ini_03_nothing_is_sent_before_startup_or_without_a_link() -> None:
    instance = new(link_up=False)
    assert instance.handle(advert(200, T0), T0) == []
    assert instance.counters.adverts_ignored == 1
    effects = instance.handle(ev.Startup(), T0)
    assert state_of(instance) is State.FAULT
    assert sent(effects) == []
    assert "eth0 is down" in transition(effects).cause.detail
    assert instance.next_deadline() is None


def test_no_address_to_send_from_is_a_fault() -> None:
    instance = new()
    instance.handle(ev.LocalAddressChanged(address=None), T0)
    instance.handle(ev.Startup(), T0)
    assert state_of(instance) is State.FAULT
    instance.handle(ev.LocalAddressChanged(address=ip("192.0.2.7")), T0 + 1)
    assert state_of(instance) is State.BACKUP
    assert instance.next_deadline() == T0 + 1 + DOWN_S


def test_a_fresh_start_takes_off_what_is_left_over() -> None:
    effects = new().handle(ev.Startup(), T0)
    assert isinstance(effects[0], ef.WithdrawAddresses)
    assert effects[0].leftovers
    assert last_save(effects).record.state is RecordState.LEAVING


def test_trk_03_link_back_means_a_full_down_timer_with_the_own_interval() -> None:
    instance = backup()
    instance.handle(advert(200, T0, interval_cs=500), T0)
    instance.handle(ev.InterfaceDown(), T0 + 1)
    assert (instance.state, instance.next_deadline()) == (State.FAULT, None)
    instance.handle(ev.InterfaceUp(ifindex=7), T0 + 2)
    assert instance.next_deadline() == T0 + 2 + DOWN_S
    assert instance.ifindex == 7


def test_rx_15_adverts_are_ignored_in_fault() -> None:
    instance = backup()
    instance.handle(ev.InterfaceDown(), T0)
    assert instance.handle(advert(200, T0), T0) == []
    assert instance.next_deadline() is None


def test_dont_track_primary_goes_on_without_a_link() -> None:
    instance, at = master(dont_track_primary=True)
    assert instance.handle(ev.InterfaceDown(), at + 0.1) == []
    assert state_of(instance) is State.MASTER


# --- backup ----------------------------------------------------------------------------------


def test_bak_05_stop_as_backup_sends_nothing() -> None:
    instance = backup()
    effects = instance.handle(ev.Shutdown(), T0 + 1)
    assert kinds(effects) == ["Transition"]
    assert instance.quiet
    assert instance.next_deadline() is None


def test_bak_06_tx_03_takeover_in_order_with_the_record_first() -> None:
    instance = backup(advert_int_cs=50)
    due_at = instance.next_deadline()
    assert due_at is not None
    effects = instance.wake(due_at, drained=True)
    assert [type(e) for e in effects] == [
        ef.SaveRecord,
        ef.SendAdvert,
        ef.InstallAddresses,
        ef.Announce,
        ef.Transition,
    ]
    save = effects[0]
    assert isinstance(save, ef.SaveRecord)
    assert save.record.state is RecordState.BECOMING_MASTER
    assert save.fence is not None
    assert save.fence.deadline_at == pytest.approx(due_at + 1.5 - 0.1)
    assert instance.next_deadline() == due_at + 0.5
    (saved,) = [
        e.record.state for e in acknowledge(instance, [effects[2]], due_at) if isinstance(e, ef.SaveRecord)
    ]
    assert saved is RecordState.MASTER


def test_excluded_addresses_are_installed_too() -> None:
    instance = new(
        priority=255, state="MASTER", virtual_addresses=VIP4[:1], virtual_addresses_excluded=VIP4[1:]
    )
    (install,) = [e for e in instance.handle(ev.Startup(), T0) if isinstance(e, ef.InstallAddresses)]
    assert install.addresses == VIP4


def test_nothing_is_due_a_moment_too_early() -> None:
    instance = backup()
    assert instance.wake(T0 + DOWN_S - 1e-6, drained=True) == []


def test_no_election_before_the_queue_was_read() -> None:
    instance = backup()
    assert instance.wake(T0 + 60, drained=False) == [ef.ReadPending()]
    assert state_of(instance) is State.BACKUP
    instance.handle(advert(200, T0 + 59.5), T0 + 60)
    assert instance.wake(T0 + 60, drained=True) == []
    assert instance.next_deadline() == T0 + 59.5 + DOWN_S


@pytest.mark.parametrize("preempt", [True, False])
@pytest.mark.parametrize(("version", "skew_s"), [(3, 5 * 156 / 256), (2, 156 / 256)])
def test_bak_07_priority_0_leaves_the_skew(preempt: bool, version: int, skew_s: float) -> None:
    instance = backup(preempt=preempt, version=version)
    instance.handle(advert(200, T0, interval_cs=500 if version == 3 else 100, version=version), T0)
    instance.handle(advert(0, T0 + 1, version=version), T0 + 1.1)
    assert instance.next_deadline() == pytest.approx(T0 + 1 + skew_s)
    effects = instance.wake(T0 + 60, drained=True)
    assert transition(effects).cause.reason is Reason.PRIORITY_ZERO


@pytest.mark.parametrize("priority", [100, 101, 254, 255])
def test_bak_08_09_11_equal_or_higher_restarts_the_timer_from_its_arrival(priority: int) -> None:
    instance = backup()
    instance.handle(advert(priority, T0 + 2.0, source="192.0.2.1"), T0 + 2.5)
    assert instance.next_deadline() == T0 + 2.0 + DOWN_S
    assert str(instance.master_address) == "192.0.2.1"


def test_bak_09_version_3_learns_the_interval() -> None:
    instance = backup()
    instance.handle(advert(200, T0, interval_cs=500), T0)
    assert instance.next_deadline() == pytest.approx(T0 + 15 + 5 * 156 / 256)
    assert instance.master_interval_cs == 500


def test_bak_08_version_2_does_not() -> None:
    instance = backup(version=2, advert_int_cs=200)
    instance.handle(advert(200, T0, interval_cs=200, version=2), T0)
    assert instance.next_deadline() == T0 + 6 + 156 / 256


def test_bak_10_lower_advert_is_discarded_and_we_preempt() -> None:
    instance = backup()
    assert kinds(instance.handle(advert(99, T0 + 3), T0 + 3)) == []
    assert instance.next_deadline() == T0 + DOWN_S
    cause = transition(instance.wake(T0 + DOWN_S + 0.002, drained=True)).cause
    assert (cause.trigger, cause.reason) == (Trigger.TIMER, Reason.PREEMPTED)
    assert cause.late_s == pytest.approx(0.002)


def test_bak_10_nopreempt_accepts_it() -> None:
    instance = backup(preempt=False)
    instance.handle(advert(1, T0 + 3), T0 + 3)
    assert instance.next_deadline() == T0 + 3 + DOWN_S


def test_bak_12_preempt_delay_runs_from_the_first_lower_advert() -> None:
    instance = backup(preempt_delay_s=2.0)
    for second in range(5):
        instance.handle(advert(50, T0 + second), T0 + second)
    # Accepted at 0 and 1, delay over at 2: the timer runs from the last accepted one.
    assert instance.next_deadline() == T0 + 1 + DOWN_S


def test_bak_12_higher_or_equal_advert_cancels_the_delay() -> None:
    instance = backup(preempt_delay_s=2.0)
    instance.handle(advert(50, T0), T0)
    instance.handle(advert(100, T0 + 1), T0 + 1)
    instance.handle(advert(50, T0 + 4), T0 + 4)
    assert instance.record(T0 + 4).preempt_until_at == T0 + 6
    assert instance.next_deadline() == T0 + 4 + DOWN_S


def test_bak_14_own_priority_moves_the_timer_by_the_skew() -> None:
    instance = backup()
    effects = instance.handle(added(100), T0 + 1)
    assert instance.next_deadline() == pytest.approx(T0 + 3 + 56 / 256)
    assert instance.record(T0).priority == 200
    assert kinds(effects) == ["PriorityChanged"]


def test_fld_04_owner_priority_is_not_changed_and_others_never_reach_255() -> None:
    owner, at = master(priority=255, state="MASTER")
    assert owner.handle(added(-200), at) == []
    assert owner.priority == 255
    other = backup()
    other.handle(added(200), T0)
    assert other.priority == 254
    other.handle(added(-200), T0)
    assert other.priority == 1


@pytest.mark.parametrize("is_master", [False, True])
def test_rx_13_rx_14_rejected_packets_touch_no_timer(is_master: bool) -> None:
    instance, at = master() if is_master else (backup(), T0)
    before = instance.next_deadline()
    rejection = Rejection(reason=Refused.CHECKSUM, detail="checksum 0x0000 is wrong")
    for step in range(20):
        instance.handle(ev.PacketRejected(rejection=rejection, source=ip("192.0.2.9")), at + step / 100)
    assert instance.next_deadline() == before
    assert instance.counters.by_reason["checksum_errors"] == 20


def test_rx_12_notices_are_rate_limited() -> None:
    instance = backup()
    rejection = Rejection(reason=Refused.TTL, detail="TTL 1, must be 255")
    event = ev.PacketRejected(rejection=rejection, source=ip("192.0.2.9"))
    notices = [e for step in range(100) for e in instance.handle(event, T0 + step)]
    assert len(notices) == 2
    assert isinstance(notices[0], ef.Notice)
    assert "192.0.2.9" in notices[0].text
    assert isinstance(notices[1], ef.Notice)
    assert notices[1].suppressed == 59


def test_blind_backup_waits_one_more_down_timer_but_only_one() -> None:
    instance = backup()
    instance.handle(ev.ReceiveGap(detail="suspended"), T0 + 60)
    assert kinds(instance.wake(T0 + 60, drained=True)) == []
    assert instance.next_deadline() == T0 + 60 + DOWN_S
    instance.handle(ev.ReceiveGap(detail="queue overflowed"), T0 + 70)
    assert sent(instance.wake(T0 + 70, drained=True)) == [100]


def test_a_gap_long_ago_is_no_gap() -> None:
    instance = backup()
    instance.handle(ev.ReceiveGap(detail="queue overflowed"), T0 + 1)
    instance.handle(advert(200, T0 + 0.9), T0 + 1)
    instance.handle(advert(200, T0 + 2), T0 + 2)
    assert sent(instance.wake(T0 + 2 + DOWN_S, drained=True)) == [100]


def test_an_advert_from_before_the_gap_does_not_end_it() -> None:
    instance = backup()
    instance.handle(ev.ReceiveGap(detail="suspended"), T0 + 60)
    instance.handle(advert(200, T0 + 1), T0 + 60)
    assert sent(instance.wake(T0 + 60, drained=True)) == []


def test_a_master_that_has_spoken_since_the_gap_is_not_blind() -> None:
    instance, at = master()
    instance.handle(ev.ReceiveGap(detail="queue overflowed"), at + 0.5)
    instance.wake(at + 1, drained=False)
    assert sent(instance.wake(at + 9.5, drained=True)) == [100]


# --- master ----------------------------------------------------------------------------------


def test_act_07_stop_sends_one_priority_0_then_takes_the_addresses_off() -> None:
    instance, at = master()
    effects = instance.handle(ev.Shutdown(), at + 0.5)
    assert [type(e).__name__ for e in effects] == [
        "SaveRecord",
        "SendAdvert",
        "WithdrawAddresses",
        "Transition",
    ]
    assert sent(effects) == [0]
    assert last_save(effects).record.state is RecordState.LEAVING
    assert last_save(effects).fence is not None
    assert [instance.quiet] == [False]
    after = acknowledge(instance, effects, at + 0.5)
    assert instance.quiet
    assert last_save(after).record.state is RecordState.INIT
    assert last_save(after).fence is None
    assert instance.counters.priority_zero_sent == 1


def test_stop_after_others_may_have_taken_over_sends_no_priority_0() -> None:
    instance, at = master()
    assert sent(instance.handle(ev.Shutdown(), at + 3.5)) == []


def test_act_08_adverts_on_a_grid_with_the_own_interval() -> None:
    instance, at = master()
    instance.wake(at + 1.3, drained=True)
    assert instance.next_deadline() == at + 2
    effects = instance.wake(at + 2, drained=True)
    assert [type(e) for e in effects] == [ef.SendAdvert, ef.SaveRecord]
    assert last_save(effects).record.last_own_advert_at == at + 2
    assert instance.wake(at + 2, drained=True) == []


def test_act_09_priority_0_is_answered_and_restarts_the_timer() -> None:
    instance, at = master()
    effects = instance.handle(advert(0, at + 0.4), at + 0.4)
    assert sent(effects) == [100]
    assert instance.next_deadline() == pytest.approx(at + 1.4)


@pytest.mark.parametrize(
    ("priority", "own", "source"),
    [(101, "192.0.2.5", "192.0.2.1"), (100, "10.0.0.9", "10.0.0.10"), (100, "fe80::a", "fe80::10")],
)
def test_act_10_better_advert_ends_the_mastership(priority: int, own: str, source: str) -> None:
    family = 6 if ":" in own else 4
    instance, at = master(address=own, family=family, preempt=False)
    effects = instance.handle(advert(priority, at + 0.5, source=source, interval_cs=200), at + 0.6)
    assert [type(e).__name__ for e in effects] == ["SaveRecord", "WithdrawAddresses", "Transition"]
    assert state_of(instance) is State.BACKUP
    assert instance.next_deadline() == pytest.approx(at + 0.5 + 6 + 2 * 156 / 256)
    cause = transition(effects).cause
    assert (str(cause.peer), cause.peer_priority, cause.own_priority) == (source, priority, 100)
    assert cause.late_s == pytest.approx(0.1)
    assert last_save(acknowledge(instance, effects, at + 1)).record.state is RecordState.BACKUP


def test_the_fence_of_a_loser_sends_no_priority_0() -> None:
    instance, at = master()
    fence = last_save(instance.handle(advert(200, at + 0.5), at + 0.5)).fence
    assert fence is not None
    assert fence.prio0_until_at == 0.0
    assert fence.deadline_at == pytest.approx(at + 0.7)


@pytest.mark.parametrize(("priority", "source"), [(99, "192.0.2.9"), (100, "192.0.2.4")])
def test_act_11_act_13_losing_advert_is_answered_and_the_addresses_are_announced(
    priority: int, source: str
) -> None:
    instance, at = master(garp_lower_prio_repeat=3, garp_lower_prio_delay_s=2)
    effects = instance.handle(advert(priority, at + 0.2, source=source), at + 0.2)
    assert sent(effects) == [100]
    (announce,) = [e for e in effects if isinstance(e, ef.Announce)]
    assert (announce.kind, announce.copies) == ("lower_prio", 3)
    assert instance.next_deadline() == at + 1
    later = [e for step in (1, 2, 2.2) for e in instance.wake(at + step, drained=True)]
    assert [e.kind for e in later if isinstance(e, ef.Announce)] == ["lower_prio_delayed"]


def test_act_12_lower_prio_no_advert_is_silent() -> None:
    instance, at = master(lower_prio_no_advert=True, garp_lower_prio_repeat=0)
    assert kinds(instance.handle(advert(50, at + 0.2), at + 0.2)) == ["LowerPriorityHeard"]


def test_a_flood_of_losing_adverts_is_no_flood_of_announcements() -> None:
    instance, at = master()
    effects = [e for step in range(50) for e in instance.handle(advert(50, at + step / 100), at + step / 100)]
    assert len([e for e in effects if isinstance(e, ef.Announce)]) == 1
    assert len(sent(effects)) == 50


def test_act_14_higher_prio_send_advert_speaks_once_more() -> None:
    instance, at = master(higher_prio_send_advert=True)
    effects = instance.handle(advert(200, at + 0.2), at + 0.2)
    assert kinds(effects) == ["SendAdvert", "WithdrawAddresses", "Transition"]
    assert sent(effects) == [100]


def test_own_advert_come_back_changes_nothing() -> None:
    instance, at = master()
    effects = instance.handle(advert(100, at + 0.2, source="192.0.2.5"), at + 0.2)
    assert kinds(effects) == ["Notice"]
    assert state_of(instance) is State.MASTER


def test_rx_06_two_owners_the_lower_address_yields_and_says_so() -> None:
    instance, at = master(priority=255, state="MASTER")
    effects = instance.handle(advert(255, at + 0.2, source="192.0.2.9"), at + 0.2)
    assert state_of(instance) is State.BACKUP
    assert any(isinstance(e, ef.Notice) and e.event_id == "vrrp.two_owners" for e in effects)
    other, at = master(priority=255, state="MASTER")
    other.handle(advert(255, at + 0.2, source="192.0.2.1"), at + 0.2)
    assert other.state is State.MASTER


def test_rx_06_owner_ignore_adverts() -> None:
    instance, at = master(priority=255, state="MASTER", owner_ignore_adverts=True)
    instance.handle(advert(255, at + 0.2, source="192.0.2.9"), at + 0.2)
    assert state_of(instance) is State.MASTER
    assert instance.counters.adverts_ignored == 1


def test_act_15_link_loss_takes_the_addresses_off_without_priority_0() -> None:
    instance, at = master()
    effects = instance.handle(ev.InterfaceDown(), at + 0.2)
    assert kinds(effects) == ["WithdrawAddresses", "Transition"]
    assert state_of(instance) is State.FAULT


def test_trk_01_own_priority_goes_out_with_the_next_advert_of_the_grid() -> None:
    instance, at = master()
    assert sent(instance.handle(added(-60), at + 0.2)) == []
    assert instance.next_deadline() == at + 1
    assert sent(instance.wake(at + 1, drained=True)) == [40]


def test_tmr_04_only_one_of_the_two_timers_runs() -> None:
    instance, at = master()
    assert (instance.record(at).down_at, instance.record(at).advert_at) == (None, at + 1)
    instance.handle(advert(200, at + 0.5), at + 0.5)
    assert (instance.record(at).down_at, instance.record(at).advert_at) == (at + 0.5 + DOWN_S, None)


def test_arp_07_second_burst_and_refresh() -> None:
    instance, at = master(garp_master_delay_s=5, garp_master_refresh_s=60, garp_master_refresh_repeat=2)
    bursts = [
        (second, effect.kind, effect.copies)
        for second in range(1, 130)
        for effect in instance.wake(at + second, drained=True)
        if isinstance(effect, ef.Announce)
    ]
    assert bursts == [(5, "delayed", 5), (65, "refresh", 2), (125, "refresh", 2)]


def test_garp_master_repeat_0_announces_nothing() -> None:
    instance = new(priority=255, state="MASTER", garp_master_repeat=0)
    assert "Announce" not in kinds(instance.handle(ev.Startup(), T0))
    assert instance.next_deadline() == T0 + 1


def test_stale_answers_are_ignored() -> None:
    instance, at = master()
    lost = instance.handle(advert(200, at + 0.1), at + 0.1)
    instance.wake(at + 60, drained=True)
    assert state_of(instance) is State.MASTER
    assert acknowledge(instance, lost, at + 60) == []
    assert instance.record_state is RecordState.BECOMING_MASTER


def test_refused_address_is_reported_and_tried_again() -> None:
    instance = new(priority=255, state="MASTER")
    effects = instance.handle(ev.Startup(), T0)
    (install,) = [e for e in effects if isinstance(e, ef.InstallAddresses)]
    failed = ev.AddressesInstalled(ticket=install.ticket, failed=((VIP4[1], "No such device"),))
    notices = [e for e in instance.handle(failed, T0) if isinstance(e, ef.Notice)]
    assert ["No such device" in n.text for n in notices] == [True]
    again = [
        e
        for s in range(1, 7)
        for e in instance.wake(T0 + s, drained=True)
        if isinstance(e, ef.InstallAddresses)
    ]
    assert [e.addresses for e in again] == [VIP4[1:]]


def test_address_removed_by_somebody_else_is_put_back_and_only_it_is_announced() -> None:
    instance, at = master()
    effects = instance.handle(ev.AddressesVerified(missing=VIP4[:1]), at + 0.2)
    assert kinds(effects) == ["Notice", "InstallAddresses", "Announce"]
    (announce,) = [e for e in effects if isinstance(e, ef.Announce)]
    assert (announce.kind, announce.addresses) == ("repair", VIP4[:1])


def test_advert_that_was_not_sent_does_not_move_the_fence() -> None:
    instance, at = master()
    instance.wake(at + 1, drained=True)
    effects = instance.handle(ev.AdvertNotSent(reason="Network is down"), at + 1)
    save = last_save(effects)
    assert save.record.last_own_advert_at == at
    assert save.fence is not None
    assert save.fence.deadline_at == pytest.approx(at + 2.8)


# --- stalls ----------------------------------------------------------------------------------


def test_stalled_master_reads_first() -> None:
    instance, at = master()
    assert instance.wake(at + 9, drained=False) == [ef.ReadPending()]
    assert instance.handle(advert(200, at + 4), at + 9) == []
    effects = instance.wake(at + 9, drained=True)
    assert sent(effects) == []
    assert state_of(instance) is State.BACKUP
    assert transition(effects).cause.rule == "2a"
    assert instance.next_deadline() == at + 4 + DOWN_S


def test_short_stall_goes_on_without_a_burst() -> None:
    instance, at = master()
    effects = instance.wake(at + 2.5, drained=True)
    assert sent(effects) == [100]
    assert "VerifyAddresses" not in kinds(effects)
    assert instance.next_deadline() == at + 3


def test_long_stall_that_nobody_used_announces_everything() -> None:
    instance, at = master()
    effects = instance.wake(at + 9.5, drained=True)
    assert kinds(effects) == ["Notice", "SendAdvert", "VerifyAddresses", "Announce"]


def test_long_blind_stall_ends_the_mastership() -> None:
    instance, at = master()
    instance.handle(ev.ReceiveGap(detail="suspended"), at + 9.5)
    effects = instance.wake(at + 9.5, drained=True)
    assert kinds(effects) == ["Notice", "WithdrawAddresses", "Transition"]
    assert instance.next_deadline() == at + 9.5 + DOWN_S


def test_preempt_delay_starts_when_a_stalled_router_comes_to() -> None:
    instance, at = master(preempt_delay_s=4.0)
    for second in range(4, 40):
        instance.handle(advert(50, at + second), at + 40)
    instance.wake(at + 40, drained=True)
    assert instance.record(at + 40).preempt_until_at == at + 44
    assert instance.next_deadline() == at + 39 + DOWN_S


def test_address_loss_during_a_stall_is_not_repaired_before_the_rule_has_spoken() -> None:
    instance, at = master()
    assert instance.handle(ev.AddressesVerified(missing=VIP4), at + 2.5) == []
    assert "VerifyAddresses" in kinds(instance.wake(at + 2.5, drained=True))


# --- reload ----------------------------------------------------------------------------------


def reload(instance: Instance, now: float, **values: object) -> list[ef.Effect]:
    return instance.handle(ev.Reconfigured(config=config(**values), generation=2), now)


def test_reload_without_a_difference_moves_nothing() -> None:
    instance, at = master()
    before = instance.next_deadline()
    assert kinds(reload(instance, at + 0.2)) == []
    assert instance.next_deadline() == before
    assert instance.record(at).generation == 2


def test_act_17_reload_with_other_addresses_acts_on_the_difference() -> None:
    instance, at = master(virtual_addresses=VIP4[:1])
    effects = reload(instance, at + 0.2, virtual_addresses=VIP4[1:])
    assert kinds(effects) == ["SendAdvert", "WithdrawAddresses", "InstallAddresses", "Announce"]
    by_kind = {type(e).__name__: e for e in effects}
    withdraw, install = by_kind["WithdrawAddresses"], by_kind["InstallAddresses"]
    assert isinstance(withdraw, ef.WithdrawAddresses)
    assert isinstance(install, ef.InstallAddresses)
    assert (withdraw.addresses, install.addresses) == (VIP4[:1], VIP4[1:])
    assert state_of(instance) is State.MASTER
    acknowledge(instance, effects, at + 0.2)
    assert instance.record_state is RecordState.MASTER


def test_reload_of_a_backup_moves_its_timer_by_the_difference() -> None:
    instance = backup()
    reload(instance, T0 + 1, priority=200)
    assert instance.next_deadline() == pytest.approx(T0 + 3 + 56 / 256)
    reload(instance, T0 + 1, priority=200, advert_int_cs=200)
    assert instance.next_deadline() == pytest.approx(T0 + 6 + 2 * 56 / 256)


def test_reload_of_a_backup_keeps_the_learned_interval() -> None:
    instance = backup()
    instance.handle(advert(200, T0, interval_cs=500), T0)
    before = instance.next_deadline()
    reload(instance, T0 + 1, advert_int_cs=300)
    assert instance.next_deadline() == before


def test_reload_of_the_interval_of_a_master_starts_a_new_grid() -> None:
    instance, at = master()
    effects = reload(instance, at + 0.4, advert_int_cs=10)
    assert sent(effects) == [100]
    assert instance.next_deadline() == pytest.approx(at + 0.5)


def test_reload_into_another_router_is_a_mistake_of_the_caller() -> None:
    instance = backup()
    with pytest.raises(ValueError, match="another virtual router"):
        reload(instance, T0, virtual_router_id=52)


def test_before_startup_nothing_overwrites_the_predecessors_record() -> None:
    instance = new()
    for event in (
        added(-10),
        ev.LocalAddressChanged(address=ip("192.0.2.6")),
        ev.InterfaceUp(ifindex=3),
        ev.Reconfigured(config=config(priority=90), generation=2),
    ):
        assert instance.handle(event, T0) == []
