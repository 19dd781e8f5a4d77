"""Grammar table of virtual_server_group: lines of addresses and firewall marks."""

from __future__ import annotations

from keepalived_conf.grammar.check_rows import but
from keepalived_conf.grammar.common import NAME
from keepalived_conf.grammar.lvs_forms import ENDPOINT, GROUP_ENTRY
from keepalived_conf.grammar.schema import UINT32_MAX, Effect, Keyword, Type, block_of, integer_row, opens

VIRTUAL_SERVER_GROUP = block_of(
    "virtual_server_group",
    (
        Keyword(
            name="ADDRESS",
            type=Type.FORM,
            form=ENDPOINT,
            repeatable=True,
            help="ADDRESS[-ADDRESS|-LASTPART|/LENGTH] [PORT]: one address or all of a range",
            worker="ipvs",
            default="PORT 0",
            since="1.0.2",
            effect=Effect.PARSED,
        ),
        but(
            integer_row(
                "fwmark",
                0,
                UINT32_MAX,
                "Firewall mark, then inet or inet6 or nothing",
                worker="ipvs",
                default="family of real servers",
            ),
            repeatable=True,
            since="1.0.2",
            effect=Effect.PARSED,
        ),
    ),
    entry=GROUP_ENTRY,
    head=NAME,
)

ROOT_ROWS = (
    but(
        opens("virtual_server_group", VIRTUAL_SERVER_GROUP, "Addresses that share servers", worker="ipvs"),
        field="virtual_server_groups",
        since="1.0.2",
        effect=Effect.PARSED,
        reason="no service is made for a group",
    ),
)
"""Rows of the top level that open the blocks of this module."""
