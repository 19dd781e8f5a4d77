"""The run directory: one daemon each, nothing left behind, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor import rundir


def test_two_pid_files_are_two_daemons(tmp_path: Path) -> None:
    one, two = (rundir.choose(None, str(tmp_path / name / "vrrp.pid")) for name in ("a", "b"))
    assert one != two
    assert one == rundir.choose(None, str(tmp_path / "a" / "vrrp.pid"))
    assert rundir.choose(str(tmp_path / "x"), str(tmp_path / "a.pid")) == tmp_path / "x"
    assert rundir.choose(None, None).name == "default"


def test_the_second_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    first = rundir.prepare(tmp_path / "run")
    with pytest.raises(rundir.AlreadyRunning, match=f"pid {os.getpid()} ") as refused:
        rundir.prepare(tmp_path / "run")
    assert refused.value.pid == os.getpid()
    assert rundir.lock_holder(tmp_path / "run" / "lock") == os.getpid()
    os.close(first.lock_fd)
    assert rundir.lock_holder(tmp_path / "run" / "lock") is None
    os.close(rundir.prepare(tmp_path / "run").lock_fd)


def test_a_clean_end_leaves_only_what_a_worker_wants_found(tmp_path: Path) -> None:
    run = rundir.prepare(tmp_path / "run")
    for name in ("operator.sock", "out", "in.vrrp", "lock.vrrp", "ipvs.ledger.a"):
        (run.path / name).write_text("")
    box = run.box("vrrp")
    assert box is not None
    box.write_text("")
    run.remove()
    assert [path.name for path in run.path.iterdir()] == ["ipvs.ledger.a"]
    assert not box.exists()
    (run.path / "ipvs.ledger.a").unlink()
    run.remove()
    assert not run.path.exists()
    os.close(run.lock_fd)


def test_a_lock_whose_file_went_is_not_a_lock(tmp_path: Path) -> None:
    first = rundir.prepare(tmp_path / "run")
    first.remove()  # still held, but its file is gone: another start must not be refused
    second = rundir.prepare(tmp_path / "run")
    assert os.path.samestat(os.fstat(second.lock_fd), os.stat(tmp_path / "run" / "lock"))
    os.close(first.lock_fd)
    os.close(second.lock_fd)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_text("x"), "File exists"),
        (lambda path: path.symlink_to("/etc"), "not a folder"),
    ],
)
def test_what_is_no_folder_of_ours_is_refused(tmp_path: Path, make: object, why: str) -> None:
    path = tmp_path / "run"
    make(path)  # type: ignore[operator]
    with pytest.raises(rundir.RunDirError, match=why):
        rundir.prepare(path)


def test_a_path_too_long_for_a_socket_is_said_before_anything_is_tried(tmp_path: Path) -> None:
    with pytest.raises(rundir.RunDirError, match="too long for a socket path"):
        rundir.prepare(tmp_path / ("x" * 100))


def test_pid_files_name_only_living_daemons(tmp_path: Path) -> None:
    path = tmp_path / "keepalived.pid"
    assert rundir.pid_file_owner(path) is None
    path.write_text("rubbish")
    assert rundir.pid_file_owner(path) is None
    path.write_text(f"{os.getppid()}\n")  # alive, but no daemon
    assert rundir.pid_file_owner(path) is None
    named = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'keepalived')"
    code = f"{named}; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        path.write_text(f"{daemon.pid}\n")
        assert rundir.pid_file_owner(path) == daemon.pid
        daemon.kill()


def test_a_pid_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    problem = rundir.write_pid_file(tmp_path / "link", 1)
    assert problem is not None
    assert (tmp_path / "victim").read_text() == "precious"
