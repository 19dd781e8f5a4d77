"""The shell of ``explain``: asks the bus, reads the black box, prints one screen or JSON."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.messages import Event, VrrpInstanceState, VrrpTransition
from bus.replica import EventHappened, Record, Snapshot
from bus.subscriber import Subscriber
from supervisor import rundir
from supervisor.explain import Heard, Moment, Noted, Step, explain, step_of
from supervisor.view import BUS_PATIENCE_S, plain, span
from vrrp_proc import flight
from vrrp_proc.record import RecordError, RecordState, ResumeRecord, digest_name
from worker.blackbox import BlackBox, BoxError
from worker.clock import boottime

_STREAMS = ("s.vrrp", "e.vrrp", "e.script", "e.supervisor")
_TRIGGERS = {"startup": "start", "stall": "resume"}
_BY_REASON = {"owner": "owner", "priority_zero": "priority_zero", "stop": "stop"}
_STATES = {RecordState.BECOMING_MASTER: "MASTER", RecordState.LEAVING: "BACKUP"}


@dataclass(kw_only=True, slots=True)
class Sources:
    """What could be found out."""

    record: VrrpInstanceState | None = None
    instances: list[str] = field(default_factory=list)
    events: list[Heard] = field(default_factory=list)
    bus_answers: bool = False
    resume: ResumeRecord | None = None
    changes: list[Step] = field(default_factory=list)
    notes: list[Noted] = field(default_factory=list)
    box_why: str = ""
    """Why there is nothing of the flight recorder; empty: there is."""


def run(run_dir: Path, instance: str, *, as_json: bool, last: int) -> int:
    """Print why ``instance`` is in its state. Returns 0, or 1 when nothing is known of it."""
    found = Sources()
    _ask_bus(run_dir, instance, found)
    _read_box(run_dir, instance, found)
    if found.record is None and found.resume is None:
        if found.bus_answers:
            names = ", ".join(sorted(found.instances)) or "none"
            print(f"pykeepalived: no vrrp_instance {instance}; there are: {names}")
        else:
            print(f"pykeepalived: {instance}: the bus does not answer, and {found.box_why}")
        return 1
    moments = _moments(instance, found, last)
    if as_json:
        print(json.dumps(_as_json(instance, found, moments), indent=1, default=str))
    else:
        print("\n".join(_as_text(instance, found, moments)))
    return 0


def _moments(instance: str, found: Sources, last: int) -> list[Moment]:
    told = [
        heard for heard in found.events
        if isinstance(heard.message, VrrpTransition) and heard.message.instance == instance
    ]  # fmt: skip
    steps = [step_of(heard) for heard in told] or found.changes
    others = [heard for heard in found.events if not isinstance(heard.message, VrrpTransition)]
    return explain(instance, steps, events=others, notes=found.notes, record=found.record, last=last)


# --- the bus --------------------------------------------------------------------------------------------


def _ask_bus(run_dir: Path, instance: str, found: Sources) -> None:
    if not (run_dir / "out").exists():
        return
    with Subscriber(endpoint=f"ipc://{run_dir}/out", streams=_STREAMS) as bus:
        for update in bus.join(BUS_PATIENCE_S):
            if isinstance(update, Snapshot):
                found.events += _heard(update.records)
            elif isinstance(update, EventHappened):
                found.events += _heard([update.record])
        found.bus_answers = bus.joined("s.vrrp") and bus.joined("e.vrrp")
        for record in bus.records("s.vrrp").values():
            if isinstance(record.message, VrrpInstanceState):
                found.instances.append(record.message.instance)
                if record.message.instance == instance:
                    found.record = record.message


def _heard(records: Iterable[Record]) -> list[Heard]:
    return [
        Heard(at=record.at, wall_at=record.wall_at, message=record.message)
        for record in records
        if isinstance(record.message, Event)
    ]


# --- the black box --------------------------------------------------------------------------------------


def _read_box(run_dir: Path, instance: str, found: Sources) -> None:
    folder = rundir.box_dir(run_dir)
    if folder is None:
        found.box_why = "there is no black box on a file system in memory"
        return
    path = folder / "box.vrrp"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        found.box_why = f"{path}: {(error.strerror or str(error)).lower()}"
        return
    try:
        box = BlackBox.attach(fd)
    except (BoxError, OSError, ValueError) as error:
        found.box_why = f"{path}: {error}"
        return
    finally:
        os.close(fd)
    try:
        _take(box, instance, found)
    finally:
        box.close()


def _take(box: BlackBox, instance: str, found: Sources) -> None:
    digest, slot = digest_name(instance), None
    for index in range(min(box.slots, box.records)):
        data = box.read(index)
        if data is None:
            break
        with contextlib.suppress(RecordError):
            record = ResumeRecord.unpack(data)
            if record.name_digest == digest:
                slot, found.resume = index, record
                break
    if slot is None:
        found.box_why = f"the black box has no record of {instance}"
        return
    now, wall_now = boottime(), time.time()
    for note in flight.read_all(box.recorded()):
        if note.slot != slot:
            continue
        found.notes.append(Noted(at=note.at, text=note.text))
        if note.change is not None:
            found.changes.append(_step(note.change, note.at, wall_now - (now - note.at)))


def _step(change: flight.Change, at: float, wall_at: float) -> Step:
    """A transition as the flight recorder tells it, in the words of the bus."""
    trigger = _TRIGGERS.get(change.trigger, change.trigger)
    return Step(
        at=at,
        wall_at=wall_at,
        from_state=change.from_state,
        to_state=change.to_state,
        trigger=_BY_REASON.get(change.reason, trigger),
        reason=change.reason,
        detail=change.detail,
        own_priority=change.own_priority,
        peer=change.peer,
        peer_priority=change.peer_priority,
        late_s=change.late_s,
    )


# --- showing --------------------------------------------------------------------------------------------


def _as_text(instance: str, found: Sources, moments: list[Moment]) -> Iterable[str]:
    yield from _head(instance, found)
    if not found.bus_answers:
        yield "the bus does not answer: this is what the black box holds"
    yield ""
    if not moments:
        yield "no transition is known: the events of the bus and the flight recorder begin later"
    for moment in moments:
        step = moment.step
        number = f" #{step.number}" if step.number is not None else ""
        change = f"{step.from_state} -> {step.to_state}{number}"
        yield f"{_clock(step.wall_at)}  {change}  {moment.kind}: {moment.why}"
        yield from (f"    {at:+9.3f} s  {words}" for at, words in moment.related)
    if found.box_why and found.bus_answers:
        yield ""
        yield f"no flight recorder: {found.box_why}"
    elif moments and moments[0].notes:
        yield ""
        yield "flight recorder around the last transition:"
        yield from (f"    {at:+9.3f} s  {words}" for at, words in moments[0].notes)


def _head(instance: str, found: Sources) -> Iterable[str]:
    now, record, resume = boottime(), found.record, found.resume
    if record is not None:
        master = f", master {record.master_address}" if record.master_address is not None else ""
        theirs = f" (priority {record.master_priority})" if record.master_priority is not None else ""
        yield (
            f"{instance} on {record.interface}, VRID {record.vrid}, IPv{record.family}: {record.state}"
            f" for {span(now - record.since_at)}, priority {record.priority} of {record.base_priority}"
            f"{master}{theirs}"
        )
        if record.group:
            yield f"member of sync group {record.group}"
        if record.held_back:
            until = record.held_back_until_wall_at
            end = f"until {_clock(until)}" if until is not None else "until 'resume'"
            yield f"held back by the operator {end}: {record.held_back}"
        for share in record.trackers:
            does = "keeps it in FAULT" if share.fault else f"adds {share.share:+d} (weight {share.weight})"
            value = "not known yet" if share.value is None else share.value
            old = ", held: its owner is silent" if share.stale else ""
            yield f"  {share.tracker_kind} {share.name} = {value}{old}: {does}"
    elif resume is not None:
        state = _STATES.get(resume.state, resume.state.name)
        master = f", master {resume.master_address}" if resume.master_address is not None else ""
        yield (
            f"{instance}, VRID {resume.virtual_router_id}, IPv{resume.family}: {state} for"
            f" {span(now - resume.since_at)}, priority {resume.priority} of {resume.base_priority}{master}"
        )


def _clock(wall_at: float) -> str:
    moment = datetime.datetime.fromtimestamp(wall_at).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _as_json(instance: str, found: Sources, moments: list[Moment]) -> dict[str, Any]:
    resume = found.resume
    return {
        "instance": instance,
        "bus_answers": found.bus_answers,
        "state": plain(found.record) if found.record is not None else None,
        "black_box": None
        if resume is None
        else {
            "state": _STATES.get(resume.state, resume.state.name),
            "priority": resume.priority,
            "base_priority": resume.base_priority,
            "since_at": resume.since_at,
            "master_address": None if resume.master_address is None else str(resume.master_address),
        },
        "no_flight_recorder": found.box_why or None,
        "transitions": [
            {
                **plain(moment.step),
                "kind": moment.kind,
                "why": moment.why,
                "related": [{"at_s": round(at, 6), "what": words} for at, words in moment.related],
                "flight_recorder": [{"at_s": round(at, 6), "what": words} for at, words in moment.notes],
            }
            for moment in moments
        ],
    }
