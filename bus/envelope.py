"""The frames of the bus as values: streams, envelopes, heads, beats and snapshot parts.

Pure. Publishers make envelopes, the broker reads them and passes their bytes on unchanged under the
stream's name with a head of its own (epoch, revision); beats and snapshots are the broker's. Everything
here is specified in docs/bus.md; reading raises ``CodecError`` for whatever is not exactly that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bus.codec import MAX_MESSAGE_BYTES, CodecError, from_plain, message_class, pack, to_plain, unpack
from bus.messages import ROLES, Event, Message, State

WIRE_VERSION = 1
"""Version of docs/bus.md; in every frame."""
MAX_KEY_CHARACTERS = 512
MAX_NUMBER = 2**62
SNAPSHOT_CHUNK_BYTES = 48 * 1024
SNAPSHOT_CHUNK_ROWS = 256
NONCE_CHARACTERS = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")
MAX_NONCE_BYTES = 64


def state_stream(role: str) -> str:
    return f"s.{role}"


def event_stream(role: str) -> str:
    return f"e.{role}"


STREAMS: tuple[str, ...] = tuple(f"{family}.{role}" for role in ROLES for family in ("s", "e"))
"""Every stream. None is the beginning of another: a subscription selects exactly one."""
_STREAM_TOPICS = {stream.encode(): stream for stream in STREAMS}
_BEAT_TOPICS = {b"beat." + topic: stream for topic, stream in _STREAM_TOPICS.items()}


def owner_of(stream: str) -> str:
    """The role that alone may publish on a stream."""
    return stream[2:]


def is_state(stream: str) -> bool:
    return stream.startswith("s.")


def beat_topic(stream: str) -> bytes:
    return b"beat." + stream.encode()


def snapshot_topic(stream: str, nonce: str) -> bytes:
    return f"snap.{stream}.{nonce}".encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotTopic:
    stream: str
    nonce: str


def parse_topic(topic: bytes) -> tuple[Literal["stream", "beat", "snap"], str, str] | None:
    """(what, stream, nonce) of a topic; None when it is none of ours."""
    stream = _STREAM_TOPICS.get(topic)
    if stream is not None:
        return "stream", stream, ""
    stream = _BEAT_TOPICS.get(topic)
    if stream is not None:
        return "beat", stream, ""
    if topic.startswith(b"snap."):
        name, _, nonce = topic[5:].rpartition(b".")
        stream = _STREAM_TOPICS.get(name)
        if stream is not None and 0 < len(nonce) <= MAX_NONCE_BYTES and NONCE_CHARACTERS.issuperset(nonce):
            return "snap", stream, nonce.decode()
    return None


# --- envelopes -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A state that is set or deleted, or an event: what a stream consists of."""

    op: Literal["set", "del", "event"]
    publisher: str
    incarnation: int
    stream: str
    number: int
    """Identity of the change within (publisher, incarnation, stream), from 1 without holes; sending it
    again does not change it. 0: made by the broker (a tombstone)."""
    key: str
    """Empty for events."""
    at: float
    wall_at: float
    generation: int
    message: Message | None
    """None for ``del``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """From here on the publisher announces its whole set for an epoch."""

    publisher: str
    incarnation: int
    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """The announcement is complete."""

    publisher: str
    incarnation: int
    epoch: int
    rows: int
    """Records announced."""
    last: Mapping[str, int]
    """stream -> highest number given away so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """The publisher's loop turns."""

    publisher: str
    incarnation: int


Envelope = Change | Begin | End | Beat


def encode(envelope: Envelope) -> bytes:
    """The bytes of an envelope. CodecError when its message is not what its class declares."""
    head: dict[str, Any] = {
        "v": WIRE_VERSION,
        "pub": envelope.publisher,
        "inc": envelope.incarnation,
    }
    if isinstance(envelope, Change):
        head["op"] = envelope.op
        head["stream"] = envelope.stream
        head["num"] = envelope.number
        head["at"] = float(envelope.at)
        head["wall"] = float(envelope.wall_at)
        head["gen"] = envelope.generation
        if envelope.op != "event":
            if len(envelope.key) > MAX_KEY_CHARACTERS:
                raise CodecError(f"key of {len(envelope.key)} characters, at most {MAX_KEY_CHARACTERS}")
            head["key"] = envelope.key
        if envelope.message is not None:
            head["kind"] = envelope.message.KIND
            head["kv"] = envelope.message.VERSION
            head["body"] = to_plain(envelope.message)
    elif isinstance(envelope, Begin):
        head["op"] = "begin"
        head["epoch"] = envelope.epoch
    elif isinstance(envelope, End):
        head["op"] = "end"
        head["epoch"] = envelope.epoch
        head["rows"] = envelope.rows
        head["last"] = dict(envelope.last)
    else:
        head["op"] = "beat"
    return pack(head)


