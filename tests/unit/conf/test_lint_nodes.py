"""The linter on two nodes: what one file says against what the other says."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived_conf.tools.lint import lint
from tests.unit.conf.lint_support import FOLDER, codes, findings, node, said, script_text
from tests.unit.conf.support import load, service_text


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (node(priority=150), node(), []),
        (node(), node(), []),
        (node("state MASTER", priority=150), node("state MASTER"), ["lint-peer-two-masters"]),
        (node("state MASTER"), node("state BACKUP", priority=150), ["lint-peer-master-lower"]),
        (node("state MASTER"), node("state BACKUP"), ["lint-peer-same-priority"]),
        (node("nopreempt"), node(priority=150), ["lint-peer-nopreempt"]),
        (node("nopreempt", priority=150), node(), []),
        (node("mcast_dst_ip 224.0.0.19"), node(), ["lint-peer-multicast-group"]),
        (node("mcast_dst_ip 224.0.0.18"), node(), []),
        (node(name="VI_1"), node(name="VI_2"), []),
        (node(vrid=1), node(vrid=2), ["lint-peer-vrid"]),
        (node(vrid=1, name="X"), node(vrid=2, name="Y"), ["lint-peer-vrid"]),
        (node(vrid=1, name="X"), node(vrid=2, name="Y", vips="10.0.0.9"), ["lint-peer-instance"] * 2),
        (node(vips="10.0.0.1/24"), node(vips="10.0.0.1"), []),
        (node(vips="10.0.0.1\n10.0.0.2"), node(vips="10.0.0.2\n10.0.0.1"), []),
        (node("version 3\nadvert_int 2"), node("version 3"), ["lint-peer-advert-int"]),
        (node("authentication {\nauth_type PASS\nauth_pass a\n}"), node(), ["lint-peer-auth"]),
        (
            node("authentication {\nauth_type PASS\nauth_pass a\n}"),
            node("authentication {\nauth_type PASS\nauth_pass a\n}"),
            [],
        ),
        (
            node("unicast_src_ip 10.0.0.11\nunicast_peer {\n10.0.0.12\n}"),
            node("unicast_src_ip 10.0.0.12\nunicast_peer {\n10.0.0.11\n10.0.0.13\n}"),
            [],
        ),
        (
            node(name="X", vrid=1, vips="10.0.0.1") + node(name="Y", vrid=2, vips="10.0.0.2"),
            node(name="Y", vrid=1, vips="10.0.0.1") + node(name="X", vrid=2, vips="10.0.0.2"),
            [],
        ),
        (service_text(rs="TCP_CHECK {\n}"), service_text(rs="TCP_CHECK {\n}"), []),
        (
            service_text(rs="TCP_CHECK {\n}"),
            service_text(rs="TCP_CHECK {\n}", rs_head="10.2.0.2 80"),
            ["lint-peer-services"],
        ),
        (
            service_text(rs="TCP_CHECK {\n}"),
            service_text(rs="TCP_CHECK {\n}", head="10.1.0.1 81"),
            ["lint-peer-services"] * 2,
        ),
    ],
)  # fmt: skip
def test_two_nodes(here: str, there: str, expected: list[str]) -> None:
    assert said(here, there) == expected


def test_instances_of_one_id_are_matched_by_name() -> None:
    """The same id on two interfaces, and every address changed: the names tell them apart."""
    here = node(name="A", vips="10.0.0.1") + node(name="B", vips="10.0.1.1").replace("eth0", "eth1")
    there = node(name="B", vips="10.0.1.9").replace("eth0", "eth1") + node(name="A", vips="10.0.0.9")
    first, second = lint(load(here), peer=load(there))
    assert first.message.endswith("only here: 10.0.0.1; only on the other node: 10.0.0.9")
    assert second.message.endswith("only here: 10.0.1.1; only on the other node: 10.0.1.9")


def test_a_name_in_both_families_is_not_one_router() -> None:
    six = node(name="A", vrid=2, vips="fe80::1")
    assert said(node(name="A", vrid=1), six) == ["lint-peer-instance"] * 2


def test_the_same_priority_with_weights_is_a_choice() -> None:
    check = script_text("/bin/check", "weight 2")
    assert said(check.replace("priority", "state MASTER\npriority"), node("state BACKUP")) == [
        "lint-weight-too-small"
    ]
    assert said(check.replace("priority", "state MASTER\npriority"), check) == []


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (("1", "a"), ("1", "a"), []),
        (("1", "a"), ("1", "b"), ["lint-peer-auth"]),
        (("1", "a"), ("2", "a"), ["lint-peer-auth"]),
    ],
)
def test_keys_that_sign(here: tuple[str, str], there: tuple[str, str], expected: list[str]) -> None:
    def keyed(number: str, letter: str) -> str:
        return node(f"version 3\nauth_hmac {{\nkey {number} {letter * 32}\nactive_key {number}\n}}")

    found = lint(load(keyed(*here)), peer=load(keyed(*there)))
    assert codes(found) == expected
    assert not any("a" * 32 in one.diagnostic.message for one in found)


def test_members_of_a_group_that_want_different_nodes() -> None:
    group = "vrrp_sync_group G {\ngroup {\nA\nB\n}\n}\n"
    here = group + node(priority=150) + node(name="B", vrid=2, vips="10.0.0.2")
    there = group + node() + node(name="B", vrid=2, vips="10.0.0.2", priority=150)
    assert said(here, there) == ["lint-sync-group-order"]
    assert said(here, there.replace("150", "90")) == []
    assert said(here, there.replace("150", "100")) == [], "equal priorities leave it to the others"


def test_weights_against_the_other_node() -> None:
    def with_check(weight: str, priority: int, more: str = "") -> str:
        return script_text("/bin/check", f"weight {weight}").replace(
            "priority 100", f"priority {priority}\n{more}"
        )

    assert said(with_check("-50", 150), with_check("-50", 100)) == ["lint-weight-too-small"], (
        "equal is too little"
    )
    assert said(with_check("-51", 150), with_check("-51", 100)) == []
    assert said(with_check("20", 110), with_check("20", 100)) == []
    assert said(with_check("10", 110), with_check("10", 100)) == ["lint-weight-too-small"]
    assert said(with_check("0", 150), with_check("0", 100)) == []
    file = "track_file f {\nfile /run/f\nweight 1\n}\n" + node("track_file {\nf\n}")
    assert said(with_check("-10", 150), file) == [], "a file may hold any number"
    # Only the node with the lower priority holds still: its own file says so, and the pair too.
    assert set(said(with_check("-60", 150), with_check("-60", 100, "nopreempt"))) == {
        "lint-nopreempt-weight",
        "lint-peer-nopreempt",
    }


def test_a_file_without_routers_and_services_is_no_other_node() -> None:
    assert said(node(), "global_defs {\nrouter_id x\n}\n") == []
    assert said("global_defs {\nrouter_id x\n}\n", node()) == []


def test_only_version_2_drops_another_interval() -> None:
    (two,) = lint(load(node("advert_int 2")), peer=load(node()))
    (three,) = lint(load(node("version 3\nadvert_int 2")), peer=load(node("version 3")))
    assert two.message.endswith(": version 2 drops adverts with another interval")
    assert three.message.endswith("on the other node")


def test_findings_name_the_place_in_the_other_file() -> None:
    result, found = findings(FOLDER / "09-other-interval.conf")
    (one,) = found
    assert one.place is not None
    assert one.place.file in result.sources
    assert [Path(place.file).name for place in one.also] == ["09-other-interval.peer.conf"]
    assert "see " in one.diagnostic.message
