"""Sub-keywords of a rule, one row each. ``rule_forms`` reads them."""

from __future__ import annotations

from keepalived_conf.grammar.entry_rows import sub
from keepalived_conf.grammar.schema import INT32_MAX, UINT32_MAX, Keyword, Type

UINT64_MAX = 18446744073709551615


def rule_rows(*, static: bool) -> tuple[Keyword, ...]:
    """Of virtual_rules, or of static_rules. No worker installs them yet."""
    why = "static rules are not installed yet" if static else "the master does not install its rules yet"
    group = (
        sub(
            "track_group",
            Type.TEXT,
            "Instances that fail when the rule disappears; a track_group further up; needs dev",
            since="2.0.3",
            reason=why,
        ),
    )
    return (*_selectors(why), *_ranges(why), *_actions(why), *_how(why), *(group if static else ()))


def _selectors(why: str) -> tuple[Keyword, ...]:
    family = "from the addresses"
    return (
        sub(
            "inet",
            Type.FLAG,
            "IPv4; the word behind it is skipped",
            field="family",
            default=family,
            reason=why,
        ),
        sub(
            "inet6",
            Type.FLAG,
            "IPv6; the word behind it is skipped",
            field="family",
            default=family,
            reason=why,
        ),
        sub("from", Type.TEXT, "Source prefix, or all", field="source", default="all", reason=why),
        sub("to", Type.TEXT, "Destination prefix, or all", field="destination", default="all", reason=why),
        sub("not", Type.FLAG, "The rule is for what does not match", field="invert", reason=why),
        sub(
            "tos", Type.TEXT, "Type of service by name or number", default="none", low=0, high=255, reason=why
        ),
        sub(
            "dsfield",
            Type.TEXT,
            "Other word for tos",
            alias_of="tos",
            field="tos",
            low=0,
            high=255,
            reason=why,
        ),
        sub(
            "fwmark",
            Type.TEXT,
            "MARK[/MASK] of the packet, decimal, octal (010) or hexadecimal (0x10)",
            default="none",
            low=0,
            high=UINT32_MAX,
            reason=why,
        ),
        sub(
            "dev", Type.INTERFACE, "Interface the packet came in by", field="iif", default="none", reason=why
        ),
        sub("iif", Type.INTERFACE, "Other word for dev", alias_of="dev", field="iif", reason=why),
        sub("oif", Type.INTERFACE, "Interface a local socket is bound to", default="none", reason=why),
        sub(
            "tunnel-id",
            Type.INTEGER,
            "Id of the tunnel",
            default="none",
            low=0,
            high=UINT64_MAX,
            reason=why,
        ),
        sub(
            "ipproto",
            Type.TEXT,
            "IP protocol by name, or by a number up to 127",
            default="none",
            low=0,
            high=127,
            reason=why,
        ),
    )


def _ranges(why: str) -> tuple[Keyword, ...]:
    return (
        sub("uidrange", Type.TEXT, "UID-UID of the socket's owner", default="none", reason=why),
        sub(
            "sport",
            Type.TEXT,
            "PORT-PORT of the source; one port alone is refused",
            default="none",
            reason=why,
        ),
        sub(
            "dport",
            Type.TEXT,
            "PORT-PORT of the destination; one port alone is refused",
            default="none",
            reason=why,
        ),
    )


def _actions(why: str) -> tuple[Keyword, ...]:
    return (
        sub("type", Type.FLAG, "May stand before goto, nop, blackhole, unreachable, prohibit", reason=why),
        sub("table", Type.TEXT, "Action: look up this table, by name or number", default="none", reason=why),
        sub("lookup", Type.TEXT, "Other word for table", alias_of="table", field="table", reason=why),
        sub("l3mdev", Type.FLAG, "Action: look up the table of the interface's VRF", reason=why),
        sub(
            "goto",
            Type.INTEGER,
            "Action: go on at the rule of this preference, which is higher than the rule's own",
            default="none",
            low=0,
            high=UINT32_MAX,
            reason=why,
        ),
        *(
            sub(word, Type.FLAG, f"Action: {what}", field="action", reason=why)
            for word, what in (
                ("nop", "none, only a target for goto"),
                ("blackhole", "drop silently"),
                ("unreachable", "answer that the network cannot be reached"),
                ("prohibit", "answer that it is prohibited"),
            )
        ),
        sub(
            "realms",
            Type.TEXT,
            "[SOURCE/]DESTINATION realms by name or number, IPv4 only, with table",
            default="none",
            reason=why,
        ),
        *(
            sub(
                word,
                Type.INTEGER,
                help_,
                field="suppress_prefixlength",
                default="none",
                low=0,
                high=INT32_MAX,
                alias_of=alias,
                reason=why,
            )
            for word, alias, help_ in (
                (
                    "suppress_prefixlength",
                    "",
                    "With table: not the routes whose prefix is this long or shorter",
                ),
                ("sup_pl", "suppress_prefixlength", "Short form of suppress_prefixlength"),
            )
        ),
        *(
            sub(
                word,
                Type.TEXT,
                help_,
                field="suppress_ifgroup",
                default="none",
                alias_of=alias,
                reason=why,
            )
            for word, alias, help_ in (
                ("suppress_ifgroup", "", "With table: not the routes through interfaces of this group"),
                ("sup_group", "suppress_ifgroup", "Short form of suppress_ifgroup"),
            )
        ),
    )


def _how(why: str) -> tuple[Keyword, ...]:
    return (
        *(
            sub(
                word,
                Type.INTEGER,
                "Other word for preference" if alias else "Place of the rule: the lower comes first",
                field="preference",
                default="counted down from 16384, with a complaint",
                low=0,
                high=UINT32_MAX,
                alias_of=alias,
                reason=why,
            )
            for word, alias in (("preference", ""), ("order", "preference"), ("priority", "preference"))
        ),
        sub(
            "protocol",
            Type.INTEGER,
            "Who made the rule; without no_track always keepalived",
            default="keepalived (18)",
            low=0,
            high=255,
            reason=why,
        ),
        sub(
            "no_track",
            Type.FLAG,
            "Neither put back nor a fault when somebody takes it out",
            since="2.0.3",
            reason=why,
        ),
    )
