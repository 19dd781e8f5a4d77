"""Seeded scenarios of 2-5 routers. ``VRRP_SIM_SEED=n`` plays that one only; ``VRRP_SIM_COUNT`` sets how
many. A failure prints the seed and the history that led to it."""

from __future__ import annotations

import os

import pytest

from tests.sim.core import real_core
from tests.sim.scenarios import FAMILIES, run

ONE = os.environ.get("VRRP_SIM_SEED")
PER_FAMILY = int(os.environ.get("VRRP_SIM_COUNT", "1050")) // len(FAMILIES)


if ONE is None:

    @pytest.mark.parametrize("family", range(len(FAMILIES)), ids=lambda i: f"{FAMILIES[i].__name__}-{i}")
    def test_segments_do_what_they_must(family: int) -> None:
        core = real_core()
        for number in range(PER_FAMILY):
            run(core, number * len(FAMILIES) + family)

else:

    def test_one_seed() -> None:
        run(real_core(), int(ONE or 0))
