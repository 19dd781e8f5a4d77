"""Routes and rules as words again: what is written reads back equal, and says nothing."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_conf.grammar.routing import STATIC_ROUTE, STATIC_RULE, VIRTUAL_ROUTE, VIRTUAL_RULE
from keepalived_conf.model import Encap, NextHop, Route, Rule
from tests.unit.conf.test_addresses import NAMES, args_of

UINT32 = st.integers(0, 4294967295)
FLAG = st.booleans()
REALMS = st.tuples(st.integers(0, 255), st.integers(0, 255))
BYTE = st.integers(0, 255)


def address(version: int) -> st.SearchStrategy[Any]:
    # v= is 4 or 6; the text form of an IPv4-mapped address is read back as well.
    return st.ip_addresses(v=6 if version == 6 else 4)


@st.composite
def prefixes(draw: st.DrawFn, version: int) -> Any:
    ip = draw(address(version))
    return ip_interface(f"{ip}/{draw(st.integers(0, ip.max_prefixlen))}")


@st.composite
def encaps(draw: st.DrawFn) -> Encap:
    kind = draw(st.sampled_from(("ip", "ip6", "mpls", "ila")))
    if kind == "mpls":
        labels = draw(st.lists(st.integers(0, 0xFFFFF), min_size=1, max_size=2))
        return Encap(kind="mpls", labels=tuple(labels))
    if kind == "ila":
        return Encap(kind="ila", locator=draw(st.integers(0, 2**64 - 1)))
    version = 6 if kind == "ip6" else 4
    return Encap(
        kind="ip6" if kind == "ip6" else "ip",
        id=draw(st.integers(0, 2**64 - 1)),
        destination=draw(st.none() | address(version)),
        source=draw(st.none() | address(version)),
        tos=draw(st.none() | BYTE),
        ttl=draw(st.none() | BYTE),
        flags=draw(st.none() | st.integers(0, 65535)),
    )


@st.composite
def hops(draw: st.DrawFn, version: int) -> NextHop:
    return NextHop(
        via=draw(st.none() | address(version)),
        dev=draw(st.none() | NAMES),
        weight=draw(st.integers(1, 256)),
        onlink=draw(FLAG),
        encap=draw(st.none() | encaps()),
        realms=draw(st.none() | REALMS) if version == 4 else None,
    )


LOCKABLE = {
    "mtu": "mtu_bytes", "advmss": "advmss_bytes", "reordering": "reordering", "cwnd": "cwnd",
    "ssthresh": "ssthresh", "rtt": "rtt_ms", "rttvar": "rttvar_ms", "rto_min": "rto_min_ms",
    "congctl": "congctl",
}  # fmt: skip


@st.composite
def routes(draw: st.DrawFn) -> Route:
    version = draw(st.sampled_from((4, 6)))
    six = version == 6
    vrf = draw(st.none() | NAMES)
    no_track = draw(FLAG)
    dev = draw(st.none() | NAMES)
    metrics: dict[str, Any] = {
        name: draw(st.none() | UINT32)
        for name in ("mtu_bytes", "advmss_bytes", "reordering", "window_bytes", "cwnd", "ssthresh",
                     "initcwnd", "initrwnd", "metric")
    }  # fmt: skip
    metrics["rtt_ms"] = draw(st.none() | st.integers(1600, 960000).map(lambda n: n / 8))
    metrics["rttvar_ms"] = draw(st.none() | st.integers(800, 480000).map(lambda n: n / 4))
    metrics["rto_min_ms"] = draw(st.none() | st.integers(200, 120000))
    metrics["congctl"] = draw(st.none() | st.sampled_from(("cubic", "bbr")))
    written = sorted(word for word, field in LOCKABLE.items() if metrics[field] is not None)
    return Route(
        destination=draw(prefixes(version)),
        type=draw(BYTE),
        src=draw(st.none() | address(version)),
        source=draw(st.none() | prefixes(6)) if six else None,
        via=draw(st.none() | address(version)),
        dev=dev,
        tos=draw(BYTE),
        table=254 if vrf is not None else draw(UINT32),
        vrf=vrf,
        protocol=draw(st.none() | BYTE) if no_track else 18,
        scope=draw(st.none() | BYTE),
        onlink=draw(FLAG),
        encap=draw(st.none() | encaps()),
        expires_s=draw(st.none() | UINT32) if six else None,
        hoplimit=draw(st.none() | BYTE),
        realms=None if six else draw(st.none() | REALMS),
        ecn=draw(FLAG),
        quickack=draw(st.none() | FLAG),
        pref=draw(st.none() | BYTE) if six else None,
        ttl_propagate=draw(st.none() | FLAG),
        fastopen_no_cookie=draw(st.none() | FLAG),
        locks=tuple(word for word in written if draw(FLAG)),
        insertion=draw(st.sampled_from(("prepend", "append", "add"))),
        nexthops=tuple(draw(st.lists(hops(version), max_size=3))),
        no_track=no_track,
        track_group=draw(st.none() | NAMES) if dev is not None else None,
        **metrics,
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    version = draw(st.sampled_from((4, 6)))
    action: Any = draw(st.sampled_from(("table", "goto", "nop", "blackhole", "unreachable", "prohibit")))
    preference = draw(st.integers(0, 4294967294))
    tables = action == "table"
    l3mdev = tables and draw(FLAG)
    ports = st.none() | st.tuples(st.integers(0, 65535), st.integers(0, 65535))
    fwmark = draw(st.none() | UINT32)
    no_track = draw(FLAG)
    iif = draw(st.none() | NAMES)
    return Rule(
        family=6 if version == 6 else 4,
        action=action,
        table=draw(st.integers(1, 4294967295)) if tables and not l3mdev else None,
        goto=draw(st.integers(preference + 1, 4294967295)) if action == "goto" else None,
        preference=preference,
        source=draw(st.none() | prefixes(version)),
        destination=draw(st.none() | prefixes(version)),
        invert=draw(FLAG),
        tos=draw(BYTE),
        fwmark=fwmark,
        fwmask=None if fwmark is None else draw(st.none() | UINT32),
        realms=draw(st.none() | REALMS) if tables and version == 4 else None,
        suppress_prefixlength=draw(st.none() | st.integers(0, 2147483647)) if tables else None,
        suppress_ifgroup=draw(st.none() | st.integers(0, 2147483647)) if tables else None,
        iif=iif,
        oif=draw(st.none() | NAMES),
        tunnel_id=draw(st.integers(0, 2**64 - 1)),
        uidrange=draw(st.none() | st.tuples(UINT32, UINT32)),
        l3mdev=l3mdev,
        protocol=draw(st.none() | BYTE) if no_track else 18,
        ipproto=draw(st.none() | st.integers(0, 127)),
        sport=draw(ports),
        dport=draw(ports),
        no_track=no_track,
        track_group=draw(st.none() | NAMES) if iif is not None else None,
    )


@settings(max_examples=40)
@given(routes())
def test_a_route_that_is_written_reads_back_equal(value: Route) -> None:
    form = VIRTUAL_ROUTE if value.track_group is None else STATIC_ROUTE
    args = args_of(" ".join(form.write(value)))
    assert form.read(args) == value
    assert args.remarks == []


@settings(max_examples=40)
@given(rules())
def test_a_rule_that_is_written_reads_back_equal(value: Rule) -> None:
    form = VIRTUAL_RULE if value.track_group is None else STATIC_RULE
    args = args_of(" ".join(form.write(value)))
    assert form.read(args) == value
    assert args.remarks == []


def test_how_a_route_is_written() -> None:
    value = Route(
        destination=ip_interface("0.0.0.0/0"),
        type=6,
        via=ip_address("10.0.0.1"),
        dev="eth0",
        table=100,
        rtt_ms=200.125,
        mtu_bytes=1400,
        locks=("mtu", "rtt"),
    )
    text = "blackhole 0.0.0.0/0 via 10.0.0.1 table 100 dev eth0 mtu lock 1400 rtt lock 1601"
    assert " ".join(VIRTUAL_ROUTE.write(value)) == VIRTUAL_ROUTE.json(value) == text


def test_a_tunnel_does_not_take_the_words_of_its_route() -> None:
    encap = Encap(kind="ip6", id=5)
    value = Route(destination=ip_interface("::/0"), encap=encap, hoplimit=9, src=ip_address("fe80::1"), tos=4)
    assert VIRTUAL_ROUTE.read(args_of(VIRTUAL_ROUTE.json(value))) == value


def test_how_a_rule_of_no_address_says_its_family() -> None:
    value = Rule(family=6, action="table", table=5, preference=7, fwmark=16, fwmask=255)
    assert VIRTUAL_RULE.json(value) == "inet6 inet6 fwmark 0x10/0xff preference 7 table 5"
