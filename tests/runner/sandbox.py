"""First process of a tier's own namespaces: makes them liveable, runs the command, reaps orphans.

unshare --net --mount --pid --fork ... python -m tests.runner.sandbox COMMAND...
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
DEEPEST = 64

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, flags: int) -> int:
    """mount(2) without a type: 0, or the errno."""
    done = _libc.mount(source.encode(), target.encode(), None, flags, None)
    return 0 if done == 0 else ctypes.get_errno()


def keep_mounts_to_ourselves() -> None:
    """What is mounted from here on stays in our mount namespace.

    In a plain chroot / is no mount, so its propagation cannot be set from inside: a mount made there
    would appear on the host and stay, and `ip netns exec` fails. Root then steps out to the
    namespace's real root for that one call, and back into the same tree, bound as a mount.
    """
    error = _mount("none", "/", MS_REC | MS_PRIVATE)
    if error == errno.EINVAL:
        home = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chroot("/proc")  # any folder below: the working directory is now outside of the root
            os.fchdir(home)
            for _ in range(DEEPEST):
                os.chdir("..")
            os.chroot(".")
            error = _mount("none", "/", MS_REC | MS_PRIVATE)
            os.fchdir(home)
            os.chroot(".")
            error = error or _mount("/", "/run", MS_BIND | MS_REC)
            os.chroot("/run")
        finally:
            os.close(home)
    if error:
        raise OSError(error, f"cannot keep mounts private: {os.strerror(error)}")


def furnish() -> None:
    """A /run and /proc of our own, so that names and pids never meet the host's, and ``lo`` up."""
    here = os.getcwd()
    keep_mounts_to_ourselves()
    os.chdir(here)
    mounts: list[tuple[str, ...]] = [("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")]
    if os.getpid() == 1:
        mounts.append(("mount", "-t", "proc", "proc", "/proc"))
    for command in (*mounts, ("ip", "link", "set", "lo", "up")):
        subprocess.run(command, check=True)
    for folder in ("/run/netns", "/run/lock", "/run/user"):
        os.mkdir(folder)


def main(command: Sequence[str]) -> int:
    """Status of the command, 128 + signal if it was killed."""
    try:
        furnish()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 125
    child = os.posix_spawnp(command[0], list(command), os.environ)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda number, _frame: os.kill(child, number))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
