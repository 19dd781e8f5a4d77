"""Seeded histories of a segment. ``run(core, seed)`` plays one and raises ``lan.InvariantError`` if the
routers do not do what they must."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from keepalived_conf.model import VirtualAddress, VrrpInstance
from tests.sim.core import Core
from tests.sim.lan import Lan, Node

_ADDRESSES: dict[int, tuple[VirtualAddress, ...]] = {
    4: tuple(VirtualAddress(interface=IPv4Interface(f"10.0.0.{n}/32"), dev="eth0") for n in (100, 101)),
    6: tuple(
        VirtualAddress(interface=IPv6Interface(text), dev="eth0")
        for text in ("fe80::5e:1/128", "fd00::1/128")
    ),
}


@dataclass(kw_only=True)
class Plan:
    """A segment that is about to live."""

    lan: Lan
    rng: random.Random
    interval_s: float
    """The longest interval in use."""

    @property
    def nodes(self) -> list[Node]:
        return self.lan.nodes

    @property
    def lat(self) -> float:
        return self.lan.latency_s

    def down_s(self, node: Node, interval_s: float | None = None) -> float:
        """Master-down interval of a node, from the RFCs' formulas, not from the code under test."""
        return 3 * self.master_interval(node, interval_s) + self.skew_s(node, interval_s)

    def master_interval(self, node: Node, interval_s: float | None) -> float:
        return node.config.advert_int_cs / 100 if interval_s is None else interval_s

    def skew_s(self, node: Node, interval_s: float | None = None) -> float:
        scale = self.master_interval(node, interval_s) if node.config.version == 3 else 1.0
        return (256 - node.priority) / 256 * scale

    def settle_s(self) -> float:
        """Time in which any segment must have settled."""
        delay_s = max(n.config.preempt_delay_s for n in self.nodes)
        skew_s = 1.0 if self.nodes[0].config.version == 2 else self.interval_s
        slowest_s = 3 * self.interval_s + skew_s
        return delay_s + 2 * slowest_s + 100 * self.lat

    def start_all(self) -> None:
        for node in self.nodes:
            self.lan.at(self.lan.now + self.rng.random() * self.interval_s, node.boot)
        self.lan.run_for(self.interval_s)

    def best(self, *but: Node) -> Node:
        """Who must win among those that can (of equals, the one who does not step down for the other)."""
        able = [n for n in self.nodes if n not in but and n.host_up and n.link_up and not n.faulted()]
        return max(able, key=lambda n: (n.priority, int(n.address)))

    def settled(self, winner: Node | None = None) -> Node:
        """The segment has exactly one master, it alone has the addresses, and all is quiet."""
        lan = self.lan
        lan.run_for(self.settle_s())
        masters = lan.masters()
        if len(masters) != 1:
            lan.fail(f"settled to {len(masters)} masters")
        master = masters[0]
        if winner is not None and master.priority != winner.priority:
            lan.fail(f"{master.name} is master, it should be {winner.name} or an equal")
        if master.addresses != master.wanted:
            lan.fail(f"{master.name} is master with {len(master.addresses)} addresses")
        for node in self.nodes:
            if node is not master and node.host_up and node.link_up and node.addresses:
                lan.fail(f"{node.name} has addresses, {master.name} is master")
        self.quiet(3.2 * self.interval_s)
        return master

    def quiet(self, duration_s: float) -> None:
        """Nothing changes for so long."""
        before = len(self.lan.transitions)
        self.lan.run_for(duration_s)
        if len(self.lan.transitions) != before:
            self.lan.fail("a settled segment moved")

    def next_advert(self, limit_s: float, but: Node | None = None) -> tuple[float, Node]:
        """Run until somebody (but ``but``) advertises as master."""
        count, lan = len(self.lan.adverts), self.lan
        end = lan.now + limit_s
        while lan.now < end:
            lan.run_until(min(end, lan.now + limit_s / 50))
            for at, node, _ in lan.adverts[count:]:
                if node is not but:
                    return at, node
            count = len(lan.adverts)
        lan.fail(f"nobody advertised for {limit_s:.3f} s")
        raise AssertionError

    def expect_takeover(self, earliest: float, limit_s: float, but: Node) -> Node:
        """The next master advertises at ``earliest``, give or take the latencies."""
        at, node = self.next_advert(limit_s, but)
        if not earliest - 1e-9 <= at <= earliest + 12 * self.lat:
            self.lan.fail(f"{node.name} took over at {at:.6f}, due was {earliest:.6f}")
        return node


