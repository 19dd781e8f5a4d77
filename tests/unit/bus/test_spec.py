"""docs/bus.md lists every message as it is."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from pathlib import Path
from typing import Any, Literal

from bus.messages import REGISTRY, Event, TrackerShare, TransitionCause

SPEC = Path(__file__).resolve().parents[3] / "docs" / "bus.md"
BEGIN, END = "<!-- messages: generated, tests/unit/bus/test_spec.py compares -->", "<!-- end -->"


def name(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "/".join(str(arg) for arg in args)
    if origin is tuple:
        return f"[{name(args[0])}]"
    if args:
        names = [name(arg) for arg in args if arg is not type(None)]
        text = "address" if names[0].startswith("IPv") else names[0]
        text = "address/length" if names[0].endswith("Interface") else text
        return text + ("?" if type(None) in args else "")
    return str(hint.__name__)


def listing() -> str:
    lines = []
    classes: list[tuple[str, type[Any]]] = []
    for (kind, version), cls in REGISTRY.items():
        what = "event" if issubclass(cls, Event) else "record"
        classes.append((f"`{kind}` {version} ({', '.join(sorted(cls.PUBLISHERS))}, {what})", cls))
    for title, shown in [("TransitionCause", TransitionCause), ("TrackerShare", TrackerShare), *classes]:
        hints = typing.get_type_hints(shown)
        lines.append(f"**{title}**: {(inspect.getdoc(shown) or '').splitlines()[0]}")
        fields = [f"`{field.name}` {name(hints[field.name])}" for field in dataclasses.fields(shown)]
        lines += ["", "; ".join(fields) + ".", ""]
    return "\n".join(lines)


def test_the_listing_is_the_registry() -> None:
    written = SPEC.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert written.strip() == listing().strip(), "run python -m tests.unit.bus.test_spec"


if __name__ == "__main__":
    head, _, rest = SPEC.read_text(encoding="utf-8").partition(BEGIN)
    SPEC.write_text(f"{head}{BEGIN}\n\n{listing()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
