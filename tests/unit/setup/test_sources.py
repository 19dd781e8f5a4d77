"""Which mirror a private apt root asks: read from the system's sources, whatever their format."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.setup import debian
from deploy.setup.common import SetupError
from deploy.setup.debian import KEYRING, Source

DEB822 = """\
# the archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/example.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://switched-off.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg trusted=yes] http://local.example/deb bookworm main #
deb-src http://local.example/deb bookworm main
deb https://elsewhere.example/apt bookworm stable
deb https://elsewhere.example/apt trixie main
#deb http://commented.example/debian bookworm main
deb [broken
"""


def etc_apt(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        place = "sources.list" if name == "list" else "sources.list.d/" + name.replace("__", ".")
        (tmp_path / place).write_text(text)
    return tmp_path


def test_deb822_sources_keep_their_key_and_lose_what_is_not_main(tmp_path: Path) -> None:
    found = debian.debian_sources("bookworm", etc_apt(tmp_path, debian__sources=DEB822))
    assert [(one.uri, one.suite) for one in found] == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
        ("http://mirror.example/security", "bookworm-security"),
    ]
    assert {one.components for one in found} == {("main",)}
    assert found[0].signed_by == "/usr/share/keyrings/example.gpg"
    assert found[2].signed_by == KEYRING


def test_one_line_sources_keep_trust_and_leave_other_archives_out(tmp_path: Path) -> None:
    found = debian.debian_sources("bookworm", etc_apt(tmp_path, list=ONE_LINE))
    assert found == [
        Source(
            uri="http://local.example/deb",
            suite="bookworm",
            components=("main",),
            signed_by="/usr/share/keyrings/other.gpg",
            trusted=True,
        )
    ]
    assert "Trusted: yes" in found[0].deb822()


def test_files_apt_would_not_read_are_not_read(tmp_path: Path) -> None:
    folder = etc_apt(tmp_path, debian__sources=DEB822, old__bak=ONE_LINE)
    assert all("local" not in one.uri for one in debian.debian_sources("bookworm", folder))


def test_sid_comes_from_the_mirror_of_the_release(tmp_path: Path) -> None:
    (source,) = debian.sid_source("bookworm", etc_apt(tmp_path, debian__sources=DEB822))
    assert (source.uri, source.suite) == ("http://mirror.example/debian", "sid")
    assert "Suites: sid\n" in source.deb822()


def test_no_mirror_is_said_with_what_to_write_where(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no Debian mirror for trixie .* write one to .*sources\.list"):
        debian.debian_sources("trixie", etc_apt(tmp_path, debian__sources=DEB822))


def test_another_system_is_told_so(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=arch\nPRETTY_NAME="Arch Linux"\n')
    with pytest.raises(SetupError, match="this system is Arch Linux, but .* use Debian 12 or later"):
        debian.codename(release)
    release.write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    assert debian.codename(release) == "bookworm"
