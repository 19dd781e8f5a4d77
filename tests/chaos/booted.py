"""systemd as process 1 of a container-like namespace, so that the shipped unit can be tried for real.

``python -m tests.chaos.booted FOLDER`` boots it: PID, mount, UTS, IPC and cgroup namespaces of its own
(the network namespace is the caller's), a tmpfs on /run, an own branch of the unified cgroup tree, the
root read-only. It reads units from FOLDER/units only: nothing of the host's is started, and the host's
own systemd, if it has one, never hears of it. Inside, FOLDER is /run/lab.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from tests.chaos.container import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    PR_SET_PDEATHSIG,
    first_process,
    mount,
    read_only,
)
from tests.lab.system import REPOSITORY, wait_until

CLONE_NEWCGROUP = 0x02000000
INSIDE = "/run/lab"
SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
SHARED = ("/tmp", "/var/tmp")
"""Where systemd makes private folders for units: a tmpfs of its own, so that nothing stays behind."""
TARGETS = ("sysinit", "basic", "multi-user", "shutdown", "network-online")

_libc = ctypes.CDLL(None, use_errno=True)


def systemd() -> str | None:
    """The system's systemd, or the one below .cache/."""
    places = (*SYSTEMD, str(REPOSITORY / ".cache/tools/bin/systemd"))
    return next((place for place in places if os.access(place, os.X_OK)), None)


# --- from outside -------------------------------------------------------------------------------------


