"""Reload: prepared everywhere, committed once, applied in order; or nothing at all."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from supervisor import policy, reload
from supervisor.loader import Finding, Loaded, Manifest
from supervisor.options import DaemonOptions
from supervisor.reload import Generation, Reload
from supervisor.table import Process
from worker.control import Abort, Apply, Message, Prepare, make_slice

ROLES = ("ipvs", "checker", "vrrp")
STEPS = [(role, phase) for role, phase in policy.APPLY_ORDER if role in ROLES]


class Wire:
    """Stands for a control channel: remembers what was sent."""

    def __init__(self, role: str, journal: list[tuple[str, Message]]) -> None:
        self.role, self.journal = role, journal
        self.closed = False

    def send(self, message: Message, fd: int | None = None) -> None:
        assert (fd is not None) is isinstance(message, Prepare)
        self.journal.append((self.role, message))


class Said:
    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.generation = 0

    def reload_step(self, what: str, generation: int, in_force: int, *_: Any) -> None:
        self.steps.append((what, generation, in_force))

    def state(self, row: Process) -> None:
        self.steps.append((f"state {row.role}", row.generation, 0))


class Quiet:
    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


class FakeLoader:
    outcome: Loaded | None = None
    pid = 1

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def fileno(self) -> int:
        return 0

    def result(self) -> Loaded | None:
        return FakeLoader.outcome

    def close(self) -> None:
        pass


class Answers:
    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []

    def answer(self, body: dict[str, Any]) -> None:
        self.got.append(body)


@dataclass
class Owner:
    """As much of a supervisor as a reload touches."""

    journal: list[tuple[str, Message]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.options = DaemonOptions(config="/x.conf")
        self.worker_options = type("O", (), {"faults": {}})()
        self.reporter, self.log, self.notifier = Said(), Quiet(), Quiet()
        self.stopping = False
        self.hooks = type("H", (), {"running": ""})()
        self.table: dict[str, Process] = {}
        self.children: dict[int, Any] = {}
        self.killed: dict[str, list[str]] = defaultdict(list)
        self.started: list[str] = []
        self.stopped: list[str] = []
        for role in ("bus", *ROLES):
            self.table[role] = self.row(role)
        self.table["script"] = Process(role="script", uid=None)  # the configuration does not need it
        self.reload = Reload(self)  # type: ignore[arg-type]
        self.reload.current = Generation(1, loaded(ROLES))
        for row in self.table.values():
            row.generation = 1

    def wanted_roles(self) -> list[str]:
        return ["bus", *ROLES]

    def row(self, role: str) -> Process:
        row = Process(role=role, uid=None)
        row.pid, row.state = 100, "ready"
        row.channel = Wire(role, self.journal)  # type: ignore[assignment]
        return row

    def watch(self, _fd: int, reader: Any) -> None:
        self.reader = reader

    def unwatch(self, _fd: int) -> None:
        pass

    def start_role(self, role: str) -> None:
        self.started.append(role)

    def stop_role(self, row: Process) -> None:
        self.stopped.append(row.role)

    # what workers do

    def go(self, outcome: Loaded | None, client: Answers | None = None) -> None:
        FakeLoader.outcome = outcome
        self.reload.request(client)  # type: ignore[arg-type]
        self.reader()

    def all_prepared(self, *but: str) -> None:
        number = self.reload.highest
        for role in ROLES:
            if role not in but:
                self.reload.prepared(self.table[role], number)

    def applies(self, role: str, phase: str) -> None:
        self.table[role].generation = self.reload.current.number
        self.reload.applied(self.table[role], self.reload.current.number, phase)

    def sent(self, kind: type[Message]) -> list[tuple[str, Message]]:
        return [(role, message) for role, message in self.journal if isinstance(message, kind)]


def loaded(roles: tuple[str, ...], **manifest: Any) -> Loaded:
    """Slices that differ from all others, unless ``digests`` says that they do not."""
    values: dict[str, Any] = {"fatal": False, "exit_status": 0, "roles": roles}
    return Loaded(
        manifest=Manifest(**(values | manifest)), slices={role: make_slice(role, b"x") for role in roles}
    )


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Owner:
    monkeypatch.setattr(reload, "Loader", FakeLoader)
    return Owner()


def test_the_order_of_a_commit(owner: Owner) -> None:
    client = Answers()
    owner.go(loaded(ROLES), client)
    assert {role for role, _ in owner.sent(Prepare)} == set(ROLES)
    assert owner.sent(Apply) == []
    assert owner.reload.current.number == 1
    owner.all_prepared()
    assert owner.reload.current.number == 2
    for role, phase in STEPS:
        assert owner.sent(Apply)[-1] == (role, Apply(generation=2, phase=phase))
        owner.applies(role, phase)
    assert len(owner.sent(Apply)) == 4
    assert client.got == [{"ok": True, "generation": 2}]
    assert [step[0] for step in owner.reporter.steps] == ["started", "committed", "applied"]


def test_nothing_is_committed_before_the_last_word(owner: Owner) -> None:
    owner.go(loaded(ROLES))
    owner.all_prepared("vrrp")
    assert owner.reload.current.number == 1
    assert owner.sent(Apply) == []


def test_a_refusal_leaves_the_old_generation_everywhere(owner: Owner) -> None:
    client = Answers()
    owner.go(loaded(ROLES), client)
    owner.reload.prepared(owner.table["ipvs"], 2)
    owner.reload.refused(owner.table["vrrp"], 2, "no such interface")
    assert {role for role, _ in owner.sent(Abort)} == set(ROLES)
    assert owner.reload.current.number == 1
    assert "no such interface" in client.got[0]["error"]
    assert owner.reporter.steps[-1] == ("refused", 2, 1)


def test_a_bad_file_touches_nobody(owner: Owner) -> None:
    client = Answers()
    finding = Finding(severity="error", code="x", place="a:1:2", text="", message="priority 300 is over 254")
    owner.go(loaded((), fatal=True, exit_status=5, findings=(finding,)), client)
    assert owner.journal == []
    assert client.got[0]["errors"] == ["a:1:2: priority 300 is over 254"]


def test_a_loader_that_dies_touches_nobody(owner: Owner) -> None:
    client = Answers()
    owner.go(None, client)
    assert client.got == [], "how it ended is not known yet"
    owner.children[FakeLoader.pid](signal.SIGSEGV)
    assert owner.journal == []
    assert not client.got[0]["ok"]
    assert "killed by SIGSEGV" in client.got[0]["error"]


def test_a_death_while_asked_is_asked_again(owner: Owner) -> None:
    owner.go(loaded(ROLES))
    owner.all_prepared("vrrp")
    FakeLoader.outcome = loaded(ROLES)
    owner.reload.worker_died(owner.table["vrrp"])
    assert owner.reload.current.number == 1
    owner.reader()  # the second attempt's loader
    owner.all_prepared()
    assert owner.reload.current.number == 3


def test_no_answer_in_time_is_an_abort_in_the_end(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Answers()
    owner.go(loaded(ROLES), client)
    for _ in range(4):
        assert client.got == []
        FakeLoader.outcome = loaded(ROLES)
        owner.reload.timers(owner.reload.deadlines()[0])
        if client.got:
            break
        owner.reader()
    assert "no answer from checker, ipvs, vrrp" in client.got[0]["error"]
    assert owner.reload.current.number == 1


def test_three_deaths_while_applying_roll_back(owner: Owner) -> None:
    client = Answers()
    owner.go(loaded(ROLES), client)
    owner.all_prepared()
    owner.applies("checker", "full")
    for _ in range(3):
        owner.reload.worker_died(owner.table["ipvs"])
    assert owner.reload.current.number == 3
    assert ("rolled_back", 2, 3) in owner.reporter.steps
    for role, phase in STEPS:
        owner.applies(role, phase)
    assert client.got[0]["error"] == "rolled back, now generation 3"


def test_a_worker_restarted_meanwhile_has_done_all_phases(owner: Owner) -> None:
    owner.go(loaded(ROLES))
    owner.all_prepared()
    owner.applies("checker", "full")
    owner.reload.worker_died(owner.table["ipvs"])
    owner.applies("ipvs", "full")
    owner.applies("vrrp", "full")
    assert owner.reload.attempt is None


def test_roles_come_and_go_with_the_configuration(owner: Owner) -> None:
    owner.go(loaded(("vrrp",)))
    owner.reload.prepared(owner.table["vrrp"], 2)
    owner.applies("vrrp", "full")
    assert owner.stopped == ["checker", "ipvs"]
    for role in ("checker", "ipvs"):
        owner.table[role].pid, owner.table[role].state = None, "stopped"
    owner.go(loaded(ROLES))
    owner.reload.prepared(owner.table["vrrp"], 3)
    assert owner.started == ["ipvs", "checker"]


def test_requests_meanwhile_become_one_more(owner: Owner) -> None:
    first, second, third = Answers(), Answers(), Answers()
    owner.go(loaded(ROLES), first)
    owner.reload.request(second)  # type: ignore[arg-type]
    owner.reload.request(third)  # type: ignore[arg-type]
    FakeLoader.outcome = loaded(ROLES)
    owner.all_prepared()
    for role, phase in STEPS:
        owner.applies(role, phase)
    assert first.got == [{"ok": True, "generation": 2}]
    owner.reader()
    owner.all_prepared()
    for role, phase in STEPS:
        owner.applies(role, phase)
    assert second.got == third.got == [{"ok": True, "generation": 3}]
    assert owner.reload.attempt is None


def test_slices_are_not_leaked(owner: Owner) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        owner.go(loaded(ROLES))
        owner.all_prepared()
        for role, phase in STEPS:
            owner.applies(role, phase)
        owner.go(loaded(ROLES))
        owner.reload.refused(owner.table["vrrp"], owner.reload.highest, "no")
    assert len(os.listdir("/proc/self/fd")) == before


# --- who has nothing new is left alone ---------------------------------------------------------------


SAME = {"ipvs": "i", "checker": "c", "vrrp": "v"}


def committed(owner: Owner, **digests: str) -> None:
    """The next generation, applied by everyone it concerns."""
    owner.go(loaded(ROLES, digests={**SAME, **digests}))
    owner.all_prepared()
    for role, phase in STEPS:
        owner.applies(role, phase)
    assert owner.reload.attempt is None
    owner.journal.clear()
    owner.reporter.steps.clear()


def test_a_reload_without_a_change_says_nothing_to_any_worker(owner: Owner) -> None:
    committed(owner)
    client = Answers()
    owner.go(loaded(ROLES, digests=dict(SAME)), client)
    assert owner.journal == []
    assert client.got == [{"ok": True, "generation": 3}]
    assert {owner.table[role].generation for role in ROLES} == {3}
    assert ("state vrrp", 3, 0) in owner.reporter.steps
    assert owner.reporter.steps[-1] == ("applied", 3, 3)


def test_a_change_of_servers_is_nothing_to_vrrp(owner: Owner) -> None:
    committed(owner)
    client = Answers()
    owner.go(loaded(ROLES, digests={**SAME, "ipvs": "other"}), client)
    assert owner.journal == [("ipvs", Prepare(generation=3))]
    owner.reload.prepared(owner.table["ipvs"], 3)
    assert owner.table["vrrp"].generation == 3
    for phase in ("additions", "removals"):
        assert owner.journal[-1] == ("ipvs", Apply(generation=3, phase=phase))
        owner.applies("ipvs", phase)
    assert client.got == [{"ok": True, "generation": 3}]


def test_one_that_is_just_being_replaced_is_told_all_the_same(owner: Owner) -> None:
    committed(owner)
    row = owner.table["vrrp"]
    row.state, row.generation, row.incarnation = "starting", 0, row.incarnation + 1
    client = Answers()
    owner.go(loaded(ROLES, digests=dict(SAME)), client)
    assert owner.journal == []  # it is waited for
    row.state, row.generation = "ready", 1  # an older one than the one in force
    owner.reload.worker_ready()
    assert owner.journal == [("vrrp", Prepare(generation=3))]
    owner.reload.prepared(row, 3)
    assert owner.journal[-1] == ("vrrp", Apply(generation=3, phase="full"))
    owner.applies("vrrp", "full")
    assert client.got == [{"ok": True, "generation": 3}]


def test_a_roll_back_concerns_everybody(owner: Owner) -> None:
    committed(owner)
    owner.go(loaded(ROLES, digests={**SAME, "ipvs": "other"}))
    owner.reload.prepared(owner.table["ipvs"], 3)
    owner.journal.clear()
    owner.reload.failed(owner.table["ipvs"], 3, "no")
    assert {role for role, _ in owner.sent(Prepare)} == set(ROLES)
    for role, phase in STEPS:
        owner.applies(role, phase)
    assert owner.reload.attempt is None
    owner.journal.clear()
    owner.go(loaded(ROLES, digests=dict(SAME)))  # the content of before the roll-back: nothing new
    assert owner.journal == []
