"""The simulator can find faults: each of these, planted into a copy of the core, must break a scenario.

A mutant names the module, the line it changes and what becomes of it; a line that is no longer there
fails the test, so that the list keeps up with the core.
"""

from __future__ import annotations

import pytest

from tests.sim.core import Mutation, mutated_core
from tests.sim.lan import InvariantError
from tests.sim.scenarios import FAMILIES, run

CYCLES = 60
"""How often each family may be played until the mutant must have been caught."""


def _instance(old: str, new: str) -> Mutation:
    return Mutation(modules=("backup", "mastership", "instance"), old=old, new=new)


def _router(old: str, new: str) -> Mutation:
    return Mutation(modules=("router",), old=old, new=new)


def _handover(old: str, new: str) -> Mutation:
    return Mutation(modules=("handover",), old=old, new=new)


def _resume(old: str, new: str) -> Mutation:
    return Mutation(modules=("resume",), old=old, new=new)


def _timers(old: str, new: str) -> Mutation:
    return Mutation(modules=("timers",), old=old, new=new)


_COUNT_REJECTED = "self.counters.by_reason[rejection.reason.value] += 1\n"
_DISCARDED = "            self.counters.adverts_discarded += 1\n            if self._preempting"

MUTANTS = {
    "skew ignored": _timers("fraction = (256 - priority) / 256", "fraction = 0.0"),
    "skew of version 2 scales": _timers(
        "2: Profile(version=2, learns_interval=False, skew_scales=False)",
        "2: Profile(version=2, learns_interval=False, skew_scales=True)",
    ),
    "advert timer re-armed by a rejected packet": _instance(
        _COUNT_REJECTED,
        _COUNT_REJECTED
        + "        if self._advert_at is not None:\n"
        + "            self._advert_at = now + seconds(self.config.advert_int_cs)\n",
    ),
    "down timer re-armed by a rejected packet": _instance(
        _COUNT_REJECTED,
        _COUNT_REJECTED
        + "        if self._down_at is not None:\n            self._down_at = now + self._down_s()\n",
    ),
    "priority 0 ignored by a backup": _instance("if advert.priority == 0:", "if False:"),
    "priority 0 not answered by a master": _instance("        if priority == 0:", "        if priority < 0:"),
    "advert timer not restarted after priority 0": _instance(
        "effects += self._advertise(now)\n"
        "            self._advert_at = now + seconds(self.config.advert_int_cs)\n",
        "effects += self._advertise(now)\n",
    ),
    "tie-break inverted": _resume("int(source) > int(local_address)", "int(source) < int(local_address)"),
    "better advert not obeyed": _instance(
        "if not beats(priority, event.source, self.priority, self.local_address):", "if priority < 255:"
    ),
    "version 3 interval not learned": _instance(
        "self._learned_cs = event.advert.interval_cs", "self._learned_cs = self.config.advert_int_cs"
    ),
    "preempt ignored": _instance("if priority >= self.priority:", "if True:"),
    "nopreempt ignored": _instance("        if not self.config.preempt:\n", "        if False:\n"),
    "lower advert re-arms the down timer": _instance(
        _DISCARDED, "            self._down_at = now + self._down_s()\n" + _DISCARDED
    ),
    "down timer runs from reading, not from arrival": _instance(
        "advert, at = event.advert, min(event.received_at, now)", "advert, at = event.advert, now"
    ),
    "losing advert not answered": _instance(
        "[] if self.config.lower_prio_no_advert else self._advertise(now)", "[]"
    ),
    "advert not first": _instance(
        "[save, self._send(self.priority), *install,", "[save, *install, self._send(self.priority),"
    ),
    "record after the advert": _instance(
        "[save, self._send(self.priority), *install,", "[self._send(self.priority), save, *install,"
    ),
    "addresses kept as backup": _instance(
        "return [*effects, *withdraw, Transition(", "return [*effects, Transition("
    ),
    "queue not read before an election": _instance(
        "return self._down_timer_fired(now) if drained else [ReadPending()]",
        "return self._down_timer_fired(now)",
    ),
    "queue not read after a stall": _instance(
        "        if self.stalled(now):\n            if not drained:",
        "        if False:\n            if not drained:",
    ),
    "queued adverts not judged": _resume("for heard in foreign:", "for heard in foreign[:0]:"),
    "usurper not respected with nopreempt": _resume(
        "any_will_do = not config.preempt or config.preempt_delay_s > 0", "any_will_do = False"
    ),
    "resume without age check": _resume("if gap_s < survival_s(", "if gap_s * 0 < survival_s("),
    "resume blind": _resume("    if blind:\n", "    if False:\n"),
    "who was succeeded goes on at once": _resume(
        "if foreign and own_priority != OWNER_PRIORITY:", "if False:"
    ),
    "resume sends priority 0": _instance(
        "effects = self._advertise(now)\n        effects.append(self._verify())",
        "effects = [self._send(0), *self._advertise(now), self._verify()]",
    ),
    "resume says nothing": _instance(
        "effects = self._advertise(now)\n        effects.append(self._verify())", "effects = [self._verify()]"
    ),
    "resume announces everything": _resume(
        "rule=Rule.CONTINUE, announce_all=bool(foreign)", "rule=Rule.CONTINUE, announce_all=True"
    ),
    "second burst forgotten by a restart": _router(
        "self._garp.delayed_at = record.garp_delayed_at", "self._garp.delayed_at = None"
    ),
    "preempt_delay forgotten by a restart": _router(
        "self._preempt_until_at = record.preempt_until_at", "self._preempt_until_at = None"
    ),
    "down timer forgotten by a restart": _instance(
        "if self._down_at is None or plan.blind:", "if self._down_at is not None or plan.blind:"
    ),
    "fence deadline too late": _timers(
        "survival_s(advert_int_cs, down_timer_adverts) - fence_margin_s(advert_int_cs)",
        "survival_s(advert_int_cs, down_timer_adverts) + 6 * fence_margin_s(advert_int_cs)",
    ),
    "mastership without a fence": _router("return self._mastership_fence()\n", "return None\n"),
    "missed adverts made up for in a burst": _timers(
        "missed = int((now - due_at) / interval_s)", "return due_at + interval_s"
    ),
    "owner waits": Mutation(
        modules=("tracked",),
        old='if self.priority == OWNER_PRIORITY and self.config.state == "MASTER":',
        new="if self.priority < 0:",
    ),
    "addresses off before a successor speaks": _handover(
        "self.config.priority != OWNER_PRIORITY\n            and self._link_up", "False"
    ),
    "a successor is not heard": _handover("if leaving is None or event.advert.priority == 0", "if True"),
    "addresses kept after a hand-over": _handover("return [withdraw, self._ended(", "return [self._ended("),
    "fence of a hand-over too late": _handover(
        "Fence(deadline_at=alone_until_at,", "Fence(deadline_at=alone_until_at + 9.0,"
    ),
    "alone it leaves though it is only held back": _instance(
        "if self.state is State.BACKUP and self.wish is None:\n            self._down_at = now",
        "if False:\n            self._down_at = now",
    ),
    "a hold is no reason to yield": _handover(
        "return self.own_priority if self.hold is None else HELD_PRIORITY", "return self.own_priority"
    ),
    "a hold forgotten by a restart": _handover("            self.hold = hold\n", "            pass\n"),
}


ONLY_IN = {
    "resume blind": "pause",
    "resume without age check": "pause",
    "who was succeeded goes on at once": "pause",
    "down timer forgotten by a restart": "restart",
    "alone it leaves though it is only held back": "hand_over",
}
"""Faults that a single family can notice, and seldom does: the others are not played for them."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_caught(name: str) -> None:
    core = mutated_core(MUTANTS[name])
    for seed in range(CYCLES * len(FAMILIES)):
        if ONLY_IN.get(name) not in (None, FAMILIES[seed % len(FAMILIES)].__name__):
            continue
        try:
            run(core, seed)
        except InvariantError:
            return
    pytest.fail(f"{CYCLES * len(FAMILIES)} scenarios did not notice: {name}")


def test_a_copy_without_a_fault_passes_the_same_scenarios() -> None:
    core = mutated_core()
    for seed in range(2 * len(FAMILIES)):
        run(core, seed)


def test_a_fault_that_no_longer_fits_is_reported() -> None:
    with pytest.raises(AssertionError, match="found 0 times"):
        mutated_core(Mutation(modules=("timers",), old="no such line", new=""))
