"""Grammar tables of linkbeat_interfaces and interface_up_down_delays."""

from __future__ import annotations

from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.forms import Args, BadWordError, Shape
from keepalived_conf.grammar.global_rows import parsed
from keepalived_conf.grammar.schema import Keyword, Type, block_of, in_effect
from keepalived_conf.model import InterfaceDelay, LinkbeatInterface
from keepalived_conf.syntax import values
from keepalived_conf.syntax.values import BadValueError

METHODS = ("MII", "ETHTOOL", "IOCTL")
DELAY_MAX_S = 255


def _interface(args: Args) -> str:
    args.use(args.first, "IF")
    word = args.text(args.first)
    try:
        return values.interface_name(word)
    except BadValueError as bad:
        # keepalived: no interface of that name can exist.
        raise BadWordError(args.first, f"'{word}' {bad}", keepalived=KeepalivedClass.FATAL) from None


def _read_linkbeat(args: Args) -> LinkbeatInterface:
    interface = _interface(args)
    method: Any = None
    at = args.first + 1
    if len(args.words) > at:
        word = args.words[at].text
        method = word if word in METHODS else None
        if method is None or len(args.words) > at + 1:
            wrong = at if method is None else at + 1
            args.note(
                wrong,
                "extra-words",
                f"'{args.words[wrong].text}' is not expected here; it is ignored",
                hint=f"write nothing or one of {', '.join(METHODS)} behind the interface",
                severity=Severity.ERROR,
                keepalived=KeepalivedClass.GENERAL_ERROR,
            )
    return LinkbeatInterface(interface=interface, method=method)


LINKBEAT = Shape(
    takes="INTERFACE [MII|ETHTOOL|IOCTL]",
    reads=_read_linkbeat,
    writes=lambda v: [v.interface, *([v.method] if v.method else [])],
)


def _delay(args: Args, index: int) -> float:
    word = args.words[index].text
    try:
        number, exact = values.decimal(word, 6)
    except BadValueError:
        number, exact = -1.0, True
    if not 0 <= number <= DELAY_MAX_S:
        raise BadWordError(
            index,
            f"'{word}' is not a number of seconds from 0 to {DELAY_MAX_S}",
            code="invalid-number",
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
    if not exact:
        args.note(
            index,
            "too-many-decimals",
            f"'{word}' has more than 6 decimals; {number:g} is taken",
            severity=Severity.ERROR,
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
    return number


def _read_delay(args: Args) -> InterfaceDelay:
    interface = _interface(args)
    at = args.first + 1
    if len(args.words) <= at:
        raise BadWordError(
            at, "the delays are missing", code="missing-argument", keepalived=KeepalivedClass.OK
        )
    if len(args.words) > at + 2:
        args.note(at + 2, "extra-words", "what follows here is ignored", hint="remove it")
    down_s = _delay(args, at)
    up_s = _delay(args, at + 1) if len(args.words) > at + 1 else 0.0
    return InterfaceDelay(interface=interface, down_s=down_s, up_s=up_s)


def _seconds(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


DELAY = Shape(
    takes="INTERFACE DOWN_SECONDS [UP_SECONDS]",
    reads=_read_delay,
    writes=lambda v: [v.interface, _seconds(v.down_s), *([_seconds(v.up_s)] if v.up_s else [])],
)

LINKBEAT_INTERFACES = block_of(
    "linkbeat_interfaces",
    (
        parsed(
            "IF",
            Type.INTERFACE,
            "Interface whose link is polled, and how",
            "vrrp",
            repeatable=True,
            default="the first of MII, ETHTOOL, IOCTL that works",
            since="2.0.13",
        ),
    ),
    entry=LINKBEAT,
)
INTERFACE_DELAYS = block_of(
    "interface_up_down_delays",
    (
        in_effect(
            parsed(
                "IF",
                Type.INTERFACE,
                "Interface, delay when it goes down, delay when it comes up",
                "vrrp",
                repeatable=True,
                unit="s",
                default="down 0, up 0",
            ),
        ),
    ),
    entry=DELAY,
)

ROOT_ROWS: tuple[Keyword, ...] = (
    parsed(
        "linkbeat_interfaces",
        Type.BLOCK,
        "Interfaces whose link is polled because the kernel does not tell",
        "vrrp",
        block=LINKBEAT_INTERFACES,
        field="linkbeat_interfaces",
        repeatable=True,
        optional=True,
        since="2.0.13",
        reason="the kernel's word is taken for these interfaces",
    ),
    in_effect(
        parsed(
            "interface_up_down_delays",
            Type.BLOCK,
            "Time a change of an interface must last before it counts",
            "vrrp",
            block=INTERFACE_DELAYS,
            field="interface_delays",
            unit="s",
            repeatable=True,
            optional=True,
        ),
    ),
)
"""Rows of the top level that open the blocks of this module."""
