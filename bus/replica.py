"""A reader's copy of one stream: snapshot, then live, with every loss seen, counted and repaired. Pure.

Two independent numberings are checked. The broker's revision (per stream and epoch) tells that this
reader lost something and must ask for a snapshot. The publisher's number (per incarnation and stream,
the identity of a change) tells what was lost, across snapshots, epochs and announcements, and what
comes a second time. See docs/bus.md for why both are needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from bus.codec import CodecError
from bus.envelope import (
    Begin,
    Change,
    End,
    Envelope,
    Head,
    Owner,
    SnapshotBegin,
    SnapshotPart,
    SnapshotRows,
    StreamStatus,
    decode,
    is_state,
)
from bus.messages import Message

ASK_TIMEOUT_S = 0.5
ASK_TIMEOUT_MAX_S = 4.0
STALE_AFTER_S = 10.0
LIVE_WHILE_LOADING_MAX = 20_000


# --- what a subscriber is told -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A message with where and when it comes from."""

    stream: str
    key: str
    """Empty for events."""
    message: Message
    publisher: str
    incarnation: int
    number: int
    """With publisher, incarnation and stream the identity of the change."""
    at: float
    """CLOCK_BOOTTIME seconds when the publisher said it."""
    wall_at: float
    generation: int
    """Configuration generation it was said under."""
    epoch: int
    """Epoch in which it was last confirmed."""

    def age_s(self, now: float) -> float:
        """Seconds since it was said; ``now`` is CLOCK_BOOTTIME."""
        return max(0.0, now - self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The first picture of a stream: its records, or for events the recent ones, oldest first."""

    stream: str
    records: tuple[Record, ...]
    missing: tuple[str, ...]
    """Publishers that have not announced their whole set yet: their records are still to come."""

    @property
    def complete(self) -> bool:
        return not self.missing


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    record: Record
    previous: Record | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    record: Record
    """As it last was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventHappened:
    record: Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Changes that this reader never saw one by one. Records are right again; lost events stay lost."""

    stream: str
    publisher: str
    lost: int | None
    """None: cannot be known, broker and publisher were both replaced meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """The publisher's set is whole: what it did not name again has been removed."""

    stream: str
    publisher: str
    incarnation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stale:
    """The owner of a stream's records (``publisher``), or the bus itself (None), has been silent."""

    stream: str
    publisher: str | None
    silent_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Fresh:
    """The end of ``Stale``."""

    stream: str
    publisher: str | None


Update = Snapshot | Changed | Removed | EventHappened | Gap | Announced | Stale | Fresh


@dataclass(frozen=True, slots=True)
class Ask:
    """To the shell: subscribe to ``snap.<stream>.<nonce>``, drop the subscription to the former one."""

    stream: str
    nonce: str
    instead_of: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """To the shell: the snapshot is here, drop the subscription."""

    stream: str
    nonce: str


# --- accounting --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Cursor:
    """Which numbers of one publisher's incarnation this reader knows the fate of."""

    incarnation: int
    born_epoch: int
    """Epoch in which we first met this incarnation."""
    epoch: int
    last: int
    """Everything up to here is accounted for: seen, or reported lost."""
    open: bool = False
    """In an announcement, where numbers come in any order with holes, and END settles it."""
    joined_open: bool = False
    """We came in the middle of it: holes of the time before us are no loss."""
    seen: set[int] = field(default_factory=set)
    """Numbers above ``last`` that came."""

    def settle(self, last: int) -> int:
        """All numbers up to ``last`` that will come have come. Returns how many never did."""
        came = sum(1 for number in self.seen if number <= last)
        lost = 0 if self.joined_open else max(0, last - self.last - came)
        self.last = max(self.last, last)
        self.seen = {number for number in self.seen if number > self.last}
        self.open = self.joined_open = False
        return lost


@dataclass(slots=True)
class _Loading:
    begin: SnapshotBegin
    rows: list[tuple[int, bytes]] = field(default_factory=list)
    live: list[tuple[Head, Envelope]] = field(default_factory=list)
    """Messages that came in between; broker versions may interleave."""


class StreamReplica:
    """One stream. Feed it messages, beats and snapshot parts; it returns updates and makes requests."""

    def __init__(self, stream: str, *, nonce_prefix: str, stale_after_s: float = STALE_AFTER_S) -> None:
        self.stream = stream
        self.rows: dict[str, Record] = {}
        self.status: StreamStatus | None = None
        """The last beat, or begin of a snapshot."""
        self.requests: list[Ask | Asked] = []
        """For the shell, which empties it."""
        self._nonce_prefix = nonce_prefix
        self._asked = 0
        self._nonce: str | None = None
        self._state: Literal["waiting", "loading", "live"] = "waiting"
        self._loading: _Loading | None = None
        self._epoch = 0
        self._rev = 0
        self._joined = False
        self._cursors: dict[str, _Cursor] = {}
        self._ask_at: float | None = None
        self._ask_timeout_s = ASK_TIMEOUT_S
        self._stale_after_s = stale_after_s
        self._status_at: float | None = None
        self._started_at = 0.0
        self._heard_at: dict[str, float] = {}
        """Publisher -> when it last spoke, also when a new broker does not know it yet."""
        self._whole_sets: dict[str, tuple[int, int]] = {}
        self._stale: set[str | None] = set()

    # --- questions ---------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """A snapshot was loaded and nothing is known to be lost since."""
        return self._state == "live"

    @property
    def joined(self) -> bool:
        """A first snapshot was loaded."""
        return self._joined

    @property
    def missing(self) -> tuple[str, ...]:
        return self.status.missing if self.status is not None else (self.stream[2:],)

    def silent_s(self, publisher: str, now: float) -> float | None:
        """How long the owner has not been heard of, as far as we know; None: never heard of."""
        heard_at = self._heard_at.get(publisher)
        return None if heard_at is None else max(0.0, now - heard_at)

    def bus_silent_s(self, now: float) -> float:
        """How long no broker has been heard of (since ``start``, if never)."""
        return max(0.0, now - (self._status_at if self._status_at is not None else self._started_at))

    @property
    def next_deadline(self) -> float | None:
        """When ``tick`` wants to be called."""
        return self._ask_at

    # --- time ----------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Ask for the first snapshot. Subscribe to the stream and its beats before that."""
        self._started_at = now
        self._ask(now)

    def tick(self, now: float) -> list[Update]:
        """Ask again when the answer did not come; tell who has become silent."""
        if self._ask_at is not None and now >= self._ask_at:
            self._ask_timeout_s = min(self._ask_timeout_s * 2, ASK_TIMEOUT_MAX_S)
            self._ask(now)
        return self._staleness(now)

    def _ask(self, now: float) -> None:
        self._asked += 1
        former, self._nonce = self._nonce, f"{self._nonce_prefix}-{self._asked}"
        self._state, self._loading = "waiting", None
        self._ask_at = now + self._ask_timeout_s
        self.requests.append(Ask(self.stream, self._nonce, former))

    def _staleness(self, now: float) -> list[Update]:
        silent: dict[str | None, float] = {None: self.bus_silent_s(now)}
        for publisher in self._heard_at:
            silent[publisher] = self.silent_s(publisher, now) or 0.0
        updates: list[Update] = []
        for name, silent_s in silent.items():
            if silent_s > self._stale_after_s and name not in self._stale:
                self._stale.add(name)
                updates.append(Stale(stream=self.stream, publisher=name, silent_s=silent_s))
            elif silent_s <= self._stale_after_s and name in self._stale:
                self._stale.discard(name)
                updates.append(Fresh(stream=self.stream, publisher=name))
        return updates

    def _heard(self, status: StreamStatus, now: float) -> None:
        self.status, self._status_at = status, now
        for name, owner in status.owners.items():
            self._heard_at[name] = now - owner.silent_s

    # --- what arrives --------------------------------------------------------------------------------

    def beat(self, status: StreamStatus, now: float) -> list[Update]:
        """A beat: shows a lost tail, a new epoch, and whether the owner lives."""
        self._heard(status, now)
        if self._state == "live" and (status.epoch != self._epoch or status.rev > self._rev):
            self._ask(now)
        return self._staleness(now)

    def receive(self, head: Head, data: bytes, now: float) -> list[Update]:
        """A message of the stream."""
        if self._state == "waiting":
            return []
        if self._state == "live":
            if head.epoch == self._epoch and head.rev <= self._rev:
                return []
            if head.epoch != self._epoch or head.rev != self._rev + 1:
                self._ask(now)
                return []
        try:
            envelope = decode(data)
        except CodecError:
            if self._state == "live":
                self._rev = head.rev  # a kind that this reader does not know; its number settles later
            return []
        if self._loading is not None:
            self._loading.live.append((head, envelope))
            if len(self._loading.live) > LIVE_WHILE_LOADING_MAX:
                self._ask(now)
            return []
        self._rev = head.rev
        return self._apply(envelope)

    def snapshot(self, nonce: str, part: SnapshotPart, now: float) -> list[Update]:
        """A part of a snapshot. One that is not what we asked for last is ignored."""
        if nonce != self._nonce:
            return []
        if isinstance(part, SnapshotBegin):
            self._state, self._loading = "loading", _Loading(part)
            self._heard(part.status, now)
            return []
        if self._loading is None:
            return []
        if isinstance(part, SnapshotRows):
            self._loading.rows.extend(part.rows)
            return []
        loading = self._loading
        if part.rows != loading.begin.rows or len(loading.rows) != part.rows:
            self._ask_again(now)  # parts of it were lost to a full queue
            return []
        return self._load(loading, now)

    def _ask_again(self, now: float) -> None:
        """After a pause, so that a reader that cannot keep up does not ask in a circle."""
        self._state, self._loading = "waiting", None
        self._ask_at = now + self._ask_timeout_s

    # --- snapshot --------------------------------------------------------------------------------------

    def _load(self, loading: _Loading, now: float) -> list[Update]:
        status = loading.begin.status
        changes: list[Change] = []
        for _, data in loading.rows:
            try:
                envelope = decode(data)
            except CodecError:
                continue  # a kind that this reader does not know
            if isinstance(envelope, Change):
                changes.append(envelope)
        self.requests.append(Asked(self.stream, self._nonce or ""))
        self._nonce, self._ask_at, self._loading = None, None, None
        self._ask_timeout_s = ASK_TIMEOUT_S
        self._state, self._epoch, self._rev = "live", status.epoch, status.rev
        first, self._joined = not self._joined, True
        news = [change for change in changes if first or self._is_news(change)]
        updates = [] if first else self._account(status, changes)
        if first:
            for name, owner in status.owners.items():
                self._cursors[name] = _Cursor(
                    owner.incarnation,
                    status.epoch,
                    status.epoch,
                    owner.last,
                    open=owner.open,
                    joined_open=owner.open,
                )
        if is_state(self.stream):
            updates += self._load_rows(status, changes, first)
        else:
            records = [self._record(change) for change in news]
            if first:
                updates.append(Snapshot(stream=self.stream, records=tuple(records), missing=status.missing))
            else:
                updates += [EventHappened(record=record) for record in records]
        for name, owner in status.owners.items():
            if not owner.open:
                updates += self._whole(name, owner.incarnation, tell=not first)
        for head, envelope in loading.live:
            if head.epoch == self._epoch and head.rev <= self._rev:
                continue
            if head.epoch != self._epoch or head.rev != self._rev + 1:
                self._ask(now)
                break
            self._rev = head.rev
            updates += self._apply(envelope)
        return updates

    def _is_news(self, change: Change) -> bool:
        """Whether this change was neither seen nor reported lost before."""
        cursor = self._cursors.get(change.publisher)
        if cursor is None or change.incarnation > cursor.incarnation:
            return True
        if change.incarnation < cursor.incarnation:
            return False
        return change.number > cursor.last and change.number not in cursor.seen

    def _account(self, status: StreamStatus, changes: Iterable[Change]) -> list[Update]:
        """What the time without messages has cost, by the publishers' numbers."""
        updates: list[Update] = []
        for name, owner in status.owners.items():
            came: dict[int, set[int]] = {}
            for change in changes:
                if change.publisher == name:
                    came.setdefault(change.incarnation, set()).add(change.number)
            updates += self._account_owner(name, owner, came, status.epoch)
        return updates

    def _account_owner(self, name: str, owner: Owner, came: dict[int, set[int]], epoch: int) -> list[Update]:
        lost: int | None = 0
        cursor = self._cursors.get(name)
        if cursor is None:
            # Missing when we joined: nothing that it said before can be called a loss.
            cursor = _Cursor(
                owner.incarnation, epoch, epoch, owner.last, open=owner.open, joined_open=owner.open
            )
        elif cursor.incarnation != owner.incarnation:
            lost = self._account_former(cursor, owner, came, epoch)
            cursor = _Cursor(owner.incarnation, epoch, epoch, 0)
        cursor.epoch = epoch
        self._cursors[name] = cursor
        cursor.seen |= {number for number in came.get(owner.incarnation, ()) if number > cursor.last}
        if owner.open:
            cursor.open = True
        else:
            settled = cursor.settle(owner.last)
            lost = None if lost is None else lost + settled
        return [] if lost == 0 else [Gap(stream=self.stream, publisher=name, lost=lost)]

    @staticmethod
    def _account_former(cursor: _Cursor, owner: Owner, came: dict[int, set[int]], epoch: int) -> int | None:
        """Losses of incarnations that ended while we did not listen; None when the broker cannot know."""
        ends = {incarnation: (last, whole) for incarnation, last, whole in owner.former}
        if cursor.incarnation not in ends:
            return None
        last, whole = ends.pop(cursor.incarnation)
        if not whole and cursor.born_epoch != epoch:
            return None
        cursor.seen |= {number for number in came.get(cursor.incarnation, ()) if number > cursor.last}
        lost = cursor.settle(last)
        for incarnation, (last, _) in ends.items():
            if incarnation > cursor.incarnation:
                lost += max(0, last - len(came.get(incarnation, ())))
        return lost

    def _load_rows(self, status: StreamStatus, changes: Iterable[Change], first: bool) -> list[Update]:
        updates: list[Update] = []
        named = set()
        for change in changes:
            named.add(change.key)
            updates += self._set(change)
        if first:
            records = tuple(self.rows.values())
            return [Snapshot(stream=self.stream, records=records, missing=status.missing)]
        for key, record in list(self.rows.items()):
            owner = status.owners.get(record.publisher)
            if key not in named and owner is not None and not owner.open:
                updates += self._remove(key)
        return updates

    def _whole(self, publisher: str, incarnation: int, *, tell: bool = True) -> list[Update]:
        """The set of a publisher is whole in this epoch; told once."""
        known = self._whole_sets.get(publisher)
        self._whole_sets[publisher] = (self._epoch, incarnation)
        if not tell or known == (self._epoch, incarnation):
            return []
        return [Announced(stream=self.stream, publisher=publisher, incarnation=incarnation)]

    # --- live ------------------------------------------------------------------------------------------

    def _apply(self, envelope: Envelope) -> list[Update]:
        if isinstance(envelope, Begin):
            return self._begin(envelope)
        if isinstance(envelope, End):
            return self._end(envelope)
        if not isinstance(envelope, Change):
            return []
        if envelope.number == 0:  # the broker's own tombstone
            return self._remove(envelope.key)
        lost, again = self._arrived(envelope)
        updates: list[Update] = []
        if lost:
            updates.append(Gap(stream=self.stream, publisher=envelope.publisher, lost=lost))
        if envelope.op == "set":
            updates += self._set(envelope)
        elif not again:
            if envelope.op == "event":
                updates.append(EventHappened(record=self._record(envelope)))
            else:
                updates += self._remove(envelope.key)
        return updates

    def _arrived(self, change: Change) -> tuple[int, bool]:
        """(numbers skipped, whether it came before)."""
        cursor = self._cursors.get(change.publisher)
        if cursor is None or cursor.incarnation != change.incarnation:
            # Only a broker that breaks its own rules says this; take it as a beginning.
            self._cursors[change.publisher] = _Cursor(
                change.incarnation, self._epoch, self._epoch, change.number
            )
            return 0, False
        if change.number <= cursor.last or change.number in cursor.seen:
            return 0, True
        cursor.seen.add(change.number)
        return (0 if cursor.open else cursor.settle(change.number)), False

    def _begin(self, begin: Begin) -> list[Update]:
        cursor = self._cursors.get(begin.publisher)
        updates: list[Update] = []
        if cursor is None:
            self._cursors[begin.publisher] = _Cursor(
                begin.incarnation, self._epoch, self._epoch, 0, open=True, joined_open=True
            )
            return updates
        if cursor.incarnation != begin.incarnation:
            # All that this broker ever had of the old incarnation has come to us; whether that was all
            # of it, its END of this epoch would have told.
            told = cursor.epoch == self._epoch and not (cursor.open and cursor.born_epoch != self._epoch)
            lost = cursor.settle(max(cursor.seen, default=0)) if told else None
            if lost != 0:
                updates.append(Gap(stream=self.stream, publisher=begin.publisher, lost=lost))
            cursor = self._cursors[begin.publisher] = _Cursor(begin.incarnation, self._epoch, self._epoch, 0)
        cursor.open, cursor.epoch = True, self._epoch
        return updates

    def _end(self, end: End) -> list[Update]:
        updates: list[Update] = []
        cursor = self._cursors.get(end.publisher)
        if cursor is not None and cursor.incarnation == end.incarnation:
            lost = cursor.settle(end.last.get(self.stream, 0))
            if lost:
                updates.append(Gap(stream=self.stream, publisher=end.publisher, lost=lost))
        for key, record in list(self.rows.items()):
            confirmed = record.epoch == self._epoch and record.incarnation == end.incarnation
            if record.publisher == end.publisher and not confirmed:
                updates += self._remove(key)
        if self.status is not None:
            missing = tuple(name for name in self.status.missing if name != end.publisher)
            self.status = replace(self.status, missing=missing)
        return updates + self._whole(end.publisher, end.incarnation)

    def _set(self, change: Change) -> list[Update]:
        record = self._record(change)
        previous = self.rows.get(change.key)
        self.rows[change.key] = record
        if previous is not None and previous.message == record.message:
            return []  # confirmed, or said again with the same content
        return [Changed(record=record, previous=previous)]

    def _remove(self, key: str) -> list[Update]:
        record = self.rows.pop(key, None)
        return [] if record is None else [Removed(record=record)]

    def _record(self, change: Change) -> Record:
        assert change.message is not None  # only deletions have none, and they make no record
        return Record(
            stream=change.stream,
            key=change.key,
            message=change.message,
            publisher=change.publisher,
            incarnation=change.incarnation,
            number=change.number,
            at=change.at,
            wall_at=change.wall_at,
            generation=change.generation,
            epoch=self._epoch,
        )
