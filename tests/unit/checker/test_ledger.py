from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from checker_proc.check import Progress
from checker_proc.ledger import (
    CHECKS_PER_RECORD,
    ENTRY_BYTES,
    RECORD_BYTES,
    Ledger,
    check_number,
    decode,
    encode,
    server_number,
)
from checker_proc.outcome import Outcome, Reason
from tests.unit.checker.builders import tcp
from worker.blackbox import MAX_RECORD_BYTES


class Box:
    """What the black box does, without the file."""

    def __init__(self) -> None:
        self.records: dict[int, bytes] = {}

    def write(self, record: tuple[int, bytes] | None) -> None:
        assert record is not None
        index, data = record
        assert len(data) <= MAX_RECORD_BYTES
        self.records[index] = data


def progress(**changes: object) -> Progress:
    fields = {"up": True, "since_at": 1.0, "grid_at": 2.0, "due_at": 3.0}
    return Progress(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_record_is_full_and_fits() -> None:
    assert CHECKS_PER_RECORD == 5
    assert CHECKS_PER_RECORD * ENTRY_BYTES <= RECORD_BYTES == MAX_RECORD_BYTES


@given(
    up=st.booleans(),
    has_run=st.booleans(),
    failures=st.integers(0, 0xFFFF),
    url_index=st.integers(0, 300),
    url_failed=st.booleans(),
    instants=st.tuples(*[st.floats(0, 1e8)] * 3),
    reason=st.sampled_from(Reason),
    detail=st.integers(0, 0xFFFF),
)
def test_what_was_written_is_read(
    up: bool,
    has_run: bool,
    failures: int,
    url_index: int,
    url_failed: bool,
    instants: tuple[float, float, float],
    reason: Reason,
    detail: int,
) -> None:
    written = Progress(
        up=up,
        has_run=has_run,
        failures=failures,
        url_index=url_index,
        failed_url=url_index if url_failed else None,
        since_at=instants[0],
        grid_at=instants[1],
        due_at=instants[2],
        last=Outcome(reason=reason, detail=detail),
    )
    decoded = decode(encode(tcp(7), written))
    assert decoded is not None
    assert decoded[0] == check_number(tcp(7).check_id)
    assert decoded[1].server == server_number(tcp(7))
    assert decoded[1].progress == written


def test_the_age_of_the_last_attempt_survives() -> None:
    decoded = decode(encode(tcp(), progress(due_at=1_000_060.0, last_at=1_000_000.5)))
    assert decoded is not None
    assert abs(decoded[1].progress.last_at - 1_000_000.5) < 0.001


@given(st.binary(max_size=60))
def test_bytes_that_make_no_sense_are_no_check(data: bytes) -> None:
    decoded = decode(data)
    if decoded is not None:
        assert len(data) == ENTRY_BYTES
    assert decode(bytes(ENTRY_BYTES)) is None


def test_a_successor_finds_every_check() -> None:
    box, ledger = Box(), Ledger(4)
    checks = [tcp(number) for number in range(1, 13)]
    for number, check in enumerate(checks):
        box.write(ledger.put(check, progress(due_at=float(number), up=number % 2 == 0)))
    kept = Ledger(4).load(box.records.get)
    assert len(kept) == 12
    for number, check in enumerate(checks):
        assert kept[check_number(check.check_id)].progress == progress(
            due_at=float(number), up=number % 2 == 0
        )


def test_writing_one_check_keeps_its_neighbours() -> None:
    box, ledger = Box(), Ledger(1)
    for number in range(5):
        box.write(ledger.put(tcp(number + 1), progress()))
    successor = Ledger(1)
    successor.load(box.records.get)
    box.write(successor.put(tcp(3), progress(up=False)))
    kept = Ledger(1).load(box.records.get)
    states = [kept[check_number(tcp(n + 1).check_id)].progress.up for n in range(5)]
    assert states == [True, True, False, True, True]


def test_removed_checks_make_room_and_are_forgotten() -> None:
    box, ledger = Box(), Ledger(1)
    for number in range(5):
        box.write(ledger.put(tcp(number + 1), progress()))
    assert ledger.put(tcp(6), progress()) is None
    assert ledger.without_room == {tcp(6).check_id}
    for record in ledger.retain({tcp(n).check_id for n in (1, 2, 6)}):
        box.write(record)
    box.write(ledger.put(tcp(6), progress(up=False)))
    assert not ledger.without_room
    assert set(Ledger(1).load(box.records.get)) == {check_number(tcp(n).check_id) for n in (1, 2, 6)}


def test_no_box_at_all_is_no_room() -> None:
    assert Ledger(0).put(tcp(), progress()) is None


def test_ids_that_are_not_hexadecimal_have_a_number_too() -> None:
    odd = replace(tcp(), check_id="web server one!!")
    decoded = decode(encode(odd, progress()))
    assert decoded is not None
    assert decoded[0] == check_number(odd.check_id) != check_number("web server two!!")


def test_a_new_check_never_takes_the_place_of_one_that_was_there() -> None:
    box, ledger = Box(), Ledger(2)
    for number in (1, 2, 3):
        box.write(ledger.put(tcp(number), progress()))
    successor = Ledger(2)
    successor.load(box.records.get)
    box.write(successor.put(tcp(4), progress()))
    assert len(Ledger(2).load(box.records.get)) == 4
