"""The same tracked processes under keepalived and under our daemon, side by side: after each step both
advertise the same priority, or both are silent.

The kernel tells of processes only to the host's own network namespace, so both daemons live there, each on a
cable of its own that leads to the switch of a lab.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.interop.test_trackers import PATIENCE_S, seen
from tests.lab import Lab, conf, programs
from tests.lab.system import run, wait_until
from tests.netns.script.test_procs import needs_events

VRIDS = {"keepalived": 51, "ours": 52}
DELAY_S = 4

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root (network namespaces)"), needs_events]

TRACKERS: dict[str, tuple[str, ...]] = {
    "p": (),
    "w": ("weight 10",),
    "n": ("weight -20",),
    "r": ("weight 7 reverse",),
    "q": ("quorum 2", "weight 3"),
    "m": ("quorum_max 2", "weight 5"),
    "x": ("quorum_max 0", "weight -40"),
    "d": (f"delay {DELAY_S}", "weight 11"),
    "t": (f"terminate_delay {DELAY_S}", "weight 17"),
    "k": (f"fork_delay {DELAY_S}", "quorum 2", "weight 19"),
    "f": ("full_command", "weight 29"),
    "l": ("weight 37",),
}
"""Name of a tracker and last letter of its program -> its lines. k is a
shell, f is named by its path, l with a parameter."""

STEPS: tuple[tuple[str, str, int | None], ...] = (
    ("only what must run does", "", 80),
    ("weighted runs", "w 60", 90),
    ("a second one of it changes nothing", "w 60", 90),
    ("one of two ends", "-w", 90),
    ("both ended", "-w", 80),
    ("negative runs", "n 60", 100),
    ("reversed runs", "r 60", 93),
    ("reversed ended", "-r", 100),
    ("one is no quorum", "q 60", 100),
    ("two are", "q 60", 103),
    ("one again", "-q", 100),
    ("up to quorum_max", "m 60", 105),
    ("still", "m 60", 105),
    ("one too many", "m 60", 100),
    ("not too many", "-m", 105),
    ("one that must not run", "x 60", 65),
    ("it has ended", "-x", 105),
    ("delayed runs: a program that begins is sure", "d 60", 116),
    ("delayed ended: nothing yet", "-d", 116),
    ("that delay is over", "", 105),
    ("one shell", "k", 105),
    ("it forks: nothing yet", "+k", 105),
    ("that delay is over, too", "", 124),
    ("both ended, delay is for forks", "-k", 105),
    ("ended late, runs at once", "t 60", 122),
    ("ended: nothing yet", "-t", 122),
    ("another one in time", "t 60", 122),
    ("by its path", "f 60", 151),
    ("its path without parameters counts with any", "-f f 61", 151),
    ("by its path, gone", "-f", 122),
    ("other parameters", "l 61", 122),
    ("these parameters", "l 60", 159),
    ("gone", "-l", 159),
    ("the last one", "-l", 122),
    ("what must run ends", "-p", None),
    ("what must run is back", "p 60", 122),
)
"""What begins (letter and parameter), forks (+) and ends (-letter: the oldest), and the priority from then
on; None: silence."""
SHELL = "exec 3<&0; read a; (read b) <&3 & wait"
"""Forks when it is told to; both end with what they read."""


@dataclass
class Bench:
    """Programs that are one, under many names."""

    folder: Path
    token: str = field(default_factory=lambda: os.urandom(4).hex())
    running: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    def path(self, letter: str) -> Path:
        return self.folder / f"{self.token}{letter}"

    def perform(self, command: str) -> None:
        words = iter(command.split())
        for word in words:
            if word.startswith("-"):
                child = self.running[word[1:]].pop(0)
                if child.stdin is None:
                    child.kill()
                else:
                    child.stdin.close()
                child.wait()
            elif word == "+k":
                (child,) = self.running["k"]
                assert child.stdin is not None
                child.stdin.write(b"\n")
                child.stdin.flush()
            else:
                argv = ["-c", SHELL] if word == "k" else [next(words)]
                stdin = subprocess.PIPE if word == "k" else subprocess.DEVNULL
                child = subprocess.Popen([self.path(word), *argv], stdin=stdin)
                self.running.setdefault(word, []).append(child)

    def close(self) -> None:
        for child in [child for each in self.running.values() for child in each]:
            child.kill()
            child.wait()

    def config(self, name: str, dev: str) -> str:
        def tracker(letter: str, lines: tuple[str, ...]) -> str:
            process = {"f": str(self.path("f")), "l": f"{self.path('l')} 60"}.get(
                letter, self.path(letter).name
            )
            return f"vrrp_track_process {letter} {{\n" + "\n".join((f"process {process}", *lines)) + "\n}\n"

        return (
            conf.global_defs("vrrp_garp_master_delay 1")
            + "".join(tracker(letter, lines) for letter, lines in TRACKERS.items())
            + conf.instance(
                interface=dev,
                vrid=VRIDS[name],
                priority=100,
                advert_int=0.2,
                addresses=[f"198.18.250.{VRIDS[name]}/32"],
                extra=["track_process {", *TRACKERS, "}"],
            )
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    for letter in TRACKERS:
        shutil.copy(shutil.which("sh" if letter == "k" else "sleep") or "", made.path(letter))
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def serving(lab: Lab, bench: Bench, name: str) -> Iterator[None]:
    """A daemon in the host's namespaces, with an interface of its own."""
    number = VRIDS[name]
    dev = f"t{bench.token}{number}"
    run("ip", "link", "add", dev, "type", "veth", "peer", "name", f"h-{number}", "netns", lab.ns("sw"))
    try:
        lab.ip("sw", "link", "set", f"h-{number}", "master", "br0", "up")
        run("ip", "link", "set", dev, "up")
        run("ip", "address", "add", f"198.18.250.{number - 50}/32", "dev", dev)
        folder = lab.dir / f"host-{name}"
        folder.mkdir(mode=0o755)
        (folder / "keepalived.conf").write_text(bench.config(name, dev))
        program = programs.program(name)
        pid_files = [word for flag in "prcb" for word in (f"-{flag}", str(folder / f"{flag}.pid"))]
        run_dir = ["--run-dir", str(folder / "run")] if program.run_dir else []
        with open(folder / "log", "wb") as log:
            daemon = subprocess.Popen(
                [*program.argv, "-f", str(folder / "keepalived.conf"), "-n", "-l", "-D", "-P", *pid_files,
                 *run_dir],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
        try:
            yield
        finally:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
                raise
    finally:
        run("ip", "link", "del", dev, check=False)


def test_every_step_has_the_same_outcome(bench: Bench) -> None:
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    bench.perform("p 60")
    with Lab(("n1",)) as lab, serving(lab, bench, "keepalived"), serving(lab, bench, "ours"):
        wire = lab.observer()
        for what, command, priority in STEPS:
            bench.perform(command)
            looks = {name: seen(wire, vrid, priority) for name, vrid in VRIDS.items()}
            for name, look in looks.items():
                wait_until(look, PATIENCE_S, f"{what}: {name} says {priority}")
        for name, vrid in VRIDS.items():
            assert {frame.priority for frame in wire.adverts(vrid=vrid)} == {0} | {
                each for _, _, each in STEPS if each is not None
            }, name
