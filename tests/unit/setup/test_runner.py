"""What the test runner makes of a tier's report, and how it says so."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import pytest

from tests.runner import __main__ as runner
from tests.runner import tiers
from tests.runner.places import HERE, Refusal
from tests.runner.tiers import Outcome, Tier

REPORT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_good"/>
<testcase classname="tests.unit.test_a" name="test_bad"><failure message="no">why</failure></testcase>
<testcase classname="tests.unit.test_a" name="test_broken"><error message="no">why</error></testcase>
<testcase classname="tests.unit.test_b" name="test_kept"><skipped message="needs ip_vs"/></testcase>
<testcase classname="tests.unit.test_b" name="test_also"><skipped message="needs ip_vs"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_counted(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(REPORT)
    outcome = Outcome(tier="unit", result="failed")
    tiers.read_report(tmp_path / "r.xml", outcome)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 2, 2)
    assert outcome.failures == ["tests.unit.test_a::test_bad", "tests.unit.test_a::test_broken"]
    assert outcome.skips == {"needs ip_vs": 2}


@pytest.mark.parametrize("text", [None, "", "<testsuites><testcase"])
def test_a_missing_or_broken_report_counts_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "r.xml").write_text(text)
    outcome = Outcome(tier="unit", result="failed")
    tiers.read_report(tmp_path / "r.xml", outcome)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (0, 0, 0)


def test_the_last_line_sums_up_and_what_did_not_run_says_why_and_how() -> None:
    lines = runner.summary_lines(
        [
            Outcome(tier="unit", result="passed", passed=7, skipped=1, skips={"no IPv6": 1}),
            Outcome(tier="netns", result="failed", passed=2, failed=1, failures=["t::x"]),
            Outcome(tier="kernel", result="not run", why="no ip_vs here", enable="./run setup"),
        ],
        61.0,
    )
    assert lines[-1] == "9 passed, 1 failed"
    assert lines[-2] == "total time 1 min 1 s"
    text = "\n".join(lines)
    assert "kernel    not run   no ip_vs here\n                    to enable it: ./run setup" in text
    assert "failed: t::x" in text and "skipped (1): no IPv6" in text


def fake_pytest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, status: int | None, report: str
) -> Outcome:
    """Outcome of a tier whose pytest ends with ``status`` and leaves ``report``."""
    monkeypatch.setattr(tiers, "RESULTS", tmp_path)

    def call(command: list[str], timeout_s: float, env: dict[str, str]) -> int | None:
        assert Path(env["TMPDIR"]).is_dir()
        (tmp_path / "unit.xml").write_text(report)
        return status

    monkeypatch.setattr(tiers, "call", call)
    tier = Tier(name="unit", about="", timeout_s=5, place=lambda *_: HERE)
    return tiers.run_tier(tier)


GOOD = '<testsuites><testcase classname="a" name="b"/></testsuites>'
SKIPPED = '<testsuites><testcase classname="a" name="b"><skipped message="no peer"/></testcase></testsuites>'


@pytest.mark.parametrize(
    ("status", "report", "result", "failed"),
    [
        (0, GOOD, "passed", 0),
        (1, REPORT, "failed", 2),
        (3, GOOD, "failed", 1),  # pytest itself broke: green tests do not make that good
        (125, "", "failed", 1),  # the test kernel did not boot
        (None, GOOD, "failed", 1),  # ended for taking too long
        (0, SKIPPED, "not run", 0),
        (5, "", "not run", 0),
    ],
)
def test_a_tier_is_green_only_when_its_pytest_ended_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int | None, report: str, result: str, failed: int
) -> None:
    outcome = fake_pytest(tmp_path, monkeypatch, status=status, report=report)
    assert (outcome.result, outcome.failed) == (result, failed)


def test_a_folder_beside_counts_like_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tiers, "RESULTS", tmp_path)
    script = tmp_path / "pytest"
    script.write_text(
        "for a; do case $a in --junitxml=*) report=${a#--junitxml=};; tests/*beside) is=1;; esac; done\n"
        f"echo '{GOOD}' > $report; echo \"${{is:-first}}\"; exit ${{is:-0}}\n"
    )
    monkeypatch.setattr(sys, "executable", "python")
    place = dataclasses.replace(HERE, prefix=("sh", str(script)))
    tier = Tier(name="unit", about="", timeout_s=5, place=lambda *_: place, beside=("beside",))
    outcome = tiers.run_tier(tier)
    assert (outcome.result, outcome.passed, outcome.failed) == ("failed", 2, 1)
    assert outcome.failures == ["pytest ended with status 1 (see above)"]
    assert capfd.readouterr().out.split() == ["first", "1"]


def test_a_tier_without_its_place_is_not_run_and_keeps_the_reason() -> None:
    refusal = Refusal(why="no namespaces here", enable="sudo ./run test unit")
    outcome = tiers.run_tier(Tier(name="unit", about="", timeout_s=5, place=lambda *_: refusal))
    assert (outcome.result, outcome.why, outcome.enable) == ("not run", refusal.why, refusal.enable)


def test_an_endless_command_is_ended_with_all_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    for timeout_s in (0.3, 1, 3, 10):  # a stalled host may need more than one try to get as far as the note
        command = ["sh", "-c", 'sleep 600 & echo $! >"$0.part"; mv "$0.part" "$0"; wait', str(note)]
        assert tiers.call(command, timeout_s) is None
        if note.exists():
            break
    stat = Path(f"/proc/{int(note.read_text())}/stat")
    until = time.monotonic() + 30  # it was killed; when it is gone is the kernel's affair
    state = "?"
    while state not in "ZX" and time.monotonic() < until:
        try:
            state = stat.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            state = "X"
    assert state in "ZX"


def test_require_all_names_each_tier_that_did_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "SUMMARY", tmp_path / "summary.json")
    assert runner.require_all() == 1
    entry = '{{"tier": "{}", "result": "{}", "why": "no ip_vs", "enable": "./run setup"}}'
    results = {tier.name: "passed" for tier in tiers.TIERS}
    for result, expected in (("passed", 0), ("not run", 1), ("failed", 1)):
        results["kernel"] = result
        rows = ",".join(entry.format(*row) for row in results.items())
        (tmp_path / "summary.json").write_text(f'{{"tiers": [{rows}]}}')
        capsys.readouterr()
        assert runner.require_all() == expected
        assert (f"tier kernel: {result}: no ip_vs ./run setup" in capsys.readouterr().err) == bool(expected)


@pytest.mark.parametrize(
    ("summary", "result", "failures"),
    [
        ('{"tiers": [{"tier": "kernel", "result": "passed", "passed": 7}]}', "passed", []),
        ("", "failed", ["its runner ended with status 5 (see above)"]),
    ],
)
def test_a_tier_that_runs_ahead_comes_in_its_turn(
    summary: str,
    result: str,
    failures: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\necho ran $3\necho '{summary}' > $PYKEEPALIVED_TEST_SUMMARY\nexit 5\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    ahead = runner.Ahead(Tier(name="kernel", about="", timeout_s=5, place=lambda *_: HERE))
    outcome = ahead.outcome()
    assert (outcome.result, outcome.failures) == (result, failures)
    assert capfd.readouterr().out == "ran kernel\n"