def make(
    core: Core,
    seed: int,
    *,
    intervals: tuple[float, ...] = (0.01, 0.1, 1.0, 1.0),
    nodes: int | None = None,
    mixed: bool = False,
    changes: Callable[[random.Random, int], dict[str, Any]] | None = None,
) -> Plan:
    """Routers with random priorities (some equal) and one interval, or with ``mixed`` intervals (v3)."""
    rng = random.Random(seed * 7919 + 1)
    version = 3 if mixed or rng.random() < 0.75 else 2
    family = 6 if version == 3 and rng.random() < 0.3 else 4
    interval_s = rng.choice(intervals) if version == 3 else rng.choice((1.0, 1.0, 2.0))
    count = nodes or rng.choice((2, 2, 3, 3, 4, 5))
    priorities = [rng.choice((1, 50, 100, 100, 150, 200, 254, rng.randint(1, 254))) for _ in range(count)]
    used = [interval_s * rng.choice((1, 2, 5)) for _ in range(count)] if mixed else [interval_s] * count
    lan = Lan(core, seed, min(0.0005, min(used) / 200))
    numbers = rng.sample(range(1, 250), count)
    for index in range(count):
        values: dict[str, Any] = {
            "name": "VI_1",
            "interface": "eth0",
            "virtual_router_id": 51,
            "family": family,
            "version": version,
            "state": "BACKUP",
            "priority": priorities[index],
            "advert_int_cs": round(used[index] * 100),
            "virtual_addresses": _ADDRESSES[family],
            "garp_master_delay_s": rng.choice((0, 5)),
        }
        values.update(changes(rng, index) if changes else {})
        Node(lan, f"r{index}", VrrpInstance(**values), numbers[index])
    return Plan(lan=lan, rng=rng, interval_s=max(used))


def failover(core: Core, seed: int) -> None:
    """The master's host loses power: takeover at the last advert + 3A + S; it returns and preempts."""
    plan = make(core, seed)
    plan.lan.strict_overlap = True
    plan.start_all()
    master = plan.settled(plan.best())
    plan.lan.run_for(plan.rng.random() * plan.interval_s)
    master.die()
    last_at = max(at for at, node, _ in plan.lan.adverts if node is master)
    others = [n for n in plan.nodes if n is not master]
    due_at = last_at + min(plan.down_s(n) for n in others)
    plan.expect_takeover(due_at, 5 * plan.interval_s + 1, master)
    plan.settled(plan.best())
    master.boot()
    plan.settled(plan.best())


def graceful(core: Core, seed: int) -> None:
    """The master is stopped: priority 0, takeover after the skew; the stopped one keeps nothing."""
    plan = make(core, seed)
    plan.lan.strict_overlap = True
    plan.start_all()
    master = plan.settled(plan.best())
    plan.lan.run_for(plan.rng.random() * plan.interval_s)
    stopped_at = plan.lan.now
    master.shutdown()
    others = [n for n in plan.nodes if n is not master]
    plan.expect_takeover(stopped_at + min(plan.skew_s(n) for n in others), 3 * plan.interval_s + 1, master)
    if master.addresses or not master.instance.quiet:
        plan.lan.fail(f"{master.name} has stopped and is not clean")
    master.kill()
    plan.settled()
    master.start()
    plan.settled(plan.best())


