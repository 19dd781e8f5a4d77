from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from checker_proc.schedule import Schedule, first_at, overdue_at, regular_at


def test_the_first_run_falls_within_warmup() -> None:
    assert first_at(100.0, 60.0, lambda: 0.0) == 100.0
    assert first_at(100.0, 60.0, lambda: 0.5) == 130.0
    assert first_at(100.0, 0.0, lambda: 0.9) == 100.0


@given(
    grid_at=st.floats(0, 1e6),
    period_s=st.floats(0.01, 3600),
    since_s=st.floats(0, 1e5),
    wait_s=st.floats(0, 7200),
)
def test_regular_runs_fall_on_the_grid_after_now(
    grid_at: float, period_s: float, since_s: float, wait_s: float
) -> None:
    now = grid_at + since_s
    due_at = regular_at(grid_at, period_s, now, wait_s)
    assert due_at > now
    assert abs(due_at - now - max(wait_s, 0)) <= period_s * 1.001 + 1e-6
    phase = (due_at - grid_at) / period_s
    assert abs(phase - round(phase)) < 1e-3


def test_a_period_of_nothing_does_not_divide_by_it() -> None:
    assert regular_at(0.0, 0.0, 5.0, 2.0) == 7.0


def test_missed_runs_spread_over_what_was_missed_at_most_a_period() -> None:
    assert overdue_at(100.0, 100.2, 60.0, lambda: 0.5) == 100.2 + 0.5 * (100.2 - 100.0)
    assert overdue_at(100.0, 5000.0, 60.0, lambda: 0.5) == 5030.0
    assert overdue_at(200.0, 100.0, 60.0, lambda: 0.5) == 200.0


def test_the_earliest_comes_first_and_only_when_due() -> None:
    schedule = Schedule()
    for key, at in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        schedule.set(key, at)
    assert schedule.next_at() == 1.0
    assert schedule.pop_due(0.999, 10) == []
    assert schedule.pop_due(2.0, 10) == ["a", "b"]
    assert schedule.pop_due(9.0, 10) == ["c"]
    assert schedule.next_at() is None


def test_the_limit_leaves_the_rest_due() -> None:
    schedule = Schedule()
    for key in "abcd":
        schedule.set(key, 1.0)
    assert len(schedule.pop_due(1.0, 3)) == 3
    assert len(schedule.pop_due(1.0, 3)) == 1


def test_setting_again_replaces() -> None:
    schedule = Schedule()
    schedule.set("a", 1.0)
    schedule.set("a", 5.0)
    assert schedule.pop_due(2.0, 10) == []
    schedule.set("a", 1.0)
    assert schedule.pop_due(2.0, 10) == ["a"]
    assert schedule.pop_due(9.0, 10) == []


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.one_of(st.none(), st.integers(0, 20)))))
def test_like_a_plain_dictionary(operations: list[tuple[str, int | None]]) -> None:
    schedule, model = Schedule(), dict[str, int]()
    for key, at in operations:
        if at is None:
            schedule.remove(key)
            model.pop(key, None)
        else:
            schedule.set(key, at)
            model[key] = at
        assert schedule.next_at() == min(model.values(), default=None)
    assert sorted(schedule.pop_due(10, 100)) == sorted(key for key, at in model.items() if at <= 10)


def test_many_replacements_do_not_pile_up() -> None:
    schedule = Schedule()
    for at in range(10_000):
        schedule.set("a", float(at))
    assert len(schedule._heap) < 100
