"""Random configurations made from the types of the model alone, and random changes to them.

They need not mean anything: what compares, shows or encodes models must take every one of them.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from random import Random
from typing import Any

from keepalived_conf.model import Config

SECRET = "S3cr3t"
"""In every generated text or bytes that the model keeps out of its repr."""

_VALUES: dict[Any, Callable[[Random], Any]] = {
    int: lambda rng: rng.randrange(5),
    float: lambda rng: rng.randrange(8) / 4,
    bool: lambda rng: rng.random() < 0.5,
    str: lambda rng: rng.choice("abcd"),
    bytes: lambda rng: rng.choice((b"x", b"yz")),
    IPv4Address: lambda rng: IPv4Address(0x0A000000 + rng.randrange(4)),
    IPv6Address: lambda rng: IPv6Address(0xFD << 120 | rng.randrange(4)),
    IPv4Interface: lambda rng: IPv4Interface((0x0A000000 + rng.randrange(4), rng.choice((24, 32)))),
    IPv6Interface: lambda rng: IPv6Interface((0xFD << 120 | rng.randrange(4), rng.choice((64, 128)))),
    type(None): lambda _rng: None,
}


_hints: dict[Any, dict[str, Any]] = {}


def hints_of(model: Any) -> dict[str, Any]:
    if model not in _hints:
        _hints[model] = typing.get_type_hints(model)
    return _hints[model]


def value(hint: Any, rng: Random, depth: int = 0) -> Any:
    """A random value of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _VALUES:
        return _VALUES[hint](rng)
    if origin is typing.Literal:
        return rng.choice(arguments)
    if origin in (types.UnionType, typing.Union):
        return value(rng.choice(arguments), rng, depth)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(value(arguments[0], rng, depth + 1) for _ in range(rng.randrange(4 - min(depth, 2))))
        return tuple(value(one, rng, depth + 1) for one in arguments)
    if dataclasses.is_dataclass(hint):
        return thing(hint, rng, depth + 1)
    raise TypeError(f"the model has a kind of value that this module cannot make up: {hint}")


def thing(model: Any, rng: Random, depth: int = 0) -> Any:
    """A random object of a class of the model."""
    hints = hints_of(model)
    given = {}
    for one in dataclasses.fields(model):
        if one.name == "places":
            continue
        needed = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if needed or rng.random() < 0.25:
            given[one.name] = _secret(one, value(hints[one.name], rng, depth))
    return model(**given)


def _secret(one: dataclasses.Field[Any], found: Any) -> Any:
    if one.repr or not isinstance(found, str | bytes):
        return found
    return f"{SECRET}{found}" if isinstance(found, str) else SECRET.encode() + found


def config(rng: Random) -> Config:
    made: Config = thing(Config, rng)
    routers = tuple(
        dataclasses.replace(one, name=f"VI_{number}") for number, one in enumerate(made.vrrp_instances)
    )
    return dataclasses.replace(made, vrrp_instances=routers)


def mutated(config_: Config, rng: Random) -> Config:
    """One to four random changes: a value, a member more or less, members in another order."""
    for _ in range(rng.randrange(1, 5)):
        config_ = _mutate(config_, rng)
    return config_


def _mutate(owner: Any, rng: Random) -> Any:
    """The object with one change somewhere below it."""
    hints = hints_of(type(owner))
    names = [one.name for one in dataclasses.fields(owner) if one.name != "places"]
    name = rng.choice(names)
    field = next(one for one in dataclasses.fields(owner) if one.name == name)
    old = getattr(owner, name)
    if isinstance(old, tuple) and old and rng.random() < 0.7:
        at = rng.randrange(len(old))
        what = rng.randrange(4)
        if what == 0:
            new = old[:at] + old[at + 1 :]
        elif what == 1:
            new = tuple(rng.sample(old, len(old)))
        elif dataclasses.is_dataclass(old[at]):
            new = (*old[:at], _mutate(old[at], rng), *old[at + 1 :])
        else:
            new = value(hints[name], rng, 1)
    elif dataclasses.is_dataclass(old) and rng.random() < 0.8:
        new = _mutate(old, rng)
    else:
        new = _secret(field, value(hints[name], rng, 1))
    return dataclasses.replace(owner, **{name: new})
