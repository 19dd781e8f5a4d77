"""Lines of static_routes, static_rules, virtual_routes, virtual_rules; static lines in a configuration.

``data/routing_judgement.tsv``: what keepalived 2.4.3 says of a line (nothing, an error, an error about a
number, or the end with status 2). Columns: block, class, line; the interface is lo, track_group G exists.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

import keepalived_conf.loading
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.loading import LoadResult, exit_status
from keepalived_conf.model import Encap, NextHop, Route, Rule, StaticAddress
from tests.unit.conf.support import codes, find, instance, instance_text, load, where

JUDGED = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "data" / "routing_judgement.tsv").read_text().splitlines()
]
GROUP = "track_group G {\n group {\n  A\n }\n}\n"
FILES = {
    "rt_tables": {"wan": 77},
    "rt_protos": {"keepalived": 18},
    "rt_dsfield": {"AF11": 0x28},
    "rt_realms": {"cosmos": 0, "home": 3},
    "group": {"default": 0},
}


@pytest.fixture(autouse=True)
def names_of_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same iproute2 on every host."""
    monkeypatch.setattr(keepalived_conf.loading, "read_names", lambda name, etc, usr: FILES.get(name, {}))


def load_line(block: str, line: str) -> LoadResult:
    return load(f"{GROUP}{block} {{\n{line}\n}}\n")


@pytest.mark.parametrize(("block", "judgement", "line"), JUDGED, ids=[" ".join(row[::2]) for row in JUDGED])
def test_the_judgement_is_that_of_keepalived(block: str, judgement: str, line: str) -> None:
    result = load_line(block, line)
    found = [item for item in result.diagnostics if item.place is not None and item.place.line == 7]
    classes = {item.keepalived for item in found} - {KeepalivedClass.OK}
    if judgement in ("INVALID_NUMBER", "MISSING_PARAMETER"):
        assert KeepalivedClass[judgement] in classes
    else:
        assert classes == {KeepalivedClass[judgement]} - {KeepalivedClass.OK}, result.text()
    assert (exit_status(result) == 2) == (judgement == "MISSING_PARAMETER")
    assert result.fatal == (judgement == "MISSING_PARAMETER")


# --- routes ------------------------------------------------------------------------------------------


def routes(*lines: str) -> tuple[tuple[Route, ...], LoadResult]:
    result = load_line("static_routes", "\n".join(lines))
    return result.config.static_routes, result


