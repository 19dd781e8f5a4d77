"""Where keepalived is wrong: the rows of docs/differences.md about reading, each as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived_conf.loading import exit_status
from keepalived_conf.loading import load as load_file
from tests.unit.conf.support import codes, find, instance_text, load, where

HEAD = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n"


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        ("mystery { x 1 }\n", "unknown-keyword"),
        ("mystery {\npriority 7\n}\n", "unknown-keyword"),
        ("nopreempt {\npriority 7\n}\n", "unexpected-open-brace"),
        ("{ priority 7 }\n", "unexpected-open-brace"),
    ],
)
def test_a_body_that_belongs_to_nothing_closes_no_other_block(odd: str, code: str) -> None:
    result = load(HEAD + odd + "priority 90\n}\n")
    assert codes(result).count(code) == 1
    assert result.config.vrrp_instances[0].priority == 90
    assert not result.fatal


def test_a_missing_argument_does_not_hide_what_follows() -> None:
    result = load(HEAD + "priority\n}\nglobal_defs {\nvrrp_version 9\n}\nbogus\n")
    assert {"missing-word", "invalid-number", "unknown-keyword"} <= set(codes(result))
    assert exit_status(result) == 2


def test_a_long_line_is_read_whole() -> None:
    result = load(HEAD + "priority 90" + " " * 2000 + "# far away\n}\n")
    assert result.config.vrrp_instances[0].priority == 90
    assert where(find(result, "line-too-long")) == (5, 1023)


def test_a_byte_order_mark_spoils_nothing() -> None:
    plain = load(instance_text())
    marked = load(b"\xef\xbb\xbf" + instance_text().encode())
    assert marked.config == plain.config
    assert codes(marked) == ["byte-order-mark"]


def test_a_parameter_that_contains_itself_is_said() -> None:
    result = load("$IF=${IF}\n" + HEAD + "track_interface {\n$IF\n}\n}\n")
    assert result.fatal
    assert where(find(result, "endless-parameter")) == (7, 1)


@pytest.mark.parametrize("kind", ["missing", "folder", "executable"])
def test_a_main_file_that_cannot_be_read_is_no_good_configuration(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "k.conf"
    if kind == "folder":
        path.mkdir()
    elif kind == "executable":
        path.write_text(instance_text())
        path.chmod(0o755)
    result = load_file(path)
    assert codes(result) == ["no-file"]
    assert result.fatal
    assert exit_status(result) == 4


def test_global_defs_count_wherever_they_stand() -> None:
    defs = "global_defs {\nvrrp_version 3\n}\n"
    body = instance_text()
    assert load(defs + body).config == load(body + defs).config != load(body).config


def test_our_own_lines_are_read_and_others_ids_are_not() -> None:
    result = load(HEAD + "@pykeepalived priority 90\n@other priority 80\n}\n")
    assert result.config.vrrp_instances[0].priority == 90
