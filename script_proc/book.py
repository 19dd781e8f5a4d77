"""What was told and what is still to be done about it, as entries that a successor plays again. Pure.

Every change of the book is an entry: a tuple of plain values. Whoever changes it writes the entry where it
outlives the process and then has it played; a successor plays the entries it finds and stands where the
former one stood. One entry holds an event together with everything that follows from it, so an event is
either not handled at all or leads to all its scripts, lines and mails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from keepalived_conf.model import Script
from script_proc.notify import Effect, Line, Mail, Run

MAX_LINES = 10_000
"""Lines that wait for a reader, per FIFO. Above it the oldest is lost."""
MAX_MAILS = 1_000

Entry = tuple[Any, ...]
"""Plain values: int, float, str, bytes, bool, tuples of them."""


@dataclass(frozen=True, slots=True)
class Told:
    """The last state of an instance or a group that was handled, told or not worth telling."""

    incarnation: int
    """Of vrrp, that said it."""
    number: int
    """Of the transition."""
    state: str
    """As it was told: MASTER, BACKUP, FAULT, STOP."""


@dataclass(slots=True)
class Task:
    """One effect that is not done yet."""

    number: int
    at: float
    """When what it is about happened, CLOCK_BOOTTIME."""
    effect: Effect
    placed: bool = False
    """A line: it is on its way into the FIFO, see ``fifo``."""
    process: Process | None = None
    """A script: it was started."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process for ever: no other one has both numbers (until a reboot)."""

    pid: int
    start_ticks: int
    started_at: float


