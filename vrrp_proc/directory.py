"""Which virtual router a received packet is for."""

from __future__ import annotations

from collections.abc import Iterable

from vrrp_proc.ports import PortKey
from vrrp_proc.sockets import Received
from vrrp_proc.virtual_router import VirtualRouter


class Directory:
    """Routers by interface, family and virtual router id, which a multicast and a unicast one may share."""

    def __init__(self) -> None:
        self._by_vrid: dict[tuple[str, int, int], list[VirtualRouter]] = {}

    def index(self, routers: Iterable[VirtualRouter]) -> None:
        """``routers``: all that listen; the first ones are asked first."""
        self._by_vrid = {}
        for router in routers:
            key = (router.interface, router.config.family, router.config.virtual_router_id)
            self._by_vrid.setdefault(key, []).append(router)

    def addressee(self, key: PortKey, packet: Received) -> VirtualRouter | None:
        payload = packet.datagram.payload
        if len(payload) < 2:
            return None
        candidates = self._by_vrid.get((*key, payload[1]), [])
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        destination = packet.datagram.destination
        if destination is not None and destination.is_multicast:
            return next((r for r in candidates if not r.config.unicast_peers), None)
        unicast = [r for r in candidates if r.config.unicast_peers]
        for router in unicast:
            if any(peer.address == packet.datagram.source for peer in router.config.unicast_peers):
                return router
        return unicast[0] if unicast else candidates[0]
