"""One absolute timer on CLOCK_BOOTTIME as a file descriptor (timerfd_create(2)).

``epoll_wait`` takes whole milliseconds and may be a millisecond late, an event loop's own timers may
fire early; an absolute timerfd does neither, and on CLOCK_BOOTTIME a suspended machine notices at
once that its deadline has passed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Protocol

CLOCK_BOOTTIME = 7
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_NS_PER_S = 1_000_000_000


class _Backend(Protocol):
    def create(self) -> int: ...

    def set_absolute_ns(self, fd: int, at_ns: int) -> None: ...


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class _LibcBackend:
    """timerfd through libc, for Python before 3.13."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._spec = _Itimerspec()
        self._spec_pointer = ctypes.byref(self._spec)

    def create(self) -> int:
        fd = int(self._libc.timerfd_create(CLOCK_BOOTTIME, _TFD_NONBLOCK | _TFD_CLOEXEC))
        if fd < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"timerfd_create: {os.strerror(error)}")
        return fd

    def set_absolute_ns(self, fd: int, at_ns: int) -> None:
        value = self._spec.it_value
        value.tv_sec, value.tv_nsec = divmod(at_ns, _NS_PER_S)
        if self._libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, self._spec_pointer, None) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"timerfd_settime: {os.strerror(error)}")


if sys.version_info >= (3, 13):

    class _OsBackend:
        """timerfd through ``os``, from Python 3.13."""

        def create(self) -> int:
            return os.timerfd_create(CLOCK_BOOTTIME, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

        def set_absolute_ns(self, fd: int, at_ns: int) -> None:
            os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=at_ns)


def _backend() -> _Backend:
    if sys.version_info >= (3, 13):
        return _OsBackend()
    return _LibcBackend()


class TimerFd:
    """A single absolute deadline; readable from the instant it has passed."""

    def __init__(self) -> None:
        self._timer = _backend()
        self._fd = self._timer.create()
        self._armed_ns = 0

    def fileno(self) -> int:
        return self._fd

    def set(self, at: float | None) -> None:
        """Fire at ``at`` (CLOCK_BOOTTIME seconds; the past fires at once); None disarms.

        Setting the deadline that is set already costs nothing.
        """
        # +1 ns: rounding may never make the timer fire before the float instant it stands for.
        # An all-zero value would disarm, hence at least 1 ns.
        at_ns = 0 if at is None else max(1, int(at * _NS_PER_S) + 1)
        if at_ns != self._armed_ns:
            self._timer.set_absolute_ns(self._fd, at_ns)
            self._armed_ns = at_ns

    def acknowledge(self) -> None:
        """Take the expiry off the descriptor after it became readable. Never blocks."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._armed_ns = 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
