"""Which processes a vrrp_track_process counts. Pure.

Two names of a process: the short one that the kernel keeps (15 octets at most, /proc/PID/stat), and its
command line (/proc/PID/cmdline): words, each ended by a NUL. Compared octet by octet, as written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keepalived_conf.model import TrackProcess

SHORT_NAME_BYTES = 15
_DEAD = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class Status:
    """What /proc/PID/stat begins with."""

    name: bytes
    state: str
    """R, S, D, T ...; Z: ended, not yet waited for."""

    @property
    def ended(self) -> bool:
        return self.state in _DEAD


def parse_status(stat: bytes) -> Status | None:
    """``PID (NAME) STATE ...``; None: that it is not. NAME may hold anything, brackets too."""
    begin, end = stat.find(b"("), stat.rfind(b")")
    if begin < 0 or end < begin:
        return None
    return Status(stat[begin + 1 : end], stat[end + 2 : end + 3].decode("ascii", "replace"))


def _octets(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")


class Rule:
    """One vrrp_track_process, ready to be compared."""

    def __init__(self, wanted: TrackProcess) -> None:
        self.name = wanted.name
        self.program = _octets(wanted.process[0])
        self.parameters = b"".join(_octets(word) + b"\0" for word in wanted.process[1:])
        self.param_match = wanted.param_match
        self.full_command = wanted.full_command

    @property
    def never_matches(self) -> bool:
        """The short name of no process is as long as this one."""
        return not self.full_command and len(self.program) > SHORT_NAME_BYTES

    def matches(self, name: bytes, command_line: bytes) -> bool:
        """``name``: the short one."""
        if not self.full_command:
            return name == self.program
        program, _, parameters = command_line.partition(b"\0")
        if program != self.program or not command_line:
            return False
        if self.param_match is None:
            return True
        if self.param_match == "exact":
            return parameters == self.parameters
        if self.param_match == "initial":
            # The last parameter may go on.
            return len(parameters) >= len(self.parameters) and parameters.startswith(self.parameters[:-1])
        return parameters.startswith(self.parameters)


class Rules:
    """All of them, and what has to be read of a process to judge it."""

    def __init__(self, wanted: Iterable[TrackProcess]) -> None:
        self._rules = tuple(Rule(one) for one in wanted)
        self.short_names = not all(rule.full_command for rule in self._rules)
        self.command_lines = any(rule.full_command for rule in self._rules)
        """Command lines are needed. Reading one may have to bring a process back from swap."""
        words = [len(rule.program) + 1 + len(rule.parameters) for rule in self._rules if rule.full_command]
        self.command_line_bytes = max(words, default=0) + 2
        """More of it decides nothing."""
        self.never = tuple(rule.name for rule in self._rules if rule.never_matches)

    def matching(self, name: bytes, command_line: bytes) -> frozenset[str]:
        """Names of the trackers that count such a process."""
        return frozenset(rule.name for rule in self._rules if rule.matches(name, command_line))
