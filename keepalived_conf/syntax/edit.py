"""A configuration file as it is written: every byte kept, so that a tool can change one word of it.

    document = Document.parse(data)
    document.find("vrrp_instance", "VI_1").find("priority").set("150")
    data = document.bytes()

Nothing is expanded: ``@id`` stays in front of its statement; ``$NAME=``, ``~SEQ(...)`` and include lines are
statements like others. What is not touched stays as it is, byte for byte: comments, blanks, order, line
ends, bytes that are no UTF-8. This is text only; what it means says ``keepalived_conf.loading``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from keepalived_conf.syntax.lexer import decomment

INDENT = "    "
_TOKEN = re.compile(r'"[^"]*"?|(?:\$\{[A-Za-z_][^{}]*\}|[^ \t\r\f\v"{}])+|[{}]')
_CONDITION = re.compile(r"@[^ \t\r\f\v]*")
_WHOLE = re.compile(
    r"(?P<definition>\$[A-Za-z_][A-Za-z0-9_]*=)|include[rmwba]?(?=[ \t])|~(?:SEQx?|LST)[ \t]*\([^)]*\)"
)
"""What takes the rest of its line (or stands before it) with braces that open nothing."""
_BLANK = " \t\r\f\v\ufeff"


class NotFoundError(LookupError):
    """There is no such statement."""


@dataclass(slots=True, eq=False)
class Piece:
    """A word or a brace as it is written, with the blanks, comments and line ends before it."""

    lead: str
    raw: str
    """A word with its quotes."""

    @property
    def text(self) -> str:
        return self.raw[1:].removesuffix('"') if self.raw.startswith('"') else self.raw


class Block:
    """Statements in a row: the whole file, or what stands between the braces of a statement."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.owner: Statement | None = None
        """None: this is the whole file."""
        self.opening = Piece("", "")
        self.closing = Piece("", "")
        """Lead: what stands behind the last statement. Raw is empty at the end of the file."""
        self.line_end = "\n"

    def find(self, name: str, *words: str) -> Statement:
        """The first statement of that name whose arguments begin with ``words``; NotFoundError if none."""
        found = self.find_all(name, *words)
        if not found:
            raise NotFoundError(" ".join((name, *words)))
        return found[0]

    def find_all(self, name: str, *words: str) -> list[Statement]:
        """Every statement of that name whose arguments begin with ``words``, in file order."""
        return [one for one in self.statements if one.name == name and one.arguments[: len(words)] == words]

    def add(self, name: str, *words: str, before: Statement | None = None) -> Statement:
        """A new statement on a line of its own: the last one, or ``before`` one of this block."""
        made = Statement(self, [Piece("", name), *(Piece(" ", written(word)) for word in words)])
        indent = self._indent()
        if before is not None:
            at = next((i for i, one in enumerate(self.statements) if one is before), -1)
            if at < 0:
                raise NotFoundError("the statement is not one of this block")
            lead = before.lead
            above, newline, _ = lead.rpartition("\n")
            if newline:
                made.lead = above + newline + indent
            else:
                made.lead = lead if self._at_start(before) else self.line_end + indent
            before.lead = self.line_end + indent
            self.statements.insert(at, made)
            return made
        above, newline, below = self.closing.lead.rpartition("\n")
        if newline:
            made.lead = above + newline + indent
            self.closing.lead = self.line_end + below
        elif self.owner is not None and self.closing.raw:
            made.lead = self.line_end + indent
            self.closing.lead = self.line_end + self.owner.indent
        elif self.statements or self.owner is not None or self.closing.lead.strip(_BLANK):
            made.lead = self.closing.lead + self.line_end + indent  # the last line has no end
            self.closing.lead = ""
        else:
            made.lead, self.closing.lead = self.closing.lead, self.line_end
        self.statements.append(made)
        return made

    def add_block(self, name: str, *words: str, before: Statement | None = None) -> Statement:
        """As ``add``, with an empty pair of braces behind it: fill it through the result."""
        made = self.add(name, *words, before=before)
        body = Block()
        body.owner, body.line_end = made, self.line_end
        body.opening = Piece(" ", "{")
        body.closing = Piece(self.line_end + made.indent, "}")
        made.body = body
        return made

    def _indent(self) -> str:
        for one in self.statements:
            if "\n" in one.lead:
                return one.indent
        return "" if self.owner is None else self.owner.indent + INDENT

    def _at_start(self, statement: Statement) -> bool:
        return self.owner is None and self.statements[0] is statement


