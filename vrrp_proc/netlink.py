"""NETLINK_ROUTE by bare sockets: addresses on and off in batches, dumps, and link and address events.

Requests are encoded when the configuration is applied and sent as they are at takeover: one
``sendmsg`` for a batch, its acknowledgements are in the receive buffer when the call returns.

Sources: rtnetlink(7), netlink(7), linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from keepalived_conf.model import Family, IpAddress, VirtualAddress

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
_NLMSG_NOOP, _NLMSG_ERROR, _NLMSG_DONE, _NLMSG_OVERRUN = 1, 2, 3, 4
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLM_F_DUMP_INTR = 0x10
_NLM_F_EXCL, _NLM_F_CREATE = 0x200, 0x400
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_NLMSGERR_ATTR_MSG = 1

_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 3, 4, 6, 8
_IFA_F_NODAD = 0x02
IFA_F_SECONDARY = 0x01
IFA_F_DADFAILED = 0x08
IFA_F_TENTATIVE = 0x40
_IFA_RT_FOREVER = 0xFFFFFFFF

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU = 1, 3, 4
IFF_UP, IFF_RUNNING, IFF_MULTICAST = 0x1, 0x40, 0x1000

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 10, 11
_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
_SO_RCVBUFFORCE = 33

_REQUEST_RCVBUF_BYTES = 1 << 20
_MONITOR_RCVBUF_BYTES = 1 << 20
_RECEIVE_BYTES = 1 << 16

_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBi")
_IFINFOMSG = struct.Struct("=BxHiII")
_RTATTR = struct.Struct("=HH")


class NetlinkError(Exception):
    """The kernel's answer made no sense or did not come."""


