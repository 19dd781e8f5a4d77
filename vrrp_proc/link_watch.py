"""The kernel's news of links and addresses, and addresses of ours that somebody else took away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keepalived_conf.model import VirtualAddress
from vrrp_proc.links import LinkTable
from vrrp_proc.netlink import AddressEvent, Monitor, NetlinkError, OverrunError, RouteSocket
from vrrp_proc.virtual_router import VirtualRouter


class LinkWatch:
    """Keeps ``links`` true. ``changed(indices before)`` is called after each change of it."""

    def __init__(
        self,
        links: LinkTable,
        route: RouteSocket,
        routers: Callable[[], Mapping[str, VirtualRouter]],
        changed: Callable[[set[int]], None],
        log: Any,
    ) -> None:
        self.links = links
        self._route = route
        self._routers, self._changed, self._log = routers, changed, log
        self._monitor = Monitor()

    def fileno(self) -> int:
        return self._monitor.fileno()

    def load(self) -> None:
        """Everything anew; raises NetlinkError or OSError."""
        self.links.load(self._route.links(), self._route.addresses())

    def close(self) -> None:
        self._monitor.close()

    def readable(self) -> None:
        before = self.links.indices()
        gone: set[tuple[int, Any]] = set()
        changed = False
        try:
            while events := self._monitor.receive():
                for event in events:
                    changed = self.links.apply(event) or changed
                    if isinstance(event, AddressEvent) and event.gone:
                        gone.add((event.index, event.address))
        except OverrunError:
            self._log.warning("vrrp.netlink_overrun", action="links and addresses are read again")
            with contextlib.suppress(OverrunError):
                while self._monitor.receive():
                    pass
            self.read()
            self._changed(before)
            self._look_for_missing(None)
            return
        if changed:
            self._changed(before)
        if gone:
            self._look_for_missing(gone)

    def _look_for_missing(self, gone: set[tuple[int, Any]] | None) -> None:
        """Tell routers which of their installed addresses are not there any more (None: look at all)."""
        suspects: dict[VirtualRouter, list[VirtualAddress]] = {}
        for router in self._routers().values():
            for vip in router.installed:
                link = self.links.by_name(vip.dev)
                if gone is None or link is None or (link.index, vip.interface.ip) in gone:
                    suspects.setdefault(router, []).append(vip)
        if not suspects:
            return
        self.read()  # events may be older than our own last batch: the kernel's table decides
        for router, addresses in suspects.items():
            ordered = [vip for vip in router.addresses() if vip in addresses]
            missing = self.absent(ordered)
            if missing:
                self._log.warning(
                    "vrrp.addresses_removed",
                    instance=router.name,
                    addresses=[str(v.interface) for v in missing],
                )
                router.missing(missing)

    def read(self) -> None:
        try:
            self.load()
        except (NetlinkError, OSError) as error:
            self._log.error("vrrp.netlink", reason=str(error))

    def absent(self, addresses: Sequence[VirtualAddress]) -> tuple[VirtualAddress, ...]:
        return tuple(vip for vip in addresses if not self.links.holds(vip.dev, vip.interface.ip))
