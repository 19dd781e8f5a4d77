"""startup_script and shutdown_script: real scripts in real children."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.hooks import SPARE_S, Hooks
from supervisor.loader import Loaded, load_here
from supervisor.reload import Generation
from supervisor.systemd import Notifier
from tests.unit.supervisor.test_loader_limits import Log
from tests.unit.supervisor.test_reload import Answers, FakeLoader, Owner, Quiet
from worker.clock import boottime
from worker.control import make_slice

USER = "root" if os.geteuid() == 0 else str(os.geteuid())


class Bench:
    """A supervisor that has nothing but its two scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: dict[int, Any] = {}
        self.log, self.notifier = Log(), Quiet()
        self.called = 0
        self.hooks = Hooks(self)  # type: ignore[arg-type]

    def configure(self, *, startup: str = "", shutdown: str = "", more: str = "") -> None:
        lines = [f"script_user {USER}", more]
        for name, text in (("startup", startup), ("shutdown", shutdown)):
            if text:
                script = self.folder / f"{name}.sh"
                script.write_text(f"#!/bin/sh\n{text}\n")
                script.chmod(0o755)
                lines.append(f"{name}_script {script}")
        file = self.folder / "k.conf"
        file.write_text("global_defs {\n" + "\n".join(lines) + "\n}\n")
        manifest, slices = load_here(str(file), None)
        assert not manifest.fatal
        given = Loaded(
            manifest=manifest, slices={role: make_slice(role, data) for role, data in slices.items()}
        )
        self.reload = type("R", (), {"current": Generation(1, given)})()

    def then(self) -> None:
        self.called += 1

    def reap(self, timeout_s: float = 20.0) -> float:
        """Wait for the child's end. Returns how long that took."""
        began = time.monotonic()
        ((pid, ended),) = self.children.items()
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                break
            assert time.monotonic() - began < timeout_s
            self.hooks.timers(boottime())
            time.sleep(0.002)
        del self.children[pid]
        ended(status)
        return time.monotonic() - began

    def wait_for(self, name: str) -> None:
        end = time.monotonic() + 20
        while not (self.folder / name).exists():
            assert time.monotonic() < end
            time.sleep(0.002)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    # In the child the files that pytest captures output with are closed.
    monkeypatch.setattr("script_proc.hook.logging.logger", lambda _: Quiet())
    tmp_path.chmod(0o755)
    made = Bench(tmp_path)
    yield made
    for pid in made.children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_without_a_script_nothing_waits(bench: Bench) -> None:
    bench.configure()
    bench.hooks.before_start(bench.then)
    assert bench.called == 1
    assert bench.hooks.after_stop()
    assert not bench.children


def test_workers_start_after_it_whatever_came_of_it(bench: Bench) -> None:
    for text in ("touch done", "touch done; exit 3", "touch done; kill -9 $$"):
        bench.configure(startup=text.replace("done", str(bench.folder / "done")))
        bench.hooks.before_start(bench.then)
        assert bench.hooks.running == "startup"
        assert not bench.called
        bench.reap()
        assert (bench.folder / "done").exists()
        (bench.folder / "done").unlink()
        assert (bench.called, bench.hooks.running) == (1, "")
        bench.called = 0
        assert not bench.log.records


def test_one_that_cannot_be_run_is_passed_over(bench: Bench) -> None:
    bench.configure(startup="true")
    (bench.folder / "startup.sh").unlink()
    bench.hooks.before_start(bench.then)
    bench.reap()
    assert bench.called == 1


def test_a_stop_ends_it(bench: Bench) -> None:
    bench.configure(startup=f"echo $$ > {bench.folder}/pid; touch {bench.folder}/begun; exec sleep 100")
    bench.hooks.before_start(bench.then)
    bench.wait_for("begun")
    bench.hooks.stop()
    assert bench.reap() < 8, "by its time limit"
    with pytest.raises(ProcessLookupError):
        os.kill(int((bench.folder / "pid").read_text()), 0)


def test_a_child_that_hangs_itself_is_killed(bench: Bench) -> None:
    bench.configure(startup=f"touch {bench.folder}/begun; sleep 5")
    bench.hooks.before_start(bench.then)
    bench.wait_for("begun")
    (pid,) = bench.children
    os.kill(pid, signal.SIGSTOP)
    bench.hooks.timers(boottime() + 10 + SPARE_S - 1)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    bench.hooks.timers(boottime() + 10 + SPARE_S + 1)
    bench.reap()
    assert bench.called == 1
    ((level, event, _),) = bench.log.records
    assert (level, event) == ("error", "hook.lost")


def test_the_shutdown_script_runs_once(bench: Bench) -> None:
    bench.configure(shutdown=f"echo x >> {bench.folder}/done")
    assert not bench.hooks.after_stop()
    assert not bench.hooks.after_stop()
    bench.reap()
    assert bench.hooks.after_stop()
    assert not bench.children
    assert (bench.folder / "done").read_text() == "x\n"


def test_a_reload_waits_for_the_startup_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.reload.Loader", FakeLoader)
    owner, client = Owner(), Answers()
    shown: Any = owner
    shown.hooks.running = "startup"
    owner.reload.request(client)  # type: ignore[arg-type]
    owner.reload.request(None)
    asked = owner.reload.attempt
    assert asked is None
    shown.hooks.running = ""
    owner.reload.begin()
    assert owner.reload.attempt is not None
    assert shown.reload.waiting == [client]
    assert not owner.reload.again


def test_a_stop_answers_who_asked_for_a_reload_meanwhile() -> None:
    owner, client = Owner(), Answers()
    shown: Any = owner
    shown.hooks.running = "startup"
    owner.reload.request(client)  # type: ignore[arg-type]
    owner.reload.cancel()
    assert client.got == [{"ok": False, "error": "the daemon is stopping"}]


def test_the_service_manager_is_told_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        Notifier().extend(22.0, "startup_script runs")
        assert manager.recv(4096).decode().splitlines() == [
            "EXTEND_TIMEOUT_USEC=22000000",
            "STATUS=startup_script runs",
        ]
