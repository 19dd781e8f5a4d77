"""One virtual router of two directors that run different daemons, from first start to last stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from tests.lab import Daemon, Lab, Observer, Probe, conf, probes, programs
from tests.lab.wire import V4_GROUP, V6_GROUP, Frame, IpAddress, VrrpFrame, build_advert

ACTIVE, STANDBY = "n1", "n2"
PRIORITY = {ACTIVE: 150, STANDBY: 100}
VRID = 51
PASSWORD = "s3cret12"
START_S = 20.0
"""Patience with a daemon that starts on a busy host, beyond the protocol's own time."""
SLACK_S = 1.0
"""Patience with a stalled host where the protocol's time itself is judged."""
DISTURBED_S = 0.25
"""A client that was itself held up longer than this saw a stalled host: the run is repeated."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What runs where and what they speak. ``active`` has the higher priority."""

    active: str
    standby: str
    version: int
    family: int
    unicast: bool

    @property
    def id(self) -> str:
        auth = "-pass" if self.version == 2 else ""
        cast = "unicast" if self.unicast else "multicast"
        return f"{self.active}+{self.standby}-v{self.version}{auth}-ipv{self.family}-{cast}"

    @property
    def interval_cs(self) -> int:
        return 100 if self.version == 2 else 50

    @property
    def interval_s(self) -> float:
        return self.interval_cs / 100

    @property
    def addresses(self) -> tuple[IpAddress, ...]:
        """Virtual addresses in the order configured; version 3 over IPv6 lists a link-local one first."""
        texts = ("10.100.1.1", "10.100.1.2") if self.family == 4 else ("fe80::51:1", "fd00:100::1:51")
        return tuple(ip_address(text) for text in texts)

    @property
    def programs(self) -> dict[str, str]:
        return {ACTIVE: self.active, STANDBY: self.standby}

    def source(self, lab: Lab, node: str) -> IpAddress:
        """The address that a node's adverts come from."""
        if self.family == 4:
            return lab.address(node)
        return lab.address6(node) if self.unicast else lab.link_local(node)

    def destination(self, lab: Lab, node: str) -> IpAddress:
        if self.unicast:
            return self.source(lab, STANDBY if node == ACTIVE else ACTIVE)
        return V4_GROUP if self.family == 4 else V6_GROUP

    def config(self, lab: Lab, node: str) -> str:
        peer = STANDBY if node == ACTIVE else ACTIVE
        prefix = 16 if self.family == 4 else 64
        return conf.global_defs("vrrp_garp_master_delay 1") + conf.instance(
            vrid=VRID,
            priority=PRIORITY[node],
            advert_int=self.interval_s,
            version=self.version,
            addresses=[f"{address}/{prefix}" for address in self.addresses],
            auth_pass=PASSWORD if self.version == 2 else None,
            unicast_src=str(self.source(lab, node)) if self.unicast else None,
            unicast_peers=[str(self.source(lab, peer))] if self.unicast else (),
        )

    def expected_advert(self, lab: Lab, node: str, priority: int) -> bytes:
        """Every octet after the IP header, as the RFC of the version fixes it."""
        return build_advert(
            version=self.version,
            src=self.source(lab, node),
            dst=self.destination(lab, node),
            vrid=VRID,
            priority=priority,
            interval_cs=self.interval_cs,
            addresses=self.addresses,
            auth_pass=PASSWORD.encode() if self.version == 2 else None,
        )


@dataclass(kw_only=True)
class Record:
    """What one run of a case left behind; instants are seconds of CLOCK_REALTIME."""

    case: Case
    frames: list[Frame] = field(default_factory=list)
    at: dict[str, float] = field(default_factory=dict)
    """Name of a deed or sight -> when."""
    holders: dict[str, list[str]] = field(default_factory=dict)
    """Name of a moment -> the nodes that had every virtual address then."""
    strays: dict[str, list[str]] = field(default_factory=dict)
    """Name of a moment -> the nodes that had some virtual address then."""
    sources: dict[str, IpAddress] = field(default_factory=dict)
    destinations: dict[str, IpAddress] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    expected: dict[tuple[str, int], bytes] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    """Node -> exit status of its SIGTERM stop."""
    answers: list[probes.Answer] = field(default_factory=list)
    longest_stall_s: float = 0.0

    def adverts(
        self, node: str, since: str | float = 0.0, until: str | float = float("inf")
    ) -> list[VrrpFrame]:
        """A node's advertisements between two named moments (or instants)."""
        begin = self.at[since] if isinstance(since, str) else since
        end = self.at[until] if isinstance(until, str) else until
        return [
            frame
            for frame in self.frames
            if isinstance(frame, VrrpFrame) and frame.src == self.sources[node] and begin <= frame.at <= end
        ]


