"""A program as it is run: its words, and as whom. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """User and groups of a process."""

    user: str
    """For people: name of the user, or its number."""
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Supplementary groups, sorted."""

    @property
    def root(self) -> bool:
        """It may do what root may (a group of 0 opens what belongs to root's group)."""
        return self.uid == 0 or self.gid == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A configured script: who runs it is settled, whether it can be run is judged before each run."""

    command: tuple[str, ...]
    """Words as configured, never empty. ``<`` and a path: only whether the file can be opened."""
    identity: Identity | None
    """None: nobody can run it, see ``problem``."""
    problem: str = ""
    """Why it is never run, one line for people: its user does not exist."""
    strict: bool = False
    """enable_script_security."""
    umask: int = 0o177

    @property
    def path(self) -> str:
        """The program as configured; without arguments, which may hold secrets."""
        return self.command[0]
