"""Which object of one configuration is which of another, as keepalived matches them on a reload.

    canonical(config) -> Config       what makes no difference to anybody taken out
    identity(thing) -> Hashable       equal for the same object before and after a change

Virtual routers are matched by interface, virtual_router_id, family, and how they send (unicast with its
source, or multicast with its group and VMAC), not by name; virtual servers by address, port and protocol,
by fwmark or by group; real servers by address and port; everything else that has a name by its name.
What has no identity of its own (a route, a rule) is itself: another value is another object.
"""

from __future__ import annotations

import dataclasses
import typing
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from keepalived_conf.model import (
    Check,
    Config,
    HttpUrl,
    LvsSyncDaemon,
    OtherChecks,
    RealServer,
    StaticAddress,
    VirtualAddress,
    VirtualServer,
    VrrpInstance,
)
from keepalived_conf.model.checks import BfdCheck, FileCheck, MiscCheck, NetworkCheck

ORDERED = frozenset({"urls"})
"""Fields whose order means something: URLs are asked one after the other. The order of everything else
means nothing to a running daemon: virtual routers and servers are independent of each other, peers compare
the addresses of an advert as a set, routes and addresses are there or are not, rules have their number."""

WORDS = frozenset({"command", "process", "vrrp_ipsets"})
"""Tuples that are one value: the words of a command line, names that are told apart by their position."""

FOLLOWS: dict[tuple[type[Any], str], Any] = {
    (Check, "check_id"): "",
    (Check, "virtual_server"): "",
    (Check, "real_server"): "",
    (VirtualServer, "group_member"): 0,
}
"""Fields that only repeat where an object stands or what is in it: not compared, and this in a canonical
configuration."""

EMPTY: dict[tuple[type[Any], str], Any] = {(RealServer, "other_checks"): OtherChecks()}
"""Fields where None means the same as an empty container."""

MEMBERS = frozenset({"members"})
"""Fields that hold names of virtual routers."""


def _network_check(one: Any) -> Hashable:
    return one.kind, str(one.connect_ip), one.connect_port


def _service(one: VirtualServer) -> Hashable:
    return one.key if one.group is None else (f"[{one.group}]", one.protocol, one.family)


def _address(one: VirtualAddress | StaticAddress) -> Hashable:
    return str(one.interface.ip), one.dev


_IDENTITY: dict[type[Any], Callable[[Any], Hashable]] = {
    Check: _network_check,
    **dict.fromkeys(NetworkCheck.__subclasses__(), _network_check),
    MiscCheck: lambda one: (one.kind, *one.misc_path.command),
    BfdCheck: lambda one: (one.kind, one.name),
    FileCheck: lambda one: (one.kind, one.track_file),
    HttpUrl: lambda one: one.path,
    VirtualServer: _service,
    RealServer: lambda one: one.key,
    VirtualAddress: _address,
    StaticAddress: _address,
}
_NAMES = ("name", "number", "address")
"""Fields that are an identity where there is no rule above, the first that a model has."""


def identity(thing: Any) -> Hashable:
    """What makes a member of a tuple the same one before and after; of a virtual router: its name, which
    ``canonical`` has made from what matters."""
    rule = _IDENTITY.get(type(thing))
    if rule is not None:
        return rule(thing)
    if dataclasses.is_dataclass(thing):
        for name in _NAMES:
            found = getattr(thing, name, None)
            if found is not None:
                return str(found)
    return thing  # type: ignore[no-any-return]  # models are frozen: hashable


def keyed(things: Iterable[Any]) -> dict[Hashable, Any]:
    """Members by identity, in their order; a second one of the same identity counts as another."""
    seen: Counter[Hashable] = Counter()
    found: dict[Hashable, Any] = {}
    for thing in things:
        key = identity(thing)
        seen[key] += 1
        found[(key, seen[key])] = thing
    return found


_compared: dict[type[Any], tuple[str, ...]] = {}
"""Models do not change: what ``compared`` found out about each."""


def compared(model: type[Any]) -> tuple[str, ...]:
    """Fields of a model that take part in a comparison, in order."""
    found = _compared.get(model)
    if found is None:
        found = _compared[model] = tuple(
            one.name for one in dataclasses.fields(model) if one.compare and (model, one.name) not in FOLLOWS
        )
    return found


_many: dict[type[Any], frozenset[str]] = {}


def many(model: type[Any]) -> frozenset[str]:
    """Fields of a model that hold any number of members, in contrast to a pair, and to a list of words."""
    found = _many.get(model)
    if found is None:
        hints = typing.get_type_hints(model)
        found = _many[model] = frozenset(
            name for name in compared(model) if name not in WORDS and _any_number(hints[name])
        )
    return found


