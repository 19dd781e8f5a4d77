"""Every keyword of keepalived 2.4.3, generated from the list: owner, facts, a line in place, range, model.

A block whose table is not written yet fails here with the list of what is missing.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from keepalived_conf.diagnostics import Diagnostic
from keepalived_conf.grammar.preprocessor import PREPROCESSOR
from keepalived_conf.grammar.schema import Effect, Keyword
from keepalived_conf.loading import LoadResult, load_text
from keepalived_conf.loading import load as load_file
from tests.unit.conf import keyword_rows, keyword_samples
from tests.unit.conf.keyword_rows import Range, Row
from tests.unit.conf.support import NAME

ROWS = keyword_rows.rows()
BLOCKS = sorted({row.block for row in ROWS if row.block != "(preprocessor)"})
WORKERS = {"supervisor", "bus", "vrrp", "checker", "ipvs", "bfd", "script", "api"}
MEASURES = {"s", "ms", "us", "bytes"}
"""Units that belong to a number; what else is counted (packets, runs) is said by the help."""


def of_block(block: str) -> list[Row]:
    return [row for row in ROWS if row.block == block]


def table_row(row: Row) -> Keyword | None:
    if row.block == "(preprocessor)":
        return PREPROCESSOR.get(row.keyword)
    return keyword_rows.table_row(row)


def load(text: str) -> LoadResult:
    return load_text(text.encode(), name=NAME)


@cache
def without(text: str) -> LoadResult:
    """The configuration without the tested line; many rows share it."""
    return load(text)


# --- what the table says -------------------------------------------------------------------------------


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def quarrels(row: Row) -> Iterator[str]:
    """Where the table and the list do not agree."""
    found = table_row(row)
    if found is None:
        yield "no row in the table"
        return
    owners = set(found.worker.split("+"))
    if not owners <= WORKERS:
        yield f"owner {found.worker!r}"
    if not found.help:
        yield "no help"
    if found.effect is Effect.NONE and not found.reason:
        yield "no effect, and no reason"
    if row.positional:
        return
    if row.unit in MEASURES and found.unit != row.unit:
        yield f"unit {found.unit!r}, not {row.unit!r}"
    if row.since != "-" and found.since != row.since:
        yield f"since {found.since!r}, not {row.since!r}"
    wanted, written = number(row.default), number(found.default)
    if wanted is not None and wanted != written:
        yield f"default {found.default!r}, not {row.default!r}"
    if row.default == "on" and found.default != "on":
        yield f"default {found.default!r}, not on"
    if row.default == "off" and found.default in ("", "on"):
        yield f"default {found.default!r}, not off"
    if row.key in keyword_samples.NEVER_CLEAN:
        return
    if row.status.startswith("alias-of ") and "." not in row.status:
        other = row.status.split()[1]
        if found.alias_of != other:
            yield f"alias of {found.alias_of!r}, not {other!r}"
    with_block = "(with host block)" in row.status  # said once, of the block
    if (
        "deprecated" in row.status
        and not with_block
        and not (found.deprecated or found.effect is Effect.NONE)
    ):
        yield "not marked deprecated"


@pytest.mark.parametrize("block", ["(preprocessor)", *BLOCKS])
def test_the_table_says_what_the_list_says(block: str) -> None:
    found = [f"{row.keyword}: {why}" for row in of_block(block) for why in quarrels(row)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_the_list_is_whole() -> None:
    assert len(ROWS) == 699
    assert len({row.key for row in ROWS}) == 699


# --- a line in its place -------------------------------------------------------------------------------


def lines_of(row: Row) -> list[str]:
    """Lines that keepalived accepts, for the place of ``@@``."""
    known = keyword_samples.LINES.get(row.key)
    if known is not None:
        return known
    before = keyword_samples.BEFORE.get(row.block, "")
    if row.keyword == "(inherit)":
        return [f"{before}weight 7"] if "track_" in row.block else []
    if row.positional:
        return [before.strip()]
    if row.args.startswith("reverse") or row.args == "(flag after weight)":
        return [f"{before}weight 7 {row.keyword}"]
    return [f"{before}{row.keyword} {argument}".rstrip() for argument in keyword_rows.candidates(row)]


def span(text: str, line: str) -> range:
    """Numbers of the lines that stand in place of ``@@``."""
    first = text[: text.index("@@")].count("\n") + 1
    return range(first, first + line.count("\n") + 1)


def surroundings(row: Row) -> str:
    text = keyword_samples.TEXTS.get(row.key) or keyword_rows.surroundings(row.block)
    return keyword_rows.defined(text, *lines_of(row))


def complaints(result: LoadResult, lines: range) -> list[Diagnostic]:
    return [
        item
        for item in result.diagnostics
        if item.severity == "error" and item.place is not None and item.place.line in lines
    ]


def counted(result: LoadResult, row: Row) -> bool:
    """Whether the keyword counts as used."""
    path = keyword_rows.path_of(row)
    return any(use.name == row.keyword and use.path.replace(".entry", "") == path for use in result.used)


def misfits(row: Row) -> Iterator[str]:
    """Why no line with this keyword does what it should."""
    text = surroundings(row)
    base = without(text.replace("@@", ""))
    found = table_row(row)
    if base.fatal:
        yield f"bad surroundings: {base.text()}"
        return
    lines = lines_of(row)
    if not lines:
        yield "no line to try"
        return
    clean = changed = False
    why = ""
    for line in lines:
        result = load(text.replace("@@", line))
        wrong = complaints(result, span(text, line))
        if result.fatal or wrong:
            why = f"{line!r}: {result.text() if result.fatal else wrong[0]}"
            continue
        clean = True
        if not row.positional and not counted(result, row):
            yield f"{line!r}: not counted as used"
        changed = changed or result.config != base.config
    if not clean and row.key not in keyword_samples.NEVER_CLEAN:
        yield why
    silent = found is not None and found.effect is Effect.NONE
    if clean and not changed and not silent and row.key not in keyword_samples.NOT_IN_THE_MODEL:
        yield f"{lines}: the model is the same without"


@pytest.mark.parametrize("block", BLOCKS)
def test_a_line_is_read_in_place_and_lands_in_the_model(block: str) -> None:
    found = [f"{row.keyword}: {why}" for row in of_block(block) for why in misfits(row)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


# --- ranges --------------------------------------------------------------------------------------------


def objects(value: Any, kind: type[Any]) -> Iterator[Any]:
    """Every object of a class in the model."""
    if isinstance(value, kind):
        yield value
    if isinstance(value, tuple):
        for one in value:
            yield from objects(one, kind)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.name != "places":
                yield from objects(getattr(value, field.name), kind)


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from numbers_in(getattr(value, field.name))


def landed(result: LoadResult, row: Row, wanted: float) -> bool:
    """Whether the number is the value of the keyword's field."""
    found = keyword_rows.table_row(row)
    if row.block == "root":
        assert found is not None
        holders, name = [result.config.globals], found.field.removeprefix("globals.")
    else:
        above = keyword_rows.opening(row.block)
        assert found is not None and above is not None and above.block is not None
        model, name = above.block.model, found.field
        if model is None or not name:
            return True  # no plain field: that it lands is seen by the model being another
        holders = list(objects(result.config, model))
    return any(abs(one - wanted) < 1e-9 for holder in holders for one in numbers_in(getattr(holder, name)))


