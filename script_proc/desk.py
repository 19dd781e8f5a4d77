"""The book and its journal as one: what is committed is kept first and counts then. The shell of ``book``."""

from __future__ import annotations

import os

from structlog.stdlib import BoundLogger

from script_proc.book import Book, Entry, Task
from script_proc.journal import Journal, JournalError
from worker.context import WorkerContext

JOURNAL = "notify.journal"


class Desk:
    """``continued``: there was a predecessor, ``book`` is as it left it."""

    def __init__(self, ctx: WorkerContext, log: BoundLogger) -> None:
        self._log = log
        self._troubled = False
        self.book = Book()
        self.continued = False
        self._control = ctx.control
        self._kept = {name: fd for name, fd in ctx.kept_fds.items() if name.startswith("notify.")}
        fd = self.take(JOURNAL)
        journal: Journal | None = None
        if fd is not None:
            try:
                journal = Journal(fd)
                for entry in journal.read():
                    self.book.play(entry)
                self.continued = bool(self.book.next_number > 1 or self.book.cursors or self.book.born_at)
            except Exception as error:  # noqa: BLE001 - whatever is in there, the worker must start
                log.error("notify.journal_lost", reason=f"{type(error).__name__}: {error}")
                self.book, journal, self.continued = Book(), None, False
        if journal is None:
            journal = Journal()
            self.store(JOURNAL, journal.fileno())
        self._journal = journal

    # --- descriptors with the supervisor -----------------------------------------------------------

    def take(self, name: str) -> int | None:
        """A descriptor that the predecessor left, the caller's from now on. None: there is none."""
        return self._kept.pop(name, None)

    def store(self, name: str, fd: int) -> None:
        """Let a successor have it."""
        self._control.store(name, fd)

    def unstore(self, name: str) -> None:
        self._control.unstore(name)

    def drop_rest(self) -> None:
        """What the predecessor left and nobody took is no longer needed."""
        for name, fd in self._kept.items():
            os.close(fd)
            self.unstore(name)
        self._kept.clear()

    # --- entries -----------------------------------------------------------------------------------

    def commit(self, *entry: object) -> list[Task]:
        """Keep an entry, then make it so. Returns the tasks that it brings."""
        done: Entry = entry
        try:
            self._journal.append(done, self.book.snapshot)
        except JournalError as error:
            if not self._troubled:
                self._troubled = True
                self._log.error(
                    "notify.journal_full", reason=str(error),
                    effect="what is told from now on is not continued by a restarted worker",
                )  # fmt: skip
        else:
            self._troubled = False
        return self.book.play(done)

    def close(self) -> None:
        self._journal.close()
