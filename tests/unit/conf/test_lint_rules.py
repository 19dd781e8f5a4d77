"""Each rule of the linter: speaks up for what is wrong, and is silent once it is mended."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

import pytest

from keepalived_conf.diagnostics import Severity, render
from keepalived_conf.load import load as load_file
from keepalived_conf.model import IpInterface
from keepalived_conf.tools.lint import FileFacts, Finding, lint, text
from keepalived_conf.tools.lint.host import LocalHost
from tests.unit.conf.lint_support import FOLDER, MadeUpHost, findings, header, host_of
from tests.unit.conf.support import instance_text, load, service_text

ROOT = Path(__file__).resolve().parents[3]

MENDED = [
    ("02-nopreempt-weight", "    nopreempt\n", ""),
    ("02-nopreempt-weight", "    weight 50\n", ""),
    ("03-strict-blocks-vip", "    vrrp_strict\n", ""),
    (
        "03-strict-blocks-vip",
        "BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority 101\n",
        "MASTER\n    interface eth0\n    virtual_router_id 51\n    priority 255\n",
    ),
    ("03-strict-blocks-vip", "    priority 101\n", "    priority 101\n    version 3\n    accept\n"),
    ("03-strict-blocks-vip", "    priority 101\n", "    priority 101\n    strict_mode off\n"),
    ("06-peer-is-self", "        10.20.0.11\n", ""),
    ("12-script-with-pipe", "/bin/ps aux | grep -v grep | grep nginx", "/bin/sh -c 'ps aux | grep nginx'"),
    ("12-script-with-pipe", "/bin/ps aux | grep -v grep | grep nginx", "/usr/bin/pgrep -f 'a | b'"),
    ("16-password-cut", "ab3!xy7", '"ab3!xy7"'),
    ("16-password-cut", "ab3!xy7", "ab3 !xy7"),
    ("19-http-get-on-tls-port", "status_code 200", "status_code 400"),
    ("19-http-get-on-tls-port", "connect_timeout 3", "connect_port 8080"),
    ("19-http-get-on-tls-port", "HTTP_GET", "SSL_GET"),
    ("20-mail-to-nobody", "    smtp_alert\n", "    smtp_alert off\n"),
    (
        "20-mail-to-nobody",
        "global_defs {\n",
        "global_defs {\n    smtp_server 192.0.2.1\nnotification_email {\nops@example.org\n}\n",
    ),
    ("24-network-address", "192.168.0.0/24", "192.168.0.0/31"),
    ("24-network-address", "192.168.0.0/24", "192.168.0.0"),
    ("26-weights-zero", "weight 0", "weight 1"),
    ("28-extension-mistyped", "@pykeepalive ", "@pyxyz "),
    ("29-service-under-no-accept", "    no_accept\n", ""),
    ("29-service-under-no-accept", "virtual_server 192.0.2.80", "virtual_server 198.51.100.80"),
    ("33-nopreempt-track-interface", " weight -60", ""),
    ("34-weight-zero-reverse", "weight 0 reverse", "weight 0"),
    ("34-weight-zero-reverse", "weight 0 reverse", "weight 10 reverse"),
    ("37-script-relative", "scripts/check.sh", "/scripts/check.sh"),
    ("37-script-relative", "scripts/check.sh", "</dev/tcp/127.0.0.1/6443"),
    ("38-and-then", " && /usr/bin/curl -fsk https://127.0.0.1:6443/readyz", ""),
    ("41-prints-a-number", "curl -s ", "curl -s --fail "),
    ("41-prints-a-number", "curl -s ", "curl -sf "),
    ("50-vip-is-a-node", "        10.0.0.12/24\n", "        10.0.0.10/24\n"),
    ("51-vip-in-two-instances", "        10.0.0.11/24\n    }\n}\nvrrp", "    }\n}\nvrrp"),
    ("52-service-on-no-vip", "10.0.0.100", "10.0.0.10"),
    ("52-service-on-no-vip", "10.0.0.100", "198.51.100.100"),
    ("52-service-on-no-vip", "    delay_loop 6\n", "    quorum_up /usr/local/bin/up\n"),
    ("53-tls-check-on-port-80", "SSL_GET {\n", "SSL_GET {\n            connect_port 443\n"),
    ("54-server-without-check", "        TCP_CHECK {\n            connect_timeout 3\n        }\n", ""),
    ("57-interval-in-milliseconds", "advert_int 100", "advert_int 10"),
    ("58-check-once-an-hour", "delay_loop 3600", "delay_loop 60"),
    ("60-group-pulls-two-ways", "state MASTER", "state BACKUP"),
]
"""Mistake, text of it, what mends it."""


@pytest.mark.parametrize(("name", "old", "new"), MENDED)
def test_silent_once_it_is_mended(name: str, old: str, new: str) -> None:
    path = FOLDER / f"{name}.conf"
    source = path.read_text()
    assert old in source
    result = load(source.replace(old, new))
    assert not result.fatal, result.text()
    assert lint(result, host=host_of(path)) == ()


def codes(found: tuple[Finding, ...]) -> list[str]:
    return [one.code for one in found]


def said(source: str, peer: str | None = None, host: MadeUpHost | None = None) -> list[str]:
    return codes(lint(load(source), peer=None if peer is None else load(peer), host=host))


def script_text(command: str, more: str = "") -> str:
    return f'vrrp_script chk {{\n    script "{command}"\n{more}\n}}\n' + instance_text(
        "track_script {\nchk\n}"
    )


def test_what_is_not_fit_to_start_gets_a_note_only() -> None:
    (note,) = lint(load("vrrp_instance A {\nvirtual_router_id 1\nadvert_int 100\n}\n"))
    assert (note.code, note.severity) == ("lint-not-done", Severity.NOTE)
    assert "the interface must be set" in note.message
    peer = load("}\n")
    (note,) = lint(load(instance_text()), peer=peer)
    assert note.code == "lint-not-done"
    assert "other node" in note.message


def test_a_brace_missing_at_the_end_does_not_stop_it() -> None:
    assert said(instance_text("advert_int 100").rstrip("}\n") + "\n}\n") == ["lint-slow-advert"]
    assert said(instance_text("advert_int 100").rstrip("\n").removesuffix("}")) == ["lint-slow-advert"]


def test_a_finding_is_shown_with_its_line_and_a_caret() -> None:
    result = load(instance_text("advert_int 100"))
    shown = text(lint(result), result)
    assert shown.splitlines()[1:3] == ["    advert_int 100", "    ^~~~~~~~~~"]
    assert shown.startswith("t.conf:8:1: warning: (A) an advert every 100 s")
    assert "hint: advert_int is in seconds" in shown


def test_no_password_is_shown() -> None:
    cut = load(instance_text("authentication {\nauth_type PASS\nauth_pass ab3!xy7\n}"))
    other = load(instance_text("authentication {\nauth_type PASS\nauth_pass walnut\n}"))
    host = MadeUpHost(files={"t.conf": FileFacts(mode=0o644)})
    found = lint(cut, peer=other, host=host)
    assert codes(found) == ["lint-peer-auth", "lint-secrets-readable", "lint-word-cut"]
    shown = text(found, cut, other)
    assert not re.search(r"ab3|xy7|walnut", shown)
    for one in found:
        assert not re.search(r"ab3|xy7|walnut", render(one.diagnostic, cut.sources.get))


# --- one configuration -------------------------------------------------------------------------------


def test_mail_needs_a_server_and_somebody_to_write_to() -> None:
    server, people = "smtp_server 192.0.2.1\n", "notification_email {\nops@example.org\n}\n"
    for given, missing in (
        (server, "without notification_email "),
        (people, "without smtp_server "),
        ("", "without smtp_server and notification_email "),
    ):
        (one,) = lint(load(f"global_defs {{\n{given}smtp_alert\n}}\n" + node()))
        assert one.code == "lint-mail-nowhere"
        assert missing in one.message
    assert said(f"global_defs {{\n{server}{people}smtp_alert\n}}\n" + node()) == []


def test_no_accept_with_a_tracked_server() -> None:
    source = script_text("/usr/bin/killall -0 haproxy").replace("priority", "no_accept\npriority")
    assert said(source) == ["lint-no-accept-service"]
    assert said(source.replace("haproxy", "bird")) == []


def test_own_address_as_a_virtual_one() -> None:
    assert said(instance_text("unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}")) == ["lint-vip-is-peer"]
    assert said(instance_text("use_vmac\nmcast_src_ip 10.0.0.1")) == []


def test_broadcast_address() -> None:
    assert said(instance_text(vips="10.0.0.255/24")) == ["lint-vip-is-network"]
    assert said(instance_text(vips="10.0.0.255/23")) == []
    assert said(instance_text("version 3", vips="fe80::1\n2001:db8::/64")) == []


def test_strict_mode_names_its_instances_once() -> None:
    many = "".join(node(name=f"V{n}", vrid=n, vips=f"10.0.0.{n}") for n in range(1, 7))
    (one,) = lint(load("global_defs {\nvrrp_strict\n}\n" + many))
    assert one.message.startswith("(V1, V2, V3, V4, V5, ...) ")
    assert one.width == len("vrrp_strict")
    (one,) = lint(load(node("strict_mode on")))
    assert one.message.startswith("(A) ")
    assert (one.place and one.place.line, one.width) == (8, len("strict_mode"))


def test_subnet_and_broadcast_are_told_apart() -> None:
    (subnet,), (broadcast,) = (lint(load(node(vips=vip))) for vip in ("10.0.0.0/24", "10.0.0.255/24"))
    assert "is the subnet itself" in subnet.message
    assert "is the broadcast address" in broadcast.message


def test_owner_as_backup() -> None:
    source = instance_text("state BACKUP").replace("priority 100", "priority 255")
    assert said(source) == ["lint-owner-as-backup"]
    assert said(source.replace("BACKUP", "MASTER")) == []


def test_weights_above_the_highest_priority() -> None:
    source = script_text("/bin/check", "weight 20").replace("priority 100", "priority 240")
    assert said(source) == ["lint-weight-capped"]
    assert said(source.replace("weight 20", "weight -20")) == []
    assert said(source.replace("priority 240", "priority 234")) == []


def test_weight_at_the_line_of_the_instance_counts() -> None:
    source = script_text("/bin/check").replace("chk\n}\n}", "chk weight 20\n}\nnopreempt\n}")
    assert said(source) == ["lint-nopreempt-weight"]


def test_a_check_for_maintenance_may_mean_fault_while_it_is_good() -> None:
    for command in ("/usr/bin/test -f /run/away", "/usr/local/bin/in-maintenance", "</etc/keepalived/x"):
        assert said(script_text(command, "weight 0 reverse")) == []
    assert said(script_text("/usr/local/bin/alive", "weight 0 reverse")) == ["lint-reverse-fault"]


def test_trackers_that_may_lead_to_fault_are_not_counted() -> None:
    file = "track_file f {\nfile /run/f\nweight 1\n}\n" + instance_text("nopreempt\ntrack_file {\nf\n}")
    assert said(file) == []
    process = "vrrp_track_process p {\nprocess bird\nweight %s\n}\n" + instance_text(
        "nopreempt\ntrack_process {\np\n}"
    )
    assert said(process % "-253") == ["lint-nopreempt-weight"]
    assert said(process % "-254") == []


def test_members_of_a_group_have_no_weight() -> None:
    group = "vrrp_sync_group G {\ngroup {\nA\n}\n%s\n}\n"
    source = script_text("/bin/check", "weight 20").replace("priority", "nopreempt\npriority")
    assert "lint-nopreempt-weight" not in said(group % "" + source)
    assert "lint-nopreempt-weight" in said(group % "sync_group_tracking_weight" + source)


@pytest.mark.parametrize(
    ("command", "more", "expected"),
    [
        ("/usr/bin/curl -f --max-time 5 http://127.0.0.1/", "interval 2", ["lint-script-killed-early"]),
        ("/usr/bin/curl -f --max-time 5 http://127.0.0.1/", "interval 2\ntimeout 6", []),
        ("/usr/bin/timeout 3s /bin/check", "interval 2", ["lint-script-killed-early"]),
        ("/usr/bin/timeout 2 /bin/check", "interval 2", []),
        ("/bin/check", "interval 2000", ["lint-slow-script"]),
        ("/bin/check", "interval 60", []),
        ("/bin/echo 0", "", ["lint-script-always-true"]),
        ("~/check.sh", "", ["lint-script-relative"]),
        ("/bin/check > /dev/null", "", ["lint-script-needs-shell"]),
        ("/bin/check 2>/dev/null", "", ["lint-script-needs-shell"]),
        ("/bin/check $(hostname)", "", ["lint-script-needs-shell"]),
        ("/bin/check; /bin/other", "", ["lint-script-needs-shell"]),
        ("/bin/check 'a; b' -x=1>2", "", []),
        ("[[ -f /etc/keepalived/down ]]&&exit 1||exit 0", "", ["lint-script-needs-shell"]),
        ("[[ -f /etc/keepalived/up ]]", "", ["lint-script-needs-shell"]),
        ("[ -f /etc/keepalived/up ]", "", []),
        ("/bin/sh -c true || false", "", []),
        ("/usr/bin/env bash -c 'exit 0 || exit 1'", "", []),
    ],
)  # fmt: skip
def test_scripts(command: str, more: str, expected: list[str]) -> None:
    assert said(script_text(command, more)) == expected


def test_of_a_command_only_the_sign_is_told() -> None:
    (one,) = lint(load(script_text("/usr/bin/mysql -psecret&&exit 0")))
    assert one.message.startswith("vrrp_script chk: '&&' is for a shell")
    assert "secret" not in one.message


def test_a_check_that_nobody_follows() -> None:
    source = script_text("/bin/check")
    unused = source.replace("chk\n}\n}", "}\n}")
    assert said(unused) == ["lint-script-unused"]
    group = "vrrp_sync_group G {\ngroup {\nA\n}\ntrack_script {\nchk\n}\n}\n"
    assert said(unused.replace("vrrp_instance", group + "vrrp_instance")) == []


def test_quotes_left_over_from_another_script() -> None:
    source = script_text("X").replace('"X"', '\\"/etc/keepalived/check.sh\\"')
    assert said(source) == ["lint-script-relative"]


def test_notify_scripts_are_looked_at_too() -> None:
    assert said(instance_text('notify_master "/bin/up | /bin/mail"')) == ["lint-script-needs-shell"]
    assert said(instance_text("notify_priority_changes on")) == []


def test_a_service_that_is_its_own_server() -> None:
    assert said(service_text(rs="TCP_CHECK {\n}", rs_head="10.1.0.1 80")) == ["lint-serves-itself"]
    assert said(service_text(rs="TCP_CHECK {\n}", rs_head="10.1.0.1 8080")) == []


def test_a_sorry_server_that_is_the_only_server() -> None:
    source = service_text("sorry_server 10.2.0.1 80", rs="TCP_CHECK {\n}")
    assert said(source) == ["lint-sorry-is-real"]
    assert said(source.replace("sorry_server 10.2.0.1", "sorry_server 10.2.0.2")) == []


def test_a_sorry_server_that_never_comes_in() -> None:
    source = service_text("sorry_server 10.2.0.2 80")
    assert said(source) == ["lint-unchecked-real-server"]
    assert said(service_text()) == [], "a service without any check may well be meant so"


def test_a_slow_check_is_named_where_its_interval_is_written() -> None:
    two = "TCP_CHECK {\n}\n}\nreal_server 10.2.0.2 80 {\nTCP_CHECK {\n%s\n}"
    (one,) = lint(load(service_text("delay_loop 3600", rs=two % "")))
    assert (one.code, one.place and one.place.line) == ("lint-slow-check", 5)
    assert said(service_text("delay_loop 30", rs=two % "delay_loop 600")) == ["lint-slow-check"]
    quick = service_text("delay_loop 3600", rs="TCP_CHECK {\ndelay_loop 5\n}")
    assert said(quick) == []
    ping = "PING_CHECK {\ndelay_loop 900\n}"
    assert said(service_text(rs=ping)) == ["lint-slow-check"]


def test_weights_that_a_check_sets_may_be_zero() -> None:
    source = service_text(rs="weight 0\nMISC_CHECK {\nmisc_path /bin/load\nmisc_dynamic\n}")
    assert said(source) == []
    assert said(source.replace("misc_dynamic\n", "")) == ["lint-no-weight"]


def test_a_keyword_of_keepalived_on_a_line_it_does_not_read() -> None:
    assert said(instance_text("@pykeepalived advert_int 2")) == ["lint-extension-hides-keyword"]
    assert said(instance_text("@node1 advert_int 2")) == []


def test_parameters_of_several_lines_make_several_instances() -> None:
    source = (
        "$VI= \\\nvrrp_instance VI_${N} { \\\ninterface eth0 \\\nvirtual_router_id ${N} \\\npriority 100 \\\n"
        "virtual_ipaddress { \\\n10.0.0.${N} \\\n} \\\n}\n\n~SEQ(N, 1, 3) $VI\n"
    )
    result = load(source)
    assert len(result.config.vrrp_instances) == 3, result.text()
    assert lint(result) == ()


# --- two nodes --------------------------------------------------------------------------------------


def node(
    lines: str = "", *, priority: int = 100, vips: str = "10.0.0.1", name: str = "A", vrid: int = 1
) -> str:
    source = instance_text(lines, vips=vips, vrid=vrid).replace("vrrp_instance A", f"vrrp_instance {name}")
    return source.replace("priority 100", f"priority {priority}")


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (node(priority=150), node(), []),
        (node(), node(), []),
        (node("state MASTER", priority=150), node("state MASTER"), ["lint-peer-two-masters"]),
        (node("state MASTER"), node("state BACKUP", priority=150), ["lint-peer-master-lower"]),
        (node("state MASTER"), node("state BACKUP"), ["lint-peer-same-priority"]),
        (node("nopreempt"), node(priority=150), ["lint-peer-nopreempt"]),
        (node("nopreempt", priority=150), node(), []),
        (node("mcast_dst_ip 224.0.0.19"), node(), ["lint-peer-multicast-group"]),
        (node("mcast_dst_ip 224.0.0.18"), node(), []),
        (node(name="VI_1"), node(name="VI_2"), []),
        (node(vrid=1), node(vrid=2), ["lint-peer-vrid"]),
        (node(vrid=1, name="X"), node(vrid=2, name="Y"), ["lint-peer-vrid"]),
        (node(vrid=1, name="X"), node(vrid=2, name="Y", vips="10.0.0.9"), ["lint-peer-instance"] * 2),
        (node(vips="10.0.0.1/24"), node(vips="10.0.0.1"), []),
        (node(vips="10.0.0.1\n10.0.0.2"), node(vips="10.0.0.2\n10.0.0.1"), []),
        (node("version 3\nadvert_int 2"), node("version 3"), ["lint-peer-advert-int"]),
        (node("authentication {\nauth_type PASS\nauth_pass a\n}"), node(), ["lint-peer-auth"]),
        (
            node("authentication {\nauth_type PASS\nauth_pass a\n}"),
            node("authentication {\nauth_type PASS\nauth_pass a\n}"),
            [],
        ),
        (
            node("unicast_src_ip 10.0.0.11\nunicast_peer {\n10.0.0.12\n}"),
            node("unicast_src_ip 10.0.0.12\nunicast_peer {\n10.0.0.11\n10.0.0.13\n}"),
            [],
        ),
        (
            node(name="X", vrid=1, vips="10.0.0.1") + node(name="Y", vrid=2, vips="10.0.0.2"),
            node(name="Y", vrid=1, vips="10.0.0.1") + node(name="X", vrid=2, vips="10.0.0.2"),
            [],
        ),
        (service_text(rs="TCP_CHECK {\n}"), service_text(rs="TCP_CHECK {\n}"), []),
        (
            service_text(rs="TCP_CHECK {\n}"),
            service_text(rs="TCP_CHECK {\n}", rs_head="10.2.0.2 80"),
            ["lint-peer-services"],
        ),
        (
            service_text(rs="TCP_CHECK {\n}"),
            service_text(rs="TCP_CHECK {\n}", head="10.1.0.1 81"),
            ["lint-peer-services"] * 2,
        ),
    ],
)  # fmt: skip
def test_two_nodes(here: str, there: str, expected: list[str]) -> None:
    assert said(here, there) == expected


def test_instances_of_one_id_are_matched_by_name() -> None:
    """The same id on two interfaces, and every address changed: the names tell them apart."""
    here = node(name="A", vips="10.0.0.1") + node(name="B", vips="10.0.1.1").replace("eth0", "eth1")
    there = node(name="B", vips="10.0.1.9").replace("eth0", "eth1") + node(name="A", vips="10.0.0.9")
    first, second = lint(load(here), peer=load(there))
    assert first.message.endswith("only here: 10.0.0.1; only on the other node: 10.0.0.9")
    assert second.message.endswith("only here: 10.0.1.1; only on the other node: 10.0.1.9")


def test_a_name_in_both_families_is_not_one_router() -> None:
    six = node(name="A", vrid=2, vips="fe80::1")
    assert said(node(name="A", vrid=1), six) == ["lint-peer-instance"] * 2


def test_the_same_priority_with_weights_is_a_choice() -> None:
    check = script_text("/bin/check", "weight 2")
    assert said(check.replace("priority", "state MASTER\npriority"), node("state BACKUP")) == [
        "lint-weight-too-small"
    ]
    assert said(check.replace("priority", "state MASTER\npriority"), check) == []


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (("1", "a"), ("1", "a"), []),
        (("1", "a"), ("1", "b"), ["lint-peer-auth"]),
        (("1", "a"), ("2", "a"), ["lint-peer-auth"]),
    ],
)
def test_keys_that_sign(here: tuple[str, str], there: tuple[str, str], expected: list[str]) -> None:
    def keyed(number: str, letter: str) -> str:
        return node(f"version 3\nauth_hmac {{\nkey {number} {letter * 32}\nactive_key {number}\n}}")

    found = lint(load(keyed(*here)), peer=load(keyed(*there)))
    assert codes(found) == expected
    assert not any("a" * 32 in one.diagnostic.message for one in found)


def test_members_of_a_group_that_want_different_nodes() -> None:
    group = "vrrp_sync_group G {\ngroup {\nA\nB\n}\n}\n"
    here = group + node(priority=150) + node(name="B", vrid=2, vips="10.0.0.2")
    there = group + node() + node(name="B", vrid=2, vips="10.0.0.2", priority=150)
    assert said(here, there) == ["lint-sync-group-order"]
    assert said(here, there.replace("150", "90")) == []
    assert said(here, there.replace("150", "100")) == [], "equal priorities leave it to the others"


def test_weights_against_the_other_node() -> None:
    def with_check(weight: str, priority: int, more: str = "") -> str:
        return script_text("/bin/check", f"weight {weight}").replace(
            "priority 100", f"priority {priority}\n{more}"
        )

    assert said(with_check("-50", 150), with_check("-50", 100)) == ["lint-weight-too-small"], (
        "equal is too little"
    )
    assert said(with_check("-51", 150), with_check("-51", 100)) == []
    assert said(with_check("20", 110), with_check("20", 100)) == []
    assert said(with_check("10", 110), with_check("10", 100)) == ["lint-weight-too-small"]
    assert said(with_check("0", 150), with_check("0", 100)) == []
    # Only the node with the lower priority holds still: its own file says so, and the pair too.
    assert set(said(with_check("-60", 150), with_check("-60", 100, "nopreempt"))) == {
        "lint-nopreempt-weight",
        "lint-peer-nopreempt",
    }


def test_findings_name_the_place_in_the_other_file() -> None:
    result, found = findings(FOLDER / "09-other-interval.conf")
    (one,) = found
    assert one.place is not None
    assert one.place.file in result.sources
    assert [Path(place.file).name for place in one.also] == ["09-other-interval.peer.conf"]
    assert "see " in one.diagnostic.message


# --- the machine -------------------------------------------------------------------------------------


def links(**found: str) -> dict[str, tuple[IpInterface, ...]]:
    return {name: tuple(map(ipaddress.ip_interface, text_.split())) for name, text_ in found.items()}


def test_another_machine_is_not_asked() -> None:
    """The desk where a file is written lacks its scripts and interfaces: no mistake."""
    source = script_text("/etc/keepalived/check.sh")
    host = MadeUpHost(files={"/etc/keepalived/check.sh": None}, links=links(eth0="192.168.1.2/24"))
    assert said(source, host=host) == ["lint-script-missing", "lint-vip-off-subnet"]
    host.home = False
    assert said(source, host=host) == []
    host.links = links(eth0="10.0.0.2/24")
    assert said(source, host=host) == ["lint-script-missing"], "its address fits: it is for this machine"


def test_a_draft_that_others_can_read_gets_a_note() -> None:
    result = load(node("authentication {\nauth_type PASS\nauth_pass secret\n}"))
    host = MadeUpHost(files={"t.conf": FileFacts(mode=0o644)})
    (one,) = lint(result, host=host)
    assert one.severity is Severity.WARNING
    host.home = False
    (one,) = lint(result, host=host)
    assert (one.code, one.severity) == ("lint-secrets-readable", Severity.NOTE)
    host.files["t.conf"] = FileFacts(mode=0o444)
    assert lint(result, host=host) == (), "a copy that nobody works on"


def test_interfaces_of_the_machine() -> None:
    source = node() + node(name="B", vrid=2, vips="10.0.1.1").replace("eth0", "eth7")
    host = MadeUpHost(links=links(eth0="10.0.0.2/24", lo="127.0.0.1/8"))
    (one,) = lint(load(source), host=host)
    assert one.code == "lint-no-such-interface"
    assert one.message.endswith("; it has eth0")
    assert said("global_defs {\ndynamic_interfaces\n}\n" + source, host=host) == []


def test_addresses_of_the_machine() -> None:
    host = MadeUpHost(links=links(eth0="10.0.0.2/24 192.0.2.1/28"))
    assert said(node(vips="10.0.0.1\n192.0.2.3"), host=host) == []
    assert said(node(vips="10.0.1.1/24"), host=host) == [], "it brings a subnet of its own"
    assert said(node(vips="10.0.1.1"), host=host) == ["lint-vip-off-subnet"]
    (one,) = lint(load(node("mcast_src_ip 10.0.0.7")), host=host)
    assert (one.code, one.place and one.place.line) == ("lint-source-not-here", 8)
    assert one.width == len("mcast_src_ip")
    peers = "unicast_peer {\n10.0.0.2\n10.0.0.3\n}"
    assert said(node(peers), host=host) == ["lint-peer-is-self"]


def test_users_of_scripts() -> None:
    host = MadeUpHost(missing_users=frozenset({"checker"}))
    source = script_text("/bin/check", "user checker")
    assert said(source, host=host) == ["lint-no-such-user"]
    assert said(source.replace("user checker", "user root"), host=host) == []
    assert said("global_defs {\nscript_user checker\n}\n" + script_text("/bin/check"), host=host) == [
        "lint-no-such-user"
    ]


def test_settings_of_virtual_macs() -> None:
    host = MadeUpHost(read_only=frozenset({"/proc/sys/net/ipv4/conf/all/forwarding"}))
    assert said(node("use_vmac"), host=host) == ["lint-vmac-settings"]
    assert said(node(), host=host) == []


def test_a_cloud_without_multicast() -> None:
    host = MadeUpHost(where="Amazon EC2")
    assert said(node(), host=host) == ["lint-multicast-in-cloud"]
    assert said(node("unicast_src_ip 10.0.0.3\nunicast_peer {\n10.0.0.2\n}"), host=host) == []


def test_modes_of_key_files() -> None:
    keys = "auth_hmac {\nkey 1 file:/etc/keepalived/key\nactive_key 1\n}"
    source = node(f"version 3\n{keys}")
    host = MadeUpHost(files={"/etc/keepalived/key": FileFacts(mode=0o640)})
    assert said(source, host=host) == ["lint-secrets-readable"]
    host.files["/etc/keepalived/key"] = FileFacts(mode=0o600)
    assert said(source, host=host) == []


def test_the_machine_itself(tmp_path: Path) -> None:
    """Real files through LocalHost: modes of the configuration, of an include, of a script."""
    script = tmp_path / "check.sh"
    script.write_text("#!/bin/sh\n")
    included = tmp_path / "more.conf"
    included.write_text(
        node("track_script {\na\nb\nc\n}\nauthentication {\nauth_type PASS\nauth_pass secret\n}")
    )
    main = tmp_path / "keepalived.conf"
    main.write_text(
        f"vrrp_script a {{\nscript {script}\n}}\n"
        f"vrrp_script b {{\nscript {tmp_path}/gone\n}}\n"
        "vrrp_script c {\nscript no-such-program-at-all\n}\ninclude more.conf\n"
    )
    main.chmod(0o640)
    included.chmod(0o640)
    script.chmod(0o644)
    host = _Elsewhere()
    expect = {"lint-script-not-executable", "lint-script-missing"}
    found = lint(load_file(main), host=host)
    assert {one.code for one in found} == expect
    assert sum(one.code == "lint-script-missing" for one in found) == 2
    included.chmod(0o644)
    (one,) = [one for one in lint(load_file(main), host=host) if one.code not in expect]
    assert one.code == "lint-secrets-readable"
    assert one.place is not None
    assert Path(one.place.file).name == "more.conf"
    included.chmod(0o662)
    assert {one.code for one in lint(load_file(main), host=host)} - expect == {"lint-config-writable"}


class _Elsewhere(LocalHost):
    """This machine with its files, but no interfaces: those of the test's machine are no part of it."""

    def interfaces(self) -> dict[str, tuple[IpInterface, ...]]:
        return {}

    def cloud(self) -> str:
        return ""


