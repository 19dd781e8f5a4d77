"""``pykeepalived step-down`` and ``resume``: words, and what is printed. Runs in the operator's process."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from supervisor.maintenance import ANSWER_LIMIT_S
from supervisor.operator import ask

VERBS = ("step-down", "resume")
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str) -> float:
    """``90``, ``90s``, ``10m``, ``2h``, ``1d`` in seconds. Raises ArgumentTypeError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 90s, 10m, 2h or 1d")
    return float(found[1]) * _UNITS_S[found[2]]


def add_arguments(words: argparse.ArgumentParser, verb: str) -> None:
    who = words.add_mutually_exclusive_group(required=True)
    who.add_argument("name", nargs="?", help="vrrp_instance or vrrp_sync_group")
    who.add_argument("--all", action="store_true", help="every vrrp_instance")
    if verb == "step-down":
        words.description = (
            "Hand the mastership over and hold the instance back: it takes part with priority 1, whatever is"
            " configured, until 'resume'. It is master only when no other router is there."
        )
        words.add_argument("--reason", default="", help="shown by 'status' and in the log")
        words.add_argument(
            "--for", dest="for_s", type=duration_s, default=0.0, metavar="T", help="10m, 2h ..."
        )
    else:
        words.description = "End a step-down: the instance takes part with its own priority again."


def command(path: Path, verb: str, given: argparse.Namespace) -> int:
    """Ask the daemon and print what came of it. Raises OperatorError."""
    name = "" if given.all else str(given.name)
    timeout_s = ANSWER_LIMIT_S + 5.0
    if verb == "step-down":
        answer = ask(path, verb, name=name, reason=given.reason, for_s=given.for_s, timeout_s=timeout_s)
    else:
        answer = ask(path, verb, name=name, timeout_s=timeout_s)
    print(answer["text"])
    return 0
