"""What every set-up step shares: places, progress lines, errors in plain words, stamps."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
VENV = ROOT / ".venv"
TOOLS = CACHE / "tools"
KERNEL = CACHE / "kernel"
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


class SetupError(Exception):
    """Something that set-up cannot mend by itself; the text says what, and what to do about it."""


def say(text: str) -> None:
    """One line of progress."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def search_path(environ: Mapping[str, str] = os.environ) -> str:
    """PATH with the sbin folders and, last, the unpacked tools: what the system has comes first."""
    parts = [part for part in environ.get("PATH", "").split(":") if part]
    for folder in (*SBIN, str(TOOLS / "bin")):
        if folder not in parts:
            parts.append(folder)
    return ":".join(parts)


def which(command: str) -> str | None:
    """Full path of a command, on the system or among the unpacked tools."""
    return shutil.which(command, path=search_path())


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, what: str) -> str:
    """Run a command and return its standard output; SetupError with its last words if it fails."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise SetupError(f"{what}: cannot run {command[0]}: {error.strerror}") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        noise = ("Ign:", "Hit:", "Get:", "Reading package lists", "W: ")
        words = dict.fromkeys(line.strip() for line in lines if line.strip() and not line.startswith(noise))
        tail = "\n".join("    " + line for line in list(words)[-6:])
        raise SetupError(f"{what}: {Path(command[0]).name} failed with status {done.returncode}\n{tail}")
    return done.stdout


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """Hash of everything a step's result depends on, the place of the tree included."""
    digest = hashlib.sha256(str(ROOT).encode())
    for part in parts:
        digest.update(b"\0" + (part.encode() if isinstance(part, str) else part))
    return digest.hexdigest()


def stamped(folder: Path, mark: str) -> bool:
    """True when ``folder`` was completed by a step with the same fingerprint."""
    try:
        return (folder / ".stamp").read_text() == mark
    except OSError:
        return False


def stamp(folder: Path, mark: str) -> None:
    """Mark ``folder`` as complete; written last, so an interrupted step is done again."""
    (folder / ".stamp").write_text(mark)


def unstamp(folder: Path) -> None:
    (folder / ".stamp").unlink(missing_ok=True)