def test_paths_that_others_can_replace(tmp_path: Path) -> None:
    """By keepalived's rules for scripts of root: every folder on the way counts, sticky ones do not."""
    folder = tmp_path / "opt" / "ha"
    folder.mkdir(parents=True)
    script = folder / "check.sh"
    script.touch(mode=0o755)
    os.chmod(tmp_path / "opt", 0o755)
    os.chmod(folder, 0o755)
    host = LocalHost(root=str(tmp_path))
    facts = host.file("/opt/ha/check.sh")
    assert facts is not None
    assert (facts.mode, facts.regular, facts.weak_path) == (0o755, True, "")
    os.chmod(folder, 0o777)
    weak = host.file("/opt/ha/check.sh")
    assert weak is not None
    assert weak.weak_path == "/opt/ha"
    os.chmod(folder, 0o1777)
    sticky = host.file("/opt/ha/check.sh")
    assert sticky is not None
    assert sticky.weak_path == ""
    assert host.file("/opt/ha/none") is None
    assert host.program("no-such-program-at-all") is None
    assert host.program("sh") is not None


def test_interfaces_and_cloud_of_this_machine(tmp_path: Path) -> None:
    assert "lo" in LocalHost().interfaces()
    assert LocalHost(root=str(tmp_path)).cloud() == ""
    dmi = tmp_path / "sys/class/dmi/id"
    dmi.mkdir(parents=True)
    (dmi / "sys_vendor").write_text("Amazon EC2\n")
    assert LocalHost(root=str(tmp_path)).cloud() == "Amazon EC2"


# --- documentation -------------------------------------------------------------------------------------


def test_every_code_is_explained() -> None:
    source = "".join(path.read_text() for path in (ROOT / "keepalived_conf/tools/lint").glob("*.py"))
    used = set(re.findall(r'"(lint-[a-z-]+)"', source))
    explained = set(re.findall(r"^\| `(lint-[a-z-]+)` \|", (ROOT / "docs/lint.md").read_text(), re.MULTILINE))
    assert len(used) > 40
    assert used == explained


def test_every_expected_code_exists() -> None:
    source = "".join(path.read_text() for path in (ROOT / "keepalived_conf").rglob("*.py"))
    for path in FOLDER.glob("*.conf"):
        for expected in header(path, "expect"):
            if "| loader:" not in expected:
                for code in expected.split():
                    assert f'"{code}"' in source, f"{path.name}: {code}"
