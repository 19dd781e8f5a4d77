"""The tiers: what they are, how one is run, what came of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from deploy.setup.common import CACHE, ROOT
from tests.runner import places
from tests.runner.places import Place, Refusal

RESULTS = CACHE / "results"
NO_TESTS_COLLECTED = 5


@dataclass(frozen=True, kw_only=True)
class Tier:
    name: str
    about: str
    timeout_s: float
    place: Callable[[str, float], Place | Refusal]
    beside: tuple[str, ...] = ()
    """What of the tier's folder runs in a process of its own beside the rest: two cores, half the time."""


@dataclass(kw_only=True)
class Outcome:
    """What came of a tier. ``not run`` carries why, and the command that would enable it."""

    tier: str
    result: Literal["passed", "failed", "not run"]
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    where: str = ""
    why: str = ""
    enable: str = ""
    failures: list[str] = field(default_factory=list)
    skips: dict[str, int] = field(default_factory=dict)
    """Reason -> how many tests it kept from running."""


def _here(_tier: str, _timeout_s: float) -> Place | Refusal:
    return places.HERE


def _namespaces(tier: str, _timeout_s: float) -> Place | Refusal:
    return places.namespaces(tier)


def _peers(tier: str, _timeout_s: float) -> Place | Refusal:
    return places.peers(tier)


TIERS = (
    Tier(name="lint", about="ruff and mypy --strict", timeout_s=300, place=_here),
    Tier(name="unit", about="pure parts, one by one", timeout_s=180, place=_here, beside=("bus", "conf")),
    Tier(
        name="sim",
        about="whole segments of routers under virtual time",
        timeout_s=300,
        place=_here,
        beside=("test_mutants.py",),
    ),
    Tier(
        name="netns",
        about="real packets in network namespaces",
        timeout_s=600,
        place=_namespaces,
        beside=(
            "checker",
            "script",
            "test_explain.py",
            "test_reload.py",
            "test_step_down.py",
            "vrrp/test_groups.py",
        ),
    ),
    Tier(
        name="interop",
        about="one virtual router with real keepalived",
        timeout_s=900,
        place=_peers,
        beside=("test_virtual_router.py",),
    ),
    Tier(name="kernel", about="a kernel with real IPVS", timeout_s=900, place=places.ipvs_kernel),
    Tier(
        name="chaos",
        about="processes killed and stopped under traffic",
        timeout_s=1200,
        place=_namespaces,
        # In this order: those with bounds of milliseconds are left alone when the others have ended.
        beside=("test_kills.py", "test_moments.py", "test_script.py", "test_fence.py"),
    ),
)


def run_tier(tier: Tier, arguments: Sequence[str] = ()) -> Outcome:
    """Run one tier with its output on the terminal; ``arguments`` go to pytest."""
    started_at = time.monotonic()
    if tier.name == "lint":
        outcome = _lint(tier)
    elif not any((ROOT / "tests" / tier.name).rglob("test_*.py")):
        why = f"there are no tests in tests/{tier.name} yet"
        outcome = Outcome(tier=tier.name, result="not run", why=why)
    else:
        place = tier.place(tier.name, tier.timeout_s)
        if isinstance(place, Refusal):
            outcome = Outcome(tier=tier.name, result="not run", why=place.why, enable=place.enable)
        else:
            outcome = _pytest(tier, place, arguments)
    outcome.seconds = time.monotonic() - started_at
    return outcome


def _lint(tier: Tier) -> Outcome:
    outcome = Outcome(tier=tier.name, result="passed")
    for name, command in (
        ("ruff", [sys.executable, "-m", "ruff", "check", "."]),
        ("mypy", [sys.executable, "-m", "mypy"]),
    ):
        status = call(command, tier.timeout_s)
        if status == 0:
            outcome.passed += 1
        else:
            outcome.failed += 1
            outcome.failures.append(f"{name} (see above)")
    outcome.result = "failed" if outcome.failed else "passed"
    return outcome


