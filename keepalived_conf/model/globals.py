"""global_defs and the settings of the top level."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from keepalived_conf.model.base import VRRP_GROUP4, VRRP_GROUP6, Places


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
