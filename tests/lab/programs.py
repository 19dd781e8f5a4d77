"""The daemons that a lab can run: ours, and peers unpacked (never installed) below .cache/."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass

from tests.lab.system import REPOSITORY, LabError

KEEPALIVED_VARIABLE = "PYKEEPALIVED_TEST_KEEPALIVED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A daemon that takes keepalived's command line. ``argv`` is what comes before its flags."""

    name: str
    argv: tuple[str, ...]
    run_dir: bool = False
    """Takes ``--run-dir``: then all it leaves behind when it is killed goes with the lab."""


def ours() -> Program:
    """pykeepalived from this tree."""
    installed = REPOSITORY / ".venv/bin/pykeepalived"
    if installed.exists():
        return Program(name="pykeepalived", argv=(str(installed),), run_dir=True)
    if not (REPOSITORY / "supervisor/cli.py").exists():
        raise LabError("pykeepalived has no entry point (supervisor/cli.py); run ./run setup")
    return Program(
        name="pykeepalived",
        argv=("env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "supervisor.cli"),
        run_dir=True,
    )


def keepalived() -> Program:
    """keepalived: $PYKEEPALIVED_TEST_KEEPALIVED (a command), the system's, or the one below .cache/."""
    command = os.environ.get(KEEPALIVED_VARIABLE)
    if command:
        return Program(name="keepalived", argv=tuple(shlex.split(command)))
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/sbin", str(REPOSITORY / ".cache/tools/bin")]
    binary = shutil.which("keepalived", path=":".join(folders))
    if binary is None:
        raise LabError(
            "no keepalived to talk to: ./run setup unpacks Debian's below .cache/ "
            f"(or name a command in ${KEEPALIVED_VARIABLE})"
        )
    return Program(name="keepalived", argv=(binary,))


def program(name: str) -> Program:
    """By short name: "ours" or "keepalived"."""
    known = {"ours": ours, "keepalived": keepalived}
    if name not in known:
        raise LabError(f"no such daemon: {name} (known: {', '.join(known)})")
    return known[name]()


def missing(name: str) -> str | None:
    """Why a daemon cannot run here, or None."""
    try:
        program(name)
    except LabError as error:
        return str(error)
    return None