def hand_over(core: Core, seed: int) -> None:
    """The master leaves on purpose: one node answers all the time, and the next one comes as ever."""
    plan = make(core, seed)
    lan, rng = plan.lan, plan.rng
    lan.strict_overlap = True
    plan.start_all()
    master = plan.settled(plan.best())
    lan.run_for(rng.random() * plan.interval_s)
    stop = rng.random() < 0.5
    lan.strict_service = True
    left_at = lan.now
    if stop:
        master.shutdown(math.inf)
    else:
        master.step_down()
    heir_at = left_at + min(plan.skew_s(n) for n in plan.nodes if n is not master)
    if rng.random() < 0.3:  # told twice
        lan.run_for(rng.random() * (heir_at - left_at))
        master.shutdown(math.inf)
        stop = True
    plan.expect_takeover(heir_at, 3 * plan.interval_s + 1, master)
    lan.run_for(12 * plan.lat)
    if master.addresses or (stop and not master.instance.quiet):
        lan.fail(f"{master.name} has left and is not clean")
    plan.settled(plan.best(master))
    lan.strict_service = False
    if stop:
        master.kill()
        master.held_back = False
        master.start()
    else:
        for _ in range(rng.randint(0, 2)):
            master.kill(keep_sockets=rng.random() < 0.7)
            lan.run_for(rng.random() * plan.interval_s)
            master.start()
            plan.settled(plan.best(master))
        master.release()
        plan.settled(plan.best())
        for node in plan.nodes:
            if node is not master:
                node.die()
        master.held_back = lan.strict_service = True
        if not master.is_master():
            return  # of equals another one was it
        master.step_down()
        lan.run_for(plan.settle_s())
        if not master.is_master():
            lan.fail(f"{master.name} is alone and does not serve, though it is only held back")
        return
    plan.settled(plan.best())


def hand_over_crash(core: Core, seed: int) -> None:
    """Killed or cut off in the middle of it: never two that answer, and one in the end."""
    plan = make(core, seed, intervals=(0.1, 1.0))
    lan, rng = plan.lan, plan.rng
    lan.strict_overlap = True
    plan.start_all()
    master = plan.settled(plan.best())
    lan.run_for(rng.random() * plan.interval_s)
    alone = rng.random() < 0.3
    others = [n for n in plan.nodes if n is not master]
    if alone:
        for node in others:
            node.die()
    if rng.random() < 0.4:
        master.crash_in = rng.randint(0, 6)
    if rng.random() < 0.5:
        master.shutdown(math.inf)
    else:
        master.step_down()
    lan.run_for(rng.random() * 2.2 * plan.interval_s)
    master.crash_in = None
    roll = rng.random()
    if roll < 0.5:
        master.kill()
        if rng.random() < 0.7:
            lan.run_for(rng.random() * 0.2 * plan.interval_s)
            master.asked_to_stop = False
            if master.instance is None:
                master.start()
    elif roll < 0.7 and master.instance is not None:
        master.set_link(False)
        lan.run_for(12 * plan.lat)
        if master.addresses:
            lan.fail(f"{master.name} has addresses without a link")
        lan.run_for(rng.random() * plan.interval_s)
        master.set_link(True)
    if alone:
        if master.held_back and master.instance is not None:
            lan.run_for(plan.settle_s())
            if not master.is_master():
                lan.fail(f"{master.name} is alone and does not serve, though it is only held back")
        for node in others:
            node.boot()
    heir = plan.best(master)
    # Of two with priority 1 the one that is there stays: an equal does not preempt.
    forgot = master.instance is not None and not master.held_back and not master.asked_to_stop
    plan.settled(None if forgot or heir.config.priority == 1 else heir)
    master.held_back = False
    _revive(master)
    master.release()
    plan.settled(plan.best())


def _some_preempt(rng: random.Random, _index: int) -> dict[str, Any]:
    return rng.choice(({}, {"preempt": False}, {"preempt_delay_s": 0.7}))


