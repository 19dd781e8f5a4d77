"""global_defs and the settings of the top level."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from keepalived_conf.model.base import VRRP_GROUP4, VRRP_GROUP6, Fifo, IpAddress, Places, Script
from keepalived_conf.model.vrrp import GarpExtraIf


@dataclass(frozen=True, kw_only=True, slots=True)
class SmtpServer:
    """Where alert mails are handed over."""

    host: str
    """Address or host name as written; names are looked up when a mail is sent."""
    port: int = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class DefaultScriptUser:
    """Who runs scripts that name nobody themselves."""

    user: str
    group: str | None = None
    """None: the user's first group."""
    supplementary_groups: bool = False
    """A colon before the group: the user's further groups too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LvsTimeouts:
    """Timeouts of IPVS connections; None: as the kernel has it, 0: not changed."""

    tcp_s: int | None = None
    tcpfin_s: int | None = None
    udp_s: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LvsSyncDaemon:
    """The kernel's daemon that passes IPVS connections on to the other node."""

    interface: str
    instance: str | None = None
    """vrrp_instance whose state says whether this node is master or backup of the daemon."""
    sync_id: int | None = None
    """None: the virtual_router_id of the instance."""
    maxlen_bytes: int | None = None
    port: int | None = None
    ttl: int | None = None
    group: IpAddress | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IptablesChains:
    input: str
    output: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalDefs:
    """global_defs and the settings of the top level: effective values, fields named after keywords."""

    # The top level.
    net_namespace: str | None = None
    net_namespace_ipvs: str | None = None
    """None: as net_namespace; empty: the namespace pykeepalived was started in."""
    namespace_with_ipsets: bool = False
    use_pid_dir: bool = False
    """Also on when net_namespace or instance is written."""
    instance: str | None = None
    child_wait_time_s: float = 5.0
    linkbeat_use_polling: bool = False

    # Processes and files.
    process_names: bool = False
    process_name: str = ""
    vrrp_process_name: str = ""
    """Empty: as process_name."""
    checker_process_name: str = ""
    bfd_process_name: str = ""
    max_auto_priority: int = 0
    """Highest real-time priority that may be taken by itself; 0: none, -1: as high as the kernel allows."""
    min_auto_priority_delay_us: int = 1_000_000
    umask: int | None = None
    random_seed: int | None = None
    startup_script: Script | None = None
    startup_script_timeout_s: int = 10
    shutdown_script: Script | None = None
    shutdown_script_timeout_s: int = 10
    reload_check_config: str | None = None
    """File for the messages of the check."""
    reload_time_file: str | None = None
    reload_repeat: bool = False
    reload_file: str | None = None
    include_check: tuple[str, ...] | None = None
    """Of read, match, wildcard_match, brace_match, in this order; None: not written."""
    config_save_dir: str | None = None
    tmp_config_directory: str | None = None
    data_use_instance: bool = False
    json_version: int = 1
    iproute_usr_dir: str | None = None
    iproute_etc_dir: str | None = None
    state_dump_file: str | None = None
    stats_dump_file: str | None = None
    json_dump_file: str | None = None

    log_format: Literal["text", "json", "classic"] | None = None
    """Ours. None: text on a terminal, else json. The command line wins."""

    handover: bool = True
    """Ours. A master that leaves on purpose serves on until its successor speaks; False: the RFC's order."""

    # Scripts, notifications, mail.
    script_user: DefaultScriptUser | None = None
    """None: keepalived_script if there is such a user, else the user of the daemon."""
    enable_script_security: bool = False
    use_symlink_paths: bool = False
    set_supplementary_groups: bool = False
    notify_fifo: Fifo | None = None
    notify_fifo_script: Script | None = None
    vrrp_notify_fifo: Fifo | None = None
    vrrp_notify_fifo_script: Script | None = None
    vrrp_notify_priority_changes: bool = False
    fifo_write_vrrp_states_on_reload: bool = False
    lvs_notify_fifo: Fifo | None = None
    lvs_notify_fifo_script: Script | None = None
    router_id: str = ""
    """Empty: the host name."""
    notification_email: tuple[str, ...] = ()
    notification_email_from: str | None = None
    """None: USER@HOST of the daemon."""
    smtp_server: SmtpServer | None = None
    """None: no mail is sent."""
    smtp_helo_name: str = ""
    """Empty: the host name."""
    smtp_connect_timeout_s: int = 30
    smtp_alert: bool | None = None
    smtp_alert_vrrp: bool | None = None
    smtp_alert_checker: bool | None = None
    """None: as smtp_alert; that one None: on for real servers, off for everything else."""
    no_email_faults: bool = False
    no_checker_emails: bool = False

    # SNMP and D-Bus.
    snmp_socket: str = "unix:/var/agentx/master"
    enable_traps: bool = False
    enable_snmp_vrrp: bool = False
    enable_snmp_rfc: bool = False
    enable_snmp_rfcv2: bool = False
    """Also on by enable_snmp_rfc, as is enable_snmp_rfcv3."""
    enable_snmp_rfcv3: bool = False
    enable_snmp_checker: bool = False
    snmp_vs_stats_update_interval_s: float = 5.0
    snmp_rs_stats_update_interval_s: float = 5.0
    enable_dbus: bool = False
    dbus_service_name: str = "org.keepalived.Vrrp1"
    dbus_no_interface_name: str = "none"

    # VRRP.
    dynamic_interfaces: Literal["yes", "allow_if_changes"] | None = None
    default_interface: str = "eth0"
    disable_local_igmp: bool = False
    vrrp_mcast_group4: IPv4Address = VRRP_GROUP4
    vrrp_mcast_group6: IPv6Address = VRRP_GROUP6
    vrrp_version: Literal[2, 3] = 2
    vrrp_strict: bool = False
    vrrp_startup_delay_s: float = 0.0
    vrrp_delay_after_boot_s: float = 0.0
    vrrp_garp_master_delay_s: int = 5
    vrrp_garp_master_repeat: int = 5
    vrrp_garp_master_refresh_s: int = 0
    vrrp_garp_master_refresh_repeat: int = 1
    vrrp_garp_lower_prio_delay_s: int | None = None
    """None: as garp_master_delay of the instance; so the repeat."""
    vrrp_garp_lower_prio_repeat: int | None = None
    vrrp_garp_interval_s: float = 0.0
    vrrp_gna_interval_s: float = 0.0
    vrrp_min_garp: bool = False
    vrrp_garp_extra_if: GarpExtraIf | None = None
    vrrp_down_timer_adverts: int = 3
    vrrp_lower_prio_no_advert: bool = False
    vrrp_higher_prio_send_advert: bool = False
    vrrp_owner_ignore_adverts: bool = False
    vrrp_check_unicast_src: bool = False
    vrrp_skip_check_adv_addr: bool = False
    v3_checksum_as_v2: bool = False
    log_unknown_vrids: bool = False
    vmac_prefix: str = "vrrp"
    vmac_addr_prefix: str = "vrrp"
    vrrp_iptables: IptablesChains | None = None
    vrrp_ipsets: tuple[str, ...] | None = None
    """Names of the six sets: IPv4, IPv6, IPv6 with interface, IGMP, MLD, ND; empty: no sets are used."""
    nftables: str | None = None
    """Name of the table."""
    nftables_priority: int = -1
    nftables_ifindex: bool = False
    nftables_counters: bool = False
    vrrp_priority: int | None = None
    """Nice value; None: as started."""
    vrrp_no_swap: bool = False
    vrrp_rt_priority: int | None = None
    vrrp_rlimit_rttime_us: int = 10_000
    vrrp_cpu_affinity: tuple[int, ...] | None = None
    """None: all."""
    vrrp_netlink_cmd_rcv_bufs_bytes: int = 0
    """0: as the kernel has it; so the others."""
    vrrp_netlink_cmd_rcv_bufs_force: bool = False
    vrrp_netlink_monitor_rcv_bufs_bytes: int = 0
    vrrp_netlink_monitor_rcv_bufs_force: bool = False
    process_monitor_rcv_bufs_bytes: int = 0
    process_monitor_rcv_bufs_force: bool = False
    vrrp_rx_bufs_policy: Literal["MTU", "ADVERT"] | int | None = None
    """A size in bytes, or what it is computed from, times vrrp_rx_bufs_multiplier."""
    vrrp_rx_bufs_multiplier: int = 3

    # Services.
    lvs_timeouts: LvsTimeouts | None = None
    lvs_flush: bool = False
    lvs_flush_on_stop: Literal["no", "all", "VS"] = "no"
    lvs_sync_daemon: LvsSyncDaemon | None = None
    nftables_ipvs: str | None = None
    nftables_ipvs_priority: int = -1
    nftables_ipvs_start_fwmark: int = 1000
    rs_init_notifies: bool = False
    checker_log_all_failures: bool = False
    checker_priority: int | None = None
    checker_no_swap: bool = False
    checker_rt_priority: int | None = None
    checker_rlimit_rttime_us: int = 10_000
    checker_cpu_affinity: tuple[int, ...] | None = None
    lvs_netlink_cmd_rcv_bufs_bytes: int = 0
    lvs_netlink_cmd_rcv_bufs_force: bool = False
    lvs_netlink_monitor_rcv_bufs_bytes: int = 0
    lvs_netlink_monitor_rcv_bufs_force: bool = False

    # BFD.
    bfd_priority: int | None = None
    bfd_no_swap: bool = False
    bfd_rt_priority: int | None = None
    bfd_rlimit_rttime_us: int = 10_000
    bfd_cpu_affinity: tuple[int, ...] | None = None

    places: Places = field(default_factory=dict, compare=False, repr=False)
