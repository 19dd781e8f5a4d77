"""What an operator asks of the worker's virtual routers: step down, resume; and leaving without a gap.

The holds are told to the supervisor, which tells them to our successors: a restart forgets none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from keepalived_conf.model import GlobalDefs, VrrpInstance, VrrpSlice
from vrrp_proc.effects import State
from vrrp_proc.events import HeldBack, Released
from vrrp_proc.handover import HELD_PRIORITY, Hold
from vrrp_proc.loop import Loop
from vrrp_proc.resume import OWNER_PRIORITY
from vrrp_proc.virtual_router import VirtualRouter
from worker.clock import boottime
from worker.control import Answered, Held, Message, StepDown, Unheld
from worker.control import Resume as ResumeRequest

_STOP_ROOM_S = 0.5
"""Part of child_wait_time that is left for everything else of a stop."""


class Host(Protocol):
    """The worker as this module needs it."""

    globals: GlobalDefs
    loop: Loop

    def routers(self) -> Mapping[str, VirtualRouter]: ...

    def tell(self, message: Message) -> None: ...

    def log(self, level: str, event_id: str, **fields: Any) -> None: ...


@dataclass(slots=True)
class _Request:
    """An operator that waits for the end of hand-overs."""

    number: int
    lines: list[str]
    waiting: dict[str, VirtualRouter] = field(default_factory=dict)


class Maintenance:
    """The holds of one worker, and who waits for an answer."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._holds: dict[str, Hold] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self._requests: list[_Request] = []

    # --- how long a hand-over may take -----------------------------------------------------------

    @property
    def hand_over_s(self) -> float:
        """Bound that this worker sets, in seconds; 0: no hand-over."""
        return math.inf if self._host.globals.handover else 0.0

    @property
    def hand_over_at_stop_s(self) -> float:
        """At a stop: the process ends when a successor has spoken, or before the supervisor kills it."""
        if not self._host.globals.handover:
            return 0.0
        return max(0.0, self._host.globals.child_wait_time_s - _STOP_ROOM_S)

    def may_hand_over(self, router: VirtualRouter, configs: Iterable[VrrpInstance]) -> float:
        """How long a router that is not configured any more may hand over: not at all when another one here
        takes its place or one of its addresses."""
        own = {(vip.dev, vip.interface.ip) for vip in router.addresses()}
        config = router.config
        for other in configs:
            same = (other.interface, other.family, other.virtual_router_id) == (
                config.interface,
                config.family,
                config.virtual_router_id,
            )
            if same or own & {(vip.dev, vip.interface.ip) for vip in router.addresses(other)}:
                return 0.0
        return self.hand_over_s

    # --- holds -----------------------------------------------------------------------------------

    def applied(self, wanted: VrrpSlice) -> None:
        """A configuration is in force: its groups; holds whose time is over are forgotten."""
        self._groups = {group.name: group.members for group in wanted.sync_groups}
        now = boottime()
        for name, hold in list(self._holds.items()):
            if hold.until_at is not None and hold.until_at <= now and name not in self._host.routers():
                self._forget(name)

    def renamed(self, before: str, name: str) -> None:
        hold = self._holds.get(before)
        if hold is not None:
            self._forget(before)
            self._keep(name, hold)

    def hold_of(self, name: str) -> Hold | None:
        """Why a router that starts is held back; None: it is not."""
        hold = self._holds.get(name)
        if hold is not None and hold.until_at is not None and hold.until_at <= boottime():
            self._forget(name)
            return None
        return hold

    def step_down(self, message: StepDown) -> None:
        """Hold routers back; the answer goes out when the last hand-over has ended."""
        hold = Hold(reason=message.reason, until_at=message.until_at or None)
        if not message.request:  # said to a successor, before it knows any router
            self._holds[message.name] = hold
            return
        names = self._meant(message.name, message.request)
        request = _Request(number=message.request, lines=[])
        refused = 0
        for name in names:
            router = self._host.routers()[name]
            if router.config.priority == OWNER_PRIORITY:
                request.lines.append(f"{name} owns its addresses (priority 255): it cannot step down")
                refused += 1
                continue
            self._keep(name, hold)
            self._hold_back(router, hold, request)
        if not names:
            return
        if refused == len(names):
            self._answer(request, ok=False)
            return
        self._requests.append(request)
        self.settle()

    def _hold_back(self, router: VirtualRouter, hold: Hold, request: _Request) -> None:
        core, name = router.core, router.name
        if core is None:
            request.lines.append(f"{name} has not started yet; it is held back from its start")
            return
        before = core.state
        router.feed(HeldBack(reason=hold.reason, until_at=hold.until_at, hand_over_s=self.hand_over_s))
        if core.handing_over:
            request.waiting[name] = router
        elif before is State.MASTER and core.state is State.MASTER:
            request.lines.append(f"{name} stays master with priority {HELD_PRIORITY}: nobody else is there")
        elif before is State.MASTER:
            request.lines.append(f"{name} has left at once, its addresses are off")
        else:
            where = f", the master is {core.master_address}" if core.master_address is not None else ""
            request.lines.append(f"{name} is {core.state.value} already{where}; held back")

    def resume(self, message: ResumeRequest) -> None:
        """Let routers take part with their own priority again."""
        names = self._meant(message.name, message.request, also=self._holds)
        lines: list[str] = []
        for name in names:
            router = self._host.routers().get(name)
            held = name in self._holds
            if held:
                self._forget(name)
            if router is not None and router.core is not None and router.core.hold is not None:
                router.feed(Released(why="resumed by the operator"))
                lines.append(f"{name} takes part with priority {router.core.priority} again")
            else:
                lines.append(f"{name} is held back no more" if held else f"{name} was not held back")
        if names:
            self._answer(_Request(number=message.request, lines=lines))

    def settle(self) -> None:
        """Called whenever a router may have changed: answer who waits for it."""
        for name, hold in list(self._holds.items()):
            router = self._host.routers().get(name)
            over = hold.until_at is not None and hold.until_at <= boottime()
            if over and router is not None and router.core is not None and router.core.hold is None:
                self._forget(name)
        for request in list(self._requests):
            for name, router in list(request.waiting.items()):
                core = router.core
                if core is None or core.handing_over:
                    continue
                ended = core.handed_over
                if ended is not None and ended.successor:
                    line = f"{name} handed over to {ended.successor} in {ended.took_s:.1f} s"
                elif core.state is State.MASTER:
                    line = (
                        f"{name} goes on as master with priority {HELD_PRIORITY}: no other router took over"
                    )
                else:
                    line = f"{name} has left: {ended.why if ended is not None else ''}"
                request.lines.append(line)
                del request.waiting[name]
            if not request.waiting:
                self._requests.remove(request)
                self._answer(request)

    def _meant(self, name: str, number: int, also: Iterable[str] = ()) -> list[str]:
        """Instances that a name means (empty: all). A member of a sync group stands for its group: members
        move together. An unknown name is answered."""
        known = list(self._host.routers())
        if not name:
            return [*known, *(one for one in also if one not in known)]
        if name in known or name in also:
            group = next((members for members in self._groups.values() if name in members), (name,))
            return [one for one in group if one in known or one in also]
        if name in self._groups:
            return [one for one in self._groups[name] if one in known]
        there = ", ".join([*known, *self._groups]) or "none"
        text = f"no vrrp_instance or vrrp_sync_group is named {name!r}; there are: {there}"
        self._host.tell(Answered(request=number, ok=0, text=text))
        return []

    def _answer(self, request: _Request, *, ok: bool = True) -> None:
        text = "\n".join(request.lines) or "there is no vrrp_instance"
        self._host.tell(Answered(request=request.number, ok=int(ok), text=text[:60000]))

    def _keep(self, name: str, hold: Hold) -> None:
        self._holds[name] = hold
        self._host.tell(Held(name=name, reason=hold.reason, until_at=hold.until_at or 0.0))

    def _forget(self, name: str) -> None:
        self._holds.pop(name, None)
        self._host.tell(Unheld(name=name))


