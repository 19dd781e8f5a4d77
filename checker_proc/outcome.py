"""What one probe found out, as data: a reason code with a number, and its text for people.

Pure. Reasons are codes rather than sentences, so that they fit a fixed-size record (a restarted
checker still knows why a server is down) and so that nothing has to match on prose.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, unique


class Verdict(Enum):
    """What an attempt says about the server."""

    GOOD = "good"
    BAD = "bad"
    UNJUDGED = "unjudged"
    """The attempt failed on our own side (no descriptor, cannot bind, no permission): it says nothing
    about the server, so nothing is counted and nothing changes."""


@unique
class Reason(IntEnum):
    """Why. Values are stored in the black box: never renumber, only add (0..255)."""

    NONE = 0
    """Never tried."""
    # good
    CONNECTED = 1
    ANSWERED = 2
    """``detail``: HTTP status."""
    # bad: connecting
    REFUSED = 20
    CONNECT_TIMEOUT = 21
    UNREACHABLE = 22
    """``detail``: errno."""
    CONNECT_ERROR = 23
    """``detail``: errno."""
    # bad: the exchange
    SEND_ERROR = 40
    """``detail``: errno."""
    READ_TIMEOUT = 41
    READ_ERROR = 42
    """``detail``: errno (104 ECONNRESET: reset in the middle of the answer)."""
    NO_ANSWER = 43
    """Closed without a complete header."""
    TOO_SLOW = 44
    """Bytes kept coming, but the whole answer did not arrive in time."""
    # bad: the answer
    NOT_HTTP = 60
    HEADER_TOO_LARGE = 61
    BODY_TOO_LARGE = 62
    BAD_CHUNKING = 63
    BAD_LENGTH = 64
    """Content-Length is not a number, or there are two that differ."""
    STATUS = 65
    """``detail``: HTTP status."""
    DIGEST = 66
    REGEX_NOT_FOUND = 67
    REGEX_FOUND = 68
    """regex_no_match is set and the pattern was found."""
    REGEX_TIMEOUT = 69
    # unjudged: our own trouble
    NO_SOCKET = 80
    """``detail``: errno (24 EMFILE, 23 ENFILE, 12 ENOMEM)."""
    CANNOT_BIND = 81
    """``detail``: errno of bindto, bind_port or bind_if."""
    CANNOT_MARK = 82
    """``detail``: errno of fwmark."""
    NO_LOCAL_PORT = 83
    INTERNAL = 84
    """A fault of the checker itself; the log has it."""


_TEXT: dict[Reason, str] = {
    Reason.NONE: "not checked yet",
    Reason.CONNECTED: "connected",
    Reason.ANSWERED: "HTTP status {detail}",
    Reason.REFUSED: "connect refused",
    Reason.CONNECT_TIMEOUT: "connect timed out",
    Reason.UNREACHABLE: "unreachable: {errno}",
    Reason.CONNECT_ERROR: "connect failed: {errno}",
    Reason.SEND_ERROR: "request could not be sent: {errno}",
    Reason.READ_TIMEOUT: "no data within connect_timeout",
    Reason.READ_ERROR: "reading the answer failed: {errno}",
    Reason.NO_ANSWER: "connection closed without an HTTP answer",
    Reason.TOO_SLOW: "answer not complete in time",
    Reason.NOT_HTTP: "answer is not HTTP",
    Reason.HEADER_TOO_LARGE: "answer has more than 64 KiB of headers",
    Reason.BODY_TOO_LARGE: "body is larger than the checker reads",
    Reason.BAD_CHUNKING: "chunked body is malformed or cut short",
    Reason.BAD_LENGTH: "Content-Length is malformed",
    Reason.STATUS: "HTTP status {detail} is not wanted",
    Reason.DIGEST: "MD5 digest of the body differs",
    Reason.REGEX_NOT_FOUND: "regex not found in the body",
    Reason.REGEX_FOUND: "regex found in the body (regex_no_match)",
    Reason.REGEX_TIMEOUT: "regex took too long on this body",
    Reason.NO_SOCKET: "no socket for the check: {errno}",
    Reason.CANNOT_BIND: "cannot bind as configured: {errno}",
    Reason.CANNOT_MARK: "cannot set fwmark: {errno}",
    Reason.NO_LOCAL_PORT: "no free local port",
    Reason.INTERNAL: "fault in the checker, see its log",
}

# Numbers of Linux (asm-generic): texts must not depend on the C library's locale, and pure modules
# do not import os. Anything else is shown by its number.
_ERRNO_TEXT = {
    1: "operation not permitted",
    12: "out of memory",
    13: "permission denied",
    19: "no such interface",
    22: "invalid argument",
    23: "too many open files on this host",
    24: "too many open files",
    32: "broken pipe",
    97: "address family not supported",
    98: "address in use",
    99: "address not available",
    100: "network is down",
    101: "network unreachable",
    103: "connection aborted",
    104: "connection reset",
    105: "no buffer space",
    110: "timed out",
    111: "connection refused",
    112: "host is down",
    113: "no route to host",
}


def verdict_of(reason: Reason) -> Verdict:
    """GOOD, BAD or UNJUDGED; which one is a property of the reason alone."""
    if reason < Reason.REFUSED:
        return Verdict.GOOD if reason is not Reason.NONE else Verdict.UNJUDGED
    return Verdict.BAD if reason < Reason.NO_SOCKET else Verdict.UNJUDGED


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one attempt."""

    reason: Reason
    detail: int = 0
    """errno or HTTP status, see ``Reason``; 0..65535."""
    short_by: int = 0
    """Bytes missing to Content-Length when the server closed early. Not a failure (keepalived only
    notes it, and servers that count wrongly have always passed), but worth a line in the log."""

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.reason)

    def text(self) -> str:
        """In words, e.g. ``connect refused`` or ``HTTP status 503 is not wanted``."""
        return _TEXT[self.reason].format(
            detail=self.detail, errno=_ERRNO_TEXT.get(self.detail, f"error {self.detail}")
        )


NEVER = Outcome(reason=Reason.NONE)
