"""Raw sockets for VRRP adverts: one receive socket and one send socket per interface and family.

Receive sockets outlive a worker: the supervisor keeps them, so adverts that arrive while nobody reads
stay queued with the kernel's time stamps and the multicast group is never left. They are bound to
the interface, filtered by the kernel to our virtual router ids, and take multicast and unicast alike.

Send sockets carry complete, pre-encoded IP packets (header included): TTL, TOS and source are part of
the bytes, nothing is decided when an advert is due.

Sources: RFC 9568 section 5.1; raw(7), ip(7), ipv6(7), packet(7), socket(7).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from keepalived_conf.model import Family, IpAddress
from vrrp_proc import bpf
from vrrp_proc.packet import Datagram, datagram_from_ipv4
from worker.clock import boottime, boottime_from_realtime

PROTOCOL_VRRP = 112
TOS_INTERNETWORK_CONTROL = 0xC0
RECEIVE_BUFFER_BYTES = 1 << 20
_RECEIVE_BYTES = 9216
_ANCILLARY_BYTES = 256

_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40
_SO_BINDTOIFINDEX = 62
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_IPV6_PKTINFO = 50
_IPV6_HOPLIMIT = 52
_TC_PRIO_CONTROL = 7
_TIMESPEC = struct.Struct("@ll")
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_IPV6_HEADER = struct.Struct("!IHBB16s16s")


@dataclass(frozen=True, slots=True)
class Received:
    """One packet as it came off the wire."""

    datagram: Datagram
    received_at: float
    """Kernel time stamp as CLOCK_BOOTTIME seconds."""


def ip_packet(source: IpAddress, destination: IpAddress, ttl: int, payload: bytes) -> bytes:
    """A complete IP packet around ``payload``, protocol 112, TOS / traffic class 0xC0.

    IPv4: no options, DF clear, identification and header checksum 0 (the kernel fills both).
    """
    if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
        total = _IPV4_HEADER.size + len(payload)
        header = _IPV4_HEADER.pack(
            0x45,
            TOS_INTERNETWORK_CONTROL,
            total,
            0,
            0,
            ttl,
            PROTOCOL_VRRP,
            0,
            source.packed,
            destination.packed,
        )
    elif isinstance(source, IPv6Address) and isinstance(destination, IPv6Address):
        first = 6 << 28 | TOS_INTERNETWORK_CONTROL << 20
        header = _IPV6_HEADER.pack(first, len(payload), PROTOCOL_VRRP, ttl, source.packed, destination.packed)
    else:
        raise ValueError(f"source {source} and destination {destination} are of different families")
    return header + payload


def _attach_filter(sock: socket.socket, instructions: list[bpf.Instruction]) -> None:
    code = bpf.pack(instructions)
    # struct sock_fprog: length in instructions, pointer to them; the kernel copies the program.
    import ctypes

    buffer = ctypes.create_string_buffer(code)
    fprog = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


_REJECT_ALL: list[bpf.Instruction] = [(0x06, 0, 0, 0)]


class ReceiveSocket:
    """Adverts that arrive on one interface in one family."""

    def __init__(self, sock: socket.socket, interface: str, ifindex: int, family: Family) -> None:
        self._sock = sock
        self.interface = interface
        self.ifindex = ifindex
        self.family: Family = family
        self._vrids: frozenset[int] = frozenset()
        self._groups: set[IpAddress] = set()
        self._dropped: int | None = None
        self._empty_at = 0.0
        self.empty = False
        """Whether the last ``receive`` took everything that was there."""
        self.inherited = False
        """True when it was open all the time since an earlier incarnation."""

    @staticmethod
    def kept_name(interface: str, family: Family) -> str:
        """Name under which the supervisor keeps the socket."""
        return f"rx:{interface}:{family}"

    @classmethod
    def open(cls, interface: str, ifindex: int, family: Family) -> ReceiveSocket:
        """A new socket; it passes nothing before ``set_vrids``. Raises OSError."""
        number = socket.AF_INET if family == 4 else socket.AF_INET6
        sock = socket.socket(
            number, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL_VRRP
        )
        try:
            # A raw socket receives from every interface until it is bound to one.
            _attach_filter(sock, _REJECT_ALL)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            try:
                sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            if family == 4:
                sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            else:
                with contextlib.suppress(OSError):  # kernels before 4.20
                    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            while _discard(sock):
                pass
        except OSError:
            sock.close()
            raise
        opened = cls(sock, interface, ifindex, family)
        opened._empty_at = boottime()
        return opened

    @classmethod
    def adopt(cls, fd: int, interface: str, ifindex: int, family: Family) -> ReceiveSocket | None:
        """Take over a kept descriptor (and own it). None, and closed, when it is not what its name
        says or its interface is not the one of that name any more."""
        try:
            sock = socket.socket(fileno=fd)
        except OSError:
            return None
        number = socket.AF_INET if family == 4 else socket.AF_INET6
        try:
            fits = (
                sock.family == number
                and sock.type == socket.SOCK_RAW
                and sock.proto == PROTOCOL_VRRP
                and sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX) == ifindex
            )
        except OSError:
            fits = False
        if not fits:
            sock.close()
            return None
        sock.setblocking(False)
        adopted = cls(sock, interface, ifindex, family)
        adopted.inherited = True
        return adopted

    def fileno(self) -> int:
        return self._sock.fileno()

    def set_vrids(self, vrids: Iterable[int]) -> None:
        """Pass adverts of exactly these virtual routers from now on."""
        wanted = frozenset(vrids)
        if wanted != self._vrids:
            _attach_filter(self._sock, bpf.program(self.family, wanted))
            self._vrids = wanted

    def set_groups(self, groups: Collection[IpAddress]) -> None:
        """Be a member of exactly these multicast groups. A group that a kept socket is in already is
        fine. Raises OSError when a group cannot be joined."""
        for group in sorted(self._groups - set(groups)):
            with contextlib.suppress(OSError):
                self._membership(group, join=False)
            self._groups.discard(group)
        for group in groups:
            if group in self._groups:
                continue
            try:
                self._membership(group, join=True)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            self._groups.add(group)

    def _membership(self, group: IpAddress, *, join: bool) -> None:
        if group.version == 4:
            request = struct.pack("@4s4si", group.packed, b"\0\0\0\0", self.ifindex)
            option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
            self._sock.setsockopt(socket.IPPROTO_IP, option, request)
        else:
            request = struct.pack("@16si", group.packed, self.ifindex)
            option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
            self._sock.setsockopt(socket.IPPROTO_IPV6, option, request)

    def receive(self, most: int = 256) -> tuple[list[Received], bool]:
        """(packets that wait, in order of arrival; whether the queue overflowed since the last call).

        Never blocks; reads at most ``most`` packets (a full read may leave more behind). Packets that
        are cut short or make no sense as IP are dropped here.
        """
        found: list[Received] = []
        overflowed = False
        self.empty = False
        for _packet in range(most):
            try:
                data, ancillary, flags, sender = self._sock.recvmsg(_RECEIVE_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                self._empty_at = boottime()
                self.empty = True
                break
            except OSError as error:
                # ENETDOWN is reported once when the interface goes down; the link monitor says it too.
                if error.errno in (errno.ENETDOWN, errno.ENODEV, errno.ENETUNREACH):
                    continue
                raise
            ttl, destination, stamp, drops = _control(ancillary)
            if drops is not None and drops != self._dropped:
                # The counter is the socket's own; on a kept one an earlier loss counts as well.
                overflowed = overflowed or drops != 0
                self._dropped = drops
            if flags & socket.MSG_TRUNC:
                continue
            now = boottime()
            received_at = now if stamp is None else boottime_from_realtime(stamp)
            # A wall clock that was stepped meanwhile shifts the stamp: the packet cannot have come
            # before this socket was last seen empty.
            received_at = min(now, max(received_at, self._empty_at))
            datagram = (
                datagram_from_ipv4(data) if self.family == 4 else _ipv6(data, sender[0], destination, ttl)
            )
            if isinstance(datagram, Datagram):
                found.append(Received(datagram, received_at))
        return found, overflowed

    def detach(self) -> int:
        """Give up the descriptor without closing it."""
        return self._sock.detach()

    def close(self) -> None:
        self._sock.close()


def _discard(sock: socket.socket) -> bool:
    try:
        sock.recv(1)
    except BlockingIOError:
        return False
    return True


def _control(
    ancillary: list[tuple[int, int, bytes]],
) -> tuple[int, bytes, float | None, int | None]:
    ttl, destination, stamp, drops = -1, b"", None, None
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET:
            if kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                stamp = seconds + nanoseconds / 1e9
            elif kind == _SO_RXQ_OVFL:
                drops = int(struct.unpack_from("=I", value)[0])
        elif level == socket.IPPROTO_IPV6:
            if kind == _IPV6_HOPLIMIT:
                ttl = int(struct.unpack_from("@i", value)[0])
            elif kind == _IPV6_PKTINFO:
                destination = value[:16]
    return ttl, destination, stamp, drops


def _ipv6(data: bytes, sender: str, destination: bytes, ttl: int) -> Datagram | None:
    if len(destination) != 16 or ttl < 0:
        return None
    return Datagram(
        payload=data,
        source=IPv6Address(sender.partition("%")[0]),
        destination=IPv6Address(destination),
        ttl=ttl,
    )


class SendSocket:
    """Sends complete IP packets out of one interface; receives nothing."""

    def __init__(self, interface: str, ifindex: int, family: Family) -> None:
        self.ifindex = ifindex
        self.family: Family = family
        number = socket.AF_INET if family == 4 else socket.AF_INET6
        # IPPROTO_RAW: the header is part of the packet, and nothing is ever received.
        self._sock = socket.socket(
            number, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW
        )
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _TC_PRIO_CONTROL)
            if family == 4:
                mreqn = struct.pack("@4s4si", b"\0" * 4, b"\0" * 4, ifindex)
                self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)
                self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            else:
                self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, ifindex)
                self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        except OSError:
            self._sock.close()
            raise

    def send(self, packet: bytes, destination: str) -> OSError | None:
        """Send one complete packet. Returns what went wrong instead of raising: the next one is due
        in an interval whatever became of this one."""
        try:
            if self.family == 4:
                self._sock.sendto(packet, (destination, 0))
            else:
                self._sock.sendto(packet, (destination, 0, 0, self.ifindex))
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        self._sock.close()
