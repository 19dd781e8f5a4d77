"""The linter: mistakes that parse. ``lint(load(path))`` -> findings, each with code, place and hint.

    result = load("/etc/keepalived/keepalived.conf")
    for finding in lint(result, host=LocalHost()):
        print(render(finding.diagnostic, result.sources.get))

What the loader already says (unknown words, values out of range, a name that is not defined) is not
said again. A rule exists only where a good configuration never has what it looks for: docs/lint.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity, printable, render
from keepalived_conf.loading import LoadResult
from keepalived_conf.tools.lint import (
    rules_host,
    rules_nodes,
    rules_scripts,
    rules_services,
    rules_text,
    rules_vrrp,
    rules_weights,
)
from keepalived_conf.tools.lint.finding import FileFacts, Finding, Host
from keepalived_conf.tools.lint.view import View, view_of

__all__ = ["FileFacts", "Finding", "Host", "document", "lint", "text"]

RULES = (
    *rules_vrrp.RULES,
    *rules_weights.RULES,
    *rules_scripts.RULES,
    *rules_services.RULES,
    *rules_text.RULES,
)
"""Rules that need one configuration and nothing else."""

_UNSTRUCTURED = (
    KeepalivedClass.UNEXPECTED_BOB,
    KeepalivedClass.MISSING_BOB,
    KeepalivedClass.UNEXPECTED_EOB,
    KeepalivedClass.UNMATCHED_QUOTE,
)
"""Braces or quotes do not match: what stands in which block is a guess. (One that is only missing at the
end of the file is none.)"""


def lint(
    result: LoadResult, *, host: Host | None = None, peer: LoadResult | None = None
) -> tuple[Finding, ...]:
    """Findings in the order of the file. ``host``: the machine it is for (``host.LocalHost``); ``peer``:
    the configuration of the other node. Nothing but a note for what is not fit to be started with."""
    if (unfit := _unfit(result, "")) is not None:
        return (unfit,)
    view = _view(result)
    found = list(_single(view, result, host))
    if peer is not None:
        other = _unfit(peer, "of the other node ")
        if other is not None:
            found.append(other)
        else:
            configs = (result.config, peer.config)
            found.extend(rules_nodes.compare(view, _view(peer), configs))
    unique = {(one.code, one.place, one.message): one for one in found}
    order = {name: index for index, name in enumerate((*result.sources, *(peer.sources if peer else ())))}

    def key(one: Finding) -> tuple[int, int, int, str]:
        if one.place is None:
            return (-1, 0, 0, one.code)
        return (order.get(one.place.file, len(order)), one.place.line, one.place.column, one.code)

    return tuple(sorted(unique.values(), key=key))


def text(findings: tuple[Finding, ...], result: LoadResult, peer: LoadResult | None = None) -> str:
    """All findings for people, with source lines and carets; secrets hidden."""
    sources = {**(peer.sources if peer is not None else {}), **result.sources}
    return "\n".join(render(one.diagnostic, sources.get) for one in findings)


def document(one: Finding) -> dict[str, Any]:
    """A finding as JSON can hold it: the fields of a diagnostic of ``config check``, and ``also``."""
    return {
        "file": one.place.file if one.place else None,
        "line": one.place.line if one.place else None,
        "column": one.place.column if one.place else None,
        "severity": str(one.severity),
        "code": one.code,
        "message": printable(one.message),
        "hint": printable(one.hint),
        "also": [{"file": place.file, "line": place.line, "column": place.column} for place in one.also],
    }


def _view(result: LoadResult) -> View:
    return view_of(result.tree, result.config, next(iter(result.sources), ""))


def _single(view: View, result: LoadResult, host: Host | None) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule(view)
    yield from rules_text.extension_mistyped(result.sources)
    if host is not None:
        for ask in rules_host.RULES:
            yield from ask(view, host)
        yield from rules_host.files(view, host, result.sources)


def _unfit(result: LoadResult, whose: str) -> Finding | None:
    broken = next((one for one in result.diagnostics if one.keepalived in _UNSTRUCTURED), None)
    if result.fatal:
        broken = next((one for one in result.diagnostics if one.fatal), broken)
    if broken is None:
        return None
    return Finding(
        code="lint-not-done",
        severity=Severity.NOTE,
        place=broken.place,
        width=broken.width,
        message=f"the configuration {whose}is not looked at for further mistakes before this one is mended: "
        f"{broken.message}",
        hint=broken.hint or "pykeepalived config check names all errors",
    )
