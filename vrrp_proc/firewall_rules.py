"""Which traffic is kept out, and the transactions that make it so.

A master that does not accept traffic to its virtual addresses (RFC 9568 section 6.1, Accept_Mode) has them
in sets of a table of nf_tables: what goes to one of them is dropped, and what comes from one. IPv6 neighbour
discovery passes, as that section wants. A link-local address is kept out at its own interface only.
Pure.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from keepalived_conf.model import GlobalDefs, VirtualAddress, VrrpInstance
from vrrp_proc import nft
from vrrp_proc.resume import OWNER_PRIORITY

TABLE: Final = "keepalived"
"""Name of the tables where ``nftables`` does not say another."""
_ADDRESSES, _LINK_LOCAL, _DISCOVERY = "vips", "vips_link_local", "neighbor-discovery"
_NUMBERS: Final = {_ADDRESSES: 1, _LINK_LOCAL: 2, _DISCOVERY: 3}
_SETS: Final = {nft.IP: (_ADDRESSES,), nft.IP6: (_ADDRESSES, _LINK_LOCAL)}
_DISCOVERY_TYPES: Final = (135, 136)
"""Neighbour solicitation and advertisement."""
_ICMPV6 = 58


class Element(NamedTuple):
    """One address in one set."""

    family: int
    set_name: str
    key: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How the tables look: what global_defs say, and the comment that says whose they are."""

    table: str
    priority: int
    by_index: bool
    counters: bool
    comment: str
    families: frozenset[int]
    """Of which there is a table; a kernel may lack one that nobody needs."""

    @classmethod
    def of(cls, settings: GlobalDefs, comment: str, addresses: Iterable[VirtualAddress]) -> Form:
        """``addresses``: all that may have to be kept out one day."""
        return cls(
            families=frozenset(nft.IP if vip.interface.version == 4 else nft.IP6 for vip in addresses),
            table=settings.nftables or TABLE,
            priority=settings.nftables_priority,
            by_index=settings.nftables_ifindex,
            counters=settings.nftables_counters,
            comment=comment,
        )

    def element(self, vip: VirtualAddress, ifindex: Callable[[str], int | None]) -> Element | None:
        """What keeps traffic to ``vip`` out; None while it needs an interface that does not exist."""
        address = vip.interface.ip
        if address.version == 4:
            return Element(nft.IP, _ADDRESSES, address.packed)
        if not address.is_link_local:
            return Element(nft.IP6, _ADDRESSES, address.packed)
        if not self.by_index:
            return Element(nft.IP6, _LINK_LOCAL, address.packed + vip.dev.encode().ljust(16, b"\0"))
        index = ifindex(vip.dev)
        if index is None:
            return None
        return Element(nft.IP6, _LINK_LOCAL, address.packed + index.to_bytes(4, sys.byteorder))

    def sets(self) -> list[tuple[int, str]]:
        """(family, name) of the sets that addresses are in."""
        return [(family, name) for family in sorted(self.families) for name in _SETS[family]]

    def rules(self, family: int) -> int:
        """How many rules a table has."""
        return len(list(self._rules(family)))

    def build(self, elements: Iterable[Element]) -> list[bytes]:
        """Messages that make the tables anew, whatever was there under their name."""
        messages: list[bytes] = []
        for family in sorted(self.families):
            messages += clear(family, self.table)
            messages.append(nft.new_table(family, self.table, self.comment))
            for chain, hook in (("in", nft.HOOK_INPUT), ("out", nft.HOOK_OUTPUT)):
                messages.append(nft.new_chain(family, self.table, chain, hook=hook, priority=self.priority))
            messages += self._new_sets(family)
            messages += self._rules(family)
        return messages + self.change(elements, ())

    def change(self, added: Iterable[Element], removed: Iterable[Element]) -> list[bytes]:
        """Messages that put elements into their sets and take others out."""
        messages: list[bytes] = []
        for elements, encode in ((removed, nft.delete_elements), (added, nft.add_elements)):
            keys: dict[tuple[int, str], list[bytes]] = {}
            for element in elements:
                if element.family not in self.families:
                    continue
                keys.setdefault((element.family, element.set_name), []).append(element.key)
            for (family, name), listed in keys.items():
                messages += (
                    encode(family, self.table, name, listed[at : at + nft.ELEMENTS_MAX])
                    for at in range(0, len(listed), nft.ELEMENTS_MAX)
                )
        return messages

    def _new_sets(self, family: int) -> Iterator[bytes]:
        if family == nft.IP:
            yield self._set(nft.IP, _ADDRESSES, "ipv4_addr")
            return
        yield self._set(nft.IP6, _ADDRESSES, "ipv6_addr")
        interface = "iface_index" if self.by_index else "ifname"
        yield self._set(nft.IP6, _LINK_LOCAL, "ipv6_addr", interface)
        yield self._set(nft.IP6, _DISCOVERY, "icmpv6_type")
        types = [bytes((number,)) for number in _DISCOVERY_TYPES]
        yield nft.add_elements(nft.IP6, self.table, _DISCOVERY, types)

    def _rules(self, family: int) -> Iterator[bytes]:
        if family == nft.IP:
            yield self._drop(nft.IP, "in", _ADDRESSES, nft.network_header(16, 4))
            yield self._drop(nft.IP, "out", _ADDRESSES, nft.network_header(12, 4))
            return
        for chain, into in (("in", True), ("out", False)):
            yield self._rule(
                nft.IP6,
                chain,
                nft.meta(nft.META_L4PROTO),
                nft.equals(bytes((_ICMPV6,))),
                nft.transport_header(0, 1),
                nft.is_in(_DISCOVERY, _NUMBERS[_DISCOVERY]),
                last=nft.ACCEPT,
            )
            address = nft.network_header(24 if into else 8, 16)
            yield self._drop(nft.IP6, chain, _LINK_LOCAL, address, self._interface(into=into))
            yield self._drop(nft.IP6, chain, _ADDRESSES, address)

    def _interface(self, *, into: bool) -> bytes:
        if self.by_index:
            key = nft.META_IIF if into else nft.META_OIF
        else:
            key = nft.META_IIFNAME if into else nft.META_OIFNAME
        return nft.meta(key, nft.REGISTER_2)

    def _set(self, family: int, name: str, *key: str) -> bytes:
        return nft.new_set(family, self.table, name, number=_NUMBERS[name], key=key)

    def _drop(self, family: int, chain: str, set_name: str, *key: bytes) -> bytes:
        lookup = nft.is_in(set_name, _NUMBERS[set_name])
        return self._rule(family, chain, *key, lookup, last=nft.DROP)

    def _rule(self, family: int, chain: str, *expressions: bytes, last: int) -> bytes:
        counted = (nft.counter(),) if self.counters else ()
        return nft.new_rule(family, self.table, chain, *expressions, *counted, nft.verdict(last))


