"""Probes: one attempt of one check against the real network. A registry line each.

A probe is ``async (launch) -> Outcome``. It takes its deadlines from the check, never raises for
anything a server or the network does, and has closed what it opened when it returns or is cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from checker_proc.fleet import Launch
from checker_proc.outcome import Outcome
from checker_proc.probes.http_get import probe_http
from checker_proc.probes.tcp import probe_tcp

Probe = Callable[[Launch], Awaitable[Outcome]]

PROBES: dict[str, Probe] = {
    "TCP_CHECK": probe_tcp,
    "HTTP_GET": probe_http,
}
"""Check.kind -> probe."""
