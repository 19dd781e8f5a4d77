"""Configurations found in the wild that are fully in effect here, run beside the real keepalived: the same
addresses, adverts and programs at the start, when scripts fail, when an interface goes down, and at a stop.

The folder is that of tests/unit/conf/test_corpus.py; $PYKEEPALIVED_TEST_KEEPALIVED names another keepalived
than Debian's. Only the VRRP part runs (-P): the kernel here need not have IPVS. It takes minutes: see
``needs_time``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from keepalived_conf.tools.check import report
from tests.interop.test_show import needs_keepalived
from tests.lab import programs
from tests.lab.system import REPOSITORY
from tests.unit.conf.test_corpus import FOLDER, ROWS, installed, loaded, needs_corpus

AT_ONCE = 8
CASE_S = 300
DIFFERENCES: dict[str, str] = {
    "002": "a template: keepalived takes '{' and 'auth_type' for interfaces and ends because there are none; "
    "here an interface that is not there ends nothing",
    "139": "auth_type AH: keepalived's adverts are of another protocol; here unsigned, with a warning",
}
"""Number of a file -> why it may behave otherwise."""


def candidates(folder: Path) -> list[tuple[str, Path]]:
    """(name, installed file) of every file whose keywords are all in effect and that has instances."""
    found = []
    for number, row in enumerate(ROWS):
        result = loaded(row, folder / f"c{number}")
        one = report(row["file"], result)
        if one.verdict == "errors" or not result.config.vrrp_instances:
            continue
        if all(use.effect == "in effect" for use in one.used):
            home = folder / f"f{number}"
            home.mkdir()
            found.append((row["file"], installed(row, home)))
    return found


def observed(path: Path, program: programs.Program) -> dict[str, Any]:
    argv = [*program.argv, *(["--run-dir", "/mnt/run"] if program.run_dir else [])]
    done = subprocess.run(
        ["unshare", "-n", "-m", "-u", "-i", sys.executable, "-m", "tests.interop.corpus_case", str(path),
         json.dumps(argv)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=CASE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


needs_time = pytest.mark.skipif(
    not os.environ.get("PYKEEPALIVED_TEST_CORPUS_LAB"),
    reason="takes some ten minutes: set PYKEEPALIVED_TEST_CORPUS_LAB=1 to run it",
)


@needs_corpus
@needs_time
def test_the_wild_behaves_as_under_keepalived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_keepalived()
    files = candidates(tmp_path)
    assert FOLDER.is_dir()
    both = (programs.keepalived(), programs.ours())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {
            (name, which.name): pool.submit(observed, path, which) for name, path in files for which in both
        }
    problems = []
    for name, _ in files:
        theirs, ours = (jobs[name, which.name].result() for which in both)
        logs = f"--- theirs\n{theirs.pop('log')}\n--- ours\n{ours.pop('log')}"
        differs = [
            f"{step}: keepalived {theirs.get(step)}, here {ours.get(step)}"
            for step in theirs
            if theirs[step] != ours.get(step)
        ]
        if differs and name[:3] not in DIFFERENCES:
            problems.append("\n".join([name, *differs, logs]))
    with capsys.disabled():
        print(
            f" [{len(files)} configurations run beside keepalived, {len(problems)} behave otherwise]", end=""
        )
    assert not problems, "\n\n".join(problems)
