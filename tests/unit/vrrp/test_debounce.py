"""interface_up_down_delays: what an interface counts as, while it flaps."""

from __future__ import annotations

import random

from keepalived_conf.model import InterfaceDelay
from vrrp_proc.debounce import Debounce, Delays, capped


def _made(down_s: float = 1.0, up_s: float = 2.0) -> Debounce:
    made = Debounce()
    made.configure({"e1": Delays(down_s, up_s)})
    made.see("e1", True, 100.0)
    return made


def test_first_sight_counts_at_once_and_a_change_after_its_delay() -> None:
    made = _made()
    assert made.counts("e1", True)
    made.see("e1", False, 110.0)
    assert (made.counts("e1", False), made.next_at()) == (True, 111.0)
    made.settle(110.99)
    assert made.counts("e1", False)
    made.settle(111.0)
    assert (made.counts("e1", False), made.next_at()) == (False, None)
    made.see("e1", True, 120.0)
    assert (made.counts("e1", True), made.next_at()) == (False, 122.0)


def test_a_flap_is_nothing_and_being_told_again_does_not_lengthen_the_wait() -> None:
    made = _made()
    made.see("e1", False, 110.0)
    made.see("e1", False, 110.5)
    assert made.next_at() == 111.0
    made.see("e1", True, 110.9)
    assert (made.counts("e1", True), made.next_at()) == (True, None)


def test_without_a_delay_and_when_it_is_gone_it_counts_at_once() -> None:
    made = _made(up_s=0.0)
    made.see("e1", False, 110.0, gone=True)
    assert not made.counts("e1", False)
    made.see("e1", True, 110.1)
    assert made.counts("e1", True)
    assert not made.counts("e9", False)
    assert made.counts("e9", True)


def test_delays_that_are_taken_away_count_no_more() -> None:
    made = _made()
    made.see("e1", False, 110.0)
    made.configure({})
    assert (made.counts("e1", False), made.next_at(), made.names) == (False, None, ())


def test_delays_are_capped_by_who_follows_the_interface() -> None:
    wanted = [
        InterfaceDelay(interface="e1", down_s=9.0, up_s=1.0),
        InterfaceDelay(interface="e2", down_s=9.0),
        InterfaceDelay(interface="e3", down_s=5.0),
    ]
    found = capped(wanted, {"e1": 2.0, "e3": 0.0})
    assert found == {"e1": Delays(2.0, 1.0), "e2": Delays(9.0, 0.0)}


def test_random_flaps_against_a_history() -> None:
    """It counts as up exactly when the last state that lasted for its delay was up."""
    rng = random.Random(7)
    for _ in range(200):
        down_s, up_s = rng.choice((0.0, 0.5, 2.0)), rng.choice((0.0, 0.5, 2.0))
        made, now, shown = _made(down_s, up_s), 100.0, True
        state, since = True, 100.0
        for _ in range(50):
            due_at = since + (up_s if state else down_s)
            now += rng.random() * 1.5
            if state != shown and now >= due_at:
                shown = state
            made.settle(now)
            assert made.counts("e1", state) == shown
            up = rng.random() < 0.5
            if up != state:
                state, since = up, now
            made.see("e1", up, now)
            if state != shown and now >= since + (up_s if state else down_s):
                shown = state
            assert made.counts("e1", state) == shown
