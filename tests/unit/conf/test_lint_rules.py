"""Each rule of the linter about one configuration: speaks up, and is silent once it is mended."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keepalived_conf.diagnostics import Severity, render
from keepalived_conf.tools.lint import FileFacts, lint, text
from tests.unit.conf.lint_support import FOLDER, MadeUpHost, codes, header, host_of, node, said, script_text
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
    ("28-extension-mistyped", "@pykeepalive ", "@loadbalancer "),
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


def test_a_service_on_a_static_address() -> None:
    source = instance_text(vips="10.1.0.9/24") + service_text(rs="TCP_CHECK {\n}")
    assert said(source) == ["lint-service-without-vip"]
    assert said("static_ipaddress {\n10.1.0.1/24 dev eth0\n}\n" + source) == []
    wide = instance_text(vips="10.9.0.9/8") + service_text(rs="TCP_CHECK {\n}")
    assert said(wide) == [], "an address further away may be routed here"


def test_a_service_that_is_its_own_server() -> None:
    assert said(service_text(rs="TCP_CHECK {\n}", rs_head="10.1.0.1 80")) == ["lint-serves-itself"]
    assert said(service_text(rs="TCP_CHECK {\n}", rs_head="10.1.0.1 8080")) == []


def test_services_by_mark_are_looked_at_too() -> None:
    source = service_text(head="fwmark 7", rs="weight 0\nTCP_CHECK {\nconnect_port 80\n}", rs_head="10.2.0.1")
    assert said(source) == ["lint-no-weight"]


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
