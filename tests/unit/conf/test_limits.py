"""Whatever a file asks for ends soon, with a clear diagnostic, within bounds of memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keepalived_conf import files
from keepalived_conf.loading import LoadResult
from keepalived_conf.loading import load as load_file
from keepalived_conf.syntax import preprocess
from keepalived_conf.syntax.lexer import MAX_LINE_CHARS
from keepalived_conf.syntax.parser import MAX_DEPTH
from tests.unit.conf.support import codes, find, instance_text, load, where

SOON_S = 5.0
"""Far more than it takes, far less than without end; the fuzzer is stricter (1 s on an idle host)."""
MEMORY_KB = 400 * 1024


@pytest.fixture(autouse=True)
def bounds() -> Iterator[None]:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    yield
    assert time.process_time() - started < SOON_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < MEMORY_KB


@pytest.fixture
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "MAX_MADE_LINES", 5_000)
    monkeypatch.setattr(preprocess, "MAX_MADE_BRACES", 5_000)


def doubling(steps: int) -> str:
    """Parameters, each twice the one before: 2 ** steps words."""
    return "$A0=word \n" + "".join(f"$A{n}=${{A{n - 1}}}${{A{n - 1}}}\n" for n in range(1, steps + 1))


def lines_doubling(steps: int) -> str:
    return "$L0=\\\nx 1 \\\nx 2\n" + "".join(
        f"$L{n}=\\\n$L{n - 1} \\\n$L{n - 1}\n" for n in range(1, steps + 1)
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("$A=${A}\nx $A", "endless-parameter"),
        ("$A=$B\n$B=$A\nx $A", "endless-parameter"),
        ("$A=${A}${A}\nx $A", "endless-parameter"),
        ("$M=\\\na\\\n$M\n$M", "endless-parameter"),
        ("$A=${B} \n$B=${C} \n$C=x${A}\n" + "y $A\n" * 1000, "endless-parameter"),
        (doubling(40) + "x ${A40}\n", "endless-parameter"),
        (doubling(12) + "x ${A8}\n" * 5000, "too-many-lines"),
        (lines_doubling(40) + "$L40\n", "too-many-lines"),
        ("~SEQ(A,1,60000) ~SEQ(B,1,60000) x $A$B\n", "too-many-lines"),
        ("$M=\\\nx 1\\\nx 2\n~SEQ(A,1,60000) ~SEQ(B,1,60000) $M\n", "too-many-lines"),
        ("~SEQ(A,1,1000) " + "} " * 30000 + "\n", "too-many-lines"),
        ("}~SEQ(N,1,9) " * 30 + "\n", "too-many-lines"),
        ("$A=" + "{ } " * 1000 + "\n" + "$A\n" * 1000, "too-many-lines"),
        ("~SEQ(A,1,99999999) x\n", "bad-iterator"),
        ("~SEQ(A,1,99999999999999999999999999999999999999) x\n", "bad-iterator"),
        ("~SEQ(A," + "1" * 60000 + ") x\n", "bad-iterator"),
        ("~LST(A" + ",b" * 3000 + ") x\n", "line-too-long"),
        ("a {\n" * 1000 + "}\n" * 1000, "too-deep"),
        ("{" * 60000, "too-deep"),
        ("global_defs {\n" * 1000, "too-deep"),
        ("}" * 60000, "unexpected-close-brace"),
        ("x" * 1_000_000, "line-too-long"),
        ('"' * 60000, "unknown-keyword"),
        ("\\#" * 30000, "escaped-comment"),
        ("a\0b\n", "nul-byte"),
        ("include " + "{a,b}" * 800 + "\n", "include-failed"),
        ("include " + "*/" * 300 + "\n", "include-failed"),
        ("include " + "[" * 3000 + "\n", "include-failed"),
        ("include none\n" * 5000, "too-many-lines"),
        ("global_defs {\n" + "router_id x\n" * 5000 + "}\n", "nothing-to-do"),
    ],
)
@pytest.mark.usefixtures("few_lines")
def test_it_ends(text: str, code: str) -> None:
    result = load(text)
    assert code in [item.code for item in result.diagnostics], codes(result)
    fatal = code in ("endless-parameter", "too-many-lines")
    assert result.fatal == fatal


@pytest.mark.usefixtures("few_lines")
def test_a_large_file_full_of_parameters_is_read_whole() -> None:
    result = load("$A=192.0.2.1\n" + "virtual_ipaddress { $A }\n" * 8000)
    assert "too-many-lines" not in codes(result)


def test_one_complaint_for_an_endless_parameter_is_enough() -> None:
    result = load("$A=${A}\n" + "x $A\n" * 300)
    assert codes(result).count("endless-parameter") == 1


def test_thousand_blocks_deep_name_the_place() -> None:
    item = find(load("a {\n" * 1000 + "}\n" * 1000), "too-deep")
    assert where(item) == (MAX_DEPTH + 1, 3)


def test_a_long_line_names_the_place() -> None:
    item = find(load("a\n" + "x" * (MAX_LINE_CHARS + 1)), "line-too-long")
    assert where(item) == (2, MAX_LINE_CHARS + 1)
    assert item.severity == "error"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\n\n\t\n" + text + "\n\n",
        lambda text: text + "# no line end behind a comment",
        lambda text: text.replace(" {", "\n{").replace("10.0.0.1", "10.0.0.1 # café"),
    ],
)
def test_line_ends_change_nothing(change: Callable[[str], str]) -> None:
    plain = load(instance_text())
    result = load(change(instance_text()))
    assert codes(result) == codes(plain) == []
    assert result.config == plain.config


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def included(folder: Path, texts: dict[str, str]) -> LoadResult:
    for name, text in texts.items():
        put(folder, name, text)
    return load_file(folder / "k.conf", config_id="n")


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    result = included(tmp_path, {"k.conf": "include a\n", "a": "include b\ninclude b\n", "b": "include a\n"})
    assert codes(result) == ["include-loop", "include-loop"]
    assert result.fatal


@pytest.mark.usefixtures("few_lines")
def test_a_tree_of_includes_that_doubles_ends(tmp_path: Path) -> None:
    texts = {f"f{n}": f"include f{n + 1}\ninclude f{n + 1}\n" for n in range(30)}
    result = included(tmp_path, {"k.conf": "include f0\n", "f30": "x\n", **texts})
    assert "too-many-lines" in codes(result)
    assert result.fatal


def test_a_large_file_included_again_and_again_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TOTAL_BYTES", 1_000_000)
    result = included(tmp_path, {"k.conf": "include f\n" * 1000, "f": "# " + "x" * 10_000 + "\n"})
    assert "too-many-bytes" in codes(result)
    assert result.fatal


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1000)
    result = included(tmp_path, {"k.conf": "x" * 1001})
    assert codes(result) == ["no-file"]
    assert "larger than 1000 bytes" in result.text()


def test_too_many_lines_of_files_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "MAX_LINES", 1000)
    result = included(tmp_path, {"k.conf": "include f\n" * 30, "f": "\n" * 100})
    assert "too-many-lines" in codes(result)


def test_what_follows_a_limit_is_not_read() -> None:
    seeds = "~SEQ(A,1,60000) ~SEQ(B,1,60000) x\n"
    result = load(instance_text() + seeds + instance_text(vrid=2))
    assert result.config.vrrp_instances == ()
    assert result.fatal
