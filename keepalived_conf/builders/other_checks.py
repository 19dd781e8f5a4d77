"""Blocks of the kinds of check that no worker runs yet -> their dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from keepalived_conf.builders.check import CheckBuilder
from keepalived_conf.builders.reader import Read
from keepalived_conf.grammar.checks import (
    BFD_CHECK,
    DNS_CHECK,
    FILE_CHECK,
    MISC_CHECK,
    PING_CHECK,
    SMTP_CHECK,
    SMTP_HOST,
    UDP_CHECK,
)
from keepalived_conf.grammar.web_checks import SSL_GET
from keepalived_conf.model import (
    BfdCheck,
    DnsCheck,
    FileCheck,
    MiscCheck,
    OtherCheck,
    OtherChecks,
    PingCheck,
    ReplyPattern,
    SmtpCheck,
    SslCheck,
    UdpCheck,
    Weight,
)
from keepalived_conf.syntax.parser import Statement


@dataclass(kw_only=True, slots=True)
class Trackers:
    """What a check can follow, as far as the file has been read."""

    bfd_instances: Collection[str]
    """All that are usable, wherever they stand."""
    track_files: Mapping[str, Weight]
    """With the weight that checks take over."""
    seen_bfd: set[str] = field(default_factory=set)
    seen_files: set[str] = field(default_factory=set)


class OtherCheckBuilder:
    """The other checks of one real server."""

    def __init__(self, base: CheckBuilder, trackers: Trackers) -> None:
        self.base = base
        self.reader = base.reader
        self.diagnostics = base.diagnostics
        self.trackers = trackers
        self.found: dict[str, list[Any]] = {}
        self._bfd_names: set[str] = set()

    def add(self, kind: str, statement: Statement) -> None:
        """Read one block; what is the matter with it is said."""
        field_name, build = _KINDS[kind]
        for check in build(self, statement):
            same = self.found.setdefault(field_name, [])
            if check in same:
                self.diagnostics.warning(
                    statement.place,
                    "duplicate-check",
                    f"the same {kind} is written twice for {self.base.target.real_server}; one is used",
                    width=len(kind),
                )
                continue
            same.append(check)

    def checks(self) -> OtherChecks | None:
        if not any(self.found.values()):
            return None
        return OtherChecks(**{name: tuple(found) for name, found in self.found.items()})

    def _error(self, place: Any, code: str, message: str, *, hint: str = "", width: int = 1) -> None:
        self.diagnostics.error(place, code, message, hint=hint, width=width)

    # --- kinds that connect ------------------------------------------------------------------------

    def _common(
        self,
        kind: str,
        statement: Statement,
        read: Read,
        *,
        retry: int = 1,
        delay_before_retry_s: float | None = 1.0,
        needs_port: bool = True,
        usable: bool = True,
    ) -> dict[str, Any] | None:
        network = self.base.network(kind, statement, read, needs_port=needs_port, usable=usable)
        if network is None:
            return None
        network.update(self.base.timed(read, retry=retry, delay_before_retry_s=delay_before_retry_s))
        network["places"] = read.places
        return network

    def ping(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, PING_CHECK)
        common = self._common("PING_CHECK", statement, read, needs_port=False)
        return [] if common is None else [PingCheck(**common)]

    def udp(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, UDP_CHECK)
        common = self._common("UDP_CHECK", statement, read)
        if common is None:
            return []
        low, high = read.get("min_reply_length", 0), read.get("max_reply_length", 255)
        if low > high:
            self._error(
                statement.end_place,
                "always-fails",
                f"UDP_CHECK always fails: its shortest good reply ({low} bytes) is longer than the "
                f"longest ({high})",
                hint="write a larger max_reply_length",
            )
        reply = read.get("require_reply")
        if reply is None and "require_reply" in read.refused:
            reply = ReplyPattern()
        return [
            UdpCheck(
                payload=read.get("payload"),
                require_reply=reply,
                min_reply_length_bytes=low,
                max_reply_length_bytes=high,
                **common,
            )
        ]

    def ssl_get(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, SSL_GET)
        urls = self.base.urls("SSL_GET", statement, read)
        common = self._common("SSL_GET", statement, read, delay_before_retry_s=3.0, usable=bool(urls))
        if common is None:
            return []
        sni = bool(read.get("enable_sni", False))
        if "sni_name" in read.values:
            # Each of the two lines sets it: the lower one counts.
            own, other = read.places["sni_name"], read.places.get("enable_sni")
            sni = sni or other is None or own.line >= other.line
        return [
            SslCheck(
                urls=urls,
                http_protocol=self.base.http_protocol(read),
                enable_sni=sni,
                sni_name=read.get("sni_name") or None,
                fast_recovery=read.get("fast_recovery", False),
                tls_compliant=read.get("tls_compliant", False),
                **common,
            )
        ]

    def dns(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, DNS_CHECK)
        common = self._common("DNS_CHECK", statement, read, retry=3, delay_before_retry_s=None)
        if common is None:
            return []
        return [DnsCheck(type=read.get("type", "SOA"), name=read.get("name", "."), **common)]

    def smtp(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, SMTP_CHECK)
        hosts = read.statements.get("host", ())
        found = [check for inner in hosts if (check := self._smtp_host(inner, read)) is not None]
        if not found or any(name in read.values for name in _CONNECTION):
            common = self._common("SMTP_CHECK", statement, read)
            if common is not None:
                found.insert(0, SmtpCheck(helo_name=read.get("helo_name", _HELO), **common))
        return list(found)

    def _smtp_host(self, statement: Statement, around: Read) -> SmtpCheck | None:
        """keepalived gives what is written in a host block to the check around it, and checks the real server
        itself for each host; here a host block is what its name says."""
        read = self.reader.block(statement, SMTP_HOST)
        for name, value in around.values.items():
            if name not in _CONNECTION and name != "host":
                read.values.setdefault(name, value)
        common = self._common("SMTP_CHECK", statement, read)
        return None if common is None else SmtpCheck(helo_name=around.get("helo_name", _HELO), **common)

    # --- kinds that do not -------------------------------------------------------------------------

    def misc(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, MISC_CHECK)
        script = read.get("misc_path")
        if script is None:
            self._error(
                statement.end_place,
                "no-script",
                "MISC_CHECK has no misc_path and is ignored",
                hint='write misc_path "/path/of/program arguments"',
            )
            return []
        return [
            MiscCheck(
                misc_path=script,
                misc_timeout_s=read.get("misc_timeout", 0),
                misc_dynamic=read.get("misc_dynamic", False),
                user=read.get("user"),
                places=read.places,
                **self.base.timed(read, retry=0, delay_before_retry_s=1.0),
            )
        ]

    def bfd(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, BFD_CHECK)
        name = read.get("name")
        if name is None:
            if "name" not in read.refused:
                self._error(
                    statement.end_place,
                    "no-name",
                    "BFD_CHECK has no name and is ignored",
                    hint="write name and that of a bfd_instance",
                )
            return []
        problem = ""
        if name in self._bfd_names:
            problem = f"is followed by {self.base.target.real_server} already"
        elif name not in self.trackers.seen_bfd:
            below = name in self.trackers.bfd_instances
            problem = "is defined below: move it above the virtual_server" if below else "is not defined"
        elif name not in self.trackers.bfd_instances:
            problem = "is not in effect for checks"
        if problem:
            self._error(
                read.places["name"],
                "unknown-bfd",
                f"bfd_instance {name} {problem}; the BFD_CHECK is ignored",
                width=len("name"),
            )
            return []
        self._bfd_names.add(name)
        alpha = read.get("alpha", self.base.target.alpha)
        return [BfdCheck(name=name, alpha=alpha, places=read.places)]

    def _track_file(self, line: Statement) -> str | None:
        name = line.words[1].text
        usable = name in self.trackers.track_files
        if usable and name in self.trackers.seen_files:
            return name
        self._error(
            line.place_of(1),
            "unknown-track-file",
            f"track_file {name} is "
            + ("defined below: move it above the virtual_server" if usable else "not defined"),
            width=len(name),
        )
        return None

    def file(self, statement: Statement) -> list[OtherCheck]:
        read = self.reader.block(statement, FILE_CHECK)
        name: str | None = None
        for line in statement.statements():
            if line.name == "track_file" and len(line.words) > 1:
                name = self._track_file(line) or name
        if name is None:
            self._error(
                statement.end_place,
                "no-track-file",
                "FILE_CHECK has no track_file and is ignored",
                hint="write track_file and the name of one that is defined above",
            )
            return []
        weight = read.get("weight") or self.trackers.track_files[name]
        return [FileCheck(track_file=name, weight=weight, places=read.places)]


_HELO = "smtpchecker.keepalived.org"
_CONNECTION = frozenset(
    ("connect_ip", "connect_port", "bindto", "bind_port", "bind_if", "connect_timeout", "fwmark")
)
"""Any of them in an SMTP_CHECK makes it a check of its own besides those of its host blocks."""

_Build = Callable[[OtherCheckBuilder, Statement], list[OtherCheck]]
_KINDS: dict[str, tuple[str, _Build]] = {
    "PING_CHECK": ("ping", OtherCheckBuilder.ping),
    "UDP_CHECK": ("udp", OtherCheckBuilder.udp),
    "SSL_GET": ("ssl_get", OtherCheckBuilder.ssl_get),
    "DNS_CHECK": ("dns", OtherCheckBuilder.dns),
    "SMTP_CHECK": ("smtp", OtherCheckBuilder.smtp),
    "MISC_CHECK": ("misc", OtherCheckBuilder.misc),
    "BFD_CHECK": ("bfd", OtherCheckBuilder.bfd),
    "FILE_CHECK": ("file", OtherCheckBuilder.file),
}
"""Keyword -> field of ``OtherChecks``, and how it is read."""
