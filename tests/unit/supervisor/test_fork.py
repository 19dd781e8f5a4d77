"""Fork discipline: a child acts on nothing that is its parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from supervisor import fork


def test_a_child_has_only_what_it_was_given() -> None:
    read_end, write_end = os.pipe()
    secret = os.open("/dev/null", os.O_RDONLY)
    old = signal.signal(signal.SIGHUP, lambda *_: None)
    try:

        def body() -> None:
            fds = [int(name) for name in os.listdir("/proc/self/fd")]
            ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            comm = Path("/proc/self/comm").read_text().strip()
            own_session = os.getsid(0) == os.getpid()
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, set())
            os.write(write_end, repr((secret in fds, ignored, comm, own_session, len(mask))).encode())

        pid = fork.fork_child(body, keep_fds=[write_end], role="test")
        _, status = os.waitpid(pid, 0)
    finally:
        signal.signal(signal.SIGHUP, old)
    assert os.read(read_end, 1000).decode() == "(False, True, 'pyka-test', True, 0)"
    assert os.waitstatus_to_exitcode(status) == 0
    for fd in (read_end, write_end, secret):
        os.close(fd)


def test_a_child_that_raises_ends_with_70() -> None:
    def body() -> None:
        raise RuntimeError("planted")

    pid = fork.fork_child(body, keep_fds=[], role="test")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 70


_STORM = """
import os, signal, socket
from supervisor import fork
out, inn = socket.socketpair()
out.setblocking(False); inn.setblocking(False)
signal.set_wakeup_fd(inn.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
wrong = 0
for _ in range(150):
    pid = fork.fork_child(lambda: os.read(os.open('/dev/zero', os.O_RDONLY), 1), keep_fds=[], role='x')
    for _ in range(3):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    os.waitpid(pid, 0)
    try:
        wrong += len(out.recv(100))
    except BlockingIOError:
        pass
print(wrong)
"""


def test_a_storm_of_sigterm_at_young_children_never_reaches_the_parent() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _STORM], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "0"


_NAMES = """
import os, sys
from pathlib import Path
from supervisor import fork
fork.name_after(sys.argv[1])
def body():
    print(Path("/proc/self/comm").read_text().strip(), Path("/proc/self/cmdline").read_text().split("\\0")[0])
    sys.stdout.flush()
for role in ("vrrp", "checker", "bus"):
    os.waitpid(fork.fork_child(body, keep_fds=[], role=role), 0)
"""


def test_a_daemon_started_as_keepalived_has_its_process_names() -> None:
    def names(program: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", _NAMES, program], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.splitlines()

    assert names("/usr/sbin/keepalived") == [
        "keepalived_vrrp keepalived_vrrp",
        "keepalived_heal keepalived_healthcheckers",  # the kernel keeps 15 characters of a name
        "keepalived_bus keepalived_bus",
    ]
    assert names("/usr/bin/pykeepalived") == [
        f"pyka-{role} pyka-{role}" for role in ("vrrp", "checker", "bus")
    ]
