"""Static addresses, and routes and rules: static ones and those of a virtual router.

Names of tables, scopes, protocols, realms, groups and services are resolved to the kernel's numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from keepalived_conf.model.base import Family, IpAddress, IpInterface, Places

TABLE_MAIN = 254
PROTOCOL_KEEPALIVED = 18
"""rtm_protocol of everything that is watched (linux/rtnetlink.h: RTPROT_KEEPALIVED)."""
TYPE_UNICAST = 1

Realms = tuple[int, int]
"""(source, destination), each 0 to 255; 0: none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticAddress:
    """One line of static_ipaddress. Fields as of ``VirtualAddress``."""

    interface: IpInterface
    dev: str
    label: str | None = None
    scope: int = 0
    broadcast: IPv4Address | None = None
    peer: IpInterface | None = None
    no_dad: bool = True
    home: bool = False
    mngtmpaddr: bool = False
    noprefixroute: bool = False
    autojoin: bool = False
    no_track: bool = False
    preferred_lft_s: int | None = None
    track_group: str | None = None
    """Instances that fail when the address disappears; None: it is put back."""
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Encap:
    """Lightweight tunnel of a route or hop: which fields count depends on ``kind``."""

    kind: Literal["ip", "ip6", "mpls", "ila"]
    id: int | None = None
    """Tunnel id (ip, ip6)."""
    destination: IpAddress | None = None
    source: IpAddress | None = None
    tos: int | None = None
    """tos of ip, tc of ip6."""
    ttl: int | None = None
    """ttl of ip, hoplimit of ip6."""
    flags: int | None = None
    labels: tuple[int, ...] = ()
    """mpls: labels of 20 bits, outermost first."""
    locator: int | None = None
    """ila: 64 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NextHop:
    """One hop of a multipath route."""

    via: IpAddress | None = None
    dev: str | None = None
    weight: int = 1
    """Share of the traffic, 1 to 256."""
    onlink: bool = False
    encap: Encap | None = None
    realms: Realms | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One line of static_routes or virtual_routes. None: not sent to the kernel, which has its default."""

    destination: IpInterface
    """0.0.0.0/0 or ::/0: the default route."""
    type: int = TYPE_UNICAST
    """rtm_type number: 1 unicast, 6 blackhole, 7 unreachable, 8 prohibit, 9 throw, ..."""
    src: IpAddress | None = None
    """Preferred source address."""
    source: IpInterface | None = None
    """``from``: source prefix, IPv6 only."""
    via: IpAddress | None = None
    dev: str | None = None
    tos: int = 0
    table: int = TABLE_MAIN
    vrf: str | None = None
    """The table is the one of this VRF interface, whatever ``table`` says."""
    protocol: int | None = PROTOCOL_KEEPALIVED
    scope: int | None = None
    """None: by type of the route."""
    metric: int | None = None
    onlink: bool = False
    encap: Encap | None = None
    expires_s: int | None = None
    mtu_bytes: int | None = None
    hoplimit: int | None = None
    advmss_bytes: int | None = None
    rtt_ms: float | None = None
    """Steps of 1/8 ms."""
    rttvar_ms: float | None = None
    """Steps of 1/4 ms."""
    rto_min_ms: int | None = None
    reordering: int | None = None
    window_bytes: int | None = None
    cwnd: int | None = None
    ssthresh: int | None = None
    initcwnd: int | None = None
    initrwnd: int | None = None
    realms: Realms | None = None
    ecn: bool = False
    """``features ecn``."""
    quickack: bool | None = None
    congctl: str | None = None
    pref: int | None = None
    """RFC 4191 section 2.1: 0 medium, 1 high, 3 low."""
    ttl_propagate: bool | None = None
    fastopen_no_cookie: bool | None = None
    locks: tuple[str, ...] = ()
    """Metrics, by keyword, that the kernel must not change, in order of the alphabet."""
    insertion: Literal["prepend", "append", "add"] = "prepend"
    nexthops: tuple[NextHop, ...] = ()
    no_track: bool = False
    track_group: str | None = None
    """Static routes only."""
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def family(self) -> Family:
        return 6 if self.destination.version == 6 else 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One line of static_rules or virtual_rules. None: does not select."""

    family: Family
    action: Literal["table", "goto", "nop", "blackhole", "unreachable", "prohibit"]
    table: int | None = None
    """Of action table; None: the one of the interface's VRF (``l3mdev``)."""
    goto: int | None = None
    """Of action goto: preference of the target."""
    preference: int | None = None
    """None only until the rules of a configuration are numbered."""
    source: IpInterface | None = None
    """``from``"""
    destination: IpInterface | None = None
    """``to``"""
    invert: bool = False
    """``not``"""
    tos: int = 0
    fwmark: int | None = None
    fwmask: int | None = None
    """None: all bits."""
    realms: Realms | None = None
    suppress_prefixlength: int | None = None
    suppress_ifgroup: int | None = None
    iif: str | None = None
    oif: str | None = None
    tunnel_id: int = 0
    """0: does not select."""
    uidrange: tuple[int, int] | None = None
    l3mdev: bool = False
    protocol: int | None = PROTOCOL_KEEPALIVED
    """Who made the rule."""
    ipproto: int | None = None
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    no_track: bool = False
    track_group: str | None = None
    """Static rules only."""
    places: Places = field(default_factory=dict, compare=False, repr=False)
