"""Small dealings with the kernel: commands, namespaces, processes, waiting."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
NETNS_DIR = pathlib.Path("/run/netns")
CLONE_NEWNET = 0x40000000

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something the laboratory needs is missing or failed; the text says what and how to mend it."""


def run(*argv: str, check: bool = True, stdin: str | None = None, timeout_s: float = 60) -> str:
    """Run a command and return its output; a failure raises LabError with what it said."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed (Debian: apt-get install iproute2)") from error
    if check and done.returncode:
        raise LabError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()[:400]}")
    return done.stdout


@contextlib.contextmanager
def in_netns(name: str) -> Iterator[None]:
    """Put the calling thread into a named network namespace for a while.

    A socket stays in the namespace it was opened in, so only the opening needs this.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        away = os.open(NETNS_DIR / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(away, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter namespace {name}")
            try:
                yield
            finally:
                if _libc.setns(home, CLONE_NEWNET):
                    os._exit(70)  # a thread lost in a foreign namespace must not go on
        finally:
            os.close(away)
    finally:
        os.close(home)


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str, step_s: float = 0.01) -> T:
    """Poll until the predicate is true and return its value; TimeoutError names ``what``."""
    end = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(step_s)


# --- processes -------------------------------------------------------------------------------------


def state_and_parent(pid: int) -> tuple[str, int] | None:
    """(state letter, parent pid) of a process; None when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[1])
    except (OSError, IndexError, ValueError):
        return None


def alive(pid: int) -> bool:
    """True for a process that is there and not a zombie."""
    found = state_and_parent(pid)
    return found is not None and found[0] not in "ZX"


def pids_in_netns(name: str) -> list[int]:
    """Pids of all live processes whose network namespace is the named one."""
    try:
        wanted = (NETNS_DIR / name).stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            have = os.stat(f"/proc/{entry}/ns/net")
            if (have.st_ino, have.st_dev) == (wanted.st_ino, wanted.st_dev):
                found.append(int(entry))
    return sorted(found)


def send_signal(pids: Sequence[int], signum: int) -> None:
    """Signal each of the processes that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def command_line(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def _raw_inodes(pid: int, protocol: int) -> set[str]:
    """Socket inodes of raw sockets of a protocol in the namespace of a process."""
    inodes = set()
    for table in ("raw", "raw6"):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == protocol:
                    inodes.add(fields[9])
    return inodes


def _watches(pid: int, fds: set[str]) -> bool:
    """Does an epoll set of the process hold one of these descriptors?"""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{fd}") != "anon_inode:[eventpoll]":
                continue
            for line in pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines():
                if line.startswith("tfd:") and line.split()[1] in fds:
                    return True
    return False


def raw_protocol_reader(netns: str, protocol: int = 112) -> int | None:
    """Pid of the process that reads the raw socket of a protocol; None when nobody does.

    A supervisor may hold the same socket for its worker without ever reading it. The reader is the
    holder that waits for it (it is in its epoll set); among several, or none such, the child-most one.
    """
    pids = pids_in_netns(netns)
    inodes = _raw_inodes(pids[0], protocol) if pids else set()
    holders: dict[int, set[str]] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{fd}")
                    if target.startswith("socket:[") and target[8:-1] in inodes:
                        holders.setdefault(pid, set()).add(fd)
    living = {pid: fds for pid, fds in holders.items() if alive(pid)}
    candidates = [pid for pid, fds in living.items() if _watches(pid, fds)] or list(living)
    parents = {found[1] for pid in candidates if (found := state_and_parent(pid))}
    leaves = [pid for pid in candidates if pid not in parents]
    return max(leaves or candidates, default=None)


def pss_kb(pid: int) -> int:
    """Proportional set size of a process in KiB (smaps_rollup)."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


# --- the host -------------------------------------------------------------------------------------


def longest_stall(seconds: float) -> float:
    """Longest oversleep of a 1 ms sleeper: how badly the host stalls just now, in seconds."""
    worst, end = 0.0, time.monotonic() + seconds
    while (before := time.monotonic()) < end:
        time.sleep(0.001)
        worst = max(worst, time.monotonic() - before - 0.001)
    return worst


def settle(patience_s: float, limit_s: float = 0.004) -> None:
    """Wait for a quiet moment of the host, at most ``patience_s``."""
    end = time.monotonic() + patience_s
    while longest_stall(0.5) > limit_s and time.monotonic() < end:
        pass
