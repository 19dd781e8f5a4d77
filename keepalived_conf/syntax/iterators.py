"""``~SEQ`` and ``~LST``: what stands in their parentheses -> names and rows of values."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_VALUES = 65_536
"""Of one iterator."""

Rows = tuple[tuple[str, ...], Iterator[tuple[str, ...]]]

_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9A-Fa-f]+|[0-9]+)|")
_ENDS_NAME = re.compile(r"[ \t,]")
_LONG_MAX = 2**63 - 1


def sequence_rows(word: str, text: str) -> Rows | str:
    """``VAR, [START, [STEP,]] END`` of ``~SEQ`` or ``~SEQx`` -> (names, rows), or what is wrong.

    A number that is left out is 0. VAR may be anything without blanks; only names can be referred to.
    """
    name, *rest = [part.strip(" \t") for part in text.split(",")]
    if not name or name.startswith("{") or _ENDS_NAME.search(name):
        return "the variable's name is missing"
    if not 1 <= len(rest) <= 3 or not all(_NUMBER.fullmatch(part) for part in rest):
        return "one to three whole numbers are needed after the name"
    try:
        numbers = [_base_zero(part) for part in rest]
    except ValueError:
        return "a number is not valid"
    end = numbers[-1]
    if len(numbers) == 1:
        start, step = (1 if end >= 0 else -1), (1 if end >= 1 else -1)
    else:
        start, step = numbers[0], (1 if end >= numbers[0] else -1)
    if len(numbers) == 3:
        step = numbers[1]
    if step == 0 or (end > start and step < 0) or (end < start and step > 0):
        return "the step does not lead from start to end"
    if word == "SEQx" and (start < 0 or end < 0):
        return "hexadecimal numbers cannot be negative"
    if (end - start) // step >= MAX_VALUES:
        return f"more than {MAX_VALUES} values"
    form = "{:x}" if word == "SEQx" else "{:d}"
    return (name,), ((form.format(n),) for n in range(start, end + (1 if step > 0 else -1), step))


def _base_zero(text: str) -> int:
    """Number as C reads it in base 0: 0x is hexadecimal, a leading 0 octal; as large as a long can be."""
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-") or "0"
    if digits[:2] in ("0x", "0X"):
        number = int(digits, 16)
    else:
        number = int(digits[:64], 8 if digits.startswith("0") and len(digits) > 1 else 10)
    return sign * min(number, _LONG_MAX)


def list_rows(text: str) -> Rows | str:
    """``VAR, VALUE, ...`` or ``{VAR, ...}, {VALUE, ...}, ...`` of ``~LST`` -> (names, rows), or why not.

    Values that a row lacks are empty.
    """
    head, *rest = [part.strip(" \t") for part in _split_groups(text)]
    names = tuple(_members(head)) if head.startswith("{") else (head,)
    if any(_ENDS_NAME.search(name) for name in names) or not any(names):
        return "the variable's name is missing"
    rows = [_members(part) if part.startswith("{") else [part] for part in rest]
    if not rows:
        return "there is no value"
    if len(rows) > MAX_VALUES:
        return f"more than {MAX_VALUES} values"
    if any(len(row) > len(names) for row in rows):
        return "a list has more members than there are variables"
    if any(" " in value or "\t" in value for row in rows for value in row):
        return "a value has a blank in it"
    full = [tuple(row) + ("",) * (len(names) - len(row)) for row in rows]
    return names, iter(full)


def _split_groups(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
        elif char == "," and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts


def _members(group: str) -> list[str]:
    return [part.strip(" \t") for part in group.strip("{} \t").split(",")]
