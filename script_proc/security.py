"""Whether a script can and may be run: what keepalived asks of it, without its faults."""

from __future__ import annotations

from dataclasses import dataclass

from script_proc.program import Program


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the file system says about a program at one moment."""

    command: tuple[str, ...]
    """What to execute: the program's path found, its arguments as configured; empty when not ``runnable``."""
    runnable: bool
    reason: str = ""
    """Why it cannot or may not be run, one line for people."""
    warning: str = ""
    """It is run, but somebody else than root could replace what root runs."""


def judge(program: Program) -> Judgement:
    """Look at the program now. Blocks where its file system does: call it from a thread of the runner,
    or once at PREPARE."""
    raise NotImplementedError
