"""``pykeepalived config ...``: check, show, diff, lint and explain configurations. Needs no daemon.

Exit status: 0 done (``check``: every file accepted, with warnings or without); 1 a file has errors, cannot
be used for what was asked, or (``lint``) something was found; 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepalived_conf.loading import LoadResult

EXIT_OK, EXIT_ERRORS, EXIT_USAGE = 0, 1, 2


def _parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="pykeepalived config",
        description="Check, show and compare configurations; no daemon is needed.",
    )
    verbs = words.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def verb(name: str, text: str, *, as_json: bool = False, loads: bool = True) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=text, description=text)
        if as_json:
            one.add_argument("--json", action="store_true", help="as JSON")
        if loads:
            one.add_argument(
                "-i", "--config-id", metavar="ID", help="value for @ID lines (default: host name)"
            )
            one.add_argument(
                "-e", "--all-config", action="store_true", help="an include that fails is an error"
            )
        return one

    check = verb("check", "Say what is wrong with files, and what of them is in effect", as_json=True)
    check.add_argument("files", nargs="+", metavar="FILE")
    show = verb("show", "Print the effective configuration, defaults filled in", as_json=True)
    show.add_argument("--with-secrets", action="store_true", help="print secrets too (root only)")
    show.add_argument("file", metavar="FILE")
    diff = verb("diff", "Say what a reload from A to B would do", as_json=True)
    diff.add_argument("old", metavar="A")
    diff.add_argument("new", metavar="B")
    lint = verb("lint", "Find mistakes that keepalived accepts", as_json=True)
    lint.add_argument("file", metavar="FILE")
    lint.add_argument(
        "--no-host", action="store_true", help="do not look at this machine (files, interfaces, users)"
    )
    lint.add_argument("peer", metavar="PEERFILE", nargs="?", help="configuration of the other machine")
    explain = verb("explain", "Say what a keyword means", loads=False)
    explain.add_argument(
        "words", nargs="+", metavar="KEYWORD", help="KEYWORD, BLOCK KEYWORD or a dotted path"
    )
    verb("schema", "Print the JSON Schema of 'config show --json'", loads=False)
    verb("completion", "Print blocks and keywords for editors, as JSON", loads=False)
    return words


def main(argv: list[str]) -> int:
    """One command; returns its exit status."""
    try:
        given = _parser().parse_args(argv)
    except SystemExit as end:  # --help is 0, a wrong word 2
        return EXIT_OK if not end.code else EXIT_USAGE
    found: int = globals()[f"_{given.verb}"](given)
    return found


def _load(path: str, given: argparse.Namespace) -> LoadResult:
    from keepalived_conf import loading as conf

    return conf.load(path, config_id=given.config_id, all_config=given.all_config)


def _usable(path: str, given: argparse.Namespace) -> LoadResult | None:
    """What a file means; None after saying why it means nothing."""
    from keepalived_conf.diagnostics import Severity, render
    from keepalived_conf.tools.check import judged

    result = _load(path, given)
    errors = [
        item
        for item in map(judged, result.diagnostics)
        if item.severity is Severity.ERROR and not item.implied
    ]
    if not result.fatal:
        if errors:
            what = f"{len(errors)} errors" if len(errors) > 1 else "an error"
            _complain(f"{path}: {what}; what it concerns is left out: see pykeepalived config check")
        return result
    for item in errors:
        print(render(item, result.sources.get), file=sys.stderr)
    _complain(f"{path}: cannot be used; mend the errors above first")
    return None


def _complain(text: str) -> None:
    from keepalived_conf.diagnostics import printable

    print(f"pykeepalived: {printable(text)}", file=sys.stderr)


def _print_json(value: Any, *, compact: bool = False) -> None:
    print(json.dumps(value, indent=None if compact else 1, default=str))


# --- the commands ------------------------------------------------------------------------------------


def _check(given: argparse.Namespace) -> int:
    from keepalived_conf.tools import check

    errors = False
    for path in given.files:
        result = _load(path, given)
        report = check.report(path, result)
        errors = errors or report.verdict == "errors"
        if given.json:
            _print_json(check.document(report), compact=True)
        else:
            print(check.text(report, result))
    return EXIT_ERRORS if errors else EXIT_OK


def _show(given: argparse.Namespace) -> int:
    if given.with_secrets and os.geteuid() != 0:
        _complain("only root may see secrets; leave --with-secrets out")
        return EXIT_ERRORS
    from keepalived_conf.tools import show, to_json

    result = _usable(given.file, given)
    if result is None:
        return EXIT_ERRORS
    if given.json:
        _print_json(to_json.document(result.config, secrets=given.with_secrets))
    else:
        print(show.text(result.config, secrets=given.with_secrets), end="")
    return EXIT_OK


def _diff(given: argparse.Namespace) -> int:
    from keepalived_conf.tools import diff, diff_text

    old, new = _usable(given.old, given), _usable(given.new, given)
    if old is None or new is None:
        return EXIT_ERRORS
    operations = diff.diff(old.config, new.config)
    renamed = diff.renamed(old.config, new.config)
    if given.json:
        for operation in operations:
            _print_json(diff_text.document(operation), compact=True)
        return EXIT_OK
    for operation in operations:
        print(diff_text.text(operation))
    for before, after in renamed:
        # To keepalived a name is nothing. Our vrrp worker keeps its records by name, until it is told better.
        print(f"# {before} is called {after} now: the same virtual router, it goes on")
    if not operations and not renamed:
        print("# nothing to do")
    return EXIT_OK


def _lint(given: argparse.Namespace) -> int:
    from keepalived_conf.diagnostics import Severity, render
    from keepalived_conf.tools import check, lint
    from keepalived_conf.tools.lint.host import LocalHost

    result, peer = _load(given.file, given), _load(given.peer, given) if given.peer else None
    # What concerns this machine is looked at on it: not for a file that is meant for another one.
    findings = lint.lint(result, host=None if given.no_host else LocalHost(), peer=peer)
    report = check.report(given.file, result)
    complaints = tuple(
        item for item in report.diagnostics if item.severity is not Severity.NOTE and not item.implied
    )
    if given.json:
        body = {key: check.document(report)[key] for key in ("file", "verdict", "exit", "diagnostics")}
        _print_json({**body, "findings": [lint.document(one) for one in findings]}, compact=True)
    else:
        for item in complaints:
            print(render(item, result.sources.get))
        if findings:
            print(lint.text(findings, result, peer))
        print(f"{given.file}: {len(complaints)} of keepalived's own complaints, {len(findings)} findings")
    # A note is worth a look, and no reason for a pipeline to stop.
    serious = any(one.severity is not Severity.NOTE or one.code == "lint-not-done" for one in findings)
    return EXIT_ERRORS if serious or complaints else EXIT_OK


def _explain(given: argparse.Namespace) -> int:
    from keepalived_conf.tools import explain

    try:
        print(explain.explain(given.words).rstrip("\n"))
    except explain.UnknownKeywordError as error:
        _complain(f"{error}; did you mean {' or '.join(error.near)}?" if error.near else str(error))
        return EXIT_ERRORS
    return EXIT_OK


def _schema(_given: argparse.Namespace) -> int:
    from keepalived_conf.tools import json_schema

    _print_json(json_schema.schema())
    return EXIT_OK


def _completion(_given: argparse.Namespace) -> int:
    from keepalived_conf.tools import completion

    _print_json(completion.completion())
    return EXIT_OK
