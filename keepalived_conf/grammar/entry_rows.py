"""Short ways to write the rows of sub-keywords: words within a line of a value block."""

from __future__ import annotations

from keepalived_conf.grammar.schema import Effect, Keyword, Type


def sub(
    name: str,
    type_: Type,
    help_: str,
    *,
    field: str = "",
    default: str = "",
    unit: str = "",
    since: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: str = "",
    reason: str = "",
    alias_of: str = "",
    deprecated: str = "",
    repeatable: bool = False,
) -> Keyword:
    """The row of a sub-keyword; ``reason``: it has no effect yet, and why."""
    return Keyword(
        name=name,
        type=type_,
        help=help_,
        field=field,
        default=default or ("off" if type_ is Type.FLAG else ""),
        unit=unit,
        since=since,
        low=low,
        high=high,
        choices=tuple(choices.split()),
        effect=Effect.PARSED if reason else Effect.ACTIVE,
        reason=reason,
        alias_of=alias_of,
        deprecated=deprecated,
        repeatable=repeatable,
        optional=type_ is Type.FLAG,
        worker="vrrp",
    )
