"""virtual_server: services, real servers and their checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from keepalived_conf.model.base import Family, IpAddress, LvsMethod, Places, Protocol


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
class VirtualServerGroup:
    """virtual_server_group NAME."""

    name: str
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SslContext:
    """SSL: the client context of TLS checks."""

    places: Places = field(default_factory=dict, compare=False, repr=False)


def make_check_id(kind: str, virtual_server: str, real_server: str, parameters: str) -> str:
    """Stable identity of a check: 16 hex digits over its kind, servers and defining parameters."""
    text = f"{kind}\0{virtual_server}\0{real_server}\0{parameters}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
