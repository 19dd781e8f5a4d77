"""Seeded scenarios with trackers, and faults planted into them. ``VRRP_SIM_COUNT`` sets how many."""

from __future__ import annotations

import os

import pytest

from tests.sim.core import Mutation, mutated_core, real_core
from tests.sim.lan import InvariantError
from tests.sim.trackers import FAMILIES, run

PER_FAMILY = int(os.environ.get("VRRP_SIM_COUNT", "360")) // len(FAMILIES)
CYCLES = 30


@pytest.mark.parametrize("family", range(len(FAMILIES)), ids=lambda i: f"{FAMILIES[i].__name__}-{i}")
def test_tracked_segments_do_what_they_must(family: int) -> None:
    core = real_core()
    for number in range(PER_FAMILY):
        run(core, number * len(FAMILIES) + family)


_CLAMPED = "return max(1, min(OWNER_PRIORITY - 1, base + added))"
_BEGIN = "return self._begin(now, trigger, detail) if self._await_until_at is not None else []"
_UNKNOWN = "    if value is None:\n        return 0, False\n"
_CHECK = "return effects + self._check_faults(now, trigger, detail)"
_SIGNED = "-follow.weight if follow.reverse else follow.weight\n    return"
_TAKE = "        self._take_priority()\n"

MUTANTS = {
    "weight 0 is no fault": ("tracking", "return 0, good == follow.reverse", "return 0, False"),
    "positive weight counts while bad": (
        "tracking",
        "good if follow.weight > 0 else",
        "not good if True else",
    ),
    "reverse ignored": ("tracking", _SIGNED, "follow.weight\n    return"),
    "number of a file not limited": (
        "tracking",
        "return min(product, WEIGHT_MAX), False",
        "return product, False",
    ),
    "low number is no fault": ("tracking", "if product < -WEIGHT_MAX:", "if False:"),
    "priority clamped too low": ("tracking", _CLAMPED, "return max(1, min(200, base + added))"),
    "unknown counts as bad": ("tracking", _UNKNOWN, "    value = value or 0\n"),
    "down timer does not move": ("router", "self._down_at += self._down_s() - before_s", "pass"),
    "contributions add up": (
        "tracked",
        "tracking, tracking.sum",
        "tracking, (self._added or 0) + tracking.sum",
    ),
    "faults not looked at": ("tracked", _CHECK, "return effects"),
    "no priority 0": ("instance", "release = release and heard and not", "release = False and not"),
    "priority 0 without a link": ("instance", "heard = self._link_up and", "heard = True and"),
    "nobody waits for a first result": ("tracked", "        if awaiting:\n            return []\n", ""),
    "waits for ever": ("instance", "now >= self._await_until_at:", "False:"),
    "first result does not start it": ("instance", _BEGIN, "return []"),
    "a fault does not end a hand-over": ("instance", "event.tracking.faults:", "not event:"),
    "restart forgets trackers": ("router", _TAKE, "        self.priority = self.config.priority\n"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_caught(name: str) -> None:
    module, old, new = MUTANTS[name]
    core = mutated_core(Mutation(modules=(module,), old=old, new=new))
    for seed in range(CYCLES * len(FAMILIES)):
        try:
            run(core, seed)
        except InvariantError:
            return
    pytest.fail(f"{CYCLES * len(FAMILIES)} scenarios did not notice: {name}")
