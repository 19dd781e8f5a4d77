"""Contributions and faults of trackers, by the rules of keepalived.conf(5)."""

from __future__ import annotations

import random

import pytest

from keepalived_conf.model import SyncGroup, TrackRef, VirtualAddress
from tests.unit.vrrp import build
from vrrp_proc import events as ev
from vrrp_proc.tracking import (
    Follow,
    Kind,
    contribution,
    decisive,
    effective_priority,
    follows,
    judge,
)

GOOD, BAD, UNKNOWN = 1, 0, None


@pytest.mark.parametrize("kind", ["interface", "script", "process"])
@pytest.mark.parametrize(
    ("weight", "reverse", "while_good", "while_bad"),
    [
        (0, False, (0, False), (0, True)),
        (0, True, (0, True), (0, False)),
        (20, False, (20, False), (0, False)),
        (-20, False, (0, False), (-20, False)),
        (20, True, (-20, False), (0, False)),
        (-20, True, (0, False), (20, False)),
    ],
)
def test_weight_and_reverse(
    kind: Kind, weight: int, reverse: bool, while_good: tuple[int, bool], while_bad: tuple[int, bool]
) -> None:
    follow = Follow(kind=kind, name="x", weight=weight, reverse=reverse)
    assert contribution(follow, GOOD) == while_good
    assert contribution(follow, BAD) == while_bad
    assert contribution(follow, UNKNOWN) == (0, False)


@pytest.mark.parametrize(
    ("weight", "reverse", "number", "expected"),
    [
        (0, False, 0, (0, False)),
        (0, False, 7, (0, True)),
        (0, True, 0, (0, True)),
        (0, True, -1, (0, False)),
        (1, False, 30, (30, False)),
        (2, False, -30, (-60, False)),
        (1, True, 30, (-30, False)),
        (-1, False, 30, (-30, False)),
        (1, False, 300, (253, False)),
        (1, False, -253, (-253, False)),
        (1, False, -254, (0, True)),
        (2, False, -127, (0, True)),
        (254, True, 1, (0, True)),
        (1, False, 2**31 - 1, (253, False)),
        (5, False, None, (0, False)),
    ],
)
def test_number_of_a_file(weight: int, reverse: bool, number: int | None, expected: tuple[int, bool]) -> None:
    assert contribution(Follow(kind="file", name="f", weight=weight, reverse=reverse), number) == expected


def test_effective_priority_is_clamped_and_an_owner_keeps_its_own() -> None:
    assert [effective_priority(100, n) for n in (-500, -99, 0, 154, 500)] == [1, 1, 100, 254, 254]
    assert effective_priority(255, -100) == 255


def test_ten_thousand_changes_give_what_the_last_values_say() -> None:
    """Nothing is added up over time: the model below looks at the last values only."""
    rng = random.Random(4)
    for _ in range(50):
        wanted = [
            Follow(
                kind=rng.choice(("interface", "script", "process", "file")),
                name=f"t{number}",
                weight=rng.choice((0, rng.randint(-253, 253))),
                reverse=rng.random() < 0.5,
            )
            for number in range(rng.randint(1, 8))
        ]
        base = rng.randint(1, 254)
        instance = build.backup(priority=base)
        values: dict[str, int | None] = {}
        for _ in range(200):
            one = rng.choice(wanted)
            values[one.key] = rng.choice((None, 0, 1, 1, rng.randint(-300, 300)))
            if one.kind != "file" and values[one.key] not in (None, 0):
                values[one.key] = 1
            instance.handle(ev.TrackersChanged(tracking=judge(wanted, values)), build.T0)
            added, fault = _model(wanted, values)
            assert instance.priority == min(254, max(1, base + added))
            assert (instance.state.value == "FAULT") == fault


