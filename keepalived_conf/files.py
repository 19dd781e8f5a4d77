"""Opens the files a configuration consists of: the main one, and what include lines name.

The only module here, with ``load``, that touches the file system.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from keepalived_conf.diagnostics import Diagnostics
from keepalived_conf.syntax.includes import Included, IncludeResult
from keepalived_conf.syntax.lexer import read_lines

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_TOTAL_BYTES: Final = 128 * 1024 * 1024
"""Of all files, each as often as it is read."""
MAX_BRACE_ALTERNATIVES: Final = 4096
MAX_MATCHES: Final = 65_536
MAX_PATTERN_CHARS: Final = 4096

_MAGIC = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")


class UnusableError(Exception):
    """A file that cannot be read: why, and how to mend it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Files:
    """Reads files and remembers their lines for excerpts. One object per load."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.sources: dict[str, list[str]] = {}
        """File as named in places -> its lines."""
        self._total_bytes = 0

    def open(self, path: str, name: str) -> Included:
        """The file at ``path``, shown as ``name``. UnusableError says why not."""
        try:
            # Non-blocking: a FIFO in place of a file must not hang the start.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else None
            why = os.strerror(number) if number else "not a valid path"
            hint = "" if number == errno.ENOENT else "check its permissions"
            raise UnusableError(f"cannot be read: {why}", hint) from None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
                raise UnusableError(f"is {kind}")
            if status.st_mode & 0o111:
                raise UnusableError(
                    "is executable; keepalived does not read such a file either", f"chmod a-x {path}"
                )
            with open(fd, "rb", closefd=False) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise UnusableError(f"cannot be read: {error.strerror}") from None
        finally:
            os.close(fd)
        if len(data) > MAX_FILE_BYTES:
            raise UnusableError(f"is larger than {MAX_FILE_BYTES} bytes")
        folder = os.path.realpath(os.path.dirname(path) or ".")
        return self.keep(data, name, os.path.realpath(path), folder)

    def keep(self, data: bytes, name: str, identity: str, folder: str) -> Included:
        """Bytes as a file of this configuration."""
        self._total_bytes += len(data)
        if self._total_bytes > MAX_TOTAL_BYTES:
            if self.diagnostics.first_time("too-many-bytes", ""):
                self.diagnostics.error(
                    None,
                    "too-many-bytes",
                    f"the files of the configuration have more than {MAX_TOTAL_BYTES} bytes together",
                    hint="the same file may be included again and again",
                    fatal=True,
                )
            data = b""
        # A name that is not UTF-8 must not spoil the slices it travels in.
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        lines, raw = read_lines(data, name, self.diagnostics)
        self.sources[name] = raw
        return Included(file=name, identity=identity, folder=folder, lines=lines)

    def include(self, pattern: str, folder: str) -> IncludeResult:
        """Files an include line names: globs with ``*?[]`` and brace lists, relative to ``folder``."""
        matched, failures = matches(pattern, folder)
        files: list[Included] = []
        for path in matched:
            try:
                files.append(self.open(path, path))
            except UnusableError as why:
                failures.append(("R", f"{path} {why}"))
        return IncludeResult(files=tuple(files), failures=tuple(failures))


def matches(pattern: str, folder: str) -> tuple[list[str], list[tuple[str, str]]]:
    """(paths in the order they are read, failures): what glob(3) finds with brace lists.

    Failures are (class, explanation): B a name of a brace list is missing, M a name without wildcards is,
    W wildcards match nothing.
    """
    if "\0" in pattern or not pattern or len(pattern) > MAX_PATTERN_CHARS:
        return [], [("R", "not a valid path")]
    found: list[str] = []
    missing: list[str] = []
    for alternative in _alternatives(pattern):
        here, absent = _expand(os.path.join(folder, alternative))
        found.extend(here)
        missing.extend(absent)
        if len(found) > MAX_MATCHES:
            return [], [("R", f"it matches more than {MAX_MATCHES} files")]
    if missing and (found or "{" in pattern):
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        return found, [("B", f"{shown} does not exist" if len(missing) == 1 else f"{shown} do not exist")]
    if missing:
        return found, [("M", "no such file or directory")]
    if not found:
        return found, [("W", "nothing matches")]
    return found, []


def _expand(pattern: str) -> tuple[list[str], list[str]]:
    """One pattern without braces -> (paths that match, in order; names without wildcard that are missing)."""
    if not _MAGIC.search(pattern):
        plain = re.sub(r"\\(.)", r"\1", pattern)
        return ([plain], []) if os.path.lexists(plain) else ([], [plain])
    folder, base = os.path.split(pattern)
    if not base:  # a slash at the end: folders only, and those are no files
        return _expand(folder)
    folders, missing = _expand(folder) if folder not in ("", "/") else ([folder], [])
    found: list[str] = []
    for one in folders:
        if not _MAGIC.search(base):
            path = os.path.join(one, base)
            (found if os.path.lexists(path) else missing).append(path)
            continue
        try:
            names = os.listdir(one or ".")
        except OSError:
            missing.append(one)
            continue
        fits = re.compile(fnmatch.translate(_as_fnmatch(base))).match
        hidden = base.startswith(".")
        found.extend(
            os.path.join(one, name)
            for name in sorted(names)
            if fits(name) and (hidden or not name.startswith("."))
        )
        if len(found) > MAX_MATCHES:
            break
    return found, missing


def _as_fnmatch(pattern: str) -> str:
    """glob(3) knows ``[^a]`` and a backslash that takes the meaning from a character; fnmatch does not."""
    return re.sub(r"\\(.)", r"[\1]", pattern).replace("[^", "[!")


def _alternatives(pattern: str) -> Iterator[str]:
    """``a{b,c}d`` -> abd, acd; several lists multiply, the first one slowest; bounded."""
    todo = [pattern]
    count = 0
    while todo:
        one = todo.pop()
        match = _BRACES.search(one)
        count += 1
        if match is None or count > MAX_BRACE_ALTERNATIVES:
            yield one
            if count > MAX_BRACE_ALTERNATIVES:
                return
            continue
        parts = [one[: match.start()] + member + one[match.end() :] for member in match[1].split(",")]
        todo.extend(reversed(parts))
