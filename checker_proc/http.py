"""HTTP as a health check speaks it: one GET, and a bounded reader of the answer.

Pure: bytes in, bytes out. RFC 9112 for the framing. What comes back was written by an untrusted
server: every length is capped, nothing is sized by what the server announces, and anything that is
not HTTP ends in a reason, never in an exception.

Known differences to keepalived are listed in docs/checker.md (chunked bodies are decoded, an answer
is complete at Content-Length without waiting for the close, a malformed framing is a failure).
"""

from __future__ import annotations

import hashlib
from enum import Enum, auto

from checker_proc.outcome import Outcome, Reason
from keepalived_conf.model import Check, HttpUrl

MAX_HEADER_BYTES = 64 * 1024
"""Status line and headers, also all interim answers (1xx) and chunk trailers together."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""Body read for a digest; without digest and regex the answer counts as read at this size."""
MAX_KEPT_BYTES = 1024 * 1024
"""Body kept for a regex."""
_MAX_CHUNK_LINE_BYTES = 1024
_USER_AGENT = b"KeepAliveClient"


class RequestError(ValueError):
    """A URL that cannot be put into a request; the text says what and why."""


def build_request(check: Check, url: HttpUrl) -> bytes:
    """The request for ``url``, as http_protocol and virtualhost of keepalived.conf(5) ask for.

    Raises RequestError for control characters, which would end the line and smuggle headers.
    """
    host = url.virtualhost
    if host is None:
        address = f"[{check.connect_ip}]" if check.connect_ip.version == 6 else str(check.connect_ip)
        host = f"{address}:{check.connect_port}"
    for name, text in (("path", url.path), ("virtualhost", host)):
        bad = next((c for c in text if ord(c) < 32 or ord(c) == 127), None)
        if bad is not None:
            raise RequestError(f"url {name} {text!r} has the control character {bad!r}: remove it")
    version = b"1.1" if check.http_protocol == "1.1" else b"1.0"
    lines = [b"GET %s HTTP/%s" % (url.path.encode() or b"/", version), b"User-Agent: " + _USER_AGENT]
    if check.http_protocol != "1.0":
        lines.append(b"Connection: close")
    lines.append(b"Host: " + host.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


class _State(Enum):
    STATUS = auto()
    HEADERS = auto()
    BODY_LENGTH = auto()
    BODY_CLOSE = auto()
    CHUNK_SIZE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILERS = auto()
    DONE = auto()


class AnswerReader:
    """Reads one answer for one URL. Feed it bytes until ``done``, tell it about the close."""

    def __init__(self, url: HttpUrl) -> None:
        self.status = 0
        self.failure: Reason | None = None
        self.short_by = 0
        """Bytes missing to Content-Length at the close."""
        self.body = bytearray()
        """The decoded body; kept only when the URL has a regex."""
        self._url = url
        self._md5 = hashlib.md5(usedforsecurity=False) if url.digest is not None else None
        self._state = _State.STATUS
        self._buffer = bytearray()
        self._scanned = 0
        self._header_bytes = 0
        self._body_bytes = 0
        self._left = 0
        self._length: int | None = None
        self._chunked = False
        self._encoded = False

    @property
    def done(self) -> bool:
        """Nothing more to read: the answer is complete, or ``failure`` says why it never will be."""
        return self._state is _State.DONE

    @property
    def started(self) -> bool:
        """The header is complete."""
        return self._state not in (_State.STATUS, _State.HEADERS)

    @property
    def digest(self) -> str | None:
        """MD5 of the decoded body in lower-case hex, when the URL wants one."""
        return self._md5.hexdigest() if self._md5 is not None else None

    def feed(self, data: bytes) -> None:
        """Take what was received. Ignored once ``done``."""
        self._buffer += data
        progressing = True
        while progressing and not self.done:
            progressing = self._advance()

    def close(self) -> None:
        """The server closed its side: what does that make of what was read?"""
        if self.done:
            return
        if self._state in (_State.STATUS, _State.HEADERS):
            self._fail(Reason.NO_ANSWER)
        elif self._state is _State.BODY_LENGTH:
            # keepalived judges such an answer like any other and only notes the difference.
            self.short_by = self._left
            self._state = _State.DONE
        elif self._state is _State.BODY_CLOSE:
            self._state = _State.DONE
        else:
            self._fail(Reason.BAD_CHUNKING)

    # --- framing -------------------------------------------------------------------------------

    def _advance(self) -> bool:
        """One step; False when it needs more bytes."""
        match self._state:
            case _State.STATUS | _State.HEADERS | _State.TRAILERS:
                return self._header_line()
            case _State.BODY_LENGTH | _State.CHUNK_DATA:
                return self._counted()
            case _State.BODY_CLOSE:
                self._take(len(self._buffer))
                return False
            case _State.CHUNK_SIZE:
                return self._chunk_size()
            case _State.CHUNK_END:
                return self._chunk_end()
            case _State.DONE:
                return False

    def _line(self, limit: int, too_long: Reason) -> bytes | None:
        """The next line without its end (CRLF, or a bare LF), None when it is not complete."""
        end = self._buffer.find(b"\n", self._scanned)
        size = end + 1 if end >= 0 else len(self._buffer)
        if size > limit:
            self._fail(too_long)
            return None
        if end < 0:
            self._scanned = size
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[:size]
        self._scanned = 0
        return line.removesuffix(b"\r")

    def _header_line(self) -> bool:
        if self._state is _State.STATUS and not b"HTTP/".startswith(bytes(self._buffer[:5])):
            self._fail(Reason.NOT_HTTP)  # at once: an SSH banner never sends the line we wait for
            return False
        line = self._line(MAX_HEADER_BYTES - self._header_bytes, Reason.HEADER_TOO_LARGE)
        if line is None:
            return False
        self._header_bytes += len(line) + 2
        if self._state is _State.STATUS:
            self._status_line(line)
        elif line:
            if self._state is _State.HEADERS:
                self._header(line)
        elif self._state is _State.TRAILERS:
            self._state = _State.DONE
        else:
            self._begin_body()
        return True

    def _status_line(self, line: bytes) -> None:
        version, _, rest = line.partition(b" ")
        code = rest.strip()[:3]
        after = rest.strip()[3:4]
        well_formed = version[:5] == b"HTTP/" and version[5:6].isdigit() and after in (b"", b" ")
        if not well_formed or len(code) != 3 or not code.isdigit():
            self._fail(Reason.NOT_HTTP)
            return
        self.status = int(code)
        self._length, self._chunked, self._encoded = None, False, False
        self._state = _State.HEADERS

    def _header(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not colon or line[:1] in (b" ", b"\t"):
            return  # a folded or broken line concerns nothing that is read here
        match name.strip().lower():
            case b"content-length":
                for part in value.split(b","):
                    digits = part.strip()
                    if not digits.isdigit() or len(digits) > 18:
                        self._fail(Reason.BAD_LENGTH)
                        return
                    if self._length is not None and self._length != int(digits):
                        self._fail(Reason.BAD_LENGTH)
                        return
                    self._length = int(digits)
            case b"transfer-encoding":
                # The last coding decides about the framing (RFC 9112, 6.3).
                self._chunked = value.split(b",")[-1].strip().lower() == b"chunked"
                self._encoded = True

    def _begin_body(self) -> None:
        if 100 <= self.status < 200 and self.status != 101:
            self._state = _State.STATUS  # interim: the answer follows
            return
        if not status_wanted(self._url, self.status) or self.status in (101, 204, 304):
            self._state = _State.DONE  # the body would not change the verdict, or there is none
        elif self._chunked:
            self._state = _State.CHUNK_SIZE
        elif self._length is not None and not self._encoded:
            self._left = self._length
            self._state = _State.BODY_LENGTH if self._length else _State.DONE
        else:
            self._state = _State.BODY_CLOSE

    def _counted(self) -> bool:
        if not self._buffer:
            return False
        size = min(self._left, len(self._buffer))
        self._left -= size
        chunk = self._state is _State.CHUNK_DATA
        self._take(size)
        if not self._left and not self.done:
            self._state = _State.CHUNK_END if chunk else _State.DONE
        return True

    def _chunk_size(self) -> bool:
        line = self._line(_MAX_CHUNK_LINE_BYTES, Reason.BAD_CHUNKING)
        if line is None:
            return False
        digits = line.partition(b";")[0].strip()
        if not 1 <= len(digits) <= 15 or any(c not in b"0123456789abcdefABCDEF" for c in digits):
            self._fail(Reason.BAD_CHUNKING)
            return False
        self._left = int(digits, 16)
        self._state = _State.CHUNK_DATA if self._left else _State.TRAILERS
        return True

    def _chunk_end(self) -> bool:
        line = self._line(2, Reason.BAD_CHUNKING)
        if line is None:
            return False
        if line:
            self._fail(Reason.BAD_CHUNKING)
            return False
        self._state = _State.CHUNK_SIZE
        return True

    def _take(self, size: int) -> None:
        """Move ``size`` bytes from the buffer into the body."""
        wanted = self._md5 is not None or self._url.regex is not None
        if wanted and size:
            data = bytes(self._buffer[:size])
            if self._md5 is not None:
                self._md5.update(data)
            if self._url.regex is not None:
                self.body += data
        del self._buffer[:size]
        self._body_bytes += size
        if not wanted and self._body_bytes >= MAX_BODY_BYTES:
            self._state = _State.DONE  # the server answers, and nothing is asked of its body
        elif self._body_bytes > (MAX_KEPT_BYTES if self._url.regex is not None else MAX_BODY_BYTES):
            self._fail(Reason.BODY_TOO_LARGE)

    def _fail(self, reason: Reason) -> None:
        self.failure = reason
        self._state = _State.DONE
        self._buffer.clear()


def status_wanted(url: HttpUrl, status: int) -> bool:
    """Whether status_code (default 200-299) allows ``status``."""
    return any(low <= status <= high for low, high in url.status_ranges)


def judge(url: HttpUrl, answer: AnswerReader, regex_found: bool | None) -> Outcome:
    """The verdict on a complete answer: framing, then status, digest, regex; all must agree.

    ``regex_found`` is None when the URL has no usable regex.
    """
    if answer.failure is not None:
        return Outcome(reason=answer.failure)
    if not status_wanted(url, answer.status):
        return Outcome(reason=Reason.STATUS, detail=answer.status)
    if url.digest is not None and answer.digest != url.digest.lower():
        return Outcome(reason=Reason.DIGEST, short_by=answer.short_by)
    if regex_found is not None and regex_found == url.regex_no_match:
        reason = Reason.REGEX_FOUND if url.regex_no_match else Reason.REGEX_NOT_FOUND
        return Outcome(reason=reason, short_by=answer.short_by)
    return Outcome(reason=Reason.ANSWERED, detail=answer.status, short_by=answer.short_by)
