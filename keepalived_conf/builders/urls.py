"""url blocks of HTTP_GET and SSL_GET -> HttpUrl."""

from __future__ import annotations

from typing import Any

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.web_checks import SSL_URL, URL
from keepalived_conf.model import HttpUrl
from keepalived_conf.syntax.parser import Statement

_REGEX_ONLY = ("regex_no_match", "regex_options", "regex_min_offset", "regex_max_offset")


class UrlBuilder:
    """The URLs of one check."""

    def __init__(self, reader: Reader, *, tls: bool) -> None:
        self.reader = reader
        self.diagnostics = reader.diagnostics
        self.block = SSL_URL if tls else URL
        self.refused = False
        """A URL was ignored that keepalived takes."""

    def urls(self, read: Read, host: str | None) -> tuple[HttpUrl, ...]:
        """``host``: virtualhost of URLs that have none of their own."""
        found = []
        for inner in read.statements.get("url", ()):
            url = self._url(inner, self.reader.block(inner, self.block), host)
            if url is not None:
                found.append(url)
        return tuple(found)

    def _url(self, statement: Statement, read: Read, host: str | None) -> HttpUrl | None:
        path = read.get("path")
        if path is None:
            self.diagnostics.error(
                statement.end_place, "no-path", "the url has no path and is ignored", hint="write path /"
            )
            return None
        if not self._usable(path, read):
            return None
        regex = read.get("regex")
        more: dict[str, Any] = {}
        if regex is not None:
            more = self._regex_options(read)
        else:
            for name in _REGEX_ONLY:
                if read.get(name):
                    self.diagnostics.warning(
                        read.places[name],
                        "no-regex",
                        f"{name} without a regex is ignored",
                        hint='write regex "PATTERN"',
                        width=len(name),
                    )
        return HttpUrl(
            path=path,
            status_ranges=read.get("status_code") or ((200, 299),),
            digest=read.get("digest"),
            virtualhost=read.get("virtualhost", host),
            regex=regex,
            tls_compliant=read.get("tls_compliant", False),
            **more,
        )

    def _usable(self, path: str, read: Read) -> bool:
        if any(char in "\r\n \t" or not char.isprintable() for char in path):
            # It would end the request line, and what follows would be read as headers.
            self.refused = True
            self.diagnostics.error(
                read.places["path"],
                "invalid-value",
                "the path of the url has a blank or a control character in it; the url is ignored",
                hint="write it percent-encoded",
                width=len("path"),
                keepalived=KeepalivedClass.OK,
            )
            return False
        if not path.startswith("/"):
            self.diagnostics.warning(
                read.places["path"],
                "path-without-slash",
                f"path '{path}' does not start with /",
                width=len("path"),
            )
        return True

    def _regex_options(self, read: Read) -> dict[str, Any]:
        low, high = read.get("regex_min_offset", 0), read.get("regex_max_offset")
        if high is not None and low > high:
            self.diagnostics.warning(
                read.places["regex_min_offset"],
                "empty-range",
                f"regex_min_offset {low} is above regex_max_offset {high}; both are ignored",
                width=len("regex_min_offset"),
            )
            low, high = 0, None
        return {
            "regex_no_match": read.get("regex_no_match", False),
            "regex_options": read.get("regex_options", ()),
            "regex_min_offset_bytes": low,
            "regex_max_offset_bytes": high,
        }
