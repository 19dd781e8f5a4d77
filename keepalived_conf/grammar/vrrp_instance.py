"""Grammar table of vrrp_instance."""

from __future__ import annotations

import dataclasses

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar import routing
from keepalived_conf.grammar.schema import (
    GARP_DELAY_MAX_S,
    INT32_MAX,
    UINT32_MAX,
    Keyword,
    Type,
    block_of,
    bool_row,
    choice_row,
    flag_row,
    in_effect,
    integer_row,
    opens,
    plain_row,
    seconds_row,
)
from keepalived_conf.grammar.track_rows import (
    form_row,
    later,
    notify_row,
    smtp_alert_row,
    track_rows,
)
from keepalived_conf.grammar.vrrp_auth import AUTH_HMAC, AUTHENTICATION, UNSIGNED
from keepalived_conf.grammar.vrrp_forms import (
    GARP_EXTRA_IF,
    IPVLAN,
    NOTIFY_DELETED,
    OLD_CHECKSUM,
    PEER,
    VMAC,
    merged_vmac,
)
from keepalived_conf.model import VrrpInstance

_TTL_ROWS = (
    integer_row("min_ttl", 0, 255, "Adverts of this peer with a smaller TTL are dropped", worker="vrrp"),
    integer_row("max_ttl", 0, 255, "Adverts of this peer with a larger TTL are dropped", worker="vrrp"),
)
UNICAST_PEER = block_of(
    "vrrp_instance.unicast_peer",
    tuple(dataclasses.replace(row, default="no check", since="2.1.0") for row in _TTL_ROWS),
    entry=PEER,
)


def _exact(row: Keyword) -> Keyword:
    """A number with rubbish behind it is refused by keepalived's daemon too."""
    return dataclasses.replace(row, exact=True)


def _complained_of(row: Keyword, keepalived: KeepalivedClass, *, reason: str = "") -> Keyword:
    """An old keyword that keepalived complains of at each line."""
    return dataclasses.replace(later(row, reason=reason or row.reason), deprecated_class=keepalived)


_TIMER_EXPIRED = integer_row(
    "timer_expired_backup",
    1,
    254,
    "A master that was not run in time gives way to a router of at most this priority",
    worker="vrrp",
    default="off; 254 without a number",
    optional=True,
)

_WHO = "the instance"
_ON_INTERFACE = "addresses are put on the interface itself"

_LATER = (
    *track_rows("vrrp_instance", _WHO),
    later(
        flag_row("track_src_ip", "Fault while the source address that is written is missing", worker="vrrp"),
        reason=f"{_WHO} does not follow its source address",
    ),
    form_row(
        "use_vmac",
        VMAC,
        "Run on a macvlan with a virtual MAC address",
        worker="vrrp",
        default="off; interface vrrp.VRID",
        reason=f"{_ON_INTERFACE}, with its own MAC address",
        merge=merged_vmac,
    ),
    later(
        flag_row("use_vmac_addr", "Addresses of other interfaces get a VMAC too", worker="vrrp"),
        reason=f"{_ON_INTERFACE}, with its own MAC address",
    ),
    later(flag_row("vmac_xmit_base", "Send and receive on the interface below the VMAC", worker="vrrp")),
    form_row(
        "use_ipvlan",
        IPVLAN,
        "Run on an ipvlan interface",
        worker="vrrp",
        since="2.0.17",
        default="off; bridge",
        reason=_ON_INTERFACE,
        again="ignored",
    ),
    later(
        plain_row("vrf", Type.INTERFACE, "VRF that unicast without an interface is bound to", worker="vrrp"),
        since="2.2.7",
        reason="adverts are sent in the main VRF",
    ),
    later(
        flag_row("unicast_fault_no_peer", "Without peers: fault, not multicast", worker="vrrp"),
        since="2.2.7",
        reason="adverts go out by multicast while there is no peer",
    ),
    form_row(
        "old_unicast_checksum",
        OLD_CHECKSUM,
        "Version 3 checksum of unicast adverts as before 1.3.6, or never so",
        worker="vrrp",
        since="1.3.7",
        default="by what the peers send",
        optional=True,
    ),
    later(
        flag_row("promote_secondaries", "Keep secondary addresses when the primary goes", worker="vrrp"),
        since="1.3.0",
    ),
    _complained_of(
        flag_row(
            "linkbeat_use_polling",
            "Poll the link state of the interface",
            worker="vrrp",
            deprecated="write the interface in linkbeat_interfaces { ... }",
        ),
        KeepalivedClass.GENERAL_ERROR,
    ),
    dataclasses.replace(
        flag_row(
            "accept",
            "Let in traffic to the addresses",
            worker="vrrp",
            default="on, in strict mode for owners only",
        ),
        since="1.2.17",
    ),
    dataclasses.replace(
        flag_row("no_accept", "Keep out traffic to the addresses", worker="vrrp"),
        since="1.3.0",
    ),
    bool_row("strict_mode", "Insist on the RFC", worker="vrrp", default="vrrp_strict"),
    later(integer_row("debug", 0, 4, "Level of debugging", worker="vrrp", default="0")),
    *(
        notify_row(name)
        for name in ("notify_backup", "notify_master", "notify_fault", "notify_stop", "notify")
    ),
    in_effect(
        form_row(
            "notify_deleted",
            NOTIFY_DELETED,
            "Removal by a reload is DELETED, not a fault; a program to run then",
            worker="script",
            since="2.1.0",
            default="told as a fault",
            again="ignored",
            optional=True,
        )
    ),
    notify_row("notify_master_rx_lower_pri"),
    smtp_alert_row(),
    dataclasses.replace(
        bool_row(
            "notify_priority_changes",
            "Tell changes of the priority through FIFOs",
            worker="script",
            default="vrrp_notify_priority_changes",
        ),
        since="2.0.16",
    ),
    _complained_of(
        dataclasses.replace(
            plain_row(
                "lvs_sync_daemon_interface",
                Type.INTERFACE,
                "Interface of the IPVS synchronisation, run where this instance is",
                worker="ipvs",
            ),
            deprecated="write lvs_sync_daemon in global_defs",
        ),
        KeepalivedClass.GENERAL_ERROR,
        reason="connections are not synchronised",
    ),
    later(_exact(_TIMER_EXPIRED), since="2.2.8"),
    later(
        _exact(
            dataclasses.replace(
                _TIMER_EXPIRED,
                name="thread_timer_expired",
                alias_of="timer_expired_backup",
                deprecated="write timer_expired_backup",
                deprecated_class=KeepalivedClass.GENERAL_ERROR,
            )
        ),
        since="2.3.2",
    ),
    form_row(
        "garp_extra_if",
        GARP_EXTRA_IF,
        "Gratuitous ARPs again and again on further interfaces of addresses",
        worker="vrrp",
        default="vrrp_garp_extra_if",
        unit="s",
        stops_when_bare=False,
    ),
    _complained_of(
        form_row(
            "vmac_garp_intvl",
            GARP_EXTRA_IF,
            "Old name of garp_extra_if",
            worker="vrrp",
            alias_of="garp_extra_if",
            deprecated="write garp_extra_if",
            unit="s",
            stops_when_bare=False,
        ),
        KeepalivedClass.DEPRECATED,
    ),
    later(
        dataclasses.replace(
            integer_row(
                "kernel_rx_buf_size",
                0,
                UINT32_MAX,
                "Receive buffer of the socket",
                worker="vrrp",
                default="vrrp_rx_bufs_policy",
                unit="bytes",
            ),
            exact=True,
            stops_when_bare=False,
        )
    ),
)
"""Rows no worker acts on yet."""

