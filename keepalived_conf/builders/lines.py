"""Lines of a block in file order, for keywords whose lines are judged by what stands above them."""

from __future__ import annotations

from typing import Any

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.diagnostics import Diagnostics
from keepalived_conf.grammar.schema import Block
from keepalived_conf.syntax.parser import Statement


def lines_of(statement: Statement, *names: str) -> list[Statement]:
    """The statements in a body whose keyword is one of ``names``."""
    return [line for line in statement.statements() if line.words and line.name in names]


def value_of(line: Statement, block: Block) -> Any:
    """What one line says by its row, without a word about what is wrong with it: the reader of the block
    has said that. None: it was refused."""
    read = Read(line.place)
    Reader(Diagnostics()).into(read, [line], block)
    return read.get(block.keywords[line.name].key)
