"""Random walks of sync groups, and faults planted into the group that they must notice.

``VRRP_SIM_GROUP_EVENTS=100000`` plays so many events, ``VRRP_SIM_GROUP_SEED=n`` one walk."""

from __future__ import annotations

import os

import pytest

from tests.sim.core import Mutation, mutated_core, real_core
from tests.sim.groups import walk
from tests.sim.lan import InvariantError

ONE = os.environ.get("VRRP_SIM_GROUP_SEED")
EVENTS = int(os.environ.get("VRRP_SIM_GROUP_EVENTS", "400"))
SEEDS = 60
"""How many walks may be played until a mutant must have been caught."""


def test_members_of_a_group_are_always_in_one_state() -> None:
    core = real_core()
    if ONE is not None:
        walk(core, int(ONE))
        return
    played, seed = 0, 0
    while played < EVENTS:
        played += walk(core, seed)
        seed += 1


def _group(old: str, new: str) -> Mutation:
    return Mutation(modules=("group",), old=old, new=new)


def _member(old: str, new: str) -> Mutation:
    return Mutation(modules=("member",), old=old, new=new)


MUTANTS = {
    "a member goes alone": _member("        if not self.group:\n", "        if True:\n"),
    "a fault is not shared": _group("if text == one.group_fault:", "if True:"),
    "the fallen falls alone": _group("        told = [*masters, ", "        told = ["),
    "one wish is enough": _group("if all(one.wish is not None", "if any(one.wish is not None"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_caught(name: str) -> None:
    core = mutated_core(MUTANTS[name])
    for seed in range(SEEDS):
        try:
            walk(core, seed)
        except InvariantError:
            return
    pytest.fail(f"{SEEDS} walks did not notice: {name}")