TEN: dict[str, Any] = {"destination": ip_interface("10.0.0.0/8"), "dev": "lo"}


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("src 10.0.0.9", {"src": ip_address("10.0.0.9")}),
        ("via 10.0.0.1", {"via": ip_address("10.0.0.1")}),
        ("via inet 10.0.0.1", {"via": ip_address("10.0.0.1")}),
        ("via 10.0.0.1 via 10.0.0.2", {"via": ip_address("10.0.0.2")}),
        ("gw 10.0.0.1", {"via": ip_address("10.0.0.1")}),
        ("oif eth9", {"dev": "eth9"}),
        ("tos AF11", {"tos": 0x28}),
        ("dsfield 0x10", {"tos": 16}),
        ("table wan", {"table": 77}),
        ("table local", {"table": 255}),
        ("table 4294967295", {"table": 4294967295}),
        ("vrf blue", {"vrf": "blue"}),
        ("table 5 vrf blue", {"vrf": "blue"}),
        ("vrf blue table 5", {"table": 5}),
        ("protocol static no_track", {"protocol": 4, "no_track": True}),
        ("no_track", {"protocol": None, "no_track": True}),
        ("protocol static", {"protocol": 18}),
        ("scope link", {"scope": 253}),
        ("metric 4294967295", {"metric": 4294967295}),
        ("priority 3", {"metric": 3}),
        ("preference 4", {"metric": 4}),
        ("onlink", {"onlink": True}),
        ("mtu 1400", {"mtu_bytes": 1400}),
        ("mtu lock 1400", {"mtu_bytes": 1400, "locks": ("mtu",)}),
        ("advmss lock 1 cwnd lock 2", {"advmss_bytes": 1, "cwnd": 2, "locks": ("advmss", "cwnd")}),
        ("hoplimit 9", {"hoplimit": 9}),
        ("reordering 3 ssthresh 4", {"reordering": 3, "ssthresh": 4}),
        ("window 5 initcwnd 6 initrwnd 7", {"window_bytes": 5, "initcwnd": 6, "initrwnd": 7}),
        ("rtt 1.5s", {"rtt_ms": 1500}),
        ("rtt 300ms", {"rtt_ms": 300}),
        ("rtt 1601", {"rtt_ms": 200.125}),
        ("rtt 1601.5", {"rtt_ms": 200.25}),
        ("rtt 1.5555s", {"rtt_ms": 1556}),
        ("rtt 300.4ms", {"rtt_ms": 300}),
        ("rtt 10ms", {"rtt_ms": 200}),
        ("rtt 120s", {"rtt_ms": 120000}),
        ("rttvar lock 1001", {"rttvar_ms": 250.25, "locks": ("rttvar",)}),
        ("rto_min .25s", {"rto_min_ms": 250}),
        ("rto_min 3secs", {"rto_min_ms": 3000}),
        ("realms home/4", {"realms": (3, 4)}),
        ("realms home", {"realms": (0, 3)}),
        ("features ecn", {"ecn": True}),
        ("features x", {}),
        ("quickack 1 fastopen_no_cookie 0", {"quickack": True, "fastopen_no_cookie": False}),
        ("congctl lock cubic", {"congctl": "cubic", "locks": ("congctl",)}),
        ("ttl-propagate enabled", {"ttl_propagate": True}),
        ("ttl-propagate x", {"ttl_propagate": False}),
        ("append", {"insertion": "append"}),
        ("append add", {"insertion": "add"}),
        ("add prepend", {}),
        ("track_group G", {"track_group": "G"}),
        ("track_group H", {}),
        ("as to 1.1.1.1", {}),
        ("as 1.1.1.1", {}),
        ("encap ip id 7 dst 1.1.1.1 src 2.2.2.2 tos 8 ttl 9 flags 1",
         {"encap": Encap(kind="ip", id=7, destination=ip_address("1.1.1.1"), source=ip_address("2.2.2.2"),
                         tos=8, ttl=9, flags=1)}),
        ("encap ip6 dst fe80::1 tc 8 hoplimit 9",
         {"encap": Encap(kind="ip6", destination=ip_address("fe80::1"), tos=8, ttl=9)}),
        ("encap mpls 100/0x10", {"encap": Encap(kind="mpls", labels=(100, 16))}),
        ("encap ila 1:2:3:fffe", {"encap": Encap(kind="ila", locator=0x000100020003FFFE)}),
        ("encap foo skipped metric 5", {"metric": 5}),
        ("encap", {}),
        ("inet junk metric 5", {"metric": 5}),
    ],
)  # fmt: skip
def test_words_of_a_route(words: str, fields: dict[str, Any]) -> None:
    found, result = routes("10.0.0.0/8 dev lo " + words)
    assert found == (Route(**{**TEN, **fields}),), result.text()


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("from fe80::/10", {"source": ip_interface("fe80::/10")}),
        ("from default6", {"source": ip_interface("::/0")}),
        ("via inet6 fe80::1", {"via": ip_address("fe80::1")}),
        ("expires 60", {"expires_s": 60}),
        ("pref low", {"pref": 3}),
        ("pref medium", {"pref": 0}),
        ("pref 255", {"pref": 255}),
        ("nexthop via fe80::1 nexthop via fe80::2",
         {"nexthops": (NextHop(via=ip_address("fe80::1")), NextHop(via=ip_address("fe80::2")))}),
    ],
)  # fmt: skip
def test_words_of_an_ipv6_route(words: str, fields: dict[str, Any]) -> None:
    found, result = routes("2001:db8::/32 " + words)
    assert found == (Route(destination=ip_interface("2001:db8::/32"), **fields),), result.text()


