"""Probes against real sockets: every way in which a server can be good, bad or strange."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import socket
import time
from ipaddress import ip_address
from typing import Any

import pytest

from checker_proc.outcome import Outcome, Reason, Verdict
from checker_proc.probes import PROBES
from checker_proc.probes.http_get import answer_limit_s
from keepalived_conf.model import Check, HttpUrl
from tests.netns.checker.conftest import Play
from tests.netns.checker.servers import closed_port, full_backlog, recording, saying, serving
from tests.unit.checker.builders import attempt, http, tcp

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def probe(check: Check) -> Outcome:
    return await PROBES[check.kind](attempt(check))


async def ask(talk: Any, **changes: Any) -> Outcome:
    """One HTTP_GET against a server that talks like this."""
    async with serving(talk) as port:
        return await probe(http(connect_port=port, **{"connect_timeout_s": 5.0, **changes}))


def url(**fields: Any) -> tuple[HttpUrl, ...]:
    return (HttpUrl(**{"path": "/", **fields}),)


# --- connecting ----------------------------------------------------------------------------------


def test_an_open_port_is_good(play: Play[Outcome]) -> None:
    async def story() -> Outcome:
        async with serving(saying()) as port:
            return await probe(tcp(connect_port=port))

    assert play(story()) == Outcome(reason=Reason.CONNECTED)


def test_ipv6_is_good_too(play: Play[Outcome]) -> None:
    async def story() -> Outcome:
        async with serving(saying(OK), "::1") as port:
            check = http(connect_ip=ip_address("::1"), connect_port=port)
            return await probe(check)

    assert play(story()) == Outcome(reason=Reason.ANSWERED, detail=200)


def test_a_closed_port_refuses(play: Play[Outcome]) -> None:
    assert play(probe(tcp(connect_port=closed_port()))) == Outcome(reason=Reason.REFUSED)


@pytest.mark.parametrize("address", ["192.0.2.66", "2001:db8::66"])
def test_a_black_hole_times_out_when_it_should(play: Play[Outcome], address: str) -> None:
    began = time.monotonic()
    outcome = play(probe(tcp(connect_ip=ip_address(address), connect_timeout_s=0.3)))
    assert outcome == Outcome(reason=Reason.CONNECT_TIMEOUT)
    assert 0.29 <= time.monotonic() - began < 5


def test_a_full_backlog_times_out(play: Play[Outcome]) -> None:
    with full_backlog() as port:
        assert play(probe(tcp(connect_port=port, connect_timeout_s=0.3))) == Outcome(
            reason=Reason.CONNECT_TIMEOUT
        )


def test_no_route_is_unreachable(play: Play[Outcome]) -> None:
    outcome = play(probe(tcp(connect_ip=ip_address("203.0.113.1"))))
    assert outcome == Outcome(reason=Reason.UNREACHABLE, detail=errno.ENETUNREACH)


def test_nobody_at_that_address_is_bad(play: Play[Outcome]) -> None:
    outcome = play(probe(tcp(connect_ip=ip_address("192.0.2.77"), connect_timeout_s=8.0)))
    assert outcome.verdict is Verdict.BAD
    assert outcome.reason in (Reason.UNREACHABLE, Reason.CONNECT_TIMEOUT)


def test_a_closed_port_in_the_ephemeral_range_never_connects_to_itself(play: Play[Any]) -> None:
    async def story() -> set[Reason]:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as knob:
            before = knob.read()
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as knob:
            knob.write("50000 50003")
        try:
            check = tcp(connect_port=50001)
            return {(await probe(check)).reason for _ in range(64)}
        finally:
            with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as knob:
                knob.write(before)

    assert Reason.CONNECTED not in play(story())


# --- where from ----------------------------------------------------------------------------------


async def peer_of(**changes: Any) -> tuple[Outcome, tuple[str, int] | None]:
    """Who the server saw."""
    seen: list[tuple[str, int]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername"))
        await saying(OK)(reader, writer)

    async with serving(talk) as port:
        outcome = await probe(http(connect_port=port, **changes))
    return outcome, seen[0] if seen else None


def test_bindto(play: Play[Any]) -> None:
    outcome, peer = play(peer_of(bindto=ip_address("127.0.0.2")))
    assert outcome.reason is Reason.ANSWERED
    assert peer is not None
    assert peer[0] == "127.0.0.2"


def test_bind_port_may_be_used_again_at_once(play: Play[Any]) -> None:
    port = closed_port()

    async def story() -> list[Any]:
        return [await peer_of(bind_port=port) for _ in range(5)]

    for outcome, peer in play(story()):
        assert outcome.reason is Reason.ANSWERED
        assert peer[1] == port


def test_bind_if(play: Play[Any]) -> None:
    outcome, _ = play(peer_of(bind_if="lo"))
    assert outcome.reason is Reason.ANSWERED
    outcome, _ = play(peer_of(bind_if="v0"))
    assert outcome.reason is not Reason.ANSWERED


def test_link_local_ipv6_goes_by_bind_if(play: Play[Outcome]) -> None:
    check = tcp(connect_ip=ip_address("fe80::66"), bind_if="v0", connect_timeout_s=0.2)
    assert play(probe(check)).reason in (Reason.CONNECT_TIMEOUT, Reason.UNREACHABLE)


def test_fwmark_is_set(play: Play[Any]) -> None:
    outcome, _ = play(peer_of(fwmark=7))
    assert outcome.reason is Reason.ANSWERED


@pytest.mark.parametrize(
    ("changes", "reason", "number"),
    [
        ({"bindto": ip_address("203.0.113.9")}, Reason.CANNOT_BIND, errno.EADDRNOTAVAIL),
        ({"bind_if": "nosuch0"}, Reason.CANNOT_BIND, errno.ENODEV),
        (
            {"connect_ip": ip_address("fe80::1"), "bindto": ip_address("fe80::2"), "bind_if": "nosuch0"},
            Reason.CANNOT_BIND,
            errno.ENODEV,
        ),
    ],
)
def test_trouble_of_our_own_is_not_the_servers(
    play: Play[Outcome], changes: dict[str, Any], reason: Reason, number: int
) -> None:
    outcome = play(probe(tcp(connect_port=80, **changes)))
    assert outcome == Outcome(reason=reason, detail=number)
    assert outcome.verdict is Verdict.UNJUDGED


def test_no_descriptor_left_is_not_the_servers_fault(play: Play[Outcome]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def story() -> Outcome:
        open_now = max(map(int, os.listdir("/proc/self/fd"))) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now - 1, hard))
        spare = []
        try:
            while True:
                try:
                    spare.append(os.dup(0))
                except OSError:
                    break
            return await probe(tcp(connect_port=80))
        finally:
            for fd in spare:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    outcome = play(story())
    assert outcome == Outcome(reason=Reason.NO_SOCKET, detail=errno.EMFILE)
    assert outcome.verdict is Verdict.UNJUDGED


# --- HTTP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["1.0", "1.0C", "1.1"])
def test_what_the_server_is_asked(play: Play[Any], protocol: str) -> None:
    requests: list[bytes] = []
    urls = url(path="/a?b=c", virtualhost="www.example.org")
    outcome = play(ask(recording(requests, OK), http_protocol=protocol, urls=urls))
    assert outcome.reason is Reason.ANSWERED
    first, *rest = requests[0].decode().split("\r\n")
    assert first == f"GET /a?b=c HTTP/{protocol[:3]}"
    assert "Host: www.example.org" in rest
    assert "User-Agent: KeepAliveClient" in rest
    assert ("Connection: close" in rest) == (protocol != "1.0")


def test_a_server_that_keeps_the_connection_open_is_not_waited_for(play: Play[Outcome]) -> None:
    began = time.monotonic()
    assert play(ask(saying(OK, hold=True))).reason is Reason.ANSWERED
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("talk", "reason", "detail"),
    [
        (saying(b"HTTP/1.1 503 Busy\r\n\r\n"), Reason.STATUS, 503),
        (saying(), Reason.NO_ANSWER, 0),
        (saying(b"HTTP/1.1 200 OK\r\nX: "), Reason.NO_ANSWER, 0),
        (saying(b"220 smtp.example.org ESMTP\r\n", hold=True), Reason.NOT_HTTP, 0),
        (saying(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 30_000, hold=True), Reason.HEADER_TOO_LARGE, 0),
        (
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", hold=True),
            Reason.BAD_CHUNKING,
            0,
        ),
        (saying(OK[:-2], reset=True), Reason.READ_ERROR, errno.ECONNRESET),
        (saying(reset=True), Reason.READ_ERROR, errno.ECONNRESET),
    ],
)
def test_bad_answers(play: Play[Outcome], talk: Any, reason: Reason, detail: int) -> None:
    assert play(ask(talk)) == Outcome(reason=reason, detail=detail)


def test_a_silent_server_times_out(play: Play[Outcome]) -> None:
    assert play(ask(saying(hold=True), connect_timeout_s=0.3)).reason is Reason.READ_TIMEOUT


def test_a_drip_is_cut_off(play: Play[Outcome]) -> None:
    """Bytes keep coming, each well within connect_timeout: the whole answer has a limit, too."""
    drip = saying(b"HTTP/1.0 200 OK\r\n\r\n", *[b"x"] * 400, pause_s=0.02)
    limits: dict[str, Any] = {"connect_timeout_s": 0.4, "delay_loop_s": 0.5}
    assert answer_limit_s(http(**limits)) == pytest.approx(1.2)
    began = time.monotonic()
    assert play(ask(drip, **limits)).reason is Reason.TOO_SLOW
    assert time.monotonic() - began >= 1.15


def test_a_slow_but_steady_server_is_good(play: Play[Outcome]) -> None:
    drip = saying(*[OK[at : at + 1] for at in range(len(OK))], pause_s=0.005)
    assert play(ask(drip)).reason is Reason.ANSWERED


def test_digest(play: Play[Any]) -> None:
    body = os.urandom(300_000)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    plain = b"HTTP/1.0 200 OK\r\n\r\n" + body
    urls = url(digest=hashlib.md5(body).hexdigest())

    async def story() -> list[Reason]:
        return [(await ask(saying(data), urls=urls)).reason for data in (plain, chunked, plain[:-1])]

    assert play(story()) == [Reason.ANSWERED, Reason.ANSWERED, Reason.DIGEST]


@pytest.mark.parametrize(
    ("regex", "no_match", "reason"),
    [
        ("hel+o", False, Reason.ANSWERED),
        ("goodbye", False, Reason.REGEX_NOT_FOUND),
        ("hel+o", True, Reason.REGEX_FOUND),
        ("goodbye", True, Reason.ANSWERED),
        ("(", False, Reason.ANSWERED),  # a bad one is reported when it is prepared, and left out
    ],
)
def test_regex(play: Play[Outcome], regex: str, no_match: bool, reason: Reason) -> None:
    assert play(ask(saying(OK), urls=url(regex=regex, regex_no_match=no_match))).reason is reason


def test_a_body_made_to_hang_the_regex_does_not(play: Play[Any]) -> None:
    data = b"HTTP/1.0 200 OK\r\n\r\n" + b"a" * 5000 + b"b"

    async def story() -> tuple[Outcome, Outcome]:
        bad = await ask(saying(data), urls=url(regex="(a|aa)+$"))
        return bad, await ask(saying(OK), urls=url(regex="hello"))

    bad, good = play(story())
    assert bad.reason is Reason.REGEX_TIMEOUT
    assert good.reason is Reason.ANSWERED


# --- together ------------------------------------------------------------------------------------


def test_cancelled_attempts_leave_nothing_behind(play: Play[None]) -> None:
    async def story() -> None:
        async with serving(saying(hold=True)) as port:
            slow = [tcp(connect_ip=ip_address("192.0.2.66")), http(connect_port=port)]
            tasks = [asyncio.create_task(probe(check)) for check in slow * 20]
            await asyncio.sleep(0.2)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)

    play(story())


def test_a_thousand_at_once(play: Play[Any]) -> None:
    async def story() -> list[Outcome]:
        async with serving(saying(OK)) as port:
            checks = [http(connect_port=port), tcp(connect_port=port), tcp(connect_port=closed_port())]
            return await asyncio.gather(*[probe(check) for check in checks * 350])

    reasons = [outcome.reason for outcome in play(story())]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == {
        Reason.ANSWERED: 350,
        Reason.CONNECTED: 350,
        Reason.REFUSED: 350,
    }


def test_a_checker_that_did_not_run_blames_nobody(play: Play[Any]) -> None:
    """The loop stalls for longer than connect_timeout while answers lie ready in the sockets."""
    ready = socket.create_server(("127.0.0.1", 0), backlog=16)

    async def story() -> list[Outcome]:
        port = ready.getsockname()[1]
        tasks = [asyncio.create_task(probe(http(connect_port=port, connect_timeout_s=0.2)))]
        await asyncio.sleep(0.05)
        peer, _ = ready.accept()
        await asyncio.sleep(0.05)
        peer.recv(4096)
        peer.sendall(OK)
        time.sleep(0.5)
        outcomes = await asyncio.gather(*tasks)
        peer.close()
        return outcomes

    with ready:
        assert [outcome.reason for outcome in play(story())] == [Reason.ANSWERED]
        ready.close()
