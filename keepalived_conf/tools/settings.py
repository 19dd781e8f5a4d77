"""The model as a tree of settings: each keyword with its words and its value, by the tables.

    settings(config) -> (Setting, ...)          one per keyword and per block, in the order of a file

Text (``show``), JSON (``to_json``) and the JSON Schema are all made from the same rows, so that they
cannot say different things. A row says by its ``field`` where its value is; the few values that are not
simply a field are named in ``derived.VALUES``, the rows that show nothing in ``derived.NOT_SHOWN``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from keepalived_conf.grammar.forms import quoted
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Effect, Keyword, Type
from keepalived_conf.model import Config
from keepalived_conf.tools import derived

HIDDEN = "********"
"""Stands for a secret."""

OLDEST = (2, 2, 7)
"""What is newer than this keepalived is written only where it says something: see ``Setting.quiet``."""

_UNKNOWN = object()
"""Equal to no value."""


class Entry(NamedTuple):
    """One line of a value block."""

    words: tuple[str, ...]
    json: Any


class Setting(NamedTuple):
    """A keyword with its words, or a block with what is inside it."""

    row: Keyword
    words: tuple[str, ...] = ()
    """Behind the keyword, not quoted; of a block: before its brace."""
    json: Any = None
    """The value; of a block: its head, None without one."""
    body: tuple[Setting, ...] | None = None
    """Of a block of keywords."""
    entries: tuple[Entry, ...] | None = None
    """Of a value block."""
    quiet: bool = False
    """Needs no line in a file: a flag that is off; a boolean that is off by default, since keepalived 2.2.7
    takes some of them for flags; the default of a keyword that not every keepalived knows."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _How:
    secrets: bool
    around: tuple[Any, ...] = ()
    """Objects of the blocks around, nearest first."""

    def below(self, thing: Any) -> _How:
        return _How(secrets=self.secrets, around=(thing, *self.around))


def settings(config: Config, *, secrets: bool) -> tuple[Setting, ...]:
    """Every effective setting in keepalived's order of definition before use."""
    return tuple(_inside(ROOT, config, _How(secrets=secrets)))


def rows(block: Block) -> Iterator[Keyword]:
    """The rows of a block that show something, in the order they are written."""
    names = [name for name in derived.FIRST.get(block.path, ()) if name in block.keywords]
    names += [name for name in block.keywords if name not in names]
    for name in names:
        row = block.keywords[name]
        if shown(block, row):
            yield row


def shown(block: Block, row: Keyword) -> bool:
    """Whether a row stands for a value of the model (an alias never does: its other name is written)."""
    if row.alias_of or (block.path, row.name) in derived.NOT_SHOWN:
        return False
    if mixed(block, row):
        return True
    return bool(row.field) or (block.path, row.name) in derived.VALUES


def mixed(block: Block, row: Keyword) -> bool:
    """Whether a row opens one of the blocks whose order counts across keywords."""
    return block.path in derived.MIXED and row.block is not None and not row.block.entries


