"""What a worker is given when it is forked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker import privileges
from worker.control import WorkerEnd

HEARTBEAT_S = 0.4
"""A worker says that it works at this interval, from the code that does the work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line says to workers."""

    log_level: str = "info"
    log_format: str = "auto"
    detail: int = 0
    """How often -D was given."""
    release_vips: bool = True
    """False with -V: addresses stay, and no priority 0 is sent, at a stop."""
    dont_release_ipvs: bool = False
    """-I: the IPVS table stays at a stop."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Fault hooks for the project's own tests (PYKEEPALIVED_FAULT), empty in production."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerContext:
    """Everything a worker process may rely on. See docs/internals.md."""

    role: str
    incarnation: int
    """Grows over all incarnations of the role, also over restarts of the supervisor."""
    control: WorkerEnd
    box_fd: int | None = None
    kept_fds: Mapping[str, int] = field(default_factory=dict)
    """Descriptors that earlier incarnations (or the supervisor, ``listen:...``) left, by name."""
    run_dir: Path
    bus_ingress: str
    bus_out: str
    options: Options = field(default_factory=Options)
    uid: int | None = None
    """User to become; None: stay."""
    capabilities: tuple[str, ...] = ()
    """What to keep, e.g. ("NET_ADMIN", "NET_RAW")."""

    def drop_privileges(self, *, starts_programs: bool = False) -> list[str]:
        """Become ``uid`` with ``capabilities`` only. Returns what could not be done, in words.

        ``starts_programs``: programs that it starts as another user may have all rights of that user."""
        return privileges.drop(self.uid, self.capabilities, starts_programs=starts_programs)
