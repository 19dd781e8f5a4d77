"""vrrp_sync_group, garp_group, track_group; what a sync group makes of its members' trackers."""

from __future__ import annotations

from typing import Any

import pytest

from keepalived_conf.loading import LoadResult, exit_status
from keepalived_conf.model import GarpGroup, Script, SyncGroup, TrackGroup, TrackRef, VrrpInstance
from tests.unit.conf.support import codes, find, load, where


def instance(name: str, vrid: int, lines: str = "", *, priority: int = 100) -> str:
    return (
        f"vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\npriority {priority}\n"
        f"virtual_ipaddress {{\n10.0.0.{vrid}\n}}\n{lines}\n}}\n"
    )


def told(result: LoadResult) -> list[str]:
    return [code for code in codes(result) if code not in ("no-effect-yet", "no-script-security")]


def group(lines: str, *, globals_: str = "", a: str = "", b: str = "", before: str = "") -> LoadResult:
    defs = f"global_defs {{\n{globals_}\n}}\n" if globals_ else ""
    return load(
        f"{before}vrrp_sync_group G {{\n{lines}\n}}\n{defs}" + instance("A", 1, a) + instance("B", 2, b)
    )


MEMBERS = "group {\nA\nB\n}\n"


def only(result: LoadResult) -> SyncGroup:
    assert len(result.config.sync_groups) == 1, result.text()
    return result.config.sync_groups[0]


# --- members ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", ["group {\nA\nB\n}", "group {\nA B\n}", "group { A B }", "group\n{\nA\nB\n}"]
)
def test_members(body: str) -> None:
    result = group(body)
    assert only(result) == SyncGroup(name="G", members=("A", "B"))
    assert told(result) == []


@pytest.mark.parametrize(
    ("body", "members", "expected", "places"),
    [
        ("group {\nA\n}", ("A",), ["single-member"], [(2, 1)]),
        ("group {\nA\n  C\nB\n}", ("A", "B"), ["unknown-member"], [(4, 3)]),
        ("group {\nA\nC\n}", ("A",), ["unknown-member", "single-member"], [(4, 1), (2, 1)]),
        ("group {\nA\nA\nB\n}", ("A", "B"), ["member-of-two"], [(3, 1)]),
        ("group {\nA\nB\n}\ngroup {\nB\n}", ("A", "B"), ["written-twice"], [(6, 1)]),
        ("group {\n}\ngroup {\nA\nB\n}", ("A", "B"), ["empty-group"], [(3, 1)]),
        ("group x {\nA\nB\n}", ("A", "B"), ["extra-words"], [(2, 7)]),
    ],
)
def test_members_that_cannot_be(
    body: str, members: tuple[str, ...], expected: list[str], places: list[tuple[int, int]]
) -> None:
    result = group(body)
    assert only(result).members == members
    assert told(result) == expected
    found = [item for item in result.diagnostics if item.code in expected]
    assert [where(item) for item in found] == places
    assert exit_status(result) == 5


@pytest.mark.parametrize("body", ["", "group {\n}", "group {\nC\n}", "smtp_alert"])
def test_a_group_without_members_is_dropped(body: str) -> None:
    result = group(body)
    assert result.config.sync_groups == ()
    assert "no-members" in told(result)
    assert not result.fatal


def test_an_instance_is_in_one_group_only() -> None:
    result = load(
        f"vrrp_sync_group G {{\n{MEMBERS}}}\nvrrp_sync_group H {{\n{MEMBERS}}}\n"
        + instance("A", 1)
        + instance("B", 2)
    )
    assert [one.name for one in result.config.sync_groups] == ["G"]
    assert told(result) == ["member-of-two", "member-of-two", "no-members"]


def test_groups_may_stand_below_their_members() -> None:
    result = load(instance("A", 1) + instance("B", 2) + f"vrrp_sync_group G {{\n{MEMBERS}}}\n")
    assert only(result).members == ("A", "B")
    assert told(result) == []


@pytest.mark.parametrize("head", ["", "G H"])
def test_a_group_has_one_name(head: str) -> None:
    for keyword in ("vrrp_sync_group", "track_group"):
        result = load(f"{keyword} {head} {{\n{MEMBERS}}}\n" + instance("A", 1) + instance("B", 2))
        assert told(result) == ["no-name"]
        assert (result.config.sync_groups, result.config.track_groups) == ((), ())


