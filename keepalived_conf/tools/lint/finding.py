"""What the linter says: a finding, and what it may ask of the machine.

Pure: the rules see the machine through ``Host`` only, so that each can be tried with made-up facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from keepalived_conf.diagnostics import Diagnostic, Severity
from keepalived_conf.model import IpInterface, Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A mistake that parses: the file says what its author hardly meant."""

    code: str
    """Stable id, ``lint-`` and words with hyphens; docs/lint.md explains each."""
    message: str
    place: Place | None
    """None: about the configuration as a whole."""
    hint: str
    """How to mend it."""
    severity: Severity = Severity.WARNING
    width: int = 1
    """Characters the caret underlines."""
    also: tuple[Place, ...] = ()
    """Further places it is about, such as the line of the other node."""
    secret: bool = False
    """The line may hold a secret and is not shown."""

    @property
    def diagnostic(self) -> Diagnostic:
        """As ``diagnostics.render`` takes it: ``render(finding.diagnostic, result.sources.get)``."""
        also = "; see " + ", ".join(map(str, self.also)) if self.also else ""
        return Diagnostic(
            place=self.place,
            severity=self.severity,
            code=self.code,
            message=self.message + also,
            hint=self.hint,
            width=self.width,
            secret=self.secret,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """A file as the machine has it; links are followed."""

    mode: int
    """Permission bits, as ``stat.S_IMODE`` gives them."""
    uid: int = 0
    gid: int = 0
    regular: bool = True
    weak_path: str = ""
    """First part of its path that somebody else than root could replace; empty: none."""


class Host(Protocol):
    """The machine the configuration is for."""

    def file(self, path: str) -> FileFacts | None:
        """None: there is none, or it cannot be looked at."""

    def real(self, path: str) -> str:
        """The path from the root, links followed."""

    def program(self, name: str) -> str | None:
        """Path of a program that is named without a slash; None: not in PATH."""

    def interfaces(self) -> Mapping[str, tuple[IpInterface, ...]]:
        """Interfaces with their addresses; empty: not known."""

    def user(self, name: str) -> bool:
        """Whether there is a user of that name (or number)."""

    def writable(self, path: str) -> bool:
        """Whether the daemon, as root, could write that file."""

    def cloud(self) -> str:
        """Name of the cloud the machine runs in; empty: none is known."""
