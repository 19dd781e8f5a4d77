"""VRRP messages: bytes to adverts and back, and the one judge of what is received.

``encode`` builds the payload of an advert, ``accept`` decides about a received one. Versions 2
(RFC 3768, no authentication or simple password) and 3 (RFC 9568), IPv4 and IPv6.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from keepalived_conf.model import Family, IpAddress, VrrpInstance
from vrrp_proc import checksum
from vrrp_proc.checksum import VRRP_PROTOCOL, pseudo_header4, pseudo_header6

ADVERTISEMENT = 1
TTL = 255
HEADER_BYTES = 8
AUTH_BYTES = 8
HMAC_TRAILER_BYTES = 28
AH_PROTOCOL = 51
_ADDRESS_BYTES: dict[int, int] = {4: 4, 6: 16}


class Reason(StrEnum):
    """Why a packet was refused. The value is the name of the counter it bumps (``counters``)."""

    PACKET_LENGTH = "packet_length_errors"
    VERSION = "version_errors"
    TYPE = "invalid_type_received"
    VRID = "vrid_errors"
    COUNT_ZERO = "count_zero_errors"
    CHECKSUM = "checksum_errors"
    AUTH_TYPE = "invalid_auth_type"
    AUTH_MISMATCH = "auth_type_mismatch"
    AUTH_FAILURE = "auth_failures"
    INTERVAL = "advert_interval_errors"
    INTERVAL_ZERO = "interval_zero_errors"
    TTL = "ip_ttl_errors"
    DESTINATION = "destination_errors"
    UNICAST_SOURCE = "unicast_source_errors"
    FIRST_NOT_LINK_LOCAL = "first_address_errors"


class Remark(StrEnum):
    """Something odd about an accepted advert. The value is the name of the counter it bumps."""

    INTERVAL_DIFFERS = "advert_interval_differs"
    ADDRESS_LIST_DIFFERS = "address_list_errors"
    OTHER_CHECKSUM_FORM = "other_checksum_form"


@dataclass(frozen=True, kw_only=True, slots=True)
class Datagram:
    """A received packet with what the kernel said about it."""

    payload: bytes
    """What follows the IP header."""
    source: IpAddress
    destination: IpAddress | None = None
    """None: not known; then the tests that need it are left out (IPv6: checksum by the kernel)."""
    ttl: int | None = None
    """TTL or hop limit; None: the kernel did not say, then it is refused where 255 is required."""
    protocol: int = VRRP_PROTOCOL
    checksum_verified: bool = False
    """The kernel has verified it (IPV6_CHECKSUM on the raw socket)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Advert:
    """A decoded, accepted advertisement."""

    version: int
    virtual_router_id: int
    priority: int
    """0: the master gives up; 255: address owner."""
    interval_cs: int
    addresses: tuple[IpAddress, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """A refused packet: why, and the words for the log."""

    reason: Reason
    detail: str


def datagram_from_ipv4(data: bytes) -> Datagram | Rejection:
    """Split what a raw IPv4 socket delivers: header (options honoured, RFC 791) and payload.

    The kernel has verified the header's own checksum."""
    if len(data) < 20:
        return Rejection(reason=Reason.PACKET_LENGTH, detail=f"{len(data)} octets are no IPv4 packet")
    header_bytes = (data[0] & 0x0F) * 4
    total_bytes = int.from_bytes(data[2:4], "big")
    if data[0] >> 4 != 4 or header_bytes < 20 or header_bytes > total_bytes:
        return Rejection(reason=Reason.PACKET_LENGTH, detail="malformed IPv4 header")
    if total_bytes > len(data):
        detail = f"IPv4 header says {total_bytes} octets, received {len(data)}"
        return Rejection(reason=Reason.PACKET_LENGTH, detail=detail)
    return Datagram(
        payload=data[header_bytes:total_bytes],
        source=IPv4Address(data[12:16]),
        destination=IPv4Address(data[16:20]),
        ttl=data[8],
        protocol=data[9],
    )


def peek_vrid(payload: bytes) -> int | None:
    """Virtual router id of a payload, for finding the instance; None when there is none."""
    return payload[1] if len(payload) >= 2 else None


def message_bytes(version: int, family: Family, count: int) -> int:
    """Length of an advert with so many addresses. v2 over IPv4 always ends in 8 octets of
    authentication data; v2 over IPv6 (keepalived's own invention) has none."""
    auth = AUTH_BYTES if version == 2 and family == 4 else 0
    return HEADER_BYTES + count * _ADDRESS_BYTES[family] + auth


def accept(config: VrrpInstance, datagram: Datagram) -> Advert | Rejection:
    """Judge one packet for this instance, in this order:

    1. protocol and structure: length, version, type, VRID, count, exact length;
    2. checksum (v3 IPv4: with or without pseudo header);
    3. v2 authentication;
    4. interval (0 never; v2 must equal ours);
    5. TTL 255 (multicast), multicast or unicast kind, unicast source and its TTL range;
    6. first IPv6 address link-local, if ours is: files that keepalived accepts without one must go on
       forming one virtual router (RFC 9568 5.2.9, keepalived checks it only in strict mode).

    What is only remarkable (v3 interval differs, address list differs) is a remark on the advert.

    RFC 9568 section 7.1 with errata 8298-8301, RFC 3768 section 7.1, keepalived.conf(5) for unicast.
    """
    data = datagram.payload
    refused = _structure(config, datagram)
    if refused is not None:
        return refused
    version, count = data[0] >> 4, data[3]

    remarks: list[Remark] = []
    form = _checksum_form(config, datagram)
    if form is None:
        return _no(Reason.CHECKSUM, f"checksum 0x{int.from_bytes(data[6:8], 'big'):04x} is wrong")
    if form != config.v3_checksum_as_v2 and version == 3 and config.family == 4:
        remarks.append(Remark.OTHER_CHECKSUM_FORM)

    if version == 2:
        refused = _authenticate(config, data)
        if refused is not None:
            return refused
        interval_cs = data[5] * 100
    else:
        interval_cs = int.from_bytes(data[4:6], "big") & 0x0FFF
    if interval_cs == 0:
        return _no(Reason.INTERVAL_ZERO, "advertisement interval 0")
    if interval_cs != config.advert_int_cs:
        if version == 2:
            detail = f"advert_int {interval_cs / 100:g} s, configured is {config.advert_int_cs / 100:g} s"
            return _no(Reason.INTERVAL, detail)
        remarks.append(Remark.INTERVAL_DIFFERS)

    refused = _envelope(config, datagram)
    if refused is not None:
        return refused
    addresses = _addresses(data, config.family, count)
    if addresses and not addresses[0].is_link_local and _begins_link_local(config):
        return _no(Reason.FIRST_NOT_LINK_LOCAL, f"first address {addresses[0]} is not link-local")
    if {a.packed for a in addresses} != {v.interface.ip.packed for v in config.virtual_addresses}:
        remarks.append(Remark.ADDRESS_LIST_DIFFERS)
    return Advert(
        version=version,
        virtual_router_id=data[1],
        priority=data[2],
        interval_cs=interval_cs,
        addresses=addresses,
        remarks=tuple(remarks),
    )


def encode(config: VrrpInstance, priority: int, source: IpAddress, destination: IpAddress) -> bytes:
    """The payload of one advert with the configured addresses in order.

    IPv6: the checksum is complete; a kernel told IPV6_CHECKSUM puts the same one in again."""
    addresses = b"".join(v.interface.ip.packed for v in config.virtual_addresses)
    octet0 = config.version << 4 | ADVERTISEMENT
    head = bytes((octet0, config.virtual_router_id, priority, len(config.virtual_addresses)))
    if config.version == 2:
        password = config.auth_pass
        auth_type = 0 if password is None else 1
        timing = bytes((auth_type, config.advert_int_cs // 100))
        trailer = (password or b"")[:AUTH_BYTES].ljust(AUTH_BYTES, b"\0") if config.family == 4 else b""
    else:
        timing = config.advert_int_cs.to_bytes(2, "big")
        trailer = b""
    message = head + timing + b"\0\0" + addresses + trailer
    prefix = b""
    if config.family == 6 or (config.version == 3 and not config.v3_checksum_as_v2):
        prefix = _pseudo_header(source, destination, len(message))
    value = checksum.checksum(prefix + message)
    return message[:6] + value.to_bytes(2, "big") + message[8:]


def _no(reason: Reason, detail: str) -> Rejection:
    return Rejection(reason=reason, detail=detail)


def _pseudo_header(source: IpAddress, destination: IpAddress, length_bytes: int) -> bytes:
    if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
        return pseudo_header4(source, destination, length_bytes)
    if isinstance(source, IPv6Address) and isinstance(destination, IPv6Address):
        return pseudo_header6(source, destination, length_bytes)
    raise ValueError(f"{source} and {destination} are of different families")


def _structure(config: VrrpInstance, datagram: Datagram) -> Rejection | None:
    """Is it one complete advert of our version, for our virtual router?"""
    data = datagram.payload
    if datagram.protocol == AH_PROTOCOL:
        return _no(Reason.AUTH_MISMATCH, "IP AH authentication is not supported, use auth_type PASS or none")
    if datagram.protocol != VRRP_PROTOCOL:
        return _no(Reason.PACKET_LENGTH, f"IP protocol {datagram.protocol} is not VRRP")
    if len(data) < HEADER_BYTES:
        return _no(Reason.PACKET_LENGTH, f"{len(data)} octets, an advert has at least {HEADER_BYTES}")
    version, kind, count = data[0] >> 4, data[0] & 0x0F, data[3]
    if version != config.version:
        return _no(Reason.VERSION, f"version {version}, configured is {config.version}")
    if kind != ADVERTISEMENT:
        return _no(Reason.TYPE, f"type {kind}, only {ADVERTISEMENT} (advertisement) is known")
    if data[1] != config.virtual_router_id:
        return _no(Reason.VRID, f"virtual_router_id {data[1]}, configured is {config.virtual_router_id}")
    if count == 0 and version == 3:
        return _no(Reason.COUNT_ZERO, "advert without addresses")
    wanted_bytes = message_bytes(version, config.family, count)
    if len(data) != wanted_bytes:
        hint = " (signed with auth_hmac?)" if len(data) == wanted_bytes + HMAC_TRAILER_BYTES else ""
        return _no(Reason.PACKET_LENGTH, f"{len(data)} octets, {count} addresses make {wanted_bytes}{hint}")
    return None


def _checksum_form(config: VrrpInstance, datagram: Datagram) -> bool | None:
    """None: wrong. Else whether it is over the message only (True) or with pseudo header (False).

    Both forms of v3 IPv4 are in use: pseudo header (RFC 5798 as deployed) and message only (RFC 9568).
    """
    data = datagram.payload
    if datagram.checksum_verified:
        return config.v3_checksum_as_v2
    if config.family == 4 and checksum.is_correct(data):
        return True
    if config.version == 2 and config.family == 4:
        return None
    if datagram.destination is None:
        return None
    prefix = _pseudo_header(datagram.source, datagram.destination, len(data))
    return False if checksum.is_correct(prefix + data) else None


def _authenticate(config: VrrpInstance, data: bytes) -> Rejection | None:
    """RFC 3768 section 7.1, RFC 2338 section 5.3.6."""
    auth_type = data[4]
    local_type = 0 if config.auth_pass is None else 1
    if auth_type not in (0, 1, 2):
        return _no(Reason.AUTH_TYPE, f"unknown authentication type {auth_type}")
    if auth_type != local_type:
        return _no(Reason.AUTH_MISMATCH, f"authentication type {auth_type}, configured is {local_type}")
    if config.auth_pass is not None and config.family == 4:
        wanted = config.auth_pass[:AUTH_BYTES].ljust(AUTH_BYTES, b"\0")
        if not hmac.compare_digest(wanted, data[-AUTH_BYTES:]):
            return _no(Reason.AUTH_FAILURE, "wrong password")
    return None


def _envelope(config: VrrpInstance, datagram: Datagram) -> Rejection | None:
    """What the IP header must be: TTL, kind of destination, source."""
    multicast = datagram.destination.is_multicast if datagram.destination is not None else None
    if not config.unicast_peers:
        if datagram.ttl != TTL:
            return _no(Reason.TTL, f"TTL {datagram.ttl}, must be {TTL}")
        if multicast is False:
            return _no(Reason.DESTINATION, f"sent to {datagram.destination}, this instance is multicast")
        return None
    if multicast is True:
        return _no(Reason.DESTINATION, f"sent to {datagram.destination}, this instance is unicast")
    source_key = datagram.source.packed
    peer = next((p for p in config.unicast_peers if p.address.packed == source_key), None)
    bounded = any(p.min_ttl is not None or p.max_ttl is not None for p in config.unicast_peers)
    if peer is None:
        if config.check_unicast_src or bounded:
            return _no(Reason.UNICAST_SOURCE, f"{datagram.source} is not in unicast_peer")
        return None
    low, high = peer.min_ttl or 0, 255 if peer.max_ttl is None else peer.max_ttl
    if (low, high) != (0, 255) and (datagram.ttl is None or not low <= datagram.ttl <= high):
        return _no(Reason.TTL, f"TTL {datagram.ttl} from {datagram.source}, allowed are {low}-{high}")
    return None


def _begins_link_local(config: VrrpInstance) -> bool:
    own = config.virtual_addresses
    return config.family == 6 and bool(own) and own[0].interface.ip.is_link_local


def _addresses(data: bytes, family: Family, count: int) -> tuple[IpAddress, ...]:
    size = _ADDRESS_BYTES[family]
    chunks = (data[HEADER_BYTES + i * size : HEADER_BYTES + (i + 1) * size] for i in range(count))
    if family == 4:
        return tuple(IPv4Address(chunk) for chunk in chunks)
    return tuple(IPv6Address(chunk) for chunk in chunks)
