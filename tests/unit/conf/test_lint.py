"""The linter: names the mistakes users make, and is silent about good configurations.

``mistakes/`` holds 60 of them, derived from users' troubles. Their headers: ``expect`` the code of the
finding (several: any of them; ``| loader:TEXT``: the loader may say it, with TEXT in code or message),
``from`` whose trouble it is, ``host`` what the machine says. ``NAME.peer.conf``: the other node.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keepalived_conf.diagnostics import Severity
from keepalived_conf.load import LoadResult, load
from keepalived_conf.model import IpInterface
from keepalived_conf.tools.lint import FileFacts, Finding, lint

FOLDER = Path(__file__).parent / "mistakes"
MISTAKES = sorted(path for path in FOLDER.glob("*.conf") if not path.name.endswith(".peer.conf"))


@dataclass
class MadeUpHost:
    """A machine that has what a test says."""

    files: dict[str, FileFacts | None] = field(default_factory=dict)
    """None: missing. Files that are not named are unremarkable programs of root's."""
    missing_programs: frozenset[str] = frozenset()
    links: dict[str, tuple[IpInterface, ...]] = field(default_factory=dict)
    where: str = ""

    def file(self, path: str) -> FileFacts | None:
        mode = 0o640 if path.endswith(".conf") else 0o755
        return self.files.get(path, FileFacts(mode=mode))

    def program(self, name: str) -> str | None:
        return None if name in self.missing_programs else f"/usr/bin/{name}"

    def interfaces(self) -> Mapping[str, tuple[IpInterface, ...]]:
        return self.links

    def cloud(self) -> str:
        return self.where


def header(path: Path, word: str) -> list[str]:
    return re.findall(rf"^# {word}: (.*)$", path.read_text(), re.MULTILINE)


def host_of(path: Path) -> MadeUpHost | None:
    """The machine of the header's ``host`` lines; None without any."""
    found = header(path, "host")
    if not found:
        return None
    host = MadeUpHost()
    for line in found:
        match line.split():
            case ["file", name, "missing"]:
                host.files[name] = None
            case ["file", name, mode, "root"]:
                host.files[name] = FileFacts(mode=int(mode, 8))
            case ["configuration", mode, "root"]:
                host.files[str(path)] = FileFacts(mode=int(mode, 8))
            case ["configuration", mode, "root", "group", gid]:
                host.files[str(path)] = FileFacts(mode=int(mode, 8), gid=int(gid))
            case ["tool", name, "missing"]:
                host.missing_programs |= {name}
            case ["interface", name, *addresses]:
                host.links[name] = tuple(ipaddress.ip_interface(one) for one in addresses)
            case ["cloud", *name]:
                host.where = " ".join(name)
            case _:
                raise AssertionError(f"{path.name}: host: {line}")
    return host


def findings(path: Path) -> tuple[LoadResult, tuple[Finding, ...]]:
    result = load(path, config_id="node1")
    other = path.with_suffix("").with_suffix(".peer.conf")
    peer = load(other, config_id="node2") if other.is_file() else None
    return result, lint(result, host=host_of(path), peer=peer)


def named(path: Path) -> bool:
    """Whether the planted mistake is named, by the linter or by what the loader says already."""
    result, found = findings(path)
    (expected,) = header(path, "expect")
    codes, _, said = expected.partition("| loader:")
    wanted = codes.split()
    if {one.code for one in found} & set(wanted):
        return True
    loud = [one for one in result.diagnostics if one.severity is not Severity.NOTE]
    return any(
        one.code in wanted or (said and re.search(said, one.code + " " + one.message))
        for one in loud
        if one.code != "no-effect-yet"
    )


# --- the 60 mistakes --------------------------------------------------------------------------------


def test_the_planted_mistakes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    missed = [path.name for path in MISTAKES if not named(path)]
    with capsys.disabled():
        print(f" [{len(MISTAKES) - len(missed)} of {len(MISTAKES)} mistakes named]", end="")
    assert len(MISTAKES) == 60
    assert len(missed) <= 3, missed  # 95 %


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_only_the_planted_mistake_is_named(path: Path) -> None:
    """A finding beside the planted mistake would be a false alarm: the rest of each file is good."""
    (expected,) = header(path, "expect")
    wanted = set(expected.partition("| loader:")[0].split()) | set(" ".join(header(path, "and")).split())
    _, found = findings(path)
    assert {one.code for one in found if one.code != "lint-not-done"} <= wanted


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_findings_say_where_and_how_to_mend(path: Path) -> None:
    result, found = findings(path)
    for one in found:
        assert one.code.startswith("lint-")
        assert one.hint
        assert one.place is not None
        source = result.sources.get(one.place.file)
        if source is None:  # the other node's
            continue
        line = source[one.place.line - 1]
        assert one.width <= len(line) - one.place.column + 2, str(one.diagnostic)
