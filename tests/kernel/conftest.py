"""Fixtures for a real kernel with IPVS: each test gets an empty table.

The tier runs where ip_vs can be used by root: on this machine, or in the bundled test kernel.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from ipvs_proc.netlink import NetlinkIpvs
from ipvs_proc.port import IpvsUnavailableError


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "needs root (sudo), or the bundled test kernel"
    try:
        NetlinkIpvs().close()
    except IpvsUnavailableError as error:
        return f"{error}; or run the tier in the bundled test kernel"
    return None


@pytest.fixture(scope="session", autouse=True)
def _real_ipvs() -> None:
    reason = _why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def port() -> Iterator[NetlinkIpvs]:
    """The table of a network namespace of its own, empty; this process is in it during the test."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    _unshare_net()
    try:
        # Without any address the kernel takes no IPv4 destination: it cannot tell it from a broadcast.
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        ipvs = NetlinkIpvs()
        try:
            yield ipvs
        finally:
            ipvs.close()
    finally:
        _setns(home)
        os.close(home)


def _unshare_net() -> None:
    _libc_call("unshare", 0x40000000)


def _setns(fd: int) -> None:
    _libc_call("setns", fd, 0x40000000)


def _libc_call(name: str, *arguments: int) -> None:
    import ctypes  # os.unshare and os.setns are there from Python 3.12 on

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
