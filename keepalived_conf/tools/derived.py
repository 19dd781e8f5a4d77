"""Settings whose value is not simply a field of the model: each is named here once.

Keys are (path of the block, keyword). A function gets the object of the block and gives what the
reader of the row would have given: None for a line that is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keepalived_conf.model import (
    VirtualServer,
    VrrpInstance,
)

Key = tuple[str, str]

FIRST: dict[str, tuple[str, ...]] = {
    "": (
        "net_namespace",
        "net_namespace_ipvs",
        "namespace_with_ipsets",
        "use_pid_dir",
        "instance",
        "child_wait_time",
        "linkbeat_use_polling",
        "global_defs",
        "interface_up_down_delays",
        "linkbeat_interfaces",
        "garp_group",
        "track_file",
        "vrrp_script",
        "vrrp_track_process",
        "bfd_instance",
        "track_group",
        "static_ipaddress",
        "static_routes",
        "static_rules",
        "vrrp_sync_group",
        "vrrp_instance",
        "SSL",
        "virtual_server_group",
        "virtual_server",
    ),
    "global_defs": ("use_symlink_paths", "script_user", "enable_script_security", "nftables"),
    "vrrp_instance": ("interface", "version", "strict_mode"),
    "virtual_server.real_server.SSL_GET": ("sni_name",),
}
"""Block -> keywords that come first in this order; the others follow in the order of the table."""

SINGLE: frozenset[Key] = frozenset(
    (("", "global_defs"), ("", "SSL"), ("vrrp_instance", "authentication"), ("vrrp_instance", "auth_hmac"))
)
"""Blocks that are there once at most."""


# --- heads: the words before a brace, where the table has no form for them -----------------------------


def _service(one: VirtualServer) -> list[str]:
    if one.group is not None:
        return ["group", one.group]
    if one.fwmark is not None:
        return ["fwmark", str(one.fwmark)]
    return [str(one.address), str(one.port)]


HEADS: dict[str, Callable[[Any], Any]] = {
    "vrrp_instance": lambda one: [one.name],
    "virtual_server": _service,
    "virtual_server.real_server": lambda one: [str(one.address), str(one.port)],
}
"""Path of a block -> the words before its brace; with a ``head`` form in the table: the value for it."""

HEAD_TAKES: dict[str, str] = {
    "vrrp_instance": "NAME",
    "virtual_server": "ADDRESS [PORT], fwmark MARK or group NAME",
    "virtual_server.real_server": "ADDRESS [PORT]",
}
"""What these words are, for people."""

MIXED: dict[str, Callable[[Any], Iterable[tuple[str, Any]]]] = {
    "virtual_server.real_server": lambda one: [
        (check.kind, check) for check in (*one.checks, *(one.other_checks or ()))
    ],
}
"""Path of a block -> (keyword, object) of the blocks inside whose order counts across keywords. Their
rows need no field."""

BUILD_OPTIONS = (
    "snmp_",
    "enable_snmp_",
    "enable_traps",
    "dbus_",
    "enable_dbus",
    "nftables",
    "bfd_",
    "set_supplementary_groups",
    "namespace_with_ipsets",
)
"""Beginnings of keywords of global_defs that keepalived knows only where it was built with them: not
written at their default."""

Around = Sequence[Any]
"""Objects of the blocks around, nearest first; the last is the Config."""


def _global(field: str) -> Callable[[Around], Any]:
    return lambda around: getattr(around[-1].globals, field)


def _mail(of: str, otherwise: bool) -> Callable[[Around], bool]:
    def default(around: Around) -> bool:
        globals_ = around[-1].globals
        chosen = [one for one in (getattr(globals_, of), globals_.smtp_alert) if one is not None]
        return chosen[0] if chosen else otherwise

    return default


def _around_alpha(around: Around) -> bool:
    return bool(around[0].alpha)


_CHECKS = (
    "TCP_CHECK",
    "HTTP_GET",
    "SSL_GET",
    "SMTP_CHECK",
    "DNS_CHECK",
    "MISC_CHECK",
    "PING_CHECK",
    "UDP_CHECK",
)

INHERITED: dict[Key, Callable[[Around], Any]] = {
    ("global_defs", "snmp_rs_stats_update_interval"): _global("snmp_vs_stats_update_interval_s"),
    ("vrrp_instance", "lower_prio_no_advert"): _global("vrrp_lower_prio_no_advert"),
    ("vrrp_instance", "higher_prio_send_advert"): _global("vrrp_higher_prio_send_advert"),
    ("vrrp_instance", "owner_ignore_adverts"): _global("vrrp_owner_ignore_adverts"),
    ("vrrp_instance", "skip_check_adv_addr"): _global("vrrp_skip_check_adv_addr"),
    ("vrrp_instance", "v3_checksum_as_v2"): _global("v3_checksum_as_v2"),
    ("vrrp_instance", "strict_mode"): _global("vrrp_strict"),
    ("vrrp_instance", "notify_priority_changes"): lambda _around: None,
    ("vrrp_instance", "smtp_alert"): _mail("smtp_alert_vrrp", otherwise=False),
    ("vrrp_sync_group", "smtp_alert"): _mail("smtp_alert_vrrp", otherwise=False),
    ("virtual_server", "smtp_alert"): _mail("smtp_alert_checker", otherwise=False),
    ("virtual_server.real_server", "smtp_alert"): _mail("smtp_alert_checker", otherwise=True),
    # sni_name turns it on.
    ("virtual_server.real_server.SSL_GET", "enable_sni"): lambda _around: None,
    ("virtual_server.real_server", "alpha"): _around_alpha,
    **{(f"virtual_server.real_server.{name}", "alpha"): _around_alpha for name in _CHECKS},
    **{
        (f"virtual_server.real_server.{name}", "log_all_failures"): _global("checker_log_all_failures")
        for name in _CHECKS
    },
}
"""(path of a block, keyword) -> its value where it is not written, from the blocks around; None: not
known. For the others it is the default of the field."""

# --- values ------------------------------------------------------------------------------------------

_INSTANCE = "vrrp_instance"
_SERVICE = "virtual_server"
_REAL = "virtual_server.real_server"


def _native_ipv6(one: VrrpInstance) -> bool:
    seen = one.virtual_addresses or one.unicast_peers or one.source_address
    return one.family == 6 and not seen


def _unicast(one: VrrpInstance) -> bool:
    """Only unicast works without an interface."""
    return bool(one.unicast_peers) or not one.interface


def _password(one: VrrpInstance) -> bytes | None:
    return one.auth_ah if one.auth_pass is None else one.auth_pass


def _flag(bit: int) -> Callable[[VirtualServer], bool]:
    return lambda one: one.scheduler not in ("sh", "mh") and bool(one.scheduler_flags & bit)


def _flag_of(scheduler: str, bit: int) -> Callable[[VirtualServer], bool]:
    return lambda one: one.scheduler == scheduler and bool(one.scheduler_flags & bit)


def _ip_family(one: VirtualServer) -> str | None:
    """Where no address says it; a group may have both families, and is IPv4 then."""
    if one.address is not None or (one.group is not None and one.family == 4):
        return None
    return "inet6" if one.family == 6 else "inet"


_FLUSH: dict[str, tuple[str, ...] | None] = {"no": None, "all": (), "VS": ("VS",)}

VALUES: dict[Key, Callable[[Any], Any]] = {
    ("global_defs", "lvs_flush_on_stop"): lambda one: _FLUSH[one.lvs_flush_on_stop],
    ("", "global_defs"): lambda one: one.globals,
    (_INSTANCE, "native_ipv6"): _native_ipv6,
    (_INSTANCE, "advert_int"): lambda one: one.advert_int_cs / 100,
    (_INSTANCE, "authentication"): lambda one: () if _password(one) is None else (one,),
    (f"{_INSTANCE}.authentication", "auth_type"): lambda one: "AH" if one.auth_pass is None else "PASS",
    (f"{_INSTANCE}.authentication", "auth_pass"): _password,
    (_INSTANCE, "no_accept"): lambda one: not one.accept,
    ("vrrp_track_process", "param_match"): lambda one: None if one.param_match == "none" else one.param_match,
    (_INSTANCE, "unicast_peer"): lambda one: one.unicast_peers,
    (_INSTANCE, "unicast_src_ip"): lambda one: one.source_address if _unicast(one) else None,
    (_INSTANCE, "mcast_src_ip"): lambda one: None if _unicast(one) else one.source_address,
    (_INSTANCE, "nopreempt"): lambda one: not one.preempt,
    (_SERVICE, "ip_family"): _ip_family,
    (_SERVICE, "flag-1"): _flag(0x08),
    (_SERVICE, "flag-2"): _flag(0x10),
    (_SERVICE, "flag-3"): lambda one: bool(one.scheduler_flags & 0x20),
    (_SERVICE, "sh-fallback"): _flag_of("sh", 0x08),
    (_SERVICE, "sh-port"): _flag_of("sh", 0x10),
    (_SERVICE, "mh-fallback"): _flag_of("mh", 0x08),
    (_SERVICE, "mh-port"): _flag_of("mh", 0x10),
    **{
        (f"{_REAL}.{kind}.url", "regex_options"): lambda one: one.regex_options or None
        for kind in ("HTTP_GET", "SSL_GET")
    },
}
"""(path of a block, keyword) -> its value, from the object of the block."""

NOT_SHOWN: dict[Key, str] = {
    (_INSTANCE, "preempt"): "the default; nopreempt says the other",
    **{
        (_SERVICE, name): "each check says its own value"
        for name in (
            "retry",
            "delay_before_retry",
            "warmup",
            "connect_timeout",
            "delay_loop",
            "virtualhost",
        )
    },
    **{
        (_REAL, name): "each check says its own value"
        for name in (
            "retry",
            "delay_before_retry",
            "warmup",
            "connect_timeout",
            "delay_loop",
            "virtualhost",
        )
    },
    (_SERVICE, "inhibit_on_failure"): "each real_server says its own value",
    (_SERVICE, "weight"): "each real_server says its own value",
    (_SERVICE, "hashed"): "services are always hashed",
    (f"{_REAL}.HTTP_GET", "virtualhost"): "each url says its own value",
    (f"{_REAL}.SSL_GET", "virtualhost"): "each url says its own value",
    (f"{_REAL}.SMTP_CHECK", "host"): "each is a check of its own",
    ("vrrp_track_process", "delay"): "terminate_delay and fork_delay say it",
    ("garp_group", "interface"): "interfaces says it",
}
"""(path of a block, keyword) -> why no line is written for it."""
