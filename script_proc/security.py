"""Whether a script can and may be run: what keepalived asks of it, without its faults.

keepalived disables for ever what is missing when it starts, and whatever has a symbolic link to a folder in
its path. Here the same questions are asked before each run, and a link is as safe as where it leads.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from script_proc.program import Identity, Program

_LINKS_MAX = 40
"""As the kernel's limit for one path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the file system says about a program at one moment."""

    command: tuple[str, ...]
    """What to execute: the program's path, then its arguments as configured; empty when not ``runnable``."""
    runnable: bool
    reason: str = ""
    """Why it cannot or may not be run, one line for people."""
    warning: str = ""
    """It is run, but somebody else than root could replace what root runs."""


class _UnusableError(Exception):
    pass


def judge(program: Program) -> Judgement:
    """Look at the program now. Blocks where its file system does: call it from a thread of the runner,
    or once at PREPARE."""
    identity = program.identity
    if identity is None:
        return Judgement(command=(), runnable=False, reason=program.problem or "nobody can run it")
    name = program.command[0]
    if name.startswith("</"):
        # A shell of its own opens the file: as the right user, and with a deadline if that hangs.
        command = ("/bin/sh", "-c", 'exec <"$1"', "sh", name[1:])
        return Judgement(command=command, runnable=True)
    try:
        path = _found(name, identity)
        insecure = _look_at(path, identity)
    except (_UnusableError, ValueError) as error:
        return Judgement(command=(), runnable=False, reason=str(error))
    if insecure and program.strict:
        return Judgement(command=(), runnable=False, reason=f"enable_script_security: {insecure}")
    return Judgement(command=(path, *program.command[1:]), runnable=True, warning=insecure)


def _found(name: str, identity: Identity) -> str:
    """The path of a program: as written (from the root folder), or of a name in PATH."""
    if "/" in name:
        return name if name.startswith("/") else f"/{name}"
    reason = f"{name} is in no folder of PATH"
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        if not folder.startswith("/"):
            continue  # relative to where the daemon was started: nobody means that
        path = f"{folder.rstrip('/')}/{name}"
        try:
            _look_at(path, identity)
        except _UnusableError as error:
            if os.path.lexists(path):
                reason = str(error)
            continue
        return path
    raise _UnusableError(reason)


def _look_at(path: str, identity: Identity) -> str:
    """What makes it insecure, or an empty text. _UnusableError when it cannot be run."""
    insecure = ""
    info: os.stat_result | None = None
    where = "/"
    try:
        for where, info in _way(path):
            insecure = insecure or _replaceable(where, info)
            if stat.S_ISDIR(info.st_mode) and not _may_execute(where, info, identity):
                raise _UnusableError(f"user {identity.user} may not enter {where}")
    except PermissionError as error:
        # We may not look, which does not mean that its user may not run it.
        return f"{error.filename} cannot be looked at" if identity.root else ""
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise _UnusableError(f"{error.filename or path} does not exist") from None
        raise _UnusableError(f"{error.filename or path}: {error.strerror}") from None
    if info is None or not stat.S_ISREG(info.st_mode):
        raise _UnusableError(f"{path} is no file")
    if not _may_execute(where, info, identity):
        raise _UnusableError(f"{path} is not executable for user {identity.user}")
    set_id = (info.st_mode & stat.S_ISUID and info.st_uid == 0) or (
        info.st_mode & stat.S_ISGID and info.st_gid == 0
    )
    return insecure if identity.root or set_id else ""


def _way(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every folder, link and file on the way to what a path leads to, links followed one by one; last the
    file itself. OSError with the place that fails."""
    yield "/", os.lstat("/")
    rest = [part for part in reversed(path.split("/")) if part]
    at: list[str] = []
    links = 0
    while rest:
        part = rest.pop()
        if part == ".":
            continue
        if part == "..":
            del at[-1:]
            continue
        here = "/" + "/".join([*at, part])
        info = os.lstat(here)
        yield here, info
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > _LINKS_MAX:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(here)
            if target.startswith("/"):
                at = []
            rest += [piece for piece in reversed(target.split("/")) if piece]
        elif rest and not stat.S_ISDIR(info.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), f"{here}/{rest[-1]}")
        else:
            at.append(part)


def _replaceable(path: str, info: os.stat_result) -> str:
    """Why somebody else than root could put another thing there, or an empty text."""
    if info.st_uid != 0:
        return f"{path} belongs to uid {info.st_uid}, not to root"
    if stat.S_ISLNK(info.st_mode) or (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX):
        return ""
    if info.st_mode & stat.S_IWOTH:
        return f"everybody may write to {path}"
    if info.st_mode & stat.S_IWGRP and info.st_gid != 0:
        return f"group {info.st_gid} may write to {path}"
    return ""


def _may_execute(path: str, info: os.stat_result, identity: Identity) -> bool:
    """Execute a file, enter a folder: by its mode; where that says no, an access list may say yes."""
    mode = info.st_mode
    if stat.S_ISLNK(mode):
        return True
    if identity.uid == 0:
        return stat.S_ISDIR(mode) or bool(mode & 0o111)
    if identity.uid == info.st_uid:
        return bool(mode & stat.S_IXUSR)
    if info.st_gid == identity.gid or info.st_gid in identity.groups:
        allowed = bool(mode & stat.S_IXGRP)
    else:
        allowed = bool(mode & stat.S_IXOTH)
    return allowed or _has_access_list(path)


def _has_access_list(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        return False
