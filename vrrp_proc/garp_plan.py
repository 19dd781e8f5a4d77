"""When addresses are announced again: the timetable of gratuitous ARP and unsolicited NA bursts.

Kept apart from the state machine, and in the record, so that a restart of the worker announces neither
more nor less often than configured. keepalived.conf(5): garp_master_*, garp_lower_prio_*.
"""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_conf.model import VrrpInstance
from vrrp_proc.effects import AnnounceKind
from vrrp_proc.timers import next_on_grid, seconds


@dataclass(kw_only=True, slots=True)
class GarpPlan:
    """Deadlines of the bursts to come; all None unless master."""

    delayed_at: float | None = None
    refresh_at: float | None = None
    lower_at: float | None = None
    lower_not_before_at: float = 0.0
    """A losing advert is answered by announcements once per interval at most."""

    def takeover(self, config: VrrpInstance, now: float) -> list[tuple[AnnounceKind, int]]:
        """Became master: the burst for now; the others are scheduled."""
        self.clear()
        if config.garp_master_delay_s > 0 and config.garp_master_repeat > 0:
            self.delayed_at = now + config.garp_master_delay_s
        if config.garp_master_refresh_s > 0:
            self.refresh_at = now + config.garp_master_delay_s + config.garp_master_refresh_s
        return [("master", config.garp_master_repeat)]

    def losing_advert(self, config: VrrpInstance, now: float) -> list[tuple[AnnounceKind, int]]:
        """Somebody whom we outrank advertised: neighbours may have learnt him."""
        if config.garp_lower_prio_repeat <= 0 or now < self.lower_not_before_at:
            return []
        self.lower_not_before_at = now + seconds(config.advert_int_cs)
        if config.garp_lower_prio_delay_s > 0:
            self.lower_at = now + config.garp_lower_prio_delay_s
        return [("lower_prio", config.garp_lower_prio_repeat)]

    def due(self, config: VrrpInstance, now: float) -> list[tuple[AnnounceKind, int]]:
        """Bursts that are due at ``now``, as (kind, copies); they are taken off the timetable."""
        bursts: list[tuple[AnnounceKind, int]] = []
        if self.delayed_at is not None and now >= self.delayed_at:
            self.delayed_at = None
            bursts.append(("delayed", config.garp_master_repeat))
        if self.lower_at is not None and now >= self.lower_at:
            self.lower_at = None
            bursts.append(("lower_prio_delayed", config.garp_lower_prio_repeat))
        if self.refresh_at is not None and now >= self.refresh_at:
            self.refresh_at = next_on_grid(self.refresh_at, config.garp_master_refresh_s, now)
            bursts.append(("refresh", config.garp_master_refresh_repeat))
        return bursts

    def reconfigure(self, config: VrrpInstance, now: float) -> None:
        """A new configuration while master. A burst that is under way is not taken back."""
        if config.garp_master_refresh_s <= 0:
            self.refresh_at = None
        elif self.refresh_at is None or self.refresh_at > now + config.garp_master_refresh_s:
            self.refresh_at = now + config.garp_master_refresh_s

    def clear(self) -> None:
        """No master any more."""
        self.delayed_at = self.refresh_at = self.lower_at = None
        self.lower_not_before_at = 0.0

    def next_at(self) -> float | None:
        """The earliest of them."""
        return min(
            (at for at in (self.delayed_at, self.refresh_at, self.lower_at) if at is not None), default=None
        )
