"""Address changes of a node as its kernel reports them (RTM_NEWADDR, RTM_DELADDR)."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from tests.lab.system import in_netns
from tests.lab.wire import IpAddress

RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x10, 0x100
RTM_NEWADDR, RTM_DELADDR = 20, 21
IFA_ADDRESS, IFA_LOCAL = 1, 2
BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressEvent:
    added: bool
    address: IpAddress
    ifindex: int


class AddressWatch:
    """Address events of a namespace since it was opened; the kernel queues them until they are read."""

    def __init__(self, netns: str) -> None:
        with in_netns(netns):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def take(self) -> list[AddressEvent]:
        """The events since the last call, in order. An overrun of the queue raises OSError (ENOBUFS)."""
        events: list[AddressEvent] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                events += _events(self._socket.recv(65536))
        return events


def _events(data: bytes) -> list[AddressEvent]:
    found = []
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16:
            break
        if kind in (RTM_NEWADDR, RTM_DELADDR):
            ifindex = struct.unpack_from("=I", data, offset + 20)[0]
            attributes = _attributes(data[offset + 24 : offset + length])
            raw = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
            if raw:
                found.append(
                    AddressEvent(added=kind == RTM_NEWADDR, address=ip_address(raw), ifindex=ifindex)
                )
        offset += (length + 3) & ~3
    return found


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found
