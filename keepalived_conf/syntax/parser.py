"""Lines -> syntax tree: statements with their bodies, comments, in file order, each with its place.

The tree is structural. It knows from the grammar only which keywords open a block (to read on after a
missing ``{``) and nothing about values; ``build`` gives it meaning. Statements keep their order and the
comments between them, so a tree can be shown again as text.

Unlike keepalived, the body of something unknown belongs to it: its ``}`` does not close the block around.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.grammar.schema import SCRIPT_KEYWORDS, Block, Keyword
from keepalived_conf.model import Place
from keepalived_conf.model.base import Origin, place_of
from keepalived_conf.syntax.lexer import (
    BLANKS,
    ESCAPED_BANG,
    ESCAPED_HASH,
    Line,
    Token,
    place_at,
    quotes_balance,
    split,
)
from keepalived_conf.syntax.words import Word

MAX_DEPTH = 200
"""Blocks deeper than this are read as flat text of the deepest one, with one error."""


_PLAIN_WORD = re.compile(r"[^ \t\r\f\v]+")
_OTHER = re.compile(r'["{}]')

MAX_PLAIN_LINES = 50_000

_PlainLine = tuple[tuple[Word, ...], str, int]
"""Words; their text in the source, or ``}``; index of the brace, -1 if none."""


class Comment(NamedTuple):
    text: str
    """With its ``#`` or ``!``."""
    file: str
    line: int
    column: int
    trailing: bool
    """Stands behind code on its line."""


@dataclass(slots=True)
class Statement:
    """A keyword with its words, or one entry of a value block, and the body if it has one.

    Built by ``parse`` and not changed afterwards. ``words`` is empty for a brace without keyword.
    """

    file: str
    line: int
    words: tuple[Word, ...]
    raw: str
    """Source text of the words, for arguments with a lexical language of their own."""
    body: list[Node] | None = None
    end_line: int = 0
    """Line of the closing brace; 0: no body or never closed."""
    extension: bool = False
    """Stands on an ``@pykeepalived`` line."""
    via: Origin | None = None
    values: dict[int, Place] | None = None
    """As in ``Line``."""
    end_column: int = 1
    unopened: bool = False
    """Has a body although there is no ``{``."""
    holds_data: bool = False
    """Such a body of a value block: its lines are entries."""

    @property
    def name(self) -> str:
        return self.words[0].text if self.words else ""

    @property
    def place(self) -> Place:
        column = self.words[0].column if self.words else 1
        if self.via is None and self.values is None:
            return place_of(self.file, self.line, column)
        return place_at(self.file, self.line, column, self.via, self.values)

    def place_of(self, index: int) -> Place:
        """Place of a word; behind the last one when there are fewer words."""
        if index < len(self.words):
            column = self.words[index].column
        else:
            last = self.words[-1]
            column = last.column + len(last.text) + 2 * last.quoted
        return place_at(self.file, self.line, column, self.via, self.values)

    @property
    def end_place(self) -> Place:
        """The closing brace: where keepalived complains of what a block lacks. Never closed: its start."""
        return (
            place_at(self.file, self.end_line, self.end_column, self.via, None)
            if self.end_line
            else self.place
        )

    def statements(self) -> Iterator[Statement]:
        return (node for node in self.body or () if isinstance(node, Statement))


Node = Statement | Comment


class _Open:
    """A block being read."""

    __slots__ = ("keywords", "nodes", "parents_text", "statement")

    def __init__(
        self, nodes: list[Node], grammar: Block | None, statement: Statement | None, *, parents_text: bool
    ) -> None:
        self.nodes = nodes
        # The words of a value block are data, even where they are the name of something.
        self.keywords = None if grammar is None or grammar.entries else grammar.keywords
        self.statement = statement
        self.parents_text = parents_text
        """keepalived reads it in the parent process, where an escaped # is a plain character."""


