"""The machine itself, for the linter: the only module of the linter that touches anything outside it.

Everything is best effort: what cannot be looked at is not known, and rules stay silent about it.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from typing import Final

from keepalived_conf.model import IpInterface
from keepalived_conf.tools.lint.finding import FileFacts

SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a program without a slash is looked for when the environment says nothing."""

_AZURE: Final = "7783-7084-3265-9085-8269-3286-77"
"""Chassis asset tag of every virtual machine of that cloud."""


class LocalHost:
    """This machine. ``root``: folder taken for ``/``, for tests."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")
        self._interfaces: dict[str, tuple[IpInterface, ...]] | None = None

    def file(self, path: str) -> FileFacts | None:
        try:
            status = os.stat(self._root + path if path.startswith("/") else path)
        except (OSError, ValueError):
            return None
        return FileFacts(
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            regular=stat.S_ISREG(status.st_mode),
            weak_path=self._weak_path(path),
        )

    def real(self, path: str) -> str:
        return os.path.realpath(path)

    def program(self, name: str) -> str | None:
        return shutil.which(name, path=os.environ.get("PATH") or SEARCH_PATH)

    def interfaces(self) -> Mapping[str, tuple[IpInterface, ...]]:
        if self._interfaces is None:
            found: dict[str, list[IpInterface]] = {}
            try:
                found = {name: [] for _, name in socket.if_nameindex()}
            except OSError:
                pass
            for name, address in _addresses():
                found.setdefault(name, []).append(address)
            self._interfaces = {name: tuple(addresses) for name, addresses in found.items()}
        return self._interfaces

    def user(self, name: str) -> bool:
        if name.isdigit():
            return True
        try:
            pwd.getpwnam(name)
        except (KeyError, ValueError):
            return False
        return True

    def writable(self, path: str) -> bool:
        if os.geteuid() != 0:
            # Only root is told what root may do; a file system mounted read-only says so to everybody.
            try:
                return not os.statvfs(self._root + path).f_flag & os.ST_RDONLY
            except OSError:
                return True
        return os.access(self._root + path, os.W_OK)

    def cloud(self) -> str:
        """By the names that the machine's firmware gives (SMBIOS types 1 and 3)."""
        vendor, product, tag = (
            self._dmi(name) for name in ("sys_vendor", "product_name", "chassis_asset_tag")
        )
        if vendor.startswith("Amazon"):
            return "Amazon EC2"
        if product == "Google Compute Engine":
            return "Google Cloud"
        if tag == _AZURE:
            return "Microsoft Azure"
        return vendor if vendor in ("DigitalOcean", "Hetzner") else ""

    def _dmi(self, name: str) -> str:
        try:
            with open(f"{self._root}/sys/class/dmi/id/{name}", encoding="utf-8", errors="replace") as file:
                return file.read(256).strip()
        except OSError:
            return ""

    def _weak_path(self, path: str) -> str:
        """First part of the path that is not root's alone, by keepalived's rules for scripts of root.

        The links on the way are walked as they are written, then the path that they lead to.
        """
        if not path.startswith("/"):
            return ""
        real = os.path.realpath(self._root + path)
        inside = real[len(self._root) :] if real.startswith(self._root) else real
        for walked in dict.fromkeys((path, inside)):
            for part in _parts(walked):
                if self._weak(part):
                    return part
        return ""

    def _weak(self, path: str) -> bool:
        try:
            status = os.lstat((self._root + path) or "/")
        except OSError:
            return False
        if status.st_uid != 0 and not self._root:
            return True
        if stat.S_ISLNK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
            return False
        group = bool(status.st_mode & stat.S_IWGRP) and status.st_gid != 0
        return group or bool(status.st_mode & stat.S_IWOTH)


def _parts(path: str) -> Iterator[str]:
    """``/a/b`` -> ``/a``, ``/a/b``."""
    walked = ""
    for part in path.strip("/").split("/"):
        walked += "/" + part
        yield walked


def _addresses() -> Iterator[tuple[str, IpInterface]]:
    """Addresses of this machine's interfaces, from the kernel; nothing when it cannot be asked."""
    try:
        from pyroute2 import IPRoute  # late: half a second that only this question is worth

        with IPRoute() as kernel:
            names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in kernel.get_links()}
            for message in kernel.get_addr():
                address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                name = names.get(message["index"])
                if address and name:
                    yield name, ipaddress.ip_interface(f"{address}/{message['prefixlen']}")
    except (ImportError, OSError):
        return
