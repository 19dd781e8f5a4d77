"""What every part of the model is made of: places in the text, addresses, shared names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Literal, NamedTuple

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
Family = Literal[4, 6]
LvsMethod = Literal["NAT", "DR", "TUN"]
Protocol = Literal["TCP", "UDP", "SCTP"]

VRRP_GROUP4 = IPv4Address("224.0.0.18")
VRRP_GROUP6 = IPv6Address("ff02::12")
"""Multicast groups of VRRP (RFC 9568 section 5.1)."""


class Origin(NamedTuple):
    """Why text of one place counts at another: the way from an included file or a parameter to its use."""

    how: str
    """``included from``, ``used at`` (a parameter of several lines), ``defined at`` (one of one line)."""
    place: Place
    """Further steps hang on it: ``place.via``."""


class _Traced:
    """Not a field: it is no part of what a place is, is not compared and does not travel in slices."""

    __slots__ = ("via",)
    via: Origin | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place(_Traced):
    """Where a value was written: file as the user named it, line and column from 1.

    ``via``, set by ``place_of`` only: how the text came from there to where it counts.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


_new = object.__new__
_set_file, _set_line, _set_column, _set_via = (
    Place.__dict__["file"].__set__,
    Place.__dict__["line"].__set__,
    Place.__dict__["column"].__set__,
    _Traced.__dict__["via"].__set__,
)


def place_of(file: str, line: int, column: int, via: Origin | None = None) -> Place:
    """A place that knows how its text came to where it counts.

    In less than half the time that ``Place()`` takes: a large file has a million of them.
    """
    place = _new(Place)
    _set_file(place, file)
    _set_line(place, line)
    _set_column(place, column)
    if via is not None:
        _set_via(place, via)
    return place


def origins(place: Place | None) -> Iterator[Origin]:
    """Steps from where the text stands to the main file, nearest first."""
    while place is not None and (via := getattr(place, "via", None)) is not None:
        yield via
        place = via.place


Places = dict[str, Place]
"""keyword -> Place; the key ``""`` is the block itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """A program to run: its words as the shell-less split gives them, and who runs it."""

    command: tuple[str, ...]
    """Program and arguments, never empty; the program as written (a path, or a name looked up in PATH)."""
    user: str | None = None
    """None: script_user."""
    group: str | None = None
    """None: the user's first group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fifo:
    """A named pipe that notifications are written to."""

    path: str
    user: str | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """``N [reverse|noreverse]``: what a tracker adds to the priority."""

    value: int
    reverse: bool = False
