"""Planned hand-over and step-down: the core, effect by effect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.vrrp.build import (
    VIP4,
    acknowledge,
    added,
    advert,
    backup,
    config,
    kinds,
    last_save,
    master,
    sent,
    tracking,
    transition,
)
from vrrp_proc import effects as ef
from vrrp_proc import events as ev
from vrrp_proc.effects import State
from vrrp_proc.handover import Hold, longest_s
from vrrp_proc.instance import Instance
from vrrp_proc.record import RecordState, ResumeRecord
from vrrp_proc.resume import resume
from vrrp_proc.timers import profile
from vrrp_proc.tracking import Follow

CHECK = Follow(kind="script", name="chk")
FOR_EVER = float("inf")
STOP = ev.Shutdown(hand_over_s=FOR_EVER)
LONGEST_S = 1 + 255 / 256


def leaving(event: ev.Event = STOP, **values: Any) -> tuple[Instance, float, list[ef.Effect]]:
    """A master that is told to leave 0.3 s after an advert."""
    instance, at = master(**values)
    at += 0.3
    return instance, at, instance.handle(event, at)


def held(until_at: float | None = None) -> ev.HeldBack:
    return ev.HeldBack(reason="new kernel", until_at=until_at, hand_over_s=FOR_EVER)


def notice(effects: list[ef.Effect], event_id: str) -> ef.Notice:
    (found,) = [e for e in effects if isinstance(e, ef.Notice) and e.event_id == event_id]
    return found


# --- hand-over -------------------------------------------------------------------------------------------


def test_the_bound_is_the_skew_of_priority_1_and_an_interval() -> None:
    assert longest_s(profile(3), 100) == pytest.approx(LONGEST_S)
    assert longest_s(profile(3), 20) == pytest.approx(LONGEST_S / 5)
    assert longest_s(profile(2), 300) == pytest.approx(3 + 255 / 256)  # the skew of version 2 does not scale


def test_record_and_priority_0_now_and_the_addresses_stay() -> None:
    instance, at, effects = leaving()
    assert kinds(effects) == ["SendAdvert", "Transition"]
    assert sent(effects) == [0]
    assert transition(effects).to_state is State.INIT
    saved = last_save(effects)
    assert saved.record.state is RecordState.LEAVING
    assert saved.fence is not None
    assert saved.fence.deadline_at == pytest.approx(at + 2 / 256)  # the skew of priority 254
    assert saved.fence.prio0_until_at == pytest.approx(at + 2 / 256 + 0.02)
    assert not instance.quiet
    assert instance.next_deadline() == pytest.approx(at + LONGEST_S)


def test_they_go_with_the_first_advert_of_another_master() -> None:
    instance, at, _ = leaving()
    assert instance.handle(advert(0, at + 0.1), at + 0.1) == []  # one that leaves, too
    assert instance.handle(advert(90, at - 0.1), at + 0.2) == []  # it spoke before us
    effects = instance.handle(advert(90, at + 0.6), at + 0.6)
    assert kinds(effects) == ["WithdrawAddresses", "Notice"]
    assert notice(effects, "vrrp.handed_over").fields["successor"] == "192.0.2.9"
    acknowledge(instance, effects, at + 0.6)
    assert instance.quiet
    assert instance.next_deadline() is None


def test_nobody_comes_and_the_bound_is_kept_after_a_look_at_the_queue() -> None:
    instance, at, _ = leaving()
    assert instance.wake(at + 1.9, drained=True) == []
    assert kinds(instance.wake(at + LONGEST_S, drained=False)) == ["ReadPending"]
    effects = instance.wake(at + LONGEST_S, drained=True)
    assert kinds(effects) == ["WithdrawAddresses", "Notice"]
    acknowledge(instance, effects, at + 2)
    assert instance.quiet


def test_a_shorter_bound_of_the_shell_counts() -> None:
    instance, at, _ = leaving(ev.Shutdown(hand_over_s=0.5))
    assert instance.next_deadline() == pytest.approx(at + 0.5)


@pytest.mark.parametrize(
    "values",
    [
        {"priority": 255, "state": "MASTER"},
        {"virtual_addresses": ()},
    ],
    ids=["address owner", "no addresses"],
)
def test_where_it_does_not_help_the_order_is_the_rfcs(values: dict[str, Any]) -> None:
    instance, _, effects = leaving(**values)
    assert kinds(effects) == ["SendAdvert", "WithdrawAddresses", "Transition"]
    assert not instance.handing_over


def test_not_with_a_link_that_is_down() -> None:
    instance, at = master(dont_track_primary=True)
    instance.handle(ev.InterfaceDown(), at + 0.1)
    assert instance.state is State.MASTER
    assert "WithdrawAddresses" in kinds(instance.handle(STOP, at + 0.2))


def test_not_after_a_stall_for_somebody_may_be_master() -> None:
    instance, at = master()
    assert "WithdrawAddresses" in kinds(instance.handle(STOP, at + 2.1))


@pytest.mark.parametrize(
    "event",
    [
        ev.InterfaceDown(),
        ev.LocalAddressChanged(address=None),
        ev.AdvertNotSent(reason="no buffer"),
        ev.Shutdown(detail="its place is taken"),
        ev.TrackersChanged(tracking=tracking(CHECK, chk=0)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_ends_it_early(event: ev.Event) -> None:
    instance, at, _ = leaving()
    effects = instance.handle(event, at + 0.1)
    assert kinds(effects)[0] == "WithdrawAddresses"
    acknowledge(instance, effects, at + 0.1)
    assert instance.quiet


def test_a_fault_ends_it_and_is_one_where_the_router_goes_on() -> None:
    instance, at, _ = leaving(held())
    effects = instance.handle(ev.TrackersChanged(tracking=tracking(CHECK, chk=0)), at + 0.1)
    assert kinds(effects) == ["WithdrawAddresses", "Notice", "Transition"]
    assert notice(effects, "vrrp.nobody_took_over").text == "no hand-over: script chk is bad"
    assert transition(effects).to_state is State.FAULT
    assert sent(effects) == []
    acknowledge(instance, effects, at + 0.1)
    assert instance.record(at + 0.3).state is RecordState.FAULT


def test_a_weight_does_not_end_it() -> None:
    instance, at, _ = leaving()
    assert instance.handle(added(-50), at + 0.1) == []
    assert instance.handing_over


def test_a_reload_ends_it_with_the_addresses_that_are_on() -> None:
    instance, at, _ = leaving(held())
    effects = instance.handle(
        ev.Reconfigured(config=config(virtual_addresses=VIP4[:1]), generation=2), at + 0.1
    )
    (withdraw,) = [e for e in effects if isinstance(e, ef.WithdrawAddresses)]
    assert withdraw.addresses == VIP4


def test_a_stop_in_the_middle_of_a_step_down_does_not_begin_anew() -> None:
    instance, at, _ = leaving(held())
    effects = instance.handle(STOP, at + 0.5)
    assert kinds(effects) == ["Transition"]
    assert instance.state is State.INIT
    assert instance.next_deadline() == pytest.approx(at + LONGEST_S)


def test_a_new_incarnation_finishes_leaving() -> None:
    instance, at, effects = leaving(held())
    record = ResumeRecord.unpack(last_save(effects).record.pack())
    heir = Instance(
        instance.config, generation=1, local_address=instance.local_address, ifindex=2, link_up=True
    )
    heir.start_held(Hold(reason="new kernel", until_at=None))
    effects = heir.handle(ev.Startup(plan=resume(record, at + 0.1, [], False, heir.config)), at + 0.1)
    assert "WithdrawAddresses" in kinds(effects)
    assert sent(effects) == []
    assert (heir.state, heir.priority) == (State.BACKUP, 1)
    assert not heir.handing_over


# --- step-down -------------------------------------------------------------------------------------------


def test_step_down_of_a_master() -> None:
    instance, at, effects = leaving(held())
    assert kinds(effects) == ["SendAdvert", "Transition", "Notice"]
    told = transition(effects)
    assert (told.to_state, told.cause.trigger, told.cause.reason) == (
        State.BACKUP,
        ef.Trigger.OPERATOR,
        ef.Reason.STEP_DOWN,
    )
    assert told.cause.detail == "new kernel"
    assert (instance.priority, instance.own_priority) == (1, 100)
    effects = instance.handle(advert(50, at + 0.8), at + 0.8)
    assert kinds(effects)[0] == "WithdrawAddresses"
    # Any other router goes before it, for the down timer of priority 1.
    assert instance.next_deadline() == pytest.approx(at + 0.8 + 3 + 255 / 256)


def test_nobody_else_is_there_so_it_goes_on_without_a_gap() -> None:
    instance, at, _ = leaving(held())
    effects = instance.wake(at + LONGEST_S, drained=True)
    assert kinds(effects)[:2] == ["SendAdvert", "InstallAddresses"]
    assert sent(effects) == [1]
    assert "WithdrawAddresses" not in kinds(effects)
    assert last_save(effects).record.state is RecordState.BECOMING_MASTER
    assert notice(effects, "vrrp.held_back_alone").level == "warning"
    assert instance.state is State.MASTER
    # Asked again it stays: there is nobody to hand over to.
    assert sent(instance.handle(held(), at + 2.5)) == []
    assert instance.state is State.MASTER


def test_a_backup_that_is_held_back_yields_to_everybody() -> None:
    instance = backup()
    effects = instance.handle(held(), 5000.5)
    assert kinds(effects) == ["Notice"]
    instance.handle(advert(2, 5001.0), 5001.0)
    assert instance.next_deadline() == pytest.approx(5001.0 + 3 + 255 / 256)


def test_release_by_the_operator_and_by_time() -> None:
    for event in (ev.Released(why="resumed"), None):
        instance = backup()
        before = instance.next_deadline()
        instance.handle(held(5003.0), 5000.5)
        if event is not None:
            effects = instance.handle(event, 5003.0)
        else:
            assert instance.next_deadline() == 5003.0
            effects = instance.wake(5003.0, drained=True)
        assert notice(effects, "vrrp.released").level == "info"
        assert (instance.priority, instance.hold) == (100, None)
        assert instance.next_deadline() == pytest.approx(before)


def test_an_owner_cannot_step_down() -> None:
    instance, at = master(priority=255, state="MASTER")
    assert instance.handle(held(), at + 0.1) == []
    assert (instance.state, instance.priority) == (State.MASTER, 255)


def test_a_reload_keeps_the_hold_and_takes_the_new_priority_for_later() -> None:
    instance = backup()
    instance.handle(held(), 5000.5)
    instance.handle(ev.Reconfigured(config=config(priority=180), generation=2), 5001.0)
    assert (instance.priority, instance.own_priority) == (1, 180)
    instance.handle(ev.Released(why="resumed"), 5002.0)
    assert instance.priority == 180


def test_a_hold_over_a_restart() -> None:
    """The record says priority 1; with the hold it stays so, and without it is over."""
    instance = backup()
    record = last_save(instance.handle(held(), 5000.5)).record
    for hold, priority in ((Hold(reason="", until_at=None), 1), (None, 100)):
        heir = Instance(
            instance.config, generation=1, local_address=instance.local_address, ifindex=2, link_up=True
        )
        heir.start_held(hold)
        heir.handle(ev.Startup(plan=resume(record, 5001.0, [], False, heir.config)), 5001.0)
        assert heir.priority == priority
    fresh = Instance(
        instance.config, generation=1, local_address=instance.local_address, ifindex=2, link_up=True
    )
    fresh.start_held(Hold(reason="", until_at=None))
    fresh.handle(ev.Startup(), 5001.0)
    assert fresh.next_deadline() == pytest.approx(5001.0 + 3 + 255 / 256)
