"""Groups of instances and interfaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.base import Places, Script
from keepalived_conf.model.trackers import TrackRef


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncGroup:
    """vrrp_sync_group NAME: instances that change state together."""

    name: str
    members: tuple[str, ...]
    """Names of instances that exist, each in this group only; never empty."""
    track_interface: tuple[TrackRef, ...] = ()
    track_script: tuple[TrackRef, ...] = ()
    track_file: tuple[TrackRef, ...] = ()
    track_process: tuple[TrackRef, ...] = ()
    track_bfd: tuple[TrackRef, ...] = ()
    """Followed by every member."""
    notify_backup: Script | None = None
    notify_master: Script | None = None
    notify_fault: Script | None = None
    notify_stop: Script | None = None
    notify: Script | None = None
    smtp_alert: bool = False
    sync_group_tracking_weight: bool = False
    """Weights of trackers of the members count; otherwise they are dropped."""
    notify_priority_changes: bool | None = None
    """For members that do not say it themselves; None: vrrp_notify_priority_changes."""
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class GarpGroup:
    """garp_group: interfaces that share a rate of gratuitous ARPs and neighbour advertisements."""

    interfaces: tuple[str, ...] = ()
    """Each in one group only."""
    garp_interval_s: float | None = None
    """Gap between two of them over the whole group; None: not set here."""
    gna_interval_s: float | None = None
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackGroup:
    """track_group NAME: static entries that name it are followed by these instances."""

    name: str
    members: tuple[str, ...]
    """Names of instances, as written; never empty."""
    places: Places = field(default_factory=dict, compare=False, repr=False)
