"""Sync groups, rule by rule: members are projections of one machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.vrrp.build import T0, acknowledge, advert, kinds, new, sent
from vrrp_proc import effects as ef
from vrrp_proc import events as ev
from vrrp_proc.effects import Effect, Reason, State, Trigger
from vrrp_proc.events import ResumePlan, Rule
from vrrp_proc.group import GroupChange, SyncGroup, worst
from vrrp_proc.instance import Instance
from vrrp_proc.resume import resume
from vrrp_proc.tracking import Follow, judge

DOWN_S = 3 + 156 / 256
"""Priority 100, one second."""


class Group:
    """Members ``V4`` and ``V6`` (or those given), settled after each input as the shell does it."""

    def __init__(self, *members: dict[str, Any], state: State = State.INIT) -> None:
        self.core = SyncGroup("VG", state)
        values = members or ({}, {})
        self.members = [self._new(i, given) for i, given in enumerate(values)]
        self.did: dict[str, list[Effect]] = {}
        self.change: GroupChange | None = None
        self.order: list[tuple[str, Effect]] = []

    def _new(self, index: int, given: dict[str, Any]) -> Instance:
        made = new(**{"name": f"V{4 + 2 * index}", "virtual_router_id": 51 + index, **given})
        made.join("VG")
        return made

    def __getitem__(self, index: int) -> Instance:
        return self.members[index]

    def start(self, now: float = T0, plans: dict[int, ResumePlan] | None = None) -> Group:
        self._begin()
        for index, one in enumerate(self.members):
            self._note(one, one.handle(ev.Startup(plan=(plans or {}).get(index)), now))
        self._settle(now, "")
        return self

    def feed(self, index: int, event: ev.Event, now: float) -> dict[str, list[Effect]]:
        self._begin()
        one = self.members[index]
        self._note(one, one.handle(event, now))
        return self._settle(now, one.config.name)

    def wake(self, index: int, now: float) -> dict[str, list[Effect]]:
        self._begin()
        one = self.members[index]
        self._note(one, one.wake(now, drained=True))
        return self._settle(now, one.config.name)

    def acknowledge(self, now: float) -> None:
        for one in self.members:
            acknowledge(one, self.did[one.config.name], now)

    @property
    def states(self) -> list[State]:
        return [one.state for one in self.members]

    def _begin(self) -> None:
        self.did = {one.config.name: [] for one in self.members}
        self.order = []

    def _note(self, one: Instance, effects: list[Effect]) -> None:
        self.did[one.config.name] += effects
        self.order += [(one.config.name, effect) for effect in effects]

    def _settle(self, now: float, by: str) -> dict[str, list[Effect]]:
        for _ in range(4):
            orders = self.core.settle(self.members)
            if not orders:
                break
            for one, said in orders:
                self._note(one, one.handle(said, now))
        else:
            raise AssertionError("hunts")
        self.change = self.core.changed(self.members, by)
        return self.did


def backups() -> Group:
    group = Group().start()
    group.acknowledge(T0)
    assert group.states == [State.BACKUP, State.BACKUP]
    return group


def masters() -> tuple[Group, float]:
    group = backups()
    at = T0 + DOWN_S
    group.wake(0, at)
    group.wake(1, at)
    group.acknowledge(at)
    assert group.states == [State.MASTER, State.MASTER]
    return group, at


def transition(effects: list[Effect]) -> ef.Transition:
    (found,) = [e for e in effects if isinstance(e, ef.Transition)]
    return found


# --- becoming master -------------------------------------------------------------------------


def test_a_member_alone_only_wishes() -> None:
    group = backups()
    did = group.wake(0, T0 + DOWN_S)
    assert did == {"V4": [], "V6": []}
    assert group.states == [State.BACKUP, State.BACKUP]
    assert group[0].wish is not None
    assert group[0].next_deadline() is None
    assert group[0].wake(T0 + 60, drained=False) == []
    assert group.change is None


def test_the_last_wish_makes_all_of_them_master_in_one_step() -> None:
    group = backups()
    group.wake(0, T0 + DOWN_S)
    at = T0 + DOWN_S + 0.5
    did = group.wake(1, at)
    for effects in did.values():
        assert kinds(effects) == ["SendAdvert", "InstallAddresses", "Announce", "Transition"]
        assert sent(effects) == [100]
        assert transition(effects).cause.reason is Reason.NO_RESPONSE
    assert group.change is not None
    assert (group.change.from_state, group.change.to_state) == (State.BACKUP, State.MASTER)
    assert group.change.decided_by == "V6"
    assert group.change.cause == group[1].last_cause


def test_an_accepted_advert_clears_the_wish() -> None:
    group = backups()
    group.wake(0, T0 + DOWN_S)
    group.feed(0, advert(150, T0 + 4), T0 + 4)
    assert group[0].wish is None
    group.wake(1, T0 + 5)
    assert group.states == [State.BACKUP, State.BACKUP]
    assert group[0].next_deadline() == pytest.approx(T0 + 4 + DOWN_S)


def test_a_losing_advert_does_not_clear_it() -> None:
    group = backups()
    group.wake(0, T0 + DOWN_S)
    group.feed(0, advert(50, T0 + 4), T0 + 4)
    assert group[0].wish is not None


def test_priority_0_does_not_make_a_wish_wait_again() -> None:
    group = backups()
    group.wake(0, T0 + DOWN_S)
    group.feed(0, advert(0, T0 + 4), T0 + 4)
    assert group[0].wish is not None
    assert group[0].record(T0 + 4).down_at == pytest.approx(T0 + DOWN_S)
    group.wake(1, T0 + 4)
    assert group.states == [State.MASTER, State.MASTER]


def test_a_gap_in_receiving_makes_a_wish_doubtful() -> None:
    group = backups()
    group.wake(0, T0 + DOWN_S)
    group.feed(0, ev.ReceiveGap(detail="overflow"), T0 + 4)
    assert group[0].wish is None
    group.wake(0, T0 + 4)
    assert group[0].wish is None
    assert group[0].next_deadline() == pytest.approx(T0 + 4 + DOWN_S)


def test_owners_that_all_start_as_master_are_master_at_once() -> None:
    owner = {"priority": 255, "state": "MASTER"}
    group = Group(owner, owner).start()
    assert group.states == [State.MASTER, State.MASTER]
    for effects in group.did.values():
        assert transition(effects).from_state is State.INIT


def test_an_owner_with_a_member_that_is_none_waits_for_it() -> None:
    group = Group({"priority": 255, "state": "MASTER"}, {}).start()
    assert group.states == [State.BACKUP, State.BACKUP]
    group.wake(1, T0 + DOWN_S)
    assert group.states == [State.MASTER, State.MASTER]


# --- trackers without a first result ---------------------------------------------------------

CHECK = Follow(kind="script", name="chk")


def script(value: int | None) -> ev.TrackersChanged:
    return ev.TrackersChanged(tracking=judge((CHECK,), {CHECK.key: value}))


def test_nobody_begins_before_the_first_result_of_each() -> None:
    group = Group()
    group[0].handle(script(None), T0)
    group.start()
    assert group.states == [State.INIT, State.INIT]
    assert not any("Transition" in kinds(effects) for effects in group.did.values())
    did = group.feed(0, script(1), T0 + 1)
    assert group.states == [State.BACKUP, State.BACKUP]
    assert [transition(effects).from_state for effects in did.values()] == [State.INIT, State.INIT]
    assert group[1].next_deadline() == pytest.approx(T0 + 1 + DOWN_S)


def test_a_bad_first_result_is_a_fault_of_all() -> None:
    group = Group()
    group[0].handle(script(None), T0)
    group.start()
    did = group.feed(0, script(0), T0 + 1)
    assert group.states == [State.FAULT, State.FAULT]
    assert transition(did["V6"]).from_state is State.INIT


def test_an_overdue_first_result_holds_nobody() -> None:
    group = Group()
    group[0].handle(script(None), T0)
    group.start()
    group.wake(0, group[0].next_deadline() or 0.0)
    assert group.states == [State.BACKUP, State.BACKUP]


def test_in_fault_an_unknown_result_of_one_holds_all() -> None:
    group = Group({}, {"link_up": False})
    group[0].handle(script(None), T0)
    group.start()
    assert group.states == [State.FAULT, State.FAULT]
    group.feed(1, ev.InterfaceUp(ifindex=2), T0 + 1)
    assert group.states == [State.FAULT, State.FAULT]
    group.feed(0, script(1), T0 + 2)
    assert group.states == [State.BACKUP, State.BACKUP]


# --- falling ---------------------------------------------------------------------------------


def test_a_better_advert_on_one_takes_all_along() -> None:
    group, at = masters()
    did = group.feed(0, advert(200, at + 1), at + 1)
    assert group.states == [State.BACKUP, State.BACKUP]
    assert sent(did["V4"]) == []
    assert kinds(did["V6"]) == ["SendAdvert", "WithdrawAddresses", "Transition"]
    assert sent(did["V6"]) == [0]
    cause = transition(did["V6"]).cause
    assert (cause.trigger, cause.reason) == (Trigger.ADVERT, Reason.BEATEN)
    assert cause.detail == "vrrp_sync_group VG, with V4"
    assert cause.peer is None
    assert group[1].next_deadline() == pytest.approx(at + 1 + DOWN_S)
    assert group.change is not None
    assert (group.change.to_state, group.change.decided_by) == (State.BACKUP, "V4")


def test_a_fault_on_one_is_a_fault_of_all() -> None:
    group, at = masters()
    did = group.feed(0, ev.InterfaceDown(detail="eth0 is down"), at + 1)
    assert group.states == [State.FAULT, State.FAULT]
    assert sent(did["V4"]) == []
    assert sent(did["V6"]) == [0]
    cause = transition(did["V6"]).cause
    assert (cause.trigger, cause.reason) == (Trigger.LINK, Reason.FAULT)
    assert "V4: interface eth0 is down" in cause.detail
    assert group[1].own_faults() == ()
    assert group[1].faults() != ()


def test_when_the_fault_is_over_all_are_backup_in_one_step() -> None:
    group, at = masters()
    group.feed(0, ev.InterfaceDown(), at + 1)
    group.acknowledge(at + 1)
    did = group.feed(0, ev.InterfaceUp(ifindex=2), at + 9)
    assert group.states == [State.BACKUP, State.BACKUP]
    assert [transition(effects).to_state for effects in did.values()] == [State.BACKUP, State.BACKUP]
    assert [one.next_deadline() for one in group.members] == [pytest.approx(at + 9 + DOWN_S)] * 2


def test_of_two_faults_the_last_one_counts() -> None:
    group, at = masters()
    group.feed(0, ev.InterfaceDown(), at + 1)
    did = group.feed(1, ev.InterfaceDown(), at + 2)
    assert kinds(did["V6"]) == []
    did = group.feed(0, ev.InterfaceUp(ifindex=2), at + 3)
    assert group.states == [State.FAULT, State.FAULT]
    assert all(not kinds(effects) for effects in did.values())
    group.feed(1, ev.InterfaceUp(ifindex=2), at + 4)
    assert group.states == [State.BACKUP, State.BACKUP]


def test_after_a_stall_nobody_sends_priority_0() -> None:
    group, at = masters()
    group.feed(0, advert(200, at + 1.5), at + 2.5)
    did = group.wake(0, at + 2.5)
    assert group.states == [State.BACKUP, State.BACKUP]
    assert sent(did["V4"]) == sent(did["V6"]) == []


def test_a_stop_of_all_is_told_by_each() -> None:
    group, at = masters()
    did = group.feed(0, ev.Shutdown(), at + 1)
    assert sent(did["V4"]) == [0]
    assert did["V6"] == []
    assert group.change is not None and group.change.to_state is State.INIT
    assert sent(group.feed(1, ev.Shutdown(), at + 1)["V6"]) == [0]
    assert group.states == [State.INIT, State.INIT]


def test_a_step_down_takes_all_along_and_all_hand_over() -> None:
    group, at = masters()
    did = group.feed(0, ev.HeldBack(reason="x", until_at=None, hand_over_s=9), at + 0.5)
    group.feed(1, ev.HeldBack(reason="x", until_at=None, hand_over_s=9), at + 0.5)
    assert group.states == [State.BACKUP, State.BACKUP]
    assert sent(did["V4"]) == sent(did["V6"]) == [0]
    assert [one.handing_over for one in group.members] == [True, True]
    did = group.feed(0, advert(50, at + 1), at + 1)
    assert "WithdrawAddresses" in kinds(did["V4"])
    assert group[1].handing_over


def test_when_nobody_takes_over_the_addresses_stay_on() -> None:
    group, at = masters()
    for index in (0, 1):
        group.feed(index, ev.HeldBack(reason="x", until_at=None, hand_over_s=9), at + 0.5)
    due_at = group[0].next_deadline() or 0.0
    did = group.wake(0, due_at)
    assert "WithdrawAddresses" not in kinds(did["V4"])
    assert group[0].wish is not None
    did = group.wake(1, due_at + 0.01)
    assert group.states == [State.MASTER, State.MASTER]
    assert all("WithdrawAddresses" not in kinds(effects) for effects in did.values())


def test_when_one_finds_a_successor_the_other_does_not_serve_on_for_ever() -> None:
    group, at = masters()
    for index in (0, 1):
        group.feed(index, ev.HeldBack(reason="x", until_at=None, hand_over_s=9), at + 0.5)
    group.feed(1, advert(50, at + 1), at + 1)
    due_at = group[0].next_deadline() or 0.0
    group.wake(0, due_at)
    later_at = group[0].next_deadline() or 0.0
    assert due_at < later_at < due_at + 0.2
    assert "WithdrawAddresses" in kinds(group.wake(0, later_at)["V4"])
    assert group.states == [State.BACKUP, State.BACKUP]


def test_a_fault_of_one_in_a_step_down_ends_the_hand_over_of_all() -> None:
    group, at = masters()
    for index in (0, 1):
        group.feed(index, ev.HeldBack(reason="x", until_at=None, hand_over_s=9), at + 0.5)
    did = group.feed(1, script(0), at + 0.6)
    assert all("WithdrawAddresses" in kinds(effects) for effects in did.values())
    assert group.states == [State.FAULT, State.FAULT]


def test_a_fault_of_one_in_a_stop_ends_the_hand_over_of_all() -> None:
    group, at = masters()
    for index in (0, 1):
        group.feed(index, ev.Shutdown(hand_over_s=9), at + 0.5)
    assert [one.handing_over for one in group.members] == [True, True]
    did = group.feed(1, script(0), at + 0.6)
    assert all(kinds(effects) == ["WithdrawAddresses", "Notice"] for effects in did.values())
    assert group.states == [State.INIT, State.INIT]
    assert group.feed(1, script(1), at + 0.7) == {"V4": [], "V6": []}


# --- resume ----------------------------------------------------------------------------------


def _again(group: Group, now: float, heard: dict[int, list[ev.AdvertReceived]] | None = None) -> Group:
    """The next incarnation, from the records as of now."""
    records = [one.record(now) for one in group.members]
    state = worst(one.state for one in group.members)
    fresh = Group(state=state)
    plans = {
        i: resume(record, now, (heard or {}).get(i, []), False, fresh[i].config)
        for i, record in enumerate(records)
    }
    return fresh.start(now, plans)


def test_a_restart_moves_nothing() -> None:
    group, at = masters()
    again = _again(group, at + 1.2)
    assert again.states == [State.MASTER, State.MASTER]
    assert again.change is None
    assert not any("Transition" in kinds(effects) for effects in again.did.values())


def test_a_wish_survives_a_restart() -> None:
    group = backups()
    group.feed(1, advert(150, T0 + 1), T0 + 1)
    group.wake(0, T0 + DOWN_S)
    again = _again(group, T0 + DOWN_S + 0.1)
    assert again[0].wish is not None
    assert again.states == [State.BACKUP, State.BACKUP]
    again.wake(1, T0 + 1 + DOWN_S)
    assert again.states == [State.MASTER, State.MASTER]


def test_a_shared_fault_survives_a_restart_without_a_transition() -> None:
    group, at = masters()
    group.feed(0, ev.InterfaceDown(), at + 1)
    group.acknowledge(at + 1)
    records = [one.record(at + 2) for one in group.members]
    again = Group({"link_up": False}, {}, state=State.FAULT)
    plans = {i: resume(r, at + 2, [], False, again[i].config) for i, r in enumerate(records)}
    again.start(at + 2, plans)
    assert again.states == [State.FAULT, State.FAULT]
    assert not any("Transition" in kinds(effects) for effects in again.did.values())
    assert again.change is None
    again.feed(0, ev.InterfaceUp(ifindex=2), at + 3)
    assert again.states == [State.BACKUP, State.BACKUP]


def test_a_takeover_that_was_torn_is_completed() -> None:
    group = backups()
    group.wake(0, T0 + DOWN_S)
    # V6 was told last and died with its record untold: V4 is master, V6 has its timer run out.
    group[1].wake(T0 + DOWN_S, drained=True)
    (one, said), _other = group.core.settle(group.members)
    one.handle(said, T0 + DOWN_S)
    assert group.states == [State.MASTER, State.BACKUP]
    again = _again(group, T0 + DOWN_S + 0.1)
    assert again.states == [State.MASTER, State.MASTER]


def test_a_torn_group_in_doubt_is_backup() -> None:
    group, at = masters()
    group[0].handle(advert(200, at + 1), at + 1)
    assert group.states == [State.BACKUP, State.MASTER]
    again = _again(group, at + 1.1)
    assert again.states == [State.BACKUP, State.BACKUP]
    assert sent(again.did["V6"])[-1] == 0


def test_a_torn_takeover_that_was_answered_is_backup() -> None:
    group = backups()
    group[0].wake(T0 + DOWN_S, drained=True)
    group[1].wake(T0 + DOWN_S, drained=True)
    (one, said), _other = group.core.settle(group.members)
    one.handle(said, T0 + DOWN_S)
    at = T0 + DOWN_S + 0.1
    again = _again(group, at, {1: [advert(200, at)]})
    assert again.states == [State.BACKUP, State.BACKUP]


# --- reload ----------------------------------------------------------------------------------


def test_a_new_member_of_a_master_group_comes_along() -> None:
    group, at = masters()
    fresh = group._new(2, {})
    group.members.append(fresh)
    group.core.join(fresh.config.name)
    group._begin()
    group._note(fresh, fresh.handle(ev.Startup(), at + 1))
    group._settle(at + 1, "")
    assert group.states == [State.MASTER] * 3
    assert sent(group.did["V4"]) == []


def test_a_new_member_that_hears_a_master_does_not() -> None:
    group, at = masters()
    fresh = group._new(2, {})
    group.members.append(fresh)
    group.core.join(fresh.config.name)
    group._begin()
    fresh.handle(ev.Startup(), at + 1)
    fresh.handle(ev.GroupSays(group="VG", state=State.BACKUP), at + 1)
    fresh.handle(advert(50, at + 1), at + 1)
    fresh.handle(advert(150, at + 1), at + 1)
    group._settle(at + 1, "")
    assert group.states == [State.BACKUP] * 3


def test_a_running_backup_that_is_put_into_a_master_group_pulls_it_down() -> None:
    group, at = masters()
    other = new(name="V8", virtual_router_id=53)
    acknowledge(other, other.handle(ev.Startup(), T0), T0)
    other.handle(advert(150, at + 1), at + 1)
    other.join("VG")
    group.members.append(other)
    group._begin()
    group._settle(at + 1, "")
    assert group.states == [State.BACKUP] * 3


def test_who_leaves_its_group_decides_alone_again() -> None:
    group = backups()
    group.wake(0, T0 + DOWN_S)
    group[0].join("")
    assert group[0].next_deadline() == pytest.approx(T0 + DOWN_S)
    assert "SendAdvert" in kinds(group[0].wake(T0 + DOWN_S + 1, drained=True))


def test_who_leaves_a_group_in_fault_is_told_that_it_has_none() -> None:
    group, at = masters()
    group.feed(0, ev.InterfaceDown(), at + 1)
    group[1].join("")
    group[1].handle(ev.GroupSays(group="", state=State.BACKUP), at + 2)
    assert group.states == [State.FAULT, State.BACKUP]


# --- a member alone is as it was -------------------------------------------------------------


def test_a_group_of_one_is_master_when_its_member_wants() -> None:
    group = Group({}).start()
    group.wake(0, T0 + DOWN_S)
    assert group.states == [State.MASTER]


def test_rule_of_a_plan_is_shown() -> None:
    group, at = masters()
    again = _again(group, at + 1)
    (resumed,) = [e for e in again.did["V4"] if isinstance(e, ef.Resumed)]
    assert resumed.cause.rule == Rule.CONTINUE
