"""Forms of global_defs: arguments with a shape of their own, judged as keepalived 2.4.3 judges them."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.forms import Args, BadWordError, MissingWordError, Shape
from keepalived_conf.model import DefaultScriptUser, SmtpServer
from keepalived_conf.syntax import values
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError

PROCESS_NAME_MAX = 15
"""TASK_COMM_LEN of the kernel without its zero byte."""
CPU_MAX = 1023
"""CPU_SETSIZE of sched_setaffinity(2)."""
TABLE_NAME_MAX = 254
INCLUDE_CHECKS = ("read", "match", "wildcard_match", "brace_match")
PERMISSIONS = {
    f"I{bits}{who}": mask << shift
    for who, shift in (("USR", 6), ("GRP", 3), ("OTH", 0))
    for bits, mask in (("R", 4), ("W", 2), ("X", 1))
} | {"IRWXU": 0o700, "IRWXG": 0o070, "IRWXO": 0o007}
"""Names of umask's bits, those of stat(2) without S_."""


def missing(args: Args, message: str = "the argument is missing") -> BadWordError:
    """A missing word that keepalived reports and goes on from."""
    return BadWordError(len(args.words), message, code="missing-argument")


def complain(args: Args, index: int, code: str, message: str, hint: str = "") -> None:
    """Report a word that is left out; the rest of the line counts."""
    args.note(
        index,
        code,
        message,
        hint=hint,
        severity=Severity.ERROR,
        keepalived=KeepalivedClass.GENERAL_ERROR,
    )


