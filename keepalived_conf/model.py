"""The typed, frozen model of a keepalived configuration: what every worker reads.

Pure data. Units are in the names, defaults are already filled in (inheritance between
global_defs, virtual_server, real_server and checker is resolved by the parser), so a worker never
asks "was it given?" but only "what is it?".

``places`` of a block says where each of its values was written. It never takes part in comparison:
moving a line is not a change. Slices sent to workers carry it too, so that a worker can name the
line that asked for something the kernel refused.

Sources: keepalived.conf(5); defaults and ranges as keepalived 2.4.3 has them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Literal

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
Family = Literal[4, 6]
LvsMethod = Literal["NAT", "DR", "TUN"]
Protocol = Literal["TCP", "UDP", "SCTP"]

VRRP_GROUP4 = IPv4Address("224.0.0.18")
VRRP_GROUP6 = IPv6Address("ff02::12")
"""Multicast groups of VRRP (RFC 9568 section 5.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a value was written: file as the user named it, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


Places = dict[str, Place]
"""keyword -> Place; the key ``""`` is the block itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalDefs:
    """global_defs, as far as a worker acts on it."""

    router_id: str = ""
    vrrp_mcast_group4: IPv4Address = VRRP_GROUP4
    vrrp_mcast_group6: IPv6Address = VRRP_GROUP6
    vrrp_startup_delay_s: float = 0.0
    vrrp_garp_interval_s: float = 0.0
    vrrp_gna_interval_s: float = 0.0
    lvs_flush: bool = False
    lvs_flush_on_stop: Literal["no", "all", "VS"] = "no"
    child_wait_time_s: float = 5.0
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualAddress:
    """One line of virtual_ipaddress or virtual_ipaddress_excluded."""

    interface: IpInterface
    """Address with prefix length (32/128 unless written)."""
    dev: str
    """Interface the address is put on (the instance's unless ``dev`` is written)."""
    label: str | None = None
    scope: int = 0
    """rt_scope number: 0 global, 253 link, 254 host."""
    broadcast: IPv4Address | None = None
    peer: IpInterface | None = None
    no_dad: bool = True
    preferred_lft_s: int | None = None
    """None: forever."""
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnicastPeer:
    address: IpAddress
    min_ttl: int | None = None
    max_ttl: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpInstance:
    """vrrp_instance NAME { ... }. All values effective, v2/v3 rounding of advert_int done."""

    name: str
    interface: str
    virtual_router_id: int
    family: Family
    version: Literal[2, 3]
    state: Literal["MASTER", "BACKUP"]
    """Initial state as written; only priority 255 really starts as MASTER."""
    priority: int
    """Base priority 1..255."""
    advert_int_cs: int
    """Own Advertisement_Interval in centiseconds (a multiple of 100 in version 2)."""
    virtual_addresses: tuple[VirtualAddress, ...]
    """In configured order, the ones listed in adverts."""
    virtual_addresses_excluded: tuple[VirtualAddress, ...] = ()
    preempt: bool = True
    preempt_delay_s: float = 0.0
    source_address: IpAddress | None = None
    """mcast_src_ip or unicast_src_ip; None: primary address of the interface."""
    mcast_dst_ip: IpAddress | None = None
    """None: the family's group of GlobalDefs."""
    unicast_peers: tuple[UnicastPeer, ...] = ()
    """Not empty: the instance is unicast."""
    unicast_ttl: int | None = None
    check_unicast_src: bool = False
    auth_pass: bytes | None = field(default=None, repr=False)
    """Version 2 simple password, at most 8 octets, not padded; None: no authentication."""
    garp_master_delay_s: int = 5
    garp_master_repeat: int = 5
    garp_master_refresh_s: int = 0
    garp_master_refresh_repeat: int = 1
    garp_lower_prio_delay_s: int = 5
    garp_lower_prio_repeat: int = 5
    down_timer_adverts: int = 3
    lower_prio_no_advert: bool = False
    higher_prio_send_advert: bool = False
    owner_ignore_adverts: bool = False
    v3_checksum_as_v2: bool = False
    skip_check_adv_addr: bool = False
    dont_track_primary: bool = False
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpUrl:
    path: str
    status_ranges: tuple[tuple[int, int], ...] = ((200, 299),)
    """Inclusive ranges; a status in any of them is good."""
    digest: str | None = None
    """MD5 of the body in lower-case hex."""
    virtualhost: str | None = None
    """Host header; None: the address and port that is asked."""
    regex: str | None = None
    regex_no_match: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """TCP_CHECK or HTTP_GET of one real server, all inheritance resolved."""

    check_id: str
    """Identity: equal definitions for the same real server of the same virtual server have equal
    ids, whatever their position (see ``make_check_id``)."""
    kind: Literal["TCP_CHECK", "HTTP_GET"]
    virtual_server: str
    """Key of the virtual server (``VirtualServer.key``)."""
    real_server: str
    """Key of the real server (``RealServer.key``)."""
    connect_ip: IpAddress
    connect_port: int
    bindto: IpAddress | None = None
    bind_port: int = 0
    bind_if: str | None = None
    fwmark: int = 0
    connect_timeout_s: float = 5.0
    delay_loop_s: float = 60.0
    retry: int = 1
    """Extra attempts: down after retry + 1 failures in a row."""
    delay_before_retry_s: float = 1.0
    warmup_s: float = 60.0
    """The first check runs after a random time in 0..warmup_s."""
    alpha: bool = False
    """Down until the first success."""
    log_all_failures: bool = False
    http_protocol: Literal["1.0", "1.0C", "1.1"] = "1.0"
    fast_recovery: bool = False
    urls: tuple[HttpUrl, ...] = ()
    """HTTP_GET only; at least one."""
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RealServer:
    address: IpAddress
    port: int
    weight: int = 1
    lvs_method: LvsMethod = "NAT"
    inhibit_on_failure: bool = False
    uthreshold: int = 0
    lthreshold: int = 0
    alpha: bool = False
    checks: tuple[Check, ...] = ()
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> str:
        """``[ADDR]:PORT``: identity within a virtual server."""
        return f"[{self.address}]:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualServer:
    """virtual_server ADDR PORT | fwmark N. Either ``address`` or ``fwmark`` is set, never both."""

    address: IpAddress | None = None
    port: int = 0
    fwmark: int | None = None
    family: Family = 4
    protocol: Protocol | None = "TCP"
    """None for fwmark services."""
    scheduler: str = "wlc"
    scheduler_flags: int = 0
    """IP_VS_SVC_F_SCHED1..3 as bits 0x08, 0x10, 0x20."""
    ops: bool = False
    hashed: bool = True
    lvs_method: LvsMethod = "NAT"
    persistence_timeout_s: int | None = None
    """None: not persistent."""
    persistence_prefix: int | None = None
    """Prefix length of persistence_granularity; None: single client."""
    quorum: int = 1
    hysteresis: int = 0
    alpha: bool = False
    omega: bool = False
    sorry_server: RealServer | None = None
    sorry_server_inhibit: bool = False
    real_servers: tuple[RealServer, ...] = ()
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> str:
        """``[ADDR]:tcp:PORT`` or ``FWM MARK`` (``FWM MARK inet6``), as keepalived names services."""
        if self.fwmark is not None:
            return f"FWM {self.fwmark}" + (" inet6" if self.family == 6 else "")
        return f"[{self.address}]:{(self.protocol or 'none').lower()}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A whole configuration, valid by construction."""

    globals: GlobalDefs = field(default_factory=GlobalDefs)
    vrrp_instances: tuple[VrrpInstance, ...] = ()
    virtual_servers: tuple[VirtualServer, ...] = ()


# --- slices: what each worker gets -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpSlice:
    globals: GlobalDefs
    instances: tuple[VrrpInstance, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckerSlice:
    globals: GlobalDefs
    checks: tuple[Check, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IpvsSlice:
    globals: GlobalDefs
    virtual_servers: tuple[VirtualServer, ...]


def make_check_id(kind: str, virtual_server: str, real_server: str, parameters: str) -> str:
    """Stable identity of a check: 16 hex digits over its kind, servers and defining parameters."""
    text = f"{kind}\0{virtual_server}\0{real_server}\0{parameters}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
