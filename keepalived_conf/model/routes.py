"""Static addresses, and routes and rules: static ones and those of a virtual router."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.base import Places


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticAddress:
    """One line of static_ipaddress."""

    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One line of static_routes or virtual_routes."""

    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One line of static_rules or virtual_rules."""

    places: Places = field(default_factory=dict, compare=False, repr=False)
