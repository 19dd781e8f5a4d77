"""Statistics of one virtual router, named after RFC 6527 (VRRPv3 MIB) where it has a name."""

from __future__ import annotations

from dataclasses import dataclass, field

from vrrp_proc.packet import Reason, Remark


def _zeros() -> dict[str, int]:
    names: list[str] = [reason.value for reason in Reason]
    names += [remark.value for remark in Remark]
    return dict.fromkeys(names, 0)


@dataclass(kw_only=True, slots=True)
class Counters:
    """Grow only; they start at zero with each incarnation."""

    adverts_received: int = 0
    """Accepted ones, whatever was then done about them."""
    adverts_sent: int = 0
    """Asked for, priority 0 included."""
    adverts_not_sent: int = 0
    adverts_ignored: int = 0
    """Accepted by the judge, of no effect in the state (INIT, FAULT, owner_ignore_adverts)."""
    adverts_discarded: int = 0
    """From a router that we outrank."""
    become_master: int = 0
    release_master: int = 0
    priority_zero_received: int = 0
    priority_zero_sent: int = 0
    stalls: int = 0
    announcements: int = 0
    """Bursts asked for, not frames."""
    by_reason: dict[str, int] = field(default_factory=_zeros)
    """Rejections and remarks by ``packet.Reason`` and ``packet.Remark`` value."""
