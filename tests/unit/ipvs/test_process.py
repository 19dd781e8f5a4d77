"""The worker's shell with a fake kernel and a fake bus: what it says, when it acts and when it holds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from bus.codec import dumps
from bus.messages import (
    CheckState,
    Event,
    IpvsStatus,
    QuorumChanged,
    RealServerChanged,
    RealServerState,
    StaleEvent,
    State,
    VirtualServerState,
)
from bus.replica import Changed, Record, Removed, Snapshot, Stale, Update
from ipvs_proc.ledger import Ledger
from ipvs_proc.port import FakeIpvs, IpvsPort
from ipvs_proc.process import HealthMap, IpvsWorker, release_mode
from ipvs_proc.reconcile import RemoveDestination
from keepalived_conf.model import GlobalDefs, IpvsSlice
from tests.unit.ipvs.builders import VS, config, destination, key, real, virtual, weights
from worker.context import Options, WorkerContext
from worker.control import WorkerEnd

TWO = config(virtual(real(1, "a"), real(2, "b")))


def state(check_id: str, up: bool | None, *, last_check_at: float | None = 1.0) -> Record:
    message = CheckState(
        check_id=check_id,
        virtual_server=VS,
        real_server="",
        check_kind="TCP_CHECK",
        up=up,
        since_at=0.0,
        since_wall_at=0.0,
        interval_s=1.0,
        last_result="",
        last_check_at=last_check_at,
        attempts_failed=0,
        next_check_at=None,
    )
    return Record(
        stream="s.checker", key=check_id, message=message, publisher="checker", incarnation=1, number=1,
        at=0.0, wall_at=0.0, generation=1, epoch=1,
    )  # fmt: skip


def changed(check_id: str, up: bool | None) -> Changed:
    return Changed(record=state(check_id, up), previous=None)


def snapshot(**values: bool | None) -> Snapshot:
    records = tuple(state(name, up) for name, up in values.items())
    return Snapshot(stream="s.checker", records=records, missing=())


@dataclass
class FakeBus:
    """Publisher and subscriber in one."""

    updates: list[Update] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    said: int = 0
    generation: int = 0
    more: bool = False

    def pump(self, now: float) -> Any:
        updates, self.updates = self.updates, []
        return updates

    def set_state(self, record: State) -> None:
        self.states[record.key] = record
        self.said += 1

    def delete_state(self, stream: str, key_: str) -> None:
        assert stream == "s.ipvs"
        del self.states[key_]

    def event(self, event: Event) -> None:
        self.events.append(event)

    def announce(self, epoch: int) -> None:
        pass


class Rig:
    """Incarnations of the worker on one kernel."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.kernel = FakeIpvs()
        self.bus = FakeBus()

    def worker(self) -> IpvsWorker:
        self.bus = FakeBus()
        ctx = WorkerContext(
            role="ipvs", incarnation=1, control=cast("WorkerEnd", None), run_dir=self.run_dir,
            bus_ingress="", bus_out="", options=Options(),
        )  # fmt: skip
        ledger, _ = Ledger.open(self.run_dir, {})
        worker = IpvsWorker(ctx, ledger, first_start=False)
        worker.publisher = cast("Any", FakePublisher(self.bus))
        worker.subscriber = cast("Any", self.bus)
        worker._open_port = self._port  # type: ignore[method-assign]
        worker.keeper.open_port = self._port
        return worker

    def _port(self) -> IpvsPort:
        self.kernel.info()
        return self.kernel

    def started(self, slice_: IpvsSlice = TWO, **health: bool | None) -> IpvsWorker:
        worker = self.worker()
        if health:
            self.bus.updates = [snapshot(**health)]
        apply(worker, 1, slice_)
        return worker

    def hear(self, worker: IpvsWorker, *updates: Update) -> None:
        self.bus.updates = list(updates)
        worker._pump()

    def servers(self) -> dict[str, int]:
        return weights(self.kernel.table[key()])

    def server(self, name: str) -> RealServerState:
        record = self.bus.states[f"{VS} {name}"]
        assert isinstance(record, RealServerState)
        return record

    def service(self) -> VirtualServerState:
        record = self.bus.states[VS]
        assert isinstance(record, VirtualServerState)
        return record

    def status(self) -> IpvsStatus:
        record = self.bus.states["ipvs"]
        assert isinstance(record, IpvsStatus)
        return record