@pytest.mark.parametrize(
    ("line", "destination", "type_"),
    [
        ("default dev lo", "0.0.0.0/0", 1),
        ("any via fe80::1", "::/0", 1),
        ("all expires 5", "::/0", 1),
        ("default6 dev lo", "::/0", 1),
        ("to 10.0.0.0/8", "10.0.0.0/8", 1),
        ("10.0.0.1", "10.0.0.1/32", 1),
        ("blackhole 10.0.0.0/8", "10.0.0.0/8", 6),
        ("prohibit default", "0.0.0.0/0", 8),
        ("9 fe00::/8", "fe00::/8", 9),
        ("inet6 skipped fe00::/8", "fe00::/8", 1),
        ("10.0.0.0/8 11.0.0.0/8", "11.0.0.0/8", 1),
    ],
)
def test_destinations(line: str, destination: str, type_: int) -> None:
    found, result = routes(line)
    assert [(one.destination, one.type) for one in found] == [(ip_interface(destination), type_)], (
        result.text()
    )
    assert found[0].family == found[0].destination.version


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("via 10.0.0.1 default", 14, "default does not go with the family"),
        ("to blackhole 10.0.0.0/8", 4, "unknown word 'blackhole'"),
        ("10.0.0.0/8 dev lo via fe80::1", 23, "via fe80::1 is of another family"),
        ("10.0.0.0/8 dev lo frob", 19, "unknown word 'frob'"),
        ("dev lo", 1, "no destination"),
        ("10.0.0.0/8 table nosuch", 18, "table 'nosuch' is not a routing table"),
        ("10.0.0.0/8 metric 5x", 19, "metric '5x' is not a whole number"),
        ("10.0.0.0/8 expires 5", 12, "expires is for IPv6 only"),
        ("fe00::/8 realms 1", 17, "realms are for IPv4 only"),
        ("10.0.0.0/8 from 10.0.0.0/8", 17, "is not IPv6"),
        ("10.0.0.0/8 encap mpls 1/2/3 metric 5", 23, "more than 2 labels"),
        ("10.0.0.0/8 encap ila", 21, "encap ila has no locator"),
        ("10.0.0.0/8 encap ip ttl 5", 18, "neither dst nor id"),
        ("10.0.0.0/8 encap ip dst fe80::1", 25, "of the wrong family"),
        ("10.0.0.0/8 rto_min 121s", 20, "is not a time up to 120 s"),
        ("10.0.0.0/8 via 10.0.0.1 or 10.0.0.2 nexthop via 10.0.0.3", 37, "left over"),
    ],
)
def test_routes_that_are_refused(line: str, column: int, says: str) -> None:
    found, result = routes(line)
    assert found == ()
    errors = [item for item in result.diagnostics if item.severity == "error" and says in item.message]
    assert [where(item) for item in errors] == [(7, column)], result.text()
    assert errors[0].message.endswith("the line is ignored")


def test_the_word_that_was_meant() -> None:
    assert find(routes("10.0.0.0/8 tabel 5")[1], "unknown-word").hint == "did you mean table?"
    assert find(routes("10.0.0.0/8 table mian")[1], "unknown-name").hint == "did you mean main?"
    assert find(routes("to unreachable 10.0.0.0/8")[1], "unknown-word").hint.startswith(
        "a type stands before"
    )


@pytest.mark.parametrize(
    ("hops", "expected"),
    [
        ("nexthop via 10.0.0.1 dev eth0 weight 256 onlink",
         (NextHop(via=ip_address("10.0.0.1"), dev="eth0", weight=256, onlink=True),)),
        ("nexthop nexthop realms 1/2", (NextHop(), NextHop(realms=(1, 2)))),
        ("nexthop encap mpls 5 weight 2 nexthop dev a",
         (NextHop(encap=Encap(kind="mpls", labels=(5,)), weight=2), NextHop(dev="a"))),
        ("nexthop via 10.0.0.1 nexthop via 10.0.0.2 weight 0 nexthop via 10.0.0.3",
         (NextHop(via=ip_address("10.0.0.1")),)),
        ("nexthop via 10.0.0.1 oif eth0 nexthop via 10.0.0.2", (NextHop(via=ip_address("10.0.0.1")),)),
        ("nexthop as to 1.1.1.1", ()),
    ],
)  # fmt: skip
def test_hops_a_bad_one_ends_the_list_and_the_route_is_kept(hops: str, expected: tuple[NextHop, ...]) -> None:
    found, result = routes("10.0.0.0/8 " + hops)
    assert [one.nexthops for one in found] == [expected], result.text()


def test_an_or_route_has_two_hops() -> None:
    found, _ = routes("10.0.0.0/8 via 10.0.0.1 or 10.0.0.2 or 10.0.0.3 metric 7")
    hops = (NextHop(via=ip_address("10.0.0.1")), NextHop(via=ip_address("10.0.0.2")))
    assert found == (Route(destination=ip_interface("10.0.0.0/8"), nexthops=hops, metric=7),)


# --- rules -------------------------------------------------------------------------------------------