class _Parser:
    def __init__(self, root: Block, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.nodes: list[Node] = []
        self.stack = [_Open(self.nodes, root, None, parents_text=False)]
        self.pending: Statement | None = None
        """The last statement, as long as a { may still follow it."""
        self.may_open: Keyword | None = None
        """Its row, if that opens a block."""
        self._plain_lines: dict[str, _PlainLine] = {}
        """Text of a line -> what it holds: a large file says the same few things again and again."""
        self.surplus = 0
        """Open braces beyond MAX_DEPTH."""

    # --- lines --------------------------------------------------------------------------------

    def line(self, line: Line) -> None:
        plain = self._plain_lines.get(line.text)
        if plain is None:
            plain = self._look(line.text)
        if plain is not None and line.columns is None:
            words, raw, brace_at = plain
            if words:
                self._add(line, words, raw)
            if brace_at >= 0:
                if raw == "}":
                    self._close(line, brace_at)
                else:
                    self._open(line, brace_at)
        elif line.text.strip(BLANKS):
            self._code(line)
        if line.comment is not None:
            trailing = bool(line.text.strip(BLANKS))
            self.stack[-1].nodes.append(
                Comment(line.comment, line.file, line.number, line.comment_column, trailing=trailing)
            )

    def _look(self, source: str) -> _PlainLine | None:
        """A line of plain words with a ``{`` behind them or none, or of one ``}``: as nearly every line."""
        text = source.strip(BLANKS)
        if not text or not text.isascii():
            return None
        other = _OTHER.search(text)
        brace_at = -1
        if other is not None:
            if other[0] == '"' or other.start() < len(text) - 1 or (other[0] == "}" and len(text) > 1):
                return None
            brace_at = source.rindex(other[0])
        end = len(source) if brace_at < 0 else brace_at
        words = tuple([Word(m[0], m.start() + 1) for m in _PLAIN_WORD.finditer(source, 0, end)])
        raw = text if brace_at < 0 or text == "}" else text[:-1].rstrip(BLANKS)
        found = (words, raw, brace_at)
        if len(self._plain_lines) < MAX_PLAIN_LINES:
            self._plain_lines[source] = found
        return found

    def _add(self, line: Line, words: tuple[Word, ...], raw: str) -> None:
        if self.may_open is not None:
            self._missing_brace()
        statement = Statement(
            line.file, line.number, words, raw, None, 0, line.extension, line.via, line.values
        )
        here = self.stack[-1]
        here.nodes.append(statement)
        self.pending = statement
        if here.keywords is not None:
            keyword = here.keywords.get(words[0].text)
            self.may_open = keyword if keyword is not None and keyword.block is not None else None

    def _code(self, line: Line) -> None:
        words: list[Token] = []
        for token in split(line):
            if not token.brace:
                words.append(token)
                continue
            if words:
                self._statement(line, words)
                words = []
            if token.text == "{":
                self._open(line, token.start)
            else:
                self._close(line, token.start)
        if words:
            self._statement(line, words)

    def _statement(self, line: Line, tokens: list[Token]) -> None:
        self._missing_brace()
        start, end = tokens[0].start, tokens[-1].end
        if tokens[-1].quoted and not self._closed(line, tokens):
            tokens = tokens[:-1]
            if not tokens:
                return
        if ESCAPED_HASH in line.text or ESCAPED_BANG in line.text:
            tokens = self._resolve_escapes(line, tokens, plain=self.stack[-1].parents_text)
            if not tokens:
                return
            end = tokens[-1].end
        words = tuple(Word(t.text, line.column(t.start), t.quoted) for t in tokens)
        if not line.text.isascii():
            words = self._check_encoding(line, tokens, words)
        raw = line.text[start:end].replace(ESCAPED_HASH, "#").replace(ESCAPED_BANG, "!")
        self._add(line, words, raw)

    def _closed(self, line: Line, tokens: list[Token]) -> bool:
        """Whether the last word counts: keepalived leaves out one whose quote is not closed.

        Arguments of scripts are split once more by rules of their own: their quotes are left to that.
        """
        last = tokens[-1]
        balanced = quotes_balance(line.text)
        if balanced and (not last.unclosed or (len(tokens) > 2 and tokens[0].text in SCRIPT_KEYWORDS)):
            return True
        self.diagnostics.error(
            line.place(last.start),
            "unmatched-quote",
            'no closing " on this line' + ("; the word is left out" if last.unclosed else ""),
            hint='write "..."' if last.unclosed else r'a backslash before the " takes it for itself',
            keepalived=KeepalivedClass.UNMATCHED_QUOTE if last.unclosed else KeepalivedClass.GENERAL_ERROR,
            width=last.end - last.start,
        )
        return not last.unclosed

    def _check_encoding(self, line: Line, tokens: list[Token], words: tuple[Word, ...]) -> tuple[Word, ...]:
        checked = []
        for token, word in zip(tokens, words, strict=True):
            if any("\ud800" <= char <= "\udfff" for char in word.text) and words[0].text != "auth_pass":
                self.diagnostics.warning(
                    line.place(token.start),
                    "not-utf-8",
                    "the word is not valid UTF-8",
                    hint="save the file as UTF-8; the invalid bytes are replaced",
                    width=len(word.text),
                )
                clean = word.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                word = word._replace(text=clean)
            checked.append(word)
        return tuple(checked)

    def _resolve_escapes(self, line: Line, tokens: list[Token], *, plain: bool) -> list[Token]:
        out: list[Token] = []
        for token in tokens:
            text = token.text
            cut = min(
                (at for at in (text.find(ESCAPED_HASH), text.find(ESCAPED_BANG)) if at >= 0), default=-1
            )
            if cut < 0:
                out.append(token)
            elif plain or token.quoted:
                out.append(token._replace(text=text.replace(ESCAPED_HASH, "#").replace(ESCAPED_BANG, "!")))
            else:
                self.diagnostics.warning(
                    line.place(token.start + cut),
                    "escaped-comment",
                    "outside double quotes keepalived takes this as the start of a comment here",
                    hint='write the word inside double quotes: "..."',
                )
                if cut:
                    out.append(token._replace(text=text[:cut], end=token.start + cut))
                return out
        return out

    # --- braces --------------------------------------------------------------------------------

    def _missing_brace(self) -> None:
        """A block keyword that is not followed by ``{``: report it and read on inside the block."""
        pending, self.pending = self.pending, None
        keyword, self.may_open = self.may_open, None
        if pending is None or keyword is None or keyword.block is None or self.surplus:
            return
        self.diagnostics.error(
            pending.place,
            "missing-open-brace",
            f"no '{{' behind {pending.name}",
            hint=f"write: {pending.name} ... {{",
            width=len(pending.name),
            keepalived=KeepalivedClass.OK if keyword.block.entries else KeepalivedClass.MISSING_BOB,
        )
        pending.unopened = True
        pending.holds_data = keyword.block.entries
        self._enter(pending, keyword)

    def _open(self, line: Line, at: int) -> None:
        """A ``{`` at this index of the line."""
        statement, self.pending = self.pending, None
        keyword, self.may_open = self.may_open, None
        around = self.stack[-1].statement
        if around is not None and around.unopened and around.holds_data:
            # As in keepalived: only the next } matters to a value block, and its own { was missing.
            self.diagnostics.error(
                line.place(at),
                "unexpected-open-brace",
                f"this '{{' is read as data of {around.name}, whose own '{{' is missing",
                hint=f"write: {around.name} {{ ... }}",
            )
            return
        if self.surplus or len(self.stack) > MAX_DEPTH:
            if not self.surplus and self.diagnostics.first_time("too-deep", ""):
                self.diagnostics.error(
                    line.place(at),
                    "too-deep",
                    f"blocks are nested deeper than {MAX_DEPTH}",
                    keepalived=KeepalivedClass.UNEXPECTED_BOB,
                )
            self.surplus += 1
            return
        if statement is None:
            self.diagnostics.error(
                line.place(at),
                "unexpected-open-brace",
                "this '{' belongs to no keyword",
                hint="what stands between it and its '}' is ignored",
                keepalived=KeepalivedClass.UNEXPECTED_BOB,
            )
            statement = Statement(
                line.file, line.number, (), "{", None, 0, line.extension, line.via, line.values
            )
            self.stack[-1].nodes.append(statement)
            self._enter(statement, None)
            return
        if keyword is None and (self.stack[-1].keywords or {}).get(statement.name) is not None:
            self.diagnostics.error(
                line.place(at),
                "unexpected-open-brace",
                f"{statement.name} takes no block",
                hint="what stands between '{' and its '}' is ignored",
                keepalived=KeepalivedClass.UNEXPECTED_BOB,
            )
        self._enter(statement, keyword)

    def _enter(self, statement: Statement, keyword: Keyword | None) -> None:
        here = self.stack[-1]
        statement.body = []
        # Only the parent of keepalived acts on global_defs.
        parents_text = here.parents_text or (len(self.stack) == 1 and statement.name == "global_defs")
        self.stack.append(
            _Open(
                statement.body,
                keyword.block if keyword is not None else None,
                statement,
                parents_text=parents_text,
            )
        )

    def _close(self, line: Line, at: int) -> None:
        """A ``}`` at this index of the line."""
        if self.surplus:
            self.surplus -= 1
            return
        self._missing_brace()
        if len(self.stack) == 1:
            self.diagnostics.error(
                line.place(at),
                "unexpected-close-brace",
                "this '}' closes nothing",
                hint="a '{' is missing above, or this one is too much",
                keepalived=KeepalivedClass.UNEXPECTED_EOB,
            )
            return
        closed = self.stack.pop().statement
        if closed is not None:
            closed.end_line = line.number
            closed.end_column = line.column(at)

    def end(self) -> None:
        self._missing_brace()
        missing = len(self.stack) - 1 + self.surplus
        if missing:
            opened = self.stack[-1].statement
            self.diagnostics.error(
                opened.place if opened is not None and opened.words else None,
                "missing-close-brace",
                f"{missing} missing '}}' at the end of the configuration",
                hint=f"the block that starts here is never closed: {opened.name}"
                if opened and opened.words
                else "",
                width=len(opened.name) if opened is not None else 1,
                keepalived=KeepalivedClass.MISSING_EOB,
            )


def parse(lines: Iterable[Line], root: Block, diagnostics: Diagnostics) -> list[Node]:
    """Lines of a whole configuration (after preprocessing) -> the top level of its tree."""
    parser = _Parser(root, diagnostics)
    for line in lines:
        parser.line(line)
    parser.end()
    return parser.nodes
