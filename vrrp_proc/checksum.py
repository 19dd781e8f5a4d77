"""The Internet checksum (RFC 1071) and the pseudo headers VRRP uses with it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

VRRP_PROTOCOL = 112


def ones_complement_sum(data: bytes) -> int:
    """16-bit ones' complement sum of big-endian words, odd lengths padded with a zero octet.

    A number is congruent to the sum of its 16-bit digits modulo 0xFFFF, so one big division does
    what a loop over words would. A non-zero multiple is 0xFFFF in this arithmetic, not 0."""
    if len(data) & 1:
        data += b"\0"
    value = int.from_bytes(data, "big")
    total = value % 0xFFFF
    return 0xFFFF if total == 0 and value else total


def checksum(data: bytes) -> int:
    """The checksum of ``data`` whose checksum field is zero."""
    return ~ones_complement_sum(data) & 0xFFFF


def is_correct(data: bytes) -> bool:
    """True when ``data``, checksum field included, sums to all ones."""
    return ones_complement_sum(data) == 0xFFFF


def pseudo_header4(source: IPv4Address, destination: IPv4Address, length_bytes: int) -> bytes:
    """12 octets; the deployed reading of RFC 5798 section 5.2.8 for IPv4."""
    return source.packed + destination.packed + bytes((0, VRRP_PROTOCOL)) + length_bytes.to_bytes(2, "big")


def pseudo_header6(source: IPv6Address, destination: IPv6Address, length_bytes: int) -> bytes:
    """40 octets; RFC 8200 section 8.1."""
    return (
        source.packed + destination.packed + length_bytes.to_bytes(4, "big") + bytes((0, 0, 0, VRRP_PROTOCOL))
    )
