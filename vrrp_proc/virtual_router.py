"""One virtual router in the worker: feeds the core, performs what it asks for.

Nothing of the protocol is decided here. Everything that will be sent is encoded when configuration,
link or address change; a takeover only hands bytes to the kernel.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from keepalived_conf.model import IpAddress, VirtualAddress, VrrpInstance
from vrrp_proc import flight, netlink, undo
from vrrp_proc.adverts import Adverts, fit_mtu
from vrrp_proc.announce import Frame, frame_for
from vrrp_proc.boxes import Entry, Trailer
from vrrp_proc.effects import (
    Announce,
    Effect,
    InstallAddresses,
    LowerPriorityHeard,
    Notice,
    PriorityChanged,
    ReadPending,
    Resumed,
    SaveRecord,
    SendAdvert,
    State,
    Transition,
    VerifyAddresses,
    WithdrawAddresses,
)
from vrrp_proc.events import (
    AddressesVerified,
    AddressesWithdrawn,
    AdvertNotSent,
    AdvertReceived,
    Event,
    GroupSays,
    InterfaceDown,
    InterfaceUp,
    LocalAddressChanged,
    PacketRejected,
    ReceiveGap,
    Reconfigured,
    Shutdown,
    Startup,
    TrackersChanged,
)
from vrrp_proc.firewall_rules import is_shut
from vrrp_proc.host import Host
from vrrp_proc.instance import Instance
from vrrp_proc.loop import COALESCE_S, Timer
from vrrp_proc.packet import Rejection, accept
from vrrp_proc.record import RecordState, ResumeRecord
from vrrp_proc.resume import config_of, resume
from vrrp_proc.sockets import Received
from vrrp_proc.tracking import decisive
from worker.clock import boottime

_OWNER_PRIORITY = 255
_GUARDED = (RecordState.MASTER, RecordState.BECOMING_MASTER)
_HOLDING = (*_GUARDED, RecordState.LEAVING)
_SLEPT_S = 0.001


class _Place:
    """Where adverts of a router leave, as of now."""

    __slots__ = ("ifindex", "source", "usable", "why")

    def __init__(self, ifindex: int | None, usable: bool, source: IpAddress | None, why: str) -> None:
        self.ifindex, self.usable, self.source, self.why = ifindex, usable, source, why

    def same(self, other: _Place) -> bool:
        return (self.ifindex, self.usable, self.source) == (other.ifindex, other.usable, other.source)


class VirtualRouter:
    """Shell of one ``Instance``."""

    def __init__(self, host: Host, config: VrrpInstance, generation: int, slot: int) -> None:
        self._host = host
        self._wanted = config
        self.config = config
        """As wanted, fitted to the interface's MTU."""
        self.generation = generation
        self.slot = slot
        self.core: Instance | None = None
        """None before ``start``."""
        self.installed: set[VirtualAddress] = set()
        self.record: ResumeRecord | None = None
        self.trailer = Trailer()
        self.cause: Transition | Resumed | None = None
        self.group = ""
        """Its vrrp_sync_group; empty: none."""
        self.removed = False
        """Not configured any more."""
        self.entry: Entry | None = None
        """What an earlier incarnation left, until ``start``."""
        self._foreign: set[VirtualAddress] = set()
        self._leftovers: list[bytes] = []
        self._undo_stale = False
        self._adverts: Adverts | None = None
        self._requests: dict[VirtualAddress, tuple[int, bytes, bytes]] = {}
        self._frames: dict[VirtualAddress, Frame | None] = {}
        self._devices: dict[str, tuple[int, bytes]] = {}
        self._place = _Place(None, False, None, "")
        self._timer = Timer(self._wake)
        self._events: deque[Event] = deque()
        self._feeding = False

    # --- identity ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._wanted.name

    @property
    def interface(self) -> str:
        return self._wanted.interface

    @property
    def source(self) -> IpAddress | None:
        """Address that our adverts are sent from."""
        return self._place.source

    @property
    def quiet(self) -> bool:
        """Shut down (or never started): nothing of it is left."""
        return self.core is None or self.core.quiet

    def addresses(self, config: VrrpInstance | None = None) -> tuple[VirtualAddress, ...]:
        """All virtual addresses, the listed ones first."""
        config = config or self.config
        return config.virtual_addresses + config.virtual_addresses_excluded

    def kept_out(self) -> tuple[VirtualAddress, ...]:
        """Addresses that no traffic may reach: while they are on an interface, or may be."""
        if not is_shut(self.config):
            return ()
        holding = self.core is not None and self.core.record_state in _HOLDING
        return tuple(dict.fromkeys((*(self.addresses() if holding else ()), *self.installed)))

    # --- start, reload, stop ---------------------------------------------------------------------

    def look(self) -> None:
        """Before the start: take in link and addresses, encode what the first advert needs."""
        self._place = self._look()
        self._encode_adverts()

    def start(self, queued: Sequence[Received], blind: bool) -> None:
        """Begin as a fresh router, or take up what an earlier incarnation left in ``entry``. ``queued``:
        what the kept socket held, oldest first; ``blind``: adverts may have been missed."""
        entry, self.entry = self.entry, None
        record = None
        if entry is not None:
            record, self.trailer = entry.record, entry.trailer
            self._leftovers = undo.deletions(entry.undo)
            self._undo_stale = True
            if record.state in _GUARDED and not self._host.ledger.guarded(entry.slot):
                record = None  # fenced: its addresses are off, a peer is master
            elif abs(self._host.suspended_s() - entry.trailer.suspended_s) > _SLEPT_S:
                blind = True
        config = self.config
        if record is None:
            self._prepare_addresses()
        if record is not None:
            config = config_of(record, config)
            blind = blind or record.ifindex != self._place.ifindex
        self.core = Instance(
            config,
            generation=record.generation if record is not None else self.generation,
            local_address=self._place.source,
            ifindex=self._place.ifindex or 0,
            link_up=self._place.usable,
        )
        self.core.join(self.group)
        self.core.start_held(self._host.maintenance.hold_of(self.name))
        self.core.handle(TrackersChanged(tracking=self._host.tracking(self.name)), boottime())
        heard = [
            judged for packet in queued if isinstance(judged := self._judge(config, packet), AdvertReceived)
        ]
        self.feed(Startup(plan=resume(record, boottime(), heard, blind, config)))
        if not self.trailer.since_wall_at and self.core.since_at:
            since_wall_at = time.time() - boottime() + self.core.since_at
            self.trailer = replace(self.trailer, since_wall_at=since_wall_at)
        if record is not None:
            # Its undo bytes are in the box already: the first advert does not wait for new ones.
            self._prepare_addresses()
        if record is not None and (config != self.config or record.generation != self.generation):
            self.feed(Reconfigured(config=self.config, generation=self.generation))

    def _prepare_addresses(self) -> None:
        self._find_foreign(self.addresses(), self._leftovers)
        self._encode_addresses()
        self._store_undo()

    def reconfigure(self, config: VrrpInstance, generation: int) -> None:
        """A committed configuration of the same virtual router."""
        before = set(self.addresses())
        self._wanted, self.generation = config, generation
        place, self._place = self._place, self._look()
        self.config = fit_mtu(config, self._mtu())
        self._find_foreign([vip for vip in self.addresses() if vip not in before], ())
        self._undo_stale = True
        self._encode()
        self._store_undo()
        if self.core is not None:
            self._tell_place(place)
            tracking = self._host.tracking(self.name)
            self.feed(Reconfigured(config=self.config, generation=generation, tracking=tracking))

    def join_group(self, group: str) -> None:
        """The vrrp_sync_group that decides for it from now on; empty: none."""
        before, self.group = self.group, group
        if self.core is None or group == before:
            return
        self.core.join(group)
        if not group and self.core.state is not State.MASTER:
            self.feed(GroupSays(group=before, state=State.BACKUP))  # nobody else's faults any more
        else:
            self._settle([])

    def stop(self, detail: str, hand_over_s: float = 0.0) -> None:
        """Give the mastership back and take the addresses off; done when ``quiet``. With ``hand_over_s`` they
        may wait for a successor first."""
        if self.core is not None:
            self.feed(Shutdown(detail=detail, hand_over_s=hand_over_s))

    def dispose(self) -> None:
        """Forget it: no timer, no work."""
        self._host.loop.arm(self._timer, None)
        self._host.work.drop(self)

    # --- links and addresses ---------------------------------------------------------------------

    def links_changed(self) -> None:
        """Links or addresses of the host changed: take in and tell what concerns this router."""
        place, self._place = self._place, self._look()
        if self._place.same(place) and self._devices_now() == self._devices:
            return
        self._encode()
        self._store_undo()
        if self.core is not None:
            self._tell_place(place)

    def track(self) -> None:
        """Trackers may say something else now: take in and tell what concerns this router."""
        tracking = self._host.tracking(self.name)
        if self.core is not None and tracking != self.core.tracking:
            self.feed(TrackersChanged(tracking=tracking))
            self._host.changed(self)

    def _tell_place(self, before: _Place) -> None:
        now = self._place
        if before.ifindex is not None and now.ifindex is not None and now.ifindex != before.ifindex:
            self.feed(ReceiveGap(detail=f"interface {self.interface} was replaced"))
        if now.source != before.source and now.source is not None:
            self.feed(LocalAddressChanged(address=now.source))
        if now.usable != before.usable or now.ifindex != before.ifindex:
            if now.usable:
                self.feed(InterfaceUp(ifindex=now.ifindex or 0))
            else:
                self.feed(InterfaceDown(detail=now.why))
        if now.source != before.source and now.source is None:
            self.feed(LocalAddressChanged(address=None))

    def missing(self, addresses: tuple[VirtualAddress, ...]) -> None:
        """Addresses of ours have disappeared without our doing."""
        self.installed.difference_update(addresses)
        self.feed(AddressesVerified(missing=addresses))

    def _look(self) -> _Place:
        config = self._wanted
        link = self._host.links.by_name(config.interface)
        if link is None:
            return _Place(None, False, None, f"interface {config.interface} does not exist")
        deaf = self._host.deaf(config.interface, config.family)
        if deaf is not None:  # whoever cannot hear must not speak: no source address is a fault
            return _Place(link.index, False, None, deaf)
        source = config.source_address
        if source is None:
            # An address owner sends from the virtual address, it is its own; nobody else does.
            virtual = (
                set()
                if config.priority == _OWNER_PRIORITY
                else {vip.interface.ip for vip in self.addresses(config)}
            )
            source = self._host.links.primary_address(config.interface, config.family, virtual)
        usable = self._host.link_up(config.interface) or config.dont_track_primary
        return _Place(link.index, usable, source, f"interface {config.interface} is down")

    def _mtu(self) -> int:
        link = self._host.links.by_name(self.interface)
        return link.mtu if link is not None else 0

    def _devices_now(self) -> dict[str, tuple[int, bytes]]:
        found: dict[str, tuple[int, bytes]] = {}
        for name in {vip.dev for vip in self.addresses(self._wanted)} | {self.interface}:
            link = self._host.links.by_name(name)
            found[name] = (link.index, link.mac) if link is not None else (0, b"")
        return found

    # --- encoding --------------------------------------------------------------------------------

    def _encode(self) -> None:
        self._encode_adverts()
        self._encode_addresses()

    def _encode_adverts(self) -> None:
        self.config = fit_mtu(self._wanted, self._mtu())
        source = self._place.source
        self._adverts = Adverts(self.config, self._host.globals, source) if source is not None else None

    def _encode_addresses(self) -> None:
        self._devices = self._devices_now()
        self._frames.clear()
        for vip in self.addresses():
            self._encoded(vip)
            self.frame(vip)

    def _find_foreign(self, addresses: Sequence[VirtualAddress], ledger: Sequence[bytes]) -> None:
        """An address owner's addresses that were there before us are the administrator's."""
        if self._wanted.priority != _OWNER_PRIORITY:
            return
        for vip in addresses:
            encoded = self._encoded(vip)
            ours = vip in self.installed or (encoded is not None and encoded[1] in ledger)
            if not ours and self._host.links.holds(vip.dev, vip.interface.ip):
                self._foreign.add(vip)

    def _store_undo(self) -> None:
        addresses = dict.fromkeys((*self.addresses(), *self.installed))
        deletions = [request for vip in addresses if (request := self.delete_request(vip)) is not None]
        listed = set(deletions)
        deletions += [request for request in self._leftovers if request not in listed]
        releases = self._adverts.releases(self._place.ifindex or 0) if self._adverts is not None else []
        self._host.ledger.set_undo(self.slot, undo.encode(releases, deletions))

    def _encoded(self, vip: VirtualAddress) -> tuple[bytes, bytes] | None:
        """(add, delete) requests; None while the interface does not exist."""
        link = self._host.links.by_name(vip.dev)
        if link is None:
            return None
        known = self._requests.get(vip)
        if known is None or known[0] != link.index:
            add, delete = netlink.add_address(vip, link.index), netlink.delete_address(vip, link.index)
            known = self._requests[vip] = (link.index, add, delete)
        return known[1], known[2]

    # --- as the owner of address work --------------------------------------------------------------

    def add_request(self, vip: VirtualAddress) -> bytes | str:
        encoded = self._encoded(vip)
        return encoded[0] if encoded is not None else f"interface {vip.dev} does not exist"

    def delete_request(self, vip: VirtualAddress) -> bytes | None:
        if vip in self._foreign:
            return None
        encoded = self._encoded(vip)
        return encoded[1] if encoded is not None else None

    def frame(self, vip: VirtualAddress) -> Frame | None:
        if vip not in self._frames:
            link = self._host.links.by_name(vip.dev)
            self._frames[vip] = (
                frame_for(link.name, link.index, link.mac, vip.interface.ip) if link is not None else None
            )
        return self._frames[vip]

    def deliver(self, event: Event) -> None:
        self.feed(event)
        if self._undo_stale and isinstance(event, AddressesWithdrawn | AddressesVerified):
            # What an earlier life or an earlier configuration left is off now.
            self._leftovers = []
            self._undo_stale = False
            self._host.loop.defer(self._store_undo)
        self._host.changed(self)

    def complain(self, text: str, vip: VirtualAddress | None) -> None:
        where = {} if vip is None else {"address": str(vip.interface), "dev": vip.dev}
        self._host.log("error", "vrrp.address_refused", instance=self.name, reason=text, **where)

    # --- the core ----------------------------------------------------------------------------------

    def hear(self, packet: Received) -> None:
        """A packet for this virtual router."""
        if self.core is None:
            return
        judged = self._judge(self.core.config, packet)
        if judged is not None:
            self.feed(judged)

    def _judge(self, config: VrrpInstance, packet: Received) -> AdvertReceived | PacketRejected | None:
        datagram = packet.datagram
        if datagram.source == self._place.source:
            return None  # our own, come back by a loop in the network
        verdict = accept(config, datagram)
        if isinstance(verdict, Rejection):
            return PacketRejected(rejection=verdict, source=datagram.source)
        return AdvertReceived(advert=verdict, source=datagram.source, received_at=packet.received_at)

    def feed(self, event: Event) -> None:
        """Hand an event to the core and perform what it answers, in order."""
        self._events.append(event)
        if not self._feeding and self.core is not None:
            self._settle([])

    def _wake(self, now: float) -> None:
        if self.core is None:
            return
        effects = self.core.wake(now, drained=False)
        if any(isinstance(effect, ReadPending) for effect in effects):
            self._host.drain(self.interface, self._wanted.family)
            effects = self.core.wake(boottime(), drained=True)
        self._settle(effects)

    def _settle(self, effects: list[Effect]) -> None:
        """Perform effects, then feed what they caused, until nothing is left."""
        assert self.core is not None
        self._feeding = True
        try:
            self._perform(effects)
            while self._events:
                event = self._events.popleft()
                now = boottime()
                self._note(now, event)
                self._perform(self.core.handle(event, now))
        finally:
            self._feeding = False
        slack_s = 0.0
        if self.core.state is State.MASTER:
            slack_s = min(COALESCE_S, self.core.config.advert_int_cs / 100 / 100)
        self._host.loop.arm(self._timer, self.core.next_deadline(), slack_s)
        self._host.groups.fed(self)

    def _perform(self, effects: list[Effect]) -> None:
        if not effects:
            return
        host = self._host
        number = self.trailer.transitions
        changes = sum(isinstance(effect, Transition) for effect in effects)
        if changes:  # counted before the record of them is written
            group_number = host.groups.next_number(self)
            self.trailer = Trailer(number + changes, time.time(), host.suspended_s(), group_number)
        for effect in effects:
            match effect:
                case SendAdvert():
                    self._send(effect.priority)
                case SaveRecord():
                    self.record = effect.record
                    trailer = replace(self.trailer, suspended_s=host.suspended_s())
                    host.ledger.save(self.slot, effect.record, effect.fence, trailer)
                case InstallAddresses():
                    host.work.install(self, effect.addresses, effect.ticket)
                case WithdrawAddresses():
                    # Whoever is not master keeps nothing of an earlier life either.
                    everything = effect.leftovers or self._holds_nothing()
                    leftovers = self._leftovers if everything else ()
                    host.work.withdraw(self, effect.addresses, effect.ticket, leftovers)
                case VerifyAddresses():
                    host.work.verify(self, effect.addresses, self._leftovers)
                case Announce():
                    host.work.announce(self, effect.addresses, effect.copies, effect.ticket)
                case Transition():
                    self.cause = effect
                    number += 1
                    self._note_transition(effect)
                    host.reports.transition(self, effect, number)
                case PriorityChanged():
                    host.reports.priority_changed(self, effect)
                case LowerPriorityHeard():
                    host.reports.lower_heard(self, effect)
                case Resumed():
                    self.cause = effect
                    host.reports.resumed(self, effect)
                case Notice():
                    self._notice(effect)
                case ReadPending():
                    pass
        host.changed(self)

    def _holds_nothing(self) -> bool:
        return self.core is not None and self.core.state is not State.MASTER

    def _send(self, priority: int) -> None:
        sock = self._host.send_socket(self.interface, self._wanted.family)
        if self._adverts is None:
            problem: str | None = "there is no address to send from"
        elif sock is None:
            problem = f"interface {self.interface} does not exist"
        else:
            problem = self._adverts.send(sock, priority)
        if problem is None:
            self._host.advert_sent()
        else:
            self._events.append(AdvertNotSent(reason=problem))

    def _notice(self, notice: Notice) -> None:
        fields: dict[str, Any] = dict(notice.fields)
        if notice.suppressed:
            fields["suppressed"] = notice.suppressed
        self._host.log(notice.level, notice.event_id, instance=self.name, text=notice.text, **fields)

    def _note(self, now: float, event: Event) -> None:
        """One input into the flight recorder."""
        if isinstance(event, AdvertReceived):
            note = flight.advert(now, self.slot, event.advert.priority, event.source)
        elif isinstance(event, TrackersChanged) and self.core is not None:
            share = decisive(self.core.tracking, event.tracking)
            note = flight.event(now, self.slot, share.text if share else "trackers")
        else:
            words = f"{type(event).__name__} {getattr(event, 'detail', '')}".rstrip()
            note = flight.event(now, self.slot, words)
        self._host.ledger.log(note)

    def _note_transition(self, effect: Transition) -> None:
        cause = effect.cause
        change = flight.Change(
            from_state=effect.from_state.value,
            to_state=effect.to_state.value,
            trigger=cause.trigger.value,
            reason=cause.reason.value,
            own_priority=cause.own_priority,
            peer=cause.peer,
            peer_priority=cause.peer_priority or 0,
            late_s=cause.late_s,
            detail=cause.detail,
        )
        for note in flight.transition(effect.at, self.slot, change):
            self._host.ledger.log(note)
