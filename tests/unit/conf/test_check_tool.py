"""How a file is judged: severity from keepalived's class, verdict, exit status, what is in effect."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keepalived_conf.builders.reader import Use
from keepalived_conf.diagnostics import Diagnostic, KeepalivedClass, Severity
from keepalived_conf.grammar.schema import Effect
from keepalived_conf.loading import load as load_file
from keepalived_conf.model import Place
from keepalived_conf.tools import check
from keepalived_conf.tools.check import severity_of
from tests.unit.conf.support import instance_text, load
from tests.unit.conf.test_corpus import FOLDER, ROWS, needs_corpus

HERE = Place(file="t.conf", line=3, column=5)


def item(severity: Severity, class_: KeepalivedClass, *, code: str = "x", fatal: bool = False) -> Diagnostic:
    return Diagnostic(place=HERE, severity=severity, code=code, message="m", keepalived=class_, fatal=fatal)


@pytest.mark.parametrize(
    ("class_", "expected"),
    [
        (KeepalivedClass.BAD_IF, "error"),
        (KeepalivedClass.FATAL, "error"),
        (KeepalivedClass.UNKNOWN_KEYWORD, "error"),
        (KeepalivedClass.UNEXPECTED_BOB, "error"),
        (KeepalivedClass.MISSING_BOB, "error"),
        (KeepalivedClass.UNEXPECTED_EOB, "error"),
        (KeepalivedClass.MISSING_EOB, "error"),
        (KeepalivedClass.UNMATCHED_QUOTE, "error"),
        (KeepalivedClass.MISSING_PARAMETER, "error"),
        (KeepalivedClass.INVALID_NUMBER, "error"),
        (KeepalivedClass.FILE_NOT_FOUND, "warning"),  # an include; the main file itself is fatal
        (KeepalivedClass.MULTIPLE_FILES, "warning"),
        (KeepalivedClass.GENERAL_ERROR, "warning"),
        (KeepalivedClass.WARNING, "warning"),
        (KeepalivedClass.DEPRECATED, "warning"),
        (KeepalivedClass.SECURITY_ERROR, "warning"),
    ],
)
def test_the_class_decides(class_: KeepalivedClass, expected: str) -> None:
    for severity in Severity:
        assert severity_of(item(severity, class_)) == expected
        assert severity_of(item(severity, class_, fatal=True)) == "error"


@pytest.mark.parametrize("class_", [KeepalivedClass.BAD_IF, KeepalivedClass.FATAL])
def test_what_stops_a_start_only_where_nothing_hides_it(class_: KeepalivedClass) -> None:
    """The highest class decides about a start, so a mere warning lets the daemon start after all."""
    one = item(Severity.ERROR, class_)
    assert severity_of(one, status=4) == "error"
    assert severity_of(one, status=5) == "warning"
    result = replace(load(instance_text()), diagnostics=(one,), highest=class_)
    assert check.report("t.conf", result).verdict == "errors"
    other = item(Severity.WARNING, KeepalivedClass.GENERAL_ERROR)
    result = replace(result, diagnostics=(one, other), highest=KeepalivedClass.GENERAL_ERROR)
    assert check.report("t.conf", result).verdict == "warnings"


def test_where_keepalived_is_silent() -> None:
    assert severity_of(item(Severity.ERROR, KeepalivedClass.OK)) == "warning"
    assert severity_of(item(Severity.WARNING, KeepalivedClass.OK)) == "warning"
    assert severity_of(item(Severity.NOTE, KeepalivedClass.OK)) == "note"
    assert severity_of(item(Severity.ERROR, KeepalivedClass.OK, fatal=True)) == "error"
    assert severity_of(item(Severity.WARNING, KeepalivedClass.OK, code="no-effect-yet")) == "note"


@pytest.mark.parametrize(
    ("text", "verdict", "status"),
    [
        (instance_text(), "accepted", 0),
        (instance_text("garp_master_refresh x"), "errors", 5),
        (instance_text("priority 300"), "errors", 5),
        (instance_text("state NOWHERE"), "warnings", 5),
        (instance_text("nonsense 1"), "errors", 5),
        ("vrrp_instance A {\ninterface\n}\n", "errors", 2),
    ],
)
def test_verdict_and_exit_status(text: str, verdict: str, status: int) -> None:
    report = check.report("t.conf", load(text))
    assert (report.verdict, report.exit) == (verdict, status)


def test_keywords_that_are_not_in_effect_are_named_with_their_reason() -> None:
    result = load(instance_text())
    uses = (
        Use(path="vrrp_instance", name="priority", effect=Effect.ACTIVE, reason="", place=HERE),
        Use(path="vrrp_instance", name="alpha", effect=Effect.PARSED, reason="", place=HERE),
        Use(path="", name="beta", effect=Effect.NONE, reason="never was", place=replace(HERE, file="other")),
    )
    result = replace(result, used=uses)
    report = check.report("t.conf", result)
    said = check.text(report, result)
    assert "t.conf: of 3 keywords 1 in effect" in said
    assert "alpha in vrrp_instance (line 3): read and checked" in said
    assert "beta (other line 3): never was" in said
    assert "priority" not in said
    keywords = check.document(report)["keywords"]
    assert (keywords["used"], keywords["in_effect"]) == (3, 1)
    assert [one["keyword"] for one in keywords["others"]] == ["alpha", "beta"]
    assert keywords["others"][1]["reason"] == "never was"


def test_the_text_has_carets_and_the_verdict() -> None:
    result = load(instance_text("priority 3x"))
    said = check.text(check.report("t.conf", result), result).splitlines()
    at = next(n for n, line in enumerate(said) if "error:" in line)
    assert said[at].startswith("t.conf:8:10: error: priority: '3x'")
    assert said[at + 1 : at + 3] == ["    priority 3x", "             ^~"]
    assert "t.conf: errors (keepalived -t would exit with 5)" in said


def test_the_document_is_json_and_has_what_the_contract_says() -> None:
    result = load("\x01nonsense\n" + instance_text("auth_pass hunter2"))
    body = json.loads(json.dumps(check.document(check.report("t.conf", result))))
    assert (body["file"], body["verdict"], body["exit"]) == ("t.conf", "errors", 5)
    for one in body["diagnostics"]:
        assert set(one) == {"file", "line", "column", "severity", "code", "message", "hint"}
        assert one["severity"] in ("error", "warning", "note")
    assert "hunter2" not in json.dumps(body)


def test_a_file_that_is_missing_has_a_report_too() -> None:
    body = check.document(check.report("/no/such.conf", load_file("/no/such.conf")))
    assert (body["verdict"], body["exit"]) == ("errors", 4)
    assert body["diagnostics"][0]["file"] == "/no/such.conf"
    assert body["diagnostics"][0]["line"] is None


@needs_corpus
def test_verdicts_over_the_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors exactly where keepalived's oracle rejects; and the drop-in figure."""
    agree = full = 0
    wrong = []
    for row in ROWS:
        report = check.report(row["file"], load_file(FOLDER / row["file"], config_id="oracle"))
        expected = {"accepted": "accepted", "accepted-with-warnings": "warnings"}.get(
            row["verdict"], "errors"
        )
        agree += report.verdict == expected
        full += report.active == len(report.used)
        if (report.verdict == "errors") is not (expected == "errors"):
            wrong.append(f"{row['file']}: {report.verdict}, keepalived: {row['verdict']}")
    with capsys.disabled():
        print(
            f" [{len(ROWS)} files: {agree} with the oracle's verdict,"
            f" {full} fully in effect; accept/reject differs in {len(wrong)}]",
            end="",
        )
    assert len(wrong) <= len(ROWS) * 0.1, "\n".join(wrong)
