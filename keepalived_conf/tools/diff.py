"""What a reload from one configuration to another has to do, in operations.

    operations = diff(a, b)
    apply(a, operations) == canonical(b)

Driven by the dataclasses of the model alone: a new field or block takes part by being there. Two
configurations are compared in their canonical form (``identity.canonical``), so what makes no difference
to a running daemon (comments, includes, order, names of virtual routers) gives no operation. There are
never more operations than values that changed and objects that came, went or moved.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Literal

from keepalived_conf.model import Config, LvsSyncDaemon, VirtualServer
from keepalived_conf.tools.identity import (
    ORDERED,
    canonical,
    compared,
    identity,
    in_order,
    is_block,
    keyed,
    many,
    router_names,
    secret,
)

Kind = Literal["set", "add", "remove", "move"]


class NotMadeForError(ValueError):
    """Operations were applied to a configuration that lacks what they speak of."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step from a configuration to an object inside it."""

    field: str
    """Of the model around it."""
    key: Hashable = None
    """Identity and count of a member of a tuple; None: the field holds one object."""
    name: str = dataclasses.field(default="", compare=False)
    """For people: what the object is called in the file."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One thing to do. ``old`` and ``new`` may hold secrets: they are in no repr; ``diff_text`` shows the
    rest."""

    kind: Kind
    path: tuple[Step, ...]
    """To the object that is changed, added, removed or moved."""
    field: str = ""
    """kind set: its field."""
    old: Any = dataclasses.field(default=None, repr=False)
    new: Any = dataclasses.field(default=None, repr=False)
    """kind set: the values; add: the object is ``new``; remove: it is ``old``."""
    at: int | None = None
    """Of what is ordered: index after a move or an addition."""
    secret: bool = False
    shown: tuple[Any, Any] | None = dataclasses.field(default=None, repr=False, compare=False)
    """kind set: the values with names of virtual routers as people know them, where they hold one."""
    before: Any = dataclasses.field(default=None, repr=False, compare=False)
    """kind set: the object as it was, in canonical form; else the one around."""


def diff(a: Config, b: Config) -> tuple[Operation, ...]:
    """Operations that make ``b`` of ``a``; in the order of the model's fields."""
    names_a, names_b = router_names(a), router_names(b)
    called = {made: name for names in (names_a, names_b) for name, made in names.items()}
    return tuple(_objects(canonical(a), canonical(b), (), called))


def renamed(a: Config, b: Config) -> tuple[tuple[str, str], ...]:
    """(old name, new name) of virtual routers that are the same but for their names."""
    before = {made: name for name, made in router_names(a).items()}
    after = {made: name for name, made in router_names(b).items()}
    return tuple(
        (name, after[made]) for made, name in before.items() if made in after and after[made] != name
    )


def _objects(a: Any, b: Any, path: tuple[Step, ...], called: dict[str, str]) -> Iterator[Operation]:
    """Operations between two states of one object."""
    for name in compared(type(a)):
        old, new = getattr(a, name), getattr(b, name)
        if old == new:
            continue
        if isinstance(old, tuple) and isinstance(new, tuple) and name in many(type(a)):
            yield from _members(a, old, new, path, name, called)
        elif is_block(old) and type(old) is type(new) and _same(old, new):
            yield from _objects(old, new, (*path, Step(field=name)), called)
        else:
            yield Operation(
                kind="set",
                path=path,
                field=name,
                old=old,
                new=new,
                secret=secret(type(a), name, old, new),
                shown=_as_called(old, new, called),
                before=a,
            )


def _as_called(old: Any, new: Any, called: dict[str, str]) -> tuple[Any, Any] | None:
    if not isinstance(old or new, LvsSyncDaemon):
        return None

    def known(one: LvsSyncDaemon | None) -> LvsSyncDaemon | None:
        if one is None or one.instance is None:
            return one
        return dataclasses.replace(one, instance=called.get(one.instance, one.instance))

    return known(old), known(new)


def _same(old: Any, new: Any) -> bool:
    """Whether two single blocks are one that changed. Without an identity of its own: yes."""
    key = identity(old)
    return key is old or key == identity(new)


