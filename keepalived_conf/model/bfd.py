"""bfd_instance."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.base import IpAddress, Places, Weight


@dataclass(frozen=True, kw_only=True, slots=True)
class BfdInstance:
    """bfd_instance NAME: one session (RFC 5880, RFC 5881; multihop: RFC 5883)."""

    name: str
    neighbor_ip: IpAddress
    source_ip: IpAddress | None = None
    """None: the kernel chooses."""
    min_rx_ms: float = 10.0
    """Required Min RX Interval, in steps of a microsecond."""
    min_tx_ms: float = 10.0
    """Desired Min TX Interval while the session is up."""
    idle_tx_ms: float = 1000.0
    """The same while it is not up."""
    multiplier: int = 5
    passive: bool = False
    ttl: int = 255
    """Of packets sent; 64 for IPv6 unless written."""
    max_hops: int = 0
    """Hops a received packet may have travelled; -1 or 255: any number."""
    multihop: bool = False
    """On UDP port 4784, not 3784."""
    weight: Weight = field(default_factory=lambda: Weight(value=0))
    """Of track_bfd entries that name none."""
    vrrp: bool = True
    """VRRP instances hear of it; ``checker``: BFD_CHECK does."""
    checker: bool = True
    places: Places = field(default_factory=dict, compare=False, repr=False)
