"""Grammar tables of virtual_server and what stands inside it."""

from __future__ import annotations

from keepalived_conf.grammar.schema import (
    INT32_MAX,
    TIMER_MAX_S,
    UINT32_MAX,
    Keyword,
    Type,
    block_of,
    bool_row,
    choice_row,
    flag_row,
    integer_row,
    opens,
    plain_row,
    seconds_row,
)

# --- virtual_server ------------------------------------------------------------------------------------

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "sh", "mh", "dh", "fo", "ovf", "lblcr", "sed", "nq", "twos")


def _check_rows(retry_default: str, delay_default: str) -> tuple[Keyword, ...]:
    return (
        plain_row(
            "connect_ip", Type.ADDRESS, "Address to connect to", worker="checker", default="real server"
        ),
        integer_row(
            "connect_port", 1, 65535, "Port to connect to", worker="checker", default="real server port"
        ),
        plain_row("bindto", Type.ADDRESS, "Local address", worker="checker", default="kernel's choice"),
        integer_row("bind_port", 1, 65535, "Local port", worker="checker", default="kernel's choice"),
        plain_row(
            "bind_if", Type.INTERFACE, "Interface to bind to; required for link-local IPv6", worker="checker"
        ),
        seconds_row(
            "connect_timeout",
            0.000001,
            TIMER_MAX_S,
            "Limit for connecting and for the reply",
            worker="checker",
            default="real_server connect_timeout (5)",
        ),
        integer_row(
            "fwmark", 0, UINT32_MAX, "Mark set on packets of the check", worker="checker", default="0"
        ),
        integer_row(
            "retry",
            0,
            UINT32_MAX,
            "Extra attempts before the check counts as failed",
            worker="checker",
            default=f"real_server retry, else {retry_default}",
        ),
        seconds_row(
            "delay_before_retry",
            0,
            None,
            "Pause between attempts",
            worker="checker",
            default=f"real_server value, else {delay_default}",
        ),
        seconds_row(
            "warmup",
            0,
            None,
            "First check after a random time up to this",
            worker="checker",
            default="real_server warmup, else delay_loop",
        ),
        seconds_row(
            "delay_loop",
            0.000001,
            None,
            "Time between checks",
            worker="checker",
            default="real_server delay_loop (60)",
        ),
        bool_row("alpha", "Down until the first success", worker="checker", default="real_server alpha"),
        bool_row(
            "log_all_failures",
            "Log every failed attempt",
            worker="checker",
            default="checker_log_all_failures",
        ),
    )


_SERVER = "virtual_server.real_server"
TCP_CHECK = block_of(f"{_SERVER}.TCP_CHECK", _check_rows("1", "1"))
URL = block_of(
    f"{_SERVER}.HTTP_GET.url",
    (
        plain_row("path", Type.TEXT, "Path and query to request", worker="checker", default="required"),
        plain_row(
            "digest", Type.TEXT, "MD5 of the body, 32 hex digits", worker="checker", default="not checked"
        ),
        plain_row(
            "status_code",
            Type.WORDS,
            "Good status codes and ranges, 100..599; lines add up",
            worker="checker",
            default="200-299",
            repeatable=True,
        ),
        plain_row(
            "virtualhost",
            Type.TEXT,
            "Host header of this URL",
            worker="checker",
            default="virtualhost of the check",
        ),
        plain_row(
            "regex", Type.WORDS, "Pattern the body must match", worker="checker", default="not checked"
        ),
        flag_row("regex_no_match", "Succeed when the pattern does not match", worker="checker"),
    ),
)
HTTP_GET = block_of(
    f"{_SERVER}.HTTP_GET",
    (
        *_check_rows("1", "3"),
        integer_row(
            "nb_get_retry",
            0,
            UINT32_MAX,
            "Old name of retry",
            worker="checker",
            alias_of="retry",
            deprecated="write retry",
        ),
        plain_row(
            "virtualhost",
            Type.TEXT,
            "Host header",
            worker="checker",
            default="real_server, virtual_server virtualhost",
        ),
        choice_row(
            "http_protocol", "1.0 1.0C 1.0c 1.1", "Version of the request", worker="checker", default="1.0"
        ),
        bool_row("fast_recovery", "No wait between URLs at start and recovery", worker="checker"),
        opens("url", URL, "One URL to fetch", worker="checker"),
    ),
)


def _shared_rows(worker_default: str) -> tuple[Keyword, ...]:
    """Defaults of checks that may stand in virtual_server and real_server."""
    return (
        integer_row(
            "retry", 1, UINT32_MAX, "Default of retry of the checks", worker="checker", default=worker_default
        ),
        seconds_row(
            "delay_before_retry",
            0,
            None,
            "Default pause between attempts",
            worker="checker",
            default=worker_default,
        ),
        seconds_row(
            "warmup",
            0,
            None,
            "Default bound of the random first delay",
            worker="checker",
            default=worker_default,
        ),
        seconds_row(
            "connect_timeout",
            0.000001,
            TIMER_MAX_S,
            "Default connect timeout",
            worker="checker",
            default=worker_default,
        ),
        seconds_row(
            "delay_loop",
            0.000001,
            None,
            "Default time between checks",
            worker="checker",
            default=worker_default,
        ),
        plain_row("virtualhost", Type.TEXT, "Default Host header", worker="checker", default=worker_default),
    )


