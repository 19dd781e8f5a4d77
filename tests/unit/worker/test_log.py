"""The log sink: whole lines, stable fields, and no reader can stop a writer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from worker import log

_PROGRAM = """
from worker import log
log.configure(form="json")
logger = log.logger("vrrp")
for number in range({count}):
    logger.info("vrrp.transition", instance="VI_1", number=number, filler="x" * 200)
logger.debug("too.fine")
print(log.sink.lost)
"""


def test_records_are_json_with_stable_fields() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(count=1)],
        capture_output=True,
        text=True,
        check=True,
        cwd=_root(),
    )
    (line,) = done.stderr.splitlines()
    record = json.loads(line)
    assert list(record)[:5] == ["at", "level", "event", "process", "pid"]
    assert (record["event"], record["process"], record["instance"]) == ("vrrp.transition", "vrrp", "VI_1")


def test_a_reader_that_stopped_costs_lines_not_time() -> None:
    read_end, write_end = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(count=5000)],
        stdout=subprocess.PIPE,
        stderr=write_end,
        text=True,
        check=True,
        timeout=20,
        cwd=_root(),
    )
    os.close(write_end)
    assert int(done.stdout) > 1000
    lines = os.read(read_end, 1 << 20).decode().splitlines()
    assert all(json.loads(line) for line in lines)
    os.close(read_end)


def test_exceptions_become_fields_not_tracebacks() -> None:
    program = (
        _PROGRAM.format(count=0) + "\ntry:\n    1/0\nexcept ZeroDivisionError:\n    logger.exception('x.y')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_root()
    )
    record = json.loads(done.stderr)
    assert record["error"] == "ZeroDivisionError: division by zero"
    assert "Traceback" not in done.stderr


def test_unknown_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="use one of debug"):
        log.set_level("loud")


def _root() -> Path:
    return Path(__file__).resolve().parents[3]


def test_form_and_level_change_at_run_time() -> None:
    program = (
        "from worker import log\nfrom worker.control import TO_WORKER, LogLevel, decode, encode\n"
        "log.configure(form='json')\nlogger = log.logger('vrrp')\nlogger.info('one')\n"
        "for asked in LogLevel(form='text'), LogLevel(level='error'), LogLevel(form='json', level='info'):\n"
        "    heard = decode(encode(asked), TO_WORKER)\n"
        "    log.adjust(heard.level, heard.form)\n"
        "    logger.info('after.' + (asked.form or asked.level))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_root()
    )
    first, second, third = done.stderr.splitlines()
    assert json.loads(first)["event"] == "one"
    assert "after.text" in second
    assert not second.startswith("{")
    assert json.loads(third)["event"] == "after.json", "what came at level error was not written"


def test_the_facility_of_syslog(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        sink = log.Sink()
        assert sink.open_syslog(path)
        sink.write("x", "warning")
        sink.facility = 16 + 5
        sink.write("x", "warning")
        assert daemon.recv(100).startswith(b"<28>"), "daemon, warning"
        assert daemon.recv(100).startswith(b"<172>"), "local5, warning"
