"""global_defs, child_wait_time and the grammar tables themselves."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from keepalived_conf.grammar.global_defs import GLOBAL_DEFS
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import SCRIPT_KEYWORDS, Block, Keyword, Type
from keepalived_conf.loading import exit_status
from keepalived_conf.model import (
    DefaultScriptUser,
    Fifo,
    GarpExtraIf,
    GlobalDefs,
    IptablesChains,
    LvsSyncDaemon,
    LvsTimeouts,
    Script,
    SmtpServer,
)
from keepalived_conf.tools import show
from tests.unit.conf.support import codes, find, instance_text, load, where


def globals_of(text: str) -> tuple[GlobalDefs, list[str]]:
    result = load(f"global_defs {{\n{text}\n}}\n")
    assert not result.fatal
    return result.config.globals, codes(result)


def test_defaults() -> None:
    assert globals_of("") == (GlobalDefs(), [])


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("router_id LB-1", "router_id", "LB-1"),
        ('router_id "two words"', "router_id", "two words"),
        ("vrrp_mcast_group4 224.0.0.99", "vrrp_mcast_group4", ip_address("224.0.0.99")),
        ("vrrp_mcast_group6 ff02::99", "vrrp_mcast_group6", ip_address("ff02::99")),
        ("vrrp_startup_delay 2.5", "vrrp_startup_delay_s", 2.5),
        ("vrrp_startup_delay 0.001", "vrrp_startup_delay_s", 0.001),
        ("vrrp_garp_interval 0.01", "vrrp_garp_interval_s", 0.01),
        ("vrrp_gna_interval 4294.967295", "vrrp_gna_interval_s", 4294.967295),
        ("lvs_flush", "lvs_flush", True),
        ("lvs_flush foo", "lvs_flush", True),
        ("lvs_flush_on_stop", "lvs_flush_on_stop", "all"),
        ("lvs_flush_on_stop VS", "lvs_flush_on_stop", "VS"),
        ("lvs_flush_onstop VS", "lvs_flush_on_stop", "VS"),
    ],
)
def test_values(line: str, field: str, value: object) -> None:
    found, told = globals_of(line)
    assert getattr(found, field) == value
    assert told in ([], ["extra-words"], ["deprecated"])
    name = "lvs_flush_on_stop" if "onstop" in line else line.split()[0]
    assert found.places[name].line == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("router_id", "missing-argument"),
        ("vrrp_mcast_group4 10.0.0.1", "invalid-value"),
        ("vrrp_mcast_group4 ff02::12", "invalid-value"),
        ("vrrp_mcast_group6 224.0.0.18", "invalid-value"),
        ("vrrp_mcast_group4 x", "invalid-value"),
        ("vrrp_startup_delay 0", "invalid-number"),
        ("vrrp_startup_delay 4294.967296", "invalid-number"),
        ("vrrp_garp_interval 0", "invalid-number"),
        ("vrrp_gna_interval 4295", "invalid-number"),
        ("lvs_flush_on_stop all", "invalid-value"),
        ("vrrp_version 1", "invalid-number"),
        ("vrrp_lower_prio_no_advert True", "invalid-value"),
    ],
)
def test_refused_values_leave_the_default(line: str, told: str) -> None:
    assert globals_of(line) == (GlobalDefs(), [told])


def test_too_many_decimals_are_rounded_and_reported() -> None:
    found, told = globals_of("vrrp_garp_interval 0.0000015")
    assert found.vrrp_garp_interval_s == 0.000002
    assert told == ["too-many-decimals"]


def test_child_wait_time_stands_at_the_top_level() -> None:
    assert load("child_wait_time 0\n").config.globals.child_wait_time_s == 0.0
    result = load("child_wait_time -1\n")
    assert result.config.globals.child_wait_time_s == 5.0
    assert codes(result) == ["invalid-number"]


# --- arguments with a shape of their own --------------------------------------------------------


def loud(text: str) -> tuple[GlobalDefs, list[tuple[str, int]]]:
    """(globals, (code, column) of what is an error or of a class of keepalived's)."""
    result = load(f"global_defs {{\n{text}\n}}\n")
    assert not result.fatal, result.text()
    return result.config.globals, [
        (item.code, item.place.column)
        for item in result.diagnostics
        if item.place is not None and item.keepalived and item.code != "no-script-security"
    ]


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("smtp_server mail.example.org", "smtp_server", SmtpServer(host="mail.example.org")),
        ("smtp_server 192.0.2.1 587", "smtp_server", SmtpServer(host="192.0.2.1", port=587)),
        ("smtp_helo_name", "smtp_helo_name", ""),
        ("startup_script /bin/x root", "startup_script", Script(command=("/bin/x",), user="root")),
        ("notify_fifo /run/f nobody", "notify_fifo", Fifo(path="/run/f", user="nobody")),
        ("script_user root", "script_user", DefaultScriptUser(user="root")),
        (
            "script_user root :adm",
            "script_user",
            DefaultScriptUser(user="root", group="adm", supplementary_groups=True),
        ),
        ("script_user root :", "script_user", DefaultScriptUser(user="root", supplementary_groups=True)),
        ("max_auto_priority", "max_auto_priority", 99),
        ("max_auto_priority -1", "max_auto_priority", -1),
        ("vrrp_rt_priority 99", "vrrp_rt_priority", 99),
        ('vrrp_priority ""', "vrrp_priority", 0),
        ("bfd_cpu_affinity 3 1 1", "bfd_cpu_affinity", (1, 3)),
        ("umask 022", "umask", 0o022),
        ("umask 0x12", "umask", 0o022),
        ("umask 18", "umask", 0o022),
        ("umask IRWXO|IWGRP", "umask", 0o027),
        ("umask IWGRP | IXOTH", "umask", 0o021),
        ("include_check", "include_check", ("read", "match", "wildcard_match", "brace_match")),
        ("include_check match +read -match", "include_check", ("read",)),
        ("include_check -read", "include_check", ()),
        ("dynamic_interfaces", "dynamic_interfaces", "yes"),
        ("dynamic_interfaces allow_if_changes", "dynamic_interfaces", "allow_if_changes"),
        ("vrrp_garp_extra_if all 5", "vrrp_garp_extra_if", GarpExtraIf(interval_s=5, all_interfaces=True)),
        ("vrrp_rx_bufs_policy mtu", "vrrp_rx_bufs_policy", "MTU"),
        ("vrrp_rx_bufs_policy 4096", "vrrp_rx_bufs_policy", 4096),
        ("vrrp_ipsets", "vrrp_ipsets", ()),
        ("vrrp_ipsets a", "vrrp_ipsets", ("a", "a6", "a_if6", "a_igmp", "a_mld", "a_nd")),
        ("nftables", "nftables", "keepalived"),
        ("nftables_ipvs t", "nftables_ipvs", "t"),
        ("lvs_timeouts tcp 0 udp 2678400", "lvs_timeouts", LvsTimeouts(tcp_s=0, udp_s=2678400)),
        ("lvs_timeouts tcp 5\nlvs_timeouts udp 7", "lvs_timeouts", LvsTimeouts(tcp_s=5, udp_s=7)),
        (
            "lvs_sync_daemon eth0 inst A id 5 port 9 ttl 2 maxlen 1400 group ff02::7",
            "lvs_sync_daemon",
            LvsSyncDaemon(
                interface="eth0",
                instance="A",
                sync_id=5,
                port=9,
                ttl=2,
                maxlen_bytes=1400,
                group=ip_address("ff02::7"),
            ),
        ),
        ("lvs_sync_daemon eth0 A", "lvs_sync_daemon", LvsSyncDaemon(interface="eth0", instance="A")),
        ("reload_check_config", "reload_check_config", "/dev/null"),
        ("config_save_dir /tmp/x/", "config_save_dir", "/tmp/x"),
        ("vrrp_startup_delay 5\nvrrp_startup_delay 3", "vrrp_startup_delay_s", 5.0),
        ("enable_snmp_rfc", "enable_snmp_rfcv3", True),
        ("enable_snmp_keepalived", "enable_snmp_vrrp", True),
        ("snmp_vs_stats_update_interval 7", "snmp_rs_stats_update_interval_s", 7.0),
        ("vmac_prefix vv", "vmac_addr_prefix", "vv"),
        ("vrrp_rlimit_rtime 7", "vrrp_rlimit_rttime_us", 7),
        ('notification_email {\na@b c@d\n"E <e@f>"\n}', "notification_email", ("a@b", "c@d", "E <e@f>")),
    ],
)
def test_forms(line: str, field: str, value: object) -> None:
    found, told = loud(line)
    assert getattr(found, field) == value
    assert told == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("smtp_server 192.0.2.1 0", [("invalid-number", 23)]),
        ("smtp_server 192.0.2.1/24", [("invalid-value", 13)]),
        ("startup_script", [("missing-argument", 15)]),
        ("notify_fifo", [("missing-argument", 12)]),
        ("max_auto_priority 100", [("invalid-number", 19)]),
        ("vrrp_rt_priority x", [("invalid-number", 18)]),
        ("checker_cpu_affinity 0 x", [("invalid-number", 24)]),
        ("umask 01000", [("invalid-value", 7)]),
        ("umask 09", [("invalid-value", 7)]),
        ("umask 022 7", [("invalid-value", 11)]),
        ("umask IRUSR IWUSR", [("invalid-value", 13)]),
        ("umask IRUSR xIWUSR", [("invalid-value", 13)]),
        ("umask IRUSR |", [("invalid-value", 13)]),
        ("vrrp_garp_extra_if all", [("missing-argument", 23)]),
        ("vrrp_garp_extra_if 86401", [("invalid-number", 20)]),
        ("vrrp_rx_bufs_policy foo", [("invalid-number", 21)]),
        ("vrrp_rx_bufs_multiplier 0", [("invalid-number", 25)]),
        ("vrrp_rx_bufs_multiplier 3 4", [("invalid-value", 27)]),
        ("vrrp_rx_bufs_multiplier", [("missing-argument", 24)]),
        ("vrrp_ipsets a a", [("invalid-value", 13)]),
        ('nftables ""', [("invalid-value", 10)]),
        ("lvs_timeouts tcp", [("missing-argument", 17)]),
        ("reload_time_file a b", [("invalid-value", 20)]),
        ('state_dump_file ""', [("invalid-value", 17)]),
        ("child_wait_time 1", [("unknown-keyword", 1)]),
        ("random_seed 7x", [("invalid-number", 13)]),
        ("vrrp_netlink_cmd_rcv_bufs -1", [("invalid-number", 27)]),
        ("notification_email {\n}", [("empty-block", 1)]),
    ],
)
def test_refused_forms_leave_the_default(line: str, told: list[tuple[str, int]]) -> None:
    assert loud(line) == (GlobalDefs(), told)