class Statement:
    """A keyword with its arguments, and a body if it has one."""

    def __init__(self, parent: Block, pieces: list[Piece]) -> None:
        self.parent = parent
        self.pieces = pieces
        """All words, an ``@id`` in front too; empty for a brace without keyword."""
        self.body: Block | None = None

    @property
    def condition(self) -> str:
        """The ``@id`` or ``@^id`` in front of it; empty: none."""
        first = self.pieces[0].raw if self.pieces else ""
        return first if first.startswith("@") else ""

    @property
    def _words(self) -> list[Piece]:
        return self.pieces[1:] if self.condition else self.pieces

    @property
    def name(self) -> str:
        """The keyword; ``$NAME`` of a definition."""
        words = self._words
        if not words:
            return ""
        raw = words[0].raw
        return raw[:-1] if raw.startswith("$") and raw.endswith("=") else words[0].text

    @property
    def arguments(self) -> tuple[str, ...]:
        """Words behind the keyword, without their quotes; of a definition its value as it is written."""
        return tuple(piece.text for piece in self._words[1:])

    @property
    def lead(self) -> str:
        """Blanks, comments and line ends between what stands before it and it."""
        return self._first.lead

    @lead.setter
    def lead(self, text: str) -> None:
        self._first.lead = text

    @property
    def _first(self) -> Piece:
        if self.pieces:
            return self.pieces[0]
        assert self.body is not None
        return self.body.opening

    @property
    def indent(self) -> str:
        """Blanks before it on its line."""
        return "".join(char for char in self.lead.rpartition("\n")[2] if char in " \t")

    def set(self, *words: str) -> None:
        """Replace the arguments. Blanks between those there are stay; quotes are put where needed."""
        here = self._words
        if not here:
            raise NotFoundError("a brace without keyword takes no arguments")
        verbatim = here[0].raw.startswith("$") or here[0].raw.startswith("include")
        old = here[1:]
        fresh = [word if verbatim else written(word) for word in words]
        if verbatim and any("\n" in word for word in words):
            raise ValueError("a value of several lines cannot be written this way")
        leads = [piece.lead for piece in old[: len(fresh)]]
        leads += ["" if here[0].raw.endswith("=") and not leads else " "] * (len(fresh) - len(leads))
        kept = self.pieces[: len(self.pieces) - len(old)]
        self.pieces = kept + [Piece(lead, raw) for lead, raw in zip(leads, fresh, strict=True)]

    def find(self, name: str, *words: str) -> Statement:
        """As ``Block.find``, in its body."""
        return self._inside().find(name, *words)

    def find_all(self, name: str, *words: str) -> list[Statement]:
        """As ``Block.find_all``, in its body; nothing without a body."""
        return [] if self.body is None else self.body.find_all(name, *words)

    def add(self, name: str, *words: str, before: Statement | None = None) -> Statement:
        """As ``Block.add``, in its body."""
        return self._inside().add(name, *words, before=before)

    def add_block(self, name: str, *words: str, before: Statement | None = None) -> Statement:
        """As ``Block.add_block``, in its body."""
        return self._inside().add_block(name, *words, before=before)

    def _inside(self) -> Block:
        if self.body is None:
            raise NotFoundError(f"{self.name} has no braces")
        return self.body

    def remove(self) -> None:
        """Take it out, with its line and the comment behind it where it stands alone on its line."""
        siblings = self.parent.statements
        at = next((i for i, one in enumerate(siblings) if one is self), -1)
        if at < 0:
            raise NotFoundError("the statement is not there any more")
        following = siblings[at + 1]._first if at + 1 < len(siblings) else self.parent.closing
        above, newline, own = self.lead.rpartition("\n")
        line_rest, newline_behind, below = following.lead.partition("\n")
        if newline and newline_behind:
            following.lead = above + newline + below
        elif self.parent._at_start(self) and newline_behind:
            following.lead = "\ufeff" * own.startswith("\ufeff") + below
        elif newline or not line_rest.strip(_BLANK):
            following.lead = self.lead if not newline_behind else following.lead
        del siblings[at]


class Document(Block):
    """A whole file."""

    @classmethod
    def parse(cls, data: bytes) -> Document:
        """Any bytes; never raises. ``document.bytes() == data``."""
        document = cls()
        text = data.decode("utf-8", "surrogateescape")
        document.line_end = "\r\n" if text.partition("\n")[0].endswith("\r") and "\n" in text else "\n"
        _Scanner(document, text).run()
        return document

    def bytes(self) -> bytes:
        """The file as it is now."""
        return "".join(self._texts()).encode("utf-8", "surrogateescape")

    def _texts(self) -> Iterator[str]:
        # Without recursion: a file may open a hundred thousand braces.
        todo: list[tuple[Block, int]] = [(self, 0)]
        while todo:
            block, at = todo.pop()
            if at == len(block.statements):
                yield block.closing.lead
                yield block.closing.raw
                continue
            todo.append((block, at + 1))
            one = block.statements[at]
            for piece in one.pieces:
                yield piece.lead
                yield piece.raw
            if one.body is not None:
                yield one.body.opening.lead
                yield one.body.opening.raw
                todo.append((one.body, 0))


