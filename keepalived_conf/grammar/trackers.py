"""Grammar tables of vrrp_script, vrrp_track_process, track_file, and of the entries that name them."""

from __future__ import annotations

from keepalived_conf.grammar.schema import Keyword

ROOT_ROWS: tuple[Keyword, ...] = ()
"""Rows of the top level that open the blocks of this module."""