def unregistered(block: Block) -> Iterator[str]:
    """Rows with an effect that are neither driven by a field nor named in ``derived``."""
    for row in block.keywords.values():
        quiet = row.alias_of or row.effect is Effect.NONE
        if not quiet and not shown(block, row) and (block.path, row.name) not in derived.NOT_SHOWN:
            yield f"{block.path}.{row.name}"
        if row.block is not None and not (quiet or row.block.entries):
            yield from unregistered(row.block)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What is the same for a row in every object: a large configuration has many."""

    row: Keyword
    get: Callable[[Any], Any]
    hidden: bool
    """Its value is a secret."""
    quiet_at_default: bool
    """Not every keepalived knows it: no line for its default."""
    default: Callable[[tuple[Any, ...]], Any]
    """The value of a row that is not written, from the blocks around; equal to nothing where not known."""


_READINGS: dict[int, tuple[Block, tuple[_Reading, ...]]] = {}


def _readings(block: Block) -> tuple[_Reading, ...]:
    found = _READINGS.get(id(block))
    if found is None:
        made = tuple(_reading(block, row) for row in rows(block) if not mixed(block, row))
        found = _READINGS[id(block)] = (block, made)  # the block is kept: its id stays its own
    return found[1]


def _reading(block: Block, row: Keyword) -> _Reading:
    key = (block.path, row.name)
    built_in = _UNKNOWN
    if block.model is not None and key not in derived.VALUES:
        built_in = _default(block.model, row.field)
    return _Reading(
        row=row,
        get=derived.VALUES[key] if key in derived.VALUES else attrgetter(row.field),
        hidden=secret(block, row),
        quiet_at_default=newer(row) or row.name.startswith(derived.BUILD_OPTIONS),
        default=derived.INHERITED.get(key, lambda _around: built_in),
    )


def _inside(block: Block, thing: Any, how: _How) -> Iterator[Setting]:
    below = how.below(thing)
    for reading in _readings(block):
        row = reading.row
        value = reading.get(thing)
        if value is None:
            continue
        if row.type is Type.BLOCK:
            yield from _blocks(row, value, below)
            continue
        for one in value if row.repeatable and isinstance(value, tuple) else (value,):
            made = _setting(reading, one, how)
            if made is not None:
                yield made
    if block.path in derived.MIXED:
        for keyword, one in derived.MIXED[block.path](thing):
            yield from _blocks(block.keywords[keyword], one, below)


def _blocks(row: Keyword, value: Any, how: _How) -> Iterator[Setting]:
    block = row.block
    assert block is not None
    if block.entries and block.head is not None:
        for one in value:
            words, json = head_of(block, one)
            lines = tuple(_entry(block, entry) for entry in one.entries)
            yield Setting(row=row, words=words, json=json, entries=lines)
        return
    if block.entries:
        entries = tuple(_entry(block, one) for one in value)
        if entries:
            yield Setting(row=row, entries=entries)
        return
    for one in value if isinstance(value, tuple) else (value,):
        body = tuple(_inside(block, one, how))
        words, json = head_of(block, one)
        yield Setting(
            row=row, words=words, json=json, body=body, quiet=not words and all(b.quiet for b in body)
        )


def head_of(block: Block, thing: Any) -> tuple[tuple[str, ...], Any]:
    """(words before the brace, their JSON)."""
    derive = derived.HEADS.get(block.path)
    if block.head is None:
        words = () if derive is None else tuple(derive(thing))
        return words, " ".join(words) or None
    value = thing.name if derive is None else derive(thing)
    return tuple(block.head.write(value)), block.head.json(value)


def has_head(block: Block) -> bool:
    return block.head is not None or block.path in derived.HEADS


def _entry(block: Block, value: Any) -> Entry:
    form = block.entry
    assert form is not None
    return Entry(words=tuple(form.write(value)), json=form.json(value))


def _setting(reading: _Reading, value: Any, how: _How) -> Setting | None:
    row = reading.row
    if (value == "" and _says_nothing(row, reading.default(how.around))) or not (value or within(row, value)):
        return None  # a default that cannot be written: no name, or 0 for "off" where 1 is the least
    words, json = written(row, value)
    if reading.hidden and not how.secrets:
        words, json = (HIDDEN,), HIDDEN
    quiet = row.type is Type.FLAG and not value
    if not quiet and (value is False or reading.quiet_at_default):
        quiet = value == reading.default(how.around)
    return Setting(row=row, words=words, json=json, quiet=quiet)


def secret(block: Block, row: Keyword) -> bool:
    """Whether a value is hidden. In a secret block whose rows name no secret every text is one."""
    if row.secret or not block.secret:
        return row.secret
    text = row.type in (Type.TEXT, Type.WORDS, Type.FORM)
    return text and not any(other.secret for other in block.keywords.values())


def _says_nothing(row: Keyword, default: Any) -> bool:
    """Whether the empty word is what there is without a line; a form may say it by no word at all."""
    return default in ("", _UNKNOWN) or (default is None and row.type is not Type.FORM)


def written(row: Keyword, value: Any) -> tuple[tuple[str, ...], Any]:
    """(words behind the keyword, JSON) of a value."""
    match row.type:
        case Type.FORM:
            assert row.form is not None
            return tuple(row.form.write(value)), row.form.json(value)
        case Type.FLAG:
            return (), bool(value)
        case Type.BOOL:
            return ("on" if value else "off",), bool(value)
        case Type.INTEGER:
            return (str(int(value)),), int(value)
        case Type.DECIMAL:
            return (decimal(value, row.decimals),), float(value)
        case Type.WORDS:
            words = (value,) if isinstance(value, str) else tuple(value)
            return words, " ".join(quoted(word) for word in words)
        case _:
            text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
            return (text,), text


def decimal(value: float, decimals: int) -> str:
    """Seconds as text, without zeros behind."""
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def within(row: Keyword, value: Any) -> bool:
    """Whether the value can be written as it is."""
    if row.type not in (Type.INTEGER, Type.DECIMAL):
        return True
    low = least(row)
    return not ((low is not None and value < low) or (row.high is not None and value > row.high))


def least(row: Keyword) -> float | None:
    """The least number a row has in the model; of seconds only 0 is raised."""
    if row.raised_to is None or row.low is None or row.type is Type.DECIMAL:
        return row.low
    return max(row.low, row.raised_to)


def newer(row: Keyword) -> bool:
    """Whether keepalived 2.2.7 does not know the keyword."""
    parts = row.since.split(".")
    return all(part.isdigit() for part in parts) and tuple(int(part) for part in parts) > OLDEST


_DEFAULTS: dict[type[Any], dict[str, Any]] = {}


def _defaults(model: type[Any]) -> dict[str, Any]:
    found = _DEFAULTS.get(model)
    if found is not None:
        return found
    found = _DEFAULTS[model] = {}
    for one in dataclasses.fields(model):
        if one.default is not dataclasses.MISSING:
            found[one.name] = one.default
        elif one.default_factory is not dataclasses.MISSING:
            found[one.name] = one.default_factory()
    return found


def _default(model: type[Any], path: str) -> Any:
    """Default of a field, or of a field of the default of a field: ``globals.instance``."""
    first, _, rest = path.partition(".")
    found = _defaults(model).get(first, _UNKNOWN)
    return attrgetter(rest)(found) if rest and found is not _UNKNOWN else found


def line(one: Setting | Entry) -> str:
    """The words of a line of a file, quoted where needed."""
    words = [quoted(word) for word in one.words]
    if isinstance(one, Setting):
        return " ".join((one.row.name, *words))
    if words and words[0].startswith("include"):
        words[0] = f'"{words[0]}"'  # data, not an include line
    return " ".join(words)


def single(row: Keyword, block: Block) -> bool:
    """Whether a block or a keyword can be there once only, in JSON: an object or value, not a list."""
    if row.type is not Type.BLOCK:
        return not row.repeatable
    assert row.block is not None
    return (block.path, row.name) in derived.SINGLE and not has_head(row.block)
