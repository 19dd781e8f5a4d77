"""``explain`` beside injected causes: each is named as what it was, on two nodes with the whole daemon. What
``status --check`` says of them meanwhile.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Daemon, Lab, conf, programs
from tests.lab.system import REPOSITORY, wait_until

PATIENCE_S = 40.0
INTERVAL_S = 0.3
CAUSES = (
    "script", "file", "process", "operator", "link", "priority 0", "better advert", "advert lost",
)  # fmt: skip

pytestmark = pytest.mark.skipif(bool(os.geteuid()), reason="needs root (network namespaces)")


def _explain(daemon: Daemon, *words: str) -> dict[str, Any]:
    done = _ours(daemon, "explain", "VI_1", "--json", *words)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"transitions": []}
    return found


def _ours(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor.cli", *words, "--run-dir", str(daemon.folder / "run")],
        capture_output=True, text=True, check=False, timeout=60, cwd=REPOSITORY,
    )  # fmt: skip


def _reached(daemon: Daemon, state: str, after: int) -> dict[str, Any]:
    """The last transition, once it is one to ``state`` with a number above ``after``."""
    last: dict[str, Any] = {}

    def there() -> bool:
        nonlocal last
        moments = _explain(daemon)["transitions"]
        last = moments[0] if moments else {}
        return bool(last) and last["to_state"] == state and last["number"] > after

    wait_until(there, PATIENCE_S, f"{daemon.node} {state} after transition {after}")
    return last


class Story:
    """Injects one cause after the other and keeps what ``explain`` says of each."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.said: dict[str, dict[str, Any]] = {}
        self.checked: dict[str, subprocess.CompletedProcess[str]] = {}
        lab.dir.chmod(0o755)
        self.flag, self.number, script = lab.dir / "flag", lab.dir / "number", lab.dir / "chk"
        self.program = lab.dir / "pk-tracked"
        self.flag.write_text("0\n")
        self.number.write_text("0\n")
        script.write_text(f"#!/bin/sh\nexit $(cat {self.flag})\n")
        script.chmod(0o755)
        shutil.copy("/bin/sleep", self.program)
        self.script = script

    def config(self, priority: int, *, tracked: bool) -> str:
        trackers = (
            conf.block("vrrp_script chk", (f"script {self.script}", "interval 1", "weight -60"), "")
            + conf.block("track_file load", (f"file {self.number}", "weight 1"), "")
            + conf.block("vrrp_track_process proc", (f"process {self.program.name}", "weight -60"), "")
        )
        extra = ["track_script {\n chk\n }", "track_file {\n load\n }", "track_process {\n proc\n }"]
        return (
            conf.global_defs("script_user root", "enable_script_security")
            + (trackers if tracked else "")
            + conf.instance(
                "VI_1", priority=priority, advert_int=INTERVAL_S, addresses=["10.100.1.1/16"],
                extra=extra if tracked else (),
            )
        )  # fmt: skip

    def run(self) -> None:
        lab = self.lab
        tracked = lab.spawn("n1", str(self.program), "1000")
        main = lab.daemon("n1", programs.ours(), self.config(100, tracked=True)).start()
        other = lab.daemon("n2", programs.ours(), self.config(90, tracked=False)).start()
        at = _reached(main, "MASTER", 0)["number"]
        _reached(other, "BACKUP", 0)

        def away_and_back(kind: str, state: str) -> None:
            nonlocal at
            self.said[kind] = _reached(main, state, at)
            at = self.said[kind]["number"]

        def back() -> None:
            nonlocal at
            at = _reached(main, "MASTER", at)["number"]

        self.checked["well"] = _ours(main, "status", "--check", "--expect", "MASTER")
        self.checked["no such"] = _ours(main, "status", "--check", "--instance", "VI_9")
        self.flag.write_text("1\n")
        away_and_back("script", "BACKUP")
        self.flag.write_text("0\n")
        back()
        self.number.write_text("-50\n")
        away_and_back("file", "BACKUP")
        self.number.write_text("0\n")
        back()
        tracked.kill()
        tracked.wait()
        away_and_back("process", "BACKUP")
        lab.spawn("n1", str(self.program), "1000")
        back()
        _ours(main, "step-down", "VI_1", "--reason", "kernel upgrade")
        away_and_back("operator", "BACKUP")
        self.checked["held back"] = _ours(main, "status", "--check", "--expect", "MASTER")
        self.said["priority 0"] = _reached(other, "MASTER", 0)
        _ours(main, "resume", "VI_1")
        back()
        self.said["better advert"] = _reached(other, "BACKUP", self.said["priority 0"]["number"])
        lab.set_link("n1", "e0", up=False)
        away_and_back("link", "FAULT")
        self.checked["fault"] = _ours(main, "status", "--check")
        lab.set_link("n1", "e0", up=True)
        back()
        before = _reached(other, "BACKUP", self.said["better advert"]["number"])["number"]
        self.checked["not master"] = _ours(other, "status", "--check", "--expect", "MASTER")
        lab.kill_node("n1")
        self.checked["dead"] = _ours(main, "status", "--check")
        self.said["advert lost"] = _reached(other, "MASTER", before)
        self.text = _ours(other, "explain", "VI_1").stdout
        self.box = _explain_without_bus(other)


