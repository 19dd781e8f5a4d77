"""Starting a program as somebody else in a fraction of the time that a fork of this process takes.

The standard library forks as soon as a user is named, and a fork copies the page tables of the whole worker:
several milliseconds of processor time for each script. ``posix_spawn`` copies nothing, but cannot change the
user. What Linux can: user, groups, folder and file mask belong to a thread (the C library only makes it look
otherwise). So a thread of its own takes the identity of the program, starts it, and ends.

The system calls of this module change the calling thread only, for good: call ``spawn`` as the last thing
that a thread does with rights of the worker. Where that is not possible (other processors, C libraries or
rules of a container), ``usable`` is False, and the standard library does it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import threading
from collections.abc import Mapping, Sequence

from script_proc.program import Identity

_CALLS = {
    "x86_64": (117, 119, 116),
    "aarch64": (147, 149, 159),
    "riscv64": (147, 149, 159),
}
"""Machine -> numbers of setresuid, setresgid, setgroups (of 64-bit processes)."""
_CLONE_FS = 0x200
_PR_SET_DUMPABLE = 4
_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
"""Flags of posix_spawn(3) of the GNU C library."""
_libc = ctypes.CDLL(None, use_errno=True)
_quick = ctypes.PyDLL(None, use_errno=True)
"""The same, for calls that never wait: the interpreter is not handed to another thread around each."""


class _Opaque(ctypes.Structure):
    """Room for a type of the C library, with some to spare."""

    _fields_ = (("room", ctypes.c_uint64 * 128),)


def _checked(code: int) -> None:
    """posix_spawn and its family return an error number."""
    if code:
        raise OSError(code, os.strerror(code))


def _called(result: int) -> None:
    """System calls return -1 and leave the number in errno."""
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def spawn(
    command: Sequence[str],
    *,
    identity: Identity | None,
    umask: int,
    env: Mapping[str, str],
    output: int,
) -> int:
    """Start a program in a session of its own, folder ``/``, nothing to read, writing to ``output``, no
    other descriptor, all signals as by default. Returns its pid. OSError.

    ``identity`` None: as we are. Otherwise the calling thread has that identity from now on.
    """
    words = [os.fsencode(word) for word in command]
    settings = [os.fsencode(f"{name}={value}") for name, value in env.items()]
    if any(b"\0" in word for word in words):
        raise ValueError("a word holds a zero byte")
    actions, attributes, signals = _Opaque(), _Opaque(), _Opaque()
    _checked(_quick.posix_spawn_file_actions_init(ctypes.byref(actions)))
    _checked(_quick.posix_spawnattr_init(ctypes.byref(attributes)))
    try:
        add = ctypes.byref(actions)
        _checked(_quick.posix_spawn_file_actions_addopen(add, 0, b"/dev/null", os.O_RDONLY, 0))
        _checked(_quick.posix_spawn_file_actions_adddup2(add, output, 1))
        _checked(_quick.posix_spawn_file_actions_adddup2(add, output, 2))
        _checked(_quick.posix_spawn_file_actions_addclosefrom_np(add, 3))
        attr = ctypes.byref(attributes)
        flags = ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)
        _checked(_quick.posix_spawnattr_setflags(attr, flags))
        _quick.sigemptyset(ctypes.byref(signals))
        _checked(_quick.posix_spawnattr_setsigmask(attr, ctypes.byref(signals)))
        _quick.sigfillset(ctypes.byref(signals))
        _checked(_quick.posix_spawnattr_setsigdefault(attr, ctypes.byref(signals)))
        _own_folder_and_mask()
        os.chdir("/")
        os.umask(umask)
        if identity is not None:
            _become(identity)
        pid = ctypes.c_int(0)
        _checked(
            _libc.posix_spawn(
                ctypes.byref(pid),
                words[0],
                add,
                attr,
                (ctypes.c_char_p * (len(words) + 1))(*words, None),
                (ctypes.c_char_p * (len(settings) + 1))(*settings, None),
            )
        )
        return pid.value
    finally:
        _quick.posix_spawn_file_actions_destroy(ctypes.byref(actions))
        _quick.posix_spawnattr_destroy(ctypes.byref(attributes))
        if identity is not None:
            # A change of user hides the process from whoever looks at it in /proc, all its threads.
            _quick.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _own_folder_and_mask() -> None:
    """Folder and file mask of this thread are no longer those of the process."""
    _called(_quick.unshare(_CLONE_FS))


def _become(identity: Identity) -> None:
    """This thread, not the process: the functions of the C library would change all threads."""
    setresuid, setresgid, setgroups = (ctypes.c_long(number) for number in _CALLS[platform.machine()])
    groups = (ctypes.c_uint32 * len(identity.groups))(*identity.groups)
    _called(_quick.syscall(setgroups, ctypes.c_long(len(identity.groups)), ctypes.byref(groups)))
    gid, uid = ctypes.c_long(identity.gid), ctypes.c_long(identity.uid)
    _called(_quick.syscall(setresgid, gid, gid, gid))
    _called(_quick.syscall(setresuid, uid, uid, uid))


def _find_out() -> bool:
    if platform.machine() not in _CALLS or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    names = ("posix_spawn_file_actions_addclosefrom_np", "unshare", "syscall", "prctl")
    if platform.libc_ver()[0] != "glibc" or not all(hasattr(_libc, name) for name in names):
        return False
    done: list[bool] = []

    def attempt() -> None:
        try:
            _own_folder_and_mask()
            done.append(True)
        except OSError as error:
            done.append(error.errno not in (errno.EPERM, errno.ENOSYS))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(done and done[0])


_usable: bool | None = None


def usable() -> bool:
    """This machine can do what ``spawn`` needs; found out once."""
    global _usable
    if _usable is None:
        _usable = _find_out()
    return _usable
