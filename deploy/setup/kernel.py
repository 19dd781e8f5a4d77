"""The test kernel: Debian's user-mode-linux, which runs as an ordinary process and has real IPVS.

Debian sid carries a recent one as a package, kernel and modules together. It is linked against
sid's C library, so that is unpacked beside it and named in its header; the system's own C library
is never touched. ``deploy/setup/uml.py`` boots it.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from deploy.setup.common import KERNEL, SetupError, fingerprint, run, say, stamp, stamped, unstamp, which
from deploy.setup.debian import AptRoot, codename, fresh, sid_source, unpack

BINARY = KERNEL / "linux"


def modules_root() -> Path:
    """What ``modprobe -d`` takes."""
    return KERNEL


def prepare() -> None:
    """Unpack the kernel below .cache/kernel. Needs patchelf (see tools). Raises SetupError."""
    mark = fingerprint([Path(__file__).read_bytes()])
    if stamped(KERNEL, mark):
        return
    unstamp(KERNEL)
    if platform.machine() != "x86_64":
        raise SetupError(
            f"the test kernel is built for x86_64 only and this machine is {platform.machine()}: "
            "run the kernel tier on a host whose own kernel has ip_vs (modprobe ip_vs)"
        )
    patchelf = which("patchelf")
    if patchelf is None:
        raise SetupError("the test kernel needs patchelf, which could not be had (see above)")
    release = codename()
    apt = AptRoot("sid", sid_source(release), None)
    apt.update()  # before the old kernel is thrown away
    with fresh(KERNEL):
        unpacked = KERNEL / "unpacked"
        say("unpacking (not installing) user-mode-linux from Debian sid: a kernel with IPVS for tests")
        unpack(apt.download(["user-mode-linux"]), unpacked)
        _assemble(unpacked, patchelf)
        shutil.rmtree(unpacked)
        for archive in apt.archives.glob("*.deb"):
            archive.unlink()
        stamp(KERNEL, mark)


def _assemble(unpacked: Path, patchelf: str) -> None:
    """Keep the kernel, its modules where modprobe looks, and the few libraries it names."""
    shutil.copy2(unpacked / "usr/bin/linux.uml", BINARY)
    (KERNEL / "lib").mkdir()
    (unpacked / "usr/lib/uml/modules").rename(KERNEL / "lib/modules")
    needed = run([patchelf, "--print-needed", str(BINARY)], what="patchelf").split()
    libraries = unpacked / "usr/lib/x86_64-linux-gnu"
    for name in {*needed, "libc.so.6", "ld-linux-x86-64.so.2"}:
        shutil.copy2(libraries / name, KERNEL / "lib" / name)
    interpreter = str(KERNEL / "lib/ld-linux-x86-64.so.2")
    what = "cannot fit the test kernel to its place"
    run([patchelf, "--set-interpreter", interpreter, str(BINARY)], what=what)
    run([patchelf, "--force-rpath", "--set-rpath", str(KERNEL / "lib"), str(BINARY)], what=what)
