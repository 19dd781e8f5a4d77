"""Examples for what the tables alone cannot say: forms, heads of blocks, lines a block needs to be kept.

Names come from a small pool, so that references mostly lead somewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Text = st.SearchStrategy[str]


def one_of(*texts: str) -> Text:
    return st.sampled_from(texts)


def words(*parts: Text | str) -> Text:
    """Parts joined by blanks; an empty part leaves no trace."""
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map(
        lambda found: " ".join(part for part in found if part)
    )


def maybe(text: Text) -> Text:
    return st.one_of(st.just(""), text)


def number(low: int, high: int) -> Text:
    return st.integers(low, high).map(str)


NAME = one_of(*(f"N{n}" for n in range(1, 7)))
INSTANCE = one_of(*(f"V{n}" for n in range(1, 7)))
USER = one_of("", "root", "nobody", "root root")
SCRIPT = words(
    one_of("/bin/true", "'/bin/a b'", '"/bin/true one two"', "/bin/x\\#y", "\"/bin/q 'a b' c\\\\\\\\d\""),
    USER,
)
COMMAND = one_of("/bin/true", '"/bin/true one"', "/bin/true one two", "\"/bin/q 'a b'\"", "'/bin/x y'")
V4 = st.integers(1, 254).map(lambda n: f"10.9.0.{n}")
V6 = st.integers(1, 254).map(lambda n: f"2001:db8::{n:x}")

# --- forms, by the words they take, or by class ------------------------------------------------------


def _bounded(form: Any) -> Text:
    return number(form.low, form.high)


def _weight(form: Any) -> Text:
    return words(number(-form.limit, form.limit), one_of("", "reverse", "noreverse"))


def _tracked(form: Any) -> Text:
    limit = min(form.limit, 253)
    return words(NAME, maybe(words("weight", number(-limit, limit), one_of("", "reverse"))))


CLASSES: dict[str, Callable[[Any], Text]] = {
    "NumberForm": _bounded,
    "WordForm": lambda form: st.text("ab/c", min_size=1, max_size=min(form.max_chars or 8, 8)),
    "NameForm": lambda _form: NAME,
    "WeightForm": _weight,
    "FoldedChoice": lambda form: st.sampled_from([*form.choices, *map(str.lower, form.choices)]),
    "OffsetForm": lambda _form: number(0, 99),
    "BfdWeightForm": _weight,
    "BfdNameForm": lambda _form: NAME,
    "TrackerWeight": _weight,
    "TrackForm": _tracked,
}
INTERFACE = one_of("eth0", "eth1", "br-lan.7")


def options(*ways: Text | str, most: int = 4) -> Text:
    """Some of the ways, each once, in any order."""
    parts = [st.just(way) if isinstance(way, str) else way for way in ways]
    chosen = st.lists(st.sampled_from(range(len(parts))), max_size=most, unique=True)
    return chosen.flatmap(lambda found: words(*(parts[index] for index in found)) if found else st.just(""))


SECONDS = number(0, 9999)
FORMS: dict[str, Text] = {
    "SCRIPT [USER [GROUP]]": SCRIPT,
    "[SCRIPT [USER [GROUP]]]": maybe(SCRIPT),
    "COMMAND [ARGUMENTS], quoted as one word or as several": COMMAND,
    "PATH [USER [GROUP]]": words("/run/fifo", USER),
    "NAME...": words(NAME, maybe(NAME)),
    "USER [GROUP]": one_of("root", "root root", "nobody"),
    "USER [[:]GROUP]": one_of("root", "root daemon", "root :daemon", "root :"),
    "PATH": one_of("/run/x", '"/run/a b"'),
    "PATH_OR_NAME [PARAMETER...]": one_of("haproxy", "/usr/sbin/x -f", 'x "a b" c'),
    "[initial|partial]": one_of("", "initial", "partial"),
    "[N] [overwrite]": words(maybe(number(-9, 9)), one_of("", "overwrite")),
    "allow_if_changes, or nothing": one_of("", "allow_if_changes"),
    "[all] SECONDS": words(one_of("", "all"), number(1, 86400)),
    "[all] and a whole number of seconds from 0 to 86400": words(one_of("", "all"), number(0, 86400)),
    "MTU, ADVERT, or a size in bytes": st.one_of(one_of("MTU", "ADVERT"), number(1, 65535)),
    "[IN_CHAIN [OUT_CHAIN]]": one_of("", "in", "in out"),
    "up to six names of sets, or nothing for none": one_of("", "one", "one two", "a b c d e f"),
    "[tcp SECONDS] [tcpfin SECONDS] [udp SECONDS]": one_of("tcp 5", "tcp 0 udp 9", "tcpfin 7 tcp 1 udp 2"),
    "INTERFACE [inst INSTANCE] [id N] [maxlen BYTES] [port N] [ttl N] [group ADDRESS]": words(
        INTERFACE,
        options(
            words("inst", INSTANCE),
            words("id", number(0, 255)),
            words("maxlen", number(1, 1000)),
            words("port", number(1, 65535)),
            words("ttl", number(1, 255)),
            one_of("group 224.0.0.99", "group ff02::99"),
        ),
    ),
    "[[name] INTERFACE] [MAC] [netlink_notify_msg] [group GROUP]": words(
        one_of("", "vr.7", "name vr.8"),
        one_of("", "02:00:5e:00:01:07", "00:00:5e:00:01"),
        one_of("", "netlink_notify_msg"),
        one_of("", "group 3", "group 0"),
    ),
    "[[name] INTERFACE] [ADDRESS[/LENGTH]] [bridge|private|vepa] [group GROUP]": words(
        one_of("", "vr.7", "name vr.8"),
        one_of("", "10.9.9.9/24", "10.9.9.9"),
        one_of("", "bridge", "private", "vepa"),
        one_of("", "group 3"),
    ),
    "[never]": one_of("", "never"),
    "NUMBER and hex:HEX, file:PATH or 32 to 64 characters": words(
        number(1, 4), one_of(f"hex:{'5a' * 32}", "file:/etc/k", "x" * 33, '"' + "a #" * 12 + '"')
    ),
    "octets in hexadecimal": one_of("0a1b", "0a 1b c"),
    "octets in hexadecimal with x for a half that does not count, or nothing: any reply": one_of(
        "", "0axb", "xx 1b"
    ),
    "MD5 of the body, 32 hexadecimal digits": one_of("5A" * 16, "0b" * 16),
    "CODE or CODE-CODE, 100 to 599, one or more": one_of("200", "200-204 301", "404 200-299"),
    '"PATTERN", quoted, with escapes': one_of(
        '"^a b$"', "'x\\'y'", '"a\\"b#"', "abc", '"\\\\d+"', '"\\x24{é}"'
    ),
    "OPTION...": one_of("caseless", "utf dotall caseless"),
    "a domain name": one_of(".", "example.org", "www.example.org."),
    "the name of a bfd_instance that stands above": NAME,
    "ADDRESS [PORT]": one_of("10.7.0.1 80", "10.7.0.1", "2001:db8::7 80", "10.2.1.1 80"),
    "NAT, DR or TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum]": words(
        one_of(
            "NAT", "DR", "TUN", "TUN type ipip", "TUN type gre", "TUN type gre csum", "TUN type gue port 9"
        )
    ),
    "ADDRESS[-ADDRESS|-LASTPART|/LENGTH] [PORT], or fwmark MARK [inet|inet6]": st.one_of(
        words(st.one_of(V4, V6), maybe(number(1, 9999))),
        one_of("10.4.0.1-9 80", "10.4.1.1-10.4.1.3 80", "10.4.2.0/30 80", "fwmark 7", "fwmark 8 inet6"),
    ),
    "an IP address": st.one_of(V4, V6),
    "INTERFACE [MII|ETHTOOL|IOCTL]": words(INTERFACE, one_of("", "MII", "ETHTOOL", "IOCTL")),
    "INTERFACE DOWN_SECONDS [UP_SECONDS]": words(
        INTERFACE, one_of("0", "1.5", "255"), one_of("", "0", "2.000001")
    ),
}
"""Text behind a keyword, by the words of its form."""

ADDRESS_LINE = words(
    st.one_of(V4, V6, words(V4).map(lambda a: a + "/24"), words(V6).map(lambda a: a + "/64")),
    one_of("", "dev eth0", "dev eth1"),
    one_of("", "brd 10.9.0.255", "brd +", "scope link", "label eth0:1", "peer 10.8.0.1/24"),
    one_of("", "preferred_lft 5", "preferred_lft forever"),
)

PREFIX = st.one_of(V4.map(lambda a: a + "/32"), one_of("10.0.0.0/8", "192.0.2.0/24", "default"))
PREFIX6 = st.one_of(V6.map(lambda a: a + "/128"), one_of("2001:db8::/32", "::/0"))
ROUTE_OPTIONS = (
    one_of("dev eth0", "oif eth1"),
    words("table", one_of("main", "7", "local")),
    words("metric", number(0, 9999)),
    one_of("scope link", "proto 18", "protocol static", "tos 0x10"),
    words("mtu", one_of("1400", "lock 1400")),
    words("hoplimit", number(1, 255)),
    words("rtt", one_of("5", "100ms", "2s")),
    words("rto_min", one_of("5", "200ms")),
    words("advmss", number(1, 1460)),
    words("initcwnd", number(1, 99)),
    one_of("quickack 1", "features ecn", "congctl cubic", "realms 1/2", "realms 3", "fastopen_no_cookie 1"),
    one_of("no_track", "onlink", "append"),
    one_of("encap ip id 7 dst 10.1.1.1", "encap mpls 16/17", "nexthop via 10.9.0.1 dev eth0 weight 3"),
)
ROUTE = st.one_of(
    words(PREFIX, maybe(words("via", V4)), maybe(words("src", V4)), options(*ROUTE_OPTIONS)),
    words(one_of("blackhole", "unreachable", "prohibit"), PREFIX, options(*ROUTE_OPTIONS[1:5])),
    words(PREFIX6, words("via", V6), options("pref high", "expires 60", *ROUTE_OPTIONS[:6])),
)
RULE = words(
    one_of("", "not"),
    st.one_of(
        words("from", V4), words("to", V4), words("from", V6), one_of("from 10.0.0.0/8 to 192.0.2.0/24")
    ),
    options(
        one_of("fwmark 7", "fwmark 0x10/0xf0"),
        one_of("iif eth0", "oif eth1", "dev eth0"),
        one_of("tos 0x10", "realms 1/2", "ipproto tcp", "ipproto 17", "uidrange 1-99", "protocol static"),
        one_of("sport 80", "dport 80-90"),
        one_of("suppress_prefixlength 8", "suppress_ifgroup 3", "tun_id 7"),
        words("preference", number(1, 32000)),
        "no_track",
    ),
    st.one_of(
        words("table", one_of("7", "main", "local")), one_of("goto 32765", "nop", "blackhole", "unreachable")
    ),
)

ENTRIES: dict[str, Text] = {
    "virtual_ipaddress": ADDRESS_LINE,
    "virtual_ipaddress_excluded": ADDRESS_LINE,
    "static_ipaddress": ADDRESS_LINE,
    "notification_email": one_of("a@example.org", "b@example.org", '"C D <c@example.org>"'),
    "group": INSTANCE,
    "interfaces": INTERFACE,
    "static_routes": ROUTE,
    "virtual_routes": ROUTE,
    "static_rules": RULE,
    "virtual_rules": RULE,
    "unicast_peer": words(
        st.one_of(V4, V6), maybe(words("min_ttl", number(1, 100))), maybe(words("max_ttl", number(100, 255)))
    ),
}
"""Lines of value blocks, by the name of the block."""

WORDS: dict[str, Text] = {
    "global_defs.default_interface": INTERFACE,
    "global_defs.notification_email_from": one_of("me@example.org", '"M E <me@example.org>"'),
    "global_defs.smtp_server": one_of("10.0.0.9", "mail.example.org 2525", "2001:db8::9 25"),
    "global_defs.umask": one_of("022", "0x1f", "IWGRP|IRWXO", "IWGRP | IROTH", "18"),
    "global_defs.include_check": one_of("", "read", "match +brace_match", "-read"),
    "global_defs.vrrp_cpu_affinity": one_of("0", "1 3 2"),
    "global_defs.checker_cpu_affinity": one_of("0", "1 3 2"),
    "global_defs.bfd_cpu_affinity": one_of("0", "1 3 2"),
    "global_defs.vrrp_mcast_group4": one_of("224.0.0.18", "224.0.1.99"),
    "global_defs.vrrp_mcast_group6": one_of("ff02::12", "ff05::7"),
    "global_defs.lvs_flush_on_stop": one_of("", "VS"),
    "global_defs.lvs_flush_onstop": one_of("", "VS"),
    "virtual_server.lb_algo": one_of("rr", "sh", "mh", "wlc", "dh"),
    "virtual_server.lvs_sched": one_of("sh", "mh", "wlc"),
    "virtual_server.protocol": one_of("TCP", "UDP", "SCTP", "tcp"),
    "virtual_server.persistence_granularity": one_of("255.255.255.0", "255.0.0.0", "64"),
}
"""Text behind a keyword, by place in the tables, where type and range do not say enough."""

Head = Callable[[int, int], Text]
"""(number of the block around, number of the block) -> the words before the brace."""

HEADS: dict[str, Head] = {
    "vrrp_instance": lambda n, _: st.just(f"V{n}"),
    "virtual_server": lambda n, _: one_of(
        f"10.1.0.{n} 80", f"10.1.0.{n} 0", f"2001:db8::1:{n} 443", f"fwmark {n}", "group N1", "group N2"
    ),
    "virtual_server.real_server": lambda n, i: one_of(
        f"10.2.{n}.{i} 80", f"10.2.{n}.{i}", f"fd00::{n}:{i} 80"
    ),
}

NEEDED: dict[str, tuple[str, ...]] = {
    "vrrp_instance": (
        "interface eth0",
        "virtual_router_id %",
        "virtual_ipaddress {",
        "10.3.0.%",
        "}",
    ),
    "virtual_server": (
        "lb_algo rr",
        "lb_kind NAT",
        "protocol TCP",
        "real_server 10.2.%.9 80 {",
        "}",
        "real_server fd00::%:9 80 {",
        "}",
    ),
    "virtual_server.real_server.HTTP_GET": ("url {", "path /", "}"),
    "virtual_server.real_server.SSL_GET": ("url {", "path /", "}"),
    "virtual_server.real_server.SSL_GET.url": ("path /%",),
    "virtual_server.real_server.MISC_CHECK": ("misc_path /bin/true",),
    "virtual_server.real_server.BFD_CHECK": ("name N%",),
    "virtual_server.real_server.FILE_CHECK": ("track_file N%",),
    "vrrp_script": ("script /bin/true",),
    "vrrp_track_process": ("process haproxy",),
    "track_file": ("file /run/number",),
    "bfd_instance": ("neighbor_ip 10.5.0.%",),
    "vrrp_sync_group": ("group {", "V1", "V2", "V3", "V4", "V5", "}"),
    "track_group": ("group {", "V1", "V2", "}"),
    "garp_group": ("garp_interval 0.1", "interfaces {", "eth%", "}"),
    "vrrp_instance.authentication": ("auth_type PASS", "auth_pass secret"),
    "vrrp_instance.auth_hmac": ("key 1 " + "x" * 40, "active_key 1"),
    "virtual_server.real_server.HTTP_GET.url": ("path /%",),
}
"""Lines without which a block is not kept; % stands for the number of the block."""
