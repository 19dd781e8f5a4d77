"""Where text came from and where it was used: through includes, parameters, iterators."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus import codec
from keepalived_conf.diagnostics import Diagnostic
from keepalived_conf.loading import load as load_file
from keepalived_conf.loading import slices
from keepalived_conf.model import VrrpSlice
from tests.unit.conf.support import find, load


def trace(item: Diagnostic) -> list[str]:
    return [str(item.place), *(f"{step.how} {step.place}" for step in item.trace)]


HEAD = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "priority 0\n}\n", ["t.conf:5:10"]),
        # the value of a parameter: at its use, and where it is defined
        ("$P=0\n" + HEAD + "priority $P\n}\n", ["t.conf:6:10", "defined at t.conf:1:4"]),
        ("$P=$Q\n$Q=0\n" + HEAD + "priority $P\n}\n", ["t.conf:7:10", "defined at t.conf:2:4"]),
        # of a parameter of several lines: where it stands, and where it is used
        ("$M=\\\n x 1 \\\n priority 0\n" + HEAD + " $M\n}\n", ["t.conf:3:11", "used at t.conf:8:2"]),
        (
            "$I=\\\n x 1 \\\n priority 0\n$M=\\\n x 2 \\\n $I\n" + HEAD + "$M\n}\n",
            ["t.conf:3:11", "used at t.conf:6:2", "used at t.conf:11:1"],
        ),
        (
            "$P=0\n$M=\\\n x 1 \\\n priority $P\n" + HEAD + "$M\n}\n",
            ["t.conf:4:11", "defined at t.conf:1:4", "used at t.conf:9:1"],
        ),
        # its first line behind other text is at its use
        ("$M=\\\n0 \\\n x\n" + HEAD + "priority $M\n}\n", ["t.conf:8:10", "defined at t.conf:2:1"]),
        # an iterator's variable is defined by the iterator
        (HEAD + "~SEQ(N,0) priority -$N\n}\n", ["t.conf:5:20"]),
        (HEAD + "~SEQ(N,300,300) priority $N\n}\n", ["t.conf:5:26", "defined at t.conf:5:1"]),
    ],
)
def test_the_way_from_where_it_stands_to_where_it_counts(text: str, expected: list[str]) -> None:
    result = load(text)
    assert trace(next(d for d in result.diagnostics if d.code == "invalid-number")) == expected


def test_includes_name_every_step(tmp_path: Path) -> None:
    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    main = put("k.conf", "\n\n  include a\n")
    put("a", HEAD + "include b\n}\n")
    put("b", "$P=0\npriority $P\n")
    result = load_file(main, config_id="n")
    item = next(d for d in result.diagnostics if d.code == "invalid-number")
    assert trace(item) == [
        f"{tmp_path}/b:2:10",
        f"defined at {tmp_path}/b:1:4",
        f"included from {tmp_path}/a:5:1",
        f"included from {main}:3:3",
    ]
    shown = result.text().splitlines()
    at = next(i for i, line in enumerate(shown) if "error: priority" in line)
    assert shown[at + 1 : at + 6] == [
        "    priority $P",
        "             ^",
        f"    defined at {tmp_path}/b:1:4",
        f"    included from {tmp_path}/a:5:1",
        f"    included from {main}:3:3",
    ]


def test_where_text_came_from_is_no_part_of_what_it_is() -> None:
    plain = load(HEAD + "priority 7\n}\n").config
    by_parameter = load("$P=7\n" + HEAD + "priority $P\n}\n")
    assert by_parameter.config == plain
    found = slices(by_parameter.config)["vrrp"]
    assert codec.loads(VrrpSlice, codec.dumps(found)) == found


def test_a_secret_from_a_parameter_stays_hidden() -> None:
    result = load(f"$W=hunter2hunter2\n{HEAD}authentication {{\nauth_type PASS\nauth_pass $W\n}}\n}}\n")
    assert find(result, "auth-pass-cut").place is not None
    assert "hunter2" not in result.text()
