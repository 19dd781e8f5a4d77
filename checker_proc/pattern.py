"""Regular expressions of ``regex``: PCRE2 as written in keepalived.conf, run by Python's engine.

Pure. The two dialects differ in a few places; what differs in spelling only is translated, what
Python cannot do is refused by name. A pattern that means something else without a word would be
worse than one that is refused.

Patterns work on bytes, as PCRE2 does without its utf option.
"""

from __future__ import annotations

import re
import warnings

_POSIX = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "cntrl": r"\x00-\x1f\x7f",
    "graph": "!-~",
    "print": " -~",
    "xdigit": "0-9a-fA-F",
    "word": r"\w",
}
_ESCAPES = {"z": r"\Z", "Z": r"(?=\n?\Z)", "h": r"[ \t\xa0]", "H": r"[^ \t\xa0]", "e": r"\x1b", "N": r"[^\n]",
            "R": r"(?:\r\n|[\n\x0b\f\r\x85])"}  # fmt: skip
_CLASS_ESCAPES = {"h": r" \t\xa0", "e": r"\x1b"}
_REFUSED_ESCAPES = {
    "K": "resets the start of the match",
    "G": "start of the search",
    "C": "one code unit",
    "X": "grapheme cluster",
    "p": "Unicode property",
    "P": "Unicode property",
    "g": "numbered or named back reference (write \\1 or (?P=name))",
    "k": "named back reference (write (?P=name))",
    "Q": "literal text up to \\E",
    "E": "end of literal text",
    "o": "octal code in braces",
}


class PatternError(ValueError):
    """The pattern cannot be used; the text says what in it and why."""


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """Compile a PCRE2 pattern. Raises PatternError with a text for the operator."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # "possible nested set": another meaning
            return re.compile(_translate(pattern).encode())
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise PatternError(f"regex {pattern!r}: {error}") from None


def _translate(pattern: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            piece, at = _escape(pattern, at, _ESCAPES)
            out.append(piece)
        elif char == "[":
            piece, at = _character_class(pattern, at)
            out.append(piece)
        elif pattern.startswith("(*", at):
            raise PatternError(f"regex {pattern!r}: (*VERB) at {at} is not supported")
        elif pattern.startswith("(?", at):
            piece, at = _group(pattern, at)
            out.append(piece)
        else:
            out.append(char)
            at += 1
    return "".join(out)


def _escape(pattern: str, at: int, table: dict[str, str]) -> tuple[str, int]:
    char = pattern[at + 1 : at + 2]
    if char in _REFUSED_ESCAPES:
        raise PatternError(f"regex {pattern!r}: \\{char} at {at} ({_REFUSED_ESCAPES[char]}) is not supported")
    if pattern.startswith("\\x{", at):
        end = pattern.find("}", at)
        digits = pattern[at + 3 : end]
        if end < 0 or not re.fullmatch("[0-9a-fA-F]{1,2}", digits):
            raise PatternError(f"regex {pattern!r}: \\x{{..}} at {at} must be one byte (00 to ff)")
        return rf"\x{digits:0>2}", end + 1
    return table.get(char, "\\" + char), at + 2


def _group(pattern: str, at: int) -> tuple[str, int]:
    rest = pattern[at + 2 :]
    if rest.startswith("<") and rest[1:2] not in ("=", "!"):
        return "(?P<", at + 3
    if rest[:1] == "'":
        end = pattern.find("'", at + 3)
        if end < 0:
            raise PatternError(f"regex {pattern!r}: group name at {at} has no end")
        return f"(?P<{pattern[at + 3 : end]}>", end + 1
    if (
        rest[:1] in ("|", "R", "&", "C")
        or rest[:1].isdigit()
        or re.match(r"[+-]\d", rest)
        or rest[:2] == "P>"
    ):
        raise PatternError(f"regex {pattern!r}: group (?{rest[:2]} at {at} is not supported")
    return "(?", at + 2


def _character_class(pattern: str, at: int) -> tuple[str, int]:
    start = at
    out = ["["]
    at += 1
    if pattern[at : at + 1] == "^":
        out.append("^")
        at += 1
    if pattern[at : at + 1] == "]":
        out.append(r"\]")  # the first one is literal
        at += 1
    while at < len(pattern):
        char = pattern[at]
        if char == "]":
            return "".join(out) + "]", at + 1
        if char == "\\":
            piece, at = _escape(pattern, at, _CLASS_ESCAPES)
            out.append(piece)
        elif pattern.startswith("[:", at) and ":]" in pattern[at + 2 :]:
            end = pattern.index(":]", at + 2)
            name = pattern[at + 2 : end]
            if name not in _POSIX:
                raise PatternError(f"regex {pattern!r}: class [:{name}:] at {at} is not supported")
            out.append(_POSIX[name])
            at = end + 2
        else:
            # Python reserves these for set operations; in PCRE2 they are themselves.
            out.append("\\" + char if char in "[&~|" else char)
            at += 1
    raise PatternError(f"regex {pattern!r}: the set that starts at {start} has no end")