def _pytest(tier: Tier, place: Place, arguments: Sequence[str]) -> Outcome:
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = f"tests/{tier.name}"
    if tier.beside and not arguments:
        others = [f"{folder}/{name}" for name in tier.beside]
        runs = [[folder, *(f"--ignore={path}" for path in others)], others]
    else:
        runs = [[folder, *arguments]]
    reports = [RESULTS / f"{tier.name}{'-beside' * index}.xml" for index in range(len(runs))]
    commands = []
    for run, report in zip(runs, reports, strict=True):
        report.unlink(missing_ok=True)
        commands.append([*place.prefix, sys.executable, "-m", "pytest", *run, f"--junitxml={report}"])
    # A folder of the run's own: nothing stays in /tmp, and an ordinary user who is root in a namespace
    # does not meet what the real root's pytest left there.
    with tempfile.TemporaryDirectory(prefix="pk-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o711)  # workers drop privileges, and reach their own files in it
        statuses = _call_all(commands, tier.timeout_s + 15, {"TMPDIR": scratch})
    outcome = Outcome(tier=tier.name, result="failed", where=place.name)
    for status, report in zip(statuses, reports, strict=True):
        failed = outcome.failed
        read_report(report, outcome)
        if status is None:
            outcome.failures.append(f"ended after {tier.timeout_s:.0f} s")
        elif status == NO_TESTS_COLLECTED:
            outcome.result, outcome.why = "not run", "no test was collected"
            return outcome
        elif status and outcome.failed == failed:
            outcome.failures.append(f"pytest ended with status {status} (see above)")
    if outcome.failures or outcome.failed:
        outcome.failed = max(outcome.failed, 1)
    elif not outcome.passed:
        outcome.result = "not run"
        outcome.why = "; ".join(outcome.skips) or "every test was skipped"
    else:
        outcome.result = "passed"
    return outcome


def read_report(report: Path, outcome: Outcome) -> None:
    """Counts, failures and skips of a JUnit report into ``outcome``; a missing report changes nothing."""
    try:
        tree = ElementTree.parse(report)
    except (OSError, ElementTree.ParseError):
        return
    for case in tree.iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        skip = case.find("skipped")
        if bad:
            outcome.failed += 1
            outcome.failures.append(f"{case.get('classname', '')}::{case.get('name', '')}")
        elif skip is not None:
            outcome.skipped += 1
            reason = skip.get("message") or "no reason given"
            outcome.skips[reason] = outcome.skips.get(reason, 0) + 1
        else:
            outcome.passed += 1


def _call_all(
    commands: Sequence[Sequence[str]], timeout_s: float, env: Mapping[str, str]
) -> list[int | None]:
    """``call`` each; the first with our output, the others beside it, their output behind it."""
    with contextlib.ExitStack() as stack:
        others = []
        for command in commands[1:]:
            output = stack.enter_context(tempfile.TemporaryFile())
            process = _start(command, env, output)
            stack.callback(_kill, process)
            others.append((process, output))
        end_at = time.monotonic() + timeout_s
        statuses = [call(commands[0], timeout_s, env)]
        for process, output in others:
            statuses.append(_wait(process, max(0.0, end_at - time.monotonic())))
            output.seek(0)
            sys.stdout.write(output.read().decode(errors="replace"))
            sys.stdout.flush()
    return statuses


def call(command: Sequence[str], timeout_s: float, env: Mapping[str, str] | None = None) -> int | None:
    """Run a command in a process group of its own with our output; None when it had to be ended.

    Nothing it started in that group survives it.
    """
    return _wait(_start(command, env or {}, None), timeout_s)


def _start(
    command: Sequence[str], env: Mapping[str, str], output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    sys.stdout.flush()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        cwd=ROOT,
        process_group=0,
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        raise
    finally:
        _kill(process)
