"""inotify(7) by its system calls, and the folders that decide where a path leads."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from dataclasses import dataclass

CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
ATTRIB, DELETE_SELF, MOVE_SELF, UNMOUNT, OVERFLOW, IGNORED = 0x4, 0x400, 0x800, 0x2000, 0x4000, 0x8000
ONLY_FOLDER, MASK_ADD = 0x01000000, 0x20000000
_CLOEXEC, _NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK

NAMES = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ATTRIB
"""What happens to the names in a folder. Not each single write: a file that is just being written anew is
empty for a moment, and nobody wants to hear of that."""
ITSELF = MOVE_SELF | DELETE_SELF
"""The folder is no longer where it was."""

_MAX_LINKS = 40
_EVENT = struct.Struct("=iIII")
_libc = ctypes.CDLL(None, use_errno=True)


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


@dataclass(frozen=True, slots=True)
class Event:
    wd: int
    """-1: some were lost (``mask`` is OVERFLOW)."""
    mask: int
    name: str
    """In the watched folder; empty: of the watched thing itself."""


def events_in(data: bytes) -> list[Event]:
    """What one read of the descriptor gave, in order."""
    found: list[Event] = []
    at = 0
    while at + _EVENT.size <= len(data):
        wd, mask, _cookie, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        name = data[at : at + length].partition(b"\0")[0]
        at += length
        found.append(Event(wd, mask, os.fsdecode(name)))
    return found


class Inotify:
    """One queue. OSError when the user has no more instances or watches left."""

    def __init__(self) -> None:
        self.fd: int = _libc.inotify_init1(_CLOEXEC | _NONBLOCK)
        if self.fd < 0:
            raise _error("inotify")

    def add(self, path: str, mask: int) -> int:
        """Watch what ``path`` is now, in addition to what was asked for it; returns its number."""
        wd: int = _libc.inotify_add_watch(self.fd, os.fsencode(path), ctypes.c_uint32(mask | MASK_ADD))
        if wd < 0:
            raise _error(path)
        return wd

    def remove(self, wd: int) -> None:
        """Gone already is fine."""
        _libc.inotify_rm_watch(self.fd, wd)

    def read(self) -> list[Event]:
        """What there is, at most 64 KiB of it; empty when there is nothing."""
        try:
            return events_in(os.read(self.fd, 65536))
        except (BlockingIOError, InterruptedError):
            return []

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@dataclass(frozen=True, slots=True)
class Way:
    """How a path leads to a file."""

    names: tuple[tuple[str, str], ...]
    """(folder, name) of each link on the way, of what is missing, and of the file: what decides."""
    folders: tuple[str, ...]
    """All that are passed; moved away, any of them takes the file with it."""
    file: str | None
    """Where it leads, free of links; None: nowhere."""


def way_of(path: str) -> Way:
    """Follow ``path`` (relative: from the root directory) step by step. Looks, opens nothing."""
    rest = path.split("/")[::-1]
    here, links = "/", 0
    names: list[tuple[str, str]] = []
    folders = ["/"]
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, name)
        try:
            mode = os.lstat(there).st_mode
            target = os.readlink(there) if stat.S_ISLNK(mode) else None
        except (OSError, ValueError):
            names.append((here, name))
            break
        if target is not None:
            names.append((here, name))
            links += 1
            if links > _MAX_LINKS:
                break
            rest += target.split("/")[::-1]
            here = "/" if target.startswith("/") else here
        elif any(word not in ("", ".") for word in rest):
            if not stat.S_ISDIR(mode):
                names.append((here, name))
                break
            here = there
            folders.append(here)
        else:
            names.append((here, name))
            return Way(tuple(names), tuple(dict.fromkeys(folders)), there)
    return Way(tuple(names), tuple(dict.fromkeys(folders)), None)
