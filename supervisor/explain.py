"""``explain INSTANCE``: why an instance changed its state, from what the bus and the flight recorder hold.

What makes a router leave is often not what ended its mastership: a script lowers the priority, then a better
advert decides. ``explain`` names the first cause, ``kind``, and tells the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bus.messages import (
    Event,
    IpAddress,
    ProcessEvent,
    ReloadEvent,
    StaleEvent,
    TrackerChanged,
    VrrpGroupTransition,
    VrrpInstanceState,
    VrrpPriorityChanged,
    VrrpTransition,
)

AROUND_S = 10.0
"""What happened this long before a transition is shown with it."""
SETTLED_S = 0.25
"""Events of other publishers belong to a transition even when they were told that much after it."""
_RELATED_MAX, _NOTES_MAX = 3, 10
_TRACKER = re.compile(r"\b(interface|script|file|process) (\S+) (?:is|holds)\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """An event and when its publisher said it (CLOCK_BOOTTIME s, and wall time)."""

    at: float
    wall_at: float
    message: Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """An entry of the flight recorder."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One transition, wherever it is known from. ``trigger`` is one of ``bus.messages.Trigger``."""

    at: float
    wall_at: float
    from_state: str
    to_state: str
    trigger: str
    reason: str
    detail: str
    own_priority: int | None
    peer: IpAddress | None
    peer_priority: int | None
    late_s: float
    number: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A transition explained."""

    step: Step
    kind: str
    """The first cause: link, script, file, process, operator, priority 0, better advert, advert lost, ..."""
    why: str
    related: tuple[tuple[float, str], ...]
    """What happened before it: seconds from it (negative: earlier), words."""
    notes: tuple[tuple[float, str], ...] = ()
    """Flight recorder around it, in the same form."""


def step_of(heard: Heard) -> Step:
    """A transition as the bus tells it. ``heard.message`` is a VrrpTransition."""
    message = heard.message
    assert isinstance(message, VrrpTransition)
    cause = message.cause
    reason, _, detail = cause.detail.partition(", ")
    return Step(
        at=heard.at,
        wall_at=heard.wall_at,
        from_state=message.from_state,
        to_state=message.to_state,
        trigger=cause.trigger,
        reason=reason.replace(" ", "_"),
        detail=detail,
        own_priority=cause.own_priority,
        peer=cause.peer,
        peer_priority=cause.peer_priority,
        late_s=cause.late_s or 0.0,
        number=message.number,
    )


def explain(
    instance: str,
    steps: Sequence[Step],
    *,
    events: Sequence[Heard] = (),
    notes: Sequence[Noted] = (),
    record: VrrpInstanceState | None = None,
    last: int = 5,
) -> list[Moment]:
    """The last transitions of an instance, newest first. ``events``: all others of the bus, in any order."""
    ordered = sorted(steps, key=lambda step: (step.number or 0, step.at))
    others = sorted(events, key=lambda heard: heard.at)
    found: list[Moment] = []
    for at, step in enumerate(ordered):
        since = ordered[at - 1].at if at else float("-inf")
        newest = at == len(ordered) - 1
        kind, why = _cause(instance, step, since, others, notes, record if newest else None)
        found.append(
            Moment(
                step=step,
                kind=kind,
                why=why,
                related=tuple(_related(instance, step, since, others)),
                notes=tuple(_around(step, notes)),
            )
        )
    return found[::-1][:last]


# --- the cause ----------------------------------------------------------------------------------------


def _cause(
    instance: str,
    step: Step,
    since: float,
    events: Sequence[Heard],
    notes: Sequence[Noted],
    record: VrrpInstanceState | None,
) -> tuple[str, str]:
    group = _group(instance, step, events, record)
    if group is not None:
        return group
    kind, why = _told(step)
    if kind in ("better advert", "preempted") and step.own_priority is not None:
        deeper = _priority_cause(instance, step, since, events) or _noted_cause(step, since, notes)
        if deeper is None and record is not None:
            deeper = _standing_cause(step, record)
        if deeper is not None:
            return deeper[0], f"{deeper[1]}, then {why}"
    if step.late_s >= 0.01:
        why += f" (acted {step.late_s:.3f} s late)"
    return kind, why


def _told(step: Step) -> tuple[str, str]:
    """(kind, words) from the transition alone."""
    peer = str(step.peer) if step.peer is not None else "another router"
    tracker = _TRACKER.search(step.detail)
    if step.reason == "step_down":
        return "operator", f"an operator stepped it down{_and(step.detail)}"
    if step.reason == "stop":
        removed = "removed from the configuration" in step.detail
        return ("reload" if removed else "stop"), step.detail or "the daemon was stopped"
    if step.trigger in ("script", "tracker") or (tracker and step.reason in ("fault", "fault_over")):
        kind = tracker[1] if tracker else step.trigger
        return ("link" if kind == "interface" else kind), step.detail
    match step.trigger:
        case "link":
            back = "the interface is usable again" if step.reason == "fault_over" else "the link"
            return "link", step.detail or back
        case "address":
            return "address", step.detail or "the address that adverts are sent from went or came"
        case "priority_zero":
            return "priority 0", f"{peer} gave its mastership up (priority 0){_and(step.detail)}"
        case "advert":
            if step.peer_priority is not None and step.peer_priority == step.own_priority:
                same = f"the same priority {step.peer_priority} and the higher address"
                return "better advert", f"{peer} has {same}"
            beats = f"{peer} advertises priority {step.peer_priority}"
            return "better advert", f"{beats}, ours was {step.own_priority}"
        case "timer" if step.reason == "preempted":
            who = (
                f"{peer} has priority {step.peer_priority}"
                if step.peer_priority
                else "a lower priority was master"
            )
            return "preempted", f"{who}, ours is {step.own_priority}"
        case "timer" if step.peer is None:
            return "advert lost", "no other router was heard before the down timer ran out"
        case "timer":
            return "advert lost", f"no advert of {peer} came before the down timer ran out"
        case "operator":
            return "operator", step.detail or "an operator"
    words = step.detail or step.reason.replace("_", " ")
    return step.trigger.replace("_", " "), words


def _and(detail: str) -> str:
    return f": {detail}" if detail else ""


def _kind_of(words: str) -> str | None:
    """What changed a priority, by the words that tell it."""
    tracker = _TRACKER.search(words)
    if tracker:
        return "link" if tracker[1] == "interface" else tracker[1]
    if "operator" in words or "held back" in words:
        return "operator"
    return "reload" if "configur" in words or "reload" in words else None


def _priority_cause(
    instance: str, step: Step, since: float, events: Sequence[Heard]
) -> tuple[str, str] | None:
    """The change of priority without which the advert would not have decided as it did."""
    lost = step.from_state == "MASTER"
    for heard in reversed(events):
        change = heard.message
        if not isinstance(change, VrrpPriorityChanged) or change.instance != instance:
            continue
        if not since <= heard.at <= step.at:
            continue
        if (change.priority < change.before) is not lost:
            continue
        if step.peer_priority is not None and lost and change.before < step.peer_priority:
            continue  # it would have lost anyway
        kind = _kind_of(change.detail)
        if kind is not None:
            word = "lowered" if lost else "raised"
            return kind, f"{change.detail} {word} the priority {change.before} -> {change.priority}"
    return None


def _noted_cause(step: Step, since: float, notes: Sequence[Noted]) -> tuple[str, str] | None:
    """As ``_priority_cause``, from the flight recorder: the last word of a tracker."""
    for note in reversed(notes):
        if since <= note.at <= step.at and (kind := _kind_of(note.text)) is not None:
            return kind, f"{note.text}, our priority was {step.own_priority}"
    return None


def _standing_cause(step: Step, record: VrrpInstanceState) -> tuple[str, str] | None:
    """By what lowers the priority now, when nobody saw it begin."""
    if step.own_priority is None or step.own_priority >= record.base_priority:
        return None
    low = min(record.trackers, key=lambda share: share.share, default=None)
    if low is None or low.share >= 0:
        return None
    kind = "link" if low.tracker_kind == "interface" else low.tracker_kind
    return kind, f"{low.tracker_kind} {low.name} adds {low.share} to the priority {record.base_priority}"


def _group(
    instance: str, step: Step, events: Sequence[Heard], record: VrrpInstanceState | None
) -> tuple[str, str] | None:
    """A sync group took it along: the cause is the one of the member that decided."""
    for heard in reversed(events):
        group = heard.message
        if not isinstance(group, VrrpGroupTransition) or abs(heard.at - step.at) > SETTLED_S:
            continue
        if record is not None and group.group != record.group:
            continue
        if not group.decided_by or group.decided_by == instance or group.to_state != step.to_state:
            continue
        told = Heard(at=heard.at, wall_at=heard.wall_at, message=_as_transition(group))
        kind, why = _told(step_of(told))
        return kind, f"sync group {group.group}, {group.decided_by} decided: {why}"
    return None


def _as_transition(group: VrrpGroupTransition) -> VrrpTransition:
    return VrrpTransition(
        instance=group.decided_by, interface="", vrid=0, family=4, from_state=group.from_state,
        to_state=group.to_state, cause=group.cause, number=group.number, priority=0,
    )  # fmt: skip


# --- what happened around it --------------------------------------------------------------------------


def _related(instance: str, step: Step, since: float, events: Sequence[Heard]) -> Iterable[tuple[float, str]]:
    begin = max(since, step.at - AROUND_S)
    found = [
        (heard.at - step.at, words)
        for heard in events
        if begin < heard.at <= _until(step, heard.message) and (words := _words(instance, heard.message))
    ]
    return found[-_RELATED_MAX:]


def _until(step: Step, message: Event) -> float:
    """vrrp tells its own in order; what another publisher found out may be told a little later."""
    return step.at if isinstance(message, VrrpPriorityChanged) else step.at + SETTLED_S


def _words(instance: str, message: Event) -> str:
    match message:
        case VrrpPriorityChanged() if message.instance == instance:
            return f"priority {message.before} -> {message.priority}: {message.detail}"
        case TrackerChanged():
            before = "?" if message.before is None else message.before
            said = f"{message.tracker_kind} {message.name}: {before} -> {message.value}"
            return f"{said} ({message.reason})" if message.reason else said
        case ProcessEvent() if message.role in ("vrrp", "script", "bus") and message.what in (
            "died", "hung", "killed", "fenced", "starved",
        ):  # fmt: skip
            return f"worker {message.role} {message.what}: {message.why}".rstrip(": ")
        case ReloadEvent() if message.what in ("applied", "rolled_back"):
            return f"reload {message.what.replace('_', ' ')}, generation {message.generation}"
        case StaleEvent():
            return f"records of {message.owner} stale for {message.silent_s:.1f} s"
    return ""


def _around(step: Step, notes: Sequence[Noted]) -> Iterable[tuple[float, str]]:
    near = [note for note in notes if step.at - AROUND_S <= note.at <= step.at + SETTLED_S]
    # What came after matters less than what led to it: two thirds before.
    before = [note for note in near if note.at <= step.at][-(_NOTES_MAX - 2) :]
    after = [note for note in near if note.at > step.at][:2]
    return [(note.at - step.at, note.text) for note in (*before, *after)]
