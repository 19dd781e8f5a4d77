"""What global_defs gives to vrrp_instance blocks that do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keepalived_conf.builders.reader import Read
from keepalived_conf.model import GlobalDefs


@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpDefaults:
    """What global_defs gives to instances that do not say it themselves."""

    garp_master_delay_s: int = 5
    garp_master_repeat: int = 5
    garp_master_refresh_s: int = 0
    garp_master_refresh_repeat: int = 1
    garp_lower_prio_delay_s: int | None = None
    """None: as the instance's garp_master_delay."""
    garp_lower_prio_repeat: int | None = None
    down_timer_adverts: int = 3
    lower_prio_no_advert: bool = False
    higher_prio_send_advert: bool = False
    owner_ignore_adverts: bool = False
    check_unicast_src: bool = False
    skip_check_adv_addr: bool = False
    v3_checksum_as_v2: bool = False
    version: Literal[2, 3] | None = None
    """None: not written; then 2, or 3 for IPv6."""


def vrrp_defaults(globals_: GlobalDefs, defs: Read) -> VrrpDefaults:
    """Defaults from global_defs; ``defs`` says what was written."""
    return VrrpDefaults(
        garp_master_delay_s=globals_.vrrp_garp_master_delay_s,
        garp_master_repeat=globals_.vrrp_garp_master_repeat,
        garp_master_refresh_s=globals_.vrrp_garp_master_refresh_s,
        # The 0 of vrrp_min_garp cannot be written as a number, so it is not in the model of global_defs.
        garp_master_refresh_repeat=0
        if globals_.vrrp_min_garp and globals_.vrrp_garp_master_refresh_repeat == 1
        else globals_.vrrp_garp_master_refresh_repeat,
        garp_lower_prio_delay_s=globals_.vrrp_garp_lower_prio_delay_s,
        garp_lower_prio_repeat=globals_.vrrp_garp_lower_prio_repeat,
        down_timer_adverts=globals_.vrrp_down_timer_adverts,
        lower_prio_no_advert=globals_.vrrp_lower_prio_no_advert,
        higher_prio_send_advert=globals_.vrrp_higher_prio_send_advert,
        owner_ignore_adverts=globals_.vrrp_owner_ignore_adverts,
        check_unicast_src=globals_.vrrp_check_unicast_src,
        skip_check_adv_addr=globals_.vrrp_skip_check_adv_addr,
        v3_checksum_as_v2=globals_.v3_checksum_as_v2,
        version=globals_.vrrp_version if defs.has("vrrp_version") else None,
    )
