"""Rows of global_defs: processes, files, reload, scripts, mail, SNMP, D-Bus."""

from __future__ import annotations

import dataclasses

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.common import FIFO, SCRIPT
from keepalived_conf.grammar.global_forms import (
    AUTO_PRIORITY,
    CPUS,
    DIRECTORY,
    DUMP_FILE,
    EMAILS,
    INCLUDE_CHECK,
    LOG_FILE,
    PROCESS_NAME,
    REALTIME_PRIORITY,
    RELOAD_FILE,
    SCRIPT_USER,
    SENDER,
    SMTP_SERVER,
    UMASK,
    reported,
)
from keepalived_conf.grammar.global_rows import (
    no_effect,
    parsed,
    parsed_bool,
    parsed_flag,
    parsed_form,
    parsed_number,
    parsed_seconds,
)
from keepalived_conf.grammar.schema import (
    GARP_DELAY_MAX_S,
    UINT32_MAX,
    Effect,
    Keyword,
    Type,
    block_of,
    in_effect,
)

_SCRIPT, _FIFO = reported(SCRIPT), reported(FIFO)
_NAMED_BY_ROLE = "processes are named pyka-ROLE, or as keepalived's when started as keepalived"

NOTIFICATION_EMAIL = block_of(
    "global_defs.notification_email",
    (in_effect(parsed("EMAIL", Type.TEXT, "One recipient a word", "script", repeatable=True)),),
    entry=EMAILS,
)


def process_rows(role: str, worker: str) -> tuple[Keyword, ...]:
    """Rows that keepalived has once for each of its processes. Every vrrp worker keeps itself in memory; the
    checker does not, and there is no bfd worker yet."""
    waiting = {"vrrp": (), "checker": ("checker_no_swap",)}.get(role)
    return tuple(
        row if waiting is None or row.name in waiting else dataclasses.replace(row, effect=Effect.ACTIVE)
        for row in _process_rows(role, worker)
    )


def _process_rows(role: str, worker: str) -> tuple[Keyword, ...]:
    return (
        parsed_number(
            f"{role}_priority",
            -20,
            19,
            "Nice value of the process",
            worker,
            unit="nice",
            default="unchanged",
            since="1.2.20" if role != "bfd" else "",
            stops_when_bare=False,
        ),
        parsed_flag(
            f"{role}_no_swap",
            "Keep the process in memory",
            worker,
            since="1.2.20" if role != "bfd" else "",
        ),
        parsed_form(
            f"{role}_rt_priority",
            REALTIME_PRIORITY,
            "Real-time priority (SCHED_RR) of the process",
            worker,
            default="unset",
        ),
        parsed_form(
            f"{role}_cpu_affinity",
            CPUS,
            "CPUs the process may run on",
            worker,
            default="all",
            since="2.0.17",
        ),
        *(
            parsed_number(
                name,
                1,
                UINT32_MAX,
                "CPU time a real-time process may take without a pause; 1 counts as 2",
                worker,
                unit="us",
                default="" if old else "10000",
                alias_of=f"{role}_rlimit_rttime" if old else "",
                deprecated=f"write {role}_rlimit_rttime" if old else "",
                deprecated_class=KeepalivedClass.OK if old else None,
            )
            for name, old in ((f"{role}_rlimit_rttime", False), (f"{role}_rlimit_rtime", True))
        ),
    )


def buffer_rows(name: str, worker: str, what: str) -> tuple[Keyword, ...]:
    """NAME_rcv_bufs and NAME_rcv_bufs_force."""
    return (
        parsed_number(
            f"{name}_rcv_bufs",
            0,
            UINT32_MAX,
            f"Receive buffer of {what}; 0 is the kernel's",
            worker,
            unit="bytes",
            default="kernel default",
            exact=True,
            stops_when_bare=False,
        ),
        parsed_bool(f"{name}_rcv_bufs_force", f"Do so beyond the limit of the system: {what}", worker),
    )


