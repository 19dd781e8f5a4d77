"""Grammar tables of addresses, routes and rules: static ones, and those of a virtual router."""

from __future__ import annotations

import dataclasses

from keepalived_conf.grammar.address_forms import STATIC_ADDRESS, VIRTUAL_ADDRESS
from keepalived_conf.grammar.address_rows import address_rows
from keepalived_conf.grammar.route_forms import RouteForm
from keepalived_conf.grammar.route_rows import route_rows
from keepalived_conf.grammar.rule_forms import RuleForm
from keepalived_conf.grammar.rule_rows import rule_rows
from keepalived_conf.grammar.schema import Block, Effect, Keyword, block_of, opens
from keepalived_conf.model import Route, Rule, StaticAddress, VirtualAddress

VIRTUAL_ROUTE = RouteForm()
STATIC_ROUTE = RouteForm(static=True)
VIRTUAL_RULE = RuleForm()
STATIC_RULE = RuleForm(static=True)

VIRTUAL_IPADDRESS = block_of(
    "vrrp_instance.virtual_ipaddress",
    address_rows(static=False),
    model=VirtualAddress,
    entry=VIRTUAL_ADDRESS,
)
VIRTUAL_IPADDRESS_EXCLUDED = block_of(
    "vrrp_instance.virtual_ipaddress_excluded",
    address_rows(static=False),
    model=VirtualAddress,
    entry=VIRTUAL_ADDRESS,
)
VIRTUAL_ROUTES = block_of(
    "vrrp_instance.virtual_routes",
    route_rows("vrrp_instance.virtual_routes", static=False),
    model=Route,
    entry=VIRTUAL_ROUTE,
)
VIRTUAL_RULES = block_of(
    "vrrp_instance.virtual_rules", rule_rows(static=False), model=Rule, entry=VIRTUAL_RULE
)
STATIC_IPADDRESS = block_of(
    "static_ipaddress", address_rows(static=True), model=StaticAddress, entry=STATIC_ADDRESS
)
STATIC_ROUTES = block_of(
    "static_routes", route_rows("static_routes", static=True), model=Route, entry=STATIC_ROUTE
)
STATIC_RULES = block_of("static_rules", rule_rows(static=True), model=Rule, entry=STATIC_RULE)


def _later(name: str, block: Block, help_: str, *, reason: str, since: str = "", field: str = "") -> Keyword:
    row = opens(name, block, help_, worker="vrrp")
    return dataclasses.replace(row, effect=Effect.PARSED, reason=reason, since=since, field=field)


INSTANCE_ROWS = (
    dataclasses.replace(
        opens(
            "virtual_ipaddress",
            VIRTUAL_IPADDRESS,
            "Addresses that are advertised and held by the master",
            worker="vrrp",
        ),
        field="virtual_addresses",
    ),
    dataclasses.replace(
        opens(
            "virtual_ipaddress_excluded",
            VIRTUAL_IPADDRESS_EXCLUDED,
            "Addresses held by the master but not advertised",
            worker="vrrp",
        ),
        field="virtual_addresses_excluded",
        since="0.5.9",
    ),
    _later(
        "virtual_routes",
        VIRTUAL_ROUTES,
        "Routes that the master installs",
        reason="the master does not install these routes",
        since="1.0.1",
    ),
    _later(
        "virtual_rules",
        VIRTUAL_RULES,
        "Routing rules that the master installs",
        reason="the master does not install these rules",
    ),
)
"""Rows of vrrp_instance that open the blocks of this module."""

ROOT_ROWS: tuple[Keyword, ...] = (
    _later(
        "static_ipaddress",
        STATIC_IPADDRESS,
        "Addresses that are there whatever the state of the instances",
        reason="these addresses are not put on",
        since="1.1.0",
        field="static_addresses",
    ),
    _later(
        "static_routes",
        STATIC_ROUTES,
        "Routes that are there whatever the state of the instances",
        reason="these routes are not installed",
        since="1.0.1",
    ),
    _later(
        "static_rules",
        STATIC_RULES,
        "Routing rules that are there whatever the state of the instances",
        reason="these rules are not installed",
    ),
)
"""Rows of the top level that open the blocks of this module."""
