"""A black box that a reload outgrows: replaced between two incarnations, and nothing is lost in between."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor import boxes
from supervisor.daemon import Supervisor
from supervisor.loader import Loaded, Manifest
from supervisor.options import DaemonOptions
from supervisor.reload import Generation, _Attempt
from supervisor.rundir import RunDir
from supervisor.systemd import Notifier
from supervisor.table import Process
from worker.blackbox import BlackBox


class Row(Process):
    """A worker that lives until somebody says otherwise."""

    killed: list[str]

    def kill(self, reason: str) -> None:
        self.killed.append(reason)


def generation(number: int, records: int) -> Generation:
    manifest = Manifest(fatal=False, exit_status=0, records={"checker": records}, roles=("checker",))
    return Generation(
        number, Loaded(manifest=manifest, slices={"checker": os.open("/dev/null", os.O_RDONLY)})
    )


def fit(supervisor: Supervisor, row: Process) -> None:
    boxes.fit(row, supervisor.run_dir, supervisor.reload.current.records["checker"])


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    run = RunDir(path=tmp_path, boxes=tmp_path, lock_fd=-1)
    found = Supervisor(DaemonOptions(), run, Notifier(), "test")
    for role in ("bus", "script", "ipvs", "checker", "vrrp"):
        found.table[role] = Row(role=role, uid=None)
        found.table[role].killed = []  # type: ignore[attr-defined]
    found.reload.current = generation(1, 3)
    yield found
    found.epoll.close()


def test_the_box_grows_between_two_incarnations(supervisor: Supervisor, tmp_path: Path) -> None:
    row = supervisor.table["checker"]
    fit(supervisor, row)
    assert row.box is not None
    first, first_fd = row.box, row.box_fd
    assert first.records == 256
    worker = BlackBox.attach(os.dup(first_fd or 0))
    worker.write(255, b"before the commit")
    supervisor.reload.current = generation(2, 257)
    assert boxes.too_small(row, supervisor.reload.current.records["checker"])
    assert row.box is first, "the worker still writes to it"
    worker.write(255, b"after the commit")

    fit(supervisor, row)
    assert row.box is not first
    assert row.box.records >= 2 * 257
    assert row.box.read(255) == b"after the commit"
    assert not boxes.too_small(row, supervisor.reload.current.records["checker"])
    with open(tmp_path / "box.checker", "r+b") as file:
        assert BlackBox.attach(file.fileno()).read(255) == b"after the commit"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box.checker"]
    same = row.box
    fit(supervisor, row)
    assert row.box is same


def test_a_commit_kills_what_lives_and_copies_nothing(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    row: Any = supervisor.table["checker"]
    fit(supervisor, row)
    box, row.pid, row.state = row.box, 4711, "ready"
    monkeypatch.setattr(supervisor, "start_role", lambda role: None)
    old = supervisor.reload.current
    supervisor.reload.attempt = _Attempt(phase="preparing", deadline_at=1e9, new=generation(2, 1000))
    supervisor.reload._commit()
    assert row.killed == ["the new configuration needs a larger black box"]
    assert row.box is box
    assert supervisor.reload.attempt.old is old
    assert supervisor.table["bus"].killed == []  # type: ignore[attr-defined]


def test_no_room_for_the_file_leaves_a_box_in_memory(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, row = os.posix_fallocate, supervisor.table["checker"]

    def full(fd: int, at: int, size: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(str(tmp_path)):
            raise OSError(28, "No space left on device")
        real(fd, at, size)

    monkeypatch.setattr("worker.blackbox.os", types.SimpleNamespace(**{**vars(os), "posix_fallocate": full}))
    fit(supervisor, row)
    assert row.box is not None
    assert row.box.records == 256
    assert list(tmp_path.iterdir()) == []