_deep: dict[type[Any], tuple[str, ...]] = {}


def deep(model: type[Any]) -> tuple[str, ...]:
    """Fields of a model with something inside: the only ones that may differ in their canonical form."""
    found = _deep.get(model)
    if found is None:
        hints = typing.get_type_hints(model)
        found = _deep[model] = tuple(
            name for name in compared(model) if name in many(model) or _holds_object(hints[name])
        )
    return found


def _holds_object(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) or any(map(_holds_object, typing.get_args(hint)))


def _any_number(hint: Any) -> bool:
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[-1] is Ellipsis
    return any(map(_any_number, typing.get_args(hint)))


def secret(model: type[Any], name: str, *values: Any) -> bool:
    """Whether a field holds a secret: text or bytes that the model keeps out of its repr."""
    hidden = any(one.name == name and one.compare and not one.repr for one in dataclasses.fields(model))
    return hidden and any(isinstance(value, str | bytes) for value in values)


def is_block(thing: Any) -> bool:
    """An object with settings of its own, in contrast to a value that is written on one line."""
    return hasattr(thing, "places") or isinstance(thing, OtherChecks)


# --- canonical form ------------------------------------------------------------------------------------


def router_identity(one: VrrpInstance) -> tuple[Hashable, ...]:
    """What keepalived matches virtual routers by on a reload."""
    family = f"inet{6 if one.family == 6 else ''}"
    if one.unicast_peers:
        return one.interface, one.virtual_router_id, family, f"unicast {one.source_address or ''}".rstrip()
    vmac = getattr(one, "use_vmac", None) is not None
    return (
        one.interface,
        one.virtual_router_id,
        family,
        f"multicast {one.mcast_dst_ip or ''}".rstrip(),
        *(("vmac",) if vmac else ()),
        *(("vmac_addr",) if getattr(one, "use_vmac_addr", False) else ()),
    )


def _router_names(config: Config) -> list[str]:
    """Canonical name of each virtual router, in their order."""
    found = [router_identity(one) for one in config.vrrp_instances]
    times = Counter(found)
    return [
        "/".join(map(str, key if times[key] == 1 else (*key, one.name)))
        for one, key in zip(config.vrrp_instances, found, strict=True)
    ]


def router_names(config: Config) -> dict[str, str]:
    """Name of each virtual router -> its canonical name."""
    return dict(zip((one.name for one in config.vrrp_instances), _router_names(config), strict=True))


def canonical(config: Config) -> Config:
    """The configuration without what makes no difference: the order of what is not ordered, names of
    virtual routers (here and where they are members of something), fields that only repeat others."""
    routers = tuple(
        dataclasses.replace(one, name=name)
        for one, name in zip(config.vrrp_instances, _router_names(config), strict=True)
    )
    return in_order(dataclasses.replace(config, vrrp_instances=routers), router_names(config))


def in_order(config: Config, names: dict[str, str]) -> Config:
    """``canonical`` for what has canonical names; ``names`` are replaced where they are members."""
    made: Config = _canonical(config, names)
    return made


def _canonical(thing: Any, names: dict[str, str]) -> Any:
    """The same object where nothing is to be changed."""
    changes: dict[str, Any] = {}
    model = type(thing)
    for (owner, name), blank in FOLLOWS.items():
        if owner is model and getattr(thing, name) != blank:
            changes[name] = blank
    for name in deep(model):
        value = getattr(thing, name)
        if value is None:
            if (model, name) in EMPTY:
                changes[name] = EMPTY[model, name]
        elif isinstance(value, tuple):
            if value and name in many(model):
                new = _canonical_members(name, value, names)
                if any(one is not old for one, old in zip(new, value, strict=True)):
                    changes[name] = new
        elif is_block(value):
            one = _canonical(value, names)
            if one is not value:
                changes[name] = one
        elif isinstance(value, LvsSyncDaemon) and value.instance in names:
            changes[name] = dataclasses.replace(value, instance=names[value.instance])
    return dataclasses.replace(thing, **changes) if changes else thing


def _canonical_members(name: str, value: tuple[Any, ...], names: dict[str, str]) -> tuple[Any, ...]:
    new = tuple(_canonical(one, names) if dataclasses.is_dataclass(one) else one for one in value)
    if name in MEMBERS:
        new = tuple(names.get(one, one) for one in new)
    return tuple(sorted(new, key=_order)) if name not in ORDERED and len(new) > 1 else new


def _order(thing: Any) -> tuple[str, str]:
    return repr(identity(thing)), repr(thing) if dataclasses.is_dataclass(thing) else ""
