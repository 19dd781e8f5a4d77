"""The request, and the reader against every shape of answer, whole and byte by byte."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checker_proc.http import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_KEPT_BYTES,
    AnswerReader,
    RequestError,
    build_request,
    judge,
)
from checker_proc.outcome import Outcome, Reason
from keepalived_conf.model import HttpUrl
from tests.unit.checker.builders import http

PLAIN = HttpUrl(path="/")
HELLO = HttpUrl(path="/", digest=hashlib.md5(b"hello").hexdigest())


def read(data: bytes, url: HttpUrl = PLAIN, *, close: bool = True, piece: int = 0) -> AnswerReader:
    answer = AnswerReader(url)
    size = piece or max(1, len(data))
    for at in range(0, len(data), size):
        if not answer.done:
            answer.feed(data[at : at + size])
    if close and not answer.done:
        answer.close()
    return answer


def outcome(data: bytes, url: HttpUrl = PLAIN, **how: int) -> Outcome:
    return judge(url, read(data, url, **how), None)  # type: ignore[arg-type]


# --- request -------------------------------------------------------------------------------------


def test_request_of_http_1_0_has_a_host_with_port_and_no_connection_header() -> None:
    check = http(connect_port=8080)
    assert build_request(check, HttpUrl(path="/health?x=1")) == (
        b"GET /health?x=1 HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 127.0.0.1:8080\r\n\r\n"
    )


@pytest.mark.parametrize(("protocol", "version"), [("1.0C", b"1.0"), ("1.1", b"1.1")])
def test_1_0c_and_1_1_ask_to_close(protocol: str, version: bytes) -> None:
    request = build_request(http(http_protocol=protocol), PLAIN)
    assert request.startswith(b"GET / HTTP/%s\r\n" % version)
    assert b"\r\nConnection: close\r\n" in request


def test_virtualhost_goes_without_port_and_ipv6_in_brackets() -> None:
    assert b"\r\nHost: www.example.org\r\n" in build_request(
        http(connect_port=8080), HttpUrl(path="/", virtualhost="www.example.org")
    )
    request = build_request(http(connect_ip=ip_address("2001:db8::1"), connect_port=80), PLAIN)
    assert b"\r\nHost: [2001:db8::1]:80\r\n" in request


@pytest.mark.parametrize("url", [HttpUrl(path="/\r\nX: y"), HttpUrl(path="/", virtualhost="a\nb")])
def test_nothing_is_smuggled_into_the_request(url: HttpUrl) -> None:
    with pytest.raises(RequestError, match="control character"):
        build_request(http(), url)


# --- framing -------------------------------------------------------------------------------------

COMPLETE = [
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r\n\r\nhello and what follows is not ours",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n000\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n Content-Length: 1\r\nno colon\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nhello",
]


@pytest.mark.parametrize("data", COMPLETE)
@pytest.mark.parametrize("piece", [0, 1, 2, 7])
def test_the_same_body_in_every_framing_and_every_cut(data: bytes, piece: int) -> None:
    assert outcome(data, HELLO, piece=piece) == Outcome(reason=Reason.ANSWERED, detail=200)


def test_complete_at_content_length_without_waiting_for_the_close() -> None:
    assert read(COMPLETE[1], close=False).done
    assert read(COMPLETE[6], close=False).done
    assert not read(COMPLETE[0], close=False).done
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", close=False).done
    assert read(b"HTTP/1.1 204 No Content\r\n\r\n", close=False).done


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NO_ANSWER),
        (b"HTT", Reason.NO_ANSWER),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Reason.NO_ANSWER),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Reason.NO_ANSWER),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.NOT_HTTP),
        (b"HTTP/1.1 OK\r\n\r\n", Reason.NOT_HTTP),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Reason.NOT_HTTP),
        (b"HTTP/1.1 20 OK\r\n\r\n", Reason.NOT_HTTP),
        (b"HTTP/x 200 OK\r\n\r\n", Reason.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", Reason.BAD_LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", Reason.BAD_LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Reason.BAD_LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n", Reason.BAD_LENGTH),
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
def test_what_is_not_an_answer(data: bytes, reason: Reason, piece: int) -> None:
    assert outcome(data, piece=piece) == Outcome(reason=reason)


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nhello\r\n",  # no last chunk
        b"5\r\nhel",
        b"x\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",  # longer than announced
        b"4\r\nhello\n0\r\n\r\n",
        b"\r\n",
        b"fffffffffffffffff\r\n",
        b"5" + b";x" * 2000,
        b"5 \r\nhello\r\n0\r\n",  # trailers cut short
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
def test_bad_chunking(chunks: bytes, piece: int) -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    assert outcome(data, piece=piece).reason is Reason.BAD_CHUNKING


def test_a_body_shorter_than_announced_is_noted_only() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"
    assert outcome(data) == Outcome(reason=Reason.ANSWERED, detail=200, short_by=95)


# --- caps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HEADER_BYTES],
)
def test_headers_are_bounded(head: bytes) -> None:
    answer = read(head, close=False, piece=1000)
    assert answer.failure is Reason.HEADER_TOO_LARGE


def test_endless_interim_answers_are_bounded() -> None:
    answer = read(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, close=False, piece=4096)
    assert answer.failure is Reason.HEADER_TOO_LARGE


def test_endless_trailers_are_bounded() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert read(head + b"X: y\r\n" * 20_000, close=False).failure is Reason.HEADER_TOO_LARGE


def endless(url: HttpUrl, limit: int) -> AnswerReader:
    answer = AnswerReader(url)
    answer.feed(b"HTTP/1.0 200 OK\r\n\r\n")
    piece = bytes(64 * 1024)
    for _ in range(limit // len(piece) + 2):
        answer.feed(piece)
    return answer


def test_a_body_for_a_regex_is_bounded() -> None:
    answer = endless(HttpUrl(path="/", regex="x"), MAX_KEPT_BYTES)
    assert answer.failure is Reason.BODY_TOO_LARGE
    assert len(answer.body) <= MAX_KEPT_BYTES + 64 * 1024


def test_a_body_for_a_digest_is_bounded_and_not_kept() -> None:
    answer = endless(HELLO, MAX_BODY_BYTES)
    assert answer.failure is Reason.BODY_TOO_LARGE
    assert not answer.body


def test_a_body_nobody_looks_at_is_read_up_to_the_cap_and_passes() -> None:
    answer = endless(PLAIN, MAX_BODY_BYTES)
    assert answer.done
    assert judge(PLAIN, answer, None).reason is Reason.ANSWERED


# --- verdict -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "ranges", "good"),
    [
        (200, ((200, 299),), True),
        (299, ((200, 299),), True),
        (300, ((200, 299),), False),
        (503, ((200, 299),), False),
        (404, ((200, 200), (404, 404)), True),
        (301, ((200, 200), (404, 404)), False),
    ],
)
def test_status_ranges(status: int, ranges: tuple[tuple[int, int], ...], good: bool) -> None:
    result = outcome(b"HTTP/1.1 %d X\r\n\r\n" % status, HttpUrl(path="/", status_ranges=ranges))
    assert result == Outcome(reason=Reason.ANSWERED if good else Reason.STATUS, detail=status)


def test_an_unwanted_status_ends_the_attempt_without_the_body() -> None:
    assert read(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\n", close=False).done


def test_digest_in_capitals_matches_and_another_body_does_not() -> None:
    assert outcome(COMPLETE[0], HttpUrl(path="/", digest=(HELLO.digest or "").upper())).reason is (
        Reason.ANSWERED
    )
    assert outcome(b"HTTP/1.0 200 OK\r\n\r\nHELLO", HELLO).reason is Reason.DIGEST


@pytest.mark.parametrize(
    ("found", "no_match", "reason"),
    [
        (True, False, Reason.ANSWERED),
        (False, False, Reason.REGEX_NOT_FOUND),
        (True, True, Reason.REGEX_FOUND),
        (False, True, Reason.ANSWERED),
        (None, True, Reason.ANSWERED),
    ],
)
def test_regex_verdict(found: bool | None, no_match: bool, reason: Reason) -> None:
    url = HttpUrl(path="/", regex="x", regex_no_match=no_match)
    assert judge(url, read(COMPLETE[0], url), found).reason is reason


def test_all_must_agree() -> None:
    url = HttpUrl(path="/", regex="x", digest="0" * 32)
    assert judge(url, read(COMPLETE[0], url), True).reason is Reason.DIGEST


# --- anything at all -----------------------------------------------------------------------------

_FRAGMENTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 ",
        b"\r\n",
        b"\n",
        b"Transfer-Encoding: chunked\r\n",
        b"5\r\nhello\r\n",
        *[b"Content-Length: ", b"5", b"0\r\n\r\n", b"100", b"\x00\xff", b": ", b"hello", b";"],
    ]
)


@given(
    data=st.lists(st.one_of(_FRAGMENTS, st.binary(max_size=20)), max_size=30).map(b"".join),
    piece=st.integers(1, 9),
    regex=st.booleans(),
)
def test_no_bytes_raise_and_cuts_do_not_matter(data: bytes, piece: int, regex: bool) -> None:
    url = HttpUrl(path="/", regex="x" if regex else None, digest="0" * 32)
    whole, cut = read(data, url), read(data, url, piece=piece)
    assert whole.done
    assert (whole.failure, whole.status, whole.body) == (cut.failure, cut.status, cut.body)
    assert whole.digest == cut.digest
    assert judge(url, whole, None) == judge(url, cut, None)
