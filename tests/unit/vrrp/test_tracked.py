"""A virtual router and its trackers: priority, fault, the wait for first results."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.vrrp.build import (
    T0,
    acknowledge,
    added,
    advert,
    backup,
    config,
    kinds,
    last_save,
    master,
    new,
    sent,
    state_of,
    tracking,
    transition,
)
from vrrp_proc import effects as ef
from vrrp_proc import events as ev
from vrrp_proc.effects import Reason, State, Trigger
from vrrp_proc.events import ResumePlan, Rule
from vrrp_proc.instance import Instance
from vrrp_proc.record import RecordState
from vrrp_proc.resume import resume
from vrrp_proc.tracking import Follow

SCRIPT = Follow(kind="script", name="chk")
FILE = Follow(kind="file", name="f")
LINK = Follow(kind="interface", name="eth1")


def say(instance: Instance, now: float, *follows: Follow, **values: int | None) -> list[ef.Effect]:
    return instance.handle(ev.TrackersChanged(tracking=tracking(*follows, **values)), now)


def test_a_fault_of_a_tracker_takes_a_master_off_with_priority_0() -> None:
    instance, at = master()
    effects = say(instance, at + 0.2, SCRIPT, chk=0)
    assert kinds(effects) == ["SendAdvert", "WithdrawAddresses", "Transition"]
    assert sent(effects) == [0]
    cause = transition(effects).cause
    assert (cause.trigger, cause.reason, cause.detail) == (Trigger.SCRIPT, Reason.FAULT, "script chk is bad")
    assert last_save(effects).fence is not None
    effects = say(instance, at + 5, SCRIPT, chk=1)
    assert state_of(instance) is State.BACKUP
    assert transition(effects).cause.detail == "script chk is good"


@pytest.mark.parametrize(
    ("follow", "value", "trigger"),
    [
        (FILE, 4, Trigger.TRACKER),
        (LINK, 0, Trigger.LINK),
        (Follow(kind="process", name="p"), 0, Trigger.TRACKER),
    ],
)
def test_the_cause_names_the_tracker(follow: Follow, value: int, trigger: Trigger) -> None:
    instance = backup()
    cause = transition(say(instance, T0 + 1, follow, **{follow.name: value})).cause
    assert cause.trigger is trigger
    assert cause.detail.startswith(f"{follow.kind} {follow.name} ")


def test_no_priority_0_after_the_own_link_or_in_a_stall() -> None:
    instance, at = master(dont_track_primary=True)
    instance.handle(ev.InterfaceDown(), at + 0.1)
    assert sent(say(instance, at + 0.2, SCRIPT, chk=0)) == []
    stalled, at = master()
    assert sent(say(stalled, at + 2.2, SCRIPT, chk=0)) == []
    assert state_of(stalled) is State.FAULT


def test_a_backup_in_fault_by_a_tracker_hears_nothing_and_comes_back_with_a_full_timer() -> None:
    instance = backup()
    say(instance, T0 + 1, SCRIPT, LINK, chk=0, eth1=0)
    assert instance.next_deadline() is None
    say(instance, T0 + 2, SCRIPT, LINK, chk=1, eth1=0)
    assert state_of(instance) is State.FAULT
    say(instance, T0 + 3, SCRIPT, LINK, chk=1, eth1=1)
    assert instance.next_deadline() == T0 + 6 + 156 / 256


def test_the_priority_of_a_master_is_told_with_what_changed_it() -> None:
    instance, at = master()
    effects = instance.handle(added(-20), at + 0.2)
    (told,) = [e for e in effects if isinstance(e, ef.PriorityChanged)]
    assert (told.before, told.priority, told.state) == (100, 80, State.MASTER)
    assert told.detail == "script chk is bad"
    assert (instance.record(at).priority, instance.record(at).base_priority) == (80, 100)
    assert instance.handle(added(-20), at + 0.3) == []


def test_reload_changes_base_and_weights_in_one_step() -> None:
    instance, at = master()
    instance.handle(added(-20), at + 0.1)
    event = ev.Reconfigured(
        config=config(priority=120),
        generation=2,
        tracking=tracking(Follow(kind="script", name="x", weight=7), x=1),
    )
    effects = instance.handle(event, at + 0.2)
    assert sent(effects) == [127]
    assert state_of(instance) is State.MASTER
    assert sent(instance.handle(ev.Reconfigured(config=config(priority=120), generation=3), at + 0.3)) == []
    assert instance.priority == 127


def test_lower_adverts_are_told_but_no_flood_of_one_router() -> None:
    instance, at = master()

    def told(when: float, source: str = "192.0.2.9") -> int:
        effects = instance.handle(advert(50, when, source=source), when)
        return sum(isinstance(e, ef.LowerPriorityHeard) for e in effects)

    assert [told(at + 0.1), told(at + 0.2), told(at + 0.3, "192.0.2.8"), told(at + 1.0)] == [1, 0, 1, 1]
    strict, at = master(strict_mode=True)
    assert not any(isinstance(e, ef.LowerPriorityHeard) for e in strict.handle(advert(50, at), at))


# --- first results ---------------------------------------------------------------------------


def held(**values: Any) -> Instance:
    instance = new(**values)
    say(instance, T0, SCRIPT)
    effects = instance.handle(ev.Startup(), T0)
    assert kinds(effects) == ["WithdrawAddresses"]
    assert last_save(effects).record.state is RecordState.LEAVING
    acknowledge(instance, effects, T0)
    assert state_of(instance) is State.INIT
    return instance


def test_an_unreported_script_keeps_a_router_in_init_and_tells_nobody() -> None:
    instance = held()
    assert instance.awaiting == ("script chk",)
    assert instance.next_deadline() == T0 + 5
    assert instance.handle(advert(50, T0 + 1), T0 + 1) == []
    effects = say(instance, T0 + 2, SCRIPT, chk=1)
    assert kinds(effects) == ["Transition"]
    assert transition(effects).cause.trigger is Trigger.STARTUP
    assert instance.next_deadline() == T0 + 5 + 156 / 256


def test_a_bad_first_result_is_a_fault_from_the_start() -> None:
    instance = held(priority=255, state="MASTER")
    effects = say(instance, T0 + 2, SCRIPT, chk=0)
    assert (kinds(effects), state_of(instance)) == (["Transition"], State.FAULT)
    assert transition(effects).cause.trigger is Trigger.SCRIPT
    effects = say(instance, T0 + 3, SCRIPT, chk=1)
    assert sent(effects) == [255]


def test_nobody_waits_for_ever_for_a_silent_tracker() -> None:
    instance = held()
    assert instance.wake(T0 + 4.9, drained=True) == []
    effects = instance.wake(T0 + 5, drained=True)
    assert kinds(effects) == ["Notice", "Transition"]
    assert state_of(instance) is State.BACKUP
    say(instance, T0 + 6, SCRIPT, LINK, eth1=1)
    assert state_of(instance) is State.BACKUP


def test_a_fault_of_the_link_is_told_while_waiting_and_its_end_waits_too() -> None:
    instance = held()
    instance.handle(ev.InterfaceDown(), T0 + 1)
    assert state_of(instance) is State.FAULT
    assert instance.handle(ev.InterfaceUp(ifindex=2), T0 + 2) == []
    assert state_of(instance) is State.FAULT
    effects = instance.wake(T0 + 5, drained=True)
    assert transition(effects).cause.reason is Reason.FAULT_OVER


def test_stop_before_the_start() -> None:
    instance = held()
    assert instance.handle(ev.Shutdown(), T0 + 1) == []
    assert instance.quiet
    assert instance.next_deadline() is None
    assert say(instance, T0 + 2, SCRIPT, chk=1) == []
    assert state_of(instance) is State.INIT


def test_a_weighted_script_holds_nobody() -> None:
    instance = new()
    say(instance, T0, Follow(kind="script", name="chk", weight=9))
    instance.handle(ev.Startup(), T0)
    assert state_of(instance) is State.BACKUP


def test_a_new_tracker_of_a_running_router_holds_nobody() -> None:
    instance, at = master()
    assert say(instance, at + 0.1, SCRIPT) == []
    assert state_of(instance) is State.MASTER


# --- restart ---------------------------------------------------------------------------------


def again(
    old: Instance, at: float, *follows: Follow, **values: int | None
) -> tuple[Instance, list[ef.Effect]]:
    """The next incarnation, told what trackers said last before it starts."""
    record = old.record(at)
    instance = Instance(config(), generation=1, local_address=old.local_address, ifindex=2, link_up=True)
    say(instance, at, *follows, **values)
    effects = instance.handle(ev.Startup(plan=resume(record, at, (), False, config())), at)
    return instance, effects


WEIGHTED = Follow(kind="script", name="chk", weight=-30)


def test_a_restart_resumes_with_the_last_values() -> None:
    old, at = master()
    say(old, at + 0.1, WEIGHTED, chk=0)
    instance, effects = again(old, at + 0.5, WEIGHTED, chk=0)
    assert (sent(effects), state_of(instance), instance.priority) == ([70], State.MASTER, 70)
    assert "Transition" not in kinds(effects)


def test_a_value_that_changed_while_nobody_ran_moves_the_timer() -> None:
    old = backup()
    say(old, T0, WEIGHTED, chk=0)
    instance, _ = again(old, T0 + 1, WEIGHTED, chk=1)
    assert instance.priority == 100
    assert instance.next_deadline() == pytest.approx(T0 + 3 + 156 / 256)


def test_a_fault_that_began_while_nobody_ran() -> None:
    old, at = master()
    instance, effects = again(old, at + 0.5, SCRIPT, chk=0)
    assert state_of(instance) is State.FAULT
    assert sent(effects) == [0]
    assert transition(effects).cause.trigger is Trigger.RESUME


def test_who_was_beaten_meanwhile_says_no_priority_0() -> None:
    old, at = master()
    record = old.record(at)
    instance = Instance(config(), generation=1, local_address=old.local_address, ifindex=2, link_up=True)
    say(instance, at, SCRIPT, chk=0)
    plan = resume(record, at + 0.5, (advert(200, at + 0.4),), False, config())
    assert plan.rule is Rule.YIELD
    effects = instance.handle(ev.Startup(plan=plan), at + 0.5)
    assert (sent(effects), state_of(instance)) == ([], State.FAULT)


def test_fault_stays_until_its_unknown_tracker_speaks() -> None:
    old = backup()
    say(old, T0 + 1, SCRIPT, chk=0)
    instance, effects = again(old, T0 + 2, SCRIPT)
    assert (state_of(instance), "Transition" in kinds(effects)) == (State.FAULT, False)
    say(instance, T0 + 3, SCRIPT, chk=1)
    assert state_of(instance) is State.BACKUP


def test_without_a_word_from_trackers_the_recorded_priority_stays() -> None:
    old = backup()
    old.handle(added(-20), T0)
    instance = new()
    plan = ResumePlan(rule=Rule.BACKUP, record=old.record(T0))
    instance.handle(ev.Startup(plan=plan), T0)
    assert instance.priority == 80
