"""The grammar as data: one declarative table per block.

A row says what a keyword takes (type, range, unit), what it is when it is not written, whether
occurrences add up, who acts on it, and in one line what it does. The reader, the diagnostics and the
documentation are driven by these rows; only what one value does to another is code (``build``).

Facts: keepalived.conf(5), ranges and defaults as keepalived 2.4.3 has them.
"""

from __future__ import annotations

from keepalived_conf.grammar import (
    bfd,
    global_defs,
    groups,
    interfaces,
    routing,
    ssl,
    trackers,
    virtual_server,
    virtual_server_group,
    vrrp_instance,
)
from keepalived_conf.grammar.schema import block_of
from keepalived_conf.model import Config

ROOT = block_of(
    "",
    (
        *global_defs.ROOT_ROWS,
        *groups.ROOT_ROWS,
        *interfaces.ROOT_ROWS,
        *routing.ROOT_ROWS,
        *trackers.ROOT_ROWS,
        *vrrp_instance.ROOT_ROWS,
        *bfd.ROOT_ROWS,
        *ssl.ROOT_ROWS,
        *virtual_server_group.ROOT_ROWS,
        *virtual_server.ROOT_ROWS,
    ),
    model=Config,
)
