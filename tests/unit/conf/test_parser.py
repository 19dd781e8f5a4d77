"""Structure: blocks, braces in odd places, unknown blocks, comments kept."""

from __future__ import annotations

import pytest

from keepalived_conf.diagnostics import Diagnostics
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.syntax.lexer import read_lines
from keepalived_conf.syntax.parser import MAX_DEPTH, Comment, Node, Statement, parse
from tests.unit.conf.support import codes, find, load, where


def tree(text: str) -> tuple[list[Node], Diagnostics]:
    found = Diagnostics()
    lines, _ = read_lines(text.encode(), "f", found)
    return parse(lines, ROOT, found), found


def shape(nodes: list[Node]) -> list[object]:
    out: list[object] = []
    for node in nodes:
        if isinstance(node, Comment):
            out.append(node.text)
        elif node.body is None:
            out.append(" ".join(word.text for word in node.words))
        else:
            out.append((" ".join(word.text for word in node.words), shape(node.body)))
    return out


EXPECTED = [("vrrp_instance A", ["interface eth0", ("virtual_ipaddress", ["10.0.0.1 dev eth1"])])]


@pytest.mark.parametrize(
    "text",
    [
        "vrrp_instance A {\ninterface eth0\nvirtual_ipaddress {\n10.0.0.1 dev eth1\n}\n}\n",
        "vrrp_instance A { interface eth0\nvirtual_ipaddress { 10.0.0.1 dev eth1 } }",
        "vrrp_instance A{\ninterface eth0\nvirtual_ipaddress{10.0.0.1 dev eth1}\n}",
        "vrrp_instance A\n{\ninterface eth0\nvirtual_ipaddress\n\n{\n10.0.0.1 dev eth1 } }",
        "vrrp_instance A\n\n\n{ interface eth0\nvirtual_ipaddress {\n10.0.0.1 dev eth1 }\n}",
    ],
)
def test_braces_split_lines_wherever_they_stand(text: str) -> None:
    nodes, found = tree(text)
    assert shape(nodes) == EXPECTED
    assert not found.items


def test_comments_and_order_are_kept() -> None:
    nodes, _ = tree("# one\nglobal_defs { # two\n router_id a ! three\n # four\n}\n")
    assert shape(nodes) == ["# one", ("global_defs", ["# two", "router_id a", "! three", "# four"])]
    block = nodes[1]
    assert isinstance(block, Statement)
    comments = [node for node in block.body or [] if isinstance(node, Comment)]
    assert [(c.line, c.column, c.trailing) for c in comments] == [(2, 15, True), (3, 14, True), (4, 2, False)]
    assert (block.line, block.end_line) == (2, 5)


def test_an_unknown_block_does_not_close_the_block_around() -> None:
    result = load(
        "vrrp_instance A {\ninterface eth0\nvirtual_router_id 5\nmystery { x 1\n inner { y } }\n"
        "priority 90\nvirtual_ipaddress { 10.0.0.1 }\n}\n"
    )
    assert not result.fatal
    assert result.config.vrrp_instances[0].priority == 90
    shown = [item for item in result.diagnostics if not item.implied]
    assert [item.code for item in shown] == ["unknown-keyword"]
    assert where(shown[0]) == (4, 1)
    # keepalived complains of each line inside; a program that reads the diagnostics finds them all.
    implied = [item for item in result.diagnostics if item.implied]
    assert [where(item) for item in implied] == [(4, 11), (5, 2), (5, 10), (5, 12), (5, 14)]
    assert "ignored-line" not in result.text()


def test_a_value_block_without_open_brace_ends_at_the_next_close_brace() -> None:
    result = load(
        "vrrp_instance A {\ninterface eth0\nvirtual_router_id 5\ntrack_interface eth1\n"
        "authentication {\nauth_type PASS\n}\nvirtual_ipaddress { 10.0.0.1 }\n}\n"
    )
    assert not result.fatal
    assert [str(one.interface) for one in result.config.vrrp_instances[0].virtual_addresses] == [
        "10.0.0.1/32"
    ]
    assert where(find(result, "unexpected-open-brace")) == (5, 16)
    assert {
        where(item)[0]
        for item in result.diagnostics
        if item.code == "invalid-entry" or "option" in item.message
    } >= {6}


def test_lines_of_a_block_without_open_brace_are_listed_for_programs() -> None:
    result = load("vrrp_instance A\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress { 10.0.0.1 }\n}\n")
    implied = {where(item)[0] for item in result.diagnostics if item.implied}
    assert implied == {2, 3, 4, 5}
    assert [where(i) for i in result.diagnostics if i.code == "missing-open-brace"] == [(1, 1)]