def probes(found: Range) -> Iterator[tuple[str, float | None]]:
    """(text, value it must have; None: refused)."""
    below = found.low - found.step
    yield keyword_rows.text_of(below), found.low if found.clamped else None
    yield keyword_rows.text_of(found.low), found.low
    if found.high is not None:
        yield keyword_rows.text_of(found.high), found.high
        yield keyword_rows.text_of(found.high + found.step), found.high if found.clamped else None
    yield "x7", None


def out_of_range(row: Row, found: Range) -> Iterator[str]:
    above = table_row(row)
    text = surroundings(row)
    sample = lines_of(row)[0]
    *first, last = sample.split("\n")
    before = last[: last.index(f"{row.keyword} ")] if f"{row.keyword} " in last else ""
    base = without(text.replace("@@", "\n".join(first)))
    lowest = above.raised_to if above is not None else None
    for word, wanted in probes(found):
        line = "\n".join((*first, f"{before}{row.keyword} {word}"))
        if word in keyword_samples.SPECIAL.get(row.key, ()):
            continue
        result = load(text.replace("@@", line))
        at = span(text, line)[-1]
        column = len(before) + len(row.keyword) + 2
        wrong = [i for i in complaints(result, range(at, at + 1)) if i.code.startswith("invalid")]
        least = lowest if found.step == 1 else found.low
        if lowest is not None and least is not None and word != "x7" and 0 <= float(word) < least:
            if "raised" not in [item.code for item in result.diagnostics]:
                yield f"{word} is not raised"
            continue
        if wanted is None:
            if not wrong:
                yield f"{word} is not refused"
            elif wrong[0].place is None or wrong[0].place.column != column:
                yield f"{word} is refused at {wrong[0].place}, not in column {column}"
            elif result.config != base.config and not row.is_entry and row.key not in keyword_samples.KEPT:
                yield f"{word} is refused but changes the model"
            continue
        if wrong:
            yield f"{word} is refused: {wrong[0]}"
        elif not row.is_entry and row.key not in keyword_samples.ADJUSTED and not landed(result, row, wanted):
            yield f"{word} is not in the model"


