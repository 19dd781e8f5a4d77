"""Debian packages without installing them: private apt roots below .cache.

A private root has its own sources, lists and archives. Which mirror to ask is read from the
system's own apt sources; the system's apt.conf (proxies and the like) stays in force, signatures
are checked against Debian's keyring. Sources: apt-get(8), apt.conf(5), sources.list(5).
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.setup.common import CACHE, SetupError, run, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SYSTEM_STATUS = Path("/var/lib/dpkg/status")
SYSTEM_SOURCES = Path("/etc/apt")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One apt source: where, which suite, which components, and the options that decide on trust."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = KEYRING
    trusted: bool = False

    def deb822(self) -> str:
        """The stanza of sources.list(5) for this source."""
        trust = "Trusted: yes\n" if self.trusted else ""
        parts = " ".join(self.components)
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\nComponents: {parts}\n"
            f"Signed-By: {self.signed_by}\n{trust}\n"
        )


def parse_one_line(text: str) -> Iterator[Source]:
    """Sources of a ``*.list`` file (``deb [options] uri suite component...``)."""
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words or words[0] != "deb":
            continue
        words, options = words[1:], {}
        if words and words[0].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), None)
            if end is None:
                continue
            inside = " ".join(words[: end + 1]).strip("[] ").split()
            options = dict(word.split("=", 1) for word in inside if "=" in word)
            words = words[end + 1 :]
        if len(words) >= 2:
            yield Source(
                uri=words[0],
                suite=words[1].rstrip("/"),
                components=tuple(words[2:]),
                signed_by=options.get("signed-by", KEYRING),
                trusted=options.get("trusted") == "yes",
            )


def parse_deb822(text: str) -> Iterator[Source]:
    """Sources of a ``*.sources`` file (stanzas of ``Key: value``)."""
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[key] = fields.get(key, "") + "\n" + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
            continue
        signed_by = fields.get("signed-by", KEYRING)
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(
                    uri=uri,
                    suite=suite.rstrip("/"),
                    components=tuple(fields.get("components", "").split()),
                    signed_by=signed_by if signed_by.startswith("/") else KEYRING,
                    trusted=fields.get("trusted") == "yes",
                )


def codename(os_release: Path = Path("/etc/os-release")) -> str:
    """The release's name (``bookworm``); SetupError on anything that is not Debian."""
    fields: dict[str, str] = {}
    try:
        for line in os_release.read_text().splitlines():
            key, _, value = line.partition("=")
            fields[key] = value.strip("\"'")
    except OSError:
        pass
    if fields.get("ID") != "debian":
        raise SetupError(
            f"this system is {fields.get('PRETTY_NAME', 'not known')}, but the test peers and the test "
            "kernel come from Debian packages: use Debian 12 or later (a debootstrap chroot will do)"
        )
    return fields.get("VERSION_CODENAME", "sid")


def debian_sources(release: str, folder: Path = SYSTEM_SOURCES) -> list[Source]:
    """The system's own sources of Debian's ``release``, updates and security; others are left out."""
    found: list[Source] = []
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for file in files:
        try:
            text = file.read_text()
        except OSError:
            continue
        if file.suffix == ".sources":
            found += parse_deb822(text)
        elif file.suffix == ".list":
            found += parse_one_line(text)
    suites = {release, f"{release}-updates", f"{release}-security", f"{release}/updates"}
    kept = [
        replace(source, components=("main",))
        for source in found
        if source.suite in suites and "main" in source.components
    ]
    if not any(source.suite == release for source in kept):
        raise SetupError(
            f"no Debian mirror for {release} is configured: write one to {folder}/sources.list, "
            f"as `deb http://MIRROR/debian {release} main`, and run this again"
        )
    return kept


def sid_source(release: str, folder: Path = SYSTEM_SOURCES) -> list[Source]:
    """Debian's development suite on the mirror that the system uses for ``release``."""
    main = next(source for source in debian_sources(release, folder) if source.suite == release)
    return [replace(main, suite="sid", components=("main",))]


class AptRoot:
    """A private apt root: ``AptRoot(name, sources, status)``; status None: nothing counts as installed."""

    def __init__(self, name: str, sources: Sequence[Source], status: Path | None) -> None:
        self.folder = CACHE / "apt" / name
        self.archives = self.folder / "archives"
        self._sources = "".join(source.deb822() for source in sources)
        self._uris = ", ".join(sorted({source.uri for source in sources}))
        self._updated = False
        for part in ("lists/partial", "archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        if status is None:
            status = self.folder / "status"
            status.write_text("")
        (self.folder / "debian.sources").write_text(self._sources)
        (self.folder / "apt.conf").write_text(
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
            "#clear DPkg::Post-Invoke;\n#clear DPkg::Pre-Install-Pkgs;\n"
            "#clear Acquire::IndexTargets::deb::DEP-11;\n"
            f'Dir::Etc::sourcelist "{self.folder}/debian.sources";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
            f'Dir::State::lists "{self.folder}/lists";\n'
            f'Dir::State::status "{status}";\n'
            f'Dir::State::extended_states "{self.folder}/extended_states";\n'
            f'Dir::Cache "{self.folder}";\n'
            f'Dir::Cache::archives "{self.archives}";\n'
            'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
            f'Dir::Log "{self.folder}";\n'
            'APT::Keep-Downloaded-Packages "true";\n'
            'Binary::apt::APT::Keep-Downloaded-Packages "true";\n'
            'Acquire::Languages "none";\nAcquire::Retries "3";\n'
            'Debug::NoLocking "true";\nAPT::Sandbox::User "";\n'
        )

    def _apt(self, *arguments: str, what: str) -> str:
        return run(["apt-get", "-q", "-c", str(self.folder / "apt.conf"), *arguments], what=what)

    def update(self) -> None:
        """Fetch the package lists once per run."""
        if self._updated:
            return
        say(f"reading package lists from {self._uris}")
        self._apt(
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
            what=f"cannot read the package lists of {self._uris} (is the mirror reachable?)",
        )
        self._updated = True

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Archives of these packages and of those of their dependencies that ``status`` lacks."""
        self.update()
        for stale in self.archives.glob("*.deb"):
            stale.unlink()
        say(f"downloading {', '.join(packages)} with what that depends on")
        self._apt(
            "install",
            "--download-only",
            "--yes",
            "--no-install-recommends",
            "--no-remove",
            *packages,
            what=f"cannot download {' '.join(packages)}",
        )
        return sorted(self.archives.glob("*.deb"))


def unpack(archives: Sequence[Path], where: Path) -> None:
    """Files of packages below ``where``; no maintainer script runs."""
    where.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        run(["dpkg-deb", "-x", str(archive), str(where)], what=f"cannot unpack {archive.name}")


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """An empty folder in place of the old one; removed again when the step fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two set-ups of one tree wait for each other."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "setup.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this tree is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
