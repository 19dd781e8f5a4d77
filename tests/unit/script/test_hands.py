"""Threads that wait ready, one for each deed."""

from __future__ import annotations

import threading
import time

from script_proc.hands import Hands


def ours(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_each_deed_has_a_thread_of_its_own_and_some_wait_ready() -> None:
    hands = Hands("hands of a test", spare=2)
    assert len(ours("hands of a test")) == 2
    done: list[int | None] = []
    here = threading.Barrier(6)  # all of them at one time, more than were ready

    def deed() -> None:
        done.append(threading.current_thread().ident)
        here.wait(10)

    for _ in range(5):
        hands.give(deed)
    here.wait(10)
    assert len(set(done)) == 5
    hands.refill()
    hands.refill()
    end_at = time.monotonic() + 10
    while len(ours("hands of a test")) != 2:
        assert time.monotonic() < end_at, ours("hands of a test")
        time.sleep(0.001)
    waiting = ours("hands of a test")
    hands.close()
    hands.refill()
    for thread in waiting:
        thread.join(10)
    assert ours("hands of a test") == []
