"""A LAN of virtual routers under one virtual clock: hosts, kernels, sockets, workers and supervisors.

Each node is a host with the parts that outlive its worker: kernel addresses, the receive queue of the
kept socket, the black-box record and fence. The worker is an ``Instance`` plus the smallest shell that
keeps the contract of ``vrrp_proc.effects``. Everything random comes from one seeded generator, so a seed
is a whole history.

What must hold at every step is checked here (``InvariantError``), what must hold at the end in ``scenarios``.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from keepalived_conf.model import VrrpInstance
from tests.sim.core import Core

LONGEST_WAIT_S = 5.0
"""For the first result of a tracker without an interval."""


class InvariantError(AssertionError):
    """An invariant does not hold; the text carries the history."""


class Lan:
    """The segment, the clock and the observers."""

    def __init__(self, core: Core, seed: int, latency_s: float) -> None:
        self.core = core
        self.seed = seed
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.latency_s = latency_s
        self.nodes: list[Node] = []
        self.loss = 0.0
        self.duplication = 0.0
        self.reorder = False
        self.jitter_s = latency_s
        self.strict_overlap = False
        """At most one node holds addresses, but for the moment of a handover."""
        self.strict_service = False
        """And one does, but for the moment of a takeover."""
        self._dark_since: float | None = None
        self.log: list[tuple[float, str, object]] = []
        self.transitions: list[tuple[float, Node, Any]] = []
        self.adverts: list[tuple[float, Node, int]] = []
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._overlap_since: float | None = None

    # --- clock --------------------------------------------------------------------------------

    def at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, call, arguments))

    def run_until(self, end: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= end:
            when, _, call, arguments = heapq.heappop(heap)
            if when > self.now:
                self.now = when
            call(*arguments)
            self.check()
        self.now = end
        self.check()

    def run_for(self, duration_s: float) -> None:
        self.run_until(self.now + duration_s)

    # --- wire ---------------------------------------------------------------------------------

    def broadcast(self, source: Node, advert: Any) -> None:
        rng = self.rng
        for node in self.nodes:
            if node is source or node.segment != source.segment:
                continue
            copies = 1 + (rng.random() < self.duplication if self.duplication else 0)
            for _ in range(copies):
                if self.loss and rng.random() < self.loss:
                    continue
                arrival = self.now + self.latency_s * rng.random() + 1e-6
                if self.reorder:
                    arrival += self.jitter_s * rng.random()
                else:
                    key = (source.name, node.name)
                    arrival = max(arrival, node.last_arrival.get(key, 0.0) + 1e-7)
                    node.last_arrival[key] = arrival
                self.at(arrival, node.deliver, source, advert)

    def latency(self) -> float:
        """Time until a process that has something to do runs."""
        return self.latency_s * self.rng.random()

    # --- observers ----------------------------------------------------------------------------

    def check(self) -> None:
        """What must hold after every step."""
        holders = 0
        for node in self.nodes:
            node.check()
            if node.addresses and node.host_up and node.link_up:
                holders += 1
        if holders > 1 and self.strict_overlap:
            if self._overlap_since is None:
                self._overlap_since = self.now
            elif self.now - self._overlap_since > 12 * self.latency_s:
                self.fail("two nodes answer for the virtual addresses")
        else:
            self._overlap_since = None
        if holders or not self.strict_service:
            self._dark_since = None
        elif self._dark_since is None:
            self._dark_since = self.now
        elif self.now - self._dark_since > 12 * self.latency_s:
            self.fail("nobody answers for the virtual addresses")

    def fail(self, text: str) -> None:
        lines = [f"seed {self.seed}: {text} at {self.now:.6f}"]
        lines += [
            f"  {n.name}: prio {n.config.priority} {n.config.advert_int_cs} cs v{n.config.version} "
            f"preempt={n.config.preempt} delay={n.config.preempt_delay_s} {n.address} -> {n.state_text()} "
            f"addresses={len(n.addresses)}"
            for n in self.nodes
        ]
        lines += _history(self.log)
        raise InvariantError("\n".join(lines))

    def masters(self) -> list[Node]:
        return [n for n in self.nodes if n.instance is not None and n.is_master()]


class Node:
    """A host: what outlives the worker, the worker, and its supervisor."""

    def __init__(self, lan: Lan, name: str, config: VrrpInstance, number: int) -> None:
        self.lan = lan
        self.name = name
        self.config = config
        self.wanted = frozenset(config.virtual_addresses)
        self.address: IPv4Address | IPv6Address = (
            IPv4Address(f"10.0.0.{number}") if config.family == 4 else IPv6Address(f"fe80::{number:x}")
        )
        self.segment = 0
        self.host_up = True
        self.link_up = True
        self.addresses: set[Any] = set()
        self.queue: deque[tuple[float, Node, Any]] = deque()
        self.sockets_kept = False
        self.blind = False
        self.record: bytes | None = None
        self.fence: Any = None
        self.last_arrival: dict[tuple[str, str], float] = {}
        self.instance: Any = None
        self.incarnation = 0
        self.stopped = False
        self.crash_in: int | None = None
        """Kill the worker after so many more effects."""
        self.jobs: deque[tuple[str, Any]] = deque()
        self.wake_at: float | None = None
        self.late_s = 0.0
        """Extra lateness of the worker's wake-ups."""
        self.supervised = True
        """A living supervisor fences a dead worker in time."""
        self.asked_to_stop = False
        self.last_advert_at: float | None = None
        """Last priority > 0 advert that left this host."""
        self.held_back = False
        self.running_since = 0.0
        self.interrupted = False
        """It was killed while announcing."""
        self.announced: dict[str, int] = {}
        """Frames by kind, all lives."""
        self.follows: tuple[Any, ...] = ()
        """Trackers of this node (``tracking.Follow``)."""
        self.values: dict[str, int | None] = {}
        """What they find, by key; the last of it outlives the worker."""
        self.fresh_at: float | None = None
        """When the worker started, if it had nothing to resume from."""
        self.told: dict[str, int | None] = {}
        """As the worker knows it."""
        lan.nodes.append(self)

    # --- worker's life ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker: fresh, or by the resume rule when there is a record."""
        core, now = self.lan.core, self.lan.now
        assert self.instance is None
        self.incarnation += 1
        self.stopped = self.asked_to_stop = False
        self.jobs.clear()
        self.wake_at = None
        self.running_since = now
        record = None if self.record is None else core.record.ResumeRecord.unpack(self.record)
        queued = [self._heard(*entry) for entry in self.queue]
        self.queue.clear()
        blind = self.blind or not self.sockets_kept
        plan = core.resume.resume(record, now, queued, blind, self.config)
        self.note(f"start by rule {plan.rule} ({len(queued)} queued, blind={blind})")
        self.blind = False
        self.sockets_kept = True
        self.instance = self.make_instance()
        self.fresh_at = now if plan.rule == "1" else None
        self.tell_trackers(always=True)
        self.instance.start_held(core.handover.Hold(reason="", until_at=None) if self.held_back else None)
        self.perform(self.instance.handle(core.events.Startup(plan=plan), now))
        self.arm()

    def make_instance(self) -> Any:
        return self.lan.core.instance.Instance(
            self.config, generation=1, local_address=self.address, ifindex=2, link_up=self.link_up
        )

    def kill(self, *, keep_sockets: bool = True) -> None:
        """SIGKILL: the kernel's part and the box stay."""
        if self.instance is None:
            return
        self.note("killed")
        if self.record is not None:
            self.interrupted |= self.lan.core.record.ResumeRecord.unpack(self.record).announcing
        self.instance = None
        self.stopped = False
        self.crash_in = None
        self.jobs.clear()
        if not keep_sockets:
            self.sockets_kept = False
            self.queue.clear()
        if self.addresses and self.fence is None:
            self.lan.fail(f"{self.name} died with addresses on and no fence armed")
        if self.supervised and self.fence is not None:
            at = max(self.lan.now, self.fence.deadline_at)
            self.lan.at(at, self.supervise, self.fence.deadline_at)

    def die(self) -> None:
        """The host loses power: nothing of it is left."""
        self.note("host down")
        self.instance = None
        self.host_up = self.sockets_kept = False
        self.stopped = False
        self.crash_in = None
        self.addresses.clear()
        self.queue.clear()
        self.jobs.clear()
        self.record = self.fence = None
        self.last_advert_at = None

    def boot(self) -> None:
        self.host_up = True
        self.start()

    def stop(self) -> None:
        """SIGSTOP."""
        self.note("stopped")
        self.stopped = True

    def cont(self) -> None:
        self.note("continued")
        self.stopped = False
        self.running_since = self.lan.now
        self.lan.at(self.lan.now + self.lan.latency(), self.service, self.incarnation)

    def shutdown(self, hand_over_s: float = 0.0) -> None:
        self.note("asked to stop")
        self.asked_to_stop = True
        self.feed(self.lan.core.events.Shutdown(hand_over_s=hand_over_s))

    def step_down(self) -> None:
        self.note("asked to step down")
        if self.instance is None or self.stopped:
            return
        self.held_back = True
        self.feed(self.lan.core.events.HeldBack(reason="", until_at=None, hand_over_s=math.inf))

    def release(self) -> None:
        if self.stopped:
            return
        self.held_back = False
        self.feed(self.lan.core.events.Released(why="resumed"))

    def flip(self, key: str, value: int | None) -> None:
        """A tracker finds something else."""
        self.note(f"{key} is {value}")
        self.values[key] = value
        self.tell_trackers()

    def tell_trackers(self, *, always: bool = False) -> None:
        if self.instance is None or self.stopped or (self.told == self.values and not always):
            return
        self.told = dict(self.values)
        core = self.lan.core
        self.feed(core.events.TrackersChanged(tracking=core.tracking.judge(self.follows, self.told)))

    def set_link(self, up: bool) -> None:
        self.note(f"link {'up' if up else 'down'}")
        self.link_up = up
        if not up and self.instance is None:
            self.blind = True
        events = self.lan.core.events
        self.feed(events.InterfaceUp(ifindex=2) if up else events.InterfaceDown())

    def supervise(self, deadline_at: float) -> None:
        """The supervisor's fence: the worker is dead, its deadline has come."""
        fence = self.fence
        if self.instance is not None or fence is None or fence.deadline_at != deadline_at:
            return
        self.note("fenced by the janitor")
        if self.lan.now < fence.prio0_until_at:
            self._transmit(0)
        self.addresses.clear()
        self.record = self.fence = None

    # --- shell --------------------------------------------------------------------------------

    def deliver(self, source: Node, advert: Any) -> None:
        if not (self.host_up and self.link_up and self.sockets_kept) or self.segment != source.segment:
            return
        self.queue.append((self.lan.now, source, advert))
        if self.instance is not None and not self.stopped:
            self.lan.at(self.lan.now + self.lan.latency() + self.late_s, self.service, self.incarnation)

    def service(self, incarnation: int) -> None:
        """One turn of the loop. Now and then the timers are asked before the queue was read: the core
        must then ask for that itself."""
        if self.instance is None or self.stopped or incarnation != self.incarnation:
            return
        now = self.lan.now
        if self.lan.rng.random() < 0.5:
            self.perform(self.instance.wake(now, drained=False))
        while self.queue and self.instance is not None:
            self.perform(self.instance.handle(self._heard(*self.queue.popleft()), now))
        if self.instance is not None:
            effects = self.instance.wake(now, drained=False)
            if effects and type(effects[0]) is self.lan.core.effects.ReadPending:
                effects = self.instance.wake(now, drained=True)
            self.perform(effects)
        self.tell_trackers()
        self.arm()

    def feed(self, event: Any) -> None:
        if self.instance is not None and not self.stopped:
            self.perform(self.instance.handle(event, self.lan.now))
            self.arm()

    def arm(self) -> None:
        if self.instance is None:
            return
        deadline = self.instance.next_deadline()
        if deadline is not None and deadline != self.wake_at:
            self.wake_at = deadline
            at = max(deadline, self.lan.now) + self.lan.latency() + self.late_s
            self.lan.at(at, self.timer, self.incarnation, deadline)

    def timer(self, incarnation: int, deadline: float) -> None:
        if incarnation == self.incarnation and deadline == self.wake_at:
            self.wake_at = None
            if self.stopped:
                self.wake_at = None
                return
            self.service(incarnation)

    def perform(self, effects: list[Any]) -> None:
        kinds = self.lan.core.effects
        if len(effects) > 1:
            self._check_order(effects)
        for effect in effects:
            if self.crash_in is not None:
                self.crash_in -= 1
                if self.crash_in < 0:
                    self.kill()
                    return
            kind = type(effect)
            if kind is kinds.SaveRecord:
                self.record, self.fence = effect.record.pack(), effect.fence
                continue
            self.lan.log.append((self.lan.now, self.name, effect))
            if kind is kinds.SendAdvert:
                self._send(effect.priority)
            elif kind is kinds.Transition:
                self.lan.transitions.append((self.lan.now, self, effect))
            elif kind is kinds.InstallAddresses:
                self._queue_job("install", effect)
            elif kind is kinds.WithdrawAddresses:
                self._queue_job("withdraw", effect)
            elif kind is kinds.VerifyAddresses:
                self._queue_job("verify", effect)
            elif kind is kinds.Announce:
                self.announced[effect.kind] = self.announced.get(effect.kind, 0) + effect.copies
                self._queue_job("announce", effect)

    def _queue_job(self, kind: str, effect: Any) -> None:
        self.jobs.append((kind, effect))
        if len(self.jobs) == 1:
            self.lan.at(self.lan.now + self.lan.latency(), self._job, self.incarnation)

    def _job(self, incarnation: int) -> None:
        if self.instance is None or incarnation != self.incarnation or not self.jobs:
            return
        if self.stopped:
            self.lan.at(self.lan.now + 10 * self.lan.latency_s, self._job, incarnation)
            return
        kind, effect = self.jobs.popleft()
        events = self.lan.core.events
        event: Any
        if kind == "install":
            self.addresses.update(effect.addresses)
            event = events.AddressesInstalled(ticket=effect.ticket)
        elif kind == "withdraw":
            self.addresses.difference_update(effect.addresses)
            event = events.AddressesWithdrawn(ticket=effect.ticket)
        elif kind == "verify":
            missing = tuple(a for a in effect.addresses if a not in self.addresses)
            event = events.AddressesVerified(missing=missing)
        else:
            event = events.Announced(ticket=effect.ticket)
        if self.jobs:
            self.lan.at(self.lan.now + self.lan.latency(), self._job, incarnation)
        self.feed(event)

    def _send(self, priority: int) -> None:
        instance = self.instance
        if priority == 0:
            if not (self.asked_to_stop or self.held_back) and not (self.faulted() and self.link_up):
                self.lan.fail(f"{self.name} sends priority 0 though it was not stopped")
        else:
            if instance.state.value != "MASTER":
                self.lan.fail(f"{self.name} advertises in state {instance.state}")
            if priority != self.priority:
                self.lan.fail(f"{self.name} advertises priority {priority}, it has {self.priority}")
            for arrived_at, source, advert in self.queue:
                waited_s = self.lan.now - arrived_at
                if waited_s > self.config.advert_int_cs / 100 and self._beaten_by(source, advert):
                    self.lan.fail(f"{self.name} advertises over a better advert that it has not read")
            self.last_advert_at = self.lan.now
            self.lan.adverts.append((self.lan.now, self, priority))
        self._transmit(priority)

    def _transmit(self, priority: int) -> None:
        if not (self.host_up and self.link_up):
            return
        advert = self.lan.core.packet.Advert(
            version=self.config.version,
            virtual_router_id=self.config.virtual_router_id,
            priority=priority,
            interval_cs=self.config.advert_int_cs,
        )
        self.lan.broadcast(self, advert)

    def _heard(self, received_at: float, source: Node, advert: Any) -> Any:
        return self.lan.core.events.AdvertReceived(
            advert=advert, source=source.address, received_at=received_at
        )

    def _beaten_by(self, source: Node, advert: Any) -> bool:
        own = (self.priority, int(self.address))
        return advert.priority > 0 and (advert.priority, int(source.address)) > own

    # --- trackers, by the rules and not by the code under test ----------------------------------

    @property
    def priority(self) -> int:
        """Effective priority by what the worker was told."""
        if self.config.priority == 255:
            return 255
        if self.held_back:
            return 1
        added = 0
        for one in self.follows:
            value = self.told.get(one.key)
            sign = -1 if one.reverse else 1
            if value is None or one.weight == 0:
                continue
            if one.kind == "file":
                product = sign * one.weight * value
                added += min(253, product) if product > -254 else 0
            elif bool(value) == (one.weight > 0):
                added += sign * one.weight
        return max(1, min(254, self.config.priority + added))

    def faulted(self) -> bool:
        """A tracker says that this node cannot take part."""
        for one in self.follows:
            value = self.told.get(one.key)
            if value is None:
                continue
            if one.kind == "file" and one.weight:
                if (-1 if one.reverse else 1) * one.weight * value <= -254:
                    return True
            elif one.weight == 0 and (bool(value) == one.reverse) != (one.kind == "file"):
                return True
        return False

    def unknown(self) -> bool:
        """A tracker that could be a fault has not spoken."""
        return any(one.weight == 0 and self.told.get(one.key) is None for one in self.follows)

    # --- observers ----------------------------------------------------------------------------

    def is_master(self) -> bool:
        return self.instance is not None and bool(self.instance.state.value == "MASTER")

    def running(self) -> bool:
        return self.instance is not None and not self.stopped and self.host_up

    def check(self) -> None:
        instance = self.instance
        if instance is None or self.stopped:
            return
        if self.addresses and instance.record_state.name in ("INIT", "BACKUP", "FAULT"):
            self.lan.fail(f"{self.name} holds addresses as {instance.record_state.name}")
        self._check_trackers(instance)
        if instance.state.value == "MASTER" and self.last_advert_at is not None:
            interval_s = self.config.advert_int_cs / 100
            since = max(self.last_advert_at, self.running_since)
            if self.lan.now - since > interval_s + 4 * self.lan.latency_s + self.late_s:
                self.lan.fail(f"{self.name} is master and silent for {self.lan.now - since:.4f} s")

    def _check_trackers(self, instance: Any) -> None:
        state = instance.state.value
        if state == "INIT":
            waited_s = self.lan.now - self.running_since
            late_s = 4 * self.lan.latency_s + self.late_s
            if not self.asked_to_stop and (not self.unknown() or waited_s > LONGEST_WAIT_S + late_s):
                self.lan.fail(f"{self.name} is in INIT for {waited_s:.3f} s")
        elif instance.priority != self.priority:
            self.lan.fail(f"{self.name} has priority {instance.priority}, trackers make it {self.priority}")
        elif self.fresh_at is not None and self.unknown() and state != "FAULT":
            if self.lan.now < self.fresh_at + LONGEST_WAIT_S:
                self.lan.fail(f"{self.name} is {state} and does not know its trackers")
        elif self.faulted() and state != "FAULT":
            self.lan.fail(f"{self.name} is {state}, a tracker says fault")

    def _check_order(self, effects: list[Any]) -> None:
        """Within one list: record before advert before addresses before announcements; the record of
        leaving before the withdrawal."""
        kinds = self.lan.core.effects
        names = [type(effect).__name__ for effect in effects]
        if "Transition" not in names:
            return
        transition = effects[names.index("Transition")]
        if transition.to_state.value == "MASTER":
            takeover = [n for n in names if n in ("SendAdvert", "InstallAddresses", "Announce")]
            wanted = ["SendAdvert", "InstallAddresses", "Announce"]
            record = next((e.record for e in effects if isinstance(e, kinds.SaveRecord)), None)
            first = names.index("SaveRecord") if "SaveRecord" in names else 99
            if (
                takeover != wanted
                or record is None
                or first > names.index("SendAdvert")
                or record.state.name != "BECOMING_MASTER"
            ):
                self.lan.fail(f"{self.name} takes over in the wrong order: {names}")
        elif transition.from_state.value == "MASTER":
            saved = [
                i
                for i, e in enumerate(effects)
                if isinstance(e, kinds.SaveRecord) and e.record.state.name == "LEAVING"
            ]
            withdraws = [i for i, n in enumerate(names) if n == "WithdrawAddresses"]
            stays = self.instance is not None and self.instance.handing_over
            if not saved or bool(withdraws) == stays or (withdraws and saved[0] > withdraws[0]):
                self.lan.fail(f"{self.name} leaves in the wrong order: {names}")

    def note(self, text: str) -> None:
        self.lan.log.append((self.lan.now, self.name, text))

    def state_text(self) -> str:
        if not self.host_up:
            return "host down"
        if self.instance is None:
            return "no worker"
        return f"{self.instance.record_state.name}{' (stopped)' if self.stopped else ''}"


