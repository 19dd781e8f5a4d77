"""Grammar table of vrrp_instance."""

from __future__ import annotations

from keepalived_conf.grammar.schema import (
    GARP_DELAY_MAX_S,
    INT32_MAX,
    Block,
    Type,
    block_of,
    bool_row,
    choice_row,
    flag_row,
    integer_row,
    opens,
    plain_row,
    seconds_row,
)

AUTHENTICATION = block_of(
    "vrrp_instance.authentication",
    (
        choice_row(
            "auth_type", "PASS AH", "PASS: plain password (version 2). AH has no effect yet", worker="vrrp"
        ),
        plain_row("auth_pass", Type.TEXT, "Password; only the first eight bytes count", worker="vrrp"),
    ),
    secret=True,
)

VRRP_INSTANCE = block_of(
    "vrrp_instance",
    (
        choice_row(
            "state",
            "MASTER BACKUP",
            "Wanted state at start",
            worker="vrrp",
            default="MASTER if priority is 255, else BACKUP",
        ),
        plain_row(
            "interface",
            Type.INTERFACE,
            "Interface that carries the adverts",
            worker="vrrp",
            default="required",
        ),
        integer_row(
            "virtual_router_id", 1, 255, "Identity of the virtual router", worker="vrrp", default="required"
        ),
        integer_row(
            "priority",
            1,
            255,
            "Priority in the election",
            worker="vrrp",
            default="255 if state is MASTER, else 100",
        ),
        choice_row("version", "2 3", "Protocol version", worker="vrrp", default="vrrp_version; 3 for IPv6"),
        seconds_row(
            "advert_int",
            0.01,
            255,
            "Interval of adverts; version 2 whole seconds, version 3 at most 40.95",
            worker="vrrp",
            default="1",
        ),
        opens("authentication", AUTHENTICATION, "Authentication of version 2", worker="vrrp"),
        opens(
            "virtual_ipaddress",
            Block(name="virtual_ipaddress", entries=True),
            "Addresses that are advertised and held by the master",
            worker="vrrp",
        ),
        opens(
            "virtual_ipaddress_excluded",
            Block(name="virtual_ipaddress_excluded", entries=True),
            "Addresses held by the master but not advertised",
            worker="vrrp",
        ),
        flag_row("no_virtual_ipaddress", "Accept an instance without addresses", worker="vrrp"),
        flag_row(
            "native_ipv6", "Force IPv6", worker="vrrp", deprecated="the family follows from the addresses"
        ),
        opens(
            "unicast_peer",
            Block(name="unicast_peer", entries=True),
            "Send adverts to these peers only",
            worker="vrrp",
        ),
        plain_row(
            "unicast_src_ip",
            Type.ADDRESS,
            "Source address of adverts; makes the instance unicast",
            worker="vrrp",
            default="address of the interface",
        ),
        plain_row(
            "mcast_src_ip",
            Type.ADDRESS,
            "Source address of adverts",
            worker="vrrp",
            default="address of the interface",
        ),
        plain_row(
            "mcast_dst_ip",
            Type.ADDRESS,
            "Destination of adverts",
            worker="vrrp",
            default="vrrp_mcast_group4/6",
        ),
        integer_row(
            "unicast_ttl",
            0,
            255,
            "TTL or hop limit of unicast adverts",
            worker="vrrp",
            default="255 for IPv4",
        ),
        flag_row(
            "check_unicast_src",
            "Accept adverts of listed peers only",
            worker="vrrp",
            default="vrrp_check_unicast_src",
        ),
        flag_row(
            "preempt",
            "Take over from a master of lower priority",
            worker="vrrp",
            default="on",
            deprecated="it is the default",
        ),
        flag_row("nopreempt", "Do not take over from a master of lower priority", worker="vrrp"),
        seconds_row(
            "preempt_delay",
            0,
            1000,
            "Wait before taking over from a master of lower priority",
            worker="vrrp",
            default="0",
        ),
        integer_row(
            "garp_master_delay",
            0,
            GARP_DELAY_MAX_S,
            "Wait before the second burst of gratuitous ARPs; 0: none",
            worker="vrrp",
            default="vrrp_garp_master_delay (5)",
            unit="s",
        ),
        integer_row(
            "garp_master_repeat",
            0,
            None,
            "Gratuitous ARPs per burst",
            worker="vrrp",
            default="vrrp_garp_master_repeat (5)",
            raised_to=1,
        ),
        integer_row(
            "garp_master_refresh",
            0,
            None,
            "Interval of gratuitous ARPs while master; 0: none",
            worker="vrrp",
            default="vrrp_garp_master_refresh (0)",
            unit="s",
        ),
        integer_row(
            "garp_master_refresh_repeat",
            0,
            None,
            "Gratuitous ARPs per refresh",
            worker="vrrp",
            default="vrrp_garp_master_refresh_repeat (1)",
            raised_to=1,
        ),
        integer_row(
            "garp_lower_prio_delay",
            0,
            GARP_DELAY_MAX_S,
            "Second burst after an advert of lower priority",
            worker="vrrp",
            default="vrrp_garp_lower_prio_delay, else garp_master_delay",
            unit="s",
        ),
        integer_row(
            "garp_lower_prio_repeat",
            0,
            INT32_MAX,
            "Size of that burst",
            worker="vrrp",
            default="vrrp_garp_lower_prio_repeat, else garp_master_repeat",
        ),
        integer_row(
            "down_timer_adverts",
            1,
            100,
            "Missed adverts before taking over",
            worker="vrrp",
            default="vrrp_down_timer_adverts (3)",
        ),
        bool_row(
            "lower_prio_no_advert",
            "Do not answer adverts of lower priority",
            worker="vrrp",
            default="vrrp_lower_prio_no_advert",
        ),
        bool_row(
            "higher_prio_send_advert",
            "Send one advert before yielding",
            worker="vrrp",
            default="vrrp_higher_prio_send_advert",
        ),
        bool_row(
            "owner_ignore_adverts",
            "Priority 255 ignores received adverts",
            worker="vrrp",
            default="vrrp_owner_ignore_adverts",
        ),
        bool_row(
            "v3_checksum_as_v2",
            "Version 3 checksum of IPv4 without pseudo header",
            worker="vrrp",
            default="the global value",
        ),
        bool_row(
            "skip_check_adv_addr",
            "Skip the comparison of addresses for a known sender",
            worker="vrrp",
            default="vrrp_skip_check_adv_addr",
        ),
        flag_row("dont_track_primary", "Ignore faults of the instance's interface", worker="vrrp"),
    ),
)

ROOT_ROWS = (
    opens("vrrp_instance", VRRP_INSTANCE, "One virtual router", worker="vrrp", stops_when_bare=False),
)