def restart(core: Core, seed: int) -> None:
    """Workers are killed, again and again, and resume before F: nobody notices, nothing moves."""
    plan = make(core, seed, intervals=(0.1, 1.0, 2.0), changes=_some_preempt)
    plan.lan.strict_overlap = True
    plan.start_all()
    master = plan.settled()
    lan, rng = plan.lan, plan.rng
    transitions = len(lan.transitions)
    for _ in range(rng.randint(1, 3)):
        victim = rng.choice((master, master, rng.choice(plan.nodes)))
        if victim is master and rng.random() < 0.3:
            # (A backup that dies in the microseconds between reading an advert and recording it has
            # one advert less to wait for: that window is known and not played here.)
            victim.crash_in = rng.randint(0, 4)
        lan.run_for(rng.random() * 2 * plan.interval_s)
        victim.kill()
        if victim.instance is not None:
            continue
        room_s = plan.interval_s if victim.fence is None else 0.98 * (victim.fence.deadline_at - lan.now)
        lan.run_for(rng.random() * max(0.0, room_s))
        before = len(lan.adverts)
        victim.start()
        if victim is master and len(lan.adverts) == before:
            lan.fail(f"{victim.name} resumed and did not advertise at once")
        if rng.random() < 0.3:
            lan.run_for(rng.random() * plan.interval_s)
            victim.kill()
            victim.start()
    lan.run_for(6.0 + 4 * plan.interval_s)
    if len(lan.transitions) != transitions:
        lan.fail("a restart within F made a transition")
    config = master.config
    # A loser of a simultaneous election may have been answered: that is another kind of burst.
    wanted = {"master": config.garp_master_repeat}
    if config.garp_master_delay_s:
        wanted["delayed"] = config.garp_master_repeat
    became = sum(1 for _, n, t in lan.transitions if n is master and t.to_state.value == "MASTER")
    got = {kind: copies for kind, copies in master.announced.items() if not kind.startswith("lower_prio")}
    if became == 1 and not master.interrupted and got != wanted:
        lan.fail(f"announced {got}, configured are {wanted}")
    # A backup that was restarted takes over as if it had never been away.
    backup = plan.best(master)
    lan.run_for(rng.random() * plan.interval_s)
    backup.kill()
    lan.run_for(rng.random() * plan.interval_s)
    backup.start()
    lan.run_for(rng.random() * plan.interval_s)
    last_at = max(at for at, node, _ in lan.adverts if node is master)
    master.die()
    others = [n for n in plan.nodes if n is not master]
    plan.expect_takeover(last_at + min(plan.down_s(n) for n in others), 5 * plan.interval_s + 1, master)
    plan.settled()


def fence(core: Core, seed: int) -> None:
    """A killed master never comes back: the janitor undoes it before a peer takes over."""
    plan = make(core, seed, intervals=(0.1, 1.0, 2.0))
    plan.lan.strict_overlap = True
    plan.start_all()
    master = plan.settled(plan.best())
    plan.lan.run_for(plan.rng.random() * plan.interval_s)
    master.kill()
    plan.settled(plan.best(master))
    if master.addresses:
        plan.lan.fail(f"{master.name} was not fenced")
    master.start()
    plan.settled(plan.best())


def takeover_crash(core: Core, seed: int) -> None:
    """The next master dies in the middle of its takeover and resumes."""
    plan = make(core, seed, intervals=(0.1, 1.0))
    plan.start_all()
    master = plan.settled(plan.best())
    heir = plan.best(master)
    heir.crash_in = plan.rng.randint(1, 8)
    master.die()
    plan.lan.run_for(5 * plan.interval_s + 1)
    if heir.instance is None:
        plan.lan.run_for(plan.rng.random() * 0.5 * plan.interval_s)
        heir.start()
    heir.crash_in = None
    plan.settled(plan.best())


def pause(core: Core, seed: int) -> None:
    """Supervisor and worker stand still for up to ten master-down times, then go on or are killed."""
    plan = make(core, seed, changes=_some_preempt)
    plan.start_all()
    master = plan.settled()
    lan, rng = plan.lan, plan.rng
    master.supervised = False
    master.stop()
    lan.run_for(rng.choice((0.5, 2.5, 6.0, 40.0)) * rng.random() * plan.interval_s)
    last_at = master.last_advert_at or 0.0
    foreign = [(source, advert) for _, source, advert in master.queue if advert.priority]
    own = (master.config.priority, int(master.address))
    any_will_do = not master.config.preempt or master.config.preempt_delay_s > 0
    beaten = any(any_will_do or (a.priority, int(s.address)) > own for s, a in foreign)
    blind = rng.random() < 0.3
    adverts = len(lan.adverts)
    gap_s = lan.now - last_at
    if rng.random() < 0.5:
        master.kill(keep_sockets=not blind)
        lan.run_for(rng.random() * 0.01 * plan.interval_s)
        gap_s = lan.now - last_at
        beaten = beaten and not blind
        master.start()
    else:
        if blind:
            beaten = False
            master.queue.clear()
            master.stopped = False
            master.feed(core.events.ReceiveGap(detail="suspended"))
        master.cont()
    survival_s = min(3, master.config.down_timer_adverts) * plan.interval_s
    # The rule looks a little later than we do, and a queued advert may have waited in the air.
    near = abs(gap_s - survival_s) < 20 * plan.lat + 0.02 * plan.interval_s
    succeeded = bool(foreign) and not blind and master.config.priority != 255 and gap_s >= survival_s
    lan.run_for(6 * plan.lat)
    spoken = sum(node is master for _, node, _ in lan.adverts[adverts:])
    spoke = spoken > 0
    if spoken > 2:
        lan.fail(f"{master.name} sends a burst of {spoken} adverts")
    if (beaten or (succeeded and not near)) and spoke:
        lan.fail(f"{master.name} advertised as master after it had been beaten or succeeded")
    if blind and gap_s > 3.01 * plan.interval_s and spoke:
        lan.fail(f"{master.name} advertised after {gap_s:.3f} s without knowing what happened")
    if not (beaten or succeeded or (near and foreign) or blind) and gap_s > plan.interval_s and not spoke:
        lan.fail(f"{master.name} should have gone on: nobody spoke")
    plan.settled()


