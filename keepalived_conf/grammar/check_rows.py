"""Rows that the tables of checks share, and short ways to make more."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.grammar.forms import Form
from keepalived_conf.grammar.schema import (
    TIMER_MAX_S,
    UINT32_MAX,
    Effect,
    Keyword,
    Type,
    bool_row,
    integer_row,
    plain_row,
    seconds_row,
)

SERVER = "virtual_server.real_server"


def form_row(name: str, form: Form, help_: str, **more: Any) -> Keyword:
    """A keyword with an argument of a shape of its own, read by the checker."""
    return Keyword(name=name, type=Type.FORM, form=form, help=help_, worker="checker", **more)


def but(row: Keyword, **more: Any) -> Keyword:
    """The row with more said about it."""
    return dataclasses.replace(row, **more)


def parsed(rows: tuple[Keyword, ...]) -> tuple[Keyword, ...]:
    """Rows of a block that has no effect yet."""
    return tuple(but(row, effect=Effect.PARSED) if row.effect is Effect.ACTIVE else row for row in rows)


# --- what checks share -----------------------------------------------------------------------------------


def timed(retry: str, delay: str) -> tuple[Keyword, ...]:
    return (
        but(
            integer_row(
                "retry",
                0,
                UINT32_MAX,
                "Extra attempts before the check counts as failed",
                worker="checker",
                default=f"real_server retry, else {retry}",
            ),
            since="1.2.20",
        ),
        but(
            seconds_row(
                "delay_before_retry",
                0,
                None,
                "Pause between attempts",
                worker="checker",
                default=f"real_server value, else {delay}",
            ),
            since="1.2.20",
        ),
        seconds_row(
            "warmup",
            0,
            None,
            "First check after a random time up to this",
            worker="checker",
            default="real_server warmup, else delay_loop",
        ),
        seconds_row(
            "delay_loop",
            0.000001,
            None,
            "Time between checks",
            worker="checker",
            default="real_server delay_loop (60)",
        ),
        bool_row("alpha", "Down until the first success", worker="checker", default="real_server alpha"),
        but(
            bool_row(
                "log_all_failures",
                "Log every failed attempt",
                worker="checker",
                default="checker_log_all_failures",
            ),
            since="2.0.11",
        ),
    )


def connecting(retry: str = "1", delay: str = "1") -> tuple[Keyword, ...]:
    return (
        but(
            plain_row(
                "connect_ip", Type.ADDRESS, "Address to connect to", worker="checker", default="real server"
            ),
            since="1.2.13",
        ),
        but(
            integer_row(
                "connect_port", 1, 65535, "Port to connect to", worker="checker", default="real server port"
            ),
            since="1.2.13",
        ),
        but(
            plain_row("bindto", Type.ADDRESS, "Local address", worker="checker", default="kernel's choice"),
            since="1.1.2",
        ),
        but(
            integer_row("bind_port", 1, 65535, "Local port", worker="checker", default="kernel's choice"),
            since="1.2.13",
        ),
        but(
            plain_row(
                "bind_if",
                Type.INTERFACE,
                "Interface to bind to; required for link-local IPv6",
                worker="checker",
                default="none",
            ),
            since="1.3.7",
        ),
        but(
            seconds_row(
                "connect_timeout",
                0.000001,
                TIMER_MAX_S,
                "Limit for connecting and for the reply",
                worker="checker",
                default="real_server connect_timeout (5)",
            ),
            since="1.2.13",
        ),
        integer_row(
            "fwmark", 0, UINT32_MAX, "Mark set on packets of the check", worker="checker", default="0"
        ),
        *timed(retry, delay),
    )
