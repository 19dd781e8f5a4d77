"""Reads configurations: with ``files`` the only module here that touches the system around.

result = load("/etc/keepalived/keepalived.conf")
if result.fatal: print(result.text()) ...
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from keepalived_conf.builders.config import Built, build
from keepalived_conf.builders.reader import Use
from keepalived_conf.diagnostics import Diagnostic, Diagnostics, KeepalivedClass, render_all
from keepalived_conf.files import Files, UnusableError, matches
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.iproute_files import read_names
from keepalived_conf.model import Config
from keepalived_conf.slicing import slices
from keepalived_conf.syntax.includes import Included
from keepalived_conf.syntax.parser import Node, parse
from keepalived_conf.syntax.preprocess import Preprocessor

__all__ = ["LoadResult", "exit_status", "load", "slices"]


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


def load(
    path: str | os.PathLike[str], *, config_id: str | None = None, all_config: bool = False
) -> LoadResult:
    """Read, check and complete the configuration in ``path``. Never raises for what a file contains.

    ``path`` may be a pattern: of several matches all are read, the first one first.
    ``config_id``: identity for ``@ID`` lines; None: the host name up to its first dot.
    ``all_config``: every file that an include line names must be there (option ``-e``).
    """
    name = os.fspath(path)
    if config_id is None:
        config_id = os.uname().nodename.partition(".")[0]
    diagnostics = Diagnostics()
    files = Files(diagnostics)
    with _no_collection():
        mains = _mains(name, files, diagnostics)
        if not mains:
            return _result(Built(config=Config(), used=()), diagnostics, files, ())
        return _load(mains, files, diagnostics, config_id=config_id, all_config=all_config)


def load_text(
    data: bytes, *, name: str = "keepalived.conf", config_id: str = "localhost", all_config: bool = False
) -> LoadResult:
    """As ``load`` for bytes at hand; includes resolve against the working directory."""
    diagnostics = Diagnostics()
    files = Files(diagnostics)
    with _no_collection():
        main = files.keep(data, name, f"text:{name}", os.getcwd())
        return _load([main], files, diagnostics, config_id=config_id, all_config=all_config)


def _mains(name: str, files: Files, diagnostics: Diagnostics) -> list[Included]:
    found: list[Included] = []
    paths = [name]
    if not os.path.lexists(name):
        paths = matches(name, "")[0] or [name]
    for path in paths:
        try:
            found.append(files.open(path, path))
        except UnusableError as why:
            # Stricter than keepalived's test, which calls a missing file good: docs/differences.md.
            diagnostics.error(
                None,
                "no-file",
                f"{path}: {why}",
                fatal=True,
                keepalived=KeepalivedClass.FILE_NOT_FOUND,
                hint=why.hint or "check the path given by -f",
            )
    if len(paths) > 1:
        diagnostics.warning(
            None,
            "several-files",
            f"{name} matches {len(paths)} files; all are read, {paths[0]} first",
            hint="name one file, and let it include the others",
            keepalived=KeepalivedClass.MULTIPLE_FILES,
        )
    return found


def _load(
    mains: list[Included], files: Files, diagnostics: Diagnostics, *, config_id: str, all_config: bool
) -> LoadResult:
    preprocessor = Preprocessor(
        diagnostics=diagnostics,
        config_id=config_id,
        include=files.include,
        environ=lambda variable: os.environ.get(variable, ""),
        random=_random,
        checked="RMWB" if all_config else "",
    )
    nodes = parse(preprocessor.run(*mains), ROOT, diagnostics)
    if preprocessor.full:  # the rest was not read: what is there means nothing
        return _result(Built(config=Config(), used=()), diagnostics, files, ())
    return _result(build(nodes, diagnostics, read_names), diagnostics, files, tuple(nodes))


def _random(low: int, high: int) -> int:
    import random  # few files need it, and it takes milliseconds

    return random.randint(low, high)


@contextmanager
def _no_collection() -> Iterator[None]:
    """A tree of a million objects without a cycle: looking for garbage in it again and again takes half of
    the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _result(built: Built, diagnostics: Diagnostics, files: Files, tree: Iterable[Node]) -> LoadResult:
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
