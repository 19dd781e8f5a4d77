"""Values of the model made from its types: a whole Config with something in every place, and changes of it.

No text is parsed here: what show leaves out cannot be left out here as well.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any, Literal, Union

from keepalived_conf.model import ReplyPattern, Route, VirtualServer

SAMPLES: dict[Any, tuple[Any, Any]] = {
    bool: (False, True),
    int: (1, 2),
    float: (1.0, 2.0),
    str: ("one", "two"),
    bytes: (b"one", b"two"),
    IPv4Address: (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
    IPv6Address: (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")),
    IPv4Interface: (IPv4Interface("192.0.2.1/24"), IPv4Interface("192.0.2.2/25")),
    IPv6Interface: (IPv6Interface("2001:db8::1/64"), IPv6Interface("2001:db8::2/65")),
}
"""Type -> two values of it that differ."""


HINTS: dict[Any, Any] = {
    (Route, "locks"): Literal[(), ("mtu",)],
    (VirtualServer, "scheduler_flags"): Literal[0, 8, 16],
    (ReplyPattern, "data"): Literal[b"ab", b"cd"],
    (ReplyPattern, "mask"): Literal[b"\0\0", b"\0\1"],
}
"""Fields whose values are narrower than their type says."""


def fields(model: Any) -> Iterator[tuple[str, Any]]:
    """(name, type) of the fields that count."""
    hints = typing.get_type_hints(model)
    for one in dataclasses.fields(model):
        if one.compare:
            yield one.name, HINTS.get((model, one.name), hints[one.name])


def _members(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        return [inner for one in typing.get_args(hint) for inner in _members(one)]
    return [hint]


def values(hint: Any) -> list[Any]:
    """At least two values of a type, the plainest first; None where it may be."""
    found: list[Any] = []
    for member in _members(hint):
        origin = typing.get_origin(member)
        if member is type(None):
            found.insert(0, None)
        elif origin is Literal:
            found.extend(typing.get_args(member))
        elif origin is tuple:
            inner = [one for one in typing.get_args(member) if one is not Ellipsis]
            if Ellipsis in typing.get_args(member):
                found += [(), *((one,) for one in values(inner[0]) if one is not None)]
            else:
                choices = [values(one) for one in inner]
                found += [tuple(one[0] for one in choices), tuple(one[1] for one in choices)]
        elif dataclasses.is_dataclass(member):
            plain = made(member)
            found += [plain, *(one for one in _changed(plain) if one != plain)][:2]
        else:
            found.extend(SAMPLES[member])
    return found


def _changed(thing: Any) -> Iterator[Any]:
    for name, hint in fields(type(thing)):
        for value in values(hint):
            yield dataclasses.replace(thing, **{name: value})


def made(model: Any, *, filled: bool = False) -> Any:
    """An object of a dataclass: its defaults, or something in every field that can be empty."""
    given: dict[str, Any] = {}
    defaults = {
        one.name
        for one in dataclasses.fields(model)
        if one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING
    }
    for name, hint in fields(model):
        if filled:
            given[name] = full(hint)
        elif name not in defaults:
            given[name] = values(hint)[0]
    return model(**given)


def full(hint: Any) -> Any:
    """A value with something in it; a tuple with a member of every kind."""
    for member in _members(hint):
        if typing.get_origin(member) is tuple and Ellipsis in typing.get_args(member):
            inner = _members(typing.get_args(member)[0])
            return tuple(kind for one in inner for kind in _kinds(full(one)))
    models = [member for member in _members(hint) if dataclasses.is_dataclass(member)]
    if models:
        return made(models[-1], filled=True)
    return next(one for one in values(hint) if one is not None)


def _kinds(thing: Any) -> list[Any]:
    """The object once for each choice of its ``kind``, if it has several."""
    for name, hint in fields(type(thing)) if dataclasses.is_dataclass(thing) else ():
        if name == "kind" and typing.get_origin(hint) is Literal:
            return [dataclasses.replace(thing, kind=choice) for choice in typing.get_args(hint)]
    return [thing]


def variants(thing: Any) -> Iterator[Any]:
    """The object itself, with each choice of its literals and flags, and empty with each of them: a field
    may count in some of them only."""
    for base in (thing, made(type(thing))):
        yield base
        for name, hint in fields(type(thing)):
            for member in _members(hint):
                choices = (False, True) if member is bool else ()
                if typing.get_origin(member) is Literal:
                    choices = typing.get_args(member)
                for choice in choices:
                    yield dataclasses.replace(base, **{name: choice})


Put = Callable[[Any], Any]
"""A changed part -> the whole with it."""


def parts(whole: Any, path: str = "", put: Put = lambda one: one) -> Iterator[tuple[str, Any, Put]]:
    """(path, object, how to put a changed one in its place) of every dataclass in the whole."""
    yield path, whole, put
    for name, _hint in fields(type(whole)):
        value = getattr(whole, name)

        def put_field(one: Any, name: str = name) -> Any:
            return put(dataclasses.replace(whole, **{name: one}))

        below = f"{path}.{name}" if path else name
        if dataclasses.is_dataclass(value):
            yield from parts(value, below, put_field)
        elif isinstance(value, tuple):
            for index, member in enumerate(value):
                if dataclasses.is_dataclass(member):

                    def put_member(
                        one: Any, value: Any = value, index: int = index, put: Put = put_field
                    ) -> Any:
                        return put((*value[:index], one, *value[index + 1 :]))

                    yield from parts(member, below, put_member)
