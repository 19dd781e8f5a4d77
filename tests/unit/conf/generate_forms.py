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


NAME = one_of("N1", "N2", "N3")
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
    "TrackerWeight": _weight,
    "TrackForm": _tracked,
}
FORMS: dict[str, Text] = {
    "SCRIPT [USER [GROUP]]": SCRIPT,
    "COMMAND [ARGUMENTS], quoted as one word or as several": COMMAND,
    "PATH [USER [GROUP]]": words("/run/fifo", USER),
    "NAME...": words(NAME, maybe(NAME)),
}

ADDRESS_LINE = words(
    st.one_of(V4, V6, words(V4).map(lambda a: a + "/24"), words(V6).map(lambda a: a + "/64")),
    one_of("", "dev eth0", "dev eth1"),
    one_of("", "brd 10.9.0.255", "brd +", "scope link", "label eth0:1", "peer 10.8.0.1/24"),
    one_of("", "preferred_lft 5", "preferred_lft forever"),
)

ENTRIES: dict[str, Text] = {
    "virtual_ipaddress": ADDRESS_LINE,
    "virtual_ipaddress_excluded": ADDRESS_LINE,
    "unicast_peer": words(
        st.one_of(V4, V6), maybe(words("min_ttl", number(1, 100))), maybe(words("max_ttl", number(100, 255)))
    ),
}
"""Lines of value blocks, by the name of the block."""

WORDS: dict[str, Text] = {
    "global_defs.vrrp_mcast_group4": one_of("224.0.0.18", "224.0.1.99"),
    "global_defs.vrrp_mcast_group6": one_of("ff02::12", "ff05::7"),
    "global_defs.lvs_flush_on_stop": one_of("", "VS"),
    "global_defs.lvs_flush_onstop": one_of("", "VS"),
    "virtual_server.lb_algo": one_of("rr", "sh", "mh", "wlc", "dh"),
    "virtual_server.lvs_sched": one_of("sh", "mh", "wlc"),
    "virtual_server.lb_kind": one_of("NAT", "DR", "TUN"),
    "virtual_server.lvs_method": one_of("NAT", "DR", "TUN"),
    "virtual_server.sorry_server_lvs_method": one_of("NAT", "DR", "TUN"),
    "virtual_server.real_server.lvs_method": one_of("NAT", "DR", "TUN"),
    "virtual_server.protocol": one_of("TCP", "UDP", "SCTP", "tcp"),
    "virtual_server.persistence_granularity": one_of("255.255.255.0", "255.0.0.0", "64"),
    "virtual_server.sorry_server": one_of("10.7.0.1 80", "10.7.0.1", "2001:db8::7 80", "10.2.1.1 80"),
}
"""Text behind a keyword, by place in the tables, where type and range do not say enough."""

Head = Callable[[int, int], Text]
"""(number of the block around, number of the block) -> the words before the brace."""

HEADS: dict[str, Head] = {
    "vrrp_instance": lambda n, _: st.just(f"V{n}"),
    "virtual_server": lambda n, _: one_of(
        f"10.1.0.{n} 80", f"10.1.0.{n} 0", f"2001:db8::1:{n} 443", f"fwmark {n}"
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
    ),
    "virtual_server.real_server.HTTP_GET": ("url {", "path /", "}"),
    "virtual_server.real_server.HTTP_GET.url": ("path /%",),
}
"""Lines without which a block is not kept; % stands for the number of the block."""
