"""Undo bytes: what the janitor does for a worker that cannot do it itself. Standard library only.

Written by the worker when its configuration is applied, read by a process that may know nothing of
VRRP: a list of packets to send and of netlink batches to hand to the kernel, in order.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

_PACKET = struct.Struct("!BBBBIH16s16sI")  # op family ttl tos ifindex proto source destination length
_BATCH = struct.Struct("!BBBBI")  # op reserved*3 length
_OP_PACKET, _OP_NETLINK = 1, 2
_NETLINK_ROUTE = 0
_SO_BINDTODEVICE = 25
_IPV6_TCLASS = 67
_IPV6_CHECKSUM = 7
_IPV6_FREEBIND = 78
_IP_FREEBIND = 15


@dataclass(frozen=True, slots=True)
class Packet:
    """A raw IP packet: ``payload`` is what follows the IP header, complete with its checksum.

    For IPv6 the kernel fills the checksum at ``payload`` offset 6 (RFC 9568 5.2.8).
    """

    ifindex: int
    protocol: int
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    ttl: int
    tos: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class NetlinkBatch:
    """Ready NETLINK_ROUTE requests, one after the other, each with NLM_F_ACK."""

    data: bytes


def undo_packet(packet: Packet) -> bytes:
    """One packet operation as undo bytes."""
    head = _PACKET.pack(
        _OP_PACKET,
        packet.source.version,
        packet.ttl,
        packet.tos,
        packet.ifindex,
        packet.protocol,
        packet.source.packed.ljust(16, b"\0"),
        packet.destination.packed.ljust(16, b"\0"),
        len(packet.payload),
    )
    return head + packet.payload


def undo_netlink(batch: bytes) -> bytes:
    """One netlink operation as undo bytes."""
    return _BATCH.pack(_OP_NETLINK, 0, 0, 0, len(batch)) + batch


def operations(data: bytes) -> Iterator[Packet | NetlinkBatch]:
    """Decode undo bytes; ValueError when they are damaged."""
    at = 0
    while at < len(data):
        if data[at] == _OP_PACKET and len(data) - at >= _PACKET.size:
            _, family, ttl, tos, ifindex, protocol, source, destination, length = _PACKET.unpack_from(
                data, at
            )
            at += _PACKET.size
            width = 4 if family == 4 else 16
            yield Packet(
                ifindex=ifindex,
                protocol=protocol,
                source=ip_address(source[:width]),
                destination=ip_address(destination[:width]),
                ttl=ttl,
                tos=tos,
                payload=data[at : at + length],
            )
        elif data[at] == _OP_NETLINK and len(data) - at >= _BATCH.size:
            length = _BATCH.unpack_from(data, at)[4]
            at += _BATCH.size
            yield NetlinkBatch(data[at : at + length])
        else:
            raise ValueError(f"undo bytes are damaged at offset {at}")
        at += length
        if at > len(data):
            raise ValueError("undo bytes end in the middle of an operation")


def perform(data: bytes, *, packets: bool = True) -> list[str]:
    """Do everything in ``data``, going on after a failure. Returns what could not be done, in words.

    ``packets=False`` leaves the packets out: after the peer took over a release has no meaning.
    """
    problems: list[str] = []
    try:
        for operation in operations(data):
            try:
                if isinstance(operation, NetlinkBatch):
                    problems += _netlink(operation.data)
                elif packets:
                    _send(operation)
            except OSError as error:
                problems.append(f"{type(operation).__name__}: {error}")
    except ValueError as error:
        problems.append(str(error))
    return problems


def _send(packet: Packet) -> None:
    four = packet.source.version == 4
    family = socket.AF_INET if four else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW, packet.protocol) as sock:
        with contextlib.suppress(OSError):
            sock.setsockopt(
                socket.SOL_SOCKET, _SO_BINDTODEVICE, socket.if_indextoname(packet.ifindex).encode()
            )
        if four:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, packet.ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, packet.ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, packet.tos)
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            mreqn = struct.pack("=4s4si", b"\0" * 4, b"\0" * 4, packet.ifindex)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)
            sock.bind((str(packet.source), 0))
            sock.sendto(packet.payload, (str(packet.destination), 0))
            return
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, packet.ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, packet.ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, packet.ifindex)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TCLASS, packet.tos)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, 6)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        sock.bind((str(packet.source), 0, 0, packet.ifindex if packet.source.is_link_local else 0))
        sock.sendto(packet.payload, (str(packet.destination), 0, 0, packet.ifindex))


def _netlink(batch: bytes) -> list[str]:
    """Send each request and read its acknowledgement; something already gone is not a problem."""
    problems: list[str] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as sock:
        sock.settimeout(2.0)
        sock.bind((0, 0))
        at = 0
        while at + 16 <= len(batch):
            (length,) = struct.unpack_from("=I", batch, at)
            if length < 16 or at + length > len(batch):
                problems.append(f"netlink batch is damaged at offset {at}")
                break
            sock.send(batch[at : at + length])
            answer = sock.recv(65536)
            if len(answer) >= 20 and struct.unpack_from("=H", answer, 4)[0] == 2:
                code = -struct.unpack_from("=i", answer, 16)[0]
                if code not in (0, 99, 19, 3, 2):  # EADDRNOTAVAIL ENODEV ESRCH ENOENT: already gone
                    problems.append(f"netlink request {at}: errno {code}")
            at += (length + 3) & ~3
    return problems