@pytest.mark.parametrize(
    ("line", "field", "value", "told"),
    [
        ("process_name sixteen_letters_", "process_name", "sixteen_letters", [("too-long", 14)]),
        ("vrrp_rt_priority 0", "vrrp_rt_priority", 1, [("clamped", 18)]),
        ("bfd_rt_priority 100", "bfd_rt_priority", 99, [("clamped", 17)]),
        ("smtp_connect_timeout 0", "smtp_connect_timeout_s", 1, [("raised", 22)]),
        ("dynamic_interfaces foo", "dynamic_interfaces", "yes", [("invalid-value", 20)]),
        ("include_check read match", "include_check", ("read",), [("invalid-value", 20)]),
        ("include_check read +x", "include_check", ("read",), [("invalid-value", 20)]),
        ("vrrp_rx_bufs_policy MTU ADVERT", "vrrp_rx_bufs_policy", "MTU", [("conflict", 21)]),
        ("vrrp_rx_bufs_policy 7 MTU", "vrrp_rx_bufs_policy", 7, [("conflict", 21)]),
        ("lvs_timeouts tcp x udp 5", "lvs_timeouts", LvsTimeouts(udp_s=5), [("invalid-number", 18)]),
        ("lvs_timeouts tcp 5 udp", "lvs_timeouts", LvsTimeouts(tcp_s=5), [("missing-argument", 20)]),
        (
            "lvs_sync_daemon eth0 A 7",
            "lvs_sync_daemon",
            LvsSyncDaemon(interface="eth0", instance="A", sync_id=7),
            [("old-form", 24)],
        ),
        (
            "lvs_sync_daemon eth0 inst A id 256 group 192.0.2.1",
            "lvs_sync_daemon",
            LvsSyncDaemon(interface="eth0", instance="A"),
            [("invalid-number", 32), ("invalid-value", 42)],
        ),
        ("notification_email_from a b", "notification_email_from", "a", [("extra-words", 27)]),
        ("vrrp_iptables a b", "vrrp_iptables", IptablesChains(input="a", output="b"), [("no-iptables", 1)]),
        ("vrrp_mcast_group6 ff05::7", "vrrp_mcast_group6", ip_address("ff05::7"), [("not-link-local", 1)]),
        ("nftables a\nnftables b", "nftables", "a", [("written-twice", 1)]),
        (
            "vrrp_vmac_garp_intvl 5",
            "vrrp_garp_extra_if",
            GarpExtraIf(interval_s=5),
            [("deprecated", 1)],
        ),
    ],
)
def test_what_is_reported_and_used(line: str, field: str, value: object, told: list[tuple[str, int]]) -> None:
    found, complaints = loud(line)
    assert getattr(found, field) == value
    assert complaints == told