def _script(name: str, help_: str, *, again: str = "ignored", since: str, reason: str) -> Keyword:
    return parsed_form(name, _SCRIPT, help_, "script", again=again, since=since, reason=reason)


PROCESS_ROWS: tuple[Keyword, ...] = (
    no_effect(parsed_flag("process_names", "Name each process after its task", "supervisor"), _NAMED_BY_ROLE),
    *(
        no_effect(
            parsed_form(
                name,
                PROCESS_NAME,
                f"Name of the {what} process",
                worker,
                default=default,
                since=since,
                alias_of=alias,
                deprecated=f"write {alias}" if alias else "",
                deprecated_class=KeepalivedClass.OK if alias else None,
            ),
            _NAMED_BY_ROLE,
        )
        for name, what, worker, default, since, alias in (
            ("process_name", "parent", "supervisor", "keepalived", "2.0.16", ""),
            ("vrrp_process_name", "VRRP", "vrrp", "process_name", "2.0.16", ""),
            ("checker_process_name", "checker", "checker", "process_name", "2.2.0", ""),
            ("lvs_process_name", "checker", "checker", "", "2.0.16", "checker_process_name"),
            ("bfd_process_name", "BFD", "bfd", "process_name", "2.0.16", ""),
        )
    ),
    parsed_form(
        "max_auto_priority",
        AUTO_PRIORITY,
        "Highest real-time priority processes may take when they run late; 0: none, -1 or bare: the highest",
        "supervisor",
        default="0",
        since="2.1.0",
    ),
    parsed_number(
        "min_auto_priority_delay",
        1,
        10_000_000,
        "Lateness of a timer that raises the priority",
        "supervisor",
        unit="us",
        default="1000000",
        since="2.1.0",
        stops_when_bare=False,
    ),
    in_effect(
        parsed_form(
            "umask",
            UMASK,
            "Permissions that new files do not get; -u on the command line counts more",
            "script",
            default="0177",
            since="2.0.9",
        )
    ),
    no_effect(
        parsed_number(
            "random_seed", 0, UINT32_MAX, "Seed of ${_RANDOM}", "supervisor", exact=True, default="time based"
        ),
        "the numbers of ${_RANDOM} are drawn before it is read; keepalived has the same order",
    ),
    no_effect(
        parsed_form(
            "reload_check_config",
            LOG_FILE,
            "Check a new file before it is taken over",
            "supervisor",
            default="off (/dev/null when bare)",
            since="2.2.0",
        ),
        "a new configuration is always checked first, in a process of its own; messages go to the log",
    ),
    parsed_form(
        "reload_time_file",
        DIRECTORY,
        "File with the time at which to reload",
        "supervisor",
        since="2.1.0",
        reason="nothing is reloaded at that time",
    ),
    parsed_flag(
        "reload_repeat",
        "Keep reload_time_file after the reload: every day again",
        "supervisor",
        since="2.1.0",
    ),
    parsed_form(
        "reload_file",
        RELOAD_FILE,
        "File that is there while a reload lasts",
        "supervisor",
        default="RUNDIR/keepalived.reload when bare",
        since="2.2.0",
    ),
    parsed_form(
        "include_check",
        INCLUDE_CHECK,
        "What makes a plain include line fail",
        "supervisor",
        default="no checks; bare means all",
        since="2.2.0",
        effect=Effect.ACTIVE,
    ),
    parsed(
        "config_save_dir",
        Type.TEXT,
        "Directory for copies of the configuration at reloads",
        "supervisor",
        since="2.2.3",
    ),
    no_effect(
        parsed(
            "tmp_config_directory",
            Type.TEXT,
            "Directory for the copy that keepalived's children read",
            "supervisor",
            default="memory file",
            again="ignored",
            stops_when_bare=False,
        ),
        "workers get their parts in sealed memory; no copy is written",
    ),
    parsed_bool(
        "data_use_instance", "Put instance and namespace into the names of dumps", "supervisor", since="2.2.3"
    ),
    parsed_number(
        "json_version",
        1,
        2,
        "Layout of the JSON dump",
        "api",
        default="1",
        since="2.2.8",
        stops_when_bare=False,
    ),
    parsed_form(
        "iproute_usr_dir",
        DIRECTORY,
        "Directory of iproute2's tables of names, the vendor's",
        "vrrp",
        default="build-time folder",
    ),
    parsed_form(
        "iproute_etc_dir",
        DIRECTORY,
        "Directory of iproute2's tables of names, the machine's",
        "vrrp",
        default="/etc/iproute2",
    ),
    parsed_form(
        "state_dump_file",
        DUMP_FILE,
        "File or directory of the dump of all data",
        "supervisor",
        default="TMPDIR/keepalived*.data",
    ),
    parsed_form(
        "stats_dump_file",
        DUMP_FILE,
        "File of the statistics",
        "supervisor",
        default="TMPDIR/keepalived.stats",
    ),
    parsed_form(
        "json_dump_file", DUMP_FILE, "File of the JSON dump", "supervisor", default="TMPDIR/keepalived.json"
    ),
)

