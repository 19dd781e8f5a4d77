"""vrrp_instance: VMAC and ipvlan, scripts, auth_hmac, strict mode, and what travels to the worker."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from bus import codec
from keepalived_conf.grammar.forms import Args, Form
from keepalived_conf.grammar.vrrp_auth import KEY
from keepalived_conf.grammar.vrrp_forms import (
    GARP_EXTRA_IF,
    IPVLAN,
    MEMBERS,
    NOTIFY_DELETED,
    OLD_CHECKSUM,
    PEER,
    VMAC,
)
from keepalived_conf.loading import LoadResult, exit_status, slices
from keepalived_conf.model import (
    AuthHmac,
    GarpExtraIf,
    HmacKey,
    Ipvlan,
    NotifyDeleted,
    Script,
    UnicastPeer,
    Vmac,
    VrrpInstance,
    VrrpSlice,
)
from keepalived_conf.syntax.words import Word
from tests.unit.conf.support import codes, find, instance, instance_text, load, where

PEERS = "unicast_peer {\n10.0.0.9\n}"


def told(result: LoadResult) -> list[str]:
    return [code for code in codes(result) if code not in ("no-effect-yet", "no-script-security")]


@pytest.mark.parametrize(
    ("lines", "field", "value"),
    [
        ("use_vmac", "use_vmac", Vmac()),
        ("use_vmac v1", "use_vmac", Vmac(name="v1")),
        ("use_vmac name name", "use_vmac", Vmac(name="name")),
        ("use_vmac 2:A:0:0:0:1", "use_vmac", Vmac(mac="02:0a:00:00:00:01")),
        ("use_vmac 02:00:00:00:0f", "use_vmac", Vmac(mac="02:00:00:00:0f")),
        ("use_vmac 02:00:00:00:0f:", "use_vmac", Vmac(mac="02:00:00:00:0f")),
        (
            "use_vmac v1 02:00:00:00:00:01 netlink_notify_msg group 7",
            "use_vmac",
            Vmac(name="v1", mac="02:00:00:00:00:01", netlink_notify=True, group=7),
        ),
        ("use_vmac v1\nuse_vmac netlink_notify_msg", "use_vmac", Vmac(name="v1", netlink_notify=True)),
        ("use_vmac\nvmac_xmit_base", "vmac_xmit_base", True),
        ("use_vmac_addr", "use_vmac_addr", True),
        ("use_ipvlan 10.0.0.8", "use_ipvlan", Ipvlan(address=ip_interface("10.0.0.8"))),
        ("use_ipvlan 10.0.0.8", "source_address", ip_address("10.0.0.8")),
        (
            "use_ipvlan i1 10.0.0.8/24 vepa group 3",
            "use_ipvlan",
            Ipvlan(name="i1", address=ip_interface("10.0.0.8/24"), mode="vepa", group=3),
        ),
        ("unicast_fault_no_peer", "unicast_fault_no_peer", True),
        (f"old_unicast_checksum\n{PEERS}", "old_unicast_checksum", "always"),
        (f"old_unicast_checksum never\n{PEERS}", "old_unicast_checksum", "never"),
        ("mcast_src_ip 10.0.0.8\ntrack_src_ip", "track_src_ip", True),
        ("track_src_ip", "track_src_ip", False),
        ("promote_secondaries", "promote_secondaries", True),
        ("accept", "accept", True),
        ("no_accept", "accept", False),
        ("no_accept\naccept", "accept", True),
        ("strict_mode\nno_accept", "strict_mode", True),
        ("debug 4", "debug", 4),
        (
            'notify_master "/bin/m a" u g',
            "notify_master",
            Script(command=("/bin/m", "a"), user="u", group="g"),
        ),
        ("notify_deleted", "notify_deleted", NotifyDeleted()),
        ('notify_deleted "/bin/d"', "notify_deleted", NotifyDeleted(script=Script(command=("/bin/d",)))),
        ("smtp_alert", "smtp_alert", True),
        ("notify_priority_changes", "notify_priority_changes", True),
        ("nopreempt\ntimer_expired_backup", "timer_expired_backup", 254),
        ("nopreempt\ntimer_expired_backup 7", "timer_expired_backup", 7),
        ("garp_extra_if 5", "garp_extra_if", GarpExtraIf(interval_s=5)),
        ("garp_extra_if all 86400", "garp_extra_if", GarpExtraIf(interval_s=86400, all_interfaces=True)),
        ("kernel_rx_buf_size 4294967295", "kernel_rx_buf_size_bytes", 4294967295),
        ("no_virtual_ipaddress", "no_virtual_ipaddress", True),
    ],
)
def test_values(lines: str, field: str, value: object) -> None:
    found, result = instance(lines)
    assert getattr(found, field) == value
    assert told(result) == []


@pytest.mark.parametrize(
    ("globals_", "lines", "field", "value"),
    [
        ("vrrp_strict", "", "strict_mode", True),
        ("vrrp_strict", "strict_mode off", "strict_mode", False),
        ("vrrp_strict", "", "accept", False),
        ("smtp_alert", "", "smtp_alert", True),
        ("smtp_alert\nsmtp_alert_vrrp off", "", "smtp_alert", False),
        ("smtp_alert", "smtp_alert off", "smtp_alert", False),
        ("vrrp_notify_priority_changes", "", "notify_priority_changes", True),
        ("vrrp_garp_extra_if 9", "", "garp_extra_if", GarpExtraIf(interval_s=9)),
        ("vrrp_garp_extra_if 9", "garp_extra_if 0", "garp_extra_if", GarpExtraIf(interval_s=0)),
    ],
)
def test_defaults_of_globals(globals_: str, lines: str, field: str, value: object) -> None:
    assert getattr(instance(lines, globals_=globals_)[0], field) == value


@pytest.mark.parametrize(
    ("lines", "field", "value", "code"),
    [
        ("use_vmac abcdefghijklmnop", "use_vmac", Vmac(), "invalid-value"),
        ("use_vmac v/1", "use_vmac", Vmac(), "invalid-value"),
        ("use_vmac 01:00:00:00:00:01", "use_vmac", Vmac(), "invalid-value"),
        ("use_vmac 00:00:5e:00:02:01", "use_vmac", Vmac(), "invalid-value"),
        ("use_vmac 02:00:00:00", "use_vmac", Vmac(), "invalid-value"),
        ("use_vmac a1 b1", "use_vmac", Vmac(name="a1"), "invalid-value"),
        ("use_vmac group nobody", "use_vmac", Vmac(), "invalid-value"),
        ("use_vmac a1\nuse_vmac b1", "use_vmac", Vmac(name="a1"), "written-twice"),
        (
            "use_vmac 02:00:00:00:00:01\nuse_vmac 02:00:00:00:00:02",
            "use_vmac",
            Vmac(mac="02:00:00:00:00:01"),
            "written-twice",
        ),
        ("use_ipvlan i1 10.0.0.8\nuse_vmac v1", "use_vmac", Vmac(name="v1"), "written-twice"),
        ("vmac_xmit_base", "vmac_xmit_base", False, "xmit-base-without-vmac"),
        (f"use_vmac\n{PEERS}", "vmac_xmit_base", True, "xmit-base-set"),
        ("use_vmac\npromote_secondaries", "promote_secondaries", False, "promote-implied"),
        ("use_ipvlan", "use_ipvlan", Ipvlan(), "ipvlan-without-address"),
        ("use_ipvlan fe80::1", "use_ipvlan", Ipvlan(), "mixed-families"),
        ("vrf eth1", "vrf", None, "vrf-without-use"),
        (f"mcast_dst_ip 224.0.0.9\n{PEERS}", "mcast_dst_ip", None, "mcast-with-unicast"),
        ("timer_expired_backup", "timer_expired_backup", None, "timer-expired-cleared"),
        ("state MASTER\nstate BACKUP", "state", "MASTER", "state-twice"),
        ("version 2\nversion 3", "version", 2, "version-conflict"),
        ("owner_ignore_adverts", "owner_ignore_adverts", False, "not-owner"),
        ("priority 90\npriority x", "priority", 100, "invalid-number"),
        ("garp_extra_if all", "garp_extra_if", None, "invalid-value"),
        ('notify "/bin/a"\nnotify "/bin/b"', "notify", Script(command=("/bin/a",)), "written-twice"),
        ("kernel_rx_buf_size 5x", "kernel_rx_buf_size_bytes", None, "invalid-number"),
    ],
)
def test_what_keepalived_changes(lines: str, field: str, value: object, code: str) -> None:
    found, result = instance(lines)
    assert getattr(found, field) == value
    assert code in told(result)
    assert exit_status(result) == (6 if lines.startswith("notify") else 5)


def test_a_bad_refresh_is_none_whatever_the_globals_say() -> None:
    found, result = instance("garp_master_refresh x", globals_="vrrp_garp_master_refresh 9")
    assert found.garp_master_refresh_s == 0
    assert told(result) == ["invalid-number"]


def test_version_2_does_not_go_with_ipv6_addresses_above() -> None:
    found, result = instance("version 2", vips="fe80::1")
    assert found.version == 3
    assert where(find(result, "version-conflict")) == (8, 9)
    head = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nversion 2\n"
    text = head + "virtual_ipaddress {\nfe80::1\n}\n}\n"
    assert load(text).config.vrrp_instances[0].version == 2


def test_names_of_vmacs_are_unique() -> None:
    head = "vrrp_instance B {\ninterface eth0\nvirtual_router_id 2\nuse_vmac v1\n"
    other = head + "virtual_ipaddress { 10.0.0.2 }\n}\n"
    result = load(instance_text("use_vmac v1") + other)
    assert [one.use_vmac for one in result.config.vrrp_instances] == [Vmac(name="v1"), Vmac()]
    assert where(find(result, "duplicate-interface"))[0] == 13


def test_one_instance_has_the_ipvs_synchronisation() -> None:
    other = (
        "vrrp_instance B {\ninterface eth0\nvirtual_router_id 2\nlvs_sync_daemon_interface eth1\n"
        "virtual_ipaddress { 10.0.0.2 }\n}\n"
    )
    result = load(instance_text("lvs_sync_daemon_interface eth1") + other)
    assert [one.lvs_sync_daemon_interface for one in result.config.vrrp_instances] == ["eth1", None]
    assert told(result) == ["deprecated", "deprecated", "written-twice"]


def test_an_advert_over_ipv6_holds_fewer_addresses() -> None:
    found, result = instance(vips="\n".join(f"fe80::{i:x}" for i in range(1, 91)))
    assert len(found.virtual_addresses) == 89
    assert len(found.virtual_addresses_excluded) == 1
    assert told(result) == ["too-many-addresses"]
    signed = f"auth_hmac {{\nkey 1 {'k' * 32}\nactive_key 1\n}}"
    found, _ = instance(signed, vips="\n".join(f"fe80::{i:x}" for i in range(1, 91)))
    assert len(found.virtual_addresses) == 88


# --- strict mode ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "field", "value"),
    [
        ("state MASTER", "state", "BACKUP"),
        ("state BACKUP\npriority 255", "state", "MASTER"),
        ("preempt_delay 5", "preempt_delay_s", 0.0),
        ("down_timer_adverts 5", "down_timer_adverts", 3),
        ("garp_lower_prio_repeat 5", "garp_lower_prio_repeat", 0),
        ("garp_lower_prio_delay 5", "garp_lower_prio_delay_s", 0),
        ("lower_prio_no_advert off", "lower_prio_no_advert", True),
        ("higher_prio_send_advert", "higher_prio_send_advert", False),
        ("priority 255\nowner_ignore_adverts off", "owner_ignore_adverts", True),
        ("accept", "accept", False),
        ("use_vmac 02:00:00:00:00:01", "use_vmac", Vmac()),
        ("use_vmac\nvmac_xmit_base", "vmac_xmit_base", False),
        ("authentication {\nauth_type PASS\nauth_pass x\n}", "auth_pass", None),
        ("no_virtual_ipaddress", "no_virtual_ipaddress", False),
    ],
)
def test_strict_mode_takes_what_it_must(lines: str, field: str, value: object) -> None:
    found, result = instance(f"strict_mode\n{lines}")
    assert getattr(found, field) == value
    assert len(told(result)) == 1, told(result)
    assert exit_status(result) == 5
    relaxed, _ = instance(lines)
    assert getattr(relaxed, field) != value


def test_strict_mode_alone() -> None:
    found, result = instance(
        "strict_mode", globals_="vrrp_higher_prio_send_advert\nvrrp_garp_lower_prio_repeat 9"
    )
    assert (found.accept, found.lower_prio_no_advert, found.higher_prio_send_advert) == (False, True, False)
    assert (found.garp_lower_prio_repeat, found.garp_lower_prio_delay_s) == (0, 0)
    assert told(result) == []
    assert instance("strict_mode\npriority 255")[0].owner_ignore_adverts
    assert instance("strict_mode\npriority 255")[0].accept


def test_strict_mode_with_unicast_is_an_error_that_the_worker_judges() -> None:
    """It depends on the interface, which nobody looks at here."""
    found, result = instance("strict_mode\nunicast_peer {\n10.0.0.2\n}")
    assert told(result) == ["unicast-in-strict-mode"]
    assert exit_status(result) == 5
    assert found.strict_mode
    assert found.unicast_peers


def test_strict_mode_with_ipv6() -> None:
    head = "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\nstrict_mode\n{}\n"
    text = head + "virtual_ipaddress {{\n{}\n}}\n}}\n"
    result = load(text.format("version 2", "fe80::1"))
    assert result.config.vrrp_instances[0].version == 3
    assert told(result) == ["strict-mode"]
    assert told(load(text.format("", "2001:db8::1"))) == ["strict-mode"]
    assert told(load(text.format("", "fe80::1"))) == []


# --- authentication ---------------------------------------------------------------------------

KEY_TEXT = "s3cret-" + "k" * 32


def hmac(lines: str, more: str = "") -> tuple[VrrpInstance, LoadResult]:
    return instance(f"auth_hmac {{\n{lines}\n}}\n{more}")


def test_auth_hmac() -> None:
    found, result = hmac(
        f"key 1 {KEY_TEXT}\nkey 2 hex:{'aB' * 64}\nkey 3 file:/run/k\nactive_key 3\nmode permissive\n"
        "anti_replay monotonic\ntime_window 9"
    )
    assert found.auth_hmac == AuthHmac(
        keys=(
            HmacKey(number=1, value=KEY_TEXT.encode()),
            HmacKey(number=2, value=b"\xab" * 64),
            HmacKey(number=3, file="/run/k"),
        ),
        active_key=3,
        time_window_s=9,
        anti_replay="monotonic",
        mode="permissive",
    )
    assert told(result) == []
    assert KEY_TEXT not in repr(found)


@pytest.mark.parametrize(
    ("advert", "window_s"), [("", 5), ("advert_int 1", 5), ("advert_int 4", 12), ("advert_int 255", 300)]
)
def test_the_window_follows_the_interval(advert: str, window_s: int) -> None:
    found, _ = hmac(f"key 1 {KEY_TEXT}\nactive_key 1", advert)
    assert found.auth_hmac is not None
    assert found.auth_hmac.time_window_s == window_s


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (f"key 1 {KEY_TEXT}", ["no-active-key"]),
        (f"key 1 {KEY_TEXT}\nactive_key 2", ["no-active-key"]),
        ("key 1 s3cret-short\nactive_key 1", ["key-length", "no-active-key"]),
        (f"key 1 hex:{'a' * 62}\nactive_key 1", ["key-length", "no-active-key"]),
        (f"key 1 hex:s3cret-{'a' * 62}\nactive_key 1", ["key-length", "no-active-key"]),
        (f"key {KEY_TEXT} 1\nactive_key 1", ["invalid-number", "no-active-key"]),
        (f"key {KEY_TEXT}", ["missing-argument", "no-active-key"]),
        (f"key 1 {KEY_TEXT}\nactive_key {KEY_TEXT}", ["invalid-number", "no-active-key"]),
        (f"{KEY_TEXT}", ["unknown-keyword", "no-active-key"]),
    ],
)
def test_auth_hmac_that_cannot_be_and_no_secret_is_told(lines: str, expected: list[str]) -> None:
    found, result = hmac(lines)
    assert found.auth_hmac is None
    assert told(result) == expected
    assert "s3cret" not in result.text()
    assert not any("s3cret" in f"{item.message}{item.hint}" for item in result.diagnostics)


def test_of_two_keys_of_one_number_the_first_counts() -> None:
    found, result = hmac(f"key 1 {KEY_TEXT}\nkey 1 {'z' * 32}\nactive_key 1")
    assert found.auth_hmac is not None
    assert found.auth_hmac.keys == (HmacKey(number=1, value=KEY_TEXT.encode()),)
    assert told(result) == ["duplicate-key"]


def test_auth_hmac_takes_the_place_of_authentication() -> None:
    found, result = hmac(
        f"key 1 {KEY_TEXT}\nactive_key 1", "authentication {\nauth_type PASS\nauth_pass x\n}"
    )
    assert found.auth_hmac is not None
    assert found.auth_pass is None
    assert told(result) == ["two-authentications"]


def test_strict_mode_enforces_signatures() -> None:
    found, result = hmac(f"key 1 {KEY_TEXT}\nactive_key 1\nmode permissive", "strict_mode")
    assert found.auth_hmac is not None
    assert found.auth_hmac.mode == "enforce"
    assert told(result) == ["strict-mode"]


def test_ah_clears_state_master_of_others_than_owners() -> None:
    auth = "authentication {\nauth_type AH\nauth_pass s3cret\n}"
    found, result = instance(f"state MASTER\n{auth}")
    assert (found.state, found.auth_pass, found.auth_ah) == ("BACKUP", None, b"s3cret")
    assert told(result) == ["ah-master", "auth-ah"]
    assert "s3cret" not in repr(found)
    assert instance(f"state MASTER\npriority 255\n{auth}")[0].state == "MASTER"


# --- to the worker ----------------------------------------------------------------------------


def test_every_field_travels_to_the_worker() -> None:
    found, result = instance(
        'use_vmac v1 02:00:00:00:00:01 group 4\ngarp_extra_if all 5\nnotify_deleted "/bin/d" u g\n'
        f"auth_hmac {{\nkey 1 hex:{'ff' * 32}\nactive_key 1\n}}\ntrack_interface {{\neth1 weight 3\n}}\n"
        "kernel_rx_buf_size 7\nlvs_sync_daemon_interface eth9\nmcast_src_ip 10.0.0.8\ntrack_src_ip"
    )
    slice_ = slices(result.config)["vrrp"]
    assert isinstance(slice_, VrrpSlice)
    assert slice_.instances == (found,)
    assert codec.loads(VrrpSlice, codec.dumps(slice_)) == slice_


# --- forms ------------------------------------------------------------------------------------


def read(form: Form, words: list[str]) -> Any:
    return form.read(Args(words=tuple(Word(word, 1, False) for word in words), first=0, raw=" ".join(words)))


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (VMAC, Vmac()),
        (VMAC, Vmac(name="group", mac="02:00:00:00:00:01", netlink_notify=True, group=0)),
        (VMAC, Vmac(name="v1", group=9)),
        (IPVLAN, Ipvlan()),
        (IPVLAN, Ipvlan(name="bridge", address=ip_interface("fe80::1/64"), mode="bridge", group=1)),
        (IPVLAN, Ipvlan(name="10.0.0.1", address=ip_interface("10.0.0.1"))),
        (OLD_CHECKSUM, "always"),
        (OLD_CHECKSUM, "never"),
        (GARP_EXTRA_IF, GarpExtraIf(interval_s=0, all_interfaces=True)),
        (NOTIFY_DELETED, NotifyDeleted()),
        (PEER, UnicastPeer(address=ip_address("fe80::9"), min_ttl=0, max_ttl=255)),
        (KEY, HmacKey(number=255, value=bytes(range(64)))),
        (KEY, HmacKey(number=1, file="/run/key")),
        (MEMBERS, ("A", "B")),
    ],
)
def test_what_a_form_writes_it_reads(form: Form, value: object) -> None:
    assert read(form, form.write(value)) == value


def test_names_of_one_list_are_written_line_by_line() -> None:
    assert MEMBERS.write("A") == ["A"]
