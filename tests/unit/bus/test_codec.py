"""The codec: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.codec import (
    CodecError,
    dumps,
    dumps_message,
    from_plain,
    loads,
    loads_message,
    pack,
    to_plain,
    unpack,
)
from bus.messages import REGISTRY, ROLES, BusRefused, Event, Message, State, VrrpTransition
from keepalived_conf.model import CheckerSlice, IpvsSlice, VrrpSlice
from tests.unit.bus import samples

REFUSAL = BusRefused(ingress="vrrp", pid=7, why="x", count=1)


@pytest.mark.parametrize("cls", REGISTRY.values(), ids=lambda cls: cls.KIND)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_message_survives(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(samples.of(cls))
    assert loads_message(dumps_message(message)) == message


@pytest.mark.parametrize("cls", [VrrpSlice, CheckerSlice, IpvsSlice])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_slice_survives_with_its_places(cls: type[Any], data: st.DataObject) -> None:
    value = data.draw(samples.of(cls))
    again = loads(cls, dumps(value))
    assert again == value
    assert again.globals.places == value.globals.places  # not part of the comparison


@pytest.mark.parametrize("cls", REGISTRY.values(), ids=lambda cls: cls.KIND)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_every_field_is_checked(cls: type[Message], data: st.DataObject) -> None:
    """One field at a time gets a value of a type that no field has; then it is missing."""
    plain = unpack(pack(to_plain(data.draw(samples.of(cls)))))
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        with pytest.raises(CodecError, match=field.name):
            from_plain(cls, plain | {field.name: {"no": "such"}})
        with pytest.raises(CodecError, match=f"missing: {field.name}"):
            from_plain(cls, {name: value for name, value in plain.items() if name != field.name})
    with pytest.raises(CodecError, match="not of"):
        from_plain(cls, plain | {"more": 1})


@pytest.mark.parametrize("cls", REGISTRY.values(), ids=lambda cls: cls.KIND)
def test_every_message_is_a_state_or_an_event_of_known_roles(cls: type[Message]) -> None:
    assert issubclass(cls, State) != issubclass(cls, Event)
    assert set(ROLES) >= cls.PUBLISHERS
    if issubclass(cls, State):
        assert len(cls.PUBLISHERS) == 1


@dataclass(frozen=True, kw_only=True)
class Inner:
    weight: int


@dataclass(frozen=True, kw_only=True)
class Sample:
    number: int
    ratio: float
    switch: bool
    text: str
    choice: Literal["a", 4]
    address: IPv4Address | IPv6Address | None
    pair: tuple[int, str]
    many: tuple[Inner, ...]
    named: dict[str, Inner]


GOOD: dict[str, Any] = {
    "number": 1,
    "ratio": 0.5,
    "switch": True,
    "text": "t",
    "choice": "a",
    "address": "10.0.0.1",
    "pair": (1, "x"),
    "many": ({"weight": 3},),
    "named": {"k": {"weight": 4}},
}


def test_the_good_sample_is_good() -> None:
    sample = from_plain(Sample, GOOD)
    assert sample.many == (Inner(weight=3),)
    assert sample.address == IPv4Address("10.0.0.1")
    assert from_plain(Sample, GOOD | {"address": "::1"}).address == IPv6Address("::1")
    assert loads(Sample, dumps(sample)) == sample


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", True),
        ("number", 1.0),
        ("number", "1"),
        ("number", None),
        ("ratio", 1),
        ("ratio", float("nan")),
        ("ratio", float("inf")),
        ("switch", 1),
        ("text", b"t"),
        ("choice", "b"),
        ("choice", 4.0),
        ("choice", [4]),
        ("address", "10.0.0.256"),
        ("address", "10.0.0.1/24"),
        ("address", 167772161),
        ("address", "x" * 10_000),
        ("pair", (1,)),
        ("pair", (1, "x", 2)),
        ("pair", ("x", 1)),
        ("many", {"weight": 3}),
        ("many", ({"weight": "3"},)),
        ("many", ({},)),
        ("many", (None,)),
        ("named", {b"k": {"weight": 4}}),
        ("named", {"k": 4}),
        ("named", ()),
    ],
)
def test_a_wrong_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(
        CodecError, match=field if field not in {"many", "named"} else "many|named|weight|Inner"
    ):
        from_plain(Sample, GOOD | {field: value})


@pytest.mark.parametrize("value", [None, 1, "x", (), [1], {}, {1: 2}])
def test_what_is_no_such_map_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        from_plain(Sample, value)


def test_encoding_checks_types_too() -> None:
    with pytest.raises(CodecError, match="count"):
        dumps_message(dataclasses.replace(REFUSAL, count="1"))  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="count|msgpack"):
        dumps_message(dataclasses.replace(REFUSAL, count=2**70))
    with pytest.raises(CodecError, match="msgpack"):
        dumps_message(dataclasses.replace(REFUSAL, why="\ud800"))


def test_an_int_is_taken_for_a_float_on_the_way_out_only() -> None:
    assert loads(Sample, dumps(dataclasses.replace(from_plain(Sample, GOOD), ratio=2))).ratio == 2.0


def test_size_is_capped_both_ways() -> None:
    with pytest.raises(CodecError, match="at most"):
        dumps_message(dataclasses.replace(REFUSAL, why="x" * 70_000))
    with pytest.raises(CodecError, match="at most 10"):
        loads(Sample, b"\0" * 11, limit=10)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93\x01\x02",
        b"\x90\x90",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xffx",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 3000,
        b"\xa2\xff\xfe",
        b"\xd6\xff\0\0\0\0",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        msgpack.packb({1: 2}),
        msgpack.packb(["vrrp_transition", 99, {}]),
        msgpack.packb(["no such", 1, {}]),
        msgpack.packb([["list"], 1, {}]),
        msgpack.packb(["vrrp_transition", True, {}]),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        loads_message(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_only_ever_raise_the_one_exception(data: bytes) -> None:
    try:
        unpack(data)
        loads_message(data)
    except CodecError:
        pass


def test_a_class_without_a_form_is_refused_when_it_is_first_used() -> None:
    @dataclass(frozen=True)
    class Bad:
        either: int | IPv4Address | str

    Bad.__annotations__["either"] = int | IPv4Address | str
    with pytest.raises(TypeError, match="told apart"):
        dumps(Bad(either=1))


def test_a_transition_names_its_kind() -> None:
    assert REGISTRY["vrrp_transition", 2] is VrrpTransition
