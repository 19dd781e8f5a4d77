"""Short ways to make what the script worker is configured with."""

from __future__ import annotations

from dataclasses import replace

from keepalived_conf.model import Script, VrrpScript


def vrrp_script(name: str = "chk", *words: str, **changes: object) -> VrrpScript:
    """A tracked script that runs ``words`` (``true`` unless given)."""
    script = VrrpScript(name=name, script=Script(command=words or ("/bin/true",)))
    return replace(script, **changes)  # type: ignore[arg-type]
