"""Who runs a script. User databases are replaced: what this machine has decides nothing."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from keepalived_conf.model import DefaultScriptUser, GlobalDefs, Script, ScriptUser, VrrpScript
from script_proc import users
from script_proc.program import Identity
from script_proc.users import IdentityError, identity, program_of, tracked_program

PEOPLE = {"root": (0, 0), "bob": (1001, 1001), "check": (1002, 1003)}
GROUPS = {"root": 0, "bob": 1001, "ops": 1500, "check": 1003}


def person(name: str, uid: int, gid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Users by name; a test may add some."""
    people = dict(PEOPLE)

    def by_name(name: str) -> pwd.struct_passwd:
        return person(name, *people[name])

    def by_uid(uid: int) -> pwd.struct_passwd:
        for name, (known, gid) in people.items():
            if known == uid:
                return person(name, known, gid)
        raise KeyError(uid)

    def group(name: str) -> grp.struct_group:
        return grp.struct_group((name, "x", GROUPS[name], []))

    monkeypatch.setattr(pwd, "getpwnam", by_name)
    monkeypatch.setattr(pwd, "getpwuid", by_uid)
    monkeypatch.setattr(grp, "getgrnam", group)
    monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid, 1500])
    monkeypatch.setattr(users, "may_become_others", lambda: True)
    monkeypatch.setattr(users, "daemon_uid", lambda: 0)
    return people


def of(user: str | None = None, group: str | None = None, **defs: object) -> Identity:
    return identity(user, group, GlobalDefs(**defs))  # type: ignore[arg-type]


def test_the_user_of_the_script_with_the_users_first_group() -> None:
    assert of("check") == Identity(user="check", uid=1002, gid=1003, groups=(1003,))


def test_the_user_and_group_of_the_script_win_over_script_user() -> None:
    found = of("bob", "ops", script_user=DefaultScriptUser(user="check", group="check"))
    assert (found.uid, found.gid, found.groups) == (1001, 1500, (1500,))


def test_script_user_and_its_group() -> None:
    assert of(script_user=DefaultScriptUser(user="bob")).gid == 1001
    assert of(script_user=DefaultScriptUser(user="bob", group="ops")).gid == 1500


def test_keepalived_script_if_there_is_such_a_user(database: dict[str, tuple[int, int]]) -> None:
    assert of().uid == 0
    database["keepalived_script"] = (990, 991)
    assert (of().uid, of().gid) == (990, 991)
    assert of(script_user=DefaultScriptUser(user="bob")).uid == 1001


def test_with_script_security_nobody_falls_back_to_root(database: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(IdentityError, match="script_user"):
        of(enable_script_security=True)
    assert of(enable_script_security=True, script_user=DefaultScriptUser(user="root")).uid == 0
    database["keepalived_script"] = (990, 991)
    assert of(enable_script_security=True).uid == 990


def test_further_groups_are_asked_for_by_a_colon_or_for_all() -> None:
    assert of("bob").groups == (1001,)
    assert of("bob", set_supplementary_groups=True).groups == (1001, 1500)
    assert of(script_user=DefaultScriptUser(user="bob", supplementary_groups=True)).groups == (1001, 1500)


def test_numbers_are_users_and_groups_too() -> None:
    assert of("1002").gid == 1003
    assert of("1002", "77").gid == 77


@pytest.mark.parametrize(
    ("user", "group", "text"), [("eve", None, "user eve"), ("bob", "wheel", "group wheel")]
)
def test_who_does_not_exist_is_named(user: str, group: str | None, text: str) -> None:
    with pytest.raises(IdentityError, match=f"{text} does not exist"):
        of(user, group)
    program = program_of(Script(command=("/bin/true",), user=user, group=group), GlobalDefs())
    assert program.identity is None
    assert text in program.problem


def test_without_rights_only_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "may_become_others", lambda: False)
    monkeypatch.setattr(users, "daemon_uid", lambda: 1001)
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    monkeypatch.setattr(os, "getegid", lambda: 1001)
    assert of().uid == 1001
    with pytest.raises(IdentityError, match="no right to run programs as user check"):
        of("check")
    with pytest.raises(IdentityError, match="no right to run programs in group 1500"):
        of("bob", "ops")


def test_a_tracked_script_is_run_by_its_user() -> None:
    script = VrrpScript(name="s", script=Script(command=("/bin/true",)), user=ScriptUser(name="check"))
    found = tracked_program(script, GlobalDefs(umask=0o22)).identity
    assert found is not None
    assert found.uid == 1002


def test_the_mask_for_new_files_is_keepaliveds_unless_written() -> None:
    script = Script(command=("/bin/true",))
    assert program_of(script, GlobalDefs()).umask == 0o177
    assert program_of(script, GlobalDefs(umask=0o22)).umask == 0o22


def test_the_daemons_user_is_the_parents_not_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(users, "may_become_others", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 64704)
    assert users.daemon_uid() == os.stat(f"/proc/{os.getppid()}").st_uid
    monkeypatch.setattr(users, "may_become_others", lambda: False)
    assert users.daemon_uid() == 64704
