"""The whole configuration, and the part of it that each worker gets."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.bfd import BfdInstance
from keepalived_conf.model.checks import Check
from keepalived_conf.model.globals import GlobalDefs
from keepalived_conf.model.groups import GarpGroup, SyncGroup, TrackGroup
from keepalived_conf.model.interfaces import InterfaceDelay, LinkbeatInterface
from keepalived_conf.model.lvs import SslContext, VirtualServer, VirtualServerGroup
from keepalived_conf.model.routes import Route, Rule, StaticAddress
from keepalived_conf.model.trackers import TrackFile, TrackProcess, VrrpScript
from keepalived_conf.model.vrrp import VrrpInstance


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A whole configuration, valid by construction."""

    globals: GlobalDefs = field(default_factory=GlobalDefs)
    track_groups: tuple[TrackGroup, ...] = ()
    static_addresses: tuple[StaticAddress, ...] = ()
    static_routes: tuple[Route, ...] = ()
    static_rules: tuple[Rule, ...] = ()
    sync_groups: tuple[SyncGroup, ...] = ()
    garp_groups: tuple[GarpGroup, ...] = ()
    linkbeat_interfaces: tuple[LinkbeatInterface, ...] = ()
    interface_delays: tuple[InterfaceDelay, ...] = ()
    vrrp_scripts: tuple[VrrpScript, ...] = ()
    track_processes: tuple[TrackProcess, ...] = ()
    track_files: tuple[TrackFile, ...] = ()
    vrrp_instances: tuple[VrrpInstance, ...] = ()
    bfd_instances: tuple[BfdInstance, ...] = ()
    ssl: SslContext | None = None
    virtual_server_groups: tuple[VirtualServerGroup, ...] = ()
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