class Departure:
    """Leaving with hand-overs under way: the process ends when the last one has, see ``finish``."""

    def __init__(self, host: Host, routers: Iterable[VirtualRouter], finish: Callable[[], None]) -> None:
        self._host, self._finish = host, finish
        self._routers = list(routers)
        self._handing = [router for router in self._routers if router.core and router.core.handing_over]
        self._began_at = boottime()
        self.over = False
        if self._handing:
            names = [router.name for router in self._handing]
            host.log("info", "vrrp.leaving", waits_for="a successor of each", instances=names)

    def settle(self) -> None:
        """End when nothing of a router is left."""
        if not self.over and all(router.quiet for router in self._routers):
            self._over()

    def give_up(self, why: str) -> None:
        """End now, whatever is left: first without hand-overs."""
        if self.over:
            return
        for router in self._routers:
            if router.core is not None and router.core.handing_over:
                router.stop(why)
        self._host.loop.drain_work()
        for router in self._routers:
            if not router.quiet:
                self._host.log("error", "vrrp.stop_incomplete", instance=router.name)
        self._over()

    @property
    def waits(self) -> bool:
        return bool(self._handing)

    def _over(self) -> None:
        self.over = True
        if self._handing:
            ends = {
                router.name: router.core.handed_over.successor or router.core.handed_over.why
                for router in self._handing
                if router.core is not None and router.core.handed_over is not None
            }
            waited_s = round(boottime() - self._began_at, 3)
            self._host.log("info", "vrrp.left", waited_s=waited_s, successors=ends)
        self._finish()
