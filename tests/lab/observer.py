"""A silent listener on the switch: every VRRP, ARP and neighbour advertisement, stamped by the kernel."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

from tests.lab.system import in_netns, wait_until
from tests.lab.wire import ArpFrame, Frame, IpAddress, NaFrame, VrrpFrame, parse

SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SO_ATTACH_FILTER = 26
ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
BUFFER_BYTES = 64 << 20

F = TypeVar("F", VrrpFrame, ArpFrame, NaFrame)

# Classic BPF: keep ARP, IPv4 protocol 112, IPv6 next header 112 or ICMPv6 type 136.
_LDH, _LDB, _JEQ, _RET = 0x28, 0x30, 0x15, 0x06
_FILTER = (
    (_LDH, 0, 0, 12),
    (_JEQ, 9, 0, 0x0806),
    (_JEQ, 0, 2, 0x0800),
    (_LDB, 0, 0, 23),
    (_JEQ, 6, 7, 112),
    (_JEQ, 0, 6, 0x86DD),
    (_LDB, 0, 0, 20),
    (_JEQ, 3, 0, 112),
    (_JEQ, 0, 3, 58),
    (_LDB, 0, 0, 54),
    (_JEQ, 0, 1, 136),
    (_RET, 0, 0, 0xFFFF),
    (_RET, 0, 0, 0),
)


class Observer:
    """Frames seen on one interface. The kernel keeps and stamps them; each question reads them out.

    No thread and no wake-up of its own, so that watching does not disturb what is measured.
    """

    def __init__(self, netns: str, dev: str) -> None:
        with in_netns(netns):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            ifindex = socket.if_nametoindex(dev)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:  # in a user namespace: as much as the host allows
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        blob = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _FILTER))
        program = struct.pack("HxxxxxxP", len(_FILTER), ctypes.addressof(blob))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self._socket.bind((dev, ETH_P_ALL))
        # a bridge hands frames between two of its ports to itself only when it is promiscuous
        request = struct.pack("iHH8x", ifindex, PACKET_MR_PROMISC, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
        self._socket.setblocking(False)
        self._lock = threading.Lock()
        self._frames: list[Frame] = []

    def close(self) -> None:
        with self._lock:
            self._drain()
            self._socket.close()

    def _drain(self) -> None:
        if self._socket.fileno() < 0:
            return
        while True:
            try:
                raw, ancillary, _flags, _address = self._socket.recvmsg(9000, 64)
            except BlockingIOError:
                return
            except OSError:  # the interface went down under us: said once, then it goes on
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            frame = parse(raw, seconds + nanoseconds / 1e9)
            if frame is not None:
                self._frames.append(frame)

    def frames(self, since: float = 0.0, until: float = float("inf")) -> list[Frame]:
        """Everything seen in a span of time, in order of arrival."""
        with self._lock:
            self._drain()
            return [frame for frame in self._frames if since <= frame.at <= until]

    def forget(self) -> None:
        with self._lock:
            self._drain()
            self._frames.clear()

    def adverts(
        self,
        since: float = 0.0,
        until: float = float("inf"),
        *,
        src: IpAddress | str | None = None,
        vrid: int | None = None,
        family: int | None = None,
        priority: int | None = None,
        active: bool | None = None,
    ) -> list[VrrpFrame]:
        """Advertisements; ``active`` True leaves out priority 0, False keeps only those."""
        wanted = ip_address(src) if isinstance(src, str) else src
        return [
            frame
            for frame in self.frames(since, until)
            if isinstance(frame, VrrpFrame)
            and (wanted is None or frame.src == wanted)
            and (vrid is None or frame.vrid == vrid)
            and (family is None or frame.family == family)
            and (priority is None or frame.priority == priority)
            and (active is None or active == (frame.priority > 0))
        ]

    def garps(
        self, since: float = 0.0, until: float = float("inf"), *, mac: str | None = None
    ) -> list[ArpFrame]:
        """Gratuitous ARP frames (sender and target address equal), by sender's MAC if given."""
        return [
            frame
            for frame in self.frames(since, until)
            if isinstance(frame, ArpFrame) and frame.gratuitous and mac in (None, frame.sender_mac)
        ]

    def unsolicited_nas(
        self, since: float = 0.0, until: float = float("inf"), *, mac: str | None = None
    ) -> list[NaFrame]:
        return [
            frame
            for frame in self.frames(since, until)
            if isinstance(frame, NaFrame) and frame.unsolicited and mac in (None, frame.link_address)
        ]

    def arp_answers(
        self, address: IPv4Address | str, since: float = 0.0, until: float = float("inf")
    ) -> list[ArpFrame]:
        """ARP replies that claim an address (gratuitous ones left out): who answered, and when."""
        wanted = IPv4Address(address)
        return [
            frame
            for frame in self.frames(since, until)
            if isinstance(frame, ArpFrame)
            and frame.op == 2
            and not frame.gratuitous
            and frame.sender == wanted
        ]

    def await_advert(
        self,
        timeout_s: float,
        since: float = 0.0,
        *,
        src: IpAddress | str | None = None,
        vrid: int | None = None,
        family: int | None = None,
        priority: int | None = None,
        active: bool | None = None,
    ) -> VrrpFrame:
        """The first fitting advertisement after ``since``; TimeoutError tells what was seen instead."""
        what = f"advert src={src} vrid={vrid} priority={priority} active={active}"

        def look() -> list[VrrpFrame]:
            return self.adverts(since, src=src, vrid=vrid, family=family, priority=priority, active=active)

        return self._await(look, timeout_s, what, since)

    def await_garp(self, timeout_s: float, since: float = 0.0, *, mac: str | None = None) -> ArpFrame:
        return self._await(lambda: self.garps(since, mac=mac), timeout_s, f"gratuitous ARP by {mac}", since)

    def await_unsolicited_na(
        self, timeout_s: float, since: float = 0.0, *, mac: str | None = None
    ) -> NaFrame:
        return self._await(
            lambda: self.unsolicited_nas(since, mac=mac), timeout_s, f"unsolicited NA by {mac}", since
        )

    def _await(self, look: Callable[[], list[F]], timeout_s: float, what: str, since: float) -> F:
        try:
            return wait_until(look, timeout_s, what, 0.005)[0]
        except TimeoutError as error:
            seen = [
                f"{frame.at:.3f} {frame.src} priority {frame.priority}" for frame in self.adverts(since)[-5:]
            ]
            raise TimeoutError(f"{error}; last adverts seen: {seen or 'none'}") from None

    def master(self, now: float, *, vrid: int | None = None, family: int | None = None) -> VrrpFrame | None:
        """The advert of whoever spoke last as master, if it did so within its own down interval."""
        heard = self.adverts(until=now, vrid=vrid, family=family)
        if not heard or heard[-1].priority == 0:
            return None
        last = heard[-1]
        return last if now - last.at <= 4 * last.interval_cs / 100 else None
