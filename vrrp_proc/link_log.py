"""Says in the log when an interface that virtual routers use or track goes down or comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from keepalived_conf.model import VrrpInstance
from vrrp_proc.links import LinkTable


class Say(Protocol):
    """The worker's log; does not wait."""

    def __call__(self, level: str, event_id: str, *, interface: str, up: bool) -> None: ...


class LinkLog:
    """Remembers what was last known of each interface in use."""

    def __init__(self, links: LinkTable, say: Say) -> None:
        self._links, self._say = links, say
        self._up: dict[str, bool] = {}

    def look(self, configs: Iterable[VrrpInstance]) -> None:
        """Compare with the links as they are; call it when they, or the configuration, changed."""
        names = {name for config in configs for name in _used(config)}
        now = {
            name: link is not None and link.usable for name in names for link in [self._links.by_name(name)]
        }
        for name in sorted(names & self._up.keys()):
            if now[name] != self._up[name]:
                self._say("info" if now[name] else "warning", "vrrp.link", interface=name, up=now[name])
        self._up = now


def _used(config: VrrpInstance) -> Iterable[str]:
    yield config.interface
    yield from (ref.name for ref in config.track_interface)
