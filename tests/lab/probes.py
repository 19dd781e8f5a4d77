"""Clients that ask again and again, and what they got: run as processes inside a node.

    icmp   echo to an address (IPv4 or IPv6)          answered_at is the kernel's time stamp
    arp    who-has an address, from raw frames        ``who`` is the MAC that answered; every answer counts
    http   GET of URL on a new connection each time   ``who`` is the first word of the page

The file is also the program that runs in the node (standard library only, no import of this project):
``probes.py KIND TARGET INTERVAL_S TIMEOUT_S``. It writes one JSON list a line, [sent_at, answered_at or
null, who, error], as soon as a question is settled, and ends when its standard input closes.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable

SO_TIMESTAMPNS = 35


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One question; ``answered_at`` is None when it was lost (refused, reset, or too late)."""

    sent_at: float
    answered_at: float | None
    who: str
    error: str

    @property
    def ok(self) -> bool:
        return self.answered_at is not None


class Probe:
    """A client process. ``answers`` may be read while it runs."""

    def __init__(self, netns: str, kind: str, target: str, interval_s: float, timeout_s: float) -> None:
        self.kind = kind
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self.answered = 0
        self.lost = 0
        self._answers: list[Answer] = []
        argv = [sys.executable, "-I", "-S", __file__, kind, target, str(interval_s), str(timeout_s)]
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", netns, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = Answer(*json.loads(line))
            self._answers.append(answer)
            self.answered += answer.ok
            self.lost += not answer.ok

    def answers(self, since: float = 0.0, until: float = float("inf")) -> list[Answer]:
        """What is settled so far of the questions sent in a span of time, in the order sent.

        A question is settled at its answer or ``timeout_s`` after it was sent.
        """
        found = []
        for answer in reversed(self._answers):
            # settled in another order than sent, but never by more than the time-out (and a stall)
            if answer.sent_at < since - self.timeout_s - 5:
                break
            if since <= answer.sent_at <= until:
                found.append(answer)
        return sorted(found, key=lambda answer: answer.sent_at)

    def await_answer(self, timeout_s: float) -> Answer:
        """The first question that was answered; TimeoutError when there is none in time."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for answer in list(self._answers):
                if answer.ok:
                    return answer
            time.sleep(0.01)
        raise TimeoutError(f"{self.kind} probe: no answer within {timeout_s:g} s")

    def stop(self) -> list[Answer]:
        """End the client after its open questions are settled; everything it asked."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self.timeout_s + 5)
        self.abandon()
        return self.answers()

    def abandon(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)


# --- what the answers mean ------------------------------------------------------------------------


def outage_s(answers: Iterable[Answer], interval_s: float) -> float:
    """How long clients got nothing: the longest run of lost questions, in seconds.

    From the sending of the first lost one to the sending of the next answered one (or one interval
    after the last lost one); 0 when none was lost.
    """
    worst, first_lost, last_sent = 0.0, None, 0.0
    for answer in sorted(answers, key=lambda a: a.sent_at):
        if answer.ok:
            if first_lost is not None:
                worst = max(worst, answer.sent_at - first_lost)
            first_lost = None
        elif first_lost is None:
            first_lost = answer.sent_at
        last_sent = answer.sent_at
    if first_lost is not None:
        worst = max(worst, last_sent + interval_s - first_lost)
    return worst


def trouble_s(answers: Iterable[Answer], interval_s: float) -> float:
    """From the sending of the first lost question to one interval after the sending of the last lost one;
    0 when none was lost. Unlike ``outage_s`` it also fits a service that answers every other time."""
    sent = [answer.sent_at for answer in answers if not answer.ok]
    return max(sent) - min(sent) + interval_s if sent else 0.0


def lost(answers: Iterable[Answer]) -> int:
    return sum(not answer.ok for answer in answers)


def longest_send_gap_s(answers: Iterable[Answer]) -> float:
    """Longest pause between two questions: how badly the host stalled the client itself."""
    sent = sorted(answer.sent_at for answer in answers)
    return max((b - a for a, b in itertools.pairwise(sent)), default=0.0)


def responders(answers: Iterable[Answer]) -> dict[str, int]:
    """{who: number of answers}."""
    return dict(collections.Counter(answer.who for answer in answers if answer.ok))


# --- the program that runs in the node ------------------------------------------------------------


def _say(sent_at: float, answered_at: float | None, who: str = "", error: str = "") -> None:
    back = None if answered_at is None else round(answered_at, 6)
    sys.stdout.write(json.dumps([round(sent_at, 6), back, who, error]) + "\n")


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            return float(seconds + nanoseconds / 1e9)
    return time.time()


class _Asker:
    """One kind of question: ``ask`` sends, ``handle`` reads a ready descriptor, ``expire`` gives up."""

    def __init__(self, poll: select.epoll, timeout_s: float) -> None:
        self.poll = poll
        self.timeout_s = timeout_s
        self.open: dict[int, float] = {}

    def ask(self) -> None:
        raise NotImplementedError

    def handle(self, fd: int, events: int) -> None:
        raise NotImplementedError

    def expire(self, now: float) -> None:
        for key in [key for key, sent_at in self.open.items() if now - sent_at > self.timeout_s]:
            _say(self.open.pop(key), None, error="timeout")


