"""TCP_CHECK and HTTP_GET blocks -> Check, all inheritance resolved."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.virtual_server import HTTP_GET, TCP_CHECK, URL
from keepalived_conf.model import Check, HttpUrl, RealServer, VirtualServer, make_check_id
from keepalived_conf.syntax import values
from keepalived_conf.syntax.lexer import split_escaped
from keepalived_conf.syntax.parser import Statement
from keepalived_conf.syntax.values import BadValueError

_DIGEST = re.compile(r"[0-9A-Fa-f]{32}")


class CheckBuilder:
    """One TCP_CHECK or HTTP_GET block on its way to a Check."""

    def __init__(
        self,
        reader: Reader,
        levels: tuple[Read, Read],
        shell: VirtualServer,
        server: RealServer,
        *,
        port: int,
        log_all_failures: bool,
    ) -> None:
        """``levels``: the blocks around, nearest first: real_server, virtual_server. ``port``: of the real
        server as written (the one IPVS forwards to may be forced to that of the service)."""
        self.reader = reader
        self.diagnostics = reader.diagnostics
        self.levels = levels
        self.shell = shell
        self.server = server
        self.port = port
        self.log_all_failures = log_all_failures

    def _inherited(self, read: Read, name: str, built_in: Any) -> Any:
        for level in (read, *self.levels):
            if level.has(name):
                return level.get(name)
        return built_in

    def build(self, kind: str, statement: Statement) -> Check | None:
        http = kind == "HTTP_GET"
        read = self.reader.block(statement, HTTP_GET if http else TCP_CHECK)
        urls = self._urls(read) if http else ()
        if http and not urls:
            self.diagnostics.error(
                statement.place,
                "no-url",
                f"HTTP_GET of {self.server.key} has no url; the check is ignored",
                hint="write url { path / }",
                width=len("HTTP_GET"),
            )
            return None
        connect_ip = read.get("connect_ip", self.server.address)
        connect_port = read.get("connect_port", self.port)
        if connect_port == 0:
            self.diagnostics.error(
                statement.place,
                "no-port",
                f"{kind} of {self.server.key} has no port to connect to",
                hint="write connect_port",
                width=len(kind),
            )
        delay_loop_s = self._inherited(read, "delay_loop", 60.0)
        protocol = str(read.get("http_protocol", "1.0"))
        bindto = read.get("bindto")
        if bindto is not None and values.family_of(bindto) != values.family_of(connect_ip):
            self.diagnostics.error(
                read.places["bindto"],
                "mixed-families",
                f"bindto {bindto} is not of the family of {connect_ip}; it is ignored",
                width=len("bindto"),
            )
            bindto = None
        if connect_ip.is_link_local and values.family_of(connect_ip) == 6 and not read.has("bind_if"):
            self.diagnostics.error(
                statement.place,
                "no-bind-if",
                f"{kind} of the link-local address {connect_ip} needs bind_if",
                hint="write bind_if and the interface",
                width=len(kind),
            )
        check = Check(
            check_id="",
            kind="HTTP_GET" if http else "TCP_CHECK",
            virtual_server=self.shell.key,
            real_server=self.server.key,
            connect_ip=connect_ip,
            connect_port=connect_port,
            bindto=bindto,
            bind_port=read.get("bind_port", 0),
            bind_if=read.get("bind_if"),
            fwmark=read.get("fwmark", 0),
            connect_timeout_s=self._inherited(read, "connect_timeout", 5.0),
            delay_loop_s=delay_loop_s,
            retry=self._inherited(read, "retry", 1),
            delay_before_retry_s=self._inherited(read, "delay_before_retry", 3.0 if http else 1.0),
            warmup_s=self._inherited(read, "warmup", delay_loop_s),
            alpha=read.get("alpha", self.server.alpha),
            log_all_failures=read.get("log_all_failures", self.log_all_failures),
            http_protocol="1.1" if protocol == "1.1" else "1.0C" if protocol.lower() == "1.0c" else "1.0",
            fast_recovery=read.get("fast_recovery", False),
            urls=urls,
            places=read.places,
        )
        return dataclasses.replace(check, check_id=_identity(check))

    def _urls(self, read: Read) -> tuple[HttpUrl, ...]:
        host = self._inherited(read, "virtualhost", None)
        urls = []
        for inner in read.statements.get("url", ()):
            url = self._url(inner, self.reader.block(inner, URL), host)
            if url is not None:
                urls.append(url)
        return tuple(urls)

    def _url(self, statement: Statement, read: Read, host: str | None) -> HttpUrl | None:
        path = read.get("path")
        if path is None:
            self.diagnostics.error(
                statement.place,
                "no-path",
                "the url has no path and is ignored",
                hint="write path /",
                width=len("url"),
            )
            return None
        if not str(path).startswith("/") or any(not "!" <= char <= "~" for char in path):
            if any(char in "\r\n \t" or not char.isprintable() for char in path):
                self.diagnostics.error(
                    read.places["path"],
                    "invalid-value",
                    "the path of the url has a blank or a control character in it; the url is ignored",
                    hint="write it percent-encoded",
                    width=len("path"),
                )
                return None
            if not str(path).startswith("/"):
                self.diagnostics.warning(
                    read.places["path"],
                    "path-without-slash",
                    f"path '{path}' does not start with /",
                    width=len("path"),
                )
        digest = read.get("digest")
        if digest is not None and not _DIGEST.fullmatch(digest):
            self.diagnostics.error(
                read.places["digest"],
                "invalid-value",
                "the digest is not 32 hexadecimal digits; it is ignored",
                hint="MD5 of the body, as genhash prints it",
                width=len("digest"),
            )
            digest = None
        ranges = self._status_ranges(read)
        regex = self._regex(read)
        return HttpUrl(
            path=path,
            status_ranges=ranges or ((200, 299),),
            digest=digest.lower() if digest is not None else None,
            virtualhost=read.get("virtualhost", host),
            regex=regex,
            regex_no_match=bool(read.get("regex_no_match", False)) and regex is not None,
        )

    def _status_ranges(self, read: Read) -> tuple[tuple[int, int], ...]:
        ranges: set[tuple[int, int]] = set()
        for line in read.statements.get("status_code", ()):
            for index, word in enumerate(line.words[1:], 1):
                try:
                    ranges.add(values.status_range(word.text))
                except BadValueError as bad:
                    self.diagnostics.error(
                        line.place_of(index),
                        "invalid-number",
                        f"status_code: '{word.text}' {bad}; it is ignored",
                        hint="write for example status_code 200-299 304",
                        width=len(word.text),
                        keepalived=KeepalivedClass.GENERAL_ERROR,
                    )
        return tuple(sorted(ranges))

    def _regex(self, read: Read) -> str | None:
        line = read.last("regex")
        if line is None:
            return None
        words = split_escaped(line.raw)
        if words is None or len(words) < 2:
            self.diagnostics.error(
                line.place,
                "invalid-value",
                "the regex is not quoted rightly; it is ignored",
                hint='write regex "PATTERN"',
                width=len("regex"),
            )
            return None
        return words[1]


_DEFINING = tuple(
    f.name
    for f in dataclasses.fields(Check)
    if f.name not in ("check_id", "kind", "virtual_server", "real_server", "places")
)


def _identity(check: Check) -> str:
    """check_id over everything that defines the check; where it is written does not count."""
    parameters = ";".join([f"{name}={getattr(check, name)!r}" for name in _DEFINING])
    return make_check_id(check.kind, check.virtual_server, check.real_server, parameters)