_CHANGE = {"v", "pub", "inc", "op", "stream", "num", "at", "wall", "gen"}
_FIELDS: dict[str, frozenset[str]] = {
    "set": frozenset(_CHANGE | {"key", "kind", "kv", "body"}),
    "del": frozenset(_CHANGE | {"key"}),
    "event": frozenset(_CHANGE | {"kind", "kv", "body"}),
    "begin": frozenset({"v", "pub", "inc", "op", "epoch"}),
    "end": frozenset({"v", "pub", "inc", "op", "epoch", "rows", "last"}),
    "beat": frozenset({"v", "pub", "inc", "op"}),
}


def decode(data: bytes) -> Envelope:
    """The envelope that ``data`` is. CodecError when it is not exactly one, to the last field."""
    plain = _versioned(unpack(data, limit=MAX_MESSAGE_BYTES), "envelope")
    op = plain.get("op")
    fields = _FIELDS.get(op) if type(op) is str else None
    if fields is None:
        raise CodecError(f"envelope: unknown op {str(op)[:40]!r}")
    if plain.keys() != fields:
        raise CodecError(f"envelope {op}: has not exactly the fields {', '.join(sorted(fields))}")
    publisher = plain["pub"]
    if type(publisher) is not str or publisher not in ROLES:
        raise CodecError("envelope: pub is not a known role")
    incarnation = _count(plain, "inc")
    if op == "beat":
        return Beat(publisher=publisher, incarnation=incarnation)
    if op == "begin":
        return Begin(publisher=publisher, incarnation=incarnation, epoch=_count(plain, "epoch"))
    if op == "end":
        last = plain["last"]
        if type(last) is not dict or any(stream not in STREAMS for stream in last):
            raise CodecError("envelope end: last is not a map of streams")
        for stream in last:
            _count(last, stream)
        return End(
            publisher=publisher,
            incarnation=incarnation,
            epoch=_count(plain, "epoch"),
            rows=_count(plain, "rows"),
            last=last,
        )
    return _decode_change(op, publisher, incarnation, plain)


def _decode_change(op: Any, publisher: str, incarnation: int, plain: dict[str, Any]) -> Change:
    stream = plain["stream"]
    if type(stream) is not str or stream not in STREAMS:
        raise CodecError("envelope: unknown stream")
    if is_state(stream) == (op == "event"):
        raise CodecError(f"envelope: op {op} on stream {stream}")
    key = plain.get("key", "")
    if type(key) is not str or len(key) > MAX_KEY_CHARACTERS:
        raise CodecError("envelope: key is not a text of allowed length")
    message: Message | None = None
    if op != "del":
        cls = message_class(plain["kind"], plain["kv"])
        if not issubclass(cls, Event if op == "event" else State):
            raise CodecError(f"envelope: op {op} with a {cls.KIND}")
        if publisher not in cls.PUBLISHERS:
            raise CodecError(f"envelope: {publisher} does not publish {cls.KIND}")
        message = from_plain(cls, plain["body"])
        if isinstance(message, State) and message.key != key:
            raise CodecError(f"envelope: key is not that of the {cls.KIND}")
    return Change(
        op=op,
        publisher=publisher,
        incarnation=incarnation,
        stream=stream,
        number=_count(plain, "num"),
        key=key,
        at=_instant(plain, "at"),
        wall_at=_instant(plain, "wall"),
        generation=_count(plain, "gen"),
        message=message,
    )


def _versioned(plain: Any, what: str) -> dict[str, Any]:
    if type(plain) is not dict:
        raise CodecError(f"{what}: not a map")
    version = plain.get("v")
    if type(version) is not int or version != WIRE_VERSION:
        raise CodecError(f"{what}: version {str(version)[:20]!r}, this is version {WIRE_VERSION}")
    return plain


def _count(plain: Mapping[str, Any], name: str) -> int:
    value = plain.get(name)
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise CodecError(f"{name}: not a number in 0..2^62")
    return value


def _instant(plain: Mapping[str, Any], name: str) -> float:
    value = plain.get(name)
    if type(value) is not float or not -1e15 < value < 1e15:  # also refuses NaN
        raise CodecError(f"{name}: not an instant in seconds")
    return value


