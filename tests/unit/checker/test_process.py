"""What the worker says about a configuration, without a process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from checker_proc.check import start
from checker_proc.fleet import Entry
from checker_proc.ledger import Ledger
from checker_proc.process import problem_of, required_capabilities, required_records, state_of, where
from keepalived_conf.model import CheckerSlice, GlobalDefs, HttpUrl, Place
from tests.unit.checker.builders import http, tcp


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ()),
        ({"bindto": tcp().connect_ip, "bind_port": 1024}, ()),
        ({"fwmark": 1}, ("NET_ADMIN",)),
        ({"bind_if": "eth0"}, ("NET_RAW",)),
        ({"bind_port": 1023}, ("NET_BIND_SERVICE",)),
        ({"bind_if": "eth0", "fwmark": 1}, ("NET_ADMIN", "NET_RAW")),
    ],
)
def test_capabilities_follow_the_keywords(changes: dict[str, Any], wanted: tuple[str, ...]) -> None:
    checks = (tcp(1), tcp(2, **changes))
    assert required_capabilities(CheckerSlice(globals=GlobalDefs(), checks=checks)) == wanted


@pytest.mark.parametrize(("checks", "records"), [(0, 0), (1, 1), (5, 1), (6, 2), (20, 4), (21, 5)])
def test_records_are_asked_for_as_the_ledger_fills_them(checks: int, records: int) -> None:
    wanted = [tcp(number) for number in range(checks)]
    twice = (*wanted, *wanted)  # equal checks are one
    assert required_records(CheckerSlice(globals=GlobalDefs(), checks=twice)) == records
    ledger = Ledger(records)
    assert all(ledger.put(check, start(up=True, first_at=1.0, now=0.0)) for check in twice)


def test_a_check_that_cannot_run_is_named_with_its_place() -> None:
    places = {"": Place(file="k.conf", line=3, column=5), "url": Place(file="k.conf", line=4, column=7)}
    assert problem_of(tcp()) is None
    assert problem_of(http()) is None
    assert problem_of(http(urls=(), places=places)) == (
        "k.conf:3:5: HTTP_GET has no url: add a url block with a path"
    )
    smuggle = http(urls=(HttpUrl(path="/\n"),), places=places)
    assert str(problem_of(smuggle)).startswith("k.conf:4:7: url path '/\\n' has the control character")
    unknown = replace(tcp(), kind="GOPHER_GET")  # type: ignore[arg-type]
    assert problem_of(unknown) == (
        "TCP_CHECK of [198.51.100.1]:80".replace("TCP_CHECK", "GOPHER_GET")
        + ": check kind GOPHER_GET is not known (there are HTTP_GET, TCP_CHECK)"
    )
    assert where(http(places=places), "regex") == "k.conf:3:5"


def test_the_record_tells_wall_time_and_nothing_that_is_not_known() -> None:
    check = tcp(delay_loop_s=6)
    entry = Entry(check=check, progress=start(up=True, first_at=130.0, now=100.0), text="")
    state = state_of(entry, 110.0, 5000.0)
    assert state.key == check.check_id
    assert (state.since_at, state.since_wall_at) == (100.0, 4990.0)
    assert (state.last_check_at, state.next_check_at, state.last_result) == (None, 130.0, "")
    assert isinstance(state.interval_s, float)
