"""``encap`` of a route or hop: lightweight tunnels (ip-route(8))."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from keepalived_conf.grammar.entry_line import EntryLine
from keepalived_conf.grammar.forms import BadWordError
from keepalived_conf.model import Encap
from keepalived_conf.syntax.iproute import Kind
from keepalived_conf.syntax.values import BadValueError, c_number_before

MPLS_LABELS_MAX = 2
"""Of keepalived; the kernel takes more."""
_MPLS_LABEL_MAX = 0xFFFFF
_LOCATOR = re.compile(r"[ \t]*" + ":".join([r"0{0,20}([0-9a-fA-F]{1,4})"] * 4))

_IP_WORDS = {"id": "id", "dst": "destination", "src": "source", "tos": "tos", "ttl": "ttl", "flags": "flags"}
_IP6_WORDS = {"tc" if word == "tos" else "hoplimit" if word == "ttl" else word: field
              for word, field in _IP_WORDS.items()}  # fmt: skip


def read_encap(line: EntryLine) -> Encap | None:
    """From the word ``encap`` to the last word that belongs to it; None after a complaint.

    A type that is unknown is left out, with the word behind it, as keepalived does. A tunnel that cannot be
    made costs the route: keepalived keeps it with a tunnel that the kernel refuses, and traffic that is
    meant for a tunnel must not go without one.
    """
    at = line.index
    line.index += 1
    if not line.more:
        line.complain(
            "invalid-entry", "encap has no type: it is ignored", hint="write ip, ip6, mpls or ila", index=at
        )
        line.index = at
        return None
    kind = line.word
    if kind in ("ip", "ip6", "mpls", "ila"):
        line.args.use(line.index, f"encap {kind}")
    match kind:
        case "ip":
            return _ip(line, "ip", _IP_WORDS)
        case "ip6":
            return _ip(line, "ip6", _IP6_WORDS)
        case "mpls":
            return Encap(kind="mpls", labels=_labels(line))
        case "ila":
            return Encap(kind="ila", locator=_locator(line))
    line.complain(
        "invalid-entry", f"encap '{kind}' is not ip, ip6, mpls or ila: it and the next word are ignored"
    )
    line.index += 1
    return None


def _ip(line: EntryLine, kind: Literal["ip", "ip6"], words: dict[str, str]) -> Encap:
    """Pairs of a word and its value, up to the first other word."""
    found: dict[str, Any] = {}
    start = line.index
    while line.index + 2 < len(line.words) and line.words[line.index + 1] in words:
        field = words[line.words[line.index + 1]]
        line.index += 2
        found[field] = _value(line, kind, field)
    if "destination" not in found and "id" not in found:
        hint = f"write encap {kind} dst and an address"
        raise BadWordError(start, f"encap {kind} has neither dst nor id", hint=hint)
    return Encap(kind=kind, **found)


def _value(line: EntryLine, kind: str, field: str) -> Any:
    match field:
        case "id":
            return line.number(0xFFFFFFFFFFFFFFFF)
        case "destination" | "source":
            address = line.address()
            if not isinstance(address, IPv4Address if kind == "ip" else IPv6Address):
                raise line.bad(f"{address} is of the wrong family")
            return address
        case "tos":
            return line.name(Kind.DSFIELD)
        case "ttl":
            return line.number(255)
        case _:
            return line.number(65535)


def _labels(line: EntryLine) -> tuple[int, ...]:
    line.index += 1
    if not line.more:
        raise line.bad("encap mpls has no labels", hint="write encap mpls LABEL[/LABEL]")
    labels = []
    for part in line.word.split("/"):
        try:
            number, behind = c_number_before(part)
        except BadValueError:
            number, behind = -1, ""
        if behind or not 0 <= number <= _MPLS_LABEL_MAX:
            raise line.bad(
                f"'{line.word}' is not a list of labels 0 to {_MPLS_LABEL_MAX} with slashes between"
            )
        labels.append(number)
    if len(labels) > MPLS_LABELS_MAX:
        raise line.bad(f"more than {MPLS_LABELS_MAX} labels")
    return tuple(labels)


def _locator(line: EntryLine) -> int:
    line.index += 1
    if not line.more:
        raise line.bad(
            "encap ila has no locator", hint="write encap ila and four hexadecimal groups: 1:2:3:4"
        )
    match = _LOCATOR.fullmatch(line.word)
    if match is None:
        raise line.bad(f"'{line.word}' is not a locator", hint="write four hexadecimal groups: 1:2:3:4")
    number = 0
    for group in match.groups():
        number = number << 16 | int(group, 16)
    return number


def write_encap(value: Encap) -> list[str]:
    words = ["encap", value.kind]
    if value.kind == "mpls":
        return [*words, "/".join(str(label) for label in value.labels)]
    if value.kind == "ila":
        locator = value.locator or 0
        return [*words, ":".join(f"{locator >> shift & 0xFFFF:x}" for shift in (48, 32, 16, 0))]
    for word, field in (_IP_WORDS if value.kind == "ip" else _IP6_WORDS).items():
        one = getattr(value, field)
        if one is not None:
            words += [word, str(one)]
    return words
