"""Conditions, parameters, iterators, include."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keepalived_conf.diagnostics import Diagnostics
from keepalived_conf.loading import exit_status, load
from keepalived_conf.syntax.includes import Included, IncludeResult
from keepalived_conf.syntax.lexer import read_lines
from keepalived_conf.syntax.preprocess import Preprocessor


def expand(text: str, *, config_id: str = "high") -> tuple[list[str], Diagnostics]:
    found = Diagnostics()
    lines, _ = read_lines(text.encode(), "f", found)
    stage = Preprocessor(
        diagnostics=found,
        config_id=config_id,
        include=lambda pattern, folder: IncludeResult(files=()),
        environ=lambda name: {"HOME": "/root"}.get(name, ""),
        random=lambda low, high: high,
    )
    main = Included(file="f", identity="f", folder="/etc/k", lines=lines)
    return [line.text.strip() for line in stage.run(main) if line.text.strip()], found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@high a", ["a"]),
        ("@low a", []),
        ("@^low a", ["a"]),
        ("@^high a", []),
        ("@highest a", []),
        ("@high", []),
        ("@pykeepalived a", ["a"]),
        ("@^pykeepalived a", []),
        ("@high @low text", ["@low text"]),
        ("@ a", []),
        ("@^ a", ["a"]),
        ("block { @high a", ["block {", "a"]),
        ("block { @low a }", ["block {"]),
        ('x "{ @low a"', ['x "{ @low a"']),
        ("$A=@low\n${A} b", ["@low b"]),
        ("block { $A=1\nx $A", ["block {", "x 1"]),
        ("block { ~SEQ(X,1,2) a$X", ["block {", "a1", "a2"]),
        ("@high $A=1\na $A", ["a 1"]),
        ("@low $A=1\na $A", ["a $A"]),
    ],
)
def test_conditions(text: str, expected: list[str]) -> None:
    assert expand(text)[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A=5\nx $A y", ["x 5 y"]),
        ("$A=5\n${A}_id", ["5_id"]),
        ("$A=1.1.1.1\n$A/24", ["$A/24"]),
        ("$A=1\n${A}/24", ["1/24"]),
        ("$A=1\n$A.1 $Ax", ["$A.1 $Ax"]),
        ("$A=1\nf($A,$A)", ["f(1,1)"]),
        ("$A=   b c  \nx $A", ["x b c"]),
        ('$A="b c"\nx $A', ['x "b c"']),
        ("$A = 5", ["$A = 5"]),
        ("x $B", ["x $B"]),
        ("$A=$B\n$B=2\nx $A", ["x 2"]),
        ("$A=1\n$A=2\nx $A", ["x 2"]),
        ('$A=1\nx "$A "', ['x "1 "']),
        ("x ${_PWD}", ["x /etc/k"]),
        ("x ${_INSTANCE}", ["x high"]),
        ("x ${_ENV HOME}", ["x /root"]),
        ("x ${_RANDOM 3 9}", ["x 9"]),
        ("x ${_RANDOM}", ["x 32767"]),
        ("x $_RANDOM", ["x 32767"]),
        ("x ${_RANDOM 7 7 }", ["x ${_RANDOM 7 7 }"]),
        ("x ${_ENV HOME }", ["x ${_ENV HOME }"]),
        ("x ${_PWD 1}", ["x ${_PWD 1}"]),
        ("$A=1\nx ${A 1}", ["x ${A 1}"]),
        ("$_RANDOM=5\nx ${_RANDOM 1 2}", ["x 5"]),
        ("x ${_ENV NOT_SET} y", ["x  y"]),
        ("$A=1\nx ${${A}}", ["x ${1}"]),
        ("$A=~SEQ(X,1,2) a$X\n$A", ["~SEQ(X,1,2) a$X"]),
        ("x $", ["x $"]),
        ("$A=\nx $A y", ["x  y"]),
        ("$A= \\\n # c \\\n 1\nx $A y", ["x 1 y"]),
        ("$9=1", ["$9=1"]),
        ('x "${_HASH}${_BANG}"', ['x "#!"']),
        ("$_INSTANCE=q\nx ${_INSTANCE}", ["x q"]),
    ],
)
def test_parameters(text: str, expected: list[str]) -> None:
    found, diagnostics = expand(text)
    assert found == expected
    assert not diagnostics.items


def test_multi_line_parameter() -> None:
    text = "$VI= \\\nvrrp_instance V$N { \\\n  priority 1 \\\n"
    text += "@low gone \\\n@high kept \\\n}\n$N=7\n$VI\nnext\n"
    assert expand(text)[0] == ["vrrp_instance V7 {", "priority 1", "kept", "}", "next"]


@pytest.mark.parametrize("between", ["", "  ", "# c", " # c \\"])
def test_a_line_without_text_ends_a_multi_line_parameter(between: str) -> None:
    found, diagnostics = expand(f"$M= \\\none \\\n{between}\ntwo \\\n$M\n")
    assert found == ["two\\", "one"]
    assert [(d.code, d.place.line) for d in diagnostics.items if d.place] == [("unfinished-definition", 3)]


@pytest.mark.parametrize("between", ["  ", "# c", " # c \\"])
def test_blanks_before_a_value_of_one_line_do_not_matter(between: str) -> None:
    assert expand(f"$M= \\\n{between}\n7\nx $M\n")[0] == ["x 7"]
    found, diagnostics = expand(f"$M= \\\n{between}\n7\\\n8\n$M\n")
    assert found == ["7", "8"]
    assert [(d.code, d.place.line) for d in diagnostics.items if d.place] == [("unfinished-definition", 3)]


def test_an_empty_line_ends_a_multi_line_parameter() -> None:
    found, diagnostics = expand("$M=\\\none \\\n\ntwo \\\n$M\n")
    assert found == ["two\\", "one"]
    assert [(d.code, str(d.place)) for d in diagnostics.items] == [("unfinished-definition", "f:3:1")]


def test_multi_line_parameter_inside_another() -> None:
    assert expand("$I=\\\ni1 \\\ni2\n$O=\\\no1 \\\n$I \\\no2\n$O\n")[0] == ["o1", "i1", "i2", "o2"]
    assert expand("$M=\\\n@high a\\\n@high b\n$M\n")[0] == ["@high a", "b"]
    assert expand("$O=\\\nblock { $I \\\n}\n$I=\\\n@low a\\\nb\n$O\n")[0] == ["block {", "b", "}"]


@pytest.mark.parametrize(
    ("text", "place", "literal"),
    [
        ("a ${_RANDOM x}", "f:1:3", "a ${_RANDOM x}"),
        ("a ${_RANDOM 1 2 3}", "f:1:3", "a ${_RANDOM 1 2 3}"),
        ("a ${_RANDOM 9 3}", "f:1:3", "a 9"),
        ("a ${_RANDOM 40000}", "f:1:3", "a 40000"),
        ("a ${_ENV}", "f:1:3", "a"),
        ("a ${_ENV A B}", "f:1:3", "a ${_ENV A B}"),
    ],
)
def test_wrong_words_of_built_in_parameters(text: str, place: str, literal: str) -> None:
    found, diagnostics = expand(text)
    assert found == [literal]
    assert [str(d.place) for d in diagnostics.items] == [place]
    assert diagnostics.items[0].severity == "error"


def test_after_a_replacement_an_escaped_hash_is_a_comment() -> None:
    found, diagnostics = expand("$A=1\nx $A \\# y\nx \\# y\n")
    assert found == ["x 1", "x \ufdd0 y"]
    assert expand("$M=\\\na\\\nb\nx \\# $M\n")[0] == ["x", "b"]
    assert [(d.code, str(d.place)) for d in diagnostics.items] == [("escaped-comment", "f:2:6")]


def test_multi_line_parameter_with_braced_references_and_a_prefix() -> None:
    assert expand("$M=\\\none ${N} \\\ntwo\n$N=7\npre $M\n")[0] == ["pre one 7", "two"]


def test_multi_line_parameter_expands_at_the_end_of_a_line_only() -> None:
    assert expand("$M=\\\none \\\ntwo\n$M tail\n")[0] == ["$M tail"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~SEQ(X,3) a$X ", ["a1", "a2", "a3"]),
        ("~SEQ(X,0) $X", ["1", "0"]),
        ("~SEQ(X,,2) $X", ["0", "1", "2"]),
        ("~SEQ(X,010) $X", [str(n) for n in range(1, 9)]),
        ("~SEQ(X,2,2) $X", ["2"]),
        ("~SEQ(X,2,-7,2) $X", ["2"]),
        ("~SEQ(X,1,4,9) $X", ["1", "5", "9"]),
        ("~SEQ(X,1,4,8) $X", ["1", "5"]),
        ("~SEQ( X , 1 , 2 )   $X", ["1", "2"]),
        ("~SEQ (X,1,2) $X", ["1", "2"]),
        ("~SEQ(9,1,2) a", ["a", "a"]),
        ("$A=v w\n~SEQ($A,1) x", ["x"]),
        ("~SEQ(X,+1,+2) $X", ["1", "2"]),
        ("~LST(V,a,,b) x$V", ["xa", "x", "xb"]),
        ("~LST({A,B},a,b) ${A}-${B}", ["a-", "b-"]),
        ("~LST(V,$W) x$V\n$W=1", ["x$W"]),
        ("$W=1\n~LST(V,$W) x$V", ["x1"]),
        ("~SEQ(X,2,4) ${X}b", ["2b", "3b", "4b"]),
        ("~SEQ(X,1,2,5) $X", ["1", "3", "5"]),
        ("~SEQ(X,3,-1,1) $X", ["3", "2", "1"]),
        ("~SEQ(X,-2) $X", ["-1", "-2"]),
        ("~SEQ(X,0x10,0x11) $X", ["16", "17"]),
        ("~SEQx(X,9,11) $X", ["9", "a", "b"]),
        ("~SEQ(X,1,2) ~SEQ(Y,5,6) 10.0.${X}.$Y", ["10.0.1.5", "10.0.1.6", "10.0.2.5", "10.0.2.6"]),
        ("~SEQ(X,1,2) $X\nz $X", ["1", "2", "z 2"]),
        ("$E=2\n~SEQ(X,1,$E) $X", ["1", "2"]),
        ("~SEQ(X,1,2) @^high x$X", []),
        ("x ~SEQ(X,1,2) y", ["x ~SEQ(X,1,2) y"]),
        ("~LST(V,a,b) x $V", ["x a", "x b"]),
        ("~LST({A,B},{a,b},{c},{d,e}) ${A}-${B}", ["a-b", "c-", "d-e"]),
        ("$M=\\\np ${X} \\\nq\n~SEQ(X,1,2) $M", ["p 1", "q", "p 2", "q"]),
    ],
)
def test_iterators(text: str, expected: list[str]) -> None:
    found, diagnostics = expand(text)
    assert found == expected
    assert not diagnostics.items


@pytest.mark.parametrize(
    "text",
    [
        "~SEQ(X,1,0,3) a",
        "~SEQ(X,1,-1,3) a",
        "~SEQ(X) a",
        "~SEQ(X,1,2 a",
        "~SEQ(X,a) b",
        "~SEQ({X},1,2) a",
        "~SEQ",
        "~LST(V) a",
        "~LST(V,a b) x",
        "~LST({A},{a,b}) x",
        "~SEQx(X,-1,2) a",
        "~SEQ(X,99999999) a",
    ],
)
def test_bad_iterators_drop_the_line(text: str) -> None:
    found, diagnostics = expand(text)
    assert found == []
    assert [item.code for item in diagnostics.items] == ["bad-iterator"]


@pytest.mark.parametrize(
    "text", ["$A=${A}\nx $A", "$A=$B\n$B=$A\nx $A", "$A=${A}${A}\nx $A", "$M=\\\na\\\n$M\n$M"]
)
def test_endless_parameters_are_fatal_and_end(text: str) -> None:
    _, diagnostics = expand(text)
    assert diagnostics.fatal
    assert "endless-parameter" in [item.code for item in diagnostics.items]


def test_columns_point_into_the_line_as_written() -> None:
    found = Diagnostics()
    lines, _ = read_lines(b"$A=long value\nx ${A} y\n", "f", found)
    stage = Preprocessor(
        diagnostics=found,
        config_id="",
        include=lambda p, f: IncludeResult(files=()),
        environ=lambda name: "",
        random=lambda low, high: low,
    )
    line = list(stage.run(Included(file="f", identity="f", folder="/", lines=lines)))[-1]
    assert line.text == "x long value y"
    assert line.number == 2
    assert (line.column(0), line.column(2), line.column(11), line.column(13)) == (1, 3, 3, 8)


# --- include ----------------------------------------------------------------------------------


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


INSTANCE = (
    "vrrp_instance {0} {{\ninterface eth0\nvirtual_router_id {1}\nvirtual_ipaddress {{ 10.0.0.{1} }}\n}}\n"
)


def names(path: Path, config_id: str = "n") -> list[str]:
    return [one.name for one in load(path, config_id=config_id).config.vrrp_instances]


def test_include_is_relative_to_the_including_file_and_globs(tmp_path: Path) -> None:
    main = write(tmp_path, "k.conf", "include conf.d/*.conf\ninclude {x,y}.inc\n")
    write(tmp_path, "conf.d/b.conf", INSTANCE.format("B", 2))
    write(tmp_path, "conf.d/a.conf", INSTANCE.format("A", 1) + "include more/c.inc\n")
    write(tmp_path, "conf.d/more/c.inc", INSTANCE.format("C", 3))
    write(tmp_path, "x.inc", INSTANCE.format("X", 4))
    write(tmp_path, "y.inc", INSTANCE.format("Y", 5))
    assert names(main) == ["A", "C", "B", "X", "Y"]


def test_include_inside_a_block_and_places_name_the_included_file(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        "k.conf",
        "vrrp_instance A {\ninclude common\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n}\n",
    )
    write(tmp_path, "common", "interface eth0\npriority 0\n")
    result = load(main, config_id="n")
    assert result.config.vrrp_instances[0].interface == "eth0"
    item = next(d for d in result.diagnostics if d.code == "invalid-number")
    assert str(item.place) == f"{tmp_path}/common:2:10"
    assert "priority 0" in result.text()


def test_missing_include_is_a_warning_and_a_checked_one_is_fatal(tmp_path: Path) -> None:
    body = INSTANCE.format("A", 1)
    plain = load(write(tmp_path, "p.conf", "include no/such\n" + body), config_id="n")
    assert not plain.fatal
    assert exit_status(plain) == 0
    assert next(d.code for d in plain.diagnostics if d.severity == "warning") == "include-failed"
    for word in ("includem", "includew", "includea"):
        checked = load(write(tmp_path, "c.conf", f"{word} no/such\n" + body), config_id="n")
        assert checked.fatal
        assert exit_status(checked) == 6


@pytest.mark.parametrize(
    ("line", "exit_code"),
    [
        # as keepalived 2.4.3 -t ends, tried out
        ("includem no/*.such", 6),
        ("includeb no/*.such", 0),
        ("includem dd/*.such", 0),
        ("includew dd/*.such", 6),
        ("include dd/*", 0),
        ("includer dd/*", 6),
        ("includem dd/{a,b}.inc", 0),
        ("includeb dd/{a,b}.inc", 6),
        ("includem dd/{q,b}.inc", 0),
        ("includeb dd/{q,b}.inc", 6),
        ("includeb dd/*/x", 6),
        ("includew dd/*/x", 0),
        ("includem dd/*/y", 6),
        ("includeb {dd,no}/*.inc", 6),
        ("includea ./dd/[^b].inc", 0),
        ("includea dd/\\a.inc", 0),
        ("includea dd/a{}.inc", 0),
        ("includea dd/{a}.inc", 0),
        ("include a b.inc", 0),
        ('includem "dd/a.inc"', 6),
        ("@n includem no", 6),
        ("@m includem no", 0),
        ("include_check\ninclude no", 6),
        ("include_check read\ninclude no", 0),
        ("include_check match\ninclude no", 6),
        ("include_check wildcard_match\ninclude no", 0),
        ("include_check wildcard_match\ninclude dd/*.such", 6),
        ("include_check read +brace_match\ninclude dd/{a,b}.inc", 6),
        ("include_check brace_match -brace_match\ninclude dd/{a,b}.inc", 0),
        ("include_check +match\ninclude no", 6),
        ("include no\ninclude_check", 0),
        ("include dd/check.inc\ninclude no", 0),
        ("$D=dd\nincludea ${D}/a.inc", 0),
    ],
)
def test_include_failures_that_count(tmp_path: Path, line: str, exit_code: int) -> None:
    write(tmp_path, "dd/a.inc", "\n")
    write(tmp_path, "dd/sub/x", "\n")
    write(tmp_path, "dd/check.inc", "include_check\n")
    (tmp_path / "dd/s2").mkdir()
    main = write(tmp_path, "k.conf", f"global_defs {{\n{line}\n}}\n{INSTANCE.format('A', 1)}")
    result = load(main, config_id="n")
    assert exit_status(result) == exit_code, result.text()
    assert result.fatal == (exit_code == 6)


def test_of_an_incomplete_brace_list_that_counts_nothing_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a.inc", "bogus\n")
    for word, read in (("include", True), ("includem", True), ("includeb", False), ("includea", False)):
        result = load(write(tmp_path, "k.conf", f"{word} {{a,b}}.inc\n"), config_id="n")
        assert ("unknown-keyword" in [d.code for d in result.diagnostics]) == read


def test_all_config_makes_every_include_a_must(tmp_path: Path) -> None:
    main = write(tmp_path, "k.conf", "include no\n" + INSTANCE.format("A", 1))
    assert exit_status(load(main, config_id="n", all_config=True)) == 6
    assert exit_status(load(main, config_id="n")) == 0


def test_the_main_file_may_be_a_pattern(tmp_path: Path) -> None:
    write(tmp_path, "b.conf", INSTANCE.format("B", 2))
    write(tmp_path, "a.conf", INSTANCE.format("A", 1))
    result = load(tmp_path / "*.conf", config_id="n")
    assert [one.name for one in result.config.vrrp_instances] == ["A", "B"]
    assert [d.code for d in result.diagnostics if d.severity == "warning"] == ["several-files"]
    assert exit_status(result) == 5
    (tmp_path / "b.conf").unlink()
    assert exit_status(load(tmp_path / "*.conf", config_id="n")) == 0
    assert exit_status(load(tmp_path / "*.none", config_id="n")) == 4


def test_include_behind_a_brace_takes_the_rest_of_the_line(tmp_path: Path) -> None:
    main = write(tmp_path, "k.conf", "vrrp_instance A { include i.inc\nvirtual_router_id 3 }\n")
    write(tmp_path, "i.inc", "interface eth0\nvirtual_ipaddress { 10.0.0.1 }\n")
    assert names(main) == ["A"]


def test_pwd_is_the_real_folder_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "real/i.inc", "router_id ${_PWD}\n")
    os.symlink(tmp_path / "real", tmp_path / "link")
    main = write(tmp_path, "k.conf", "global_defs {\ninclude link/i.inc\n}\n")
    assert load(main, config_id="n").config.globals.router_id == str((tmp_path / "real").resolve())


def test_include_refuses_directories_and_executables(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(exist_ok=True)
    write(tmp_path, "x", "junk\n").chmod(0o755)
    result = load(write(tmp_path, "k.conf", "include d\ninclude x\nincluder x\n"), config_id="n")
    assert [d.code for d in result.diagnostics if d.code != "nothing-to-do"] == ["include-failed"] * 3
    assert result.fatal


def test_include_loops_end(tmp_path: Path) -> None:
    main = write(tmp_path, "k.conf", "include a\n")
    write(tmp_path, "a", "include b\n")
    write(tmp_path, "b", "include a\n")
    os.symlink(tmp_path / "a", tmp_path / "alias")
    write(tmp_path, "s", "include s\n")
    loops = [d for d in load(main, config_id="n").diagnostics if d.code == "include-loop"]
    assert [d.message for d in loops] == [f"{tmp_path}/a includes itself"]
    write(tmp_path, "b", "include alias\n")
    assert "include-loop" in [d.code for d in load(main, config_id="n").diagnostics]
    assert load(main, config_id="n").fatal
