"""The flight recorder of vrrp: what each virtual router was told, and what it made of it.

An entry is at most 56 octets: instant (CLOCK_BOOTTIME s), slot, kind, then what fits. A transition is two
entries, the second with the words that do not fit into the first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import ip_address

from keepalived_conf.model import IpAddress

_HEAD = struct.Struct("!dHB")
_ADVERT, _EVENT, _TRANSITION, _WORDS = 1, 2, 3, 4
_CHANGE = struct.Struct("!ccBBH")  # from, to, own priority, peer's, lateness in ms
_STATES = {"I": "INIT", "B": "BACKUP", "M": "MASTER", "F": "FAULT"}
_LATE_MAX_MS = 0xFFFF
_ROOM = 56 - _HEAD.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One entry, read back."""

    at: float
    slot: int
    text: str
    change: Change | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A transition as it was noted."""

    from_state: str
    to_state: str
    trigger: str
    """Value of ``effects.Trigger``."""
    reason: str
    """Value of ``effects.Reason``, cut where there was no room."""
    own_priority: int
    peer: IpAddress | None
    peer_priority: int
    late_s: float
    detail: str = ""


def advert(at: float, slot: int, priority: int, source: IpAddress) -> bytes:
    """An advert was heard."""
    return _HEAD.pack(at, slot, _ADVERT) + bytes((priority,)) + source.packed


def event(at: float, slot: int, words: str) -> bytes:
    """The router was told something: the name of the event and what fits of its words."""
    return _HEAD.pack(at, slot, _EVENT) + _cut(words)


def transition(at: float, slot: int, change: Change) -> list[bytes]:
    """It changed its state: one entry, or two when there are words to keep."""
    late_ms = min(_LATE_MAX_MS, max(0, round(change.late_s * 1000)))
    head = _CHANGE.pack(
        change.from_state[:1].encode(), change.to_state[:1].encode(), change.own_priority,
        change.peer_priority, late_ms,
    )  # fmt: skip
    peer = change.peer.packed if change.peer is not None else b""
    body = head + bytes((len(peer),)) + peer + f"{change.trigger} {change.reason}".encode()
    entries = [_HEAD.pack(at, slot, _TRANSITION) + body[:_ROOM]]
    if change.detail:
        entries.append(_HEAD.pack(at, slot, _WORDS) + _cut(change.detail))
    return entries


def _cut(words: str) -> bytes:
    return words.encode("utf-8", "replace")[:_ROOM]


def read(data: bytes) -> Note:
    """One entry. ValueError when it is none."""
    if len(data) <= _HEAD.size:
        raise ValueError(f"{len(data)} octets are no flight-recorder entry of vrrp")
    at, slot, kind = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if kind == _ADVERT:
        return Note(at=at, slot=slot, text=f"advert priority {body[0]} from {ip_address(body[1:])}")
    if kind == _TRANSITION:
        change = _read_change(body)
        return Note(at=at, slot=slot, text=f"{change.from_state} -> {change.to_state}", change=change)
    return Note(at=at, slot=slot, text=body.decode("utf-8", "replace"))


def _read_change(body: bytes) -> Change:
    try:
        before, after, own, theirs, late_ms = _CHANGE.unpack_from(body)
        length = body[_CHANGE.size]
        packed = body[_CHANGE.size + 1 : _CHANGE.size + 1 + length]
        words = body[_CHANGE.size + 1 + length :].decode("utf-8", "replace")
        trigger, _, reason = words.partition(" ")
        return Change(
            from_state=_STATES.get(before.decode("latin-1"), "?"),
            to_state=_STATES.get(after.decode("latin-1"), "?"),
            trigger=trigger,
            reason=reason,
            own_priority=own,
            peer=ip_address(packed) if packed else None,
            peer_priority=theirs,
            late_s=late_ms / 1000,
        )
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError(f"no flight-recorder entry of a transition: {error}") from None


def read_all(entries: list[bytes]) -> list[Note]:
    """What a ring held, oldest first; the words of a transition are joined to it, damage is left out."""
    found: list[Note] = []
    for data in entries:
        try:
            note = read(data)
        except ValueError:
            continue
        last = found[-1] if found else None
        is_words = len(data) > _HEAD.size and data[_HEAD.size - 1] == _WORDS
        if is_words:
            if last is not None and last.change is not None and (last.at, last.slot) == (note.at, note.slot):
                found[-1] = Note(
                    at=last.at, slot=last.slot, text=f"{last.text} ({note.text})",
                    change=replace(last.change, detail=note.text),
                )  # fmt: skip
            continue
        found.append(note)
    return found
