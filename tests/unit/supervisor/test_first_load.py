"""The first reading of the configuration: cut short, or a stop that comes while it goes on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
from collections.abc import Iterator

import pytest

from supervisor import cli, fork
from supervisor.options import DaemonOptions


class _Loader:
    """A child that says nothing: it ends at once, or stays for ever."""

    stays = False
    pid = 0

    def __init__(self, path: str, config_id: str | None, *, all_config: bool, umask: int | None) -> None:
        self._read, write = os.pipe()
        type(self).pid = os.fork()
        if self.pid == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            signal.alarm(30)  # whatever becomes of the test
            while self.stays:
                signal.pause()
            os._exit(9)
        os.close(write)

    def fileno(self) -> int:
        return self._read

    def result(self) -> None:
        return None

    def close(self) -> None:
        os.close(self._read)


@pytest.fixture
def options(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaemonOptions]:
    monkeypatch.setattr("supervisor.loader.Loader", _Loader)
    monkeypatch.setattr(_Loader, "stays", False)
    file = tmp_path / "keepalived.conf"
    file.write_text("")
    monkeypatch.setattr(_Loader, "pid", 0)
    yield DaemonOptions(config=str(file))
    if _Loader.pid:
        with contextlib.suppress(ChildProcessError):  # reaped already, as it should be
            if os.waitpid(_Loader.pid, os.WNOHANG) == (0, 0):
                os.kill(_Loader.pid, signal.SIGKILL)
                os.waitpid(_Loader.pid, 0)


def test_a_loader_that_died_is_not_the_files_fault(options: DaemonOptions) -> None:
    assert cli._first_load(options) == (None, 75)


def test_a_file_that_is_not_there_is(options: DaemonOptions) -> None:
    options.config += ".not"
    assert cli._first_load(options) == (None, 6)


def test_a_pattern_is_there_when_something_matches(options: DaemonOptions) -> None:
    options.config = options.config.replace("keepalived.conf", "*.conf")
    assert cli._first_load(options) == (None, 75), "it is read"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_loader_and_is_a_success(
    options: DaemonOptions, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(_Loader, "stays", True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, fork.OPERATOR_SIGNALS)
    try:
        signal.pthread_kill(threading.get_ident(), number)  # other threads of the tests do not block it
        assert cli._first_load(options) == (None, 0)
        with pytest.raises(ProcessLookupError):
            os.kill(_Loader.pid, 0)
    finally:
        if number in signal.sigpending():
            signal.sigwait({number})
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
