"""Settings of interfaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.base import Places


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkbeatInterface:
    """One line of linkbeat_interfaces."""

    interface: str
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class InterfaceDelay:
    """One line of interface_up_down_delays."""

    interface: str
    places: Places = field(default_factory=dict, compare=False, repr=False)
