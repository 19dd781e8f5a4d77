"""Reads the keywords of one block by its grammar table: types, ranges, unknown words, missing words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from keepalived_conf.diagnostics import Diagnostic, Diagnostics, KeepalivedClass
from keepalived_conf.grammar.forms import BUILT_IN_NAMES, Args, BadWordError, Form
from keepalived_conf.grammar.schema import SCRIPT_KEYWORDS, Block, Effect, Keyword, Type
from keepalived_conf.model import Place, Places
from keepalived_conf.model.base import place_of
from keepalived_conf.syntax import values
from keepalived_conf.syntax.iproute import Names
from keepalived_conf.syntax.parser import Statement
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError

MAX_SUGGESTIONS = 200
"""Looking for the word that was meant costs milliseconds: not for each line of a file of another kind."""


_PLAIN_TYPES = frozenset(
    {Type.INTEGER, Type.DECIMAL, Type.BOOL, Type.FLAG, Type.CHOICE, Type.ADDRESS, Type.INTERFACE}
)
OFF = frozenset(("false", "off", "no"))
MAX_DECIMAL = 18446744073709
"""Of numbers with decimals that have no upper limit of their own: 64 bits of microseconds."""

T = TypeVar("T")


def _merged(read: Read, keyword: Keyword, value: Any) -> Any:
    """The value after a further line of its keyword."""
    if keyword.merge is None or keyword.key not in read.values:
        return value
    return keyword.merge(read.values[keyword.key], value)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A keyword that a configuration uses, at its first place."""

    path: str
    """Of the block, as ``Block.path``."""
    name: str
    effect: Effect
    reason: str
    place: Place


