"""The ledger: what is written is read, whatever a kill leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipvs_proc.desired import Memory, ServerId
from ipvs_proc.ledger import NAMES, Entries, Ledger, pack, unpack
from tests.unit.ipvs.builders import fwmark, key

KEYS = [key(), key("2001:db8::1", 443, "UDP"), fwmark(7), fwmark(7, 6), key(port=5060, protocol="SCTP")]

entries = st.builds(
    Entries,
    owned=st.frozensets(st.sampled_from(KEYS)),
    memory=st.builds(
        Memory,
        checks=st.dictionaries(st.text(max_size=8), st.booleans()),
        servers=st.dictionaries(st.builds(ServerId, st.text(max_size=8), st.text(max_size=8)), st.booleans()),
        quorums=st.dictionaries(st.text(max_size=8), st.booleans()),
        assumed=st.frozensets(st.builds(ServerId, st.text(max_size=8), st.text(max_size=8))),
    ),
    since=st.dictionaries(
        st.text(max_size=8),
        st.tuples(st.floats(0, 1e9, allow_nan=False), st.floats(0, 2e9, allow_nan=False)),
    ),
)
ONE = Entries(owned=frozenset(KEYS[:2]), memory=Memory(checks={"a": False}))
TWO = Entries(owned=frozenset(KEYS[2:]), since={"x": (1.0, 2.0)})


@given(entries, st.integers(0, 2**32 - 1))
def test_what_is_packed_is_unpacked(content: Entries, sequence: int) -> None:
    assert unpack(pack(sequence, content)) == (sequence, content)


def test_another_boot_has_left_nothing() -> None:
    assert unpack(pack(5, ONE, "this boot"), "this boot") == (5, ONE)
    assert unpack(pack(5, ONE, "the one before"), "this boot") is None


@given(st.binary(max_size=200))
def test_any_bytes_are_no_ledger(data: bytes) -> None:
    assert unpack(data) is None


@given(st.integers(0, 400), st.integers(1, 255))
def test_one_damaged_byte_is_seen(position: int, flip: int) -> None:
    data = bytearray(pack(5, ONE))
    data[position % len(data)] ^= flip
    assert unpack(bytes(data)) is None


@given(st.integers(0, 400))
def test_a_cut_is_seen(length: int) -> None:
    data = pack(5, ONE)
    assert unpack(data[: length % len(data)]) is None


def test_a_body_of_another_shape_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipvs_proc.ledger.json.dumps", lambda *_, **__: '{"owned": [[1]]}')
    data = pack(1, ONE)
    monkeypatch.undo()
    assert unpack(data) is None


@pytest.fixture
def close_later() -> Iterator[list[Ledger]]:
    ledgers: list[Ledger] = []
    yield ledgers
    for ledger in ledgers:
        for _, fd in ledger.descriptors():
            os.close(fd)


def test_survives_processes(tmp_path: Path, close_later: list[Ledger]) -> None:
    first, inherited = Ledger.open(tmp_path, {})
    close_later.append(first)
    assert not inherited
    assert first.entries == Entries()
    for content in (ONE, TWO, ONE, TWO):
        assert first.write(content)
    second, _ = Ledger.open(tmp_path, {})
    close_later.append(second)
    assert second.entries == TWO


def test_a_write_killed_half_way_leaves_the_one_before(tmp_path: Path, close_later: list[Ledger]) -> None:
    first, _ = Ledger.open(tmp_path, {})
    close_later.append(first)
    first.write(ONE)
    first.write(TWO)
    newest = tmp_path / NAMES[2 % 2]  # the second write of two
    newest.write_bytes(newest.read_bytes()[:-3])
    second, _ = Ledger.open(tmp_path, {})
    close_later.append(second)
    assert second.entries == ONE
    assert second.write(TWO)
    third, _ = Ledger.open(tmp_path, {})
    close_later.append(third)
    assert third.entries == TWO


def test_kept_descriptors_are_used(tmp_path: Path, close_later: list[Ledger]) -> None:
    first, _ = Ledger.open(tmp_path, {})
    close_later.append(first)
    first.write(ONE)
    second, inherited = Ledger.open(tmp_path / "not there", dict(first.descriptors()))
    assert inherited
    assert second.entries == ONE


def test_where_nothing_can_be_written_memory_takes_its_place(
    tmp_path: Path, close_later: list[Ledger]
) -> None:
    ledger, _ = Ledger.open(tmp_path / "missing", {})
    close_later.append(ledger)
    assert "cannot write" in ledger.problem
    assert str(tmp_path / "missing") in ledger.problem
    assert ledger.write(ONE)
    heir, _ = Ledger.open(tmp_path / "missing", dict(ledger.descriptors()))
    assert heir.entries == ONE


def test_a_write_that_fails_is_said_and_the_content_stays(
    tmp_path: Path, close_later: list[Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, _ = Ledger.open(tmp_path, {})
    close_later.append(ledger)
    ledger.write(ONE)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ipvs_proc.ledger.os.pwrite", full)
    assert not ledger.write(TWO)
    assert "No space left on device" in ledger.problem
    assert ledger.entries == ONE
    monkeypatch.undo()
    assert ledger.write(TWO)
    assert ledger.problem == ""
