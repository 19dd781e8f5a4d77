"""A daemon under test on one node: start it, find its processes, end it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import time

from tests.lab.programs import Program
from tests.lab.system import (
    REPOSITORY,
    alive,
    command_line,
    pids_in_netns,
    pss_kb,
    raw_protocol_reader,
    state_and_parent,
)

PID_FILES = {"parent": "-p", "vrrp": "-r", "checkers": "-c", "bfd": "-b"}
DEFAULT_FLAGS = "-n -l -D"
MARK = "PYKEEPALIVED_LAB_DAEMON"


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Ours, marked, with compiled Python kept where set-up keeps it: a start must not compile."""
    environ = os.environ | {MARK: str(folder)}
    environ.setdefault("PYTHONPYCACHEPREFIX", str(REPOSITORY / ".cache/pycache"))
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ


class Daemon:
    """One start of one program; make a new one for each start."""

    def __init__(
        self, node: str, netns: str, program: Program, config: str, folder: pathlib.Path, flags: str | None
    ) -> None:
        self.node = node
        self.netns = netns
        self.program = program
        self.folder = folder
        folder.mkdir()
        self.config_file = folder / "keepalived.conf"
        self.config_file.write_text(config)
        self.log_file = folder / "log"
        pid_flags = [word for role, flag in PID_FILES.items() for word in (flag, str(self.pid_file(role)))]
        self.argv = [
            *program.argv,
            "-f",
            str(self.config_file),
            *shlex.split(DEFAULT_FLAGS if flags is None else flags),
            *pid_flags,
            *(["--run-dir", str(folder / "run")] if program.run_dir else []),
        ]
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    def pid_file(self, role: str) -> pathlib.Path:
        return self.folder / f"{role}.pid"

    def start(self) -> Daemon:
        with open(self.log_file, "ab") as log:
            self.started_at = time.time()
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.netns, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment(self.folder),
            )
        return self

    @property
    def parent_pid(self) -> int:
        assert self.process is not None, "the daemon was never started"
        return self.process.pid

    def roles(self) -> dict[str, int]:
        """{role: pid} of the live processes, from the pid files that the daemon wrote."""
        found = {}
        for role in PID_FILES:
            with contextlib.suppress(OSError, ValueError, IndexError):
                pid = int(self.pid_file(role).read_text().split()[0])
                if alive(pid):
                    found[role] = pid
        if self.process is not None and self.process.poll() is None:
            found.setdefault("parent", self.process.pid)
        return found

    def processes(self) -> dict[int, str]:
        """{pid: command line or process title} of the daemon's live processes."""
        return {pid: command_line(pid) for pid in self.pids()}

    def pids(self) -> list[int]:
        """All live processes of this start, also those that outlived their parent.

        Known by a mark in the environment they inherited, or by descent (a process may have
        overwritten its environment with its title).
        """
        if self.process is None:
            return []
        mark = f"{MARK}={self.folder}".encode()
        family = {self.process.pid}
        parents: dict[int, int] = {}
        for pid in pids_in_netns(self.netns):
            found = state_and_parent(pid)
            if found is None:
                continue
            parents[pid] = found[1]
            with contextlib.suppress(OSError):
                if mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    family.add(pid)
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        return sorted(pid for pid in family if alive(pid))

    def vrrp_pid(self) -> int | None:
        """The process that reads the raw VRRP socket now, whatever a pid file says; None while only our
        supervisor holds it, for a worker that is just being started."""
        found = raw_protocol_reader(self.netns)
        keeps_only = self.program.run_dir and self.process is not None and found == self.process.pid
        return None if keeps_only else found

    def worker_pid(self, role: str) -> int | None:
        """Pid of the process of a role (vrrp, checker, ipvs, bus); None when there is none.

        vrrp is looked up by its socket, the others by their process name; pid files (keepalived's
        checkers) are believed where nothing else tells.
        """
        if role == "vrrp":
            return self.vrrp_pid()
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == f"pyka-{role}":
                    return pid
        return self.roles().get({"checker": "checkers"}.get(role, role))

    def signal(self, signum: int, role: str = "parent") -> float:
        """Signal one process by its pid file; returns the instant just before."""
        pid = self.roles()[role]
        at = time.time()
        os.kill(pid, signum)
        return at

    def terminate(self) -> float:
        """SIGTERM to the parent (if it is still there); returns the instant just before."""
        at = time.time()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.parent_pid, signal.SIGTERM)
        return at

    def wait(self, timeout_s: float | None = 15) -> int:
        """Wait for the parent's end; returns its status (negative: signal).

        Without a time-out it returns at once at the end; with one, up to 50 ms later.
        """
        assert self.process is not None, "the daemon was never started"
        return self.process.wait(timeout_s)

    def pss_kb(self) -> int:
        """Proportional set size of all its processes together, KiB."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += pss_kb(pid)
        return total

    def log_text(self) -> str:
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""
