"""Users and capabilities of a worker: drop to what it needs, and say what could not be dropped.

Uses the capset(2) and prctl(2) system calls directly: libcap is not on every director.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable

CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "IPC_LOCK": 14, "SYS_MODULE": 16,
    "SYS_ADMIN": 21, "SYS_NICE": 23, "SYS_RESOURCE": 24, "SYS_TIME": 25,
}  # fmt: skip

_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 8, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


class _Head(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def mask_of(names: Iterable[str]) -> int:
    """Capability names (without CAP_) as a bit mask. KeyError names an unknown one."""
    mask = 0
    for name in names:
        mask |= 1 << CAPABILITIES[name]
    return mask


def effective() -> int:
    """The effective capabilities of this process as a bit mask (CapEff of /proc/self/status)."""
    with open("/proc/thread-self/status", "rb") as status:
        for line in status:
            if line.startswith(b"CapEff:"):
                return int(line.split()[1], 16)
    return 0


def names_of(mask: int) -> list[str]:
    """Names of the capabilities in a mask, unknown ones as numbers."""
    by_number = {number: name for name, number in CAPABILITIES.items()}
    return [by_number.get(bit, str(bit)) for bit in range(64) if mask >> bit & 1]


def drop(uid: int | None, capabilities: Iterable[str], *, starts_programs: bool = False) -> list[str]:
    """Become ``uid`` (None: keep) with only ``capabilities``. Returns what could not be done, in words.

    Capabilities that the process does not have are asked for in vain: they are named as missing.
    ``starts_programs``: the bounding set stays and new privileges are allowed, so that a program started as
    root has root's rights; else nothing that this process starts ever has more than it.

    The order matters: keep capabilities over the change of user, then cut them down.
    """
    problems: list[str] = []
    have = effective()
    want = mask_of(capabilities)
    missing = want & ~have
    if missing:
        problems.append("missing capabilities: " + ", ".join(names_of(missing)))
    want &= have
    if have >> CAPABILITIES["SETPCAP"] & 1 and not starts_programs:
        for bit in range(64):
            if not want >> bit & 1 and _libc.prctl(_PR_CAPBSET_DROP, bit, 0, 0, 0):
                break
    if uid is not None and uid != os.geteuid():
        _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        try:
            with contextlib.suppress(PermissionError):
                os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        except OSError as error:
            problems.append(f"cannot become uid {uid}: {error.strerror}")
    head = _Head(_CAPABILITY_VERSION_3, 0)
    low, high = want & 0xFFFFFFFF, want >> 32
    data = (_Data * 2)(_Data(low, low, 0), _Data(high, high, 0))
    if _libc.capset(ctypes.byref(head), ctypes.byref(data)):
        problems.append(f"cannot drop capabilities: {os.strerror(ctypes.get_errno())}")
    if not starts_programs:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # /proc/self stays readable for status and debugging as before the change of user.
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    return problems
