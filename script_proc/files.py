"""Tracked files (track_file): their numbers, found again when they change.

Changes are told by inotify: of the folders and links that lead to the file (it may appear, be replaced, be
moved away, with its folder), and of the file itself (another name of it is written). Where the kernel tells
nothing (/proc, network file systems, what a mount hides) a look each ``LOOK_EACH_S`` finds them; with no
inotify at all, a look each second.

Nothing here waits: what is not a regular file is not opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping

import structlog

from keepalived_conf.model import TrackFile
from script_proc import init_file
from script_proc.file_value import READ_BYTES, Reading, reading
from script_proc.inotify import (
    CLOSE_WRITE,
    DELETE,
    DELETE_SELF,
    IGNORED,
    ITSELF,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    NAMES,
    ONLY_FOLDER,
    OVERFLOW,
    UNMOUNT,
    Inotify,
    way_of,
)

OnValue = Callable[[str, int, str], None]
"""(name, value, text for people)"""

LOOK_EACH_S = 10.0
_TICK_S = 1.0
_CONFIRM_S = 0.1
_CONFIRMATIONS = 5
_READS_AT_ONCE = 16
UMASK = 0o177
"""keepalived's default."""

_SURE = CLOSE_WRITE | DELETE | MOVED_FROM | MOVED_TO | DELETE_SELF | MOVE_SELF | UNMOUNT
"""After these the file is as its writer wants it."""
_OUR_OWN_FAULT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})


def look(path: str) -> Reading:
    """Read a tracked file now. What is missing or cannot be read counts as 0."""
    try:
        # Opening a device or a pipe may do something to it.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Reading(0, "not a regular file", True)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return Reading(0, "not a regular file", True)
            return reading(os.read(fd, READ_BYTES))
        finally:
            os.close(fd)
    except FileNotFoundError:
        return Reading(0, "missing")
    except OSError as error:
        if error.errno in _OUR_OWN_FAULT:
            return Reading(None, f"not read for now: {error.strerror}", True)
        return Reading(0, f"not readable: {error.strerror}", True)
    except ValueError:
        return Reading(0, "not the name of a file", True)


class _Tracked:
    """One file: what is known of it and what is watched for it."""

    def __init__(self, wanted: TrackFile, value: int) -> None:
        self.wanted = wanted
        self.value = value
        self.text = ""
        self.problem = ""
        self.wds: set[int] = set()
        self.watched = False
        """The kernel tells of each change, as far as it can."""
        self.unsure: Reading | None = None
        """Seen at a moment when the file may have been half written; to be confirmed."""
        self.confirmations = 0


