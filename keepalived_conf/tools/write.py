"""A tree of settings -> text of a keepalived.conf."""

from __future__ import annotations

from collections.abc import Iterable

from keepalived_conf.tools.settings import Setting, line

INDENT = "    "
OWN = "@pykeepalived "
"""Before each line of a setting of ours: keepalived drops such lines."""


def text(settings: Iterable[Setting]) -> str:
    """The settings as lines; those that need no line are left out."""
    lines: list[str] = []
    for one in settings:
        if one.quiet:
            continue
        if lines and (_is_block(one) or lines[-1] == "}"):
            lines.append("")
        _add(lines, one, "")
    return "".join(f"{one}\n" for one in lines)


def _is_block(one: Setting) -> bool:
    return one.body is not None or one.entries is not None


def _add(lines: list[str], one: Setting, indent: str) -> None:
    start = len(lines)
    if not _is_block(one):
        lines.append(indent + line(one))
    else:
        lines.append(f"{indent}{line(one)} {{")
        lines.extend(indent + INDENT + line(entry) for entry in one.entries or ())
        for inner in one.body or ():
            if not inner.quiet:
                _add(lines, inner, indent + INDENT)
        lines.append(indent + "}")
    if one.row.extension:
        lines[start:] = [OWN + made.lstrip() for made in lines[start:]]
