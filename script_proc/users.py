"""Who runs a script: the users of the configuration, looked up on this machine."""

from __future__ import annotations

from keepalived_conf.model import GlobalDefs, Script, VrrpScript
from script_proc.program import Identity, Program


class IdentityError(Exception):
    """A user or group does not exist; the text says which, for people."""


def identity(user: str | None, group: str | None, defs: GlobalDefs) -> Identity:
    """User and groups for a script (or a FIFO) that names ``user`` and ``group``. IdentityError."""
    raise NotImplementedError


def program_of(script: Script, defs: GlobalDefs) -> Program:
    """A notify, quorum or FIFO script. One whose user does not exist has a ``problem``. Never raises."""
    raise NotImplementedError


def tracked_program(script: VrrpScript, defs: GlobalDefs) -> Program:
    """The program of a vrrp_script. Never raises."""
    raise NotImplementedError
