"""Reads configuration files: the only module here that touches the file system or the environment.

result = load("/etc/keepalived/keepalived.conf")
if result.fatal: print(result.text()) ...
"""

from __future__ import annotations

import errno
import glob
import os
import random
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from keepalived_conf.builders.config import Built, build
from keepalived_conf.builders.reader import Use
from keepalived_conf.diagnostics import Diagnostic, Diagnostics, KeepalivedClass, render_all
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.model import CheckerSlice, Config, IpvsSlice, VrrpSlice
from keepalived_conf.syntax.lexer import read_lines
from keepalived_conf.syntax.parser import Node, parse
from keepalived_conf.syntax.preprocess import Included, IncludeResult, Preprocessor

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_BRACE_ALTERNATIVES: Final = 4096

Slice = VrrpSlice | CheckerSlice | IpvsSlice


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadResult:
    config: Config
    diagnostics: tuple[Diagnostic, ...]
    """In the order they were found."""
    fatal: bool
    """The configuration must not be started with or applied; ``config`` is not to be used."""
    highest: KeepalivedClass
    used: tuple[Use, ...] = ()
    """Every keyword the text uses, once, with its effect."""
    left_out: int = 0
    """Diagnostics beyond the limit, counted only."""
    tree: tuple[Node, ...] = field(default=(), repr=False, compare=False)
    sources: dict[str, list[str]] = field(default_factory=dict, repr=False, compare=False)
    """File as named in places -> its lines."""

    def text(self) -> str:
        """All diagnostics for people, with source lines and carets; secrets hidden."""
        collected = Diagnostics()
        collected.items = list(self.diagnostics)
        collected.left_out = self.left_out
        return render_all(collected, self.sources.get)


def load(path: str | os.PathLike[str], *, config_id: str | None = None) -> LoadResult:
    """Read, check and complete the configuration in ``path``. Never raises for what a file contains.

    ``config_id``: identity for ``@ID`` lines; None: the host name up to its first dot.
    """
    name = os.fspath(path)
    if config_id is None:
        config_id = os.uname().nodename.partition(".")[0]
    diagnostics = Diagnostics()
    files = _Files(diagnostics)
    try:
        main = files.open(name, name)
    except _UnusableError as why:
        # Stricter than keepalived's test, which calls a missing file good: docs/differences.md.
        diagnostics.error(
            None,
            "no-file",
            f"{name}: {why}",
            fatal=True,
            keepalived=KeepalivedClass.FILE_NOT_FOUND,
            hint=why.hint or "check the path given by -f",
        )
        return _result(Built(config=Config(), used=()), diagnostics, files, ())
    preprocessor = Preprocessor(
        diagnostics=diagnostics,
        config_id=config_id,
        include=files.include,
        environ=lambda variable: os.environ.get(variable, ""),
        random=random.randint,
    )
    nodes = parse(preprocessor.run(main), ROOT, diagnostics)
    return _result(build(nodes, diagnostics), diagnostics, files, tuple(nodes))


def load_text(data: bytes, *, name: str = "keepalived.conf", config_id: str = "localhost") -> LoadResult:
    """As ``load`` for bytes at hand; includes resolve against the working directory."""
    diagnostics = Diagnostics()
    files = _Files(diagnostics)
    main = files.keep(data, name, f"text:{name}", os.getcwd())
    preprocessor = Preprocessor(
        diagnostics=diagnostics,
        config_id=config_id,
        include=files.include,
        environ=lambda variable: os.environ.get(variable, ""),
        random=random.randint,
    )
    nodes = parse(preprocessor.run(main), ROOT, diagnostics)
    return _result(build(nodes, diagnostics), diagnostics, files, tuple(nodes))


def _result(built: Built, diagnostics: Diagnostics, files: _Files, tree: Iterable[Node]) -> LoadResult:
    return LoadResult(
        config=built.config,
        used=built.used,
        diagnostics=tuple(diagnostics.items),
        fatal=diagnostics.fatal,
        highest=diagnostics.highest,
        left_out=diagnostics.left_out,
        tree=tuple(tree),
        sources=files.sources,
    )