_SCRIPT_ROWS: tuple[Keyword, ...] = (
    _script(
        "startup_script",
        "Program run before the workers start",
        since="2.1.0",
        reason="",
    ),
    parsed_number(
        "startup_script_timeout",
        1,
        1000,
        "Time it may take",
        "script",
        unit="s",
        default="10",
        since="2.1.0",
        stops_when_bare=False,
    ),
    _script(
        "shutdown_script",
        "Program run after the workers ended",
        since="2.1.0",
        reason="",
    ),
    parsed_number(
        "shutdown_script_timeout",
        1,
        1000,
        "Time it may take",
        "script",
        unit="s",
        default="10",
        since="2.1.0",
        stops_when_bare=False,
    ),
    parsed_form(
        "script_user",
        SCRIPT_USER,
        "Who runs programs that name nobody",
        "script",
        default="keepalived_script or daemon user",
        since="1.3.0",
    ),
    parsed_flag(
        "enable_script_security", "Never run as root what others could have changed", "script", since="1.3.0"
    ),
    parsed_bool(
        "use_symlink_paths",
        "Run programs by the path as written, not by the resolved one",
        "script",
        since="2.3.0",
    ),
    parsed_bool("set_supplementary_groups", "Programs get all groups of their user", "script"),
    parsed_form(
        "notify_fifo",
        _FIFO,
        "FIFO for events of VRRP and of services",
        "script",
        again="ignored",
        since="1.3.6",
    ),
    _script("notify_fifo_script", "Program that reads notify_fifo", since="1.3.6", reason=""),
    parsed_form(
        "vrrp_notify_fifo", _FIFO, "FIFO for events of VRRP", "script", again="ignored", since="1.3.6"
    ),
    _script("vrrp_notify_fifo_script", "Program that reads vrrp_notify_fifo", since="1.3.6", reason=""),
    parsed_bool(
        "vrrp_notify_priority_changes", "Changed priorities are events too", "script", since="2.0.16"
    ),
    parsed_flag(
        "fifo_write_vrrp_states_on_reload", "All states are events after a reload", "script", since="2.2.7"
    ),
    parsed_form(
        "lvs_notify_fifo", _FIFO, "FIFO for events of services", "script", again="ignored", since="1.3.6"
    ),
    _script("lvs_notify_fifo_script", "Program that reads lvs_notify_fifo", since="1.3.6", reason=""),
)