class OverrunError(NetlinkError):
    """Events were lost (ENOBUFS): whoever keeps state from them dumps everything again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkEvent:
    """An interface as RTM_NEWLINK describes it; ``gone`` for RTM_DELLINK."""

    index: int
    name: str
    flags: int
    mtu: int
    mac: bytes
    gone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressEvent:
    """An address as RTM_NEWADDR describes it; ``gone`` for RTM_DELADDR."""

    index: int
    address: IpAddress
    prefix_length: int
    flags: int
    scope: int
    by_port: int
    """Netlink port that asked for the change; 0: the kernel itself, or an answer to a dump."""
    gone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """One request of a batch that the kernel refused."""

    position: int
    """Index in the batch, from 0."""
    error: int
    """errno, positive."""
    text: str
    """What the kernel said about it, or the name of the error."""


# --- encoding ----------------------------------------------------------------------------------


def _attribute(kind: int, value: bytes) -> bytes:
    length = _RTATTR.size + len(value)
    return _RTATTR.pack(length, kind) + value + b"\0" * (-length % 4)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, 0) + body


def _preferred_lft_s(vip: VirtualAddress) -> int | None:
    """None: forever. An IPv6 /128 must never be chosen as a source for other traffic, hence 0
    unless preferred_lft was written (keepalived.conf(5))."""
    if vip.preferred_lft_s is not None:
        return vip.preferred_lft_s
    if vip.interface.version == 6 and vip.interface.network.prefixlen == 128:
        return 0
    return None


def add_address(vip: VirtualAddress, ifindex: int) -> bytes:
    """RTM_NEWADDR that puts ``vip`` on interface ``ifindex``; EEXIST when it is there already."""
    local = vip.interface.ip.packed
    peer = vip.peer.ip.packed if vip.peer is not None else local
    prefix_length = (vip.peer or vip.interface).network.prefixlen
    family = socket.AF_INET if vip.interface.version == 4 else socket.AF_INET6
    no_dad = vip.interface.version == 6 and vip.no_dad
    flags = _IFA_F_NODAD if no_dad else 0
    body = _IFADDRMSG.pack(family, prefix_length, flags, vip.scope, ifindex)
    body += _attribute(_IFA_LOCAL, local) + _attribute(_IFA_ADDRESS, peer)
    if vip.broadcast is not None:
        body += _attribute(_IFA_BROADCAST, vip.broadcast.packed)
    if vip.label:
        body += _attribute(_IFA_LABEL, vip.label.encode() + b"\0")
    preferred_lft_s = _preferred_lft_s(vip)
    if preferred_lft_s is not None:
        body += _attribute(_IFA_CACHEINFO, struct.pack("=IIII", preferred_lft_s, _IFA_RT_FOREVER, 0, 0))
    return _message(RTM_NEWADDR, _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_EXCL, body)


def delete_address(vip: VirtualAddress, ifindex: int) -> bytes:
    """RTM_DELADDR that takes ``vip`` off interface ``ifindex``; EADDRNOTAVAIL when it is not there."""
    local = vip.interface.ip.packed
    peer = vip.peer.ip.packed if vip.peer is not None else local
    prefix_length = (vip.peer or vip.interface).network.prefixlen
    family = socket.AF_INET if vip.interface.version == 4 else socket.AF_INET6
    body = _IFADDRMSG.pack(family, prefix_length, 0, vip.scope, ifindex)
    body += _attribute(_IFA_LOCAL, local) + _attribute(_IFA_ADDRESS, peer)
    return _message(RTM_DELADDR, _NLM_F_REQUEST | _NLM_F_ACK, body)


def split(batch: bytes) -> list[bytes]:
    """The messages of an encoded batch, each as it was appended."""
    messages = []
    offset = 0
    while offset + _HEADER.size <= len(batch):
        length = _HEADER.unpack_from(batch, offset)[0]
        if length < _HEADER.size:
            raise NetlinkError(f"message of {length} octets in a batch")
        messages.append(batch[offset : offset + length])
        offset += (length + 3) & ~3
    return messages


# --- decoding ----------------------------------------------------------------------------------


def _messages(data: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """(type, flags, sequence, port, body) of each message of a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise NetlinkError(f"truncated message of type {kind}")
        yield kind, flags, sequence, port, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes, offset: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while offset + _RTATTR.size <= len(data):
        length, kind = _RTATTR.unpack_from(data, offset)
        if length < _RTATTR.size:
            break
        found[kind & 0x3FFF] = data[offset + _RTATTR.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _decode_event(kind: int, port: int, body: bytes) -> LinkEvent | AddressEvent | None:
    if kind in (RTM_NEWLINK, RTM_DELLINK):
        family, _type, index, flags, _change = _IFINFOMSG.unpack_from(body)
        if family != socket.AF_UNSPEC:  # bridge port notices and the like repeat the link
            return None
        attributes = _attributes(body, _IFINFOMSG.size)
        mtu = attributes.get(_IFLA_MTU, b"")
        return LinkEvent(
            index=index,
            name=attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("ascii", "replace"),
            flags=flags,
            mtu=int(struct.unpack("=I", mtu)[0]) if len(mtu) == 4 else 0,
            mac=attributes.get(_IFLA_ADDRESS, b""),
            gone=kind == RTM_DELLINK,
        )
    if kind in (RTM_NEWADDR, RTM_DELADDR):
        family, prefix_length, flags, scope, index = _IFADDRMSG.unpack_from(body)
        if family not in (socket.AF_INET, socket.AF_INET6):
            return None
        attributes = _attributes(body, _IFADDRMSG.size)
        # With a peer IFA_ADDRESS is the peer's; IPv6 leaves IFA_LOCAL out when there is none.
        raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        if raw is None or len(raw) not in (4, 16):
            return None
        long_flags = attributes.get(_IFA_FLAGS, b"")
        return AddressEvent(
            index=index,
            address=ip_address(raw),
            prefix_length=prefix_length,
            flags=int(struct.unpack("=I", long_flags)[0]) if len(long_flags) == 4 else flags,
            scope=scope,
            by_port=port,
            gone=kind == RTM_DELADDR,
        )
    return None


def _extended_text(flags: int, body: bytes) -> str:
    """The kernel's words in an error message with NETLINK_EXT_ACK, or an empty text."""
    if not flags & _NLM_F_ACK_TLVS or len(body) < 4 + _HEADER.size:
        return ""
    offset = 4 + _HEADER.size
    if not flags & _NLM_F_CAPPED:
        offset = 4 + int(_HEADER.unpack_from(body, 4)[0])
    return _attributes(body, offset).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode("utf-8", "replace")


# --- sockets -----------------------------------------------------------------------------------


def _open(groups: int, rcvbuf_bytes: int) -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, rcvbuf_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf_bytes)
    sock.bind((0, groups))
    return sock


