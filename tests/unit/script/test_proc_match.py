"""Which processes count, whether they are enough, and what the kernel's datagrams say."""

from __future__ import annotations

import struct
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keepalived_conf.model import TrackProcess
from script_proc.proc_connector import Acknowledged, Lost, ProcessEvent, Sequence, decode
from script_proc.proc_match import Rules, parse_status
from script_proc.proc_quorum import Cause, Quorum

Match = Literal["exact", "initial", "partial"]


def rule(*process: str, match: Match | None = None, full: bool = True) -> Rules:
    return Rules((TrackProcess(name="p", process=process, param_match=match, full_command=full),))


def line(*words: str) -> bytes:
    return "".join(word + "\0" for word in words).encode()


@pytest.mark.parametrize(
    ("wanted", "match", "yes", "no"),
    [
        (("d",), None, [("d",), ("d", "-x")], [("/bin/d",), ("dd",), (), ("D",)]),
        (("d",), "exact", [("d",)], [("d", ""), ("d", "-x")]),
        (("d", "-f", "a b"), "exact", [("d", "-f", "a b")], [("d", "-f", "a b", "c"), ("d", "-f", "a")]),
        (("d", "-f"), "partial", [("d", "-f"), ("d", "-f", "b")], [("d", "-fb"), ("d",)]),
        (("d", "-f"), "initial", [("d", "-f"), ("d", "-fb"), ("d", "-f", "b")], [("d",), ("d", "-g")]),
        (("d",), "initial", [("d",), ("d", "-x")], [("e",)]),
        (("d",), "partial", [("d",), ("d", "-x")], [("e",)]),
        (("d", ""), "initial", [("d", ""), ("d", "x")], [("d",)]),
    ],
)  # fmt: skip
def test_command_lines(
    wanted: tuple[str, ...], match: Match | None, yes: list[tuple[str, ...]], no: list[tuple[str, ...]]
) -> None:
    rules = rule(*wanted, match=match)
    assert [words for words in yes if not rules.matching(b"", line(*words))] == []
    assert [words for words in no if rules.matching(b"d", line(*words))] == []


WORDS = st.lists(st.sampled_from(["", "a", "ab", "-f", "ü"]), max_size=4)


@given(WORDS, WORDS, st.sampled_from(["exact", "initial", "partial"]))
@example([""], [], "initial")
@example([], [], "exact")
def test_parameters_as_the_manual_says(wanted: list[str], have: list[str], match: Match) -> None:
    """keepalived.conf(5): partial: the first n are equal; initial: and the last may be longer."""
    count = len(wanted)
    if match == "exact":
        expected = wanted == have
    elif match == "partial":
        expected = have[:count] == wanted
    else:
        expected = not wanted or (
            len(have) >= count and have[: count - 1] == wanted[:-1] and have[count - 1].startswith(wanted[-1])
        )
    rules = rule("d", *wanted, match=match)
    # Only so much of a command line is ever read.
    read = line("d", *have)[: rules.command_line_bytes]
    assert bool(rules.matching(b"", read)) == expected


def test_the_short_name_is_compared_whole() -> None:
    rules = rule("nginx", full=False)
    assert rules.matching(b"nginx", b"") == {"p"}
    assert not rules.matching(b"nginx2", b"nginx\0")
    assert not rules.command_lines and rules.short_names
    assert rule("a-name-that-is-long", full=False).never == ("p",)
    assert rule("a-name-that-is-long").never == ()


@pytest.mark.parametrize(
    ("stat", "name", "ended"),
    [
        (b"12 (sh) S 1 2", b"sh", False),
        (b"12 (a) Z (b) Z 1", b"a) Z (b", True),
        (b"12 () R 1", b"", False),
        (b"7 (x) X", b"x", True),
    ],
)
def test_status(stat: bytes, name: bytes, ended: bool) -> None:
    status = parse_status(stat)
    assert status is not None and (status.name, status.ended) == (name, ended)