class Scenario:
    """Runs one case. Any step that does not come about in time raises TimeoutError with the logs."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.record = Record(case=case)

    def run(self) -> Record:
        with Lab(ipv6=self.case.family == 6) as lab:
            self.lab = lab
            self.wire: Observer = lab.observer()
            try:
                self._steps()
            except TimeoutError as error:
                logs = "\n".join(
                    f"--- {d.node} {d.program.name}\n{d.log_text()[-1500:]}" for d in lab.daemons
                )
                seen = "\n".join(
                    f"{f.at:.3f} {f.src} > {f.dst} v{f.version} priority {f.priority} {f.checksum}"
                    for f in self.wire.adverts()[-12:]
                )
                raise TimeoutError(f"{self.case.id}: {error}\n{seen}\n{logs}") from None
        return self.record

    def _steps(self) -> None:
        case, record, lab = self.case, self.record, self.lab
        for node in (ACTIVE, STANDBY):
            record.sources[node] = case.source(lab, node)
            record.destinations[node] = case.destination(lab, node)
            record.macs[node] = lab.mac(node)
            for priority in (0, PRIORITY[node]):
                record.expected[node, priority] = case.expected_advert(lab, node, priority)

        standby = self._start(STANDBY)
        self._await_master(STANDBY, standby.started_at, "standby alone")
        client = self._client()
        active = self._start(ACTIVE)
        self._await_master(ACTIVE, active.started_at, "elected")
        self._rest("elected")

        record.at["term"] = active.terminate()
        self._await_master(STANDBY, record.at["term"], "taken over after stop")
        record.status[ACTIVE] = active.wait()
        self._rest("taken over after stop")

        active = self._start(ACTIVE)
        self._await_master(ACTIVE, active.started_at, "back after stop")
        self._rest("back after stop")

        record.at["cut"] = lab.cut(ACTIVE)
        lab.kill_node(ACTIVE)
        self._await_master(STANDBY, record.at["cut"], "taken over after death")
        self._rest("taken over after death", only=STANDBY)
        lab.reboot(ACTIVE)

        active = self._start(ACTIVE)
        self._await_master(ACTIVE, active.started_at, "back after death")
        self._rest("back after death")

        record.at["standby term"] = standby.terminate()
        record.status[STANDBY] = standby.wait()
        time.sleep(2 * case.interval_s)
        record.at["end"] = time.time()
        record.answers = client.stop()
        record.longest_stall_s = probes.longest_send_gap_s(record.answers)
        record.frames = self.wire.frames()

    def _start(self, node: str) -> Daemon:
        program = programs.program(self.case.programs[node])
        return self.lab.daemon(node, program, self.case.config(self.lab, node)).start()

    def _client(self) -> Probe:
        client = self.lab.probe("c", "icmp", str(self.case.addresses[-1]), 0.02)
        client.await_answer(10)
        return client

    def _await_master(self, node: str, since: float, name: str) -> None:
        """Wait for the node's first advert as master and keep its instant under ``name``."""
        case = self.case
        patience = conf.master_down_s(PRIORITY[node], case.interval_s, case.version) + START_S
        advert = self.wire.await_advert(patience, since, src=case.source(self.lab, node), active=True)
        self.record.at[name] = advert.at

    def _rest(self, name: str, only: str | None = None) -> None:
        """Let two intervals pass and note who has the addresses at their end."""
        time.sleep(2.2 * self.case.interval_s)
        wanted = {str(address) for address in self.case.addresses}
        self.record.holders[name], self.record.strays[name] = [], []
        for node in [only] if only else [ACTIVE, STANDBY]:
            have = wanted & self.lab.addresses(node)
            if have == wanted:
                self.record.holders[name].append(node)
            if have:
                self.record.strays[name].append(node)
        self.record.at[f"{name}, settled"] = time.time()


def undisturbed(case: Case, attempts: int = 3, note: Callable[[str], None] = lambda _text: None) -> Record:
    """A run in which the host did not stall; the last one, if every one was disturbed."""
    for _attempt in range(attempts):
        record = Scenario(case).run()
        if record.longest_stall_s < DISTURBED_S:
            break
        note(f"{case.id}: the host stalled for {record.longest_stall_s:.2f} s, again")
    return record
