"""The broker's mind: who may say what, the numbering of streams, last values, announcements, snapshots.

Pure. Bytes come in by role (the shell has already made sure which process sent them, see ``gate``),
messages to send come out as tuples of frames, in the order in which every reader gets them.
docs/bus.md specifies what readers may rely on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bus.codec import CodecError
from bus.envelope import (
    STREAMS,
    Beat,
    Begin,
    Change,
    End,
    Owner,
    SnapshotBegin,
    SnapshotEnd,
    StreamStatus,
    beat_topic,
    chunks,
    decode,
    encode,
    encode_beat,
    encode_head,
    encode_part,
    event_stream,
    owner_of,
    parse_topic,
    snapshot_topic,
    state_stream,
)

Frames = tuple[bytes, ...]

BEAT_INTERVAL_S = 1.0
MAX_ROWS = 65_536
"""Records of one stream. More than any machine has; a bound on what a mad publisher can make us keep."""
MAX_STREAM_BYTES = 64 * 1024 * 1024
EVENTS_REPLAYED = 1024
EVENT_BYTES_REPLAYED = 512 * 1024
FORMER_KEPT = 8


class RefusedError(Exception):
    """A message that must not be passed on; the text says why."""


@dataclass(slots=True)
class _Row:
    incarnation: int
    number: int
    rev: int
    data: bytes


@dataclass(slots=True)
class _Stream:
    name: str
    rev: int = 0
    last: int = 0
    """Highest number of the owner's present incarnation accounted for."""
    former: list[tuple[int, int, bool]] = field(default_factory=list)
    rows: dict[str, _Row] = field(default_factory=dict)
    events: deque[tuple[int, bytes]] = field(default_factory=deque)
    size: int = 0
    """Bytes kept in rows or events."""


@dataclass(slots=True)
class _Publisher:
    role: str
    incarnation: int = 0
    open: bool = False
    """Between ANNOUNCE-BEGIN and END."""
    complete: bool = False
    announced: set[str] = field(default_factory=set)
    heard_at: float = 0.0


