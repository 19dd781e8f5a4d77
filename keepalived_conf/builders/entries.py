"""Lines of value blocks with their places: addresses, routes, rules."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from keepalived_conf.builders.reader import Read
from keepalived_conf.grammar.schema import Block
from keepalived_conf.model import Places, Route, Rule, StaticAddress, VirtualAddress
from keepalived_conf.syntax.parser import Statement

T = TypeVar("T", VirtualAddress, StaticAddress, Route, Rule)


def placed(read: Read, keyword: str, block: Block, kind: type[T]) -> list[T]:
    """The lines of a value block, each with its places: the line's, and its sub-keywords'."""
    found = []
    for value, line in zip(read.get(keyword, []), read.lines.get(keyword, []), strict=True):
        assert isinstance(value, kind)
        found.append(dataclasses.replace(value, places=places_of(line, block)))
    return found


def places_of(line: Statement, block: Block) -> Places:
    """``""``: the line; each sub-keyword at its first place."""
    places: Places = {"": line.place}
    for index, word in enumerate(line.words):
        if word.text in block.keywords:
            places.setdefault(word.text, line.place_of(index))
    return places
