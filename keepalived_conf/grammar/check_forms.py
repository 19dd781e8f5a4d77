"""Forms of what checks take: patterns, bytes in hexadecimal, status codes, names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.forms import Args, BadWordError, Form, Shape
from keepalived_conf.model import ReplyPattern, ScriptUser
from keepalived_conf.syntax import values
from keepalived_conf.syntax.lexer import split_escaped
from keepalived_conf.syntax.values import BadValueError

REGEX_OPTIONS = (
    "allow_empty_class",
    "alt_bsux",
    "alt_circumflex",
    "alt_verbnames",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_backslash_c",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "use_offset_limit",
    "utf",
)
"""Options of PCRE2 as keepalived spells them."""

DNS_TYPES = ("A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY")
BFD_NAME_MAX = 31


def wrong(args: Args, index: int, code: str, message: str, *, hint: str = "") -> None:
    """Say what keepalived reports too, of a line that counts all the same."""
    args.note(
        index,
        code,
        message,
        hint=hint,
        severity=Severity.ERROR,
        keepalived=KeepalivedClass.GENERAL_ERROR,
    )


@dataclass(frozen=True, kw_only=True)
class Lenient:
    """As another form, where keepalived does not stop when the argument is missing."""

    form: Form
    keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR
    """What it calls the missing argument."""

    @property
    def takes(self) -> str:
        return self.form.takes

    def read(self, args: Args) -> Any:
        if len(args.words) <= args.first:
            raise BadWordError(
                len(args.words),
                "the argument is missing",
                code="missing-argument",
                keepalived=self.keepalived,
            )
        return self.form.read(args)

    def write(self, value: Any) -> list[str]:
        return self.form.write(value)

    def json(self, value: Any) -> Any:
        return self.form.json(value)

    def schema(self) -> dict[str, Any]:
        return self.form.schema()


@dataclass(frozen=True, kw_only=True)
class FoldedChoice:
    """One of a few words, upper or lower case; the value is in upper case."""

    choices: tuple[str, ...]

    @property
    def takes(self) -> str:
        return "one of " + ", ".join(self.choices)

    def read(self, args: Args) -> str:
        word = args.text(args.first)
        if word.upper() not in self.choices:
            raise BadWordError(args.first, f"'{word}' is not {self.takes}")
        return word.upper()

    def write(self, value: Any) -> list[str]:
        return [str(value)]

    def json(self, value: Any) -> Any:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}


@dataclass(frozen=True, kw_only=True)
class TextForm:
    """One word of a shape of its own, text in the model and in JSON."""

    takes: str
    reads: Callable[[Args], Any]
    writes: Callable[[Any], list[str]] = lambda value: [str(value)]
    pattern: str = ""
    """Regular expression of JSON Schema; empty: any text."""

    def read(self, args: Args) -> Any:
        return self.reads(args)

    def write(self, value: Any) -> list[str]:
        return self.writes(value)

    def json(self, value: Any) -> Any:
        return str(value)

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string", "description": self.takes}
        if self.pattern:
            found["pattern"] = self.pattern
        return found


# --- HTTP_GET, SSL_GET ---------------------------------------------------------------------------------

_DIGEST = re.compile(r"[0-9A-Fa-f]{32}")


def _read_digest(args: Args) -> str:
    word = args.text(args.first)
    if not _DIGEST.fullmatch(word):
        raise BadWordError(
            args.first,
            "the digest is not 32 hexadecimal digits",
            hint="write the MD5 of the body, as keepalived's genhash prints it",
        )
    return word.lower()


DIGEST = TextForm(
    takes="MD5 of the body, 32 hexadecimal digits", reads=_read_digest, pattern="^[0-9a-f]{32}$"
)


def _read_regex(args: Args) -> str:
    words = split_escaped(args.raw)
    if words is None:
        raise BadWordError(args.first, "the quotes do not match", hint='write regex "PATTERN"')
    if len(words) != 2:
        what = "the pattern is missing" if len(words) < 2 else "this is more than one pattern"
        raise BadWordError(args.first, what, hint='write regex "PATTERN", with \\" for a quote in it')
    return words[1]


def _write_regex(value: Any) -> list[str]:
    """As one word that may stand in double quotes or without: nothing in it needs them but blanks."""
    out = []
    for char in str(value):
        if char == "\\":
            out.append("\\\\")
        elif char in "\"'$" or (ord(char) < 256 and not char.isprintable()):
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(char)
    return ["".join(out)]


REGEX = TextForm(takes='"PATTERN", quoted, with escapes', reads=_read_regex, writes=_write_regex)


def _read_regex_options(args: Args) -> tuple[str, ...]:
    found = set()
    for index in range(args.first, len(args.words)):
        word = args.words[index].text
        if word in REGEX_OPTIONS:
            found.add(word)
        else:
            args.note(
                index,
                "unknown-word",
                f"'{word}' is no option of regular expressions and is ignored",
                hint="known are " + ", ".join(REGEX_OPTIONS),
            )
    return tuple(sorted(found))


REGEX_OPTION_LIST = Shape(takes="OPTION...", reads=_read_regex_options, writes=list)


def _read_offset(args: Args) -> int | None:
    word = args.text(args.first) if len(args.words) == args.first + 1 else ""
    if not (word.isascii() and word.isdigit() and len(word) < 20):
        # keepalived logs this and takes 0.
        args.note(args.first, "invalid-number", "this is not one number of bytes; the line is ignored")
        return None
    return int(word)


@dataclass(frozen=True, kw_only=True)
class OffsetForm:
    """A number of bytes that keepalived complains of in its log only."""

    takes: str = "a number of bytes"

    def read(self, args: Args) -> int | None:
        return _read_offset(args)

    def write(self, value: Any) -> list[str]:
        return [str(value)]

    def json(self, value: Any) -> Any:
        return int(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0}


OFFSET = OffsetForm()

REGEX_STACK = Shape(
    takes="START MAX (bytes)",
    reads=lambda args: tuple(word.text for word in args.words[args.first :]),
    writes=list,
)

StatusRanges = tuple[tuple[int, int], ...]


def _read_status_codes(args: Args) -> StatusRanges:
    ranges = set()
    for index in range(args.first, len(args.words)):
        word = args.words[index].text
        try:
            ranges.add(values.status_range(word))
        except BadValueError as bad:
            wrong(
                args,
                index,
                "invalid-number",
                f"'{word}' {bad}; it is ignored",
                hint="write for example status_code 200-299 304",
            )
    return tuple(sorted(ranges))


def _write_status_codes(value: Any) -> list[str]:
    return [str(low) if low == high else f"{low}-{high}" for low, high in value]


STATUS_CODES = Shape(
    takes="CODE or CODE-CODE, 100 to 599, one or more",
    reads=_read_status_codes,
    writes=_write_status_codes,
)


def union(first: tuple[Any, ...], second: tuple[Any, ...]) -> tuple[Any, ...]:
    """Lines that add up: each value once, sorted."""
    return tuple(sorted({*first, *second}))


# --- UDP_CHECK -----------------------------------------------------------------------------------------


def _hexadecimal(text: str, *, wildcards: bool) -> ReplyPattern | None:
    """Octets of pairs of digits, blanks between pairs allowed, a digit alone is the low half; ``x`` for a
    half that does not count. None: it is something else."""
    data, mask = bytearray(), bytearray()
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
            continue
        pair = text[at : at + 2].partition(" ")[0]
        octet = mask_octet = 0
        for digit in pair:
            half = 0
            octet, mask_octet = octet << 4, mask_octet << 4
            if wildcards and digit in "xX":
                mask_octet |= 0x0F
            elif digit in "0123456789abcdefABCDEF":
                half = int(digit, 16)
            else:
                return None
            octet |= half
        data.append(octet)
        mask.append(mask_octet)
        at += len(pair)
    return ReplyPattern(data=bytes(data), mask=bytes(mask)) if data else None


def _joined(args: Args) -> str:
    return " ".join(word.text for word in args.words[args.first :])


def _read_payload(args: Args) -> bytes:
    if len(args.words) <= args.first:
        raise BadWordError(len(args.words), "the payload is missing", code="missing-argument")
    found = _hexadecimal(_joined(args), wildcards=False)
    if found is None:
        raise BadWordError(args.first, "the payload is not hexadecimal", hint="write payload 0a1b2c")
    return found.data


PAYLOAD = Shape(takes="octets in hexadecimal", reads=_read_payload, writes=lambda value: [value.hex()])


def _read_reply(args: Args) -> ReplyPattern:
    if len(args.words) <= args.first:
        return ReplyPattern()
    found = _hexadecimal(_joined(args), wildcards=True)
    if found is None:
        wrong(
            args,
            args.first,
            "invalid-value",
            "the reply is not hexadecimal; any reply will do",
            hint="write require_reply 0a1b xx 2c, with x for what does not count",
        )
        return ReplyPattern()
    return found


def _write_reply(value: Any) -> list[str]:
    if not value.data:
        return []
    halves = []
    for octet, mask in zip(value.data, value.mask, strict=True):
        halves.append("x" if mask & 0xF0 else f"{octet >> 4:x}")
        halves.append("x" if mask & 0x0F else f"{octet & 15:x}")
    return ["".join(halves)]


REPLY = Shape(
    takes="octets in hexadecimal with x for a half that does not count, or nothing: any reply",
    reads=_read_reply,
    writes=_write_reply,
)


# --- the others ------------------------------------------------------------------------------------------


def _read_dns_name(args: Args) -> str:
    word = args.text(args.first)
    if (word.startswith(".") and word != ".") or ".." in word:
        raise BadWordError(args.first, f"'{word}' has an empty label", hint="write one dot between labels")
    if word[1:2] == ".":
        # It takes the dot behind the first character for that of an empty label.
        wrong(
            args,
            args.first,
            "short-label",
            f"keepalived refuses '{word}', whose first label is one character, and asks for the root",
            hint="the name is used as it stands; for keepalived write another one",
        )
    return word


DNS_NAME = TextForm(takes="a domain name", reads=_read_dns_name)


def _read_bfd_name(args: Args) -> str:
    if len(args.words) != args.first + 1:
        raise BadWordError(args.first, "one name of a bfd_instance belongs here", code="missing-argument")
    word = args.words[args.first].text
    if len(word.encode("utf-8", "replace")) > BFD_NAME_MAX:
        raise BadWordError(args.first, f"'{word}' is longer than {BFD_NAME_MAX} characters")
    return word


BFD_NAME = TextForm(takes="the name of a bfd_instance that stands above", reads=_read_bfd_name)


def _read_user(args: Args) -> ScriptUser:
    if len(args.words) <= args.first:
        raise BadWordError(len(args.words), "the user is missing", code="missing-argument")
    names = [word.text for word in args.words[args.first : args.first + 2]]
    return ScriptUser(name=names[0], group=names[1] if len(names) > 1 else None)


USER = Shape(
    takes="USER [GROUP]",
    reads=_read_user,
    writes=lambda value: [value.name, *([value.group] if value.group else [])],
)
