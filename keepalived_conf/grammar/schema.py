"""What the grammar tables are made of: argument types, keyword rows, blocks, and short row makers.

One row per keyword says everything that is known about it. The reader, the model's filling, ``show``,
``diff``, ``explain``, the JSON Schema and docs/configuration.md are driven by these rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.forms import Form

UINT32_MAX = 4294967295
INT32_MAX = 2147483647
GARP_DELAY_MAX_S = 4294
TIMER_MAX_S = 4294.967295


SCRIPT_KEYWORDS = frozenset(
    (
        "startup_script",
        "shutdown_script",
        "notify_fifo_script",
        "vrrp_notify_fifo_script",
        "lvs_notify_fifo_script",
        "notify_backup",
        "notify_master",
        "notify_fault",
        "notify_stop",
        "notify_deleted",
        "notify",
        "notify_master_rx_lower_pri",
        "quorum_up",
        "quorum_down",
        "notify_up",
        "notify_down",
        "script",
        "misc_path",
    )
)
"""Keywords that make the daemon run a program."""


class Type(StrEnum):
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOL = "bool"
    """true|on|yes|false|off|no; bare: true."""
    FLAG = "flag"
    """No argument."""
    CHOICE = "choice"
    ADDRESS = "address"
    """Numeric IPv4 or IPv6 address; a prefix length behind it is allowed and dropped."""
    INTERFACE = "interface"
    TEXT = "text"
    WORDS = "words"
    """One or more words that the builder reads itself."""
    FORM = "form"
    """Arguments with a shape of their own: ``Keyword.form`` reads and writes them."""
    BLOCK = "block"


class Effect(StrEnum):
    ACTIVE = "in effect"
    PARSED = "parsed only"
    """Read, checked, in the model; no worker acts on it yet."""
    NONE = "no effect by design"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyword:
    name: str
    type: Type
    low: float | None = None
    high: float | None = None
    raised_to: int | None = None
    """A smaller value is raised to this, and reported."""
    decimals: int = 0
    choices: tuple[str, ...] = ()
    unit: str = ""
    default: str = ""
    """As text for people; the value itself is in the model or in build."""
    repeatable: bool = False
    optional: bool = False
    """May stand without an argument."""
    again: str = ""
    """What keepalived reports of a second line: ``replaced`` (the later counts) or ``ignored`` (the first
    does). Empty: the later counts, silently."""
    merge: Callable[[Any, Any], Any] | None = None
    """(value so far, value of a further line) -> value, where lines add to each other. None: ``again``."""
    exact: bool = False
    """A number with rubbish behind it is refused. Otherwise its leading part is taken, as keepalived's daemon
    does."""
    stops_when_bare: bool = True
    """keepalived ends with status 2 when the argument is missing; otherwise it reports and goes on."""
    worker: str = ""
    """Who owns it: supervisor, bus, vrrp, checker, ipvs, bfd, script, api; joined by +. Never empty in a
    table (``global_defs`` and the root included): the owner acts on it, or will."""
    effect: Effect = Effect.ACTIVE
    reason: str = ""
    """Why it has no effect. Required for NONE. PARSED: what follows for the operator; told as a warning
    when written, else the user gets a note."""
    since: str = ""
    """keepalived version that brought it, where known."""
    field: str = ""
    """Its field in ``Block.model``; filled in by ``block_of`` where the name is the keyword's (- as _, unit
    appended). Empty: the builder puts it somewhere else."""
    form: Form | None = None
    """Of type FORM."""
    secret: bool = False
    """Its value is shown to nobody but root, on request."""
    extension: bool = False
    """Ours, not keepalived's: only on ``@pykeepalived`` lines."""
    alias_of: str = ""
    deprecated: str = ""
    """Why or what instead; empty: not deprecated."""
    deprecated_class: KeepalivedClass | None = None
    """What keepalived calls its use; None: GENERAL_ERROR for an old name of another keyword, else OK."""
    help: str = ""
    block: Block | None = None

    @property
    def key(self) -> str:
        """The name it counts under."""
        return self.alias_of or self.name

    @property
    def takes(self) -> str:
        """What may stand behind the keyword, in words, for hints and documentation."""
        if self.type is Type.INTEGER:
            return "a whole number" + self._range()
        if self.type is Type.DECIMAL:
            unit = {"ms": "milliseconds"}.get(self.unit, "seconds")
            return f"a number of {unit} with up to {self.decimals} decimals" + self._range()
        if self.form is not None:
            return self.form.takes
        if self.type is Type.CHOICE:
            return "one of " + ", ".join(self.choices)
        return {
            Type.BOOL: "true, on, yes, false, off, no, or nothing",
            Type.FLAG: "nothing",
            Type.ADDRESS: "an IP address",
            Type.INTERFACE: "the name of a network interface",
            Type.TEXT: "one word",
            Type.BLOCK: "{ ... }",
        }.get(self.type, "")

    def _range(self) -> str:
        low = "" if self.low is None else f"{self.low:.6f}".rstrip("0").rstrip(".")
        high = "" if self.high is None else f"{self.high:.6f}".rstrip("0").rstrip(".")
        return f" from {low} to {high}" if low and high else f" from {low}" if low else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What may stand inside a pair of braces."""

    name: str
    keywords: dict[str, Keyword] = field(default_factory=dict)
    path: str = ""
    """Keywords that lead here, joined by dots; empty: the top level."""
    model: type[Any] | None = None
    """Frozen dataclass its settings are kept in."""
    entries: bool = False
    """A value block: its lines are data, not keywords."""
    entry: Form | None = None
    """Of a value block: reads and writes one line. None: the builder reads the lines itself."""
    head: Form | None = None
    """Reads and writes the words between the keyword and the brace (a name, an address); None: no words."""
    secret: bool = False
    """Its words are never shown, not even unknown ones."""


def integer_row(
    name: str,
    low: int,
    high: int | None,
    help_: str,
    *,
    worker: str,
    default: str = "",
    unit: str = "",
    raised_to: int | None = None,
    optional: bool = False,
    alias_of: str = "",
    deprecated: str = "",
) -> Keyword:
    return Keyword(
        name=name,
        type=Type.INTEGER,
        low=low,
        high=high,
        help=help_,
        worker=worker,
        default=default,
        unit=unit,
        raised_to=raised_to,
        optional=optional,
        alias_of=alias_of,
        deprecated=deprecated,
    )


def seconds_row(
    name: str,
    low: float,
    high: float | None,
    help_: str,
    *,
    worker: str,
    default: str = "",
    decimals: int = 6,
) -> Keyword:
    return Keyword(
        name=name,
        type=Type.DECIMAL,
        low=low,
        high=high,
        help=help_,
        worker=worker,
        default=default,
        unit="s",
        decimals=decimals,
    )


def bool_row(name: str, help_: str, *, worker: str, default: str = "off") -> Keyword:
    return Keyword(name=name, type=Type.BOOL, optional=True, help=help_, worker=worker, default=default)


def flag_row(name: str, help_: str, *, worker: str, default: str = "off", deprecated: str = "") -> Keyword:
    return Keyword(
        name=name,
        type=Type.FLAG,
        optional=True,
        help=help_,
        worker=worker,
        default=default,
        deprecated=deprecated,
    )


def choice_row(
    name: str, choices: str, help_: str, *, worker: str, default: str = "", alias_of: str = ""
) -> Keyword:
    return Keyword(
        name=name,
        type=Type.CHOICE,
        choices=tuple(choices.split()),
        help=help_,
        worker=worker,
        default=default,
        alias_of=alias_of,
    )


def plain_row(
    name: str,
    type_: Type,
    help_: str,
    *,
    worker: str,
    default: str = "",
    optional: bool = False,
    repeatable: bool = False,
    stops_when_bare: bool = True,
    alias_of: str = "",
) -> Keyword:
    return Keyword(
        name=name,
        type=type_,
        help=help_,
        worker=worker,
        default=default,
        optional=optional,
        repeatable=repeatable,
        stops_when_bare=stops_when_bare,
        alias_of=alias_of,
    )


def field_of(name: str, unit: str) -> str:
    """Name of the model's field for a keyword: lower case, _ for -, its unit behind it."""
    base = name.replace("-", "_").lower()
    return f"{base}_{unit}" if unit in ("s", "us", "bytes") else base


