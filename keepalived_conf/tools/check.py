"""The report of ``config check``: how a file is judged, in words and as JSON.

keepalived's own judgement is in the class of each complaint; the severity follows from that class here, in
one place, so that every rendering (a check, ``-t``, a reload) says the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from keepalived_conf.builders.reader import Use
from keepalived_conf.diagnostics import Diagnostic, KeepalivedClass, Severity, printable, render
from keepalived_conf.grammar.schema import Effect
from keepalived_conf.loading import LoadResult, exit_status

Verdict = Literal["accepted", "warnings", "errors"]

_ERROR_CLASSES = frozenset(
    {
        KeepalivedClass.UNKNOWN_KEYWORD,
        KeepalivedClass.UNEXPECTED_BOB,
        KeepalivedClass.MISSING_BOB,
        KeepalivedClass.UNEXPECTED_EOB,
        KeepalivedClass.MISSING_EOB,
        KeepalivedClass.UNMATCHED_QUOTE,
        KeepalivedClass.MISSING_PARAMETER,
        KeepalivedClass.INVALID_NUMBER,
    }
)
"""keepalived's classes of what cannot be parsed."""

_NO_START = frozenset({KeepalivedClass.BAD_IF, KeepalivedClass.FATAL})
"""Classes that its daemon would not start with, if nothing of a higher class hides them: see status 4."""

EFFECT_CODES = frozenset({"no-effect", "no-effect-yet"})
"""About us, not about the file: never a reason to call it anything but accepted."""


def severity_of(item: Diagnostic, *, status: int | None = None) -> Severity:
    """error: text that cannot be parsed, or worse; warning: a value adjusted or dropped; note: the rest.

    ``status``: of ``keepalived -t`` for the whole configuration, where it is known."""
    if item.fatal or item.keepalived in _ERROR_CLASSES:
        return Severity.ERROR
    if item.keepalived in _NO_START and status in (None, 4):
        return Severity.ERROR
    if item.code in EFFECT_CODES:
        return Severity.NOTE
    if item.keepalived is not KeepalivedClass.OK or item.severity is not Severity.NOTE:
        return Severity.WARNING
    return Severity.NOTE


def judged(item: Diagnostic, *, status: int | None = None) -> Diagnostic:
    """The diagnostic with the severity that its class gives it."""
    severity = severity_of(item, status=status)
    return item if item.severity is severity else replace(item, severity=severity)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One file, judged."""

    file: str
    verdict: Verdict
    exit: int
    """Status of ``keepalived -t`` (2.4.3) for this file."""
    diagnostics: tuple[Diagnostic, ...]
    """Each with its judged severity."""
    left_out: int
    used: tuple[Use, ...]

    @property
    def active(self) -> int:
        """Keywords of the file that are in effect."""
        return sum(use.effect is Effect.ACTIVE for use in self.used)


def report(file: str, result: LoadResult) -> Report:
    """The judgement on what ``load`` found in a file."""
    status = exit_status(result)
    found = tuple(judged(item, status=status) for item in result.diagnostics)
    severities = {item.severity for item in found}
    verdict: Verdict = "accepted"
    if Severity.ERROR in severities or result.fatal:
        verdict = "errors"
    elif Severity.WARNING in severities:
        verdict = "warnings"
    return Report(
        file=file,
        verdict=verdict,
        exit=status,
        diagnostics=found,
        left_out=result.left_out,
        used=result.used,
    )


def reason_of(use: Use) -> str:
    """Why a keyword that is used is not in effect."""
    if use.effect is Effect.ACTIVE:
        return ""
    return use.reason or "read and checked; no worker acts on it yet"


def _where(item: Diagnostic, file: str) -> dict[str, Any]:
    """Where keepalived sees it: text that came through a parameter of several lines counts at the line
    that uses the parameter. ``text``: where it is written then; ``trace``: how it came to where it counts."""
    if item.place is None:
        return {"file": file, "line": None, "column": None}
    at = item.place
    for step in item.trace:
        if step.how != "used at":
            break
        at = step.place
    found: dict[str, Any] = {"file": at.file, "line": at.line, "column": at.column}
    if item.trace:
        found["text"] = {
            "file": item.place.file,
            "line": item.place.line,
            "column": item.place.column,
        }
        found["trace"] = [
            {
                "how": step.how,
                "file": step.place.file,
                "line": step.place.line,
                "column": step.place.column,
            }
            for step in item.trace
        ]
    return found


def document(one: Report) -> dict[str, Any]:
    """What ``config check --json`` prints for a file: one object. Its text is safe for a terminal."""
    return {
        "file": one.file,
        "verdict": one.verdict,
        "exit": one.exit,
        "diagnostics": [
            {
                **_where(item, one.file),
                "severity": str(item.severity),
                "code": item.code,
                "message": item.message,
                "hint": item.hint,
                **({"implied": True} if item.implied else {}),
            }
            for item in one.diagnostics
        ],
        "left_out": one.left_out,
        "keywords": {
            "used": len(one.used),
            "in_effect": one.active,
            "others": [
                {
                    "block": use.path,
                    "keyword": use.name,
                    "effect": str(use.effect),
                    "reason": reason_of(use),
                    "file": use.place.file,
                    "line": use.place.line,
                    "column": use.place.column,
                }
                for use in one.used
                if use.effect is not Effect.ACTIVE
            ],
        },
    }


def text(one: Report, result: LoadResult) -> str:
    """The report for people: diagnostics with carets, the verdict, then what is not in effect."""
    return "\n".join(_lines(one, result))


def _lines(one: Report, result: LoadResult) -> Iterator[str]:
    for item in one.diagnostics:
        if item.code not in EFFECT_CODES and not item.implied:  # they are named below, all of them
            yield render(item, result.sources.get)
    if one.left_out:
        yield f"... and {one.left_out} more"
    words = {"accepted": "accepted", "warnings": "accepted, with warnings", "errors": "errors"}
    name = printable(one.file)
    yield f"{name}: {words[one.verdict]} (keepalived -t would exit with {one.exit})"
    yield f"{name}: of {len(one.used)} keywords {one.active} in effect"
    others = [use for use in one.used if use.effect is not Effect.ACTIVE]
    for effect in (Effect.PARSED, Effect.NONE):
        found = [use for use in others if use.effect is effect]
        if found:
            yield f"  {effect}:"
        for use in found:
            inside = f" in {use.path}" if use.path else ""
            elsewhere = "" if use.place.file == one.file else f"{use.place.file} "
            yield printable(f"    {use.name}{inside} ({elsewhere}line {use.place.line}): {reason_of(use)}")
