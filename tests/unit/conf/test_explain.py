"""explain and completion: what a row says, found by any reasonable way to ask."""

from __future__ import annotations

import json

import pytest

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import rows_of
from keepalived_conf.tools.completion import completion
from keepalived_conf.tools.explain import WIDTH, UnknownKeywordError, explain

ROWS = list(rows_of(ROOT))


@pytest.mark.parametrize(
    "asked",
    [["vrrp_instance", "priority"], ["vrrp_instance.priority"], ["priority"], ["VRRP_INSTANCE", "Priority"]],
)
def test_a_keyword_is_found_however_it_is_asked_for(asked: list[str]) -> None:
    text = explain(asked)
    assert text.startswith("priority in vrrp_instance\n")
    row = ROOT.keywords["vrrp_instance"].block.keywords["priority"]  # type: ignore[union-attr]
    for fact in (row.help, "from 1 to 255", row.default, row.worker, str(row.effect)):
        assert fact in text.replace("\n    ", " ")


def test_every_keyword_of_every_block_is_explained_and_fits_a_terminal() -> None:
    for path, row in ROWS:
        text = explain([*path.split("."), row.name])
        assert f"\n    {'takes':<12}" in text, (path, row.name)
        assert max(map(len, text.splitlines())) <= WIDTH, (path, row.name)


def test_the_same_keyword_with_the_same_meaning_is_told_once() -> None:
    text = explain(["real_server", "HTTP_GET", "connect_port"])
    assert text.count("connect_port in") == 1
    assert "HTTP_GET" in text


def test_the_block_that_is_named_counts() -> None:
    assert explain(["real_server", "weight"]).startswith("weight in virtual_server > real_server\n")
    assert explain(["virtual_server", "weight"]).startswith("weight in virtual_server\n")


def test_an_alias_names_what_it_stands_for_and_the_other_way_round() -> None:
    alias = next((path, row) for path, row in ROWS if row.alias_of and path == "virtual_server")
    assert alias[1].alias_of in explain([alias[0], alias[1].name])
    assert alias[1].name in explain([alias[0], alias[1].alias_of])


@pytest.mark.parametrize("word", ["include", "~SEQ", "@ID", "${_ENV}"])
def test_what_may_stand_on_any_line_is_explained_too(word: str) -> None:
    assert explain([word]).startswith(f"{word} in any line\n")
    assert word in completion()["anywhere"]


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        (["priorty"], "priority"),
        (["vrrp_instance", "virtual_router_ip"], "virtual_router_id"),
        (["virtual_server", "priority"], "vrrp_instance priority"),
        (["garp_master"], "garp_master_delay"),
        ([], "vrrp_instance"),
    ],
)
def test_a_near_miss_is_named(asked: list[str], near: str) -> None:
    with pytest.raises(UnknownKeywordError) as caught:
        explain(asked)
    assert near in caught.value.near
    assert "\n" not in str(caught.value)


def test_nothing_like_it() -> None:
    with pytest.raises(UnknownKeywordError) as caught:
        explain(["qqqqqqqqqq" * 20])
    assert caught.value.near == ()
    assert len(str(caught.value)) < 150


def test_completion_knows_every_keyword_in_its_block() -> None:
    found = completion()
    json.dumps(found)
    assert {(path, row.name) for path, row in ROWS} == {
        (path, name) for path, block in found["blocks"].items() for name in block["keywords"]
    }
    state = found["blocks"]["vrrp_instance"]["keywords"]["state"]
    assert state["values"] == ["MASTER", "BACKUP"]
    assert state["insert"] == "state ${1|MASTER,BACKUP|}"
    assert found["blocks"][""]["keywords"]["vrrp_instance"]["block"] == "vrrp_instance"
