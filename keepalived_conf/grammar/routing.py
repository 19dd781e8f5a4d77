"""Grammar tables of addresses, routes and rules: static ones, and those of a virtual router."""

from __future__ import annotations

from keepalived_conf.grammar.schema import Keyword

ROOT_ROWS: tuple[Keyword, ...] = ()
"""Rows of the top level that open the blocks of this module."""
