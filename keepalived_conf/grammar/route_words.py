"""What the sub-keywords of a route are called in the model, and a route as words again."""

from __future__ import annotations

from keepalived_conf.grammar.encap_forms import write_encap
from keepalived_conf.grammar.entry_line import UINT32_MAX, prefix_text, realms_text
from keepalived_conf.model import TABLE_MAIN, TYPE_UNICAST, NextHop, Route
from keepalived_conf.syntax.iproute import ROUTE_TYPES, Kind

# keyword -> (field, highest value, may be locked)
NUMBERS: dict[str, tuple[str, int, bool]] = {
    "metric": ("metric", UINT32_MAX, False),
    "priority": ("metric", UINT32_MAX, False),
    "preference": ("metric", UINT32_MAX, False),
    "mtu": ("mtu_bytes", UINT32_MAX, True),
    "hoplimit": ("hoplimit", 255, False),
    "advmss": ("advmss_bytes", UINT32_MAX, True),
    "reordering": ("reordering", UINT32_MAX, True),
    "window": ("window_bytes", UINT32_MAX, False),
    "cwnd": ("cwnd", UINT32_MAX, True),
    "ssthresh": ("ssthresh", UINT32_MAX, True),
    "initcwnd": ("initcwnd", UINT32_MAX, False),
    "initrwnd": ("initrwnd", UINT32_MAX, False),
}
TIMES: dict[str, tuple[str, int]] = {
    "rtt": ("rtt_ms", 8),
    "rttvar": ("rttvar_ms", 4),
    "rto_min": ("rto_min_ms", 1),
}
"""keyword -> (field, parts of a millisecond in which the kernel counts)"""
SWITCHES = {"quickack": "quickack", "fastopen_no_cookie": "fastopen_no_cookie"}
FLAGS = {"onlink": "onlink", "no_track": "no_track"}
NAMES = {
    "table": ("table", Kind.TABLE),
    "protocol": ("protocol", Kind.PROTOCOL),
    "scope": ("scope", Kind.SCOPE),
    "tos": ("tos", Kind.DSFIELD),
    "dsfield": ("tos", Kind.DSFIELD),
}
PREFERENCES = {"low": 3, "medium": 0, "high": 1}
"""RFC 4191 section 2.1."""
_TYPE_NAMES = {number: name for name, number in ROUTE_TYPES.items() if name != "brd"}
KEYWORDS = (
    *NUMBERS, *TIMES, *SWITCHES, *FLAGS, *NAMES, "inet", "inet6", "src", "as", "via", "gw", "from", "dev",
    "oif", "encap", "expires", "features", "congctl", "pref", "ttl-propagate", "realms", "add", "prepend",
    "append", "or", "nexthop", "vrf", "to", "default", *ROUTE_TYPES,
)  # fmt: skip


def write_route(value: Route) -> list[str]:
    words = [] if value.type == TYPE_UNICAST else [_TYPE_NAMES.get(value.type, str(value.type))]
    words += [prefix_text(value.destination), *_addresses(value), *_place(value), *_metrics(value)]
    if value.encap is not None:
        # Behind tos, hoplimit and src, which it would take for its own.
        words += write_encap(value.encap)
    if value.realms is not None:
        words += ["realms", realms_text(value.realms)]
    if value.ttl_propagate is not None:
        words += ["ttl-propagate", "enabled" if value.ttl_propagate else "disabled"]
    if value.insertion != "prepend":
        words.append(value.insertion)
    if value.no_track:
        words.append("no_track")
    if value.track_group is not None:
        words += ["track_group", value.track_group]
    for hop in value.nexthops:
        words += _written_hop(hop)
    return words


def _addresses(value: Route) -> list[str]:
    words: list[str] = []
    for word, one in (("src", value.src), ("via", value.via)):
        if one is not None:
            words += [word, str(one)]
    if value.source is not None:
        words += ["from", prefix_text(value.source)]
    return words


def _place(value: Route) -> list[str]:
    """Where in the kernel's tables, and through what."""
    words = ["tos", str(value.tos)] if value.tos else []
    if value.vrf is not None:
        words += ["vrf", value.vrf]
    elif value.table != TABLE_MAIN:
        words += ["table", str(value.table)]
    if value.no_track and value.protocol is not None:
        words += ["protocol", str(value.protocol)]
    for word, field in (("scope", "scope"), ("metric", "metric"), ("dev", "dev"), ("expires", "expires_s")):
        if getattr(value, field) is not None:
            words += [word, str(getattr(value, field))]
    if value.onlink:
        words.append("onlink")
    return words


def _metrics(value: Route) -> list[str]:
    words: list[str] = []
    for word, (field, _, _) in NUMBERS.items():
        if field != "metric":
            words += _metric(value, word, getattr(value, field))
    for word, (field, parts) in TIMES.items():
        time = getattr(value, field)
        words += _metric(value, word, None if time is None else round(time * parts))
    for word, field in SWITCHES.items():
        if getattr(value, field) is not None:
            words += [word, str(int(getattr(value, field)))]
    if value.ecn:
        words += ["features", "ecn"]
    if value.pref is not None:
        words += ["pref", str(value.pref)]
    return words + _metric(value, "congctl", value.congctl)


def _metric(value: Route, word: str, one: object) -> list[str]:
    if one is None:
        return []
    return [word, *(["lock"] if word in value.locks else []), str(one)]


def _written_hop(hop: NextHop) -> list[str]:
    words = ["nexthop"]
    if hop.via is not None:
        words += ["via", str(hop.via)]
    if hop.dev is not None:
        words += ["dev", hop.dev]
    if hop.weight != 1:
        words += ["weight", str(hop.weight)]
    if hop.onlink:
        words.append("onlink")
    if hop.encap is not None:
        words += write_encap(hop.encap)
    if hop.realms is not None:
        words += ["realms", realms_text(hop.realms)]
    return words
