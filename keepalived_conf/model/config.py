"""The whole configuration, and the part of it that each worker gets."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.globals import GlobalDefs
from keepalived_conf.model.lvs import Check, VirtualServer
from keepalived_conf.model.vrrp import VrrpInstance


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
