"""static_ipaddress, static_routes, static_rules -> model."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.model import Route, Rule, StaticAddress


@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    static_addresses: tuple[StaticAddress, ...] = ()
    static_routes: tuple[Route, ...] = ()
    static_rules: tuple[Rule, ...] = ()


def build_routing(reader: Reader, root: Read) -> Routing:  # noqa: ARG001
    """From the blocks of the top level, in file order."""
    return Routing()
