"""The part of a configuration that each worker gets, and which workers have something to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields

from keepalived_conf.model import (
    CheckerSlice,
    Config,
    IpvsSlice,
    NotifyTarget,
    RealServer,
    Script,
    ScriptSlice,
    ServerTarget,
    ServiceTarget,
    SyncGroup,
    TrackRef,
    VirtualServer,
    VrrpInstance,
    VrrpSlice,
)

Slice = VrrpSlice | CheckerSlice | IpvsSlice | ScriptSlice


def slices(config: Config) -> dict[str, Slice]:
    """What each worker gets: only roles that have something to do."""
    found: dict[str, Slice] = {}
    # A group has no service yet.
    services = tuple(server for server in config.virtual_servers if server.group is None)
    if config.vrrp_instances:
        tracked = _tracked(config, "track_script")
        found["vrrp"] = VrrpSlice(
            globals=config.globals,
            instances=config.vrrp_instances,
            sync_groups=config.sync_groups,
            interface_delays=config.interface_delays,
            script_runs_s={
                one.name: one.interval_s + one.timeout_s for one in config.vrrp_scripts if one.name in tracked
            },
        )
    checks = tuple(check for server in services for real in server.real_servers for check in real.checks)
    if checks:
        found["checker"] = CheckerSlice(globals=config.globals, checks=checks)
    if services:
        found["ipvs"] = IpvsSlice(globals=config.globals, virtual_servers=services)
    scripts = script_slice(config, services)
    if _has_work(scripts):
        found["script"] = scripts
    return found


def script_slice(config: Config, services: Iterable[VirtualServer]) -> ScriptSlice:
    """Tracked scripts, files and processes; who is told of what."""
    scripts, files = _tracked(config, "track_script"), _tracked(config, "track_file")
    processes = _tracked(config, "track_process")
    return ScriptSlice(
        globals=config.globals,
        scripts=tuple(one for one in config.vrrp_scripts if one.name in scripts),
        files=tuple(one for one in config.track_files if one.name in files),
        processes=tuple(one for one in config.track_processes if one.name in processes),
        targets=tuple(_targets(config)),
        services=tuple(map(_service_target, services)),
    )


def _tracked(config: Config, kind: str) -> set[str]:
    """Names of the trackers of one kind that an instance or a group follows."""
    followers: tuple[VrrpInstance | SyncGroup, ...] = (*config.vrrp_instances, *config.sync_groups)
    refs: Iterator[TrackRef] = (ref for one in followers for ref in getattr(one, kind))
    return {ref.name for ref in refs}


def _targets(config: Config) -> Iterator[NotifyTarget]:
    for instance in config.vrrp_instances:
        deleted = instance.notify_deleted
        yield NotifyTarget(
            kind="INSTANCE",
            name=instance.name,
            master=instance.notify_master,
            backup=instance.notify_backup,
            fault=instance.notify_fault,
            stop=instance.notify_stop,
            deleted=deleted.script if deleted is not None else None,
            notify_deleted=deleted is not None,
            generic=instance.notify,
            master_rx_lower_pri=instance.notify_master_rx_lower_pri,
            priority_changes=instance.notify_priority_changes,
            smtp_alert=instance.smtp_alert,
        )
    for group in config.sync_groups:
        yield NotifyTarget(
            kind="GROUP",
            name=group.name,
            master=group.notify_master,
            backup=group.notify_backup,
            fault=group.notify_fault,
            stop=group.notify_stop,
            generic=group.notify,
            smtp_alert=group.smtp_alert,
        )


def _service_target(server: VirtualServer) -> ServiceTarget:
    return ServiceTarget(
        key=server.key,
        fifo_name=server.key,
        up=server.quorum_up,
        down=server.quorum_down,
        smtp_alert=server.smtp_alert,
        servers=tuple(_server_target(server, real) for real in server.real_servers),
    )


def _server_target(server: VirtualServer, real: RealServer) -> ServerTarget:
    protocol = (server.protocol or "none").lower()
    return ServerTarget(
        key=real.key,
        fifo_name=f"[{real.address}]:{protocol}:{real.port}",
        up=real.notify_up,
        down=real.notify_down,
        smtp_alert=real.smtp_alert,
    )


def _has_work(wanted: ScriptSlice) -> bool:
    settings = wanted.globals
    if wanted.scripts or wanted.files or wanted.processes:
        return True
    if (settings.notify_fifo or settings.vrrp_notify_fifo) and wanted.targets:
        return True
    if (settings.notify_fifo or settings.lvs_notify_fifo) and wanted.services:
        return True
    servers = tuple(server for service in wanted.services for server in service.servers)
    told: tuple[NotifyTarget | ServiceTarget | ServerTarget, ...] = (
        *wanted.targets,
        *wanted.services,
        *servers,
    )
    mails = settings.smtp_server is not None and bool(settings.notification_email)
    if mails and any(one.smtp_alert for one in told):
        return True
    return any(isinstance(getattr(one, field.name), Script) for one in told for field in fields(one))