def _model(wanted: list[Follow], values: dict[str, int | None]) -> tuple[int, bool]:
    """The rules once more, written in another way."""
    added, fault = 0, False
    for one in wanted:
        value = values.get(one.key)
        if value is None:
            continue
        sign = -1 if one.reverse else 1
        if one.kind == "file" and one.weight:
            product = value * one.weight * sign
            fault |= product <= -254
            added += 0 if product <= -254 else min(253, product)
        elif one.weight == 0:
            bad = bool(value) if one.kind == "file" else not value
            fault |= bad != one.reverse
        elif one.weight > 0 and value:
            added += sign * one.weight
        elif one.weight < 0 and not value:
            added -= sign * -one.weight
    return added, fault


def test_interfaces_of_addresses_elsewhere_are_followed_unless_no_track() -> None:
    address = build.VIP4[0].interface
    config = build.config(
        virtual_addresses=(
            VirtualAddress(interface=address, dev="eth0"),
            VirtualAddress(interface=address, dev="eth1"),
            VirtualAddress(interface=address, dev="eth2", no_track=True),
        ),
        virtual_addresses_excluded=(VirtualAddress(interface=address, dev="eth3"),),
        track_interface=(TrackRef(name="eth3", weight=7, reverse=False),),
    )
    assert [(one.key, one.weight) for one in follows(config)] == [
        ("interface:eth3", 0),
        ("interface:eth1", 0),
    ]


def test_group_trackers_replace_weights_but_not_faults() -> None:
    def ref(name: str, weight: int) -> TrackRef:
        return TrackRef(name=name, weight=weight, reverse=False)

    config = build.config(track_script=(ref("a", 5), ref("b", 0)))
    group = SyncGroup(
        name="G",
        members=("VI_1",),
        track_script=(ref("a", -9), ref("b", 3), ref("c", 4)),
        track_interface=(ref("eth0", 0), ref("eth9", 2)),
    )
    assert {one.key: one.weight for one in follows(config, group)} == {
        "script:a": -9,
        "script:b": 0,
        "script:c": 4,
        "interface:eth9": 2,
    }
    owner = build.config(priority=255, state="MASTER")
    assert {one.weight for one in follows(owner, group)} == {0}


def test_the_wait_for_first_results_is_that_of_the_slowest_script() -> None:
    runs_s = {"a": 5.0, "b": 120.0}
    wanted = [Follow(kind="script", name="a"), Follow(kind="script", name="b", weight=9)]
    tracking = judge(wanted, {}, runs_s=runs_s)
    assert (tracking.waiting, tracking.wait_s) == (("script a",), 10.0)
    known = judge(wanted, {"script:a": 1}, runs_s=runs_s)
    assert known.waiting == ()


def test_nobody_waits_for_what_cannot_be_run() -> None:
    wanted = [Follow(kind="script", name="a")]
    (share,) = judge(wanted, {}, unusable={"script:a"}, results={"script:a": "no such file"}).shares
    assert (share.waiting, share.text) == (False, "script a cannot be used (no such file)")
    (share,) = judge(wanted, {"script:a": 0}, unusable={"script:a"}).shares
    assert (share.unusable, share.fault) == (False, True)


def test_texts_for_people() -> None:
    wanted = [
        Follow(kind="script", name="chk"),
        Follow(kind="file", name="f"),
        Follow(kind="interface", name="e1"),
    ]
    values = {"script:chk": 0, "file:f": 3, "interface:e1": 0}
    tracking = judge(wanted, values, results={"script:chk": "exit status 1"})
    assert tracking.faults == ("script chk is bad (exit status 1)", "file f holds 3", "interface e1 is down")


def test_the_decisive_tracker_is_the_fault_then_what_moved_the_priority() -> None:
    wanted = [
        Follow(kind="script", name="a", weight=3, reverse=True),
        Follow(kind="script", name="b", weight=5),
        Follow(kind="script", name="c"),
    ]

    def names(before: dict[str, int | None], after: dict[str, int | None]) -> str:
        share = decisive(judge(wanted, before), judge(wanted, after))
        return "" if share is None else share.follow.name

    nothing: dict[str, int | None] = {"script:a": 0, "script:b": 0, "script:c": 1}
    assert names(nothing, nothing | {"script:a": None, "script:b": 1}) == "b"
    assert names(nothing, nothing | {"script:a": 1, "script:c": 0}) == "c"
    assert names(nothing, nothing) == ""
