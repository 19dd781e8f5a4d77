"""What the kernel said last about interfaces and their addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from vrrp_proc.links import LinkTable
from vrrp_proc.netlink import IFA_F_SECONDARY, IFA_F_TENTATIVE, AddressEvent, LinkEvent

UP = 0x1 | 0x40


def _link(index: int = 7, name: str = "e0", flags: int = UP, gone: bool = False) -> LinkEvent:
    return LinkEvent(index=index, name=name, flags=flags, mtu=1500, mac=b"\x02\0\0\0\0\x01", gone=gone)


def _address(
    text: str, *, flags: int = 0, scope: int = 0, gone: bool = False, index: int = 7
) -> AddressEvent:
    return AddressEvent(
        index=index,
        address=ip_address(text),
        prefix_length=24,
        flags=flags,
        scope=scope,
        by_port=9,
        gone=gone,
    )


def _table(*events: LinkEvent | AddressEvent) -> LinkTable:
    table = LinkTable()
    for event in (_link(), *events):
        table.apply(event)
    return table


def test_only_changes_that_matter_are_changes() -> None:
    table = _table()
    assert not table.apply(_link())
    assert table.apply(_link(flags=0x1))
    link = table.by_name("e0")
    assert link is not None
    assert not link.usable
    assert table.apply(_address("192.0.2.1"))
    assert not table.apply(_address("192.0.2.1"))
    assert table.apply(_address("192.0.2.1", gone=True))
    assert not table.apply(_address("192.0.2.1", gone=True))
    assert not table.apply(_address("192.0.2.1", index=99))


def test_removed_and_replaced_interface() -> None:
    table = _table(_address("192.0.2.1"))
    assert table.apply(_link(gone=True))
    assert table.by_name("e0") is None
    table.apply(_link(index=8))
    link = table.by_name("e0")
    assert link is not None
    assert link.index == 8
    assert not table.holds("e0", IPv4Address("192.0.2.1"))


def test_renamed_interface_is_another_one() -> None:
    table = _table()
    assert table.apply(_link(name="wan"))
    assert table.by_name("e0") is None
    assert table.by_name("wan") is not None


def test_name_taken_over_before_the_old_holder_is_gone() -> None:
    table = _table()
    table.apply(_link(index=8))
    table.apply(_link(index=7, gone=True))
    link = table.by_name("e0")
    assert link is not None
    assert link.index == 8


def test_source_of_ipv4_adverts() -> None:
    table = _table(
        _address("127.0.0.1", scope=254),
        _address("192.0.2.100"),
        _address("192.0.2.3", flags=IFA_F_SECONDARY),
        _address("192.0.2.1"),
    )
    virtual = {IPv4Address("192.0.2.100")}
    assert table.primary_address("e0", 4, virtual) == IPv4Address("192.0.2.1")
    assert table.primary_address("e0", 4, ()) == IPv4Address("192.0.2.100")
    table.apply(_address("192.0.2.1", gone=True))
    assert table.primary_address("e0", 4, virtual) == IPv4Address("192.0.2.3")
    table.apply(_address("192.0.2.3", gone=True))
    assert table.primary_address("e0", 4, virtual) is None
    assert table.primary_address("nowhere", 4, virtual) is None


def test_source_of_ipv6_adverts_is_a_usable_link_local_address() -> None:
    table = _table(_address("2001:db8::1"), _address("fe80::5", flags=IFA_F_TENTATIVE), _address("fe80::100"))
    assert table.primary_address("e0", 6, {IPv6Address("fe80::100")}) is None
    table.apply(_address("fe80::5"))
    assert table.primary_address("e0", 6, {IPv6Address("fe80::100")}) == IPv6Address("fe80::5")


def test_load_starts_again() -> None:
    table = _table(_address("192.0.2.1"))
    table.load([_link(index=9, name="e1")], [_address("192.0.2.9", index=9)])
    assert table.by_name("e0") is None
    assert table.holds("e1", IPv4Address("192.0.2.9"))
    assert table.indices() == {9}