REAL_SERVER = block_of(
    _SERVER,
    (
        *_shared_rows("of the virtual_server"),
        integer_row(
            "weight", 0, INT32_MAX, "IPVS weight", worker="ipvs", default="virtual_server weight (1)"
        ),
        plain_row(
            "lvs_method", Type.WORDS, "NAT, DR or TUN", worker="ipvs", default="virtual_server lvs_method"
        ),
        integer_row("uthreshold", 0, UINT32_MAX, "Upper limit of connections", worker="ipvs", default="0"),
        integer_row("lthreshold", 0, UINT32_MAX, "Lower limit of connections", worker="ipvs", default="0"),
        bool_row(
            "inhibit_on_failure",
            "Weight 0 instead of removal on failure",
            worker="ipvs",
            default="of the virtual_server",
        ),
        bool_row(
            "alpha", "Checks start in the down state", worker="ipvs+checker", default="of the virtual_server"
        ),
        opens("TCP_CHECK", TCP_CHECK, "Good when a TCP connection opens", worker="checker"),
        opens("HTTP_GET", HTTP_GET, "Fetches URLs and judges the answers", worker="checker"),
    ),
)

VIRTUAL_SERVER = block_of(
    "virtual_server",
    (
        *_shared_rows("of the kind of check"),
        choice_row(
            "ip_family",
            "inet inet6",
            "Family of a fwmark service",
            worker="ipvs",
            default="from real servers",
        ),
        flag_row("inhibit_on_failure", "Weight 0 instead of removal of failed servers", worker="ipvs"),
        plain_row("lb_algo", Type.TEXT, "Scheduler", worker="ipvs", default="wlc with an error"),
        plain_row("lvs_sched", Type.TEXT, "Scheduler", worker="ipvs", alias_of="lb_algo"),
        flag_row("hashed", "Accepted; IPVS services are always hashed", worker="ipvs"),
        flag_row("ops", "One-packet scheduling (UDP)", worker="ipvs"),
        flag_row("flag-1", "Scheduler flag 1", worker="ipvs"),
        flag_row("flag-2", "Scheduler flag 2", worker="ipvs"),
        flag_row("flag-3", "Scheduler flag 3", worker="ipvs"),
        flag_row("sh-port", "sh hashes the port too", worker="ipvs"),
        flag_row("sh-fallback", "sh passes over servers that are not usable", worker="ipvs"),
        flag_row("mh-port", "mh hashes the port too", worker="ipvs"),
        flag_row("mh-fallback", "mh passes over servers that are not usable", worker="ipvs"),
        plain_row("lb_kind", Type.WORDS, "NAT, DR or TUN", worker="ipvs", default="NAT with an error"),
        plain_row("lvs_method", Type.WORDS, "NAT, DR or TUN", worker="ipvs", alias_of="lb_kind"),
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
        plain_row(
            "persistence_granularity",
            Type.TEXT,
            "Netmask (IPv4) or prefix length (IPv6) that groups clients",
            worker="ipvs",
            default="single client",
        ),
        plain_row("protocol", Type.TEXT, "TCP, UDP or SCTP", worker="ipvs", default="UDP with an error"),
        flag_row("alpha", "Servers start down until their checks succeed", worker="ipvs+checker"),
        flag_row("omega", "Run the down notifications at stop", worker="ipvs"),
        integer_row(
            "quorum", 1, UINT32_MAX, "Weight of live servers that is needed", worker="ipvs", default="1"
        ),
        integer_row("hysteresis", 0, UINT32_MAX, "Margin around the quorum", worker="ipvs", default="0"),
        integer_row("weight", 1, INT32_MAX, "Default weight of real servers", worker="ipvs", default="1"),
        plain_row(
            "sorry_server", Type.WORDS, "Server used while the quorum is lost", worker="ipvs", default="none"
        ),
        flag_row("sorry_server_inhibit", "inhibit_on_failure of the sorry server", worker="ipvs"),
        plain_row(
            "sorry_server_lvs_method",
            Type.WORDS,
            "NAT, DR or TUN of the sorry server",
            worker="ipvs",
            default="lb_kind",
        ),
        opens("real_server", REAL_SERVER, "One server behind the service", worker="ipvs+checker"),
    ),
)

ROOT_ROWS = (opens("virtual_server", VIRTUAL_SERVER, "One IPVS service", worker="ipvs+checker"),)