def test_of_two_groups_of_one_name_the_first_counts() -> None:
    text = f"vrrp_sync_group G {{\n{MEMBERS}}}\n"
    result = load(text + text + instance("A", 1) + instance("B", 2))
    assert len(result.config.sync_groups) == 1
    assert where(find(result, "duplicate-name")) == (7, 17)


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (
            'notify_master "/bin/m up" u g',
            "notify_master",
            Script(command=("/bin/m", "up"), user="u", group="g"),
        ),
        ('notify_backup "/bin/b"', "notify_backup", Script(command=("/bin/b",))),
        ('notify_fault "/bin/f"', "notify_fault", Script(command=("/bin/f",))),
        ('notify_stop "/bin/s"', "notify_stop", Script(command=("/bin/s",))),
        ('notify "/bin/n"', "notify", Script(command=("/bin/n",))),
        ("smtp_alert", "smtp_alert", True),
        ("smtp_alert off", "smtp_alert", False),
        ("sync_group_tracking_weight", "sync_group_tracking_weight", True),
        ("notify_priority_changes", "notify_priority_changes", True),
        ("notify_priority_changes off", "notify_priority_changes", False),
        (
            "track_interface {\neth1 weight 3\n}",
            "track_interface",
            (TrackRef(name="eth1", weight=3, reverse=False),),
        ),
    ],
)
def test_settings(line: str, field: str, value: object) -> None:
    result = group(MEMBERS + line)
    assert getattr(only(result), field) == value
    assert told(result) == []


def test_defaults_of_globals() -> None:
    assert only(group(MEMBERS, globals_="smtp_alert_vrrp on\nsmtp_alert off")).smtp_alert
    assert only(group(MEMBERS, globals_="smtp_alert on")).smtp_alert
    assert not only(group(MEMBERS + "smtp_alert off", globals_="smtp_alert on")).smtp_alert


def test_the_old_name_of_tracking_weight() -> None:
    result = group(MEMBERS + "global_tracking")
    assert only(result).sync_group_tracking_weight
    assert told(result) == ["deprecated"]
    assert exit_status(result) == 5


def test_the_first_notify_script_counts() -> None:
    result = group(MEMBERS + 'notify "/bin/a"\nnotify "/bin/b"')
    assert only(result).notify == Script(command=("/bin/a",))
    assert told(result) == ["written-twice"]


def test_members_take_notify_priority_changes_of_their_group() -> None:
    result = group(MEMBERS + "notify_priority_changes", b="notify_priority_changes off")
    assert [one.notify_priority_changes for one in result.config.vrrp_instances] == [True, False]


# --- trackers of members and owners ------------------------------------------------------------

TRACKERS = (
    'vrrp_script S {\nscript "/bin/x"\nweight 5\n}\nvrrp_script Z {\nscript "/bin/z"\n}\n'
    "track_file F {\nfile /run/f\n}\ntrack_file F5 {\nfile /run/g\nweight 5\n}\n"
    "vrrp_track_process P {\nprocess x\nweight 5\n}\n"
    "bfd_instance B1 {\nneighbor_ip 10.9.9.9\nweight 5\n}\n"
)
ALL = (
    "track_interface {\neth1 weight 5\neth2\n}\ntrack_script {\nS\nZ\n}\ntrack_file {\nF\nF5\n}\n"
    "track_process {\nP\n}\ntrack_bfd {\nB1\n}"
)


def weights(thing: VrrpInstance | SyncGroup) -> dict[str, Any]:
    return {
        kind: {ref.name: ref.weight for ref in getattr(thing, f"track_{kind}")}
        for kind in ("interface", "script", "file", "process", "bfd")
    }


WRITTEN = {
    "interface": {"eth1": 5, "eth2": 0},
    "script": {"S": 5, "Z": 0},
    "file": {"F": 1, "F5": 5},
    "process": {"P": 5},
    "bfd": {"B1": 5},
}


def test_a_member_of_a_sync_group_has_no_weights() -> None:
    result = group(MEMBERS, a=ALL, before=TRACKERS)
    assert weights(result.config.vrrp_instances[0]) == {
        "interface": {"eth1": 0, "eth2": 0},
        "script": {"Z": 0},
        "file": {"F": 0},
        "process": {"P": 5},
        "bfd": {},
    }
    assert told(result) == ["weight-ignored"] * 5
    lines = result.sources["t.conf"]
    told_of = [lines[where(d)[0] - 1].strip() for d in result.diagnostics if d.code == "weight-ignored"]
    assert told_of == ["eth1 weight 5", "F", "F5", "S", "B1"]


def test_unless_the_group_counts_them() -> None:
    result = group(MEMBERS + "sync_group_tracking_weight", a=ALL, before=TRACKERS)
    assert weights(result.config.vrrp_instances[0]) == WRITTEN
    assert told(result) == []


