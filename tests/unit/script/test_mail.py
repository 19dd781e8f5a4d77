"""Alert mails, handed to a real SMTP server: dialogue, headers, refusals, a server that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
import uvloop

from keepalived_conf.model import GlobalDefs, SmtpServer
from script_proc import mail as mailing
from script_proc.book import MAX_MAILS, plain
from script_proc.desk import Desk
from script_proc.mail import Post, Postman, SmtpError, compose, deliver, post_of
from script_proc.notify import Mail
from tests.unit.script.desk_stub import Supervisor
from worker.clock import boottime

POST = Post(
    host="127.0.0.1", port=0, helo="here", sender="Router <ka@example.net>", recipients=("a@b", "C <c@d>"),
    timeout_s=5.0,
)  # fmt: skip
MAIL = Mail(subject="[r1] VRRP Instance V1 - Entering MASTER state", body="line\n.dot\nlast")


@dataclass
class SmtpServerStub:
    """Speaks SMTP; ``answers`` replaces what it says to a command (``greeting``, ``.`` for the message); an
    empty one: nothing at all. It takes ``pause_s`` to take a message."""

    answers: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    cut_short: int = 0
    """Dialogues that ended in the middle."""
    pause_s: float = 0.0
    port: int = 0

    async def __aenter__(self) -> SmtpServerStub:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def answer(command: str, usual: str) -> None:
            text = self.answers.get(command, usual)
            writer.write(text.encode() + b"\r\n" if text else b"")

        answer("greeting", "220-welcome\r\n220 ready")
        data: list[bytes] | None = None
        while line := await reader.readline():
            if data is not None:
                if line == b".\r\n":
                    await asyncio.sleep(self.pause_s)
                    self.messages.append(b"".join(data))
                    data = None
                    answer(".", "250 taken")
                else:
                    data.append(line[1:] if line.startswith(b".") else line)
                continue
            text = line.decode().strip()
            self.said.append(text)
            command = text.split(" ")[0].split(":")[0]
            if text in self.answers:
                answer(text, "")
            elif command == "DATA":
                if "DATA" not in self.answers:
                    data = []
                answer("DATA", "354 go on")
            else:
                answer(command, "221 bye" if command == "QUIT" else "250 ok")
            if command == "QUIT" and self.answers.get("QUIT") != "":
                break
        else:
            self.cut_short += 1
        writer.close()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await body()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(bounded())


def test_the_dialogue_and_the_message() -> None:
    async def body() -> None:
        async with SmtpServerStub() as server:
            post = replace(POST, port=server.port)
            await deliver(post, compose(MAIL, post, 1_700_000_000.0))
            assert server.said == [
                "HELO here",
                "MAIL FROM:<ka@example.net>",
                "RCPT TO:<a@b>",
                "RCPT TO:<c@d>",
                "DATA",
                "QUIT",
            ]
            (data,) = server.messages
            message = message_from_bytes(data, policy=SMTP)
            assert list(message.keys())[:5] == ["Date", "From", "Subject", "X-Mailer", "To"]
            assert message["Date"].datetime.timestamp() == 1_700_000_000
            assert message["From"] == "Router <ka@example.net>"
            assert message["Subject"] == MAIL.subject
            assert message["X-Mailer"] == "Keepalived"
            assert message["To"] == "a@b, C <c@d>"
            assert message.get_content().splitlines() == ["line", ".dot", "last"]

    run(body)


def test_a_name_cannot_add_headers() -> None:
    data = compose(Mail(subject="a\r\nBcc: x@y\nb", body="é"), POST, 0.0)
    assert message_from_bytes(data, policy=SMTP)["Subject"] == "a Bcc: x@y b"
    assert message_from_bytes(data, policy=SMTP)["Bcc"] is None


def test_a_subject_is_one_line() -> None:
    subject = f"[r1] Realserver [10.0.1.1]:tcp:80 of virtual server [{'a' * 60}]:0 - DOWN"
    assert f"\r\nSubject: {subject}\r\n".encode() in compose(Mail(subject=subject, body=""), POST, 0.0)


@pytest.mark.parametrize(
    ("answers", "final"),
    [
        ({"greeting": "421 busy"}, False),
        ({"greeting": "hello?"}, False),
        ({"HELO": "550 no"}, True),
        ({"MAIL": "451 later"}, False),
        ({"RCPT": "550 nobody"}, True),
        ({"RCPT TO:<a@b>": "550 nobody", "RCPT TO:<c@d>": "450 later"}, False),
        ({"DATA": "554 no"}, True),
        ({".": "452 full"}, False),
    ],
)
def test_a_refusal_says_whether_trying_again_is_of_use(answers: dict[str, str], final: bool) -> None:
    async def body() -> None:
        async with SmtpServerStub(answers=answers) as server:
            with pytest.raises(SmtpError) as caught:
                await deliver(replace(POST, port=server.port), b"x\r\n")
            assert caught.value.final is final

    run(body)


def test_one_recipient_that_is_refused_does_not_stop_the_other() -> None:
    async def body() -> None:
        async with SmtpServerStub(answers={"RCPT TO:<a@b>": "550 nobody"}) as server:
            await deliver(replace(POST, port=server.port), b"x\r\n")
            assert server.messages == [b"x\r\n"]

    run(body)


def test_a_server_that_says_nothing_is_given_up() -> None:
    async def body() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        post = replace(POST, port=server.sockets[0].getsockname()[1], timeout_s=0.05)
        with pytest.raises(TimeoutError):
            await deliver(post, b"x\r\n")
        server.close()

    run(body)


def test_a_server_that_took_the_message_need_not_say_good_bye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailing, "QUIT_S", 0.05)

    async def body() -> None:
        async with SmtpServerStub(answers={"QUIT": ""}) as server:
            await deliver(replace(POST, port=server.port), b"x\r\n")
            assert server.messages == [b"x\r\n"]
            assert server.said[-1] == "QUIT"

    run(body)


def settings(port: int) -> GlobalDefs:
    return GlobalDefs(
        smtp_server=SmtpServer(host="127.0.0.1", port=port), notification_email=("a@b",), smtp_helo_name="h"
    )


def test_mails_wait_for_a_server_that_is_away_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailing, "BACKOFF_S", (0.02,))
    supervisor = Supervisor(tmp_path)

    async def body() -> None:
        async with SmtpServerStub() as server:
            port = server.port
        desk = supervisor.desk()
        postman = Postman(desk=desk, log=supervisor.log, clock=lambda: 5.0)
        postman.apply(settings(port))
        for number in range(3):
            mail = Mail(subject=str(number), body="")
            desk.commit("event", "", 0, 0, 5.0, None, (plain(mail),))
            postman.wake()
        await asyncio.sleep(0.05)
        assert supervisor.events == ["mail.delayed"], "said once"
        async with SmtpServerStub(port=port) as server:
            assert await postman_drained(postman)
            subjects = [message_from_bytes(data)["Subject"] for data in server.messages]
            assert subjects == ["0", "1", "2"]
        assert desk.book.sent == 3
        await postman.close()
        desk.close()

    run(body)
    supervisor.close()


async def postman_drained(postman: Postman) -> bool:
    while postman._desk.book.mails:
        await asyncio.sleep(0.01)
    return True


@pytest.mark.parametrize(("answers", "age_s"), [({"MAIL": "550 no"}, 0.0), ({"MAIL": "450 later"}, 3601.0)])
def test_a_mail_that_is_refused_or_too_old_is_lost_and_the_next_one_goes(
    answers: dict[str, str], age_s: float, tmp_path: Path
) -> None:
    supervisor = Supervisor(tmp_path)

    async def body() -> None:
        desk = supervisor.desk()
        postman = Postman(desk=desk, log=supervisor.log, clock=lambda: 5.0 + age_s)
        async with SmtpServerStub(answers=dict(answers)) as server:
            desk.commit("event", "", 0, 0, 5.0, None, (plain(Mail(subject="1", body="")),))
            postman.apply(settings(server.port))
            assert await postman_drained(postman)
            assert (desk.book.sent, desk.book.lost_mails) == (0, 1)
            server.answers.clear()
            desk.commit("event", "", 0, 0, 5.0 + age_s, None, (plain(Mail(subject="2", body="")),))
            postman.wake()
            assert await postman_drained(postman)
            assert (desk.book.sent, desk.book.lost_mails) == (1, 1)
        assert "mail.lost" in supervisor.events
        await postman.close()
        desk.close()

    run(body)
    supervisor.close()


# --- a stop, a reload ------------------------------------------------------------------------------


def put(desk: Desk, postman: Postman, count: int) -> None:
    for number in range(count):
        desk.commit("event", "", 0, 0, boottime(), None, (plain(Mail(subject=str(number), body="")),))
        postman.wake()


async def free_port() -> int:
    async with SmtpServerStub() as server:
        return server.port


def test_a_stop_tries_again_at_once_and_hands_over_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailing, "BACKOFF_S", (60.0,))
    monkeypatch.setattr(mailing, "HURRIED_S", 0.02)
    supervisor = Supervisor(tmp_path)

    async def body() -> None:
        port = await free_port()
        desk = supervisor.desk()
        postman = Postman(desk=desk, log=supervisor.log, clock=boottime)
        postman.apply(settings(port))
        put(desk, postman, 3)
        while supervisor.events != ["mail.delayed"]:
            await asyncio.sleep(0.005)
        draining = asyncio.create_task(postman.drain(10.0, 10.0))
        await asyncio.sleep(0.05)
        async with SmtpServerStub(port=port, pause_s=0.05) as server:
            assert await draining
            assert [message_from_bytes(data)["Subject"] for data in server.messages] == ["0", "1", "2"]
        await postman.close()
        assert (desk.book.sent, desk.book.lost_mails) == (3, 0)
        assert "mail.lost" not in supervisor.events
        desk.close()

    run(body)
    supervisor.close()


@pytest.mark.parametrize("how", ["away", "silent"])
def test_a_stop_does_not_wait_for_ever_and_says_what_is_lost(how: str, tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)

    async def body() -> None:
        port = await free_port()
        desk = supervisor.desk()
        postman = Postman(desk=desk, log=supervisor.log, clock=boottime)
        answers = {"greeting": ""} if how == "silent" else {}
        async with SmtpServerStub(port=port if how == "silent" else 0, answers=answers):
            postman.apply(settings(port))
            put(desk, postman, 13)
            began_at = boottime()
            # One that refuses has the shorter time, one that may still answer the longer one.
            assert not await postman.drain(*((10.0, 0.1) if how == "away" else (0.1, 10.0)))
            assert boottime() - began_at < 5
            await postman.close()
        assert (len(desk.book.mails), desk.book.lost_mails, desk.book.sent) == (0, 13, 0)
        assert supervisor.events.count("mail.lost") == 11, "ten by name, the others as a number"
        desk.close()

    run(body)
    supervisor.close()


def test_without_a_server_in_a_new_configuration_what_waits_is_lost(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)

    async def body() -> None:
        desk = supervisor.desk()
        postman = Postman(desk=desk, log=supervisor.log, clock=boottime)
        postman.apply(settings(await free_port()))
        put(desk, postman, 2)
        await asyncio.sleep(0.02)
        postman.apply(GlobalDefs())
        assert (len(desk.book.mails), desk.book.lost_mails) == (0, 2)
        assert supervisor.events.count("mail.lost") == 2
        async with SmtpServerStub() as server:
            postman.apply(settings(server.port))
            put(desk, postman, 1)
            assert await postman.drain(10.0, 10.0)
        await postman.close()
        desk.close()

    run(body)
    supervisor.close()


def test_too_many_that_wait_are_said(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)

    async def body() -> None:
        desk = supervisor.desk()
        postman = Postman(desk=desk, log=supervisor.log, clock=boottime)
        put(desk, postman, MAX_MAILS - 1)
        assert supervisor.events == []
        put(desk, postman, 3)
        assert supervisor.events == ["mail.full"]
        assert (len(desk.book.mails), desk.book.lost_mails) == (MAX_MAILS, 2)
        await postman.close()
        desk.close()

    run(body)
    supervisor.close()


def test_defaults_of_sender_and_name() -> None:
    post = post_of(GlobalDefs(smtp_server=SmtpServer(host="x"), notification_email=("a@b",)))
    assert post is not None
    assert "@" in post.sender
    assert post.helo
    assert post_of(GlobalDefs(smtp_server=SmtpServer(host="x"))) is None
    assert post_of(GlobalDefs(notification_email=("a@b",))) is None
