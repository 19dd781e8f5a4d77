"""What priorities follow: scripts, processes, files."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.base import Places


@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpScript:
    """vrrp_script NAME."""

    name: str
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackProcess:
    """vrrp_track_process NAME."""

    name: str
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackFile:
    """track_file NAME (vrrp_track_file is its old name)."""

    name: str
    places: Places = field(default_factory=dict, compare=False, repr=False)
