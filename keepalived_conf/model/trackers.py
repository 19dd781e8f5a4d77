"""What priorities follow: scripts, processes, files; and how an instance or a group names them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from keepalived_conf.model.base import Places, Script, Weight


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackRef:
    """One line of track_interface, track_script, track_file, track_process or track_bfd."""

    name: str
    weight: int | None = None
    """Added to the priority; a file: multiplied with its number. 0: fault instead. None: that of the
    tracker; in a ``Config`` it is always a number."""
    reverse: bool | None = None
    """Good and bad change places. None: that of the tracker; in a ``Config`` never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptUser:
    """Who runs a script."""

    name: str
    group: str | None = None
    """None: the user's first group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpScript:
    """vrrp_script NAME."""

    name: str
    script: Script
    """Without user and group: ``user`` names them."""
    interval_s: float = 1.0
    timeout_s: float = 1.0
    """How long a run may take; the interval unless written."""
    weight: Weight = field(default_factory=lambda: Weight(value=0))
    rise: int = 1
    """Good runs in a row that make it good."""
    fall: int = 1
    """Bad runs in a row that make it bad."""
    user: ScriptUser | None = None
    """None: script_user."""
    init_fail: bool = False
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackProcess:
    """vrrp_track_process NAME."""

    name: str
    process: tuple[str, ...]
    """Path or name, then the parameters that it must have."""
    param_match: Literal["exact", "initial", "partial"] | None = None
    """None: parameters are not compared."""
    full_command: bool = False
    """Compare with the whole command line, not with the short name the kernel keeps."""
    weight: Weight = field(default_factory=lambda: Weight(value=0))
    quorum: int = 1
    """Good from this many processes on; 0 only with ``quorum_max`` 0."""
    quorum_max: int | None = None
    """Good up to this many; None: without limit."""
    terminate_delay_s: float = 0.0
    fork_delay_s: float = 0.0
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class InitFile:
    """What a tracked file is created with at start."""

    value: int = 0
    overwrite: bool = False
    """Also when the file is there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackFile:
    """track_file NAME (vrrp_track_file is its old name)."""

    name: str
    file: str
    weight: Weight = field(default_factory=lambda: Weight(value=1))
    init_file: InitFile | None = None
    places: Places = field(default_factory=dict, compare=False, repr=False)
