"""static_ipaddress, static_routes, static_rules -> model, and the numbers of rules that have none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keepalived_conf.builders.entries import placed
from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.grammar.routing import STATIC_IPADDRESS, STATIC_ROUTES, STATIC_RULES
from keepalived_conf.model import (
    GlobalDefs,
    Place,
    Route,
    Rule,
    StaticAddress,
    VrrpInstance,
)
from keepalived_conf.syntax.iproute import Names
from keepalived_conf.syntax.parser import Node, Statement

FIRST_PREFERENCE = 16384
"""Of a rule that names none; the next one of its family gets one less."""

NamesOf = Callable[[str, str | None, str | None], Mapping[str, int]]
"""(file of iproute2, iproute_etc_dir, iproute_usr_dir) -> the names in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    static_addresses: tuple[StaticAddress, ...] = ()
    static_routes: tuple[Route, ...] = ()
    static_rules: tuple[Rule, ...] = ()


def names_of_host(nodes: Iterable[Node], read: NamesOf | None) -> Names:
    """Names of iproute2 as this configuration sees them.

    Lines that use names may stand above the global_defs that say where the names are, so that those are
    looked for first.
    """
    if read is None:
        return Names()
    folders: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, Statement) and node.name == "global_defs":
            for line in node.statements():
                if line.name in ("iproute_etc_dir", "iproute_usr_dir") and len(line.words) > 1:
                    folders[line.name] = line.words[1].text
    return Names(lambda name: read(name, folders.get("iproute_etc_dir"), folders.get("iproute_usr_dir")))


def build_routing(reader: Reader, root: Read, globals_: GlobalDefs) -> Routing:
    """From the blocks of the top level, in file order. Rules are not numbered yet."""
    groups = _groups_above(root)
    addresses = [
        one if one.dev else dataclasses.replace(one, dev=globals_.default_interface)
        for one in placed(root, "static_ipaddress", STATIC_IPADDRESS, StaticAddress)
    ]
    return Routing(
        static_addresses=tuple(_grouped(reader, groups, one) for one in addresses),
        static_routes=tuple(
            _grouped(reader, groups, one) for one in placed(root, "static_routes", STATIC_ROUTES, Route)
        ),
        static_rules=tuple(
            _grouped(reader, groups, one) for one in placed(root, "static_rules", STATIC_RULES, Rule)
        ),
    )


# --- groups -------------------------------------------------------------------------------------------


def _groups_above(root: Read) -> dict[Place, set[str]]:
    """Place of each static line -> the track_groups that are defined above it."""
    known: set[str] = set()
    above: dict[Place, set[str]] = {}
    for keyword, statement in root.blocks:
        if keyword.name == "track_group" and len(statement.words) > 1:
            known = known | {statement.words[1].text}
        elif keyword.name in ("static_ipaddress", "static_routes", "static_rules"):
            above.update((line.place, known) for line in statement.statements() if line.words)
    return above


def _grouped(reader: Reader, groups: dict[Place, set[str]], one: Any) -> Any:
    """The entry, without its track_group where there is none of that name above it."""
    name = one.track_group
    if name is None or name in groups[one.places[""]]:
        return one
    reader.diagnostics.error(
        one.places["track_group"],
        "unknown-track-group",
        f"track_group {name} is not defined above; it is ignored",
        hint="define it with its instances further up in the file",
        width=len("track_group"),
    )
    return dataclasses.replace(one, track_group=None)


# --- numbers of rules ---------------------------------------------------------------------------------


def number_rules(
    reader: Reader, root: Read, static: tuple[Rule, ...], instances: Iterable[VrrpInstance]
) -> tuple[tuple[Rule, ...], tuple[VrrpInstance, ...]]:
    """Rules without preference are numbered down from FIRST_PREFERENCE, per family, in file order."""
    instances = tuple(instances)
    rules = [*static, *(rule for one in instances for rule in one.virtual_rules)]
    order = {place: number for number, place in enumerate(_places_of_rules(root))}
    pending = [rule for rule in rules if rule.preference is None]
    pending.sort(key=lambda rule: order.get(rule.places[""], len(order)))
    following = {4: FIRST_PREFERENCE, 6: FIRST_PREFERENCE}
    numbered: dict[int, Rule] = {}
    for rule in pending:
        number = following[rule.family]
        following[rule.family] -= 1
        numbered[id(rule)] = dataclasses.replace(rule, preference=number)
        reader.diagnostics.error(
            rule.places[""],
            "no-preference",
            f"the rule has no preference; {number} is taken",
            hint="write preference and a number, so that the order does not hang on other lines",
        )
    if not pending:
        return static, instances
    return tuple(numbered.get(id(rule), rule) for rule in static), tuple(
        dataclasses.replace(
            one, virtual_rules=tuple(numbered.get(id(rule), rule) for rule in one.virtual_rules)
        )
        for one in instances
    )


def _places_of_rules(root: Read) -> Iterator[Place]:
    for keyword, statement in root.blocks:
        blocks = [statement] if keyword.name == "static_rules" else []
        if keyword.name == "vrrp_instance":
            blocks = [inner for inner in statement.statements() if inner.name == "virtual_rules"]
        for block in blocks:
            yield from (line.place for line in block.statements() if line.words)
