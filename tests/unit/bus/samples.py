"""Instances of any codec-able dataclass, drawn from its type hints."""

from __future__ import annotations

import dataclasses
import types
import typing
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any, Literal

from hypothesis import strategies as st

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def _interface(kind: Any, width: int) -> st.SearchStrategy[Any]:
    pairs = st.tuples(st.integers(0, 2**width - 1), st.integers(0, width))
    return pairs.map(lambda pair: kind((pair[0], pair[1])))


_BASIC: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXT,
    bytes: st.binary(max_size=12),
    type(None): st.none(),
    IPv4Address: st.integers(0, 2**32 - 1).map(IPv4Address),
    IPv6Address: st.integers(0, 2**128 - 1).map(IPv6Address),
    IPv4Interface: _interface(IPv4Interface, 32),
    IPv6Interface: _interface(IPv6Interface, 128),
}


def of(hint: Any) -> st.SearchStrategy[Any]:
    """A strategy for values of a type hint that the codec knows."""
    if hint in _BASIC:
        return _BASIC[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return st.sampled_from(args)
    if origin is typing.Union or origin is types.UnionType:
        return st.one_of(*(of(arg) for arg in args))
    if origin is tuple and args[1:] == (Ellipsis,):
        return st.lists(of(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(of(arg) for arg in args))
    if origin is dict:
        return st.dictionaries(TEXT, of(args[1]), max_size=3)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        cls: Any = hint
        names = [field.name for field in dataclasses.fields(hint)]
        return st.fixed_dictionaries({name: of(hints[name]) for name in names}).map(
            lambda values: cls(**values)
        )
    raise AssertionError(f"no samples for {hint!r}")
