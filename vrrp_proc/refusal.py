"""Why a configuration cannot run here, found out before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable

from keepalived_conf.model import VrrpInstance, VrrpSlice
from vrrp_proc.links import LinkTable
from vrrp_proc.netlink import IFF_MULTICAST


def why_not(wanted: VrrpSlice, capacity: int) -> str | None:
    """None: it can run."""
    if len(wanted.instances) > capacity:
        return f"{len(wanted.instances)} vrrp_instance blocks, {capacity} are possible"
    names = [config.name for config in wanted.instances]
    if len(set(names)) != len(names):
        return "two vrrp_instance blocks have the same name"
    for config in wanted.instances:
        if not config.interface:
            return f"{_named(config)}: name an interface; without one it cannot run yet"
    return None


def why_not_strict(configs: Iterable[VrrpInstance], links: LinkTable) -> str | None:
    """Strict mode has unicast only where there is no multicast, as keepalived. To be asked of what is new:
    what runs must come back after a restart, whatever has become of its interface."""
    for config in configs:
        link = links.by_name(config.interface)
        if config.strict_mode and config.unicast_peers and link is not None and link.flags & IFF_MULTICAST:
            return (
                f"{_named(config)}: strict mode allows unicast_peer only on an interface without multicast, "
                f"and {config.interface} has it; take the peers out, or strict mode"
            )
    return None


def _named(config: VrrpInstance) -> str:
    return f"vrrp_instance {config.name} ({config.places.get('', '')})"
