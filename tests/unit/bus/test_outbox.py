"""The outbox: coalescing, bounds, numbers, announcements."""

from __future__ import annotations

import pytest

from bus.envelope import Beat, Begin, Change, End, decode
from bus.outbox import Outbox
from tests.unit.bus.talk import check, said, say, transition


def changes(messages: list[bytes]) -> list[Change]:
    return [change for change in map(decode, messages) if isinstance(change, Change)]


def open_outbox(role: str = "checker", **more: int) -> Outbox:
    outbox = Outbox(role=role, incarnation=4, **more)
    outbox.announce(1)
    said(outbox)
    return outbox


def event(outbox: Outbox, number: int) -> None:
    outbox.event(transition(number), at=1.0, wall_at=1.0, generation=1)


def test_nothing_is_said_before_the_first_announcement() -> None:
    outbox = Outbox(role="checker", incarnation=4)
    say(outbox, check("a"))
    assert outbox.peek(1.0) is None
    outbox.announce(5)
    first, *rows, last = [decode(data) for data in said(outbox)]
    assert first == Begin(publisher="checker", incarnation=4, epoch=5)
    assert [row.key for row in rows if isinstance(row, Change)] == ["a"]
    assert last == End(
        publisher="checker", incarnation=4, epoch=5, rows=1, last={"s.checker": 1, "e.checker": 0}
    )


def test_states_coalesce_and_only_what_is_sent_takes_a_number() -> None:
    outbox = open_outbox()
    for failed in range(10):
        say(outbox, check("a", failed=failed), check("b"))
    sent = changes(said(outbox))
    assert [(change.key, change.number) for change in sent] == [("a", 1), ("b", 2)]
    assert sent[0].message == check("a", failed=9)


def test_an_equal_record_is_not_said_again() -> None:
    outbox = open_outbox()
    say(outbox, check("a"))
    assert len(changes(said(outbox))) == 1
    say(outbox, check("a"))
    assert changes(said(outbox)) == []


def test_delete_and_set_again_before_anything_was_sent() -> None:
    outbox = open_outbox()
    say(outbox, check("a"))
    outbox.delete_state("s.checker", "a", at=1.0, wall_at=1.0, generation=1)
    assert [change.op for change in changes(said(outbox))] == ["del"]
    say(outbox, check("a"))
    outbox.delete_state("s.checker", "a", at=1.0, wall_at=1.0, generation=1)
    say(outbox, check("a"))
    assert [change.op for change in changes(said(outbox))] == ["set"]
    outbox.delete_state("s.checker", "nothing", at=1.0, wall_at=1.0, generation=1)
    assert changes(said(outbox)) == []


def test_an_announcement_repeats_numbers() -> None:
    outbox = open_outbox()
    say(outbox, check("a"), check("b"))
    said(outbox)
    say(outbox, check("a", up=False))
    said(outbox)
    say(outbox, check("c"))  # not sent yet
    outbox.announce(2)
    sent = [decode(data) for data in said(outbox)]
    rows = {change.key: change.number for change in sent if isinstance(change, Change)}
    assert rows == {"b": 2, "a": 3, "c": 4}
    assert isinstance(sent[-1], End)
    assert sent[-1].last["s.checker"] == 4
    assert changes(said(outbox, 101.0)) == []  # c is not said twice


def test_changes_in_the_middle_of_an_announcement() -> None:
    outbox = open_outbox()
    say(outbox, check("a"), check("b"), check("c"))
    said(outbox)
    outbox.announce(2)
    for _ in range(2):  # BEGIN and a
        outbox.peek(1.0)
        outbox.pop()
    say(outbox, check("a", up=False), check("b", up=False))
    outbox.delete_state("s.checker", "c", at=1.0, wall_at=1.0, generation=1)
    sent = [decode(data) for data in said(outbox)]
    assert isinstance(sent[0], Change)
    assert (sent[0].key, sent[0].number) == ("b", 4)
    assert isinstance(sent[1], End)
    assert (sent[1].rows, sent[1].last["s.checker"]) == (2, 4)
    after = [(change.op, change.key, change.number) for change in sent[2:] if isinstance(change, Change)]
    assert after == [("set", "a", 5), ("del", "c", 6)]


