"""Records, fence slots and undo bytes of virtual routers across incarnations."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_interface

import pytest

from keepalived_conf.model import UnicastPeer, VirtualAddress
from tests.unit.vrrp import build
from vrrp_proc import netlink, undo
from vrrp_proc.boxes import Ledger, Trailer
from vrrp_proc.record import Fence, RecordState, ResumeRecord, digest_name
from worker.blackbox import BlackBox, BoxError
from worker.undo import Packet

FENCE = Fence(deadline_at=50.0, prio0_until_at=51.0)


@pytest.fixture
def box() -> Iterator[BlackBox]:
    fd = BlackBox.create("vrrp", slots=8, records=8, ring=16, undo_bytes=1 << 16)
    made = BlackBox.attach(fd)
    os.close(fd)
    yield made
    made.close()


def _record(name: str, state: RecordState = RecordState.MASTER) -> ResumeRecord:
    return ResumeRecord(
        state=state,
        name_digest=digest_name(name),
        generation=3,
        family=4,
        version=3,
        virtual_router_id=51,
        priority=100,
        base_priority=100,
        advert_int_cs=100,
        down_timer_adverts=3,
        preempt=True,
        preempt_delay_s=0.0,
        addresses_digest=b"12345678",
        ifindex=2,
        local_address=IPv4Address("192.0.2.1"),
        saved_at=10.0,
        since_at=5.0,
        master_interval_cs=100,
    )


def test_what_one_incarnation_saves_the_next_one_takes(box: BlackBox) -> None:
    first = Ledger(box)
    slots = {name: first.allocate() for name in ("A", "B")}
    assert slots == {"A": 0, "B": 1}
    trailer = Trailer(7, 1234.5, 0.25)
    first.set_undo(1, b"undo of B")
    first.save(1, _record("B"), FENCE, trailer)
    second = Ledger(box)
    assert second.take("A") is None
    entry = second.take("B")
    assert entry is not None
    assert (entry.slot, entry.record, entry.trailer, entry.undo) == (1, _record("B"), trailer, b"undo of B")
    assert second.guarded(1)
    assert second.take("B") is None
    assert second.allocate() == 0


def test_fence_is_moved_and_taken_off(box: BlackBox) -> None:
    ledger = Ledger(box)
    slot = ledger.allocate()
    ledger.save(slot, _record("A"), FENCE, Trailer())
    assert (box.fence(slot).deadline_at, box.fence(slot).prio0_until_at) == (50.0, 51.0)
    ledger.save(slot, _record("A"), Fence(deadline_at=60.0, prio0_until_at=0.0), Trailer())
    assert (box.fence(slot).deadline_at, box.fence(slot).prio0_until_at) == (60.0, 0.0)
    ledger.save(slot, _record("A", RecordState.BACKUP), None, Trailer())
    assert not box.fence(slot).active


def test_a_mastership_is_armed_before_and_disarmed_after_its_record() -> None:
    calls: list[str] = []

    class Recorder:
        slots = records = 1

        def read(self, _index: int) -> None:
            return None

        def arm(self, *_: object) -> None:
            calls.append("arm")

        def write(self, *_: object) -> None:
            calls.append("write")

        def disarm(self, *_: object) -> None:
            calls.append("disarm")

        def fence(self, _slot: int) -> object:
            return type("Slot", (), {"active": True})()

    ledger = Ledger(Recorder())  # type: ignore[arg-type]
    ledger.save(0, _record("A"), FENCE, Trailer())
    ledger.save(0, _record("A", RecordState.BACKUP), None, Trailer())
    assert calls == ["arm", "write", "write", "disarm"]


def test_released_slot_is_free_for_the_next_incarnation(box: BlackBox) -> None:
    ledger = Ledger(box)
    for name in ("A", "B"):
        ledger.save(ledger.allocate(), _record(name), FENCE, Trailer())
    ledger.release(0)
    again = Ledger(box)
    assert again.take("A") is None
    assert again.take("B") is not None
    assert again.allocate() == 0
    assert not box.fence(0).active


def test_instances_nobody_takes_are_orphans(box: BlackBox) -> None:
    ledger = Ledger(box)
    for name in ("A", "B"):
        slot = ledger.allocate()
        ledger.set_undo(slot, name.encode())
        ledger.save(slot, _record(name), FENCE, Trailer())
    again = Ledger(box)
    again.take("A")
    (orphan,) = again.orphans()
    assert (orphan.slot, orphan.undo, orphan.fence.active) == (1, b"B", True)
    again.forget_orphan(orphan)
    assert again.orphans() == []
    assert Ledger(box).orphans()[0].undo == b"A"


def test_damaged_record_is_said_and_its_mastership_still_undone(box: BlackBox) -> None:
    box.write(0, b"no record")
    box.set_undo(0, b"undo")
    box.arm(0, 1.0, 2.0)
    ledger = Ledger(box)
    assert len(ledger.damaged) == 1
    assert "record 0" in ledger.damaged[0]
    (orphan,) = ledger.orphans()
    assert orphan.undo == b"undo"
    assert ledger.allocate() == 1  # not the slot that is still to be undone


def test_full_box_says_so(box: BlackBox) -> None:
    ledger = Ledger(box)
    for _slot in range(8):
        ledger.allocate()
    with pytest.raises(BoxError, match="all 8 slots"):
        ledger.allocate()


def test_without_a_box_everything_is_a_fresh_start() -> None:
    ledger = Ledger(None)
    slot = ledger.allocate()
    ledger.set_undo(slot, b"x")
    ledger.save(slot, _record("A"), FENCE, Trailer())
    ledger.log(b"note")
    assert ledger.take("A") is None
    assert ledger.orphans() == []


def test_undo_bytes_are_the_ledger_of_addresses() -> None:
    vips = [VirtualAddress(interface=ip_interface(f"192.0.2.{n}/24"), dev="e0") for n in (1, 2)]
    requests = [netlink.delete_address(vip, 4) for vip in vips]
    release = Packet(
        ifindex=4,
        protocol=112,
        source=IPv4Address("192.0.2.1"),
        destination=IPv4Address("224.0.0.18"),
        ttl=255,
        tos=0xC0,
        payload=b"12345678",
    )
    data = undo.encode([release], requests)
    assert undo.deletions(data) == requests
    assert undo.deletions(undo.encode([release], [])) == []
    assert undo.deletions(data[:-1]) == []
    assert undo.deletions(b"") == []


def test_a_router_under_a_new_name_takes_its_record(box: BlackBox) -> None:
    first = Ledger(box)
    first.save(first.allocate(), _record("A"), FENCE, Trailer())
    other = build.config(name="B", virtual_router_id=52)
    same = build.config(name="B", virtual_router_id=51)
    elsewhere = build.config(
        name="B",
        virtual_router_id=51,
        unicast_peers=(UnicastPeer(address=IPv4Address("192.0.2.9")),),
        source_address=IPv4Address("192.0.2.7"),
    )
    second = Ledger(box)
    assert second.take_renamed(other, 2) is None
    assert second.take_renamed(same, 3) is None
    assert second.take_renamed(elsewhere, 2) is None
    entry = second.take_renamed(same, 2)
    assert entry is not None
    assert entry.record == dataclasses.replace(_record("A"), name_digest=digest_name("B"))
    assert second.orphans() == []
