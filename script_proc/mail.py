"""Alert mails: how they look, and the dialogue with the SMTP server (RFC 5321), retried while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from structlog.stdlib import BoundLogger

from keepalived_conf.model import GlobalDefs
from script_proc.book import MAX_MAILS, Task
from script_proc.desk import Desk
from script_proc.notify import Mail

BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
GIVE_UP_S = 3600.0
HURRIED_S = 0.2
"""Pause between two tries while the daemon stops."""
QUIT_S = 1.0
"""A server that has taken a message may be slow to say good-bye."""
REPLY_LINES = 100
LOSSES_TOLD = 10
"""Mails of which each is named in the log when a stop or a reload gives many up."""


class SmtpError(Exception):
    """The server refused, or spoke no SMTP. ``final``: trying again is of no use."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """Where mails go and from whom they are."""

    host: str
    port: int
    helo: str
    sender: str
    """As in the header; the envelope has the address in it."""
    recipients: tuple[str, ...]
    timeout_s: float


def post_of(settings: GlobalDefs) -> Post | None:
    """None: no mail is sent."""
    if settings.smtp_server is None or not settings.notification_email:
        return None
    host = socket.gethostname()
    sender = settings.notification_email_from
    if sender is None:
        try:
            sender = f"{getpass.getuser()}@{host}"
        except (KeyError, OSError):  # a user without a name
            sender = f"keepalived@{host}"
    return Post(
        host=settings.smtp_server.host,
        port=settings.smtp_server.port,
        helo=settings.smtp_helo_name or host,
        sender=sender,
        recipients=settings.notification_email,
        timeout_s=float(settings.smtp_connect_timeout_s),
    )


def compose(mail: Mail, post: Post, wall_at: float) -> bytes:
    """The whole message, lines ended by CR LF."""
    # As long as lines may be: who filters keepalived's mails by their subject expects it on one line.
    message = EmailMessage(policy=SMTP.clone(max_line_length=998))
    message["Date"] = format_datetime(datetime.fromtimestamp(wall_at).astimezone())
    message["From"] = _one_line(post.sender)
    message["Subject"] = _one_line(mail.subject)
    message["X-Mailer"] = "Keepalived"
    message["To"] = ", ".join(map(_one_line, post.recipients))
    message.set_content(mail.body.encode("utf-8", "replace").decode() + "\n")
    return message.as_bytes()


async def deliver(post: Post, data: bytes) -> None:
    """Hand one message over. Raises SmtpError, OSError or TimeoutError, and none once the server took it."""
    async with asyncio.timeout(post.timeout_s):
        reader, writer = await asyncio.open_connection(post.host, post.port, limit=8192)
    try:
        async with asyncio.timeout(post.timeout_s):
            await _expect(reader, 220)
            await _say(reader, writer, f"HELO {post.helo}", 250)
            await _say(reader, writer, f"MAIL FROM:<{_address(post.sender)}>", 250)
            await _recipients(reader, writer, post)
            await _say(reader, writer, "DATA", 354)
            for line in data.splitlines():
                writer.write((b"." if line.startswith(b".") else b"") + line + b"\r\n")
            await _say(reader, writer, ".", 250)
        with contextlib.suppress(SmtpError, OSError, TimeoutError):
            async with asyncio.timeout(min(QUIT_S, post.timeout_s)):
                await _say(reader, writer, "QUIT", 221)
    finally:
        writer.close()


async def _recipients(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, post: Post) -> None:
    refusals: list[SmtpError] = []
    for recipient in post.recipients:
        try:
            await _say(reader, writer, f"RCPT TO:<{_address(recipient)}>", 250)
        except SmtpError as error:
            refusals.append(error)
    if len(refusals) == len(post.recipients):
        raise SmtpError(str(refusals[0]), final=all(one.final for one in refusals))


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str, wanted: int) -> None:
    writer.write(_one_line(command).encode("utf-8", "replace") + b"\r\n")
    await writer.drain()
    await _expect(reader, wanted, command.partition(" ")[0])


async def _expect(reader: asyncio.StreamReader, wanted: int, command: str = "the connection") -> None:
    for _ in range(REPLY_LINES):
        try:
            line = await reader.readline()
        except ValueError:
            raise SmtpError("a reply that never ends") from None
        if not line.endswith(b"\n"):
            raise SmtpError("the server closed the connection")
        text = line.decode("ascii", "replace").strip()
        if text[3:4] == "-":
            continue
        if not text[:3].isdigit():
            raise SmtpError(f"no SMTP reply: {text[:80]}")
        code = int(text[:3])
        if code == wanted or (wanted == 250 and code == 251):
            return
        raise SmtpError(f"answer to {command}: {text[:200]}", final=500 <= code < 600)
    raise SmtpError("a reply that never ends")


def _address(text: str) -> str:
    return parseaddr(text)[1] or text


def _one_line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text or "\r" in text else text


class Postman:
    """Sends the mails of the book, one after the other, in order. One that was being sent when the worker was
    killed is sent again."""

    def __init__(self, *, desk: Desk, log: BoundLogger, clock: Callable[[], float]) -> None:
        self._desk, self._log, self._clock = desk, log, clock
        self._post: Post | None = None
        self._wake = asyncio.Event()
        self._hurried = asyncio.Event()
        """The daemon stops: no long pauses any more."""
        self._task: asyncio.Task[None] | None = None
        self._troubled = ""
        """Why the last try failed; empty: it did not."""
        self._crowded = False

    def apply(self, settings: GlobalDefs) -> None:
        self._post = post_of(settings)
        if self._post is None:
            self._give_up_all("no smtp_server or notification_email is configured now")
        elif self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        self._wake.set()

    def wake(self) -> None:
        """There is a mail."""
        crowded = len(self._desk.book.mails) >= MAX_MAILS
        if crowded and not self._crowded:
            self._log.error("mail.full", waiting=MAX_MAILS, effect="for each new mail the oldest one is lost")
        self._crowded = crowded
        self._wake.set()

    async def _work(self) -> None:
        failures = 0
        while True:
            task = next(iter(self._desk.book.mails), None)
            if task is None or self._post is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                final = await self._send(task)
            except Exception:  # noqa: BLE001 - logged, and the mail given up
                # A fault of ours: this mail must neither end the worker nor hold up the others.
                self._log.exception("mail.fault", number=task.number)
                final = True
                self._desk.commit("given_up", task.number)
            if final:
                failures = 0
                continue
            await self._pause(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    async def _pause(self, seconds: float) -> None:
        if self._hurried.is_set():
            await asyncio.sleep(HURRIED_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    async def _send(self, task: Task) -> bool:
        """True: it is sent or given up."""
        post, mail = self._post, task.effect
        assert post is not None
        assert isinstance(mail, Mail)
        age_s = self._clock() - task.at
        try:
            await deliver(post, compose(mail, post, time.time() - age_s))
        except (SmtpError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {post.timeout_s:g} s"
            final = isinstance(error, SmtpError) and error.final
            if final or age_s > GIVE_UP_S:
                self._log.error("mail.lost", subject=mail.subject, reason=reason, age_s=round(age_s))
                self._desk.commit("given_up", task.number)
                return True
            if reason != self._troubled:
                self._troubled = reason
                self._log.warning(
                    "mail.delayed", server=f"{post.host}:{post.port}", reason=reason,
                    waiting=len(self._desk.book.mails), effect="tried again for an hour",
                )  # fmt: skip
            return False
        self._troubled = ""
        self._desk.commit("done", task.number)
        self._log.info("mail.sent", subject=mail.subject, recipients=len(post.recipients))
        return True

    async def drain(self, timeout_s: float, patience_s: float) -> bool:
        """The daemon stops: hand over what waits, at most for ``timeout_s``, and not longer than
        ``patience_s`` while the server refuses or is away. True: nothing waits any more."""
        self._hurried.set()
        began_at = self._clock()
        while self._desk.book.mails and self._post is not None:
            waited_s = self._clock() - began_at
            if waited_s >= timeout_s or (self._troubled and waited_s >= patience_s):
                break
            await asyncio.sleep(0.01)
        return not self._desk.book.mails

    async def close(self) -> None:
        """What was not handed over is lost, and said."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._give_up_all(f"the daemon stops ({self._troubled or 'the mail server is too slow'})")

    def _give_up_all(self, reason: str) -> None:
        waiting = tuple(self._desk.book.mails)
        for task in waiting[:LOSSES_TOLD]:
            assert isinstance(task.effect, Mail)
            age_s = round(self._clock() - task.at)
            self._log.error("mail.lost", subject=task.effect.subject, reason=reason, age_s=age_s)
        if len(waiting) > LOSSES_TOLD:
            self._log.error("mail.lost", more=len(waiting) - LOSSES_TOLD, reason=reason)
        if waiting:
            self._desk.commit("given_up", *(task.number for task in waiting))
