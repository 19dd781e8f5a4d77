"""Sub-keywords of a route, one row each. ``route_forms`` reads them."""

from __future__ import annotations

from keepalived_conf.grammar.entry_rows import sub
from keepalived_conf.grammar.schema import UINT32_MAX, Keyword, Type, block_of
from keepalived_conf.model import NextHop
from keepalived_conf.syntax.iproute import ROUTE_TYPES


def route_rows(path: str, *, static: bool) -> tuple[Keyword, ...]:
    """Of virtual_routes, or of static_routes. No worker installs them yet."""
    why = "static routes are not installed yet" if static else "the master does not install its routes yet"
    return (
        *_where(why),
        *_through(why),
        *_metrics(why),
        *_how(why),
        _nexthop(path, why),
        *(
            (
                sub(
                    "track_group",
                    Type.TEXT,
                    "Instances that fail when the route disappears; a track_group further up; needs dev",
                    since="2.0.3",
                    reason=why,
                ),
            )
            if static
            else ()
        ),
    )


def _where(why: str) -> tuple[Keyword, ...]:
    return (
        sub(
            "DEST",
            Type.TEXT,
            "Destination: a prefix, or default (also any, all) before every word that has a family",
            field="destination",
            default="required",
            since="1.0.1",
            reason=why,
        ),
        sub(
            "default6",
            Type.TEXT,
            "Destination ::/0",
            field="destination",
            since="1.2.10",
            reason=why,
            deprecated="write ::/0",
        ),
        sub("to", Type.FLAG, "May stand before the destination, not before a type", reason=why),
        sub(
            "TYPE",
            Type.CHOICE,
            "Type of the route, before the destination: a name or a number up to 255",
            field="type",
            choices=" ".join(ROUTE_TYPES),
            default="unicast",
            reason=why,
        ),
        sub(
            "inet", Type.FLAG, "IPv4; the word behind it is skipped", default="from the addresses", reason=why
        ),
        sub(
            "inet6",
            Type.FLAG,
            "IPv6; the word behind it is skipped",
            default="from the addresses",
            reason=why,
        ),
        sub("table", Type.TEXT, "Routing table by name or number", default="main", since="1.1.0", reason=why),
        sub("vrf", Type.INTERFACE, "The table of this VRF", default="none", since="2.2.7", reason=why),
        sub(
            "tos",
            Type.TEXT,
            "Type of service by name or number",
            default="0",
            low=0,
            high=255,
            reason=why,
        ),
        sub(
            "dsfield",
            Type.TEXT,
            "Other word for tos",
            alias_of="tos",
            field="tos",
            low=0,
            high=255,
            reason=why,
        ),
        sub(
            "protocol",
            Type.TEXT,
            "Who made the route, by name or number; without no_track always keepalived",
            default="keepalived",
            low=0,
            high=255,
            reason=why,
        ),
        sub(
            "scope",
            Type.TEXT,
            "Scope by name or number, IPv4 only",
            default="by the type",
            since="1.0.3",
            low=0,
            high=255,
            reason=why,
        ),
        sub(
            "metric",
            Type.INTEGER,
            "Metric: the lower counts",
            default="0",
            since="1.1.15",
            low=0,
            high=UINT32_MAX,
            reason=why,
        ),
        *(
            sub(
                word,
                Type.INTEGER,
                "Other word for metric",
                alias_of="metric",
                field="metric",
                low=0,
                high=UINT32_MAX,
                reason=why,
            )
            for word in ("priority", "preference")
        ),
    )


def _through(why: str) -> tuple[Keyword, ...]:
    return (
        sub(
            "src", Type.ADDRESS, "Source address that is preferred", default="none", since="1.0.2", reason=why
        ),
        sub("from", Type.TEXT, "Source prefix, IPv6 only", field="source", default="none", reason=why),
        sub("via", Type.ADDRESS, "Next hop, behind inet or inet6 if written", default="none", reason=why),
        sub(
            "gw",
            Type.ADDRESS,
            "Old word for via",
            alias_of="via",
            field="via",
            reason=why,
            deprecated="write via",
        ),
        sub(
            "or",
            Type.ADDRESS,
            "Second gateway",
            field="nexthops",
            reason=why,
            deprecated="write nexthop via ADDRESS for each hop",
        ),
        sub(
            "as",
            Type.ADDRESS,
            "Address translation, which no kernel has any more: ignored",
            reason=why,
            deprecated="leave it out",
        ),
        sub("dev", Type.INTERFACE, "Interface", default="the one that via is reached through", reason=why),
        sub("oif", Type.INTERFACE, "Other word for dev", alias_of="dev", field="dev", reason=why),
        sub("onlink", Type.FLAG, "The next hop is on the link whatever its address", reason=why),
        *_tunnels(why),
    )