def exact_number(args: Args, index: int, low: int, high: int) -> int:
    """The word at ``index`` as a whole number with nothing behind it."""
    word = args.text(index)
    try:
        number = values.integer(word)
    except (BadValueError, LeadingNumberError):
        number = low - 1
    if not low <= number <= high:
        raise BadWordError(
            index,
            f"'{word}' is not a whole number from {low} to {high}",
            code="invalid-number",
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
    return number


def surplus(args: Args, count: int) -> None:
    """Say of words behind the ``count`` arguments that they are not read."""
    index = args.first + count
    if len(args.words) > index:
        args.note(index, "extra-words", "what follows here is ignored", hint="remove it")


# --- numbers and names -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberForm:
    """A whole number that is cut to a range, or that may be left out."""

    low: int
    high: int
    clamped: bool = False
    """A number beyond the range is cut and reported, not refused."""
    bare: int | None = None
    """Value without an argument; None: the argument must be there."""
    alone: bool = False
    """keepalived refuses the line when more words follow."""

    @property
    def takes(self) -> str:
        return f"a whole number from {self.low} to {self.high}" + (
            "" if self.bare is None else ", or nothing"
        )

    def read(self, args: Args) -> int:
        if len(args.words) <= args.first:
            if self.bare is None:
                raise missing(args)
            return self.bare
        if self.alone and len(args.words) > args.first + 1:
            raise BadWordError(args.first + 1, "more than one word")
        surplus(args, 1)
        if not self.clamped:
            return exact_number(args, args.first, self.low, self.high)
        word = args.words[args.first].text
        try:
            number = values.integer(word)
        except (BadValueError, LeadingNumberError):
            raise BadWordError(
                args.first,
                f"'{word}' is not a whole number",
                code="invalid-number",
                keepalived=KeepalivedClass.INVALID_NUMBER,
            ) from None
        kept = min(max(number, self.low), self.high)
        if kept != number:
            complain(
                args,
                args.first,
                "clamped",
                f"{number} is not within {self.low} to {self.high}; {kept} is taken",
            )
        return kept

    def write(self, value: Any) -> list[str]:
        return [str(value)]

    def json(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


REALTIME_PRIORITY = NumberForm(low=1, high=99, clamped=True)
MULTIPLIER = NumberForm(low=1, high=4294967295, alone=True)
AUTO_PRIORITY = NumberForm(low=-1, high=99, bare=99)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordForm:
    """One word, or nothing at all where ``bare`` says what that means."""

    takes: str
    bare: str | None = None
    max_chars: int | None = None
    cut: bool = False
    """A longer word is cut, not refused."""
    stops: bool = False
    """Without the word keepalived ends with status 2."""
    alone: bool = False
    """keepalived refuses the line when more words follow."""
    empty: bool = True
    """The empty word is one."""
    bare_is_written: bool = True
    """``write`` gives the value of a bare keyword as a word."""

    def read(self, args: Args) -> str:
        if len(args.words) <= args.first:
            if self.bare is not None:
                return self.bare
            raise MissingWordError(len(args.words)) if self.stops else missing(args)
        word = args.words[args.first].text
        if self.alone and len(args.words) > args.first + 1:
            raise BadWordError(args.first + 1, "more than one word")
        surplus(args, 1)
        if not word and not self.empty:
            raise BadWordError(args.first, "the word is empty")
        if self.max_chars is None or len(word.encode("utf-8", "surrogateescape")) <= self.max_chars:
            return word
        told = f"'{word}' is longer than {self.max_chars} characters"
        if not self.cut:
            raise BadWordError(args.first, told)
        kept = word[: self.max_chars]
        complain(args, args.first, "too-long", f"{told}; '{kept}' is taken")
        return kept

    def write(self, value: Any) -> list[str]:
        return [] if value == self.bare and not self.bare_is_written else [str(value)]

    def json(self, value: Any) -> Any:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} | ({} if self.max_chars is None else {"maxLength": self.max_chars})


PROCESS_NAME = WordForm(takes="NAME", max_chars=PROCESS_NAME_MAX, cut=True, stops=True)
TABLE = WordForm(takes="TABLE, or nothing", bare="keepalived", max_chars=TABLE_NAME_MAX, empty=False)
IPVS_TABLE = dataclasses.replace(TABLE, bare="keepalived_ipvs")
DIRECTORY = WordForm(takes="DIRECTORY", alone=True)
DUMP_FILE = WordForm(takes="PATH", alone=True, empty=False)
LOG_FILE = WordForm(takes="LOGFILE, or nothing", bare="/dev/null")
RELOAD_FILE = WordForm(takes="PATH, or nothing", bare="/run/keepalived.reload")
NAMESPACE = WordForm(takes="NAME, or nothing", bare="", bare_is_written=False)


def _read_sender(args: Args) -> str:
    if len(args.words) <= args.first:
        raise missing(args)
    if len(args.words) > args.first + 1:
        complain(
            args,
            args.first + 1,
            "extra-words",
            "what follows here is ignored",
            hint='write "NAME <ADDRESS>" in quotes',
        )
    return args.words[args.first].text


SENDER = Shape(takes="ADDRESS", reads=_read_sender, writes=lambda value: [value])


def _read_addresses(args: Args) -> tuple[str, ...]:
    for index in range(args.first, len(args.words)):
        args.use(index, "EMAIL")
    return tuple(word.text for word in args.words[args.first :])


EMAILS = Shape(
    takes="ADDRESS...",
    reads=_read_addresses,
    writes=lambda value: [value] if isinstance(value, str) else list(value),
)


def _read_cpus(args: Args) -> tuple[int, ...]:
    if len(args.words) <= args.first:
        raise missing(args)
    found = [exact_number(args, index, 0, CPU_MAX) for index in range(args.first, len(args.words))]
    return tuple(sorted(set(found)))


CPUS = Shape(takes="CPU...", reads=_read_cpus, writes=lambda value: [str(cpu) for cpu in value])


def reported(form: Shape) -> Shape:
    """The form where keepalived reports a missing argument and goes on."""

    def read(args: Args) -> Any:
        if len(args.words) <= args.first:
            raise missing(args)
        return form.read(args)

    return Shape(takes=form.takes, reads=read, writes=form.writes)


# --- mail, scripts -------------------------------------------------------------------------------------


def _read_smtp_server(args: Args) -> SmtpServer:
    host = args.text(args.first)
    if "/" in host or not host:
        raise BadWordError(args.first, f"'{host}' is neither an address nor a host name")
    port = 25
    if len(args.words) > args.first + 1:
        port = exact_number(args, args.first + 1, 1, 65535)
    surplus(args, 2)
    return SmtpServer(host=host, port=port)


SMTP_SERVER = Shape(
    takes="HOST [PORT]",
    reads=_read_smtp_server,
    writes=lambda v: [v.host, *([str(v.port)] if v.port != 25 else [])],
)


def _read_script_user(args: Args) -> DefaultScriptUser:
    if len(args.words) <= args.first:
        raise missing(args)
    group = args.words[args.first + 1].text if len(args.words) > args.first + 1 else None
    surplus(args, 2)
    further = group is not None and group.startswith(":")
    return DefaultScriptUser(
        user=args.words[args.first].text,
        group=(group or "").removeprefix(":") or None,
        supplementary_groups=further,
    )


def _write_script_user(value: DefaultScriptUser) -> list[str]:
    colon = ":" if value.supplementary_groups else ""
    return [value.user, *([colon + (value.group or "")] if colon or value.group else [])]


SCRIPT_USER = Shape(takes="USER [[:]GROUP]", reads=_read_script_user, writes=_write_script_user)


def _read_umask(args: Args) -> int:
    first = args.text(args.first)
    if first[:1].isdigit():
        if len(args.words) > args.first + 1:
            raise BadWordError(args.first + 1, "a number stands alone")
        base, digits = (16, first[2:]) if first[:2] in ("0x", "0X") else (8 if first[0] == "0" else 10, first)
        try:
            number = int(digits, base) if digits.isalnum() and len(digits) < 20 else -1
        except ValueError:
            number = -1
        if not 0 <= number <= 0o777:
            raise BadWordError(args.first, f"'{first}' is not a file mode mask (0 to 0777)")
        return number
    mask, joined = 0, True
    for index in range(args.first, len(args.words)):
        text = args.words[index].text
        while text:
            if not joined:
                if text[0] != "|":
                    raise BadWordError(index, f"'|' is missing before '{text}'")
                joined, text = True, text[1:]
                continue
            bits = PERMISSIONS.get(text[:5])
            if bits is None:
                raise BadWordError(index, f"'{text}' is none of {', '.join(PERMISSIONS)}")
            mask, joined, text = mask | bits, False, text[5:]
    if joined:
        raise BadWordError(len(args.words) - 1, "a name of permission bits is missing at the end")
    return mask


UMASK = Shape(
    takes="MODE in octal, or names such as IWGRP | IRWXO", reads=_read_umask, writes=lambda v: [f"0{v:o}"]
)


def _read_include_check(args: Args) -> tuple[str, ...]:
    if len(args.words) <= args.first:
        return INCLUDE_CHECKS
    chosen: set[str] = set()
    for index in range(args.first, len(args.words)):
        word = args.words[index].text
        name = word[1:] if word[:1] in ("+", "-") else word
        if word is name and index > args.first:
            complain(args, index, "invalid-value", f"'{word}' needs + or -; it is ignored")
        elif name not in INCLUDE_CHECKS:
            complain(
                args,
                index,
                "invalid-value",
                f"'{name}' is none of {', '.join(INCLUDE_CHECKS)}; it is ignored",
            )
        elif word.startswith("-"):
            chosen.discard(name)
        else:
            chosen.add(name)
    return tuple(name for name in INCLUDE_CHECKS if name in chosen)


INCLUDE_CHECK = Shape(
    takes="[+|-]read|match|wildcard_match|brace_match ..., or nothing for all",
    reads=_read_include_check,
    writes=lambda v: (
        [] if v == INCLUDE_CHECKS else [v[0], *(f"+{name}" for name in v[1:])] if v else ["-read"]
    ),
)
