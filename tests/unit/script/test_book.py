"""The book and its journal: what is played again is what was; a journal that was cut is a shorter one."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived_conf.model import Script
from script_proc import book as booking
from script_proc.book import Book, Entry, Task, effect_of, plain
from script_proc.journal import Journal, JournalError
from script_proc.notify import Effect, Line, Mail, Run

RUN = Run(key="INSTANCE V1", script=Script(command=("/s/x", "1"), user="u"), arguments=("a",), purpose="p")
HALF = 64 * 1024


def line(text: str, fifo: str = "/f") -> Line:
    return Line(fifo=fifo, data=text.encode())


def told(number: int, *effects: Effect, stream: str = "e.vrrp") -> Entry:
    entry = ("told", "INSTANCE V1", 1, number, "MASTER")
    return ("event", stream, 1, number, 1.5, entry, tuple(map(plain, effects)))


def again(book: Book) -> Book:
    other = Book()
    for entry in book.snapshot():
        other.play(entry)
    return other


@pytest.mark.parametrize("effect", [RUN, line("x\n\0"), Mail(subject="s", body="b")])
def test_an_effect_survives_its_plain_form(effect: Effect) -> None:
    assert effect_of(plain(effect)) == effect


def test_an_event_is_news_once() -> None:
    book = Book()
    assert book.is_news("e.vrrp", 1, 5)
    book.play(told(5))
    assert not book.is_news("e.vrrp", 1, 5)
    assert not book.is_news("e.vrrp", 1, 4)
    assert book.is_news("e.vrrp", 1, 6)
    assert book.is_news("e.vrrp", 2, 1), "another incarnation counts anew"
    assert book.is_news("e.ipvs", 1, 1)


def test_missed_transitions_are_counted_by_their_numbers() -> None:
    book = Book()
    assert book.missed("INSTANCE V1", 1, 7) == 0, "nothing is known of it yet"
    book.play(told(7))
    assert book.missed("INSTANCE V1", 1, 7) is None
    assert book.missed("INSTANCE V1", 1, 8) == 0
    assert book.missed("INSTANCE V1", 1, 11) == 3
    assert book.missed("INSTANCE V1", 2, 11) == 3, "the numbers go on over incarnations of vrrp"
    assert book.missed("INSTANCE V1", 2, 1) == 0, "unless its memory was lost"
    book.play(("forget", "INSTANCE V1"))
    assert book.missed("INSTANCE V1", 1, 1) == 0


def test_a_full_fifo_loses_the_oldest_line_that_is_not_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booking, "MAX_LINES", 3)
    book = Book()
    for number in range(1, 4):
        book.play(told(number, line(str(number))))
    book.play(("placed", 1))
    book.play(told(4, line("4")))
    assert [task.number for task in book.lines["/f"]] == [1, 3, 4]
    assert book.lost_lines == 1


def test_mails_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booking, "MAX_MAILS", 2)
    book = Book()
    for number in range(1, 4):
        book.play(told(number, Mail(subject=str(number), body="")))
    assert [task.number for task in book.mails] == [2, 3]
    assert book.lost_mails == 1
    assert list(book.tasks) == [2, 3]


EFFECTS = st.lists(
    st.one_of(
        st.just(RUN),
        st.builds(line, st.text("ab", max_size=5), st.sampled_from(["/f", "/g"])),
        st.just(Mail(subject="s", body="b")),
    ),
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), EFFECTS),
        st.tuples(st.sampled_from(["done", "placed", "started", "given_up", "unplaced"]), st.integers(1, 30)),
        st.tuples(st.sampled_from(["forget", "made", "reader", "server"]), st.integers(0, 1)),
    ),
    max_size=30,
)


def entries(steps: list[tuple[str, object]]) -> list[Entry]:
    found: list[Entry] = [("born", 0.5)]
    for number, (kind, value) in enumerate(steps, 1):
        if kind == "event":
            found.append(told(number, *value))  # type: ignore[misc]
        elif kind == "started":
            found.append((kind, value, 77, 88, 1.25))
        elif kind == "forget":
            found.append((kind, "INSTANCE V1"))
        elif kind == "made":
            found.append((kind, "/f", bool(value)))
        elif kind == "reader":
            found.append((kind, "/f", value, 5, 2.0))
        elif kind == "server":
            found.append((kind, "RS a b", bool(value)))
        else:
            found.append((kind, value))
    return found


def same(one: Book, other: Book) -> bool:
    def waiting(book: Book) -> dict[str, list[Task]]:
        return {path: list(tasks) for path, tasks in book.lines.items() if tasks}

    return (
        one.tasks == other.tasks
        and waiting(one) == waiting(other)
        and one.mails == other.mails
        and (one.cursors, one.told, one.servers) == (other.cursors, other.told, other.servers)
        and (one.made, one.readers, one.born_at) == (other.made, other.readers, other.born_at)
        and (one.written, one.sent, one.lost_lines) == (other.written, other.sent, other.lost_lines)
        and one.next_number == other.next_number
    )


@given(STEPS)
def test_a_snapshot_stands_for_all_that_was_played(steps: list[tuple[str, object]]) -> None:
    book = Book()
    for entry in entries(steps):
        book.play(entry)
    assert same(again(book), book)


@given(STEPS, st.integers(0, 40))
def test_a_successor_stands_where_the_former_one_stood(steps: list[tuple[str, object]], cut: int) -> None:
    """The journal in small halves, so that it is written anew often; read by another after each prefix."""
    journal, book = Journal(half_bytes=HALF), Book()
    try:
        for entry in entries(steps)[:cut]:
            journal.append(entry, book.snapshot)
            book.play(entry)
            if entry[0] == "event":
                journal.rewrite(book.snapshot())
        other, found = Book(), Journal(os.dup(journal.fileno()))
        for entry in found.read():
            other.play(entry)
        found.close()
        assert same(other, book)
    finally:
        journal.close()


def test_a_half_is_changed_when_it_is_full_and_again() -> None:
    journal, book = Journal(half_bytes=HALF), Book()
    try:
        for number in range(1, 5000):
            entry = told(number, line("x" * 40))
            journal.append(entry, book.snapshot)
            book.play(entry)
            done = ("done", book.next_number - 1)
            journal.append(done, book.snapshot)
            book.play(done)
        other, found = Book(), Journal(os.dup(journal.fileno()))
        for entry in found.read():
            other.play(entry)
        found.close()
        assert same(other, book)
        assert other.written == 4999
    finally:
        journal.close()


def test_what_does_not_fit_is_refused_and_nothing_is_lost() -> None:
    journal, book = Journal(half_bytes=HALF), Book()
    try:
        journal.append(told(1), book.snapshot)
        book.play(told(1))
        with pytest.raises(JournalError):
            journal.append(told(2, line("x" * HALF)), book.snapshot)
        found = Journal(os.dup(journal.fileno()))
        other = Book()
        for entry in found.read():
            other.play(entry)
        found.close()
        assert same(other, book)
        journal.append(told(2), book.snapshot)
    finally:
        journal.close()


@pytest.mark.parametrize("keep_bytes", [0, 3, 7, 8, 20])
def test_an_entry_that_was_being_written_does_not_count(keep_bytes: int) -> None:
    journal, book = Journal(half_bytes=HALF), Book()
    try:
        for number in (1, 2):
            journal.append(told(number), book.snapshot)
            book.play(told(number))
        begin = journal._at
        journal.append(told(3), book.snapshot)
        end = journal._at
        journal._map[begin + keep_bytes : end] = bytes(end - begin - keep_bytes)
        found = Journal(os.dup(journal.fileno()))
        played = list(found.read())
        assert played[-1] == told(2)
        # Its successor writes over what is left of it.
        found.append(told(4), book.snapshot)
        found.close()
        last = Journal(os.dup(journal.fileno()))
        assert list(last.read())[-1] == told(4)
        last.close()
    finally:
        journal.close()


def test_what_is_no_journal_is_refused() -> None:
    fd = os.memfd_create("x")
    try:
        with pytest.raises(JournalError):
            Journal(fd)
    finally:
        os.close(fd)
