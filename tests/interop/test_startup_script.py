"""startup_script and shutdown_script under keepalived and under us: when they run, as whom, and what happens
when they fail, hang, or are met by a stop."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Daemon, Lab, conf, programs
from tests.lab.system import wait_until

VRIDS = {"n1": 51, "n2": 52}
PROGRAMS = {"n1": "keepalived", "n2": "ours"}
USERS = {"n1": "root", "n2": "nobody"}
"""keepalived 2.2.7 ends with a fault when its startup_script is not root's."""
PATIENCE_S = 30.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (network namespaces)")

SCRIPT = """#!/bin/sh
vip=
case "$1" in *up|*down) vip=" addresses $(ip -4 address show to 10.100.1.{vrid} | grep -c inet)" ;; esac
echo "$1 begins as $(id -un) umask $(umask)$vip" >> {folder}/story
case "$2" in
    fail) exit 3 ;;
    hang) sleep 100 ;;
    slow) sleep 1.5 ;;
esac
date +%s.%N > {folder}/$1-end
echo "$1 ends" >> {folder}/story
"""


class Site:
    """One node: a daemon, a script, and the story that the script writes."""

    def __init__(self, lab: Lab, node: str) -> None:
        self.lab, self.node, self.vrid = lab, node, VRIDS[node]
        self.folder: Path = lab.dir / f"site-{node}"
        self.folder.mkdir(mode=0o755)
        self.script = self.folder / "s.sh"
        self.script.write_text(SCRIPT.format(folder=self.folder, vrid=self.vrid))
        self.script.chmod(0o755)
        (self.folder / "story").touch()
        (self.folder / "story").chmod(0o666)
        self.daemon: Daemon | None = None

    def config(self, *lines: str, user: str = "root", priority: int = 100) -> str:
        settings = [line.replace("SCRIPT", str(self.script)) for line in lines]
        return conf.global_defs(f"script_user {user}", *settings) + conf.instance(
            vrid=self.vrid,
            priority=priority,
            advert_int=0.2,
            addresses=[f"10.100.1.{self.vrid}/16"],
            extra=[f'notify_{state} "{self.script} {state}"' for state in ("master", "stop")],
        )

    def start(self, *lines: str, user: str = "root") -> Daemon:
        text = self.config(*lines, user=user)
        self.daemon = self.lab.daemon(self.node, programs.program(PROGRAMS[self.node]), text)
        return self.daemon.start()

    @property
    def story(self) -> list[str]:
        return (self.folder / "story").read_text().splitlines()

    def told(self, words: str) -> None:
        def look() -> bool:
            return any(words in line for line in self.story)

        try:
            wait_until(look, PATIENCE_S, f"{PROGRAMS[self.node]}: {words}")
        except TimeoutError as error:
            assert self.daemon is not None
            raise TimeoutError(f"{error}: {self.story}\n{self.daemon.log_text()[-2000:]}") from None


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    with Lab(("n1", "n2")) as lab:
        yield [Site(lab, node) for node in VRIDS]


def test_one_before_everything_and_one_after(sites: list[Site]) -> None:
    lines = ('startup_script "SCRIPT startup slow"', 'shutdown_script "SCRIPT shutdown slow"')
    wire = sites[0].lab.observer()
    for site in sites:
        site.start(*lines)
    for site in sites:
        site.told("master ends")
        ended_at = float((site.folder / "startup-end").read_text())
        assert not wire.adverts(until=ended_at, vrid=site.vrid)
        # Not at a reload.
        assert site.daemon is not None
        site.daemon.config_file.write_text(site.config(*lines, priority=120))
        site.daemon.signal(1)
    for site in sites:
        wire.await_advert(PATIENCE_S, time.time() - 1.0, vrid=site.vrid, priority=120)
    for site in sites:
        assert site.daemon is not None
        site.daemon.terminate()
    for site in sites:
        assert site.daemon is not None
        assert site.daemon.wait(PATIENCE_S) == 0
        assert site.story == [
            "startup begins as root umask 0177 addresses 0",
            "startup ends",
            "master begins as root umask 0177",
            "master ends",
            "stop begins as root umask 0177",
            "stop ends",
            "shutdown begins as root umask 0177 addresses 0",
            "shutdown ends",
        ], PROGRAMS[site.node]


def test_what_fails_or_hangs_stops_nothing(sites: list[Site]) -> None:
    for site in sites:
        site.start(
            'startup_script "SCRIPT startup fail"',
            'shutdown_script "SCRIPT shutdown hang"',
            "shutdown_script_timeout 1",
            "umask 022",
            user=USERS[site.node],
        )
    for site in sites:
        site.told("master ends")
        assert site.story[0].startswith(f"startup begins as {USERS[site.node]} umask 0022")
    at = time.monotonic()
    for site in sites:
        assert site.daemon is not None
        site.daemon.terminate()
    for site in sites:
        assert site.daemon is not None
        assert site.daemon.wait(PATIENCE_S) == 0
        assert "shutdown ends" not in site.story
        assert site.story[-1].startswith("shutdown begins")
    assert time.monotonic() - at < 15


def test_a_startup_script_that_hangs_is_ended(sites: list[Site]) -> None:
    for site in sites:
        site.start('startup_script "SCRIPT startup hang"', "startup_script_timeout 1")
    for site in sites:
        site.told("master ends")
        assert "startup ends" not in site.story


def test_a_stop_during_the_startup_script(sites: list[Site]) -> None:
    for site in sites:
        site.start('startup_script "SCRIPT startup hang"', 'shutdown_script "SCRIPT shutdown"')
    for site in sites:
        site.told("startup begins")
        assert site.daemon is not None
        site.daemon.terminate()
    for site in sites:
        assert site.daemon is not None
        assert site.daemon.wait(PATIENCE_S) == 0, PROGRAMS[site.node]
        assert site.story == [
            "startup begins as root umask 0177 addresses 0",
            "shutdown begins as root umask 0177 addresses 0",
            "shutdown ends",
        ]