@pytest.mark.parametrize(
    "line",
    ["process_name", "smtp_server", "umask", "nftables_priority", "lvs_sync_daemon eth0 inst", "vmac_prefix"],
)
def test_missing_words_that_end_keepalived(line: str) -> None:
    result = load(f"global_defs {{\n{line}\n}}\n")
    assert exit_status(result) == 2
    assert where(find(result, "missing-word")) == (2, len(line) + 1)


def test_one_gratuitous_arp_only() -> None:
    found, _ = loud("vrrp_min_garp")
    assert (found.vrrp_garp_master_delay_s, found.vrrp_garp_master_repeat) == (0, 1)
    found, _ = loud("vrrp_min_garp\nvrrp_garp_master_repeat 3")
    assert (found.vrrp_garp_master_delay_s, found.vrrp_garp_master_repeat) == (0, 3)
    result = load(instance_text(globals_="vrrp_min_garp"))
    assert result.config.vrrp_instances[0].garp_master_refresh_repeat == 0


def test_settings_of_the_top_level() -> None:
    found = load("net_namespace a\nnet_namespace_ipvs\nlinkbeat_use_polling\nnamespace_with_ipsets\n").config
    assert found.globals.net_namespace == "a"
    assert found.globals.net_namespace_ipvs == ""
    assert found.globals.use_pid_dir
    assert found.globals.linkbeat_use_polling
    assert found.globals.namespace_with_ipsets
    assert load("instance i\n").config.globals.use_pid_dir
    assert not load("net_namespace_ipvs b\n").config.globals.use_pid_dir
    assert load("use_pid_dir\n").config.globals == GlobalDefs(use_pid_dir=True)


