"""The broker's mind: who may say what, numbering, last values, announcements, snapshots, beats."""

from __future__ import annotations

from typing import Any

import pytest

from bus.broker import EVENTS_REPLAYED, Broker, Frames, RefusedError
from bus.envelope import (
    STREAMS,
    Begin,
    Change,
    End,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotRows,
    decode,
    decode_beat,
    decode_head,
    decode_part,
    encode,
    snapshot_topic,
)
from bus.messages import HealthChanged, IpvsStatus
from bus.outbox import Outbox
from tests.unit.bus.talk import check, said, say, transition


def opened(*roles: str) -> Broker:
    broker = Broker(roles=roles)
    broker.start_epoch(7, 100.0)
    return broker


def announced(outbox: Outbox, epoch: int = 7, now: float = 100.0) -> list[bytes]:
    outbox.announce(epoch)
    return said(outbox, now)


def deliver(broker: Broker, messages: list[bytes], role: str = "checker", now: float = 100.0) -> list[Frames]:
    return [frames for data in messages for frames in broker.receive(role, data, now)]


def rows_of(broker: Broker, stream: str) -> dict[str, Any]:
    frames = broker.subscribed(b"\x01" + snapshot_topic(stream, "n"), 100.0)
    parts = [decode_part(body) for _, body in frames]
    assert isinstance(parts[0], SnapshotBegin)
    assert isinstance(parts[-1], SnapshotEnd)
    rows = [row for part in parts[1:-1] if isinstance(part, SnapshotRows) for row in part.rows]
    assert parts[0].rows == parts[-1].rows == len(rows)
    changes = [decode(data) for _, data in rows]
    return {change.key or str(change.number): change for change in changes if isinstance(change, Change)}


def test_revisions_are_without_holes_and_bytes_pass_unchanged() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    say(outbox, check("a"), check("b"))
    sent = announced(outbox)
    out = [frames for frames in deliver(broker, sent) if frames[0] == b"s.checker"]
    assert [decode_head(head).rev for _, head, _ in out] == [1, 2, 3, 4]  # begin, two rows, end
    assert {decode_head(head).epoch for _, head, _ in out} == {7}
    assert [data for _, _, data in out] == sent


def test_nothing_counts_before_the_announcement_of_this_epoch() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    say(outbox, check("a"))
    assert deliver(broker, announced(outbox, epoch=6)) == []
    say(outbox, check("b"))
    assert deliver(broker, said(outbox)) == []
    assert rows_of(broker, "s.checker") == {}
    assert broker.status("s.checker", 100.0).missing == ("checker",)
    assert deliver(broker, announced(outbox, epoch=7)) != []
    assert rows_of(broker, "s.checker").keys() == {"a", "b"}
    assert broker.status("s.checker", 100.0).missing == ()


def test_an_incarnation_0_has_to_announce_as_well() -> None:
    broker = opened("checker")
    assert broker.receive("checker", forged(incarnation=0), 100.0) == []
    assert rows_of(broker, "s.checker") == {}


def test_what_a_successor_does_not_announce_becomes_a_tombstone() -> None:
    broker = opened("checker")
    first, second = Outbox(role="checker", incarnation=1), Outbox(role="checker", incarnation=2)
    say(first, check("a"), check("b"))
    deliver(broker, announced(first))
    say(second, check("b"))
    out = deliver(broker, announced(second))
    told = [decode(data) for topic, _, data in out if topic == b"s.checker"]
    kinds = [told_.op if isinstance(told_, Change) else type(told_).__name__ for told_ in told]
    assert kinds == ["Begin", "set", "del", "End"]
    assert isinstance(told[2], Change)
    assert (told[2].key, told[2].number) == ("a", 0)
    assert rows_of(broker, "s.checker").keys() == {"b"}
    say(first, check("a", up=False))
    assert deliver(broker, said(first)) == []  # the dead incarnation's last words come too late
    assert broker.status("s.checker", 100.0).owners["checker"].former == ((1, 2, True),)