@pytest.mark.parametrize("block", BLOCKS)
def test_ranges_are_as_keepalived_has_them(block: str) -> None:
    found = []
    for row in of_block(block):
        above = table_row(row)
        if above is None or row.key in keyword_samples.UNJUDGED:
            continue
        limits = keyword_rows.range_of(row, above.decimals or 6)
        if limits is None:
            continue
        found += [f"{row.keyword}: {why}" for why in out_of_range(row, limits)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


# --- lines that never become a keyword -----------------------------------------------------------------


def preprocessed(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LoadResult:
    monkeypatch.setenv("KEYWORD_TEST", "seven")
    (folder / "other.conf").write_text("vrrp_version 3\n")
    main = folder / "main.conf"
    main.write_text(f"$A=seven\nglobal_defs {{\n{text}\n}}\n")
    return load_file(main, config_id="me")


@pytest.mark.parametrize("keyword", [row.keyword for row in of_block("(preprocessor)")])
def test_lines_of_the_preprocessor(keyword: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, field, wanted = keyword_samples.PREPROCESSED[keyword]
    result = preprocessed(text, tmp_path, monkeypatch)
    assert not result.fatal, result.text()
    value = getattr(result.config.globals, field)
    if callable(wanted):
        assert wanted(value, tmp_path), value
    else:
        assert value == wanted


@pytest.mark.parametrize(
    ("keyword", "pattern", "fails"),
    [
        (keyword, pattern, letter in letters)
        for keyword, letters in (
            ("include", ""),
            ("includer", "R"),
            ("includem", "RM"),
            ("includew", "RMW"),
            ("includeb", "RB"),
            ("includea", "RMWB"),
        )
        for pattern, letter in ((".", "R"), ("none", "M"), ("none*", "W"), ("{other,none}.conf", "B"))
    ],
)
def test_what_each_include_takes_for_a_failure(
    keyword: str, pattern: str, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = preprocessed(f"{keyword} {pattern}", tmp_path, monkeypatch)
    assert result.fatal is fails, result.text()


# --- how many ------------------------------------------------------------------------------------------


def test_how_many_keywords_are_in_effect(capsys: pytest.CaptureFixture[str]) -> None:
    found = Counter(row.effect for one in ROWS if (row := table_row(one)) is not None)
    with capsys.disabled():
        print(
            f" [{found[Effect.ACTIVE]} of {len(ROWS)} keywords consumed by a worker today, "
            f"{found[Effect.PARSED]} parsed only, {found[Effect.NONE]} no effect by design]",
            end="",
        )
    assert found.total() == len(ROWS)
