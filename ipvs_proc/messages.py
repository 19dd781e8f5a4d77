"""IPVS messages: what they consist of, and what they mean in terms of our model.

Message classes of our own on pyroute2's message layer, because its own cannot do this job: its
``update`` verbs send the delete commands, there is no netmask attribute for IPv6 and fwmark services
(the kernel answers EINVAL), an IPv6 netmask is a prefix length and not an address, daemon, timeout and
info attributes stay hex, the tunnel port is not in network order.

The classes are the definition; ``Layout`` compiles each one's ``nla_map`` once, because pyroute2's own
coding takes hundreds of microseconds a message, seconds for a table of ten thousand servers. A test
holds both codings equal, byte for byte.

Source: include/uapi/linux/ip_vs.h, net/netfilter/ipvs/ip_vs_ctl.c (attribute policies).
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pyroute2.netlink import genlmsg, nla

from ipvs_proc.model import (
    SVC_F_CONFIGURABLE,
    Destination,
    DestinationKey,
    ForwardingMethod,
    Service,
    ServiceKey,
    address_family,
)
from ipvs_proc.reconcile import (
    AddDestination,
    AddService,
    EditDestination,
    EditService,
    Operation,
    RemoveDestination,
    RemoveService,
)
from keepalived_conf.model import Family, IpAddress, Protocol

NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DEST, SET_DEST, DEL_DEST, GET_DEST = 5, 6, 7, 8
SET_CONFIG, GET_CONFIG, SET_INFO, GET_INFO, FLUSH = 12, 13, 14, 15, 17
GENL_VERSION = 1

HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""
GENL_HEADER = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_PROTOCOLS: dict[int, Protocol] = {6: "TCP", 17: "UDP", 132: "SCTP"}
_PROTOCOL_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}
_METHODS: dict[int, ForwardingMethod] = {0: "NAT", 1: "LOCAL", 2: "TUN", 3: "DR", 4: "BYPASS"}
_METHOD_NUMBERS = {name: number for number, name in _METHODS.items()}
_METHOD_MASK = 0x07
_AF: dict[Family, int] = {4: socket.AF_INET, 6: socket.AF_INET6}
_FAMILIES: dict[int, Family] = {number: family for family, number in _AF.items()}


class IpvsMessage(genlmsg):  # type: ignore[misc]  # pyroute2 has no types
    """A request or answer about services, destinations or timeouts."""

    prefix = "IPVS_CMD_ATTR_"
    nla_map = (
        ("IPVS_CMD_ATTR_UNSPEC", "none"),
        ("IPVS_CMD_ATTR_SERVICE", "service"),
        ("IPVS_CMD_ATTR_DEST", "destination"),
        ("IPVS_CMD_ATTR_DAEMON", "binary"),
        ("IPVS_CMD_ATTR_TIMEOUT_TCP", "uint32"),
        ("IPVS_CMD_ATTR_TIMEOUT_TCP_FIN", "uint32"),
        ("IPVS_CMD_ATTR_TIMEOUT_UDP", "uint32"),
    )

    class service(nla):  # type: ignore[misc]  # noqa: N801  # named as its attribute
        prefix = "IPVS_SVC_ATTR_"
        nla_map = (
            ("IPVS_SVC_ATTR_UNSPEC", "none"),
            ("IPVS_SVC_ATTR_AF", "uint16"),
            ("IPVS_SVC_ATTR_PROTOCOL", "uint16"),
            ("IPVS_SVC_ATTR_ADDR", "binary"),  # union nf_inet_addr: 16 bytes for both families
            ("IPVS_SVC_ATTR_PORT", "be16"),
            ("IPVS_SVC_ATTR_FWMARK", "uint32"),
            ("IPVS_SVC_ATTR_SCHED_NAME", "asciiz"),
            ("IPVS_SVC_ATTR_FLAGS", "binary"),  # struct ip_vs_flags: flags, mask
            ("IPVS_SVC_ATTR_TIMEOUT", "uint32"),
            ("IPVS_SVC_ATTR_NETMASK", "binary"),  # IPv4: mask in network order; IPv6: prefix length, native
            ("IPVS_SVC_ATTR_STATS", "binary"),
            ("IPVS_SVC_ATTR_PE_NAME", "asciiz"),
            ("IPVS_SVC_ATTR_STATS64", "binary"),
        )

    class destination(nla):  # type: ignore[misc]  # noqa: N801  # named as its attribute
        prefix = "IPVS_DEST_ATTR_"
        nla_map = (
            ("IPVS_DEST_ATTR_UNSPEC", "none"),
            ("IPVS_DEST_ATTR_ADDR", "binary"),
            ("IPVS_DEST_ATTR_PORT", "be16"),
            ("IPVS_DEST_ATTR_FWD_METHOD", "uint32"),
            ("IPVS_DEST_ATTR_WEIGHT", "uint32"),
            ("IPVS_DEST_ATTR_U_THRESH", "uint32"),
            ("IPVS_DEST_ATTR_L_THRESH", "uint32"),
            ("IPVS_DEST_ATTR_ACTIVE_CONNS", "uint32"),
            ("IPVS_DEST_ATTR_INACT_CONNS", "uint32"),
            ("IPVS_DEST_ATTR_PERSIST_CONNS", "uint32"),
            ("IPVS_DEST_ATTR_STATS", "binary"),
            ("IPVS_DEST_ATTR_ADDR_FAMILY", "uint16"),
            ("IPVS_DEST_ATTR_STATS64", "binary"),
            ("IPVS_DEST_ATTR_TUN_TYPE", "uint8"),
            ("IPVS_DEST_ATTR_TUN_PORT", "be16"),
            ("IPVS_DEST_ATTR_TUN_FLAGS", "uint16"),
        )


class InfoMessage(genlmsg):  # type: ignore[misc]  # pyroute2 has no types
    """The answer to IPVS_CMD_GET_INFO, whose attributes are numbered apart from all others."""

    prefix = "IPVS_INFO_ATTR_"
    nla_map = (
        ("IPVS_INFO_ATTR_UNSPEC", "none"),
        ("IPVS_INFO_ATTR_VERSION", "uint32"),
        ("IPVS_INFO_ATTR_CONN_TAB_SIZE", "uint32"),
    )


Attributes = list[list[Any]]
"""[name, value] pairs in the order they are sent; a nested value is ``{"attrs": Attributes}``."""


class Layout:
    """The ``nla_map`` of a message class, compiled."""

    def __init__(self, cls: Any) -> None:
        self._numbers: dict[str, int] = {}
        self._names: dict[int, tuple[str, str, struct.Struct | Layout | None]] = {}
        for number, (name, kind) in enumerate(cls.nla_map):
            coder: struct.Struct | Layout | None = _STRUCTS.get(kind)
            if kind not in _STRUCTS and kind not in _PLAIN:
                coder = Layout(getattr(cls, kind))
            self._numbers[name] = number
            self._names[number] = (name, kind, coder)

    def encode(self, attrs: Attributes) -> bytes:
        """Attributes as bytes, each padded to four."""
        parts: list[bytes] = []
        for name, value in attrs:
            number = self._numbers[name]
            _, kind, coder = self._names[number]
            if isinstance(coder, Layout):
                data = coder.encode(value["attrs"])
            elif coder is not None:
                data = coder.pack(value)
            else:
                data = value.encode() + b"\0" if kind == "asciiz" else value
            parts += (_ATTRIBUTE.pack(len(data) + 4, number), data, bytes(-len(data) % 4))
        return b"".join(parts)

    def decode(self, data: bytes) -> dict[str, Any]:
        """Attribute name -> value, nested ones as such a dictionary. Unknown ones are left out.

        ValueError for attributes that do not fit in their message.
        """
        found: dict[str, Any] = {}
        offset, end = 0, len(data)
        while offset + 4 <= end:
            length, number = _ATTRIBUTE.unpack_from(data, offset)
            if length < 4 or offset + length > end:
                raise ValueError(f"netlink attribute of {length} bytes at {offset} of {end}")
            known = self._names.get(number & _TYPE_MASK)
            if known is not None:
                name, kind, coder = known
                value = data[offset + 4 : offset + length]
                if isinstance(coder, Layout):
                    found[name] = coder.decode(value)
                elif coder is not None:
                    if len(value) < coder.size:
                        raise ValueError(f"netlink attribute {name} has {len(value)} bytes")
                    found[name] = coder.unpack_from(value)[0]
                else:
                    found[name] = (
                        value.split(b"\0")[0].decode("utf-8", "replace") if kind == "asciiz" else value
                    )
            offset += (length + 3) & ~3
        return found


_STRUCTS = {
    "uint8": struct.Struct("=B"),
    "uint16": struct.Struct("=H"),
    "be16": struct.Struct("!H"),
    "uint32": struct.Struct("=I"),
}
_PLAIN = frozenset(("none", "binary", "asciiz"))
MESSAGE, INFO = Layout(IpvsMessage), Layout(InfoMessage)


def encode(family_id: int, command: int, flags: int, sequence: int, attrs: Attributes) -> bytes:
    """One request as bytes."""
    body = GENL_HEADER.pack(command, GENL_VERSION, 0) + MESSAGE.encode(attrs)
    return HEADER.pack(HEADER.size + len(body), family_id, flags, sequence, 0) + body


def decode(data: bytes, layout: Layout = MESSAGE) -> dict[str, Any]:
    """The attributes of a whole message."""
    return layout.decode(data[HEADER.size + GENL_HEADER.size :])


def _packed(address: IpAddress) -> bytes:
    return address.packed.ljust(16, b"\0")


def _address(family: int, data: bytes) -> IpAddress:
    return IPv4Address(data[:4]) if family == socket.AF_INET else IPv6Address(data[:16])


def _netmask(family: Family, prefix_length: int) -> bytes:
    if family == 6:
        return struct.pack("=I", prefix_length)
    return struct.pack("!I", (0xFFFFFFFF << (32 - prefix_length)) & 0xFFFFFFFF)


def _prefix_length(family: Family, data: bytes) -> int:
    if family == 6:
        return int(struct.unpack("=I", data[:4])[0])
    return int.from_bytes(data[:4], "big").bit_count()


def service_attributes(key: ServiceKey, service: Service | None = None) -> Attributes:
    """Attributes that name a service, and with ``service`` also those that make it."""
    attrs: Attributes = [["IPVS_SVC_ATTR_AF", _AF[key.family]]]
    if key.fwmark is not None:
        attrs.append(["IPVS_SVC_ATTR_FWMARK", key.fwmark])
    else:
        assert key.address is not None, "a service has an address or a mark"
        assert key.protocol is not None, "a service with an address has a protocol"
        attrs += [
            ["IPVS_SVC_ATTR_PROTOCOL", _PROTOCOL_NUMBERS[key.protocol]],
            ["IPVS_SVC_ATTR_ADDR", _packed(key.address)],
            ["IPVS_SVC_ATTR_PORT", key.port],
        ]
    if service is not None:
        flags = struct.pack("=II", service.flags & SVC_F_CONFIGURABLE, SVC_F_CONFIGURABLE)
        attrs += [
            ["IPVS_SVC_ATTR_SCHED_NAME", service.scheduler],
            ["IPVS_SVC_ATTR_FLAGS", flags],
            ["IPVS_SVC_ATTR_TIMEOUT", service.timeout_s],
            ["IPVS_SVC_ATTR_NETMASK", _netmask(key.family, service.prefix_length)],
        ]
        if service.persistence_engine:
            attrs.append(["IPVS_SVC_ATTR_PE_NAME", service.persistence_engine])
    return attrs


def destination_attributes(key: DestinationKey, destination: Destination | None = None) -> Attributes:
    """Attributes that name a destination, and with ``destination`` also those that make it."""
    attrs: Attributes = [
        ["IPVS_DEST_ATTR_ADDR", _packed(key.address)],
        ["IPVS_DEST_ATTR_PORT", key.port],
        ["IPVS_DEST_ATTR_ADDR_FAMILY", _AF[address_family(key.address)]],
    ]
    if destination is not None:
        attrs += [
            ["IPVS_DEST_ATTR_FWD_METHOD", _METHOD_NUMBERS[destination.method]],
            ["IPVS_DEST_ATTR_WEIGHT", destination.weight],
            ["IPVS_DEST_ATTR_U_THRESH", destination.upper_threshold],
            ["IPVS_DEST_ATTR_L_THRESH", destination.lower_threshold],
        ]
        # The zeros mean plain IPIP, which is what kernels before 5.2 do without knowing these.
        if destination.tunnel_type or destination.tunnel_port or destination.tunnel_flags:
            attrs += [
                ["IPVS_DEST_ATTR_TUN_TYPE", destination.tunnel_type],
                ["IPVS_DEST_ATTR_TUN_PORT", destination.tunnel_port],
                ["IPVS_DEST_ATTR_TUN_FLAGS", destination.tunnel_flags],
            ]
    return attrs


def decode_service(message: dict[str, Any]) -> Service | None:
    """A service out of a dump; None for one of a kind that this project cannot name.

    KeyError when an attribute is missing that every kernel sends.
    """
    attrs: dict[str, Any] = message["IPVS_CMD_ATTR_SERVICE"]
    family = _FAMILIES.get(attrs["IPVS_SVC_ATTR_AF"])
    if family is None:
        return None
    fwmark = attrs.get("IPVS_SVC_ATTR_FWMARK")
    if fwmark:
        key = ServiceKey(family=family, fwmark=fwmark)
    else:
        protocol = _PROTOCOLS.get(attrs["IPVS_SVC_ATTR_PROTOCOL"])
        if protocol is None:
            return None
        key = ServiceKey(
            family=family,
            protocol=protocol,
            address=_address(_AF[family], attrs["IPVS_SVC_ATTR_ADDR"]),
            port=attrs["IPVS_SVC_ATTR_PORT"],
        )
    flags, _ = struct.unpack("=II", attrs["IPVS_SVC_ATTR_FLAGS"][:8])
    return Service(
        key=key,
        scheduler=attrs.get("IPVS_SVC_ATTR_SCHED_NAME", ""),
        flags=flags & SVC_F_CONFIGURABLE,
        timeout_s=attrs["IPVS_SVC_ATTR_TIMEOUT"],
        prefix_length=_prefix_length(family, attrs["IPVS_SVC_ATTR_NETMASK"]),
        persistence_engine=attrs.get("IPVS_SVC_ATTR_PE_NAME", ""),
    )


def decode_destination(message: dict[str, Any], service_family: Family) -> Destination:
    """A destination out of a dump. Kernels before 3.18 do not say its family: it is the service's.

    KeyError when an attribute is missing that every kernel sends.
    """
    attrs: dict[str, Any] = message["IPVS_CMD_ATTR_DEST"]
    family = attrs.get("IPVS_DEST_ATTR_ADDR_FAMILY") or _AF[service_family]
    return Destination(
        key=DestinationKey(
            address=_address(family, attrs["IPVS_DEST_ATTR_ADDR"]), port=attrs["IPVS_DEST_ATTR_PORT"]
        ),
        method=_METHODS.get(attrs["IPVS_DEST_ATTR_FWD_METHOD"] & _METHOD_MASK, "NAT"),
        weight=attrs["IPVS_DEST_ATTR_WEIGHT"],
        upper_threshold=attrs["IPVS_DEST_ATTR_U_THRESH"],
        lower_threshold=attrs["IPVS_DEST_ATTR_L_THRESH"],
        tunnel_type=attrs.get("IPVS_DEST_ATTR_TUN_TYPE", 0),
        tunnel_port=attrs.get("IPVS_DEST_ATTR_TUN_PORT", 0),
        tunnel_flags=attrs.get("IPVS_DEST_ATTR_TUN_FLAGS", 0),
        active_connections=attrs.get("IPVS_DEST_ATTR_ACTIVE_CONNS", 0),
        inactive_connections=attrs.get("IPVS_DEST_ATTR_INACT_CONNS", 0),
        persistent_connections=attrs.get("IPVS_DEST_ATTR_PERSIST_CONNS", 0),
    )


def request_for(operation: Operation) -> tuple[int, Attributes]:
    """The command and attributes that perform an operation."""
    match operation:
        case AddService(service=service):
            return NEW_SERVICE, [nested_service(service.key, service)]
        case EditService(service=service):
            return SET_SERVICE, [nested_service(service.key, service)]
        case RemoveService(key=key):
            return DEL_SERVICE, [nested_service(key)]
        case AddDestination(service=key, destination=destination):
            return NEW_DEST, [nested_service(key), nested_destination(destination.key, destination)]
        case EditDestination(service=key, destination=destination):
            return SET_DEST, [nested_service(key), nested_destination(destination.key, destination)]
        case RemoveDestination(service=key, key=dest_key):
            return DEL_DEST, [nested_service(key), nested_destination(dest_key)]


def nested_service(key: ServiceKey, service: Service | None = None) -> list[Any]:
    return ["IPVS_CMD_ATTR_SERVICE", {"attrs": service_attributes(key, service)}]


def nested_destination(key: DestinationKey, destination: Destination | None = None) -> list[Any]:
    return ["IPVS_CMD_ATTR_DEST", {"attrs": destination_attributes(key, destination)}]