# --- what the broker adds --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Second frame of a stream message."""

    epoch: int
    rev: int
    """Number of the message in its stream and epoch, from 1 without holes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """What the broker knows of a stream's publisher in this epoch."""

    incarnation: int
    last: int
    """Highest number of this incarnation that the broker has accounted for on this stream."""
    open: bool
    """In the middle of an announcement."""
    silent_s: float
    former: tuple[tuple[int, int, bool], ...] = ()
    """(incarnation, last, whether it had announced its whole set) of earlier incarnations of this
    epoch, oldest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStatus:
    """A beat, and the first part of a snapshot."""

    epoch: int
    rev: int
    missing: tuple[str, ...]
    """Publishers that have not (completely) announced their set in this epoch; empty: complete."""
    owners: dict[str, Owner]


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotBegin:
    status: StreamStatus
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotRows:
    rows: tuple[tuple[int, bytes], ...]
    """(rev, envelope bytes)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotEnd:
    rows: int


SnapshotPart = SnapshotBegin | SnapshotRows | SnapshotEnd


def encode_head(epoch: int, rev: int) -> bytes:
    return pack({"v": WIRE_VERSION, "epoch": epoch, "rev": rev})


def decode_head(data: bytes) -> Head:
    plain = _versioned(unpack(data, limit=256), "head")
    return Head(epoch=_count(plain, "epoch"), rev=_count(plain, "rev"))


def _plain_status(status: StreamStatus) -> dict[str, Any]:
    return {
        "v": WIRE_VERSION,
        "epoch": status.epoch,
        "rev": status.rev,
        "complete": not status.missing,
        "missing": list(status.missing),
        "owners": {
            name: {
                "inc": owner.incarnation,
                "last": owner.last,
                "open": owner.open,
                "silent_s": float(owner.silent_s),
                "former": [list(end) for end in owner.former],
            }
            for name, owner in status.owners.items()
        },
    }


def _status(plain: dict[str, Any]) -> StreamStatus:
    try:
        owners = {
            name: Owner(
                incarnation=_count(owner, "inc"),
                last=_count(owner, "last"),
                open=owner["open"] is True,
                silent_s=_instant(owner, "silent_s"),
                former=tuple((int(inc), int(last), whole is True) for inc, last, whole in owner["former"]),
            )
            for name, owner in plain["owners"].items()
        }
        missing = tuple(str(name) for name in plain["missing"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CodecError(f"status of a stream: {type(error).__name__}: {str(error)[:80]}") from None
    return StreamStatus(
        epoch=_count(plain, "epoch"), rev=_count(plain, "rev"), missing=missing, owners=owners
    )


def encode_beat(status: StreamStatus) -> bytes:
    return pack(_plain_status(status))


def decode_beat(data: bytes) -> StreamStatus:
    return _status(_versioned(unpack(data), "beat"))


def encode_part(part: SnapshotPart) -> bytes:
    if isinstance(part, SnapshotBegin):
        return pack(_plain_status(part.status) | {"part": "begin", "rows": part.rows})
    if isinstance(part, SnapshotRows):
        plain = {"v": WIRE_VERSION, "part": "rows", "rows": [[rev, data] for rev, data in part.rows]}
        return pack(plain, limit=2 * MAX_MESSAGE_BYTES)
    return pack({"v": WIRE_VERSION, "part": "end", "rows": part.rows})


def decode_part(data: bytes) -> SnapshotPart:
    plain = _versioned(unpack(data, limit=2 * MAX_MESSAGE_BYTES), "snapshot")
    part = plain.get("part")
    if part == "begin":
        return SnapshotBegin(status=_status(plain), rows=_count(plain, "rows"))
    if part == "end":
        return SnapshotEnd(rows=_count(plain, "rows"))
    rows = plain.get("rows")
    if part != "rows" or type(rows) is not tuple:
        raise CodecError("snapshot: not a begin, rows or end")
    for row in rows:
        if type(row) is not tuple or len(row) != 2 or type(row[0]) is not int or type(row[1]) is not bytes:
            raise CodecError("snapshot: a row is [rev, envelope]")
    return SnapshotRows(rows=rows)


def chunks(rows: list[tuple[int, bytes]]) -> list[SnapshotRows]:
    """Rows in parts of bounded size, in order."""
    parts: list[SnapshotRows] = []
    batch: list[tuple[int, bytes]] = []
    size = 0
    for row in rows:
        if batch and (size + len(row[1]) > SNAPSHOT_CHUNK_BYTES or len(batch) >= SNAPSHOT_CHUNK_ROWS):
            parts.append(SnapshotRows(rows=tuple(batch)))
            batch, size = [], 0
        batch.append(row)
        size += len(row[1])
    if batch:
        parts.append(SnapshotRows(rows=tuple(batch)))
    return parts
