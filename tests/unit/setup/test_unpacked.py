"""Programs of unpacked packages, and the first process of the test kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.setup import common, tools, uml


def test_a_program_is_found_through_the_links_of_its_own_root(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "sbin").mkdir()
    (tmp_path / "bin/kmod").write_text("")
    (tmp_path / "sbin/modprobe").symlink_to("/bin/kmod")
    (tmp_path / "sbin/insmod").symlink_to("../bin/kmod")
    assert tools.find(tmp_path, "modprobe") == tmp_path / "bin/kmod"
    assert tools.find(tmp_path, "insmod") == tmp_path / "bin/kmod"
    assert tools.find(tmp_path, "/sbin/modprobe") == tmp_path / "bin/kmod"
    assert tools.find(tmp_path, "rmmod") is None


def test_only_elf_objects_are_fitted(tmp_path: Path) -> None:
    script, program, link = tmp_path / "script", tmp_path / "program", tmp_path / "link"
    script.write_text("#!/bin/sh\n")
    program.write_bytes(b"\x7fELF\x02\x01")
    link.symlink_to(program)
    assert [tools.is_elf(path) for path in (script, program, link, tmp_path)] == [False, True, False, False]


def test_the_system_comes_before_unpacked_tools_on_the_path() -> None:
    path = common.search_path({"PATH": "/opt/mine:/usr/bin"}).split(":")
    assert path[0] == "/opt/mine"
    assert path[-1] == str(common.TOOLS / "bin")
    assert "/usr/sbin" in path and path.count("/usr/bin") == 1


def test_a_stamp_counts_only_for_what_it_was_made_of(tmp_path: Path) -> None:
    assert not common.stamped(tmp_path, common.fingerprint(["a"]))
    common.stamp(tmp_path, common.fingerprint(["a"]))
    assert common.stamped(tmp_path, common.fingerprint(["a"]))
    assert not common.stamped(tmp_path, common.fingerprint(["b"]))
    common.unstamp(tmp_path)
    assert not common.stamped(tmp_path, common.fingerprint(["a"]))


def test_the_guest_script_is_valid_and_keeps_odd_words_whole(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo 'two  words' \"$HOME\"; exit 3"]
    environ = {"PATH": "/bin", "PYKEEPALIVED_TEST_X": "it's", "SECRET": "no", "HOME": "/root"}
    text = uml.init_script(tmp_path, command, uml.MODULES, environ, tmp=False)
    checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "SECRET" not in text
    assert "tmpfs /tmp" not in text
    assert "mount -t tmpfs tmpfs /tmp" in uml.init_script(tmp_path, command, (), environ, tmp=True)
    # the part that matters here, run on the host: exports, then the command
    exports = [line for line in text.splitlines() if line.startswith("export ")]
    line = next(line for line in text.splitlines() if line.startswith("sh -c "))
    part = "\n".join([*exports, line])
    done = subprocess.run(["sh", "-c", part], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "two  words /root\n")
