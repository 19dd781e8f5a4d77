"""virtual_server: services, the servers behind them, groups of addresses; the SSL context."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from keepalived_conf.model.base import Family, IpAddress, LvsMethod, Places, Protocol, Script
from keepalived_conf.model.checks import Check, OtherChecks

TunnelType = Literal["ipip", "gue", "gre"]
TunnelChecksum = Literal["nocsum", "csum", "remcsum"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tunnel:
    """How packets travel with lvs_method TUN."""

    type: TunnelType = "ipip"
    port: int = 0
    """UDP port of gue; 0 for the others."""
    checksum: TunnelChecksum = "nocsum"


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarding:
    """lvs_method with everything behind it."""

    method: LvsMethod
    tunnel: Tunnel | None = None
    """None: ipip, without options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RealServer:
    address: IpAddress
    port: int
    weight: int = 1
    lvs_method: LvsMethod = "NAT"
    tunnel: Tunnel | None = None
    """None: ipip, without options."""
    inhibit_on_failure: bool = False
    uthreshold: int = 0
    lthreshold: int = 0
    alpha: bool = False
    notify_up: Script | None = None
    notify_down: Script | None = None
    smtp_alert: bool = True
    snmp_name: str | None = None
    checks: tuple[Check, ...] = ()
    other_checks: OtherChecks | None = None
    """Checks of the kinds that no worker runs yet."""
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> str:
        """``[ADDR]:PORT``: identity within a virtual server."""
        return f"[{self.address}]:{self.port}"

    @property
    def forwarding(self) -> Forwarding:
        return Forwarding(method=self.lvs_method, tunnel=self.tunnel)


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualServer:
    """virtual_server ADDR PORT | fwmark N | group NAME: one of ``address``, ``fwmark``, ``group`` is set."""

    address: IpAddress | None = None
    port: int = 0
    fwmark: int | None = None
    group: str | None = None
    """Name of a ``VirtualServerGroup``."""
    group_member: int = 0
    """Number of this virtual server among those of its group, from 0."""
    family: Family = 4
    protocol: Protocol | None = "TCP"
    """None for fwmark services."""
    scheduler: str = "wlc"
    scheduler_flags: int = 0
    """IP_VS_SVC_F_SCHED1..3 as bits 0x08, 0x10, 0x20."""
    ops: bool = False
    hashed: bool = True
    lvs_method: LvsMethod = "NAT"
    tunnel: Tunnel | None = None
    """None: ipip, without options."""
    persistence_engine: str | None = None
    persistence_timeout_s: int | None = None
    """None: not persistent."""
    persistence_prefix: int | None = None
    """Prefix length of persistence_granularity; None: single client."""
    quorum: int = 1
    hysteresis: int = 0
    alpha: bool = False
    omega: bool = False
    ha_suspend: bool = False
    """Checks run only while the address is on this machine."""
    quorum_up: Script | None = None
    quorum_down: Script | None = None
    smtp_alert: bool = False
    snmp_name: str | None = None
    sorry_server: RealServer | None = None
    sorry_server_inhibit: bool = False
    real_servers: tuple[RealServer, ...] = ()
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> str:
        """``[ADDR]:tcp:PORT`` or ``FWM MARK`` (``FWM MARK inet6``), as keepalived names services; of a group
        ``[NAME]`` and, from the second on, the number of the service."""
        if self.group is not None:
            return f"[{self.group}]" + (f":{self.group_member}" if self.group_member else "")
        if self.fwmark is not None:
            return f"FWM {self.fwmark}" + (" inet6" if self.family == 6 else "")
        return f"[{self.address}]:{(self.protocol or 'none').lower()}:{self.port}"

    @property
    def forwarding(self) -> Forwarding:
        return Forwarding(method=self.lvs_method, tunnel=self.tunnel)

    @property
    def sorry_server_forwarding(self) -> Forwarding | None:
        return None if self.sorry_server is None else self.sorry_server.forwarding

    @property
    def persistence_granularity(self) -> IPv4Address | int | None:
        """As it is written: a netmask (IPv4) or a prefix length (IPv6)."""
        if self.persistence_prefix is None or self.family == 6:
            return self.persistence_prefix
        return IPv4Network((0, self.persistence_prefix)).netmask


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupAddresses:
    """``FIRST[-LAST] PORT`` of a group: every address of the range, both ends included."""

    first: IpAddress
    last: IpAddress
    port: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupMark:
    """``fwmark MARK [FAMILY]`` of a group."""

    fwmark: int
    family: Family | None = None
    """None: the family of the real servers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualServerGroup:
    """virtual_server_group NAME."""

    name: str
    entries: tuple[GroupAddresses | GroupMark, ...] = ()
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def addresses(self) -> tuple[GroupAddresses, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, GroupAddresses))

    @property
    def marks(self) -> tuple[GroupMark, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, GroupMark))


@dataclass(frozen=True, kw_only=True, slots=True)
class SslContext:
    """SSL: the client context of TLS checks."""

    password: str | None = field(default=None, repr=False)
    """Of the key."""
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    places: Places = field(default_factory=dict, compare=False, repr=False)
