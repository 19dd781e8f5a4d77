"""Reads the files of names of iproute2 (ip-route(8), FILES): what words such as a table stand for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from keepalived_conf.syntax.iproute import parse_file

ETC_DIR = "/etc/iproute2"
USR_DIRS = ("/usr/share/iproute2", "/usr/lib/iproute2")
MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 1000


def read_names(name: str, etc_dir: str | None, usr_dir: str | None) -> dict[str, int]:
    """Names in the file ``name`` and the folder ``name.d``; the first of two entries counts.

    The machine's own file (etc) stands for the vendor's (usr), and so does each file of its folder.
    What cannot be read is not there: keepalived takes it so, and a number always works.
    """
    etc = Path(etc_dir or ETC_DIR)
    usr = [Path(usr_dir)] if usr_dir else [Path(one) for one in USR_DIRS]
    found: dict[str, int] = {}
    for folder in (etc, *usr):
        text = _read(folder / name)
        if text is not None:
            _add(found, text)
            break
    own = {path.name for path in _folder(etc / f"{name}.d")}
    for folder in usr:
        for path in _folder(folder / f"{name}.d"):
            if path.name not in own:
                _add(found, _read(path) or "")
    for path in _folder(etc / f"{name}.d"):
        _add(found, _read(path) or "")
    return found


def _add(found: dict[str, int], text: str) -> None:
    for name, number in parse_file(text):
        found.setdefault(name, number)


def _folder(path: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(path))[:MAX_FILES]
    except (OSError, ValueError):
        return
    for name in names:
        if name.endswith(".conf") and not name.startswith(".") and len(name) > len(".conf"):
            yield path / name


def _read(path: Path) -> str | None:
    """Text of a regular file, or None."""
    try:
        # Non-blocking: a FIFO in place of a file must not hang the start.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)
