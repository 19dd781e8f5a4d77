"""Grammar tables of linkbeat_interfaces and interface_up_down_delays."""

from __future__ import annotations

from keepalived_conf.grammar.schema import Keyword

ROOT_ROWS: tuple[Keyword, ...] = ()
"""Rows of the top level that open the blocks of this module."""