class FakePublisher:
    """The writing half of ``FakeBus``, whose pump is not the reader's."""

    def __init__(self, bus: FakeBus) -> None:
        self.set_state, self.delete_state = bus.set_state, bus.delete_state
        self.event, self.announce, self.generation = bus.event, bus.announce, 0

    def pump(self, now: float) -> bool:
        return False


def apply(worker: IpvsWorker, generation: int, slice_: IpvsSlice, phase: str = "full") -> None:
    assert worker.prepare(generation, dumps(slice_)) is None
    assert asyncio.run(worker.apply(generation, phase)) is None


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


class TestHealthMap:
    def test_updates(self) -> None:
        health = HealthMap()
        assert health.take(snapshot(a=True, b=None))
        assert health.take(changed("c", False))
        assert not health.take(changed("c", False))
        assert health.values == {"a": True, "b": None, "c": False}
        assert health.take(Removed(record=state("c", False)))
        assert not health.take(Removed(record=state("c", False)))
        assert health.values == {"a": True, "b": None}

    def test_a_snapshot_replaces_everything(self) -> None:
        health = HealthMap()
        health.take(snapshot(a=True))
        health.take(snapshot(b=False))
        assert health.values == {"b": False}

    def test_a_check_that_never_ran_knows_nothing(self) -> None:
        health = HealthMap()
        health.take(Changed(record=state("a", True, last_check_at=None), previous=None))
        assert health.values == {"a": None}

    def test_silence_is_no_change(self) -> None:
        health = HealthMap()
        health.take(snapshot(a=True))
        assert not health.take(Stale(stream="s.checker", publisher="checker", silent_s=11.0))
        assert health.values == {"a": True}


def test_health_that_is_there_counts_from_the_first_decision_on(rig: Rig) -> None:
    rig.started(a=False, b=True)
    assert rig.servers() == {"10.0.0.2:80": 1}
    assert RemoveDestination not in map(type, rig.kernel.performed)


def test_what_is_published(rig: Rig) -> None:
    rig.started(config(virtual(real(1, "a", weight=3), real(2, "b"), sorry_server=real(9))), a=True, b=False)
    service = rig.service()
    assert (service.quorum_up, service.weight_up, service.in_kernel, service.reason) == (True, 3, True, "")
    assert (service.sorry_server, service.sorry_active) == ("[10.0.0.9]:80", False)
    up, down = rig.server("[10.0.0.1]:80"), rig.server("[10.0.0.2]:80")
    assert (up.alive, up.weight, up.in_kernel) == (True, 3, True)
    assert (down.alive, down.weight, down.in_kernel) == (False, 0, False)
    assert down.reason == "down by TCP_CHECK"
    assert down.since_at > 0
    assert rig.status() == IpvsStatus(
        available=True, reason="", kernel_version="1.2.1", services=1, servers=1, repairs=0
    )


def test_a_change_of_health_is_done_told_and_logged(rig: Rig) -> None:
    worker = rig.started(a=True, b=True)
    rig.bus.events.clear()
    with capture_logs() as logs:
        rig.hear(worker, changed("a", False))
    assert rig.servers() == {"10.0.0.2:80": 1}
    assert rig.bus.events == [
        RealServerChanged(
            virtual_server=VS,
            real_server="[10.0.0.1]:80",
            alive=False,
            weight=0,
            reason="down by TCP_CHECK",
        )
    ]
    names = [entry["event"] for entry in logs]
    assert names == ["ipvs.server_removed", "ipvs.server_down"]
    assert not rig.server("[10.0.0.1]:80").alive


