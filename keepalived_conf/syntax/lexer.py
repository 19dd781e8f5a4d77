"""Bytes of one file -> physical lines -> words, braces and comments, each with its place.

Lexical rules of keepalived 2.4.3: a comment starts at an unquoted ``#`` or ``!``, also inside a word;
only ``"`` quotes; a quote in the middle of a word ends the word; an unquoted brace stands alone.
Where this lexer is kinder (byte order mark, very long lines), docs/differences.md says so.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.model import Place
from keepalived_conf.model.base import Origin, place_of

KEEPALIVED_LINE_BYTES = 1022
"""Longest line that keepalived takes (its buffer holds a line end and a NUL too); of a longer one it reads
only the remainder."""
MAX_LINE_CHARS = 65536

ESCAPED_HASH = "\ufdd0"
ESCAPED_BANG = "\ufdd1"
"""Stand for an unquoted ``\\#`` and ``\\!`` until the parser knows the block: keepalived's parent reads
them as plain characters and its children, which parse a copy, as the start of a comment. Both are
Unicode noncharacters: they cannot occur in honest text, and are removed from the input."""

BLANKS = " \t\r\f\v"
_BOM = "\ufeff"
_SPECIAL = re.compile(r'["#!\\\0\ufdd0\ufdd1]')
_MARK = re.compile(r'["#!\\]')
_ESCAPED = re.compile(r"\\.")
_SHORT_CHARS = KEEPALIVED_LINE_BYTES // 4
"""However many bytes a character has, such a line is not too long."""
_TOKEN = re.compile(r'"(?P<quoted>[^"]*)(?P<end>"?)|(?P<brace>[{}])|[^ \t\r\f\v"{}]+')


class Line(NamedTuple):
    """One physical line without its comment, or a line made from it by the preprocessor."""

    file: str
    number: int
    """From 1."""
    text: str
    """Code: the part before a comment, unstripped."""
    comment: str | None = None
    """Comment with its ``#`` or ``!``; None: no comment."""
    comment_column: int = 0
    columns: tuple[int, ...] | None = None
    """Column (from 1) of each character of ``text``; None: the character's index plus 1."""
    extension: bool = False
    """Came from an ``@pykeepalived`` line: keywords of our own are allowed."""
    via: Origin | None = None
    """How the line came here from another file or another line; None: it stands where it counts."""
    values: dict[int, Place] | None = None
    """Column of a parameter -> where the text that took its place is defined."""

    def column(self, index: int) -> int:
        if self.columns is None:
            return index + 1
        if index < len(self.columns):
            return self.columns[index]
        return self.columns[-1] + 1 if self.columns else 1

    def place(self, index: int = 0) -> Place:
        return place_at(self.file, self.number, self.column(index), self.via, self.values)


def place_at(file: str, line: int, column: int, via: Origin | None, values: dict[int, Place] | None) -> Place:
    """A place in a line: what a parameter put there is defined elsewhere."""
    if values is not None and (defined := values.get(column)) is not None:
        via = Origin("defined at", place_of(defined.file, defined.line, defined.column, via))
    return place_of(file, line, column, via)


class Token(NamedTuple):
    """A word, or ``{`` or ``}`` when ``brace`` is set."""

    text: str
    start: int
    """Position in the text of the line."""
    end: int
    quoted: bool = False
    brace: bool = False
    unclosed: bool = False
    """Quoted up to the end of the line."""


def read_lines(data: bytes, file: str, diagnostics: Diagnostics) -> tuple[list[Line], list[str]]:
    """Bytes of a file -> (lines without comments, physical lines as written for excerpts).

    Undecodable bytes become lone surrogates (``surrogateescape``): harmless in a comment, reported by
    the parser in a value. A line with a NUL byte is dropped with an error, as keepalived does.
    """
    text = data.decode("utf-8", "surrogateescape")
    if text.startswith(_BOM):
        text = text[1:]
        diagnostics.warning(
            Place(file=file, line=1, column=1),
            "byte-order-mark",
            "the file starts with a UTF-8 byte order mark; keepalived takes it as part of the first keyword",
            hint="save the file without a byte order mark",
            keepalived=KeepalivedClass.UNKNOWN_KEYWORD,
        )
    raw_lines = [raw.removesuffix("\r") for raw in text.split("\n")]
    if raw_lines and raw_lines[-1] == "":
        raw_lines.pop()
    lines: list[Line] = []
    add = lines.append
    special = _SPECIAL.search
    for number, raw in enumerate(raw_lines, 1):
        if special(raw) is None and len(raw) <= _SHORT_CHARS:
            add(Line(file, number, raw))
        else:
            add(_unusual(raw, file, number, diagnostics))
    return lines, raw_lines


