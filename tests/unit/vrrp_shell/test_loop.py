"""Order within a turn, timers that never fire early, long work that yields."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from vrrp_proc.loop import Loop, Stage, Timer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[Loop]:
    made = Loop(clock)
    yield made
    made.close()


def test_order_within_a_turn(loop: Loop, clock: Clock) -> None:
    done: list[str] = []
    pipes = {stage: os.pipe() for stage in Stage}
    for stage in reversed(Stage):
        reader, writer = pipes[stage]
        os.write(writer, b"x")

        def serve(stage: Stage = stage, reader: int = reader) -> None:
            os.read(reader, 1)
            done.append(stage.name)

        loop.add_reader(reader, stage, serve)
    timer = Timer(lambda _now: done.append("timer"))
    loop.arm(timer, clock.now)

    def work() -> bool:
        done.append("work")
        return False

    loop.add_work(work)
    loop.defer(lambda: done.append("deferred"))
    loop.turn(block=False)
    assert done == ["PACKETS", "timer", "work", "NETLINK", "CONTROL", "BUS", "deferred"]
    for ends in pipes.values():
        loop.remove_reader(ends[0])
        for fd in ends:
            os.close(fd)


def test_timers_fire_in_order_and_not_before_they_are_due(loop: Loop, clock: Clock) -> None:
    fired: list[str] = []
    for name, delay_s in (("late", 0.2), ("early", 0.1)):
        loop.arm(Timer(lambda _now, name=name: fired.append(name)), clock.now + delay_s)  # type: ignore[misc]
    clock.now += 0.0999
    loop.turn(block=False)
    assert fired == []
    clock.now += 0.2
    loop.turn(block=False)
    assert fired == ["early", "late"]


def test_rearmed_and_disarmed_timers(loop: Loop, clock: Clock) -> None:
    fired: list[float] = []
    timer = Timer(fired.append)
    loop.arm(timer, clock.now + 1)
    loop.arm(timer, clock.now + 2)
    clock.now += 1.5
    loop.turn(block=False)
    assert fired == []
    loop.arm(timer, None)
    clock.now += 5
    loop.turn(block=False)
    assert fired == []
    assert loop.next_due_at() is None


def test_a_callback_may_disarm_a_timer_that_is_due_in_the_same_turn(loop: Loop, clock: Clock) -> None:
    fired: list[str] = []
    second = Timer(lambda _now: fired.append("second"))
    first = Timer(lambda _now: loop.arm(second, None))
    loop.arm(first, clock.now)
    loop.arm(second, clock.now)
    loop.turn(block=False)
    assert fired == []


def test_slack_lets_timers_share_a_wake_up_but_a_strict_one_decides(loop: Loop, clock: Clock) -> None:
    a, b, strict = Timer(lambda _n: None), Timer(lambda _n: None), Timer(lambda _n: None)
    loop.arm(a, clock.now + 1.0000, slack_s=0.001)
    loop.arm(b, clock.now + 1.0004, slack_s=0.001)
    assert loop._wake_at() == pytest.approx(clock.now + 1.001)
    loop.arm(strict, clock.now + 1.0006)
    assert loop._wake_at() == pytest.approx(clock.now + 1.0006)


def test_lateness_is_told_before_the_timers_run(loop: Loop, clock: Clock) -> None:
    told: list[tuple[float, float]] = []
    order: list[str] = []

    def before(now: float, late_s: float) -> None:
        told.append((now, late_s))
        order.append("before")

    loop.before_timers = before
    loop.arm(Timer(lambda _now: order.append("timer")), clock.now + 1)
    clock.now += 1.25
    loop.turn(block=False)
    assert order == ["before", "timer"]
    ((at, late_s),) = told
    assert at == clock.now
    assert late_s == pytest.approx(0.25)


def test_long_work_yields_to_a_timer(loop: Loop, clock: Clock) -> None:
    """The next advert is sent between two slices, and slices take turns."""
    done: list[str] = []

    def piece(name: str) -> bool:
        done.append(name)
        clock.now += 0.0005
        return done.count(name) < 3

    loop.add_work(lambda: piece("a"))
    loop.add_work(lambda: piece("b"))
    loop.arm(Timer(lambda _now: done.append("advert")), clock.now + 0.0008)
    loop.turn(block=False)
    assert done == ["a", "b"]
    loop.turn(block=False)
    assert done == ["a", "b", "advert", "a", "b", "a", "b"]


def test_deferred_waits_for_work(loop: Loop, clock: Clock) -> None:
    done: list[str] = []

    def piece() -> bool:
        clock.now += 0.0015
        done.append("work")
        return len(done) < 3

    loop.add_work(piece)
    loop.defer(lambda: done.append("log"))
    for _turn in range(3):
        loop.turn(block=False)
    assert done == ["work", "work", "work", "log"]


def test_reader_removed_by_an_earlier_callback_is_not_called(loop: Loop) -> None:
    one, two = os.pipe(), os.pipe()
    os.write(one[1], b"x")
    os.write(two[1], b"x")
    called: list[str] = []
    loop.add_reader(one[0], Stage.PACKETS, lambda: loop.remove_reader(two[0]))
    loop.add_reader(two[0], Stage.CONTROL, lambda: called.append("two"))
    loop.turn(block=False)
    assert called == []
    loop.remove_reader(one[0])
    for fd in (*one, *two):
        os.close(fd)
