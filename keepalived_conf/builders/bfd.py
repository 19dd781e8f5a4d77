"""bfd_instance -> model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.grammar.bfd import BFD_INSTANCE
from keepalived_conf.model import BfdInstance, IpAddress
from keepalived_conf.syntax import values
from keepalived_conf.syntax.parser import Statement

TTL, HOP_LIMIT = 255, 64
"""Of packets sent unless written (keepalived's; RFC 5881 section 5 wants 255 for IPv6 too)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bfd:
    bfd_instances: tuple[BfdInstance, ...] = ()


def build_bfd(reader: Reader, root: Read) -> Bfd:
    """From the blocks of the top level, in file order; what keepalived drops is left out."""
    found: dict[str, BfdInstance] = {}
    for statement in root.statements.get("bfd_instance", ()):
        one = _instance(reader, statement, found)
        if one is not None:
            found[one.name] = one
    return Bfd(bfd_instances=tuple(found.values()))


def _instance(reader: Reader, statement: Statement, others: dict[str, BfdInstance]) -> BfdInstance | None:
    if len(statement.words) < 2:
        # keepalived crashes here.
        reader.diagnostics.error(
            statement.place_of(1),
            "no-name",
            "bfd_instance has no name; the block is ignored",
            hint="write: bfd_instance NAME {",
        )
        return None
    assert BFD_INSTANCE.head is not None
    name = reader.form(statement, BFD_INSTANCE.head, 1)
    if name is None:
        return None
    if name in others:
        reader.diagnostics.error(
            statement.place_of(1),
            "duplicate-name",
            f"bfd_instance {name} is already defined at {others[name].places['']}; this block is ignored",
            hint="give it another name",
            width=len(name),
        )
        return None
    read = reader.block(statement, BFD_INSTANCE)
    neighbor: IpAddress | None = read.get("neighbor_ip")
    if neighbor is None:
        if "neighbor_ip" not in read.refused:
            _drop(
                reader,
                statement,
                f"bfd_instance {name} has no neighbor_ip",
                "add neighbor_ip",
            )
        return None
    source: IpAddress | None = read.get("source_ip")
    if source is not None and values.family_of(source) != values.family_of(neighbor):
        _drop(
            reader,
            statement,
            f"bfd_instance {name}: source_ip {source} and neighbor_ip {neighbor} are not of one family",
            "write both as IPv4 or both as IPv6",
        )
        return None
    multihop = bool(read.get("multihop", False))
    for other in others.values():
        if _same_session(other, neighbor, source, multihop):
            _drop(
                reader,
                statement,
                f"bfd_instance {name}: {neighbor} is already the neighbor_ip of {other.name}",
                "remove one of them, or give both a source_ip of their own",
            )
            return None
    given: dict[str, Any] = {"ttl": read.get("ttl", HOP_LIMIT if neighbor.version == 6 else TTL)}
    if read.get("max_hops", 0) > given["ttl"]:
        reader.diagnostics.error(
            statement.end_place,
            "clamped",
            f"bfd_instance {name}: max_hops {read.get('max_hops')} is more than the TTL of packets sent; "
            f"{given['ttl']} is taken",
            hint=f"write max_hops {given['ttl']}, or a larger ttl",
        )
        given["max_hops"] = given["ttl"]
    if read.has("vrrp") or read.has("checker"):
        given["vrrp"], given["checker"] = read.has("vrrp"), read.has("checker")
    return reader.model(read, BFD_INSTANCE, BfdInstance, name=name, **given)


def _same_session(other: BfdInstance, neighbor: IpAddress, source: IpAddress | None, multihop: bool) -> bool:
    """Whether packets could not be told apart from those of the other session."""
    if other.neighbor_ip != neighbor or other.multihop != multihop:
        return False
    return other.source_ip is None or source is None or other.source_ip == source


def _drop(reader: Reader, statement: Statement, message: str, hint: str) -> None:
    """Say why the block is left out, at its end: keepalived judges it as a whole there."""
    reader.diagnostics.error(
        statement.end_place,
        "incomplete-block",
        f"{message}; the block of line {statement.line} is ignored",
        hint=hint,
    )