@dataclass(slots=True)
class Book:
    """Change it by ``play`` only."""

    cursors: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Stream -> (incarnation, number) of the last event handled."""
    told: dict[str, Told] = field(default_factory=dict)
    """``INSTANCE NAME`` or ``GROUP NAME`` ->"""
    servers: dict[str, bool] = field(default_factory=dict)
    """Virtual (and real) server -> up, as told."""
    tasks: dict[int, Task] = field(default_factory=dict)
    """By number, in order."""
    lines: dict[str, deque[Task]] = field(default_factory=dict)
    """Path of a FIFO -> its lines, in order."""
    mails: deque[Task] = field(default_factory=deque)
    made: set[str] = field(default_factory=set)
    """FIFOs that were created by us."""
    readers: dict[str, Process] = field(default_factory=dict)
    """Path of a FIFO -> the script that reads it."""
    written: int = 0
    """Lines written to FIFOs since the first incarnation; so the others."""
    sent: int = 0
    lost_lines: int = 0
    lost_mails: int = 0
    next_number: int = 1
    born_at: float = 0.0
    """Since when events are ours to tell: the start of the first incarnation. 0: no entry yet."""

    # --- questions -------------------------------------------------------------------------------

    def is_news(self, stream: str, incarnation: int, number: int) -> bool:
        """Whether an event of a stream was not handled yet."""
        return (incarnation, number) > self.cursors.get(stream, (0, 0))

    def missed(self, key: str, incarnation: int, number: int) -> int | None:
        """Transitions between the last one handled and this one; None: this one was handled already."""
        told = self.told.get(key)
        if told is None:
            return 0
        if number > told.number:
            return number - told.number - 1
        # A later vrrp counts from the beginning where its memory was lost.
        return 0 if incarnation > told.incarnation else None

    # --- entries ---------------------------------------------------------------------------------

    def play(self, entry: Entry) -> list[Task]:
        """Make a change; returns the tasks that it brings."""
        kind, *values = entry
        play = getattr(self, f"_{kind}")
        added: list[Task] | None = play(*values)
        return added or []

    def snapshot(self) -> Iterator[Entry]:
        """Entries that make an empty book equal to this one."""
        yield ("totals", self.written, self.sent, self.lost_lines, self.lost_mails, self.next_number)
        yield ("born", self.born_at)
        for stream, place in self.cursors.items():
            yield ("event", stream, *place, 0.0, None, ())
        for key, told in self.told.items():
            yield ("told", key, told.incarnation, told.number, told.state)
        for key, up in self.servers.items():
            yield ("server", key, up)
        for path in sorted(self.made):
            yield ("made", path, True)
        for path, process in self.readers.items():
            yield ("reader", path, process.pid, process.start_ticks, process.started_at)
        for task in self.tasks.values():
            yield ("task", task.number, task.at, plain(task.effect))
            if task.process is not None:
                process = task.process
                yield ("started", task.number, process.pid, process.start_ticks, process.started_at)
            if task.placed:
                yield ("placed", task.number)

    def _event(
        self, stream: str, incarnation: int, number: int, at: float, told: Entry | None, effects: Entry
    ) -> list[Task]:
        """An event was handled. ``told``: an entry of kind ``told``, ``server`` or ``forget``."""
        if stream:
            self.cursors[stream] = (incarnation, number)
        if told is not None:
            self.play(told)
        added: list[Task] = []
        for effect in effects:
            added += self._task(self.next_number, at, effect)
        return added

    def _batch(self, *entries: Entry) -> list[Task]:
        """Several at once."""
        return [task for entry in entries for task in self.play(entry)]

    def _born(self, at: float) -> None:
        self.born_at = at

    def _task(self, number: int, at: float, effect: Entry) -> list[Task]:
        task = Task(number, at, effect_of(effect))
        self.next_number = max(self.next_number, number + 1)
        self.tasks[number] = task
        if isinstance(task.effect, Line):
            waiting = self.lines.setdefault(task.effect.fifo, deque())
            waiting.append(task)
            if len(waiting) > MAX_LINES:
                # Never one that is on its way already.
                oldest = next(one for one in waiting if not one.placed)
                waiting.remove(oldest)
                del self.tasks[oldest.number]
                self.lost_lines += 1
        elif isinstance(task.effect, Mail):
            self.mails.append(task)
            if len(self.mails) > MAX_MAILS:
                del self.tasks[self.mails.popleft().number]
                self.lost_mails += 1
        return [task]

    def _told(self, key: str, incarnation: int, number: int, state: str) -> None:
        self.told[key] = Told(incarnation, number, state)

    def _server(self, key: str, up: bool) -> None:
        self.servers[key] = up

    def _forget(self, key: str) -> None:
        """An instance, a group or a server is gone; another one of that name begins anew."""
        self.told.pop(key, None)
        self.servers.pop(key, None)

    def _started(self, number: int, pid: int, start_ticks: int, started_at: float) -> None:
        if number in self.tasks:
            self.tasks[number].process = Process(pid, start_ticks, started_at)

    def _placed(self, *numbers: int) -> None:
        for number in numbers:
            if number in self.tasks:
                self.tasks[number].placed = True

    def _unplaced(self, *numbers: int) -> None:
        for number in numbers:
            if number in self.tasks:
                self.tasks[number].placed = False

    def _done(self, *numbers: int) -> None:
        for number in numbers:
            task = self.tasks.pop(number, None)
            if task is None:
                continue
            if isinstance(task.effect, Line):
                self._take(self.lines[task.effect.fifo], task)
                self.written += 1
            elif isinstance(task.effect, Mail):
                self._take(self.mails, task)
                self.sent += 1

    def _given_up(self, *numbers: int) -> None:
        """They will not be done."""
        for number in numbers:
            task = self.tasks.get(number)
            if task is None:
                continue
            self._done(number)
            if isinstance(task.effect, Line):
                self.written, self.lost_lines = self.written - 1, self.lost_lines + 1
            elif isinstance(task.effect, Mail):
                self.sent, self.lost_mails = self.sent - 1, self.lost_mails + 1

    @staticmethod
    def _take(waiting: deque[Task], task: Task) -> None:
        if waiting and waiting[0] is task:
            waiting.popleft()
        else:
            waiting.remove(task)

    def _made(self, path: str, by_us: bool) -> None:
        if by_us:
            self.made.add(path)
        else:
            self.made.discard(path)

    def _reader(self, path: str, pid: int, start_ticks: int, started_at: float) -> None:
        """The script of a FIFO was started; pid 0: it ended."""
        if pid:
            self.readers[path] = Process(pid, start_ticks, started_at)
        else:
            self.readers.pop(path, None)

    def _totals(self, written: int, sent: int, lost_lines: int, lost_mails: int, next_number: int) -> None:
        self.written, self.sent, self.lost_lines, self.lost_mails = written, sent, lost_lines, lost_mails
        self.next_number = next_number


def plain(effect: Effect) -> Entry:
    """An effect as plain values."""
    if isinstance(effect, Run):
        script = effect.script
        return (
            "run", effect.key, script.command, script.user, script.group, effect.arguments, effect.purpose,
        )  # fmt: skip
    if isinstance(effect, Line):
        return ("line", effect.fifo, effect.data)
    return ("mail", effect.subject, effect.body)


def effect_of(values: Entry) -> Effect:
    """The other way round. ValueError when it is none."""
    kind, *rest = values
    if kind == "run":
        key, command, user, group, arguments, purpose = rest
        script = Script(command=tuple(command), user=user, group=group)
        return Run(key=key, script=script, arguments=tuple(arguments), purpose=purpose)
    if kind == "line":
        return Line(fifo=rest[0], data=rest[1])
    if kind == "mail":
        return Mail(subject=rest[0], body=rest[1])
    raise ValueError(f"no effect is called {kind!r}")
