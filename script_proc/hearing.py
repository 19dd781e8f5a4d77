"""What the bus says about states, as what is to be told: each change once, and the last state always.

An event is told when it is heard. A record tells that events were missed: when it stays ahead of the events
for ``GRACE_S`` (they travel on another stream), its state is told in their place. The shell's part that
knows the messages of the bus.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from bus import messages
from bus.replica import Changed, EventHappened, Gap, Record, Removed, Snapshot, Update
from script_proc.book import Entry, Task, plain
from script_proc.desk import Desk
from script_proc.notify import (
    Happening,
    Kind,
    Line,
    LowerPriorityHeard,
    PriorityChanged,
    QuorumChanged,
    Rules,
    ServerChanged,
    StateName,
    Transition,
)

GRACE_S = 2.0
BURST_S = 0.03
"""vrrp tells of a group before its members, keepalived after them: how long the members are waited for."""
REPEAT_S = 0.1
"""After a reload: what vrrp has said of its states by then is what is repeated."""

_STATES: dict[str, StateName] = {"MASTER": "MASTER", "BACKUP": "BACKUP", "FAULT": "FAULT", "STOP": "INIT"}


@dataclass(slots=True)
class _Ahead:
    """A record whose events have not come."""

    record: Record
    due_at: float


class Hearing:
    """``perform`` is given the tasks of each change, in order; ``later(seconds, call)`` is the loop's."""

    def __init__(
        self,
        *,
        desk: Desk,
        rules: Rules,
        log: BoundLogger,
        perform: Callable[[list[Task]], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._desk, self._rules, self._log, self._perform = desk, rules, log, perform
        self._later = later
        self._burst: list[Record] = []
        """A group's transition, and those of its members so far: nothing of it is handled yet."""
        self._ahead: dict[str, _Ahead] = {}
        self.states: dict[str, messages.VrrpInstanceState | messages.VrrpGroupState] = {}
        """As last heard: ``INSTANCE NAME`` or ``GROUP NAME`` ->"""
        self._committed_at = math.inf
        """When the last reload began to be applied: later transitions are of it."""
        self._applied: Record | None = None
        """A reload has ended, and its states are still to be repeated."""
        self.missed = 0
        """Transitions whose events never came."""

    def handle(self, update: Update, now: float) -> None:
        """Anything a Subscriber says."""
        if isinstance(update, Snapshot):
            for record in update.records:
                if update.stream.startswith("e."):
                    self._event(record, now)
                else:
                    self._state(record, now)
        elif isinstance(update, Changed):
            self._state(update.record, now)
        elif isinstance(update, EventHappened):
            self._event(update.record, now)
        elif isinstance(update, Removed):
            self._removed(update.record)
        elif isinstance(update, Gap) and update.stream.startswith("e."):
            self._log.warning(
                "notify.gap",
                stream=update.stream,
                lost=update.lost,
                effect="the last state is told all the same",
            )

    def tick(self, now: float) -> None:
        """Tell what the events did not."""
        for key in [key for key, ahead in self._ahead.items() if now >= ahead.due_at]:
            self._tell_record(key, self._ahead.pop(key).record, now)

    # --- events ----------------------------------------------------------------------------------

    def _event(self, record: Record, now: float) -> None:
        if not self._desk.book.is_news(record.stream, record.incarnation, record.number):
            return
        event = record.message
        if record.stream == "e.supervisor":
            if isinstance(event, messages.ReloadEvent):
                self._reload(record, event)
            return
        if self._burst and record.stream == self._burst[0].stream:
            if self._is_of_burst(event):
                self._burst.append(record)
                if self._burst_is_whole():
                    self.flush(now)
                return
            self.flush(now)
        if isinstance(event, messages.VrrpGroupTransition) and event.from_state != "INIT":
            self._burst = [record]
            self._later(BURST_S, lambda: self._end_burst(record))
            return
        self._perform(self._desk.commit(*self._entry(record, now)))

    def _entry(self, record: Record, now: float, *, counted: bool = True) -> tuple[object, ...]:
        """What an event leads to, as an entry. ``counted``: it moves the cursor of its stream."""
        what, told = self._meaning(record, now)
        ours = what is not None and record.at >= self._desk.book.born_at
        effects = self._rules.effects(what, now) if what is not None and ours else []
        place = (record.stream, record.incarnation, record.number) if counted else ("", 0, 0)
        return ("event", *place, record.at, told, tuple(map(plain, effects)))

    # --- reload ------------------------------------------------------------------------------------

    def _reload(self, record: Record, event: messages.ReloadEvent) -> None:
        if event.what == "committed":
            self._committed_at = record.at
        elif event.what == "applied" and record.at >= self._desk.book.born_at:
            waiting = self._applied
            if waiting is not None and (waiting.incarnation, waiting.number) == (
                record.incarnation,
                record.number,
            ):
                return  # the broker says it again
            self._repeat()
            if self._rules.settings.fifo_write_vrrp_states_on_reload:
                self._applied = record
                self._later(REPEAT_S, lambda: self._repeat(record))

    def _repeat(self, record: Record | None = None) -> None:
        """Tell the FIFOs where every instance and group is now (fifo_write_vrrp_states_on_reload). What came
        to be by the reload has been told already."""
        if self._applied is None or record not in (None, self._applied):
            return
        record, self._applied = self._applied, None
        effects: list[Entry] = []
        for kind, name in self._rules.followed():
            state = self.states.get(f"{kind} {name}")
            if state is None or state.state == "INIT" or state.since_at >= self._committed_at:
                continue
            what = Transition(
                kind=kind,
                name=name,
                before=state.state,
                after=state.state,
                priority=state.priority if isinstance(state, messages.VrrpInstanceState) else 0,
            )
            found = self._rules.effects(what, record.at)
            effects += [plain(one) for one in found if isinstance(one, Line)]
        place = record.stream, record.incarnation, record.number
        self._perform(self._desk.commit("event", *place, record.at, None, tuple(effects)))

    # --- groups ------------------------------------------------------------------------------------

    def _is_of_burst(self, event: object) -> bool:
        """A member of the group followed it."""
        group = self._burst[0].message
        assert isinstance(group, messages.VrrpGroupTransition)
        known = self.states.get(f"GROUP {group.group}")
        return (
            isinstance(event, messages.VrrpTransition)
            and event.to_state == group.to_state
            and (not isinstance(known, messages.VrrpGroupState) or event.instance in known.members)
        )

    def _burst_is_whole(self) -> bool:
        group = self._burst[0].message
        assert isinstance(group, messages.VrrpGroupTransition)
        known = self.states.get(f"GROUP {group.group}")
        return isinstance(known, messages.VrrpGroupState) and len(self._burst) > len(known.members)

    def _end_burst(self, record: Record) -> None:
        if self._burst and self._burst[0] is record:
            self.flush(record.at)

    def flush(self, now: float) -> None:
        """Handle a group's transition as keepalived tells it: members first. All of it in one entry, so a
        successor finds either nothing of it handled, and hears it again, or everything."""
        if not self._burst:
            return
        (group, *members), self._burst = self._burst, []
        if not members:
            self._perform(self._desk.commit(*self._entry(group, now)))
            return
        entries = [self._entry(record, now) for record in members]
        entries.append(self._entry(group, now, counted=False))
        self._perform(self._desk.commit("batch", *entries))

    def _meaning(self, record: Record, now: float) -> tuple[Happening | None, tuple[object, ...] | None]:
        """What an event says (None: nothing that was not told before), and what is to be remembered of it."""
        event = record.message
        if isinstance(event, messages.VrrpTransition):
            return self._transition(
                record, event.number, now,
                Transition(
                    kind="INSTANCE", name=event.instance, before=event.from_state, after=event.to_state,
                    priority=event.priority, removed=event.removed,
                ),
            )  # fmt: skip
        if isinstance(event, messages.VrrpGroupTransition):
            return self._transition(
                record, event.number, now,
                Transition(
                    kind="GROUP", name=event.group, before=event.from_state, after=event.to_state, priority=0
                ),
            )  # fmt: skip
        if isinstance(event, messages.VrrpLowerPriorityHeard):
            return LowerPriorityHeard(name=event.instance, priority=event.priority), None
        if isinstance(event, messages.VrrpPriorityChanged):
            if event.detail == "reload":
                return None, None  # keepalived tells what trackers do
            return PriorityChanged(name=event.instance, state=event.state, priority=event.priority), None
        if isinstance(event, messages.RealServerChanged):
            if not event.turned:
                return None, None
            key = f"RS {event.virtual_server} {event.real_server}"
            server = ServerChanged(
                service=event.virtual_server,
                server=event.real_server,
                up=event.alive,
                confirmed=event.confirmed,
                reason=event.reason,
            )
            return self._service_or_server(key, server, removed=event.removed)
        if isinstance(event, messages.QuorumChanged):
            service = QuorumChanged(
                service=event.virtual_server, up=event.up, weight_up=event.weight_up, quorum=event.quorum
            )
            return self._service_or_server(f"VS {event.virtual_server}", service, removed=event.removed)
        return None, None

    def _transition(
        self, record: Record, number: int, now: float, what: Transition
    ) -> tuple[Transition | None, tuple[object, ...] | None]:
        key = f"{what.kind} {what.name}"
        missed = self._desk.book.missed(key, record.incarnation, number)
        if missed is None:
            return None, None
        if missed:
            self._note_missed(key, missed)
        if what.removed:
            return what, ("forget", key)
        state = self._rules.word(what, now)
        return what, ("told", key, record.incarnation, number, state)

    def _service_or_server(
        self, key: str, what: ServerChanged | QuorumChanged, *, removed: bool
    ) -> tuple[Happening | None, tuple[object, ...]]:
        # A successor of the ipvs worker may say once more what was told of.
        news = self._desk.book.servers.get(key) != what.up
        return what if news else None, ("forget", key) if removed else ("server", key, what.up)

    def _note_missed(self, key: str, missed: int) -> None:
        self.missed += missed
        self._log.warning("notify.missed", what=key, transitions=missed, why="their events never came")

    # --- records ---------------------------------------------------------------------------------

    def _state(self, record: Record, now: float) -> None:
        state = record.message
        if isinstance(state, messages.VrrpInstanceState | messages.VrrpGroupState):
            key = _key(state)
            self.states[key] = state
            told = self._desk.book.told.get(key)
            if (
                told is not None
                and told.incarnation == record.incarnation
                and told.number >= state.transitions
            ):
                self._ahead.pop(key, None)
            elif key in self._ahead:
                self._ahead[key].record = record
            else:
                self._ahead[key] = _Ahead(record, now + GRACE_S)

    def _removed(self, record: Record) -> None:
        state = record.message
        if isinstance(state, messages.VrrpInstanceState | messages.VrrpGroupState):
            self.states.pop(_key(state), None)
            self._ahead.pop(_key(state), None)
        elif isinstance(state, messages.RealServerState):
            self._forget_server(f"RS {state.virtual_server} {state.real_server}")
        elif isinstance(state, messages.VirtualServerState):
            self._forget_server(f"VS {state.virtual_server}")

    def _forget_server(self, key: str) -> None:
        if key in self._desk.book.servers:
            self._desk.commit("forget", key)

    def _tell_record(self, key: str, record: Record, now: float) -> None:
        """The events of a record's last changes have not come in time."""
        state = record.message
        assert isinstance(state, messages.VrrpInstanceState | messages.VrrpGroupState)
        book, number = self._desk.book, state.transitions
        told = book.told.get(key)
        missed = book.missed(key, record.incarnation, number)
        if told is not None and missed is None:
            return
        kind: Kind = "INSTANCE" if isinstance(state, messages.VrrpInstanceState) else "GROUP"
        what = Transition(
            kind=kind,
            name=key.partition(" ")[2],
            before=_STATES.get(told.state, "INIT") if told is not None else "INIT",
            after=state.state,
            priority=state.priority if isinstance(state, messages.VrrpInstanceState) else 0,
        )
        word = self._rules.word(what, now)
        if told is None:
            # Not known to us: told only if it came to be in our time, and was ever told by anybody.
            tell = state.since_at >= book.born_at and state.state != "INIT"
        else:
            tell = told.state != word
            if state.state == "INIT":
                # A beginning is told by nobody, an end always has a number of its own.
                tell = tell and told.incarnation == record.incarnation and number > told.number
            if number > told.number:
                self._note_missed(key, number - told.number)
        effects = self._rules.effects(what, now) if tell else []
        entry = ("told", key, record.incarnation, number, word)
        self._perform(self._desk.commit("event", "", 0, 0, state.since_at, entry, tuple(map(plain, effects))))


def _key(state: messages.VrrpInstanceState | messages.VrrpGroupState) -> str:
    if isinstance(state, messages.VrrpInstanceState):
        return f"INSTANCE {state.instance}"
    return f"GROUP {state.group}"
