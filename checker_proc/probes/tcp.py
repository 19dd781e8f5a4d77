"""TCP_CHECK: succeeds when a connection opens within connect_timeout."""

from __future__ import annotations

from checker_proc.fleet import Launch
from checker_proc.outcome import Outcome, Reason
from checker_proc.probes.net import ProbeEnd, connected


async def probe_tcp(launch: Launch) -> Outcome:
    """Connect, close, say how it went."""
    try:
        async with connected(launch.check):
            return Outcome(reason=Reason.CONNECTED)
    except ProbeEnd as end:
        return end.outcome