def test_a_new_epoch_in_the_middle_of_an_announcement_starts_over() -> None:
    outbox = open_outbox()
    say(outbox, check("a"), check("b"))
    outbox.announce(2)
    outbox.peek(1.0)
    outbox.announce(3)
    begins = [decode(data) for data in said(outbox)]
    assert begins[0] == Begin(publisher="checker", incarnation=4, epoch=3)
    assert isinstance(begins[-1], End)
    assert begins[-1].rows == 2


def test_events_keep_their_number_and_the_oldest_fall_out_counted() -> None:
    outbox = open_outbox("vrrp", events_kept=3)
    event(outbox, 1)
    assert [change.number for change in changes(said(outbox))] == [1]
    for number in range(2, 7):
        event(outbox, number)
    assert outbox.lost_events == 2  # 2 and 3; 1 had been sent
    assert [change.number for change in changes(said(outbox))] == [4, 5, 6]
    outbox.announce(2)
    messages = said(outbox)
    assert [change.number for change in changes(messages)] == [4, 5, 6]
    end = decode(messages[-1])
    assert isinstance(end, End)
    assert end.last["e.vrrp"] == 6


def test_events_that_happen_during_an_announcement_come_after_it() -> None:
    outbox = open_outbox("vrrp")
    event(outbox, 1)
    outbox.announce(2)
    outbox.peek(1.0)
    outbox.pop()
    outbox.peek(1.0)  # event 1
    outbox.pop()
    event(outbox, 2)
    end, late = [decode(data) for data in said(outbox)]
    assert isinstance(end, End)
    assert end.last["e.vrrp"] == 1
    assert isinstance(late, Change)
    assert late.number == 2


def test_younger_events_may_overtake_the_end_of_an_announcement() -> None:
    """The ring turns over while we announce: END must cover what was sent instead."""
    outbox = open_outbox("vrrp", events_kept=3)
    for number in (1, 2, 3):
        event(outbox, number)
    outbox.announce(2)
    for _ in range(2):  # BEGIN and event 1
        outbox.peek(1.0)
        outbox.pop()
    for number in (4, 5, 6, 7):
        event(outbox, number)
    sent = [decode(data) for data in said(outbox)]
    numbers = [change.number for change in sent if isinstance(change, Change)]
    [end] = [message for message in sent if isinstance(message, End)]
    before = [change.number for change in sent[: sent.index(end)] if isinstance(change, Change)]
    assert numbers == [5, 6, 7]
    assert end.last["e.vrrp"] == max(before)


def test_a_storm_of_states_does_not_hold_up_events() -> None:
    outbox = Outbox(role="checker", incarnation=1)
    outbox.announce(1)
    said(outbox)
    say(outbox, *(check(str(number)) for number in range(50)))
    from tests.unit.bus.test_broker import HEALTH

    outbox.event(HEALTH, at=1.0, wall_at=1.0, generation=1)
    assert "event" in [change.op for change in changes(said(outbox))[:2]]


def test_beats_fill_the_silence_only() -> None:
    outbox = open_outbox()
    assert outbox.peek(100.9) is None
    assert decode(said(outbox, 101.0)[0]) == Beat(publisher="checker", incarnation=4)
    assert outbox.peek(101.9) is None
    say(outbox, check("a"))
    assert len(said(outbox, 101.9)) == 1
    assert outbox.peek(102.8) is None
    assert outbox.peek(102.9) is not None


def test_a_message_stays_until_it_was_taken() -> None:
    outbox = open_outbox()
    say(outbox, check("a"), check("b"))
    assert outbox.peek(1.0) == outbox.peek(1.0)
    assert len(said(outbox)) == 2


def test_what_has_no_form_on_the_wire_never_reaches_the_worker_as_an_error() -> None:
    outbox = open_outbox()
    say(outbox, check("bad", failed=2**70), check("good"))
    assert [change.key for change in changes(said(outbox))] == ["good"]
    outbox.event(transition(1), at=1.0, wall_at=1.0, generation=1)
    outbox.delete_state("s.vrrp", "x", at=1.0, wall_at=1.0, generation=1)
    assert outbox.refused == 3
    assert "does not publish on s.vrrp" in outbox.last_problem
    assert changes(said(outbox)) == []


def test_an_unknown_role_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="does not publish"):
        Outbox(role="bus", incarnation=1)
