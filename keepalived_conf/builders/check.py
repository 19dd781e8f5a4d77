"""TCP_CHECK and HTTP_GET blocks -> Check, all inheritance resolved; what the other kinds share with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.builders.urls import UrlBuilder
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.checks import TCP_CHECK
from keepalived_conf.grammar.web_checks import HTTP_GET
from keepalived_conf.model import Check, HttpUrl, IpAddress, make_check_id
from keepalived_conf.syntax.parser import Statement


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is checked."""

    virtual_server: str
    """Key of the virtual server."""
    real_server: str
    """Key of the real server."""
    address: IpAddress
    port: int
    """Of the real server as written, else of the service: the one IPVS forwards to may be forced."""
    alpha: bool


class CheckBuilder:
    """The checks of one real server on their way to the model."""

    def __init__(
        self, reader: Reader, levels: tuple[Read, Read], target: Target, *, log_all_failures: bool
    ) -> None:
        """``levels``: the blocks around, nearest first: real_server, virtual_server."""
        self.reader = reader
        self.diagnostics = reader.diagnostics
        self.levels = levels
        self.target = target
        self.log_all_failures = log_all_failures

    def inherited(self, read: Read, name: str, built_in: Any) -> Any:
        for level in (read, *self.levels):
            if name in level.values:
                return level.values[name]
        return built_in

    def build(self, kind: str, statement: Statement) -> Check | None:
        """A TCP_CHECK or HTTP_GET; None after a diagnostic."""
        http = kind == "HTTP_GET"
        read = self.reader.block(statement, HTTP_GET if http else TCP_CHECK)
        urls = self.urls(kind, statement, read) if http else ()
        network = self.network(kind, statement, read, usable=bool(urls) or not http)
        if network is None:
            return None
        network.update(self.timed(read, retry=1, delay_before_retry_s=3.0 if http else 1.0))
        network["http_protocol"] = self.http_protocol(read)
        network["fast_recovery"] = read.get("fast_recovery", False)
        network["urls"] = urls
        target = self.target
        parameters = ";".join([f"{name}={network[name]!r}" for name in _DEFINING[:-1]])
        written = [url.identity for url in urls]
        listed = ", ".join(written) + ("," if len(written) == 1 else "")
        return Check(
            check_id=make_check_id(
                kind, target.virtual_server, target.real_server, f"{parameters};urls=({listed})"
            ),
            kind="HTTP_GET" if http else "TCP_CHECK",
            virtual_server=target.virtual_server,
            real_server=target.real_server,
            places=read.places,
            **network,
        )

    # --- shared by all kinds -----------------------------------------------------------------------

    def urls(self, kind: str, statement: Statement, read: Read) -> tuple[HttpUrl, ...]:
        """Its URLs; empty after a diagnostic."""
        builder = UrlBuilder(self.reader, tls=kind == "SSL_GET")
        found = builder.urls(read, self.inherited(read, "virtualhost", None))
        if not found:
            self.diagnostics.error(
                statement.end_place,
                "no-url",
                f"{kind} of {self.target.real_server} has no url; the check is ignored",
                hint="write url { path / }",
                keepalived=KeepalivedClass.OK if builder.refused else KeepalivedClass.GENERAL_ERROR,
            )
        return found

    def http_protocol(self, read: Read) -> Any:
        written = read.get("http_protocol", "1.0")
        return "1.0C" if written == "1.0c" else written

    def timed(self, read: Read, *, retry: int, delay_before_retry_s: float | None) -> dict[str, Any]:
        """Fields of ``TimedCheck``. ``delay_before_retry_s`` None: as delay_loop."""
        delay_loop_s = self.inherited(read, "delay_loop", 60.0)
        return {
            "delay_loop_s": delay_loop_s,
            "retry": self.inherited(read, "retry", retry),
            "delay_before_retry_s": self.inherited(
                read,
                "delay_before_retry",
                delay_loop_s if delay_before_retry_s is None else delay_before_retry_s,
            ),
            "warmup_s": self.inherited(read, "warmup", delay_loop_s),
            "alpha": read.get("alpha", self.target.alpha),
            "log_all_failures": read.get("log_all_failures", self.log_all_failures),
        }

    def network(
        self,
        kind: str,
        statement: Statement,
        read: Read,
        *,
        needs_port: bool = True,
        usable: bool = True,
    ) -> dict[str, Any] | None:
        """Fields of ``NetworkCheck`` but those of ``timed``; None after a diagnostic, or if the check is not
        ``usable`` for another reason."""
        target = self.target
        connect_ip, bindto = self._addresses(read)
        if not usable:
            return None
        if connect_ip.version == 6 and connect_ip.is_link_local and not read.has("bind_if"):
            self.diagnostics.error(
                statement.end_place,
                "no-bind-if",
                f"{kind} of the link-local address {connect_ip} needs bind_if; the check is ignored",
                hint="write bind_if and the interface",
            )
            return None
        port = read.get("connect_port", target.port)
        if port == 0 and needs_port:
            self.diagnostics.warning(
                statement.place,
                "no-port",
                f"{kind} of {target.real_server} has no port to connect to",
                hint="write connect_port",
                width=len(kind),
            )
        return {
            "connect_ip": connect_ip,
            "connect_port": port,
            "bindto": bindto,
            "bind_port": read.get("bind_port", 0),
            "bind_if": read.get("bind_if"),
            "fwmark": read.get("fwmark", 0),
            "connect_timeout_s": self.inherited(read, "connect_timeout", 5.0),
        }

    def _addresses(self, read: Read) -> tuple[IpAddress, IpAddress | None]:
        """connect_ip and bindto; of two that do not go together the one written later is ignored."""
        connect_ip = read.get("connect_ip", self.target.address)
        bindto = read.get("bindto")
        if bindto is None or bindto.version == connect_ip.version:
            return connect_ip, bindto
        dropped = "bindto"
        if bindto.version == self.target.address.version and _below(read, "connect_ip", "bindto"):
            dropped = "connect_ip"
        self.diagnostics.error(
            read.places[dropped],
            "mixed-families",
            f"connect to {connect_ip} and bindto {bindto} are of different families; {dropped} is ignored",
            hint="write two IPv4 or two IPv6 addresses",
            width=len(dropped),
        )
        return (self.target.address, bindto) if dropped == "connect_ip" else (connect_ip, None)


def _below(read: Read, name: str, other: str) -> bool:
    """Whether a keyword stands below another one."""
    first, second = read.places.get(name), read.places.get(other)
    return first is not None and second is not None and first.line > second.line


_DEFINING = (
    "connect_ip",
    "connect_port",
    "bindto",
    "bind_port",
    "bind_if",
    "fwmark",
    "connect_timeout_s",
    "delay_loop_s",
    "retry",
    "delay_before_retry_s",
    "warmup_s",
    "alpha",
    "log_all_failures",
    "http_protocol",
    "fast_recovery",
    "urls",
)
"""What check_id is made of, in this order; where a check is written does not count. A change here gives
every check a new identity, and its state is forgotten at the next reload."""
