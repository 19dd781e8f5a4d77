"""A tree of settings -> text of a keepalived.conf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keepalived_conf.tools.settings import Setting, line

INDENT = "    "
OWN = "@pykeepalived "
"""Before each line of a setting of ours: keepalived drops such lines."""


def text(settings: Iterable[Setting]) -> str:
    """The settings as lines; those that need no line are left out."""
    lines: list[str] = []
    for one in settings:
        made = list(_lines(one, 0))
        if lines and made and (_is_block(one) or lines[-1] == "}"):
            lines.append("")
        lines.extend(made)
    return "".join(f"{one}\n" for one in lines)


def _is_block(one: Setting) -> bool:
    return one.body is not None or one.entries is not None


def _lines(one: Setting, depth: int) -> Iterator[str]:
    made = _plain(one, depth)
    if one.row.extension:
        return (OWN + text.lstrip() for text in made)
    return made


def _plain(one: Setting, depth: int) -> Iterator[str]:
    if one.quiet:
        return
    indent = INDENT * depth
    if not _is_block(one):
        yield indent + line(one)
        return
    yield f"{indent}{line(one)} {{"
    for entry in one.entries or ():
        yield indent + INDENT + line(entry)
    for inner in one.body or ():
        yield from _lines(inner, depth + 1)
    yield indent + "}"
