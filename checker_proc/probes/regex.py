"""A regex search that ends: an untrusted body must not be able to hang the checker.

Python's engine backtracks without a limit (PCRE2 has one), but it looks for signals while it does.
A timer on the CPU time of this process, not on the wall clock, so that a busy host is not mistaken
for an explosive pattern.
"""

from __future__ import annotations

import re
import signal
from types import FrameType

SEARCH_LIMIT_S = 0.1


class RegexTimeoutError(Exception):
    """The search took more than its share of CPU time."""


def search(pattern: re.Pattern[bytes], body: bytes | bytearray, *, limit_s: float = SEARCH_LIMIT_S) -> bool:
    """Whether ``pattern`` is found in ``body``. Main thread only. Raises RegexTimeoutError."""
    previous = signal.signal(signal.SIGVTALRM, _expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
    try:
        return pattern.search(body) is not None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _expire(_signal: int, _frame: FrameType | None) -> None:
    raise RegexTimeoutError
