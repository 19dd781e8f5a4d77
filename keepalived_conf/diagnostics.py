"""What is said about a configuration: one record per complaint, and how it is shown.

A diagnostic names what is wrong, where, and how to mend it. It never holds a secret: messages about
secret keywords leave the value out, and ``render`` hides the values on source lines that mention one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from keepalived_conf.model import Place
from keepalived_conf.model.base import Origin, origins

MAX_DIAGNOSTICS = 1000
"""A broken megabyte must not become a million records; what is left out is counted."""

MAX_FATAL_BEHIND = 100
"""Fatal ones that are kept beyond that."""
MAX_STEPS = 8
"""Steps of ``trace`` that are shown."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class KeepalivedClass(IntEnum):
    """keepalived's classes of configuration errors, in its rising order (2.4.3).

    The highest class seen decides the status of a configuration test.
    """

    OK = 0
    FILE_NOT_FOUND = 1
    BAD_IF = 2
    FATAL = 3
    MULTIPLE_FILES = 4
    UNKNOWN_KEYWORD = 5
    UNEXPECTED_BOB = 6
    MISSING_BOB = 7
    UNEXPECTED_EOB = 8
    MISSING_EOB = 9
    UNMATCHED_QUOTE = 10
    MISSING_PARAMETER = 11
    INVALID_NUMBER = 12
    GENERAL_ERROR = 13
    WARNING = 14
    DEPRECATED = 15
    SECURITY_ERROR = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnostic:
    place: Place | None
    """None: about the configuration as a whole."""
    severity: Severity
    code: str
    """Stable id, lower case with hyphens, e.g. ``unknown-keyword``."""
    message: str
    hint: str = ""
    """How to mend it; empty where the message says it all."""
    keepalived: KeepalivedClass = KeepalivedClass.OK
    """Class keepalived gives it; OK where keepalived says nothing or only logs."""
    fatal: bool = False
    """The configuration must not be started with or reloaded to."""
    width: int = 1
    """Characters the caret underlines."""
    secret: bool = False
    """The source line may hold a secret and is not shown."""
    implied: bool = False
    """Follows from another one (a line inside a block that is ignored as a whole): for programs that want
    every line keepalived complains of; people are shown the cause only."""

    @property
    def trace(self) -> tuple[Origin, ...]:
        """How the text came from ``place`` to where it counts, nearest step first: ``used at`` the line
        that refers to a parameter of several lines, ``defined at`` the value of one of a single line
        (``place`` is the reference), ``included from`` the include line of its file."""
        return tuple(origins(self.place))

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.severity}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class Diagnostics:
    """Collects diagnostics in the order they are found; bounded, and counts what it leaves out."""

    def __init__(self) -> None:
        self.items: list[Diagnostic] = []
        self.left_out = 0
        self.count = 0
        """Of all that were added, kept or not."""
        self.highest = KeepalivedClass.OK
        self.fatal = False
        self._fatal_behind = 0
        self._once: set[tuple[str, str]] = set()

    def add(self, item: Diagnostic) -> None:
        self.count += 1
        self.highest = max(self.highest, item.keepalived)
        self.fatal = self.fatal or item.fatal
        # A fatal one is always kept: it is the reason the operator is looking for.
        if len(self.items) < MAX_DIAGNOSTICS or (item.fatal and self._fatal_behind < MAX_FATAL_BEHIND):
            self._fatal_behind += len(self.items) >= MAX_DIAGNOSTICS
            self.items.append(item)
        else:
            self.left_out += 1

    def error(
        self,
        place: Place | None,
        code: str,
        message: str,
        *,
        hint: str = "",
        width: int = 1,
        keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
        fatal: bool = False,
        secret: bool = False,
    ) -> None:
        self.add(
            Diagnostic(
                place=place,
                severity=Severity.ERROR,
                code=code,
                message=message,
                hint=hint,
                keepalived=keepalived,
                fatal=fatal,
                width=width,
                secret=secret,
            )
        )

    def warning(
        self,
        place: Place | None,
        code: str,
        message: str,
        *,
        hint: str = "",
        width: int = 1,
        keepalived: KeepalivedClass = KeepalivedClass.OK,
    ) -> None:
        self.add(
            Diagnostic(
                place=place,
                severity=Severity.WARNING,
                code=code,
                message=message,
                hint=hint,
                keepalived=keepalived,
                width=width,
            )
        )

    def note(self, place: Place | None, code: str, message: str, *, hint: str = "", width: int = 1) -> None:
        self.add(
            Diagnostic(
                place=place, severity=Severity.NOTE, code=code, message=message, hint=hint, width=width
            )
        )

    def implied(self, place: Place, code: str, message: str, *, keepalived: KeepalivedClass) -> None:
        """A complaint of keepalived that another diagnostic explains already. The first to be left out."""
        if len(self.items) < MAX_DIAGNOSTICS // 2:
            self.add(
                Diagnostic(
                    place=place,
                    severity=Severity.ERROR,
                    code=code,
                    message=message,
                    keepalived=keepalived,
                    secret=True,
                    implied=True,
                )
            )

    def first_time(self, code: str, subject: str) -> bool:
        """True only at the first call for this pair: for things worth saying once."""
        key = (code, subject)
        if key in self._once:
            return False
        self._once.add(key)
        return True