def rules(*lines: str) -> tuple[tuple[Rule, ...], LoadResult]:
    result = load_line("static_rules", "\n".join(lines))
    return result.config.static_rules, result


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("from 10.0.0.1", {"source": ip_interface("10.0.0.1/32")}),
        ("from all to 10.0.0.0/8",
         {"source": ip_interface("0.0.0.0/0"), "destination": ip_interface("10.0.0.0/8")}),
        ("to any", {"destination": ip_interface("0.0.0.0/0")}),
        ("from fe80::/10", {"family": 6, "source": ip_interface("fe80::/10")}),
        ("from default6", {"family": 6, "source": ip_interface("::/0")}),
        ("from all inet6 x", {"family": 6, "source": ip_interface("::/0")}),
        ("inet6 x", {"family": 6}),
        ("not", {"invert": True}),
        ("tos AF11", {"tos": 0x28}),
        ("fwmark 0x10/0xff", {"fwmark": 16, "fwmask": 255}),
        ("fwmark 010", {"fwmark": 8}),
        ("fwmark /1", {"fwmark": 0, "fwmask": 1}),
        ("realms home/4", {"realms": (3, 4)}),
        ("sup_pl 0", {"suppress_prefixlength": 0}),
        ("sup_group default", {"suppress_ifgroup": 0}),
        ("dev eth0 oif eth1", {"iif": "eth0", "oif": "eth1"}),
        ("tunnel-id 18446744073709551615", {"tunnel_id": 18446744073709551615}),
        ("uidrange 1000-2000", {"uidrange": (1000, 2000)}),
        ("protocol 4 no_track", {"protocol": 4, "no_track": True}),
        ("no_track", {"protocol": None, "no_track": True}),
        ("protocol 4", {"protocol": 18}),
        ("ipproto tcp", {"ipproto": 6}),
        ("ipproto UDP", {"ipproto": 17}),
        ("ipproto 47", {"ipproto": 47}),
        ("sport 80-90 dport 443-443", {"sport": (80, 90), "dport": (443, 443)}),
        ("sport 80", {}),
        ("dport 70000-80000", {"dport": (4464, 14464)}),
        ("iif lo track_group G", {"iif": "lo", "track_group": "G"}),
        ("track_group G", {}),
        ("iif lo track_group G track_group G junk", {"iif": "lo", "track_group": "G"}),
    ],
)  # fmt: skip
def test_words_of_a_rule(words: str, fields: dict[str, Any]) -> None:
    found, result = rules(f"preference 5 lookup wan {words}")
    expected = {"family": 4, "action": "table", "table": 77, "preference": 5, **fields}
    assert found == (Rule(**expected),), result.text()


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("table 5", {"action": "table", "table": 5}),
        ("l3mdev", {"action": "table", "l3mdev": True}),
        ("goto 50", {"action": "goto", "goto": 50}),
        ("type nop", {"action": "nop"}),
        ("blackhole", {"action": "blackhole"}),
        ("type unreachable", {"action": "unreachable"}),
        ("8", {"action": "prohibit"}),
    ],
)
def test_actions(words: str, fields: dict[str, Any]) -> None:
    found, result = rules(f"from 10.0.0.1 {words} order 0x10")
    assert found == (Rule(family=4, source=ip_interface("10.0.0.1"), preference=16, **fields),), result.text()


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("from 10.0.0.1 order 5", 1, "no action"),
        ("from 10.0.0.1 goto 5 order 5", 15, "does not lead forward"),
        ("from 10.0.0.1 goto 5", 1, "goto needs a preference"),
        ("table 5 l3mdev order 5", 9, "a second action"),
        ("realms 1 nop order 5", 1, "do not go with nop"),
        ("from fe80::1 to 10.0.0.1 table 5 order 5", 17, "does not go with the family"),
        ("table 0 order 5", 7, "table 0"),
        ("table 5 order 5x", 15, "not a whole number"),
        ("table 5 order 5 fwmark 0x", 24, "not MARK[/MASK]"),
        ("table 5 order 5 perference 7", 17, "unknown word 'perference'"),
    ],
)
def test_rules_that_are_refused(line: str, column: int, says: str) -> None:
    found, result = rules(line)
    assert found == ()
    errors = [item for item in result.diagnostics if item.severity == "error" and says in item.message]
    assert [where(item) for item in errors] == [(7, column)], result.text()


# --- in a configuration -------------------------------------------------------------------------------


