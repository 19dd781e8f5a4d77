"""``-u`` and ``umask`` under keepalived and under us: the same mask for scripts, the same modes of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import Lab, conf, programs
from tests.lab.system import wait_until

CASES = {
    "both": ("-u 027", "umask 077", "0027"),
    "option": ("-u 0x12", "", "0022"),
    "keyword": ("", "umask 027", "0027"),
    "neither": ("", "", "0177"),
}
"""Name -> (option, line in global_defs, the mask from then on)."""
PATIENCE_S = 30.0
SCRIPT = "#!/bin/sh\numask > {folder}/said.new\nmkdir {folder}/made\nmv {folder}/said.new {folder}/said\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (network namespaces)")


def config(folder: Path, line: str, vrid: int) -> str:
    return (
        conf.global_defs("script_user root", f"vrrp_notify_fifo {folder}/fifo", *([line] if line else []))
        + f"track_file number {{\nfile {folder}/number\ninit_file 3\n}}\n"
        + conf.instance(
            vrid=vrid,
            priority=100,
            advert_int=0.2,
            addresses=[f"10.100.1.{vrid}/16"],
            extra=[f"notify_master {folder}/s.sh", "track_file {", "number", "}"],
        )
    )


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, list[str]]]:
    """Daemon -> case -> what its script said, and the modes of what was made."""
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    names = {f"{which[0]}{number}": (which, case) for which in ("keepalived", "ours")
             for number, case in enumerate(CASES)}  # fmt: skip
    seen: dict[str, dict[str, list[str]]] = {"keepalived": {}, "ours": {}}
    with Lab(tuple(names)) as lab:
        for vrid, (node, (which, case)) in enumerate(names.items(), 51):
            folder = lab.dir / f"umask-{node}"
            folder.mkdir(mode=0o755)
            (folder / "s.sh").write_text(SCRIPT.format(folder=folder))
            (folder / "s.sh").chmod(0o755)
            option, line, _ = CASES[case]
            text = config(folder, line, vrid)
            lab.daemon(node, programs.program(which), text, f"-n -l -D {option}").start()
        for daemon, (which, case) in zip(lab.daemons, names.values(), strict=True):
            folder = lab.dir / f"umask-{daemon.node}"
            said = folder / "said"
            wait_until(said.exists, PATIENCE_S, f"{which} {case}: its script runs")
            paths = [folder / name for name in ("said", "made", "fifo", "number")]
            seen[which][case] = [said.read_text().strip(), *(f"{path.stat().st_mode:o}" for path in paths)]
        for daemon in lab.daemons:
            daemon.terminate()
        for daemon in lab.daemons:
            daemon.wait()
    return seen


@pytest.mark.parametrize("case", CASES)
def test_the_mask_reaches_scripts_and_files(found: dict[str, dict[str, list[str]]], case: str) -> None:
    assert found["ours"][case] == found["keepalived"][case]
    assert found["ours"][case][0] == CASES[case][2]
