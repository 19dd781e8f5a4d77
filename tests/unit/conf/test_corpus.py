"""Configurations found in the wild: never a traceback, and nothing keepalived accepts is refused.

The folder is not part of this repository. Its layout: ``INDEX.tsv`` with the columns ``file`` and
``verdict`` (accepted, accepted-with-warnings, rejected, rejected-fatal, hang), the files themselves,
and ``oracle/NAME.txt`` with what keepalived 2.4.3 said.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from keepalived_conf.load import exit_status, load, slices

FOLDER = Path(
    os.environ.get("PYKEEPALIVED_CORPUS") or Path(__file__).resolve().parents[4] / "shared" / "corpus"
)

REFUSED_BY_THE_DAEMON = ("at least one is required", "the virtual router id must be set")
"""A test of keepalived calls these mere errors; its daemon then refuses the whole VRRP configuration."""


def rows() -> list[dict[str, str]]:
    index = FOLDER / "INDEX.tsv"
    if not index.is_file():
        return []
    with index.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row for row in found if "/" not in row["file"] and (FOLDER / row["file"]).is_file()]


ROWS = rows()
needs_corpus = pytest.mark.skipif(
    not ROWS,
    reason=f"no corpus of configurations in {FOLDER} (set PYKEEPALIVED_CORPUS to a folder with an INDEX.tsv)",
)


def oracle(row: dict[str, str]) -> str:
    path = FOLDER / "oracle" / (Path(row["file"]).stem + ".txt")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


@needs_corpus
def test_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    same = 0
    for row in ROWS:
        name = row["file"]
        result = load(FOLDER / name, config_id="oracle")
        result.text()
        slices(result.config)
        if row["verdict"].startswith("accepted") and not any(m in oracle(row) for m in REFUSED_BY_THE_DAEMON):
            assert not result.fatal, f"{name} is accepted by keepalived:\n{result.text()}"
        if row["verdict"] == "hang":
            assert result.fatal, name
        if row["exit_stub"] == "2":
            assert result.fatal, name
            assert exit_status(result) == 2, name
        same += str(exit_status(result)) in (row["exit_stub"], row["exit_bare"])
    with capsys.disabled():
        print(f" [{len(ROWS)} configurations, {same} with keepalived's exit status]", end="")
    assert same >= len(ROWS) * 0.8


@needs_corpus
def test_corpus_with_every_config_id() -> None:
    for row in ROWS:
        for pair in (row.get("config_ids") or "").split(";"):
            config_id = pair.partition("=")[0]
            if config_id and config_id != "-":
                result = load(FOLDER / row["file"], config_id=config_id)
                if row["verdict"].startswith("accepted") and not any(
                    m in oracle(row) for m in REFUSED_BY_THE_DAEMON
                ):
                    assert not result.fatal, f"{row['file']} as {config_id}:\n{result.text()}"
