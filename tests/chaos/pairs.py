"""A master, a backup, a client and observers, with traffic running: what every chaos test looks at."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from supervisor.operator import OperatorError, ask
from tests.lab import conf
from tests.lab.daemons import Daemon
from tests.lab.net import Lab
from tests.lab.observer import Observer
from tests.lab.probes import Answer
from tests.lab.programs import ours
from tests.lab.system import in_netns, wait_until

VIP = "10.100.1.1"
PORT = 8080
T = TypeVar("T")


def rounds(default: int) -> int:
    """Rounds of a test; PYKEEPALIVED_CHAOS_ROUNDS scales all of them (per cent)."""
    return max(1, default * int(os.environ.get("PYKEEPALIVED_CHAOS_ROUNDS", "100")) // 100)


class Stalls:
    """Watches this host: how long a 5 ms sleeper overslept, and when."""

    def __init__(self) -> None:
        self._worst: list[tuple[float, float]] = []
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            before = time.time()
            time.sleep(0.005)
            late_s = time.time() - before - 0.005
            if late_s > 0.02:
                self._worst.append((before, late_s))

    def longest_s(self, since: float, until: float) -> float:
        """The longest stall that touched a span of time."""
        return max((late for at, late in self._worst if at + late >= since and at <= until), default=0.0)

    def total_s(self, since: float, until: float) -> float:
        """How long this host stood still within a span of time."""
        return sum(late for at, late in self._worst if at + late >= since and at <= until)


stalls = Stalls()


def fence_s(advert_int: float) -> float:
    """The fence deadline after the last advert (docs/supervisor.md)."""
    return 3 * advert_int - max(0.02, 0.2 * advert_int)


def pair_config(
    priority: int,
    advert_int: float,
    *,
    addresses: Sequence[str] = (f"{VIP}/16",),
    extra: Sequence[str] = (),
    balancer: bool = True,
    excluded: Sequence[str] = (),
) -> str:
    text = conf.global_defs("vrrp_garp_master_delay 1") + conf.instance(
        priority=priority, advert_int=advert_int, addresses=addresses, extra=extra, excluded=excluded
    )
    if balancer:  # gives the checker and ipvs workers something to do
        server = conf.real_server("10.100.0.3", PORT, conf.tcp_check())
        text += conf.virtual_server(VIP, PORT, [server])
    return text


class Pair:
    """n1 (master), n2 (backup), c (client): daemons of ours, an observer on the wire, a probing client."""

    def __init__(
        self,
        advert_int: float,
        *,
        configs: tuple[str, str] | None = None,
        probe_s: float = 0.02,
        start: Sequence[str] = ("n1", "n2"),
    ) -> None:
        self.advert_int = advert_int
        self.lab = Lab()
        self.configs = configs or (pair_config(150, advert_int), pair_config(100, advert_int))
        self.daemons: dict[str, Daemon] = {}
        self._start = start
        self._probe_s = probe_s
        self._listener: socket.socket | None = None

    def __enter__(self) -> Pair:
        self.lab.__enter__()
        try:
            with in_netns(self.lab.ns("c")):
                self._listener = socket.create_server(("10.100.0.3", PORT), backlog=1024)
            threading.Thread(target=_swallow, args=(self._listener,), daemon=True).start()
            self.observer: Observer = self.lab.observer()
            for node in self._start:
                self.start(node)
            if "n1" in self._start:
                self.observer.await_advert(30, src="10.100.0.1")
                self.ready("n1")
            if "n2" in self._start:
                self.ready("n2")
            if "n1" in self._start:
                self.probe = self.lab.probe("c", "icmp", VIP, self._probe_s)
                self.probe.await_answer(10)
        except BaseException:
            self.lab.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for node in self.daemons:
                print(f"--- {node}\n{self.log(node)[-6000:]}", flush=True)
        if self._listener is not None:
            self._listener.close()
        for daemon in self.daemons.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon.parent_pid, signal.SIGTERM)
        for daemon in self.daemons.values():
            with contextlib.suppress(Exception):
                daemon.wait(5)
        self.lab.close()

    def start(self, node: str, config: str | None = None) -> Daemon:
        text = config or self.configs[0 if node == "n1" else 1]
        self.daemons[node] = self.lab.daemon(node, ours(), text).start()
        return self.daemons[node]

    # --- asking the daemon -------------------------------------------------------------------------

    def run_dir(self, node: str) -> pathlib.Path:
        return self.daemons[node].folder / "run"

    def ask(self, node: str, command: str, **arguments: Any) -> dict[str, Any]:
        return ask(self.run_dir(node) / "operator.sock", command, **arguments)

    def processes(self, node: str) -> dict[str, dict[str, Any]]:
        return {row["role"]: row for row in self.ask(node, "status")["processes"]}

    def ready(self, node: str, timeout_s: float = 20) -> None:
        """Wait until every wanted process is ready."""

        seen: list[object] = []

        def look() -> bool:
            try:
                rows = self.processes(node)
            except OperatorError as error:
                seen[:] = [str(error)]
                return False
            states = {row["role"]: row["state"] for row in rows.values() if row["state"] != "stopped"}
            seen[:] = [states]
            return bool(states) and all(state == "ready" for state in states.values())

        try:
            wait_until(look, timeout_s, f"{node}: all processes ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {seen}\n{self.log(node)[-3000:]}") from None

    def log(self, node: str) -> str:
        return self.daemons[node].log_text()

    def pid(self, node: str, role: str) -> int:
        """The process of a role now; vrrp by its raw socket."""

        def look() -> int | None:
            return self.daemons[node].worker_pid(role)

        found = wait_until(look, 5, f"{node}: a {role} process")
        assert found is not None
        return found

    def settle_announcements(self) -> None:
        """Wait until the configured gratuitous ARP (5 now, 5 after a second) is over on a new master."""
        mac = self.lab.mac("n1")
        wait_until(lambda: len(self.observer.garps(mac=mac)) >= 10, 15, "both bursts of gratuitous ARP")
        time.sleep(0.3)

    def holders(self) -> set[str]:
        return {node for node in ("n1", "n2") if VIP in self.lab.addresses(node)}


def _swallow(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connection.close()


one_at_a_time = threading.Lock()
"""Held around a blow: laboratories share two CPUs, and one's restart must not be the other's stall."""


def kill(pid: int, signum: int = signal.SIGKILL) -> float:
    """Signal a process, and let it have the machine for a moment; returns the instant just before."""
    with one_at_a_time:
        at = time.time()
        os.kill(pid, signum)
        time.sleep(0.1)
    return at


@dataclass(kw_only=True, slots=True)
class Round:
    """One blow and what followed."""

    role: str
    at: float
    next_advert_s: float | None = None
    advert_gap_s: float = 0.0
    stall_s: float = 0.0


@dataclass(kw_only=True, slots=True)
class Verdict:
    """What a run of blows did to the outside world."""

    advert_int: float
    rounds: list[Round] = field(default_factory=list)
    backup_adverts: list[float] = field(default_factory=list)
    priority_zero: list[float] = field(default_factory=list)
    garps: list[float] = field(default_factory=list)
    address_events: list[str] = field(default_factory=list)
    transitions: list[str] = field(default_factory=list)
    lost: list[Answer] = field(default_factory=list)
    logs: str = ""

    def disturbed(self, at: float) -> bool:
        """Was the host itself stalled around an instant, badly enough to excuse what happened?"""
        limit = 0.25 * self.advert_int if self.advert_int < 1 else 0.3
        return stalls.longest_s(at - 4 * self.advert_int, at + 0.3) > limit


def adverts_around(pair: Pair, blow: Round, until: float) -> None:
    """Fill in how the master's adverts went on after a blow."""
    times = [frame.at for frame in pair.observer.adverts(src="10.100.0.1", active=True)]
    before = [at for at in times if at <= blow.at]
    after = [at for at in times if blow.at < at <= until]
    blow.stall_s = stalls.longest_s(blow.at - 0.2, until)
    if after:
        blow.next_advert_s = after[0] - blow.at
    spans = [*before[-1:], *after]
    blow.advert_gap_s = max((b - a for a, b in itertools.pairwise(spans)), default=float("inf"))


def told(case: Callable[[int], list[str]], count: int) -> list[str]:
    """Run a case; what breaks off becomes a complaint, so that the other laboratories still count."""
    try:
        return case(count)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told
        return [f"broke off: {type(error).__name__}: {error}"]


def in_parallel(jobs: Sequence[Callable[[], T]], at_once: int = 10) -> Iterator[T]:
    """Run jobs side by side (each sleeps most of its time); results in order."""
    with ThreadPoolExecutor(at_once) as pool:
        futures: list[Future[T]] = []
        for job in jobs:
            futures.append(pool.submit(job))
            time.sleep(0.4)  # starts are the only heavy moment
        for future in futures:
            yield future.result()


def random_phase(advert_int: float) -> None:
    time.sleep(random.uniform(0, advert_int))
