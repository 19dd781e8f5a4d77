"""The IPVS table as the kernel knows it: services, destinations, and nothing about why they are there.

Pure data. Both the wanted table (``desired``) and the one read from the kernel (``netlink``) are a
``Table``, so comparing them is comparing values. Counters ride along but never take part in comparison.

Sources: include/uapi/linux/ip_vs.h for names, numbers and limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from keepalived_conf.model import Family, IpAddress, Protocol, RealServer, VirtualServer

ForwardingMethod = Literal["NAT", "LOCAL", "TUN", "DR", "BYPASS"]
"""How packets reach a destination; the configuration only asks for NAT, TUN and DR."""

SVC_F_PERSISTENT = 0x01
SVC_F_ONEPACKET = 0x04
SVC_F_SCHED_BITS = 0x08 | 0x10 | 0x20
SVC_F_CONFIGURABLE = SVC_F_PERSISTENT | SVC_F_ONEPACKET | SVC_F_SCHED_BITS
"""IP_VS_SVC_F_HASHED (0x02) is the kernel's own: sent with a new service it would keep the service out
of the kernel's hash table, so it is neither sent nor compared."""

SCHEDULERS = frozenset(
    ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos")
)
"""Schedulers of the mainline kernel, as keepalived.conf(5) lists them."""

MAX_WEIGHT = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceKey:
    """What identifies a service in the kernel: address, port and protocol, or a firewall mark."""

    family: Family
    protocol: Protocol | None = None
    """None exactly when ``fwmark`` is set."""
    address: IpAddress | None = None
    port: int = 0
    fwmark: int | None = None

    def __str__(self) -> str:
        if self.fwmark is not None:
            return f"FWM {self.fwmark}" + (" inet6" if self.family == 6 else "")
        return f"[{self.address}]:{(self.protocol or 'none').lower()}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    key: ServiceKey
    scheduler: str
    flags: int = 0
    """Bits of ``SVC_F_CONFIGURABLE`` only."""
    timeout_s: int = 0
    """Persistence time; 0 when not persistent."""
    prefix_length: int
    """Of the persistence granularity: 32 or 128 is a single client."""
    persistence_engine: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DestinationKey:
    """What identifies a destination within its service."""

    address: IpAddress
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    key: DestinationKey
    method: ForwardingMethod = "NAT"
    weight: int = 1
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel_type: int = 0
    """0 IPIP, 1 GUE, 2 GRE."""
    tunnel_port: int = 0
    tunnel_flags: int = 0
    active_connections: int = field(default=0, compare=False)
    inactive_connections: int = field(default=0, compare=False)
    persistent_connections: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A service with its destinations."""

    service: Service
    destinations: Mapping[DestinationKey, Destination] = field(default_factory=dict)


Table = Mapping[ServiceKey, Entry]


def service_key(virtual_server: VirtualServer) -> ServiceKey:
    """The kernel's identity of a configured virtual server."""
    if virtual_server.fwmark is not None:
        return ServiceKey(family=virtual_server.family, fwmark=virtual_server.fwmark)
    return ServiceKey(
        family=virtual_server.family,
        protocol=virtual_server.protocol,
        address=virtual_server.address,
        port=virtual_server.port,
    )


def service_of(virtual_server: VirtualServer) -> Service:
    """The service that a virtual_server block asks for."""
    persistent = virtual_server.persistence_timeout_s is not None
    flags = virtual_server.scheduler_flags & SVC_F_SCHED_BITS
    if persistent:
        flags |= SVC_F_PERSISTENT
    if virtual_server.ops:
        flags |= SVC_F_ONEPACKET
    return Service(
        key=service_key(virtual_server),
        scheduler=virtual_server.scheduler,
        flags=flags,
        timeout_s=virtual_server.persistence_timeout_s or 0,
        prefix_length=virtual_server.persistence_prefix or (32 if virtual_server.family == 4 else 128),
    )


def destination_key(real_server: RealServer) -> DestinationKey:
    return DestinationKey(address=real_server.address, port=real_server.port)


def destination_of(real_server: RealServer, weight: int) -> Destination:
    """The destination that a real_server (or sorry_server) asks for, with the weight decided for now."""
    return Destination(
        key=destination_key(real_server),
        method=real_server.lvs_method,
        weight=max(0, min(weight, MAX_WEIGHT)),
        upper_threshold=real_server.uthreshold,
        lower_threshold=real_server.lthreshold,
    )


def address_family(address: IpAddress) -> Family:
    return 4 if isinstance(address, IPv4Address) else 6


def unspecified(family: Family) -> IpAddress:
    return IPv4Address(0) if family == 4 else IPv6Address(0)
