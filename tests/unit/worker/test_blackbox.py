"""The black box: what is written survives a kill at any byte, and never as a mixture."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from pathlib import Path

import pytest

from worker.blackbox import MAX_RECORD_BYTES, BlackBox, BoxError


@pytest.fixture
def box() -> BlackBox:
    fd = BlackBox.create("vrrp", slots=16, records=8, ring=32, undo_bytes=4096)
    found = BlackBox.attach(fd)
    os.close(fd)
    return found


def test_records_return_what_was_written_last(box: BlackBox) -> None:
    assert box.read(3) is None
    for number in range(5):
        box.write(3, bytes([number]) * 100)
    assert box.read(3) == b"\4" * 100
    assert box.read(2) is None


def test_a_damaged_newest_copy_leaves_the_older_one(box: BlackBox) -> None:
    box.write(0, b"old" * 20)
    box.write(0, b"new" * 20)
    at = box._map.find(b"newnew")
    box._map[at + 5] ^= 0xFF
    assert box.read(0) == b"old" * 20


def test_a_larger_box_takes_over_everything(box: BlackBox) -> None:
    for number in range(4):
        box.write(7, bytes([number]) * 10)
        box.set_undo(number, bytes([number]) * 100)
        box.log(bytes([number]))
    box.set_undo(0, b"again")
    box.arm(3, 12.5, 13.5)
    larger, other = (
        BlackBox.attach(BlackBox.create(role, slots=16, records=20, ring=32, undo_bytes=4096))
        for role in ("vrrp", "checker")
    )
    larger.take_over(box)
    assert (larger.records, larger.read(7), larger.read(8), larger.read(19)) == (20, b"\3" * 10, None, None)
    assert (larger.undo(0), larger.undo(2)) == (b"again", b"\2" * 100)
    assert [slot.slot for slot in larger.armed()] == [3]
    assert larger.recorded() == [b"\0", b"\1", b"\2", b"\3"]
    larger.write(19, b"last")
    larger.set_undo(5, b"x" * 3000)
    assert (larger.undo(5), larger.undo(2)) == (b"x" * 3000, b"\2" * 100)
    with pytest.raises(BoxError, match="same role"):
        other.take_over(box)
    with pytest.raises(BoxError, match="fewer records"):
        box.take_over(larger)


def test_every_reader_of_the_file_sees_it(tmp_path: Path) -> None:
    fd = BlackBox.create("vrrp", tmp_path / "box", slots=4, records=4, ring=4, undo_bytes=256)
    one, two = BlackBox.attach(fd), BlackBox.attach(fd)
    one.arm(2, 12.5, 13.5)
    one.write(1, b"record")
    assert [(s.slot, s.deadline_at, s.prio0_until_at) for s in two.armed()] == [(2, 12.5, 13.5)]
    assert two.read(1) == b"record"
    one.disarm(2)
    assert two.armed() == []


def test_undo_bytes_stay_valid_until_replaced(box: BlackBox) -> None:
    box.set_undo(1, b"a" * 1000)
    box.set_undo(2, b"b" * 1000)
    box.set_undo(1, b"c" * 1500)
    assert (box.undo(1), box.undo(2), box.undo(3)) == (b"c" * 1500, b"b" * 1000, b"")
    for number in range(50):  # space of replaced bytes is used again
        box.set_undo(1, bytes([number]) * 900)
    assert box.undo(2) == b"b" * 1000


def test_no_room_is_said_and_changes_nothing(box: BlackBox) -> None:
    box.set_undo(1, b"a" * 3000)
    with pytest.raises(BoxError, match="no room for 3000"):
        box.set_undo(2, b"b" * 3000)
    assert box.undo(1) == b"a" * 3000
    with pytest.raises(BoxError, match="record of 241 bytes"):
        box.write(0, b"x" * (MAX_RECORD_BYTES + 1))
    with pytest.raises(BoxError, match="slot 16 is outside"):
        box.arm(16, 1, 1)


def test_sequence_numbers_wrap(box: BlackBox) -> None:
    box.arm(0, 1.0, 1.0)
    # As after four thousand million adverts: force the newest copy to the last sequence number.
    import zlib

    from worker import blackbox

    at = 64
    crc = zlib.crc32(blackbox._FENCE_BODY.pack(0xFFFFFFFF, True, 2.0, 2.0))
    blackbox._FENCE.pack_into(box._map, at, 0xFFFFFFFF, crc, True, 2.0, 2.0)
    assert box.fence(0).deadline_at == 2.0
    for number in range(3, 6):
        box.arm(0, float(number), float(number))
        assert box.fence(0).deadline_at == float(number)


def test_ring_keeps_the_newest(box: BlackBox) -> None:
    for number in range(100):
        box.log(b"%d" % number)
    assert box.recorded() == [b"%d" % number for number in range(68, 100)]


def test_not_a_box_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\0" * 4096)
    with path.open("r+b") as file, pytest.raises(BoxError, match="not a black box"):
        BlackBox.attach(file.fileno())
    path.write_bytes(b"short")
    with path.open("r+b") as file, pytest.raises(BoxError, match="too short"):
        BlackBox.attach(file.fileno())


def test_a_killed_writer_leaves_whole_records() -> None:
    """SIGKILL at random instants of a busy writer: each record is one that was written, and recent."""
    fd = BlackBox.create("vrrp", slots=4, records=4, ring=16, undo_bytes=1024)
    reader = BlackBox.attach(fd)
    seen = 0
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            box = BlackBox.attach(fd)
            number = seen
            box.arm(1, float(number), float(number))  # what the one before may have had no time for
            while True:
                number += 1
                body = number.to_bytes(8, "big")
                box.write(0, body * 20)
                box.arm(1, float(number), float(number))
        time.sleep(random.uniform(0.002, 0.01))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        record = reader.read(0)
        assert record is not None
        number = int.from_bytes(record[:8], "big")
        assert record == record[:8] * 20
        assert number >= seen
        slot = reader.fence(1)
        assert slot.deadline_at == slot.prio0_until_at
        assert slot.deadline_at in (number, number - 1)
        seen = number
    assert seen > 0


def test_pages_exist_before_they_are_needed(tmp_path: Path) -> None:
    fd = BlackBox.create("vrrp", tmp_path / "box", slots=4, records=4, ring=4, undo_bytes=65536)
    assert os.fstat(fd).st_blocks * 512 >= 65536
    assert os.fstat(fd).st_size % mmap.PAGESIZE >= 0
