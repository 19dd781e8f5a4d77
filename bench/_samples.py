"""Many small samples of several daemons in turn: percentiles side by side.

``_trials`` compares medians of a few expensive trials. Here a scenario has all daemons up at once, each on
a node of its own, and asks them in turn, a round at a time, for as many samples as a round brings. Rounds
in which the host was held up are marked, left out and asked again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bench._command import arguments, compared
from tests.lab.programs import Program
from tests.lab.system import LabError, settle

Samples = dict[str, list[float]]
"""Metric (named with its unit) -> one value a sample."""
PERCENTILES = (50.0, 99.0)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one daemon's turn brought."""

    samples: Samples
    host_stall_s: float
    """How long the host itself was held up meanwhile."""


Take = Callable[[], Round]
Stage = Callable[[Sequence[Program]], AbstractContextManager[Mapping[str, Take]]]
"""All daemons up and settled; their names -> one round of each."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    name: str
    stage: Stage
    percentiles: Sequence[float] = PERCENTILES


@dataclass(kw_only=True)
class Pool:
    quiet: Samples = field(default_factory=dict)
    stalled: Samples = field(default_factory=dict)
    rounds: int = 0
    stalls: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, found: Round, stalled: bool) -> None:
        into = self.stalled if stalled else self.quiet
        for metric, values in found.samples.items():
            into.setdefault(metric, []).extend(values)
        self.stalls += stalled
        self.rounds += not stalled

    def values(self, metric: str) -> list[float]:
        """Of undisturbed rounds if there were any, else of all: better a marked figure than none."""
        return (self.quiet or self.stalled).get(metric, [])


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank (the smallest value that so many percent of all do not exceed)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-len(ordered) * percent // 100) - 1))]


def main(description: str, scenarios: Sequence[Scenario], argv: Sequence[str] | None, rounds: int) -> int:
    """Run a benchmark's scenarios and print its tables; 1 when a daemon never brought a sample."""
    options = arguments(description, argv, "round", ("--rounds", rounds), 2.0)
    daemons = compared(options, [scenario.name for scenario in scenarios])
    whole = True
    try:
        for scenario in scenarios:
            if not options.only or scenario.name in options.only:
                pools = _run(scenario, daemons, options)
                show(scenario, [program.name for program in daemons], pools)
                whole &= all(pool.quiet or pool.stalled for pool in pools.values())
    except KeyboardInterrupt:
        return 130
    return 0 if whole else 1


def _run(scenario: Scenario, compared: Sequence[Program], options: argparse.Namespace) -> dict[str, Pool]:
    pools = {program.name: Pool() for program in compared}
    try:
        with scenario.stage(compared) as takes:
            for turn in range(int(options.rounds * options.max_tries + 0.5)):
                names = list(pools)
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    if pools[name].rounds < options.rounds:
                        _one(scenario.name, name, takes[name], pools[name], options)
    except (TimeoutError, LabError, OSError) as error:
        _note(f"{scenario.name}: {error}")
    return pools


def _one(scenario: str, name: str, take: Take, pool: Pool, options: argparse.Namespace) -> None:
    settle(options.quiet_wait)
    at = time.time()
    try:
        found = take()
    except (TimeoutError, LabError, OSError) as error:  # one lost round must not lose the run
        pool.failed.append(str(error))
        _note(f"{scenario} {name}: failed: {error}")
        return
    stalled = found.host_stall_s > options.max_stall
    pool.add(found, stalled)
    _note(f"{scenario} {name}{' (stalled, again)' if stalled else ''}")
    if options.out:
        row = {
            "scenario": scenario,
            "daemon": name,
            "at": round(at, 3),
            "stalled": stalled,
            "host_stall_s": found.host_stall_s,
            "samples": found.samples,
        }
        with options.out.open("a") as out:
            out.write(json.dumps(row) + "\n")


def _note(text: str) -> None:
    print(f"# {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _shown(metric: str, value: float) -> str:
    """Milliseconds for metrics in seconds."""
    return f"{value * 1000:.2f} ms" if metric.endswith("_s") else f"{value:g}"


def show(scenario: Scenario, names: Sequence[str], pools: Mapping[str, Pool]) -> None:
    """A table: a line for each percentile of each metric."""
    metrics = dict.fromkeys(metric for name in names for metric in (*pools[name].quiet, *pools[name].stalled))
    last = f"ratio to {names[-1]}" if len(names) > 1 else ""
    table = [["", "", *names, last]]
    for metric in metrics:
        found = {name: pools[name].values(metric) for name in names}
        lines = [*((f"p{percent:g}", percent) for percent in scenario.percentiles), ("max", 100.0)]
        if max(map(len, found.values())) < 20:  # percentiles of a handful say nothing
            lines = [("p50", 50.0), ("max", 100.0)]
        for word, percent in lines:
            values = {name: percentile(found[name], percent) for name in names if found[name]}
            cells = [_shown(metric, values[name]) if name in values else "-" for name in names]
            first, other = values.get(names[0]), values.get(names[-1])
            known = first is not None and other is not None and len(names) > 1 and other > 1e-5
            ratio = f"{first / other:.2f}" if known and first is not None and other is not None else ""
            table.append([metric if word == lines[0][0] else "", word, *cells, ratio])
        table.append(["", "samples", *(str(len(found[name])) for name in names), ""])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    print(f"\n{scenario.name}")
    for row in table:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    for name in names:
        pool = pools[name]
        if pool.stalls or pool.failed:
            kept = "left out" if pool.quiet else "shown, for want of better"
            print(f"  {name}: {pool.stalls} rounds stalled ({kept}), {len(pool.failed)} failed")
    sys.stdout.flush()
