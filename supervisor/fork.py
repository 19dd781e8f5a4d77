"""Forking with discipline: a young worker must never act on what belongs to its parent.

All signals are blocked around the fork; the child first cuts every tie (wake-up descriptor, signal
dispositions, session, descriptors), then becomes itself. A child always ends with ``os._exit``:
the parent's exit handlers and buffers are not its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import traceback
from collections.abc import Callable, Iterable

_PR_SET_NAME = 15
_ALL_SIGNALS = signal.valid_signals()
_NEVER = {signal.SIGKILL, signal.SIGSTOP}
OPERATOR_SIGNALS = frozenset(
    (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGRTMAX - 1,
        signal.SIGRTMIN + 2,
    )
)
"""What a daemon is told from outside; a worker ignores all of them. The last two would end a process that
does not expect them: keepalived takes them for "clear the statistics" and "write JSON"."""
_libc = ctypes.CDLL(None, use_errno=True)
_KEEPALIVED_NAMES = {
    "supervisor": "keepalived",
    "vrrp": "keepalived_vrrp",
    "checker": "keepalived_healthcheckers",
}
_as_keepalived = False


def name_after(program: str) -> None:
    """Name processes after the program that was started: as keepalived's, if that is its name."""
    global _as_keepalived
    _as_keepalived = os.path.basename(program) == "keepalived"


def title_of(role: str) -> str:
    """The name of a role's process. What keepalived does not have is named in its manner."""
    if _as_keepalived:
        return _KEEPALIVED_NAMES.get(role, f"keepalived_{role}")
    return f"pyka-{role}"


def fork_child(
    body: Callable[[], None], *, keep_fds: Iterable[int], role: str, ignore_stops: bool = True
) -> int:
    """Fork; the child runs ``body`` with only ``keep_fds`` and 0..2 open, and ends. Returns its pid.

    The child ends with 0 when ``body`` returns, 70 (EX_SOFTWARE) when it raises, or the code of its
    SystemExit. ``ignore_stops``: INT, TERM, HUP, USR1 and USR2 are ignored, a worker is stopped by its
    control channel. OSError when the machine has no process left.
    """
    keep = sorted({0, 1, 2, *keep_fds})
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                _cut_ties(keep, ignore_stops)
                set_title(title_of(role))
                body()
                code = 0
            except SystemExit as leave:
                code = leave.code if isinstance(leave.code, int) else 1
            except BaseException:  # noqa: BLE001 - the child must end here, whatever happened
                _last_words(role)
            finally:
                os._exit(code)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def _cut_ties(keep: list[int], ignore_stops: bool) -> None:
    signal.set_wakeup_fd(-1)
    for number in _ALL_SIGNALS - _NEVER:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if ignore_stops:
        for stop in OPERATOR_SIGNALS:
            signal.signal(stop, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setsid()
    low = 0
    for fd in keep:
        if fd > low:
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 1 << 20)
    random.seed()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ALL_SIGNALS)


def _last_words(role: str) -> None:
    """What killed the child, as one log record: no traceback reaches a user's terminal."""
    from worker import log

    # The child ends in the next line whatever happens: a log that fails must not change how.
    with contextlib.suppress(Exception):
        log.logger(role).exception("process.crashed")
        if log.LEVELS["debug"] >= log._threshold:
            traceback.print_exc()


def set_title(name: str) -> None:
    """Name the process in ps, top and pid-file checks (at most 15 characters), and its command line."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as stat_file:
            words = stat_file.read().rpartition(b")")[2].split()
        start, end = int(words[45]), int(words[46])
        if 0 < end - start < 1 << 16 and start > 1 << 12:
            title = name.encode()[: end - start - 1]
            ctypes.memmove(start, title.ljust(end - start, b"\0"), end - start)


def set_oom_score(value: int) -> bool:
    """oom_score_adj of this process; lowering it needs CAP_SYS_RESOURCE: False, and it stays, without."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(value))
    except OSError:
        return False
    return True
