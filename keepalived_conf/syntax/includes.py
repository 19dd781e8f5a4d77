"""What an include line asks for: files, and which failures to find them count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keepalived_conf.syntax.lexer import Line

FAILURES_THAT_COUNT = {
    "include": "",
    "includer": "R",
    "includem": "RM",
    "includew": "RMW",
    "includeb": "RB",
    "includea": "RMWB",
}
"""Include word -> classes of failure that refuse the configuration (R unreadable, M nothing matched,
W wildcard matched nothing, B brace alternative missing)."""

_CHECK_WORDS = {"read": "R", "match": "M", "wildcard_match": "W", "brace_match": "B"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Included:
    """One file that an include matched."""

    file: str
    """Name shown in places."""
    identity: str
    """Real path: equal for equal files, whatever the name."""
    folder: str
    """Where its own relative includes start."""
    lines: list[Line]


@dataclass(frozen=True, kw_only=True, slots=True)
class IncludeResult:
    files: tuple[Included, ...]
    failures: tuple[tuple[str, str], ...] = ()
    """(class R, M, W or B; explanation)."""


class IncludeReader(Protocol):
    def __call__(self, pattern: str, folder: str) -> IncludeResult: ...


def checked_after(checked: str, words: list[str]) -> str:
    """``include_check [[+|-]CLASS...]``: classes that count for every include line from there on.

    Bare: all of them. A word without sign, which may be the first one only, replaces what was set.
    """
    if not words:
        return "RMWB"
    for index, word in enumerate(words):
        sign = word[:1] if word[:1] in ("+", "-") else ""
        if not sign:
            if index:
                continue
            checked = ""
        letter = _CHECK_WORDS.get(word.removeprefix(sign) if sign else word, "")
        if sign == "-" and letter:
            checked = checked.replace(letter, "")
        elif letter:
            checked += letter if sign else "R" + letter
    return checked
