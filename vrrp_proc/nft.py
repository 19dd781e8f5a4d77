"""nf_tables messages: tables, chains, sets, rules and elements, encoded and decoded.

A transaction is what stands between ``begin()`` and ``end()``: the kernel takes all of it or nothing. Numbers
in nf_tables are in network order, unlike everywhere else in netlink.

Sources: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h, netlink(7), nft(8).
Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

IP, IP6 = 2, 10
"""Families of tables: AF_INET and AF_INET6."""

_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 16, 17
NEWTABLE, GETTABLE, DELTABLE = _SUBSYSTEM + 0, _SUBSYSTEM + 1, _SUBSYSTEM + 2
NEWCHAIN = _SUBSYSTEM + 3
NEWRULE, GETRULE = _SUBSYSTEM + 6, _SUBSYSTEM + 7
NEWSET = _SUBSYSTEM + 9
NEWSETELEM, GETSETELEM, DELSETELEM = _SUBSYSTEM + 12, _SUBSYSTEM + 13, _SUBSYSTEM + 14
NEWGEN, GETGEN = _SUBSYSTEM + 15, _SUBSYSTEM + 16

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
_CREATE, _APPEND = 0x400, 0x800

_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("!BBH")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED = 0x8000

HOOK_INPUT, HOOK_OUTPUT = 1, 3
DROP, ACCEPT = 0, 1
_VERDICT_REGISTER = 0
REGISTER_1 = 1
"""16 octets; the next register follows it in memory."""
REGISTER_2 = 2
META_IIF, META_OIF, META_IIFNAME, META_OIFNAME, META_L4PROTO = 4, 5, 6, 7, 16
_NETWORK, _TRANSPORT = 1, 2

_SET_KINDS = {
    "ipv4_addr": (7, 4),
    "ipv6_addr": (8, 16),
    "icmpv6_type": (29, 1),
    "iface_index": (20, 4),
    "ifname": (41, 16),
}
"""What nft(8) calls a key: its number there (for showing only), and its octets."""


ERROR, DONE = 2, 3
"""Messages that belong to no subsystem."""


# --- attributes ----------------------------------------------------------------------------------


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


def _nest(kind: int, *inner: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(inner))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attribute number -> value; the last one of each."""
    return dict(_each(data, offset))