def _members(
    owner: Any,
    old: tuple[Any, ...],
    new: tuple[Any, ...],
    path: tuple[Step, ...],
    name: str,
    called: dict[str, str],
) -> Iterator[Operation]:
    before, after = keyed(old), keyed(new)
    ordered = name in ORDERED
    stay = _longest_rise([key for key in before if key in after], list(after)) if ordered else frozenset()

    def step(key: Any) -> tuple[Step, ...]:
        thing = before.get(key, after.get(key))
        label = " ".join(map(str, key[0])) if isinstance(key[0], tuple) else str(key[0])
        if isinstance(thing, VirtualServer):
            label = thing.key
        return (*path, Step(field=name, key=key, name=called.get(label, label)))

    for key, thing in before.items():
        if key not in after:
            yield Operation(kind="remove", path=step(key), old=thing, before=owner)
    for index, (key, thing) in enumerate(after.items()):
        at = index if ordered else None
        if key not in before:
            yield Operation(kind="add", path=step(key), new=thing, at=at, before=owner)
            continue
        if ordered and key not in stay:
            yield Operation(kind="move", path=step(key), old=before[key], new=thing, at=at, before=owner)
        if thing != before[key]:
            yield from _objects(before[key], thing, step(key), called)


def _longest_rise(keys: list[Hashable], order: list[Hashable]) -> frozenset[Hashable]:
    """The most of ``keys`` that stand in ``order`` one behind the other already: the others move."""
    at = {key: index for index, key in enumerate(order)}
    tops: list[int] = []
    chains: list[tuple[Hashable, Any]] = []
    for key in keys:
        place = bisect_left(tops, at[key])
        chain = (key, chains[place - 1] if place else None)
        tops[place : place + 1] = [at[key]]
        chains[place : place + 1] = [chain]
    found = []
    link: Any = chains[-1] if chains else None
    while link is not None:
        found.append(link[0])
        link = link[1]
    return frozenset(found)


# --- applying ------------------------------------------------------------------------------------------


def apply(config: Config, operations: Iterable[Operation]) -> Config:
    """The configuration after the operations, in canonical form. Raises ``NotMadeForError``."""
    made: Config = _apply(canonical(config), list(operations), 0)
    return in_order(made, {})


def _apply(thing: Any, operations: list[Operation], depth: int) -> Any:
    changes: dict[str, Any] = {}
    inside: dict[str, list[Operation]] = {}
    for one in operations:
        if len(one.path) > depth:
            inside.setdefault(one.path[depth].field, []).append(one)
        elif hasattr(thing, one.field):
            changes[one.field] = one.new
        else:
            raise NotMadeForError(f"{type(thing).__name__} has no {one.field}")
    for name, some in inside.items():
        value = getattr(thing, name, None)
        if isinstance(value, tuple):
            changes[name] = _apply_members(value, some, depth)
        elif value is not None:
            changes[name] = _apply(value, some, depth + 1)
        else:
            raise NotMadeForError(f"{type(thing).__name__} has no {name}")
    return dataclasses.replace(thing, **changes)


def _apply_members(value: tuple[Any, ...], operations: list[Operation], depth: int) -> tuple[Any, ...]:
    members = keyed(value)
    deeper: dict[Hashable, list[Operation]] = {}
    placed: list[tuple[int, Hashable, Any]] = []
    for one in operations:
        key = one.path[depth].key
        if one.kind == "add" and len(one.path) == depth + 1:
            if key in members:
                raise NotMadeForError(f"{one.path[depth].field}: {key} is there already")
            placed.append((len(members) if one.at is None else one.at, key, one.new))
            continue
        if key not in members:
            raise NotMadeForError(f"{one.path[depth].field}: there is no {key}")
        if len(one.path) > depth + 1 or one.kind == "set":
            deeper.setdefault(key, []).append(one)
        elif one.kind == "remove":
            del members[key]
        elif one.at is not None:
            placed.append((one.at, key, None))
    for key, some in deeper.items():
        members[key] = _apply(members[key], some, depth + 1)
    moved = [(at, members.pop(key) if thing is None else thing) for at, key, thing in placed]
    found = list(members.values())
    # In rising order: whatever ends up before an index is there when its turn comes.
    for at, thing in sorted(moved, key=lambda one: one[0]):
        found.insert(at, thing)
    return tuple(found)
