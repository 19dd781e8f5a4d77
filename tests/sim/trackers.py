"""Segments whose routers follow trackers: flips, faults, weights, first results, restarts in between."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from tests.sim.core import Core
from tests.sim.lan import LONGEST_WAIT_S, Node
from tests.sim.scenarios import Plan, make


def _follow(core: Core, rng: random.Random, number: int) -> Any:
    kind = rng.choice(("interface", "script", "script", "file", "process"))
    weight = rng.choice((0, 0, 5, -5, 60, -60, 253, -253))
    return core.tracking.Follow(kind=kind, name=f"t{number}", weight=weight, reverse=rng.random() < 0.3)


def _neutral(one: Any) -> int:
    """A value that is no fault."""
    if one.kind == "file":
        return int(one.reverse and one.weight == 0)
    return 0 if one.reverse and one.weight == 0 else 1


def _other(rng: random.Random, one: Any) -> int:
    if one.kind == "file":
        return rng.choice((0, 1, 1, -1, 20, 300, -300))
    return rng.randint(0, 1)


def _tracked(core: Core, seed: int, **values: Any) -> Plan:
    plan = make(core, seed, **values)
    for node in plan.nodes:
        node.follows = tuple(_follow(core, plan.rng, n) for n in range(plan.rng.randint(1, 4)))
        node.values = {one.key: _neutral(one) for one in node.follows}
        node.told = dict(node.values)
    return plan


def _followed_without_weight(plan: Plan, core: Core) -> tuple[Any, Node]:
    """Every node follows one tracker that faults; (the tracker, the master a while after the start)."""
    kind = plan.rng.choice(("script", "file", "process", "interface"))
    one = core.tracking.Follow(kind=kind, name="t")
    for node in plan.nodes:
        node.follows, node.values = (one,), {one.key: _neutral(one)}
    plan.start_all()
    master = plan.settled(plan.best())
    plan.lan.run_for(plan.rng.random() * plan.interval_s)
    return one, master


def fault(core: Core, seed: int) -> None:
    """A tracker without weight takes the master off: priority 0, takeover after the skew; and back."""
    plan = make(core, seed)
    lan, rng = plan.lan, plan.rng
    lan.strict_overlap = True
    one, master = _followed_without_weight(plan, core)
    flipped_at = lan.now
    master.flip(one.key, 1 - _neutral(one))
    others = [n for n in plan.nodes if n is not master]
    plan.expect_takeover(flipped_at + min(plan.skew_s(n) for n in others), 3 * plan.interval_s + 1, master)
    if master.addresses:
        lan.fail(f"{master.name} has addresses in fault")
    if rng.random() < 0.5:
        master.kill()
        lan.run_for(rng.random() * plan.interval_s)
        master.start()
    plan.settled(plan.best())
    master.flip(one.key, _neutral(one))
    plan.settled(plan.best())


def fault_while_leaving(core: Core, seed: int) -> None:
    """A tracker without weight says fault in the middle of a hand-over: the addresses go at once."""
    plan = make(core, seed, intervals=(0.1, 1.0))
    lan, rng = plan.lan, plan.rng
    lan.strict_overlap = True
    one, master = _followed_without_weight(plan, core)
    stop = rng.random() < 0.5
    skew_s = min(plan.skew_s(n) for n in plan.nodes if n is not master)
    if stop:
        master.shutdown(math.inf)
    else:
        master.step_down()
    lan.run_for(rng.random() * 0.5 * skew_s)
    master.flip(one.key, 1 - _neutral(one))
    lan.run_for(12 * plan.lat)
    if master.addresses:
        lan.fail(f"{master.name} serves on in fault")
    plan.settled(plan.best(master))
    master.flip(one.key, _neutral(one))
    if stop:
        master.kill()
        master.start()
    else:
        master.release()
    plan.settled(plan.best())


def weights(core: Core, seed: int) -> None:
    """Weights move priorities: the wire shows them, the better one becomes master, timers follow."""
    plan = make(core, seed, nodes=3, changes=lambda _rng, index: {"priority": 100 + 10 * index})
    lan, rng = plan.lan, plan.rng
    one = core.tracking.Follow(kind="script", name="t", weight=rng.choice((-60, 60)))
    for node in plan.nodes:
        node.follows, node.values = (one,), {one.key: 1}
    plan.start_all()
    master = plan.settled(plan.best())
    master.flip(one.key, 0)
    heir = plan.settled(plan.best())
    if heir is master:
        lan.fail(f"{master.name} stayed master with the lowest priority")
    # The skew of a backup that has become better counts at once, in a timer that runs already.
    lan.run_for(rng.random() * plan.interval_s)
    rest = next(n for n in plan.nodes if n not in (master, heir))
    master.die()
    lan.run_for(1.5 * plan.interval_s)
    heir.supervised = False
    heir.die()
    last_at = max(at for at, node, _ in lan.adverts if node is heir)
    lan.run_until(last_at + 1.2 * plan.interval_s)
    rest.flip(one.key, 0)
    plan.expect_takeover(last_at + plan.down_s(rest), 6 * plan.interval_s + 1, heir)
    plan.settled(rest)


def restart(core: Core, seed: int) -> None:
    """Workers are killed with trackers in any state: what trackers said last still counts, nothing moves."""
    plan = _tracked(core, seed, intervals=(0.1, 1.0))
    lan, rng = plan.lan, plan.rng
    plan.start_all()
    for node in plan.nodes:
        for one in node.follows:
            if rng.random() < 0.5 and one.weight:
                node.flip(one.key, rng.randint(0, 1))
    master = plan.settled(plan.best())
    before = len(lan.transitions)
    for _ in range(6):
        victim = rng.choice(plan.nodes)
        victim.kill()
        lan.run_for(rng.random() * 0.4 * plan.interval_s)
        victim.start()
        lan.run_for(rng.random() * plan.interval_s)
    if len(lan.transitions) != before:
        lan.fail("a restart moved something")
    plan.settled(master)


def first_results(core: Core, seed: int) -> None:
    """Routers start before their trackers have spoken: they wait in INIT, some of them for as long as
    they may."""
    plan = _tracked(core, seed, intervals=(0.1, 1.0))
    lan, rng = plan.lan, plan.rng
    for node in plan.nodes:
        for one in node.follows:
            if one.kind != "interface" and rng.random() < 0.7:
                node.values[one.key] = node.told[one.key] = None
    plan.start_all()
    for _ in range(10):
        lan.run_for(rng.random() * 0.4)
        node = rng.choice(plan.nodes)
        one = rng.choice(node.follows)
        if node.values[one.key] is None:
            node.flip(one.key, _other(rng, one))
        if rng.random() < 0.2 and node.instance is not None:
            node.kill()
            node.start()
    lan.run_for(LONGEST_WAIT_S + plan.interval_s)
    if any(node.instance.state.value == "INIT" for node in plan.nodes):
        lan.fail("somebody waits for ever")
    _settle(plan)


def flips(core: Core, seed: int) -> None:
    """Everything at once, then peace."""
    plan = _tracked(core, seed)
    lan, rng = plan.lan, plan.rng
    plan.start_all()
    for _ in range(rng.randint(10, 40)):
        lan.run_for(rng.random() * 0.8 * plan.interval_s)
        node = rng.choice(plan.nodes)
        roll = rng.random()
        if roll < 0.7:
            one = rng.choice(node.follows)
            node.flip(one.key, _other(rng, one))
        elif roll < 0.8:
            node.kill(keep_sockets=rng.random() < 0.8)
        elif roll < 0.87 and node.running():
            node.stop()
        elif roll < 0.92 and not node.stopped:
            node.set_link(not node.link_up)
        elif roll < 0.95 and node.instance is not None:
            node.crash_in = rng.randint(0, 6)
        else:
            _revive(node)
    for node in plan.nodes:
        node.crash_in = None
        _revive(node)
    lan.run_for(20 * plan.lat)  # who was stopped has to be told first
    _settle(plan)


def _revive(node: Node) -> None:
    if node.instance is None:
        node.start()
    elif node.stopped:
        node.cont()
    if not node.link_up:
        node.set_link(True)


def _settle(plan: Plan) -> None:
    """The best that can becomes master; where nobody can, nobody answers."""
    if all(node.faulted() for node in plan.nodes):
        plan.lan.run_for(plan.settle_s())
        if plan.lan.masters() or any(node.addresses for node in plan.nodes):
            plan.lan.fail("a master though every tracker says fault")
        return
    plan.settled(plan.best())


FAMILIES: tuple[Callable[[Core, int], None], ...] = (
    fault,
    weights,
    restart,
    first_results,
    flips,
    flips,
    fault_while_leaving,
)


def run(core: Core, seed: int) -> None:
    """Play the scenario of this seed."""
    FAMILIES[seed % len(FAMILIES)](core, seed)
