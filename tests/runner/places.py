"""Where a tier's tests can live: as they are, in namespaces of their own, or under the test kernel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import uml
from deploy.setup.__main__ import REFUSED
from deploy.setup.common import which


@dataclass(frozen=True, kw_only=True)
class Place:
    """``prefix`` goes before the pytest command."""

    name: str
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a tier cannot run here, and the command which would enable it."""

    why: str
    enable: str


HERE = Place(name="here")


def refused_step(step: str) -> str | None:
    """What set-up said first when it could not do a step."""
    try:
        why = json.loads(REFUSED.read_text()).get(step)
    except (OSError, ValueError, AttributeError):
        return None
    return str(why).splitlines()[0] if why else None


def _unshare(*, pids: bool) -> tuple[str, ...]:
    """The unshare command line: own network and mounts, and with ``pids`` own processes."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    own = ("--pid", "--fork", "--kill-child") if pids else ()
    # unshare's own way of making mounts private fails in a plain chroot; the sandbox does it.
    return ("unshare", *user, "--net", "--mount", "--propagation", "unchanged", *own)


def _possible(prefix: Sequence[str]) -> bool:
    command = [*prefix, sys.executable, "-m", "tests.runner.sandbox", "true"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def namespaces(tier: str) -> Place | Refusal:
    """Network, mounts and processes of the tier's own, as root in there; the host sees nothing of it."""
    if which("ip") is None:
        why = refused_step("tools") or "the `ip` command is missing"
        return Refusal(why=why, enable=f"./run setup && ./run test {tier}")
    if shutil.which("unshare") is None:
        return Refusal(why="the `unshare` command is missing", enable="apt-get install util-linux")
    for pids in (True, False):
        prefix = _unshare(pids=pids)
        if _possible(prefix):
            sandbox = (*prefix, sys.executable, "-m", "tests.runner.sandbox")
            return Place(name="in namespaces of its own", prefix=sandbox)
    if os.geteuid() == 0:
        return Refusal(
            why="root may not make network namespaces here (a container without CAP_SYS_ADMIN?)",
            enable=f"run `./run test {tier}` on a host or virtual machine, or in a privileged container",
        )
    return Refusal(
        why="an ordinary user may not make user and network namespaces here (in a chroot: never)",
        enable=f"sudo ./run test {tier}   (outside a chroot: sudo sysctl kernel.unprivileged_userns_clone=1)",
    )


def peers(tier: str) -> Place | Refusal:
    """Namespaces, and a real keepalived in reach."""
    if not (os.environ.get("PYKEEPALIVED_TEST_KEEPALIVED") or which("keepalived")):
        why = refused_step("tools") or "Debian's keepalived has not been unpacked"
        return Refusal(why=why, enable=f"./run setup && ./run test {tier}")
    return namespaces(tier)


def host_has_ipvs() -> bool:
    """True when root on this host can use IPVS: the module is loaded, built in or loadable."""
    if Path("/proc/net/ip_vs").exists():
        return True
    modprobe = which("modprobe")
    if modprobe is None:
        return False
    done = subprocess.run([modprobe, "-n", "-q", "ip_vs"], capture_output=True, check=False)
    return done.returncode == 0


def ipvs_kernel(tier: str, timeout_s: float) -> Place | Refusal:
    """A kernel with IPVS: the host's own where root may use it, else the test kernel."""
    if os.geteuid() == 0 and host_has_ipvs():
        return namespaces(tier)
    if uml.available():
        prefix = (sys.executable, "-m", "deploy.setup.uml", "--timeout", f"{timeout_s:g}", "--")
        return Place(name="under the test kernel", prefix=prefix)
    why = refused_step("kernel") or "this kernel has no ip_vs, and the test kernel has not been unpacked"
    return Refusal(why=why, enable=f"./run setup && ./run test {tier}")
