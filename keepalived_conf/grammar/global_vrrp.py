"""Rows of global_defs: VRRP."""

from __future__ import annotations

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.global_forms import MULTIPLIER, TABLE
from keepalived_conf.grammar.global_net_forms import (
    DYNAMIC_INTERFACES,
    GARP_EXTRA_IF,
    IPSETS,
    IPTABLES,
    RX_BUFS,
    stronger_policy,
)
from keepalived_conf.grammar.global_process import buffer_rows, process_rows
from keepalived_conf.grammar.global_rows import (
    no_effect,
    parsed,
    parsed_bool,
    parsed_flag,
    parsed_form,
    parsed_number,
)
from keepalived_conf.grammar.schema import (
    GARP_DELAY_MAX_S,
    INT32_MAX,
    TIMER_MAX_S,
    Effect,
    Keyword,
    Type,
)

_ACTIVE = {"effect": Effect.ACTIVE}


def _timer(name: str, low: float, help_: str, **more: object) -> Keyword:
    return parsed(
        name,
        Type.DECIMAL,
        help_,
        "vrrp",
        low=low,
        high=TIMER_MAX_S,
        unit="s",
        decimals=6,
        default="0",
        **more,
    )


VRRP_ROWS: tuple[Keyword, ...] = (
    parsed_form("dynamic_interfaces", DYNAMIC_INTERFACES, "Interfaces may come and go while VRRP runs",
                "vrrp", default="off", since="2.0.8"),
    parsed("default_interface", Type.TEXT, "Interface of static addresses that name none", "vrrp",
           default="eth0", since="1.2.24", stops_when_bare=False),
    parsed_flag("disable_local_igmp", "Keep the kernel from reporting link-local multicast groups", "vrrp",
                since="2.2.0"),
    parsed("vrrp_mcast_group4", Type.ADDRESS, "Destination of IPv4 adverts where the instance names none",
           "vrrp", default="224.0.0.18", since="1.2.10", **_ACTIVE),
    parsed("vrrp_mcast_group6", Type.ADDRESS, "Destination of IPv6 adverts where the instance names none",
           "vrrp", default="ff02::12", since="1.2.10", **_ACTIVE),
    parsed_number("vrrp_version", 2, 3, "Protocol version of IPv4 instances that name none", "vrrp",
                  default="2", **_ACTIVE),
    parsed_bool("vrrp_strict", "Instances keep to the letter of the RFC", "vrrp", since="1.2.20",
                **_ACTIVE),
    _timer("vrrp_startup_delay", 0.001, "Instances wait this long after the start", since="2.0.14", merge=max,
           **_ACTIVE),
    _timer("vrrp_delay_after_boot", 0.001, "Instances wait until the machine is up this long", since="2.4.0",
           merge=max, reason="instances do not wait"),
    parsed_number("vrrp_garp_master_delay", 0, GARP_DELAY_MAX_S, "Default of garp_master_delay", "vrrp",
                  unit="s", default="5", **_ACTIVE),
    parsed_number("vrrp_garp_master_repeat", 0, None, "Default of garp_master_repeat", "vrrp", default="5",
                  raised_to=1, **_ACTIVE),
    parsed_number("vrrp_garp_master_refresh", 0, None, "Default of garp_master_refresh", "vrrp", unit="s",
                  default="0", **_ACTIVE),
    parsed_number("vrrp_garp_master_refresh_repeat", 0, None, "Default of garp_master_refresh_repeat", "vrrp",
                  default="1", raised_to=1, **_ACTIVE),
    parsed_number("vrrp_garp_lower_prio_delay", 0, GARP_DELAY_MAX_S, "Default of garp_lower_prio_delay",
                  "vrrp", unit="s", default="vrrp_garp_master_delay", **_ACTIVE),
    parsed_number("vrrp_garp_lower_prio_repeat", 0, INT32_MAX, "Default of garp_lower_prio_repeat", "vrrp",
                  default="vrrp_garp_master_repeat", **_ACTIVE),
    _timer("vrrp_garp_interval", 0.000001, "Gap between gratuitous ARPs on one interface", **_ACTIVE),
    _timer("vrrp_gna_interval", 0.000001, "Gap between unsolicited neighbour advertisements on one interface",
           **_ACTIVE),
    parsed_bool("vrrp_min_garp", "One gratuitous ARP only: repeat 1, delay 0, refresh repeat 0", "vrrp",
                since="2.0.12", **_ACTIVE),
    parsed_form("vrrp_garp_extra_if", GARP_EXTRA_IF, "Default of garp_extra_if", "vrrp", unit="s",
                default="0"),
    parsed_form("vrrp_vmac_garp_intvl", GARP_EXTRA_IF, "Old name of vrrp_garp_extra_if", "vrrp", unit="s",
                alias_of="vrrp_garp_extra_if", deprecated="write vrrp_garp_extra_if",
                deprecated_class=KeepalivedClass.DEPRECATED),
    parsed_number("vrrp_down_timer_adverts", 1, 100, "Default of down_timer_adverts", "vrrp", unit="adverts",
                  default="3", since="2.2.3", **_ACTIVE),
    parsed_bool("vrrp_lower_prio_no_advert", "Default of lower_prio_no_advert", "vrrp", **_ACTIVE),
    parsed_bool("vrrp_higher_prio_send_advert", "Default of higher_prio_send_advert", "vrrp", since="1.3.5",
                **_ACTIVE),
    parsed_bool("vrrp_owner_ignore_adverts", "Default of owner_ignore_adverts", "vrrp", since="2.3.3",
                **_ACTIVE),
    parsed_flag("vrrp_check_unicast_src", "Default of check_unicast_src", "vrrp", **_ACTIVE),
    parsed_bool("vrrp_skip_check_adv_addr", "Default of skip_check_adv_addr", "vrrp",
                **_ACTIVE),
    parsed_flag("v3_checksum_as_v2", "Default of v3_checksum_as_v2", "vrrp", since="2.2.8", **_ACTIVE),
    parsed_flag("log_unknown_vrids", "Log adverts of virtual routers that are not configured", "vrrp",
                since="2.0.16"),
    parsed("vmac_prefix", Type.TEXT, "Start of the names of VMAC and ipvlan interfaces", "vrrp",
           default="vrrp", again="ignored"),
    parsed("vmac_addr_prefix", Type.TEXT, "Start of the names of VMACs that single addresses ask for", "vrrp",
           default="vmac_prefix", again="ignored"),
    no_effect(
        parsed_form("vrrp_iptables", IPTABLES, "Chains of iptables for rules of VRRP", "vrrp",
                    default="INPUT OUTPUT when given bare", since="1.2.20"),
        "rules are made by nftables only",
    ),
    no_effect(
        parsed_form("vrrp_ipsets", IPSETS, "Sets of ipset that go with vrrp_iptables", "vrrp",
                    default="keepalived keepalived6 keepalived_if6 keepalived_igmp keepalived_mld"
                    " keepalived_nd", since="1.2.20"),
        "rules are made by nftables, which has sets of its own",
    ),
    parsed_form("nftables", TABLE, "Make rules in this table of nftables", "vrrp", default="keepalived",
                since="2.0.11", again="ignored", **_ACTIVE),
    parsed_number("nftables_priority", -INT32_MAX - 1, INT32_MAX, "Priority of the chains in that table",
                  "vrrp", default="-1", exact=True, **_ACTIVE),
    parsed_flag("nftables_ifindex", "Rules name interfaces by index", "vrrp", **_ACTIVE),
    parsed_flag("nftables_counters", "Rules count packets", "vrrp", **_ACTIVE),
    *process_rows("vrrp", "vrrp"),
    *buffer_rows("vrrp_netlink_cmd", "vrrp", "the netlink socket for commands"),
    *buffer_rows("vrrp_netlink_monitor", "vrrp", "the netlink socket that watches"),
    *buffer_rows("process_monitor", "script", "the socket for process events"),
    parsed_form("vrrp_rx_bufs_policy", RX_BUFS, "What the receive buffers of VRRP's sockets are made from",
                "vrrp", unit="bytes", default="unset", merge=stronger_policy, field="vrrp_rx_bufs_policy"),
    parsed_form("vrrp_rx_bufs_multiplier", MULTIPLIER, "Packets that MTU or ADVERT stand for", "vrrp",
                default="3"),
)  # fmt: skip