def usurped(core: Core, seed: int) -> None:
    """A master stands still for less than its fence; meanwhile a master from a healed half is heard.

    A better one, or any where we do not preempt, has won: not one more advert as master."""
    plan = make(core, seed, nodes=2, changes=_some_preempt)
    lan, rng = plan.lan, plan.rng
    master, other = plan.nodes
    other.segment = 1
    plan.start_all()
    lan.run_for(plan.settle_s())
    if not (master.is_master() and other.is_master()):
        lan.fail("two halves without a master each")
    stopped_at = (master.last_advert_at or 0.0) + rng.random() * 0.5 * plan.interval_s
    lan.run_until(stopped_at if stopped_at > lan.now else stopped_at + plan.interval_s)
    master.supervised = False
    master.stop()
    other.segment = 0
    wins = (other.config.priority, int(other.address)) > (master.config.priority, int(master.address))
    # Late by less than an interval, RFC 9568 alone decides; beyond that preemption matters too.
    pause_s = rng.uniform(1.7 if wins else 2.15, 2.75) * plan.interval_s
    lan.run_until((master.last_advert_at or 0.0) + pause_s)
    yields = wins or not master.config.preempt or master.config.preempt_delay_s > 0
    adverts = len(lan.adverts)
    if not any(advert.priority for _, _, advert in master.queue):
        lan.fail("the other half was not heard")
    if rng.random() < 0.5:
        master.kill()
        master.start()
    else:
        master.cont()
    lan.run_for(6 * plan.lat)
    spoke = any(node is master for _, node, _ in lan.adverts[adverts:])
    if spoke == yields:
        lan.fail(f"{master.name} {'went on' if spoke else 'gave up'} as master")
    plan.settled()


def pause_backup(core: Core, seed: int) -> None:
    """A backup stands still or is dead for up to ten master-down times: it has missed nothing, and
    nothing moves when it goes on. Without its sockets it waits for a whole down timer again."""
    plan = make(core, seed, changes=_some_preempt)
    plan.start_all()
    master = plan.settled()
    lan, rng = plan.lan, plan.rng
    # The takeover time of the one that is looked at is to be seen: the others leave.
    backup = rng.choice([n for n in plan.nodes if n is not master])
    for node in plan.nodes:
        if node not in (master, backup):
            node.die()
    lan.run_for(plan.interval_s * (1 + rng.random()))
    before = len(lan.transitions)
    if rng.random() < 0.5:
        backup.stop()
        lan.run_for(rng.choice((1.0, 4.0, 40.0)) * rng.random() * plan.interval_s)
        backup.cont()
    else:
        backup.kill(keep_sockets=rng.random() < 0.6)
        lan.run_for(rng.choice((1.0, 4.0, 40.0)) * rng.random() * plan.interval_s)
        backup.start()
    lan.run_for(1.5 * plan.interval_s)
    # Preemption by a better backup whose delay is over is the one thing that may happen.
    if len(lan.transitions) != before and backup.config.priority <= master.config.priority:
        lan.fail(f"{backup.name} was away and came back as something else")
    plan.settled()


def junk(core: Core, seed: int) -> None:
    """Rejected packets faster than the interval: they neither silence a master nor delay a takeover."""
    plan = make(core, seed)
    plan.lan.strict_overlap = True
    plan.start_all()
    master = plan.settled(plan.best())
    lan = plan.lan
    rejection = core.packet.Rejection(reason=core.packet.Reason.CHECKSUM, detail="checksum is wrong")
    end_at = lan.now + 14 * plan.interval_s

    def inject() -> None:
        for node in plan.nodes:
            node.feed(core.events.PacketRejected(rejection=rejection, source=plan.nodes[0].address))
        if lan.now < end_at:
            lan.at(lan.now + 0.3 * plan.interval_s, inject)

    inject()
    plan.quiet(5 * plan.interval_s)
    master.die()
    last_at = max(at for at, node, _ in lan.adverts if node is master)
    others = [n for n in plan.nodes if n is not master]
    plan.expect_takeover(last_at + min(plan.down_s(n) for n in others), 5 * plan.interval_s + 1, master)
    plan.settled(plan.best())