def _explain_without_bus(daemon: Daemon) -> dict[str, Any]:
    (daemon.folder / "run/out").unlink()
    return _explain(daemon)


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with Lab(nodes=("n1", "n2")) as lab:
        found = Story(lab)
        found.run()
        yield found


@pytest.mark.parametrize("cause", CAUSES)
def test_the_injected_cause_is_named(story: Story, cause: str) -> None:
    assert story.said[cause]["kind"] == cause, story.said[cause]


@pytest.mark.parametrize(("cause", "word"), [("script", "chk"), ("file", "load"), ("process", "proc")])
def test_a_tracker_is_named_with_what_it_found(story: Story, cause: str, word: str) -> None:
    assert word in story.said[cause]["why"]
    assert any(f"{cause} {word}" in related["what"] for related in story.said[cause]["related"])


def test_the_operator_s_reason_is_told(story: Story) -> None:
    assert "kernel upgrade" in story.said["operator"]["why"]


def test_the_flight_recorder_shows_the_link(story: Story) -> None:
    assert any("InterfaceDown" in note["what"] for note in story.said["link"]["flight_recorder"])


def test_a_screen_for_people_and_the_same_without_the_bus(story: Story) -> None:
    assert "advert lost: no advert of 10.100.0.1 came before the down timer ran out" in story.text
    assert len(story.text.splitlines()) <= 45
    assert not story.box["bus_answers"]
    assert story.box["transitions"][0]["kind"] == "advert lost"
    kinds = [moment["kind"] for moment in story.box["transitions"]]
    assert {"better advert", "priority 0"} <= set(kinds) | {story.said["priority 0"]["kind"]}


@pytest.mark.parametrize(
    ("moment", "status", "words"),
    [
        ("well", 0, "PYKEEPALIVED OK - VI_1 MASTER | instances=1 master=1"),
        ("no such", 3, "no vrrp_instance VI_9: there are VI_1"),
        ("held back", 1, "VI_1 is held back by the operator: kernel upgrade"),
        ("fault", 2, "VI_1 is in FAULT (link: fault, interface e0 is down)"),
        ("not master", 2, "VI_1 is BACKUP, not MASTER"),
        ("dead", 2, "no daemon answers"),
    ],
)
def test_status_check_says_how_it_stands(story: Story, moment: str, status: int, words: str) -> None:
    found = story.checked[moment]
    assert found.returncode == status, found.stdout + found.stderr
    assert words in found.stdout
    assert len(found.stdout.splitlines()) == 1
