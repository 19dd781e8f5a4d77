"""What the supervisor decides, as tables: hours pass in milliseconds."""

from __future__ import annotations

import pytest

from supervisor import policy
from supervisor.policy import FenceCase, History, Silence


def test_back_off_grows_and_never_gives_up() -> None:
    history, now, pauses = History(), 1000.0, []
    for _ in range(12):
        history, restart_at = policy.after_death(history, now, host_starved=False)
        pauses.append(round(restart_at - now, 3))
        now = restart_at + 0.1
    assert pauses == [0, 0, 0.05, 0.2, 1, 2, 5, 5, 5, 5, 5, 5]


def test_health_clears_the_history() -> None:
    history, _ = policy.after_death(History(deaths=6, ready_at=100.0), 110.0, host_starved=False)
    assert history == History(deaths=1)
    history, _ = policy.after_death(History(deaths=6, ready_at=100.0), 109.9, host_starved=False)
    assert history.deaths == 7


def test_deaths_of_a_starved_host_do_not_count() -> None:
    history, _ = policy.after_death(History(deaths=1), 5.0, host_starved=True)
    assert history.deaths == 1


@pytest.mark.parametrize(
    ("restart_at", "deadlines", "expected"),
    [
        (10.0, [], 10.0),  # nothing armed: the back-off alone counts
        (10.2, [10.28], 10.13),  # a last try before the fence
        (15.0, [12.8, 11.8], 11.65),
        (10.05, [12.8], 10.05),  # never later
        (10.2, [10.1], 10.0),  # no room left: at once
        (12.0, [9.9], 12.0),  # passed: the janitor is at work
    ],
)
def test_the_back_off_never_outlasts_the_fence(
    restart_at: float, deadlines: list[float], expected: float
) -> None:
    assert policy.not_after_fence(restart_at, 10.0, deadlines) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("silent", "late", "starved", "hung"),
    [
        (1.1, 0.0, 0.0, False),
        (1.2, 0.0, 0.0, True),
        (2.0, 1.0, 0.0, False),  # we were away ourselves
        (2.0, 0.0, 1.0, False),  # it waited for a CPU
        (2.3, 1.0, 0.0, True),
        (4.8, 0.0, 4.8, True),  # the hard limit: starved or not
        (11.0, 10.0, 0.0, False),  # everything was stopped together
    ],
)
def test_starved_is_not_hung(silent: float, late: float, starved: float, hung: bool) -> None:
    assert policy.is_hung(Silence(silent_s=silent, own_lateness_s=late, starved_s=starved)) is hung


def test_next_check_is_when_it_could_be_hung() -> None:
    silence = Silence(silent_s=1.3, own_lateness_s=0.5, starved_s=0.0)
    assert policy.next_hang_check(silence, 10.0) == pytest.approx(10.4)


def test_fence_takes_only_what_is_due_and_releases_only_in_time() -> None:
    cases = [
        FenceCase(slot=0, deadline_at=10.0, prio0_until_at=11.0),
        FenceCase(slot=1, deadline_at=10.2, prio0_until_at=11.2),
        FenceCase(slot=2, deadline_at=8.0, prio0_until_at=9.0),
    ]
    assert policy.due_fences(cases, 7.9) is None
    order = policy.due_fences(cases, 10.1)
    assert order is not None
    assert (order.with_packets, order.without_packets) == ((0,), (2,))
