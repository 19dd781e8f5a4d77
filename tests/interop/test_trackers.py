"""The same trackers under keepalived and under our daemon, side by side: after each step both advertise the
same priority, or both are silent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, Observer, conf, programs
from tests.lab.system import wait_until

VRIDS = {"n1": 51, "n2": 52}
PROGRAMS = {"n1": "keepalived", "n2": "ours"}
DEVICES = ("d0", "d1", "d2")
PATIENCE_S = 15.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (network namespaces)")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(("n1", "n2")) as made:
        for node in VRIDS:
            for dev in DEVICES:
                made.ip(node, "link", "add", dev, "type", "veth", "peer", "name", f"{dev}p")
                for end in (dev, f"{dev}p"):
                    made.ip(node, "link", "set", end, "up")
        yield made


def config(node: str, folder: Path) -> str:
    """Each kind with and without a weight; the interface of an address has none, whatever is written."""

    def script(name: str, *lines: str) -> str:
        body = "\n".join(("interval 1", f'script "/usr/bin/test -e {folder}/{name}"', *lines))
        return f"vrrp_script {name} {{\n{body}\n}}\n"

    return (
        conf.global_defs("vrrp_garp_master_delay 1", "script_user root")
        + script("weighted", "weight -30")
        + script("turned", "weight 15 reverse")
        + script("plain")
        + f"track_file number {{\nfile {folder}/number\n}}\n"
        + f"track_file zero {{\nfile {folder}/zero\nweight 0\n}}\n"
        + conf.instance(
            vrid=VRIDS[node],
            priority=100,
            advert_int=0.2,
            addresses=[f"10.100.1.{VRIDS[node]}/16"],
            extra=[
                *("virtual_ipaddress_excluded {", f"10.100.2.{VRIDS[node]}/32 dev d2", "}"),
                *("track_script {", "weighted", "turned", "plain", "}"),
                *("track_file {", "number", "zero", "}"),
                *("track_interface {", "d0 weight 7", "d1", "d2 weight 9", "}"),
            ],
        )
    )


STEPS: tuple[tuple[str, str, int | None], ...] = (
    ("everything is good", "", 92),
    ("weighted fails", "rm weighted", 62),
    ("weighted is back", "touch weighted", 92),
    ("turned fails, which is its good state", "rm turned", 107),
    ("turned is back", "touch turned", 92),
    ("a number", "echo 30 > number", 122),
    ("a negative number in hexadecimal", "echo -0x10 > number", 76),
    ("beyond the limit", "echo 5000 > number", 254),
    ("no number", "echo x > number", 92),
    ("a fault by a number", "echo -254 > number", None),
    ("no file", "rm number", 92),
    ("weighted interface down", "ip link set d0 down", 85),
    ("weighted interface up", "ip link set d0 up", 92),
    ("plain interface down", "ip link set d1 down", None),
    ("plain interface up", "ip link set d1 up", 92),
    ("interface of an address down", "ip link set d2 down", None),
    ("interface of an address up", "ip link set d2 up", 92),
    ("plain fails", "rm plain", None),
    ("plain is back", "touch plain", 92),
    ("zero is not 0", "echo 1 > zero", None),
    ("zero is 0", "echo 0 > zero", 92),
)
"""What happens, as a shell would do it, and the priority from then on; None: silence."""


def test_every_step_has_the_same_outcome(lab: Lab) -> None:
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    folders = {node: lab.dir / f"trackers-{node}" for node in VRIDS}
    wire = lab.observer()
    for node, folder in folders.items():
        folder.mkdir(mode=0o755)
        for name in ("weighted", "turned", "plain"):
            (folder / name).touch()
        (folder / "number").write_text("0\n")
        (folder / "zero").write_text("0\n")
        lab.daemon(node, programs.program(PROGRAMS[node]), config(node, folder)).start()
    for what, command, priority in STEPS:
        for node, folder in folders.items():
            perform(lab, node, folder, command)
        for node in VRIDS:
            said = seen(wire, VRIDS[node], priority)
            wait_until(said, PATIENCE_S, f"{what}: {PROGRAMS[node]} says {priority}")
    for node in VRIDS:
        assert {f.priority for f in wire.adverts(vrid=VRIDS[node])} == {0} | {
            each for _, _, each in STEPS if each is not None
        }, PROGRAMS[node]


def perform(lab: Lab, node: str, folder: Path, command: str) -> None:
    words = command.split()
    if not words:
        return
    if words[0] == "ip":
        lab.ip(node, *words[1:])
    elif words[0] == "rm":
        (folder / words[1]).unlink()
    elif words[0] == "touch":
        (folder / words[1]).touch()
    else:
        (folder / words[3]).write_text(words[1] + "\n")


def seen(wire: Observer, vrid: int, priority: int | None) -> Callable[[], bool]:
    """Does the last second show this priority only (None: nothing)?"""
    began_at = time.time()

    def look() -> bool:
        now = time.time()
        if now - began_at < 1.0:
            return False
        found = {frame.priority for frame in wire.adverts(since=now - 0.9, vrid=vrid)}
        return found == (set() if priority is None else {priority})

    return look
