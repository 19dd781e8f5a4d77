"""Rows that instances and sync groups share: track_* blocks and notification."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keepalived_conf.grammar.common import SCRIPT
from keepalived_conf.grammar.forms import Form
from keepalived_conf.grammar.schema import Effect, Keyword, Type, block_of, bool_row, in_effect, opens
from keepalived_conf.grammar.track_forms import (
    TRACK_BFD,
    TRACK_FILE,
    TRACK_INTERFACE,
    TRACK_PROCESS,
    TRACK_SCRIPT,
    TrackForm,
)


def later(row: Keyword, *, since: str = "", reason: str = "", form: Form | None = None) -> Keyword:
    """The row of a keyword that no worker acts on yet."""
    return dataclasses.replace(
        row,
        effect=Effect.PARSED,
        since=since or row.since,
        reason=reason,
        form=form or row.form,
        type=Type.FORM if form is not None else row.type,
    )


def form_row(
    name: str,
    form: Form,
    help_: str,
    *,
    worker: str,
    since: str = "",
    default: str = "",
    reason: str = "",
    again: str = "",
    alias_of: str = "",
    deprecated: str = "",
    optional: bool = False,
    unit: str = "",
    stops_when_bare: bool = True,
    merge: Callable[[Any, Any], Any] | None = None,
) -> Keyword:
    """A keyword with arguments of its own that no worker acts on yet."""
    return Keyword(
        name=name,
        type=Type.FORM,
        form=form,
        help=help_,
        worker=worker,
        since=since,
        default=default,
        effect=Effect.PARSED,
        reason=reason,
        again=again,
        alias_of=alias_of,
        deprecated=deprecated,
        optional=optional,
        unit=unit,
        stops_when_bare=stops_when_bare,
        merge=merge,
    )


# --- track_* -----------------------------------------------------------------------------------------

_TRACKED: tuple[tuple[str, TrackForm, str, str, str, str], ...] = (
    ("track_interface", TRACK_INTERFACE, "Interfaces", "weight 0", "1.0.1", "interfaces"),
    ("track_script", TRACK_SCRIPT, "Scripts (vrrp_script)", "of the script", "1.1.13", "scripts"),
    ("track_file", TRACK_FILE, "Numbers in files (track_file)", "of the file", "2.0.0", "files"),
    (
        "track_process",
        TRACK_PROCESS,
        "Processes (vrrp_track_process)",
        "of the process",
        "2.0.11",
        "processes",
    ),
    ("track_bfd", TRACK_BFD, "BFD sessions (bfd_instance)", "of the session", "", "sessions"),
)
_GROUPS_SINCE = {"track_interface": "2.0.0", "track_script": "2.0.0", "track_file": "2.0.0"}


_FOLLOWED = ("track_interface", "track_script", "track_file", "track_process")
"""What is followed really."""


def _ways(form: TrackForm, default: str, effect: Effect) -> tuple[Keyword, ...]:
    rows = (
        Keyword(
            name="weight",
            type=Type.INTEGER,
            low=-form.limit if form.cut_at is None else -form.cut_at - 1,
            high=form.limit if form.cut_at is None else form.cut_at + 1,
            default="0" if default == "weight 0" else f"weight {default}",
            worker="vrrp",
            effect=effect,
            help="What the priority is changed by; 0: fault instead",
        ),
        Keyword(
            name="reverse",
            type=Type.FLAG,
            optional=True,
            default="off" if not form.noreverse else f"setting {default}",
            since="2.0.18",
            worker="vrrp",
            effect=effect,
            help="Good and bad change places; behind the weight",
        ),
    )
    if not form.noreverse:
        return rows
    return (
        *rows,
        dataclasses.replace(
            rows[1], name="noreverse", help="Undoes reverse of the tracker; behind the weight"
        ),
    )


def track_rows(block: str, who: str) -> tuple[Keyword, ...]:
    """The five track_* rows of ``vrrp_instance`` or ``vrrp_sync_group``. ``who`` follows the trackers."""
    found = []
    for name, form, what, default, since, short in _TRACKED:
        followed = name in _FOLLOWED
        effect = Effect.ACTIVE if followed else Effect.PARSED
        row = opens(
            name,
            block_of(f"{block}.{name}", _ways(form, default, effect), entry=form),
            f"{what} that {who} follows, one on each line",
            worker="vrrp",
        )
        if block == "vrrp_sync_group":
            since = _GROUPS_SINCE.get(name, "")
        if followed:
            found.append(dataclasses.replace(row, since=since))
        else:
            found.append(later(row, since=since, reason=f"{who} does not follow these {short}"))
    return tuple(found)


# --- notification ----------------------------------------------------------------------------------------

_STATES = {
    "notify_backup": ("0.5.9", "Program to run on becoming BACKUP"),
    "notify_master": ("0.5.9", "Program to run on becoming MASTER"),
    "notify_fault": ("0.5.9", "Program to run on entering FAULT"),
    "notify_stop": ("1.1.13", "Program to run when VRRP stops"),
    "notify": ("1.1.2", "Program to run on any change; it gets four more arguments"),
    "notify_master_rx_lower_pri": ("2.0.6", "Program to run when a master hears an advert of lower priority"),
}
_GROUP_SINCE = {"notify_stop": ""}


def notify_row(name: str, *, group: bool = False) -> Keyword:
    since, help_ = _STATES[name]
    if group:
        since = "0.6.4" if since == "0.5.9" else _GROUP_SINCE.get(name, since)
    return in_effect(form_row(name, SCRIPT, help_, worker="script", since=since, again="ignored"))


def smtp_alert_row() -> Keyword:
    return bool_row(
        "smtp_alert",
        "Send mail when the state changes",
        worker="script",
        default="smtp_alert_vrrp, else smtp_alert, else off",
    )