def is_shut(config: VrrpInstance) -> bool:
    """Whether a master keeps traffic to its addresses out; an owner never does."""
    return not config.accept and config.priority != OWNER_PRIORITY


def clear(family: int, table: str) -> list[bytes]:
    """Messages that remove a table, there or not."""
    return [nft.new_table(family, table), nft.delete_table(family, table)]


class Wanted:
    """The elements that everybody wants in: who wants which, and what that changes."""

    def __init__(self) -> None:
        self._by_owner: dict[object, frozenset[Element]] = {}
        self._counts: Counter[Element] = Counter()

    def __contains__(self, owner: object) -> bool:
        return owner in self._by_owner

    def put(self, owner: object, elements: frozenset[Element]) -> tuple[set[Element], set[Element]]:
        """From now on ``owner`` wants these. Returns what nobody wanted before, and what nobody wants now."""
        before = self._by_owner.pop(owner, frozenset())
        if elements:
            self._by_owner[owner] = elements
        added: set[Element] = set()
        removed: set[Element] = set()
        for element in elements - before:
            self._counts[element] += 1
            if self._counts[element] == 1:
                added.add(element)
        for element in before - elements:
            self._counts[element] -= 1
            if not self._counts[element]:
                del self._counts[element]
                removed.add(element)
        return added, removed

    def all(self) -> set[Element]:
        return set(self._counts)
