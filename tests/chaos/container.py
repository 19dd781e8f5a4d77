"""A plain container around a daemon: what an orchestrator gives, without the orchestrator.

``python -m tests.chaos.container tmpfs|volume RUN_DIR COMMAND...`` runs the command as process 1 of PID,
mount, UTS and IPC namespaces of its own (the network namespace is the caller's): everything is mounted
read-only, only RUN_DIR is a tmpfs of its own, or the caller's folder, and of all capabilities only NET_ADMIN
and NET_RAW can be had. Its exit status is the command's (128 + signal when one killed it).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import re
import signal
import sys
from collections.abc import Sequence

from worker.privileges import mask_of

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x4000000, 0x8000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 1 << 18
MS_NOATIME, MS_NODIRATIME, MS_RELATIME = 0x400, 0x800, 1 << 21
_FLAGS = {
    "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME, "nodiratime": MS_NODIRATIME, "relatime": MS_RELATIME,
}  # fmt: skip
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 1, 24, 47, 4
KEPT = ("NET_ADMIN", "NET_RAW")

_libc = ctypes.CDLL(None, use_errno=True)


def prefix(run_dir: pathlib.Path, *, volume: bool = False) -> tuple[str, ...]:
    """What comes before the daemon's command line. ``volume``: the run directory outlives the container."""
    repository = pathlib.Path(__file__).resolve().parents[2]
    python = ("env", f"PYTHONPATH={repository}", sys.executable)
    return (*python, "-m", "tests.chaos.container", "volume" if volume else "tmpfs", str(run_dir))


def first_process(outside_pid: int) -> int | None:
    """The container's process 1, as the host numbers it; None while there is none."""
    with contextlib.suppress(OSError):
        children = pathlib.Path(f"/proc/{outside_pid}/task/{outside_pid}/children").read_text().split()
        return int(children[0]) if children else None
    return None


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """mount(2); OSError names the target."""
    name = kind.encode() if kind else None
    if _libc.mount(source.encode(), target.encode(), name, flags, None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {target}: {os.strerror(number)}")


def read_only(*, except_below: Sequence[str]) -> None:
    """Make every mount of this mount namespace read-only, but those at or below some places."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        mounts = [line.split()[4:6] for line in table]
    for point, options in mounts:
        place = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), point)
        if any(place == keep or place.startswith(f"{keep}/") for keep in except_below):
            continue
        kept = sum(flag for word, flag in _FLAGS.items() if word in options.split(","))
        try:
            mount("none", place, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL, errno.EACCES):  # hidden below another mount
                raise


def _give_up_capabilities() -> None:
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    kept = mask_of(KEPT)
    for number in range(64):
        if not kept >> number & 1 and _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0):
            break  # past the last capability that this kernel knows


def main(kind: str, run_dir: str, command: Sequence[str]) -> int:
    os.makedirs(run_dir, exist_ok=True)
    if _libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID):
        print(f"container: no namespaces: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 125
    child = os.fork()
    if child == 0:
        try:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            mount("none", "/", None, MS_REC | MS_PRIVATE)
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            if kind == "volume":
                mount(run_dir, run_dir, None, MS_BIND)
            read_only(except_below=("/proc", run_dir))
            if kind == "tmpfs":
                mount("tmpfs", run_dir, "tmpfs", MS_NOSUID | MS_NODEV)
            _give_up_capabilities()
            os.execvp(command[0], list(command))
        except OSError as error:
            print(f"container: {error}", file=sys.stderr)
        os._exit(125)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