def _unusual(raw: str, file: str, number: int, diagnostics: Diagnostics) -> Line:
    """A line that is long or holds something else than words and braces."""
    if "\0" in raw:
        diagnostics.error(
            Place(file=file, line=number, column=raw.index("\0") + 1),
            "nul-byte",
            "the line contains a NUL byte and is ignored",
            hint="remove the NUL byte",
        )
        return Line(file, number, "")
    if len(raw) > _SHORT_CHARS and raw.strip(BLANKS):
        if len(raw) > MAX_LINE_CHARS:
            diagnostics.error(
                Place(file=file, line=number, column=MAX_LINE_CHARS + 1),
                "line-too-long",
                f"the line has more than {MAX_LINE_CHARS} characters and is ignored",
                hint="split it",
            )
            return Line(file, number, "")
        if len(raw.encode("utf-8", "surrogateescape")) > KEEPALIVED_LINE_BYTES:
            diagnostics.warning(
                Place(file=file, line=number, column=KEEPALIVED_LINE_BYTES + 1),
                "line-too-long",
                f"the line is longer than {KEEPALIVED_LINE_BYTES} bytes; keepalived would lose its beginning",
                hint="split it",
                keepalived=KeepalivedClass.GENERAL_ERROR,
            )
    if ESCAPED_HASH in raw or ESCAPED_BANG in raw:
        raw = raw.replace(ESCAPED_HASH, "\ufffd").replace(ESCAPED_BANG, "\ufffd")
    return decomment(raw, file, number)


def decomment(raw: str, file: str, number: int) -> Line:
    """Split a physical line into code and comment.

    A backslash takes the next character with it, also a quote, also inside quotes. At the end of the line
    it belongs to the last word, blanks before it or not.
    """
    match = _MARK.search(raw)
    if match is None:
        return Line(file, number, raw)
    out: list[str] = []
    columns: list[int] = []
    escaped = quoted = False
    start = 0
    while match is not None:
        at = match.start()
        char = raw[at]
        after = at + 1
        if char == '"':
            quoted = not quoted
        elif char == "\\" and after == len(raw):
            return _continued(file, number, raw, out, columns, start)
        elif char == "\\":
            after = at + 2
            if not quoted and raw[at + 1 : at + 2] in ("#", "!"):
                out.append(raw[start:at] + (ESCAPED_HASH if raw[at + 1] == "#" else ESCAPED_BANG))
                columns.extend(range(start + 1, at + 2))
                escaped = True
                start = after
        elif not quoted:
            return _line(file, number, raw, out, columns, start, at, escaped=escaped, comment_at=at)
        match = _MARK.search(raw, after)
    return _line(file, number, raw, out, columns, start, len(raw), escaped=escaped, comment_at=None)


def _continued(file: str, number: int, raw: str, out: list[str], columns: list[int], start: int) -> Line:
    """A line with a backslash as its last character."""
    end = max(start, len(raw[:-1].rstrip(" \t")))
    if not out and end in (0, len(raw) - 1):
        return Line(file, number, raw)
    text = "".join(out) + raw[start:end] + "\\"
    return Line(file, number, text, columns=(*columns, *range(start + 1, end + 1), len(raw)))


def _line(
    file: str,
    number: int,
    raw: str,
    out: list[str],
    columns: list[int],
    start: int,
    end: int,
    *,
    escaped: bool,
    comment_at: int | None,
) -> Line:
    comment = None if comment_at is None else raw[comment_at:]
    column = 0 if comment_at is None else comment_at + 1
    if not escaped:
        return Line(file, number, raw[:end], comment, column)
    out.append(raw[start:end])
    columns.extend(range(start + 1, end + 1))
    return Line(file, number, "".join(out), comment, column, tuple(columns))


def split(line: Line) -> list[Token]:
    """Words and braces of one line."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(line.text):
        quoted = match["quoted"]
        if quoted is not None:
            unclosed = not match["end"]
            tokens.append(Token(quoted, match.start(), match.end(), quoted=True, unclosed=unclosed))
        else:
            tokens.append(Token(match[0], match.start(), match.end(), brace=match["brace"] is not None))
    return tokens


def quotes_balance(text: str) -> bool:
    """Whether every quote is closed when a backslash takes the next character with it."""
    return _ESCAPED.sub("", text).count('"') % 2 == 0


_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(
    r"\\(?:(?P<oct>[0-7]{1,3})|x(?P<hex>[0-9A-Fa-f]{1,2})|c(?P<ctl>.)|(?P<one>.))", re.DOTALL
)


def unescape(text: str) -> str:
    """Resolve the escapes that script and regex arguments know (not ordinary words)."""

    def one(match: re.Match[str]) -> str:
        if (digits := match["oct"]) is not None:
            return chr(int(digits, 8) & 0xFF)
        if (digits := match["hex"]) is not None:
            return chr(int(digits, 16))
        if (control := match["ctl"]) is not None:
            return chr(ord(control) & 0x1F)
        return _SIMPLE_ESCAPES.get(match["one"], match["one"])

    return _ESCAPE.sub(one, text)


def split_escaped(raw: str) -> list[str] | None:
    """Words of a script or regex argument: ``"`` and ``'`` quote, escapes work outside single meaning,
    touching parts form one word. None: a quote is not closed."""
    words: list[str] = []
    at, size = 0, len(raw)
    while True:
        while at < size and raw[at] in " \t\r":
            at += 1
        if at >= size:
            return words
        parts: list[str] = []
        while at < size and raw[at] not in " \t\r":
            if raw[at] in "\"'":
                end = _closing(raw, at + 1, raw[at])
                if end < 0:
                    return None
                parts.append(unescape(raw[at + 1 : end]))
                at = end + 1
                continue
            end = at
            while end < size and raw[end] not in " \t\r\"'":
                end += 2 if raw[end] == "\\" else 1
            parts.append(unescape(raw[at:end]))
            at = end
        words.append("".join(parts))


def _closing(raw: str, at: int, quote: str) -> int:
    while at < len(raw):
        if raw[at] == quote:
            return at
        at += 2 if raw[at] == "\\" else 1
    return -1
