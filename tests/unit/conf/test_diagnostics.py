"""Place, caret, hints; secrets stay hidden; keepalived's exit status."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keepalived_conf.diagnostics import KeepalivedClass, hide_secrets, printable
from keepalived_conf.loading import exit_status, slices
from keepalived_conf.loading import load as load_file
from keepalived_conf.model import CheckerSlice, IpvsSlice, VrrpSlice
from tests.unit.conf.support import codes, find, instance_text, load, service_text, where


def test_rendering_shows_line_caret_and_hint() -> None:
    result = load("vrrp_instance A {\n\tinterface eth0\n\tvirtual_router_id 300 # too much\n}\n")
    assert result.text().splitlines()[:4] == [
        "t.conf:3:20: error: virtual_router_id: '300' is not within 1 to 255; the line is ignored",
        "    \tvirtual_router_id 300 # too much",
        "    \t                  ^~~",
        "    hint: virtual_router_id takes a whole number from 1 to 255",
    ]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("glibal_defs {\n}\n", "unknown-keyword", (1, 1)),
        ("  child_wait_time x\n", "invalid-number", (1, 19)),
        ("child_wait_time\n", "missing-word", (1, 16)),
        ("global_defs {\nvrrp_version 4 }\n", "invalid-number", (2, 14)),
        ("virtual_server 10.0.0.300 80 {\n}\n", "invalid-address", (1, 16)),
        ("virtual_server 10.0.0.3 99999 {\n}\n", "invalid-address", (1, 25)),
    ],
)
def test_places(text: str, code: str, place: tuple[int, int]) -> None:
    assert where(find(load(text), code)) == place


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("prioritty", "priority"),
        ("virtual_router-id", "virtual_router_id"),
        ("notify_mater", "notify_master"),
        ("virtual_ipadress", "virtual_ipaddress"),
    ],
)
def test_did_you_mean(word: str, meant: str) -> None:
    assert find(load(instance_text(word)), "unknown-keyword").hint == f"did you mean {meant}?"


def test_no_suggestion_for_something_quite_different() -> None:
    assert find(load(instance_text("xyzzy")), "unknown-keyword").hint == ""


def test_keywords_without_effect_are_noted_once_each() -> None:
    result = load(instance_text("debug 1\nuse_vmac_addr\ndebug 1\nuse_vmac"))
    notes = [d for d in result.diagnostics if d.code == "no-effect-yet"]
    assert [d.message for d in notes] == [
        f"{word} is understood, has no effect yet" for word in ("debug", "use_vmac_addr", "use_vmac")
    ]
    # What the operator must know is a warning: no MAC address. That debug has none is a note.
    assert codes(result) == ["no-effect-yet", "no-effect-yet"]


def test_what_matters_without_effect_is_a_warning_with_its_consequence() -> None:
    found = find(load(instance_text("track_bfd {\nx\n}")), "no-effect-yet")
    assert found.severity == "warning"
    assert found.hint == "the instance does not follow these sessions"


def test_unknown_words_in_inert_blocks_are_still_typing_errors() -> None:
    result = load("vrrp_script s {\nscript /bin/x\nintervall 1\n}\n")
    assert find(result, "unknown-keyword").hint == "did you mean interval?"


@pytest.mark.parametrize(
    "text",
    [
        "auth_pass hunter2",
        "auth_pass hunter2 extra",
        'auth_pass "hunter2',
        "auth_pas hunter2",
        "auth_password hunter2",
        "auth_pass=hunter2",
        "auth_pass\nhunter2",
        "auth_pass { hunter2 }",
        "auth_pass hunter2-hunter2",
        "bogus auth_pass hunter2",
    ],
)
def test_passwords_are_never_shown(text: str) -> None:
    result = load(instance_text(f"authentication {{\nauth_type PASS\n{text}\n}}\n"))
    assert "hunter2" not in result.text()
    assert "hunter2" not in " ".join(str(item) for item in result.diagnostics)
    assert "hunter2" not in repr(result)


def test_one_line_secrets_are_hidden_in_excerpts() -> None:
    line = "authentication { auth_type PASS auth_pass hunter2 } prioritty 3"
    assert "hunter2" not in hide_secrets(line)
    assert hide_secrets("auth_pass { hunter2 }") == "auth_pass ********"
    assert hide_secrets('auth_pass "a } hunter2"') == "auth_pass ********"
    assert hide_secrets("$PASS=hunter2") == "$PASS=********"
    assert hide_secrets("priority 5") == "priority 5"


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[2J\udce9\u200e") == "a\\x1b[2J\\xe9\\u200e"
    assert "\x1b" not in load("\x1b[2Jxx yy\n").text()


# --- exit status of a test --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (instance_text(), 0),
        (instance_text("accept"), 0),
        ("", 0),
        (instance_text("mystery"), 5),
        (instance_text("garp_master_repeat 0"), 5),
        (instance_text("preempt_delay 2000"), 5),
        ("vrrp_instance A {\nvirtual_router_id\n}\n", 2),
        ("vrrp_script {\n}\n", 2),
        ("vrrp_instance {\n}\n", 5),
        ("global_defs {\nrouter_id\n}\n", 5),
        (instance_text("notify /bin/x\nmystery"), 6),
        (instance_text("notify /bin/x", globals_="enable_script_security"), 0),
        (instance_text() + instance_text().replace("A {", "B {"), 5),
        (instance_text() + "}\n", 5),
    ],
)
def test_exit_status(text: str, status: int) -> None:
    assert exit_status(load(text)) == status


def test_highest_class_wins() -> None:
    result = load(instance_text("mystery\nunicast_src_ip 10.0.0.9"))
    assert result.highest is KeepalivedClass.DEPRECATED


# --- files ------------------------------------------------------------------------------------


def test_missing_unreadable_and_executable_files_are_fatal(tmp_path: Path) -> None:
    missing = load_file(tmp_path / "none.conf")
    assert missing.fatal
    assert exit_status(missing) == 4
    assert f"{tmp_path}/none.conf: cannot be read: No such file or directory" in missing.text()
    assert load_file(tmp_path).fatal
    script = tmp_path / "x.conf"
    script.write_text(instance_text())
    script.chmod(0o755)
    assert "chmod a-x" in load_file(script).text()
    assert load_file("a\0b").fatal


def test_config_id_defaults_to_the_host_name(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text(f"@{os.uname().nodename.partition('.')[0]} child_wait_time 9\n")
    path.chmod(0o644)

    assert load_file(path).config.globals.child_wait_time_s == 9


def test_slices_go_to_roles_with_something_to_do() -> None:
    assert slices(load("").config) == {}
    only_vrrp = slices(load(instance_text()).config)
    assert set(only_vrrp) == {"vrrp"}
    assert isinstance(only_vrrp["vrrp"], VrrpSlice)
    assert set(slices(load(service_text()).config)) == {"ipvs"}
    both = slices(load(service_text(rs="TCP_CHECK {\n}")).config)
    assert set(both) == {"checker", "ipvs"}
    checker, ipvs = both["checker"], both["ipvs"]
    assert isinstance(checker, CheckerSlice)
    assert isinstance(ipvs, IpvsSlice)
    assert checker.checks == ipvs.virtual_servers[0].real_servers[0].checks


def test_the_same_wrong_line_is_said_wherever_it_stands() -> None:
    text = instance_text("priority 100s\nnopreempt\nnopreempt x").replace("\nvrrp_instance A", "")
    other = text.replace("instance A", "instance B").replace("router_id 1\n", "router_id 2\n")
    found = codes(load(text + other))
    assert found.count("invalid-number") == 2
    assert found.count("extra-words") == 2


def test_a_line_that_is_right_in_one_block_is_not_so_in_another() -> None:
    result = load(instance_text("nopreempt") + service_text("nopreempt"))
    assert codes(result).count("unknown-keyword") == 1
