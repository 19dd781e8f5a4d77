"""The raw sockets of all interfaces and families in use: open, adopt, keep, read, replace.

A *port* is the pair of sockets of one interface and family. Its receive socket is stored with the
supervisor as soon as it is open; a later incarnation adopts it and finds in it what was said meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from keepalived_conf.model import Family, IpAddress
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop, Stage
from vrrp_proc.sockets import Received, ReceiveSocket, SendSocket

PortKey = tuple[str, int]
"""(interface, family 4 or 6)"""

_BACKLOG_PACKETS = 1 << 16
_DRAIN_ROUNDS = 4


@dataclass(slots=True)
class Use:
    """What the virtual routers on a port need of it."""

    vrids: set[int] = field(default_factory=set)
    groups: set[IpAddress] = field(default_factory=set)


class Ports:
    """``on_packets(key, packets, overflowed)`` gets what arrives, in order of arrival."""

    def __init__(
        self,
        loop: Loop,
        kept_fds: Mapping[str, int],
        store: Callable[[str, int], None],
        unstore: Callable[[str], None],
        on_packets: Callable[[PortKey, Sequence[Received], bool], None],
        log: Callable[..., None],
    ) -> None:
        self._loop = loop
        self._kept = dict(kept_fds)
        self._store, self._unstore = store, unstore
        self._on_packets = on_packets
        self._log = log
        self._rx: dict[PortKey, ReceiveSocket] = {}
        self._tx: dict[PortKey, SendSocket] = {}
        self._why_deaf: dict[PortKey, str] = {}

    # --- opening and closing -------------------------------------------------------------------------

    def open(self, uses: Mapping[PortKey, Use], links: LinkTable) -> None:
        """Have exactly these ports, as far as their interfaces exist. A port that cannot be opened is
        logged once and reported by ``why_deaf``; the next call tries again."""
        for key in [key for key in self._rx if key not in uses]:
            self._close(key)
            self._unstore(ReceiveSocket.kept_name(key[0], _family(key)))
        for key in [key for key in self._why_deaf if key not in uses]:
            del self._why_deaf[key]
        for key, use in uses.items():
            try:
                self._open(key, use, links)
            except OSError as error:
                self._close(key)
                why = f"no VRRP socket on {key[0]}: {error.strerror or error}"
                if self._why_deaf.get(key) != why:
                    self._why_deaf[key] = why
                    self._log("error", "vrrp.socket", interface=key[0], family=key[1], reason=why)

    def _open(self, key: PortKey, use: Use, links: LinkTable) -> None:
        interface, family = key[0], _family(key)
        link = links.by_name(interface)
        rx = self._rx.get(key)
        if rx is not None and (link is None or rx.ifindex != link.index):
            self._close(key)
            rx = None
        if link is None:
            self._why_deaf.pop(key, None)
            return
        name = ReceiveSocket.kept_name(interface, family)
        new = rx is None
        if rx is None:
            fd = self._kept.pop(name, None)
            if fd is not None:
                rx = ReceiveSocket.adopt(fd, interface, link.index, family)
            if rx is None:
                rx = ReceiveSocket.open(interface, link.index, family)
            self._rx[key] = rx
            self._tx[key] = SendSocket(interface, link.index, family)
        rx.set_vrids(use.vrids)
        rx.set_groups(use.groups)
        if new:
            self._loop.add_reader(rx.fileno(), Stage.PACKETS, self._reader(key))
            if not rx.inherited:
                self._store(name, rx.fileno())
        self._why_deaf.pop(key, None)

    def _close(self, key: PortKey) -> None:
        rx, tx = self._rx.pop(key, None), self._tx.pop(key, None)
        if rx is not None:
            self._loop.remove_reader(rx.fileno())
            rx.close()
        if tx is not None:
            tx.close()

    def give_back_unused(self) -> None:
        """Close kept sockets that nobody adopted."""
        for name in [name for name in self._kept if name.startswith("rx:")]:
            os.close(self._kept.pop(name))
            self._unstore(name)

    def close(self) -> None:
        for key in list(self._rx):
            self._close(key)

    # --- use -------------------------------------------------------------------------------------------

    def send_socket(self, key: PortKey) -> SendSocket | None:
        return self._tx.get(key)

    def why_deaf(self, key: PortKey) -> str | None:
        """Why nothing can be received on an existing interface; None when it can."""
        return self._why_deaf.get(key)

    def backlog(self) -> list[tuple[PortKey, list[Received], bool]]:
        """Everything that waits in the sockets, per port: (key, packets, whether nothing is missing
        since an earlier incarnation read it last)."""
        found = []
        for key, rx in self._rx.items():
            packets, overflowed = rx.receive(_BACKLOG_PACKETS)
            found.append((key, packets, rx.inherited and not overflowed))
        return found

    def read(self, key: PortKey) -> bool:
        """Hand over what waits on a port. True when that was everything."""
        rx = self._rx.get(key)
        if rx is None:
            return True
        packets, overflowed = rx.receive()
        if packets or overflowed:
            self._on_packets(key, packets, overflowed)
        return rx.empty

    def _reader(self, key: PortKey) -> Callable[[], None]:
        def read() -> None:
            self.read(key)

        return read

    def drain(self, key: PortKey) -> None:
        """Read a port empty, but for a flood: that must not keep a master silent."""
        for _round in range(_DRAIN_ROUNDS):
            if self.read(key):
                return


def _family(key: PortKey) -> Family:
    return 4 if key[1] == 4 else 6