def test_a_predecessor_cannot_announce() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    outbox.announce(7)
    for data in said(outbox):
        assert broker.receive("checker", data, 100.0, present=False) == []


def test_rows_stay_until_the_successor_has_announced_its_whole_set() -> None:
    broker = opened("checker")
    first, second = Outbox(role="checker", incarnation=1), Outbox(role="checker", incarnation=2)
    say(first, check("a"), check("b"))
    deliver(broker, announced(first))
    say(second, check("b"))
    deliver(broker, announced(second)[:-1])
    assert rows_of(broker, "s.checker").keys() == {"a", "b"}
    assert broker.status("s.checker", 100.0).missing == ("checker",)


def test_the_same_announcement_again_tells_readers_only_where_it_begins_and_ends() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    say(outbox, check("a"))
    outbox.event(HEALTH, at=1.0, wall_at=1.0, generation=1)
    deliver(broker, announced(outbox))
    out = deliver(broker, announced(outbox))
    assert [type(decode(data)) for _, _, data in out] == [Begin, Begin, End, End]


HEALTH = HealthChanged(
    check_id="a", virtual_server="v", real_server="r", check_kind="TCP_CHECK", up=True, reason="connected"
)


def forged(**changes: object) -> bytes:
    fields: dict[str, Any] = {
        "op": "set", "publisher": "checker", "incarnation": 1, "stream": "s.checker", "number": 9, "key": "a",
        "at": 1.0, "wall_at": 1.0, "generation": 1, "message": check("a"),
    }  # fmt: skip
    return encode(Change(**(fields | changes)))


STATUS = IpvsStatus(available=True, reason="", kernel_version=None, services=0, servers=0, repairs=0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (forged(publisher="vrrp"), "does not publish check"),
        (forged(publisher="vrrp", stream="e.vrrp", op="event", message=transition(1)), "claims to be vrrp"),
        (forged(stream="s.vrrp"), "publishes on s.vrrp"),
        (
            forged(stream="e.vrrp", op="event", message=transition(1)),
            "not publish vrrp_transition",
        ),
        (forged(stream="s.ipvs", key="ipvs", message=STATUS), "does not publish ipvs_status"),
        (forged(stream="e.checker"), "op set on stream e.checker"),
        (forged(key="other"), "key is not that of the check"),
        (forged(op="del", stream="s.vrrp", message=None), "publishes on s.vrrp"),
        (encode(End(publisher="vrrp", incarnation=1, epoch=7, rows=0, last={})), "claims to be vrrp"),
        (encode(End(publisher="checker", incarnation=1, epoch=7, rows=3, last={})), None),
        (b"", "not msgpack"),
        (b"\x00" * 70_000, "at most"),
    ],
)
def test_what_a_role_may_not_say_is_refused(data: bytes, why: str | None) -> None:
    broker, outbox = opened("checker", "vrrp", "ipvs"), Outbox(role="checker", incarnation=1)
    say(outbox, check("a"))
    deliver(broker, announced(outbox))
    before = [broker.status(stream, 100.0) for stream in STREAMS]
    if why is None:
        assert broker.receive("checker", data, 100.0) == []  # an END without a BEGIN says nothing
    else:
        with pytest.raises(RefusedError, match=why):
            broker.receive("checker", data, 100.0)
    assert [broker.status(stream, 100.0) for stream in STREAMS] == before


def test_a_role_that_nobody_named_is_refused() -> None:
    with pytest.raises(RefusedError, match="not named"):
        opened("vrrp").receive("checker", forged(), 100.0)


def test_an_announcement_with_a_wrong_count_stays_open_and_is_told() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    say(outbox, check("a"), check("b"))
    messages = announced(outbox)
    del messages[1]
    deliver(broker, messages[:-1])
    with pytest.raises(RefusedError, match="2 records, of which 1"):
        broker.receive("checker", messages[-1], 100.0)
    assert broker.status("s.checker", 100.0).missing == ("checker",)


