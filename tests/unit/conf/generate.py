"""Hypothesis strategies made from the grammar's tables: texts of whole configurations.

Every row gives lines with values of its type and range; what has a shape of its own (a form, a block's
head) has an example generator here. A row that is new in a table is generated without a line here; a
new form is not, and ``unknown_forms`` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from keepalived_conf.grammar.forms import Form, quoted
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Effect, Keyword, Type
from tests.unit.conf.generate_forms import CLASSES, ENTRIES, FORMS, HEADS, NEEDED, WORDS

Draw = Callable[[st.SearchStrategy[Any]], Any]

DEFAULT_HIGH = 4294967
"""Where a table names no upper bound."""
LINES_PER_BLOCK = 8
BLOCKS = 6
WEIGHTS = {"vrrp_instance": 8, "virtual_server": 8, "global_defs": 4}
"""Blocks of the top level that come more often than the others."""
INTERFACES = st.sampled_from(("eth0", "eth1", "br-lan.7", "x" * 15))
ADDRESSES = st.sampled_from(
    ("10.0.0.1", "192.0.2.7", "198.51.100.9/24", "224.0.0.9", "fe80::1", "2001:db8::2", "ff02::99")
)
TEXT = st.text("aB3 #!{}$@~=\\'(),:/-éü", min_size=1, max_size=6).filter(
    # A backslash at the end would take the closing quote for itself.
    lambda text: not (text.endswith("\\") and quoted(text) != text)
)


def usable(block: Block) -> list[Keyword]:
    """Rows of a block that lines are generated for."""
    return [row for row in block.keywords.values() if _known(block.path, row)]


def _known(path: str, row: Keyword) -> bool:
    if row.type is Type.FORM:
        return example(f"{path}.{row.name}", row.form) is not None
    if row.block is not None and row.block.entries:
        return entry_of(row.block, row.name) is not None
    return True


def example(key: str, form: Form | None) -> st.SearchStrategy[str] | None:
    """Text behind a keyword, or of a line: by the place in the tables, by the form's words, by its class."""
    if key in WORDS:
        return WORDS[key]
    if form is None:
        return None
    if form.takes in FORMS:
        return FORMS[form.takes]
    of_class = CLASSES.get(type(form).__name__)
    return None if of_class is None else of_class(form)


def entry_of(block: Block, name: str) -> st.SearchStrategy[str] | None:
    return ENTRIES[name] if name in ENTRIES else example(f"{block.path}.entry", block.entry)


def unknown_forms() -> Iterator[str]:
    """Rows that nothing is generated for."""

    def walk(block: Block) -> Iterator[str]:
        for row in block.keywords.values():
            if row.effect is Effect.NONE:
                continue
            if not _known(block.path, row):
                yield f"{block.path}.{row.name}"
            elif row.block is not None and not row.block.entries:
                yield from walk(row.block)

    return walk(ROOT)


def value(path: str, row: Keyword) -> st.SearchStrategy[str]:
    """Text behind a keyword: valid words, quoted where needed."""
    found = example(f"{path}.{row.name}", row.form if row.type is Type.FORM else None)
    if found is not None:
        return found
    match row.type:
        case Type.INTEGER:
            low = int(row.low or 0) if row.raised_to is None else max(int(row.low or 0), row.raised_to)
            number = st.integers(low, int(row.high if row.high is not None else DEFAULT_HIGH)).map(str)
            return st.one_of(st.just(""), number) if row.optional else number
        case Type.DECIMAL:
            step = 10**row.decimals
            low = round((row.low or 0) * step)
            high = round((row.high if row.high is not None else DEFAULT_HIGH) * step)
            return st.integers(low, high).map(lambda n: f"{n // step}.{n % step:0{row.decimals}d}")
        case Type.BOOL:
            return st.sampled_from(("", "on", "off", "true", "false", "yes", "no"))
        case Type.FLAG:
            return st.just("")
        case Type.CHOICE:
            return st.sampled_from(row.choices)
        case Type.ADDRESS:
            return ADDRESSES
        case Type.INTERFACE:
            return INTERFACES
        case _:
            return TEXT.map(quoted)


def _lines(draw: Draw, block: Block, path: str, number: int, depth: int) -> list[str]:
    """Lines of one block: what it cannot do without, and some of the rest."""
    rows = usable(block)
    if not rows:
        return []
    chosen = draw(st.lists(st.sampled_from(rows), max_size=LINES_PER_BLOCK, unique_by=lambda row: row.name))
    names = {row.name for row in chosen if row.block is None}
    needed = [line for line in NEEDED.get(path, ()) if line.split()[0] not in names]
    lines = [line.replace("%", str(number)) for line in needed]
    for row in chosen:
        lines.extend(_row(draw, row, path, number, depth))
    return lines


def _row(draw: Draw, row: Keyword, path: str, number: int, depth: int) -> list[str]:
    indent = "  " * depth
    own = "@pykeepalived " if row.extension else ""
    if row.block is None:
        return [f"{own}{indent}{row.name} {draw(value(path, row))}".rstrip()]
    inner = f"{path}.{row.name}" if path else row.name
    if row.block.entries:
        entry = entry_of(row.block, row.name)
        assert entry is not None
        entries = draw(st.lists(entry, max_size=3, unique=True))
        return [
            f"{own}{indent}{row.name} {{",
            *(own + indent + "  " + e for e in entries),
            f"{own}{indent}}}",
        ]
    made: list[str] = []
    for count in range(1, draw(st.integers(1, 2)) + 1 if depth else 2):
        named = f"N{number}" if row.block.head is not None else ""
        head = draw(HEADS[inner](number, count)) if inner in HEADS else named
        made.append(f"{own}{indent}{row.name} {head}".rstrip() + " {")
        body = _lines(draw, row.block, inner, count if depth else number, depth + 1)
        made.extend(own + line for line in body)
        made.append(f"{own}{indent}}}")
    return made


@st.composite
def configurations(draw: Draw) -> str:
    """Texts of configurations: mostly valid lines, references that mostly exist."""
    rows = [row for row in usable(ROOT) for _ in range(WEIGHTS.get(row.name, 1))]
    lines: list[str] = []
    for number, row in enumerate(draw(st.lists(st.sampled_from(rows), max_size=BLOCKS)), 1):
        lines.extend(_row(draw, row, "", number, 0))
    return "\n".join(lines) + "\n"
