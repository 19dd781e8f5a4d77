"""Grammar tables of the checks that fetch URLs: HTTP_GET and SSL_GET."""

from __future__ import annotations

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.check_forms import (
    DIGEST,
    OFFSET,
    REGEX,
    REGEX_OPTION_LIST,
    REGEX_STACK,
    STATUS_CODES,
    union,
)
from keepalived_conf.grammar.check_rows import SERVER, but, connecting, form_row, parsed
from keepalived_conf.grammar.schema import (
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
)
from keepalived_conf.model import Check, HttpUrl, SslCheck

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

URL = block_of(f"{SERVER}.HTTP_GET.url", _URL_ROWS, model=HttpUrl)
SSL_URL = block_of(f"{SERVER}.SSL_GET.url", parsed((*_URL_ROWS, _TLS_ROW)), model=HttpUrl)


def _web_rows() -> tuple[Keyword, ...]:
    return (
        *connecting("1", "3"),
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
    f"{SERVER}.HTTP_GET",
    (
        *(but(row, **_NO_TLS) if "sni" in row.name else row for row in _web_rows()),
        but(opens("url", URL, "One URL to fetch", worker="checker"), field="urls", default="at least one"),
    ),
    model=Check,
)
SSL_GET = block_of(
    f"{SERVER}.SSL_GET",
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
