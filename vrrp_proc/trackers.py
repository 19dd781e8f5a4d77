"""Where the values of trackers come from: interfaces from netlink, everything else off the bus.

The bus is read in the worker's own loop, after packets, timers and netlink; nothing waits for it. When it
or the script worker is silent, the last value is held: silence is no result. Values are in the black box
before anybody acts on them, so that a restart of this worker begins with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import zmq

from bus.messages import StaleEvent, TrackerState
from bus.replica import Changed, Fresh, Record, Snapshot, Stale, Update
from bus.subscriber import Subscriber
from keepalived_conf.model import SyncGroup, VrrpInstance, VrrpSlice
from vrrp_proc.debounce import Debounce, capped
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop, Stage, Timer
from vrrp_proc.timers import seconds
from vrrp_proc.tracking import Follow, Kind, Tracking, follows, judge
from vrrp_proc.values import KeptValues
from worker.clock import boottime

STREAM = "s.script"
_OWNER = "script"
_MESSAGES_AT_ONCE = 8
"""Then adverts have their turn: a reader of a hundred microseconds each, and what follows from them."""
_ELSEWHERE: tuple[Kind, ...] = ("script", "file", "process")


class Trackers:
    """Values of everything that is followed.

    ``changed`` is called when some are different, with the names of those who follow these; None: all.
    """

    def __init__(
        self,
        loop: Loop,
        links: LinkTable,
        kept: KeptValues,
        *,
        endpoint: str,
        changed: Callable[[Collection[str] | None], None],
        log: Callable[..., None],
        stale: Callable[[StaleEvent], None],
    ) -> None:
        self._loop, self._links, self._kept = loop, links, kept
        self._endpoint = endpoint
        self._changed, self._log, self._tell_stale = changed, log, stale
        self._follows: dict[str, tuple[Follow, ...]] = {}
        self._followers: dict[str, set[str]] = {}
        """Key of a tracker -> the instances that follow it."""
        self._runs_s: dict[str, float] = {}
        self._values: dict[str, int | None] = {}
        self._results: dict[str, str] = {}
        self._unusable: set[str] = set()
        """Keys of trackers that were tried, and still nothing is known: they cannot be run."""
        self._silent: set[str | None] = set()
        self._debounce = Debounce()
        self._timer = Timer(self._settled)
        self._subscriber: Subscriber | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._pumping = False

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, wanted: VrrpSlice) -> None:
        """Follow what this configuration follows; forget the rest."""
        groups: dict[str, SyncGroup] = {
            member: group for group in wanted.sync_groups for member in group.members
        }
        self._follows = {one.name: follows(one, groups.get(one.name)) for one in wanted.instances}
        self._followers = {}
        for name, each in self._follows.items():
            for one in each:
                self._followers.setdefault(one.key, set()).add(name)
        self._runs_s = wanted.script_runs_s
        keys = {one.key for each in self._follows.values() for one in each if one.kind in _ELSEWHERE}
        for key in keys - set(self._values):
            self._values[key] = self._kept.get(key)
        self._values = {key: self._values[key] for key in sorted(keys)}
        self._results = {key: text for key, text in self._results.items() if key in keys}
        self._unusable &= keys
        self._kept.keep_only(keys)
        if self._subscriber is not None:  # what was said before it was followed
            for record in self._subscriber.records(STREAM).values():
                self._take_record(record)
        self._debounce.configure(capped(wanted.interface_delays, self._limits_s(wanted.instances)))
        self.look_at_links()
        self._read_the_bus()

    def _limits_s(self, instances: Iterable[VrrpInstance]) -> dict[str, float]:
        """As keepalived: one advert less than what makes a backup act."""
        limits_s: dict[str, float] = {}
        for one in instances:
            limit_s = (one.down_timer_adverts - 1) * seconds(one.advert_int_cs)
            followed = [f.name for f in self._follows[one.name] if f.kind == "interface"]
            for name in (one.interface, *followed):
                limits_s[name] = min(limit_s, limits_s.get(name, limit_s))
        return limits_s

    # --- what is known ---------------------------------------------------------------------------

    def tracking(self, instance: str) -> Tracking:
        """What all trackers say to one instance now."""
        wanted = self._follows.get(instance, ())
        if not wanted:
            return Tracking()
        values: Mapping[str, int | None] = self._values
        interfaces = {f.key: int(self.link_up(f.name)) for f in wanted if f.kind == "interface"}
        if interfaces:
            values = {**values, **interfaces}
        stale = _ELSEWHERE if self._silent else ()
        return judge(
            wanted,
            values,
            stale=stale,
            unusable=self._unusable,
            results=self._results,
            runs_s=self._runs_s,
        )

    def link_up(self, name: str) -> bool:
        """Administratively up and running, with the delays that it has."""
        link = self._links.by_name(name)
        return self._debounce.counts(name, link is not None and link.usable)

    def look_at_links(self) -> None:
        """Links may have changed."""
        now = boottime()
        for name in self._debounce.names:
            link = self._links.by_name(name)
            self._debounce.see(name, link is not None and link.usable, now, gone=link is None)
        self._loop.arm(self._timer, self._debounce.next_at())

    def _settled(self, now: float) -> None:
        self._debounce.settle(now)
        self._loop.arm(self._timer, self._debounce.next_at())
        self._changed(None)

    # --- the bus ---------------------------------------------------------------------------------

    def open(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """From now on the bus may be read; it is when something there is followed."""
        self._context = context
        self._read_the_bus()

    def _read_the_bus(self) -> None:
        if self._context is None or self._subscriber is not None or not self._values:
            return
        self._subscriber = Subscriber(self._context, endpoint=self._endpoint, streams=[STREAM])
        self._loop.add_reader(self._subscriber.fileno(), Stage.BUS, self.pump)
        self.pump()

    def pump(self) -> None:
        """When the bus is readable, and with each heartbeat."""
        if self._subscriber is None:
            return
        everybody, names = False, set[str]()
        for update in self._subscriber.pump(boottime(), limit=_MESSAGES_AT_ONCE):
            if isinstance(update, Changed):
                if self._take_record(update.record):
                    names |= self._followers.get(update.record.key, set())
            elif self._take(update):
                everybody = True
        if everybody or names:
            self._changed(None if everybody else names)
        if self._subscriber.more and not self._pumping:
            self._pumping = True
            self._loop.add_work(self._pump_more)

    def _pump_more(self) -> bool:
        self._pumping = False
        self.pump()
        return False

    def _take(self, update: Update) -> bool:
        match update:
            case Snapshot(records=records):
                different = [self._take_record(record) for record in records]
                return any(different)
            case Stale(publisher=publisher, silent_s=silent_s) if publisher in (None, _OWNER):
                return self._became_silent(publisher, silent_s)
            case Fresh(publisher=publisher) if publisher in self._silent:
                self._silent.discard(publisher)
                if not self._silent:
                    self._log("info", "vrrp.trackers_fresh")
                return True
        return False  # also Removed: the configuration says what is followed, the last value is held

    def _take_record(self, record: Record) -> bool:
        said = record.message
        if not isinstance(said, TrackerState) or said.key not in self._values:
            return False
        self._results[said.key] = said.last_result
        before = self._values[said.key]
        if said.value is None:  # who does not know says nothing about what was known
            return before is None and self._is_unusable(said)
        self._unusable.discard(said.key)
        if said.value == before:
            return False
        self._kept.put(said.key, said.value)
        self._values[said.key] = said.value
        self._log(
            "info", "vrrp.tracker", tracker=said.key, value=said.value, before=before, result=said.last_result
        )
        return True

    def _is_unusable(self, said: TrackerState) -> bool:
        """It was tried, and nothing came of it: as in keepalived, the router goes on without it."""
        if said.last_at is None or said.key in self._unusable:
            return False
        self._unusable.add(said.key)
        self._log("warning", "vrrp.tracker_unusable", tracker=said.key, result=said.last_result)
        return True

    def _became_silent(self, publisher: str | None, silent_s: float) -> bool:
        first = not self._silent
        self._silent.add(publisher)
        if first:
            owner = publisher or "bus"
            self._log(
                "warning", "vrrp.trackers_stale", owner=owner, silent_s=round(silent_s, 1), action="hold"
            )
            self._tell_stale(StaleEvent(stream=STREAM, owner=owner, silent_s=silent_s, policy="hold"))
        return first

    def forget(self) -> None:
        """A clean stop: what is known now says nothing about the next start."""
        self._kept.keep_only(())

    def close(self) -> None:
        if self._subscriber is not None:
            self._loop.remove_reader(self._subscriber.fileno())
            self._subscriber.close()
            self._subscriber = None