def intervals(core: Core, seed: int) -> None:
    """Version 3 routers with different intervals: the master's is learned, also over a restart."""
    plan = make(core, seed, mixed=True, intervals=(0.1, 1.0))
    plan.lan.strict_overlap = True
    plan.start_all()
    master = plan.settled(plan.best())
    others = [n for n in plan.nodes if n is not master]
    if plan.rng.random() < 0.5:
        victim = plan.rng.choice(others)
        victim.kill()
        plan.lan.run_for(plan.rng.random() * plan.interval_s)
        victim.start()
    plan.lan.run_for(plan.rng.random() * plan.interval_s)
    master.die()
    learned_s = master.config.advert_int_cs / 100
    last_at = max(at for at, node, _ in plan.lan.adverts if node is master)
    due_at = last_at + min(plan.down_s(n, learned_s) for n in others)
    plan.expect_takeover(due_at, 5 * plan.interval_s + 1, master)
    plan.settled(plan.best())


def preempt(core: Core, seed: int) -> None:
    """A better router arrives: nopreempt never takes over, preempt_delay when it is over, restart or not."""
    delay_s = random.Random(seed).choice((0.0, 2.0, 5.0))

    def changes(_rng: random.Random, index: int) -> dict[str, Any]:
        if index == 1:
            return {"priority": 200, "preempt": delay_s > 0, "preempt_delay_s": delay_s}
        return {"priority": 100}

    plan = make(core, seed, nodes=2, intervals=(0.1, 1.0), changes=changes)
    low, high = plan.nodes
    lan, rng = plan.lan, plan.rng
    low.boot()
    plan.settled(low)
    heard = len(lan.adverts)
    high.boot()
    lan.run_for(1.01 * plan.interval_s)
    first_at = lan.adverts[heard][0]
    for _ in range(rng.choice((0, 1, 2))):
        lan.run_for(rng.random() * 0.3 * max(delay_s, plan.interval_s))
        high.kill()
        lan.run_for(rng.random() * 0.3 * plan.interval_s)
        high.start()
    if delay_s == 0:
        plan.settled(low)
        low.shutdown()
        plan.settled(high)
        return
    lan.run_until(max(lan.now, first_at + delay_s))
    if high.is_master():
        lan.fail(f"{high.name} preempted before preempt_delay was over")
    lan.run_for(plan.interval_s + plan.down_s(high) + 20 * plan.lat)
    if not high.is_master():
        lan.fail(f"{high.name} should have preempted {delay_s} s after it heard a lower master")
    plan.settled(high)


def link(core: Core, seed: int) -> None:
    """The master's own link goes down: addresses off at once, peers time it out; it comes back."""
    plan = make(core, seed)
    plan.start_all()
    master = plan.settled(plan.best())
    plan.lan.run_for(plan.rng.random() * plan.interval_s)
    last_at = max(at for at, node, _ in plan.lan.adverts if node is master)
    master.set_link(False)
    others = [n for n in plan.nodes if n is not master]
    plan.expect_takeover(last_at + min(plan.down_s(n) for n in others), 5 * plan.interval_s + 1, master)
    if master.addresses:
        plan.lan.fail(f"{master.name} has addresses without a link")
    if plan.rng.random() < 0.3:
        master.kill()
        master.start()
    master.set_link(True)
    plan.settled(plan.best())


def partition(core: Core, seed: int) -> None:
    """The segment splits and heals: one master per half, then the better one as soon as they hear."""
    plan = make(core, seed)
    plan.start_all()
    winner = plan.settled(plan.best())
    for node in plan.nodes:
        node.segment = plan.rng.randint(0, 1) if node is not winner else 0
    plan.lan.run_for(plan.settle_s())
    for segment in (0, 1):
        able = [n for n in plan.nodes if n.segment == segment]
        if able and sum(n.is_master() for n in able) != 1:
            plan.lan.fail(f"half {segment} has not one master")
    winner = max(plan.lan.masters(), key=lambda n: (n.config.priority, int(n.address)))
    for node in plan.nodes:
        node.segment = 0
    # Whoever speaks first: the better one is obeyed, the other one is answered at once.
    due_at = min((n.last_advert_at or 0.0) + n.config.advert_int_cs / 100 for n in plan.lan.masters())
    plan.lan.run_until(due_at + 12 * plan.lat)
    if plan.lan.masters() != [winner]:
        plan.lan.fail("two masters still, though they have heard each other")
    plan.settled(winner)


