"""vrrp_instance: one virtual router."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from keepalived_conf.model.base import Family, IpAddress, IpInterface, Places


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
