"""Nodes whose virtual routers form a sync group: one worker, one wire per member.

Checked after every step: the members of a living node are all in one state; at peace: one node is
master of all.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from keepalived_conf.model import VirtualAddress, VrrpInstance
from tests.sim.core import Core
from tests.sim.lan import Lan, Node

_ADDRESSES = {
    4: (VirtualAddress(interface=IPv4Interface("10.0.0.100/32"), dev="eth0"),),
    6: (VirtualAddress(interface=IPv6Interface("fe80::5e:1/128"), dev="eth1"),),
}
_ROUNDS = 4
"""A step is over after so many rounds of orders, or the group hunts."""


class GroupLan(Lan):
    """Several wires, one per member name, under one clock."""

    def __init__(self, core: Core, seed: int, latency_s: float) -> None:
        super().__init__(core, seed, latency_s)
        self.hosts: list[Host] = []
        self.events = 0

    def broadcast(self, source: Node, advert: Any) -> None:
        everyone = self.nodes
        self.nodes = [node for node in everyone if node.config.name == source.config.name]
        try:
            super().broadcast(source, advert)
        finally:
            self.nodes = everyone

    def check(self) -> None:
        super().check()
        for host in self.hosts:
            host.check()


class Host:
    """One node with its worker."""

    def __init__(self, lan: GroupLan, name: str, configs: list[VrrpInstance], number: int) -> None:
        self.lan = lan
        self.name = name
        self.members = [Member(lan, f"{name}.{config.name}", config, number, self) for config in configs]
        self.group: Any = None
        self.up = True
        self.stopped = False
        self.asked_to_stop = False
        self._settling = False
        self._starting = False
        lan.hosts.append(self)

    def alive(self) -> bool:
        return all(one.instance is not None for one in self.members)

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        assert self.up and not self.alive()
        self.stopped = self.asked_to_stop = False
        self.group = self.lan.core.group.SyncGroup("VG")
        self._starting = True
        try:
            for one in self.members:
                Node.start(one)
        finally:
            self._starting = False
        if self.alive():
            self.settle("")
        else:
            self.kill()  # it died while it started

    def boot(self) -> None:
        self.up = True
        for one in self.members:
            one.host_up = one.link_up = True
            one.script = self.lan.rng.choice((1, 1, None))
        self.start()

    def kill(self, *, keep_sockets: bool = True) -> None:
        for one in self.members:
            Node.kill(one, keep_sockets=keep_sockets)
            one.crash_in = None
        self.stopped = False

    def die(self) -> None:
        self.up = self.stopped = False
        for one in self.members:
            Node.die(one)

    def stop(self) -> None:
        self.stopped = True
        for one in self.members:
            Node.stop(one)

    def cont(self) -> None:
        self.stopped = False
        for one in self.members:
            Node.cont(one)

    def shutdown(self) -> None:
        self.asked_to_stop = True
        for one in self.members:
            Node.shutdown(one)

    # --- the group ----------------------------------------------------------------------------

    def settle(self, by: str) -> None:
        """As the shell does: after any input of a member, until there is nothing more to say."""
        if self._settling or self._starting or not self.alive():
            return
        self._settling = True
        try:
            for _ in range(_ROUNDS):
                if not self.alive():
                    return
                orders = self.group.settle([one.instance for one in self.members])
                if not orders:
                    break
                for instance, event in orders:
                    one = next((m for m in self.members if m.instance is instance), None)
                    if one is None:
                        break  # died meanwhile
                    one.perform(instance.handle(event, self.lan.now))
                    one.arm()
            else:
                self.lan.fail(f"the group of {self.name} hunts")
        finally:
            self._settling = False
        if self.alive():
            change = self.group.changed([one.instance for one in self.members], by)
            if change is not None:
                self.lan.log.append((self.lan.now, self.name, f"group -> {change.to_state} by {by}"))

    # --- observers ----------------------------------------------------------------------------

    def states(self) -> set[str]:
        return {one.instance.state.value for one in self.members}

    def is_master(self) -> bool:
        return self.alive() and self.states() == {"MASTER"}

    def check(self) -> None:
        if self.stopped or not self.alive():
            return
        if len(self.states()) != 1:
            self.lan.fail(f"{self.name}: members differ: {[m.instance.state.value for m in self.members]}")
        if any(one.instance.own_faults() for one in self.members) and not self.asked_to_stop:
            if self.states() - {"FAULT", "INIT"}:
                self.lan.fail(f"{self.name}: a member has a fault and takes part")
        elif self.states() == {"FAULT"} and not any(one.instance.awaiting for one in self.members):
            self.lan.fail(f"{self.name}: in FAULT and none has a fault")


class Member(Node):
    """One virtual router of a host."""

    def __init__(self, lan: GroupLan, name: str, config: VrrpInstance, number: int, host: Host) -> None:
        super().__init__(lan, name, config, number)
        self.host = host
        self.supervised = True
        self.script: int | None = 1
        """What a tracked script of weight 0 says; None: nothing yet, in this life of the host."""

    def make_instance(self) -> Any:
        made = super().make_instance()
        made.join("VG")
        made.handle(self._tracking(), self.lan.now)
        return made

    def say_script(self, value: int) -> None:
        """The script has a result."""
        self.note(f"script {value}")
        self.script = value
        self.feed(self._tracking())

    def _tracking(self) -> Any:
        core = self.lan.core
        follow = core.tracking.Follow(kind="script", name="chk")
        tracking = core.tracking.judge((follow,), {follow.key: self.script})
        return core.events.TrackersChanged(tracking=tracking)

    def kill(self, *, keep_sockets: bool = True) -> None:
        self.host.kill(keep_sockets=keep_sockets)

    def perform(self, effects: list[Any]) -> None:
        super().perform(effects)
        self.host.settle(self.config.name)

    def _send(self, priority: int) -> None:
        if priority:
            super()._send(priority)
            return
        cause = self.instance.last_cause
        if cause.trigger.value == "stall" or cause.reason.value == "blind":
            self.lan.fail(f"{self.name} sends priority 0 after it stood still or was blind")
        if not self.link_up:
            self.lan.fail(f"{self.name} sends priority 0 without a link")
        self._transmit(0)

    def check(self) -> None:
        if self.host.alive():  # not in the middle of its death
            super().check()


def make(core: Core, seed: int) -> tuple[GroupLan, random.Random, float, bool]:
    """Two or three nodes with a member per family; the flag: who is better is so for every member."""
    rng = random.Random(seed * 104729 + 7)
    version = rng.choice((2, 3, 3))
    interval_s = 1.0 if version == 2 else rng.choice((0.1, 1.0))
    lan = GroupLan(core, seed, min(0.0005, interval_s / 200))
    count = rng.choice((2, 2, 3))
    agreed = rng.random() < 0.75
    some = rng.random() < 0.3
    owner = rng.random() < 0.15
    numbers = rng.sample(range(1, 250), count)
    for index in range(count):
        base = rng.choice((50, 100, 100, 150, 200, 254))
        configs = []
        for position, (name, family) in enumerate((("V4", 4), ("V6", 6))):
            priority = base if agreed else rng.choice((50, 100, 150, 200))
            if owner and index == 0 and (agreed or position):
                priority = 255
            configs.append(
                VrrpInstance(
                    name=name,
                    interface=f"eth{position}",
                    virtual_router_id=51 + position,
                    family=family,  # type: ignore[arg-type]
                    version=version if family == 4 else 3,  # type: ignore[arg-type]
                    state="MASTER" if priority == 255 else "BACKUP",
                    priority=priority,
                    advert_int_cs=round(interval_s * 100),
                    virtual_addresses=_ADDRESSES[family],
                    preempt=priority == 255 or not (some and rng.random() < 0.5),
                    garp_master_delay_s=0,
                )
            )
        Host(lan, f"r{index}", configs, numbers[index])
    return lan, rng, interval_s, agreed and not some


def walk(core: Core, seed: int, steps: int = 20) -> int:
    """Random events, then peace. How many events."""
    lan, rng, interval_s, plain = make(core, seed)
    for host in lan.hosts:
        lan.at(lan.now + rng.random() * interval_s, host.boot)
    lan.run_for(interval_s)
    lan.loss = rng.choice((0.0, 0.0, 0.05, 0.3))
    lan.reorder = rng.random() < 0.3
    lan.jitter_s = rng.random() * 0.3 * interval_s
    for _ in range(steps):
        lan.run_for(rng.choice((0.0, 0.01, 0.5, 2.0, 6.0)) * rng.random() * interval_s)
        _event(rng.choice(lan.hosts), rng)
    _peace(lan, interval_s, plain)
    return steps


def _event(host: Host, rng: random.Random) -> None:
    member = rng.choice(host.members)
    roll = rng.random()
    if roll < 0.15 and host.alive():
        host.kill(keep_sockets=rng.random() < 0.8)
    elif roll < 0.20:
        host.die()
    elif roll < 0.28 and host.alive():
        host.stop()
    elif roll < 0.36:
        for one in (member,) if rng.random() < 0.5 else host.members:
            one.segment = 1 - one.segment
    elif roll < 0.56 and host.up and not host.stopped:
        member.set_link(not member.link_up)
    elif roll < 0.66 and host.up and not host.stopped:
        member.say_script(rng.randint(0, 1))
    elif roll < 0.70 and host.alive() and not host.stopped:
        host.shutdown()
    elif roll < 0.78 and host.alive():
        member.crash_in = rng.randint(0, 8)
    else:
        _revive(host)


def _revive(host: Host, *, links: bool = False) -> None:
    if not host.up:
        host.boot()
    elif host.asked_to_stop and host.alive():
        host.kill()
        host.start()
    elif not host.alive():
        host.start()
    elif host.stopped:
        host.cont()
    for one in host.members if links else ():
        if not one.link_up:
            one.set_link(True)
        if not one.script:
            one.say_script(1)


def _peace(lan: GroupLan, interval_s: float, plain: bool) -> None:
    """All is healed: one node is master of everything, and nothing moves."""
    lan.loss = 0.0
    lan.reorder = False
    for host in lan.hosts:
        for one in host.members:
            one.segment, one.crash_in = 0, None
        _revive(host, links=True)
    down_s = 3 * interval_s + max(1.0, interval_s)
    lan.run_for((4 if plain else 12) * down_s)
    masters = [host for host in lan.hosts if host.is_master()]
    if len(masters) != 1:
        lan.fail(f"settled to {[host.name for host in masters]} as masters of the group")
    (master,) = masters
    if plain:
        best = max(lan.hosts, key=lambda h: (h.members[0].config.priority, int(h.members[0].address)))
        if master.members[0].config.priority != best.members[0].config.priority:
            lan.fail(f"{master.name} is master, it should be {best.name}")
    for node in lan.nodes:
        if node.addresses != (node.wanted if node in master.members else frozenset()):
            lan.fail(f"{node.name} has {len(node.addresses)} addresses")
    before = len(lan.transitions)
    lan.run_for(4 * interval_s)
    if len(lan.transitions) != before:
        lan.fail("a settled group moved")
