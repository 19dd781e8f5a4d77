"""Which capabilities the script worker needs for a configuration, beyond those of its role."""

from __future__ import annotations

from collections.abc import Callable

from keepalived_conf.model import ScriptSlice


def _fifos(wanted: ScriptSlice) -> bool:
    settings = wanted.globals
    return any((settings.notify_fifo, settings.vrrp_notify_fifo, settings.lvs_notify_fifo))


def _programs(wanted: ScriptSlice) -> bool:
    settings = wanted.globals
    fifos = (settings.notify_fifo_script, settings.vrrp_notify_fifo_script, settings.lvs_notify_fifo_script)
    return any((wanted.scripts, wanted.targets, wanted.services, *fifos))


KEYWORDS: tuple[tuple[str, str, Callable[[ScriptSlice], bool]], ...] = (
    ("track_file", "DAC_READ_SEARCH", lambda wanted: bool(wanted.files)),
    ("vrrp_track_process", "NET_ADMIN", lambda wanted: bool(wanted.processes)),
    ("script", "DAC_OVERRIDE", _programs),
    ("notify_fifo", "CHOWN", _fifos),
    ("notify_fifo", "DAC_OVERRIDE", _fifos),
    ("notify_fifo", "FOWNER", _fifos),
)
"""(keyword, capability, whether a slice uses it). Files of any user are read; process events come from the
kernel's connector, which only NET_ADMIN may listen to. FIFOs are made and removed in folders of any user, and
belong to the user of the configuration. Programs lie in folders that only their user may enter, and what root
runs, root must be able to reach."""


def required_capabilities(wanted: ScriptSlice) -> tuple[str, ...]:
    """Capabilities for this slice beyond SETUID, SETGID and KILL, sorted, without CAP_."""
    return tuple(sorted({capability for _, capability, used in KEYWORDS if used(wanted)}))