def test_quorum_lost_is_an_event(rig: Rig) -> None:
    worker = rig.started(config(virtual(real(1, "a"), sorry_server=real(9))), a=True)
    with capture_logs() as logs:
        rig.hear(worker, changed("a", False))
    assert [entry["event"] for entry in logs] == [
        "ipvs.server_added",
        "ipvs.server_removed",
        "ipvs.server_down",
        "ipvs.quorum_lost",
    ]
    assert (
        QuorumChanged(virtual_server=VS, up=False, weight_up=0, quorum=1, sorry_active=True) in rig.bus.events
    )
    assert rig.service().sorry_active


def test_a_server_that_waits_behind_the_sorry_server_is_not_called_up(rig: Rig) -> None:
    slice_ = config(virtual(real(1, "a"), real(2, "b"), quorum=2, sorry_server=real(9)))
    worker = rig.started(slice_, a=True, b=True)
    with capture_logs() as logs:
        rig.hear(worker, changed("a", False))
        rig.hear(worker, changed("a", True))
    told = [(e["event"], e["server"]) for e in logs if "weight" in e]
    assert told == [
        ("ipvs.server_down", "[10.0.0.1]:80"),
        ("ipvs.server_standby", "[10.0.0.2]:80"),
        ("ipvs.server_up", "[10.0.0.1]:80"),
        ("ipvs.server_up", "[10.0.0.2]:80"),
    ]


def test_silence_holds_and_is_told(rig: Rig) -> None:
    worker = rig.started(a=False, b=True)
    rig.kernel.performed.clear()
    rig.bus.events.clear()
    rig.hear(worker, Stale(stream="s.checker", publisher="checker", silent_s=12.5))
    rig.hear(worker, Removed(record=state("a", False)), Removed(record=state("b", True)))
    assert rig.kernel.performed == []
    assert rig.bus.events == [StaleEvent(stream="s.checker", owner="checker", silent_s=12.5, policy="hold")]


def test_nothing_new_is_not_said_again(rig: Rig) -> None:
    worker = rig.started(a=True, b=True)
    said = rig.bus.said
    rig.hear(worker, changed("a", True))
    asyncio.run(worker.verify())
    apply(worker, 2, TWO)
    assert rig.bus.said == said


def test_what_left_the_configuration_leaves_the_bus(rig: Rig) -> None:
    worker = rig.started(a=True, b=True)
    apply(worker, 2, config(virtual(real(2, "b"))), "additions")
    apply_again = worker.apply(2, "removals")
    assert asyncio.run(apply_again) is None
    assert f"{VS} [10.0.0.1]:80" not in rig.bus.states
    assert rig.servers() == {"10.0.0.2:80": 1}


def test_a_restart_keeps_since_and_says_no_event(rig: Rig) -> None:
    rig.started(a=False, b=True)
    before = rig.server("[10.0.0.1]:80")
    rig.kernel.performed.clear()
    rig.started()
    assert rig.server("[10.0.0.1]:80").since_at == before.since_at
    assert rig.bus.events == []
    assert rig.kernel.performed == []


def test_a_change_during_the_restart_has_a_new_since(rig: Rig) -> None:
    rig.started(a=False, b=True)
    before = rig.server("[10.0.0.1]:80"), rig.server("[10.0.0.2]:80")
    rig.started(a=True, b=True)
    assert rig.server("[10.0.0.1]:80").since_at > before[0].since_at
    assert rig.server("[10.0.0.2]:80").since_at == before[1].since_at


def test_drift_is_repaired_and_logged(rig: Rig) -> None:
    worker = rig.started(a=True, b=True)
    rig.kernel.perform([RemoveDestination(service=key(), key=destination("10.0.0.1").key)])
    with capture_logs() as logs:
        asyncio.run(worker.verify())
    (entry,) = logs
    assert (entry["event"], entry["why"]) == ("ipvs.repaired", "foreign change")
    assert rig.status().repairs == 1
    assert rig.servers() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}


