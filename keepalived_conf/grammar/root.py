"""The grammar as data: one declarative table per block.

A row says what a keyword takes (type, range, unit), what it is when it is not written, whether
occurrences add up, who acts on it, and in one line what it does. The reader, the diagnostics and the
documentation are driven by these rows; only what one value does to another is code (``build``).

Facts: keepalived.conf(5), ranges and defaults as keepalived 2.4.3 has them.
"""

from __future__ import annotations

from keepalived_conf.grammar.schema import (
    Block,
    Keyword,
    Type,
    block_of,
    integer_row,
    opens,
)
from keepalived_conf.grammar.virtual_server import (
    HTTP_GET,
    REAL_SERVER,
    SCHEDULERS,
    TCP_CHECK,
    URL,
    VIRTUAL_SERVER,
)
from keepalived_conf.grammar.vrrp_instance import AUTHENTICATION, GLOBAL_DEFS, VRRP_INSTANCE

__all__ = [
    "AUTHENTICATION",
    "GLOBAL_DEFS",
    "HTTP_GET",
    "REAL_SERVER",
    "ROOT",
    "SCHEDULERS",
    "TCP_CHECK",
    "URL",
    "VIRTUAL_SERVER",
    "VRRP_INSTANCE",
    "Block",
    "Keyword",
    "Type",
]

ROOT = block_of(
    "",
    (
        integer_row(
            "child_wait_time",
            0,
            None,
            "Wait for workers at stop before they are killed",
            worker="supervisor",
            default="5",
            unit="s",
        ),
        opens("global_defs", GLOBAL_DEFS, "Settings of the whole daemon", worker=""),
        opens("vrrp_instance", VRRP_INSTANCE, "One virtual router", worker="vrrp", stops_when_bare=False),
        opens("virtual_server", VIRTUAL_SERVER, "One IPVS service", worker="ipvs+checker"),
    ),
)
