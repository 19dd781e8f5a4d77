"""virtual_server_group, services of groups, SSL, and what in a service depends on the order of lines."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.loading import LoadResult, exit_status, slices
from keepalived_conf.model import (
    Forwarding,
    GroupAddresses,
    GroupMark,
    Script,
    SslContext,
    Tunnel,
    VirtualServerGroup,
)
from tests.unit.conf.support import codes, find, load, real_server, service, service_text, where


def group(lines: str) -> tuple[VirtualServerGroup, LoadResult]:
    result = load(f"virtual_server_group G {{\n{lines}\n}}\n")
    (found,) = result.config.virtual_server_groups
    assert found.name == "G"
    return found, result


def span(first: str, last: str, port: int = 0) -> GroupAddresses:
    return GroupAddresses(first=ip_address(first), last=ip_address(last), port=port)


# --- lines of a group ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("10.0.0.1", span("10.0.0.1", "10.0.0.1")),
        ("10.0.0.1 80", span("10.0.0.1", "10.0.0.1", 80)),
        ("10.0.0.1 0", span("10.0.0.1", "10.0.0.1")),
        ("10.0.0.1-5 80", span("10.0.0.1", "10.0.0.5", 80)),
        ("10.0.0.1-10.0.1.5", span("10.0.0.1", "10.0.1.5")),
        ("10.0.0.0/24", span("10.0.0.0", "10.0.0.255")),
        ("10.0.0.7/32 65535", span("10.0.0.7", "10.0.0.7", 65535)),
        ("2001:db8::1-ff", span("2001:db8::1", "2001:db8::ff")),
        ("2001:db8::1-2001:db8::9", span("2001:db8::1", "2001:db8::9")),
        ("2001:db8::/127", span("2001:db8::", "2001:db8::1")),
        ("fwmark 0", GroupMark(fwmark=0)),
        ("fwmark 4294967295 inet", GroupMark(fwmark=4294967295, family=4)),
        ("fwmark 7 inet6", GroupMark(fwmark=7, family=6)),
    ],
)
def test_lines(line: str, entry: object) -> None:
    found, result = group(line)
    assert found.entries == (entry,)
    assert exit_status(result) == 0


@pytest.mark.parametrize(
    "line",
    [
        "10.0.0.300",
        "10.0.0.1 65536",
        "10.0.0.5-5",
        "10.0.0.5-1",
        "10.0.0.1-256",
        "10.0.0.1-",
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-2001:db8::1",
        "10.0.0.1/24",
        "10.0.0.0/0",
        "10.0.0.0/33",
        "2001:db8::/129",
        "2001:db8::1-10000",
        "fwmark x",
        "fwmark -1",
        "fwmark 4294967296",
        "fwmark 1 ipv4",
    ],
)
def test_a_bad_line_is_left_out(line: str) -> None:
    found, result = group(f"10.9.9.9\n{line}")
    assert found.entries == (span("10.9.9.9", "10.9.9.9"),)
    (item,) = [one for one in result.diagnostics if one.keepalived]
    assert where(item)[0] == 3
    assert exit_status(result) == 5


def test_groups_are_kept_apart() -> None:
    result = load("virtual_server_group A {\n10.0.0.1\nx\n}\nvirtual_server_group B {\n10.0.0.2\n}\n")
    assert [(one.name, one.entries) for one in result.config.virtual_server_groups] == [
        ("A", (span("10.0.0.1", "10.0.0.1"),)),
        ("B", (span("10.0.0.2", "10.0.0.2"),)),
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "empty-group"),
        ("nonsense", "empty-group"),
        ("10.0.0.1\n2001:db8::1\nfwmark 1", "mixed-families"),
        ("10.0.0.1\nfwmark 2 inet6\nfwmark 1", "mixed-families"),
    ],
)
def test_a_group_that_cannot_be_used(lines: str, told: str) -> None:
    text = f"virtual_server_group G {{\n{lines}\n}}\n"
    result = load(text)
    assert result.config.virtual_server_groups == ()
    item = find(result, told)
    assert where(item) == (text.count("\n"), 1)
    assert item.keepalived is KeepalivedClass.GENERAL_ERROR


def test_families_may_be_mixed_when_each_mark_has_one() -> None:
    assert len(group("10.0.0.1\n2001:db8::1\nfwmark 1 inet")[0].entries) == 3


def test_the_first_group_of_a_name_counts() -> None:
    result = load("virtual_server_group G {\n10.0.0.1\n}\nvirtual_server_group G {\n10.0.0.2\n}\n")
    (found,) = result.config.virtual_server_groups
    assert found.entries == (span("10.0.0.1", "10.0.0.1"),)
    assert exit_status(result) == 0
    assert "duplicate-group" in codes(result)


def test_a_group_without_name_stops_keepalived() -> None:
    assert exit_status(load("virtual_server_group {\n10.0.0.1\n}\n")) == 2


# --- services of groups --------------------------------------------------------------------------------

GROUP = "virtual_server_group G {\n10.0.0.1 80\n}\n"


def of_group(
    lines: str = "", *, group_text: str = GROUP, method: str = "NAT", rs_head: str = "10.2.0.1 80"
) -> LoadResult:
    return load(group_text + service_text(lines, head="group G", method=method, rs_head=rs_head))


def test_a_service_of_a_group_is_kept_and_not_made() -> None:
    result = load(GROUP + service_text(head="group G", rs="TCP_CHECK {\n}") * 2)
    first, second = result.config.virtual_servers
    assert (first.group, first.address, first.key, second.key) == ("G", None, "[G]", "[G]:1")
    assert (first.group_member, second.group_member) == (0, 1)
    assert slices(result.config) == {}
    assert [item.hint for item in result.diagnostics if item.code == "no-effect-yet"] == [
        "no service is made for a group",
        "write one virtual_server per address until then",
    ]


def test_only_services_of_groups_are_held_back() -> None:
    result = load(GROUP + service_text(head="group G") + service_text(rs="TCP_CHECK {\n}"))
    made = slices(result.config)
    assert set(made) == {"ipvs", "checker"}
    assert [one.key for one in made["ipvs"].virtual_servers] == ["[10.1.0.1]:tcp:80"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("group_text", "rs_head"),
    [
        ("", "10.2.0.1 80"),
        ("virtual_server_group G {\n}\n", "10.2.0.1 80"),
        (GROUP, "2001:db8::5 80"),
        (GROUP.replace("}", "2001:db8::1 80\n}"), "10.2.0.1 80"),
    ],
)
def test_a_group_that_does_not_fit_costs_the_service(group_text: str, rs_head: str) -> None:
    result = of_group(group_text=group_text, rs_head=rs_head)
    assert result.config.virtual_servers == ()
    item = find(result, "no-group")
    assert item.keepalived is KeepalivedClass.OK  # keepalived logs it and goes on


@pytest.mark.parametrize(
    ("entries", "lines", "told"),
    [
        ("fwmark 1", "ha_suspend", ["protocol-ignored", "ha-suspend-with-fwmark"]),
        ("10.0.0.1", "", ["port-zero"]),
        ("10.0.0.1", "persistence_timeout 9", []),
        ("10.0.0.1 80", "ops", ["ops-without-udp"]),
        ("fwmark 1", "ops", ["protocol-ignored"]),
        ("10.0.0.1 80\nfwmark 1", "", []),
    ],
)
def test_rules_of_a_group(entries: str, lines: str, told: list[str]) -> None:
    result = of_group(lines, group_text=f"virtual_server_group G {{\n{entries}\n}}\n")
    assert sorted(item.code for item in result.diagnostics if item.keepalived) == sorted(told)


def test_ports_of_servers_behind_a_group() -> None:
    result = of_group(method="DR", rs_head="10.2.0.1 81")
    assert "(80)" in find(result, "port-mismatch").message
    assert result.config.virtual_servers[0].real_servers[0].port == 81
    assert exit_status(of_group(method="NAT", rs_head="10.2.0.1 81")) == 0
    marks = of_group(method="DR", rs_head="10.2.0.1 81", group_text="virtual_server_group G {\nfwmark 1\n}\n")
    assert "no port" in find(marks, "port-mismatch").message


# --- order within a service ----------------------------------------------------------------------------


def methods(text: str) -> list[str]:
    result = load(text)
    return [one.lvs_method for one in result.config.virtual_servers[0].real_servers]


def test_a_method_counts_for_the_servers_below_it() -> None:
    def body(*lines: str) -> str:
        return "virtual_server 10.0.0.1 80 {\nprotocol TCP\nlvs_sched rr\n" + "\n".join(lines) + "\n}\n"

    one, two = "real_server 10.2.0.1 80 {\n}", "real_server 10.2.0.2 80 {\n}"
    assert methods(body("lvs_method DR", one, "lvs_method TUN", two)) == ["DR", "TUN"]
    assert methods(body(one, "lvs_method DR", two)) == ["DR", "DR"]
    assert methods(body("lvs_method DR", one.replace("{\n", "{\nlvs_method NAT\n"))) == ["NAT"]
    missing = load(body(one, two))
    assert codes(missing) == ["no-lvs-method"]
    assert codes(load(body(one.replace("{\n", "{\nlvs_method NAT\n")))) == []


@pytest.mark.parametrize(
    ("lines", "flags", "error"),
    [
        ("lvs_sched sh\nsh-port", 0x10, False),
        ("sh-port\nlvs_sched sh", 0, True),
        ("lvs_sched sh\nmh-port", 0, False),
        ("lvs_sched mh\nmh-port\nmh-fallback", 0x18, False),
        ("lvs_sched rr\nsh-fallback", 0, True),
        ("lvs_sched sh\nhashed", 0, False),
        ("lvs_sched rr\nhashed", 0, True),
        ("flag-1\nlvs_sched rr", 0x08, False),
    ],
)
def test_flags_stand_below_their_scheduler(lines: str, flags: int, *, error: bool) -> None:
    head = "virtual_server 10.0.0.1 80 {\nprotocol TCP\nlvs_method NAT\n"
    text = f"{head}{lines}\nreal_server 10.2.0.1 {{\n}}\n}}\n"
    result = load(text)
    assert result.config.virtual_servers[0].scheduler_flags == flags
    assert exit_status(result) == (5 if error else 0)


@pytest.mark.parametrize("line", ["sorry_server_inhibit", "sorry_server_lvs_method DR"])
def test_what_concerns_the_sorry_server_stands_below_it(line: str) -> None:
    found, result = service(f"{line}\nsorry_server 10.3.0.1 80")
    assert find(result, "no-sorry-server").place is not None
    assert found.sorry_server is not None
    assert (found.sorry_server_inhibit, found.sorry_server.lvs_method) == (False, "NAT")
    found, result = service(f"sorry_server 10.3.0.1 80\n{line}")
    assert codes(result) == []
    assert found.sorry_server_inhibit or found.sorry_server_forwarding == Forwarding(method="DR")


def test_a_sorry_server_that_is_a_real_server_adopts_its_inhibit() -> None:
    found, result = service("sorry_server 10.2.0.1 80\nsorry_server_inhibit")
    assert "inhibit_on_failure (off)" in find(result, "sorry-server-inhibit").message
    assert found.sorry_server is not None
    assert not found.sorry_server.inhibit_on_failure


def test_a_sorry_server_of_the_other_family_is_dropped() -> None:
    found, result = service("sorry_server 2001:db8::9 80")
    assert found.sorry_server is None
    assert result.sources["t.conf"][where(find(result, "mixed-families"))[0] - 1] == "}"
    assert service("sorry_server 2001:db8::9 80\nsorry_server_lvs_method TUN")[0].sorry_server is not None


@pytest.mark.parametrize(
    ("lines", "rs_head", "method", "family"),
    [
        ("", "10.2.0.1", "NAT", 4),
        ("", "2001:db8::1", "NAT", 6),
        ("", "2001:db8::1", "TUN", 6),
        ("ip_family inet", "2001:db8::1", "TUN", 4),
        ("persistence_granularity 64", "2001:db8::1", "NAT", 6),
        ("persistence_granularity 64", "10.2.0.1", "TUN", 6),
        ("sorry_server 2001:db8::2", "10.2.0.1", "TUN", 4),
    ],
)
def test_family_of_a_mark(lines: str, rs_head: str, method: str, family: int) -> None:
    found, result = service(lines, head="fwmark 5", rs_head=rs_head, method=method)
    assert found.family == family
    assert codes(result) == []


def test_ip_family_that_comes_too_late_is_ignored() -> None:
    head = "virtual_server fwmark 1 {\nlvs_sched rr\nlvs_method NAT\n"
    text = f"{head}real_server 10.2.0.1 {{\n}}\nip_family inet6\n}}\n"
    result = load(text)
    assert result.config.virtual_servers[0].family == 4
    assert where(find(result, "mixed-families")) == (6, 11)


# --- values of services and servers --------------------------------------------------------------------

SCRIPT = Script(command=("/bin/x", "1"), user="u", group="g")


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("ha_suspend", "ha_suspend", True),
        ("persistence_engine sip", "persistence_engine", "sip"),
        ("persistence_engine abcdefghijklmnopq", "persistence_engine", "abcdefghijklmnop"),
        ('quorum_up "/bin/x 1" u g', "quorum_up", SCRIPT),
        ('quorum_down "/bin/x 1" u g\nquorum_down /bin/y', "quorum_down", SCRIPT),
        ("smtp_alert", "smtp_alert", True),
        ("snmp_name a", "snmp_name", "a"),
        ("protocol sctp", "protocol", "SCTP"),
        ("lvs_method TUN type gre csum", "tunnel", Tunnel(type="gre", checksum="csum")),
        ("lvs_method TUN type ipip", "tunnel", None),
    ],
)
def test_service_values(line: str, field: str, value: object) -> None:
    assert getattr(service(line)[0], field) == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('notify_up "/bin/x 1" u g', "notify_up", SCRIPT),
        ('notify_down "/bin/x 1" u g', "notify_down", SCRIPT),
        ("smtp_alert off", "smtp_alert", False),
        ("", "smtp_alert", True),
        ("snmp_name a\nsnmp_name b", "snmp_name", "b"),
        ("lvs_method TUN type gue port 9", "tunnel", Tunnel(type="gue", port=9)),
    ],
)
def test_real_server_values(line: str, field: str, value: object) -> None:
    assert getattr(real_server(line)[0], field) == value


@pytest.mark.parametrize(
    ("globals_", "of_service", "of_server"),
    [
        ("", False, True),
        ("smtp_alert on", True, True),
        ("smtp_alert on\nsmtp_alert_checker off", False, False),
        ("smtp_alert off", False, False),
    ],
)
def test_smtp_alert_is_inherited_from_global_defs(
    globals_: str, *, of_service: bool, of_server: bool
) -> None:
    found, _ = service(globals_=globals_)
    assert (found.smtp_alert, found.real_servers[0].smtp_alert) == (of_service, of_server)


@pytest.mark.parametrize(
    ("line", "code"), [("virtualhost a\nvirtualhost b", "replaces"), ("notify_up /a\nnotify_up /b", "counts")]
)
def test_what_is_written_twice(line: str, code: str) -> None:
    _, result = real_server(line)
    item = find(result, "written-twice")
    assert code in item.message
    assert item.keepalived is KeepalivedClass.GENERAL_ERROR


def test_all_weights_zero_is_reported_and_the_quorum_stays_out_of_reach() -> None:
    found, result = service(rs="weight 0")
    assert found.quorum == 1
    assert "cannot be reached" in find(result, "quorum-lowered").message


@pytest.mark.parametrize("address", ["10.2.0.1/24", "10.2.0.1-9"])
def test_what_looks_like_a_range_is_cut_off(address: str) -> None:
    found, result = real_server(rs_head=f"{address} 80")
    assert str(found.address) == "10.2.0.1"
    assert exit_status(result) == 0


def test_two_servers_that_only_differ_in_a_written_port_are_one() -> None:
    text = service_text().replace("}\n}", "}\nreal_server 10.2.0.1 {\n}\n}")
    result = load(text)
    assert len(result.config.virtual_servers[0].real_servers) == 1
    assert find(result, "duplicate-real-server").keepalived is KeepalivedClass.OK
    assert find(load(text.replace("10.2.0.1 {", "10.2.0.1 80 {")), "duplicate-real-server").keepalived


def test_a_service_without_servers_has_no_other_complaint() -> None:
    result = load("virtual_server 10.0.0.1 80 {\n}\n")
    assert codes(result) == ["no-real-server"]
    assert where(find(result, "no-real-server")) == (2, 1)


# --- SSL -----------------------------------------------------------------------------------------------


def test_ssl() -> None:
    result = load("SSL {\npassword secret-word\nca /ca\ncertificate /c\nkey /k\n}\n")
    assert result.config.ssl == SslContext(password="secret-word", ca="/ca", certificate="/c", key="/k")
    assert "secret-word" not in repr(result.config)
    assert load("SSL {\n}\n").config.ssl is None


def test_the_last_ssl_block_and_line_count() -> None:
    result = load("SSL {\nca /a\n}\nSSL {\nkey /b\nkey /c\npassword\npassword aaaa\npassword bbbb\n}\n")
    assert result.config.ssl == SslContext(key="/c", password="bbbb")
    assert sorted(where(one)[0] for one in result.diagnostics if one.keepalived) == [4, 6, 7, 9]
    assert "aaaa" not in result.text()
    assert "bbbb" not in result.text()


def test_a_prefix_length_that_is_none_makes_nothing_persistent() -> None:
    found, result = service("persistence_granularity 129", head="2001:db8::1 80", rs_head="2001:db8::2 80")
    assert (found.persistence_timeout_s, found.persistence_prefix) == (None, None)
    assert find(result, "invalid-value").keepalived is KeepalivedClass.GENERAL_ERROR


def test_ha_suspend_follows_no_mark() -> None:
    found, result = service("ha_suspend", head="fwmark 5")
    assert not found.ha_suspend
    assert "ha-suspend-with-fwmark" in codes(result)


@pytest.mark.parametrize(
    ("lines", "status"),
    [("sorry_server_lvs_method", 5), ("sorry_server 10.3.0.1\nsorry_server_lvs_method", 2)],
)
def test_a_missing_method_stops_keepalived_only_where_it_reads_on(lines: str, status: int) -> None:
    assert exit_status(load(service_text(lines))) == status
