"""The command line that all benchmarks share, and what it chooses."""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import shlex
import signal
import sys
import time
from collections.abc import Sequence

from tests.lab import programs
from tests.lab.programs import Program
from tests.lab.system import LabError


def arguments(
    description: str, argv: Sequence[str] | None, unit: str, wanted: tuple[str, int], quiet_wait_s: float
) -> argparse.Namespace:
    """``unit``: what is repeated (trial, round); ``wanted``: the option that says how often, its default."""
    option, count = wanted
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(option, type=int, default=count, help=f"undisturbed {unit}s wanted of each daemon")
    parser.add_argument("--max-tries", type=float, default=2.0, help="at most so many times as many")
    parser.add_argument("--max-stall", type=float, default=0.010, metavar="S", help="longer: done again")
    parser.add_argument(
        "--quiet-wait", type=float, default=quiet_wait_s, metavar="S", help=f"patience before a {unit}"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, help=f"append every {unit} as a JSON line to this file")
    parser.add_argument("--only", nargs="*", metavar="SCENARIO", help="run only these scenarios")
    parser.add_argument(
        "--daemon",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="one more daemon that takes keepalived's command line; NAME alone: ours or keepalived "
        "(default: both)",
    )
    return parser.parse_args(argv)


def compared(options: argparse.Namespace, scenarios: Sequence[str]) -> list[Program]:
    """The daemons to compare, the first is the one that ratios are of. SystemExit (2), with the reason told,
    where nothing can be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid():
        raise _refusal("needs root (network namespaces): sudo ./run bench ...")
    if unknown := set(options.only or ()) - set(scenarios):
        there = ", ".join(scenarios)
        raise _refusal(f"no such scenario: {', '.join(sorted(unknown))} (there are: {there})")
    random.seed(options.seed)
    found = []
    for text in options.daemon or ["ours", "keepalived"]:
        name, equals, command = text.partition("=")
        try:
            found.append(
                Program(name=name, argv=tuple(shlex.split(command))) if equals else programs.program(name)
            )
        except LabError as error:
            raise _refusal(str(error)) from None
    return found


def _refusal(reason: str) -> SystemExit:
    print(f"bench: {reason}", file=sys.stderr)
    return SystemExit(2)


def pause(seconds: float) -> float:
    """Sleep in small pieces; returns the longest time overslept."""
    worst, end = 0.0, time.monotonic() + seconds
    while (before := time.monotonic()) < end:
        time.sleep(0.005)
        worst = max(worst, time.monotonic() - before - 0.005)
    return worst
