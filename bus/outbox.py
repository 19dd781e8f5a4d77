"""What a publisher has to say, kept until the bus takes it. Pure.

States are coalesced by key (only the latest unsent value of a record is kept), events are a ring in
which the oldest falls out, counted; so the memory is bounded by the publisher's own set however long
the bus is away. After ``announce`` the whole set is said again between BEGIN and END.

Numbers: every change that is really sent gets the next number of its stream, once and for all; events
get theirs when they happen, so that a reader sees the hole that a dropped one leaves.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from bus.codec import CodecError
from bus.envelope import Beat, Begin, Change, End, encode, event_stream, state_stream
from bus.messages import ROLES, Event, Message, State

EVENTS_KEPT = 1024
"""Recent events kept for sending (again)."""
BEAT_INTERVAL_S = 1.0


@dataclass(slots=True)
class _Row:
    record: State
    at: float
    wall_at: float
    generation: int
    number: int | None
    """None: the present value has not been sent yet."""


@dataclass(frozen=True, slots=True)
class _Tombstone:
    at: float
    wall_at: float
    generation: int


class Outbox:
    """Pending and repeatable messages of one publisher."""

    def __init__(self, *, role: str, incarnation: int, events_kept: int = EVENTS_KEPT) -> None:
        if role not in ROLES:
            raise ValueError(f"role {role!r} does not publish; roles are {', '.join(ROLES)}")
        self.role = role
        self.incarnation = incarnation
        self.lost_events = 0
        """Events that fell out of the ring before the bus took them."""
        self.refused = 0
        """Records and events that have no form on the wire (a fault of the caller)."""
        self.last_problem = ""
        self._states = state_stream(role)
        self._events = event_stream(role)
        self._rows: dict[str, _Row] = {}
        self._dirty: OrderedDict[str, _Tombstone | None] = OrderedDict()
        self._ring: deque[Change] = deque()
        self._kept = events_kept
        self._state_number = 0
        self._event_number = 0
        self._event_sent = 0
        """Where sending stands; goes back at an announcement."""
        self._event_ever_sent = 0
        self._epoch: int | None = None
        self._announcing: Iterator[bytes] | None = None
        self._ready: bytes | None = None
        self._events_turn = False
        self._beat_at: float | None = None

    # --- what the worker says --------------------------------------------------------------------

    def set_state(self, record: State, *, at: float, wall_at: float, generation: int) -> None:
        """Set a record. Setting an equal one again sends nothing."""
        if not self._may_publish(record):
            return
        key = record.key
        row = self._rows.get(key)
        if row is not None and row.record == record:
            return
        self._rows[key] = _Row(record, at, wall_at, generation, None)
        self._dirty[key] = None

    def delete_state(self, stream: str, key: str, *, at: float, wall_at: float, generation: int) -> None:
        """Delete a record; nothing happens when there is none."""
        if stream != self._states:
            self._problem(f"{self.role} does not publish on {stream}")
            return
        if self._rows.pop(key, None) is not None:
            self._dirty[key] = _Tombstone(at, wall_at, generation)

    def event(self, event: Event, *, at: float, wall_at: float, generation: int) -> None:
        """Say that something happened."""
        if not self._may_publish(event):
            return
        self._event_number += 1
        self._ring.append(
            Change(
                op="event",
                publisher=self.role,
                incarnation=self.incarnation,
                stream=self._events,
                number=self._event_number,
                key="",
                at=at,
                wall_at=wall_at,
                generation=generation,
                message=event,
            )
        )
        if len(self._ring) > self._kept and self._ring.popleft().number > self._event_ever_sent:
            self.lost_events += 1

    def announce(self, epoch: int) -> None:
        """The broker of this epoch knows nothing: say everything again. Before the first, nothing is sent."""
        self._epoch = epoch
        self._ready = None
        self._dirty.clear()
        self._announcing = self._announcement(epoch)

    @property
    def last_numbers(self) -> dict[str, int]:
        """stream -> highest number given away."""
        return {self._states: self._state_number, self._events: self._event_number}

    # --- what the shell takes --------------------------------------------------------------------

    def peek(self, now: float) -> bytes | None:
        """The next message to send, the same until ``pop``; None: nothing to say now."""
        if self._epoch is None:
            return None
        if self._ready is None:
            self._ready = self._next(now)
        return self._ready

    def pop(self) -> None:
        """The message of ``peek`` was taken by the bus."""
        self._ready = None

    @property
    def beat_at(self) -> float | None:
        """When the next beat is due; None: at the next ``peek``."""
        return self._beat_at

    def _next(self, now: float) -> bytes | None:
        if self._announcing is not None:
            data = next(self._announcing, None)
            if data is not None:
                self._beat_at = now + BEAT_INTERVAL_S
                return data
            self._announcing = None
        self._events_turn = not self._events_turn
        data = (self._event() or self._state()) if self._events_turn else (self._state() or self._event())
        if data is None and (self._beat_at is None or now >= self._beat_at):
            data = encode(Beat(publisher=self.role, incarnation=self.incarnation))
        if data is not None:
            self._beat_at = now + BEAT_INTERVAL_S
        return data

    def _announcement(self, epoch: int) -> Iterator[bytes]:
        yield encode(Begin(publisher=self.role, incarnation=self.incarnation, epoch=epoch))
        rows = 0
        # Lazily, so that a change in the meantime is announced with its new value.
        for key in sorted(self._rows, key=lambda key: self._rows[key].number or self._state_number + 1):
            data = self._row(key)
            if data is not None:
                rows += 1
                self._dirty.pop(key, None)
                yield data
        last_event = self._event_number
        self._event_sent = 0  # all that is kept is said again; readers know an event by its number
        while self._event_sent < last_event:
            data = self._event()
            if data is not None:
                yield data
        # Meanwhile younger events may have pushed out the last of the older ones: then END covers them.
        last = {self._states: self._state_number, self._events: max(last_event, self._event_sent)}
        yield encode(
            End(publisher=self.role, incarnation=self.incarnation, epoch=epoch, rows=rows, last=last)
        )

    def _row(self, key: str) -> bytes | None:
        """The bytes of a record as it is now; numbered when this value was never sent."""
        row = self._rows.get(key)
        if row is None:
            return None
        number = row.number or self._state_number + 1
        change = Change(
            op="set",
            publisher=self.role,
            incarnation=self.incarnation,
            stream=self._states,
            number=number,
            key=key,
            at=row.at,
            wall_at=row.wall_at,
            generation=row.generation,
            message=row.record,
        )
        try:
            data = encode(change)
        except CodecError as error:
            del self._rows[key]
            self._problem(str(error))
            return None
        row.number = number
        self._state_number = max(self._state_number, number)
        return data

    def _state(self) -> bytes | None:
        while self._dirty:
            key, tombstone = self._dirty.popitem(last=False)
            if tombstone is None:
                data = self._row(key)
                if data is not None:
                    return data
                continue
            self._state_number += 1
            return encode(
                Change(
                    op="del",
                    publisher=self.role,
                    incarnation=self.incarnation,
                    stream=self._states,
                    number=self._state_number,
                    key=key,
                    at=tombstone.at,
                    wall_at=tombstone.wall_at,
                    generation=tombstone.generation,
                    message=None,
                )
            )
        return None

    def _event(self) -> bytes | None:
        """The bytes of the next unsent event that can be written."""
        while self._event_sent < self._event_number:
            change = self._ring[max(0, self._event_sent + 1 - self._ring[0].number)]
            self._event_sent = change.number
            self._event_ever_sent = max(self._event_ever_sent, change.number)
            try:
                return encode(change)
            except CodecError as error:  # its number stays a hole, which readers count as a loss
                self._problem(str(error))
        return None

    def _may_publish(self, message: Message) -> bool:
        if self.role in message.PUBLISHERS:
            return True
        self._problem(f"{self.role} does not publish {message.KIND}")
        return False

    def _problem(self, text: str) -> None:
        self.refused += 1
        self.last_problem = text
