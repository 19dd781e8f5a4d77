"""All checks together: schedule, reload and resume, under invented time."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from checker_proc.fleet import Fleet
from checker_proc.ledger import Kept, check_number, server_number
from keepalived_conf.model import Check, Place
from tests.unit.checker.builders import GOOD, REFUSED, http, tcp


def fleet_of(*checks: Check, now: float = 0.0, seed: int = 1) -> Fleet:
    fleet = Fleet(random.Random(seed).random)
    fleet.apply(checks, now)
    return fleet


def left_by(fleet: Fleet) -> Mapping[bytes, Kept]:
    """What a successor would find in the box."""
    return {
        check_number(check_id): Kept(progress=entry.progress, server=server_number(entry.check))
        for check_id, entry in fleet.entries.items()
    }


def run(fleet: Fleet, until: float, bad: set[str] | None = None, *, limit: int = 10**6) -> list[float]:
    """Virtual time: every attempt ends at once, refused for ids in ``bad``. Returns the instants."""
    instants: list[float] = []
    for _ in range(10**6):
        now = fleet.next_at()
        if now is None or now > until:
            return instants
        for launch in fleet.launch(now, limit):
            instants.append(now)
            fleet.finished(launch, REFUSED if launch.check.check_id in (bad or set()) else GOOD, now)
    raise AssertionError("the schedule does not move")


def test_a_thousand_checks_start_spread_and_stay_spread() -> None:
    checks = [tcp(number, warmup_s=60.0, delay_loop_s=60.0) for number in range(1000)]
    fleet = fleet_of(*checks)
    instants = run(fleet, 600.0)
    assert len(instants) == 10_000
    for second in range(600):
        assert sum(second <= at < second + 1 for at in instants) <= 40  # mean 16.7


def test_servers_that_failed_together_do_not_run_in_step_afterwards() -> None:
    checks = [tcp(number, warmup_s=60.0, delay_loop_s=60.0, retry=1) for number in range(600)]
    fleet = fleet_of(*checks)
    run(fleet, 300.0)
    instants = run(fleet, 900.0, bad={check.check_id for check in checks})
    late = [at for at in instants if at > 600.0]
    assert max(sum(second <= at < second + 1 for at in late) for second in range(600, 900)) <= 30


def test_start_modes() -> None:
    fleet = fleet_of(tcp(1), tcp(2, alpha=True))
    assert [entry.progress.up for entry in fleet.entries.values()] == [True, False]


def test_a_reload_keeps_state_and_place_of_what_did_not_change() -> None:
    one, two = tcp(1), tcp(2)
    fleet = fleet_of(one, two)
    run(fleet, 95.0, bad={two.check_id})
    before = dict(fleet.entries)
    due_at = fleet.next_at()
    applied = fleet.apply([two, one, tcp(3)], 96.0)
    assert applied.kept == (two.check_id, one.check_id)
    assert applied.added == (tcp(3).check_id,)
    assert fleet.entries[one.check_id] == before[one.check_id]
    assert fleet.entries[two.check_id] == before[two.check_id]
    assert fleet.next_at() == min(due_at or 0.0, fleet.entries[tcp(3).check_id].progress.due_at)


def test_a_moved_line_is_no_change_and_a_running_attempt_counts() -> None:
    fleet = fleet_of(tcp(1))
    (launch,) = fleet.launch(20.0, 10)
    moved = tcp(1, places={"": Place(file="k.conf", line=9, column=1)})
    applied = fleet.apply([moved], 20.1)
    assert not applied.redefined
    assert fleet.finished(launch, REFUSED, 20.2) is not None
    assert not fleet.entries[moved.check_id].progress.up
    assert fleet.entries[moved.check_id].check.places


def test_a_removed_check_is_gone_also_while_it_runs() -> None:
    fleet = fleet_of(tcp(1), tcp(2))
    launches = fleet.launch(20.0, 10)
    applied = fleet.apply([tcp(2)], 20.1)
    assert applied.removed == (tcp(1).check_id,)
    gone = next(launch for launch in launches if launch.check == tcp(1))
    assert fleet.finished(gone, REFUSED, 20.2) is None
    assert list(fleet.entries) == [tcp(2).check_id]
    # Back again: a new life, the old attempt still does not count.
    fleet.apply([tcp(1), tcp(2)], 20.3)
    assert fleet.finished(gone, REFUSED, 20.4) is None
    assert fleet.entries[tcp(1).check_id].progress.up


def test_a_new_check_of_a_known_server_starts_from_the_servers_present_state() -> None:
    dead = tcp(1)
    edited = tcp(99, real_server=dead.real_server, connect_timeout_s=9.0)
    fleet = fleet_of(dead)
    run(fleet, 50.0, bad={dead.check_id})
    fleet.apply([edited], 51.0)
    assert not fleet.entries[edited.check_id].progress.up
    run(fleet, 70.0)
    assert fleet.entries[edited.check_id].progress.up


def test_killed_during_the_reload_the_server_is_still_known() -> None:
    dead = tcp(1)
    fleet = fleet_of(dead)
    run(fleet, 50.0, bad={dead.check_id})
    edited = tcp(99, real_server=dead.real_server)
    successor = Fleet(random.Random(5).random)
    applied = successor.apply([edited, tcp(2)], 51.0, left_by(fleet))
    assert applied.added == (edited.check_id, tcp(2).check_id)
    assert not successor.entries[edited.check_id].progress.up
    assert successor.entries[tcp(2).check_id].progress.up


def test_a_new_check_of_a_live_server_starts_up_even_with_alpha() -> None:
    live = tcp(1)
    fleet = fleet_of(live)
    run(fleet, 50.0)
    fleet.apply([live, tcp(99, real_server=live.real_server, alpha=True)], 51.0)
    assert all(entry.progress.up for entry in fleet.entries.values())


def test_other_settings_under_the_same_id_keep_the_state() -> None:
    fleet = fleet_of(tcp(1, delay_loop_s=60.0, warmup_s=0.0))
    run(fleet, 130.0, bad={tcp(1).check_id})
    (launch,) = fleet.launch(180.0, 1)
    applied = fleet.apply([tcp(1, delay_loop_s=5.0, warmup_s=0.0)], 181.0)
    assert applied.redefined == (tcp(1).check_id,)
    assert fleet.finished(launch, GOOD, 181.5) is None
    assert not fleet.entries[tcp(1).check_id].progress.up
    assert (fleet.next_at() or 0.0) <= 186.0
    assert len(run(fleet, 281.0)) >= 19


def test_equal_checks_are_one() -> None:
    fleet = fleet_of(tcp(1), tcp(1))
    assert len(fleet.launch(100.0, 10)) == 1


def test_a_successor_continues_with_states_and_schedule() -> None:
    checks = [tcp(n) if n % 2 else http(n, urls=3, retry=2) for n in range(1, 40)]
    bad = {check.check_id for check in checks[::5]}
    fleet = fleet_of(*checks)
    run(fleet, 987.0, bad=bad)
    successor = Fleet(random.Random(5).random)
    applied = successor.apply(checks, 987.0, left_by(fleet))
    assert len(applied.resumed) == len(checks)
    assert not applied.added
    for check in checks:
        assert successor.entries[check.check_id].progress == fleet.entries[check.check_id].progress
    assert run(successor, 1200.0, bad=bad) == run(fleet, 1200.0, bad=bad)


def test_attempts_missed_while_nobody_ran_are_spread() -> None:
    checks = [tcp(number, warmup_s=10.0, delay_loop_s=10.0) for number in range(1000)]
    fleet = fleet_of(*checks)
    run(fleet, 100.0)
    successor = Fleet(random.Random(5).random)
    successor.apply(checks, 103.0, left_by(fleet))
    first = run(successor, 113.0)
    assert max(sum(tenth / 10 <= at < tenth / 10 + 0.1 for at in first) for tenth in range(1030, 1130)) < 60
    assert all(entry.progress.up for entry in successor.entries.values())


def test_a_record_from_the_future_is_not_believed() -> None:
    fleet = fleet_of(tcp(1), now=5000.0)
    successor = Fleet(random.Random(5).random)
    applied = successor.apply([tcp(1)], 100.0, left_by(fleet))
    assert applied.added == (tcp(1).check_id,)


def test_a_due_instant_far_away_is_pulled_back() -> None:
    fleet = fleet_of(tcp(1, delay_loop_s=3600.0, warmup_s=0.0))
    run(fleet, 1.0)
    successor = Fleet(random.Random(5).random)
    successor.apply([tcp(1, delay_loop_s=10.0)], 2.0, left_by(fleet))
    assert (successor.next_at() or 0.0) <= 22.0


def test_a_url_that_is_no_longer_there_starts_the_round_again() -> None:
    fleet = fleet_of(http(1, urls=4, warmup_s=0.0))
    run(fleet, 25.0)
    assert fleet.entries[http(1).check_id].progress.url_index == 3
    successor = Fleet(random.Random(5).random)
    successor.apply([http(1, urls=2)], 26.0, left_by(fleet))
    (launch,) = successor.launch(60.0, 1)
    assert launch.url is not None
    assert launch.url.path == "/0"


def test_the_limit_leaves_the_rest_waiting_and_counts_them() -> None:
    fleet = fleet_of(*[tcp(number, warmup_s=0.0) for number in range(10)])
    assert len(fleet.launch(5.0, 4)) == 4
    assert fleet.overdue(5.0, lambda _: 1.0) == 6
    assert len(fleet.launch(5.0, 100)) == 6
    assert fleet.overdue(5.0, lambda _: 1.0) == 0


def test_a_postponed_check_runs_again() -> None:
    fleet = fleet_of(tcp(1, warmup_s=0.0))
    (launch,) = fleet.launch(0.0, 1)
    fleet.postpone(launch, 1.0)
    assert fleet.next_at() == 11.0


@given(
    steps=st.lists(
        st.tuples(
            st.sets(st.integers(1, 8)),  # configuration
            st.sets(st.integers(1, 8)),  # servers that fail
            st.floats(0.1, 40),  # how long
            st.booleans(),  # killed and resumed instead of reloaded
        ),
        min_size=1,
        max_size=8,
    )
)
def test_reloads_and_restarts_never_change_a_state(
    steps: list[tuple[set[int], set[int], float, bool]],
) -> None:
    """Every check that is in both configurations keeps everything; attempts alone change states."""
    fleet, now = Fleet(random.Random(3).random), 0.0
    for wanted, failing, lasts_s, killed in steps:
        before = {check_id: entry.progress for check_id, entry in fleet.entries.items()}
        checks = [tcp(n, retry=n % 3, alpha=n % 2 == 0) for n in sorted(wanted)]
        if killed:
            left = left_by(fleet)
            fleet = Fleet(random.Random(4).random)
            fleet.apply(checks, now, left)
        else:
            fleet.apply(checks, now)
        for check in checks:
            progress = fleet.entries[check.check_id].progress
            known = before.get(check.check_id)
            assert progress == known if known else progress.up != check.alpha
        assert len(fleet.entries) == len(wanted)
        now += lasts_s
        run(fleet, now, bad={tcp(n).check_id for n in failing})