def test_a_change_while_the_table_is_read_makes_the_reading_worthless(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = rig.started(a=True, b=True)
    read = worker._read

    async def read_and_meet_a_change(port: IpvsPort) -> Any:
        table = await read(port)
        rig.hear(worker, changed("a", False))
        return table

    monkeypatch.setattr(worker, "_read", read_and_meet_a_change)
    rig.kernel.performed.clear()
    asyncio.run(worker.verify())
    assert rig.servers() == {"10.0.0.2:80": 1}
    assert rig.kernel.performed == [RemoveDestination(service=key(), key=destination("10.0.0.1").key)]
    assert worker.keeper.refusals == {}
    assert rig.status().repairs == 0


class TestWithoutIpvs:
    def test_says_so_once_and_tries_again_rarely(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [1000.0]
        monkeypatch.setattr("ipvs_proc.process.boottime", lambda: now[0])
        rig.kernel.available = False
        with capture_logs() as logs:
            worker = rig.started(a=True, b=True)
            for at in (1010.0, 1020.0, 1061.0, 1130.0):
                now[0] = at
                asyncio.run(worker.verify())
        assert [entry["event"] for entry in logs].count("ipvs.unavailable") == 1
        status = rig.status()
        assert (status.available, status.reason) == (False, "this fake kernel has no IPVS")
        assert rig.service().reason == "this fake kernel has no IPVS"
        assert not rig.service().in_kernel
        rig.kernel.available = True
        now[0] = 1131.0
        asyncio.run(worker.verify())
        assert not rig.status().available  # not yet: asked rarely
        now[0] = 1200.0
        asyncio.run(worker.verify())
        assert rig.status().available
        assert rig.servers() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}


class TestPrepare:
    def test_refuses_what_cannot_be_served(self, rig: Rig) -> None:
        worker = rig.worker()
        reason = worker.prepare(1, dumps(config(virtual(scheduler="fastest"))))
        assert reason is not None
        assert "fastest" in reason
        assert asyncio.run(worker.apply(1, "full")) == "generation 1 was not prepared"

    def test_refuses_bytes_that_are_no_slice(self, rig: Rig) -> None:
        reason = rig.worker().prepare(1, b"\xc1 nonsense")
        assert reason is not None
        assert reason.startswith("the ipvs slice cannot be read")

    def test_aborted_is_forgotten(self, rig: Rig) -> None:
        worker = rig.started()
        assert worker.prepare(2, dumps(config())) is None
        worker.abort(2)
        assert asyncio.run(worker.apply(2, "full")) is not None
        assert key() in rig.kernel.table


@pytest.mark.parametrize(
    ("flush_on_stop", "supervisor_gone", "dont_release", "mode"),
    [
        ("no", False, False, "no"),
        ("no", True, False, None),
        ("VS", False, False, "VS"),
        ("VS", True, False, "VS"),
        ("all", False, False, "all"),
        ("all", True, False, "all"),
        ("no", False, True, None),
        ("all", False, True, None),
    ],
)
def test_how_the_table_is_left(
    flush_on_stop: Any, supervisor_gone: bool, dont_release: bool, mode: str | None
) -> None:
    globals_ = GlobalDefs(lvs_flush_on_stop=flush_on_stop)
    assert release_mode(globals_, supervisor_gone=supervisor_gone, dont_release=dont_release) == mode


@pytest.mark.parametrize(
    ("options", "flush_on_stop", "who"),
    [
        (Options(), "no", ["[10.0.0.1]:80", VS]),
        (Options(), "VS", [VS]),
        (Options(dont_release_ipvs=True), "no", []),
    ],
)
def test_a_stop_with_omega_tells_of_what_is_up(
    rig: Rig, options: Options, flush_on_stop: Any, who: list[str]
) -> None:
    slice_ = config(virtual(real(1, "a"), real(2, "b"), omega=True), lvs_flush_on_stop=flush_on_stop)
    worker = rig.started(slice_, a=True, b=False)
    worker.ctx = replace(worker.ctx, options=options)
    rig.bus.events.clear()
    asyncio.run(worker._leave(supervisor_gone=False))
    told = [e.real_server if isinstance(e, RealServerChanged) else VS for e in rig.bus.events]
    assert told == who
    assert not any(getattr(event, "alive", False) or getattr(event, "up", False) for event in rig.bus.events)
