"""The classic log beside keepalived's: the same events, the same lines in the same order; and process names.

Left out of the comparison: what keepalived says of its own work (gratuitous ARP, removing what may be left at
a start) and of each advert that a higher-priority backup waits out.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab import Daemon, Lab, conf, programs
from tests.lab.programs import Program
from tests.lab.system import REPOSITORY, wait_until

PATIENCE_S = 40.0
_CLOCK = re.compile(r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}: ")
_NOT_COMPARED = ("gratuitous ARP", "received lower priority")

pytestmark = pytest.mark.skipif(bool(os.geteuid()), reason="needs root (network namespaces)")


@dataclass
class Run:
    """What one daemon wrote and how its processes were called."""

    lines: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def about(self, start: str) -> list[str]:
        found = [line for line in self.lines if line.startswith(start)]
        return [line for line in found if not any(words in line for words in _NOT_COMPARED)]


def _ours_as_keepalived(folder: Path) -> Program:
    path = folder / "keepalived"
    path.write_text(f"#!{sys.executable}\nfrom supervisor.cli import main\nmain()\n")
    path.chmod(0o755)
    return Program(name="keepalived", argv=("env", f"PYTHONPATH={REPOSITORY}", str(path)), run_dir=True)


def _config(lab: Lab) -> str:
    lines = (f"script {lab.dir}/chk", "interval 1", "rise 1", "fall 1", "weight -60")
    script = conf.block("vrrp_script chk", lines, "")
    extra = ["track_script {\n chk\n }", "track_interface {\n e1\n }"]
    return (
        conf.global_defs("script_user root", "enable_script_security")
        + script
        + conf.instance("VI_1", priority=100, addresses=["10.100.1.1/16"], extra=extra)
    )


def _told(daemon: Daemon, line: str, times: int) -> None:
    what = f"{line} ({times}) in the log of {daemon.folder.name}"
    wait_until(lambda: daemon.log_text().count(line) >= times, PATIENCE_S, what)


def _run(ours: bool) -> Run:
    with Lab(nodes=("n1", "n2"), segments=2) as lab:
        lab.dir.chmod(0o755)
        flag, script = lab.dir / "flag", lab.dir / "chk"
        flag.write_text("0\n")
        script.write_text(f"#!/bin/sh\nexit $(cat {flag})\n")
        script.chmod(0o755)
        program = _ours_as_keepalived(lab.dir) if ours else programs.keepalived()
        flags = "-n -l -D" + (" --log-format=classic" if ours else " -P")
        peer_config = conf.global_defs() + conf.instance("VI_1", priority=90, addresses=["10.100.1.1/16"])
        peer = lab.daemon("n2", programs.keepalived(), peer_config, "-n -l -D -P").start()
        daemon = lab.daemon("n1", program, _config(lab), flags).start()
        _told(daemon, "(VI_1) Entering MASTER STATE", 1)
        names = set()
        for pid in daemon.pids():
            with contextlib.suppress(OSError):  # the tracked script comes and goes
                names.add(Path(f"/proc/{pid}/comm").read_text().strip())
        names -= {"chk", "cat", "sh"}
        _told(peer, "(VI_1) Entering BACKUP STATE", 1)
        flag.write_text("1\n")
        _told(daemon, "(VI_1) Entering BACKUP STATE", 2)
        flag.write_text("0\n")
        _told(daemon, "(VI_1) Entering MASTER STATE", 2)
        lab.cut("n1", 1)
        _told(daemon, "(VI_1) Entering FAULT STATE", 1)
        _told(peer, "(VI_1) Entering MASTER STATE", 2)
        lab.plug("n1", 1)
        _told(daemon, "(VI_1) Entering MASTER STATE", 3)
        daemon.terminate()
        daemon.wait(20)
        lines = [_CLOCK.sub("", line) for line in daemon.log_text().splitlines()]
        assert all(_CLOCK.match(line) for line in daemon.log_text().splitlines())
        return Run(lines, names)


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[Run, Run]]:
    """(ours, keepalived's)"""
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    with ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.submit(_run, True), pool.submit(_run, False)
        yield ours.result(), theirs.result()


def _from_the_start(lines: list[str]) -> list[str]:
    """Without what keepalived says it removes before there is anything."""
    first = next(at for at, line in enumerate(lines) if "Entering" in line)
    return lines[first:]


def test_an_instance_is_told_of_in_the_same_words(runs: tuple[Run, Run]) -> None:
    ours, theirs = runs
    assert _from_the_start(ours.about("(VI_1)")) == _from_the_start(theirs.about("(VI_1)"))


@pytest.mark.parametrize("start", ["Netlink reports", "VRRP_Script(", "Stopping", "Startup complete"])
def test_so_are_interfaces_scripts_and_the_daemon(runs: tuple[Run, Run], start: str) -> None:
    ours, theirs = runs
    assert theirs.about(start)
    assert ours.about(start) == theirs.about(start)


def test_the_daemon_says_what_it_starts_and_reads(runs: tuple[Run, Run]) -> None:
    for run in runs:
        assert run.lines[0].startswith("Starting Keepalived v")
        assert run.lines[-1].startswith("Stopped Keepalived v")
        child = r"Starting VRRP child process, pid=\d+"
        for words in (r"Opening file '/.*'\.", r"Configuration file /.*", child):
            assert any(re.fullmatch(words, line) for line in run.lines), words


def test_processes_are_called_as_keepalived_s(runs: tuple[Run, Run]) -> None:
    ours, theirs = runs
    assert theirs.names == {"keepalived"}
    assert {"keepalived", "keepalived_vrrp", "keepalived_bus"} <= ours.names
    assert all(name.startswith("keepalived") for name in ours.names)
