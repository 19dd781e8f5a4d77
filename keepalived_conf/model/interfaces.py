"""Settings of interfaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from keepalived_conf.model.base import Places


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkbeatInterface:
    """One line of linkbeat_interfaces: the state of its link is polled."""

    interface: str
    method: Literal["MII", "ETHTOOL", "IOCTL"] | None = None
    """None: the first of the three that works."""
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class InterfaceDelay:
    """One line of interface_up_down_delays: a change counts when it has lasted so long."""

    interface: str
    down_s: float = 0.0
    up_s: float = 0.0
    places: Places = field(default_factory=dict, compare=False, repr=False)
