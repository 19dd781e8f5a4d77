"""nf_tables messages and the choice of what is kept out."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_interface

import pytest

from keepalived_conf.model import GlobalDefs, VirtualAddress
from vrrp_proc import nft
from vrrp_proc.firewall_rules import Element, Form, Wanted, clear


def vip(text: str, dev: str = "eth0") -> VirtualAddress:
    return VirtualAddress(interface=ip_interface(text), dev=dev)


ALL = (vip("192.0.2.1/24"), vip("2001:db8::1/64"), vip("fe80::1/64"))


def form(*addresses: VirtualAddress, **settings: object) -> Form:
    return Form.of(GlobalDefs(**settings), "mine", addresses or ALL)  # type: ignore[arg-type]


def kinds(messages: list[bytes]) -> list[int]:
    return [struct.unpack_from("=IH", message)[1] for message in messages]


def test_each_address_goes_into_the_set_of_its_kind() -> None:
    def element(made: Form, text: str, index: int | None = 7) -> Element | None:
        return made.element(vip(text), lambda _name: index)

    link_local = ip_address("fe80::1").packed
    assert element(form(), "192.0.2.1/24") == (nft.IP, "vips", bytes((192, 0, 2, 1)))
    assert element(form(), "2001:db8::1/64") == (nft.IP6, "vips", ip_address("2001:db8::1").packed)
    by_name = element(form(), "fe80::1/64", None)
    assert by_name == (nft.IP6, "vips_link_local", link_local + b"eth0" + bytes(12))
    by_index = element(form(nftables_ifindex=True), "fe80::1/64")
    assert by_index == (nft.IP6, "vips_link_local", link_local + struct.pack("=I", 7))
    assert element(form(nftables_ifindex=True), "fe80::1/64", None) is None


def test_a_table_for_each_family_that_is_in_use() -> None:
    assert form(ALL[0]).families == {nft.IP}
    assert form(*ALL).families == {nft.IP, nft.IP6}
    assert Form.of(GlobalDefs(), "mine", ()).build(()) == []


def test_building_replaces_what_is_there_within_the_transaction() -> None:
    messages = form(ALL[0]).build([Element(nft.IP, "vips", bytes(4))])
    assert kinds(messages) == [
        nft.NEWTABLE, nft.DELTABLE, nft.NEWTABLE, nft.NEWCHAIN, nft.NEWCHAIN, nft.NEWSET, nft.NEWRULE,
        nft.NEWRULE, nft.NEWSETELEM,
    ]  # fmt: skip
    assert messages[:2] == clear(nft.IP, "keepalived")
    (answer,) = nft.answers(messages[2])
    assert nft.table_of(answer) == nft.Table(family=nft.IP, name="keepalived", comment="mine")


def test_settings_reach_the_messages() -> None:
    made = form(*ALL, nftables="edge", nftables_priority=-5, nftables_counters=True)
    joined = b"".join(made.build(()))
    assert b"keepalived\0" not in joined
    assert joined.count(b"edge\0") > 10
    assert struct.pack("=HH", 8, 2) + struct.pack("!i", -5) in joined
    assert joined.count(b"counter\0") == made.rules(nft.IP) + made.rules(nft.IP6)
    assert b"counter\0" not in b"".join(form().build(()))


@pytest.mark.parametrize(("count", "messages"), [(0, 0), (1, 1), (1024, 1), (1025, 2)])
def test_no_message_holds_too_many_elements(count: int, messages: int) -> None:
    elements = [Element(nft.IP6, "vips_link_local", n.to_bytes(32, "big")) for n in range(count)]
    made = form().change(elements, ())
    assert kinds(made) == [nft.NEWSETELEM] * messages
    assert all(len(message) == struct.unpack_from("=I", message)[0] for message in made)
    found = [key for message in made for answer in nft.answers(message) for key in nft.keys_of(answer)]
    assert found == [element.key for element in elements]


def test_what_goes_is_taken_out_before_what_comes_is_put_in() -> None:
    made = form().change([Element(nft.IP, "vips", b"come")], [Element(nft.IP, "vips", b"gone")])
    assert kinds(made) == [nft.DELSETELEM, nft.NEWSETELEM]


def test_an_element_that_two_want_stays_until_neither_does() -> None:
    wanted, one = Wanted(), Element(nft.IP, "vips", b"1234")
    assert wanted.put("a", frozenset({one})) == ({one}, set())
    assert wanted.put("b", frozenset({one})) == (set(), set())
    assert wanted.put("a", frozenset()) == (set(), set())
    assert "a" not in wanted
    assert wanted.all() == {one}
    assert wanted.put("b", frozenset()) == (set(), {one})
    assert wanted.all() == set()


def test_numbers_of_messages_and_the_last_acknowledged() -> None:
    batch = [nft.begin(), nft.acknowledged(nft.get_tables()), nft.end()]
    headers = []
    data, at = nft.numbered(batch, 41), 0
    while at < len(data):
        length, kind, flags, sequence, _port = struct.unpack_from("=IHHII", data, at)
        headers.append((kind, bool(flags & nft.ACK), sequence))
        at += length
    assert headers == [(16, False, 41), (nft.GETTABLE, True, 42), (17, False, 43)]


def test_long_comments_are_cut_and_foreign_user_data_is_no_comment() -> None:
    (answer,) = nft.answers(nft.new_table(nft.IP, "t", "x" * 300))
    assert nft.table_of(answer).comment == "x" * 127
    (bare,) = nft.answers(nft.new_table(nft.IP, "t"))
    assert nft.table_of(bare).comment == ""


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_answers_that_are_cut_off_do_no_harm(cut: int) -> None:
    data = nft.new_table(nft.IP, "table", "comment") + nft.end()
    for answer in nft.answers(data[:cut]):
        nft.table_of(answer)
        nft.keys_of(answer)
