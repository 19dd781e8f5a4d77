"""Peers and programs the tests need (real keepalived, FRR, ipvsadm, ...), unpacked, never installed.

What the system already has is used as it is. The rest is downloaded with the dependencies that the
system lacks, unpacked below .cache/tools, and its programs are told (DT_RPATH) where their
libraries are, so nothing leaks into the environment of what they start.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.common import TOOLS, SetupError, fingerprint, run, say, stamp, stamped, unstamp, which
from deploy.setup.debian import (
    SYSTEM_STATUS,
    AptRoot,
    codename,
    debian_sources,
    fresh,
    unpack,
)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A Debian package, the programs wanted of it, and what goes without when it is missing."""

    package: str
    programs: tuple[str, ...]
    purpose: str


WANTED = (
    Tool(package="patchelf", programs=("patchelf",), purpose="fits unpacked programs to their place"),
    Tool(package="iproute2", programs=("ip", "tc", "bridge"), purpose="network namespaces of all tests"),
    Tool(package="kmod", programs=("modprobe",), purpose="modules of the test kernel"),
    Tool(package="ipvsadm", programs=("ipvsadm",), purpose="second opinion on the IPVS table"),
    Tool(package="keepalived", programs=("keepalived",), purpose="peer of the interop tier and the demo"),
    Tool(package="frr", programs=("/usr/lib/frr/vrrpd", "/usr/lib/frr/zebra"), purpose="second VRRP peer"),
    Tool(
        package="systemd",
        programs=("/lib/systemd/systemd", "systemctl"),
        purpose="service manager in a namespace of the chaos tier",
    ),
)
"""In the order in which they matter; FRR's daemons are reached as ``vrrpd`` and ``zebra``."""


def library_folders(root: Path) -> list[Path]:
    """Folders below an unpacked root that hold shared libraries."""
    triplet = f"{platform.machine()}-linux-gnu"
    own = (f"usr/lib/{triplet}/frr", f"usr/lib/{triplet}/systemd", f"lib/{triplet}/systemd")
    names = (f"usr/lib/{triplet}", f"lib/{triplet}", *own, "usr/lib", "lib")
    return [root / name for name in names if (root / name).is_dir()]


def is_elf(path: Path) -> bool:
    """A regular file that begins as ELF objects do."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def relocate(root: Path, patchelf: str) -> None:
    """Make the programs below ``root`` find the libraries below ``root`` first."""
    rpath = ":".join(str(folder) for folder in library_folders(root))
    for name in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/lib/frr", "usr/lib/systemd", "lib/systemd"):
        for file in sorted((root / name).glob("*")):
            if is_elf(file) and file.name != "patchelf":
                what = f"cannot fit {file.name} to its place"
                run([patchelf, "--force-rpath", "--set-rpath", rpath, str(file)], what=what)
    for folder in library_folders(root):
        for file in sorted(folder.glob("*.so*")):
            # A library with a run path of its own does not inherit its program's.
            if is_elf(file) and run([patchelf, "--print-rpath", str(file)], what="patchelf").strip():
                what = f"cannot fit {file.name} to its place"
                run([patchelf, "--force-rpath", "--set-rpath", rpath, str(file)], what=what)


def find(root: Path, program: str) -> Path | None:
    """A program below an unpacked root, its links followed inside that root."""
    folders = ("usr/sbin", "usr/bin", "sbin", "bin") if not program.startswith("/") else ("",)
    for folder in folders:
        path = root / folder / program.lstrip("/")
        if path.is_symlink() and os.readlink(path).startswith("/"):
            path = root / os.readlink(path).lstrip("/")
        if path.exists():
            return path.resolve()
    return None


def on_system(program: str) -> bool:
    """True when the system itself has the program."""
    if program.startswith("/"):
        return os.access(program, os.X_OK)
    found = which(program)
    return found is not None and not found.startswith(f"{TOOLS}/")


def prepare() -> None:
    """Bring every wanted program within reach of ``common.search_path()``.

    Raises SetupError, naming the package, when one cannot be had; the others are in place then.
    """
    missing = [tool for tool in WANTED if not all(on_system(program) for program in tool.programs)]
    mark = fingerprint([*(tool.package for tool in missing), Path(__file__).read_bytes()])
    if stamped(TOOLS, mark):
        return
    unstamp(TOOLS)
    if not missing:
        TOOLS.mkdir(parents=True, exist_ok=True)
        stamp(TOOLS, mark)
        return
    apt = AptRoot("system", debian_sources(codename()), SYSTEM_STATUS)
    apt.update()  # before the old tools are thrown away
    refused: list[str] = []
    with fresh(TOOLS):
        root = TOOLS / "root"
        for tool in missing:
            say(f"unpacking (not installing) {tool.package}: {tool.purpose}")
            try:
                unpack(apt.download([tool.package]), root)
            except SetupError as error:
                refused.append(str(error))
        patchelf = str(find(root, "patchelf") or which("patchelf") or "")
        if not patchelf:
            raise SetupError("patchelf cannot be had, and without it no unpacked program runs\n" + refused[0])
        relocate(root, patchelf)
        (TOOLS / "bin").mkdir()
        for tool in missing:
            for program in tool.programs:
                place = find(root, program)
                if place is not None:
                    (TOOLS / "bin" / Path(program).name).symlink_to(place)
        for archive in apt.archives.glob("*.deb"):
            archive.unlink()
        if not refused:
            stamp(TOOLS, mark)
    if refused:
        raise SetupError("\n".join(refused))
