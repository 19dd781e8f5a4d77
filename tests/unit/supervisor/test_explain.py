"""``explain``: the first cause of each transition is named, from the bus and from the black box alone."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bus import messages
from bus.messages import Event, TrackerShare, TransitionCause, VrrpInstanceState, VrrpTransition
from supervisor import explain_cli, rundir
from supervisor.explain import Heard, Moment, Noted, explain, step_of
from vrrp_proc import flight
from vrrp_proc.record import RecordState, ResumeRecord, digest_name
from worker.blackbox import BlackBox
from worker.clock import boottime

PEER = IPv4Address("192.0.2.2")
AT = 1000.0


def heard(message: Event, at: float = AT) -> Heard:
    return Heard(at=at, wall_at=at + 1e9, message=message)


def transition(before: str, after: str, trigger: str, detail: str, **changes: Any) -> VrrpTransition:
    cause = TransitionCause(trigger=trigger, detail=detail, **{"own_priority": 100, **changes})  # type: ignore[arg-type]
    return VrrpTransition(
        instance="VI_1", interface="e0", vrid=51, family=4, from_state=before, to_state=after,  # type: ignore[arg-type]
        cause=cause, number=3, priority=100,
    )  # fmt: skip


def record(**changes: Any) -> VrrpInstanceState:
    found = VrrpInstanceState(
        instance="VI_1", interface="e0", vrid=51, family=4, version=3, state="BACKUP", priority=80,
        base_priority=100, advert_int_cs=100, master_address=PEER, master_priority=90, addresses=(),
        since_at=AT, since_wall_at=0.0, transitions=3, cause=TransitionCause(trigger="advert"),
    )  # fmt: skip
    return replace(found, **changes)


def priority(before: int, after: int, detail: str) -> messages.VrrpPriorityChanged:
    return messages.VrrpPriorityChanged(
        instance="VI_1", state="MASTER", priority=after, before=before, detail=detail
    )


def one(said: VrrpTransition, *events: Heard, **more: Any) -> Moment:
    (found,) = explain("VI_1", [step_of(heard(said))], events=events, **more)
    return found


BEATEN = transition("MASTER", "BACKUP", "advert", "beaten", peer=PEER, peer_priority=90, own_priority=80)
BY_SCRIPT = priority(100, 80, "script chk is bad (exit status 1)")

CAUSES = {
    "link": transition("MASTER", "FAULT", "link", "fault, interface e0 is down"),
    "script": transition("MASTER", "FAULT", "script", "fault, script chk is bad (exit status 1)"),
    "file": transition("MASTER", "FAULT", "tracker", "fault, file load holds -300"),
    "process": transition("MASTER", "FAULT", "tracker", "fault, process nginx is bad (0 of 1)"),
    "operator": transition("MASTER", "BACKUP", "operator", "step down, kernel upgrade"),
    "priority 0": transition(
        "BACKUP", "MASTER", "priority_zero", "priority zero", peer=PEER, peer_priority=0
    ),
    "better advert": transition(
        "MASTER", "BACKUP", "advert", "beaten", peer=PEER, peer_priority=150, own_priority=100
    ),
    "advert lost": transition("BACKUP", "MASTER", "timer", "master no response", peer=PEER),
    "stop": transition("MASTER", "INIT", "stop", "stop, told to stop"),
    "reload": transition("MASTER", "INIT", "stop", "stop, removed from the configuration"),
    "address": transition("MASTER", "FAULT", "address", "fault, no address on e0"),
    "start": transition("INIT", "BACKUP", "start", "start, resume rule 1, no record"),
}


@pytest.mark.parametrize("kind", CAUSES)
def test_each_cause_is_named(kind: str) -> None:
    moment = one(CAUSES[kind])
    assert moment.kind == kind
    assert moment.why


def test_a_tracked_interface_is_a_link() -> None:
    assert one(transition("BACKUP", "FAULT", "link", "fault, interface e1 is down")).kind == "link"


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("script chk is bad (exit status 1)", "script"),
        ("file load holds -30", "file"),
        ("process nginx is bad", "process"),
        ("interface e1 is down", "link"),
        ("held back by the operator: upgrade", "operator"),
    ],
)
def test_what_lowered_the_priority_is_the_cause_of_a_better_advert(detail: str, kind: str) -> None:
    moment = one(BEATEN, heard(priority(100, 80, detail), AT - 3))
    assert moment.kind == kind
    assert detail in moment.why and "192.0.2.2 advertises priority 90, ours was 80" in moment.why
    assert moment.related == ((-3.0, f"priority 100 -> 80: {detail}"),)


def test_a_change_that_decided_nothing_is_not_the_cause() -> None:
    stronger = replace(BEATEN, cause=replace(BEATEN.cause, peer_priority=150))
    assert one(stronger, heard(BY_SCRIPT, AT - 3)).kind == "better advert"  # it would have lost anyway
    assert one(BEATEN, heard(priority(70, 80, "script chk is good"), AT - 3)).kind == "better advert"
    assert one(BEATEN, heard(BY_SCRIPT, AT + 3)).kind == "better advert"
    other = replace(BY_SCRIPT, instance="VI_2")
    assert one(BEATEN, heard(other, AT - 3)).kind == "better advert"


def test_a_priority_that_rose_is_the_cause_of_a_preemption() -> None:
    won = transition("BACKUP", "MASTER", "timer", "preempted", peer=PEER, peer_priority=90)
    assert one(won).kind == "preempted"
    assert one(won, heard(priority(80, 100, "script chk is good (exit status 0)"), AT - 3)).kind == "script"


def test_without_the_event_the_standing_trackers_or_the_recorder_tell() -> None:
    share = TrackerShare(tracker_kind="file", name="load", value=-20, weight=1, share=-20, fault=False)
    assert one(BEATEN, record=record(trackers=(share,))).kind == "file"
    notes = [Noted(at=AT - 2, text="script chk is bad (exit status 1)")]
    assert one(BEATEN, notes=notes).kind == "script"


def test_a_group_is_explained_by_the_member_that_decided() -> None:
    group = messages.VrrpGroupTransition(
        group="G1", from_state="MASTER", to_state="FAULT", decided_by="VI_2", number=4,
        cause=TransitionCause(trigger="link", detail="fault, interface e1 is down"),
    )  # fmt: skip
    moment = one(transition("MASTER", "FAULT", "reload", "fault, sync group"), heard(group, AT - 0.001))
    assert moment.kind == "link"
    assert "sync group G1, VI_2 decided: interface e1 is down" in moment.why
    itself = heard(replace(group, decided_by="VI_1"), AT - 0.001)
    assert "sync group" not in one(CAUSES["script"], itself).why
    assert one(CAUSES["script"], heard(group, AT - 60)).kind == "script"


def test_lateness_is_told_when_it_counts() -> None:
    late = transition("BACKUP", "MASTER", "timer", "master no response", peer=PEER, late_s=0.25)
    assert one(late).why.endswith("(acted 0.250 s late)")
    assert "late" not in one(CAUSES["advert lost"]).why


def test_newest_first_and_only_what_belongs_to_each() -> None:
    steps = [
        step_of(heard(replace(CAUSES["link"], number=number), AT + 100 * number)) for number in (2, 1, 3)
    ]
    died = messages.ProcessEvent(role="vrrp", what="died", pid=7, incarnation=1, why="killed by SIGKILL")
    events = [heard(died, AT + 198), heard(died, AT + 150)]
    found = explain("VI_1", steps, events=events, last=2)
    assert [moment.step.number for moment in found] == [3, 2]
    assert found[1].related == ((-2.0, "worker vrrp died: killed by SIGKILL"),)
    assert found[0].related == ()


def test_the_recorder_shows_what_led_to_it() -> None:
    notes = [Noted(at=AT - 20 + n, text=f"n{n}") for n in range(30)]
    moment = one(CAUSES["link"], notes=notes)
    assert [text for _, text in moment.notes] == [f"n{n}" for n in range(13, 21)]
    assert moment.notes[-1][0] == 0.0


# --- the black box alone ------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlackBox:
    monkeypatch.setattr(rundir, "box_dir", lambda _run_dir: tmp_path)
    fd = BlackBox.create("vrrp", tmp_path / "box.vrrp", slots=8, records=8, ring=32, undo_bytes=1024)
    found = BlackBox.attach(fd)
    os.close(fd)
    return found


def resume_record(name: str, now: float) -> ResumeRecord:
    return ResumeRecord(
        state=RecordState.FAULT, name_digest=digest_name(name), generation=1, family=4, version=3,
        virtual_router_id=51, priority=100, base_priority=100, advert_int_cs=100, down_timer_adverts=3,
        preempt=True, preempt_delay_s=0.0, addresses_digest=bytes(8), ifindex=2, local_address=None,
        saved_at=now, since_at=now - 5, master_interval_cs=100,
    )  # fmt: skip


def test_a_silent_bus_is_made_up_for_by_the_black_box(
    box: BlackBox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = boottime()
    box.write(0, resume_record("VI_0", now).pack())
    box.write(1, resume_record("VI_1", now).pack())
    change = flight.Change(
        from_state="MASTER", to_state="FAULT", trigger="link", reason="fault", own_priority=100, peer=None,
        peer_priority=0, late_s=0.0, detail="interface e0 is down",
    )  # fmt: skip
    box.log(flight.event(now - 5, 1, "InterfaceDown interface e0 is down"))
    box.log(flight.event(now - 5, 0, "of another instance"))
    for note in flight.transition(now - 5, 1, change):
        box.log(note)
    assert explain_cli.run(tmp_path, "VI_1", as_json=False, last=5) == 0
    text = capsys.readouterr().out
    assert text.startswith("VI_1, VRID 51, IPv4: FAULT for 5.")
    assert "the bus does not answer" in text
    assert "MASTER -> FAULT  link: interface e0 is down" in text
    assert "InterfaceDown" in text and "another" not in text
    assert explain_cli.run(tmp_path, "VI_1", as_json=True, last=5) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["transitions"][0]["kind"], told["black_box"]["state"]) == ("link", "FAULT")


def test_nobody_of_that_name(box: BlackBox, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box.write(0, resume_record("VI_0", boottime()).pack())
    assert explain_cli.run(tmp_path, "VI_1", as_json=False, last=5) == 1
    assert "the black box has no record of VI_1" in capsys.readouterr().out


def test_no_black_box_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_cli.run(tmp_path, "VI_1", as_json=False, last=5) == 1
    assert "the bus does not answer, and " in capsys.readouterr().out
