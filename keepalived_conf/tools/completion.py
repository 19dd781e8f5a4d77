"""What an editor needs to complete a keepalived.conf: blocks, keywords, what they take, help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keepalived_conf.grammar.preprocessor import PREPROCESSOR
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Keyword, Type
from keepalived_conf.tools.derived import HEAD_TAKES
from keepalived_conf.tools.explain import effect, takes

BOOLEAN_WORDS = ("on", "off", "true", "false", "yes", "no")


def completion() -> dict[str, Any]:
    """``{"anywhere": {WORD: {...}}, "blocks": {PATH: {"lines": ..., "keywords": {NAME: {...}}}}}``.

    The path of the top level is empty.

    ``values`` of a keyword: the words that may stand behind it, where they are few.
    """
    anywhere = {row.name: {"help": row.help, "default": row.default} for row in PREPROCESSOR.values()}
    return {"anywhere": anywhere, "blocks": {path: _block(path, block) for path, block in _blocks("", ROOT)}}


def _blocks(path: str, block: Block) -> Iterator[tuple[str, Block]]:
    yield path, block
    for row in block.keywords.values():
        if row.block is not None:
            yield from _blocks(_below(path, row), row.block)


def _below(path: str, row: Keyword) -> str:
    return f"{path}.{row.name}" if path else row.name


def _block(path: str, block: Block) -> dict[str, Any]:
    return {
        "lines": "values" if block.entries else "keywords",
        "keywords": {row.name: _keyword(path, row) for row in block.keywords.values()},
    }


def _keyword(path: str, row: Keyword) -> dict[str, Any]:
    found: dict[str, Any] = {
        "takes": takes(row),
        "help": row.help,
        "default": row.default,
        "unit": row.unit,
        "effect": effect(row),
        "values": _values(row),
        "insert": _insert(row),
    }
    if row.block is not None:
        found["block"] = _below(path, row)
    if row.deprecated or row.alias_of:
        found["deprecated"] = row.deprecated or f"write {row.alias_of}"
    return found


def _values(row: Keyword) -> list[str]:
    if row.type is Type.CHOICE:
        return list(row.choices)
    return list(BOOLEAN_WORDS) if row.type is Type.BOOL else []


def _insert(row: Keyword) -> str:
    """A snippet of the Language Server Protocol: $1 is where the cursor goes."""
    own = "@pykeepalived " if row.extension else ""
    if row.block is not None:
        takes_ = row.block.head.takes if row.block.head is not None else HEAD_TAKES.get(row.block.path)
        head = f" ${{1:{takes_}}}" if takes_ else ""
        return f"{own}{row.name}{head} {{\n    $0\n}}"
    if row.type is Type.FLAG:
        return own + row.name
    if row.type in (Type.CHOICE, Type.BOOL):
        return f"{own}{row.name} ${{1|{','.join(_values(row))}|}}"
    return f"{own}{row.name} $1"