def slices(config: Config) -> dict[str, Slice]:
    """What each worker gets: only roles that have something to do."""
    found: dict[str, Slice] = {}
    if config.vrrp_instances:
        found["vrrp"] = VrrpSlice(globals=config.globals, instances=config.vrrp_instances)
    checks = tuple(
        check for server in config.virtual_servers for real in server.real_servers for check in real.checks
    )
    if checks:
        found["checker"] = CheckerSlice(globals=config.globals, checks=checks)
    if config.virtual_servers:
        found["ipvs"] = IpvsSlice(globals=config.globals, virtual_servers=config.virtual_servers)
    return found


def exit_status(result: LoadResult) -> int:
    """Status of a configuration test (``-t``): 0, 2, 4, 5 or 6 as keepalived 2.4.3 exits."""
    if any(item.code == "missing-word" for item in result.diagnostics):
        return 2
    highest = result.highest
    if highest is KeepalivedClass.SECURITY_ERROR:
        return 6
    if highest is KeepalivedClass.OK:
        # Fatal without a class of keepalived's (an endless parameter, where it hangs): never a good test.
        return 5 if result.fatal else 0
    return 4 if highest <= KeepalivedClass.FATAL else 5


# --- files ------------------------------------------------------------------------------------------


class _UnusableError(Exception):
    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class _Files:
    """Opens files and remembers their lines for excerpts."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.sources: dict[str, list[str]] = {}

    def open(self, path: str, name: str) -> Included:
        try:
            # Non-blocking: a FIFO in place of a file must not hang the start.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            why = (
                os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "not a valid path"
            )
            missing = isinstance(error, OSError) and error.errno == errno.ENOENT
            raise _UnusableError(
                f"cannot be read: {why}", "" if missing else "check its permissions"
            ) from None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _UnusableError("is not a regular file")
            if status.st_mode & 0o111:
                raise _UnusableError(
                    "is executable; keepalived does not read such a file either", f"chmod a-x {path}"
                )
            with open(fd, "rb", closefd=False) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise _UnusableError(f"cannot be read: {error.strerror}") from None
        finally:
            os.close(fd)
        if len(data) > MAX_FILE_BYTES:
            raise _UnusableError(f"is larger than {MAX_FILE_BYTES} bytes")
        return self.keep(data, name, os.path.realpath(path), os.path.dirname(os.path.abspath(path)))

    def keep(self, data: bytes, name: str, identity: str, folder: str) -> Included:
        # A name that is not UTF-8 must not spoil the slices it travels in.
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        lines, raw = read_lines(data, name, self.diagnostics)
        self.sources[name] = raw
        return Included(file=name, identity=identity, folder=folder, lines=lines)

    def include(self, pattern: str, folder: str) -> IncludeResult:
        """Files an include line names: globs with ``*?[]`` and brace lists, relative to ``folder``."""
        if "\0" in pattern or len(pattern) > 4096:
            return IncludeResult(files=(), failures=(("R", "not a valid path"),))
        alternatives = list(_brace_alternatives(pattern))
        matched: list[str] = []
        failures: list[tuple[str, str]] = []
        for alternative in alternatives:
            found = sorted(glob.glob(os.path.join(glob.escape(folder), alternative)))
            if not found and len(alternatives) > 1:
                failures.append(("B", f"nothing matches {alternative}"))
            matched.extend(one for one in found if one not in matched)
        if not matched:
            wild = any(char in pattern for char in "*?[")
            failures = [("W" if wild else "M", "nothing matches")]
        files: list[Included] = []
        for path in matched:
            if os.path.isdir(path):
                if any(char in pattern for char in "*?["):
                    continue
                failures.append(("R", f"{path} is a directory"))
                continue
            try:
                files.append(self.open(path, path))
            except _UnusableError as why:
                failures.append(("R", f"{path} {why}"))
        return IncludeResult(files=tuple(files), failures=tuple(failures))


_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


def _brace_alternatives(pattern: str) -> Iterable[str]:
    """``a{b,c}d`` -> abd, acd; several lists multiply, innermost first; bounded."""
    done: list[str] = []
    todo = [pattern]
    while todo:
        one = todo.pop(0)
        match = _BRACES.search(one)
        if match is None or len(todo) + len(done) > MAX_BRACE_ALTERNATIVES:
            done.append(one)
            continue
        todo[:0] = [one[: match.start()] + member + one[match.end() :] for member in match[1].split(",")]
    return done
