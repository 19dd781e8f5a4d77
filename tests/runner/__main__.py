"""``./run test [TIER...] [-- PYTEST ARGUMENTS...]``; after it, ``--require-all`` judges the last run."""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.setup.common import search_path
from tests.runner.tiers import RESULTS, TIERS, Outcome, Tier, run_tier

SUMMARY = Path(os.environ.get("PYKEEPALIVED_TEST_SUMMARY") or RESULTS / "summary.json")
AHEAD = {"kernel": "interop"}
"""Tier -> the tier beside which it already runs: one core for the test kernel, one for the other."""
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUN = 3
"""A tier that was asked for by name did not run."""


def summary_lines(outcomes: Sequence[Outcome], seconds: float) -> list[str]:
    """The table at the end; its last line is ``N passed, N failed`` over all tiers."""
    lines = ["", "tier      result    tests", "-" * 72]
    for one in outcomes:
        counts = f"{one.passed} passed"
        if one.failed:
            counts += f", {one.failed} failed"
        if one.skipped:
            counts += f", {one.skipped} skipped"
        where = f", {one.where}" if one.where not in ("", "here") else ""
        detail = one.why if one.result == "not run" else f"{counts} in {one.seconds:.1f} s{where}"
        lines.append(f"{one.tier:<9} {one.result:<9} {detail}")
        if one.result == "not run" and one.enable:
            lines.append(f"{'':<20}to enable it: {one.enable}")
        lines += [f"{'':<20}failed: {name}" for name in one.failures[:20]]
        if len(one.failures) > 20:
            lines.append(f"{'':<20}... and {len(one.failures) - 20} more")
        if one.result != "not run":
            lines += [f"{'':<20}skipped ({count}): {reason}" for reason, count in one.skips.items()]
    passed = sum(one.passed for one in outcomes)
    failed = sum(one.failed for one in outcomes)
    total = f"total time {seconds // 60:.0f} min {seconds % 60:.0f} s"
    lines += ["-" * 72, total, f"{passed} passed, {failed} failed"]
    return lines


def require_all() -> int:
    """1, and which, when a tier of the last run did not run or failed."""
    try:
        tiers = json.loads(SUMMARY.read_text())["tiers"]
    except (OSError, ValueError, KeyError):
        print("test: there is no summary of a test run: ./run test makes one", file=sys.stderr)
        return 1
    ran = {tier["tier"]: tier for tier in tiers}
    bad = 0
    for tier in TIERS:
        one = ran.get(tier.name, {"result": "not run", "why": "was not asked for", "enable": "./run test"})
        if one["result"] != "passed":
            why = f"{one['why'] or 'see above'} {one['enable']}".rstrip()
            print(f"test: tier {tier.name}: {one['result']}: {why}", file=sys.stderr)
            bad = 1
    return bad


class Ahead:
    """A tier that a runner of its own runs in the background; its output comes when it is its turn."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._summary = RESULTS / f"summary-{tier.name}.json"
        self._summary.unlink(missing_ok=True)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - it lives until ``outcome``
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.runner", tier.name],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYKEEPALIVED_TEST_SUMMARY": str(self._summary)},
        )
        atexit.register(self._process.terminate)

    def outcome(self) -> Outcome:
        """Wait for its end, show its output."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            self._process.terminate()  # it takes this as an interruption, and ends what it started
            self._process.wait()
            raise
        self._output.seek(0)
        sys.stdout.write(self._output.read().decode(errors="replace"))
        self._output.close()
        try:
            (one,) = json.loads(self._summary.read_text())["tiers"]
            return Outcome(**one)
        except (OSError, ValueError, KeyError, TypeError):
            why = f"its runner ended with status {self._process.returncode} (see above)"
            return Outcome(tier=self._tier.name, result="failed", failed=1, failures=[why])


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--require-all"]:
        return require_all()
    cut = list(arguments).index("--") if "--" in arguments else len(arguments)
    names, extra = list(arguments[:cut]), list(arguments[cut + 1 :])
    known = [tier.name for tier in TIERS]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"test: no such tier: {', '.join(unknown)} (there are: {', '.join(known)})", file=sys.stderr)
        return EXIT_USAGE
    os.environ["PATH"] = search_path()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started_at = time.monotonic()
    outcomes: list[Outcome] = []
    SUMMARY.unlink(missing_ok=True)
    chosen = [tier for tier in TIERS if not names or tier.name in names]
    ahead: dict[str, Ahead] = {}
    for tier in chosen:
        print(f"\n=== {tier.name}: {tier.about}", flush=True)
        for other in chosen:
            if AHEAD.get(other.name) == tier.name and not extra:
                ahead[other.name] = Ahead(other)
        outcomes.append(ahead[tier.name].outcome() if tier.name in ahead else run_tier(tier, extra))
        if outcomes[-1].result == "not run":
            print(f"not run: {outcomes[-1].why}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    SUMMARY.write_text(json.dumps({"tiers": [dataclasses.asdict(one) for one in outcomes]}, indent=1))
    print("\n".join(summary_lines(outcomes, time.monotonic() - started_at)), flush=True)
    if any(one.result == "failed" for one in outcomes):
        return EXIT_FAILED
    if names and any(one.result == "not run" for one in outcomes):
        return EXIT_NOT_RUN
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\ntest: interrupted", file=sys.stderr)
        sys.exit(130)
