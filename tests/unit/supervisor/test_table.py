"""Rows of the process table."""

from __future__ import annotations

import pytest

from supervisor.table import Process, State


@pytest.mark.parametrize(
    ("role", "state", "watched"),
    [
        ("vrrp", "starting", True),
        ("vrrp", "ready", True),
        ("vrrp", "stopping", True),
        ("ipvs", "ready", True),
        ("ipvs", "stopping", False),
        ("script", "stopping", False),
        ("vrrp", "hung", False),
        ("vrrp", "stopped", False),
        ("vrrp", "backoff", False),
    ],
)
def test_whose_silence_means_that_it_hangs(role: str, state: State, watched: bool) -> None:
    row = Process(role=role, uid=None, pid=4321)
    row.become(state)
    assert row.watched is watched
    row.kill_reason = "killed already"
    assert not row.watched
    row.kill_reason, row.pid = None, None
    assert not row.watched
