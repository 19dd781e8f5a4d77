"""Tracked processes (vrrp_track_process): how many of each there are, and whether that is enough.

The kernel tells of every fork, exec, change of name and end (``proc_connector``); what a process is, /proc
says. First listen, then look at all processes: so none is missed in between. After a loss, and each
``CHECK_EACH_S`` to be sure, all are looked at again. Where the kernel tells nothing (a container, a network
namespace of its own) they are looked at each second.

A look at all takes its time in small parts, so that nothing else waits for it. What the kernel tells
meanwhile counts more than what the look found before.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from keepalived_conf.model import TrackProcess
from script_proc.proc_connector import Acknowledged, Connector, Lost, ProcessEvent, Told
from script_proc.proc_match import Rules, parse_status
from script_proc.proc_quorum import Cause, Quorum
from worker.clock import boottime

OnValue = Callable[[str, int, str], None]
"""(name, 1 enough or 0 not, text for people)"""

SCAN_EACH_S = 1.0
CHECK_EACH_S = 60.0
_SCAN_SHARE = 10
"""Without events, looking takes at most one part in so many of a processor."""
_ACKNOWLEDGE_S = 1.0
_TEXT_S = 1.0
"""How often a mere number of processes is told."""
_FIRST_S, _PART_S, _PAUSE_S = 0.25, 0.01, 0.01
_AFTER_LOSS_S = 0.2
_RETRIES = 3
"""So many looks that missed events again are thrown away; where that never ends the next one counts."""
_EVENTS_AT_ONCE = 512
_LOSS_LOG_S = 10.0
_NONE: frozenset[str] = frozenset()
_OUR_OWN_FAULT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class OurOwnFaultError(Exception):
    """A process could not be looked at, for a reason of ours."""


@dataclass(slots=True)
class _Scan:
    """A look at all processes that is under way."""

    pids: Iterator[int]
    found: dict[int, frozenset[str]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    """Told of since it began: what it found of these may be out of date."""
    work_s: float = 0.0


class ProcessTable:
    """What /proc says."""

    def __init__(self, root: str = "/proc") -> None:
        self.root = root

    def pids(self) -> list[int]:
        return [int(name) for name in os.listdir(self.root) if name.isdecimal()]

    def hidden(self) -> bool:
        """Processes of other users are not shown (hidepid)."""
        return self._read(1, "comm", 64) is None

    def judge(self, pid: int, rules: Rules) -> frozenset[str]:
        """Names of the trackers that count this process now; OurOwnFaultError."""
        name = command_line = b""
        if rules.short_names:
            comm = self._read(pid, "comm", 128)
            if comm is None:
                return _NONE
            name = comm.removesuffix(b"\n")
        if rules.command_lines:
            command_line = self._read(pid, "cmdline", rules.command_line_bytes) or b""
        found = rules.matching(name, command_line)
        if found and rules.short_names:
            # One that has ended keeps its name until its parent has waited for it.
            status = parse_status(self._read(pid, "stat", 128) or b"")
            if status is None or status.ended:
                return _NONE
        return found

    def _read(self, pid: int, file: str, size: int) -> bytes | None:
        try:
            fd = os.open(f"{self.root}/{pid}/{file}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in _OUR_OWN_FAULT:
                raise OurOwnFaultError(error.strerror) from error
            return None


class ProcessTrackers:
    """All tracked processes of the worker, on the running loop. See the module."""

    def __init__(
        self,
        on_value: OnValue,
        log: structlog.stdlib.BoundLogger,
        *,
        scan_each_s: float = SCAN_EACH_S,
        check_each_s: float = CHECK_EACH_S,
        connect: Callable[[int, bool], Connector] = lambda size, force: Connector(size, force=force),
    ) -> None:
        self._on_value, self._log, self._connect = on_value, log, connect
        self._scan_each_s, self._check_each_s = scan_each_s, check_each_s
        self._table = ProcessTable()
        self._wanted: dict[str, TrackProcess] = {}
        self._held: Mapping[str, int] = {}
        self._rules = Rules(())
        self._quorums: dict[str, Quorum] = {}
        self._matched: dict[int, frozenset[str]] = {}
        self._counts: Counter[str] = Counter()
        self._connector: Connector | None = None
        self._heard = False
        """The kernel has said that it will tell."""
        self._sure = False
        """``_matched`` is the whole truth: it may be acted on."""
        self._tell_all = False
        self._lost = False
        self._loss_said_at = -_LOSS_LOG_S
        self._retries = 0
        self._scan: _Scan | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._untold: set[str] = set()
        self._said: set[str] = set()

    def apply(
        self,
        wanted: Iterable[TrackProcess],
        *,
        held: Mapping[str, int] | None = None,
        receive_bytes: int = 0,
        force: bool = True,
    ) -> None:
        """Count these from now on. Tells the value of each at once (on a very full machine: soon).

        ``held``: values of an earlier incarnation; from there fork_delay and terminate_delay count.
        ``receive_bytes``, ``force``: process_monitor_rcv_bufs and its force, for a new subscription.
        """
        before = self._wanted
        self._wanted = {one.name: one for one in wanted}
        if not self._wanted:
            self.close()
            return
        self._held = held or {}
        self._rules = Rules(self._wanted.values())
        self._quorums = {
            name: quorum
            for name, quorum in self._quorums.items()
            if name in self._wanted and self._wanted[name] == before[name]
        }
        self._warn()
        self._matched, self._counts = {}, Counter()
        self._sure, self._tell_all = False, True
        if self._connector is None:
            self._listen(receive_bytes, force=force)
        self._start_scan()
        self._go_on(_FIRST_S)

    def close(self) -> None:
        """Forget all of it; apply may be called again."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._stop_listening()
        self._wanted, self._quorums, self._matched = {}, {}, {}
        self._counts, self._scan, self._sure = Counter(), None, False
        self._untold.clear()

    def _warn(self) -> None:
        for name in self._rules.never:
            self._say_once(
                f"never {name}",
                "script.process_never_matches",
                tracker=name,
                wanted=self._wanted[name].process[0],
                reason="the short name of a process has at most 15 octets",
                hint="write full_command",
            )
        if self._table.hidden():
            self._say_once(
                "hidden",
                "script.processes_hidden",
                reason="/proc does not show the processes of other users",
                hint="mount /proc without hidepid, or with a gid of this worker",
            )

    def _say_once(self, key: str, event: str, **fields: object) -> None:
        if key not in self._said:
            self._said.add(key)
            self._log.warning(event, **fields)

    def _later(self, key: str, delay_s: float, what: Callable[[], None]) -> None:
        if (old := self._timers.pop(key, None)) is not None:
            old.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(delay_s, what)

    # --- what the kernel tells ---------------------------------------------------------------------

    def _listen(self, receive_bytes: int, *, force: bool) -> None:
        try:
            self._connector = self._connect(receive_bytes, force)
        except OSError as error:
            self._no_events(error.strerror or str(error))
            return
        asyncio.get_running_loop().add_reader(self._connector.fileno(), self._readable)
        self._later("acknowledge", _ACKNOWLEDGE_S, self._not_acknowledged)
        self._readable()

    def _stop_listening(self) -> None:
        if self._connector is not None:
            asyncio.get_running_loop().remove_reader(self._connector.fileno())
            self._connector.close()
            self._connector = None
        self._heard = False

    def _answered(self, told: Acknowledged) -> None:
        if self._connector is None or told.number != self._connector.number or self._heard:
            return
        if told.error:
            self._stop_listening()
            self._no_events(os.strerror(told.error))
            return
        self._heard = True
        if self._quorums:
            self._scan_later(0.0)

    def _not_acknowledged(self) -> None:
        if not self._heard:
            self._stop_listening()
            self._no_events("the kernel does not answer")

    def _no_events(self, reason: str) -> None:
        self._say_once(
            "events",
            "script.process_events_missing",
            reason=reason,
            scan_each_s=self._scan_each_s,
            hint="the kernel tells of processes only to the host's own namespaces, with CAP_NET_ADMIN",
        )

    def _readable(self) -> None:
        """Some of what there is; the loop comes back for the rest."""
        if self._connector is None:
            return
        try:
            told, _ = self._connector.read(_EVENTS_AT_ONCE)
        except OSError as error:
            self._stop_listening()
            self._no_events(error.strerror or str(error))
            self._scan_later(self._scan_each_s)
            return
        for one in told:
            self._hear(one)
        self._settle()

    def _hear(self, told: Told) -> None:
        if isinstance(told, Acknowledged):
            self._answered(told)
        elif isinstance(told, Lost):
            self._lose()
        elif told.cause is Cause.EXIT:
            self._is_now(told.pid, _NONE, told.cause)
        elif told.cause is not Cause.FORK or told.parent in self._matched or self._scan is not None:
            self._look_at(told)

    def _look_at(self, told: ProcessEvent) -> None:
        try:
            self._is_now(told.pid, self._table.judge(told.pid, self._rules), told.cause)
        except OurOwnFaultError as error:
            self._fault(error)

    def _fault(self, error: OurOwnFaultError) -> None:
        self._say_once("fault", "script.process_not_read", reason=str(error))
        self._lose()

    def _lose(self) -> None:
        """What is known may be wrong: nothing is told until all have been looked at again."""
        self._sure = False
        if self._lost:
            return
        self._lost = True
        room = self._connector.more_room() if self._connector is not None else 0
        if boottime() - self._loss_said_at >= _LOSS_LOG_S:
            self._loss_said_at = boottime()
            self._log.info(
                "script.process_events_lost", receive_bytes=room, action="looking at all processes"
            )
        if self._scan is None:
            self._scan_later(_AFTER_LOSS_S)

    def _is_now(self, pid: int, names: frozenset[str], cause: Cause) -> None:
        if self._scan is not None:
            self._scan.touched.add(pid)
        for name in self._put(pid, names):
            self._changed(name, cause)

    def _put(self, pid: int, names: frozenset[str]) -> frozenset[str]:
        """Count a process for these; returns the names of the counters that changed."""
        before = self._matched.pop(pid, _NONE)
        if names:
            self._matched[pid] = names
        for name in names - before:
            self._counts[name] += 1
        for name in before - names:
            self._counts[name] -= 1
        return names ^ before

    # --- looking at all ----------------------------------------------------------------------------

    def _scan_later(self, delay_s: float) -> None:
        self._later("scan", delay_s, self._scan_now)

    def _scan_now(self) -> None:
        self._start_scan()
        self._go_on(_PART_S)

    def _start_scan(self) -> None:
        self._drain()  # what is told of from here on happened after the beginning
        self._lost = False
        try:
            self._scan = _Scan(pids=iter(self._table.pids()))
        except OSError as error:
            self._say_once("table", "script.process_table", reason=str(error))
            self._scan = _Scan(pids=iter(()))

    def _drain(self) -> None:
        if self._connector is None:
            return
        more = True
        for _ in range(20):
            try:
                told, more = self._connector.read(_EVENTS_AT_ONCE)
            except OSError:
                return
            for one in told:
                self._hear(one)
            if not more:
                return

    def _go_on(self, budget_s: float) -> None:
        scan = self._scan
        if scan is None:
            return
        begun = time.monotonic()
        for pid in scan.pids:
            try:
                names = self._table.judge(pid, self._rules)
            except OurOwnFaultError as error:
                self._fault(error)
                scan.touched.add(pid)
                continue
            if names:
                scan.found[pid] = names
            if time.monotonic() - begun > budget_s:
                scan.work_s += time.monotonic() - begun
                self._later("scan", _PAUSE_S, lambda: self._go_on(_PART_S))
                return
        scan.work_s += time.monotonic() - begun
        self._drain()
        self._scan = None
        if self._lost and self._retries < _RETRIES and not self._tell_all:
            self._retries += 1
        else:
            self._retries = 0
            self._merge(scan)
        if self._lost:
            self._scan_later(_AFTER_LOSS_S)
        elif self._heard:
            self._scan_later(self._check_each_s)
        else:
            self._scan_later(max(self._scan_each_s, _SCAN_SHARE * scan.work_s))

    def _merge(self, scan: _Scan) -> None:
        """Believe what a look found, but of those that the kernel has told of since."""
        changed: set[str] = set()
        for pid in (self._matched.keys() | scan.found.keys()) - scan.touched:
            changed |= self._put(pid, scan.found.get(pid, _NONE))
        if self._sure:
            for name in changed:
                self._changed(name, Cause.SCAN)
        else:
            self._sure = True
            now = boottime()
            for name, wanted in self._wanted.items():
                if name in self._quorums:
                    self._changed(name, Cause.SCAN)
                else:
                    before = self._held.get(name)
                    good = None if before is None else before != 0
                    self._quorums[name] = Quorum(wanted, self._counts[name], now, good)
            if self._tell_all:
                self._tell_all = False
                for name in self._wanted:
                    self._tell(name)
        self._settle()

    # --- telling -----------------------------------------------------------------------------------

    def _changed(self, name: str, cause: Cause) -> None:
        quorum = self._quorums.get(name)
        if not self._sure or quorum is None:
            return
        if quorum.change(self._counts[name], cause, boottime()):
            self._tell(name)
        else:
            self._untold.add(name)

    def _tell(self, name: str) -> None:
        self._untold.discard(name)
        quorum = self._quorums[name]
        self._on_value(name, int(quorum.good), quorum.text())

    def _settle(self) -> None:
        """Arm the timers for what was kept back."""
        if not self._sure:
            return  # while events are missing, what time alone says may be wrong
        due = min((one.due_at for one in self._quorums.values() if one.due_at is not None), default=None)
        if due is not None:
            self._later("due", max(0.0, due - boottime()), self._due)
        if self._untold and "text" not in self._timers:
            self._later("text", _TEXT_S, self._tell_numbers)

    def _due(self) -> None:
        now = boottime()
        for name, quorum in self._quorums.items():
            if self._sure and quorum.tick(now):
                self._tell(name)
        self._settle()

    def _tell_numbers(self) -> None:
        del self._timers["text"]
        for name in list(self._untold):
            self._tell(name)
