"""The operations of a diff in keepalived's words, and as JSON; secrets never.

vrrp: reset timer of VI_1: advert_int 1 -> 2
vrrp: add address 10.0.0.9/24 dev eth0 to VI_1
ipvs: remove real server [10.0.0.4]:80 from [192.0.2.1]:tcp:80
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

from keepalived_conf.diagnostics import printable
from keepalived_conf.grammar.forms import Form, quoted
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Effect, Keyword
from keepalived_conf.model import RealServer, UnicastPeer, VirtualAddress, VirtualServer
from keepalived_conf.tools.diff import Operation, Step
from keepalived_conf.tools.identity import MEMBERS, is_block

HIDDEN = "********"

_KEYWORDS = {
    "globals": "global_defs",
    "vrrp_instances": "vrrp_instance",
    "virtual_servers": "virtual_server",
    "real_servers": "real_server",
    "virtual_addresses": "virtual_ipaddress",
    "virtual_addresses_excluded": "virtual_ipaddress_excluded",
    "unicast_peers": "unicast_peer",
    "urls": "url",
    "advert_int_cs": "advert_int",
    "preempt": "nopreempt",
    "source_address": "mcast_src_ip",
    "scheduler": "lb_algo",
    "lvs_method": "lb_kind",
    "persistence_prefix": "persistence_granularity",
    "status_ranges": "status_code",
}
"""Field of the model -> keyword, where no row of a table is linked to the field."""

_NOUNS = {
    "virtual_addresses": "address",
    "virtual_addresses_excluded": "excluded address",
    "static_addresses": "static address",
    "static_routes": "static route",
    "static_rules": "static rule",
    "virtual_routes": "route",
    "virtual_rules": "rule",
    "virtual_servers": "virtual server",
    "real_servers": "real server",
    "unicast_peers": "unicast peer",
    "checks": "check",
    "members": "member",
    "entries": "line",
}
"""Field -> what its members are called; else the keyword of the block."""

_NO_BLOCK = frozenset({"other_checks"})
"""Fields of the model that no block of a file stands for."""

_TIMERS = frozenset({"advert_int", "delay_loop", "down_timer_adverts", "interval", "idle_tx", "min_tx"})
"""Keywords whose change starts a timer anew."""

NEEDS_RESTART = frozenset(
    {"net_namespace", "net_namespace_ipvs", "instance", "nftables", "nftables_ipvs", "tmp_config_directory",
     "disable_local_igmp"}
)  # fmt: skip
"""keepalived refuses a reload that changes one of these."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What the tables know of the place an operation concerns."""

    block: Block | None
    """The block around: of a set the object's own, else the one that holds the member."""
    row: Keyword | None
    """Of the value or member concerned."""
    keyword: str
    worker: str


def worker_of(operation: Operation) -> str:
    """Who does it: vrrp, ipvs, ...; several joined by +."""
    return _find(operation).worker


def text(operation: Operation) -> str:
    """One line: who does what to which object."""
    found = _find(operation)
    if operation.kind == "set":
        what = _set(operation, found)
    else:
        field = operation.path[-1].field
        thing = operation.old if operation.kind == "remove" else operation.new
        noun = _NOUNS.get(field, found.keyword)
        preposition = {"add": "to", "remove": "from", "move": "of"}[operation.kind]
        what = f"{operation.kind} {noun} {member(thing, operation.path[-1], found)}"
        what += _place(operation.path[:-1], preposition)
        if operation.at is not None:
            what += f", as number {operation.at + 1}"
    return printable(f"{found.worker}: {what}{_remark(found)}")


def document(operation: Operation) -> dict[str, Any]:
    """The operation as JSON; values as the words of a file."""
    found = _find(operation)
    place = operation.path if operation.kind == "set" else operation.path[:-1]
    body: dict[str, Any] = {
        "worker": found.worker,
        "kind": operation.kind,
        "in": [step.name or _keyword_of(step.field) for step in place if step.field not in _NO_BLOCK],
        "keyword": found.keyword,
    }
    if operation.kind == "set":
        body["old"], body["new"] = (
            _value(operation, found, one) for one in operation.shown or (operation.old, operation.new)
        )
    else:
        thing = operation.old if operation.kind == "remove" else operation.new
        body["object"] = member(thing, operation.path[-1], found)
    body["in_effect"] = found.row is None or found.row.effect is Effect.ACTIVE
    body["text"] = text(operation)
    return body


def _set(operation: Operation, found: _Found) -> str:
    old, new = (_value(operation, found, one) for one in operation.shown or (operation.old, operation.new))
    if found.keyword in _TIMERS:
        return f"reset timer{_place(operation.path, 'of')}: {found.keyword} {old} -> {new}"
    return f"set {found.keyword}{_place(operation.path, 'of')}: {old} -> {new}"


