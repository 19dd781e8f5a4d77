"""Checks of real servers: all inheritance resolved, one dataclass per kind of check."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from keepalived_conf.model.base import IpAddress, Places, Script, Weight
from keepalived_conf.model.trackers import ScriptUser

HttpProtocol = Literal["1.0", "1.0C", "1.1"]
DnsType = Literal["A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpUrl:
    path: str
    status_ranges: tuple[tuple[int, int], ...] = ((200, 299),)
    """Inclusive ranges; a status in any of them is good."""
    digest: str | None = None
    """MD5 of the body in lower-case hex."""
    virtualhost: str | None = None
    """Host header; None: the address and port that is asked."""
    regex: str | None = None
    regex_no_match: bool = False
    # What follows is not in the repr, which check_id is made of: see ``identity``.
    regex_options: tuple[str, ...] = field(default=(), repr=False)
    """Names of PCRE2 options as keepalived spells them, each once, sorted."""
    regex_min_offset_bytes: int = field(default=0, repr=False)
    """The match must not start before this offset of the body."""
    regex_max_offset_bytes: int | None = field(default=None, repr=False)
    """Nor behind this one."""
    tls_compliant: bool = field(default=False, repr=False)
    """SSL_GET: a connection that ends without a TLS close is a failure."""

    @property
    def identity(self) -> str:
        """Everything that defines the URL, as text."""
        more = (
            self.regex_options,
            self.regex_min_offset_bytes,
            self.regex_max_offset_bytes,
            self.tls_compliant,
        )
        return repr(self) if more == ((), 0, None, False) else f"{self!r}+{more!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """TCP_CHECK or HTTP_GET of one real server: what the checker runs today."""

    check_id: str
    """Identity: equal definitions for the same real server of the same virtual server have equal
    ids, whatever their position (see ``make_check_id``)."""
    kind: Literal["TCP_CHECK", "HTTP_GET"]
    virtual_server: str
    """Key of the virtual server (``VirtualServer.key``)."""
    real_server: str
    """Key of the real server (``RealServer.key``)."""
    connect_ip: IpAddress
    connect_port: int
    bindto: IpAddress | None = None
    bind_port: int = 0
    bind_if: str | None = None
    fwmark: int = 0
    connect_timeout_s: float = 5.0
    delay_loop_s: float = 60.0
    retry: int = 1
    """Extra attempts: down after retry + 1 failures in a row."""
    delay_before_retry_s: float = 1.0
    warmup_s: float = 60.0
    """The first check runs after a random time in 0..warmup_s."""
    alpha: bool = False
    """Down until the first success."""
    log_all_failures: bool = False
    http_protocol: HttpProtocol = "1.0"
    fast_recovery: bool = False
    urls: tuple[HttpUrl, ...] = ()
    """HTTP_GET only; at least one."""
    places: Places = field(default_factory=dict, compare=False, repr=False)


# --- kinds that no worker runs yet --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedCheck:
    """What every check that is run at intervals has."""

    delay_loop_s: float = 60.0
    retry: int = 1
    """Extra attempts: down after retry + 1 failures in a row."""
    delay_before_retry_s: float = 1.0
    warmup_s: float = 60.0
    """The first check runs after a random time in 0..warmup_s."""
    alpha: bool = False
    """Down until the first success."""
    log_all_failures: bool = False
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCheck(TimedCheck):
    """What every check has that talks to the real server itself."""

    connect_ip: IpAddress
    connect_port: int
    bindto: IpAddress | None = None
    bind_port: int = 0
    bind_if: str | None = None
    fwmark: int = 0
    connect_timeout_s: float = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PingCheck(NetworkCheck):
    """PING_CHECK."""

    kind: ClassVar[str] = "PING_CHECK"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyPattern:
    """What a UDP reply must begin with; empty: any reply will do."""

    data: bytes = b""
    mask: bytes = b""
    """As long as ``data``; bits that are set do not count, and are clear in ``data``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UdpCheck(NetworkCheck):
    """UDP_CHECK."""

    kind: ClassVar[str] = "UDP_CHECK"
    payload: bytes | None = None
    """None: an empty datagram."""
    require_reply: ReplyPattern | None = None
    """None: good when no ICMP error comes back in time."""
    min_reply_length_bytes: int = 0
    max_reply_length_bytes: int = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class SslCheck(NetworkCheck):
    """SSL_GET: HTTP_GET over TLS."""

    kind: ClassVar[str] = "SSL_GET"
    http_protocol: HttpProtocol = "1.0"
    enable_sni: bool = False
    sni_name: str | None = None
    """None: the virtualhost of the URL."""
    fast_recovery: bool = False
    tls_compliant: bool = False
    """A connection that ends without a TLS close is a failure."""
    urls: tuple[HttpUrl, ...] = ()
    """At least one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DnsCheck(NetworkCheck):
    """DNS_CHECK."""

    kind: ClassVar[str] = "DNS_CHECK"
    type: DnsType = "SOA"
    name: str = "."


@dataclass(frozen=True, kw_only=True, slots=True)
class SmtpCheck(NetworkCheck):
    """SMTP_CHECK, or one deprecated host block of it."""

    kind: ClassVar[str] = "SMTP_CHECK"
    helo_name: str = "smtpchecker.keepalived.org"


@dataclass(frozen=True, kw_only=True, slots=True)
class MiscCheck(TimedCheck):
    """MISC_CHECK."""

    kind: ClassVar[str] = "MISC_CHECK"
    misc_path: Script
    """Its user and group are None: they have a line of their own."""
    misc_timeout_s: int = 0
    """0: delay_loop_s."""
    misc_dynamic: bool = False
    """Exit status 2 to 255 sets the weight to status - 2."""
    user: ScriptUser | None = None
    """None: script_user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BfdCheck:
    """BFD_CHECK: follows a bfd_instance."""

    kind: ClassVar[str] = "BFD_CHECK"
    name: str
    alpha: bool = False
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCheck:
    """FILE_CHECK: the number in a track_file counts as weight."""

    kind: ClassVar[str] = "FILE_CHECK"
    track_file: str
    weight: Weight
    places: Places = field(default_factory=dict, compare=False, repr=False)


OtherCheck = PingCheck | UdpCheck | SslCheck | DnsCheck | SmtpCheck | MiscCheck | BfdCheck | FileCheck


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherChecks:
    """Checks of a real server that no worker runs yet, by kind, in file order."""

    ping: tuple[PingCheck, ...] = ()
    udp: tuple[UdpCheck, ...] = ()
    ssl_get: tuple[SslCheck, ...] = ()
    dns: tuple[DnsCheck, ...] = ()
    smtp: tuple[SmtpCheck, ...] = ()
    misc: tuple[MiscCheck, ...] = ()
    bfd: tuple[BfdCheck, ...] = ()
    file: tuple[FileCheck, ...] = ()

    def __iter__(self) -> Iterator[OtherCheck]:
        yield from self.ping
        yield from self.udp
        yield from self.ssl_get
        yield from self.dns
        yield from self.smtp
        yield from self.misc
        yield from self.bfd
        yield from self.file


def make_check_id(kind: str, virtual_server: str, real_server: str, parameters: str) -> str:
    """Stable identity of a check: 16 hex digits over its kind, servers and defining parameters."""
    text = f"{kind}\0{virtual_server}\0{real_server}\0{parameters}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