def owner(core: Core, seed: int) -> None:
    """A priority-255 router starts as master at once, answers a strange priority 0, and reloads."""

    def changes(_rng: random.Random, index: int) -> dict[str, Any]:
        return {"priority": 255, "state": "MASTER"} if index == 0 else {}

    plan = make(core, seed, changes=changes)
    lan = plan.lan
    boss = plan.nodes[0]
    boss.boot()
    if not boss.is_master():
        lan.fail("the owner is not master at once")
    for node in plan.nodes[1:]:
        node.boot()
    plan.settled(boss)
    zero = core.packet.Advert(version=boss.config.version, virtual_router_id=51, priority=0, interval_cs=100)
    lan.run_for(0.4 * plan.interval_s)
    before = len(lan.adverts)
    zero_at = lan.now
    boss.deliver(plan.nodes[1], zero)
    lan.run_for(6 * plan.lat)
    if len(lan.adverts) == before:
        lan.fail("no answer to a priority 0 advert")
    lan.run_for(plan.interval_s - 12 * plan.lat)
    if any(at > zero_at + 6 * plan.lat for at, _, _ in lan.adverts[before:]):
        lan.fail("the advert timer was not restarted by the answer to priority 0")
    boss.die()
    plan.settled(plan.best())
    boss.boot()
    plan.settled(boss)


def chaos(core: Core, seed: int) -> None:
    """Everything at once, then peace: the segment settles."""
    simple = random.Random(seed).random() < 0.6
    plan = make(core, seed, changes=None if simple else _some_preempt)
    lan, rng = plan.lan, plan.rng
    plan.start_all()
    lan.loss = rng.choice((0.0, 0.05, 0.3))
    lan.duplication = rng.choice((0.0, 0.1))
    lan.reorder = rng.random() < 0.5
    lan.jitter_s = rng.random() * 0.5 * plan.interval_s
    for _ in range(rng.randint(3, 10)):
        lan.run_for(rng.random() * 2.5 * plan.interval_s)
        node = rng.choice(plan.nodes)
        roll = rng.random()
        if roll < 0.25:
            node.kill(keep_sockets=rng.random() < 0.8)
        elif roll < 0.35:
            node.die()
        elif roll < 0.45:
            if node.running():
                node.stop()
        elif roll < 0.55:
            node.segment = 1 - node.segment
        elif roll < 0.65:
            if node.host_up and not node.stopped:
                node.set_link(not node.link_up)
        elif roll < 0.7:
            if node.running():
                node.shutdown(math.inf if seed % 2 else 0.0)
        elif roll < 0.75:
            if node.held_back:
                node.release()
            else:
                node.step_down()
        elif roll < 0.8 and node.instance is not None:
            node.crash_in = rng.randint(0, 6)
        else:
            _revive(node)
    lan.loss = lan.duplication = 0.0
    lan.reorder = False
    for node in plan.nodes:
        node.segment = 0
        node.crash_in = None
        _revive(node)
        node.release()
    plan.settled(plan.best() if simple else None)


def _revive(node: Node) -> None:
    if not node.host_up:
        node.link_up = True
        node.boot()
    elif node.instance is None:
        node.start()
    elif node.stopped:
        node.cont()
    elif node.asked_to_stop:
        node.kill()
        node.start()
    if not node.link_up:
        node.set_link(True)


FAMILIES: tuple[Callable[[Core, int], None], ...] = (
    failover,
    graceful,
    restart,
    fence,
    takeover_crash,
    pause,
    usurped,
    pause_backup,
    junk,
    intervals,
    preempt,
    link,
    partition,
    owner,
    hand_over,
    hand_over_crash,
    chaos,
    chaos,
)


def run(core: Core, seed: int) -> None:
    """Play the scenario of this seed."""
    FAMILIES[seed % len(FAMILIES)](core, seed)
