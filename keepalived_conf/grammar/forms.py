"""Arguments with a shape of their own: how their words become a value, and the value words again.

A ``Form`` belongs to a row of type FORM, to the lines of a value block, or to the words between a
block's keyword and its brace. It reads words, writes words, and says in JSON Schema what it is. It
raises ``BadWordError`` for a word that cannot be used, and calls ``args.note`` for what is tolerated.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, Protocol

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.syntax.iproute import Names
from keepalived_conf.syntax.words import Word

BUILT_IN_NAMES = Names()


class BadWordError(Exception):
    """A word that makes the line unusable. ``index`` counts all words of the line, the keyword too."""

    def __init__(
        self,
        index: int,
        message: str,
        *,
        hint: str = "",
        code: str = "invalid-value",
        keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
        fatal: bool = False,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.message = message
        """Completes "KEYWORD: ..."; what is wrong with which word (never the word of a secret)."""
        self.hint = hint
        self.code = code
        self.keepalived = keepalived
        self.fatal = fatal


class MissingWordError(BadWordError):
    """A word is missing where keepalived stops with status 2."""

    def __init__(self, index: int, message: str = "the argument is missing", *, hint: str = "") -> None:
        super().__init__(
            index,
            message,
            hint=hint,
            code="missing-word",
            keepalived=KeepalivedClass.MISSING_PARAMETER,
            fatal=True,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """Something said about a line that is used all the same."""

    index: int
    severity: Severity
    code: str
    message: str
    hint: str
    keepalived: KeepalivedClass


@dataclasses.dataclass(slots=True)
class Args:
    """The words of one line, for a form to read."""

    words: tuple[Word, ...]
    first: int
    """Index of the first argument: 1 behind a keyword, 0 in a line of a value block."""
    raw: str
    """Source text of all words, for forms with quoting rules of their own."""
    remarks: list[Remark] = dataclasses.field(default_factory=list)
    used: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    """Sub-keywords met (index, name), such as ``dev`` in an address: they count as keywords."""
    names: Names = BUILT_IN_NAMES
    """What names of routing tables, scopes and the like stand for."""

    def text(self, index: int) -> str:
        """The word at ``index``; ``MissingWordError`` if there is none."""
        if index >= len(self.words):
            raise MissingWordError(len(self.words))
        return self.words[index].text

    def note(
        self,
        index: int,
        code: str,
        message: str,
        *,
        hint: str = "",
        severity: Severity = Severity.WARNING,
        keepalived: KeepalivedClass = KeepalivedClass.OK,
    ) -> None:
        self.remarks.append(
            Remark(
                index=index,
                severity=severity,
                code=code,
                message=message,
                hint=hint,
                keepalived=keepalived,
            )
        )

    def use(self, index: int, name: str) -> None:
        """Count a sub-keyword as used (the row of that name in the table of the entry)."""
        self.used.append((index, name))


class Form(Protocol):
    """Reads and writes arguments of one shape."""

    @property
    def takes(self) -> str:
        """What may stand there, in words, as it is written in a file: ``USER [GROUP]``."""

    def read(self, args: Args) -> Any:
        """Words -> frozen value. Raises BadWordError."""

    def write(self, value: Any) -> list[str]:
        """Value -> words; reading them again gives an equal value. The caller quotes where needed."""

    def json(self, value: Any) -> Any:
        """Value -> what JSON can hold."""

    def schema(self) -> dict[str, Any]:
        """JSON Schema of what ``json`` gives."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A form made of two functions; its JSON is the text as it stands in a file."""

    takes: str
    reads: Callable[[Args], Any]
    writes: Callable[[Any], list[str]]

    def read(self, args: Args) -> Any:
        return self.reads(args)

    def write(self, value: Any) -> list[str]:
        return self.writes(value)

    def json(self, value: Any) -> Any:
        return " ".join(quoted(word) for word in self.writes(value))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": self.takes}


_SPECIAL = re.compile(r'[ \t{}#!"]')


def quoted(word: str) -> str:
    """The word as it must stand in a file: in quotes where it would not be one word otherwise."""
    # At the start of a line @, $ and ~ have a meaning of their own.
    special = not word or _SPECIAL.search(word) is not None or word[0] in "@$~"
    return f'"{word}"' if special else word