@given(st.binary(max_size=40))
def test_any_status_is_parsed_or_none(stat: bytes) -> None:
    parse_status(stat)


# --- quorum ----------------------------------------------------------------------------------------


def quorum(low: int = 1, high: int | None = None, fork_s: float = 0.0, end_s: float = 0.0) -> TrackProcess:
    return TrackProcess(
        name="p", process=("x",), quorum=low, quorum_max=high, fork_delay_s=fork_s, terminate_delay_s=end_s
    )


DELAYS = st.sampled_from([0.0, 0.25, 0.5, 2.0])
STEPS = st.lists(
    st.tuples(
        st.integers(0, 12).map(lambda quarters: quarters / 4),
        st.sampled_from([-1, 1]),
        st.sampled_from(list(Cause)),
    ),
    max_size=40,
)


@given(st.integers(0, 3), st.none() | st.integers(0, 3), DELAYS, DELAYS, STEPS)
def test_the_answer_follows_the_count_after_the_delay_at_the_latest(
    low: int, extra: int | None, fork_s: float, end_s: float, steps: list[tuple[float, int, Cause]]
) -> None:
    high = None if extra is None else low + extra
    enough = [low <= count and (high is None or count <= high) for count in range(60)]
    machine = Quorum(quorum(low, high, fork_s, end_s), 0, 0.0)
    assert machine.good == enough[0]
    now, count = 0.0, 0
    wrong_since: float | None = None
    for after_s, step, cause in steps:
        now += after_s
        before = machine.good
        assert machine.tick(now) == (machine.good != before)
        if machine.good != before:
            wrong_since = None
        count = max(0, count + step)
        before = machine.good
        assert machine.change(count, cause, now) == (machine.good != before)
        if machine.good == enough[count]:
            wrong_since = None
            assert machine.due_at is None
        else:
            wrong_since = now if wrong_since is None else wrong_since
            assert machine.due_at is not None and now < machine.due_at
            assert machine.due_at <= wrong_since + max(fork_s, end_s)
    assert machine.tick(now + 3) == (wrong_since is not None)
    assert machine.good == enough[count]


def test_delays_depend_on_what_happened() -> None:
    machine = Quorum(quorum(fork_s=1, end_s=5), 0, 0.0)

    def change(count: int, cause: Cause, now: float) -> tuple[bool, bool, float | None]:
        return machine.change(count, cause, now), machine.good, machine.due_at

    def tick(now: float) -> tuple[bool, bool, float | None]:
        return machine.tick(now), machine.good, machine.due_at

    assert change(1, Cause.NAME, 0.0) == (True, True, None), "exec: at once"
    assert change(0, Cause.EXIT, 10.0) == (False, True, 15.0)
    assert tick(14.9) == (False, True, 15.0)
    assert change(1, Cause.FORK, 14.9) == (False, True, None), "never away"
    assert change(0, Cause.EXIT, 20.0) == (False, True, 25.0)
    assert tick(25.0) == (True, False, None)
    assert change(1, Cause.FORK, 30.0) == (False, False, 31.0)
    assert tick(31.0) == (True, True, None)
    assert change(0, Cause.NAME, 40.0) == (True, False, None)
    assert change(1, Cause.SCAN, 50.0) == (False, False, 51.0)
    assert change(2, Cause.NAME, 50.5) == (False, False, 51.0), "the delay that runs goes on"
    assert change(3, Cause.FORK, 51.0) == (True, True, None)
    assert change(0, Cause.SCAN, 60.0) == (False, True, 65.0)


