"""Runs the cases side by side, each in namespaces of its own, before the first of them is judged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.interop.scenario import Case, Record, undisturbed
from tests.lab import programs

SIDE_BY_SIDE = 8
"""Runs at the same time: they sleep nearly always, but starts are work for two CPUs."""


@pytest.fixture(scope="session")
def _runs(request: pytest.FixtureRequest) -> Iterator[dict[Case, Future[Record]]]:
    if os.geteuid():
        pytest.skip("needs root, or ./run test in a user namespace of its own (network namespaces)")
    wanted: dict[Case, None] = {}
    for item in request.session.items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
        if isinstance(case, Case) and not unavailable(case):
            wanted[case] = None
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = {case: pool.submit(undisturbed, case) for case in wanted}
        try:
            yield runs
        finally:
            for run in runs.values():
                run.cancel()


def unavailable(case: Case) -> str | None:
    """Why the daemons of a case cannot run here."""
    for name in dict.fromkeys(case.programs.values()):
        if why := programs.missing(name):
            return why
    return None


@pytest.fixture
def record(case: Case, _runs: dict[Case, Future[Record]]) -> Record:
    """What the case's run left behind; the run is shared by all tests of the case."""
    if why := unavailable(case):
        pytest.skip(why)
    return _runs[case].result()
