"""``./run test [TIER...] [-- PYTEST ARGUMENTS...]``; after it, ``--require-all`` judges the last run."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Sequence

from deploy.setup.common import search_path
from tests.runner.tiers import RESULTS, TIERS, Outcome, run_tier

SUMMARY = RESULTS / "summary.json"
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
    for tier in TIERS:
        if names and tier.name not in names:
            continue
        print(f"\n=== {tier.name}: {tier.about}", flush=True)
        outcomes.append(run_tier(tier, extra))
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
