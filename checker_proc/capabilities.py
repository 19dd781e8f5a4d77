"""Which Linux capabilities a checker needs for which keyword. Pure.

A checker talks to untrusted servers, so it normally keeps none. The supervisor grants what the
worker's own slice asks for, nothing by default.
"""

from __future__ import annotations

from collections.abc import Callable

from keepalived_conf.model import Check, CheckerSlice

KEYWORDS: tuple[tuple[str, str, Callable[[Check], bool]], ...] = (
    # SO_MARK. From Linux 5.17 on NET_RAW would do; NET_ADMIN does everywhere.
    ("fwmark", "NET_ADMIN", lambda check: check.fwmark != 0),
    # SO_BINDTODEVICE. From Linux 5.7 on it needs nothing for an unbound socket.
    ("bind_if", "NET_RAW", lambda check: check.bind_if is not None),
    # bind(2) to a port below ip_unprivileged_port_start (1024 unless somebody changed it).
    ("bind_port", "NET_BIND_SERVICE", lambda check: 0 < check.bind_port < 1024),
)
"""keyword, capability (without ``CAP_``), whether a check uses it."""


def required_capabilities(checks: CheckerSlice) -> tuple[str, ...]:
    """Capabilities for this slice, sorted, in the notation of ``WorkerContext.capabilities``."""
    wanted = {capability for _, capability, used in KEYWORDS if any(used(check) for check in checks.checks)}
    return tuple(sorted(wanted))
