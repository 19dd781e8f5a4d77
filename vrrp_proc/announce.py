"""Gratuitous ARP and unsolicited neighbour advertisements: frames made ahead, bursts that yield.

After a takeover every virtual address is announced, in list order, the whole list repeated. Frames
are encoded when the configuration is applied; a burst is sent in slices between which the loop
serves packets and adverts, or spaced by ``vrrp_garp_interval`` / ``vrrp_gna_interval``.

Sources: RFC 826, RFC 5227 section 3; RFC 4861 sections 4.4 and 7.2.6; RFC 9568 section 6.4.2.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from vrrp_proc.loop import Loop, Timer

_BROADCAST_MAC = b"\xff" * 6
_ALL_NODES_MAC = b"\x33\x33\x00\x00\x00\x01"
_ALL_NODES = IPv6Address("ff02::1").packed
_ETHERTYPE_ARP = 0x0806
_ETHERTYPE_IPV6 = 0x86DD
_ICMPV6 = 58
_NEIGHBOUR_ADVERTISEMENT = 136
_ROUTER_OVERRIDE = 0xA0000000
_SLICE_FRAMES = 16
_RETRY_S = 0.001


@dataclass(frozen=True, slots=True)
class Frame:
    """One Ethernet frame and where it leaves."""

    interface: str
    ifindex: int
    data: bytes
    is_arp: bool


def _ones_complement_sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """A gratuitous ARP request, 42 octets: sender and target address are the announced one, the
    target hardware address is all ones (as keepalived sends it; receivers ignore it)."""
    return (
        _BROADCAST_MAC
        + mac
        + struct.pack("!HHHBBH", _ETHERTYPE_ARP, 1, 0x0800, 6, 4, 1)
        + mac
        + address.packed
        + _BROADCAST_MAC
        + address.packed
    )


def unsolicited_na(mac: bytes, address: IPv6Address) -> bytes:
    """An unsolicited neighbour advertisement to all nodes, 86 octets: flags R=1 S=0 O=1, target
    link-layer address option."""
    option = struct.pack("!BB", 2, 1) + mac
    body = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _ROUTER_OVERRIDE) + address.packed + option
    pseudo = address.packed + _ALL_NODES + struct.pack("!IHBB", len(body), 0, 0, _ICMPV6)
    checksum = ~_ones_complement_sum(pseudo + body) & 0xFFFF
    body = body[:2] + struct.pack("!H", checksum or 0xFFFF) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, 255) + address.packed + _ALL_NODES
    return _ALL_NODES_MAC + mac + struct.pack("!H", _ETHERTYPE_IPV6) + header + body


def frame_for(interface: str, ifindex: int, mac: bytes, address: IPv4Address | IPv6Address) -> Frame | None:
    """The frame that announces ``address``; None on links without Ethernet addresses (tun, ppp)."""
    if len(mac) != 6 or not any(mac):
        return None
    if isinstance(address, IPv4Address):
        return Frame(interface, ifindex, gratuitous_arp(mac, address), is_arp=True)
    return Frame(interface, ifindex, unsolicited_na(mac, address), is_arp=False)


@dataclass(slots=True)
class _Burst:
    owner: object
    frames: Sequence[Frame]
    copies: int
    on_done: Callable[[], None]
    position: int = 0
    failed: int = 0
    error: OSError | None = None

    def drop(self, gone: set[bytes] | None) -> None:
        """Leave frames out of what is still to be sent, keeping count of the rounds."""
        kept = [] if gone is None else [frame for frame in self.frames if frame.data not in gone]
        if len(kept) < len(self.frames):
            rounds, within = divmod(self.position, len(self.frames))
            before = sum(1 for frame in self.frames[:within] if frame in kept)
            self.frames = kept
            self.position = rounds * len(kept) + before

    @property
    def current(self) -> Frame:
        return self.frames[self.position % len(self.frames)]

    @property
    def done(self) -> bool:
        return self.position >= self.copies * len(self.frames)


class Announcer:
    """Sends bursts of frames in the order they were asked for.

    ``on_failure(owner, frames, error)`` is told once per burst that the kernel refused some of it.
    """

    def __init__(self, loop: Loop, on_failure: Callable[[Any, int, OSError], None]) -> None:
        self._loop = loop
        self._on_failure = on_failure
        self._bursts: deque[_Burst] = deque()
        self._sockets: dict[int, socket.socket] = {}
        self._timer = Timer(self._wake)
        self._in_work = False
        self.garp_interval_s = 0.0
        self.gna_interval_s = 0.0

    def announce(
        self, owner: object, frames: Sequence[Frame], copies: int, on_done: Callable[[], None]
    ) -> None:
        """Queue ``frames``, the whole list ``copies`` times; ``on_done`` when the last has left. ``owner`` is
        only compared: whose frames they are, see ``cancel``."""
        if not frames or copies <= 0:
            on_done()
            return
        self._bursts.append(_Burst(owner, frames, copies, on_done))
        if self._timer.due_at is None:
            self._schedule_work()

    def cancel(self, owner: object, frames: Sequence[bytes] | None = None) -> None:
        """Send these frames of ``owner`` (None: any) no more: the addresses are not ours any longer."""
        if not self._bursts:
            return
        gone = None if frames is None else set(frames)
        kept: deque[_Burst] = deque()
        for burst in self._bursts:
            if burst.owner == owner:
                burst.drop(gone)
                if not burst.frames:
                    continue
            kept.append(burst)
        self._bursts = kept

    def forget_link(self, ifindex: int) -> None:
        """The interface is gone or changed: its socket is of no use any more."""
        sock = self._sockets.pop(ifindex, None)
        if sock is not None:
            sock.close()

    def close(self) -> None:
        self._bursts.clear()
        for ifindex in list(self._sockets):
            self.forget_link(ifindex)

    def _wake(self, _now: float) -> None:
        self._schedule_work()

    def _schedule_work(self) -> None:
        if not self._in_work:
            self._in_work = True
            self._loop.add_work(self._slice)

    def _slice(self) -> bool:
        """A few frames; False when the queue is empty or has to wait for a timer."""
        for _frame in range(_SLICE_FRAMES):
            if not self._bursts:
                break
            burst = self._bursts[0]
            frame = burst.current
            error = self._send(frame)
            if error is not None and error.errno in (errno.EAGAIN, errno.ENOBUFS) and burst.failed < 1000:
                burst.failed += 1
                return self._pause(_RETRY_S)
            if error is not None:
                burst.error = error
                if error.errno in (errno.ENXIO, errno.ENODEV):
                    self.forget_link(frame.ifindex)
            burst.position += 1
            if burst.done:
                self._bursts.popleft()
                if burst.error is not None:
                    self._on_failure(burst.owner, len(burst.frames), burst.error)
                burst.on_done()
            spacing_s = self.garp_interval_s if frame.is_arp else self.gna_interval_s
            if spacing_s > 0 and self._bursts:
                return self._pause(spacing_s)
        self._in_work = bool(self._bursts)
        return self._in_work

    def _pause(self, seconds: float) -> bool:
        self._in_work = False
        self._loop.arm(self._timer, self._loop.now() + seconds)
        return False

    def _send(self, frame: Frame) -> OSError | None:
        sock = self._sockets.get(frame.ifindex)
        try:
            if sock is None:
                sock = socket.socket(
                    socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0
                )
                # Protocol 0: bound for sending only, nothing is ever received.
                sock.bind((frame.interface, 0))
                self._sockets[frame.ifindex] = sock
            sock.send(frame.data)
        except OSError as error:
            return error
        return None
