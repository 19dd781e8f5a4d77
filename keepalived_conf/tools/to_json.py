"""The effective configuration as JSON, keyed by keepalived's keywords.

A keyword has its value: a number in its unit, true or false, a string, or what its form makes of it
(``Form.json``). What may stand several times is a list. A block is an object of its keywords, with the
words before its brace as ``name``; a value block a list of its lines (with words before its brace: an
object of ``name`` and ``entries``). Every keyword is there at its
effective value, a flag that is off too. ``json_schema`` describes it; the order is that of ``show``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block
from keepalived_conf.model import Config
from keepalived_conf.tools.settings import Setting, has_head, settings, single

NAME = "name"
"""Key of the words before the brace of a block."""
LINES = "lines"
"""Key of the lines of a value block that has words before its brace."""
ENTRIES = "entries"
"""Key of the lines of a value block that has such words."""


def document(config: Config, *, secrets: bool) -> dict[str, Any]:
    """The whole configuration. ``secrets``: passwords as they are instead of asterisks."""
    return _object(ROOT, settings(config, secrets=secrets))


def _object(block: Block, inside: Iterable[Setting]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in inside:
        name = one.row.name
        if one.entries is not None:
            lines = [entry.json for entry in one.entries]
            if one.words:
                found.setdefault(name, []).append({NAME: one.json, ENTRIES: lines})
            else:
                found[name] = lines
            continue
        value = one.json
        if one.body is not None:
            assert one.row.block is not None
            value = {NAME: one.json} if has_head(one.row.block) else {}
            value.update(_object(one.row.block, one.body))
        if single(one.row, block):
            found[name] = value
        else:
            found.setdefault(name, []).append(value)
    return found
