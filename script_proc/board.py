"""The trackers as the bus and the black box have them: every kind in one place.

What a new value does, in this order: the record in the black box, the state on the bus, the event, the log
line. A worker killed anywhere in between is continued from the record, and its successor says the state
again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from structlog.stdlib import BoundLogger

from bus.messages import Event, State, TrackerChanged, TrackerState
from script_proc.ledger import Ledger, TrackerRecord, stored_key
from worker.blackbox import BlackBox

Kind = Literal["script", "file", "process"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_APPLIED = "worker:applied"
"""Key of a record that says so, and when that was last true."""
REFRESH_S = 10.0
"""An unchanged record is said again after this time (or at its next result, if that is later)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracker:
    """Who it is, and how often it is looked at."""

    kind: Kind
    name: str
    interval_s: float = 0.0
    """0: when it changes."""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(slots=True)
class _Row:
    tracker: Tracker
    record: TrackerRecord
    said_at: float = float("-inf")


class Board:
    """See the module. ``say``: to the bus; ``delete``: a record of ``s.script`` by its key."""

    def __init__(
        self,
        *,
        say: Callable[[State | Event], None],
        delete: Callable[[str], None],
        box: BlackBox | None,
        log: BoundLogger,
    ) -> None:
        self._say, self._delete, self._box, self._log = say, delete, box, log
        self._rows: dict[str, _Row] = {}
        self._ledger = Ledger(box.records if box is not None else 0)
        self._without_room: set[str] = set()
        self.left = self._ledger.load(box.read) if box is not None else {}
        """What earlier incarnations left, by stored key."""
        before = self.left.pop(_APPLIED, None)
        self.first_start = box is not None and before is None
        """No worker of this daemon has applied a configuration before; known with a black box only."""
        self.former_beat_at = before.last_at if before is not None else 0.0
        """When an earlier incarnation was last known to work."""

    def left_of(self, kind: Kind, name: str) -> TrackerRecord | None:
        return self.left.get(stored_key(f"{kind}:{name}"))

    def record(self, kind: Kind, name: str) -> TrackerRecord | None:
        """As it was last kept."""
        row = self._rows.get(f"{kind}:{name}")
        return None if row is None else row.record

    def values(self, kind: Kind) -> dict[str, int]:
        """Name -> value of all that are known."""
        return {
            row.tracker.name: row.record.value
            for row in self._rows.values()
            if row.tracker.kind == kind and row.record.value is not None
        }

    # --- configuration -------------------------------------------------------------------------

    def applied(self) -> None:
        """The first configuration is in effect."""
        if self.first_start:
            self.first_start = False
            self.beat(0.0)

    def beat(self, now: float) -> None:
        """We work: with each heartbeat, once a configuration is in effect."""
        write = self._ledger.put(_APPLIED, TrackerRecord(value=1, since_at=0.0, last_at=now))
        if write is not None and self._box is not None:
            self._box.write(*write)

    def retain(self, trackers: Iterable[Tracker], now: float) -> None:
        """These are tracked from now on. What is new is said: as it was left, or as not known yet."""
        wanted = {tracker.key: tracker for tracker in trackers}
        stored = {stored_key(key) for key in wanted}
        for key in [key for key in self._rows if key not in wanted]:
            del self._rows[key]
            self._delete(key)
            self._forget(key)
        for name in [name for name in self.left if name not in stored]:
            self._forget(name)
        for key, tracker in wanted.items():
            row = self._rows.get(key)
            if row is not None:
                if row.tracker != tracker:
                    row.tracker = tracker
                    self._show(row, now)
                continue
            record = self.left_of(tracker.kind, tracker.name)
            if record is None or record.since_at > now:
                record = TrackerRecord(value=None, since_at=now)
            row = self._rows[key] = _Row(tracker=tracker, record=record)
            self.keep(key, record)
            self._show(row, now)
        self.left = {}
        if self._without_room and self._box is not None:
            self._log.warning(
                "script.box_full", trackers=len(self._rows), room=self._ledger.records,
                effect="a restarted script worker finds out the trackers without room anew",
            )  # fmt: skip

    # --- values --------------------------------------------------------------------------------

    def keep(self, key: str, record: TrackerRecord) -> None:
        """Into the black box only."""
        row = self._rows.get(key)
        if row is None:
            return
        row.record = record
        write = self._ledger.put(key, record)
        if write is None:
            self._without_room.add(key)
        elif self._box is not None:
            self._box.write(*write)

    def found(self, key: str, record: TrackerRecord, now: float, *, notable: bool) -> None:
        """What a tracker says now. ``notable``: readers should see it, even if its value is the same."""
        row = self._rows.get(key)
        if row is None:
            return
        before = row.record.value
        self.keep(key, record)
        if notable or now - row.said_at >= REFRESH_S:
            self._show(row, now)
        if record.value is not None and record.value != before:
            self._say(
                TrackerChanged(
                    tracker_kind=row.tracker.kind,
                    name=row.tracker.name,
                    value=record.value,
                    before=before,
                    reason=record.text,
                )
            )
            self._log_change(row.tracker, record.value, before, record.text)
        elif notable:
            self._log.info(
                "tracker.result", kind=row.tracker.kind, name=row.tracker.name, value=record.value,
                reason=record.text, failures=record.failures, successes=record.successes,
            )  # fmt: skip

    def value(self, kind: Kind, name: str, value: int, text: str, now: float) -> None:
        """The number of a tracked file, or whether the processes of a vrrp_track_process are there."""
        record = self.record(kind, name)
        if record is None:
            return
        since_at = record.since_at if record.value == value else now
        young = replace(record, value=value, since_at=since_at, last_at=now, text=text)
        self.found(f"{kind}:{name}", young, now, notable=(value, text) != (record.value, record.text))

    def _log_change(self, tracker: Tracker, value: int, before: int | None, reason: str) -> None:
        if tracker.kind == "file":
            event, say = "tracker.number", self._log.info
        elif value:
            event, say = "tracker.good", self._log.info
        else:
            event, say = "tracker.bad", self._log.warning
        say(event, kind=tracker.kind, name=tracker.name, value=value, before=before, reason=reason)

    def _show(self, row: _Row, now: float) -> None:
        row.said_at = now
        self._say(state_of(row.tracker, row.record, now, time.time()))

    def _forget(self, key: str) -> None:
        self._without_room.discard(key)
        write = self._ledger.remove(key)
        if write is not None and self._box is not None:
            self._box.write(*write)


def state_of(tracker: Tracker, record: TrackerRecord, now: float, wall: float) -> TrackerState:
    """The bus record of a tracker. ``wall`` is the wall clock at ``now``."""
    return TrackerState(
        tracker_kind=tracker.kind,
        name=tracker.name,
        value=record.value,
        since_at=record.since_at,
        since_wall_at=wall - (now - record.since_at),
        interval_s=tracker.interval_s,
        last_result=record.text,
        last_at=record.last_at or None,
        successes=record.successes,
        failures=record.failures,
    )
