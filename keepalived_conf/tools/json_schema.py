"""JSON Schema (draft 2020-12) of what ``to_json.document`` gives, from the tables."""

from __future__ import annotations

from typing import Any

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Keyword, Type
from keepalived_conf.syntax.values import INTERFACE_NAME_MAX
from keepalived_conf.tools.settings import HIDDEN, has_head, least, rows, secret, single
from keepalived_conf.tools.to_json import ENTRIES, NAME

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema: each block once below ``$defs``, under its path."""
    definitions: dict[str, Any] = {}
    root = _block(ROOT, definitions)
    return {
        "$schema": DIALECT,
        "title": "Effective configuration of pykeepalived",
        "description": "What `pykeepalived config show --json` prints.",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _block(block: Block, definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    if has_head(block):
        properties[NAME] = _head(block)
        required.append(NAME)
    for row in rows(block):
        properties[row.name] = {**_row(block, row, definitions), **_notes(row)}
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _head(block: Block) -> dict[str, Any]:
    head = block.head.schema() if block.head is not None else {"type": "string"}
    return {"description": "The words before the brace.", **head}


def _row(block: Block, row: Keyword, definitions: dict[str, Any]) -> dict[str, Any]:
    if row.type is Type.BLOCK:
        inner = row.block
        assert inner is not None
        if inner.entries:
            assert inner.entry is not None
            lines: dict[str, Any] = {"type": "array", "items": inner.entry.schema()}
            if inner.head is None:
                return lines
            named = {
                "type": "object",
                "properties": {NAME: inner.head.schema(), ENTRIES: lines},
                "required": [NAME, ENTRIES],
                "additionalProperties": False,
            }
            return {"type": "array", "items": named}
        if inner.path not in definitions:
            definitions[inner.path] = {}
            definitions[inner.path] = _block(inner, definitions)
        value: dict[str, Any] = {"$ref": f"#/$defs/{inner.path}"}
    else:
        value = _value(row)
        if secret(block, row):
            value = {"anyOf": [value, {"const": HIDDEN}]}
    return value if single(row, block) else {"type": "array", "items": value}


def _value(row: Keyword) -> dict[str, Any]:
    match row.type:
        case Type.FORM:
            assert row.form is not None
            return row.form.schema()
        case Type.INTEGER:
            return {"type": "integer", **_limits(row, whole=True)}
        case Type.DECIMAL:
            return {"type": "number", **_limits(row, whole=False)}
        case Type.BOOL | Type.FLAG:
            return {"type": "boolean"}
        case Type.CHOICE:
            return {"type": "string", "enum": list(row.choices)}
        case Type.ADDRESS:
            return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
        case Type.INTERFACE:
            return {"type": "string", "minLength": 1, "maxLength": INTERFACE_NAME_MAX}
        case _:
            return {"type": "string"}


def _limits(row: Keyword, *, whole: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    low = least(row)
    if low is not None:
        found["minimum"] = int(low) if whole else low
    if row.high is not None:
        found["maximum"] = int(row.high) if whole else row.high
    return found


def _notes(row: Keyword) -> dict[str, Any]:
    """What a person or an editor may want to know; no validator looks at it."""
    notes = {
        "description": row.help,
        "x-unit": row.unit,
        "x-default": row.default,
        "x-worker": row.worker,
        "x-effect": str(row.effect),
        "x-since": row.since,
    }
    found: dict[str, Any] = {name: value for name, value in notes.items() if value}
    if row.deprecated:
        found["deprecated"] = True
    return found
