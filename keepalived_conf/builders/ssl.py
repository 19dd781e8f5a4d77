"""SSL blocks -> SslContext."""

from __future__ import annotations

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.grammar.ssl import SSL
from keepalived_conf.model import SslContext


def build_ssl(reader: Reader, root: Read) -> SslContext | None:
    """The last SSL block; a second one replaces the first. An empty one says nothing: None."""
    context: SslContext | None = None
    for statement in root.statements.get("SSL", ()):
        if context is not None:
            reader.diagnostics.error(
                statement.place,
                "written-twice",
                "SSL is written twice; this block replaces the one above",
                hint="remove one of the blocks",
                width=len("SSL"),
            )
        context = reader.model(reader.block(statement, SSL), SSL, SslContext)
    return None if context == SslContext() else context
