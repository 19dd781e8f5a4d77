"""A reader's copy, against every interleaving of loss, restarts and resynchronisation."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bus.envelope import Owner, SnapshotBegin, SnapshotEnd, StreamStatus
from bus.replica import (
    Announced,
    Ask,
    EventHappened,
    Fresh,
    Gap,
    Snapshot,
    Stale,
    StreamReplica,
    Update,
)
from tests.unit.bus.world import World


def run(world: World, steps: int, **odds: float) -> None:
    readers = [world.join("s.checker"), world.join("e.checker")]
    for _ in range(5):
        world.speak()
    world.settle()
    assert all(reader.first is not None for reader in readers)
    for _ in range(steps):
        world.step(**odds)
    world.settle()


@pytest.mark.parametrize("block", range(4))
def test_any_history_ends_in_the_true_state_and_nothing_comes_twice(block: int) -> None:
    for seed in range(block * 12, block * 12 + 12):
        world = World(seed)
        run(world, 120)
        late = [world.join("s.checker"), world.join("e.checker")]
        for _ in range(40):
            world.step()
        world.settle()
        for reader in world.readers:
            assert reader.replica.live, seed
            assert len(reader.told) == len(set(reader.told)), f"seed {seed}: applied twice"
            assert reader.first is not None, seed
            assert not reader.first & set(reader.told), f"seed {seed}: told again after the snapshot"
            if reader.stream == "s.checker":
                rows = {key: record.message for key, record in reader.replica.rows.items()}
                assert rows == world.truth(), f"seed {seed}"
                assert reader.mirror == rows, f"seed {seed}: the updates tell another story"
        assert late[0].replica.missing == (), seed


@pytest.mark.parametrize("stream", ["s.checker", "e.checker"])
def test_every_gap_is_reported_exactly_and_none_is_false(stream: str) -> None:
    """With one incarnation everything can be known: told + lost = said, whatever the broker goes through."""
    gaps = 0
    for seed in range(40):
        world = World(seed, deletions=False, events_kept=8)
        run(world, 150, publisher_dies=0.0, broker_dies=0.02)
        reader = next(reader for reader in world.readers if reader.stream == stream)
        assert reader.first is not None
        last = world.outbox.last_numbers[stream]
        baseline = max((number for _, number in reader.first), default=0)
        told = {number for _, number in reader.told}
        missed = set(range(baseline + 1, last + 1)) - told
        assert reader.unknowable == 0, seed
        assert reader.lost == len(missed), f"seed {seed}: lost {sorted(missed)}, reported {reader.lost}"
        gaps += bool(reader.lost)
    assert gaps > 13  # the histories are not harmless


def test_restarts_of_the_publisher_are_accounted_for_as_far_as_can_be_known() -> None:
    for seed in range(40):
        world = World(seed, deletions=False)
        run(world, 150, publisher_dies=0.03, broker_dies=0.0, loss=0.1)
        reader = next(reader for reader in world.readers if reader.stream == "e.checker")
        assert reader.first is not None
        missed = world.heard["e.checker"] - set(reader.told) - reader.first
        assert reader.unknowable == 0, seed
        assert reader.lost >= len(missed), f"seed {seed}: missed {sorted(missed)}, reported {reader.lost}"


def test_without_loss_there_is_no_gap_whoever_restarts() -> None:
    for seed in range(30):
        world = World(seed)
        readers = [world.join("s.checker"), world.join("e.checker")]
        world.settle()
        for _ in range(100):
            world.step(loss=0.0, broker_dies=0.0, publisher_dies=0.03)
        world.settle()
        assert [(reader.lost, reader.unknowable) for reader in readers] == [(0, 0), (0, 0)], seed


def test_a_quiet_restart_of_the_broker_tells_a_follower_nothing() -> None:
    world = World(1)
    reader = world.join("s.checker")
    events = world.join("e.checker")
    for _ in range(20):
        world.speak()
    world.settle()
    before = len(reader.updates), len(events.updates)
    world.kill_broker()
    world.settle()
    assert {type(update) for update in reader.updates[before[0] :]} == {Announced}
    assert {type(update) for update in events.updates[before[1] :]} == {Announced}


def test_records_survive_a_broker_that_does_not_know_them_yet() -> None:
    world = World(2)
    reader = world.join("s.checker")
    for _ in range(20):
        world.speak()
    world.settle()
    known = dict(reader.mirror)
    assert known
    world.kill_broker()
    for _ in range(5):  # the publisher has not announced yet
        world.beat()
        reader.read(1000)
    assert reader.replica.live
    assert reader.replica.missing == ("checker",)
    assert reader.mirror == known


def test_an_unlucky_snapshot_is_asked_for_again() -> None:
    world = World(3)
    for _ in range(20):
        world.speak()
    world.settle()
    reader = world.join("s.checker")
    parts = [frames for frames in reader.pipe if frames[0].startswith(b"snap.")]
    assert len(parts) == 3
    reader.pipe.remove(parts[1])
    reader.read(1000)
    assert reader.first is None
    world.settle()
    assert reader.mirror == world.truth()


def test_the_first_picture_of_events_is_the_recent_past() -> None:
    world = World(4)
    for _ in range(30):
        world.speak()
    world.settle()
    reader = world.join("e.checker")
    world.settle()
    snapshot = next(update for update in reader.updates if isinstance(update, Snapshot))
    assert snapshot.complete
    assert [record.number for record in snapshot.records] == list(range(1, len(snapshot.records) + 1))
    world.speak()
    while not any(isinstance(update, EventHappened) for update in reader.updates):
        world.speak()
        world.settle()
    assert not any(isinstance(update, Gap) for update in reader.updates)


def test_a_lost_tail_is_seen_by_the_beat() -> None:
    world = World(5, deletions=False)
    reader, events = world.join("s.checker"), world.join("e.checker")
    world.settle()
    for _ in range(10):
        world.speak()
    world.send(100)
    world.work(100)
    for one in (reader, events):
        one.pipe.clear()
    assert reader.mirror != world.truth()
    world.settle()
    assert reader.mirror == world.truth()
    assert events.lost == 0  # the events were replayed
    assert len(events.told) == world.outbox.last_numbers["e.checker"]


def test_a_new_epoch_is_seen_by_the_beat_alone() -> None:
    world = World(6)
    reader = world.join("s.checker")
    world.settle()
    world.kill_broker()
    assert reader.subscribed == set()
    world.now += 1.0
    for frames in world.broker.tick(world.now):
        reader.deliver(frames)
    while reader.pipe and not reader.subscribed:
        reader.read(1)
    assert len(reader.subscribed) == 1  # it has asked again


def test_joining_in_the_middle_of_an_announcement_is_no_loss() -> None:
    """The numbers come with holes there: those of values that were replaced long ago."""
    world = World(7, deletions=False)
    world.join("s.checker")
    for _ in range(60):
        world.speak()
        world.send(10)
        world.work(10)
    world.settle()
    world.kill_broker()
    world.send(3)  # BEGIN and two of the records
    world.work(3)
    late = [world.join("s.checker"), world.join("e.checker")]
    for one in late:
        one.read(1000)
        assert one.first is not None
    world.settle()
    assert [(one.lost, one.unknowable) for one in late] == [(0, 0), (0, 0)]
    assert late[0].mirror == world.truth()


def loaded(replica: StreamReplica, standing: StreamStatus, now: float = 1.0) -> list[Update]:
    """An empty snapshot, as the answer to what the replica has asked."""
    [ask] = [request for request in replica.requests if isinstance(request, Ask)][-1:]
    replica.requests.clear()
    replica.snapshot(ask.nonce, SnapshotBegin(status=standing, rows=0), now)
    return replica.snapshot(ask.nonce, SnapshotEnd(rows=0), now)


def standing(
    incarnation: int, last: int, *former: tuple[int, int, bool], epoch: int = 1, rev: int = 9
) -> StreamStatus:
    owner = Owner(incarnation=incarnation, last=last, open=False, silent_s=0.0, former=former)
    return StreamStatus(epoch=epoch, rev=rev, missing=(), owners={"checker": owner})


@pytest.mark.parametrize(
    ("later", "lost"),
    [
        (standing(1, 5, rev=10), 0),
        (standing(1, 8, rev=10), 3),
        (standing(3, 2, (1, 7, True), (2, 4, True), rev=20), 2 + 4 + 2),
        (standing(3, 2, (1, 7, False), (2, 4, False), rev=20), 2 + 4 + 2),
        (standing(3, 2, (2, 4, True), rev=20), None),
        (standing(2, 2, epoch=2), None),
        (standing(2, 2, (1, 6, False), epoch=2), None),
        (standing(2, 0, (1, 6, True), epoch=2), 1),
        (standing(1, 6, epoch=2), 1),
    ],
)
def test_what_an_absence_has_cost(later: StreamStatus, lost: int | None) -> None:
    """Seen up to number 5 of incarnation 1 in epoch 1; then nothing until ``later``."""
    replica = StreamReplica("s.checker", nonce_prefix="n")
    replica.start(0.0)
    loaded(replica, standing(1, 5))
    replica.beat(later, 1.0)
    gaps = [update.lost for update in loaded(replica, later) if isinstance(update, Gap)]
    assert gaps == ([] if lost == 0 else [lost])


def test_an_incarnation_that_dies_in_the_middle_of_its_announcement() -> None:
    """Known from an earlier epoch, nobody can say what it still had to tell; a fresh one had nothing."""
    world = World(8)
    reader = world.join("s.checker")
    for _ in range(20):
        world.speak()
    world.settle()
    world.kill_publisher()
    world.send(2)
    world.work(10)
    reader.read(1000)
    world.kill_publisher()
    world.settle()
    assert (reader.lost, reader.unknowable) == (0, 0)
    world.kill_broker()
    world.send(2)
    world.work(10)
    world.beat()
    reader.read(1000)
    world.kill_publisher()
    world.settle()
    assert reader.unknowable == 1
    assert reader.mirror == world.truth()


def status(silent_s: float, *, epoch: int = 1, owned: bool = True) -> StreamStatus:
    owner = Owner(incarnation=1, last=0, open=False, silent_s=silent_s)
    return StreamStatus(epoch=epoch, rev=0, missing=(), owners={"checker": owner} if owned else {})


def test_a_silent_owner_makes_its_records_stale_and_a_word_makes_them_fresh() -> None:
    replica = StreamReplica("s.checker", nonce_prefix="n", stale_after_s=10.0)
    replica.start(0.0)
    assert replica.beat(status(0.0), 1.0) == []
    assert replica.silent_s("checker", 3.0) == 2.0
    assert replica.beat(status(10.0), 11.0) == []
    assert replica.beat(status(11.0), 12.0) == [Stale(stream="s.checker", publisher="checker", silent_s=11.0)]
    assert replica.beat(status(12.0), 13.0) == []
    assert replica.beat(status(0.5), 14.0) == [Fresh(stream="s.checker", publisher="checker")]


def test_a_silent_bus_is_told_from_a_silent_owner() -> None:
    replica = StreamReplica("s.checker", nonce_prefix="n", stale_after_s=10.0)
    replica.start(0.0)
    replica.beat(status(0.0), 1.0)
    assert replica.tick(11.0) == []
    assert {update.publisher for update in replica.tick(11.5) if isinstance(update, Stale)} == {
        None,
        "checker",
    }
    # A new broker lives, but the owner has still not spoken.
    assert replica.beat(status(0.0, epoch=2, owned=False), 12.0) == [
        Fresh(stream="s.checker", publisher=None)
    ]
    assert replica.silent_s("checker", 12.0) == 11.0


def test_a_bus_that_was_never_there_is_silent_too() -> None:
    replica = StreamReplica("s.checker", nonce_prefix="n")
    replica.start(100.0)
    assert Stale(stream="s.checker", publisher=None, silent_s=10.5) in replica.tick(110.5)


def test_requests_are_repeated_with_growing_patience() -> None:
    replica = StreamReplica("s.checker", nonce_prefix="n")
    replica.start(0.0)
    asked_at = [0.0]
    now = 0.0
    while len(asked_at) < 7:
        now = replica.next_deadline or now
        replica.requests.clear()
        replica.tick(now)
        assert len(replica.requests) == 1
        asked_at.append(now)
    assert [b - a for a, b in pairwise(asked_at)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
