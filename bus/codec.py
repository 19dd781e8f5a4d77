"""Strictly typed dataclasses to msgpack and back: the codec that trusts no byte.

The only module that knows msgpack, besides ``worker.control``. ``dumps`` and ``loads`` work for any
dataclass whose fields are made of

    bool, int, float, str, bytes, None, Literal[...], unions of these,
    IPv4Address, IPv6Address, IPv4Interface, IPv6Interface (text on the wire),
    tuple[T, ...], tuple[A, B], dict[str, T], and other such dataclasses.

A dataclass is a map of field name to value. On the way in there must be exactly the fields of the
class, each of exactly its type (a bool is no int, an int is no float, no float is NaN or infinite).
Everything that is wrong with data, in either direction, is a ``CodecError`` that names the field.

Each class is compiled once to a plan of closures; nothing is looked up per message.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from math import isfinite
from typing import Any, Literal, TypeVar, cast

import msgpack

from bus.messages import REGISTRY, Message

MAX_MESSAGE_BYTES = 60 * 1024
"""Cap of one message on the bus; fits the supervisor's control channel."""
MAX_SLICE_BYTES = 64 * 1024 * 1024
"""Cap of ``loads``: the configuration slice of a worker."""

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Message)
_Step = Callable[[Any, str], Any]
"""(value, where) -> converted value, or CodecError. ``where`` is the field path for the error."""
_Plan = tuple[_Step, _Step]
"""(encode, decode)"""


class CodecError(Exception):
    """Data that is not what it must be: says which field, what was found and what was expected."""


# --- raw msgpack -----------------------------------------------------------------------------------