def test_too_many() -> None:
    machine = Quorum(quorum(1, 1, fork_s=1), 1, 0.0)

    def change(count: int, cause: Cause, now: float) -> tuple[bool, bool, float | None]:
        return machine.change(count, cause, now), machine.good, machine.due_at

    assert change(2, Cause.FORK, 0.0) == (False, True, 1.0), "the child becomes another program soon"
    assert change(1, Cause.NAME, 0.01) == (False, True, None)
    assert change(2, Cause.NAME, 1.0) == (True, False, None)
    assert change(1, Cause.EXIT, 2.0) == (True, True, None)


def test_a_restarted_worker_goes_on_from_what_it_knew() -> None:
    wanted = quorum(end_s=3)
    assert not Quorum(wanted, 0, 10.0).good
    machine = Quorum(wanted, 0, 10.0, before=True)
    assert machine.good and machine.due_at == 13.0
    assert Quorum(wanted, 1, 10.0, before=False).good, "no fork_delay"


def test_the_text_is_for_people() -> None:
    assert Quorum(quorum(), 1, 0).text() == "1 process, wanted: at least 1"
    assert Quorum(quorum(0, 0), 2, 0).text() == "2 processes, wanted: 0"
    assert Quorum(quorum(1, 3), 0, 0).text() == "0 processes, wanted: 1 to 3"


# --- datagrams -------------------------------------------------------------------------------------


def datagram(what: int, *numbers: int, cpu: int = 0, number: int = 0, ack: int = 0, index: int = 1) -> bytes:
    body = struct.pack("=IIQ", what, cpu, 0) + struct.pack(f"={len(numbers)}i", *numbers).ljust(24, b"\0")
    return struct.pack("=IHHII", 0, 3, 0, 0, 0) + struct.pack("=IIIIHH", index, 1, number, ack, 0, 0) + body


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (datagram(1, 10, 11, 20, 20), [ProcessEvent(Cause.FORK, 20, 11)]),
        (datagram(1, 10, 11, 21, 20), []),
        (datagram(2, 5, 5), [ProcessEvent(Cause.NAME, 5)]),
        (datagram(2, 6, 5), []),
        (datagram(0x200, 5, 5), [ProcessEvent(Cause.NAME, 5)]),
        (datagram(0x80000000, 5, 5, 0, 17), [ProcessEvent(Cause.EXIT, 5)]),
        (datagram(0x80000000, 6, 5, 0, 17), []),
        (datagram(4, 5, 5), []),
        (datagram(0, 0, number=5, ack=78), [Acknowledged(77)]),
        (datagram(0, 1, number=5, ack=1), [Acknowledged(0, error=1)]),
        (datagram(0, 0), []),
        (datagram(2, 5, 5, index=2), []),
    ],
    ids=lambda one: f"{len(one)}",
)
def test_datagrams(data: bytes, told: list[object]) -> None:
    assert decode(data, Sequence()) == told


def test_gaps_are_found_on_each_processor_by_itself() -> None:
    sequence = Sequence()
    exec_ = [ProcessEvent(Cause.NAME, 5)]

    def hear(number: int, cpu: int) -> list[object]:
        return list(decode(datagram(2, 5, 5, cpu=cpu, number=number), sequence))

    assert hear(0xFFFFFFFE, 0) == exec_
    assert hear(7, 1) == exec_
    assert hear(0xFFFFFFFF, 0) == exec_
    assert hear(0, 0) == exec_, "it wraps"
    assert hear(8, 1) == exec_
    assert hear(10, 1) == [Lost(), *exec_]
    assert hear(11, 1) == exec_
    assert decode(datagram(0, 0, number=5, cpu=0xFFFFFFFF, ack=1), sequence) == [Acknowledged(0)], (
        "old kernels"
    )
    assert hear(12, 1) == exec_
    assert decode(datagram(0, 0, number=13, cpu=1, ack=1), sequence) == [Acknowledged(0)]
    assert hear(14, 1) == exec_


@given(st.binary(max_size=120))
def test_any_datagram_is_decoded_or_left_out(data: bytes) -> None:
    decode(data, Sequence())
    decode(datagram(2)[:36] + data, Sequence())
