"""What the grammar tables are made of: argument types, keyword rows, blocks, and short row makers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from keepalived_conf.known import KNOWN_KEYWORDS

UINT32_MAX = 4294967295
INT32_MAX = 2147483647
GARP_DELAY_MAX_S = 4294
TIMER_MAX_S = 4294.967295


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
    """One or more words with rules of their own."""
    BLOCK = "block"
    INERT = "inert"
    """Known to keepalived, without effect here yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyword:
    name: str
    type: Type = Type.INERT
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
    stops_when_bare: bool = True
    """keepalived ends with status 2 when the argument is missing; otherwise it reports and goes on."""
    worker: str = ""
    """Who acts on it: vrrp, checker, ipvs, supervisor; joined by +."""
    alias_of: str = ""
    deprecated: str = ""
    """Why or what instead; empty: not deprecated."""
    help: str = ""
    block: Block | None = None

    @property
    def takes(self) -> str:
        """What may stand behind the keyword, in words, for hints and documentation."""
        if self.type is Type.INTEGER:
            return "a whole number" + self._range()
        if self.type is Type.DECIMAL:
            return f"a number of seconds with up to {self.decimals} decimals" + self._range()
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
    entries: bool = False
    """A value block: its lines are data, not keywords."""
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


def block_of(
    path: str, rows: tuple[Keyword, ...] = (), *, entries: bool = False, secret: bool = False
) -> Block:
    """The block at a path: every known keyword, with the rows that have an effect in place of inert ones."""
    effective = {row.name: row for row in rows}
    keywords: dict[str, Keyword] = {}
    for word in KNOWN_KEYWORDS.get(path, "").split():
        name = word.rstrip("{[")
        row = effective.pop(name, None)
        if row is None:
            inner = (
                block_of(
                    f"{path}.{name}" if path else name,
                    entries=word.endswith("["),
                    secret=name in ("auth_hmac", "SSL"),
                )
                if name != word
                else None
            )
            row = Keyword(name=name, block=inner, repeatable=inner is not None, optional=True)
        keywords[name] = row
    if effective:
        raise ValueError(f"not in the list of known keywords of {path!r}: {', '.join(effective)}")
    return Block(
        name=path.rpartition(".")[2] or "the top level", keywords=keywords, entries=entries, secret=secret
    )


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