_MAIL_ROWS: tuple[Keyword, ...] = (
    parsed(
        "router_id",
        Type.TEXT,
        "Name of this machine",
        "script",
        default="host name",
        since="1.1.8",
        stops_when_bare=False,
    ),
    parsed_form(
        "notification_email_from",
        SENDER,
        "Sender of alert mails",
        "script",
        default="user@host when smtp_server set",
    ),
    parsed_form(
        "smtp_server", SMTP_SERVER, "Where alert mails are handed over", "script", default="none; PORT 25"
    ),
    parsed(
        "smtp_helo_name",
        Type.TEXT,
        "Name this machine gives to the mail server",
        "script",
        default="host name",
        optional=True,
    ),
    Keyword(
        name="smtp_connect_timeout",
        type=Type.INTEGER,
        low=0,
        high=GARP_DELAY_MAX_S,
        raised_to=1,
        unit="s",
        default="30",
        effect=Effect.PARSED,
        worker="script",
        help="Time to wait for the mail server",
    ),
    parsed(
        "notification_email",
        Type.BLOCK,
        "Recipients of alert mails",
        "script",
        optional=True,
        repeatable=True,
        block=NOTIFICATION_EMAIL,
    ),
    parsed_bool(
        "smtp_alert", "Mail alerts of everything that does not say itself", "script", default="unset"
    ),
    parsed_bool("smtp_alert_vrrp", "Mail alerts of instances and sync groups", "script", default="unset"),
    parsed_bool("smtp_alert_checker", "Mail alerts of virtual and real servers", "script", default="unset"),
    parsed_flag("no_email_faults", "No mail when an instance is in FAULT", "script"),
    parsed_bool(
        "no_checker_emails", "Mail when a real server changes, not for each check", "script", since="2.0.0"
    ),
)

_WAIT = {"use_symlink_paths"}
SCRIPT_ROWS = tuple(row if row.name in _WAIT else in_effect(row) for row in _SCRIPT_ROWS)
MAIL_ROWS = tuple(map(in_effect, _MAIL_ROWS))

SNMP_ROWS: tuple[Keyword, ...] = (
    parsed(
        "snmp_socket",
        Type.TEXT,
        "Address of the AgentX master",
        "api",
        default="unix:/var/agentx/master",
        again="ignored",
        stops_when_bare=False,
    ),
    parsed_flag("enable_traps", "Send SNMP notifications", "api"),
    parsed_flag("enable_snmp_vrrp", "Serve VRRP's part of KEEPALIVED-MIB", "api", since="2.0.0"),
    parsed_flag(
        "enable_snmp_keepalived",
        "Old name of enable_snmp_vrrp",
        "api",
        default="",
        alias_of="enable_snmp_vrrp",
        deprecated="write enable_snmp_vrrp",
        deprecated_class=KeepalivedClass.OK,
    ),
    parsed_flag("enable_snmp_rfc", "Serve the MIBs of RFC 2787 and RFC 6527", "api"),
    parsed_flag("enable_snmp_rfcv2", "Serve the MIB of RFC 2787", "api"),
    parsed_flag("enable_snmp_rfcv3", "Serve the MIB of RFC 6527", "api"),
    parsed_flag("enable_snmp_checker", "Serve the checker's part of KEEPALIVED-MIB", "api"),
    parsed_seconds(
        "snmp_vs_stats_update_interval",
        0.001,
        30,
        "Age at which figures of virtual servers are read anew",
        "api",
        default="5",
        since="2.3.0",
    ),
    parsed_seconds(
        "snmp_rs_stats_update_interval",
        0.001,
        30,
        "Age at which figures of real servers are read anew",
        "api",
        default="snmp_vs_stats_update_interval",
        since="2.3.0",
    ),
    parsed_flag("enable_dbus", "Offer the D-Bus service", "api", since="1.3.0"),
    parsed(
        "dbus_service_name",
        Type.TEXT,
        "Name on the D-Bus",
        "api",
        default="org.keepalived.Vrrp1",
        since="1.3.7",
        stops_when_bare=False,
    ),
    parsed(
        "dbus_no_interface_name",
        Type.TEXT,
        "Stands in D-Bus paths for the missing interface",
        "api",
        default="none",
        since="2.3.0",
        stops_when_bare=False,
    ),
)
