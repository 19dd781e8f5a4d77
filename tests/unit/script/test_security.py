"""What is run and what is not: on real files; who owns them is invented where that needs rights."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from script_proc.program import Identity, Program
from script_proc.security import Judgement, judge

ROOT = Identity(user="root", uid=0, gid=0, groups=(0,))
BOB = Identity(user="bob", uid=1001, gid=1001, groups=(1001, 1500))


class Tree:
    """A folder whose files belong to whom a test says; everything else to root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.owners: dict[str, tuple[int, int]] = {}

    def script(self, name: str, mode: int = 0o755, *, owner: tuple[int, int] = (0, 0)) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
        self.owners[str(path)] = owner
        return str(path)

    def folder(self, name: str, mode: int = 0o755, *, owner: tuple[int, int] = (0, 0)) -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        self.owners[str(path)] = owner
        return path


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    made = Tree(tmp_path)
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        info = real(path)
        owner, group = made.owners.get(str(path), (0, 0))
        # Above the test's folder anything may be: it is taken for a folder of root's.
        mode = info.st_mode if str(path).startswith(str(tmp_path)) else stat.S_IFDIR | 0o755
        return os.stat_result((mode, *info[1:4], owner, group, *info[6:]))

    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "lstat", lstat)
    return made


def judged(
    path: str, *arguments: str, who: Identity | None = ROOT, strict: bool = False, problem: str = ""
) -> Judgement:
    return judge(Program(command=(path, *arguments), identity=who, strict=strict, problem=problem))


def test_a_good_script_is_run_with_its_arguments(tree: Tree) -> None:
    path = tree.script("check.sh")
    found = judged(path, "a b", "c", strict=True)
    assert found == Judgement(command=(path, "a b", "c"), runnable=True)


def test_a_missing_script_is_judged_anew_each_time(tree: Tree) -> None:
    path = f"{tree.root}/later.sh"
    assert "does not exist" in judged(path).reason
    tree.script("later.sh")
    assert judged(path).runnable


@pytest.mark.parametrize(
    ("who", "mode", "owner", "runnable"),
    [
        (ROOT, 0o644, (0, 0), False),
        (ROOT, 0o001, (5, 5), True),
        (BOB, 0o744, (0, 0), False),
        (BOB, 0o700, (1001, 0), True),
        (BOB, 0o077, (1001, 0), False),
        (BOB, 0o010, (0, 1500), True),
        (BOB, 0o701, (0, 1500), False),
        (BOB, 0o701, (0, 0), True),
    ],
)
def test_executable_for_who_runs_it(
    tree: Tree, who: Identity, mode: int, owner: tuple[int, int], runnable: bool
) -> None:
    found = judged(tree.script("x.sh", mode, owner=owner), who=who)
    assert found.runnable is runnable
    assert runnable or f"not executable for user {who.user}" in found.reason


def test_a_folder_that_its_user_may_not_enter(tree: Tree) -> None:
    path = tree.script("private/x.sh")
    tree.folder("private", 0o700)
    assert "may not enter" in judged(path, who=BOB).reason
    assert judged(path, who=ROOT).runnable


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("what", "mode", "owner", "text"),
    [
        ("script", 0o755, (1001, 0), "belongs to uid 1001"),
        ("script", 0o757, (0, 0), "everybody may write"),
        ("script", 0o775, (0, 1500), "group 1500 may write"),
        ("folder", 0o755, (1001, 0), "belongs to uid 1001"),
        ("folder", 0o777, (0, 0), "everybody may write"),
        ("folder", 0o775, (0, 1500), "group 1500 may write"),
        ("folder", 0o1777, (1001, 0), "belongs to uid 1001"),
    ],
)
def test_what_others_could_replace_is_not_for_root(
    tree: Tree, what: str, mode: int, owner: tuple[int, int], text: str, strict: bool
) -> None:
    path = tree.script("dir/x.sh")
    if what == "script":
        tree.script("dir/x.sh", mode, owner=owner)
    else:
        tree.folder("dir", mode, owner=owner)
    found = judged(path, strict=strict)
    assert found.runnable is not strict
    assert text in (found.reason if strict else found.warning)
    assert judged(path, who=Identity(user="g", uid=1001, gid=0), strict=strict).runnable is not strict


