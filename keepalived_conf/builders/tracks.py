"""Lines of track_* blocks -> TrackRefs with the weight that counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.builders.trackers import Trackers
from keepalived_conf.model import TrackRef
from keepalived_conf.syntax.parser import Statement

_WHAT = {
    "script": ("vrrp_script", "script"),
    "file": ("track_file", "file"),
    "process": ("vrrp_track_process", "process"),
    "bfd": ("bfd_instance", "BFD session"),
}
"""Kind -> (keyword that defines it, what it is called)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracks:
    """What an instance or a group follows. Fields as in the models."""

    track_interface: tuple[TrackRef, ...] = ()
    track_script: tuple[TrackRef, ...] = ()
    track_file: tuple[TrackRef, ...] = ()
    track_process: tuple[TrackRef, ...] = ()
    track_bfd: tuple[TrackRef, ...] = ()


def tracks(reader: Reader, trackers: Trackers, read: Read, who: str, order: int) -> Tracks:
    """Of the block ``who``, the ``order``-th of the top level. What is not defined above is left out."""
    found: dict[str, tuple[TrackRef, ...]] = {}
    for kind in ("interface", *_WHAT):
        keyword = f"track_{kind}"
        kept: dict[str, TrackRef] = {}
        for line, ref in zip(read.lines.get(keyword, ()), read.get(keyword, ()), strict=True):
            effective = (
                ref if kind == "interface" else _resolved(reader, trackers, line, kind, ref, who, order)
            )
            if effective is None:
                continue
            if ref.name in kept:
                _complain(reader, line, "duplicate-track", f"({who}) {ref.name} is listed twice in {keyword}")
            else:
                kept[ref.name] = effective
        found[keyword] = tuple(kept.values())
    return Tracks(**found)


def _resolved(
    reader: Reader, trackers: Trackers, line: Statement, kind: str, ref: TrackRef, who: str, order: int
) -> TrackRef | None:
    defined = trackers.defined.get((kind, ref.name))
    block, what = _WHAT[kind]
    if defined is None or defined.order > order:
        below = defined is not None
        _complain(
            reader,
            line,
            "undefined-tracker",
            f"({who}) there is no {what} {ref.name}" + (" above this line" if below else ""),
            hint=f"move its {block} block above this one" if below else f"define it: {block} {ref.name} {{",
        )
        return None
    return replace(
        ref,
        weight=defined.weight.value if ref.weight is None else ref.weight,
        reverse=defined.weight.reverse if ref.reverse is None else ref.reverse,
    )


def _complain(reader: Reader, line: Statement, code: str, message: str, *, hint: str = "") -> None:
    reader.diagnostics.error(
        line.place, code, f"{message}; the line is ignored", hint=hint, width=len(line.words[0].text)
    )
