"""Grammar table of SSL, the client context of TLS checks."""

from __future__ import annotations

from keepalived_conf.grammar.check_rows import but, parsed
from keepalived_conf.grammar.schema import Effect, Keyword, Type, block_of, opens, plain_row
from keepalived_conf.model import SslContext


def _file_row(name: str, help_: str) -> Keyword:
    row = plain_row(name, Type.TEXT, help_, worker="checker", default="none", stops_when_bare=False)
    return but(row, again="replaced")


SSL = block_of(
    "SSL",
    parsed(
        (
            but(_file_row("password", "Password of the key"), secret=True),
            _file_row("ca", "File of trusted certificates"),
            _file_row("certificate", "File of the client certificate"),
            _file_row("key", "File of its private key"),
        )
    ),
    model=SslContext,
    secret=True,
)

ROOT_ROWS = (
    but(
        opens("SSL", SSL, "Keys and certificates of SSL_GET", worker="checker"),
        field="ssl",
        since="0.4.9",
        effect=Effect.PARSED,
    ),
)
"""Rows of the top level that open the blocks of this module."""
