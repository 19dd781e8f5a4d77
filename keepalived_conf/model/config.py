"""The whole configuration, and the part of it that each worker gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from keepalived_conf.model.base import Script
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
    sync_groups: tuple[SyncGroup, ...] = ()
    interface_delays: tuple[InterfaceDelay, ...] = ()
    script_runs_s: dict[str, float] = field(default_factory=dict)
    """Name of each tracked script -> interval + timeout: how long its first result may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotifyTarget:
    """Who is told of the state changes of one instance or sync group."""

    kind: Literal["INSTANCE", "GROUP"]
    name: str
    master: Script | None = None
    backup: Script | None = None
    fault: Script | None = None
    stop: Script | None = None
    deleted: Script | None = None
    notify_deleted: bool = False
    """Removal is told as DELETED; otherwise as FAULT."""
    generic: Script | None = None
    """``notify``: run with kind, name, state and priority behind its own arguments."""
    master_rx_lower_pri: Script | None = None
    priority_changes: bool = False
    smtp_alert: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerTarget:
    """Who is told of the changes of one real server."""

    key: str
    """``RealServer.key``."""
    fifo_name: str
    """RSNAME of the FIFO and of mail."""
    up: Script | None = None
    down: Script | None = None
    smtp_alert: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceTarget:
    """Who is told of the changes of one virtual server."""

    key: str
    """``VirtualServer.key``."""
    fifo_name: str
    """VSNAME of the FIFO and of mail."""
    up: Script | None = None
    """quorum_up."""
    down: Script | None = None
    smtp_alert: bool = False
    servers: tuple[ServerTarget, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptSlice:
    """Everything slow: tracked scripts, files and processes; what is run, written and mailed on a change."""

    globals: GlobalDefs
    scripts: tuple[VrrpScript, ...] = ()
    """Tracked ones only."""
    files: tuple[TrackFile, ...] = ()
    processes: tuple[TrackProcess, ...] = ()
    targets: tuple[NotifyTarget, ...] = ()
    """Every instance, then every group."""
    services: tuple[ServiceTarget, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckerSlice:
    globals: GlobalDefs
    checks: tuple[Check, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IpvsSlice:
    globals: GlobalDefs
    virtual_servers: tuple[VirtualServer, ...]
