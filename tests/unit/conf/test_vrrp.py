"""vrrp_instance: every field, its default and its range; completion rules; what is fatal."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from keepalived_conf.loading import exit_status
from tests.unit.conf.support import codes, find, instance, instance_text, load, where

DEFAULTS: dict[str, Any] = {
    "name": "A",
    "interface": "eth0",
    "virtual_router_id": 1,
    "family": 4,
    "version": 2,
    "state": "BACKUP",
    "priority": 100,
    "advert_int_cs": 100,
    "virtual_addresses_excluded": (),
    "preempt": True,
    "preempt_delay_s": 0.0,
    "source_address": None,
    "mcast_dst_ip": None,
    "unicast_peers": (),
    "unicast_ttl": None,
    "check_unicast_src": False,
    "auth_pass": None,
    "garp_master_delay_s": 5,
    "garp_master_repeat": 5,
    "garp_master_refresh_s": 0,
    "garp_master_refresh_repeat": 1,
    "garp_lower_prio_delay_s": 5,
    "garp_lower_prio_repeat": 5,
    "down_timer_adverts": 3,
    "lower_prio_no_advert": False,
    "higher_prio_send_advert": False,
    "owner_ignore_adverts": False,
    "v3_checksum_as_v2": False,
    "skip_check_adv_addr": False,
    "dont_track_primary": False,
}


def test_defaults() -> None:
    found, result = instance()
    assert {name: getattr(found, name) for name in DEFAULTS} == DEFAULTS
    assert not result.diagnostics


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("state MASTER", "state", "MASTER"),
        ("interface br0.12", "interface", "br0.12"),
        ("version 3", "version", 3),
        ("preempt_delay 12.5", "preempt_delay_s", 12.5),
        ("nopreempt", "preempt", False),
        ("mcast_src_ip 10.0.0.9", "source_address", ip_address("10.0.0.9")),
        ("mcast_src_ip 10.0.0.9/24", "source_address", ip_address("10.0.0.9")),
        ("mcast_dst_ip 224.0.0.99", "mcast_dst_ip", ip_address("224.0.0.99")),
        ("garp_master_delay 0", "garp_master_delay_s", 0),
        ("garp_master_repeat 2", "garp_master_repeat", 2),
        ("garp_master_refresh 60", "garp_master_refresh_s", 60),
        ("garp_master_refresh_repeat 3", "garp_master_refresh_repeat", 3),
        ("garp_lower_prio_delay 9", "garp_lower_prio_delay_s", 9),
        ("garp_lower_prio_repeat 0", "garp_lower_prio_repeat", 0),
        ("garp_master_delay 7", "garp_lower_prio_delay_s", 5),
        ("garp_master_repeat 7", "garp_lower_prio_repeat", 5),
        ("lower_prio_no_advert", "lower_prio_no_advert", True),
        ("lower_prio_no_advert off", "lower_prio_no_advert", False),
        ("higher_prio_send_advert yes", "higher_prio_send_advert", True),
        ("v3_checksum_as_v2", "v3_checksum_as_v2", True),
        ("skip_check_adv_addr true", "skip_check_adv_addr", True),
        ("skip_check_adv_addr off", "skip_check_adv_addr", False),
        ("dont_track_primary", "dont_track_primary", True),
        ("priority +200", "priority", 200),
        ("priority 010", "priority", 10),
        ('priority " 12"', "priority", 12),
    ],
)
def test_values(line: str, field: str, value: object) -> None:
    found, result = instance(line)
    assert getattr(found, field) == value
    assert codes(result) == []
    assert line.split()[0] in found.places


@pytest.mark.parametrize(
    ("keyword", "field", "low", "high", "default", "scale"),
    [
        ("virtual_router_id", "virtual_router_id", 1, 255, 1, 1),
        ("priority", "priority", 1, 255, 100, 1),
        ("garp_master_delay", "garp_master_delay_s", 0, 4294, 5, 1),
        ("garp_master_refresh", "garp_master_refresh_s", 0, 4294967295, 0, 1),
        ("garp_lower_prio_delay", "garp_lower_prio_delay_s", 0, 4294, 5, 1),
        ("garp_lower_prio_repeat", "garp_lower_prio_repeat", 0, 2147483647, 5, 1),
        ("down_timer_adverts", "down_timer_adverts", 1, 100, 3, 1),
        ("preempt_delay", "preempt_delay_s", 0, 1000, 0.0, 1),
    ],
)
def test_ranges(keyword: str, field: str, low: int, high: int, default: object, scale: int) -> None:
    for good in (low, high):
        found, result = instance(f"state BACKUP\n{keyword} {good}")
        assert getattr(found, field) == good * scale
        assert "invalid-number" not in codes(result)
    for bad in (low - 1, high + 1):
        found, result = instance(f"{keyword} {bad}")
        assert getattr(found, field) == default
        assert codes(result) == ["invalid-number"]
        assert exit_status(result) == 5


@pytest.mark.parametrize("word", ["0x5", "x", "1.5", "--1", "-", "9" * 30, "9" * 50, "5 "])
def test_what_is_no_whole_number(word: str) -> None:
    result = load(instance_text(f'down_timer_adverts "{word}"'))
    assert codes(result) == ["invalid-number"]


def test_a_number_with_rubbish_behind_it_is_taken_as_by_the_daemon_of_keepalived() -> None:
    found, result = instance("garp_master_delay 10s")
    assert found.garp_master_delay_s == 10
    assert codes(result) == ["invalid-number"]


def test_repeat_zero_is_raised_to_one() -> None:
    found, result = instance("garp_master_repeat 0\ngarp_master_refresh_repeat 0")
    assert (found.garp_master_repeat, found.garp_master_refresh_repeat) == (1, 1)
    assert codes(result) == ["raised", "raised"]


def test_the_last_line_of_a_kind_wins() -> None:
    found, _ = instance("garp_master_delay 8\ngarp_master_delay 9")
    assert found.garp_master_delay_s == 9
    found, _ = instance("garp_master_delay 8\ngarp_master_delay x")
    assert found.garp_master_delay_s == 8


# --- advert_int -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "version", "cs", "told"),
    [
        ("1", 2, 100, False),
        ("0.2", 2, 100, True),
        ("1.4", 2, 100, True),
        ("1.5", 2, 200, True),
        ("2.5", 2, 300, True),
        ("255", 2, 25500, False),
        ("1", 3, 100, False),
        ("0.01", 3, 1, False),
        ("0.1", 3, 10, False),
        ("40.95", 3, 4095, False),
        ("40.96", 3, 4095, True),
        ("255", 3, 4095, True),
        ("0.123", 3, 12, True),
        ("0.125", 3, 13, True),
        (".5", 3, 50, False),
        ("3.", 3, 300, False),
    ],
)
def test_advert_int(written: str, version: int, cs: int, told: bool) -> None:
    found, result = instance(f"version {version}\nadvert_int {written}")
    assert found.advert_int_cs == cs
    assert codes(result) == (["advert-int-rounded"] if told else [])


@pytest.mark.parametrize("word", ["0", "0.009", "255.01", "256", "-1", "1s"])
def test_advert_int_out_of_range_gives_the_default(word: str) -> None:
    found, result = instance(f"version 3\nadvert_int {word}")
    assert found.advert_int_cs == 100
    assert codes(result) == ["invalid-number"]


# --- state, priority, preemption --------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "state", "priority", "told"),
    [
        ("", "BACKUP", 100, []),
        ("state BACKUP", "BACKUP", 100, []),
        ("state MASTER", "MASTER", 255, ["owner-by-state"]),
        ("priority 255", "MASTER", 255, []),
        ("priority 254", "BACKUP", 254, []),
        ("state BACKUP\npriority 255", "BACKUP", 255, []),
        ("state MASTER\npriority 100", "MASTER", 100, []),
        ("state MASTER\npriority 256", "MASTER", 100, ["invalid-number"]),
        ("state EQUAL", "BACKUP", 100, ["invalid-value"]),
        ("state EQUAL\npriority 255", "BACKUP", 255, ["invalid-value"]),
        ("state master", "BACKUP", 100, ["invalid-value"]),
    ],
)
def test_state_and_priority(lines: str, state: str, priority: int, told: list[str]) -> None:
    head = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n"
    text = f"{head}{lines}\n}}\n"
    result = load(text)
    found = result.config.vrrp_instances[0]
    assert (found.state, found.priority) == (state, priority)
    assert codes(result) == told


@pytest.mark.parametrize(
    ("lines", "preempt", "delay_s", "told"),
    [
        ("nopreempt", False, 0.0, []),
        ("preempt_delay 5", True, 5.0, []),
        ("nopreempt\npreempt_delay 5", False, 0.0, ["preempt-delay-cleared"]),
        ("state MASTER\nnopreempt", True, 0.0, ["nopreempt-cleared"]),
        ("state MASTER\npreempt_delay 5", True, 0.0, ["preempt-delay-cleared"]),
        (
            "state MASTER\nnopreempt\npreempt_delay 5",
            True,
            0.0,
            ["nopreempt-cleared", "preempt-delay-cleared"],
        ),
        ("state BACKUP\npriority 255\nnopreempt", True, 0.0, ["nopreempt-cleared"]),
        ("nopreempt\npreempt", True, 0.0, ["deprecated"]),
        ("preempt\nnopreempt", False, 0.0, ["deprecated"]),
    ],
)
def test_preemption(lines: str, preempt: bool, delay_s: float, told: list[str]) -> None:
    found, result = instance(lines)
    assert (found.preempt, found.preempt_delay_s) == (preempt, delay_s)
    assert codes(result) == told


def test_owner_ignore_adverts_is_for_owners() -> None:
    assert instance("priority 255\nowner_ignore_adverts")[0].owner_ignore_adverts
    assert not instance("owner_ignore_adverts")[0].owner_ignore_adverts


# --- global defaults --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("globals_", "lines", "field", "value"),
    [
        ("vrrp_garp_master_delay 1", "", "garp_master_delay_s", 1),
        ("vrrp_garp_master_delay 1", "garp_master_delay 2", "garp_master_delay_s", 2),
        ("vrrp_garp_master_delay 1", "", "garp_lower_prio_delay_s", 1),
        ("vrrp_garp_lower_prio_delay 3", "garp_master_delay 2", "garp_lower_prio_delay_s", 3),
        ("vrrp_garp_lower_prio_repeat 3", "", "garp_lower_prio_repeat", 3),
        ("vrrp_garp_master_repeat 4", "", "garp_master_repeat", 4),
        ("vrrp_garp_master_refresh 4", "", "garp_master_refresh_s", 4),
        ("vrrp_garp_master_refresh_repeat 4", "", "garp_master_refresh_repeat", 4),
        ("vrrp_min_garp", "", "garp_master_repeat", 1),
        ("vrrp_min_garp", "", "garp_master_delay_s", 0),
        ("vrrp_min_garp off", "", "garp_master_delay_s", 5),
        ("vrrp_down_timer_adverts 4", "", "down_timer_adverts", 4),
        ("vrrp_lower_prio_no_advert", "", "lower_prio_no_advert", True),
        ("vrrp_lower_prio_no_advert", "lower_prio_no_advert no", "lower_prio_no_advert", False),
        ("vrrp_higher_prio_send_advert", "", "higher_prio_send_advert", True),
        ("vrrp_skip_check_adv_addr", "", "skip_check_adv_addr", True),
        ("v3_checksum_as_v2", "", "v3_checksum_as_v2", True),
        ("vrrp_owner_ignore_adverts", "priority 255", "owner_ignore_adverts", True),
        ("vrrp_version 3", "", "version", 3),
        ("vrrp_version 3", "version 2", "version", 2),
    ],
)
def test_global_defaults(globals_: str, lines: str, field: str, value: object) -> None:
    assert getattr(instance(lines, globals_=globals_)[0], field) == value


def test_global_defs_count_wherever_they_stand_and_add_up() -> None:
    result = load(
        "global_defs { vrrp_version 2 }\n"
        + instance_text()
        + "global_defs {\nvrrp_garp_master_delay 1\n}\nglobal_defs { vrrp_version 3 }\n"
    )
    found = result.config.vrrp_instances[0]
    assert (found.version, found.garp_master_delay_s) == (3, 1)


# --- family, version, addresses ---------------------------------------------------------------


def test_ipv6_is_version_3_unless_written() -> None:
    found, result = instance(vips="fe80::1\n2001:db8::1/64")
    assert (found.family, found.version) == (6, 3)
    assert codes(result) == []
    assert instance(vips="fe80::1", globals_="vrrp_version 2")[0].version == 3


def test_family_follows_the_first_address_of_the_file() -> None:
    lines = "unicast_peer {\n2001:db8::2\n}\nunicast_src_ip 2001:db8::1"
    result = load(
        f"vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\nversion 2\n{lines}\n"
        "virtual_ipaddress {\n10.0.0.1\n}\n}\n"
    )
    assert result.config.vrrp_instances[0].family == 6
    assert codes(result) == ["mixed-families", "no-address"]


def test_mixed_families_are_refused_among_addresses_but_not_excluded_ones() -> None:
    found, result = instance("virtual_ipaddress_excluded {\n2001:db8::7/64\n}", vips="10.0.0.1\nfe80::1")
    assert [str(a.interface) for a in found.virtual_addresses] == ["10.0.0.1/32"]
    assert [str(a.interface) for a in found.virtual_addresses_excluded] == ["2001:db8::7/64"]
    assert codes(result) == ["mixed-families"]
    assert where(find(result, "mixed-families")) == (7, 1)


@pytest.mark.parametrize(
    ("entry", "field", "value"),
    [
        ("10.0.0.1", "interface", ip_interface("10.0.0.1/32")),
        ("10.0.0.1/24", "interface", ip_interface("10.0.0.1/24")),
        ("10.0.0.1", "dev", "eth0"),
        ("10.0.0.1 dev br1", "dev", "br1"),
        ("10.0.0.1 label eth0:1", "label", "eth0:1"),
        ("10.0.0.1 scope link", "scope", 253),
        ("10.0.0.1 scope host", "scope", 254),
        ("10.0.0.1 scope 200", "scope", 200),
        ("10.0.0.1/24 brd +", "broadcast", ip_address("10.0.0.255")),
        ("10.0.0.1/24 brd -", "broadcast", ip_address("10.0.0.0")),
        ("10.0.0.1/24 broadcast 10.0.0.99", "broadcast", ip_address("10.0.0.99")),
        ("10.0.0.1 peer 10.0.0.2", "peer", ip_interface("10.0.0.2")),
        ("10.0.0.1 preferred_lft 30", "preferred_lft_s", 30),
        ("10.0.0.1 preferred_lft forever", "preferred_lft_s", None),
        ("10.0.0.1", "broadcast", None),
        ("10.0.0.1", "no_dad", True),
        ("fe80::1/64", "preferred_lft_s", None),
        ("fe80::1", "preferred_lft_s", 0),
        ("fe80::1 preferred_lft forever", "preferred_lft_s", None),
        ("fe80::1 preferred_lft 9", "preferred_lft_s", 9),
    ],
)
def test_virtual_address_entries(entry: str, field: str, value: object) -> None:
    found, result = instance(vips=entry)
    assert getattr(found.virtual_addresses[0], field) == value
    assert codes(result) == []


@pytest.mark.parametrize(
    ("entry", "column"),
    [
        ("10.0.0.300", 1),
        ("x", 1),
        ("dev eth0 10.0.0.1", 1),
        ("10.0.0.1 dev", 10),
        ("10.0.0.1 dev a/b", 14),
        ("10.0.0.1 dev abcdefghijklmnop", 14),
        ("fe80::1 brd +", 13),
        ("10.0.0.1%eth0", 1),
        ("10.0.0.1/24/8", 1),
    ],
)
def test_bad_virtual_address_entries_are_dropped(entry: str, column: int) -> None:
    result = load(instance_text(vips=f"10.9.9.9\n{entry}"))
    if entry != "10.0.0.1/24/8":
        assert [str(a.interface.ip) for a in result.config.vrrp_instances[0].virtual_addresses] == [
            "10.9.9.9"
        ]
    item = next(d for d in result.diagnostics if d.severity == "error")
    assert where(item) == (7, column)
    assert not result.fatal


def test_bad_prefix_length_gives_the_host_address() -> None:
    found, result = instance(vips="10.0.0.1/33")
    assert str(found.virtual_addresses[0].interface) == "10.0.0.1/32"
    assert codes(result) == ["invalid-prefix-length"]


def test_unknown_word_behind_an_address_is_skipped_and_a_known_one_noted() -> None:
    found, result = instance(vips="10.0.0.1/24 frob dev eth7 noprefixroute label x")
    assert (found.virtual_addresses[0].dev, found.virtual_addresses[0].label) == ("eth7", "x")
    assert codes(result, severe=False) == ["unknown-word", "no-effect-yet"]


def test_duplicate_addresses_are_dropped_also_across_lists() -> None:
    found, result = instance(
        "virtual_ipaddress_excluded {\n10.0.0.1\n10.0.0.2\n}", vips="10.0.0.1\n10.0.0.1/24"
    )
    assert len(found.virtual_addresses) == 1
    assert [str(a.interface.ip) for a in found.virtual_addresses_excluded] == ["10.0.0.2"]
    assert codes(result) == ["duplicate-address", "duplicate-address"]


def test_an_advert_holds_255_addresses_the_rest_is_excluded() -> None:
    vips = "\n".join(f"10.0.{i // 250}.{i % 250 + 1}" for i in range(258))
    found, result = instance("virtual_ipaddress_excluded { 10.8.0.1 }", vips=vips)
    assert len(found.virtual_addresses) == 255
    assert len(found.virtual_addresses_excluded) == 4
    assert str(found.virtual_addresses_excluded[0].interface.ip) == "10.8.0.1"
    assert codes(result) == ["too-many-addresses"]


def test_several_blocks_of_addresses_add_up_in_order() -> None:
    found, _ = instance("virtual_ipaddress {\n10.0.0.9\n}")
    assert [str(a.interface.ip) for a in found.virtual_addresses] == ["10.0.0.1", "10.0.0.9"]


def test_places_of_an_address() -> None:
    found, _ = instance(vips="10.0.0.1/24 dev eth7")
    assert str(found.virtual_addresses[0].places[""]) == "t.conf:6:1"
    assert str(found.virtual_addresses[0].places["dev"]) == "t.conf:6:13"


# --- fatal and refused ------------------------------------------------------------------------


def fatal_codes(text: str) -> list[str]:
    result = load(text)
    assert result.fatal
    return [item.code for item in result.diagnostics if item.fatal]


def test_no_virtual_router_id_is_fatal() -> None:
    text = "vrrp_instance A {\ninterface eth0\nvirtual_ipaddress { 10.0.0.1 }\n}\n"
    assert fatal_codes(text) == ["no-virtual-router-id"]
    assert fatal_codes(text.replace("interface eth0", "interface eth0\nvirtual_router_id 0")) == [
        "no-virtual-router-id"
    ]


def test_bare_words_are_fatal_with_status_2() -> None:
    for line in ("virtual_router_id", "interface", "unicast_src_ip", "priority", "advert_int", "state"):
        result = load(instance_text(line))
        assert [item.code for item in result.diagnostics if item.fatal] == ["missing-word"], line
        assert exit_status(result) == 2


def test_version_3_without_addresses_is_fatal_version_2_a_warning() -> None:
    assert fatal_codes(instance_text("version 3", vips="")) == ["no-address"]
    found, result = instance(vips="")
    assert found.virtual_addresses == ()
    assert codes(result) == ["no-address"]
    assert exit_status(result) == 5
    assert codes(instance("version 3\nno_virtual_ipaddress", vips="")[1]) == []


@pytest.mark.parametrize(
    ("other", "conflict"),
    [
        ("interface eth0\nvirtual_ipaddress { 10.0.0.2 }", True),
        ("interface eth1\nvirtual_ipaddress { 10.0.0.2 }", False),
        ("interface eth0\nvirtual_ipaddress { fe80::2 }", False),
        ("interface eth0\nvirtual_ipaddress { 10.0.0.2 }\nmcast_dst_ip 224.0.0.77", False),
        ("interface eth0\nvirtual_ipaddress { 10.0.0.2 }\nmcast_dst_ip 224.0.0.18", True),
        ("interface eth0\nvirtual_ipaddress { 10.0.0.2 }\nunicast_peer { 10.0.0.9 }", False),
    ],
)
def test_the_same_virtual_router_id_twice(other: str, conflict: bool) -> None:
    text = instance_text() + f"vrrp_instance B {{\nvirtual_router_id 1\n{other}\n}}\n"
    result = load(text)
    assert result.fatal == conflict, result.text()
    if conflict:
        item = find(result, "duplicate-virtual-router-id")
        assert where(item) == (11, 1)
        assert "used on eth0 by A at t.conf:3:1" in item.message


def test_unicast_instances_conflict_on_a_shared_peer_only() -> None:
    def text(peer: str) -> str:
        return (
            instance_text("unicast_peer { 10.0.0.9 }")
            + "vrrp_instance B {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.2 }\n"
            f"unicast_peer {{ {peer} }}\n}}\n"
        )

    assert load(text("10.0.0.9")).fatal
    assert not load(text("10.0.0.10")).fatal


def test_interface_is_required_but_for_unicast_with_source() -> None:
    assert fatal_codes(
        "vrrp_instance A {\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 dev eth0 }\n}\n"
    ) == ["no-interface"]
    result = load(
        "vrrp_instance A {\nvirtual_router_id 1\nunicast_src_ip 10.0.0.5\nunicast_peer { 10.0.0.6 }\n"
        "virtual_ipaddress {\n10.0.0.1 dev eth0\n10.0.0.2\n}\n}\n"
    )
    assert not result.fatal
    assert result.config.vrrp_instances[0].interface == ""
    assert codes(result) == ["invalid-entry"]
    assert fatal_codes(instance_text("interface lo")) == ["no-interface"]
    assert "loopback" in codes(load(instance_text("interface lo")))


def test_names() -> None:
    result = load("vrrp_instance {\n}\n" + instance_text() + instance_text(vrid=2))
    assert [one.virtual_router_id for one in result.config.vrrp_instances] == [1]
    assert codes(result) == ["no-name", "duplicate-name"]
    assert not result.fatal


def test_native_ipv6() -> None:
    found, _ = instance("native_ipv6", vips="fe80::1")
    assert (found.family, found.version) == (6, 3)


def test_moving_a_line_is_not_a_change() -> None:
    one, _ = instance("garp_master_delay 3")
    other, _ = instance("\n\n# moved\ngarp_master_delay   3")
    assert one == other
    assert one.places != other.places
