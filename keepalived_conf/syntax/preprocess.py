"""The stage between lines and words: conditions, parameters, iterators, include.

Works on one line at a time, in keepalived's order: condition, definition, iterator, substitution,
include; then what stands behind the first brace is a line again. What it does not recognise passes
through unchanged. It reads no file itself: included text comes from an ``IncludeReader``, the
environment and random numbers from callables.

Every loop a file can ask for is bounded: depth of includes, replacements per line, lines and characters
made in all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.model import Place
from keepalived_conf.model.base import Origin, place_of
from keepalived_conf.syntax.includes import (
    FAILURES_THAT_COUNT,
    Included,
    IncludeReader,
    checked_after,
)
from keepalived_conf.syntax.iterators import Rows, list_rows, sequence_rows
from keepalived_conf.syntax.lexer import ESCAPED_BANG, ESCAPED_HASH, Line

OWN_ID: Final = "pykeepalived"
"""Lines that begin with ``@pykeepalived`` are always read by us and dropped by keepalived."""

MAX_INCLUDE_DEPTH = 32
MAX_INCLUDES = 4096
MAX_EXPANSION_DEPTH = 64
MAX_REPLACEMENTS = 1000
MAX_EXPANDED_CHARS = 65536
MAX_MADE_LINES = 80_000
"""Lines that directives make, in all, beyond those of the files."""
MAX_MADE_BRACES = 80_000
"""Braces in lines that directives make, beyond two for each line of the files."""
MAX_LINES = 4_000_000
"""Lines of all files, each as often as it is included."""
MAX_WORK_CHARS = 32_000_000
"""Characters of all lines in which a parameter is replaced, once for each replacement."""

_BEHIND_BRACE = re.compile(r"[{}][ \t]*(?=[@~$]|include)")
_CONDITION = re.compile(r"@(\^?)([^ \t]*)[ \t]*")
_DEFINITION = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)=[ \t]*")
_REFERENCE = re.compile(
    r"\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<args>[ \t][A-Za-z0-9_ \t]*[A-Za-z0-9_])?\}"
    r"|\$(?P<bare>[A-Za-z_][A-Za-z0-9_]*)(?=[ \t,)]|$)"
)
_ITERATOR = re.compile(r"~(SEQx?|LST)[ \t]*\(")
_INCLUDE = re.compile(r"(include[rmwba]?)[ \t]+(.*)")
_INCLUDE_CHECK = re.compile(r"[ \t]*(?:global_defs[ \t]*\{[ \t]*)?include_check(?=[ \t}]|$)([^{}]*)")
_RANDOM_MAX: Final = 32767


@dataclass(kw_only=True, slots=True)
class Preprocessor:
    """Expands the lines of a configuration. One object per load: parameters live as long as it does."""

    diagnostics: Diagnostics
    config_id: str
    include: IncludeReader
    environ: Callable[[str], str]
    random: Callable[[int, int], int]
    checked: str = ""
    """Classes of failure that count for every include word: ``include_check``, option ``-e``."""
    parameters: dict[str, list[Line]] = field(default_factory=dict)
    _made: int = 0
    _braces: int = 0
    _read: int = 0
    _includes: int = 0
    _work: int = 0
    full: bool = False
    """A limit was met: what was read is not the whole."""

    def run(self, *mains: Included) -> Iterator[Line]:
        """Lines of the main file with everything expanded, in reading order."""
        for main in mains:
            yield from self._file(main, (main.identity,), None)

    def _too_much(self, line: Line, what: str) -> None:
        """Nothing more is expanded: said once, and fatal."""
        self.full = True
        if self.diagnostics.first_time("too-many-lines", ""):
            self.diagnostics.error(
                line.place(),
                "too-many-lines",
                f"the configuration expands to more than {what}",
                hint="what this line asks for multiplies; the rest is not read",
                fatal=True,
            )

    # --- one file ----------------------------------------------------------------------------

    def _file(self, source: Included, chain: tuple[str, ...], via: Origin | None) -> Iterator[Line]:
        lines = iter(source.lines) if via is None else (line._replace(via=via) for line in source.lines)
        self._read += len(source.lines)
        if self._read > MAX_LINES:
            self._too_much(Line(source.file, 1, "", via=via), f"{MAX_LINES} lines")
            return
        for line in lines:
            text = line.text
            # Nearly every line is words and braces only.
            if "$" in text or "@" in text or "~" in text or "include" in text:
                for made in self._line(line, lines, source, chain, 0):
                    # A line may hold any number of blocks: a short file must not become hours of work.
                    self._braces += made.text.count("{") + made.text.count("}")
                    if self._braces > MAX_MADE_BRACES + 2 * self._read:
                        self._too_much(line, f"{MAX_MADE_BRACES} braces")
                        break
                    yield made
                if self.full:
                    return
            else:
                yield line

    def _line(
        self, line: Line, following: Iterator[Line], source: Included, chain: tuple[str, ...], depth: int
    ) -> Iterator[Line]:
        """One line -> the lines it stands for. ``following`` feeds multi-line definitions."""
        self._made += 1
        if self._made > MAX_MADE_LINES + self._read:
            self._too_much(line, f"{MAX_MADE_LINES} lines")
        if self.full:
            return
        first = line.text.lstrip(" \t")[:1]
        if first == "@":
            kept = self._condition(line)
            if kept is None:
                return
            line = kept
            first = line.text.lstrip(" \t")[:1]
        if first == "$" and self._define(line, following, source):
            return
        if first == "~" and line.text.lstrip(" \t")[:4] in ("~SEQ", "~LST"):
            yield from self._iterate(line, following, source, chain, depth)
            return
        if first == "~":
            yield line
            return
        yield from self._expanded(line, following, source, chain, depth)

    def _expanded(
        self, line: Line, following: Iterator[Line], source: Included, chain: tuple[str, ...], depth: int
    ) -> Iterator[Line]:
        """A line without directive at its start. One that a parameter puts there is text."""
        if "$" in line.text:
            line, tail_at = self._substitute(line, source)
            if tail_at is not None:
                yield from self._multi_line(line, tail_at, source, chain, depth)
                return
        if "include" in line.text:
            match = _INCLUDE.match(line.text.strip(" \t\r"))
            if match:
                yield from self._include(line, match[1], match[2].strip(), source, chain)
                return
            check = _INCLUDE_CHECK.match(line.text)
            if check:
                self.checked = checked_after(self.checked, check[1].split())
        cut = self._behind_brace(line.text)
        if cut is not None and depth < MAX_EXPANSION_DEPTH:
            head = _cut(line, 0, cut)
            yield head._replace(comment=None)
            yield from self._line(_cut(line, cut, len(line.text)), following, source, chain, depth + 1)
            return
        yield line

    def _behind_brace(self, text: str) -> int | None:
        """Where something that may be a directive starts behind an unquoted brace."""
        at = 0
        while match := _BEHIND_BRACE.search(text, at):
            if text.count('"', 0, match.start()) % 2 == 0:
                return match.end()
            at = match.start() + 1
        return None

    # --- conditions and definitions --------------------------------------------------------------

    def _condition(self, line: Line) -> Line | None:
        indent = len(line.text) - len(line.text.lstrip(" \t"))
        match = _CONDITION.match(line.text, indent)
        assert match is not None
        holds = match[2] in (self.config_id, OWN_ID)
        if holds == bool(match[1]) or match.end() >= len(line.text):
            return None
        return _cut(line, match.end(), len(line.text))._replace(extension=match[2] == OWN_ID)

    def _define(self, line: Line, following: Iterator[Line], source: Included) -> bool:
        text = line.text.lstrip(" \t")
        match = _DEFINITION.match(text)
        if match is None:
            return False
        start = len(line.text) - len(text) + match.end()
        value = _cut(line, start, max(start, len(line.text.rstrip(" \t\r"))))
        if not value.text.endswith("\\"):
            self.parameters[match[1]] = [value]
            return True
        body: list[Line] = []
        while True:
            more = value.text.endswith("\\")
            if not more and not body:  # nothing stood on the lines before it
                indent = len(value.text) - len(value.text.lstrip(" \t"))
                self.parameters[match[1]] = [_cut(value, indent, len(value.text))]
                return True
            if more:
                value = _cut(value, 0, len(value.text) - 1)
            if value.text.strip(" \t"):
                body.append(value)
            if not more:
                break
            follower = next(following, None)
            if not body and follower is not None and _blank(follower):
                follower = self._behind_blank(match[1], follower, following)
            if follower is None or not follower.text.strip(" \t\r"):
                where = (
                    f"runs to the end of {source.file}" if follower is None else "ends at a line without text"
                )
                self.diagnostics.warning(
                    (follower or line).place(),
                    "unfinished-definition",
                    f"the definition of ${match[1]} {where}",
                    hint="the last line of a multi-line value must not end with a backslash"
                    + ("" if follower is None else "; take that line out of the value, a comment too"),
                )
                break
            value = _cut(follower, 0, len(follower.text.rstrip(" \t\r")))
        # A parameter of several lines that holds only one is still one that may end a line only.
        self.parameters[match[1]] = body if len(body) != 1 else [body[0], _cut(body[0], 0, 0)]
        return True

    def _behind_blank(self, name: str, blank: Line, following: Iterator[Line]) -> Line | None:
        """The first line of a value behind blanks or a comment. keepalived takes it only if it is the only
        one; of more lines it makes no value, which is said."""
        follower: Line | None = blank
        while follower is not None and _blank(follower):
            follower = next(following, None)
        if follower is not None and follower.text.rstrip(" \t\r").endswith("\\"):
            self.diagnostics.error(
                follower.place(),
                "unfinished-definition",
                f"to keepalived the value of ${name} ended at the line before this one",
                hint="take out the blank line or comment between the name and its value",
                keepalived=KeepalivedClass.UNKNOWN_KEYWORD,
            )
        return follower

    # --- substitution -----------------------------------------------------------------------------

    def _substitute(self, line: Line, source: Included) -> tuple[Line, int | None]:
        """The line with single-line parameters expanded, and where the reference to a multi-line
        parameter starts that ends it (None: there is none)."""
        text, columns = line.text, line.columns
        values = dict(line.values) if line.values else {}
        at = 0
        replaced = 0
        while match := _REFERENCE.search(text, at):
            value = self._value(match, line, source, quoted=text.count('"', 0, match.start()) % 2 == 1)
            name = match["braced"] or match["bare"]
            if value is None:
                body = self.parameters.get(name)
                if (
                    body is not None
                    and len(body) != 1
                    and not match["args"]
                    and not text[match.end() :].strip(" \t\r")
                ):
                    return _replaced(line, text, columns)._replace(values=values or None), match.start()
                at = match.end()
                continue
            replaced += 1
            self._work += len(text) + 100
            if replaced > MAX_REPLACEMENTS or len(text) + len(value) > MAX_EXPANDED_CHARS:
                self._endless(name, match[0], line.place(match.start() if text is line.text else 0))
                return _replaced(line, "", ()), None
            if self._work > MAX_WORK_CHARS:
                self._too_much(line, f"{MAX_WORK_CHARS} characters")
                return _replaced(line, "", ()), None
            columns = columns or tuple(range(1, len(text) + 1))
            column = columns[match.start()]
            if name in self.parameters:
                values[column] = self.parameters[name][0].place()
            columns = columns[: match.start()] + (column,) * len(value) + columns[match.end() :]
            text = text[: match.start()] + value + text[match.end() :]
            at = match.start()  # a value may hold further references
        if not replaced:
            return line, None
        made = _replaced(line, text, columns)._replace(values=values or None)
        return self._comment_again(made), None

    def _endless(self, name: str, reference: str, place: Place) -> None:
        if name in self.parameters:  # one complaint, and no second search without end
            self.parameters[name] = [self.parameters[name][0]._replace(text="", columns=())]
        self.diagnostics.error(
            place,
            "endless-parameter",
            f"parameter {reference} never stops expanding",
            fatal=True,
            hint="a parameter must not contain itself, directly or through others",
        )

    def _comment_again(self, line: Line) -> Line:
        """After a replacement keepalived looks for comments again, and no escape is left by then."""
        cut = min((at for at in map(line.text.find, (ESCAPED_HASH, ESCAPED_BANG)) if at >= 0), default=-1)
        if cut < 0:
            return line
        self.diagnostics.warning(
            line.place(cut),
            "escaped-comment",
            "keepalived takes this as the start of a comment, as parameters are replaced on this line",
            hint='write the word inside double quotes: "..."',
        )
        return _cut(line, 0, cut)

    def _value(self, match: re.Match[str], line: Line, source: Included, *, quoted: bool) -> str | None:
        """Text a reference stands for; None: not a single-line parameter."""
        name = match["braced"] or match["bare"]
        words = (match["args"] or "").split()
        body = self.parameters.get(name)
        if body is not None:
            takes_words = name in ("_RANDOM", "_ENV")
            return body[0].text if len(body) == 1 and (takes_words or not words) else None
        if name not in _BUILT_IN:
            return None
        if name == "_RANDOM":
            return self._random(words, line, match)
        if name == "_ENV":
            if len(words) != 1:
                self._bad_reference(line, match, "env-arguments", "${_ENV NAME} takes exactly one name")
                return "" if not words else None
            return self.environ(words[0])
        if words:
            return None
        return {
            "_PWD": source.folder,
            "_INSTANCE": self.config_id,
            "_HASH": "#" if quoted else ESCAPED_HASH,
            "_BANG": "!" if quoted else ESCAPED_BANG,
        }[name]

    def _random(self, words: list[str], line: Line, match: re.Match[str]) -> str | None:
        if len(words) > 2 or not all(word.isdecimal() and word.isascii() for word in words):
            self._bad_reference(
                line, match, "random-arguments", "${_RANDOM [MIN [MAX]]} takes up to two whole numbers"
            )
            return None
        low = int(words[0][:20]) if words else 0
        high = int(words[1][:20]) if len(words) > 1 else _RANDOM_MAX
        if high < low:
            self._bad_reference(
                line, match, "random-arguments", f"${{_RANDOM}}: MAX {high} is below MIN; {low} is taken"
            )
            return str(low)
        return str(self.random(low, high))

    def _bad_reference(self, line: Line, match: re.Match[str], code: str, message: str) -> None:
        at = min(match.start(), len(line.text))
        self.diagnostics.error(line.place(at), code, message, width=len(match[0]))

    def _multi_line(
        self, line: Line, tail_at: int, source: Included, chain: tuple[str, ...], depth: int
    ) -> Iterator[Line]:
        reference = _REFERENCE.match(line.text, tail_at)
        if reference is None or depth >= MAX_EXPANSION_DEPTH:
            self.diagnostics.error(
                line.place(),
                "endless-parameter",
                "parameters are nested without end",
                hint="a parameter must not contain itself, directly or through others",
                fatal=True,
            )
            self.full = True
            return
        used = Origin("used at", line.place(tail_at))
        body = [made._replace(via=used) for made in self.parameters[reference["braced"] or reference["bare"]]]
        if not body:
            return
        prefix = line.text[: reference.start()]
        if prefix.strip(" \t"):
            column = line.column(reference.start())
            columns = tuple(line.column(i) for i in range(len(prefix))) + (column,) * len(body[0].text)
            values = {**(line.values or {}), column: place_of(body[0].file, body[0].number, 1, None)}
            merged = _replaced(line, prefix + body[0].text, columns)._replace(values=values)
            body[0] = self._comment_again(merged)
        lines = iter(body)
        yield from self._expanded(next(lines), lines, source, chain, depth + 1)
        for made in lines:
            if made.text.strip(" \t"):
                yield from self._line(made, lines, source, chain, depth + 1)

    # --- iterators --------------------------------------------------------------------------------

    def _iterate(
        self, line: Line, following: Iterator[Line], source: Included, chain: tuple[str, ...], depth: int
    ) -> Iterator[Line]:
        indent = len(line.text) - len(line.text.lstrip(" \t"))
        match = _ITERATOR.match(line.text, indent)
        close = line.text.find(")", indent)
        if match is None or close < 0 or depth >= MAX_EXPANSION_DEPTH:
            self.diagnostics.error(
                line.place(indent),
                "bad-iterator",
                "the iterator has no ( ) behind its name; the line is ignored",
                hint="~SEQ(VAR, [START, [STEP,]] END) text, or ~LST(VAR, VALUE, ...) text",
                width=4,
            )
            return
        text = _cut(line, close + 1, len(line.text))
        if match[1] == "LST":
            rows = list_rows(line.text[match.end() : close])
        else:
            rows = self._sequence(match[1], _cut(line, match.end(), close), source)
        if isinstance(rows, str):
            self.diagnostics.error(
                line.place(indent),
                "bad-iterator",
                f"~{match[1]}: {rows}; the line is ignored",
                hint="~SEQ(VAR, [START, [STEP,]] END) text, or ~LST(VAR, VALUE, ...) text",
                width=close + 1 - indent,
            )
            return
        names, values = rows
        for row in values:
            for name, value in zip(names, row, strict=True):
                self.parameters[name] = [_replaced(line, value, (line.column(indent),) * len(value))]
            yield from self._line(text, following, source, chain, depth + 1)
            if self.full:
                return

    def _sequence(self, word: str, arguments: Line, source: Included) -> Rows | str:
        name, comma, _ = arguments.text.partition(",")
        size = len(name) + len(comma)
        numbers, tail_at = self._substitute(_cut(arguments, size, len(arguments.text)), source)
        if tail_at is not None:
            return "a multi-line parameter cannot be an argument"
        return sequence_rows(word, name + comma + numbers.text)

    # --- include ----------------------------------------------------------------------------------

    def _include(
        self, line: Line, word: str, pattern: str, source: Included, chain: tuple[str, ...]
    ) -> Iterator[Line]:
        place = line.place(len(line.text) - len(line.text.lstrip(" \t")))
        self._includes += 1
        if self._includes > MAX_INCLUDES:
            self._too_much(line, f"{MAX_INCLUDES} include lines")
            return
        result = self.include(pattern, source.folder)
        counts = FAILURES_THAT_COUNT[word] + self.checked
        for kind, explanation in result.failures:
            if kind in counts:
                self.diagnostics.error(
                    place,
                    "include-failed",
                    f"{word} {pattern}: {explanation}",
                    fatal=True,
                    hint="mend the path, or use plain 'include' if it may be missing"
                    if kind in FAILURES_THAT_COUNT[word]
                    else "mend the path; include_check or -e makes every include a must",
                    keepalived=KeepalivedClass.SECURITY_ERROR,
                    width=len(word),
                )
            else:
                self.diagnostics.warning(
                    place,
                    "include-failed",
                    f"{word} {pattern}: {explanation}",
                    hint='the name is not unquoted: write it without "'
                    if '"' in pattern
                    else "nothing is read for it",
                    width=len(word),
                )
        if any(kind == "B" and kind in counts for kind, _ in result.failures):
            return
        for included in result.files:
            if included.identity in chain or len(chain) >= MAX_INCLUDE_DEPTH:
                why = "includes itself" if included.identity in chain else "is included too deeply"
                self.diagnostics.error(
                    place,
                    "include-loop",
                    f"{included.file} {why}",
                    fatal=True,
                    hint="take this include line out",
                    width=len(word),
                )
                continue
            checked = self.checked
            yield from self._file(included, (*chain, included.identity), Origin("included from", place))
            self.checked = checked
            if self.full:
                return


_BUILT_IN = frozenset({"_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"})


def _blank(line: Line) -> bool:
    """Blanks or a comment, but not nothing."""
    return not line.text.strip(" \t\r") and (bool(line.text) or line.comment is not None)


def _cut(line: Line, start: int, end: int) -> Line:
    if start == 0 and line.columns is None:
        return line._replace(text=line.text[:end])
    columns = line.columns[start:end] if line.columns is not None else tuple(range(start + 1, end + 1))
    return line._replace(text=line.text[start:end], columns=columns)


def _replaced(line: Line, text: str, columns: tuple[int, ...] | None) -> Line:
    return line._replace(text=text, columns=columns)
