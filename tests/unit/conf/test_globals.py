"""global_defs, child_wait_time and the grammar tables themselves."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from keepalived_conf.grammar.global_defs import GLOBAL_DEFS
from keepalived_conf.grammar.known import CONSEQUENCES, KNOWN_KEYWORDS, NAMED_BLOCKS, SCRIPT_KEYWORDS
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Keyword, Type
from keepalived_conf.model import GlobalDefs
from tests.unit.conf.support import codes, load


def globals_of(text: str) -> tuple[GlobalDefs, list[str]]:
    result = load(f"global_defs {{\n{text}\n}}\n")
    assert not result.fatal
    return result.config.globals, codes(result)


def test_defaults() -> None:
    assert globals_of("") == (GlobalDefs(), [])


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("router_id LB-1", "router_id", "LB-1"),
        ('router_id "two words"', "router_id", "two words"),
        ("vrrp_mcast_group4 224.0.0.99", "vrrp_mcast_group4", ip_address("224.0.0.99")),
        ("vrrp_mcast_group6 ff02::99", "vrrp_mcast_group6", ip_address("ff02::99")),
        ("vrrp_startup_delay 2.5", "vrrp_startup_delay_s", 2.5),
        ("vrrp_startup_delay 0.001", "vrrp_startup_delay_s", 0.001),
        ("vrrp_garp_interval 0.01", "vrrp_garp_interval_s", 0.01),
        ("vrrp_gna_interval 4294.967295", "vrrp_gna_interval_s", 4294.967295),
        ("lvs_flush", "lvs_flush", True),
        ("lvs_flush foo", "lvs_flush", True),
        ("lvs_flush_on_stop", "lvs_flush_on_stop", "all"),
        ("lvs_flush_on_stop VS", "lvs_flush_on_stop", "VS"),
        ("lvs_flush_onstop VS", "lvs_flush_on_stop", "VS"),
    ],
)
def test_values(line: str, field: str, value: object) -> None:
    found, told = globals_of(line)
    assert getattr(found, field) == value
    assert told in ([], ["extra-words"], ["deprecated"])
    name = "lvs_flush_on_stop" if "onstop" in line else line.split()[0]
    assert found.places[name].line == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("router_id", "missing-argument"),
        ("vrrp_mcast_group4 10.0.0.1", "invalid-value"),
        ("vrrp_mcast_group4 ff02::12", "invalid-value"),
        ("vrrp_mcast_group6 224.0.0.18", "invalid-value"),
        ("vrrp_mcast_group4 x", "invalid-value"),
        ("vrrp_startup_delay 0", "invalid-number"),
        ("vrrp_startup_delay 4294.967296", "invalid-number"),
        ("vrrp_garp_interval 0", "invalid-number"),
        ("vrrp_gna_interval 4295", "invalid-number"),
        ("lvs_flush_on_stop all", "invalid-value"),
        ("vrrp_version 1", "invalid-value"),
        ("vrrp_lower_prio_no_advert True", "invalid-value"),
    ],
)
def test_refused_values_leave_the_default(line: str, told: str) -> None:
    assert globals_of(line) == (GlobalDefs(), [told])


def test_too_many_decimals_are_rounded_and_reported() -> None:
    found, told = globals_of("vrrp_garp_interval 0.0000015")
    assert found.vrrp_garp_interval_s == 0.000002
    assert told == ["too-many-decimals"]


def test_child_wait_time_stands_at_the_top_level() -> None:
    assert load("child_wait_time 0\n").config.globals.child_wait_time_s == 0.0
    result = load("child_wait_time -1\n")
    assert result.config.globals.child_wait_time_s == 5.0
    assert codes(result) == ["invalid-number"]


# --- the tables -------------------------------------------------------------------------------


def keywords(block: Block, path: str = "") -> list[tuple[str, Keyword]]:
    found = []
    for name, keyword in block.keywords.items():
        found.append((f"{path}.{name}".lstrip("."), keyword))
        if keyword.block is not None:
            found.extend(keywords(keyword.block, f"{path}.{name}"))
    return found


def test_every_row_with_effect_says_what_it_takes_and_does() -> None:
    effective = [(path, k) for path, k in keywords(ROOT) if k.type is not Type.INERT]
    assert len(effective) > 120
    for path, keyword in effective:
        assert keyword.help, path
        assert keyword.worker or path == "global_defs", path
        assert keyword.takes or keyword.type is Type.WORDS, path
        if keyword.type in (Type.INTEGER, Type.DECIMAL):
            assert keyword.low is not None, path


def test_every_known_block_is_reachable() -> None:
    reachable = {path for path, keyword in keywords(ROOT) if keyword.block is not None}
    assert {path for path in KNOWN_KEYWORDS if path} <= reachable


def test_number_of_known_keywords() -> None:
    """keepalived 2.4.3: rows of its keyword list that are keywords (not entries of value blocks)."""
    assert sum(len(words.split()) for words in KNOWN_KEYWORDS.values()) == 531


def test_word_lists_name_known_keywords() -> None:
    every = {path.rpartition(".")[2] for path, _ in keywords(ROOT)}
    assert every >= SCRIPT_KEYWORDS
    assert every >= NAMED_BLOCKS
    assert every >= set(CONSEQUENCES)


def test_all_keywords_known_to_keepalived_are_accepted_as_known() -> None:
    for path, keyword in keywords(ROOT):
        if "." in path or keyword.block is not None:
            continue
        assert "unknown-keyword" not in codes(load(f"{path} 1\n"))
    for name, keyword in GLOBAL_DEFS.keywords.items():
        if keyword.extension:  # ours
            continue
        end = " {\n}" if keyword.block is not None else " 1"
        assert "unknown-keyword" not in codes(load(f"global_defs {{\n{name}{end}\n}}\n")), name