_SECRET = re.compile(r"(?:pas|secret|key)[^\s{}\"=]*[\s=]*(?=\S)", re.IGNORECASE)
"""A word that announces a secret: auth_pass, password, key, active_key, and misspelt ones alike."""

_BLANKED = "********"


def hide_secrets(line: str) -> str:
    """The line with everything behind the first word that announces a secret hidden."""
    match = _SECRET.search(line)
    return line if match is None else line[: match.end()] + _BLANKED


def printable(text: str) -> str:
    """Text safe for a terminal and a log: control characters and undecodable bytes as escapes."""
    return "".join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    if code < 0x100 or 0xDC80 <= code <= 0xDCFF:  # the latter: a byte kept by surrogateescape
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}"


SourceOf = Callable[[str], list[str] | None]
"""File as named in a Place -> its physical lines, or None when they are not at hand."""


def render(item: Diagnostic, source_of: SourceOf | None = None) -> str:
    """The diagnostic as lines of text: message, source line, caret, hint. No trailing newline."""
    where = f"{item.place}: " if item.place else ""
    lines = [printable(f"{where}{item.severity}: {item.message}")]
    lines.extend(_excerpt(item, source_of))
    lines.extend(printable(f"    {step.how} {step.place}") for step in item.trace[:MAX_STEPS])
    if item.hint:
        lines.append(printable(f"    hint: {item.hint}"))
    return "\n".join(lines)


def _excerpt(item: Diagnostic, source_of: SourceOf | None) -> Iterator[str]:
    if item.place is None or source_of is None or item.secret:
        return
    source = source_of(item.place.file)
    if source is None or not 1 <= item.place.line <= len(source):
        return
    raw = source[item.place.line - 1].rstrip("\r\n")
    shown = hide_secrets(raw)
    column = item.place.column - 1
    width = max(1, item.width)
    if shown != raw and shown[: column + width] != raw[: column + width]:
        # The caret stands inside what is hidden: point at where the hiding starts.
        column = min(column, shown.find(_BLANKED))
        width = len(_BLANKED)
    # Tabs are kept in the margin so that the caret stands below its word whatever the tab width.
    start = max(0, column - 70)
    shown = shown[start : start + 140]
    margin = "".join("\t" if c == "\t" else " " for c in shown[: column - start])
    yield "    " + printable(shown.replace("\t", "\ue000")).replace("\\ue000", "\t")
    yield "    " + margin + "^" + "~" * (min(width, max(1, len(shown) - len(margin))) - 1)


def render_all(items: Diagnostics, source_of: SourceOf | None = None) -> str:
    """Every diagnostic, one below the other; says how many were left out."""
    blocks = [render(item, source_of) for item in items.items if not item.implied]
    if items.left_out:
        blocks.append(f"... and {items.left_out} more")
    return "\n".join(blocks)
