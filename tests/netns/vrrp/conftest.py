"""A laboratory and workers in it that are gone when the test ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keepalived_conf.model import VrrpInstance
from tests.lab import Lab
from tests.netns.vrrp.harness import Worker

if os.geteuid():
    pytest.skip(
        "needs root, or ./run test in a user namespace of its own (network namespaces)",
        allow_module_level=True,
    )


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(("n1", "n2"), ipv6=True) as made:
        yield made


MakeWorker = Callable[..., Worker]


@pytest.fixture
def worker(lab: Lab) -> Iterator[MakeWorker]:
    """``worker(node, *instances, **globals)``: a worker, not started."""
    made: list[Worker] = []

    def make(node: str, *instances: VrrpInstance, **globals_: Any) -> Worker:
        made.append(Worker(lab, node, *instances, **globals_))
        return made[-1]

    yield make
    for each in made:
        each.close()
