"""What a keyword means, from its row: ``explain(["vrrp_instance", "priority"])``."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator

from keepalived_conf.grammar.preprocessor import PREPROCESSOR
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Keyword, Type, rows_of
from keepalived_conf.tools.derived import HEAD_TAKES

WIDTH = 100
LABEL = 12
ANYWHERE = "any line"
"""Stands for the block of what is done with a line before it is read."""
NEAR = 5
"""Suggestions for an unknown word, at most."""


class UnknownKeywordError(Exception):
    """No keyword of that name, or not in that block."""

    def __init__(self, message: str, near: tuple[str, ...]) -> None:
        super().__init__(message)
        self.near = near
        """What may have been meant, best first, each as it can be asked for."""


def explain(words: list[str]) -> str:
    """Help for KEYWORD, BLOCK KEYWORD or BLOCK.KEYWORD: where it stands, what it takes, what it does.

    Lines for people, at most ``WIDTH`` wide. Raises ``UnknownKeywordError``.
    """
    asked = [part for word in words for part in word.split(".") if part]
    found = _find(asked)
    if not found:
        raise _unknown(asked)
    groups: dict[str, list[str]] = {}
    for path, row in found:
        groups.setdefault(_facts(path, row), []).append(place_name(path))
    texts = []
    for facts, places in groups.items():
        head = f"{found[0][1].name} in " + ", ".join(places)
        texts.append(textwrap.fill(head, WIDTH, subsequent_indent="    ") + "\n" + facts)
    return "\n".join(texts)


def place_name(path: str) -> str:
    """A block by its path, for people."""
    return path.replace(".", " > ") or "the top level"


def _find(asked: list[str]) -> list[tuple[str, Keyword]]:
    if not asked:
        return []
    every = [*((ANYWHERE, row) for row in PREPROCESSOR.values()), *rows_of(ROOT)]
    # Words within a line come after keywords: who asks for priority means that of an instance.
    lines = {row.block.path for _, row in every if row.block is not None and row.block.entries}
    every.sort(key=lambda one: one[0] in lines)
    for fold in (str, str.casefold):
        wanted = [fold(word) for word in asked]
        found = [
            (path, row)
            for path, row in every
            if fold(row.name) == wanted[-1] and _leads(wanted[:-1], [fold(one) for one in path.split(".")])
        ]
        # BLOCK KEYWORD means the keyword of that very block, if it has one.
        near = [one for one in found if len(asked) > 1 and fold(one[0]).split(".")[-1] == wanted[-2]]
        if found:
            return near or found
    return []


def _leads(words: list[str], path: list[str]) -> bool:
    """Whether the words stand in the path in this order; others may be between them."""
    rest = iter(path)
    return all(word in rest for word in words)


def _unknown(asked: list[str]) -> UnknownKeywordError:
    if not asked:
        return UnknownKeywordError("no keyword is given", ("global_defs", "vrrp_instance", "virtual_server"))
    word = asked[-1]
    elsewhere = _find([word]) if len(asked) > 1 else []
    if elsewhere:
        places = dict.fromkeys(f"{path} {row.name}".strip() for path, row in elsewhere)
        return UnknownKeywordError(f"{word} does not stand in {' '.join(asked[:-1])}", tuple(places)[:NEAR])
    names = dict.fromkeys([*(row.name for _, row in rows_of(ROOT)), *PREPROCESSOR])
    near = difflib.get_close_matches(word[:64], names, n=NEAR, cutoff=0.6)
    near += [name for name in names if len(word) > 2 and word in name and name not in near]
    return UnknownKeywordError(f"'{word[:64]}' is not a keyword of keepalived.conf", tuple(near[:NEAR]))


def _facts(path: str, row: Keyword) -> str:
    lines: list[str] = []
    if row.help:
        lines.append(textwrap.indent(textwrap.fill(row.help.rstrip(".") + ".", WIDTH - 4), "    "))
    for label, text in _labelled(path, row):
        wrapped = textwrap.wrap(text, WIDTH - 4 - LABEL) or [""]
        lines.append(f"    {label:<{LABEL}}{wrapped[0]}")
        lines.extend(" " * (4 + LABEL) + more for more in wrapped[1:])
    return "\n".join(lines) + "\n"


def _labelled(path: str, row: Keyword) -> Iterator[tuple[str, str]]:
    if row.alias_of:
        yield "same as", row.alias_of
    others = [one.name for one in _siblings(path) if one.alias_of == row.name]
    if others:
        yield "other names", ", ".join(others)
    if row.deprecated:
        yield "deprecated", row.deprecated
    if path != ANYWHERE:
        yield "takes", takes(row)
    if row.default:
        yield "default", row.default
    if row.repeatable and path != ANYWHERE:
        yield "again", "several lines add up" if row.type is not Type.BLOCK else "may stand several times"
    yield "owner", row.worker or "nobody yet"
    yield "effect", effect(row)
    if row.since:
        yield "since", f"keepalived {row.since}"
    if row.extension:
        yield "written", f"@pykeepalived {row.name}: keepalived drops such a line"
    if row.block is not None and row.block.keywords:
        yield "keywords" if not row.block.entries else "words", " ".join(row.block.keywords)


def takes(row: Keyword) -> str:
    """What stands behind a keyword, with its unit."""
    if row.block is not None:
        return block_takes(row.block)
    text = row.takes or ("several words" if row.type is Type.WORDS else "not read yet")
    if row.unit and row.type is not Type.DECIMAL:
        text += f" ({row.unit})"
    return text + (", or nothing" if row.optional and row.type is Type.INTEGER else "")


def block_takes(block: Block, inside: str = "") -> str:
    """The words before the brace, and what stands behind it."""
    head = block.head.takes if block.head is not None else HEAD_TAKES.get(block.path, "")
    if not inside:
        inside = block.entry.takes if block.entry is not None else "lines" if block.entries else "keywords"
    return f"{head} {{ {inside} }}".lstrip()


def effect(row: Keyword) -> str:
    """Whether anything acts on it, and why not."""
    return f"{row.effect}: {row.reason}" if row.reason else str(row.effect)


def _siblings(path: str) -> Iterator[Keyword]:
    if path == ANYWHERE:
        return
    block = ROOT
    for name in path.split(".") if path else ():
        inner = block.keywords[name].block if name in block.keywords else None
        if inner is None:
            return
        block = inner
    yield from block.keywords.values()
