"""Checks for tests, with short names for what differs."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from checker_proc.fleet import Launch
from checker_proc.outcome import Outcome, Reason
from keepalived_conf.model import Check, HttpUrl

GOOD = Outcome(reason=Reason.CONNECTED)
REFUSED = Outcome(reason=Reason.REFUSED)
OURS = Outcome(reason=Reason.NO_SOCKET, detail=24)


def tcp(number: int = 1, **changes: Any) -> Check:
    """A TCP_CHECK; ``number`` makes id and real server."""
    return make("TCP_CHECK", number, **changes)


def http(number: int = 1, *, urls: int | tuple[HttpUrl, ...] = 1, **changes: Any) -> Check:
    """An HTTP_GET; ``urls`` is their number or the URLs themselves."""
    if isinstance(urls, int):
        urls = tuple(HttpUrl(path=f"/{index}") for index in range(urls))
    return make("HTTP_GET", number, urls=urls, **{"delay_before_retry_s": 3.0, **changes})


def make(kind: str, number: int, **changes: Any) -> Check:
    fields: dict[str, Any] = {
        "check_id": f"{number:016x}",
        "kind": kind,
        "virtual_server": "[192.0.2.1]:tcp:80",
        "real_server": f"[198.51.100.{number % 250}]:80",
        "connect_ip": ip_address("127.0.0.1"),
        "connect_port": 80,
        "delay_loop_s": 10.0,
        "warmup_s": 10.0,
    }
    return Check(**{**fields, **changes})


def attempt(check: Check, url: int = 0) -> Launch:
    """An attempt of ``check`` outside any fleet."""
    return Launch(check=check, url=check.urls[url] if check.urls else None, due_at=0.0)
