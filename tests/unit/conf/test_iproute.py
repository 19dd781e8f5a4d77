"""Names of iproute2: what stands for itself, what is looked up, which file counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived_conf.iproute_files import read_names
from keepalived_conf.loading import load_text
from keepalived_conf.syntax.iproute import Kind, Names, parse_file
from keepalived_conf.syntax.values import BadValueError, c_number, c_number_before


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("0", 0),
        ("16", 16),
        ("0x10", 16),
        ("0XfF", 255),
        ("010", 8),
        ("+3", 3),
        (" 3", 3),
        ("-1", 0xFFFFFFFFFFFFFFFF),
        ("99999999999999999999999", 0xFFFFFFFFFFFFFFFF),
        ("08", None),
        ("0x", None),
        ("1 ", None),
        ("", None),
        ("x", None),
        ("9" * 100, None),
    ],
)
def test_numbers_in_the_notation_of_c(word: str, number: int | None) -> None:
    assert c_number(word) == number


def test_what_stands_behind_a_number() -> None:
    assert c_number_before("0x1f/2") == (31, "/2")
    assert c_number_before("089") == (0, "89")


@pytest.mark.parametrize(
    ("kind", "word", "number"),
    [
        (Kind.TABLE, "main", 254),
        (Kind.TABLE, "0x64", 100),
        (Kind.TABLE, "4294967295", 4294967295),
        (Kind.TABLE, "4294967297", 1),  # cut to 32 bits, as keepalived does
        (Kind.SCOPE, "link", 253),
        (Kind.PROTOCOL, "static", 4),
        (Kind.GROUP, "2147483647", 2147483647),
    ],
)
def test_names_that_need_no_file(kind: Kind, word: str, number: int) -> None:
    assert Names().find(kind, word) == number


@pytest.mark.parametrize(
    ("kind", "word"),
    [(Kind.TABLE, "nosuch"), (Kind.SCOPE, "256"), (Kind.DSFIELD, "AF11"), (Kind.GROUP, "2147483648")],
)
def test_names_that_are_none(kind: Kind, word: str) -> None:
    with pytest.raises(BadValueError):
        Names().find(kind, word)


def test_a_file_is_asked_once_and_only_when_a_name_is_met() -> None:
    asked: list[str] = []

    def files(name: str) -> dict[str, int]:
        asked.append(name)
        return {"wan": 77, "too-high": 2**40, "first": 254}

    names = Names(files)
    assert names.find(Kind.TABLE, "5") == 5
    assert asked == []
    assert names.find(Kind.TABLE, "wan") == names.find(Kind.TABLE, "wan") == 77
    assert asked == ["rt_tables"]
    with pytest.raises(BadValueError):
        names.find(Kind.TABLE, "too-high")
    with pytest.raises(BadValueError):  # 254 has another name on this host
        names.find(Kind.TABLE, "main")


def test_lines_of_a_file() -> None:
    text = "# comment\n\n255\tlocal\n0xfe main # trailing\n1 two words\n-1 minus\nx y\n7\n010 eight\n"
    assert list(parse_file(text)) == [("local", 255), ("main", 254), ("eight", 8)]


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_files_of_the_machine_stand_for_those_of_the_vendor(tmp_path: Path) -> None:
    etc, usr = tmp_path / "etc", tmp_path / "usr"
    put(usr / "rt_tables", "1 vendor\n")
    put(usr / "rt_tables.d" / "a.conf", "2 vendor-a\n")
    put(usr / "rt_tables.d" / "b.conf", "3 vendor-b\n")
    put(usr / "rt_tables.d" / "README", "4 readme\n")
    put(usr / "rt_tables.d" / ".hidden.conf", "5 hidden\n")
    assert read_names("rt_tables", str(etc), str(usr)) == {"vendor": 1, "vendor-a": 2, "vendor-b": 3}
    put(etc / "rt_tables.d" / "b.conf", "6 own-b\n")
    assert read_names("rt_tables", str(etc), str(usr)) == {"vendor": 1, "vendor-a": 2, "own-b": 6}
    put(etc / "rt_tables", "7 own\n")
    assert read_names("rt_tables", str(etc), str(usr)) == {"own": 7, "vendor-a": 2, "own-b": 6}


def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "rt_tables").mkdir()
    (tmp_path / "rt_tables.d").write_text("8 no-folder\n")
    assert read_names("rt_tables", str(tmp_path), "/nonexistent") == {}
    assert read_names("rt_tables", "\0", "/nonexistent") == {}


def test_a_configuration_says_where_its_names_are(tmp_path: Path) -> None:
    put(tmp_path / "rt_tables", "77 wan\n")
    text = (
        "static_routes {\n10.0.0.0/8 dev lo table wan\n}\n"
        f"global_defs {{\niproute_etc_dir {tmp_path}\niproute_usr_dir /nonexistent\n}}\n"
    )
    assert load_text(text.encode()).config.static_routes[0].table == 77
    assert load_text(text.replace(str(tmp_path), "/nonexistent").encode()).config.static_routes == ()
