"""Grammar tables of the checks of a real server; those that fetch URLs are in ``web_checks``."""

from __future__ import annotations

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.check_forms import (
    BFD_NAME,
    DNS_NAME,
    DNS_TYPES,
    PAYLOAD,
    REPLY,
    USER,
    FoldedChoice,
    Lenient,
)
from keepalived_conf.grammar.check_rows import SERVER, but, connecting, form_row, parsed, timed
from keepalived_conf.grammar.common import COMMAND, NAME, WeightForm
from keepalived_conf.grammar.schema import (
    INT32_MAX,
    Effect,
    Type,
    block_of,
    bool_row,
    flag_row,
    integer_row,
    opens,
    plain_row,
)
from keepalived_conf.grammar.web_checks import HTTP_GET, SSL_GET
from keepalived_conf.model import (
    BfdCheck,
    Check,
    DnsCheck,
    FileCheck,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    UdpCheck,
)

NEVER_FAILS = "this check never fails: the real server counts as good as far as it goes"

TCP_CHECK = block_of(f"{SERVER}.TCP_CHECK", connecting(), model=Check)

PING_CHECK = block_of(f"{SERVER}.PING_CHECK", parsed(connecting()), model=PingCheck)

UDP_CHECK = block_of(
    f"{SERVER}.UDP_CHECK",
    parsed(
        (
            *connecting(),
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
    f"{SERVER}.DNS_CHECK",
    parsed(
        (
            *connecting("3", "delay_loop"),
            form_row("type", FoldedChoice(choices=DNS_TYPES), "Type of the query", default="SOA"),
            form_row("name", DNS_NAME, "Name of the query", default=". (root)", again="ignored"),
        )
    ),
    model=DnsCheck,
)

SMTP_HOST = block_of(f"{SERVER}.SMTP_CHECK.host", parsed(connecting()), model=SmtpCheck)
SMTP_CHECK = block_of(
    f"{SERVER}.SMTP_CHECK",
    parsed(
        (
            *connecting(),
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
    f"{SERVER}.MISC_CHECK",
    parsed(
        (
            *timed("0", "1"),
            form_row(
                "misc_path",
                Lenient(form=COMMAND, keepalived=KeepalivedClass.OK),
                "Program to run: status 0 is good",
                default="required",
            ),
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
    f"{SERVER}.BFD_CHECK",
    parsed(
        (
            form_row("name", BFD_NAME, "bfd_instance to follow, defined above", default="required"),
            bool_row("alpha", "Down until the session is up", worker="checker", default="real_server alpha"),
        )
    ),
    model=BfdCheck,
)

FILE_CHECK = block_of(
    f"{SERVER}.FILE_CHECK",
    parsed(
        (
            form_row(
                "track_file", NAME, "track_file to follow, defined above", default="required", since="2.1.0"
            ),
            form_row(
                "weight",
                Lenient(form=WeightForm(limit=INT32_MAX)),
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