def _remark(found: _Found) -> str:
    if found.keyword in NEEDS_RESTART:
        return " (takes a restart)"
    if found.row is None or found.row.effect is Effect.ACTIVE:
        return ""
    return " (no effect yet)" if found.row.effect is Effect.PARSED else " (no effect)"


def _place(path: Iterable[Step], preposition: str) -> str:
    names = [step.name or _keyword_of(step.field) for step in path if step.field not in _NO_BLOCK]
    if not names:
        return ""
    return f" {preposition} " + " of ".join(reversed(names))


# --- what the tables know --------------------------------------------------------------------------------


def _keyword_of(field: str) -> str:
    return _KEYWORDS.get(field, field)


def _find(operation: Operation) -> _Found:
    block: Block | None = ROOT
    opened: Keyword | None = None
    steps = operation.path if operation.kind == "set" else operation.path[:-1]
    for step in steps:
        if step.field in _NO_BLOCK:
            continue
        row = _row(block, step.field, step.key)
        opened = row or opened
        block = row.block if row is not None else None
    last = operation.path[-1] if operation.kind != "set" else None
    field = operation.field if last is None else last.field
    row = _row(block, field, last.key if last is not None else None)
    if row is None and block is not None and block.path == "global_defs":
        row = _row(ROOT, f"globals.{field}")  # settings of the top level live there too
    worker = (row or opened).worker if (row or opened) is not None else ""  # type: ignore[union-attr]
    thing = operation.old if operation.kind == "remove" else operation.new
    if isinstance(thing, VirtualServer | RealServer):
        reals = thing.real_servers if isinstance(thing, VirtualServer) else (thing,)
        worker = "ipvs+checker" if any(real.checks for real in reals) else "ipvs"
    keyword = row.key if row is not None else _plain_name(field)
    return _Found(block=block, row=row, keyword=keyword, worker=worker or "supervisor")


def _row(block: Block | None, field: str, key: Any = None) -> Keyword | None:
    """The row that a field of a block's model is written by."""
    if block is None:
        return None
    if isinstance(key, tuple) and isinstance(key[0], tuple) and key[0][0] in block.keywords:
        return block.keywords[key[0][0]]  # a check: one keyword for each kind
    rows = [row for row in block.keywords.values() if not row.alias_of]
    for row in rows:
        if row.field == field:
            return row
    found = block.keywords.get(_KEYWORDS.get(field, field))
    if found is not None:
        return block.keywords.get(found.key, found)
    for row in rows:  # a block without an object of its own, such as authentication
        if row.block is not None and not row.block.entries and not row.field:
            inner = row.block.keywords.get(field)
            if inner is not None:
                return inner
    return None


def _plain_name(field: str) -> str:
    name = _keyword_of(field)
    for unit in ("_s", "_cs", "_us", "_bytes"):
        name = name.removesuffix(unit)
    return name


# --- values -------------------------------------------------------------------------------------------


def _value(operation: Operation, found: _Found, value: Any) -> str:
    row = found.row
    if operation.secret or (row is not None and row.secret):
        return "none" if value is None else HIDDEN
    if operation.field.endswith("_cs") and isinstance(value, int):
        return f"{value / 100:g}"
    form = row.form if row is not None and row.field == operation.field else None
    if form is not None and row is not None and row.repeatable and isinstance(value, tuple):
        return " ".join(words(one, form) for one in value) or "none"
    return words(value, form)


def words(value: Any, form: Form | None = None) -> str:
    """A value as the words of a file."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if is_block(value) and form is None:
        return "{...}"
    if form is not None:
        with contextlib.suppress(TypeError, ValueError, AttributeError):  # else as the model has it
            return " ".join(quoted(word) for word in form.write(value)) or '""'
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    if isinstance(value, bytes):
        return value.hex() or '""'
    if isinstance(value, tuple):
        return " ".join(words(one) for one in value) or "none"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value) if one.repr)
        return " ".join(words(one) for _, one in fields if one not in (None, False, ()))
    return str(value) or '""'


def member(thing: Any, step: Step, found: _Found) -> str:
    """What a member of a block is called: its line, its head, or its name."""
    if isinstance(thing, VirtualAddress):
        return f"{thing.interface} dev {thing.dev}"
    if isinstance(thing, UnicastPeer):
        return str(thing.address)
    if isinstance(thing, RealServer | VirtualServer):
        return thing.key
    if step.field in MEMBERS:
        return step.name
    if step.field == "status_ranges":
        return "-".join(str(one) for one in dict.fromkeys(thing))
    # It is a line of a block inside; what has a head is that block itself, and its lines are members of it.
    block = found.row.block if found.row is not None else found.block
    is_line = block is not None and block.entry is not None and (found.row is None or block.head is None)
    if is_line and block is not None and block.entry is not None and not block.secret:
        return words(thing, block.entry)
    return step.name if dataclasses.is_dataclass(thing) else words(thing)
