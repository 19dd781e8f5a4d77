"""Entries of value blocks: lines of virtual_ipaddress(_excluded) and unicast_peer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from keepalived_conf.grammar.address_forms import VIRTUAL_ADDRESS
from keepalived_conf.grammar.forms import Args, BadWordError
from keepalived_conf.model import Places, UnicastPeer, VirtualAddress
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


_NOT_YET = frozenset(("home", "mngtmpaddr", "noprefixroute", "autojoin", "no_track", "use_vmac"))

Note = Callable[..., None]


def virtual_address(entry: Statement, interface: str, note: Note) -> VirtualAddress:
    """The address of one line; ``interface`` where it names none. Raises BadEntryError."""
    args = Args(words=entry.words, first=0, raw=entry.raw)
    try:
        found: VirtualAddress = VIRTUAL_ADDRESS.read(args)
    except BadWordError as bad:
        raise BadEntryError(bad.index, bad.message) from None
    for remark in args.remarks:
        note(entry, remark.index, remark.message, known=False)
    places: Places = {"": entry.place}
    for index, word in args.used:
        places[word] = entry.place_of(index)
        if word in _NOT_YET:
            note(entry, index, f"{word} of an address is understood, has no effect yet", known=True)
    dev = found.dev or interface
    if not dev:
        raise BadEntryError(0, f"{found.interface.ip} has no interface: write dev and its name")
    return dataclasses.replace(found, dev=dev, places=places)


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
