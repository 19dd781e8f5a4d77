"""Trials of several daemons, interleaved, with stalled ones marked and repeated; medians and ratios.

A benchmark gives a function ``trial(program, params) -> {metric: seconds or number}``; a value under
``STALL`` says how long the host itself was held up while it counted.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench._command import arguments, compared
from tests.lab import Daemon, Lab, Observer, Probe, conf
from tests.lab.programs import Program
from tests.lab.system import LabError, settle, wait_until

STALL = "host_stall_s"
VIRTUAL_ADDRESS = "10.100.1.1"
PING_INTERVAL_S = 0.002
START_S = 20.0

Params = Mapping[str, float]
Result = dict[str, float]
Trial = Callable[[Program, Params], Result]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """``params`` are the sets it is run with; metrics are named with their unit."""

    name: str
    trial: Trial
    params: Sequence[Params]


@dataclass(kw_only=True)
class Tally:
    quiet: list[Result] = field(default_factory=list)
    stalled: list[Result] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def main(
    description: str, scenarios: Sequence[Scenario], argv: Sequence[str] | None, repeats: int = 5
) -> int:
    """Run a benchmark's scenarios and print its tables; 1 when a daemon never managed a trial."""
    options = arguments(description, argv, "trial", ("--repeats", repeats), 5.0)
    daemons = compared(options, [scenario.name for scenario in scenarios])
    whole = True
    try:
        for scenario in scenarios:
            if options.only and scenario.name not in options.only:
                continue
            for params in scenario.params:
                tallies = _run(scenario, params, daemons, options)
                _print(scenario, params, daemons, tallies)
                whole &= all(tally.quiet or tally.stalled for tally in tallies.values())
    except KeyboardInterrupt:
        return 130
    return 0 if whole else 1


def _run(
    scenario: Scenario, params: Params, compared: list[Program], options: argparse.Namespace
) -> dict[str, Tally]:
    """Every daemon takes its turn in each round, so that slow changes of the host hit all alike."""
    tallies = {program.name: Tally() for program in compared}
    for turn in range(int(options.repeats * options.max_tries + 0.5)):
        for program in compared[turn % len(compared) :] + compared[: turn % len(compared)]:
            tally = tallies[program.name]
            if len(tally.quiet) >= options.repeats:
                continue
            settle(options.quiet_wait)
            at = time.time()
            try:
                result = scenario.trial(program, params)
            except (TimeoutError, LabError, OSError) as error:  # one lost trial must not lose the run
                tally.failed.append(str(error))
                _note(f"{scenario.name} {_words(params)} {program.name}: failed: {error}")
                continue
            stalled = result.get(STALL, 0.0) > options.max_stall
            (tally.stalled if stalled else tally.quiet).append(result)
            mark = " (stalled, again)" if stalled else ""
            _note(f"{scenario.name} {_words(params)} {program.name}{mark}")
            if options.out:
                row = {
                    "scenario": scenario.name,
                    "params": dict(params),
                    "daemon": program.name,
                    "at": round(at, 3),
                    "stalled": stalled,
                    "result": result,
                }
                with options.out.open("a") as out:
                    out.write(json.dumps(row) + "\n")
    return tallies


def _note(text: str) -> None:
    print(f"# {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _words(params: Params) -> str:
    return " ".join(f"{name}={value:g}" for name, value in params.items())


def ratio(mine: Sequence[float], other: Sequence[float]) -> float | None:
    """Median over median; None where it says nothing (nothing measured, or next to nothing)."""
    if not mine or not other or abs(statistics.median(other)) < 1e-5:
        return None
    return statistics.median(mine) / statistics.median(other)


def shown(metric: str, values: Sequence[float]) -> str:
    """Median [least .. most] (number), milliseconds for metrics in seconds."""
    if not values:
        return "-"
    scaled = [value * 1000 for value in values] if metric.endswith("_s") else list(values)
    unit = " ms" if metric.endswith("_s") else ""
    digits = 0 if all(value == int(value) for value in scaled) else 1
    middle = statistics.median(scaled)
    spread = f" [{min(scaled):.{digits}f} .. {max(scaled):.{digits}f}]" if len(scaled) > 1 else ""
    return f"{middle:.{digits}f}{unit}{spread} ({len(scaled)})"


def _print(scenario: Scenario, params: Params, compared: list[Program], tallies: dict[str, Tally]) -> None:
    names = [program.name for program in compared]
    # undisturbed trials if there are any of it, else all: better a marked figure than none
    rows = {name: tallies[name].quiet or tallies[name].stalled for name in names}
    metrics = list(dict.fromkeys(key for name in names for result in rows[name] for key in result))
    table = [["", *names, f"ratio to {names[-1]}" if len(names) > 1 else ""]]
    for metric in metrics:
        values = {name: [row[metric] for row in rows[name] if metric in row] for name in names}
        quotient = ratio(values[names[0]], values[names[-1]]) if len(names) > 1 else None
        cells = [shown(metric, values[name]) for name in names]
        table.append([metric, *cells, "" if quotient is None else f"{quotient:.2f}"])
    for name in names:
        tally = tallies[name]
        if tally.stalled or tally.failed:
            kept = "left out" if tally.quiet else "shown, for want of better"
            table.append([f"{name}: {len(tally.stalled)} stalled ({kept}), {len(tally.failed)} failed"])
    widths = [max(len(row[i]) for row in table if len(row) > i) for i in range(len(table[0]))]
    widths[0] = max(len(metric) for metric in [*metrics, ""])
    print(f"\n{scenario.name} {_words(params)}   median [least .. most] (trials)")
    for row in table:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip())
    sys.stdout.flush()


@dataclass(kw_only=True)
class Settled:
    """A settled master on n1, a settled backup on n2, a client that pings the virtual address."""

    lab: Lab
    wire: Observer
    master: Daemon
    backup: Daemon
    pings: Probe


@contextmanager
def settled_pair(program: Program, advert_int_s: float, priorities: tuple[int, int]) -> Iterator[Settled]:
    with Lab() as lab:
        wire = lab.observer()
        texts = [
            conf.global_defs()
            + conf.instance(priority=priority, advert_int=advert_int_s, addresses=[f"{VIRTUAL_ADDRESS}/16"])
            for priority in priorities
        ]
        master = lab.daemon("n1", program, texts[0]).start()
        wire.await_advert(START_S, src=lab.address("n1"), active=True)
        backup = lab.daemon("n2", program, texts[1]).start()
        pings = lab.probe("c", "icmp", VIRTUAL_ADDRESS, PING_INTERVAL_S)
        pings.await_answer(10)
        wait_until(backup.vrrp_pid, START_S, "the VRRP socket of the backup")
        time.sleep(1.5 + random.random() * advert_int_s)  # a random phase of the advert timer
        if wire.adverts(src=lab.address("n2"), active=True):
            raise LabError("the backup spoke as master before the trial began")
        yield Settled(lab=lab, wire=wire, master=master, backup=backup, pings=pings)
