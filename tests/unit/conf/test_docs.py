"""docs/configuration.md is made from the tables, and is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import rows_of
from keepalived_conf.tools import generate, markdown

PAGE = markdown.document(f"# Title\n\n{markdown.MARK}")
ROWS = list(rows_of(ROOT))


def section(title: str) -> str:
    start = PAGE.index(f"### {title}\n")
    end = PAGE.find("\n### ", start)
    return PAGE[start : end if end > 0 else None]


def test_every_keyword_stands_in_the_table_of_its_block() -> None:
    for path, row in ROWS:
        names = path.split(".")
        if any(one.alias_of for _, one in ROWS if one.name in names):
            continue  # a block under its old name is described under the new one
        title = " > ".join(f"`{name}`" for name in names) if path else "Top level"
        assert f"\n| `{'@pykeepalived ' if row.extension else ''}{row.name}` |" in section(title), (
            path,
            row.name,
        )


def test_a_line_says_all_of_a_row() -> None:
    row = ROOT.keywords["vrrp_instance"].block.keywords["garp_master_delay"]  # type: ignore[union-attr]
    (line,) = [one for one in section("`vrrp_instance`").splitlines() if "| `garp_master_delay` |" in one]
    for fact in ("from 0 to 4294 (s)", row.default, row.worker, str(row.effect), row.help):
        assert fact in line


def test_every_line_of_a_table_has_the_cells_of_its_head() -> None:
    width = 0
    for line in PAGE.splitlines():
        cells = line.replace("\\|", "").count("|")
        if not cells:
            width = 0
        elif not width:
            width = cells
        assert cells == width, line


def test_the_counts_add_up_to_all_keywords() -> None:
    assert sum(markdown.counts().values()) == len(ROWS)
    assert f"| all | {len(ROWS)} |" in PAGE


def test_an_introduction_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="no line <!-- tables -->"):
        markdown.document("# Title\n")


@pytest.mark.parametrize("name", generate.FILES)
def test_the_files_are_what_the_tables_say(name: str) -> None:
    path, make = generate.FILES[name]
    same = path.read_text(encoding="utf-8") == make()
    assert same, f"{path.name} is stale: run python -m keepalived_conf.tools.generate {name}"


def test_a_stale_file_is_found_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "configuration.md"
    monkeypatch.setattr(generate, "FILES", {"docs": (path, generate.docs)})
    assert generate.main(["--check"]) == 1
    assert "keepalived_conf.tools.generate docs" in capsys.readouterr().err
    assert generate.main(["docs"]) == 0
    assert generate.main(["--check"]) == 0
    assert path.read_text(encoding="utf-8") == generate.docs()
    assert generate.main(["what"]) == 2
