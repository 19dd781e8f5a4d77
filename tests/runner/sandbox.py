"""First process of a tier's own namespaces: makes them liveable, runs the command, reaps orphans.

    unshare --net --mount --pid --fork ... python -m tests.runner.sandbox COMMAND...
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

MOUNTS = (
    ("mount", "--make-rprivate", "/"),
    ("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"),
)


def furnish() -> None:
    """A /run of our own, so that namespace names never meet the host's, and ``lo`` up."""
    for command in (*MOUNTS, ("ip", "link", "set", "lo", "up")):
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