@pytest.mark.parametrize(
    ("mode", "owner"), [(0o775, (0, 0)), (0o1777, (0, 0)), (0o1775, (0, 1500)), (0o700, (0, 0))]
)
def test_a_folder_that_only_root_can_replace_things_in(tree: Tree, mode: int, owner: tuple[int, int]) -> None:
    path = tree.script("dir/x.sh")
    tree.folder("dir", mode, owner=owner)
    assert judged(path, strict=True) == Judgement(command=(path,), runnable=True)


def test_who_is_not_root_may_run_anything(tree: Tree) -> None:
    path = tree.script("x.sh", 0o777, owner=(1001, 1001))
    assert judged(path, who=BOB, strict=True) == Judgement(command=(path,), runnable=True)


def test_a_set_id_program_of_root_is_as_root(tree: Tree) -> None:
    path = tree.script("dir/x", 0o4755)
    tree.folder("dir", 0o777)
    assert not judged(path, who=BOB, strict=True).runnable
    tree.script("dir/x", 0o755)
    assert judged(path, who=BOB, strict=True).runnable


def test_a_link_to_a_folder_is_as_safe_as_where_it_leads(tree: Tree) -> None:
    tree.script("usr/bin/x.sh")
    os.symlink("usr/bin", tree.root / "bin")
    path = f"{tree.root}/bin/x.sh"
    assert judged(path, strict=True).runnable, "keepalived disables it"
    tree.folder("usr/bin", 0o777)
    assert "everybody may write to" in judged(path, strict=True).reason
    tree.folder("usr/bin", 0o755)
    tree.owners[f"{tree.root}/bin"] = (1001, 1001)
    assert "belongs to uid 1001" in judged(path, strict=True).reason


def test_folders_between_two_links_count(tree: Tree) -> None:
    tree.script("safe/x.sh")
    tree.folder("open", 0o777)
    os.symlink(f"{tree.root}/safe/x.sh", tree.root / "open" / "second")
    os.symlink("open/second", tree.root / "first")
    assert "everybody may write to" in judged(f"{tree.root}/first", strict=True).reason
    tree.folder("open", 0o755)
    assert judged(f"{tree.root}/first", strict=True).runnable, "an absolute link behind a relative one"
    assert judged(f"{tree.root}/safe/../safe/./x.sh", strict=True).runnable


def test_links_in_a_circle_folders_and_files_in_the_way(tree: Tree) -> None:
    os.symlink("b", tree.root / "a")
    os.symlink("a", tree.root / "b")
    assert "symbolic links" in judged(f"{tree.root}/a").reason
    assert "is no file" in judged(str(tree.root)).reason
    inner = tree.script("x.sh") + "/y.sh"
    assert "does not exist" in judged(inner).reason
    assert "does not exist" in judged(f"{tree.root}/x.sh/../x.sh").reason
    assert not judged("/bin/tr\0ue").runnable


def test_a_name_is_looked_up_in_path(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.script("one/check", 0o644)
    monkeypatch.setenv("PATH", f"relative:{tree.root}/one:{tree.root}/two")
    assert "not executable" in judged("check").reason
    path = tree.script("two/check")
    assert judged("check", "x").command == (path, "x")
    assert "in no folder of PATH" in judged("other").reason


def test_a_relative_path_is_from_the_root_folder(tree: Tree) -> None:
    path = tree.script("x.sh")
    assert judged(path[1:]).command == (path,)


def test_a_test_for_a_file_is_a_program_that_opens_it(tree: Tree) -> None:
    found = judged(f"<{tree.root}/flag")
    assert found.runnable, "the file may appear later"
    assert found.command[-1] == f"{tree.root}/flag"
    assert found.command[0] == "/bin/sh"


def test_nobody_can_run_it() -> None:
    assert judged("/bin/true", who=None, problem="user eve does not exist") == Judgement(
        command=(), runnable=False, reason="user eve does not exist"
    )


def test_where_we_may_not_look_its_user_may(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tree.script("x.sh")

    def lstat(where: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", where)

    monkeypatch.setattr(os, "lstat", lstat)
    assert judged(path, who=BOB, strict=True).runnable
    assert not judged(path, who=ROOT, strict=True).runnable, "nobody knows that it is safe"
    assert judged(path, who=ROOT).warning
