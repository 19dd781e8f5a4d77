"""Interfaces in use that go down or come back are told, each change once."""

from __future__ import annotations

from typing import Any

from keepalived_conf.model import TrackRef, VrrpInstance
from vrrp_proc.link_log import LinkLog
from vrrp_proc.links import LinkTable
from vrrp_proc.netlink import IFF_RUNNING, IFF_UP, LinkEvent

CONFIG = VrrpInstance(
    name="VI", interface="e0", virtual_router_id=51, family=4, version=3, state="BACKUP", priority=100,
    advert_int_cs=100, virtual_addresses=(), track_interface=(TrackRef(name="e1"),),
)  # fmt: skip


def test_each_change_of_an_interface_in_use_is_told_once() -> None:
    links, told = LinkTable(), []

    def say(level: str, event_id: str, **fields: Any) -> None:
        told.append((level, event_id, fields["interface"], fields["up"]))

    def link(index: int, up: bool) -> None:
        flags = IFF_UP | IFF_RUNNING if up else IFF_UP
        links.apply(LinkEvent(index=index, name=f"e{index}", flags=flags, mtu=1500, mac=bytes(6)))

    for index in range(3):
        link(index, True)
    log = LinkLog(links, say)
    log.look([CONFIG])
    assert told == []
    link(1, False)
    link(2, False)
    for _ in range(2):
        log.look([CONFIG])
    link(1, True)
    log.look([CONFIG])
    assert told == [("warning", "vrrp.link", "e1", False), ("info", "vrrp.link", "e1", True)]