@dataclass(slots=True)
class Read:
    """What was found in one block: values by canonical keyword, and the blocks inside, in file order."""

    place: Place
    values: dict[str, Any] = field(default_factory=dict)
    statements: dict[str, list[Statement]] = field(default_factory=dict)
    """Of WORDS keywords and blocks: every occurrence."""
    lines: dict[str, list[Statement]] = field(default_factory=dict)
    """Of value blocks with an entry form: the line of each value, in step with ``values``."""
    blocks: list[tuple[Keyword, Statement]] = field(default_factory=list)
    places: Places = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Keywords that were written but whose value could not be used."""

    def __post_init__(self) -> None:
        self.places[""] = self.place

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def has(self, name: str) -> bool:
        return name in self.values

    def last(self, name: str) -> Statement | None:
        found = self.statements.get(name)
        return found[-1] if found else None


class Reader:
    """Reads blocks; one per load, since some things are said once per configuration."""

    def __init__(self, diagnostics: Diagnostics, names: Names = BUILT_IN_NAMES) -> None:
        self.diagnostics = diagnostics
        self.names = names
        self.script_place: Place | None = None
        """Where the first program to run is configured."""
        self.script_security = False
        self.used: dict[tuple[str, str], Use] = {}
        """(block path, keyword) -> its first use."""
        self._suggestions = 0
        self._known: dict[int, dict[str, tuple[str, Any]]] = {}
        """id of block -> text of a line that nothing is to be said about -> its keyword's key and value: the
        lines of thousands of real servers are the same few."""

    def block(self, statement: Statement, block: Block) -> Read:
        read = Read(statement.place)
        self.into(read, statement.body or [], block)
        return read

    def into(self, read: Read, nodes: list[Any], block: Block) -> None:
        keywords = block.keywords
        known = self._known.setdefault(id(block), {})
        diagnostics = self.diagnostics
        for node in nodes:
            if node.__class__ is not Statement or not node.words:
                continue
            before = known.get(node.raw)
            if before is not None:
                name, value = before
                read.values[name] = value
                if node.via is None and node.values is None:
                    read.places[name] = place_of(node.file, node.line, node.words[0].column)
                else:
                    read.places[name] = node.place
                if read.refused:
                    read.refused.discard(name)
                continue
            word = node.words[0]
            keyword = None if word.quoted else keywords.get(word.text)
            if keyword is None or (keyword.extension and not node.extension):
                self._unknown(node, block, keyword)
                continue
            count = diagnostics.count
            self._take(read, node, keyword, block)
            if (
                keyword.type in _PLAIN_TYPES
                and diagnostics.count == count
                and node.body is None
                and not (keyword.again or keyword.merge or keyword.extension)
                and keyword.key in read.values
            ):
                known[node.raw] = (keyword.key, read.values[keyword.key])

    def use(self, path: str, keyword: Keyword, place: Place, *, silent: bool = False) -> None:
        """Count a keyword, and say once what has no effect unless ``silent``."""
        key = (path, keyword.name)
        effect = keyword.effect
        if key not in self.used:
            self.used[key] = Use(
                path=path, name=keyword.name, effect=effect, reason=keyword.reason, place=place
            )
        if silent or effect is Effect.ACTIVE:
            return
        # What stands in a block that has no effect has none either: that is said of the block.
        around, _, name = path.removesuffix(".entry").rpartition(".")
        outer = self.used.get((around, name))
        if outer is not None and outer.effect is not Effect.ACTIVE:
            return
        if not self.diagnostics.first_time("no-effect", keyword.name):
            return
        if effect is Effect.NONE:
            self.diagnostics.note(
                place,
                "no-effect",
                f"{keyword.name} has no effect",
                hint=keyword.reason,
                width=len(keyword.name),
            )
            return
        say = self.diagnostics.warning if keyword.reason else self.diagnostics.note
        say(
            place,
            "no-effect-yet",
            f"{keyword.name} is understood, has no effect yet",
            hint=keyword.reason,
            width=len(keyword.name),
        )

    def model(self, read: Read, block: Block, model: Callable[..., T], **given: Any) -> T:
        """The dataclass of a block from what was read: values by the rows' fields, ``given`` over them."""
        found = {
            row.field: _frozen(read.values[row.key])
            for row in block.keywords.values()
            if row.field and row.key in read.values
        }
        found.update(given)
        return model(**found, places=read.places)

    def form(
        self,
        node: Statement,
        form: Form,
        first: int,
        path: str = "",
        block: Block | None = None,
        *,
        silent: bool = False,
    ) -> Any:
        """What a form reads from the words of a line, or None after a diagnostic.

        ``silent``: that a sub-keyword has no effect is said by the keyword of its block.
        """
        args = Args(words=node.words, first=first, raw=node.raw, names=self.names)
        label = "" if first == 0 else f"{node.name}: "
        secret = block is not None and block.secret
        try:
            value = form.read(args)
        except BadWordError as bad:
            index = min(bad.index, len(node.words))
            self.diagnostics.error(
                node.place_of(index),
                bad.code,
                f"{label}{bad.message}" + ("" if bad.fatal else "; the line is ignored"),
                hint=bad.hint or f"write {'' if first == 0 else node.name + ' '}{form.takes}",
                width=len(node.words[index].text) if index < len(node.words) else 1,
                keepalived=bad.keepalived,
                fatal=bad.fatal,
                secret=secret,
            )
            return None
        finally:
            self._remarks(node, args, label, secret=secret)
            for index, name in args.used:
                self._use_inside(path, block, name, node.place_of(index), silent=silent)
        return value

    def _use_inside(self, path: str, block: Block | None, name: str, place: Place, *, silent: bool) -> None:
        """Count a sub-keyword; ``nexthop.via`` is the row via in the block of the row nexthop."""
        outer, dot, inner = name.partition(".")
        row = None if block is None else block.keywords.get(outer)
        if row is not None and dot:
            row, path = (None if row.block is None else row.block.keywords.get(inner)), f"{path}.{outer}"
        if row is not None:
            self.use(path, row, place, silent=silent)

    def _remarks(self, node: Statement, args: Args, label: str, *, secret: bool) -> None:
        for remark in args.remarks:
            self.diagnostics.add(
                Diagnostic(
                    place=node.place_of(remark.index),
                    severity=remark.severity,
                    code=remark.code,
                    message=f"{label}{remark.message}",
                    hint=remark.hint,
                    keepalived=remark.keepalived,
                    width=len(node.words[remark.index].text) if remark.index < len(node.words) else 1,
                    secret=secret,
                )
            )

    def _take_entries(self, read: Read, node: Statement, keyword: Keyword, block: Block) -> None:
        """The lines of a value block through its entry form; a line that cannot be used is left out."""
        if len(node.words) > 1 and block.head is None:
            self.diagnostics.error(
                node.place_of(1),
                "extra-words",
                f"{node.name}: what stands between {node.name} and its brace is ignored",
                hint=f"write: {node.name} {{",
                width=len(node.words[1].text),
            )
        if block.entry is None:
            return
        silent = keyword.effect is not Effect.ACTIVE
        found = read.values.setdefault(keyword.key, [])
        lines = read.lines.setdefault(keyword.key, [])
        for line in node.statements():
            if not line.words:
                continue
            if line.body is not None:
                self.diagnostics.error(
                    line.place,
                    "unexpected-block",
                    f"a line of {node.name} takes no block; it is ignored",
                    width=len(line.name),
                )
                continue
            value = self.form(line, block.entry, 0, f"{block.path}.entry", block, silent=silent)
            if value is not None:
                found.append(value)
                lines.append(line)

    # --- unknown -----------------------------------------------------------------------

    def _unknown(self, node: Statement, block: Block, ours: Keyword | None = None) -> None:
        # A word read as keyword by mistake may be a secret: it is not repeated there.
        name = "here" if block.secret else f"'{node.name}'"
        close: list[str] = []
        if not node.words[0].quoted and self._suggestions < MAX_SUGGESTIONS:
            self._suggestions += 1
            import difflib  # not needed for a good file

            close = difflib.get_close_matches(node.name[:64], block.keywords, n=1, cutoff=0.75)
        where = f" in {block.name}" if not block.secret else f" ({block.name})"
        hint = f"did you mean {close[0]}?" if close else ""
        if ours is not None:
            hint = f"it is a setting of pykeepalived: write @pykeepalived {node.name}"
        if node.body is not None:
            hint = (hint + " " if hint else "") + "its block is ignored as a whole"
        self.diagnostics.error(
            node.place,
            "unknown-keyword",
            f"unknown keyword {name}{where}",
            hint=hint,
            width=len(node.name),
            keepalived=KeepalivedClass.UNKNOWN_KEYWORD,
            secret=block.secret,
        )
        if node.body is not None:
            self._lines_inside(node, "stands in an unknown block and is ignored with it")

    def _lines_inside(self, node: Statement, message: str) -> None:
        """keepalived reads on inside such a block as if it were not there, and complains of each line."""
        for inner in node.statements():
            self.diagnostics.implied(
                inner.place, "ignored-line", message, keepalived=KeepalivedClass.UNKNOWN_KEYWORD
            )
            if inner.body is not None:
                self._lines_inside(inner, message)
        if node.end_line:
            self.diagnostics.implied(
                node.end_place, "ignored-line", message, keepalived=KeepalivedClass.UNEXPECTED_EOB
            )

    # --- values --------------------------------------------------------------------------------------

    def _take(self, read: Read, node: Statement, keyword: Keyword, block: Block) -> None:
        if keyword.effect is not Effect.ACTIVE or (block.path, keyword.name) not in self.used:
            # Nobody misses the effect of what is switched off.
            off = keyword.type is Type.BOOL and len(node.words) > 1 and node.words[1].text in OFF
            self.use(block.path, keyword, node.place, silent=off)
        name = keyword.alias_of or keyword.name
        # Of a keyword with a class of its own keepalived complains at each line.
        often = keyword.deprecated_class not in (None, KeepalivedClass.OK)
        if keyword.deprecated and (often or self.diagnostics.first_time("deprecated", keyword.name)):
            old = KeepalivedClass.GENERAL_ERROR if keyword.alias_of else KeepalivedClass.OK
            self.diagnostics.warning(
                node.place,
                "deprecated",
                f"{keyword.name} is deprecated",
                hint=keyword.deprecated,
                width=len(keyword.name),
                keepalived=old if keyword.deprecated_class is None else keyword.deprecated_class,
            )
        if keyword.type is Type.BLOCK:
            read.blocks.append((keyword, node))
            read.statements.setdefault(name, []).append(node)
            read.places.setdefault(name, node.place)
            if keyword.block is not None and keyword.block.entries:
                self._take_entries(read, node, keyword, keyword.block)
            if node.unopened and not node.holds_data:
                self._lines_inside(node, "stands in a block without '{': keepalived reads it only in part")
            return
        if keyword.again and name in read.values and not self._taken_again(read, node, keyword):
            return
        if keyword.type is Type.FORM:
            self._take_form(read, node, keyword, block)
            return
        if len(node.words) < 2 and not keyword.optional:
            takes = f"{keyword.name} takes {keyword.takes}" if keyword.takes else ""
            self.missing_word(node, takes, stops=keyword.stops_when_bare)
            read.refused.add(name)
            return
        if keyword.type is Type.WORDS:
            read.statements.setdefault(name, []).append(node)
            read.places[name] = node.place
            return
        try:
            value = self._value(node, keyword)
        except BadValueError as bad:
            read.refused.add(name)
            number = keyword.type in (Type.INTEGER, Type.DECIMAL)
            # In a block of secrets it may be one in the wrong place.
            shown = "the word" if block.secret else f"'{node.words[1].text}'"
            self.diagnostics.error(
                node.place_of(1),
                "invalid-number" if number else "invalid-value",
                f"{keyword.name}: {shown} {bad}; the line is ignored",
                hint=f"{keyword.name} takes {keyword.takes}",
                width=len(node.words[1].text),
                keepalived=KeepalivedClass.INVALID_NUMBER if number else KeepalivedClass.GENERAL_ERROR,
            )
            return
        used = 1 if keyword.type is Type.FLAG else 2
        if len(node.words) > used:
            self.diagnostics.warning(
                node.place_of(used),
                "extra-words",
                f"{keyword.name}: what follows here is ignored",
                hint="only a line end or a brace ends a keyword",
                width=len(node.words[used].text),
            )
        read.values[name] = _merged(read, keyword, value)
        read.places[name] = node.place
        read.refused.discard(name)

    def _taken_again(self, read: Read, node: Statement, keyword: Keyword) -> bool:
        """Report a second line of a keyword that is meant to stand once; whether it counts."""
        replaced = keyword.again == "replaced"
        first = read.places[keyword.key]
        self.diagnostics.error(
            node.place,
            "written-twice",
            f"{node.name} is written twice; "
            + (f"this line replaces line {first.line}" if replaced else f"line {first.line} counts"),
            hint="remove one of the lines",
            width=len(node.name),
        )
        return replaced

    def _take_form(self, read: Read, node: Statement, keyword: Keyword, block: Block) -> None:
        assert keyword.form is not None
        if keyword.name in SCRIPT_KEYWORDS and self.script_place is None and len(node.words) > 1:
            self.script_place = node.place
        value = self.form(node, keyword.form, 1, block.path, block)
        if value is None:
            read.refused.add(keyword.key)
            return
        if keyword.repeatable:
            read.values.setdefault(keyword.key, []).append(value)
        else:
            read.values[keyword.key] = _merged(read, keyword, value)
        read.places[keyword.key] = node.place
        read.refused.discard(keyword.key)

    def missing_word(self, node: Statement, hint: str, *, stops: bool = True) -> None:
        """An argument is missing. ``stops``: keepalived ends at once with status 2 (so: fatal)."""
        if stops:
            self.diagnostics.error(
                node.place_of(len(node.words)),
                "missing-word",
                hint=hint,
                fatal=True,
                message=f"{node.name}: the argument is missing",
                keepalived=KeepalivedClass.MISSING_PARAMETER,
            )
        else:
            self.diagnostics.error(
                node.place_of(len(node.words)),
                "missing-argument",
                hint=hint,
                message=f"{node.name}: the argument is missing; the line is ignored",
            )

    def _value(self, node: Statement, keyword: Keyword) -> Any:
        word = node.words[1].text if len(node.words) > 1 else ""
        match keyword.type:
            case Type.FLAG:
                return True
            case Type.BOOL:
                return values.boolean(word) if len(node.words) > 1 else True
            case Type.INTEGER:
                return self._integer(node, keyword, word) if len(node.words) > 1 else None
            case Type.DECIMAL:
                return self._decimal(node, keyword, word)
            case Type.CHOICE:
                if word not in keyword.choices:
                    raise BadValueError("is not " + keyword.takes)
                return word
            case Type.ADDRESS:
                return values.address_dropping_prefix(word)
            case Type.INTERFACE:
                return values.interface_name(word)
            case _:
                return word

    def _integer(self, node: Statement, keyword: Keyword, word: str) -> int:
        try:
            number = values.integer(word)
            exact = True
        except LeadingNumberError as leading:
            if keyword.exact:
                raise BadValueError("is not a whole number") from None
            number, exact = leading.number, False
        high = keyword.high if keyword.high is not None else 4294967295
        if keyword.low is not None and not keyword.low <= number <= high:
            raise BadValueError(f"is not within {keyword.low:.0f} to {high:.0f}")
        if not exact:
            self.diagnostics.error(
                node.place_of(1),
                "invalid-number",
                f"{keyword.name}: '{word}' is not a whole number; {number} is taken",
                hint=f"write {keyword.name} {number}",
                width=len(word),
                keepalived=KeepalivedClass.INVALID_NUMBER,
            )
        if keyword.raised_to is not None and number < keyword.raised_to:
            self.diagnostics.error(
                node.place_of(1),
                "raised",
                width=len(word),
                message=f"{keyword.name}: {number} is too small; {keyword.raised_to} is taken",
            )
            number = keyword.raised_to
        return number

    def _decimal(self, node: Statement, keyword: Keyword, word: str) -> float:
        number, exact = values.decimal(word, keyword.decimals)
        if number == 0 and keyword.raised_to is not None:
            self.diagnostics.error(
                node.place_of(1),
                "raised",
                f"{keyword.name}: 0 is too small; {keyword.raised_to} is taken",
                width=len(word),
            )
            return float(keyword.raised_to)
        low, high = keyword.low or 0, MAX_DECIMAL if keyword.high is None else keyword.high
        if not low <= number <= high:
            raise BadValueError(
                f"is below {low:.6f}".rstrip("0").rstrip(".")
                if number < low
                else f"is above {high:.6f}".rstrip("0").rstrip(".")
            )
        if not exact:
            self.diagnostics.error(
                node.place_of(1),
                "too-many-decimals",
                f"{keyword.name}: '{word}' has more than {keyword.decimals} decimals; {number:g} is taken",
                hint=f"{keyword.name} takes {keyword.takes}",
                width=len(word),
                keepalived=KeepalivedClass.INVALID_NUMBER,
            )
        return number
