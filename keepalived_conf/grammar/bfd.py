"""Grammar table of bfd_instance."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.common import NameForm, WeightForm, whole_number
from keepalived_conf.grammar.forms import Args, BadWordError
from keepalived_conf.grammar.global_rows import parsed, parsed_bool, parsed_flag, parsed_form, parsed_number
from keepalived_conf.grammar.schema import Keyword, Type, block_of
from keepalived_conf.model import BfdInstance, Weight

NAME_MAX = 31
INTERVAL_MAX_MS = 4294967
TTL_MAX = 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class BfdWeightForm(WeightForm):
    """``N [reverse]``. A bad word behind the number leaves the number, and words behind it are not read."""

    limit: int = 253

    @property
    def takes(self) -> str:
        return f"a whole number from -{self.limit} to {self.limit}, then reverse or nothing"

    def read(self, args: Args) -> Weight:
        number = whole_number(args, args.first, -self.limit, self.limit)
        option = args.first + 1
        if len(args.words) <= option:
            return Weight(value=number)
        word = args.words[option].text
        if word != "reverse":
            args.note(
                option,
                "invalid-value",
                f"'{word}' is not reverse; it is ignored",
                severity=Severity.ERROR,
                keepalived=KeepalivedClass.GENERAL_ERROR,
            )
        return Weight(value=number, reverse=word == "reverse")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BfdNameForm(NameForm):
    """A name that ``bfd_instance`` takes; a longer one makes keepalived skip the block."""

    max_chars: int | None = NAME_MAX

    def read(self, args: Args) -> str:
        name = super().read(args)
        if not name:
            raise BadWordError(args.first, "the name is empty")
        return name


def _interval(name: str, low: int, default: str, help_: str) -> Keyword:
    more: dict[str, Any] = {"unit": "ms", "decimals": 3, "default": default, "field": f"{name}_ms"}
    return parsed(name, Type.DECIMAL, help_, "bfd", low=low, high=INTERVAL_MAX_MS, **more)


BFD_INSTANCE = block_of(
    "bfd_instance",
    (
        parsed("neighbor_ip", Type.ADDRESS, "Address of the other end", "bfd", default="required"),
        parsed("neighbour_ip", Type.ADDRESS, "Other spelling of neighbor_ip", "bfd", alias_of="neighbor_ip"),
        parsed("source_ip", Type.ADDRESS, "Own address of the session", "bfd", default="kernel choice"),
        _interval("min_rx", 1, "10", "Shortest interval at which packets can be received"),
        _interval("min_tx", 1, "10", "Interval at which packets are to be sent"),
        _interval("idle_tx", 1000, "1000", "The same while the session is not up"),
        parsed_number(
            "multiplier",
            1,
            255,
            "Packets missed in a row that end the session",
            "bfd",
            unit="packets",
            default="5",
            exact=True,
        ),
        parsed_flag("passive", "Wait until the other end speaks", "bfd"),
        parsed_number(
            "ttl",
            1,
            TTL_MAX,
            "TTL or hop limit of packets sent",
            "bfd",
            default="255 for IPv4, 64 for IPv6",
            exact=True,
        ),
        parsed_number("hoplimit", 1, TTL_MAX, "Other name of ttl", "bfd", alias_of="ttl", exact=True),
        parsed_number(
            "max_hops",
            -1,
            TTL_MAX,
            "Hops a received packet may have travelled; -1 or 255: any number",
            "bfd",
            unit="hops",
            default="0",
            exact=True,
        ),
        parsed_bool("multihop", "The other end is not a direct neighbour (RFC 5883)", "bfd", since="2.2.8"),
        parsed_form(
            "weight", BfdWeightForm(), "Weight of track_bfd entries that name none", "vrrp", default="0"
        ),
        parsed_flag("vrrp", "Tell VRRP of it; checkers only if they are named too", "vrrp", default="on"),
        parsed_flag("checker", "Tell checkers of it; VRRP only if it is named too", "checker", default="on"),
    ),
    model=BfdInstance,
    head=BfdNameForm(),
)

ROOT_ROWS: tuple[Keyword, ...] = (
    parsed(
        "bfd_instance",
        Type.BLOCK,
        "One BFD session",
        "bfd",
        block=BFD_INSTANCE,
        field="bfd_instances",
        repeatable=True,
        optional=True,
        reason="the session is not run",
    ),
)
"""Rows of the top level that open the blocks of this module."""