def _receive(sock: socket.socket) -> bytes | None:
    """The next datagram from the kernel; None when nothing waits. Others' datagrams are dropped."""
    while True:
        try:
            data, sender = sock.recvfrom(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise OverrunError("the kernel dropped netlink messages for us") from None
            raise
        if sender[0] == 0:
            return data


class RouteSocket:
    """Requests and their answers. Synchronous: the kernel answers within the system call."""

    def __init__(self) -> None:
        self._sock = _open(0, _REQUEST_RCVBUF_BYTES)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            with contextlib.suppress(OSError):  # kernels before 4.3 / 4.12: shorter error texts
                self._sock.setsockopt(_SOL_NETLINK, option, 1)
        self.port: int = self._sock.getsockname()[0]
        self._sequence = 0

    def perform(self, requests: Sequence[bytes], *, fine: Iterable[int] = ()) -> list[Refusal]:
        """Send encoded requests as one batch and read an acknowledgement for each.

        ``fine`` are errnos that count as done (EEXIST when adding, EADDRNOTAVAIL and ENODEV when
        deleting). Every request is tried, whatever became of those before it; returns what was
        refused, in order.
        """
        if not requests:
            return []
        first = self._sequence + 1
        batch = bytearray()
        for request in requests:
            self._sequence += 1
            batch += request
            struct.pack_into("=I", batch, len(batch) - len(request) + 8, self._sequence)
        try:
            self._sock.sendto(batch, (0, 0))
        except OSError as error:
            reason = error.strerror or str(error)
            return [
                Refusal(position=position, error=error.errno or errno.EIO, text=f"not sent: {reason}")
                for position in range(len(requests))
            ]
        tolerated = frozenset(fine)
        waiting = len(requests)
        refusals: list[Refusal] = []
        while waiting:
            data = _receive(self._sock)
            if data is None:
                # The kernel acknowledges before sendmsg returns: what is not there never comes.
                raise NetlinkError(f"{waiting} of {len(requests)} requests were not acknowledged")
            for kind, flags, sequence, _port, body in _messages(data):
                position = sequence - first
                if kind != _NLMSG_ERROR or not 0 <= position < len(requests):
                    continue
                waiting -= 1
                error_number = -int(struct.unpack_from("=i", body)[0])
                if error_number and error_number not in tolerated:
                    text = _extended_text(flags, body) or os.strerror(error_number)
                    refusals.append(Refusal(position=position, error=error_number, text=text))
        return refusals

    def _dump(self, kind: int, body: bytes) -> list[LinkEvent | AddressEvent]:
        for _attempt in range(5):
            self._sequence += 1
            request = _HEADER.pack(
                _HEADER.size + len(body), kind, _NLM_F_REQUEST | _NLM_F_DUMP, self._sequence, 0
            )
            self._sock.sendto(request + body, (0, 0))
            found, interrupted = self._read_dump()
            if not interrupted:
                return found
        raise NetlinkError("the kernel's tables change faster than they can be read")

    def _read_dump(self) -> tuple[list[LinkEvent | AddressEvent], bool]:
        found: list[LinkEvent | AddressEvent] = []
        interrupted = False
        while True:
            data = _receive(self._sock)
            if data is None:
                raise NetlinkError("the kernel's dump ended early")
            for kind, flags, sequence, _port, body in _messages(data):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTR)
                if kind == _NLMSG_DONE:
                    return found, interrupted
                if kind == _NLMSG_ERROR:
                    error_number = -int(struct.unpack_from("=i", body)[0])
                    raise NetlinkError(f"dump refused: {os.strerror(error_number)}")
                event = _decode_event(kind, 0, body)
                if event is not None:
                    found.append(event)

    def links(self) -> list[LinkEvent]:
        """Every interface of this network namespace."""
        found = self._dump(RTM_GETLINK, _IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        return [event for event in found if isinstance(event, LinkEvent)]

    def addresses(self, family: Family | None = None) -> list[AddressEvent]:
        """Every address of this network namespace, in the kernel's order (primary ones first)."""
        number = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}[family]
        found = self._dump(RTM_GETADDR, _IFADDRMSG.pack(number, 0, 0, 0, 0))
        return [event for event in found if isinstance(event, AddressEvent)]

    def close(self) -> None:
        self._sock.close()


class Monitor:
    """Link and address events as they happen; open it before dumping, so that nothing falls between."""

    def __init__(self) -> None:
        self._sock = _open(_RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR, _MONITOR_RCVBUF_BYTES)

    def fileno(self) -> int:
        return self._sock.fileno()

    def receive(self, most: int = 64) -> list[LinkEvent | AddressEvent]:
        """Events that wait (of at most ``most`` datagrams). Raises ``OverrunError`` after a loss: dump
        again, then go on receiving."""
        found: list[LinkEvent | AddressEvent] = []
        for _datagram in range(most):
            data = _receive(self._sock)
            if data is None:
                break
            for kind, _flags, _sequence, port, body in _messages(data):
                if kind == _NLMSG_OVERRUN:
                    raise OverrunError("the kernel dropped netlink messages for us")
                event = _decode_event(kind, port, body)
                if event is not None:
                    found.append(event)
        return found

    def close(self) -> None:
        self._sock.close()
