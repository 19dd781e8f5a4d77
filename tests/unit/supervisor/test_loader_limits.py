"""The loader child: whatever a parser does to itself, a reload is refused and nobody else notices."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any

import pytest

import keepalived_conf.loading
import keepalived_conf.tools.check  # noqa: F401 - as a daemon has it: children need not import it
from bus import envelope, messages
from supervisor import cli, commands, loader, operator, view
from supervisor.loader import Loader, Manifest
from supervisor.mirror import Reporter
from supervisor.options import DaemonOptions
from supervisor.reload import Generation
from tests.unit.supervisor.test_reload import ROLES, Answers, Owner, loaded
from worker.clock import boottime

GOOD = "vrrp_instance V {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n"
BAD = GOOD.replace("interface eth0", "interface")


class Log:
    def __init__(self) -> None:
        self.records: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.records.append((level, event, fields))


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    """A supervisor that reads real files in real children, and reports as it really does."""
    found = Owner()
    found.options = DaemonOptions(config=str(tmp_path / "k.conf"))
    Path(found.options.config).write_text(GOOD)
    shown: Any = found
    shown.reporter = Reporter()
    shown.reporter.log = shown.log = Log()
    return found


def goes(owner: Owner, client: Answers, fault: str = "") -> float:
    """One reload up to the end of its child. Returns how long that took, in seconds."""
    owner.worker_options.faults = {"loader": fault}
    began = time.monotonic()
    owner.reload.request(client)  # type: ignore[arg-type]
    attempt = owner.reload.attempt
    assert attempt is not None
    assert attempt.loader is not None
    child = attempt.loader.pid
    poll = select.poll()
    poll.register(attempt.loader.fileno(), select.POLLIN)
    while not client.got and attempt.phase == "loading":
        late = boottime() >= attempt.deadline_at
        if late:
            owner.reload.timers(boottime())
        elif poll.poll(20):
            owner.reader()
            break
        assert time.monotonic() - began < 30
    owner.children.pop(child)(os.waitpid(child, 0)[1])
    return time.monotonic() - began


def published(owner: Owner) -> list[messages.Message]:
    """What the broker would be given."""
    shown: Any = owner
    outbox = shown.reporter._outbox
    outbox.announce(1)
    found = []
    while (payload := outbox.peek(boottime())) is not None:
        outbox.pop()
        said = envelope.decode(payload)
        if isinstance(said, envelope.Change) and said.message is not None:
            found.append(said.message)
    return found


def refused(owner: Owner, client: Answers) -> str:
    """The reload was refused, and nothing else happened. Returns why."""
    (answer,) = client.got
    assert not answer["ok"]
    assert owner.journal == [], "a worker was told something"
    assert owner.killed == {} and owner.started == owner.stopped == []
    assert owner.reload.current.number == 1
    assert owner.reload.attempt is None
    assert set(owner.reload.current.slices) == set(ROLES)
    return str(answer["error"])


LIMITS: dict[str, tuple[dict[str, float], str]] = {
    "hang": ({"WALL_LIMIT_S": 0.3}, "could not be read within"),
    "crash": ({}, "killed by SIGSEGV"),
    "spin": ({"CPU_LIMIT_S": 1}, "killed by SIG"),
    "eat": ({"MEMORY_LIMIT_BYTES": 1 << 29}, "could not be read: loader"),
}


@pytest.mark.parametrize("fault", LIMITS)
def test_a_parser_that_misbehaves_is_a_refused_reload(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    limits, words = LIMITS[fault]
    client = Answers()
    with monkeypatch.context() as patched:
        for name, value in limits.items():
            patched.setattr(loader, name, value)
            patched.setattr(f"supervisor.reload.{name}", value, raising=False)
        took_s = goes(owner, client, fault)
    assert words in refused(owner, client)
    assert took_s < 10
    again = Answers()
    goes(owner, again)  # and the next one is as good as ever
    assert owner.reload.attempt is not None
    assert owner.reload.attempt.phase == "preparing"


def test_the_limits_of_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import resource

    def look(*_: object, **__: object) -> tuple[Manifest, dict[str, bytes]]:
        names = ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_CORE")
        limits = {name: str(resource.getrlimit(getattr(resource, name))[0]) for name in names}
        return Manifest(fatal=False, exit_status=0, digests=limits), {}

    monkeypatch.setattr(loader, "load_here", look)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))  # a core would be allowed
    try:
        child = Loader(str(tmp_path), None)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    os.waitpid(child.pid, 0)
    result = child.result()
    child.close()
    assert result is not None
    assert result.manifest.digests == {
        "RLIMIT_CPU": str(loader.CPU_LIMIT_S),
        "RLIMIT_AS": str(loader.MEMORY_LIMIT_BYTES),
        "RLIMIT_CORE": "0",
    }


# --- an invalid file ----------------------------------------------------------------------------------


@pytest.fixture
def after_a_bad_file(owner: Owner) -> tuple[Owner, Answers]:
    Path(owner.options.config).write_text(BAD)
    client = Answers()
    goes(owner, client)
    return owner, client


def test_an_invalid_file_changes_nothing(after_a_bad_file: tuple[Owner, Answers]) -> None:
    owner, client = after_a_bad_file
    why = refused(owner, client)
    assert "the configuration is not usable" in why
    assert f"{owner.options.config}:2:11: interface: the argument is missing" in why
    assert client.got[0]["errors"][0] == why.partition("usable: ")[2].partition("; ")[0]


def test_an_invalid_file_is_an_event_on_the_bus(after_a_bad_file: tuple[Owner, Answers]) -> None:
    said = published(after_a_bad_file[0])
    events = [(one.what, one.generation) for one in said if isinstance(one, messages.ReloadEvent)]
    assert events == [("started", 2), ("refused", 2)]
    (state,) = [one for one in said if isinstance(one, messages.ReloadState)]
    assert (state.result, state.generation, state.attempted) == ("refused", 1, 2)
    assert ":2:11: interface: the argument is missing" in state.errors[0]


def test_an_invalid_file_is_a_record_of_the_log(after_a_bad_file: tuple[Owner, Answers]) -> None:
    records = after_a_bad_file[0].log.records
    (refusal,) = [fields for level, event, fields in records if (level, event) == ("error", "reload.refused")]
    assert "the argument is missing" in refusal["why"]
    findings = [fields for level, event, fields in records if event == "config.finding"]
    assert any(one["severity"] == "error" and "^" in one["text"] for one in findings)


def test_an_invalid_file_is_a_field_of_the_status(
    after_a_bad_file: tuple[Owner, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    owner: Any = after_a_bad_file[0]
    owner.version, owner.epoch, owner.started_at = "1", 1, boottime()
    owner.run_dir = type("R", (), {"path": Path("/run/x")})()
    owner.fence = type("F", (), {"cases": lambda *_: []})()
    answer = commands.status(owner)
    assert (answer["generation"], answer["reload"]["attempted"], answer["reload"]["result"]) == (
        1,
        2,
        "refused",
    )
    assert ":2:11: interface: the argument is missing" in answer["reload"]["errors"][0]
    shown = "\n".join(view._status_text(answer, {}, {}, True, boottime()))
    assert "last reload: generation 2 refused" in shown
    assert ":2:11: interface: the argument is missing" in shown


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"ok": True, "generation": 7}, 0, "generation 7 is in force"),
        ({"ok": False, "error": "the configuration is not usable: a:1:2"}, 1, "not usable: a:1:2"),
    ],
)
def test_reload_wait_ends_as_the_reload_did(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    answer: dict[str, Any],
    status: int,
    said: str,
) -> None:
    import threading

    asked: list[dict[str, Any]] = []

    def handle(request: dict[str, Any], client: operator.Client) -> None:
        asked.append(request)
        client.answer(answer)

    server = operator.OperatorServer(tmp_path / "operator.sock", handle)

    def serve() -> None:
        poll = select.poll()
        poll.register(server.fileno(), select.POLLIN)
        poll.poll(5000)
        client = server.accept()
        if client is not None:
            client.sock.setblocking(True)
            server.readable(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert cli._verb("reload", ["--wait", "--run-dir", str(tmp_path)]) == status
    finally:
        thread.join(5)
        server.close()
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert asked[0]["wait"]


# --- log_format -------------------------------------------------------------------------------------------


def test_log_format_follows_the_generation_in_force(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker import log
    from worker.control import LogLevel

    forms: list[str] = []
    monkeypatch.setattr(log, "set_form", forms.append)

    def turn(text: str) -> None:
        Path(owner.options.config).write_text(text)
        goes(owner, Answers())
        assert owner.reload.attempt is not None
        owner.reload.prepared(owner.table["vrrp"], owner.reload.highest)
        owner.applies("vrrp", "full")
        assert owner.reload.attempt is None

    owner.reload.current = Generation(1, loaded(("vrrp",)))
    turn("global_defs {\n@pykeepalived log_format json\n}\n" + GOOD)
    assert forms == ["json"]
    assert ("vrrp", LogLevel(form="json")) in owner.journal
    turn("# moved\n\n\nglobal_defs {\n@pykeepalived log_format json\n}\n" + GOOD)
    assert forms == ["json"], "it is in force already"
    turn(GOOD)
    assert forms == ["json", "auto"]
    owner.options.given_log_format = True
    turn("global_defs {\n@pykeepalived log_format text\n}\n" + GOOD)
    assert forms == ["json", "auto"], "the command line wins"
