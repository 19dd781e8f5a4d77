"""A word of a line, as the parser hands it on."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    text: str
    column: int
    quoted: bool = False
