"""A publisher, a broker and readers with everything that can go wrong between them, in virtual time.

The real outbox, broker and replica; the pipes between them are lists from which a seeded generator
takes away what a dying process or a full queue would. Every record and event is unique, so that what a
reader was told can be compared with what was said.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from typing import Any

from bus.broker import Broker, Frames
from bus.envelope import Change, decode, decode_beat, decode_head, decode_part, parse_topic, snapshot_topic
from bus.messages import HealthChanged, Message
from bus.outbox import Outbox
from bus.replica import Ask, Changed, EventHappened, Gap, Removed, Snapshot, StreamReplica, Update
from tests.unit.bus.talk import check

ROLE = "checker"
KEYS = [f"check-{number}" for number in range(6)]
Identity = tuple[int, int]
"""(incarnation, number)"""


class Reader:
    """A replica behind a pipe that loses."""

    def __init__(self, world: World, name: str, stream: str) -> None:
        self.world = world
        self.stream = stream
        self.replica = StreamReplica(stream, nonce_prefix=name)
        self.pipe: deque[Frames] = deque()
        self.subscribed: set[bytes] = set()
        self.updates: list[Update] = []
        self.told: list[Identity] = []
        """Every change that came as Changed or EventHappened."""
        self.lost = 0
        self.unknowable = 0
        self.first: set[Identity] | None = None
        self.mirror: dict[str, Message] = {}
        """The records as one who only follows the updates has them."""
        self.replica.start(world.now)
        self.requests()

    def requests(self) -> None:
        for request in self.replica.requests:
            topic = snapshot_topic(request.stream, request.nonce)
            if isinstance(request, Ask):
                if request.instead_of is not None:
                    self.subscribed.discard(snapshot_topic(request.stream, request.instead_of))
                self.subscribed.add(topic)
                self.world.ask(self, topic)
            else:
                self.subscribed.discard(topic)
        self.replica.requests.clear()

    def deliver(self, frames: Frames) -> None:
        topic = parse_topic(frames[0])
        assert topic is not None
        if topic[1] == self.stream and (topic[0] != "snap" or frames[0] in self.subscribed):
            self.pipe.append(frames)

    def read(self, count: int) -> None:
        now = self.world.now
        for _ in range(min(count, len(self.pipe))):
            topic, *rest = self.pipe.popleft()
            found = parse_topic(topic)
            assert found is not None
            if found[0] == "stream":
                self.take(self.replica.receive(decode_head(rest[0]), rest[1], now))
            elif found[0] == "beat":
                self.take(self.replica.beat(decode_beat(rest[0]), now))
            else:
                self.take(self.replica.snapshot(found[2], decode_part(rest[0]), now))
            self.requests()

    def tick(self) -> None:
        if not self.pipe:
            self.take(self.replica.tick(self.world.now))
            self.requests()

    def take(self, updates: list[Update]) -> None:
        self.updates += updates
        for update in updates:
            if isinstance(update, Snapshot):
                assert self.first is None, "a second snapshot"
                self.first = {(record.incarnation, record.number) for record in update.records}
                self.mirror = {record.key: record.message for record in update.records if record.key}
            elif isinstance(update, Changed):
                self.told.append((update.record.incarnation, update.record.number))
                self.mirror[update.record.key] = update.record.message
            elif isinstance(update, EventHappened):
                self.told.append((update.record.incarnation, update.record.number))
            elif isinstance(update, Removed):
                del self.mirror[update.record.key]
            elif isinstance(update, Gap):
                if update.lost is None:
                    self.unknowable += 1
                else:
                    assert update.lost > 0
                    self.lost += update.lost


class World:
    """One publisher, one broker, some readers."""

    def __init__(self, seed: int, *, deletions: bool = True, events_kept: int = 1024) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.deletions = deletions
        self.events_kept = events_kept
        self.epoch = 1
        self.incarnation = 1
        self.said = 0
        self.broker = self._new_broker()
        self.outbox = Outbox(role=ROLE, incarnation=1, events_kept=events_kept)
        self.pipe: deque[bytes] = deque()
        self.to_announce = True
        self.readers: list[Reader] = []
        self.heard: dict[str, set[Identity]] = {"s.checker": set(), "e.checker": set()}
        """What some broker has passed on, or should have, while the publisher's set was complete there."""

    def _new_broker(self) -> Broker:
        broker = Broker(roles=[ROLE])
        broker.start_epoch(self.epoch, self.now)
        return broker

    def join(self, stream: str) -> Reader:
        reader = Reader(self, f"r{len(self.readers)}", stream)
        self.readers.append(reader)
        return reader

    def ask(self, reader: Reader, topic: bytes) -> None:
        for frames in self.broker.subscribed(b"\x01" + topic, self.now):
            reader.deliver(frames)

    # --- what happens --------------------------------------------------------------------------------

    def speak(self) -> None:
        self.said += 1
        key = self.rng.choice(KEYS)
        stamp: dict[str, Any] = {"at": self.now, "wall_at": self.now, "generation": 1}
        choice = self.rng.random()
        if choice < 0.4:
            self.outbox.event(
                HealthChanged(
                    check_id=key,
                    virtual_server="v",
                    real_server="r",
                    check_kind="TCP_CHECK",
                    up=True,
                    reason=str(self.said),
                ),
                **stamp,
            )
        elif choice < 0.5 and self.deletions:
            self.outbox.delete_state("s.checker", key, **stamp)
        else:
            self.outbox.set_state(dataclasses.replace(check(key), attempts_failed=self.said), **stamp)

    def send(self, count: int) -> None:
        if self.to_announce:
            self.to_announce = False
            self.outbox.announce(self.epoch)
        for _ in range(count):
            message = self.outbox.peek(self.now)
            if message is None or len(self.pipe) >= 20:
                return
            self.pipe.append(message)
            self.outbox.pop()

    def work(self, count: int) -> None:
        for _ in range(min(count, len(self.pipe))):
            data = self.pipe.popleft()
            self._publish(self.broker.receive(ROLE, data, self.now))
            change = decode(data)
            if isinstance(change, Change) and change.incarnation == self.incarnation:
                owner = self.broker.status(change.stream, self.now).owners.get(ROLE)
                if owner is not None and not owner.open and owner.incarnation == change.incarnation:
                    self.heard[change.stream].add((change.incarnation, change.number))

    def _publish(self, messages: list[Frames]) -> None:
        for frames in messages:
            for reader in self.readers:
                reader.deliver(frames)

    def beat(self) -> None:
        self.now += self.rng.choice([0.05, 0.3, 1.1])
        self._publish(self.broker.tick(self.now))
        for reader in self.readers:
            reader.tick()

    def kill_broker(self) -> None:
        """It takes along what it had read, and what readers had not been sent yet."""
        for _ in range(self.rng.randint(0, len(self.pipe))):
            self.pipe.popleft()
        for reader in self.readers:
            for _ in range(self.rng.randint(0, len(reader.pipe))):
                reader.pipe.pop()
        self.epoch += 1
        self.broker = self._new_broker()
        self.to_announce = True
        for reader in self.readers:
            for topic in sorted(reader.subscribed):
                self.ask(reader, topic)

    def kill_publisher(self) -> None:
        """It takes along what libzmq had not written yet; its successor knows some of its records."""
        for _ in range(self.rng.randint(0, len(self.pipe))):
            self.pipe.pop()
        while self.pipe:
            self.work(1)
        self.incarnation += 1
        self.outbox = Outbox(role=ROLE, incarnation=self.incarnation, events_kept=self.events_kept)
        for _ in range(3):
            self.speak()
        self.to_announce = True

    def lose(self, reader: Reader) -> None:
        """Its queue was full for a while."""
        if reader.pipe:
            start = self.rng.randrange(len(reader.pipe))
            for _ in range(self.rng.randint(1, 8)):
                if start < len(reader.pipe):
                    del reader.pipe[start]

    def settle(self) -> None:
        """Nothing bad happens any more and everything is read."""
        for _ in range(40):
            self.send(10_000)
            self.work(10_000)
            self.now += 1.0
            self._publish(self.broker.tick(self.now))
            for reader in self.readers:
                reader.read(10_000)
                reader.tick()

    def step(self, *, broker_dies: float = 0.01, publisher_dies: float = 0.01, loss: float = 0.05) -> None:
        """One random thing."""
        rng = self.rng
        choice = rng.random()
        if choice < broker_dies:
            self.kill_broker()
        elif choice < broker_dies + publisher_dies:
            self.kill_publisher()
        elif choice < broker_dies + publisher_dies + loss:
            self.lose(rng.choice(self.readers))
        else:
            for _ in range(rng.randint(0, 3)):
                self.speak()
            rng.choice([self.send, self.work])(rng.randint(1, 6))
            rng.choice(self.readers).read(rng.randint(0, 12))
            if rng.random() < 0.2:
                self.beat()

    def truth(self) -> dict[str, Message]:
        return {key: row.record for key, row in self.outbox._rows.items()}
