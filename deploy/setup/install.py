"""``./run install [PREFIX]``: a production environment of its own, below a folder named by version.

    PREFIX/0.1.0/bin/pykeepalived      never changed after it is complete
    PREFIX/current -> 0.1.0            flipped at the end, in one step

Versions stand side by side: the running daemon keeps its own, an upgrade is the flip and a restart (and
a way back is the flip the other way). Nothing is enabled or started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.setup import environment
from deploy.setup.common import ROOT, SetupError, run, say

PREFIX = Path("/opt/pykeepalived")


def version() -> str:
    """The version of this tree, without importing it."""
    for line in (ROOT / "supervisor/__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise SetupError("supervisor/__init__.py names no version")


def install(prefix: Path) -> Path:
    """Install this tree below ``prefix``; returns the command. Raises SetupError."""
    target, pip = prefix / version(), [str(environment.PYTHON), "-m", "pip"]
    if target.exists():
        raise SetupError(f"{target} is there already: remove it, or give this tree another version")
    say(f"installing version {version()} into {target}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        run([sys.executable, "-m", "venv", "--without-pip", str(target)], what=f"cannot make {target}")
        command = [*pip, "--python", str(target / "bin/python"), "install", "--quiet", "--no-compile"]
        command += ["--disable-pip-version-check", "-c", str(environment.CONSTRAINTS), str(ROOT)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if done.returncode:
            raise SetupError("pip could not install it; its words are above")
        # Compiled now: at a start there may be no disk to write to, and no time to spend.
        compile_all = [str(target / "bin/python"), "-m", "compileall", "-q", str(target / "lib")]
        run(compile_all, what="cannot compile")
        _flip(prefix, target.name)
    except (OSError, SetupError) as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError):
            raise SetupError(f"cannot install into {prefix}: {error.strerror}") from None
        raise
    return prefix / "current/bin/pykeepalived"


def _flip(prefix: Path, name: str) -> None:
    young = prefix / ".current.new"
    young.unlink(missing_ok=True)
    young.symlink_to(name)
    os.replace(young, prefix / "current")


def main(arguments: list[str]) -> int:
    prefix = Path(arguments[0]).absolute() if arguments else PREFIX
    try:
        command = install(prefix)
    except SetupError as error:
        say(f"install: {error}")
        return 1
    say(f"installed: {command}")
    say("a unit for systemd is deploy/pykeepalived.service; it is neither copied nor enabled by this")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
