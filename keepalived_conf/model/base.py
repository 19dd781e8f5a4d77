"""What every part of the model is made of: places in the text, addresses, shared names."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Literal

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
Family = Literal[4, 6]
LvsMethod = Literal["NAT", "DR", "TUN"]
Protocol = Literal["TCP", "UDP", "SCTP"]

VRRP_GROUP4 = IPv4Address("224.0.0.18")
VRRP_GROUP6 = IPv6Address("ff02::12")
"""Multicast groups of VRRP (RFC 9568 section 5.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a value was written: file as the user named it, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


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
