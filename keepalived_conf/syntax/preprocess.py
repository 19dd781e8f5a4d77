"""The stage between lines and words: conditions, parameters, iterators, include.

Works on one line at a time, in keepalived's order: condition, definition, iterator, substitution,
include. What it does not recognise passes through unchanged. It reads no file itself: included text
comes from an ``IncludeReader``, the environment and random numbers from callables.

Every loop a file can ask for is bounded: depth of includes, replacements per line, lines made in all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.syntax.lexer import ESCAPED_BANG, ESCAPED_HASH, Line

OWN_ID = "pykeepalived"
"""Lines that begin with ``@pykeepalived`` are always read by us and dropped by keepalived."""

MAX_INCLUDE_DEPTH = 32
MAX_EXPANSION_DEPTH = 64
MAX_REPLACEMENTS = 1000
MAX_EXPANDED_CHARS = 65536
MAX_MADE_LINES = 400_000

_DIRECTIVE = re.compile(r"[ \t]*(?:[@~]|include)")
_CONDITION = re.compile(r"@(\^?)([^ \t]*)[ \t]*")
_DEFINITION = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)=[ \t]*")
_REFERENCE = re.compile(
    r"\$\{(?P<built>_RANDOM|_ENV)(?P<args>[ \t][^{}]*)?\}"
    r"|\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}"
    r"|\$(?P<bare>[A-Za-z_][A-Za-z0-9_]*)(?=[ \t,)]|$)"
)
_ITERATOR = re.compile(r"~(SEQx?|LST)\(")
_INCLUDE = re.compile(r"(include[rmwba]?)[ \t]+(.*)")

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


@dataclass(kw_only=True, slots=True)
class Preprocessor:
    """Expands the lines of a configuration. One object per load: parameters live as long as it does."""

    diagnostics: Diagnostics
    config_id: str
    include: IncludeReader
    environ: Callable[[str], str]
    random: Callable[[int, int], int]
    parameters: dict[str, list[Line]] = field(default_factory=dict)
    _made: int = 0

    def run(self, main: Included) -> Iterator[Line]:
        """Lines of the main file with everything expanded, in reading order."""
        return self._file(main, (main.identity,))

    # --- one file ----------------------------------------------------------------------------

    def _file(self, source: Included, chain: tuple[str, ...]) -> Iterator[Line]:
        lines = iter(source.lines)
        for line in lines:
            if "$" not in line.text and _DIRECTIVE.match(line.text) is None:
                yield line  # words and braces only, as nearly every line
            else:
                yield from self._line(line, lines, source, chain, 0)

    def _line(
        self, line: Line, following: Iterator[Line], source: Included, chain: tuple[str, ...], depth: int
    ) -> Iterator[Line]:
        """One line -> the lines it stands for. ``following`` feeds multi-line definitions."""
        self._made += 1
        if self._made > MAX_MADE_LINES:
            if self.diagnostics.first_time("too-many-lines", ""):
                self.diagnostics.error(
                    line.place(),
                    "too-many-lines",
                    fatal=True,
                    message=f"the configuration expands to more than {MAX_MADE_LINES} lines",
                )
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
        if first == "~" and _ITERATOR.match(line.text.lstrip(" \t")):
            yield from self._iterate(line, following, source, chain, depth)
            return
        if "$" in line.text:
            expanded, tail_at = self._substitute(line, source)
            if tail_at is not None:
                yield from self._multi_line(expanded, tail_at, source, chain, depth)
                return
            if expanded is not line:
                # A condition, definition or iterator may have come out of the substitution.
                if expanded.text.lstrip(" \t")[:1] in ("@", "~") and depth < MAX_EXPANSION_DEPTH:
                    yield from self._line(expanded, following, source, chain, depth + 1)
                    return
                line = expanded
        if line.text.lstrip(" \t").startswith("include"):
            match = _INCLUDE.match(line.text.strip(" \t\r"))
            if match:
                yield from self._include(line, match[1], match[2].strip(), source, chain)
                return
        yield line

    # --- conditions and definitions --------------------------------------------------------------

    def _condition(self, line: Line) -> Line | None:
        indent = len(line.text) - len(line.text.lstrip(" \t"))
        match = _CONDITION.match(line.text, indent)
        if match is None or not match[2]:
            return line
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
        value = _cut(line, start, len(line.text.rstrip(" \t\r")))
        if not value.text.endswith("\\"):
            self.parameters[match[1]] = [value]
            return True
        body: list[Line] = []
        while True:
            more = value.text.endswith("\\")
            if more:
                value = _cut(value, 0, len(value.text) - 1)
            if value.text.strip(" \t"):
                body.append(value)
            if not more:
                break
            follower = next(following, None)
            while follower is not None and not follower.text.strip(" \t\r"):
                follower = next(following, None)
            if follower is None:
                self.diagnostics.warning(
                    line.place(),
                    "unfinished-definition",
                    f"the definition of ${match[1]} runs to the end of {source.file}",
                    hint="the last line of a multi-line value must not end with a backslash",
                )
                break
            value = _cut(follower, 0, len(follower.text.rstrip(" \t\r")))
        # A parameter of several lines that holds only one is still one that may end a line only.
        self.parameters[match[1]] = body if len(body) != 1 else [body[0], _cut(body[0], 0, 0)]
        return True

    # --- substitution -----------------------------------------------------------------------------

    def _substitute(self, line: Line, source: Included) -> tuple[Line, int | None]:
        """The line with single-line parameters expanded, and where the reference to a multi-line
        parameter starts that ends it (None: there is none)."""
        text, columns = line.text, line.columns
        at = 0
        replaced = 0
        while match := _REFERENCE.search(text, at):
            value = self._value(match, line, source, quoted=text.count('"', 0, match.start()) % 2 == 1)
            if value is None:
                name = match["braced"] or match["bare"]
                body = self.parameters.get(name or "")
                if body is not None and len(body) != 1 and not text[match.end() :].strip(" \t\r"):
                    return _replaced(line, text, columns), match.start()
                at = match.end()
                continue
            replaced += 1
            if replaced > MAX_REPLACEMENTS or len(text) > MAX_EXPANDED_CHARS:
                self.diagnostics.error(
                    line.place(match.start() if text is line.text else 0),
                    "endless-parameter",
                    f"parameter {match[0]} never stops expanding",
                    fatal=True,
                    hint="a parameter must not contain itself, directly or through others",
                )
                return _replaced(line, "", ()), None
            columns = columns or tuple(range(1, len(text) + 1))
            column = columns[match.start()]
            columns = columns[: match.start()] + (column,) * len(value) + columns[match.end() :]
            text = text[: match.start()] + value + text[match.end() :]
            at = match.start()  # a value may hold further references
        return (line if text is line.text else _replaced(line, text, columns)), None

    def _value(self, match: re.Match[str], line: Line, source: Included, *, quoted: bool) -> str | None:
        """Text a reference stands for; None: not a single-line parameter."""
        if match["built"]:
            words = (match["args"] or "").split()
            place = line.place(min(match.start(), len(line.text)))
            if match["built"] == "_ENV":
                if len(words) != 1:
                    self.diagnostics.error(place, "env-arguments", "${_ENV NAME} takes exactly one name")
                    return ""
                return self.environ(words[0])
            if len(words) > 2 or not all(
                word.isascii() and word.isdigit() and len(word) < 19 for word in words
            ):
                self.diagnostics.error(
                    place, "random-arguments", "${_RANDOM [MIN [MAX]]} takes up to two whole numbers"
                )
                return ""
            low = int(words[0]) if words else 0
            high = int(words[1]) if len(words) > 1 else max(low, 32767)
            if high < low:
                self.diagnostics.error(place, "random-arguments", "${_RANDOM}: MAX is below MIN; MIN is used")
                return str(low)
            return str(self.random(low, high))
        name = match["braced"] or match["bare"]
        body = self.parameters.get(name)
        if body is not None:
            return body[0].text if len(body) == 1 else None
        if name == "_PWD":
            return source.folder
        if name == "_INSTANCE":
            return self.config_id
        if name == "_HASH":
            return "#" if quoted else ESCAPED_HASH
        if name == "_BANG":
            return "!" if quoted else ESCAPED_BANG
        return None

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
            return
        body = self.parameters[reference["braced"] or reference["bare"]]
        if not body:
            return
        body = list(body)  # an iterator in the body may define the parameter anew
        prefix = line.text[: reference.start()]
        if prefix.strip(" \t"):
            columns = tuple(line.column(i) for i in range(len(prefix)))
            columns += (line.column(reference.start()),) * len(body[0].text)
            body[0] = _replaced(line, prefix + body[0].text, columns)
        lines = iter(body)
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
            self.diagnostics.error(line.place(indent), "bad-iterator", "the iterator is not finished by ')'")
            return
        arguments, tail_at = self._substitute(_cut(line, match.end(), close), source)
        text = _cut(line, close + 1, len(line.text))
        if tail_at is not None:
            rows: Rows | str = "a multi-line parameter cannot be an argument"
        elif match[1] == "LST":
            rows = _list_rows(arguments.text)
        else:
            rows = _sequence_rows(match[1], arguments.text)
        if isinstance(rows, str):
            self.diagnostics.error(
                line.place(indent),
                "bad-iterator",
                f"~{match[1]}: {rows}; the line is ignored",
                hint="~SEQ(VAR, [START, [STEP,]] END) text, or ~LST(VAR, VALUE, ...) text",
            )
            return
        names, values = rows
        for row in values:
            for name, value in zip(names, row, strict=True):
                self.parameters[name] = [_replaced(line, value, (line.column(indent),) * len(value))]
            yield from self._line(text, following, source, chain, depth + 1)
            if self._made > MAX_MADE_LINES:
                return

    # --- include ----------------------------------------------------------------------------------

    def _include(
        self, line: Line, word: str, pattern: str, source: Included, chain: tuple[str, ...]
    ) -> Iterator[Line]:
        place = line.place(len(line.text) - len(line.text.lstrip(" \t")))
        result = self.include(pattern, source.folder)
        for kind, explanation in result.failures:
            if kind in FAILURES_THAT_COUNT[word]:
                self.diagnostics.error(
                    place,
                    "include-failed",
                    f"{word} {pattern}: {explanation}",
                    fatal=True,
                    hint="mend the path, or use plain 'include' if it may be missing",
                    keepalived=KeepalivedClass.SECURITY_ERROR,
                    width=len(word),
                )
            else:
                self.diagnostics.warning(
                    place,
                    "include-failed",
                    f"{word} {pattern}: {explanation}",
                    hint="nothing is read for this line",
                    width=len(word),
                )
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
            yield from self._file(included, (*chain, included.identity))


def _cut(line: Line, start: int, end: int) -> Line:
    if start == 0 and line.columns is None:
        return line._replace(text=line.text[:end])
    columns = line.columns[start:end] if line.columns is not None else tuple(range(start + 1, end + 1))
    return line._replace(text=line.text[start:end], columns=columns)


def _replaced(line: Line, text: str, columns: tuple[int, ...] | None) -> Line:
    return line._replace(text=text, columns=columns)


_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9A-Fa-f]+|[0-9]+)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Rows = tuple[tuple[str, ...], Iterator[tuple[str, ...]]]


def _sequence_rows(word: str, text: str) -> Rows | str:
    name, *rest = [part.strip() for part in text.split(",")]
    if not _NAME.fullmatch(name):
        return "the variable's name is missing"
    if not 1 <= len(rest) <= 3 or not all(_NUMBER.fullmatch(part) for part in rest):
        return "one to three whole numbers are needed after the name"
    try:
        numbers = [_base_zero(part) for part in rest]
    except ValueError:
        return "a number is not valid"
    end = numbers[-1]
    start = numbers[0] if len(numbers) > 1 else (1 if end >= 1 else -1)
    step = numbers[1] if len(numbers) == 3 else (1 if end >= start else -1)
    if step == 0 or (end > start and step < 0) or (end < start and step > 0):
        return "the step does not lead from start to end"
    if word == "SEQx" and (start < 0 or end < 0):
        return "hexadecimal numbers cannot be negative"
    if (end - start) // step > MAX_MADE_LINES:
        return f"more than {MAX_MADE_LINES} values"
    form = "{:x}" if word == "SEQx" else "{:d}"
    return (name,), ((form.format(n),) for n in range(start, end + (1 if step > 0 else -1), step))


def _base_zero(text: str) -> int:
    """Number as C reads it in base 0: 0x is hexadecimal, a leading 0 octal."""
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits[:2] in ("0x", "0X"):
        return sign * int(digits, 16)
    return sign * int(digits, 8 if digits.startswith("0") and len(digits) > 1 else 10)


def _list_rows(text: str) -> Rows | str:
    groups = [part.strip() for part in _split_groups(text)]
    if not groups:
        return "the variable's name is missing"
    head, *rest = groups
    if head.startswith("{"):
        names = tuple(_members(head))
        rows = [_members(part) if part.startswith("{") else [part] for part in rest]
    else:
        names = (head,)
        rows = [[part] for part in rest]
    if not names or not all(_NAME.fullmatch(name) for name in names):
        return "the variable's name is missing"
    if any(len(row) > len(names) for row in rows):
        return "a list has more members than there are variables"
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
    return [part.strip() for part in group.strip("{} \t").split(",")]
