"""Entries of value blocks: lines of virtual_ipaddress(_excluded) and unicast_peer."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import Any

from keepalived_conf.model import IpInterface, Places, UnicastPeer, VirtualAddress
from keepalived_conf.syntax import values
from keepalived_conf.syntax.parser import Statement
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError


class BadEntryError(Exception):
    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def _argument(entry: Statement, index: int) -> str:
    if index + 1 >= len(entry.words):
        raise BadEntryError(index, f"'{entry.words[index].text}' has no value behind it")
    return entry.words[index + 1].text


def _number(entry: Statement, index: int, low: int, high: int) -> int:
    word = _argument(entry, index)
    try:
        number = values.integer(word)
    except (BadValueError, LeadingNumberError):
        number = low - 1
    if not low <= number <= high:
        raise BadEntryError(index + 1, f"'{word}' is not a whole number from {low} to {high}")
    return number


_NOT_YET = frozenset(("home", "-nodad", "mngtmpaddr", "noprefixroute", "autojoin", "no_track", "use_vmac"))

Note = Callable[..., None]


def virtual_address(entry: Statement, interface: str, note: Note) -> VirtualAddress:
    words = entry.words
    try:
        address = values.interface_address(words[0].text)
    except values.BadPrefixError as bad:
        address = values.interface_address(str(bad.address))
        note(entry, 0, f"'{words[0].text}' {bad}; {address.network.prefixlen} is taken", known=False)
    except BadValueError as bad:
        raise BadEntryError(0, f"'{words[0].text}' {bad}") from None
    places: Places = {"": entry.place}
    found: dict[str, Any] = {}
    broadcast_at = 0
    index = 1
    while index < len(words):
        word = words[index].text
        places[word] = entry.place_of(index)
        try:
            match word:
                case "dev":
                    found["dev"] = values.interface_name(_argument(entry, index))
                case "scope":
                    found["scope"] = values.scope(_argument(entry, index))
                case "label":
                    found["label"] = values.interface_name(_argument(entry, index))
                case "brd" | "broadcast":
                    _argument(entry, index)
                    broadcast_at = index + 1
                case "peer":
                    found["peer"] = values.interface_address(_argument(entry, index))
                case "preferred_lft":
                    forever = _argument(entry, index) == "forever"
                    found["preferred_lft_s"] = None if forever else _number(entry, index, 0, 4294967295)
                case _ if word in _NOT_YET:
                    note(entry, index, f"{word} of an address is understood, has no effect yet", known=True)
                    index -= 1
                case _:
                    note(entry, index, f"unknown word '{word}' behind an address is ignored", known=False)
                    index -= 1
        except BadValueError as bad:
            raise BadEntryError(index + 1, f"{word} '{words[index + 1].text}' {bad}") from None
        index += 2
    return _complete_address(entry, address, found, broadcast_at, interface, places, note)


def _complete_address(
    entry: Statement,
    address: IpInterface,
    found: dict[str, Any],
    broadcast_at: int,
    interface: str,
    places: Places,
    note: Note,
) -> VirtualAddress:
    peer: IpInterface | None = found.get("peer")
    if peer is not None and values.family_of(peer) != values.family_of(address):
        raise BadEntryError(0, f"the address and its peer {peer.ip} are of different families")
    broadcast: IPv4Address | None = None
    if isinstance(address, IPv6Interface):
        if broadcast_at:
            raise BadEntryError(broadcast_at, "IPv6 knows no broadcast address")
        for word in ("scope", "label"):
            if found.pop(word, None) is not None:
                index = next(i for i, w in enumerate(entry.words) if w.text == word)
                note(entry, index, f"{word} is ignored for an IPv6 address", known=False)
        if address.network.prefixlen == 128:
            found.setdefault("preferred_lft_s", 0)
    elif broadcast_at:
        assert isinstance(address, IPv4Interface)
        word = entry.words[broadcast_at].text
        if peer is not None and word in ("+", "-"):
            raise BadEntryError(broadcast_at, "brd + and - do not go with peer")
        try:
            broadcast = values.broadcast(word, address)
        except BadValueError as bad:
            raise BadEntryError(broadcast_at, f"brd '{word}' {bad}") from None
    if not found.get("dev", interface):
        raise BadEntryError(0, f"{address.ip} has no interface: write dev and its name")
    return VirtualAddress(
        interface=address,
        dev=found.get("dev", interface),
        label=found.get("label"),
        scope=found.get("scope", 0),
        broadcast=broadcast,
        peer=peer,
        preferred_lft_s=found.get("preferred_lft_s"),
        places=places,
    )


def unicast_peer(entry: Statement) -> UnicastPeer:
    words = entry.words
    try:
        address = values.address(words[0].text)
    except BadValueError as bad:
        raise BadEntryError(0, f"'{words[0].text}' {bad}") from None
    ttl: dict[str, int] = {}
    index = 1
    while index < len(words):
        word = words[index].text
        if word not in ("min_ttl", "max_ttl"):
            raise BadEntryError(
                index, f"unknown word '{word}' behind a peer (min_ttl N and max_ttl N are known)"
            )
        ttl[word] = _number(entry, index, 0, 255)
        index += 2
    return UnicastPeer(address=address, min_ttl=ttl.get("min_ttl"), max_ttl=ttl.get("max_ttl"))
