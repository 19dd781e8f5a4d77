"""Chaos needs namespaces: root, or a user namespace in which we are."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if os.geteuid():
        pytest.skip("needs root, or ./run test in a user namespace of its own (network namespaces)")
