"""Grammar table of virtual_server."""

from __future__ import annotations

from keepalived_conf.grammar.check_forms import FoldedChoice, Lenient
from keepalived_conf.grammar.check_rows import but
from keepalived_conf.grammar.lvs_forms import ENDPOINT, FORWARDING, GRANULARITY, PERSISTENCE_ENGINE
from keepalived_conf.grammar.real_server import (
    REAL_SERVER,
    script_row,
    shared_rows,
    smtp_alert_row,
    snmp_name_row,
)
from keepalived_conf.grammar.schema import (
    INT32_MAX,
    UINT32_MAX,
    Effect,
    Keyword,
    Type,
    block_of,
    choice_row,
    flag_row,
    integer_row,
    opens,
)
from keepalived_conf.model import VirtualServer

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "sh", "mh", "dh", "fo", "ovf", "lblcr", "sed", "nq", "twos")

_OF_CHECKS = {"connect_timeout": "5", "delay_loop": "60"}
"""Defaults that all kinds of checks have in common."""

VIRTUAL_SERVER = block_of(
    "virtual_server",
    (
        but(
            choice_row(
                "ip_family",
                "inet inet6",
                "Family of a fwmark service",
                worker="ipvs",
                default="from real servers",
            ),
            since="1.2.20",
        ),
        *(
            but(row, default=_OF_CHECKS.get(row.name, row.default))
            for row in shared_rows("of the kind of check")
        ),
        but(
            flag_row("inhibit_on_failure", "Weight 0 instead of removal of failed servers", worker="ipvs"),
            since="0.6.8",
        ),
        but(
            choice_row(
                "lb_algo", " ".join(SCHEDULERS), "Scheduler", worker="ipvs", default="wlc with an error"
            ),
            field="scheduler",
        ),
        but(
            choice_row(
                "lvs_sched",
                " ".join(SCHEDULERS),
                "Scheduler",
                worker="ipvs",
                default="wlc with an error",
                alias_of="lb_algo",
            ),
            since="1.1.5",
        ),
        but(
            flag_row("hashed", "Accepted", worker="ipvs"),
            effect=Effect.NONE,
            reason="IPVS services are always hashed",
        ),
        flag_row("ops", "One-packet scheduling (UDP)", worker="ipvs"),
        flag_row("flag-1", "Scheduler flag 1", worker="ipvs"),
        flag_row("flag-2", "Scheduler flag 2", worker="ipvs"),
        flag_row("flag-3", "Scheduler flag 3", worker="ipvs"),
        flag_row("sh-port", "sh hashes the port too; below lvs_sched sh", worker="ipvs"),
        flag_row(
            "sh-fallback", "sh passes over servers that are not usable; below lvs_sched sh", worker="ipvs"
        ),
        but(flag_row("mh-port", "mh hashes the port too; below lvs_sched mh", worker="ipvs"), since="2.0.20"),
        but(
            flag_row(
                "mh-fallback", "mh passes over servers that are not usable; below lvs_sched mh", worker="ipvs"
            ),
            since="2.0.20",
        ),
        Keyword(
            name="lb_kind",
            type=Type.FORM,
            form=FORWARDING,
            field="forwarding",
            help="NAT, DR or TUN; for real servers below it",
            worker="ipvs",
            default="NAT with an error",
        ),
        Keyword(
            name="lvs_method",
            type=Type.FORM,
            form=FORWARDING,
            help="NAT, DR or TUN; for real servers below it",
            worker="ipvs",
            default="NAT with an error",
            alias_of="lb_kind",
            since="1.1.5",
        ),
        Keyword(
            name="persistence_engine",
            type=Type.FORM,
            form=PERSISTENCE_ENGINE,
            help="Persistence engine of the kernel, such as sip",
            worker="ipvs",
            default="none",
            effect=Effect.PARSED,
            reason="the service is made without a persistence engine",
        ),
        integer_row(
            "persistence_timeout",
            1,
            2678400,
            "Persistent connections",
            worker="ipvs",
            default="off; 360 when bare",
            unit="s",
            optional=True,
        ),
        Keyword(
            name="persistence_granularity",
            type=Type.FORM,
            form=GRANULARITY,
            field="persistence_granularity",
            help="Netmask (IPv4) or prefix length (IPv6) that groups clients",
            worker="ipvs",
            default="single client",
        ),
        Keyword(
            name="protocol",
            type=Type.FORM,
            form=FoldedChoice(choices=("TCP", "UDP", "SCTP")),
            help="TCP, UDP or SCTP",
            worker="ipvs",
            default="UDP with an error",
        ),
        but(
            flag_row("ha_suspend", "Check only while the address is on this machine", worker="checker"),
            since="1.0.0",
            effect=Effect.PARSED,
            reason="checks run whether or not the address is here",
        ),
        smtp_alert_row("off"),
        snmp_name_row(),
        but(
            flag_row("alpha", "Servers start down until their checks succeed", worker="ipvs+checker"),
            since="1.1.16",
        ),
        but(flag_row("omega", "Run the down notifications at stop", worker="ipvs"), since="1.1.16"),
        script_row("quorum_up", "Script to run when the quorum is gained"),
        script_row("quorum_down", "Script to run when the quorum is lost"),
        integer_row(
            "quorum",
            1,
            UINT32_MAX,
            "Weight of live servers that is needed",
            worker="ipvs",
            default="1",
            unit="weight",
        ),
        integer_row(
            "hysteresis", 0, UINT32_MAX, "Margin around the quorum", worker="ipvs", default="0", unit="weight"
        ),
        integer_row("weight", 1, INT32_MAX, "Default weight of real servers", worker="ipvs", default="1"),
        Keyword(
            name="sorry_server",
            type=Type.FORM,
            form=ENDPOINT,
            help="Server used while the quorum is lost",
            worker="ipvs",
            default="none; PORT of the service",
            since="0.3.5",
        ),
        flag_row(
            "sorry_server_inhibit",
            "inhibit_on_failure of the sorry server; below sorry_server",
            worker="ipvs",
        ),
        Keyword(
            name="sorry_server_lvs_method",
            type=Type.FORM,
            form=Lenient(form=FORWARDING),
            field="sorry_server_forwarding",
            help="NAT, DR or TUN of the sorry server; below sorry_server",
            worker="ipvs",
            default="lb_kind",
        ),
        but(
            opens("real_server", REAL_SERVER, "One server behind the service", worker="ipvs+checker"),
            field="real_servers",
        ),
    ),
    model=VirtualServer,
)

ROOT_ROWS = (
    but(
        opens("virtual_server", VIRTUAL_SERVER, "One IPVS service", worker="ipvs+checker"),
        field="virtual_servers",
    ),
)
"""Rows of the top level that open the blocks of this module."""
