"""linkbeat_interfaces, interface_up_down_delays -> model."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.model import InterfaceDelay, LinkbeatInterface


@dataclass(frozen=True, kw_only=True, slots=True)
class Interfaces:
    linkbeat_interfaces: tuple[LinkbeatInterface, ...] = ()
    interface_delays: tuple[InterfaceDelay, ...] = ()


def build_interfaces(reader: Reader, root: Read) -> Interfaces:  # noqa: ARG001
    """From the blocks of the top level, in file order; a later line of an interface replaces the earlier."""
    polled: dict[str, LinkbeatInterface] = {one.interface: one for one in root.get("linkbeat_interfaces", ())}
    delayed: dict[str, InterfaceDelay] = {
        one.interface: one for one in root.get("interface_up_down_delays", ())
    }
    return Interfaces(linkbeat_interfaces=tuple(polled.values()), interface_delays=tuple(delayed.values()))
