"""What the laboratory makes of answers, and what a demonstration makes of losses."""

from __future__ import annotations

import dataclasses

import pytest

from bench import _trials
from deploy.demo.story import Loss
from tests.lab import conf, probes
from tests.lab.probes import Answer

STEP_S = 0.1


def _answers(pattern: str) -> list[Answer]:
    """One question each 100 ms: ``+`` answered, ``-`` lost."""
    return [
        Answer(i * STEP_S, i * STEP_S + 0.001 if sign == "+" else None, "w1", "")
        for i, sign in enumerate(pattern)
    ]


@pytest.mark.parametrize(
    ("pattern", "outage_s", "trouble_s"),
    [
        ("", 0.0, 0.0),
        ("+++", 0.0, 0.0),
        ("+---++", 0.3, 0.3),
        ("+-+-+-+", 0.1, 0.5),
        ("++--", 0.2, 0.2),
        ("-+---+", 0.3, 0.5),
    ],
)
def test_outage_is_the_longest_silence_and_trouble_the_whole_span(
    pattern: str, outage_s: float, trouble_s: float
) -> None:
    assert probes.outage_s(_answers(pattern), STEP_S) == pytest.approx(outage_s)
    assert probes.trouble_s(_answers(pattern), STEP_S) == pytest.approx(trouble_s)


def test_lost_and_responders_are_counted() -> None:
    assert probes.lost(_answers("+--+")) == 2
    assert probes.responders(_answers("+--+")) == {"w1": 2}


def test_the_longest_pause_between_questions_tells_a_stall() -> None:
    sent = [Answer(at, at, "", "") for at in (0.0, 0.1, 0.7, 0.8)]
    assert probes.longest_send_gap_s(sent) == pytest.approx(0.6)


def test_limits_of_the_rfcs() -> None:
    assert conf.master_down_s(100, 1) == pytest.approx(3.609375)
    assert conf.master_down_s(100, 0.1) == pytest.approx(0.3609375)
    assert conf.skew_s(100, 5, version=2) == pytest.approx(0.609375)
    assert conf.skew_s(100, 5, version=3) == pytest.approx(3.046875)


def test_a_configuration_reads_as_it_was_meant() -> None:
    text = conf.instance(
        priority=150,
        version=2,
        addresses=["10.0.0.1/24"],
        auth_pass="secret",
        unicast_src="10.0.0.2",
        unicast_peers=["10.0.0.3"],
    )
    for line in (
        "priority 150",
        "version 2",
        "auth_pass secret",
        "unicast_src_ip 10.0.0.2",
        "10.0.0.1/24 dev e0",
    ):
        assert line in text
    assert text.count("{") == text.count("}") == 4


LOSS = Loss(
    step="x",
    lost_s=0.0,
    lost_requests=0,
    requests=10,
    lost_pings=0,
    limit_s=0.0,
    moved=False,
    stall_s=0.01,
)


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ({}, True),
        ({"lost_requests": 1}, False),
        ({"lost_pings": 1}, False),
        ({"limit_s": None, "lost_requests": 1}, True),
        ({"limit_s": 4.1, "lost_s": 4.0, "lost_requests": 99}, True),
        ({"limit_s": 4.1, "lost_s": 4.2, "lost_requests": 99}, False),
        ({"limit_s": 4.1, "lost_s": 4.2, "lost_requests": 99, "stall_s": 0.9}, True),
    ],
)
def test_a_step_is_judged_by_its_limit(change: dict[str, float], ok: bool) -> None:
    assert dataclasses.replace(LOSS, **change).ok is ok  # type: ignore[arg-type]


def test_a_ratio_needs_something_to_compare_with() -> None:
    assert _trials.ratio([0.2, 0.4, 0.3], [0.1]) == pytest.approx(3.0)
    assert _trials.ratio([0.2], []) is None
    assert _trials.ratio([0.2], [0.0]) is None


def test_seconds_are_shown_in_milliseconds() -> None:
    assert _trials.shown("over_limit_s", [0.0012, 0.001, 0.0014]) == "1.2 ms [1.0 .. 1.4] (3)"
    assert _trials.shown("pss_kb", [7000.0]) == "7000 (1)"
    assert _trials.shown("pss_kb", []) == "-"
