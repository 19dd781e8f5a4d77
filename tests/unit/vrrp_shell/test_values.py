"""Last values of trackers in the black box."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from vrrp_proc.boxes import Ledger
from vrrp_proc.values import PER_RECORD, KeptValues, reserved
from worker.blackbox import BlackBox


@pytest.fixture
def box() -> Iterator[BlackBox]:
    fd = BlackBox.create("vrrp", slots=64, records=64, ring=16, undo_bytes=4096)
    made = BlackBox.attach(fd)
    os.close(fd)
    yield made
    made.close()


def test_the_next_incarnation_finds_what_this_one_put_down(box: BlackBox) -> None:
    first = KeptValues(box)
    first.put("script:chk", 0)
    first.put("file:f", -(2**31))
    first.put("script:chk", 1)
    second = KeptValues(box)
    assert (second.get("script:chk"), second.get("file:f"), second.get("x")) == (1, -(2**31), None)
    second.keep_only({"file:f"})
    assert KeptValues(box).get("script:chk") is None
    assert KeptValues(box).get("file:f") == -(2**31)


def test_every_moment_of_any_history_is_found_again(box: BlackBox) -> None:
    rng = random.Random(1)
    kept, model = KeptValues(box), dict[str, int]()
    names = [f"script:{number}" for number in range(PER_RECORD + 9)]
    for _ in range(400):
        if rng.random() < 0.05:
            wanted = set(rng.sample(names, 12))
            kept.keep_only(wanted)
            model = {name: value for name, value in model.items() if name in wanted}
        else:
            name = rng.choice(names)
            model[name] = rng.randint(-300, 300)
            kept.put(name, model[name])
        if rng.random() < 0.2:
            kept = KeptValues(box)
        assert {name: kept.get(name) for name in names if kept.get(name) is not None} == model


def test_virtual_routers_never_get_the_records_of_values(box: BlackBox) -> None:
    ledger = Ledger(box)
    assert ledger.capacity == 64 - reserved(box)
    for number in range(reserved(box) * PER_RECORD):
        ledger.values.put(f"script:{number}", 1)
    ledger.values.put("script:one too many", 1)
    assert ledger.values.get("script:one too many") is None
    for _ in range(ledger.capacity):
        ledger.allocate()
    again = Ledger(box)
    assert again.damaged == []
    assert again.values.get("script:0") == 1


def test_without_a_box_nothing_is_kept() -> None:
    kept = KeptValues(None)
    kept.put("script:a", 1)
    assert kept.get("script:a") is None
    kept.keep_only(())


def test_a_damaged_record_is_no_value(box: BlackBox) -> None:
    box.write(63, b"something else")
    kept = KeptValues(box)
    assert kept.get("script:a") is None
    kept.put("script:a", 3)
    assert KeptValues(box).get("script:a") == 3
