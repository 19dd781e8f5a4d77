"""Grammar tables of global_defs and of the simple settings of the top level."""

from __future__ import annotations

import dataclasses

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.global_forms import NAMESPACE
from keepalived_conf.grammar.global_lvs import BFD_ROWS, LVS_ROWS
from keepalived_conf.grammar.global_process import MAIL_ROWS, PROCESS_ROWS, SCRIPT_ROWS, SNMP_ROWS
from keepalived_conf.grammar.global_rows import no_effect, parsed, parsed_flag, parsed_form
from keepalived_conf.grammar.global_vrrp import VRRP_ROWS
from keepalived_conf.grammar.schema import Effect, Keyword, Type, block_of, field_of, opens
from keepalived_conf.model import GlobalDefs

OWN_ROWS = (
    Keyword(
        name="log_format",
        type=Type.CHOICE,
        choices=("text", "json", "classic"),
        help="What log records look like, unless --log-format says it",
        default="text on a terminal, else json",
        worker="supervisor",
        extension=True,
    ),
    Keyword(
        name="handover",
        type=Type.BOOL,
        optional=True,
        help="A master that leaves on purpose serves on until its successor speaks; off: the RFC's order",
        default="on",
        worker="vrrp",
        extension=True,
    ),
)
"""Ours: only on @pykeepalived lines."""

GLOBAL_DEFS = block_of(
    "global_defs",
    (*PROCESS_ROWS, *SCRIPT_ROWS, *MAIL_ROWS, *SNMP_ROWS, *VRRP_ROWS, *LVS_ROWS, *BFD_ROWS, *OWN_ROWS),
    model=GlobalDefs,
)

_HERE = "everything runs in the network namespace that pykeepalived is started in, or that -s names"

_SETTINGS: tuple[Keyword, ...] = (
    parsed("net_namespace", Type.TEXT, "Network namespace to run in", "supervisor", since="1.2.24",
           again="ignored", stops_when_bare=False, reason=_HERE),
    parsed_form("net_namespace_ipvs", NAMESPACE, "Network namespace of IPVS; bare: the one at start", "ipvs",
                default="net_namespace", since="2.1.0", again="ignored", reason=_HERE),
    no_effect(
        parsed_flag("namespace_with_ipsets", "Use ipset inside a network namespace", "vrrp", since="1.3.0"),
        "rules are made by nftables, which needs no leave for it",
    ),
    parsed_flag("use_pid_dir", "Keep PID files in a directory of their own", "supervisor", since="1.2.24"),
    parsed("instance", Type.TEXT, "Name of this daemon among several", "supervisor", since="1.2.24",
           again="ignored", stops_when_bare=False),
    parsed("child_wait_time", Type.INTEGER, "Time workers get to stop before they are killed", "supervisor",
           low=0, unit="s", default="5", exact=True, effect=Effect.ACTIVE),
    no_effect(
        parsed_flag("linkbeat_use_polling", "Poll the state of links", "vrrp", since="1.1.18",
                    deprecated="list the interfaces in linkbeat_interfaces",
                    deprecated_class=KeepalivedClass.OK),
        "the kernel tells of each change of a link; linkbeat_interfaces is for devices that do not",
    ),
)  # fmt: skip

SETTINGS = tuple(
    dataclasses.replace(row, field=f"globals.{field_of(row.name, row.unit)}") for row in _SETTINGS
)
"""Of the top level; they live in ``GlobalDefs``."""

ROOT_ROWS = (
    *SETTINGS,
    opens("global_defs", GLOBAL_DEFS, "Settings of the whole daemon", worker="supervisor"),
)