def _tunnels(why: str) -> tuple[Keyword, ...]:
    return (
        sub("encap", Type.TEXT, "Lightweight tunnel: ip, ip6, mpls or ila", default="none", reason=why),
        sub(
            "encap ip",
            Type.WORDS,
            "[id N] [dst IPV4] [src IPV4] [tos T] [ttl N] [flags N]; dst or id",
            field="encap",
            reason=why,
        ),
        sub(
            "encap ip6",
            Type.WORDS,
            "[id N] [dst IPV6] [src IPV6] [tc T] [hoplimit N] [flags N]; dst or id",
            field="encap",
            reason=why,
        ),
        sub("encap mpls", Type.WORDS, "LABEL[/LABEL]", field="encap", reason=why),
        sub("encap ila", Type.WORDS, "Locator of 64 bits: 1:2:3:4 in hexadecimal", field="encap", reason=why),
    )


# name, unit, what it is, may be locked
_NUMBERS = (
    ("mtu", "bytes", "Path MTU", True),
    ("advmss", "bytes", "MSS that is advertised", True),
    ("reordering", "", "Reordering that is tolerated", True),
    ("window", "bytes", "Largest TCP window", False),
    ("cwnd", "packets", "Limit of the congestion window", True),
    ("ssthresh", "", "Initial slow start threshold", True),
    ("initcwnd", "packets", "Initial congestion window", False),
    ("initrwnd", "packets", "Initial receive window", False),
)


def _metrics(why: str) -> tuple[Keyword, ...]:
    locked = "; lock before the value: the kernel does not change it"
    return (
        *(
            sub(
                name,
                Type.INTEGER,
                help_ + (locked if lockable else ""),
                default="none",
                unit=unit,
                low=0,
                high=UINT32_MAX,
                reason=why,
            )
            for name, unit, help_, lockable in _NUMBERS
        ),
        *(
            sub(
                name,
                Type.TEXT,
                f"{help_}, 200ms to 120s; without unit in {kernel}{locked}",
                default="none",
                unit="ms",
                field=f"{name}_ms",
                reason=why,
            )
            for name, help_, kernel in (
                ("rtt", "Initial round trip time", "1/8 ms"),
                ("rttvar", "Initial variance of the round trip time", "1/4 ms"),
                ("rto_min", "Shortest retransmission timeout", "ms"),
            )
        ),
        sub("hoplimit", Type.INTEGER, "Hop limit of packets", default="none", low=0, high=255, reason=why),
        sub("congctl", Type.TEXT, "TCP congestion control algorithm" + locked, default="none", reason=why),
        sub("features", Type.CHOICE, "ecn", field="ecn", choices="ecn", default="none", reason=why),
        sub(
            "quickack",
            Type.INTEGER,
            "Quick acknowledgements, 0 or 1",
            default="none",
            low=0,
            high=1,
            reason=why,
        ),
        sub(
            "fastopen_no_cookie",
            Type.INTEGER,
            "TCP fast open without cookie, 0 or 1",
            default="none",
            low=0,
            high=1,
            reason=why,
        ),
    )


def _how(why: str) -> tuple[Keyword, ...]:
    return (
        sub(
            "expires",
            Type.INTEGER,
            "Lifetime, IPv6 only",
            default="none",
            unit="s",
            low=0,
            high=UINT32_MAX,
            reason=why,
        ),
        sub(
            "realms",
            Type.TEXT,
            "[SOURCE/]DESTINATION realms by name or number, IPv4 only",
            default="none",
            reason=why,
        ),
        sub(
            "pref",
            Type.TEXT,
            "Router preference, IPv6 only: low, medium, high or a number up to 255",
            default="none",
            low=0,
            high=255,
            reason=why,
        ),
        sub(
            "ttl-propagate",
            Type.CHOICE,
            "MPLS: copy the TTL",
            choices="enabled disabled",
            default="none",
            reason=why,
        ),
        sub("add", Type.FLAG, "Fail if there is an equal route", field="insertion", reason=why),
        sub("prepend", Type.FLAG, "Before equal routes", field="insertion", default="on", reason=why),
        sub("append", Type.FLAG, "Behind equal routes", field="insertion", reason=why),
        sub(
            "no_track",
            Type.FLAG,
            "Neither put back nor a fault when somebody takes it out",
            since="2.0.3",
            reason=why,
        ),
    )


def _nexthop(path: str, why: str) -> Keyword:
    rows = (
        sub("via", Type.ADDRESS, "Gateway of the hop", default="none", reason=why),
        sub("dev", Type.INTERFACE, "Interface of the hop", default="none", reason=why),
        sub(
            "oif",
            Type.INTERFACE,
            "Not known here, whatever the manual says: it ends the hops",
            reason="keepalived takes it for left over words; write dev",
            deprecated="write dev",
        ),
        sub("weight", Type.INTEGER, "Share of the traffic", default="1", low=1, high=256, reason=why),
        sub("onlink", Type.FLAG, "The gateway is on the link whatever its address", reason=why),
        sub("encap", Type.TEXT, "Lightweight tunnel, as of the route", default="none", reason=why),
        sub("realms", Type.TEXT, "Realms of the hop, IPv4 only", default="none", reason=why),
    )
    return Keyword(
        name="nexthop",
        type=Type.WORDS,
        help="Starts a hop of a multipath route; the hops are the last words of the line",
        field="nexthops",
        default="none",
        repeatable=True,
        worker="vrrp",
        effect=sub("", Type.WORDS, "", reason=why).effect,
        reason=why,
        block=block_of(f"{path}.nexthop", rows, model=NextHop, entries=True),
    )
