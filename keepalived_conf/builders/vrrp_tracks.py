"""What an instance follows, as its priority and its sync group allow it."""

from __future__ import annotations

from dataclasses import replace

from keepalived_conf.builders.tracks import Tracks
from keepalived_conf.builders.vrrp_draft import OWNER_PRIORITY, Draft
from keepalived_conf.model import SyncGroup, TrackRef
from keepalived_conf.syntax.parser import Statement

DEFAULT_FILE_WEIGHT = 1


def effective_tracks(
    draft: Draft, wanted: Tracks, *, interface: str, priority: int, group: SyncGroup | None
) -> Tracks:
    """Trackers that count: an address owner and, unless its group says otherwise, a member of a sync group
    have no weights."""
    interfaces = _not_own(draft, wanted.track_interface, interface)
    grouped = group is not None and not group.sync_group_tracking_weight
    found = replace(wanted, track_interface=interfaces)
    if grouped or priority == OWNER_PRIORITY:
        found = _without_weights(draft, found, grouped=grouped)
    if group is not None:
        _check_twice(draft, found, group, interface)
    return found


def _check_twice(draft: Draft, found: Tracks, group: SyncGroup, interface: str) -> None:
    """Interfaces that the group follows as well."""
    own = "" if draft.read.get("dont_track_primary", False) else interface
    listed = {ref.name for ref in found.track_interface}
    for ref in group.track_interface:
        if ref.name not in listed and ref.name != own:
            continue
        place = (
            line_of(draft, "track_interface", ref.name).place
            if ref.name in listed
            else group.places.get("track_interface")
        )
        draft.diagnostics.error(
            place,
            "tracked-twice",
            f"({draft.name}) {ref.name} is followed by vrrp_sync_group {group.name} and by the instance",
            hint="take it out of the instance" if ref.name in listed else "take it out of the group",
            width=len(ref.name) if ref.name in listed else len("track_interface"),
        )


def line_of(draft: Draft, keyword: str, name: str) -> Statement:
    return next(
        (line for line in draft.read.lines.get(keyword, ()) if line.words[0].text == name), draft.statement
    )


def _not_own(draft: Draft, refs: tuple[TrackRef, ...], interface: str) -> tuple[TrackRef, ...]:
    for ref in refs:
        if ref.name == interface:
            line = line_of(draft, "track_interface", ref.name)
            draft.error_at(
                line,
                0,
                "own-interface-tracked",
                f"{ref.name} is the interface of the instance and followed anyway; the line is ignored",
                hint="take it out; dont_track_primary stops following it",
            )
    return tuple(ref for ref in refs if ref.name != interface)


def _without_weights(draft: Draft, wanted: Tracks, *, grouped: bool) -> Tracks:
    why = "a member of a sync group" if grouped else "an address owner (priority 255)"
    hint = "write sync_group_tracking_weight in the group" if grouped else "use a priority below 255"

    def dropped(keyword: str, refs: tuple[TrackRef, ...]) -> tuple[TrackRef, ...]:
        for ref in refs:
            if ref.weight:
                complain(keyword, ref, "it is not followed")
        return tuple(ref for ref in refs if not ref.weight)

    def zeroed(keyword: str, refs: tuple[TrackRef, ...]) -> tuple[TrackRef, ...]:
        for ref in refs:
            if ref.weight:
                complain(keyword, ref, "weight 0 is taken: fault instead")
        return tuple(replace(ref, weight=0) for ref in refs)

    def complain(keyword: str, ref: TrackRef, what: str) -> None:
        draft.error_at(
            line_of(draft, keyword, ref.name),
            0,
            "weight-ignored",
            f"{ref.name} has a weight, which {why} cannot have; {what}",
            hint=hint,
        )

    interfaces = (zeroed if grouped else dropped)("track_interface", wanted.track_interface)
    plain = tuple(ref for ref in wanted.track_file if ref.weight == DEFAULT_FILE_WEIGHT)
    zeroed("track_file", plain)
    others = tuple(ref for ref in wanted.track_file if ref.weight not in (0, DEFAULT_FILE_WEIGHT))
    dropped("track_file", others)
    return replace(
        wanted,
        track_interface=interfaces,
        track_script=dropped("track_script", wanted.track_script),
        track_file=tuple(replace(ref, weight=0) for ref in wanted.track_file if ref not in others),
        track_bfd=dropped("track_bfd", wanted.track_bfd),
    )
