"""vrrp_instance: one virtual router."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from keepalived_conf.model.base import Family, IpAddress, IpInterface, Places, Script
from keepalived_conf.model.routes import Route, Rule
from keepalived_conf.model.trackers import TrackRef


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
    """Other end of a point-to-point address; the prefix length of ``interface`` is then 32 or 128."""
    no_dad: bool = True
    """No duplicate address detection (IPv6); ``-nodad`` turns it on."""
    home: bool = False
    mngtmpaddr: bool = False
    noprefixroute: bool = False
    autojoin: bool = False
    no_track: bool = False
    """Neither put back nor a fault when somebody else takes it off."""
    use_vmac: bool = False
    """On a macvlan of its own interface."""
    preferred_lft_s: int | None = None
    """None: forever."""
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnicastPeer:
    address: IpAddress
    min_ttl: int | None = None
    max_ttl: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Vmac:
    """use_vmac: the instance runs on a macvlan with a virtual MAC address."""

    name: str | None = None
    """Of its interface; None: made from vmac_prefix and the virtual_router_id."""
    mac: str | None = None
    """Six octets in lower case with colons, or five: the virtual_router_id is the sixth. None: that of
    RFC 9568 section 7.3."""
    netlink_notify: bool = False
    group: int | None = None
    """Interface group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ipvlan:
    """use_ipvlan: the instance runs on an ipvlan interface."""

    name: str | None = None
    address: IpInterface | None = None
    """Its own address, and the source of adverts unless another one is written."""
    mode: Literal["bridge", "private", "vepa"] | None = None
    """None: bridge."""
    group: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GarpExtraIf:
    """garp_extra_if: gratuitous ARPs again and again on further interfaces of addresses."""

    interval_s: int
    """0: none."""
    all_interfaces: bool = False
    """Not only where the address is on a VMAC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotifyDeleted:
    """notify_deleted: removal by a reload is told as DELETED, not as a fault."""

    script: Script | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HmacKey:
    """One key of auth_hmac. Where it is read from a file, the file is read by whoever signs."""

    number: int
    value: bytes = field(default=b"", repr=False)
    """32 to 64 octets; empty: ``file`` holds it."""
    file: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthHmac:
    """auth_hmac: a signature behind each advert."""

    keys: tuple[HmacKey, ...]
    """In file order, numbers unique."""
    active_key: int
    """Signs; one of ``keys``."""
    time_window_s: int = 0
    """How far the sender's clock may be off; without a meaning if ``anti_replay`` is monotonic."""
    anti_replay: Literal["time", "monotonic"] = "time"
    mode: Literal["enforce", "permissive", "receive-only"] = "enforce"
    places: Places = field(default_factory=dict, compare=False, repr=False)


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
    virtual_routes: tuple[Route, ...] = ()
    virtual_rules: tuple[Rule, ...] = ()
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
    auth_ah: bytes | None = field(default=None, repr=False)
    """Password of auth_type AH, which no worker can use; None: another kind or none."""
    auth_hmac: AuthHmac | None = None
    strict_mode: bool = False
    accept: bool = True
    """Traffic to the addresses is let in."""
    no_virtual_ipaddress: bool = False
    use_vmac: Vmac | None = None
    use_vmac_addr: bool = False
    vmac_xmit_base: bool = False
    use_ipvlan: Ipvlan | None = None
    vrf: str | None = None
    unicast_fault_no_peer: bool = False
    old_unicast_checksum: Literal["always", "never"] | None = None
    """None: found out from the adverts of the peers."""
    track_interface: tuple[TrackRef, ...] = ()
    track_script: tuple[TrackRef, ...] = ()
    track_file: tuple[TrackRef, ...] = ()
    track_process: tuple[TrackRef, ...] = ()
    track_bfd: tuple[TrackRef, ...] = ()
    track_src_ip: bool = False
    promote_secondaries: bool = False
    linkbeat_use_polling: bool = False
    debug: int = 0
    notify_backup: Script | None = None
    notify_master: Script | None = None
    notify_fault: Script | None = None
    notify_stop: Script | None = None
    notify_deleted: NotifyDeleted | None = None
    notify: Script | None = None
    notify_master_rx_lower_pri: Script | None = None
    smtp_alert: bool = False
    notify_priority_changes: bool = False
    lvs_sync_daemon_interface: str | None = None
    timer_expired_backup: int | None = None
    """Highest priority of the other routers; None: off."""
    garp_extra_if: GarpExtraIf | None = None
    kernel_rx_buf_size_bytes: int | None = None
    """None: by vrrp_rx_bufs_policy."""
    places: Places = field(default_factory=dict, compare=False, repr=False)
