"""Log records: structlog, JSON when not on a terminal, and a sink that never blocks its process.

Three forms: ``json``, ``text``, and ``classic``, keepalived's own words (``worker.log_classic``).

A consumer that stopped reading must not stop a virtual router. The sink re-opens its descriptor with
O_NONBLOCK (a description of its own: the flag never leaks to the shell that shares the pipe), drops
what does not fit and says later how many lines were lost.

Every record has: ``at`` (wall time, ISO 8601 UTC), ``level``, ``event`` (a stable identifier such as
``vrrp.transition``), ``process``, ``pid`` and, where it concerns one, ``instance``.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import socket
import stat
import sys
import time
from collections.abc import MutableMapping
from typing import Any, cast

import structlog

from worker import log_classic

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_SYSLOG_SEVERITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_SYSLOG_DAEMON = 3
_PIPE_BUF = 4096


class Sink:
    """Writes whole lines to descriptors and, if asked, to syslog; loses lines rather than time."""

    def __init__(self) -> None:
        self.lost = 0
        self._fd = -1
        self._is_socket = False
        self._syslog: socket.socket | None = None
        self.facility = _SYSLOG_DAEMON
        self.terminal = False

    def open_descriptor(self, fd: int) -> None:
        """Log to ``fd`` (usually 2)."""
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            return
        self.terminal = os.isatty(fd)
        self._is_socket = stat.S_ISSOCK(mode)
        self._fd = fd
        if not self._is_socket:
            with contextlib.suppress(OSError):
                flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
                self._fd = os.open(f"/proc/self/fd/{fd}", flags)

    def open_syslog(self, path: str = "/dev/log") -> bool:
        """Log to the local syslog socket as well; False when there is none."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            return False
        self._syslog = sock
        return True

    def descriptors(self) -> list[int]:
        """What a forked child must keep open."""
        found = [self._fd] if self._fd >= 0 else []
        return found + ([self._syslog.fileno()] if self._syslog else [])

    def write(
        self,
        line: str,
        level: str = "info",
        identity: str = "pykeepalived",
        *,
        syslog_line: str | None = None,
    ) -> None:
        """``syslog_line``: what syslog gets instead of ``line``, which begins with a clock."""
        if self._fd >= 0:
            if self.lost:
                lost, self.lost = self.lost, 0
                if not self._put(f'{{"level":"warning","event":"log.lost","lines":{lost}}}\n'.encode()):
                    self.lost = lost
            if not self._put(line.encode("utf-8", "backslashreplace") + b"\n"):
                self.lost += 1
        if self._syslog is not None:
            priority = self.facility * 8 + _SYSLOG_SEVERITY.get(level, 6)
            said = line if syslog_line is None else syslog_line
            with contextlib.suppress(OSError):
                self._syslog.send(f"<{priority}>{identity}[{os.getpid()}]: {said}".encode()[:8192])

    def _put(self, data: bytes) -> bool:
        if len(data) > _PIPE_BUF:
            data = data[: _PIPE_BUF - 16] + b"...(cut)\n"
        try:
            if self._is_socket:
                return socket_send(self._fd, data)
            return os.write(self._fd, data) == len(data)
        except OSError:
            return False


def socket_send(fd: int, data: bytes) -> bool:
    sock = socket.socket(fileno=os.dup(fd))
    try:
        return sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == len(data)
    finally:
        sock.close()


sink = Sink()
_threshold = 20
_form = "json"
_detail = False


def configure(
    *,
    level: str = "info",
    form: str = "auto",
    fd: int | None = 2,
    syslog: bool = False,
    facility: int = _SYSLOG_DAEMON,
    detail: bool = False,
) -> None:
    """Set up the process's logging. form: as ``set_form``; facility: number of syslog's, RFC 5424 table 1;
    detail: also the classic lines that keepalived writes with -D only."""
    global _detail
    _detail = detail
    set_level(level)
    sink.facility = facility
    if fd is not None:
        sink.open_descriptor(fd)
    if syslog:
        sink.open_syslog()
    set_form(form)
    structlog.configure(
        processors=[_drop_below, structlog.contextvars.merge_contextvars, _stamp, _exception, _emit],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=_Nothing,
        cache_logger_on_first_use=False,
    )


def set_form(form: str) -> None:
    """What records look like from now on: auto (text on a terminal, else JSON), text, json, classic."""
    global _form
    _form = ("text" if sink.terminal else "json") if form == "auto" else form


def adjust(level: str = "", form: str = "") -> None:
    """What an operator or a new configuration asks for at run time; empty: as it is. ValueError as
    ``set_level``."""
    if form:
        set_form(form)
    if level:
        set_level(level)


def set_level(level: str) -> None:
    """Change the threshold at run time; ValueError names the levels there are."""
    global _threshold
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}: use one of {', '.join(LEVELS)}")
    _threshold = LEVELS[level]


def logger(process: str) -> structlog.stdlib.BoundLogger:
    """The logger of a process. First argument of each call: a stable event identifier."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(process=process))


class _Nothing:
    def __init__(self, *_: object) -> None:
        pass

    def msg(self, *_: object, **__: object) -> None:
        pass

    debug = info = warning = error = critical = exception = log = msg


def _drop_below(_: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if LEVELS.get("error" if method == "exception" else method, 20) < _threshold:
        raise structlog.DropEvent
    return event


def _stamp(_: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    level = "error" if method == "exception" else method
    stamp = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    head: dict[str, Any] = {"at": stamp, "level": level}
    head |= {"event": event.pop("event"), "process": event.pop("process", "?"), "pid": os.getpid()}
    # A caller's field may not hide one of ours.
    return {**head, **{f"{key}_" if key in head else key: value for key, value in event.items()}}


def _exception(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = event.pop("exc_info", None)
    if info:
        error = info if isinstance(info, BaseException) else sys.exc_info()[1]
        if error is not None:
            import traceback

            event["error"] = f"{type(error).__name__}: {error}"
            frames = traceback.extract_tb(error.__traceback__)[-6:]
            event["where"] = [f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in frames]
    return event


def _emit(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    process, level = str(event["process"]), str(event["level"])
    if _form == "classic":
        # keepalived's clock on a terminal is local time, to the second.
        clock = time.strftime("%a %b %e %H:%M:%S %Y")
        for said in log_classic.lines(event, detail=_detail):
            said = said.replace("\n", " ")
            sink.write(f"{clock}: {said}", level, log_classic.identity(process), syslog_line=said)
    else:
        line = json.dumps(event, default=str, ensure_ascii=False) if _form == "json" else _text(event)
        sink.write(line, level, f"pykeepalived_{process}")
    raise structlog.DropEvent


def _text(event: MutableMapping[str, Any]) -> str:
    rest = {k: v for k, v in event.items() if k not in ("at", "level", "event", "process", "pid")}
    words = " ".join(f"{key}={value}" for key, value in rest.items())
    clock = str(event["at"])[11:23]
    return f"{clock} {event['level']:<7} {event['process']}[{event['pid']}] {event['event']} {words}".rstrip()