class Booted:
    """A node with systemd. ``folder`` holds its units and whatever else the test puts there."""

    def __init__(self, netns: str, folder: pathlib.Path) -> None:
        self.netns, self.folder = netns, folder
        self.units = folder / "units"
        self.units.mkdir(parents=True)
        for name in TARGETS:
            (self.units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def boot(self) -> Booted:
        """Start it and wait until it takes commands. Raises OSError with the reason where it cannot."""
        with open(self.folder / "boot.log", "wb") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.netns, sys.executable, "-m", "tests.chaos.booted", self.folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
            )
        process = self.process

        def up() -> int:
            if process.poll() is not None:
                words = (self.folder / "boot.log").read_text(errors="replace").strip()
                raise OSError(words or f"process 1 ended with status {process.returncode}")
            found = first_process(process.pid)
            return found if found and pathlib.Path(f"/proc/{found}/root/run/systemd/private").exists() else 0

        self.pid = wait_until(up, 20, "systemd takes commands")
        return self

    def systemctl(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """``systemctl WORDS`` inside."""
        return subprocess.run(
            ["nsenter", "--target", str(self.pid), "--all", "--root", "systemctl", "--no-pager", *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def show(self, unit: str) -> dict[str, str]:
        """All properties of a unit."""
        lines = self.systemctl("show", unit).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def outside(self, pid: int) -> int:
        """The number that a process inside has for us."""
        mine = os.readlink(f"/proc/{self.pid}/ns/pid")
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/ns/pid") != mine:
                    continue
                status = pathlib.Path(f"/proc/{entry}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
                if int(numbers[-1]) == pid:
                    return int(entry)
        raise ProcessLookupError(f"there is no process {pid} in the namespace")

    def path(self, inside: str) -> pathlib.Path:
        """A path inside, as seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root{inside}")

    def shut_down(self) -> None:
        """End it with everything in it, and take its cgroups away."""
        if self.process is None:
            return
        self.process.kill()  # process 1 goes with it, and with that every process of the namespace
        self.process.wait(10)
        branch = self.folder / "cgroup.path"
        if branch.exists():
            subprocess.run(
                ["unshare", "--mount", sys.executable, "-m", "tests.chaos.booted", "--sweep",
                 branch.read_text(), self.folder],
                cwd=REPOSITORY, timeout=30, check=False,
            )  # fmt: skip


# --- inside -------------------------------------------------------------------------------------------


def _unshare(flags: int) -> None:
    if _libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, f"no namespaces: {os.strerror(number)}")


def _own_branch(folder: pathlib.Path) -> None:
    """Move into a new branch of the unified cgroup tree; its path is left in FOLDER/cgroup.path."""
    tree = folder / "cgroup"
    tree.mkdir()
    try:
        mount("cgroup2", str(tree), "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"no unified cgroup tree: {error.strerror}") from None
    lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    here = next((line[3:] for line in lines if line.startswith("0::")), "/")
    branch = f"{here.rstrip('/')}/pk-booted-{os.getpid()}"
    (tree / branch.lstrip("/")).mkdir()
    (folder / "cgroup.path").write_text(branch)
    (tree / branch.lstrip("/") / "cgroup.procs").write_text("0")


def sweep(branch: str, folder: pathlib.Path) -> None:
    """Remove a branch of the cgroup tree whose processes are gone."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("cgroup2", str(folder / "cgroup"), "cgroup2", 0)
    top = folder / "cgroup" / branch.lstrip("/")
    until = time.monotonic() + 10
    while top.exists() and time.monotonic() < until:
        for path in [*sorted(top.rglob("*/"), key=lambda path: -len(path.parts)), top]:
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
        time.sleep(0.02)


def _furnish(folder: pathlib.Path) -> None:
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    # What this process 1 must not touch: the machine's knobs. Those of its network are its own.
    mount("/proc/sys/net", "/proc/sys/net", None, MS_BIND)
    mount("/proc/sys", "/proc/sys", None, MS_BIND)
    mount("none", "/proc/sys", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("/proc/sys/net", "/proc/sys/net", None, MS_BIND)
    mount("none", "/proc/sys/net", None, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    kept = {place: os.open(place, os.O_PATH) for place in (str(REPOSITORY), str(folder))}
    read_only(except_below=("/proc", "/sys/fs/cgroup", "/dev"))
    for place in (*SHARED, "/run"):
        mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV)
        os.chmod(place, 0o755 if place == "/run" else 0o1777)
    for place, fd in kept.items():
        if place.startswith(tuple(f"{shared}/" for shared in SHARED)):
            os.makedirs(place, exist_ok=True)
            mount(f"/proc/self/fd/{fd}", place, None, MS_BIND | MS_REC)
    os.makedirs(INSIDE)
    mount(f"/proc/self/fd/{kept[str(folder)]}", INSIDE, None, MS_BIND)
    mount("none", INSIDE, None, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV)
    for fd in kept.values():
        os.close(fd)


def _become_systemd() -> None:
    binary = systemd()
    if binary is None:
        raise OSError("there is no systemd on this system: ./run setup brings one")
    environ = {
        "container": "pykeepalived-lab",
        "PATH": os.environ["PATH"],
        "SYSTEMD_UNIT_PATH": f"{INSIDE}/units",
        "SYSTEMD_GENERATOR_PATH": "/run/none",
        "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": "/run/none",
        "SYSTEMD_LOG_TARGET": "null",
    }
    os.execve(binary, [binary, "--system", "--unit=basic.target", "--show-status=no"], environ)


def main(folder: pathlib.Path) -> int:
    try:
        _unshare(CLONE_NEWNS)
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        _own_branch(folder)
        _unshare(CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_NEWNS)
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return 125
    child = os.fork()
    if child == 0:
        try:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _furnish(folder)
            _become_systemd()
        except OSError as error:
            print(error.strerror or error, file=sys.stderr)
        os._exit(125)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def why_not() -> str | None:
    """Why systemd cannot be booted here, as far as can be told without trying."""
    if systemd() is None or not shutil.which("systemctl"):
        return "there is no systemd on this system (./run setup brings one)"
    if not shutil.which("nsenter"):
        return "the `nsenter` command is missing (apt-get install util-linux)"
    return None


if __name__ == "__main__":
    if sys.argv[1] == "--sweep":
        sweep(sys.argv[2], pathlib.Path(sys.argv[3]))
        sys.exit(0)
    sys.exit(main(pathlib.Path(sys.argv[1])))
