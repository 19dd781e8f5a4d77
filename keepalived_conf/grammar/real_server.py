"""Grammar table of real_server, and the rows that it shares with virtual_server."""

from __future__ import annotations

from keepalived_conf.grammar.check_rows import but
from keepalived_conf.grammar.checks import CHECK_ROWS
from keepalived_conf.grammar.common import SCRIPT
from keepalived_conf.grammar.lvs_forms import FORWARDING
from keepalived_conf.grammar.schema import (
    INT32_MAX,
    TIMER_MAX_S,
    UINT32_MAX,
    Effect,
    Keyword,
    Type,
    block_of,
    bool_row,
    integer_row,
    plain_row,
    seconds_row,
)
from keepalived_conf.model import RealServer


def shared_rows(default: str) -> tuple[Keyword, ...]:
    """Defaults of checks that may stand in virtual_server and real_server."""
    return (
        integer_row(
            "retry", 1, UINT32_MAX, "Default of retry of the checks", worker="checker", default=default
        ),
        seconds_row(
            "delay_before_retry",
            0,
            None,
            "Default pause between attempts",
            worker="checker",
            default=default,
        ),
        seconds_row(
            "warmup", 0, None, "Default bound of the random first delay", worker="checker", default=default
        ),
        seconds_row(
            "connect_timeout",
            0.000001,
            TIMER_MAX_S,
            "Default connect timeout",
            worker="checker",
            default=default,
        ),
        seconds_row(
            "delay_loop", 0.000001, None, "Default time between checks", worker="checker", default=default
        ),
        but(
            plain_row(
                "virtualhost",
                Type.TEXT,
                "Default Host header",
                worker="checker",
                default=default,
                stops_when_bare=False,
            ),
            again="replaced",
        ),
    )


def snmp_name_row() -> Keyword:
    return but(
        plain_row(
            "snmp_name", Type.TEXT, "Name in SNMP", worker="api", default="none", stops_when_bare=False
        ),
        again="replaced",
        since="2.2.3",
        effect=Effect.PARSED,
    )


def smtp_alert_row(default: str) -> Keyword:
    return bool_row(
        "smtp_alert",
        "Mail when it goes down or comes back",
        worker="script",
        default=f"smtp_alert_checker, smtp_alert, else {default}",
    )


def script_row(name: str, help_: str, since: str = "") -> Keyword:
    return Keyword(
        name=name,
        type=Type.FORM,
        form=SCRIPT,
        help=help_,
        worker="script",
        default="none",
        again="ignored",
        since=since,
    )


REAL_SERVER = block_of(
    "virtual_server.real_server",
    (
        integer_row(
            "weight", 0, INT32_MAX, "IPVS weight", worker="ipvs", default="virtual_server weight (1)"
        ),
        Keyword(
            name="lvs_method",
            type=Type.FORM,
            form=FORWARDING,
            field="forwarding",
            help="NAT, DR or TUN",
            worker="ipvs",
            default="virtual_server lvs_method",
            since="1.3.6",
        ),
        but(
            integer_row(
                "uthreshold", 0, UINT32_MAX, "Upper limit of connections", worker="ipvs", default="0"
            ),
            unit="connections",
            since="1.1.13",
        ),
        but(
            integer_row(
                "lthreshold", 0, UINT32_MAX, "Lower limit of connections", worker="ipvs", default="0"
            ),
            unit="connections",
            since="1.1.13",
        ),
        but(
            bool_row(
                "inhibit_on_failure",
                "Weight 0 instead of removal on failure",
                worker="ipvs",
                default="of the virtual_server",
            ),
            since="0.6.8",
        ),
        script_row("notify_up", "Script to run when the server comes back", "1.0.0"),
        script_row("notify_down", "Script to run when the server goes down", "1.0.0"),
        bool_row(
            "alpha", "Checks start in the down state", worker="ipvs+checker", default="of the virtual_server"
        ),
        *(
            but(row, since="1.3.6") if row.name == "virtualhost" else row
            for row in shared_rows("of the virtual_server")
        ),
        smtp_alert_row("on"),
        snmp_name_row(),
        *CHECK_ROWS,
    ),
    model=RealServer,
)
