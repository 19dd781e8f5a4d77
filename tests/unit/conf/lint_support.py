"""Mistaken configurations and made-up machines, for the tests of the linter.

``mistakes/`` holds 60 configurations derived from users' troubles. Their headers: ``expect`` the code of
the finding (several: any of them; ``| loader:TEXT``: the loader may say it, with TEXT in code or
message), ``and`` what is found besides and is right, ``from`` whose trouble it is, ``host`` what the
machine says. ``NAME.peer.conf``: the other node.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keepalived_conf.diagnostics import Severity
from keepalived_conf.loading import LoadResult, load
from keepalived_conf.model import IpInterface
from keepalived_conf.tools.lint import FileFacts, Finding, lint
from tests.unit.conf.support import instance_text
from tests.unit.conf.support import load as load_text

FOLDER = Path(__file__).parent / "mistakes"
MISTAKES = sorted(path for path in FOLDER.glob("*.conf") if not path.name.endswith(".peer.conf"))


@dataclass
class MadeUpHost:
    """A machine that has what a test says."""

    files: dict[str, FileFacts | None] = field(default_factory=dict)
    """None: missing. Files that are not named are unremarkable programs of root's."""
    missing_programs: frozenset[str] = frozenset()
    links: dict[str, tuple[IpInterface, ...]] = field(default_factory=dict)
    home: bool = True
    """The configuration is installed here."""
    where: str = ""
    missing_users: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()

    def file(self, path: str) -> FileFacts | None:
        mode = 0o640 if path.endswith(".conf") else 0o755
        return self.files.get(path, FileFacts(mode=mode))

    def real(self, path: str) -> str:
        return f"/etc/keepalived/{path}" if self.home else f"/home/somebody/{path}"

    def program(self, name: str) -> str | None:
        return None if name in self.missing_programs else f"/usr/bin/{name}"

    def interfaces(self) -> Mapping[str, tuple[IpInterface, ...]]:
        return self.links

    def user(self, name: str) -> bool:
        return name not in self.missing_users

    def writable(self, path: str) -> bool:
        return path not in self.read_only

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


@functools.cache
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


def codes(found: tuple[Finding, ...]) -> list[str]:
    return [one.code for one in found]


def said(source: str, peer: str | None = None, host: MadeUpHost | None = None) -> list[str]:
    return codes(lint(load_text(source), peer=None if peer is None else load_text(peer), host=host))


def script_text(command: str, more: str = "") -> str:
    return f'vrrp_script chk {{\n    script "{command}"\n{more}\n}}\n' + instance_text(
        "track_script {\nchk\n}"
    )


def node(
    lines: str = "", *, priority: int = 100, vips: str = "10.0.0.1", name: str = "A", vrid: int = 1
) -> str:
    source = instance_text(lines, vips=vips, vrid=vrid).replace("vrrp_instance A", f"vrrp_instance {name}")
    return source.replace("priority 100", f"priority {priority}")


def links(**found: str) -> dict[str, tuple[IpInterface, ...]]:
    return {name: tuple(map(ipaddress.ip_interface, text_.split())) for name, text_ in found.items()}