def _linked(row: Keyword, model: type[Any] | None) -> Keyword:
    """The row with its field of the model, where one is named after it."""
    if model is None or row.field:
        return row
    fields = {f.name for f in dataclasses.fields(model)}
    for name in (field_of(row.key, row.unit), field_of(row.key, "")):
        if name in fields:
            return dataclasses.replace(row, field=name)
    return row


def in_effect(row: Keyword) -> Keyword:
    """The row of a keyword that its worker acts on."""
    return dataclasses.replace(row, effect=Effect.ACTIVE, reason="")


def block_of(
    path: str,
    rows: tuple[Keyword, ...] = (),
    *,
    model: type[Any] | None = None,
    entries: bool = False,
    entry: Form | None = None,
    head: Form | None = None,
    secret: bool = False,
) -> Block:
    """The block at a path, its rows linked to the fields of its model."""
    return Block(
        name=path.rpartition(".")[2] or "the top level",
        path=path,
        keywords={row.name: _linked(row, model) for row in rows},
        model=model,
        entries=entries or entry is not None,
        entry=entry,
        head=head,
        secret=secret,
    )


def rows_of(block: Block) -> Iterator[tuple[str, Keyword]]:
    """Every row of a block and of the blocks inside it, with the path of its block, in table order."""
    for keyword in block.keywords.values():
        yield block.path, keyword
        if keyword.block is not None:
            yield from rows_of(keyword.block)


def opens(name: str, block: Block, help_: str, *, worker: str, stops_when_bare: bool = True) -> Keyword:
    return Keyword(
        name=name,
        type=Type.BLOCK,
        block=block,
        repeatable=True,
        optional=True,
        help=help_,
        worker=worker,
        stops_when_bare=stops_when_bare,
    )