class Broker:
    """State of all streams in one epoch. Not opened until ``start_epoch``."""

    def __init__(self, *, roles: Iterable[str] = ()) -> None:
        self.epoch = 0
        self.passed = 0
        """Messages passed on to readers."""
        self.ignored = 0
        """Genuine messages without news: before the announcement, of a dead incarnation, repeated."""
        self._publishers: dict[str, _Publisher] = {}
        self._streams = {name: _Stream(name) for name in STREAMS}
        self._beat_at: float | None = None
        for role in roles:
            self.expect(role, 0.0)

    def expect(self, role: str, now: float) -> None:
        """The supervisor has named a process for a role: until it has announced, the role is missing."""
        self._publishers.setdefault(role, _Publisher(role, heard_at=now))

    def start_epoch(self, epoch: int, now: float) -> None:
        """Forget everything; publishers will announce. ``epoch`` was minted by the supervisor."""
        self.epoch = epoch
        self._streams = {name: _Stream(name) for name in STREAMS}
        self._publishers = {role: _Publisher(role, heard_at=now) for role in self._publishers}
        self._beat_at = now

    # --- publishers --------------------------------------------------------------------------------

    def receive(self, role: str, data: bytes, now: float, *, present: bool = True) -> list[Frames]:
        """A message from the process that speaks for ``role``.

        ``present``: it came from the process that holds the role now; only such a one may begin an
        announcement. A predecessor's last words are still passed on until its successor begins.
        Raises ``RefusedError`` for anything that is not a well-formed message that the role may publish.
        """
        try:
            envelope = decode(data)
        except CodecError as error:
            raise RefusedError(f"malformed: {error}") from None
        if envelope.publisher != role:
            raise RefusedError(f"claims to be {envelope.publisher}")
        publisher = self._publishers.get(role)
        if publisher is None:
            raise RefusedError("speaks for a role that the supervisor has not named")
        if isinstance(envelope, Change) and owner_of(envelope.stream) != role:
            raise RefusedError(f"publishes on {envelope.stream}")
        if isinstance(envelope, Begin):
            return self._begin(publisher, envelope, data, now) if present else self._ignore()
        if envelope.incarnation != publisher.incarnation:
            return self._ignore()
        publisher.heard_at = now
        if isinstance(envelope, Beat):
            return []
        if not (publisher.open or publisher.complete):
            return self._ignore()
        if isinstance(envelope, End):
            return self._end(publisher, envelope, data)
        stream = self._streams[envelope.stream]
        if envelope.op == "set":
            return self._set(publisher, stream, envelope, data)
        if envelope.number <= stream.last:
            return self._ignore()
        stream.last = envelope.number
        if envelope.op == "event":
            return self._event(stream, data)
        gone = stream.rows.pop(envelope.key, None)
        if gone is not None:
            stream.size -= len(gone.data)
        publisher.announced.discard(envelope.key)
        return [self._say(stream, data)]

    def _begin(self, publisher: _Publisher, begin: Begin, data: bytes, now: float) -> list[Frames]:
        if begin.epoch != self.epoch:
            return self._ignore()
        own = [self._streams[name(publisher.role)] for name in (state_stream, event_stream)]
        if begin.incarnation != publisher.incarnation:
            for stream in own:
                if publisher.complete or publisher.open:
                    end = (publisher.incarnation, stream.last, publisher.complete)
                    stream.former = [*stream.former, end][-FORMER_KEPT:]
                stream.last = 0
        publisher.incarnation = begin.incarnation
        publisher.open, publisher.complete = True, False
        publisher.announced = set()
        publisher.heard_at = now
        return [self._say(stream, data) for stream in own]

    def _set(self, publisher: _Publisher, stream: _Stream, change: Change, data: bytes) -> list[Frames]:
        row = stream.rows.get(change.key)
        if publisher.open:
            if row is not None and (row.incarnation, row.number) == (change.incarnation, change.number):
                publisher.announced.add(change.key)
                return self._ignore()
        elif change.number <= stream.last:
            return self._ignore()
        grown = len(data) - (len(row.data) if row is not None else 0)
        if (row is None and len(stream.rows) >= MAX_ROWS) or stream.size + grown > MAX_STREAM_BYTES:
            raise RefusedError(f"more than {MAX_ROWS} records or {MAX_STREAM_BYTES} bytes on {stream.name}")
        if publisher.open:
            publisher.announced.add(change.key)
        frames = self._say(stream, data)
        stream.size += grown
        stream.last = max(stream.last, change.number)
        stream.rows[change.key] = _Row(change.incarnation, change.number, stream.rev, data)
        return [frames]

    def _event(self, stream: _Stream, data: bytes) -> list[Frames]:
        frames = self._say(stream, data)
        stream.events.append((stream.rev, data))
        stream.size += len(data)
        while len(stream.events) > EVENTS_REPLAYED or stream.size > EVENT_BYTES_REPLAYED:
            stream.size -= len(stream.events.popleft()[1])
        return [frames]

    def _end(self, publisher: _Publisher, end: End, data: bytes) -> list[Frames]:
        if end.epoch != self.epoch or not publisher.open:
            return self._ignore()
        if end.rows != len(publisher.announced):
            raise RefusedError(
                f"announced {end.rows} records, of which {len(publisher.announced)} were accepted"
            )
        states = self._streams[state_stream(publisher.role)]
        out: list[Frames] = []
        for key in [key for key in states.rows if key not in publisher.announced]:
            states.size -= len(states.rows.pop(key).data)
            tombstone = Change(
                op="del",
                publisher=publisher.role,
                incarnation=publisher.incarnation,
                stream=states.name,
                number=0,
                key=key,
                at=publisher.heard_at,
                wall_at=0.0,
                generation=0,
                message=None,
            )
            out.append(self._say(states, encode(tombstone)))
        publisher.open, publisher.complete = False, True
        publisher.announced = set()
        for name in (state_stream(publisher.role), event_stream(publisher.role)):
            stream = self._streams[name]
            stream.last = max(stream.last, end.last.get(name, 0))
            out.append(self._say(stream, data))
        return out

    def _say(self, stream: _Stream, data: bytes) -> Frames:
        stream.rev += 1
        self.passed += 1
        return stream.name.encode(), encode_head(self.epoch, stream.rev), data

    def _ignore(self) -> list[Frames]:
        self.ignored += 1
        return []

    # --- readers -----------------------------------------------------------------------------------

    def subscribed(self, message: bytes, now: float) -> list[Frames]:
        """A subscription message of a reader (0x01 topic): one for a snapshot is answered with it."""
        if message[:1] != b"\x01":
            return []
        topic = parse_topic(message[1:])
        if topic is None or topic[0] != "snap":
            return []
        _, name, nonce = topic
        stream = self._streams[name]
        rows = list(stream.events) or sorted((row.rev, row.data) for row in stream.rows.values())
        address = snapshot_topic(name, nonce)
        begin = SnapshotBegin(status=self.status(name, now), rows=len(rows))
        return [
            (address, encode_part(begin)),
            *((address, encode_part(chunk)) for chunk in chunks(rows)),
            (address, encode_part(SnapshotEnd(rows=len(rows)))),
        ]

    def status(self, name: str, now: float) -> StreamStatus:
        """Where a stream stands."""
        stream = self._streams[name]
        publisher = self._publishers.get(owner_of(name))
        owners = {}
        if publisher is not None and (publisher.open or publisher.complete):
            owners[publisher.role] = Owner(
                incarnation=publisher.incarnation,
                last=stream.last,
                open=publisher.open,
                silent_s=max(0.0, now - publisher.heard_at),
                former=tuple(stream.former),
            )
        missing = () if publisher is None or publisher.complete else (publisher.role,)
        return StreamStatus(epoch=self.epoch, rev=stream.rev, missing=missing, owners=owners)

    # --- time --------------------------------------------------------------------------------------

    @property
    def next_deadline(self) -> float | None:
        """When ``tick`` wants to be called; None before the first epoch."""
        return self._beat_at

    def tick(self, now: float) -> list[Frames]:
        """The beats of all streams, when they are due. Call after everything queued was received."""
        if self._beat_at is None or now < self._beat_at:
            return []
        late_s = now - self._beat_at
        if late_s > BEAT_INTERVAL_S / 2:
            # We did not listen for that long (stopped, starved): nobody's silence is told by it.
            for publisher in self._publishers.values():
                publisher.heard_at = min(now, publisher.heard_at + late_s)
        self._beat_at = now + BEAT_INTERVAL_S
        return [(beat_topic(name), encode_beat(self.status(name, now))) for name in STREAMS]
