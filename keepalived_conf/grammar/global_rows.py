"""Short makers of rows for global_defs: what is understood without a worker that acts on it."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.grammar.forms import Form
from keepalived_conf.grammar.schema import Effect, Keyword, Type


def parsed(name: str, type_: Type, help_: str, worker: str, **more: Any) -> Keyword:
    """A row of a setting that a later version acts on. ``more``: as ``Keyword``."""
    more.setdefault("effect", Effect.PARSED)
    return Keyword(name=name, type=type_, help=help_, worker=worker, **more)


def parsed_bool(name: str, help_: str, worker: str, **more: Any) -> Keyword:
    more.setdefault("default", "off")
    return parsed(name, Type.BOOL, help_, worker, optional=True, **more)


def parsed_flag(name: str, help_: str, worker: str, **more: Any) -> Keyword:
    more.setdefault("default", "off")
    return parsed(name, Type.FLAG, help_, worker, optional=True, **more)


def parsed_number(name: str, low: int, high: int | None, help_: str, worker: str, **more: Any) -> Keyword:
    return parsed(name, Type.INTEGER, help_, worker, low=low, high=high, **more)


def parsed_seconds(name: str, low: float, high: float, help_: str, worker: str, **more: Any) -> Keyword:
    return parsed(name, Type.DECIMAL, help_, worker, low=low, high=high, unit="s", decimals=6, **more)


def parsed_form(name: str, form: Form, help_: str, worker: str, **more: Any) -> Keyword:
    return parsed(name, Type.FORM, help_, worker, form=form, optional=True, **more)


def no_effect(row: Keyword, reason: str) -> Keyword:
    """The row of a setting that never will have an effect."""
    return dataclasses.replace(row, effect=Effect.NONE, reason=reason)
