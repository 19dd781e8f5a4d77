from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from script_proc.ledger import (
    MAX_VALUE_BYTES,
    RECORD_BYTES,
    Ledger,
    LedgerError,
    TrackerRecord,
    Write,
    program_number,
)
from worker.blackbox import MAX_RECORD_BYTES


class Box:
    """Records, and a kill after so many more writes."""

    def __init__(self, records: int) -> None:
        self.rows: list[bytes | None] = [None] * records

    def read(self, index: int) -> bytes | None:
        return self.rows[index]

    def write(self, writes: list[Write], at_most: int = 1000) -> None:
        for index, data in writes[:at_most]:
            assert len(data) <= MAX_RECORD_BYTES
            self.rows[index] = data


def reopened(box: Box) -> Ledger:
    ledger = Ledger(len(box.rows))
    box.write(ledger.load(box.read))
    return ledger


def test_the_record_size_is_that_of_the_box() -> None:
    assert RECORD_BYTES == MAX_RECORD_BYTES


keys = st.sampled_from(["a", "script:VI_1", "ü" * 50, "ü" * 49 + "u", "notify:INSTANCE:" + "x" * 90])
values = st.binary(max_size=MAX_VALUE_BYTES)


@settings(max_examples=200)
@given(st.lists(st.tuples(keys, st.none() | values, st.integers(0, 12)), max_size=30))
def test_a_kill_between_writes_leaves_the_old_value_or_the_new(
    moves: list[tuple[str, bytes | None, int]],
) -> None:
    box = Box(24)
    ledger = reopened(box)
    kept: dict[str, bytes] = {}
    for key, data, at_most in moves:
        before = kept.get(key)
        writes = ledger.remove(key) if data is None else ledger.put(key, data)
        box.write(writes, at_most)
        if at_most < len(writes):  # killed
            ledger = reopened(box)
            assert ledger.get(key) in (before, data)
        else:
            assert ledger.get(key) == data
        found = ledger.get(key)
        kept.pop(key, None)
        if found is not None:
            kept[key] = found
        for name in kept:
            assert ledger.get(name) == kept[name]
        young = reopened(box)
        assert {name: young.get(name) for name in kept} == kept
        assert len(young.keys()) == len(kept)


def test_room_is_given_back() -> None:
    ledger = Ledger(6)
    for number in range(100):
        ledger.put("long", bytes([number]) * 400)
        ledger.put("short", bytes([number]))
    ledger.remove("long")
    for number in range(5):
        ledger.put(f"more{number}", b"x")
    with pytest.raises(LedgerError, match="all 6 records"):
        ledger.put("one too many", b"x")
    ledger.put("short", b"still in place")
    assert ledger.get("short") == b"still in place"


def test_a_value_that_is_too_long_changes_nothing() -> None:
    ledger = Ledger(6)
    ledger.put("a", b"old")
    with pytest.raises(LedgerError, match="481 bytes"):
        ledger.put("a", bytes(481))
    assert ledger.get("a") == b"old"
    assert ledger.put("a", b"old") == []


def test_keys_are_found_by_their_beginning() -> None:
    ledger = Ledger(6)
    for key in ("script:b", "script:a", "file:a"):
        ledger.put(key, b"")
    assert ledger.keys("script:") == ["script:a", "script:b"]


@given(st.lists(st.none() | st.binary(max_size=240), min_size=8, max_size=8))
def test_nonsense_is_not_believed(rows: list[bytes | None]) -> None:
    box = Box(8)
    box.rows = rows
    ledger = reopened(box)
    ledger.put("a", b"1")
    assert ledger.get("a") == b"1"


records = st.builds(
    TrackerRecord,
    value=st.none() | st.integers(-(2**31), 2**31),
    since_at=st.floats(0, 1e9),
    last_at=st.floats(0, 1e9),
    text=st.text(st.characters(codec="ascii"), max_size=80),
    grid_at=st.floats(0, 1e9),
    due_at=st.floats(0, 1e9),
    decided=st.booleans(),
    successes=st.integers(0, 65535),
    failures=st.integers(0, 65535),
    program=st.just(program_number(("/bin/true",))),
    pid=st.integers(0, 2**22),
    pid_started=st.integers(0, 2**63),
)


@given(records)
def test_a_tracker_comes_back_as_it_was(record: TrackerRecord) -> None:
    assert TrackerRecord.decode(record.encode()) == record


def test_a_long_text_is_cut_within_its_room() -> None:
    record = TrackerRecord(value=1, since_at=1.0, text="ü" * 100)
    found = TrackerRecord.decode(record.encode())
    assert found is not None
    assert found.text == "ü" * 40
    ledger = Ledger(2)
    assert len(ledger.put("script:" + "n" * 200, record.encode())) == 1


@given(st.binary(max_size=200))
def test_bytes_that_are_no_tracker_are_none_or_finite(data: bytes) -> None:
    record = TrackerRecord.decode(data)
    assert record is None or record.since_at == record.since_at
