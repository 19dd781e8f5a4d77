"""HTTP_GET over plain TCP: connect, send, read, judge.

connect_timeout bounds the connect and each wait for data, as in keepalived. There a server that
sends a byte now and then holds a check for ever; here the whole answer also has a limit.
"""

from __future__ import annotations

import asyncio
import re
import socket
from functools import lru_cache

from checker_proc.fleet import Launch
from checker_proc.http import AnswerReader, build_request, judge, status_wanted
from checker_proc.outcome import Outcome, Reason
from checker_proc.pattern import PatternError, compile_pattern
from checker_proc.probes.net import ProbeEnd, connected, wait_ready
from checker_proc.probes.regex import RegexTimeoutError, search
from keepalived_conf.model import Check, HttpUrl

_ANSWER_TIMEOUTS = 3
_READ_BYTES = 64 * 1024
_READS_PER_TURN = 8


def answer_limit_s(check: Check) -> float:
    """How long a whole answer may take: one delay_loop, but at least three times connect_timeout."""
    return max(_ANSWER_TIMEOUTS * check.connect_timeout_s, check.delay_loop_s)


async def probe_http(launch: Launch) -> Outcome:
    """One URL of the check, the one of this attempt."""
    check, url = launch.check, launch.url
    if url is None:
        raise ValueError(f"HTTP_GET check {check.check_id} has no url")
    try:
        async with connected(check) as sock:
            await _send(sock, build_request(check, url), check.connect_timeout_s)
            answer = await _receive(sock, check, url)
    except ProbeEnd as end:
        return end.outcome
    return _judge(url, answer)


async def _send(sock: socket.socket, data: bytes, timeout_s: float) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            if not await wait_ready(sock, timeout_s, write=True):
                raise ProbeEnd(Reason.READ_TIMEOUT) from None
        except OSError as error:
            raise ProbeEnd(Reason.SEND_ERROR, error.errno or 0) from None


async def _receive(sock: socket.socket, check: Check, url: HttpUrl) -> AnswerReader:
    loop = asyncio.get_running_loop()
    until = loop.time() + answer_limit_s(check)
    answer = AnswerReader(url)
    reads = 0
    while not answer.done:
        if reads >= _READS_PER_TURN:
            reads = 0
            await asyncio.sleep(0)  # a fast server must not keep the others waiting
        try:
            data = sock.recv(_READ_BYTES)
        except BlockingIOError:
            reads = 0
            # Only an empty socket is judged: what arrived while this process did not run counts.
            left_s = until - loop.time()
            if left_s <= 0:
                raise ProbeEnd(Reason.TOO_SLOW) from None
            if not await wait_ready(sock, min(check.connect_timeout_s, left_s)):
                slow = left_s < check.connect_timeout_s
                raise ProbeEnd(Reason.TOO_SLOW if slow else Reason.READ_TIMEOUT) from None
            continue
        except OSError as error:
            raise ProbeEnd(Reason.READ_ERROR, error.errno or 0) from None
        reads += 1
        if data:
            answer.feed(data)
        else:
            answer.close()
    return answer


def _judge(url: HttpUrl, answer: AnswerReader) -> Outcome:
    found: bool | None = None
    pattern = pattern_of(url)
    if pattern is not None and answer.failure is None and status_wanted(url, answer.status):
        try:
            found = search(pattern, answer.body)
        except RegexTimeoutError:
            return Outcome(reason=Reason.REGEX_TIMEOUT)
    return judge(url, answer, found)


def pattern_of(url: HttpUrl) -> re.Pattern[bytes] | None:
    """The compiled regex; None when there is none or it cannot be used.

    As in keepalived a bad regex is reported (when the configuration is prepared) and left out.
    """
    if url.regex is None:
        return None
    try:
        return _compiled(url.regex)
    except PatternError:
        return None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return compile_pattern(pattern)
