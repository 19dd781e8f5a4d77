"""Grammar table of virtual_server_group."""

from __future__ import annotations

from keepalived_conf.grammar.schema import Keyword

ROOT_ROWS: tuple[Keyword, ...] = ()
"""Rows of the top level that open the blocks of this module."""