def test_a_block_behind_a_plain_keyword_belongs_to_it() -> None:
    result = load(
        "vrrp_instance A {\ninterface eth0 {\n junk\n}\nvirtual_router_id 5\n"
        "virtual_ipaddress { 10.0.0.1 }\n}\n"
    )
    assert codes(result) == ["unexpected-open-brace"]
    assert where(find(result, "unexpected-open-brace")) == (2, 16)
    assert result.config.vrrp_instances[0].interface == "eth0"


def test_missing_open_brace_reads_on_inside() -> None:
    nodes, found = tree("vrrp_instance A\ninterface eth0\nvirtual_ipaddress {\n10.0.0.1 dev eth1\n}\n}\n")
    assert shape(nodes) == EXPECTED
    assert [(d.code, str(d.place)) for d in found.items] == [("missing-open-brace", "f:1:1")]


def test_extra_close_brace() -> None:
    nodes, found = tree("global_defs {\n}\n }\nchild_wait_time 3\n")
    assert shape(nodes) == [("global_defs", []), "child_wait_time 3"]
    assert [(d.code, str(d.place)) for d in found.items] == [("unexpected-close-brace", "f:3:2")]


def test_missing_close_brace_names_the_open_block_and_the_count() -> None:
    _, found = tree("vrrp_instance A {\nvirtual_ipaddress {\n10.0.0.1\n")
    assert [(d.code, str(d.place)) for d in found.items] == [("missing-close-brace", "f:2:1")]
    assert "2 missing" in found.items[0].message


def test_a_brace_without_keyword_is_an_ignored_block() -> None:
    nodes, found = tree("{ a\n{ b } }\nchild_wait_time 3\n")
    assert shape(nodes) == [("", [("a", ["b"])]), "child_wait_time 3"]
    assert [(d.code, str(d.place)) for d in found.items] == [("unexpected-open-brace", "f:1:1")]


def test_deep_nesting_ends_in_one_diagnostic() -> None:
    depth = 10_000
    nodes, found = tree("x {\n" * depth + "}\n" * depth + "child_wait_time 3\n")
    assert [d.code for d in found.items] == ["too-deep"]
    assert shape(nodes[-1:]) == ["child_wait_time 3"]
    assert depth > MAX_DEPTH


def test_many_stray_braces_are_bounded() -> None:
    _, found = tree("}\n" * 5000)
    assert len(found.items) == 1000
    assert found.left_out == 4000


def test_only_a_line_end_or_brace_ends_a_keyword() -> None:
    result = load("global_defs { router_id a smtp_server 1.1.1.1 }\n")
    assert result.config.globals.router_id == "a"
    assert where(find(result, "extra-words")) == (1, 27)


def test_escaped_hash_is_a_character_in_global_defs_and_a_comment_elsewhere() -> None:
    result = load(
        "global_defs {\nrouter_id a\\#b\n}\nvrrp_instance A {\ninterface eth0\nvirtual_router_id 1\n"
        "virtual_ipaddress { 10.0.0.1 }\nauthentication {\nauth_type PASS\nauth_pass x\\!y\n}\n}\n"
    )
    assert result.config.globals.router_id == "a#b"
    assert result.config.vrrp_instances[0].auth_pass == b"x"
    assert where(find(result, "escaped-comment")) == (10, 12)


def test_invalid_utf8_in_a_value_is_replaced_and_reported() -> None:
    result = load(b"global_defs {\nrouter_id n\xe9\n}\n")
    assert result.config.globals.router_id == "n\ufffd"
    assert codes(result) == ["not-utf-8"]
    result.config.globals.router_id.encode()


def test_invalid_utf8_in_a_password_is_kept_byte_for_byte() -> None:
    result = load(
        b"vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n"
        b"authentication {\nauth_type PASS\nauth_pass p\xe9q\n}\n}\n"
    )
    assert result.config.vrrp_instances[0].auth_pass == b"p\xe9q"


def test_a_word_whose_quote_is_not_closed_is_left_out() -> None:
    result = load(
        b'global_defs {\nvrrp_iptables a "b c\n}\nvrrp_instance A {\nnotify_master "x y" "root\n}\n'
    )
    lines = [node for node in result.tree if isinstance(node, Statement)]
    inside = [[word.text for word in one.words] for block in lines for one in block.statements()]
    assert inside == [["vrrp_iptables", "a"], ["notify_master", "x y"]]
    assert [str(d.place) for d in result.diagnostics if d.code == "unmatched-quote"] == [
        "t.conf:2:17",
        "t.conf:5:21",
    ]


def test_quotes_of_a_script_are_its_own_matter() -> None:
    result = load(b"""vrrp_instance A {\nnotify_master '/x "a' root "b\n}\n""")
    assert "unmatched-quote" not in [d.code for d in result.diagnostics]
    tree = [node for node in result.tree if isinstance(node, Statement)]
    assert next(tree[0].statements()).raw == """notify_master '/x "a' root "b"""