def test_deleting_and_old_numbers() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    say(outbox, check("a"), check("b"))
    deliver(broker, announced(outbox))
    say(outbox, check("a", up=False))
    update = said(outbox)
    outbox.delete_state("s.checker", "a", at=1.0, wall_at=1.0, generation=1)
    assert len(deliver(broker, update + said(outbox))) == 2
    assert rows_of(broker, "s.checker").keys() == {"b"}
    assert deliver(broker, update) == []
    assert rows_of(broker, "s.checker").keys() == {"b"}


def test_recent_events_are_replayed_and_bounded() -> None:
    broker, outbox = opened("vrrp"), Outbox(role="vrrp", incarnation=1, events_kept=5000)
    outbox.announce(7)
    for number in range(EVENTS_REPLAYED + 10):
        outbox.event(transition(number), at=1.0, wall_at=1.0, generation=1)
    deliver(broker, said(outbox), role="vrrp")
    numbers = [int(key) for key in rows_of(broker, "e.vrrp")]
    assert numbers == list(range(11, EVENTS_REPLAYED + 11))


@pytest.mark.parametrize(
    "message",
    [
        b"\x00" + snapshot_topic("s.vrrp", "n"),
        b"\x01s.vrrp",
        b"\x01snap.s.nothing.n",
        b"\x01snap.s.vrrp.",
        b"\x01snap.s.vrrp.a b",
        b"\x01snap.s.vrrp." + b"n" * 65,
        b"\x01",
        b"",
    ],
)
def test_only_a_well_formed_request_is_answered(message: bytes) -> None:
    assert opened("vrrp").subscribed(message, 100.0) == []


def test_large_snapshots_come_in_parts() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    say(outbox, *(check(str(number)) for number in range(600)))
    deliver(broker, announced(outbox))
    frames = broker.subscribed(b"\x01snap.s.checker.n", 100.0)
    assert len(frames) > 4
    assert all(len(body) < 60_000 for _, body in frames)
    assert len(rows_of(broker, "s.checker")) == 600


def test_beats_tell_revision_owner_and_silence() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=3)
    deliver(broker, announced(outbox), now=100.0)
    assert broker.next_deadline == 100.0
    beats = {frames[0]: decode_beat(frames[1]) for frames in broker.tick(100.4)}
    assert beats.keys() == {f"beat.{stream}".encode() for stream in STREAMS}
    beat = beats[b"beat.s.checker"]
    assert (beat.epoch, beat.rev, beat.missing) == (7, 2, ())
    assert beat.owners["checker"].incarnation == 3
    assert beat.owners["checker"].silent_s == pytest.approx(0.4)
    assert broker.tick(101.3) == []
    assert len(broker.tick(101.4)) == len(STREAMS)


def test_the_brokers_own_stall_is_nobodys_silence() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=3)
    deliver(broker, announced(outbox), now=100.0)
    broker.tick(100.0)
    broker.tick(131.0)  # stopped for 30 s
    assert broker.status("s.checker", 131.0).owners["checker"].silent_s == pytest.approx(1.0)


def test_a_new_epoch_forgets_everything_and_asks_everybody() -> None:
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    say(outbox, check("a"))
    deliver(broker, announced(outbox))
    broker.start_epoch(8, 200.0)
    assert rows_of(broker, "s.checker") == {}
    status = broker.status("s.checker", 200.0)
    assert (status.epoch, status.rev, status.missing, status.owners) == (8, 0, ("checker",), {})


def test_a_mad_publisher_cannot_fill_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.broker.MAX_ROWS", 3)
    broker, outbox = opened("checker"), Outbox(role="checker", incarnation=1)
    outbox.announce(7)
    deliver(broker, said(outbox))
    say(outbox, *(check(str(number)) for number in range(4)))
    messages = said(outbox)
    deliver(broker, messages[:3])
    with pytest.raises(RefusedError, match="more than 3 records"):
        broker.receive("checker", messages[3], 100.0)
    assert len(rows_of(broker, "s.checker")) == 3


def test_streams_are_no_prefixes_of_each_other() -> None:
    assert not [(a, b) for a in STREAMS for b in STREAMS if a != b and b.startswith(a)]
