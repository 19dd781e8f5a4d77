"""Every kind of check, the judgement of keepalived on whole files, and the forms of their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar import check_forms, lvs_forms
from keepalived_conf.grammar.forms import Args, Form
from keepalived_conf.grammar.schema import Effect, rows_of
from keepalived_conf.grammar.virtual_server import VIRTUAL_SERVER
from keepalived_conf.loading import LoadResult, exit_status, slices
from keepalived_conf.model import Forwarding, OtherCheck, ReplyPattern, Script, Tunnel, Weight
from keepalived_conf.syntax.words import Word
from tests.unit.conf.support import check, codes, find, load, real_server, service, service_text, where

DATA = Path(__file__).parent / "data" / "lvs"
FILES = sorted(DATA.glob("*.conf"))

ABOUT_THE_WHOLE = frozenset(
    (
        "no-protocol",
        "no-scheduler",
        "no-lvs-method",
        "quorum-lowered",
        "hysteresis-lowered",
        "port-mismatch",
        "port-zero",
        "duplicate-real-server",
        "protocol-ignored",
        "ops-without-udp",
        "ha-suspend-with-fwmark",
        "sorry-server-inhibit",
        "no-script-security",
    )
)
"""keepalived finds these when all has been read and names no line."""


# --- whole files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_complaints_stand_where_keepalived_has_them(path: Path) -> None:
    """The last lines of each file say what keepalived 2.4.3 found: status of its test, lines it named."""
    text = path.read_text()
    facts = {line.split()[1]: line.split()[2:] for line in text.splitlines() if line.startswith("# ")}
    result = load(text, config_id="oracle")
    complained = {
        item.place.line
        for item in result.diagnostics
        if item.place is not None and item.keepalived and item.code not in ABOUT_THE_WHOLE
    }
    assert sorted(complained) == [int(line) for line in facts["lines"]]
    assert exit_status(result) == int(facts["exit"][0])


def test_the_files_are_there() -> None:
    assert len(FILES) == 9


# --- the kinds that no worker runs yet --------------------------------------------------------------------

_NETWORK: dict[str, Any] = {
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
}
_TIMED = {name: _NETWORK[name] for name in list(_NETWORK)[7:]}
URL = "url {\npath /\n}"
TRACKERS = (
    "bfd_instance B {\nneighbor_ip 10.9.9.9\n}\nbfd_instance V {\nneighbor_ip 10.9.9.8\nvrrp\n}\n"
    "track_file F {\nfile /tmp/f\nweight 7\n}\n"
)
SCRIPT = Script(command=("/bin/x", "a b"))


def others(kind: str, body: str, **more: str) -> tuple[list[OtherCheck], LoadResult]:
    result = load(TRACKERS + service_text(rs=f"{kind} {{\n{body}\n}}", **more))
    assert not result.fatal, result.text()
    (server,) = result.config.virtual_servers[0].real_servers
    assert server.checks == ()
    return list(server.other_checks or ()), result


def other(kind: str, body: str, **more: str) -> Any:
    found, result = others(kind, body, **more)
    assert len(found) == 1, result.text()
    assert found[0].kind == kind
    return found[0]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("PING_CHECK", "", _NETWORK),
        (
            "UDP_CHECK",
            "",
            {
                **_NETWORK,
                "payload": None,
                "require_reply": None,
                "min_reply_length_bytes": 0,
                "max_reply_length_bytes": 255,
            },
        ),
        (
            "SSL_GET",
            URL,
            {
                **_NETWORK,
                "delay_before_retry_s": 3.0,
                "http_protocol": "1.0",
                "enable_sni": False,
                "sni_name": None,
                "fast_recovery": False,
                "tls_compliant": False,
            },
        ),
        (
            "DNS_CHECK",
            "delay_loop 9",
            {
                **_NETWORK,
                "retry": 3,
                "delay_loop_s": 9.0,
                "delay_before_retry_s": 9.0,
                "warmup_s": 9.0,
                "type": "SOA",
                "name": ".",
            },
        ),
        ("SMTP_CHECK", "", {**_NETWORK, "helo_name": "smtpchecker.keepalived.org"}),
        (
            "MISC_CHECK",
            "misc_path \"/bin/x 'a b'\"",
            {
                **_TIMED,
                "retry": 0,
                "misc_path": SCRIPT,
                "misc_timeout_s": 0,
                "misc_dynamic": False,
                "user": None,
            },
        ),
        ("BFD_CHECK", "name B", {"name": "B", "alpha": False}),
        ("FILE_CHECK", "track_file F", {"track_file": "F", "weight": Weight(value=7)}),
    ],
)
def test_defaults(kind: str, body: str, expected: dict[str, Any]) -> None:
    found = other(kind, body)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("kind", "line", "field", "value"),
    [
        ("UDP_CHECK", "payload 0a1B 2", "payload", b"\x0a\x1b\x02"),
        ("UDP_CHECK", "require_reply", "require_reply", ReplyPattern()),
        (
            "UDP_CHECK",
            "require_reply 0a xF x",
            "require_reply",
            ReplyPattern(data=b"\x0a\x0f\x00", mask=b"\x00\xf0\x0f"),
        ),
        ("UDP_CHECK", "max_reply_length 65535", "max_reply_length_bytes", 65535),
        ("SSL_GET", "sni_name a.example", "sni_name", "a.example"),
        ("SSL_GET", "sni_name a.example", "enable_sni", True),
        ("SSL_GET", "sni_name", "enable_sni", True),
        ("SSL_GET", "sni_name", "sni_name", None),
        ("SSL_GET", "sni_name a\nenable_sni off", "enable_sni", False),
        ("SSL_GET", "enable_sni off\nsni_name a", "enable_sni", True),
        ("SSL_GET", "http_protocol 1.0c", "http_protocol", "1.0C"),
        ("SSL_GET", "tls_compliant", "tls_compliant", True),
        ("DNS_CHECK", "type aaaa", "type", "AAAA"),
        ("DNS_CHECK", "name ab.example", "name", "ab.example"),
        ("SMTP_CHECK", "helo_name me", "helo_name", "me"),
        ("MISC_CHECK", "misc_timeout 4294", "misc_timeout_s", 4294),
        ("MISC_CHECK", "misc_dynamic", "misc_dynamic", True),
        ("BFD_CHECK", "alpha", "alpha", True),
        ("FILE_CHECK", "weight -3 reverse", "weight", Weight(value=-3, reverse=True)),
        ("PING_CHECK", "bindto 10.2.0.9", "bindto", ip_address("10.2.0.9")),
        ("PING_CHECK", "retry 9", "retry", 9),
    ],
)
def test_values(kind: str, line: str, field: str, value: object) -> None:
    needed = {
        "SSL_GET": URL,
        "MISC_CHECK": "misc_path /bin/x",
        "BFD_CHECK": "name B",
        "FILE_CHECK": "track_file F",
    }.get(kind, "")
    assert getattr(other(kind, f"{needed}\n{line}"), field) == value


def test_they_inherit_like_the_others() -> None:
    found = other("PING_CHECK", "", lines="retry 4\ndelay_loop 8\nalpha", rs_head="10.2.0.7 81")
    assert (found.retry, found.delay_loop_s, found.warmup_s, found.alpha) == (4, 8.0, 8.0, True)
    assert (found.connect_ip, found.connect_port) == (ip_address("10.2.0.7"), 81)
    assert other("BFD_CHECK", "name B", lines="alpha").alpha


def test_the_host_header_reaches_the_urls_of_ssl_get() -> None:
    (url,) = other("SSL_GET", "virtualhost c\n" + URL, lines="virtualhost v").urls
    assert url.virtualhost == "c"
    (url,) = other("SSL_GET", "url {\npath /\ntls_compliant\n}", lines="virtualhost v").urls
    assert (url.virtualhost, url.tls_compliant) == ("v", True)


@pytest.mark.parametrize(
    ("kind", "body", "told", "line"),
    [
        ("MISC_CHECK", "retry 1", "no-script", "}"),
        ("SSL_GET", "retry 1", "no-url", "}"),
        ("BFD_CHECK", "alpha", "no-name", "}"),
        ("BFD_CHECK", "name X", "unknown-bfd", "name X"),
        ("BFD_CHECK", "name V", "unknown-bfd", "name V"),
        ("FILE_CHECK", "track_file X", "unknown-track-file", "track_file X"),
        ("FILE_CHECK", "track_file X", "no-track-file", "}"),
    ],
)
def test_without_what_it_needs_a_check_is_ignored(kind: str, body: str, told: str, line: str) -> None:
    found, result = others(kind, body)
    assert found == []
    item = find(result, told)
    assert result.sources["t.conf"][where(item)[0] - 1] == line
    assert item.keepalived is KeepalivedClass.GENERAL_ERROR


def test_what_a_check_follows_stands_above_it() -> None:
    result = load(service_text(rs="BFD_CHECK {\nname B\n}\nFILE_CHECK {\ntrack_file F\n}") + TRACKERS)
    assert result.config.virtual_servers[0].real_servers[0].other_checks is None
    for code in ("unknown-bfd", "unknown-track-file"):
        assert "defined below" in find(result, code).message


@pytest.mark.parametrize(("kind", "line"), [("MISC_CHECK", "misc_path"), ("FILE_CHECK", "weight")])
def test_arguments_whose_absence_stops_nothing(kind: str, line: str) -> None:
    _, result = others(kind, line)
    assert exit_status(result) == 5


def test_a_name_that_keepalived_refuses_is_used_and_said() -> None:
    found, result = others("DNS_CHECK", "name a.example")
    assert [getattr(one, "name", "") for one in found] == ["a.example"]
    assert find(result, "short-label").keepalived is KeepalivedClass.GENERAL_ERROR


def test_a_session_is_followed_once() -> None:
    result = load(TRACKERS + service_text(rs="BFD_CHECK {\nname B\n}\nBFD_CHECK {\nname B\n}"))
    (server,) = result.config.virtual_servers[0].real_servers
    assert len(list(server.other_checks or ())) == 1
    assert "already" in find(result, "unknown-bfd").message


def test_a_udp_check_that_always_fails_is_kept_and_said() -> None:
    found, result = others("UDP_CHECK", "min_reply_length 300")
    assert len(found) == 1
    assert "longest (255)" in find(result, "always-fails").message


def test_host_blocks_of_smtp_check_are_checks_of_their_own() -> None:
    body = "helo_name h\nretry 5\nhost {\nconnect_ip 10.3.0.1\n}\nhost {\nconnect_port 26\nretry 6\n}"
    found, result = others("SMTP_CHECK", body)
    shape = [(str(c.connect_ip), c.connect_port, c.retry, c.helo_name) for c in found]  # type: ignore[union-attr]
    assert shape == [("10.3.0.1", 80, 5, "h"), ("10.2.0.1", 26, 6, "h")]
    assert find(result, "deprecated").keepalived is KeepalivedClass.OK
    with_own, _ = others("SMTP_CHECK", "connect_port 25\nhost {\n}")
    assert [c.connect_port for c in with_own] == [25, 80]  # type: ignore[union-attr]


def test_what_no_worker_runs_is_not_sent_to_one() -> None:
    result = load(service_text(rs="PING_CHECK {\nretry 3\n}"))
    assert set(slices(result.config)) == {"ipvs"}
    item = find(result, "no-effect-yet")
    assert item.severity == "warning"
    assert "never fails" in item.hint


def test_one_word_about_a_block_without_effect_is_enough() -> None:
    body = "retry 3\nalpha\nconnect_port 9\nurl {\npath /\nregex_options caseless\n}"
    _, result = others("SSL_GET", body)
    said = [item.message for item in result.diagnostics if item.code.startswith("no-effect")]
    assert [message.split()[0] for message in said if "bfd" not in message and "file" not in message] == [
        "SSL_GET"
    ]
    assert {use.effect for use in result.used if "SSL_GET" in use.path} == {Effect.PARSED}


# --- what the checker runs --------------------------------------------------------------------------------


def test_check_ids_do_not_change() -> None:
    """A change gives every check of every user a new identity: its state is forgotten at the next reload."""
    assert check("retry 2")[0].check_id == "006899cc975b483e"
    body = 'url {\npath /x\nstatus_code 200 301\nregex "a b"\n}\nbindto 10.9.9.9'
    assert check(body, kind="HTTP_GET")[0].check_id == "59cfb773da7ef840"


@pytest.mark.parametrize("line", ["regex_options caseless", "regex_min_offset 1", "regex_max_offset 9"])
def test_what_is_new_in_a_url_is_part_of_the_identity(line: str) -> None:
    def identity(more: str) -> str:
        return check(f'url {{\npath /\nregex "a"\n{more}\n}}', kind="HTTP_GET")[0].check_id

    assert identity(line) != identity("")


def test_only_two_kinds_are_in_effect() -> None:
    active = {
        path.split(".")[2]
        for path, row in rows_of(VIRTUAL_SERVER)
        if row.effect is Effect.ACTIVE and path.count(".") >= 2
    }
    assert active == {"TCP_CHECK", "HTTP_GET"}


def test_sni_is_for_tls() -> None:
    found, result = check(f"enable_sni\n{URL}", kind="HTTP_GET")
    assert found.kind == "HTTP_GET"
    assert "SSL_GET" in find(result, "no-effect").hint


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("regex_options dotall caseless\nregex_options caseless", "regex_options", ("caseless", "dotall")),
        ("regex_min_offset 3", "regex_min_offset_bytes", 3),
        ("regex_max_offset 4", "regex_max_offset_bytes", 4),
        ("regex_min_offset 5\nregex_max_offset 4", "regex_min_offset_bytes", 0),
    ],
)
def test_regex_settings(line: str, field: str, value: object) -> None:
    found, result = check(f'url {{\npath /\nregex "a"\n{line}\n}}', kind="HTTP_GET")
    assert getattr(found.urls[0], field) == value
    assert exit_status(result) == 0


@pytest.mark.parametrize("line", ["regex_no_match", "regex_options caseless", "regex_min_offset 3"])
def test_settings_of_no_regex_are_dropped(line: str) -> None:
    found, result = check(f"url {{\npath /\n{line}\n}}", kind="HTTP_GET")
    url = found.urls[0]
    assert (url.regex_no_match, url.regex_options, url.regex_min_offset_bytes) == (False, (), 0)
    assert exit_status(result) == 0
    assert "no-regex" in codes(result)


def test_of_two_addresses_that_do_not_go_together_the_later_is_dropped() -> None:
    found, result = check("bindto 10.2.0.9\nconnect_ip 2001:db8::1")
    assert (str(found.connect_ip), str(found.bindto)) == ("10.2.0.1", "10.2.0.9")
    assert find(result, "mixed-families").place == found.places["connect_ip"]
    found, result = check("connect_ip 2001:db8::1\nbindto 10.2.0.9")
    assert (str(found.connect_ip), found.bindto) == ("2001:db8::1", None)


def test_the_old_name_of_retry_is_reported_each_time() -> None:
    one = f"HTTP_GET {{\nnb_get_retry 4\n{URL}\n}}\n"
    _, result = service(rs=one + one.replace("4", "5"))
    assert codes(result) == ["deprecated", "deprecated"]


# --- forms ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    form: Form
    value: Any
    words: list[str]


FORMS = [
    Case(check_forms.REGEX, "a\\.b \"c' ${X}\t", ["a\\\\.b \\x22c\\x27 \\x24{X}\\x09"]),
    Case(check_forms.STATUS_CODES, ((100, 100), (200, 299)), ["100", "200-299"]),
    Case(check_forms.PAYLOAD, b"\x00\xff", ["00ff"]),
    Case(check_forms.REPLY, ReplyPattern(), []),
    Case(check_forms.REPLY, ReplyPattern(data=b"\x10\x00", mask=b"\x0f\xff"), ["1xxx"]),
    Case(check_forms.REGEX_OPTION_LIST, ("caseless", "utf"), ["caseless", "utf"]),
    Case(lvs_forms.FORWARDING, Forwarding(method="DR"), ["DR"]),
    Case(
        lvs_forms.FORWARDING,
        Forwarding(method="TUN", tunnel=Tunnel(type="gue", port=80, checksum="remcsum")),
        ["TUN", "type", "gue", "port", "80", "remcsum"],
    ),
]


@pytest.mark.parametrize("case", FORMS, ids=lambda case: " ".join(case.words) or "none")
def test_what_a_form_writes_it_reads(case: Case) -> None:
    words = case.form.write(case.value)
    assert words == case.words
    raw = " ".join(["keyword", *(f'"{word}"' for word in words)])
    args = Args(words=tuple(Word(word, 1) for word in ["keyword", *words]), first=1, raw=raw)
    assert case.form.read(args) == case.value
    assert args.remarks == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("NAT type", "no value"),
        ("NAT type x", "not one of"),
        ("NAT port 0", "0"),
        ("NAT foo", "no option"),
        ("TUN type gue", "needs a port"),
        ("TUN port 9", "needs a port"),
        ("TUN csum", "no checksum"),
        ("TUN type gre remcsum", "no remote checksum"),
    ],
)
def test_a_bad_option_of_a_tunnel_costs_the_options_only(words: str, why: str) -> None:
    found, result = real_server(f"lvs_method {words}", method="DR")
    assert (found.lvs_method, found.tunnel) == (words.split()[0], None)
    (item,) = [one for one in result.diagnostics if one.keepalived]
    assert why in item.message
    assert item.keepalived is KeepalivedClass.GENERAL_ERROR
