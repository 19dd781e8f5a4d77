"""Interfaces and their addresses, kept current from netlink events. Pure: no socket, no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from keepalived_conf.model import Family, IpAddress
from vrrp_proc.netlink import (
    IFA_F_DADFAILED,
    IFA_F_SECONDARY,
    IFA_F_TENTATIVE,
    IFF_RUNNING,
    IFF_UP,
    AddressEvent,
    LinkEvent,
)

_RT_SCOPE_HOST = 254


@dataclass(slots=True)
class Link:
    """One interface. ``addresses`` in the kernel's order."""

    index: int
    name: str
    flags: int
    mtu: int
    mac: bytes
    addresses: dict[IpAddress, AddressEvent] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Administratively up and with carrier."""
        return self.flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING


class LinkTable:
    """What the kernel said last about every interface of the namespace."""

    def __init__(self) -> None:
        self._by_index: dict[int, Link] = {}
        self._by_name: dict[str, Link] = {}

    def load(self, links: Iterable[LinkEvent], addresses: Iterable[AddressEvent]) -> None:
        """Start again from two dumps (start, and after an overrun)."""
        self._by_index.clear()
        self._by_name.clear()
        for link in links:
            self.apply(link)
        for address in addresses:
            self.apply(address)

    def apply(self, event: LinkEvent | AddressEvent) -> bool:
        """Take one event in. True when it changed something that matters to a virtual router."""
        if isinstance(event, AddressEvent):
            return self._apply_address(event)
        known = self._by_index.get(event.index)
        if event.gone:
            if known is None:
                return False
            del self._by_index[event.index]
            if self._by_name.get(known.name) is known:
                del self._by_name[known.name]
            return True
        if known is None:
            known = Link(event.index, event.name, event.flags, event.mtu, event.mac)
            self._by_index[event.index] = known
            self._by_name[event.name] = known
            return True
        before = (known.name, known.usable, known.mtu, known.mac)
        if known.name != event.name:  # renamed: for whoever looks by name it is another interface
            if self._by_name.get(known.name) is known:
                del self._by_name[known.name]
            known.name = event.name
            self._by_name[event.name] = known
        known.flags, known.mtu, known.mac = event.flags, event.mtu, event.mac
        return before != (known.name, known.usable, known.mtu, known.mac)

    def _apply_address(self, event: AddressEvent) -> bool:
        link = self._by_index.get(event.index)
        if link is None:
            return False
        if event.gone:
            return link.addresses.pop(event.address, None) is not None
        event = replace(event, by_port=0)
        changed = link.addresses.get(event.address) != event
        link.addresses[event.address] = event
        return changed

    def indices(self) -> set[int]:
        """Indices of all interfaces there are."""
        return set(self._by_index)

    def by_name(self, name: str) -> Link | None:
        return self._by_name.get(name)

    def by_index(self, index: int) -> Link | None:
        return self._by_index.get(index)

    def holds(self, name: str, address: IpAddress) -> bool:
        """Whether ``address`` is on interface ``name`` now."""
        link = self._by_name.get(name)
        return link is not None and address in link.addresses

    def primary_address(self, name: str, family: Family, virtual: Collection[IpAddress]) -> IpAddress | None:
        """The address adverts leave from: the first primary IPv4 address of the interface, or its
        first usable IPv6 link-local one; never a virtual one (RFC 9568 sections 5.1.1.1, 5.1.2.1)."""
        link = self._by_name.get(name)
        if link is None:
            return None
        for address, event in link.addresses.items():
            if address.version != family or address in virtual:
                continue
            if family == 4:
                if event.scope == _RT_SCOPE_HOST or event.flags & IFA_F_SECONDARY:
                    continue
                return address
            if address.is_link_local and not event.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
                return address
        # Only secondary addresses are left (the primary one is virtual): better one of them than none.
        if family == 4:
            for address, event in link.addresses.items():
                if address.version == 4 and address not in virtual and event.scope != _RT_SCOPE_HOST:
                    return address
        return None