def pack(value: object, *, limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """msgpack of plain data. CodecError when it has no form in msgpack or is above ``limit`` bytes."""
    try:
        data: bytes = msgpack.packb(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CodecError(f"cannot be written as msgpack: {error}") from None
    if len(data) > limit:
        raise CodecError(f"{len(data)} bytes, at most {limit} are allowed")
    return data


def unpack(data: bytes, *, limit: int = MAX_MESSAGE_BYTES) -> Any:
    """Plain data of one complete msgpack value of at most ``limit`` bytes; arrays become tuples.

    msgpack bounds every length by the size of the input and nesting by its own fixed stack, so
    neither memory nor recursion can be driven by what a header claims.
    """
    if len(data) > limit:
        raise CodecError(f"{len(data)} bytes, at most {limit} are allowed")
    try:
        return msgpack.unpackb(data, use_list=False)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise CodecError(f"not msgpack: {type(error).__name__}: {_short(error)}") from None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."


# --- plans -----------------------------------------------------------------------------------------


def _wrong(where: str, expected: str, value: object) -> CodecError:
    return CodecError(
        f"{where or 'value'}: expected {expected}, found {type(value).__name__} {_short(repr(value))}"
    )


def _primitive(kind: type[Any], name: str) -> _Plan:
    def check(value: Any, where: str) -> Any:
        if type(value) is not kind:
            raise _wrong(where, name, value)
        return value

    return check, check


def _encode_float(value: Any, where: str) -> float:
    if type(value) is int:  # a duration written as 5 in code means 5.0
        value = float(value)
    if type(value) is not float or not isfinite(value):
        raise _wrong(where, "a finite float", value)
    return value


def _decode_float(value: Any, where: str) -> float:
    if type(value) is not float or not isfinite(value):
        raise _wrong(where, "a finite float", value)
    return value


def _encode_text(value: Any, where: str) -> str:
    if type(value) is not str:
        raise _wrong(where, "str", value)
    return value


_PRIMITIVES: dict[Any, _Plan] = {
    bool: _primitive(bool, "bool"),
    int: _primitive(int, "int"),
    float: (_encode_float, _decode_float),
    str: (_encode_text, _encode_text),
    bytes: _primitive(bytes, "bytes"),
    type(None): _primitive(type(None), "nil"),
}
_ADDRESSES: tuple[type[Any], ...] = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)


def _address_plan(kind: type[Any]) -> _Plan:
    name = kind.__name__

    def encode(value: Any, where: str) -> str:
        if type(value) is not kind:
            raise _wrong(where, name, value)
        return str(value)

    def decode(value: Any, where: str) -> Any:
        if type(value) is not str or len(value) > 80:
            raise _wrong(where, name, value)
        try:
            return kind(value)
        except ValueError:
            raise _wrong(where, name, value) from None

    return encode, decode


def _literal_plan(choices: tuple[Any, ...]) -> _Plan:
    allowed = {(type(choice), choice) for choice in choices}
    if any(kind not in (str, int, bool, type(None)) for kind, _ in allowed):
        raise TypeError(f"Literal{choices}: only str, int, bool and None are supported")
    name = "one of " + ", ".join(repr(choice) for choice in choices)

    def check(value: Any, where: str) -> Any:
        if type(value) not in (str, int, bool, type(None)) or (type(value), value) not in allowed:
            raise _wrong(where, name, value)
        return value

    return check, check


def _wire_types(hint: Any) -> set[type[Any]]:
    """The msgpack types that values of a hint have: what tells the members of a union apart."""
    if hint in _PRIMITIVES:
        return {hint}
    if hint in _ADDRESSES:
        return {str}
    if typing.get_origin(hint) is Literal:
        return {type(choice) for choice in typing.get_args(hint)}
    if typing.get_origin(hint) is tuple:
        return {tuple}
    return {dict}


def _either_family(plans: list[tuple[Any, _Plan]]) -> _Step:
    """Decoder of IPv4X | IPv6X: only the text of an IPv6 one has a colon."""
    families = {member.__name__[:4]: decode for member, (_, decode) in plans if member in _ADDRESSES}
    four, six = families["IPv4"], families["IPv6"]

    def decode(value: Any, where: str) -> Any:
        return (six if ":" in value else four)(value, where)

    return decode


def _union_plan(members: tuple[Any, ...]) -> _Plan:
    plans = [(member, _plan(member)) for member in members]
    by_python: dict[type[Any], _Step] = {}
    by_wire: dict[type[Any], list[_Step]] = {}
    for member, (encode_member, decode_member) in plans:
        python_types = {member} if isinstance(member, type) else _wire_types(member)
        for kind in python_types:
            if kind in by_python:
                raise TypeError(f"union {members}: two members are {kind.__name__}")
            by_python[kind] = encode_member
        for kind in _wire_types(member):
            by_wire.setdefault(kind, []).append(decode_member)
    texts = [member for member in members if str in _wire_types(member)]
    families = {member for member in texts if member in _ADDRESSES}
    # The text of an address tells its family; an address and an interface, or a plain str, it does not.
    if len(texts) > 1 and (len(families) != len(texts) or len({m.__name__[4:] for m in families}) > 1):
        raise TypeError(f"union {members}: members cannot be told apart on the wire")
    if any(len(steps) > 1 for kind, steps in by_wire.items() if kind is not str):
        raise TypeError(f"union {members}: members cannot be told apart on the wire")
    name = " or ".join(getattr(member, "__name__", str(member)) for member in members)
    if len(texts) > 1:
        by_wire[str] = [_either_family(plans)]
    decoders = {kind: steps[0] for kind, steps in by_wire.items()}
    accepts_int_for_float = float in by_python and int not in by_python

    def encode(value: Any, where: str) -> Any:
        step = by_python.get(type(value))
        if step is None:
            if accepts_int_for_float and type(value) is int:
                return float(value)
            raise _wrong(where, name, value)
        return step(value, where)

    def decode(value: Any, where: str) -> Any:
        step = decoders.get(type(value))
        if step is None:
            raise _wrong(where, name, value)
        return step(value, where)

    return encode, decode


def _tuple_plan(args: tuple[Any, ...]) -> _Plan:
    if len(args) == 2 and args[1] is Ellipsis:
        encode_item, decode_item = _plan(args[0])

        def encode_all(value: Any, where: str) -> list[Any]:
            if type(value) is not tuple:
                raise _wrong(where, "tuple", value)
            return [encode_item(item, f"{where}[]") for item in value]

        def decode_all(value: Any, where: str) -> tuple[Any, ...]:
            if type(value) is not tuple:
                raise _wrong(where, "array", value)
            inside = f"{where}[]"
            return tuple([decode_item(item, inside) for item in value])

        return encode_all, decode_all
    plans = [_plan(arg) for arg in args]

    def encode_each(value: Any, where: str) -> list[Any]:
        if type(value) is not tuple or len(value) != len(plans):
            raise _wrong(where, f"tuple of {len(plans)}", value)
        return [plan[0](item, f"{where}[]") for plan, item in zip(plans, value, strict=True)]

    def decode_each(value: Any, where: str) -> tuple[Any, ...]:
        if type(value) is not tuple or len(value) != len(plans):
            raise _wrong(where, f"array of {len(plans)}", value)
        return tuple([plan[1](item, f"{where}[]") for plan, item in zip(plans, value, strict=True)])

    return encode_each, decode_each


def _dict_plan(args: tuple[Any, ...]) -> _Plan:
    if args[0] is not str:
        raise TypeError(f"dict{args}: keys must be str")
    encode_item, decode_item = _plan(args[1])

    def mapped(step: _Step) -> _Step:
        def convert(value: Any, where: str) -> dict[str, Any]:
            if type(value) is not dict:
                raise _wrong(where, "map", value)
            result = {}
            for key, item in value.items():
                if type(key) is not str:
                    raise _wrong(f"{where} key", "str", key)
                result[key] = step(item, f"{where}[{key!r}]")
            return result

        return convert

    return mapped(encode_item), mapped(decode_item)


def _dataclass_plan(cls: type[Any]) -> _Plan:
    hints = typing.get_type_hints(cls)
    fields = [(field.name, *_plan(hints[field.name])) for field in dataclasses.fields(cls)]
    names = frozenset(name for name, _, _ in fields)
    count = len(fields)
    title = cls.__name__

    def encode(value: Any, where: str) -> dict[str, Any]:
        if type(value) is not cls:
            raise _wrong(where, title, value)
        return {name: step(getattr(value, name), name) for name, step, _ in fields}

    def decode(value: Any, where: str) -> Any:
        if type(value) is not dict:
            raise _wrong(where, f"map of {title}", value)
        if len(value) != count or value.keys() != names:
            missing = ", ".join(sorted(names - value.keys())) or "none"
            extra = ", ".join(sorted(_short(repr(key)) for key in value.keys() - names)[:5]) or "none"
            raise CodecError(f"{where or title}: fields missing: {missing}; not of {title}: {extra}")
        try:
            return cls(**{name: step(value[name], name) for name, _, step in fields})
        except CodecError as error:
            raise CodecError(f"{title}.{error}") from None
        except (ValueError, TypeError) as error:  # the class's own __post_init__
            raise CodecError(f"{where or title}: {_short(error)}") from None

    return encode, decode


_plans: dict[Any, _Plan] = {}


def _plan(hint: Any) -> _Plan:
    found = _plans.get(hint)
    if found is None:
        found = _plans[hint] = _compile(hint)
    return found


def _compile(hint: Any) -> _Plan:
    if hint in _PRIMITIVES:
        return _PRIMITIVES[hint]
    if hint in _ADDRESSES:
        return _address_plan(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _literal_plan(args)
    if origin is typing.Union or origin is types.UnionType:
        return _union_plan(args)
    if origin is tuple:
        return _tuple_plan(args)
    if origin is dict:
        return _dict_plan(args)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass_plan(hint)
    raise TypeError(f"the codec has no form for {hint!r}")


# --- dataclasses -----------------------------------------------------------------------------------


def to_plain(obj: object) -> Any:
    """A dataclass instance as plain data (maps, lists, text): the body of a message."""
    return _plan(type(obj))[0](obj, "")


def from_plain(cls: type[_T], value: object) -> _T:
    """The instance of ``cls`` that ``value`` (from ``unpack``) describes. CodecError otherwise."""
    return cast(_T, _plan(cls)[1](value, ""))


def dumps(obj: object, *, limit: int = MAX_SLICE_BYTES) -> bytes:
    """A dataclass instance as msgpack bytes. CodecError when a field is not of its declared type."""
    return pack(to_plain(obj), limit=limit)


def loads(cls: type[_T], data: bytes, *, limit: int = MAX_SLICE_BYTES) -> _T:
    """The instance of ``cls`` that ``dumps`` made ``data`` of. CodecError for anything else."""
    return from_plain(cls, unpack(data, limit=limit))


def message_class(kind: object, version: object) -> type[Message]:
    """The registered class of a kind and version. CodecError when there is none."""
    if type(kind) is not str or type(version) is not int:
        raise CodecError(f"kind {_short(repr(kind))} version {_short(repr(version))}: not a str and an int")
    found = REGISTRY.get((kind, version))
    if found is None:
        raise CodecError(f"unknown kind {_short(repr(kind))} version {_short(version)}")
    return found


def dumps_message(message: Message) -> bytes:
    """A message on its own, ``[kind, version, body]``: for the control channel's ``report``."""
    return pack([message.KIND, message.VERSION, to_plain(message)])


def loads_message(data: bytes) -> Message:
    """What ``dumps_message`` made ``data`` of. CodecError for anything else."""
    value = unpack(data)
    if type(value) is not tuple or len(value) != 3:
        raise CodecError("a message is [kind, version, body]")
    return from_plain(message_class(value[0], value[1]), value[2])