_NOW = (
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
    _exact(
        integer_row(
            "virtual_router_id",
            1,
            255,
            "Identity of the virtual router",
            worker="vrrp",
            default="required",
        )
    ),
    _exact(
        integer_row(
            "priority",
            1,
            255,
            "Priority in the election",
            worker="vrrp",
            default="255 if state is MASTER, else 100",
        )
    ),
    integer_row("version", 2, 3, "Protocol version", worker="vrrp", default="vrrp_version; 3 for IPv6"),
    seconds_row(
        "advert_int",
        0.01,
        255,
        "Interval of adverts; version 2 whole seconds, version 3 at most 40.95",
        worker="vrrp",
        default="1",
    ),
    opens("authentication", AUTHENTICATION, "Authentication of version 2", worker="vrrp"),
    later(
        opens("auth_hmac", AUTH_HMAC, "A signature behind each advert", worker="vrrp"),
        since="2.4.0",
        reason=UNSIGNED,
    ),
    *routing.INSTANCE_ROWS,
    flag_row("no_virtual_ipaddress", "Accept an instance without addresses", worker="vrrp"),
    flag_row("native_ipv6", "Force IPv6", worker="vrrp", deprecated="the family follows from the addresses"),
    opens(
        "unicast_peer",
        UNICAST_PEER,
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
    _exact(
        integer_row(
            "unicast_ttl",
            0,
            255,
            "TTL or hop limit of unicast adverts",
            worker="vrrp",
            default="255 for IPv4",
        )
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
)
"""Rows the VRRP worker acts on, but for what their reason says."""

_SINCE = {
    "unicast_peer": "1.2.8",
    "native_ipv6": "1.2.1",
    "dont_track_primary": "1.1.8",
    "mcast_src_ip": "0.6.1",
    "unicast_src_ip": "1.2.10",
    "v3_checksum_as_v2": "2.2.8",
    "nopreempt": "1.1.8",
    "preempt_delay": "1.1.8",
    "garp_master_delay": "0.7.1",
    "garp_master_refresh": "1.2.10",
    "garp_master_repeat": "1.2.14",
    "garp_master_refresh_repeat": "1.2.14",
    "down_timer_adverts": "2.2.3",
    "higher_prio_send_advert": "1.3.5",
    "owner_ignore_adverts": "2.3.3",
    "no_virtual_ipaddress": "2.2.8",
    "unicast_ttl": "2.1.0",
}

VRRP_INSTANCE = block_of(
    "vrrp_instance",
    tuple(dataclasses.replace(row, since=_SINCE.get(row.name, row.since)) for row in (*_NOW, *_LATER)),
    model=VrrpInstance,
)

ROOT_ROWS = (
    dataclasses.replace(
        opens("vrrp_instance", VRRP_INSTANCE, "One virtual router", worker="vrrp", stops_when_bare=False),
        field="vrrp_instances",
    ),
)
