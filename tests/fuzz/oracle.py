"""What must hold for any bytes: used by the mutation fuzzer and the coverage-guided one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from keepalived_conf.loading import LoadResult, exit_status, load_text, slices
from keepalived_conf.syntax.edit import Document

SLOW_S = 1.0
"""Processor time that reading one file may take."""
HANG_S = 10.0


class HangError(Exception):
    """It did not end."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """HangError in the middle of whatever takes longer than so much processor time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError(f"still running after {seconds} s")

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def check(data: bytes, *, thorough: bool = False) -> tuple[LoadResult, float]:
    """(result, seconds of processor time). AssertionError, HangError or whatever escapes: a finding."""
    started = time.process_time()
    with interrupted_after(HANG_S):
        result = load_text(data, name="f.conf", config_id="n")
    took_s = time.process_time() - started
    assert exit_status(result) in (0, 2, 4, 5, 6)
    assert bool(result.fatal) == any(item.fatal for item in result.diagnostics)
    assert not (result.fatal and exit_status(result) == 0)
    for item in result.diagnostics:
        assert item.message
        assert item.place is None or (item.place.line >= 1 and item.place.column >= 1)
    assert took_s < SLOW_S, f"{took_s:.2f} s"
    if thorough:
        text = result.text()
        assert text.replace("\n", "").replace("\t", "").isprintable() or not text
        assert Document.parse(data).bytes() == data
        if not result.fatal:
            slices(result.config)
    return result, took_s
