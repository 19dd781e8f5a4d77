"""Lines of virtual_ipaddress, virtual_ipaddress_excluded and static_ipaddress, word by word.

What is refused, mended or skipped was tried with keepalived 2.4.3, which uses what it can of a line.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.address_forms import STATIC_ADDRESS, VIRTUAL_ADDRESS, AddressForm
from keepalived_conf.grammar.forms import Args, BadWordError
from keepalived_conf.model import StaticAddress, VirtualAddress
from keepalived_conf.syntax.words import Word
from tests.unit.conf.support import instance, where


def args_of(text: str) -> Args:
    words: list[Word] = []
    column = 1
    for part in text.split(" "):
        words.append(Word(part, column))
        column += len(part) + 1
    return Args(words=tuple(words), first=0, raw=text)


def read(
    text: str, form: AddressForm = VIRTUAL_ADDRESS
) -> tuple[Any, list[tuple[int, str, KeepalivedClass]]]:
    args = args_of(text)
    value = form.read(args)
    return value, [(remark.index, remark.code, remark.keepalived) for remark in args.remarks]


GENERAL, NUMBER = KeepalivedClass.GENERAL_ERROR, KeepalivedClass.INVALID_NUMBER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", {}),
        ("10.0.0.1 dev eth1", {"dev": "eth1"}),
        ("10.0.0.1 scope 0xfd", {"scope": 253}),
        ("10.0.0.1 scope site", {"scope": 200}),
        ("10.0.0.1 brd 10.0.0.255", {"broadcast": ip_address("10.0.0.255")}),
        ("10.0.0.1 label eth0:vip", {"label": "eth0:vip"}),
        ("10.0.0.1 peer 10.0.0.2", {"peer": ip_interface("10.0.0.2/32")}),
        ("10.0.0.1 home", {"home": True}),
        ("10.0.0.1 -nodad", {"no_dad": False}),
        ("10.0.0.1 mngtmpaddr", {"mngtmpaddr": True}),
        ("10.0.0.1 noprefixroute autojoin", {"noprefixroute": True, "autojoin": True}),
        ("10.0.0.1 no_track", {"no_track": True}),
        ("10.0.0.1 use_vmac", {"use_vmac": True}),
        ("10.0.0.1 preferred_lft 4294967295", {"preferred_lft_s": 4294967295}),
        ("10.0.0.1 preferred_lft forever", {"preferred_lft_s": None}),
    ],
)
def test_each_word(text: str, expected: dict[str, Any]) -> None:
    value, remarks = read(text)
    assert value == VirtualAddress(**{"interface": ip_interface("10.0.0.1/32"), "dev": ""} | expected)
    assert remarks == []


def test_each_word_is_counted() -> None:
    args = args_of("10.0.0.1/24 dev eth0 broadcast + noprefixroute frob")
    VIRTUAL_ADDRESS.read(args)
    assert args.used == [(1, "dev"), (3, "broadcast"), (5, "noprefixroute")]


@pytest.mark.parametrize(
    ("text", "broadcast"),
    [
        ("10.0.0.77/24 brd +", "10.0.0.255"),
        ("10.0.0.77/24 broadcast -", "10.0.0.0"),
        ("10.0.0.77/30 brd +", "10.0.0.79"),
        ("10.0.0.77/0 brd +", "255.255.255.255"),
    ],
)
def test_broadcast_from_the_prefix(text: str, broadcast: str) -> None:
    value, remarks = read(text)
    assert value.broadcast == ip_address(broadcast)
    assert remarks == []


@pytest.mark.parametrize(
    ("text", "field", "value", "remark"),
    [
        ("10.0.0.1/24 scope nope", "scope", 0, (2, "unknown-name", GENERAL)),
        ("10.0.0.1/24 scope universe", "scope", 0, (2, "unknown-name", GENERAL)),
        ("10.0.0.1/24 scope 256", "scope", 0, (2, "unknown-name", GENERAL)),
        ("10.0.0.1/31 brd +", "broadcast", None, (2, "ignored", GENERAL)),
        ("10.0.0.1 brd -", "broadcast", None, (2, "ignored", GENERAL)),
        ("10.0.0.1 brd 10.0.0.9 peer 10.0.0.2", "broadcast", None, (1, "ignored", GENERAL)),
        ("10.0.0.1 peer fe80::1", "peer", None, (2, "mixed-families", GENERAL)),
        ("10.0.0.1/24 peer 10.0.0.2/24", "peer", None, (2, "invalid-entry", GENERAL)),
        ("10.0.0.1 peer x", "peer", None, (2, "invalid-entry", GENERAL)),
        ("10.0.0.1 peer 10.0.0.2 peer 10.0.0.3", "peer", ip_interface("10.0.0.2"), (4, "duplicate", GENERAL)),
        ("10.0.0.1/24 peer 10.0.0.2", "interface", ip_interface("10.0.0.1"), (2, "prefix-ignored", GENERAL)),
        ("10.0.0.1 preferred_lft x", "preferred_lft_s", None, (2, "invalid-number", NUMBER)),
        ("10.0.0.1 preferred_lft -1", "preferred_lft_s", None, (2, "invalid-number", NUMBER)),
        ("10.0.0.1 preferred_lft 4294967296", "preferred_lft_s", None, (2, "invalid-number", NUMBER)),
        ("10.0.0.1 preferred_lft 30s", "preferred_lft_s", 30, (2, "invalid-number", NUMBER)),
        ("10.0.0.1/33", "interface", ip_interface("10.0.0.1/32"), (0, "invalid-prefix-length", NUMBER)),
        ("10.0.0.1/24x", "interface", ip_interface("10.0.0.1/24"), (0, "invalid-prefix-length", NUMBER)),
        (
            "10.0.0.1/",
            "interface",
            ip_interface("10.0.0.1/0"),
            (0, "invalid-prefix-length", KeepalivedClass.OK),
        ),
        ("fe80::1/129", "interface", ip_interface("fe80::1/128"), (0, "invalid-prefix-length", NUMBER)),
        ("fe80::1/64 scope link", "scope", 0, (1, "ignored", GENERAL)),
        ("fe80::1/64 label x", "label", None, (1, "ignored", GENERAL)),
        ("10.0.0.1 track_group x", "dev", "", (1, "unknown-word", GENERAL)),
    ],
)
def test_what_is_mended_or_left_out(
    text: str, field: str, value: object, remark: tuple[int, str, KeepalivedClass]
) -> None:
    found, remarks = read(text)
    assert getattr(found, field) == value
    assert remarks[0] == remark


def test_scope_global_of_an_ipv6_address_is_nothing_to_tell() -> None:
    assert read("fe80::1/64 scope global")[1] == []


def test_unknown_words_are_skipped_one_by_one_with_the_word_that_was_meant() -> None:
    args = args_of("10.0.0.1 noprefixrout weight 3 dev eth0")
    assert VIRTUAL_ADDRESS.read(args).dev == "eth0"
    assert [(r.index, r.code, r.hint) for r in args.remarks] == [
        (1, "unknown-word", "did you mean noprefixroute?"),
        (2, "unknown-word", ""),
        (3, "unknown-word", ""),
    ]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("x", 0),
        ("dev eth0 10.0.0.1", 0),
        ("10.0.0.256", 0),
        ("10.0.0.1 dev", 1),
        ("10.0.0.1 preferred_lft", 1),
        ("10.0.0.1 dev eth0 dev eth1", 4),
        ("10.0.0.1 dev a/b", 2),
        ("fe80::1 brd +", 2),
        ("10.0.0.1 brd x", 2),
        ("10.0.0.1 brd fe80::1", 2),
        ("10.0.0.1 label abcdefghijklmnop", 2),
    ],
)
def test_what_makes_an_address_unusable(text: str, index: int) -> None:
    with pytest.raises(BadWordError) as caught:
        VIRTUAL_ADDRESS.read(args_of(text))
    assert caught.value.index == index
    assert caught.value.keepalived == GENERAL
    assert not caught.value.fatal


@pytest.mark.parametrize(
    ("word", "judgement"),
    [
        ("x/24", GENERAL),
        ("x/33", NUMBER),
        ("IP/MASK", NUMBER),
        ("fe80::x/128", GENERAL),
        ("fe80::x/129", NUMBER),
    ],
)
def test_the_prefix_length_of_no_address_is_judged_too(word: str, judgement: KeepalivedClass) -> None:
    with pytest.raises(BadWordError) as caught:
        VIRTUAL_ADDRESS.read(args_of(word))
    assert caught.value.keepalived == judgement


def test_preferred_lifetime_of_an_ipv6_host_address() -> None:
    assert read("2001:db8::1")[0].preferred_lft_s == 0
    assert read("2001:db8::1/64")[0].preferred_lft_s is None
    assert read("2001:db8::1 preferred_lft forever")[0].preferred_lft_s is None


def test_a_static_address_knows_groups_and_no_vmac() -> None:
    value, remarks = read("10.0.0.1/24 dev eth0 track_group G", STATIC_ADDRESS)
    assert value == StaticAddress(interface=ip_interface("10.0.0.1/24"), dev="eth0", track_group="G")
    assert remarks == []
    assert read("10.0.0.1 use_vmac", STATIC_ADDRESS)[1] == [(1, "unknown-word", GENERAL)]


def test_a_second_group_ends_the_line() -> None:
    value, remarks = read("10.0.0.1 track_group G track_group H dev eth0 frob", STATIC_ADDRESS)
    assert (value.track_group, value.dev) == ("G", "")
    assert remarks == [(4, "duplicate", GENERAL)]


@pytest.mark.parametrize(
    ("setting", "line", "kept"),
    [
        ("use_vmac", "10.0.0.1 use_vmac", False),
        ("use_vmac", "10.0.0.1 dev eth0 use_vmac", False),
        ("use_vmac", "10.0.0.1 dev eth1 use_vmac", True),
        ("use_vmac", "fe80::1 use_vmac", True),
        ("use_vmac_addr", "10.0.0.1 use_vmac", True),
        ("use_vmac_addr", "10.0.0.1 dev eth1 use_vmac", False),
        ("use_vmac_addr", "fe80::1 use_vmac", False),
        ("", "10.0.0.1 use_vmac", True),
    ],
)
def test_an_address_gets_one_vmac(setting: str, line: str, kept: bool) -> None:
    found, result = instance(f"{setting}\nvirtual_ipaddress_excluded {{\n{line}\n}}", vips="10.0.0.7")
    assert found.virtual_addresses_excluded[0].use_vmac == kept
    said = [item for item in result.diagnostics if item.code == "vmac-twice"]
    assert [where(item) for item in said] == ([] if kept else [(10, line.index("use_vmac") + 1)])


def test_an_interface_that_is_left_out_hides_the_same_address_from_keepalived() -> None:
    lines = [
        "10.9.0.1 dev eth0",
        "10.9.0.2",
        "10.9.0.3",
        "10.9.0.3 dev eth0",
        "10.9.0.3",
        "10.9.0.1 dev eth1",
    ]
    excluded = "virtual_ipaddress_excluded {\n" + "\n".join(lines) + "\n}"
    found, result = instance(excluded, vips="10.9.0.1\n10.9.0.2 dev eth0")
    kept = [(str(one.interface.ip), one.dev) for one in found.virtual_addresses_excluded]
    assert kept == [("10.9.0.3", "eth0"), ("10.9.0.1", "eth1")]
    said = [item for item in result.diagnostics if item.code == "duplicate-address"]
    assert [(where(item)[0], item.keepalived) for item in said] == [
        (10, KeepalivedClass.OK),
        (11, KeepalivedClass.OK),
        (13, KeepalivedClass.OK),
        (14, GENERAL),
    ]


# --- words and back --------------------------------------------------------------------------------

NAMES = st.text("abcdefghijkl0123456789.:-_", min_size=1, max_size=15)


@st.composite
def addresses(draw: st.DrawFn) -> VirtualAddress | StaticAddress:
    make = draw(st.sampled_from((VirtualAddress, StaticAddress)))
    ip = draw(st.ip_addresses())
    peer = ip_interface(draw(st.ip_addresses(v=ip.version))) if draw(st.booleans()) else None
    length = ip.max_prefixlen if peer is not None else draw(st.integers(0, ip.max_prefixlen))
    four = ip.version == 4
    flag = st.booleans()
    own: dict[str, Any] = (
        {"use_vmac": draw(flag)} if make is VirtualAddress else {"track_group": draw(st.none() | NAMES)}
    )
    value: VirtualAddress | StaticAddress = make(
        interface=ip_interface(f"{ip}/{length}"),
        dev=draw(st.just("") | NAMES),
        label=draw(st.none() | NAMES) if four else None,
        scope=draw(st.integers(0, 255)) if four else 0,
        broadcast=draw(st.none() | st.ip_addresses(v=4)) if four and peer is None else None,
        peer=peer,
        no_dad=draw(flag),
        home=draw(flag),
        mngtmpaddr=draw(flag),
        noprefixroute=draw(flag),
        autojoin=draw(flag),
        no_track=draw(flag),
        preferred_lft_s=draw(st.none() | st.integers(0, 4294967295)),
        **own,
    )
    return value


@given(addresses())
def test_what_is_written_reads_back_equal(value: VirtualAddress | StaticAddress) -> None:
    form = STATIC_ADDRESS if isinstance(value, StaticAddress) else VIRTUAL_ADDRESS
    args = args_of(" ".join(form.write(value)))
    assert form.read(args) == value
    assert args.remarks == []
    assert form.json(value) == " ".join(form.write(value))
