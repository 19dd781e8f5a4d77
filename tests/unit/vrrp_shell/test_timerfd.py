"""The one timer of the loop."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from vrrp_proc.timerfd import TimerFd
from worker.clock import boottime


@pytest.fixture
def timer() -> Iterator[TimerFd]:
    made = TimerFd()
    yield made
    made.close()


def _readable(timer: TimerFd, timeout_s: float) -> bool:
    return bool(select.select([timer.fileno()], [], [], timeout_s)[0])


def test_never_early(timer: TimerFd) -> None:
    due_at = boottime() + 0.02
    timer.set(due_at)
    assert _readable(timer, 5)
    assert boottime() >= due_at


def test_the_past_fires_at_once(timer: TimerFd) -> None:
    timer.set(boottime() - 10)
    assert _readable(timer, 1)
    timer.acknowledge()
    timer.set(0.0)
    assert _readable(timer, 1)


def test_disarmed_and_far_away(timer: TimerFd) -> None:
    timer.set(boottime() - 1)
    timer.set(None)
    assert not _readable(timer, 0)
    timer.set(boottime() + 3600)
    assert not _readable(timer, 0)


def test_acknowledged_timer_can_be_set_to_the_same_instant_again(timer: TimerFd) -> None:
    due_at = boottime() - 1
    timer.set(due_at)
    assert _readable(timer, 1)
    timer.acknowledge()
    assert not _readable(timer, 0)
    timer.set(due_at)
    assert _readable(timer, 1)


def test_acknowledge_without_expiry_does_not_block(timer: TimerFd) -> None:
    timer.set(boottime() + 3600)
    timer.acknowledge()
