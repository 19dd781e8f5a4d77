"""The bus needs neither root nor namespaces, only unix sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.bus.bench import Bench


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    """Overrides the tier's: nothing is needed."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made
