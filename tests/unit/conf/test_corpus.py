"""Configurations found in the wild, against what keepalived 2.4.3 says of each.

The folder is not part of this repository (its files have licences of their own). Its layout:
``INDEX.tsv`` with the columns ``file``, ``verdict`` (accepted, accepted-with-warnings, rejected,
rejected-fatal, hang), ``exit_stub``, ``config_ids``; the files themselves, ``NAME.d/`` with what they
include; ``oracle/NAME.txt`` with the messages: class, environment tag, text, tab separated.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keepalived_conf.diagnostics import Diagnostic
from keepalived_conf.loading import LoadResult, exit_status, load, slices
from keepalived_conf.tools.check import document, report

FOLDER = Path(
    os.environ.get("PYKEEPALIVED_CORPUS") or Path(__file__).resolve().parents[4] / "shared" / "corpus"
)

REFUSED_BY_THE_DAEMON = (
    "at least one is required",
    "the virtual router id must be set",
    "Unknown interface!",
)
"""A test of keepalived calls these mere errors; its daemon then refuses the whole VRRP configuration."""

HANGS = {"166": "keepalived hangs on $IF=${IF}: here the file is refused (docs/differences.md)"}
DIFFERENCES: dict[str, str] = {
    "056": "version 3 without a usable address: the test calls it a warning (vrrp.c:vrrp_complete_instance), "
    "but the daemon then refuses all of VRRP: an error here",
    "092": "the oracle was built without iptables and calls vrrp_ipsets unknown (vrrp_parser.c)",
    "100": "the same",
}
"""Number of a file -> why keepalived's judgement is not taken over."""

OF_THE_BUILD = ("Unknown keyword 'vrrp_ipsets'", "iptables not supported")
"""The oracle was built without iptables; a packaged keepalived knows these keywords, and so do we."""


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

_LINE = re.compile(r"\((?:(?P<file>[^()]*?): )?Line (?P<line>\d+)\) (?P<text>.*)")
_MAIN = "keepalived.conf"


@dataclass
class Oracle:
    exit: str = ""
    messages: list[tuple[str, str, str]] = field(default_factory=list)
    """(class, environment tag, text)"""


def oracle(row: dict[str, str], config_id: str = "-") -> Oracle:
    """What keepalived said of a file, with its scripts in place (``env=stub``)."""
    found = Oracle()
    path = FOLDER / "oracle" / (Path(row["file"]).stem + ".txt")
    mine = False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("## "):
            mine = f"env=stub config-id={config_id} " in line
            if mine:
                found.exit = line.partition("exit=")[2].split()[0]
        elif mine and line.count("\t") >= 2:
            kind, tag, text = line.split("\t", 2)
            found.messages.append((kind, tag, text))
    return found


def installed(row: dict[str, str], folder: Path) -> Path:
    """The file as the oracle had it: called keepalived.conf, what it includes beside it."""
    shutil.copyfile(FOLDER / row["file"], folder / _MAIN)
    included = FOLDER / (Path(row["file"]).stem + ".d")
    if included.is_dir():
        shutil.copytree(included, folder, dirs_exist_ok=True)
    return folder / _MAIN


def loaded(row: dict[str, str], folder: Path, config_id: str = "oracle") -> LoadResult:
    folder.mkdir()
    return load(installed(row, folder), config_id=config_id)


def lines_of(item: Diagnostic) -> set[tuple[str, int]]:
    """Where a diagnostic stands, and where its text is used: keepalived names the latter."""
    places = [item.place, *(step.place for step in item.trace)]
    return {(place.file.rpartition("/")[2], place.line) for place in places if place is not None}


def without_counterpart(said: Oracle, result: LoadResult) -> list[str]:
    """keepalived's messages about the text itself at whose line nothing is said here."""
    ours = {one for item in result.diagnostics if item.severity != "note" for one in lines_of(item)}
    missing = []
    for kind, tag, text in said.messages:
        match = _LINE.match(text)
        if tag != "-" or match is None or any(one in text for one in OF_THE_BUILD):
            continue
        name = (match["file"] or _MAIN).rpartition("/")[2]
        if (name, int(match["line"])) not in ours:
            missing.append(f"{kind} {name}:{match['line']} {match['text']}")
    return sorted(set(missing))


def rejected(row: dict[str, str]) -> bool:
    return row["verdict"].startswith("rejected") or row["verdict"] == "hang"


@needs_corpus
def test_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = in_effect = 0
    problems: list[str] = []
    messages = told = 0
    for number, row in enumerate(ROWS):
        name = row["file"]
        result = loaded(row, tmp_path / str(number))
        result.text()
        slices(result.config)
        one = report(name, result)
        document(one)
        in_effect += one.verdict != "errors" and all(use.effect == "in effect" for use in one.used)
        said = oracle(row)
        about_text = {text for _, tag, text in said.messages if tag == "-" and _LINE.match(text)}
        if name[:3] in HANGS:
            assert result.fatal
            continue
        if name[:3] in DIFFERENCES:
            continue
        missing = without_counterpart(said, result)
        messages += len(about_text)
        told += len(about_text) - len(missing)
        problems.extend(f"{name}: {line}" for line in missing)
        same += str(exit_status(result)) == row["exit_stub"]
        # What is owed to the world of the oracle (missing files, names that do not resolve) cannot be known.
        of_the_text = [m for m in said.messages if m[1] == "-"]
        if str(exit_status(result)) != row["exit_stub"] and (of_the_text or row["exit_stub"] == "0"):
            problems.append(f"{name}: exit {exit_status(result)}, keepalived {row['exit_stub']}")
        if rejected(row) != (one.verdict == "errors") and of_the_text:
            problems.append(f"{name}: verdict {one.verdict}, keepalived {row['verdict']}")
        refused = any(m in text for _, _, text in said.messages for m in REFUSED_BY_THE_DAEMON)
        if row["verdict"].startswith("accepted") and not refused and result.fatal:
            problems.append(f"{name} is accepted by keepalived:\n{result.text()}")
        if row["exit_stub"] == "2" and not result.fatal:
            problems.append(f"{name} ends keepalived with status 2 and is not refused")
    with capsys.disabled():
        print(
            f" [{len(ROWS)} configurations: {same} with keepalived's exit status, {told} of {messages} "
            f"messages about the text with a counterpart, {len(DIFFERENCES)} listed as different, "
            f"{in_effect} fully in effect]",
            end="",
        )
    assert not problems, "\n".join(problems)
    assert len(DIFFERENCES) < 0.03 * max(len(ROWS), 101)


@needs_corpus
def test_corpus_with_every_config_id(tmp_path: Path) -> None:
    problems: list[str] = []
    number = 0
    for row in ROWS:
        for pair in (row.get("config_ids") or "").split(";"):
            config_id = pair.partition("=")[0]
            if not config_id or config_id == "-" or row["file"][:3] in {**HANGS, **DIFFERENCES}:
                continue
            number += 1
            result = loaded(row, tmp_path / str(number), config_id)
            said = oracle(row, config_id)
            if said.exit not in ("", str(exit_status(result))) and any(m[1] == "-" for m in said.messages):
                problems.append(
                    f"{row['file']} as {config_id}: exit {exit_status(result)}, keepalived {said.exit}"
                )
            problems.extend(
                f"{row['file']} as {config_id}: {line}" for line in without_counterpart(said, result)
            )
    assert not problems, "\n".join(problems)
