"""Forms that several tables share: programs, FIFOs, weights, names."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.forms import Args, BadWordError, MissingWordError, Shape, quoted
from keepalived_conf.model import Fifo, Script, Weight
from keepalived_conf.syntax import values
from keepalived_conf.syntax.lexer import split_escaped
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError


def whole_number(args: Args, index: int, low: int, high: int) -> int:
    """The word at ``index`` as a whole number within low..high."""
    word = args.text(index)
    try:
        number = values.integer(word)
    except LeadingNumberError as leading:
        if not low <= leading.number <= high:
            raise _out_of_range(index, word, low, high) from None
        args.note(
            index,
            "invalid-number",
            f"'{word}' is not a whole number; {leading.number} is taken",
            hint=f"write {leading.number}",
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
        return leading.number
    except BadValueError:
        raise _out_of_range(index, word, low, high) from None
    if not low <= number <= high:
        raise _out_of_range(index, word, low, high)
    return number


def _out_of_range(index: int, word: str, low: int, high: int) -> BadWordError:
    return BadWordError(
        index,
        f"'{word}' is not a whole number from {low} to {high}",
        code="invalid-number",
        keepalived=KeepalivedClass.INVALID_NUMBER,
    )


# --- programs ----------------------------------------------------------------------------------------


def _read_script(args: Args, *, users: bool) -> Script:
    words = split_escaped(args.raw)
    if words is None:
        raise BadWordError(args.first, "the quotes do not match", hint='write "PROGRAM ARGUMENTS" USER GROUP')
    if len(words) <= args.first:
        raise MissingWordError(len(args.words))
    if not users:
        # misc_path and script: one quoted word, or the rest of the line.
        rest = words[args.first :]
        command = tuple(split_escaped(rest[0]) or ()) if len(rest) == 1 else tuple(rest)
        if not command:
            raise BadWordError(args.first, "the program is empty")
        return Script(command=command)
    command = tuple(split_escaped(words[args.first]) or ())
    if not command:
        raise BadWordError(args.first, "the program is empty")
    behind = words[args.first + 1 :]
    return Script(
        command=command,
        user=behind[0] if behind else None,
        group=behind[1] if len(behind) > 1 else None,
    )


def escaped(word: str) -> str:
    """A word for ``split_escaped``: quoted with its specials escaped where needed."""
    if word and not any(char in " \t'\"\\#!{}" or not char.isprintable() for char in word):
        return word
    out = []
    for char in word:
        if char in "'\"\\":
            out.append(f"\\x{ord(char):02x}")
        elif char.isprintable():
            out.append(char)
        else:
            out.extend(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
    return "'" + "".join(out) + "'"


def _write_script(value: Script) -> list[str]:
    # The command is one word for the outer split, in double quotes if it has blanks; inside it single
    # quotes group. Both splits resolve escapes.
    command = " ".join(escaped(word) for word in value.command).replace("\\", "\\x5c")
    words = [command if quoted(command) != command else command.replace("'", "\\x27")]
    if value.user is not None:
        words.append(value.user)
        if value.group is not None:
            words.append(value.group)
    return words


SCRIPT = Shape(
    takes="SCRIPT [USER [GROUP]]",
    reads=lambda args: _read_script(args, users=True),
    writes=_write_script,
)
COMMAND = Shape(
    takes="COMMAND [ARGUMENTS], quoted as one word or as several",
    reads=lambda args: _read_script(args, users=False),
    writes=_write_script,
)
"""A program without user and group on its line (misc_path, vrrp_script script)."""


# --- FIFOs, names ------------------------------------------------------------------------------------


def _read_fifo(args: Args) -> Fifo:
    words = [word.text for word in args.words[args.first :]]
    if not words:
        raise MissingWordError(len(args.words))
    return Fifo(
        path=words[0],
        user=words[1] if len(words) > 1 else None,
        group=words[2] if len(words) > 2 else None,
    )


FIFO = Shape(
    takes="PATH [USER [GROUP]]",
    reads=_read_fifo,
    writes=lambda v: [v.path, *([v.user] if v.user else []), *([v.group] if v.user and v.group else [])],
)


def _read_names(args: Args) -> tuple[str, ...]:
    found = tuple(word.text for word in args.words[args.first :])
    if not found:
        raise MissingWordError(len(args.words))
    return found


NAMES = Shape(takes="NAME...", reads=_read_names, writes=list)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NameForm:
    """One name: the words between a block's keyword and its brace, or one argument."""

    takes: str = "NAME"
    max_chars: int | None = None

    def read(self, args: Args) -> str:
        word = args.text(args.first)
        if self.max_chars is not None and len(word) > self.max_chars:
            raise BadWordError(args.first, f"'{word}' is longer than {self.max_chars} characters")
        return word

    def write(self, value: Any) -> list[str]:
        return [str(value)]

    def json(self, value: Any) -> Any:
        return str(value)

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string"}
        if self.max_chars is not None:
            found["maxLength"] = self.max_chars
        return found


NAME = NameForm()


# --- weights -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightForm:
    """``N [reverse|noreverse]``."""

    limit: int
    """From -limit to limit."""

    @property
    def takes(self) -> str:
        return f"a whole number from -{self.limit} to {self.limit}, then reverse or nothing"

    def read(self, args: Args) -> Weight:
        number = whole_number(args, args.first, -self.limit, self.limit)
        reverse = False
        for index in range(args.first + 1, len(args.words)):
            word = args.words[index].text
            if word not in ("reverse", "noreverse"):
                raise BadWordError(index, f"'{word}' is not reverse or noreverse")
            reverse = word == "reverse"
        return Weight(value=number, reverse=reverse)

    def write(self, value: Any) -> list[str]:
        return [str(value.value), *(["reverse"] if value.reverse else [])]

    def json(self, value: Any) -> Any:
        return {"weight": value.value, "reverse": value.reverse}

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "weight": {"type": "integer", "minimum": -self.limit, "maximum": self.limit},
                "reverse": {"type": "boolean"},
            },
            "required": ["weight", "reverse"],
            "additionalProperties": False,
        }
