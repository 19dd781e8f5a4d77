"""The VRRP worker: entry point, control channel, configuration, sockets of all virtual routers.

Start (and restart): read the links, take over the kept sockets, resume each router by the core's rule;
adverts leave first, then ``ready``, then everything that others want of us (bus, locked memory).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from bus.codec import dumps, loads
from bus.messages import VrrpGroupTransition
from keepalived_conf.model import GlobalDefs, VrrpInstance, VrrpSlice
from vrrp_proc import refusal
from vrrp_proc.addresses import AddressWork
from vrrp_proc.adverts import group_of
from vrrp_proc.announce import Announcer
from vrrp_proc.boxes import Entry, Ledger
from vrrp_proc.directory import Directory
from vrrp_proc.events import ReceiveGap
from vrrp_proc.firewall import Firewall
from vrrp_proc.firewall_rules import is_shut
from vrrp_proc.group_shell import Groups
from vrrp_proc.link_log import LinkLog
from vrrp_proc.link_watch import LinkWatch
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop, Stage, Timer
from vrrp_proc.maintenance import Departure, Maintenance
from vrrp_proc.netlink import RouteSocket
from vrrp_proc.pace import Pace
from vrrp_proc.ports import PortKey, Ports, Use
from vrrp_proc.publish import BusVoice, state_record
from vrrp_proc.reports import Reporter
from vrrp_proc.router import is_renamed, same_router
from vrrp_proc.sockets import Received, SendSocket
from vrrp_proc.trackers import Trackers
from vrrp_proc.tracking import Tracking
from vrrp_proc.virtual_router import VirtualRouter
from worker import log as logging
from worker import undo as janitor
from worker.blackbox import BlackBox, BoxError
from worker.clock import boottime
from worker.context import HEARTBEAT_S, WorkerContext
from worker.control import (
    Abort,
    Apply,
    ControlClosed,
    ControlError,
    Epoch,
    LogLevel,
    Message,
    Prepare,
    Resume,
    StepDown,
    Stop,
)

_SETTLE_AFTER_S = 0.05
_SETTLE_ROOM_S = 0.010
_STOP_SLACK_S = 0.2
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4

# The codec makes its plan of a class at the first use; done here it is done once, in the image that
# workers are forked from, and not in each of them before the first advert (3 ms).
loads(VrrpSlice, dumps(VrrpSlice(globals=GlobalDefs(), instances=())))


def main(ctx: WorkerContext) -> None:
    """Run the VRRP worker until it is told to stop or the supervisor is gone."""
    log = logging.logger(ctx.role)
    # Locking memory later must not need a capability that the worker does not keep.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for problem in ctx.drop_privileges():
        log.warning("privileges.not_dropped", reason=problem)
    gc.disable()
    worker = VrrpWorker(ctx)
    try:
        worker.run()
    finally:
        worker.close()


class VrrpWorker:
    """Everything of the process that is not one virtual router. Implements ``router.Host``."""

    def __init__(self, ctx: WorkerContext) -> None:
        self._ctx = ctx
        self._control = ctx.control
        self._log = logging.logger(ctx.role)
        self.loop = Loop(boottime)
        self.globals = GlobalDefs()
        self.links = LinkTable()
        self._link_log = LinkLog(self.links, self.log)
        self.ledger = Ledger(self._attach_box())
        self._route = RouteSocket()
        self._watch = LinkWatch(self.links, self._route, self.routers, self._links_changed, self._log)
        self._announcer = Announcer(self.loop, self._announce_failed)
        self.firewall = Firewall(self.loop, f"pykeepalived {ctx.run_dir}", self.links, self.log)
        self.work = AddressWork(
            self.loop,
            self._route,
            self._announcer,
            self._watch.read,
            self._watch.absent,
            self.firewall.before_install,
        )
        self.ports = Ports(
            self.loop, ctx.kept_fds, ctx.control.store, ctx.control.unstore, self._packets, self.log
        )
        self.groups = Groups(self.loop.defer, self._say, self._groups_changed, self.log)
        self._routers: dict[str, VirtualRouter] = {}
        self._directory = Directory()
        self._leaving: list[VirtualRouter] = []
        self.maintenance = Maintenance(self)
        self._departure: Departure | None = None
        self._prepared: dict[int, VrrpSlice] = {}
        self._ready = False
        self._changed: dict[str, VirtualRouter] = {}
        self._pace = Pace(self.loop, self._woken, self._log)
        self._voice = BusVoice(ctx, self.loop)
        self.reports = Reporter(self.loop.defer, self.groups, self._voice, self._log)
        self._trackers = Trackers(
            self.loop,
            self.links,
            self.ledger.values,
            endpoint=ctx.bus_out,
            changed=self._trackers_changed,
            log=self.log,
            stale=self._voice.event,
        )
        self._settling: list[Callable[[], None]] = [
            self._voice.open,
            self._listen,
            self.firewall.settle,
            self._lock_memory,
        ]
        self._settle_timer = Timer(self._settle)
        self._settle_tries = 0
        self._beat_timer = Timer(self._beat)
        self._start_timer = Timer(self._start_delayed)
        self._delayed: list[VirtualRouter] = []

    def _attach_box(self) -> BlackBox | None:
        if self._ctx.box_fd is None:
            return None
        try:
            return BlackBox.attach(self._ctx.box_fd)
        except (BoxError, OSError) as error:
            # Serving without a memory is better than not serving: a restart is then a fresh start.
            self._log.error("vrrp.box_unusable", reason=str(error))
            return None

    # --- life ------------------------------------------------------------------------------------

    def run(self) -> None:
        self._control.hello()
        self.loop.add_reader(self._control.fileno(), Stage.CONTROL, self._control_readable)
        self.loop.add_reader(self._watch.fileno(), Stage.NETLINK, self._watch.readable)
        self._watch.load()
        for text in self.ledger.damaged:
            self._log.warning("vrrp.record_damaged", reason=text)
        self._beat(boottime())
        self.loop.run()

    def close(self) -> None:
        self._trackers.close()
        self._voice.close()
        self._announcer.close()
        self.firewall.close()
        self.ports.close()
        self._route.close()
        self._watch.close()
        self.loop.close()

    def _leave(self, detail: str, hand_over_s: float) -> None:
        """Priority 0, addresses off, records; then the process ends."""
        self.loop.remove_reader(self._control.fileno())
        routers = list(self._routers.values())
        if self._ctx.options.release_vips:
            for router in routers:
                router.stop(detail, hand_over_s)
            self.loop.drain_work()
            departure = Departure(self, [*routers, *self._leaving], self._end)
            self._departure = departure
            if departure.waits:
                late_at = boottime() + hand_over_s + _STOP_SLACK_S
                self.loop.arm(Timer(lambda _now: departure.give_up(detail)), late_at)
                departure.settle()
            else:
                departure.give_up(detail)
        else:
            self._end()

    def _end(self) -> None:
        """Nothing of the virtual routers is left, or everything is to stay."""
        routers = list(self._routers.values())
        for router in [*routers, *self._leaving]:
            if router.quiet or not self._ctx.options.release_vips:
                self.ledger.release(router.slot)
        if self._ctx.options.release_vips:
            self._trackers.forget()
            self._undo_orphans()  # told to stop before the configuration came
            if all(router.quiet for router in [*routers, *self._leaving]):
                self.firewall.remove()
        self.loop.run_deferred()
        self._publish()
        self._control.flush()
        self.loop.stop()

    def _beat(self, now: float) -> None:
        self._control.heartbeat()
        self._voice.pump()
        self._trackers.pump()
        self._pace.collect(now)
        self.loop.arm(self._beat_timer, now + HEARTBEAT_S, 0.001)

    def _settle(self, now: float) -> None:
        """After the first adverts: what costs milliseconds, one piece at a time, between adverts."""
        due_at = self.loop.next_due_at()
        self._settle_tries += 1
        if due_at is not None and due_at - now < _SETTLE_ROOM_S and self._settle_tries < 20:
            self.loop.arm(self._settle_timer, due_at + 0.001)
            return
        self._settle_tries = 0
        self._settling.pop(0)()
        if self._settling:
            self.loop.arm(self._settle_timer, boottime() + _SETTLE_AFTER_S)

    def _listen(self) -> None:
        """Read the bus, if something on it is tracked."""
        if self._voice.context is not None:
            self._trackers.open(self._voice.context)

    def _lock_memory(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
            reason = os.strerror(ctypes.get_errno())
            self._log.warning(
                "vrrp.memory_not_locked",
                reason=reason,
                hint="raise LimitMEMLOCK or grant CAP_IPC_LOCK; adverts may be late when memory is short",
            )

    # --- control channel -------------------------------------------------------------------------

    def _control_readable(self) -> None:
        try:
            messages = self._control.receive()
        except ControlClosed:
            # No hand-over: the next supervisor may be here in a moment, and its worker must find nobody.
            self._leave("the supervisor is gone", 0.0)
            return
        except ControlError as error:
            self._log.error("control.malformed", reason=str(error))
            return
        for message in messages:
            if isinstance(message, Stop):
                self._leave("stop", self.maintenance.hand_over_at_stop_s)
                return
            self._obey(message)

    def _obey(self, message: Message) -> None:
        if isinstance(message, Prepare):
            reason = self._prepare(message.generation, message.payload)
            if reason is None:
                self._control.prepared(message.generation)
            else:
                self._control.refused(message.generation, reason)
        elif isinstance(message, Apply):
            reason = self._apply(message.generation)
            if reason is None:
                self._control.applied(message.generation, message.phase)
            else:
                self._control.failed(message.generation, message.phase, reason)
            if not self._ready and reason is None:
                self._ready = True
                self._control.ready()
                self.loop.arm(self._settle_timer, boottime() + _SETTLE_AFTER_S)
        elif isinstance(message, Abort):
            self._prepared.pop(message.generation, None)
        elif isinstance(message, Epoch):
            self._voice.epoch(message.epoch)
        elif isinstance(message, StepDown):
            self.maintenance.step_down(message)
        elif isinstance(message, Resume):
            self.maintenance.resume(message)
        elif isinstance(message, LogLevel):
            with contextlib.suppress(ValueError):
                logging.adjust(message.level, message.form)

    def _prepare(self, generation: int, payload: bytes) -> str | None:
        """Parse and check; touch nothing. Returns why it is refused."""
        try:
            wanted = loads(VrrpSlice, payload)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is refused, not fatal
            return f"the vrrp slice cannot be read: {error}"
        reason = refusal.why_not(wanted, self.ledger.capacity)
        if reason is None:
            new = [one for one in wanted.instances if self._ready or not self.ledger.knows(one.name)]
            reason = refusal.why_not_strict(new, self.links)
        if reason is None:
            self._prepared = {generation: wanted}
        return reason

    # --- configuration ---------------------------------------------------------------------------

    def _apply(self, generation: int) -> str | None:
        wanted = self._prepared.pop(generation, None)
        if wanted is None:
            return f"generation {generation} was not prepared"
        first = not self._ready
        self.globals = wanted.globals
        self._trackers.configure(wanted)
        self._voice.generation(generation)
        self._announcer.garp_interval_s = wanted.globals.vrrp_garp_interval_s
        self._announcer.gna_interval_s = wanted.globals.vrrp_gna_interval_s
        configs = {config.name: config for config in wanted.instances}
        kept = self._match(configs)
        for router in [r for r in self._routers.values() if r not in kept]:
            self._retire(router, self.maintenance.may_hand_over(router, configs.values()))
        for router in self._leaving:
            if not router.quiet and not self.maintenance.may_hand_over(router, configs.values()):
                router.stop("its place is taken")
        fresh: list[VirtualRouter] = []
        problems: list[str] = []
        changed: list[tuple[VirtualRouter, VrrpInstance]] = []
        reused = {config.name: router for router, config in kept.items()}
        own = {name: self.ledger.take(name) for name in configs if name not in reused}
        for config in configs.values():
            running = reused.get(config.name)
            if running is not None:
                changed.append((running, config))
                continue
            try:
                fresh.append(self._new_router(config, generation, own[config.name]))
            except BoxError as error:
                problems.append(f"vrrp_instance {config.name}: {error}")
        routers = {router.name: router for router in [*kept, *fresh]}
        for name in set(self._routers) - set(routers):
            self._voice.gone(name)
        self._routers = routers
        self.maintenance.applied(wanted)
        self._index()
        self._open_ports()
        with self.groups.together():
            members = reused | {router.name: router for router in fresh}
            for name in self.groups.configure(wanted.sync_groups, members, running=not first):
                self._voice.gone(f"group:{name}")
            for router, config in changed:
                router.reconfigure(config, generation)
            self._start(fresh, first)
        self._groups_changed()
        if first:
            self._undo_orphans()
            self.ports.give_back_unused()
        self._configure_firewall()
        self.loop.defer(self._log_applied(generation))
        return "; ".join(problems) or None

    def _configure_firewall(self) -> None:
        routers = [*self._routers.values(), *self._leaving]
        shut = [router for router in routers if is_shut(router.config)]
        self.firewall.configure(self.globals, (vip for router in shut for vip in router.addresses()))
        for router in routers:
            self.firewall.changed(router)

    def _log_applied(self, generation: int) -> Callable[[], None]:
        count = len(self._routers)
        return lambda: self._log.info("vrrp.applied", generation=generation, instances=count)

    def _match(self, configs: dict[str, VrrpInstance]) -> dict[VirtualRouter, VrrpInstance]:
        """Running routers that go on, with their new configuration."""
        found: dict[VirtualRouter, VrrpInstance] = {}
        left = dict(configs)
        for name, router in self._routers.items():
            config = left.get(name)
            if config is not None and same_router(router.config, config):
                found[router] = left.pop(name)
        for router in self._routers.values():
            if router not in found:
                renamed = next((one for one in left.values() if is_renamed(router.config, one)), None)
                if renamed is not None:
                    found[router] = left.pop(renamed.name)
                    self._log.info("vrrp.renamed", instance=renamed.name, before=router.name)
                    self.maintenance.renamed(router.name, renamed.name)
        return found

    def _new_router(self, config: VrrpInstance, generation: int, entry: Entry | None) -> VirtualRouter:
        entry = entry or self._renamed_entry(config)
        slot = entry.slot if entry is not None else self.ledger.allocate()
        router = VirtualRouter(self, config, generation, slot)
        router.entry = entry
        return router

    def _renamed_entry(self, config: VrrpInstance) -> Entry | None:
        """What an earlier incarnation that died while it was told the new name left under the old one."""
        link = self.links.by_name(config.interface)
        return self.ledger.take_renamed(config, link.index) if link is not None else None

    def _start(self, routers: list[VirtualRouter], first: bool) -> None:
        """Adverts first: everything is looked at and encoded before the first one starts."""
        queued: dict[VirtualRouter, list[Received]] = {router: [] for router in routers}
        heard_all: set[PortKey] = set()
        if routers and first:
            for key, packets, complete in self.ports.backlog():
                if complete:
                    heard_all.add(key)
                for packet in packets:
                    addressee = self._directory.addressee(key, packet)
                    if addressee in queued:
                        queued[addressee].append(packet)
        now = boottime()
        delay_s = self.globals.vrrp_startup_delay_s if first else 0.0
        for router in routers:
            router.look()
        for router in routers:
            key = (router.interface, router.config.family)
            if router.entry is None and delay_s > 0:
                self._delayed.append(router)
                continue
            router.start(queued[router], blind=key not in heard_all)
        if self._delayed:
            self._log.info("vrrp.startup_delayed", seconds=delay_s)
            self.loop.arm(self._start_timer, now + delay_s)

    def _start_delayed(self, _now: float) -> None:
        delayed, self._delayed = self._delayed, []
        with self.groups.together():
            for router in delayed:
                if router in self._routers.values():
                    router.look()
                    router.start((), blind=True)

    def _retire(self, router: VirtualRouter, hand_over_s: float) -> None:
        """Not configured any more: stop it, forget it when nothing is left of it."""
        if router in self._delayed:
            self._delayed.remove(router)
        self.groups.forget(router)
        router.removed = True
        router.stop("removed from the configuration", hand_over_s)
        self._leaving.append(router)
        self._bury()

    def _bury(self) -> None:
        still: list[VirtualRouter] = []
        for router in self._leaving:
            if router.quiet:
                router.dispose()
                self.firewall.forget(router)
                self.ledger.release(router.slot)
            else:
                still.append(router)
        if len(still) != len(self._leaving):
            self._leaving = still
            self._index()
            self._open_ports()
            self._configure_firewall()

    def _undo_orphans(self) -> None:
        """Instances of an earlier generation that are not configured any more and whose worker died
        before it could stop them."""
        for orphan in self.ledger.orphans():
            if orphan.fence.active:
                releases = boottime() < orphan.fence.prio0_until_at
                problems = janitor.perform(orphan.undo, packets=releases)
                self._log.info("vrrp.orphan_undone", slot=orphan.slot, problems=problems)
            self.ledger.forget_orphan(orphan)

    # --- sockets -----------------------------------------------------------------------------------

    def _index(self) -> None:
        self._link_log.look(router.config for router in self._routers.values())
        self._directory.index(self._listening())

    def _open_ports(self) -> None:
        """Sockets for exactly the interfaces and families in use, as far as the interfaces exist."""
        uses: dict[PortKey, Use] = {(r.interface, r.config.family): Use() for r in self._leaving}
        for router in self._listening():
            use = uses.setdefault((router.interface, router.config.family), Use())
            use.vrids.add(router.config.virtual_router_id)
            group = group_of(router.config, self.globals)
            if group is not None:
                use.groups.add(group)
        self.ports.open(uses, self.links)

    def _listening(self) -> list[VirtualRouter]:
        """Configured routers, then those that leave and wait for their successor's advert."""
        return [*self._routers.values(), *(router for router in self._leaving if not router.quiet)]

    def send_socket(self, interface: str, family: int) -> SendSocket | None:
        return self.ports.send_socket((interface, family))

    def deaf(self, interface: str, family: int) -> str | None:
        return self.ports.why_deaf((interface, family))

    def drain(self, interface: str, family: int) -> None:
        self.ports.drain((interface, family))

    def _packets(self, key: PortKey, packets: Sequence[Received], overflowed: bool) -> None:
        if overflowed:
            for router in self._routers.values():
                if (router.interface, router.config.family) == key:
                    router.feed(ReceiveGap(detail="the receive queue overflowed"))
        for packet in packets:
            addressee = self._directory.addressee(key, packet)
            if addressee is not None:
                addressee.hear(packet)

    # --- links and addresses -----------------------------------------------------------------------

    def _links_changed(self, before: set[int]) -> None:
        for index in before - self.links.indices():
            self._announcer.forget_link(index)
        if before != self.links.indices():
            for router in self._routers.values():
                self.firewall.changed(router)
        self._link_log.look(router.config for router in self._routers.values())
        self._open_ports()
        self._trackers.look_at_links()
        self._trackers_changed(None)

    def _trackers_changed(self, names: Collection[str] | None) -> None:
        """Links or trackers: every router looks for itself whether that concerns it. ``names``: of those that
        follow the trackers that changed; None: all."""
        for router in [*self._routers.values(), *self._leaving]:
            if names is None or router.name in names:
                router.links_changed()
                router.track()
        self._bury()

    # --- as the host of routers ----------------------------------------------------------------------

    def suspended_s(self) -> float:
        return self._pace.suspended_s

    def _woken(self, slept_s: float) -> None:
        for router in self._routers.values():
            router.feed(ReceiveGap(detail=f"the machine was suspended for {slept_s:.1f} s"))

    def advert_sent(self) -> None:
        self._pace.advert_sent()

    def link_up(self, name: str) -> bool:
        return self._trackers.link_up(name)

    def tracking(self, instance: str) -> Tracking:
        return self._trackers.tracking(instance)

    def _say(self, event: VrrpGroupTransition) -> None:
        self._voice.event(event)

    def _groups_changed(self) -> None:
        self.loop.defer(self._publish_groups)

    def _publish_groups(self) -> None:
        for record in self.groups.records():
            self._voice.state(record)

    def changed(self, router: VirtualRouter) -> None:
        if not self._changed:
            self.loop.defer(self._publish)
        self._changed[router.name] = router
        self.firewall.changed(router)

    def _publish(self) -> None:
        # One of them, then whoever is more urgent has a turn: a record takes up to a millisecond.
        for name, router in [*self._changed.items()][:1]:
            del self._changed[name]
            record = state_record(router) if self._routers.get(name) is router else None
            if record is not None:
                self._voice.state(record)
        if self._changed:
            self.loop.defer(self._publish)
            return
        self.maintenance.settle()
        if self._leaving:
            self._bury()
        if self._departure is not None:
            self._departure.settle()

    def routers(self) -> Mapping[str, VirtualRouter]:
        """The configured ones by name."""
        return self._routers

    def tell(self, message: Message) -> None:
        """Say something to the supervisor."""
        self._control.send(message)

    def log(self, level: str, event_id: str, **fields: Any) -> None:
        self.loop.defer(lambda: getattr(self._log, level)(event_id, **fields))

    def _announce_failed(self, owner: VirtualRouter, frames: int, error: OSError) -> None:
        self.log(
            "warning",
            "vrrp.announce_failed",
            instance=owner.name,
            frames=frames,
            reason=error.strerror or str(error),
        )