def _each(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


# --- messages ------------------------------------------------------------------------------------


def _message(kind: int, family: int, flags: int, *body: bytes) -> bytes:
    data = _GENERIC.pack(family, 0, 0) + b"".join(body)
    return _HEADER.pack(_HEADER.size + len(data), kind, REQUEST | flags, 0, 0) + data


def begin() -> bytes:
    """First message of a transaction."""
    data = _GENERIC.pack(0, 0, _SUBSYSTEM >> 8)
    return _HEADER.pack(_HEADER.size + len(data), _BATCH_BEGIN, REQUEST, 0, 0) + data


def end() -> bytes:
    """Last message of a transaction."""
    data = _GENERIC.pack(0, 0, _SUBSYSTEM >> 8)
    return _HEADER.pack(_HEADER.size + len(data), _BATCH_END, REQUEST, 0, 0) + data


def acknowledged(message: bytes) -> bytes:
    """The same message, to be answered when it has succeeded, too."""
    length, kind, flags, sequence, port = _HEADER.unpack_from(message)
    return _HEADER.pack(length, kind, flags | ACK, sequence, port) + message[_HEADER.size :]


def numbered(messages: Iterable[bytes], first: int) -> bytes:
    """One datagram; message ``i`` has the sequence number ``first + i``."""
    found = bytearray()
    for number, message in enumerate(messages, first):
        at = len(found)
        found += message
        struct.pack_into("=I", found, at + 8, number & 0xFFFFFFFF)
    return bytes(found)


def new_table(family: int, name: str, comment: str = "") -> bytes:
    """NFT_MSG_NEWTABLE; fine when it is there already. ``comment`` as nft(8) shows it, kernel 5.10 and later
    keep it."""
    body = [_text(1, name)]
    if comment:
        body.append(_attribute(6, _comment(comment)))
    return _message(NEWTABLE, family, _CREATE, *body)


def delete_table(family: int, name: str) -> bytes:
    """NFT_MSG_DELTABLE, with everything in it; ENOENT when there is none."""
    return _message(DELTABLE, family, 0, _text(1, name))


def get_tables() -> bytes:
    """NFT_MSG_GETTABLE of all tables; answered by NEWTABLE messages and DONE."""
    return _message(GETTABLE, 0, DUMP)


def new_chain(family: int, table: str, name: str, *, hook: int, priority: int) -> bytes:
    """A filter chain at a hook, policy accept."""
    at = _nest(4, _number(1, hook), _number(2, priority))
    return _message(
        NEWCHAIN, family, _CREATE, _text(1, table), _text(3, name), at, _number(5, ACCEPT), _text(7, "filter")
    )


def new_set(family: int, table: str, name: str, *, number: int, key: tuple[str, ...]) -> bytes:
    """A set whose key is made of ``key`` (see nft(8), ``type``); ``number`` is unique in the transaction."""
    kind = octets = 0
    for part in key:
        kind = kind << 6 | _SET_KINDS[part][0]
        octets += _SET_KINDS[part][1]
    body = [_text(1, table), _text(2, name), _number(3, 0), _number(4, kind), _number(5, octets)]
    return _message(NEWSET, family, _CREATE, *body, _number(10, number))


def new_rule(family: int, table: str, chain: str, *expressions: bytes) -> bytes:
    """A rule behind those that the chain has."""
    listed = _nest(4, *(_nest(1, expression) for expression in expressions))
    return _message(NEWRULE, family, _CREATE | _APPEND, _text(1, table), _text(2, chain), listed)


def _elements(kind: int, flags: int, family: int, table: str, name: str, keys: Iterable[bytes]) -> bytes:
    listed = _nest(3, *(_nest(1, _nest(1, _attribute(1, key))) for key in keys))
    return _message(kind, family, flags, _text(1, table), _text(2, name), listed)


ELEMENTS_MAX: Final = 1024
"""Keys in one message; an attribute holds less than 64 KiB."""


def add_elements(family: int, table: str, name: str, keys: Iterable[bytes]) -> bytes:
    """At most ``ELEMENTS_MAX`` keys; fine when one is there already."""
    return _elements(NEWSETELEM, _CREATE, family, table, name, keys)


def delete_elements(family: int, table: str, name: str, keys: Iterable[bytes]) -> bytes:
    """At most ``ELEMENTS_MAX`` keys; ENOENT when one is not there."""
    return _elements(DELSETELEM, 0, family, table, name, keys)


def get_elements(family: int, table: str, name: str) -> bytes:
    """Answered by NEWSETELEM messages and DONE."""
    return _message(GETSETELEM, family, DUMP, _text(1, table), _text(2, name))


def get_rules(family: int, table: str) -> bytes:
    """Answered by NEWRULE messages, also of other tables where the kernel is old, and DONE."""
    return _message(GETRULE, family, DUMP, _text(1, table))


def get_generation() -> bytes:
    """Answered by a NEWGEN message."""
    return _message(GETGEN, 0, 0)


# --- expressions ---------------------------------------------------------------------------------


def _expression(name: str, *body: bytes) -> bytes:
    return _text(1, name) + _nest(2, *body)


def network_header(offset: int, octets: int) -> bytes:
    """Octets of the IP header into register 1."""
    return _payload(_NETWORK, offset, octets)


def transport_header(offset: int, octets: int) -> bytes:
    """Octets behind the IP header into register 1."""
    return _payload(_TRANSPORT, offset, octets)


def _payload(base: int, offset: int, octets: int) -> bytes:
    body = (_number(1, REGISTER_1), _number(2, base), _number(3, offset), _number(4, octets))
    return _expression("payload", *body)


def meta(key: int, register: int = REGISTER_1) -> bytes:
    """A fact about the packet (``META_...``) into a register."""
    return _expression("meta", _number(1, register), _number(2, key))


def equals(value: bytes) -> bytes:
    """Go on if register 1 holds ``value``."""
    return _expression("cmp", _number(1, REGISTER_1), _number(2, 0), _nest(3, _attribute(1, value)))


def is_in(set_name: str, number: int) -> bytes:
    """Go on if what begins at register 1 is a key of a set, which was made in the same transaction."""
    return _expression("lookup", _text(1, set_name), _number(2, REGISTER_1), _number(4, number))


def counter() -> bytes:
    return _expression("counter")


def verdict(code: int) -> bytes:
    """``DROP`` or ``ACCEPT``."""
    data = _nest(2, _nest(2, _number(1, code)))
    return _expression("immediate", _number(1, _VERDICT_REGISTER), data)


# --- decoding --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table as the kernel has it."""

    family: int
    name: str
    comment: str
    """As nft(8) shows it; empty: none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A message of the kernel. ``error``: errno of an ERROR message, 0 for an acknowledgement."""

    kind: int
    sequence: int
    error: int
    body: bytes
    """What stands behind the headers; of an ERROR message nothing."""
    family: int = 0


def answers(data: bytes) -> Iterator[Answer]:
    """The messages of a datagram; what is cut off at its end is left out."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        body = data[offset + _HEADER.size : offset + length]
        if kind in (ERROR, DONE):
            error = -int(struct.unpack_from("=i", body)[0]) if len(body) >= 4 else 0
            yield Answer(kind, sequence, error, b"")
        elif len(body) >= _GENERIC.size:
            yield Answer(kind, sequence, 0, body[_GENERIC.size :], body[0])
        offset += (length + 3) & ~3


def table_of(answer: Answer) -> Table:
    """Of a NEWTABLE message."""
    found = attributes(answer.body)
    return Table(
        family=answer.family, name=_string(found.get(1, b"")), comment=_comment_of(found.get(6, b""))
    )


def table_of_rule(answer: Answer) -> str:
    """Of a NEWRULE message: in which table it is."""
    return _string(attributes(answer.body).get(1, b""))


def keys_of(answer: Answer) -> list[bytes]:
    """Of a NEWSETELEM message."""
    found: list[bytes] = []
    for kind, element in _each(attributes(answer.body).get(3, b""), 0):
        if kind == 1:
            key = attributes(attributes(element).get(1, b"")).get(1)
            if key is not None:
                found.append(key)
    return found


def generation_of(answer: Answer) -> int:
    """Of a NEWGEN message: grows with each transaction of anybody in this network namespace."""
    value = attributes(answer.body).get(1, b"")
    return int(struct.unpack("!I", value)[0]) if len(value) == 4 else -1


def _string(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def _comment(text: str) -> bytes:
    """User data as nft(8) writes it: type 0, length, text with its end."""
    data = text.encode()[:127] + b"\0"
    return bytes((0, len(data))) + data


def _comment_of(data: bytes) -> str:
    at = 0
    while at + 2 <= len(data):
        kind, length = data[at], data[at + 1]
        if kind == 0:
            return _string(data[at + 2 : at + 2 + length])
        at += 2 + length
    return ""
