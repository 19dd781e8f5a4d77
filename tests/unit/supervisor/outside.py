"""Assertions about what keepalived's users meet outside of the configuration: see ``test_cli_signals``."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor import cli, fork, options, rundir
from supervisor.daemon import Supervisor
from supervisor.options import DaemonOptions, parse
from supervisor.systemd import Notifier
from tests.unit.conf.support import load, real_server, service

ROOT = Path(__file__).resolve().parents[3]

# --- the command itself ----------------------------------------------------------------------------------


GOOD = "vrrp_instance V {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n"


@dataclasses.dataclass
class Shell:
    """Runs the command in this process."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    folder: Path

    def run(self, *argv: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["pykeepalived", *argv])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = self.capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, captured.out, captured.err

    def file(self, text: str, name: str = "k.conf") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


def exit_statuses(shell: Shell) -> None:
    for text, expected in (
        (GOOD, 0),
        (GOOD.replace("interface eth0", "interface"), 2),
        (GOOD.replace("virtual_router_id 1", "virtual_router_id 300"), 5),
        (GOOD.replace("interface eth0", "interface eth0\n notify /bin/x"), 6),
    ):
        assert shell.run("-t", "-f", shell.file(text))[0] == expected, text
    assert shell.run("-t", "-f", str(shell.folder / "none"))[0] == 4
    assert shell.run("-t", "--bogus")[0] == 1


def bad_option(shell: Shell) -> None:
    status, out, err = shell.run("--bogus")
    assert (status, out) == (1, "")
    assert "see pykeepalived --help" in err


def no_configuration(shell: Shell) -> None:
    missing = DaemonOptions(config=str(shell.folder / "none"))
    assert cli._first_load(missing) == (None, 6)


def internal_error(shell: Shell) -> None:
    shell.monkeypatch.setattr(cli, "_daemon", lambda _: 1 / 0)
    status, _, err = shell.run("-n")
    assert status == 70
    assert "internal error" in err


# --- signals ----------------------------------------------------------------------------------------------


class Recorder:
    """Stands for a log, a reload, a stop: remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *words, **more: self.asked.append((name, more or words))


def signalled(*numbers: int, ignore_sigint: bool = False) -> list[tuple[str, Any]]:
    """What the supervisor does when these signals have come."""
    owner, said = Supervisor.__new__(Supervisor), Recorder()
    out, into = socket.socketpair()
    with out, into:
        out.setblocking(False)
        into.send(bytes(numbers))
        shown: Any = owner
        shown._wake = (out, into)
        shown.options = DaemonOptions(ignore_sigint=ignore_sigint)
        shown.log = shown.reload = said
        shown.begin_stop = lambda why: said.asked.append(("stop", why))
        owner._signalled()
    return said.asked


def hup(_: Shell) -> None:
    assert signalled(signal.SIGHUP) == [("request", (None,))]


def stop(_: Shell) -> None:
    assert signalled(signal.SIGTERM) == [("stop", "signal")]


def interrupt(_: Shell) -> None:
    assert signalled(signal.SIGINT) == [("stop", "signal")]
    assert signalled(signal.SIGINT, ignore_sigint=True) == []
    assert signalled(signal.SIGTERM, ignore_sigint=True) == [("stop", "signal")]


def says_what_to_use_instead(name: str) -> Callable[[Shell], None]:
    def check(_: Shell) -> None:
        ((level, what),) = signalled(options.SIGNALS[name])
        assert (level, what["means"], what["signal"]) == ("warning", name, options.DUMPS[name])
        assert "status --json" in what["instead"]
        assert options.SIGNALS[name] in fork.OPERATOR_SIGNALS  # and never ends a process of ours

    return check


def ignored_by_workers(*numbers: int) -> Callable[[Shell], None]:
    def check(_: Shell) -> None:
        read, write = os.pipe()

        def body() -> None:
            text = Path("/proc/self/status").read_text()
            os.write(write, re.search(r"SigIgn:\s*(\w+)", text)[1].encode())  # type: ignore[index]

        pid = fork.fork_child(body, keep_fds=[write], role="test")
        os.close(write)
        mask = int(os.read(read, 64), 16)
        os.close(read)
        assert os.waitpid(pid, 0)[1] == 0
        for number in numbers:
            assert mask >> (number - 1) & 1, signal.strsignal(number)

    return check


WORKERS_IGNORE = (
    "a worker is told by its control channel, never by a signal: it ignores what is meant for the daemon"
)


# --- the rest --------------------------------------------------------------------------------------------


def held_by(path: str, name: str) -> Callable[[Shell], None]:
    """Held by a test of another tier: it must exist."""

    def check(_: Shell) -> None:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"

    return check


def default_file(_: Shell) -> None:
    assert parse([], "1").config == "/etc/keepalived/keepalived.conf"


def pid_file(option: str, attribute: str) -> Callable[[Shell], None]:
    def check(shell: Shell) -> None:
        path = shell.folder / "sub.pid"
        assert getattr(parse([option, str(path)], "1"), attribute) == str(path)
        assert not rundir.write_pid_file(path, 4321)
        assert path.read_text() == "4321\n"

    return check


def service_names(_: Shell) -> None:
    for head, protocol, name in (
        ("10.1.0.1 80", "TCP", "[10.1.0.1]:tcp:80"),
        ("2001:db8::1 53", "UDP", "[2001:db8::1]:udp:53"),
        ("fwmark 7", "", "FWM 7"),
    ):
        server = "2001:db8::2 53" if ":" in head else "10.2.0.1 80"
        lines = f"protocol {protocol}\n" if protocol == "UDP" else ""
        assert service(lines, head=head, rs_head=server)[0].key == name


def server_names(_: Shell) -> None:
    assert real_server()[0].key == "[10.2.0.1]:80"  # the protocol is that of the virtual server


def notify_socket(shell: Shell) -> None:
    path = str(shell.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        shell.monkeypatch.setenv("NOTIFY_SOCKET", path)
        notifier = Notifier()
        notifier.ready("x")
        notifier.reloading()
        notifier.stopping()
        said = [manager.recv(4096).decode().splitlines()[0] for _ in range(3)]
    assert said == ["READY=1", "RELOADING=1", "STOPPING=1"]


def environment_in_the_file(shell: Shell) -> None:
    shell.monkeypatch.setenv("THIS_ROUTER", "r7")
    assert load("global_defs {\nrouter_id ${_ENV THIS_ROUTER}\n}\n").config.globals.router_id == "r7"


def iproute_names(shell: Shell) -> None:
    shell.file("100 blue\n", "rt_tables")
    result = load(
        f"global_defs {{\niproute_etc_dir {shell.folder}\n}}\n"
        "static_routes {\n192.0.2.0/24 dev eth0 table blue\n}\n"
    )
    assert [route.table for route in result.config.static_routes] == [100]


def must(condition: bool) -> None:
    assert condition


def unusable(shell: Shell) -> None:
    path = shell.file(GOOD.replace("interface eth0", "interface"))
    assert cli._first_load(DaemonOptions(config=path)) == (None, 2)