class _Icmp(_Asker):
    def __init__(self, poll: select.epoll, timeout_s: float, target: str) -> None:
        super().__init__(poll, timeout_s)
        self.v6 = ":" in target
        family = socket.AF_INET6 if self.v6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self.v6 else socket.IPPROTO_ICMP
        self.to = (target, 0)
        self.ident, self.number = os.getpid() & 0xFFFF, 0
        self.sock = socket.socket(family, socket.SOCK_RAW, protocol)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.setblocking(False)
        poll.register(self.sock, select.EPOLLIN)

    def ask(self) -> None:
        self.number += 1
        kind = 128 if self.v6 else 8
        body = struct.pack("!HHI", self.ident, self.number & 0xFFFF, self.number)
        total = 0 if self.v6 else sum(struct.unpack("!5H", struct.pack("!H", kind << 8) + body))
        total = (total >> 16) + (total & 0xFFFF)
        packet = struct.pack("!BBH", kind, 0, 0 if self.v6 else ~(total + (total >> 16)) & 0xFFFF) + body
        now = time.time()
        self.open[self.number] = now
        # an unreachable target is a lost question, settled by its time-out
        with contextlib.suppress(OSError):
            self.sock.sendto(packet, self.to)

    def handle(self, fd: int, events: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, ancillary, _flags, _from = self.sock.recvmsg(512, 128)
                body = raw if self.v6 else raw[(raw[0] & 15) * 4 :]
                if body[0] != (129 if self.v6 else 0):
                    continue
                ident, _seq, number = struct.unpack_from("!HHI", body, 4)
                if ident == self.ident and number in self.open:
                    _say(self.open.pop(number), _stamp(ancillary))


class _Arp(_Asker):
    """Asks by broadcast from the first interface; each answer is a line of its own."""

    def __init__(self, poll: select.epoll, timeout_s: float, target: str, dev: str = "e0") -> None:
        super().__init__(poll, timeout_s)
        self.target = socket.inet_aton(target)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.bind((dev, 0x0806))
        self.sock.setblocking(False)
        mac = self.sock.getsockname()[4]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.connect((target, 9))
            source = socket.inet_aton(own.getsockname()[0])
        self.frame = (
            b"\xff" * 6
            + mac
            + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
            + mac
            + source
            + bytes(6)
            + self.target
        )
        self.last_sent_at, self.number = 0.0, 0
        poll.register(self.sock, select.EPOLLIN)

    def ask(self) -> None:
        self.last_sent_at = time.time()
        self.number += 1
        self.open[self.number] = self.last_sent_at
        with contextlib.suppress(OSError):
            self.sock.send(self.frame)

    def handle(self, fd: int, events: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, ancillary, _flags, _from = self.sock.recvmsg(512, 128)
                if raw[20:22] != b"\0\2" or raw[28:32] != self.target or raw[38:42] == self.target:
                    continue
                _say(self.last_sent_at, _stamp(ancillary), raw[22:28].hex(":"))
                self.open.pop(self.number, None)


class _Http(_Asker):
    def __init__(self, poll: select.epoll, timeout_s: float, target: str) -> None:
        super().__init__(poll, timeout_s)
        host, _, port = target.rpartition(":")
        self.to = (host.strip("[]"), int(port))
        self.family = socket.AF_INET6 if ":" in self.to[0] else socket.AF_INET
        self.request = f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
        self.socks: dict[int, socket.socket] = {}
        self.got: dict[int, bytes] = {}

    def ask(self) -> None:
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        fd, now = sock.fileno(), time.time()
        try:
            sock.connect(self.to)
        except BlockingIOError:
            pass
        except OSError as error:
            sock.close()
            _say(now, None, error=error.strerror or "refused")
            return
        self.socks[fd], self.got[fd], self.open[fd] = sock, b"", now
        self.poll.register(sock, select.EPOLLOUT)

    def _close(self, fd: int, answered_at: float | None, who: str = "", error: str = "") -> None:
        sock = self.socks.pop(fd)
        self.poll.unregister(sock)
        # reset instead of FIN: no TIME_WAIT, so that ports and IPVS entries do not run out
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        self.got.pop(fd)
        _say(self.open.pop(fd), answered_at, who, error)

    def handle(self, fd: int, events: int) -> None:
        sock = self.socks[fd]
        try:
            if events & select.EPOLLOUT and not events & (select.EPOLLERR | select.EPOLLHUP):
                sock.send(self.request)
                self.poll.modify(sock, select.EPOLLIN)
                return
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._close(fd, None, error=error.strerror or "reset")
            return
        if data:
            self.got[fd] += data
            return
        head, _, body = self.got[fd].partition(b"\r\n\r\n")
        if b" 200 " in head.split(b"\r\n")[0] + b" ":
            self._close(fd, time.time(), (body.split() or [b""])[0].decode(errors="replace"))
        else:
            self._close(fd, None, error="no page")

    def expire(self, now: float) -> None:
        for fd in [fd for fd, sent_at in self.open.items() if now - sent_at > self.timeout_s]:
            self._close(fd, None, error="timeout")


def _main() -> None:
    kind, target, interval_s, timeout_s = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the laboratory ends us, not the terminal
    poll = select.epoll()
    kinds = {"icmp": _Icmp, "arp": _Arp, "http": _Http}
    asker: _Asker = kinds[kind](poll, timeout_s, target)
    poll.register(0, select.EPOLLIN)
    due, ending = time.monotonic(), False
    while not ending or asker.open:
        for fd, events in poll.poll(max(0.0, due - time.monotonic()), 256):
            if fd == 0:
                ending = True
                poll.unregister(0)
            else:
                asker.handle(fd, events)
        if time.monotonic() >= due:
            if not ending:
                asker.ask()
            due = max(due + interval_s, time.monotonic())
            asker.expire(time.time())
            sys.stdout.flush()
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        _main()
    except BrokenPipeError:  # whoever asked for us is gone
        os._exit(0)
