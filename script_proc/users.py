"""Who runs a script: the users of the configuration, looked up on this machine."""

from __future__ import annotations

import grp
import os
import pwd

from keepalived_conf.model import GlobalDefs, Script, VrrpScript
from script_proc.program import Identity, Program
from worker import privileges

DEFAULT_USER = "keepalived_script"
"""Runs scripts where neither they nor script_user name somebody, if there is such a user."""
DEFAULT_UMASK = 0o177
"""keepalived's, without ``umask`` in global_defs."""
_OTHERS = privileges.mask_of(("SETUID", "SETGID"))


class IdentityError(Exception):
    """A user or group does not exist, or may not be used; the text says which, for people."""


def may_become_others() -> bool:
    """This process has the rights to start programs as other users."""
    return privileges.effective() & _OTHERS == _OTHERS


def daemon_uid() -> int:
    """The user that the daemon was started as: a worker may have one of its own, its parent has not."""
    if os.geteuid() == 0 or not may_become_others():
        return os.geteuid()
    try:
        return os.stat(f"/proc/{os.getppid()}").st_uid
    except OSError:
        return os.geteuid()


def identity(user: str | None, group: str | None, defs: GlobalDefs) -> Identity:
    """User and groups for a script (or a FIFO) that names ``user`` and ``group``. IdentityError.

    Nobody named: script_user, else keepalived_script, else who runs the daemon (with
    enable_script_security: not root). A ``group`` counts with its ``user`` only.
    """
    further = defs.set_supplementary_groups
    if user is None:
        if (default := defs.script_user) is not None:
            user, group = default.user, default.group
            further = further or default.supplementary_groups
        else:
            group = None
            found = _passwd(DEFAULT_USER)
            entry = found if found is not None else _daemon_user(defs)
            return _checked(entry, entry.pw_gid, further)
    entry_or_none = _passwd(user)
    if entry_or_none is None:
        raise IdentityError(f"user {user} does not exist")
    gid = entry_or_none.pw_gid if group is None else _gid(group)
    return _checked(entry_or_none, gid, further)


def program_of(script: Script, defs: GlobalDefs) -> Program:
    """A notify, quorum or FIFO script. One whose user does not exist has a ``problem``. Never raises."""
    return _program(script, script.user, script.group, defs)


def tracked_program(script: VrrpScript, defs: GlobalDefs) -> Program:
    """The program of a vrrp_script. Never raises."""
    if script.user is not None:
        return _program(script.script, script.user.name, script.user.group, defs)
    return program_of(script.script, defs)


def _program(script: Script, user: str | None, group: str | None, defs: GlobalDefs) -> Program:
    who: Identity | None = None
    problem = ""
    try:
        who = identity(user, group, defs)
    except IdentityError as error:
        problem = str(error)
    return Program(
        command=script.command,
        identity=who,
        problem=problem,
        strict=defs.enable_script_security,
        umask=DEFAULT_UMASK if defs.umask is None else defs.umask,
    )


def _daemon_user(defs: GlobalDefs) -> pwd.struct_passwd:
    uid = daemon_uid()
    if uid == 0 and defs.enable_script_security:
        raise IdentityError(
            f"it would run as root: write script_user in global_defs, or make a user {DEFAULT_USER}"
        )
    try:
        return pwd.getpwuid(uid)
    except (KeyError, OSError):
        gid = 0 if uid == 0 else os.getegid()
        return pwd.struct_passwd((str(uid), "", uid, gid, "", "/", ""))


def _passwd(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user)
    except (KeyError, ValueError, OSError):
        pass
    if not (user.isascii() and user.isdecimal()):
        return None
    try:
        return pwd.getpwuid(int(user))
    except (KeyError, OverflowError, OSError):
        return None


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError, OSError):
        pass
    if group.isascii() and group.isdecimal() and int(group) < 1 << 32:
        return int(group)
    raise IdentityError(f"group {group} does not exist")


def _checked(entry: pwd.struct_passwd, gid: int, further: bool) -> Identity:
    """``further``: with the other groups of the user; else in the one group only, as keepalived."""
    groups: tuple[int, ...] = (gid,)
    if further:
        groups = tuple(sorted({gid, *os.getgrouplist(entry.pw_name, gid)}))
    found = Identity(user=entry.pw_name, uid=entry.pw_uid, gid=gid, groups=groups)
    if not may_become_others():
        if found.uid != os.geteuid():
            raise IdentityError(f"this daemon has no right to run programs as user {found.user}")
        if found.gid != os.getegid():
            raise IdentityError(f"this daemon has no right to run programs in group {found.gid}")
    return found
