"""Adverts encoded ahead: complete IP packets per destination, and the release packets for the janitor."""

from __future__ import annotations

from dataclasses import replace

from keepalived_conf.model import GlobalDefs, IpAddress, VrrpInstance
from vrrp_proc import packet
from vrrp_proc.sockets import PROTOCOL_VRRP, TOS_INTERNETWORK_CONTROL, SendSocket, ip_packet
from worker.undo import Packet

_MAX_ADDRESSES = 255
_ENVELOPE_BYTES = {4: 20 + packet.HEADER_BYTES + packet.AUTH_BYTES, 6: 40 + packet.HEADER_BYTES}
_ADDRESS_BYTES = {4: 4, 6: 16}


def group_of(config: VrrpInstance, globals_: GlobalDefs) -> IpAddress | None:
    """The multicast group of an instance; None when it is unicast."""
    if config.unicast_peers:
        return None
    if config.mcast_dst_ip is not None:
        return config.mcast_dst_ip
    return globals_.vrrp_mcast_group4 if config.family == 4 else globals_.vrrp_mcast_group6


def fit_mtu(config: VrrpInstance, mtu: int) -> VrrpInstance:
    """The instance with as many listed addresses as an advert has room for; the surplus is installed
    like virtual_ipaddress_excluded (as keepalived does). An advert is never fragmented."""
    if mtu <= 0:
        return config
    room = max(1, (mtu - _ENVELOPE_BYTES[config.family]) // _ADDRESS_BYTES[config.family])
    most = min(_MAX_ADDRESSES, room)
    if len(config.virtual_addresses) <= most:
        return config
    return replace(
        config,
        virtual_addresses=config.virtual_addresses[:most],
        virtual_addresses_excluded=config.virtual_addresses[most:] + config.virtual_addresses_excluded,
    )


class Adverts:
    """What one instance sends from one source address."""

    def __init__(self, config: VrrpInstance, globals_: GlobalDefs, source: IpAddress) -> None:
        self._config = config
        self.source = source
        group = group_of(config, globals_)
        if group is not None:
            self.destinations: tuple[IpAddress, ...] = (group,)
            self.ttl = packet.TTL
        else:
            self.destinations = tuple(peer.address for peer in config.unicast_peers)
            # keepalived leaves the hop limit of IPv6 unicast to the kernel (64); 255 is what RFC 9568
            # asks of every advert, and its receivers test it only where they are told to.
            self.ttl = packet.TTL if config.unicast_ttl is None else config.unicast_ttl
        self._encoded: dict[int, list[tuple[bytes, str]]] = {}
        self.encoded(0)
        self.encoded(config.priority)

    def encoded(self, priority: int) -> list[tuple[bytes, str]]:
        """(packet, destination) pairs of an advert with this priority."""
        found = self._encoded.get(priority)
        if found is None:
            found = [
                (
                    ip_packet(self.source, destination, self.ttl, self._payload(priority, destination)),
                    str(destination),
                )
                for destination in self.destinations
            ]
            self._encoded[priority] = found
        return found

    def _payload(self, priority: int, destination: IpAddress) -> bytes:
        return packet.encode(self._config, priority, self.source, destination)

    def send(self, sock: SendSocket, priority: int) -> str | None:
        """One copy to each destination. Returns why when not a single one left."""
        sent = False
        problem = "no destination"
        for data, destination in self.encoded(priority):
            error = sock.send(data, destination)
            if error is None:
                sent = True
            else:
                problem = f"to {destination}: {error.strerror or error}"
        return None if sent else problem

    def releases(self, ifindex: int) -> list[Packet]:
        """Priority-0 adverts as undo operations."""
        return [
            Packet(
                ifindex=ifindex,
                protocol=PROTOCOL_VRRP,
                source=self.source,
                destination=destination,
                ttl=self.ttl,
                tos=TOS_INTERNETWORK_CONTROL,
                payload=self._payload(0, destination),
            )
            for destination in self.destinations
        ]
