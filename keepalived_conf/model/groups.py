"""Groups of instances and interfaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.base import Places


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncGroup:
    """vrrp_sync_group NAME."""

    name: str
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class GarpGroup:
    """garp_group: interfaces that share a rate of gratuitous ARPs."""

    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackGroup:
    """track_group NAME: static entries that follow these instances."""

    name: str
    places: Places = field(default_factory=dict, compare=False, repr=False)
