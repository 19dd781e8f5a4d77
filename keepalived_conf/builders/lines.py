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


def silent_reader() -> Reader:
    """A reader whose complaints nobody hears."""
    return Reader(Diagnostics())


def value_of(line: Statement, block: Block, silent: Reader | None = None) -> Any:
    """What one line says by its row, without a word about what is wrong with it: the reader of the block
    has said that. None: it was refused. ``silent``: spares making one."""
    read = Read(line.place)
    (silent or silent_reader()).into(read, [line], block)
    return read.get(block.keywords[line.name].key)