def test_script_security_feeds_the_judgement_of_programs() -> None:
    script = "startup_script /bin/x"
    assert exit_status(load(f"global_defs {{\n{script}\n}}\n")) == 6
    assert exit_status(load(f"global_defs {{\n{script}\nenable_script_security\n}}\n")) == 0


def test_a_switch_that_is_off_is_not_missed() -> None:
    def missed(text: str) -> list[str]:
        diagnostics = load(f"global_defs {{\n{text}\n}}\n").diagnostics
        return [one.message.split()[0] for one in diagnostics if one.code == "no-effect-yet"]

    assert missed("data_use_instance off") == []
    assert missed("data_use_instance off\ndata_use_instance on") == ["data_use_instance"]


@pytest.mark.parametrize(
    "text",
    [
        "net_namespace_ipvs\n",
        'global_defs {\nvmac_prefix ""\nnotification_email_from ""\n}\n',
        'global_defs {\nprocess_name ""\n}\n',
        "global_defs {\ninclude_check -read\nvrrp_ipsets\nlvs_flush_on_stop\numask 0\n}\n",
    ],
)
def test_what_is_empty_is_shown_where_it_says_something(text: str) -> None:
    found = load(text).config
    assert load(show.text(found, secrets=True)).config == found


# --- the tables -------------------------------------------------------------------------------


def keywords(block: Block, path: str = "") -> list[tuple[str, Keyword]]:
    found = []
    for name, keyword in block.keywords.items():
        found.append((f"{path}.{name}".lstrip("."), keyword))
        if keyword.block is not None:
            found.extend(keywords(keyword.block, f"{path}.{name}"))
    return found


def test_every_row_with_effect_says_what_it_takes_and_does() -> None:
    effective = keywords(ROOT)
    assert len(effective) > 690
    for path, keyword in effective:
        assert keyword.help, path
        assert keyword.worker or path == "global_defs", path
        assert keyword.takes or keyword.type is Type.WORDS, path
        if keyword.type in (Type.INTEGER, Type.DECIMAL):
            assert keyword.low is not None, path


def test_word_lists_name_keywords() -> None:
    assert {path.rpartition(".")[2] for path, _ in keywords(ROOT)} >= SCRIPT_KEYWORDS


def test_all_keywords_known_to_keepalived_are_accepted_as_known() -> None:
    for path, keyword in keywords(ROOT):
        if "." in path or keyword.block is not None:
            continue
        assert "unknown-keyword" not in codes(load(f"{path} 1\n"))
    for name, keyword in GLOBAL_DEFS.keywords.items():
        if keyword.extension:  # ours
            continue
        end = " {\n}" if keyword.block is not None else " 1"
        assert "unknown-keyword" not in codes(load(f"global_defs {{\n{name}{end}\n}}\n")), name