def test_rules_without_preference_are_numbered_in_file_order_by_family() -> None:
    virtual = "virtual_rules {{\nfrom 10.0.0.{0} table {0}\nfrom fe80::{0} table {0}\n}}"
    text = (
        instance_text(virtual.format(1)).replace("vrrp_instance A", "vrrp_instance B").replace("eth0", "eth1")
        + "static_rules {\nfrom 10.0.0.2 table 2\ntable 9 preference 7\n}\n"
        + instance_text(virtual.format(3))
    )
    result = load(text)
    first, last = result.config.vrrp_instances
    static = result.config.static_rules
    assert [rule.preference for rule in first.virtual_rules] == [16384, 16384]
    assert [rule.preference for rule in static] == [16383, 7]
    assert [rule.preference for rule in last.virtual_rules] == [16382, 16383]
    said = [item for item in result.diagnostics if item.code == "no-preference"]
    assert [(where(item)[0], item.message.split()[5]) for item in said] == [
        (9, "16384"), (10, "16384"), (14, "16383"), (25, "16382"), (26, "16383"),
    ]  # fmt: skip


def test_a_track_group_must_stand_above() -> None:
    line = "static_routes {\n10.0.0.0/8 dev lo track_group G\n}\n"
    text = line + GROUP + line + "static_ipaddress {\n10.0.0.1 track_group H\n}\n"
    result = load(text)
    assert [route.track_group for route in result.config.static_routes] == [None, "G"]
    assert result.config.static_addresses[0].track_group is None
    said = [item for item in result.diagnostics if item.code == "unknown-track-group"]
    assert sorted(where(item) for item in said) == [(2, 19), (13, 10)]


def test_static_addresses_go_to_the_default_interface() -> None:
    block = "static_ipaddress {\n10.0.0.1/24\n10.0.0.2/24 dev eth5\n}\n"
    result = load(block)
    assert result.config.static_addresses == (
        StaticAddress(interface=ip_interface("10.0.0.1/24"), dev="eth0"),
        StaticAddress(interface=ip_interface("10.0.0.2/24"), dev="eth5"),
    )
    result = load(block + "global_defs {\ndefault_interface br0\n}\n")
    assert [one.dev for one in result.config.static_addresses] == ["br0", "eth5"]


def test_routes_and_rules_of_an_instance_know_no_group() -> None:
    found, result = instance(
        "virtual_routes {\n10.0.0.0/8 dev eth0\n11.0.0.0/8 dev eth0 track_group G\n}\n"
        "virtual_rules {\ntable 5 preference 6\ntable 5 preference 7 track_group G\n}"
    )
    assert found.virtual_routes == (Route(destination=ip_interface("10.0.0.0/8"), dev="eth0"),)
    assert found.virtual_rules == (Rule(family=4, action="table", table=5, preference=6),)
    assert codes(result).count("unknown-word") == 2


def test_blocks_add_up_and_places_are_kept() -> None:
    found, _ = instance("virtual_routes {\n10.0.0.0/8 dev eth0\n}\nvirtual_routes {\n11.0.0.0/8\n}")
    assert [str(route.destination) for route in found.virtual_routes] == ["10.0.0.0/8", "11.0.0.0/8"]
    assert {word: str(place) for word, place in found.virtual_routes[0].places.items()} == {
        "": "t.conf:9:1",
        "dev": "t.conf:9:12",
    }


def test_a_line_that_starts_with_nexthop_is_a_line() -> None:
    found, result = instance("virtual_routes {\nnexthop via 10.0.0.1\n10.0.0.0/8 dev eth0\n}\ndebug 1")
    assert [str(route.destination) for route in found.virtual_routes] == ["10.0.0.0/8"]
    assert "unknown-keyword" not in codes(result)


def test_routes_have_no_effect_yet_which_is_said_once_with_its_consequence() -> None:
    _, result = instance("virtual_routes {\n10.0.0.0/8 via 10.0.0.1 dev eth0 nexthop via 10.0.0.2\n}")
    assert [item.hint for item in result.diagnostics if item.code == "no-effect-yet"] == [
        "the master does not install these routes"
    ]
    used = {(use.path, use.name) for use in result.used}
    inside = "vrrp_instance.virtual_routes.entry"
    assert used >= {(inside, "via"), (inside, "dev"), (inside, "nexthop"), (f"{inside}.nexthop", "via")}
