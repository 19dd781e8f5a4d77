"""Grammar tables of vrrp_sync_group, garp_group and track_group."""

from __future__ import annotations

import dataclasses

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.common import NAME
from keepalived_conf.grammar.schema import (
    TIMER_MAX_S,
    Block,
    Keyword,
    Type,
    block_of,
    bool_row,
    flag_row,
    opens,
    plain_row,
    seconds_row,
)
from keepalived_conf.grammar.track_rows import later, notify_row, smtp_alert_row, track_rows
from keepalived_conf.grammar.vrrp_forms import MEMBERS
from keepalived_conf.model import GarpGroup, SyncGroup, TrackGroup


def _members(path: str, field: str, help_: str) -> Keyword:
    name = path.rpartition(".")[2]
    row = opens(name, block_of(path, entry=MEMBERS), help_, worker="vrrp", stops_when_bare=False)
    return dataclasses.replace(row, field=field)


def _names(path: str, field: str, help_: str, since: str = "") -> Keyword:
    return later(_members(path, field, help_), since=since)


_WEIGHTS = flag_row("sync_group_tracking_weight", "Weights of trackers of the members count", worker="vrrp")

VRRP_SYNC_GROUP = block_of(
    "vrrp_sync_group",
    (
        _members("vrrp_sync_group.group", "members", "Names of the instances that change state together"),
        *track_rows("vrrp_sync_group", "the group"),
        *(
            notify_row(name, group=True)
            for name in ("notify_backup", "notify_master", "notify_fault", "notify_stop", "notify")
        ),
        smtp_alert_row(),
        dataclasses.replace(_WEIGHTS, since="2.0.0"),
        dataclasses.replace(
            _WEIGHTS,
            name="global_tracking",
            alias_of="sync_group_tracking_weight",
            deprecated="write the trackers in the group, and sync_group_tracking_weight",
            deprecated_class=KeepalivedClass.GENERAL_ERROR,
            since="1.2.3",
        ),
        dataclasses.replace(
            bool_row(
                "notify_priority_changes",
                "Tell changes of the members' priorities through FIFOs",
                worker="script",
                default="off",
            ),
            since="2.2.0",
        ),
    ),
    model=SyncGroup,
    head=NAME,
)


def _gap(name: str, help_: str) -> Keyword:
    return later(seconds_row(name, 0, TIMER_MAX_S, help_, worker="vrrp"), since="1.2.21")


GARP_GROUP = block_of(
    "garp_group",
    (
        _gap("garp_interval", "Gap between two gratuitous ARPs over the whole group"),
        _gap("gna_interval", "Gap between two unsolicited neighbour advertisements over the whole group"),
        later(
            plain_row(
                "interface",
                Type.INTERFACE,
                "One interface of the group; several: interfaces { ... }",
                worker="vrrp",
                repeatable=True,
            ),
            since="1.2.21",
        ),
        _names("garp_group.interfaces", "interfaces", "Interfaces of the group", "1.2.21"),
    ),
    model=GarpGroup,
)

TRACK_GROUP = block_of(
    "track_group",
    (_names("track_group.group", "members", "Names of the instances", "2.0.3"),),
    model=TrackGroup,
    head=NAME,
)


def _root(name: str, block: Block, help_: str, *, field: str, since: str = "") -> Keyword:
    row = opens(name, block, help_, worker="vrrp", stops_when_bare=False)
    return dataclasses.replace(later(row, since=since), field=field)


ROOT_ROWS: tuple[Keyword, ...] = (
    _root(
        "track_group",
        TRACK_GROUP,
        "Instances that follow static addresses, routes and rules",
        field="track_groups",
        since="2.0.3",
    ),
    dataclasses.replace(
        opens(
            "vrrp_sync_group",
            VRRP_SYNC_GROUP,
            "Instances that change state together",
            worker="vrrp",
            stops_when_bare=False,
        ),
        field="sync_groups",
        since="0.6.1",
    ),
    _root(
        "garp_group",
        GARP_GROUP,
        "Interfaces that share a rate of gratuitous ARPs",
        field="garp_groups",
        since="1.2.21",
    ),
)
"""Rows of the top level that open the blocks of this module."""
