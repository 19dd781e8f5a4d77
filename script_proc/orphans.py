"""Programs of a worker that was killed between starting them and noting their pid: found again in /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """A process for ever: its pid, and field 22 of /proc/PID/stat."""

    pid: int
    start_ticks: int


def find_orphans(commands: Mapping[str, tuple[str, ...]], *, proc: str = "/proc") -> dict[str, Orphan]:
    """Which of these programs run as orphans of a worker of ours: key -> the process.

    Such a process leads a session of its own, has its words at the end of its command line (behind those
    of an interpreter), and its parent is one of our ancestors: who inherits orphans. Programs of another
    daemon that runs the same scripts have a living parent, and are left alone. Each process is found
    for one key only.
    """
    parents = _ancestors(proc)
    wanted = dict(commands)
    found: dict[str, Orphan] = {}
    for name in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        if not wanted:
            break
        fields = _stat(proc, name)
        if fields is None or fields[0] in "ZX":
            continue
        pid, parent, session = int(name), int(fields[1]), int(fields[3])
        if session != pid or parent not in parents:
            continue
        words = _words(proc, name)
        key = next((key for key, command in wanted.items() if _runs(words, command)), None)
        if key is not None:
            del wanted[key]
            found[key] = Orphan(pid=pid, start_ticks=int(fields[19]))
    return found


def _runs(words: list[str], command: tuple[str, ...]) -> bool:
    tail = words[-len(command) :]
    return (
        len(tail) == len(command)
        and tail[1:] == list(command[1:])
        and os.path.basename(tail[0]) == os.path.basename(command[0])
    )


def _ancestors(proc: str) -> set[int]:
    found, pid = {1}, os.getppid()
    while pid > 1 and pid not in found:
        found.add(pid)
        fields = _stat(proc, str(pid))
        if fields is None:
            break
        pid = int(fields[1])
    return found


def _stat(proc: str, name: str) -> list[str] | None:
    """Fields of stat from the third (state) on; the second may hold blanks and brackets."""
    try:
        with open(f"{proc}/{name}/stat", encoding="utf-8", errors="surrogateescape") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields if len(fields) > 19 else None


def _words(proc: str, name: str) -> list[str]:
    try:
        with open(f"{proc}/{name}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\0").split("\0")
    except OSError:
        return []
