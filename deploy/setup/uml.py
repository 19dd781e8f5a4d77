"""Run a command under the test kernel (User Mode Linux) with this machine's files as its root.

    python3 -m deploy.setup.uml [--mem 1G] [--timeout 300] [--module NAME ...] -- COMMAND...

The command's output comes live, its exit status is this program's (124 after the timeout, 125 when
the kernel did not boot). Inside: root, an empty network with ``lo`` up, one CPU, tmpfs on /run,
/dev/shm and (unless the tree lives there) /tmp, ip_vs with all its schedulers and the usual virtual
links loaded, everything else loaded on demand. Files outside those are the host's own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.setup.common import CACHE, ROOT, SetupError, search_path, which
from deploy.setup.kernel import BINARY, modules_root

SCHEDULERS = ("dh", "fo", "lblc", "lblcr", "lc", "mh", "nq", "ovf", "rr", "sed", "sh", "wlc", "wrr")
MODULES = (
    "ip_vs",
    *(f"ip_vs_{name}" for name in SCHEDULERS),
    "nf_conntrack", "veth", "bridge", "dummy", "macvlan", "vrf", "8021q", "ipip", "sch_netem",
)  # fmt: skip
TIMED_OUT = 124
NO_BOOT = 125
KEPT = ("HOME", "LANG", "LC_ALL", "TERM", "COLUMNS", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE",
        "HYPOTHESIS_STORAGE_DIRECTORY", "PYTHONPATH", "VIRTUAL_ENV")  # fmt: skip


def available() -> bool:
    """True when the kernel has been set up."""
    return BINARY.exists() and which("modprobe") is not None


def init_script(
    place: Path, command: Sequence[str], modules: Sequence[str], environ: Mapping[str, str], *, tmp: bool
) -> str:
    """The shell script that is the guest's process 1; it leaves ``out`` and ``rc`` in ``place``."""
    kept = {name: environ[name] for name in KEPT if name in environ}
    kept |= {name: value for name, value in environ.items() if name.startswith("PYKEEPALIVED_")}
    kept |= {"PATH": search_path(environ), "PYKEEPALIVED_TEST_KERNEL": "uml"}
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(kept.items()))
    loads = " ".join(shlex.quote(name) for name in modules)
    return f"""#!/bin/sh
{exports}
{shlex.quote(str(place / "mount"))} -t proc proc /proc
{shlex.quote(str(place / "mount"))} -o remount,bind,nosuid /
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm 2>/dev/null
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs tmpfs /dev/shm 2>/dev/null
{"mount -t tmpfs tmpfs /tmp" if tmp else "true"}
echo {shlex.quote(str(place / "modprobe"))} >/proc/sys/kernel/modprobe
cd {shlex.quote(os.getcwd())}
exec </dev/null >{shlex.quote(str(place / "out"))} 2>&1
{shlex.quote(str(place / "modprobe"))} -a {loads}
ip link set lo up
{shlex.join(command)}
echo $? >{shlex.quote(str(place / "rc.part"))}
mv {shlex.quote(str(place / "rc.part"))} {shlex.quote(str(place / "rc"))}
sync
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
"""


class Relay:
    """Copies what the guest has written to a host file on to our standard output."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def pump(self) -> None:
        """Write out what is new."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._at)
                new = stream.read()
        except OSError:
            return
        if new:
            self._at += len(new)
            sys.stdout.buffer.write(new)
            sys.stdout.buffer.flush()


def boot(
    command: Sequence[str], *, mem: str = "1G", timeout_s: float = 300.0, modules: Sequence[str] = MODULES
) -> int:
    """Boot, run ``command``, relay its output, return its exit status. Raises SetupError."""
    if not available():
        raise SetupError("the test kernel is not there: ./run setup brings it")
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="uml-", dir=CACHE) as name:
        place = Path(name)
        loader = shlex.join([str(which("modprobe")), "-d", str(modules_root())])
        used = [str(ROOT), os.getcwd(), sys.prefix, *(word for word in command if word.startswith("/"))]
        in_tmp = any(os.path.realpath(path).startswith("/tmp/") for path in used)
        script = init_script(place, command, modules, os.environ, tmp=not in_tmp)
        for file, text in (("modprobe", f'#!/bin/sh\nexec {loader} "$@"\n'), ("init", script)):
            (place / file).write_text(text)
            (place / file).chmod(0o755)
        # In a user namespace the host's root is nobody to the guest, and so is who runs a set-user-id
        # program of his: the first mounts are made with a copy that is not, and then none is any more.
        shutil.copyfile(which("mount") or "/bin/mount", place / "mount")
        (place / "mount").chmod(0o755)
        kernel = [str(BINARY), f"mem={mem}", "rootfstype=hostfs", "rootflags=/", "rw", f"init={place}/init",
                  f"uml_dir={place}", "umid=guest", "seccomp=on", "con=null",
                  "con0=null,fd:2", "quiet", "panic=-1"]  # fmt: skip
        with open(place / "console", "wb") as console:
            process = subprocess.Popen(
                kernel,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={"HOME": str(place), "TMPDIR": "/dev/shm", "PATH": "/usr/bin:/bin"},
            )
        return _attend(process, place, timeout_s)


def _attend(process: subprocess.Popen[bytes], place: Path, timeout_s: float) -> int:
    """Relay until the guest has left an exit status, died, or taken too long; then end it."""
    relay, rc = Relay(place / "out"), place / "rc"
    until = time.monotonic() + timeout_s
    try:
        while process.poll() is None and not rc.exists() and time.monotonic() < until:
            relay.pump()
            time.sleep(0.05)
        relay.pump()
        if rc.exists():
            return int(rc.read_text())
        if process.poll() is None:
            print(f"\ntest kernel: ended after {timeout_s:.0f} s without an answer", file=sys.stderr)
            return TIMED_OUT
        words = (place / "console").read_text(errors="replace").strip()
        print("\ntest kernel: stopped before the command had ended; its last words:", file=sys.stderr)
        print(words[-3000:], file=sys.stderr)
        return NO_BOOT
    finally:
        # Everything the kernel forked on the host is in its session's process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        relay.pump()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="uml", description="Run a command under the test kernel.")
    parser.add_argument("--mem", default="1G", help="memory of the guest (1G)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds until it is ended (300)")
    parser.add_argument("--module", action="append", default=[], help="load this module too")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND...")
    given = parser.parse_args(arguments)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error("no command given")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return boot(command, mem=given.mem, timeout_s=given.timeout, modules=(*MODULES, *given.module))
    except SetupError as error:
        print(f"uml: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