def test_an_owner_has_no_weighted_trackers() -> None:
    result = load(TRACKERS + instance("A", 1, ALL, priority=255))
    assert weights(result.config.vrrp_instances[0]) == {
        "interface": {"eth2": 0},
        "script": {"Z": 0},
        "file": {"F": 0},
        "process": {"P": 5},
        "bfd": {},
    }
    assert told(result) == ["weight-ignored"] * 5


def test_trackers_of_a_group_with_an_owner_have_no_weights() -> None:
    text = f"{TRACKERS}vrrp_sync_group G {{\n{MEMBERS}{ALL}\n}}\n"
    result = load(text + instance("A", 1, priority=255) + instance("B", 2))
    assert set(weights(only(result))["script"].values()) == {0}
    assert {w for kind in weights(only(result)).values() for w in kind.values()} == {0}
    assert told(result) == ["weight-of-owner"] * 6
    assert weights(only(group(MEMBERS + ALL, before=TRACKERS))) == WRITTEN


def test_an_interface_is_followed_by_the_group_or_by_the_instance() -> None:
    both = MEMBERS + "track_interface {\neth1\n}"
    result = group(both, a="track_interface {\neth1\n}")
    assert told(result) == ["tracked-twice"]
    own = group(MEMBERS + "track_interface {\neth0\n}", b="dont_track_primary")
    assert told(own) == ["tracked-twice"]
    assert where(find(own, "tracked-twice"))[0] == 6


def test_owners_and_others_in_one_group() -> None:
    def result(first: str, second: str) -> LoadResult:
        return load(
            f"vrrp_sync_group G {{\n{MEMBERS}}}\n"
            + instance("A", 1, first, priority=255)
            + instance("B", 2, second)
        )

    assert "mixed-owners" in told(result("state MASTER", "state BACKUP"))
    assert "mixed-owners" not in told(result("state MASTER", ""))
    assert "mixed-owners" not in told(result("", "state BACKUP"))


# --- garp_group -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("garp_interval 0.1\ninterface eth0", GarpGroup(interfaces=("eth0",), garp_interval_s=0.1)),
        (
            "gna_interval 2\ninterfaces {\neth0\neth1 eth2\n}",
            GarpGroup(interfaces=("eth0", "eth1", "eth2"), gna_interval_s=2.0),
        ),
        (
            "garp_interval 0\ngna_interval 4294.967295",
            GarpGroup(garp_interval_s=0.0, gna_interval_s=4294.967295),
        ),
        (
            "garp_interval 1\ninterface eth0\ninterface eth1",
            GarpGroup(interfaces=("eth0", "eth1"), garp_interval_s=1.0),
        ),
    ],
)
def test_garp_groups(body: str, expected: GarpGroup) -> None:
    result = load(f"garp_group {{\n{body}\n}}\n")
    assert result.config.garp_groups == (expected,)
    assert told(result) == []


@pytest.mark.parametrize(
    ("body", "count", "expected"),
    [
        ("interface eth0", 0, ["no-interval"]),
        ("garp_interval x\ninterface eth0", 0, ["invalid-number", "no-interval"]),
        ("garp_interval 4295", 0, ["invalid-number", "no-interval"]),
        ("garp_interval 1\ninterface eth0\ninterface eth0", 1, ["duplicate-interface"]),
        ("garp_interval 1\ninterfaces {\n}", 1, ["empty-group"]),
    ],
)
def test_garp_groups_that_cannot_be(body: str, count: int, expected: list[str]) -> None:
    result = load(f"garp_group {{\n{body}\n}}\n")
    assert len(result.config.garp_groups) == count
    assert told(result) == expected


def test_an_interface_is_in_one_garp_group_and_free_again_when_the_group_is_dropped() -> None:
    one = "garp_group {\ngarp_interval 1\ninterface eth0\n}\n"
    twice = load(one + one)
    assert [group.interfaces for group in twice.config.garp_groups] == [("eth0",), ()]
    assert where(find(twice, "duplicate-interface")) == (7, 11)
    assert told(load("garp_group {\ninterface eth0\n}\n" + one)) == ["no-interval"]


# --- track_group ------------------------------------------------------------------------------


def test_track_groups() -> None:
    result = load("track_group T {\ngroup {\nA\nB C\n}\n}\n")
    assert result.config.track_groups == (TrackGroup(name="T", members=("A", "B", "C")),)
    assert told(result) == []


def test_a_track_group_without_members_is_dropped() -> None:
    result = load("track_group T {\n}\n")
    assert result.config.track_groups == ()
    assert told(result) == ["no-members"]
    assert where(find(result, "no-members")) == (2, 1)
