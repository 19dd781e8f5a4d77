"""The number in a tracked file. Pure.

What counts is a whole number at the very beginning, as strtol(3) reads it in base 0, in the first 127 octets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

READ_BYTES = 127
"""More of a file is never looked at."""

LOWEST, HIGHEST = -(2**31), 2**31
"""keepalived takes 2**31 itself, too."""

_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a file gave."""

    value: int | None
    """None: this says nothing, the value before it stays."""
    text: str
    """For people."""
    problem: bool = False
    """Probably not what its owner wants: worth a warning."""


def leading_number(data: bytes) -> int | None:
    """The whole number that ``data`` begins with, behind white space; None when there is none.

    ``0x`` begins a hexadecimal number, another leading ``0`` an octal one.
    """
    found = _NUMBER.match(data)
    if found is None:
        return None
    sign, hexadecimal, octal, decimal = found.groups()
    if hexadecimal is not None:
        number = int(hexadecimal, 16)
    elif octal is not None:
        number = int(octal, 8)
    else:
        number = int(decimal)
    return -number if sign == b"-" else number


def reading(data: bytes) -> Reading:
    """What the content of a file says; no number counts as 0."""
    number = leading_number(data[:READ_BYTES])
    if number is None:
        return Reading(0, "no number in it" if data.strip() else "empty", bool(data.strip()))
    if not LOWEST <= number <= HIGHEST:
        shown = str(number) if abs(number) < 10**20 else "a number of more than 20 digits"
        return Reading(None, f"{shown} is outside 32 bits and ignored", True)
    return Reading(number, str(number))
