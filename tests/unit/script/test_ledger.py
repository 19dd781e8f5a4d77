from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from script_proc.ledger import (
    RECORD_BYTES,
    Ledger,
    TrackerRecord,
    Write,
    program_number,
    stored_key,
)
from worker.blackbox import MAX_RECORD_BYTES


class Box:
    def __init__(self, records: int) -> None:
        self.rows: list[bytes | None] = [None] * records

    def read(self, index: int) -> bytes | None:
        return self.rows[index]

    def write(self, write: Write | None) -> bool:
        if write is None:
            return False
        assert len(write[1]) <= MAX_RECORD_BYTES
        self.rows[write[0]] = write[1]
        return True


def test_the_record_size_is_that_of_the_box() -> None:
    assert RECORD_BYTES == MAX_RECORD_BYTES


keys = st.sampled_from(
    ["a", "script:VI_1", "\u00fc" * 50, "\u00fc" * 49 + "u", "file:" + "x" * 255, "file:" + "x" * 254]
)


@settings(max_examples=100)
@given(st.lists(st.tuples(keys, st.none() | st.integers(-9, 9)), max_size=30))
def test_what_was_put_is_what_a_successor_finds(moves: list[tuple[str, int | None]]) -> None:
    box, ledger, kept = Box(6), Ledger(6), dict[str, TrackerRecord]()
    for key, value in moves:
        name = stored_key(key)
        if value is None:
            assert box.write(ledger.remove(key)) == (name in kept)
            kept.pop(name, None)
        else:
            record = TrackerRecord(value=value, since_at=1.0, text="\u00fc" * 99)
            assert box.write(ledger.put(key, record))
            kept[name] = replace(record, text="\u00fc" * 40)
    assert Ledger(6).load(box.read) == kept


def test_long_keys_stay_apart_within_their_room() -> None:
    names = {stored_key("file:" + "x" * length) for length in (75, 76, 254, 255)}
    assert len(names) == 4
    assert max(map(len, names)) == 80


def test_room_is_given_back() -> None:
    box, ledger = Box(2), Ledger(2)
    record = TrackerRecord(value=1, since_at=1.0)
    for number in range(100):
        assert box.write(ledger.put(f"k{number}", record))
        assert box.write(ledger.put("stays", record))
        assert not box.write(ledger.put("no room", record))
        assert box.write(ledger.remove(f"k{number}"))
    young = Ledger(2)
    assert list(young.load(box.read)) == ["stays"]
    assert box.write(young.put("more", record))
    assert not box.write(young.put("too many", record))


@given(st.lists(st.none() | st.binary(max_size=240), min_size=8, max_size=8))
def test_nonsense_is_not_believed(rows: list[bytes | None]) -> None:
    box = Box(8)
    box.rows = rows
    ledger = Ledger(8)
    found = ledger.load(box.read)
    assert all(math.isfinite(record.since_at) for record in found.values())
    if len(found) < 8:
        assert box.write(ledger.put("another", TrackerRecord(value=1, since_at=1.0)))


records = st.builds(
    TrackerRecord,
    value=st.none() | st.integers(-(2**31), 2**31),
    since_at=st.floats(0, 1e9),
    last_at=st.floats(0, 1e9),
    text=st.text(st.characters(codec="ascii"), max_size=80),
    grid_at=st.floats(0, 1e9),
    due_at=st.floats(0, 1e9),
    decided=st.booleans(),
    quiet=st.booleans(),
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


@given(st.binary(max_size=200))
def test_bytes_that_are_no_tracker_are_none_or_finite(data: bytes) -> None:
    record = TrackerRecord.decode(data)
    assert record is None or record.since_at == record.since_at