def _history(log: list[tuple[float, str, object]], lines_max: int = 120) -> list[str]:
    """The last lines; a master's steady adverts as one."""
    lines: list[str] = []
    steady: tuple[str, str] | None = None
    count = 0
    for at, name, what in log:
        text = _short(what)
        if text.startswith("advert ") and steady == (name, text):
            count += 1
            continue
        if count:
            lines.append(f"               {steady[0] if steady else '':4} ... {count} more")
        steady, count = (name, text) if text.startswith("advert ") else None, 0
        lines.append(f"  {at:12.6f} {name:4} {text}")
    if count:
        lines.append(f"               {steady[0] if steady else '':4} ... {count} more")
    return lines[-lines_max:]


def _short(what: object) -> str:
    name = type(what).__name__
    if isinstance(what, str):
        return what
    if name == "SendAdvert":
        return f"advert priority {what.priority}"  # type: ignore[attr-defined]
    if name == "Transition":
        cause = what.cause  # type: ignore[attr-defined]
        return (
            f"{what.from_state} -> {what.to_state} {cause.trigger}/{cause.reason}"  # type: ignore[attr-defined]
            f" peer {cause.peer} ({cause.peer_priority}) late {cause.late_s:.6f} {cause.detail}"
        )
    if name == "Resumed":
        return f"resumed as {what.state} rule {what.cause.rule} gap {what.gap_s}"  # type: ignore[attr-defined]
    if name == "Notice":
        return f"notice: {what.text}"  # type: ignore[attr-defined]
    return name
