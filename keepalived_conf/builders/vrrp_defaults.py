"""What global_defs gives to vrrp_instance blocks that do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keepalived_conf.builders.reader import Read


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


def vrrp_defaults(read: Read) -> VrrpDefaults:
    """Defaults from a read global_defs block."""
    base = VrrpDefaults()
    minimal = bool(read.get("vrrp_min_garp", False))

    def pick(name: str, built_in: int) -> int:
        return int(read.get(name, built_in))

    version = read.get("vrrp_version")
    return VrrpDefaults(
        garp_master_delay_s=pick("vrrp_garp_master_delay", 0 if minimal else base.garp_master_delay_s),
        garp_master_repeat=pick("vrrp_garp_master_repeat", 1 if minimal else base.garp_master_repeat),
        garp_master_refresh_s=pick("vrrp_garp_master_refresh", base.garp_master_refresh_s),
        garp_master_refresh_repeat=pick(
            "vrrp_garp_master_refresh_repeat", 0 if minimal else base.garp_master_refresh_repeat
        ),
        garp_lower_prio_delay_s=read.get("vrrp_garp_lower_prio_delay"),
        garp_lower_prio_repeat=read.get("vrrp_garp_lower_prio_repeat"),
        down_timer_adverts=pick("vrrp_down_timer_adverts", base.down_timer_adverts),
        lower_prio_no_advert=read.get("vrrp_lower_prio_no_advert", False),
        higher_prio_send_advert=read.get("vrrp_higher_prio_send_advert", False),
        owner_ignore_adverts=read.get("vrrp_owner_ignore_adverts", False),
        check_unicast_src=read.get("vrrp_check_unicast_src", False),
        skip_check_adv_addr=read.get("vrrp_skip_check_adv_addr", False),
        v3_checksum_as_v2=read.get("v3_checksum_as_v2", False),
        version=None if version is None else 3 if version == "3" else 2,
    )
