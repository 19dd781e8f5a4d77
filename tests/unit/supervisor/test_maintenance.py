"""Step-down and resume in the supervisor: requests go on, answers come back, holds are not forgotten."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor.maintenance import ANSWER_LIMIT_S, Maintenance
from supervisor.maintenance_cli import duration_s
from worker.clock import boottime
from worker.control import Answered, Held, Message, Ready, Resume, StepDown, Unheld


class Client:
    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    def answer(self, body: dict[str, Any]) -> None:
        self.answers.append(body)


class Channel:
    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)


def made(state: str = "ready") -> tuple[Maintenance, Channel, Client]:
    channel = Channel()
    log = SimpleNamespace(info=lambda *_a, **_k: None, warning=lambda *_a, **_k: None)
    owner: Any = SimpleNamespace(table={"vrrp": SimpleNamespace(channel=channel, state=state)}, log=log)
    return Maintenance(owner), channel, Client()


def test_a_request_and_its_answer() -> None:
    maintenance, channel, client = made()
    before = boottime()
    maintenance.step_down({"name": "V1", "reason": " new\n kernel ", "for_s": 60}, client)  # type: ignore[arg-type]
    (sent,) = channel.sent
    assert isinstance(sent, StepDown)
    assert (sent.name, sent.reason) == ("V1", "new kernel")
    assert before + 60 <= sent.until_at <= boottime() + 60
    assert sent.request > 0
    assert maintenance.told(Answered(request=sent.request, ok=1, text="V1 handed over"))
    assert client.answers == [{"ok": True, "text": "V1 handed over"}]
    assert maintenance.deadlines() == []
    maintenance.resume({"name": ""}, client)  # type: ignore[arg-type]
    assert isinstance(channel.sent[1], Resume)
    maintenance.told(Answered(request=channel.sent[1].request, ok=0, text="no"))
    assert client.answers[1] == {"ok": False, "error": "no"}


@pytest.mark.parametrize(
    "request_", [{}, {"name": "V1", "reason": "", "for_s": -1}, {"name": 3, "reason": "", "for_s": 0}]
)
def test_a_request_that_makes_no_sense(request_: dict[str, Any]) -> None:
    maintenance, channel, client = made()
    maintenance.step_down(request_, client)  # type: ignore[arg-type]
    assert channel.sent == []
    assert not client.answers[0]["ok"]


@pytest.mark.parametrize("state", ["backoff", "starting", "stopped"])
def test_no_worker_to_ask(state: str) -> None:
    maintenance, channel, client = made(state)
    maintenance.resume({"name": "V1"}, client)  # type: ignore[arg-type]
    assert channel.sent == []
    assert "the vrrp worker is" in client.answers[0]["error"]


def test_an_operator_never_waits_for_ever() -> None:
    for end in ("late", "died"):
        maintenance, _, client = made()
        maintenance.resume({"name": "V1"}, client)  # type: ignore[arg-type]
        assert maintenance.deadlines()[0] <= boottime() + ANSWER_LIMIT_S
        maintenance.timers(boottime())
        assert client.answers == []
        if end == "late":
            maintenance.timers(boottime() + ANSWER_LIMIT_S)
        else:
            maintenance.worker_died()
        assert not client.answers[0]["ok"]
        assert maintenance.told(Answered(request=1, ok=1, text="too late"))
        assert len(client.answers) == 1


def test_the_next_incarnation_is_told_who_is_held_back() -> None:
    maintenance, _, _ = made()
    for name in ("V1", "V2", "V1"):
        maintenance.told(Held(name=name, reason="x", until_at=5.0))
    maintenance.told(Unheld(name="V2"))
    channel: Any = Channel()
    maintenance.introduce(channel)
    assert channel.sent == [StepDown(name="V1", reason="x", until_at=5.0, request=0)]
    assert not maintenance.told(Ready())


def test_times() -> None:
    assert [duration_s(text) for text in ("90", "90s", "1.5m", "2h", "1d")] == [90, 90, 90, 7200, 86400]
    for text in ("soon", "", "-1", "0", "1w"):
        with pytest.raises(argparse.ArgumentTypeError):
            duration_s(text)
