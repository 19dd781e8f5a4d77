"""Which capabilities the script worker needs for a configuration, beyond those of its role."""

from __future__ import annotations

from collections.abc import Callable

from keepalived_conf.model import ScriptSlice

KEYWORDS: tuple[tuple[str, str, Callable[[ScriptSlice], bool]], ...] = (
    ("track_file", "DAC_READ_SEARCH", lambda wanted: bool(wanted.files)),
    ("vrrp_track_process", "NET_ADMIN", lambda wanted: bool(wanted.processes)),
)
"""(keyword, capability, whether a slice uses it). Files of any user are read; process events come from the
kernel's connector, which only NET_ADMIN may listen to."""


def required_capabilities(wanted: ScriptSlice) -> tuple[str, ...]:
    """Capabilities for this slice beyond SETUID, SETGID and KILL, sorted, without CAP_."""
    return tuple(sorted({capability for _, capability, used in KEYWORDS if used(wanted)}))
