"""Grammar tables of the checks of a real server."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.check_forms import (
    BFD_NAME,
    DIGEST,
    DNS_NAME,
    DNS_TYPES,
    OFFSET,
    PAYLOAD,
    REGEX,
    REGEX_OPTION_LIST,
    REGEX_STACK,
    REPLY,
    STATUS_CODES,
    USER,
    FoldedChoice,
    union,
)
from keepalived_conf.grammar.common import COMMAND, NAME, WeightForm
from keepalived_conf.grammar.forms import Form
from keepalived_conf.grammar.schema import (
    INT32_MAX,
    TIMER_MAX_S,
    UINT32_MAX,
    Effect,
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
from keepalived_conf.model import (
    BfdCheck,
    Check,
    DnsCheck,
    FileCheck,
    HttpUrl,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    SslCheck,
    UdpCheck,
)

_SERVER = "virtual_server.real_server"
NEVER_FAILS = "this check never fails: the real server counts as good as far as it goes"


def form_row(name: str, form: Form, help_: str, **more: Any) -> Keyword:
    """A keyword with an argument of a shape of its own, read by the checker."""
    return Keyword(name=name, type=Type.FORM, form=form, help=help_, worker="checker", **more)


def but(row: Keyword, **more: Any) -> Keyword:
    """The row with more said about it."""
    return dataclasses.replace(row, **more)


def parsed(rows: tuple[Keyword, ...]) -> tuple[Keyword, ...]:
    """Rows of a block that has no effect yet."""
    return tuple(but(row, effect=Effect.PARSED) if row.effect is Effect.ACTIVE else row for row in rows)


# --- what checks share -----------------------------------------------------------------------------------


def _timed(retry: str, delay: str) -> tuple[Keyword, ...]:
    return (
        but(
            integer_row(
                "retry",
                0,
                UINT32_MAX,
                "Extra attempts before the check counts as failed",
                worker="checker",
                default=f"real_server retry, else {retry}",
            ),
            since="1.2.20",
        ),
        but(
            seconds_row(
                "delay_before_retry",
                0,
                None,
                "Pause between attempts",
                worker="checker",
                default=f"real_server value, else {delay}",
            ),
            since="1.2.20",
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
        but(
            bool_row(
                "log_all_failures",
                "Log every failed attempt",
                worker="checker",
                default="checker_log_all_failures",
            ),
            since="2.0.11",
        ),
    )


def _connecting(retry: str = "1", delay: str = "1") -> tuple[Keyword, ...]:
    return (
        but(
            plain_row(
                "connect_ip", Type.ADDRESS, "Address to connect to", worker="checker", default="real server"
            ),
            since="1.2.13",
        ),
        but(
            integer_row(
                "connect_port", 1, 65535, "Port to connect to", worker="checker", default="real server port"
            ),
            since="1.2.13",
        ),
        but(
            plain_row("bindto", Type.ADDRESS, "Local address", worker="checker", default="kernel's choice"),
            since="1.1.2",
        ),
        but(
            integer_row("bind_port", 1, 65535, "Local port", worker="checker", default="kernel's choice"),
            since="1.2.13",
        ),
        but(
            plain_row(
                "bind_if",
                Type.INTERFACE,
                "Interface to bind to; required for link-local IPv6",
                worker="checker",
                default="none",
            ),
            since="1.3.7",
        ),
        but(
            seconds_row(
                "connect_timeout",
                0.000001,
                TIMER_MAX_S,
                "Limit for connecting and for the reply",
                worker="checker",
                default="real_server connect_timeout (5)",
            ),
            since="1.2.13",
        ),
        integer_row(
            "fwmark", 0, UINT32_MAX, "Mark set on packets of the check", worker="checker", default="0"
        ),
        *_timed(retry, delay),
    )


# --- TCP_CHECK, HTTP_GET, SSL_GET ------------------------------------------------------------------------

TCP_CHECK = block_of(f"{_SERVER}.TCP_CHECK", _connecting(), model=Check)

_TLS_ROW = bool_row(
    "tls_compliant", "A connection that ends without a TLS close is a failure", worker="checker"
)

_URL_ROWS = (
    but(
        plain_row("path", Type.TEXT, "Path and query to request", worker="checker", default="required"),
        again="replaced",
    ),
    form_row("digest", DIGEST, "MD5 of the body, 32 hex digits", default="not checked", again="ignored"),
    form_row(
        "status_code",
        STATUS_CODES,
        "Good status codes and ranges, 100..599; lines add up",
        default="200-299",
        field="status_ranges",
        merge=union,
        since="0.7.6",
    ),
    but(
        plain_row(
            "virtualhost",
            Type.TEXT,
            "Host header of this URL",
            worker="checker",
            default="virtualhost of the check",
            stops_when_bare=False,
        ),
        again="replaced",
        since="1.3.6",
    ),
    form_row(
        "regex",
        REGEX,
        "Pattern the body must match",
        default="not checked",
        again="replaced",
        since="2.0.7",
    ),
    but(
        flag_row("regex_no_match", "Succeed when the pattern does not match", worker="checker"),
        since="2.0.7",
    ),
    form_row(
        "regex_options",
        REGEX_OPTION_LIST,
        "Options of the pattern; lines add up",
        default="none",
        merge=union,
        since="2.0.7",
        effect=Effect.PARSED,
        reason="the pattern is matched without these options",
    ),
    form_row(
        "regex_min_offset",
        OFFSET,
        "First offset in the body where a match may start",
        default="0",
        unit="bytes",
        since="2.0.7",
        effect=Effect.PARSED,
        reason="the pattern may match anywhere in the body",
    ),
    form_row(
        "regex_max_offset",
        OFFSET,
        "Last offset in the body where a match may start",
        default="unlimited",
        unit="bytes",
        since="2.0.7",
        effect=Effect.PARSED,
        reason="the pattern may match anywhere in the body",
    ),
    form_row(
        "regex_stack",
        REGEX_STACK,
        "Memory of PCRE2's compiler: start and maximum",
        default="none",
        unit="bytes",
        since="2.0.7",
        effect=Effect.NONE,
        reason="patterns are not run by PCRE2, there is no such stack",
    ),
)

URL = block_of(f"{_SERVER}.HTTP_GET.url", _URL_ROWS, model=HttpUrl)
SSL_URL = block_of(f"{_SERVER}.SSL_GET.url", parsed((*_URL_ROWS, _TLS_ROW)), model=HttpUrl)


def _web_rows() -> tuple[Keyword, ...]:
    return (
        *_connecting("1", "3"),
        but(
            integer_row(
                "nb_get_retry",
                0,
                UINT32_MAX,
                "Old name of retry",
                worker="checker",
                alias_of="retry",
                deprecated="write retry",
            ),
            deprecated_class=KeepalivedClass.GENERAL_ERROR,
        ),
        but(
            plain_row(
                "virtualhost",
                Type.TEXT,
                "Host header",
                worker="checker",
                default="real_server, virtual_server virtualhost",
                stops_when_bare=False,
            ),
            again="replaced",
            since="0.5.8",
        ),
        but(
            choice_row(
                "http_protocol",
                "1.0 1.0C 1.0c 1.1",
                "Version of the request",
                worker="checker",
                default="1.0",
            ),
            stops_when_bare=False,
            since="2.0.17",
        ),
        but(
            bool_row("enable_sni", "Name the server in the TLS handshake", worker="checker"),
            since="1.4.3",
        ),
        but(
            plain_row(
                "sni_name",
                Type.TEXT,
                "Name to send, and enable_sni; bare: the virtualhost",
                worker="checker",
                default="virtualhost",
                optional=True,
            ),
            again="replaced",
        ),
        but(
            bool_row("fast_recovery", "No wait between URLs at start and recovery", worker="checker"),
            since="2.0.17",
        ),
    )


_NO_TLS = {"effect": Effect.NONE, "reason": "HTTP_GET makes no TLS connection: write SSL_GET for that"}
HTTP_GET = block_of(
    f"{_SERVER}.HTTP_GET",
    (
        *(but(row, **_NO_TLS) if "sni" in row.name else row for row in _web_rows()),
        but(opens("url", URL, "One URL to fetch", worker="checker"), field="urls", default="at least one"),
    ),
    model=Check,
)
SSL_GET = block_of(
    f"{_SERVER}.SSL_GET",
    parsed(
        (
            *_web_rows(),
            _TLS_ROW,
            but(
                opens("url", SSL_URL, "One URL to fetch", worker="checker"),
                field="urls",
                default="at least one",
            ),
        )
    ),
    model=SslCheck,
)

# --- the other kinds ---------------------------------------------------------------------------------------

PING_CHECK = block_of(f"{_SERVER}.PING_CHECK", parsed(_connecting()), model=PingCheck)

UDP_CHECK = block_of(
    f"{_SERVER}.UDP_CHECK",
    parsed(
        (
            *_connecting(),
            form_row("payload", PAYLOAD, "What is sent", default="empty datagram", since="2.2.0"),
            form_row(
                "require_reply",
                REPLY,
                "A reply must come, and begin like this",
                default="off",
                since="2.2.0",
            ),
            integer_row(
                "min_reply_length",
                0,
                65535,
                "Shortest good reply",
                worker="checker",
                default="0",
                unit="bytes",
            ),
            integer_row(
                "max_reply_length",
                0,
                65535,
                "Longest good reply",
                worker="checker",
                default="255",
                unit="bytes",
            ),
        )
    ),
    model=UdpCheck,
)

DNS_CHECK = block_of(
    f"{_SERVER}.DNS_CHECK",
    parsed(
        (
            *_connecting("3", "delay_loop"),
            form_row("type", FoldedChoice(choices=DNS_TYPES), "Type of the query", default="SOA"),
            form_row("name", DNS_NAME, "Name of the query", default=". (root)", again="ignored"),
        )
    ),
    model=DnsCheck,
)

SMTP_HOST = block_of(f"{_SERVER}.SMTP_CHECK.host", parsed(_connecting()), model=SmtpCheck)
SMTP_CHECK = block_of(
    f"{_SERVER}.SMTP_CHECK",
    parsed(
        (
            *_connecting(),
            but(
                plain_row(
                    "helo_name",
                    Type.TEXT,
                    "Name to introduce itself with",
                    worker="checker",
                    default="smtpchecker.keepalived.org",
                    stops_when_bare=False,
                ),
                again="replaced",
            ),
            but(
                opens("host", SMTP_HOST, "A server to check", worker="checker"),
                deprecated="write an SMTP_CHECK for each host",
            ),
        )
    ),
    model=SmtpCheck,
)

MISC_CHECK = block_of(
    f"{_SERVER}.MISC_CHECK",
    parsed(
        (
            *_timed("0", "1"),
            form_row("misc_path", COMMAND, "Program to run: status 0 is good", default="required"),
            but(
                integer_row(
                    "misc_timeout",
                    0,
                    4294,
                    "Limit for a run",
                    worker="checker",
                    default="0 = delay_loop",
                    unit="s",
                ),
                since="1.1.0",
            ),
            but(
                flag_row(
                    "misc_dynamic",
                    "Status 2 to 255 is good and sets the weight to status - 2",
                    worker="checker",
                ),
                since="1.1.8",
            ),
            form_row("user", USER, "Who runs it", default="script_user", since="1.3.0"),
        )
    ),
    model=MiscCheck,
)

BFD_CHECK = block_of(
    f"{_SERVER}.BFD_CHECK",
    parsed(
        (
            form_row("name", BFD_NAME, "bfd_instance to follow, defined above", default="required"),
            bool_row("alpha", "Down until the session is up", worker="checker", default="real_server alpha"),
        )
    ),
    model=BfdCheck,
)

FILE_CHECK = block_of(
    f"{_SERVER}.FILE_CHECK",
    parsed(
        (
            form_row(
                "track_file", NAME, "track_file to follow, defined above", default="required", since="2.1.0"
            ),
            form_row(
                "weight",
                WeightForm(limit=INT32_MAX),
                "Factor of the number in the file; 0: down unless the number is 0",
                default="track_file weight",
                since="2.1.0",
            ),
        )
    ),
    model=FileCheck,
)

OTHER_CHECKS = {
    "PING_CHECK": PING_CHECK,
    "UDP_CHECK": UDP_CHECK,
    "SSL_GET": SSL_GET,
    "DNS_CHECK": DNS_CHECK,
    "SMTP_CHECK": SMTP_CHECK,
    "MISC_CHECK": MISC_CHECK,
    "BFD_CHECK": BFD_CHECK,
    "FILE_CHECK": FILE_CHECK,
}
"""Kinds that no worker runs yet."""

_HELP = {
    "PING_CHECK": ("Good when it answers an echo request", "2.1.0"),
    "UDP_CHECK": ("Good when a datagram brings no ICMP error, or the reply that is asked for", "2.1.0"),
    "SSL_GET": ("As HTTP_GET, over TLS", "0.4.9"),
    "DNS_CHECK": ("Good when it answers a query without error", "1.3.0"),
    "SMTP_CHECK": ("Good when it greets and takes HELO", ""),
    "MISC_CHECK": ("Runs a program", "0.4.0"),
    "BFD_CHECK": ("Follows a BFD session", ""),
    "FILE_CHECK": ("Follows the number in a file", "2.1.0"),
}

CHECK_ROWS = (
    opens("TCP_CHECK", TCP_CHECK, "Good when a TCP connection opens", worker="checker"),
    opens("HTTP_GET", HTTP_GET, "Fetches URLs and judges the answers", worker="checker"),
    *(
        but(
            opens(name, block, _HELP[name][0], worker="checker"),
            since=_HELP[name][1],
            effect=Effect.PARSED,
            reason=NEVER_FAILS,
        )
        for name, block in OTHER_CHECKS.items()
    ),
)