class FileTrackers:
    """All tracked files of the worker, on the running loop. See the module."""

    def __init__(
        self, on_value: OnValue, log: structlog.stdlib.BoundLogger, *, look_each_s: float = LOOK_EACH_S
    ) -> None:
        self._on_value, self._log = on_value, log
        self._turns = max(1, round(look_each_s / _TICK_S))
        self._tick_s = min(_TICK_S, look_each_s)
        self._files: dict[str, _Tracked] = {}
        self._inotify: Inotify | None = None
        self._users: dict[int, dict[str, set[str]]] = {}
        """Watch -> name in the folder ("": itself) -> names of the trackers that it matters to."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._turn = 0
        self._said_no_inotify = False

    def apply(
        self,
        wanted: Iterable[TrackFile],
        *,
        first_start: bool = False,
        held: Mapping[str, int] | None = None,
        umask: int | None = None,
    ) -> None:
        """Follow these files from now on; tells the value of each at once.

        ``first_start``: the daemon starts, so ``init_file`` counts (never at a reload or a restart of the
        worker). ``held``: values of an earlier incarnation, for files that say nothing now.
        """
        wanted = tuple(wanted)
        if first_start:
            self._initialise(wanted, 0o666 & ~(UMASK if umask is None else umask))
        before, self._files = self._files, {}
        for one in wanted:
            old = before.pop(one.name, None)
            if old is not None and old.wanted.file == one.file:
                old.wanted = one
                self._files[one.name] = old
            else:
                if old is not None:
                    self._unwatch(one.name, old)
                self._files[one.name] = _Tracked(one, (held or {}).get(one.name, old.value if old else 0))
        for name, old in before.items():
            self._unwatch(name, old)
        if self._files:
            self._open()
        else:
            self.close()
        for name, tracked in self._files.items():
            self._look(name, tracked, sure=True, tell=True)

    def close(self) -> None:
        """Forget all files; apply may be called again."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._shut()
        self._files.clear()

    # --- what the kernel tells ---------------------------------------------------------------------

    def _open(self) -> None:
        if self._inotify is None:
            try:
                self._inotify = Inotify()
            except OSError as error:
                self._no_inotify(str(error))
            else:
                asyncio.get_running_loop().add_reader(self._inotify.fd, self._readable)
        if "" not in self._timers:
            self._later("", self._tick_s, self._tick)

    def _shut(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None
        self._users.clear()

    def _no_inotify(self, reason: str) -> None:
        if not self._said_no_inotify:
            self._said_no_inotify = True
            hint = "raise fs.inotify.max_user_watches and max_user_instances (sysctl)"
            self._log.warning("script.file_not_watched", reason=reason, look_each_s=_TICK_S, hint=hint)

    def _later(self, key: str, delay_s: float, what: Callable[[], None]) -> None:
        if (old := self._timers.pop(key, None)) is not None:
            old.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(delay_s, what)

    def _readable(self) -> None:
        touched: dict[str, bool] = {}
        for _ in range(_READS_AT_ONCE):
            events = self._inotify.read() if self._inotify is not None else []
            if not events:
                break
            for event in events:
                if event.mask & OVERFLOW:
                    self._log.info("script.file_events_lost", action="looking at all files")
                    touched |= dict.fromkeys(self._files, False) | touched
                    continue
                users = self._users.get(event.wd)
                if users is None:
                    continue
                for name in users.get(event.name, ()):
                    touched[name] = touched.get(name, False) or bool(event.mask & _SURE)
                if event.mask & IGNORED:
                    # The kernel has dropped the watch, and may give its number away again.
                    del self._users[event.wd]
                    for name in {name for names in users.values() for name in names}:
                        touched.setdefault(name, False)
        for name, sure in touched.items():
            if (tracked := self._files.get(name)) is not None:
                self._look(name, tracked, sure=sure)

    def _watch(self, name: str, tracked: _Tracked) -> None:
        """Watch all that decides what the file is. Looks again until nothing changed meanwhile."""
        if self._inotify is None:
            return
        way = way_of(tracked.wanted.file)
        for _ in range(4):
            wds: dict[int, set[str]] = {}
            complete = True
            wishes = [(folder, ITSELF | ONLY_FOLDER, "") for folder in way.folders]
            wishes += [(folder, NAMES | ITSELF | ONLY_FOLDER, entry) for folder, entry in way.names]
            if way.file is not None:
                wishes.append((way.file, CLOSE_WRITE, ""))
            for path, mask, entry in wishes:
                try:
                    wd = self._inotify.add(path, mask)
                except FileNotFoundError:
                    continue  # gone since: the way is another one now
                except OSError as error:
                    complete = False
                    if path != way.file and error.errno in (errno.ENOSPC, errno.ENOMEM):
                        self._no_inotify(str(error))
                    continue
                wds.setdefault(wd, {""}).add(entry)
            tracked.watched = complete
            self._register(name, tracked, wds)
            now = way_of(tracked.wanted.file)
            if now == way:
                return
            way = now

    def _register(self, name: str, tracked: _Tracked, wds: dict[int, set[str]]) -> None:
        before, tracked.wds = tracked.wds, set(wds)
        for wd in before:
            self._forget(name, wd, keep=wd in wds)
        for wd, entries in wds.items():
            users = self._users.setdefault(wd, {})
            for entry in entries:
                users.setdefault(entry, set()).add(name)

    def _forget(self, name: str, wd: int, *, keep: bool) -> None:
        users = self._users.get(wd)
        if users is None:
            return
        for entry in [entry for entry, names in users.items() if name in names]:
            users[entry].discard(name)
            if not users[entry]:
                del users[entry]
        if not users and not keep:
            del self._users[wd]
            if self._inotify is not None:
                self._inotify.remove(wd)

    def _unwatch(self, name: str, tracked: _Tracked) -> None:
        self._register(name, tracked, {})
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    # --- looking -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        """A tenth of the files each second; all that nothing is told of."""
        self._later("", self._tick_s, self._tick)
        self._turn = (self._turn + 1) % self._turns
        for number, (name, tracked) in enumerate(list(self._files.items())):
            if not tracked.watched or number % self._turns == self._turn:
                self._look(name, tracked, sure=False)

    def _look(self, name: str, tracked: _Tracked, *, sure: bool, tell: bool = False) -> None:
        self._watch(name, tracked)
        found = look(tracked.wanted.file)
        changed = found.value is not None and found.value != tracked.value
        if changed and not sure:
            if tracked.unsure is None:
                tracked.unsure = found
                self._later(name, _CONFIRM_S, lambda: self._confirm(name, tracked))
            return
        tracked.unsure, tracked.confirmations = None, 0
        self._warn(name, tracked, found)
        text = found.text
        if found.value is None:
            text = f"{tracked.value} stays: {text}"
        elif found.value != tracked.value:
            tracked.value = found.value
            tell = True
        if tell or text != tracked.text:
            tracked.text = text
            self._on_value(name, tracked.value, text)

    def _confirm(self, name: str, tracked: _Tracked) -> None:
        del self._timers[name]
        before, tracked.unsure = tracked.unsure, None
        if before is None:
            return  # found out for sure meanwhile
        tracked.confirmations += 1
        same = look(tracked.wanted.file) == before
        self._look(name, tracked, sure=same or tracked.confirmations >= _CONFIRMATIONS)

    def _warn(self, name: str, tracked: _Tracked, found: Reading) -> None:
        problem = found.text if found.problem else ""
        if problem and problem != tracked.problem:
            self._log.warning(
                "script.file_odd",
                tracker=name,
                file=tracked.wanted.file,
                reason=problem,
                counts_as=tracked.value if found.value is None else found.value,
            )
        tracked.problem = problem

    # --- init_file ---------------------------------------------------------------------------------

    def _initialise(self, wanted: Iterable[TrackFile], mode: int) -> None:
        failed: dict[str, str] = {}
        forbidden: list[tuple[str, int]] = []
        for one in wanted:
            if one.init_file is None:
                continue
            try:
                with contextlib.suppress(FileNotFoundError):
                    kind = os.stat(one.file).st_mode
                    if not one.init_file.overwrite:
                        continue
                    if not stat.S_ISREG(kind):
                        failed[one.file] = "not a regular file"
                        continue
                init_file.write(one.file, one.init_file.value, mode)
            except PermissionError:
                forbidden.append((one.file, one.init_file.value))
            except (OSError, ValueError) as error:
                failed[one.file] = str(error)
        if forbidden:
            failed |= init_file.write_as_root(forbidden, mode)
        for path, reason in failed.items():
            self._log.warning("script.file_not_initialised", file=path, reason=reason)
