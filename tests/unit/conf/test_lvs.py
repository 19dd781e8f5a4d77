"""virtual_server, real_server, checks: every field, defaults, ranges, inheritance, completion."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_conf.grammar.virtual_server import SCHEDULERS
from keepalived_conf.loading import exit_status
from tests.unit.conf.support import check, codes, find, load, real_server, service, service_text, where

HTTP = "HTTP_GET"
TCP = "TCP_CHECK"


def test_service_defaults() -> None:
    found, result = service()
    expected: dict[str, Any] = {
        "address": ip_address("10.1.0.1"),
        "port": 80,
        "fwmark": None,
        "family": 4,
        "protocol": "TCP",
        "scheduler": "rr",
        "scheduler_flags": 0,
        "ops": False,
        "lvs_method": "NAT",
        "persistence_timeout_s": None,
        "persistence_prefix": None,
        "quorum": 1,
        "hysteresis": 0,
        "alpha": False,
        "omega": False,
        "sorry_server": None,
        "sorry_server_inhibit": False,
        "key": "[10.1.0.1]:tcp:80",
    }
    assert {name: getattr(found, name) for name in expected} == expected
    assert not codes(result)


def test_real_server_defaults() -> None:
    found, _ = real_server()
    expected: dict[str, Any] = {
        "address": ip_address("10.2.0.1"),
        "port": 80,
        "weight": 1,
        "lvs_method": "NAT",
        "inhibit_on_failure": False,
        "uthreshold": 0,
        "lthreshold": 0,
        "alpha": False,
        "checks": (),
        "key": "[10.2.0.1]:80",
    }
    assert {name: getattr(found, name) for name in expected} == expected


def test_check_defaults() -> None:
    expected: dict[str, Any] = {
        "kind": TCP,
        "virtual_server": "[10.1.0.1]:tcp:80",
        "real_server": "[10.2.0.1]:80",
        "connect_ip": ip_address("10.2.0.1"),
        "connect_port": 80,
        "bindto": None,
        "bind_port": 0,
        "bind_if": None,
        "fwmark": 0,
        "connect_timeout_s": 5.0,
        "delay_loop_s": 60.0,
        "retry": 1,
        "delay_before_retry_s": 1.0,
        "warmup_s": 60.0,
        "alpha": False,
        "log_all_failures": False,
        "urls": (),
    }
    found, _ = check()
    assert {name: getattr(found, name) for name in expected} == expected
    http, _ = check(kind=HTTP)
    assert (http.retry, http.delay_before_retry_s, http.http_protocol, http.fast_recovery) == (
        1,
        3.0,
        "1.0",
        False,
    )
    url = http.urls[0]
    assert (url.path, url.status_ranges, url.digest, url.virtualhost, url.regex, url.regex_no_match) == (
        "/",
        ((200, 299),),
        None,
        None,
        None,
        False,
    )


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("protocol UDP\nops", "ops", True),
        ("flag-1\nflag-3", "scheduler_flags", 0x28),
        ("flag-2", "scheduler_flags", 0x10),
        ("lb_algo sh\nsh-port\nsh-fallback", "scheduler_flags", 0x18),
        ("lvs_sched mh\nmh-port", "scheduler_flags", 0x10),
        ("lb_kind DR", "lvs_method", "DR"),
        ("lvs_method TUN type ipip", "lvs_method", "TUN"),
        ("persistence_timeout", "persistence_timeout_s", 360),
        ("persistence_timeout 60", "persistence_timeout_s", 60),
        ("persistence_granularity 255.255.255.0", "persistence_prefix", 24),
        ("persistence_granularity 255.255.255.255", "persistence_timeout_s", 360),
        ("protocol udp", "protocol", "UDP"),
        ("protocol SCTP", "protocol", "SCTP"),
        ("alpha", "alpha", True),
        ("omega", "omega", True),
        ("weight 10\nquorum 3", "quorum", 3),
        ("weight 10\nquorum 3\nhysteresis 2", "hysteresis", 2),
    ],
)
def test_service_values(line: str, field: str, value: object) -> None:
    found, result = service(line)
    assert getattr(found, field) == value
    assert codes(result) == []


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler(name: str) -> None:
    assert service(f"lvs_sched {name}")[0].scheduler == name


def test_what_is_missing_is_taken_with_an_error() -> None:
    result = load("virtual_server 10.1.0.1 80 {\nreal_server 10.2.0.1 80 {\n}\n}\n")
    found = result.config.virtual_servers[0]
    assert (found.scheduler, found.lvs_method, found.protocol) == ("wlc", "NAT", "UDP")
    assert sorted(codes(result)) == ["no-lvs-method", "no-protocol", "no-scheduler"]
    assert exit_status(result) == 5
    assert not result.fatal


@pytest.mark.parametrize(
    ("line", "field", "value", "told"),
    [
        ("lvs_sched best", "scheduler", "rr", ["invalid-value"]),
        ("protocol icmp", "protocol", "TCP", ["invalid-value"]),
        ("persistence_timeout 0", "persistence_timeout_s", None, ["invalid-number"]),
        ("persistence_granularity 255.0.255.0", "persistence_prefix", None, ["invalid-value"]),
        ("persistence_granularity 24", "persistence_timeout_s", 360, ["invalid-value"]),
        ("sh-port", "scheduler_flags", 0, ["flag-of-other-scheduler"]),
        ("quorum 9", "quorum", 1, ["quorum-lowered"]),
        ("hysteresis 1", "hysteresis", 0, ["hysteresis-lowered"]),
        ("weight 5\nquorum 2\nhysteresis 2", "hysteresis", 1, ["hysteresis-lowered"]),
        ("quorum 0", "quorum", 1, ["invalid-number"]),
        ("weight 0", "quorum", 1, ["invalid-number"]),
        ("hashed", "hashed", True, ["flag-of-other-scheduler"]),
        ("sorry_server_inhibit", "sorry_server", None, ["no-sorry-server"]),
    ],
)
def test_service_corrections(line: str, field: str, value: object, told: list[str]) -> None:
    found, result = service(line)
    assert getattr(found, field) == value
    assert codes(result) == told


@pytest.mark.parametrize(
    ("keyword", "field", "low", "high"),
    [("quorum", "quorum", 1, 4294967295), ("persistence_timeout", "persistence_timeout_s", 1, 2678400)],
)
def test_service_ranges(keyword: str, field: str, low: int, high: int) -> None:
    many = "weight 2147483647\nreal_server 10.2.0.7 80 {\n}\nreal_server 10.2.0.8 80 {\n}"
    for good in (low, high):
        found, result = service(f"{many}\n{keyword} {good}")
        assert getattr(found, field) == good
        assert codes(result) == []
    for bad in (low - 1, high + 1):
        assert codes(service(f"{many}\n{keyword} {bad}")[1]) == ["invalid-number"]


@pytest.mark.parametrize("word", ["dr", "FNAT", "nat"])
def test_unknown_method_is_ignored(word: str) -> None:
    found, result = service(f"lvs_method {word}", method="DR")
    assert found.lvs_method in ("NAT", "DR")
    assert "invalid-value" in codes(result)


# --- fwmark, families, ports ------------------------------------------------------------------


def test_fwmark_service() -> None:
    found, result = service(head="fwmark 7", method="DR")
    assert (found.key, found.protocol, found.family, found.address, found.port) == ("FWM 7", None, 4, None, 0)
    assert found.real_servers[0].port == 0
    assert codes(result) == ["port-mismatch"]
    six, _ = service(head="fwmark 7", rs_head="fe80::7 80")
    assert (six.key, six.family, six.real_servers[0].port) == ("FWM 7 inet6", 6, 80)
    assert service("ip_family inet6", head="fwmark 7", rs_head="fe80::7")[0].family == 6
    assert codes(service("protocol TCP", head="fwmark 7")[1]) == ["protocol-ignored"]


@pytest.mark.parametrize(
    "head", ["fwmark x", "fwmark 4294967296", "10.0.0.300 80", "10.0.0.1 x", "10.0.0.1 65536"]
)
def test_bad_heads_drop_the_block(head: str) -> None:
    result = load(service_text(head=head))
    assert result.config.virtual_servers == ()
    assert codes(result)[0] in ("invalid-number", "invalid-address")
    assert not result.fatal


@pytest.mark.parametrize("head", ["", "fwmark"])
def test_bare_heads_are_fatal(head: str) -> None:
    result = load(service_text(head=head))
    assert result.fatal
    assert exit_status(result) == 2


def test_group_services_are_said_to_be_without_effect() -> None:
    result = load(service_text(head="group G"))
    assert result.config.virtual_servers == ()
    assert find(result, "no-effect-yet").severity == "warning"


def test_ipv6_service() -> None:
    found, result = service(head="2001:db8::1 443", rs_head="2001:db8::2 443", method="DR")
    assert (found.family, found.key) == (6, "[2001:db8::1]:tcp:443")
    assert codes(result) == []
    assert (
        service("persistence_granularity 64", head="2001:db8::1 443", rs_head="2001:db8::2 443")[
            0
        ].persistence_prefix
        == 64
    )


def test_ports_default_to_the_service_and_are_forced_unless_nat() -> None:
    assert service(rs_head="10.2.0.1")[0].real_servers[0].port == 80
    assert service(rs_head="10.2.0.1 8080")[0].real_servers[0].port == 8080
    found, result = service(rs_head="10.2.0.1 8080", method="DR", rs="TCP_CHECK {\n}")
    assert found.real_servers[0].port == 80
    assert found.real_servers[0].checks[0].connect_port == 8080
    assert codes(result) == ["port-mismatch"]
    assert where(find(result, "port-mismatch")) == (6, 22)


def test_port_zero_forces_persistence() -> None:
    found, result = service(head="10.1.0.1 0")
    assert found.persistence_timeout_s == 360
    assert codes(result) == ["port-zero"]
    assert codes(service("persistence_timeout 9", head="10.1.0.1")[1]) == []


def test_families_must_match_unless_tunnelling() -> None:
    result = load(service_text(rs_head="fe80::1 80"))
    assert result.config.virtual_servers == ()
    assert codes(result) == ["mixed-families", "no-real-server"]
    assert len(service(rs_head="2001:db8::1 80", method="TUN")[0].real_servers) == 1


def test_services_without_servers_and_duplicates_are_dropped() -> None:
    assert codes(load("virtual_server 10.1.0.1 80 {\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n}\n")) == [
        "no-real-server"
    ]
    result = load(service_text() + service_text())
    assert len(result.config.virtual_servers) == 1
    assert codes(result) == ["duplicate-virtual-server"]
    found, result = service("real_server 10.2.0.1 80 {\nweight 5\n}")
    assert [one.weight for one in found.real_servers] == [5]
    assert codes(result) == ["duplicate-real-server"]


def test_quorum_stays_out_of_reach_when_no_server_has_weight() -> None:
    found, result = service("quorum 5", rs="weight 0")
    assert (found.quorum, found.hysteresis) == (1, 0)
    assert codes(result) == ["quorum-lowered"]
    assert service("quorum 1", rs="weight 0")[0].quorum == 1


# --- sorry server -----------------------------------------------------------------------------


def test_sorry_server() -> None:
    found, result = service("sorry_server 10.3.0.1 81\nsorry_server_inhibit\nsorry_server_lvs_method NAT")
    assert found.sorry_server is not None
    assert (found.sorry_server.key, found.sorry_server.inhibit_on_failure, found.sorry_server_inhibit) == (
        "[10.3.0.1]:81",
        True,
        True,
    )
    assert codes(result) == []
    dr, result = service("sorry_server 10.3.0.1 81", method="DR")
    assert dr.sorry_server is not None
    assert (dr.sorry_server.port, dr.sorry_server.lvs_method) == (80, "DR")
    assert codes(result) == ["port-mismatch"]


def test_sorry_server_equal_to_a_real_server_adopts_its_inhibit() -> None:
    found, _ = service("sorry_server 10.2.0.1 80", rs="inhibit_on_failure")
    assert found.sorry_server is not None
    assert found.sorry_server.inhibit_on_failure


# --- real servers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "rs", "field", "value"),
    [
        ("", "weight 0", "weight", 0),
        ("", "weight 2147483647", "weight", 2147483647),
        ("weight 7", "", "weight", 7),
        ("weight 7", "weight 3", "weight", 3),
        ("", "lvs_method DR", "lvs_method", "DR"),
        ("lvs_method DR", "", "lvs_method", "DR"),
        ("", "uthreshold 10", "uthreshold", 10),
        ("", "lthreshold 4294967295", "lthreshold", 4294967295),
        ("", "inhibit_on_failure", "inhibit_on_failure", True),
        ("inhibit_on_failure", "", "inhibit_on_failure", True),
        ("inhibit_on_failure", "inhibit_on_failure no", "inhibit_on_failure", False),
        ("alpha", "", "alpha", True),
        ("alpha", "alpha false", "alpha", False),
        ("", "alpha", "alpha", True),
    ],
)
def test_real_server_values(lines: str, rs: str, field: str, value: object) -> None:
    assert getattr(service(lines, rs=rs)[0].real_servers[0], field) == value


@pytest.mark.parametrize(
    "line",
    [
        "weight -1",
        "weight 2147483648",
        "uthreshold -1",
        "uthreshold 4294967296",
        "lthreshold x",
        "retry 0",
        "delay_loop 0",
        "connect_timeout 0",
        "connect_timeout 4294.967296",
    ],
)
def test_real_server_ranges(line: str) -> None:
    assert codes(real_server(line)[1]) == ["invalid-number"]


def test_defaults_of_the_service_count_also_below_the_servers() -> None:
    text = (
        "virtual_server 10.1.0.1 80 {\nprotocol TCP\nlvs_sched rr\n"
        "real_server 10.2.0.1 80 {\nTCP_CHECK {\n}\n}\n"
        "lvs_method DR\nweight 9\ndelay_loop 7\n}\n"
    )
    server = load(text).config.virtual_servers[0].real_servers[0]
    assert (server.lvs_method, server.weight, server.checks[0].delay_loop_s) == ("DR", 9, 7.0)


# --- checks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TCP, HTTP])
@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("connect_ip 10.9.0.1", "connect_ip", ip_address("10.9.0.1")),
        ("connect_port 81", "connect_port", 81),
        ("bindto 10.9.0.2", "bindto", ip_address("10.9.0.2")),
        ("bind_port 1234", "bind_port", 1234),
        ("bind_if eth3", "bind_if", "eth3"),
        ("connect_timeout 0.5", "connect_timeout_s", 0.5),
        ("fwmark 4294967295", "fwmark", 4294967295),
        ("retry 0", "retry", 0),
        ("delay_before_retry 2.25", "delay_before_retry_s", 2.25),
        ("warmup 0", "warmup_s", 0.0),
        ("delay_loop 0.000001", "delay_loop_s", 0.000001),
        ("delay_loop 3", "warmup_s", 3.0),
        ("alpha", "alpha", True),
        ("log_all_failures", "log_all_failures", True),
    ],
)
def test_check_values(kind: str, line: str, field: str, value: object) -> None:
    found, result = check(line, kind=kind)
    assert getattr(found, field) == value
    assert codes(result) == []


@pytest.mark.parametrize(
    "line",
    [
        "connect_port 0",
        "connect_port 65536",
        "bind_port 0",
        "fwmark -1",
        "fwmark 4294967296",
        "retry -1",
        "retry 4294967296",
        "delay_loop 0",
        "connect_timeout 4295",
        "warmup -1",
    ],
)
def test_check_ranges(line: str) -> None:
    assert codes(check(line)[1]) == ["invalid-number"]


@pytest.mark.parametrize(
    ("keyword", "field", "built_in"),
    [
        ("retry", "retry", 1),
        ("delay_before_retry", "delay_before_retry_s", 1.0),
        ("warmup", "warmup_s", 60.0),
        ("connect_timeout", "connect_timeout_s", 5.0),
        ("delay_loop", "delay_loop_s", 60.0),
    ],
)
def test_inheritance_check_real_server_virtual_server_built_in(
    keyword: str, field: str, built_in: object
) -> None:
    def value(vs: str, rs: str, own: str) -> object:
        return getattr(check(own, lines=vs, rs=rs)[0], field)

    assert value("", "", "") == built_in
    assert value(f"{keyword} 11", "", "") == 11
    assert value(f"{keyword} 11", f"{keyword} 12", "") == 12
    assert value(f"{keyword} 11", f"{keyword} 12", f"{keyword} 13") == 13
    assert value("", "", f"{keyword} 13") == 13


def test_alpha_and_log_all_failures_are_inherited() -> None:
    assert check(lines="alpha")[0].alpha
    assert not check("alpha no", lines="alpha")[0].alpha
    assert check(globals_="checker_log_all_failures")[0].log_all_failures
    assert not check("log_all_failures off", globals_="checker_log_all_failures")[0].log_all_failures


@pytest.mark.parametrize(
    ("word", "value"), [("1.0", "1.0"), ("1.0C", "1.0C"), ("1.0c", "1.0C"), ("1.1", "1.1")]
)
def test_http_protocol(word: str, value: str) -> None:
    assert check(f"http_protocol {word}", kind=HTTP)[0].http_protocol == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("digest 640205B7B0FC66C1EA91C463FAC6334D", "digest", "640205b7b0fc66c1ea91c463fac6334d"),
        ("status_code 204", "status_ranges", ((204, 204),)),
        ("status_code 200-204 301", "status_ranges", ((200, 204), (301, 301))),
        ("status_code 200\nstatus_code 404", "status_ranges", ((200, 200), (404, 404))),
        ("status_code 100-599", "status_ranges", ((100, 599),)),
        ("virtualhost a.example", "virtualhost", "a.example"),
        ('regex "a b|c"', "regex", "a b|c"),
        ('regex "say \\"x\\""', "regex", 'say "x"'),
        ('regex "x"\nregex_no_match', "regex_no_match", True),
    ],
)
def test_url_values(line: str, field: str, value: object) -> None:
    found, result = check(f"url {{\npath /\n{line}\n}}", kind=HTTP)
    assert getattr(found.urls[0], field) == value
    assert codes(result) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("digest 12", "invalid-value"),
        ("status_code 99", "invalid-number"),
        ("status_code 600", "invalid-number"),
        ("status_code 300-200", "invalid-number"),
        ("status_code 200x", "invalid-number"),
        ("regex 'x", "invalid-value"),
    ],
)
def test_bad_url_values_are_ignored(line: str, told: str) -> None:
    found, result = check(f"url {{\npath /\n{line}\n}}", kind=HTTP)
    assert (found.urls[0].digest, found.urls[0].status_ranges, found.urls[0].regex) == (
        None,
        ((200, 299),),
        None,
    )
    assert codes(result) == [told]


def test_request_splitting_is_refused() -> None:
    result = load(service_text(rs='HTTP_GET {\nurl {\npath "/ HTTP/1.1\tX: y"\n}\n}'))
    assert codes(result) == ["invalid-value", "no-url"]


def test_host_header_inheritance() -> None:
    def host(vs: str, rs: str, own: str, url: str) -> str | None:
        return check(f"{own}\nurl {{\npath /\n{url}\n}}", kind=HTTP, lines=vs, rs=rs)[0].urls[0].virtualhost

    assert host("", "", "", "") is None
    assert host("virtualhost v", "", "", "") == "v"
    assert host("virtualhost v", "virtualhost r", "", "") == "r"
    assert host("virtualhost v", "virtualhost r", "virtualhost c", "") == "c"
    assert host("virtualhost v", "virtualhost r", "virtualhost c", "virtualhost u") == "u"


def test_nb_get_retry_is_the_old_name_of_retry() -> None:
    found, result = check("nb_get_retry 4", kind=HTTP)
    assert found.retry == 4
    assert codes(result) == ["deprecated"]
    assert exit_status(result) == 5


def test_http_get_without_url_or_path_is_dropped() -> None:
    assert codes(load(service_text(rs="HTTP_GET {\n}"))) == ["no-url"]
    assert codes(load(service_text(rs="HTTP_GET {\nurl {\n}\n}"))) == ["no-path", "no-url"]


def test_a_check_without_a_port_is_reported() -> None:
    assert codes(service(head="fwmark 3", rs_head="10.2.0.1", rs="TCP_CHECK {\n}")[1]) == ["no-port"]
    assert codes(service(head="fwmark 3", rs_head="10.2.0.1", rs="TCP_CHECK {\nconnect_port 80\n}")[1]) == []


def test_link_local_needs_bind_if_and_bindto_the_same_family() -> None:
    head = {"head": "2001:db8::1 80", "rs_head": "fe80::2 80"}
    server, result = real_server("TCP_CHECK {\n}", **head)
    assert (server.checks, codes(result)) == ((), ["no-bind-if"])
    assert codes(check("bind_if eth0", **head)[1]) == []
    found, result = check("bindto fe80::9")
    assert found.bindto is None
    assert codes(result) == ["mixed-families"]


def test_checks_of_other_kinds_are_known_and_their_absence_explained() -> None:
    result = load(service_text(rs="SMTP_CHECK {\nhelo_name x\n}"))
    item = find(result, "no-effect-yet")
    assert item.severity == "warning"
    assert "never fails" in item.hint


def test_check_id_is_stable_and_distinct() -> None:
    base = check("retry 2")[0].check_id
    assert check("\n# moved\nretry    2")[0].check_id == base
    assert check("retry 3")[0].check_id != base
    assert check("retry 2", rs_head="10.2.0.2 80")[0].check_id != base
    assert check("retry 2", head="10.1.0.2 80")[0].check_id != base
    assert check("retry 2", lines="quorum 1", rs="weight 5")[0].check_id == base
    twice, result = real_server("TCP_CHECK {\nretry 2\n}\nTCP_CHECK {\nretry 2\n}\nTCP_CHECK {\nretry 3\n}")
    assert [one.retry for one in twice.checks] == [2, 3]
    assert codes(result) == ["duplicate-check"]


def test_places_name_the_lines() -> None:
    found, _ = check("retry 2")
    assert str(found.places["retry"]).startswith("t.conf:")
    assert found.places[""].line + 1 == found.places["retry"].line