def written(word: str) -> str:
    """A word as it must stand in a file. ValueError: there is no way to write it."""
    if "\n" in word or "\0" in word:
        raise ValueError("a word cannot hold a line end or a NUL byte")
    plain = bool(word) and not re.search(r'[ \t\r\f\v{}#!"]', re.sub(r"\$\{[A-Za-z_][^{}]*\}", "", word))
    if plain and not word.startswith("@"):
        return word
    if '"' in word:
        raise ValueError("a word in quotes cannot hold a double quote")
    return f'"{word}"'


class _Scanner:
    """Text -> statements of a document."""

    def __init__(self, document: Document, text: str) -> None:
        self.text = text
        self.block: Block = document
        self.pending: Statement | None = None
        """A brace may still belong to it."""
        self.at = 0
        """Up to here the text is in pieces."""

    def _piece(self, start: int, end: int) -> Piece:
        piece = Piece(self.text[self.at : start], self.text[start:end])
        self.at = end
        return piece

    def run(self) -> None:
        start, size = 0, len(self.text)
        while start < size:
            end = self._line(start)
            start = end + 1
        while self.block.owner is not None:  # blocks that are never closed have nothing behind them
            self.block = self.block.owner.parent
        self.block.closing = Piece(self.text[self.at :], "")

    def _code_end(self, start: int) -> tuple[int, int]:
        """(end of the code, end of the line) of the line that starts there."""
        end = self.text.find("\n", start)
        end = len(self.text) if end < 0 else end
        line = decomment(self.text[start:end], "", 1)
        return (end if line.comment is None else start + line.comment_column - 1), end

    def _line(self, start: int) -> int:
        """Take one line, or the lines of a definition, apart; gives the end of the last one."""
        code_end, end = self._code_end(start)
        at = start
        words: list[Piece] = []
        fresh = True
        """At the start of a line, or behind a brace: directives are known here."""
        while True:
            while at < code_end and self.text[at] in _BLANK:
                at += 1
            if at >= code_end:
                break
            if fresh:
                condition = _CONDITION.match(self.text, at, code_end)
                if condition and not words:
                    words.append(self._piece(at, condition.end()))
                    at = condition.end()
                    continue
                whole = _WHOLE.match(self.text, at, code_end)
                if whole:
                    words.append(self._piece(at, whole.end()))
                    at = whole.end()
                    if whole["definition"]:
                        end = self._value(words, at, code_end, end)
                        break
                    if whole[0].startswith("include"):
                        self._rest(words, at, code_end)
                        break
                    fresh = False
                    continue
            token = _TOKEN.match(self.text, at, code_end)
            assert token is not None
            fresh = False
            at = token.end()
            if token[0] in ("{", "}"):
                self._statement(words)
                words = []
                self._brace(token)
                fresh = True
            else:
                words.append(self._piece(token.start(), at))
        self._statement(words)
        return end

    def _rest(self, words: list[Piece], at: int, code_end: int) -> None:
        text = self.text[at:code_end].strip(_BLANK)
        if text:
            start = self.text.index(text, at)
            words.append(self._piece(start, start + len(text)))

    def _value(self, words: list[Piece], at: int, code_end: int, end: int) -> int:
        """The value of a definition, of one line or several; gives the end of its last line."""
        first, last = at, code_end
        while True:
            stripped = self.text[at:code_end].rstrip(_BLANK)
            last = at + len(stripped) if stripped else last
            if end >= len(self.text) or (stripped and not stripped.endswith("\\")):
                break
            if not stripped and at == first:
                break
            following_code, following = self._code_end(end + 1)
            if following == end + 1:
                break  # an empty line ends it
            at, code_end, end = end + 1, following_code, following
        while first < last and self.text[first] in " \t":
            first += 1
        if first < last:
            words.append(self._piece(first, last))
        return end

    def _statement(self, words: list[Piece]) -> None:
        if words:
            self.pending = Statement(self.block, words)
            self.block.statements.append(self.pending)

    def _brace(self, token: re.Match[str]) -> None:
        piece = self._piece(token.start(), token.end())
        owner, self.pending = self.pending, None
        if token[0] == "{":
            if owner is None:
                owner = Statement(self.block, [])
                self.block.statements.append(owner)
            body = Block()
            body.owner, body.opening, body.line_end = owner, piece, self.block.line_end
            owner.body = body
            self.block = body
        elif self.block.owner is None:
            self.block.statements.append(Statement(self.block, [piece]))
        else:
            self.block.closing = piece
            self.block = self.block.owner.parent
