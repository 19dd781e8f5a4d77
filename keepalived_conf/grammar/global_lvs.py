"""Rows of global_defs: services, checkers, BFD."""

from __future__ import annotations

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.global_forms import IPVS_TABLE
from keepalived_conf.grammar.global_net_forms import LVS_TIMEOUTS, SYNC_DAEMON, add_timeouts
from keepalived_conf.grammar.global_process import buffer_rows, process_rows
from keepalived_conf.grammar.global_rows import parsed, parsed_bool, parsed_flag, parsed_form, parsed_number
from keepalived_conf.grammar.schema import INT32_MAX, UINT32_MAX, Effect, Keyword, Type

_ACTIVE = {"effect": Effect.ACTIVE}

LVS_ROWS: tuple[Keyword, ...] = (
    parsed_form("lvs_timeouts", LVS_TIMEOUTS, "Timeouts of IPVS connections", "ipvs", unit="s",
                default="kernel values", merge=add_timeouts),
    parsed_flag("lvs_flush", "Clear the whole IPVS table at start", "ipvs", since="1.2.23", **_ACTIVE),
    parsed("lvs_flush_on_stop", Type.WORDS, "Flush all of IPVS, or with VS our services, at stop", "ipvs",
           default="off", optional=True, since="2.0.15", **_ACTIVE),
    parsed("lvs_flush_onstop", Type.WORDS, "Misspelt early name of lvs_flush_on_stop", "ipvs", optional=True,
           alias_of="lvs_flush_on_stop", since="2.0.15", deprecated="write lvs_flush_on_stop",
           deprecated_class=KeepalivedClass.OK, **_ACTIVE),
    parsed_form("lvs_sync_daemon", SYNC_DAEMON, "Run the kernel's daemon that passes connections on", "ipvs",
                since="1.2.20", again="ignored",
                reason="connections are not passed on to the other node"),
    parsed_form("nftables_ipvs", IPVS_TABLE, "Make firewall marks for groups in this table of nftables",
                "ipvs", default="keepalived_ipvs", since="2.2.2", again="ignored"),
    parsed_number("nftables_ipvs_priority", -INT32_MAX - 1, INT32_MAX, "Priority of the chains in that table",
                  "ipvs", default="-1", exact=True),
    parsed_number("nftables_ipvs_start_fwmark", 1, UINT32_MAX, "First of those marks", "ipvs",
                  default="1000", exact=True),
    parsed_bool("rs_init_notifies", "The first result of a real server is told as a change", "checker"),
    parsed_bool("checker_log_all_failures", "Default of log_all_failures", "checker", since="2.0.11",
                **_ACTIVE),
    *process_rows("checker", "checker"),
    *buffer_rows("lvs_netlink_cmd", "checker", "the checker's netlink socket for commands"),
    *buffer_rows("lvs_netlink_monitor", "checker", "the checker's netlink socket that watches"),
)  # fmt: skip

BFD_ROWS: tuple[Keyword, ...] = process_rows("bfd", "bfd")
