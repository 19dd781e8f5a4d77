"""The keeper against the fake kernel: adoption, health, drift, reload in two phases, stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from ipvs_proc.changes import Changes
from ipvs_proc.desired import Memory
from ipvs_proc.keeper import Keeper
from ipvs_proc.ledger import Entries
from ipvs_proc.model import Service
from ipvs_proc.port import FakeIpvs, IpvsError, IpvsPort, IpvsUnavailableError
from ipvs_proc.reconcile import (
    AddDestination,
    AddService,
    EditDestination,
    Operation,
    RemoveDestination,
    RemoveService,
)
from keepalived_conf.model import IpvsSlice
from tests.unit.ipvs.builders import (
    VS,
    config,
    destination,
    entry,
    key,
    real,
    service,
    table,
    virtual,
    weights,
)

TWO = config(virtual(real(1, "a"), real(2, "b")))
FOREIGN = entry(service(key("192.0.2.99", 443)), destination("10.9.9.9", 443))


@dataclass
class Book:
    """A ledger in memory."""

    entries: Entries = field(default_factory=Entries)

    def write(self, entries: Entries) -> bool:
        self.entries = entries
        return True


@dataclass
class Rig:
    """A kernel, a ledger and keepers that come and go."""

    kernel: FakeIpvs = field(default_factory=FakeIpvs)
    book: Book = field(default_factory=Book)

    def open(self) -> IpvsPort:
        self.kernel.info()
        return self.kernel

    def keeper(self, *, flush_first: bool = False) -> Keeper:
        return Keeper(open_port=self.open, ledger=self.book, flush_first=flush_first)

    def started(self, slice_: IpvsSlice = TWO, health: dict[str, bool | None] | None = None) -> Keeper:
        keeper = self.keeper()
        keeper.health = health or {}
        keeper.configure(slice_, "full")
        self.kernel.performed.clear()
        return keeper

    def servers(self) -> dict[str, int]:
        return weights(self.kernel.table[key()])


@pytest.fixture
def rig() -> Rig:
    return Rig()


def kinds(operations: tuple[Operation, ...] | list[Operation]) -> list[type[Operation]]:
    return [type(op) for op in operations]


def test_what_is_about_to_be_made_is_in_the_ledger_before(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(operations: Sequence[Operation]) -> list[IpvsError | None]:
        raise KeyboardInterrupt

    monkeypatch.setattr(rig.kernel, "perform", killed)
    with pytest.raises(KeyboardInterrupt):
        rig.keeper().configure(TWO, "full")
    assert rig.book.entries.owned == {key()}


def test_a_start_that_is_refused_says_why_and_comes_right_later(rig: Rig) -> None:
    keeper = rig.keeper()
    rig.kernel.refuse = {"wlc"}
    outcome = keeper.configure(TWO, "full")
    (error,) = outcome.refused
    assert str(error) == (
        "cannot add service [192.0.2.1]:tcp:80 (wlc): "
        "the kernel does not know scheduler 'wlc' (modprobe ip_vs_wlc)"
    )
    rig.kernel.refuse = set()
    keeper.settle()
    assert rig.servers() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}


def test_a_restart_changes_nothing(rig: Rig) -> None:
    rig.started(health={"a": False, "b": True})
    assert rig.servers() == {"10.0.0.2:80": 1}
    again = rig.keeper()
    outcome = again.configure(TWO, "full")  # nothing known of health: held
    assert (outcome.done, outcome.changes.servers, outcome.changes.quorums) == ((), (), ())
    assert rig.kernel.performed == []


def test_a_restart_without_ledger_changes_nothing_either(rig: Rig) -> None:
    rig.started(health={"a": False, "b": True})
    rig.book = Book()
    assert rig.keeper().configure(TWO, "full").done == ()
    assert rig.servers() == {"10.0.0.2:80": 1}


def test_what_changed_while_nobody_looked_is_told(rig: Rig) -> None:
    rig.started(health={"a": True, "b": True})
    again = rig.keeper()
    again.health = {"a": False, "b": True}
    outcome = again.configure(TWO, "full")
    assert [(v.id.real_server, v.up) for v in outcome.changes.servers] == [("[10.0.0.1]:80", False)]


def test_a_dead_server_leaves_and_comes_back(rig: Rig) -> None:
    keeper = rig.started()
    keeper.health = {"a": False, "b": True}
    outcome = keeper.settle()
    assert kinds(outcome.done) == [RemoveDestination]
    (verdict,) = outcome.changes.servers
    assert (verdict.id.real_server, verdict.up, verdict.reason) == (
        "[10.0.0.1]:80",
        False,
        "down by TCP_CHECK",
    )
    assert outcome.changes.quorums == ()
    keeper.health = {"a": True, "b": True}
    outcome = keeper.settle()
    assert kinds(outcome.done) == [AddDestination]
    assert [v.up for v in outcome.changes.servers] == [True]
    assert keeper.settle().changes.servers == ()


def test_quorum_is_told_with_the_sorry_server(rig: Rig) -> None:
    keeper = rig.started(config(virtual(real(1, "a"), sorry_server=real(9))))
    keeper.health = {"a": False}
    outcome = keeper.settle()
    assert kinds(outcome.done) == [AddDestination, RemoveDestination]
    assert [(q.virtual_server, q.quorum_up, q.sorry_active) for q in outcome.changes.quorums] == [
        (VS, False, True)
    ]
    assert rig.servers() == {"10.0.0.9:80": 1}


class TestDrift:
    def test_foreign_changes_are_repaired_and_counted(self, rig: Rig) -> None:
        keeper = rig.started()
        rig.kernel.perform(
            [
                EditDestination(
                    service=key(),
                    destination=destination("10.0.0.1", weight=77),
                    was=destination("10.0.0.1"),
                ),
                RemoveDestination(service=key(), key=destination("10.0.0.2").key),
                AddDestination(service=key(), destination=destination("10.6.6.6")),
            ]
        )
        outcome = keeper.verify(rig.kernel.table)
        assert len(outcome.repaired) == 3
        assert keeper.repairs == 3
        assert rig.servers() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}
        assert keeper.verify(rig.kernel.table).done == ()

    def test_a_cleared_table_is_filled_again(self, rig: Rig) -> None:
        keeper = rig.started()
        rig.kernel.flush()
        assert len(keeper.verify(rig.kernel.table).repaired) == 3
        assert rig.servers() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}

    def test_foreign_services_are_left_alone(self, rig: Rig) -> None:
        rig.kernel.table = table(FOREIGN)
        keeper = rig.started()
        keeper.verify(rig.kernel.table)
        keeper.configure(config(), "full")
        assert rig.kernel.table == table(FOREIGN)
        keeper.release("no")
        assert rig.kernel.table == table(FOREIGN)

    def test_change_between_two_looks_is_met_by_looking(self, rig: Rig) -> None:
        keeper = rig.started()
        rig.kernel.flush()
        keeper.health = {"a": False}
        outcome = keeper.settle()  # removing a server of a service that is gone
        assert outcome.refused == ()
        assert rig.servers() == {"10.0.0.2:80": 1}


class TestReload:
    def test_a_service_of_ours_that_left_is_removed(self, rig: Rig) -> None:
        keeper = rig.started(config(virtual(real(1)), virtual(real(1), port=443)))
        outcome = keeper.configure(TWO, "full")
        assert RemoveService(key=key(port=443)) in outcome.done
        assert set(rig.kernel.table) == {key()}
        assert rig.book.entries.owned == {key()}

    def test_one_that_left_while_nobody_ran_is_removed_too(self, rig: Rig) -> None:
        rig.started(config(virtual(real(1)), virtual(real(1), port=443)))
        rig.keeper().configure(TWO, "full")
        assert set(rig.kernel.table) == {key()}

    def test_removals_wait_for_their_phase(self, rig: Rig) -> None:
        old = config(virtual(real(1, "a"), real(2, "b")), virtual(real(1), port=443))
        new = config(virtual(real(2, "b"), real(3, "c")), virtual(real(1), port=8080))
        keeper = rig.started(old)
        keeper.configure(new, "additions")
        assert set(rig.kernel.table) == {key(), key(port=443), key(port=8080)}
        assert set(rig.servers()) == {"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}
        keeper.health = {"b": False}  # a dead server does not wait
        keeper.settle()
        assert set(rig.servers()) == {"10.0.0.1:80", "10.0.0.3:80"}
        keeper.configure(new, "removals")
        assert set(rig.kernel.table) == {key(), key(port=8080)}
        assert set(rig.servers()) == {"10.0.0.3:80"}

    def test_same_configuration_again_does_nothing(self, rig: Rig) -> None:
        keeper = rig.started(health={"a": False})
        for phase in ("full", "additions", "removals"):
            assert keeper.configure(TWO, phase).done == ()


class TestRefusals:
    def test_are_told_once_and_tried_again(self, rig: Rig) -> None:
        rig.kernel.refuse = {"wlc"}
        keeper = rig.keeper()
        assert len(keeper.configure(TWO, "full").refused) == 1
        assert keeper.refusals[key(), None].startswith("cannot add service")
        assert keeper.verify(rig.kernel.table).refused == ()
        rig.kernel.refuse = set()
        outcome = keeper.verify(rig.kernel.table)
        assert kinds(outcome.done) == [AddService, AddDestination, AddDestination]
        assert outcome.repaired == ()
        assert keeper.refusals == {}

    def test_one_service_does_not_hold_up_another(self, rig: Rig) -> None:
        rig.kernel.refuse = {"mh"}
        keeper = rig.keeper()
        keeper.configure(config(virtual(real(1), port=443, scheduler="mh"), virtual(real(1))), "full")
        assert rig.servers() == {"10.0.0.1:80": 1}

    def test_a_refused_server_is_named(self, rig: Rig) -> None:
        keeper = rig.keeper()
        outcome = keeper.configure(config(virtual(real(1, lthreshold=5), real(2))), "full")
        (error,) = outcome.refused
        assert "10.0.0.1" in str(error)
        assert "lthreshold" in str(error)
        assert rig.servers() == {"10.0.0.2:80": 1}


class TestUnavailable:
    def test_says_why_and_comes_up_later(self, rig: Rig) -> None:
        rig.kernel.available = False
        keeper = rig.keeper()
        outcome = keeper.configure(TWO, "full")
        assert not outcome.available
        assert keeper.unavailable == "this fake kernel has no IPVS"
        keeper.health = {"a": False, "b": True}
        assert [v.up for v in keeper.settle().changes.servers] == [False]  # decided and told all the same
        rig.kernel.available = True
        assert keeper.settle().available
        assert keeper.unavailable == ""
        assert rig.servers() == {"10.0.0.2:80": 1}

    def test_module_unloaded_under_us(self, rig: Rig) -> None:
        keeper = rig.started()
        rig.kernel.available = False
        rig.kernel.table = {}
        keeper.health = {"a": False}
        assert not keeper.settle().available
        assert keeper.believed == {}
        rig.kernel.available = True
        keeper.settle()
        assert rig.servers() == {"10.0.0.2:80": 1}


class TestFlush:
    def test_lvs_flush_is_for_the_first_start_only(self, rig: Rig) -> None:
        rig.kernel.table = table(FOREIGN)
        slice_ = config(virtual(real(1)), lvs_flush=True)
        assert rig.keeper().configure(slice_, "full").flushed is False  # a restarted worker
        assert FOREIGN.service.key in rig.kernel.table
        keeper = rig.keeper(flush_first=True)
        assert keeper.configure(slice_, "full").flushed is True
        assert set(rig.kernel.table) == {key()}
        rig.kernel.table[FOREIGN.service.key] = FOREIGN
        assert keeper.configure(slice_, "full").flushed is False
        assert rig.kernel.flushed == 1

    def test_without_lvs_flush_nothing_is(self, rig: Rig) -> None:
        rig.kernel.table = table(FOREIGN)
        rig.keeper(flush_first=True).configure(TWO, "full")
        assert FOREIGN.service.key in rig.kernel.table


class TestRelease:
    def test_one_by_one(self, rig: Rig) -> None:
        rig.kernel.table = table(FOREIGN)
        keeper = rig.started()
        outcome = keeper.release("no")
        assert kinds(outcome.done) == [RemoveDestination, RemoveDestination, RemoveService]
        assert rig.kernel.table == table(FOREIGN)
        assert rig.book.entries.owned == frozenset()

    def test_the_next_start_is_a_fresh_one(self, rig: Rig) -> None:
        keeper = rig.started(health={"a": False, "b": True})
        keeper.release("no")
        assert rig.book.entries == Entries()
        rig.started()
        assert rig.servers() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}

    def test_whole_services(self, rig: Rig) -> None:
        rig.kernel.table = table(FOREIGN)
        assert kinds(rig.started().release("VS").done) == [RemoveService]
        assert rig.kernel.table == table(FOREIGN)

    def test_everything(self, rig: Rig) -> None:
        rig.kernel.table = table(FOREIGN)
        assert rig.started().release("all").flushed
        assert rig.kernel.table == {}

    def test_without_ipvs(self, rig: Rig) -> None:
        rig.kernel.available = False
        keeper = rig.started()
        assert not keeper.release("no").available


def test_opening_that_fails_half_way_is_closed(rig: Rig) -> None:
    closed = []

    class Half(FakeIpvs):
        def services(self) -> list[Service]:
            raise IpvsUnavailableError("gone again")

        def close(self) -> None:
            closed.append(True)

    keeper = Keeper(open_port=Half, ledger=rig.book)
    assert not keeper.configure(TWO, "full").available
    assert keeper.unavailable == "gone again"
    assert closed == [True]


def test_a_daemon_that_is_started_anew_tells_again_how_its_services_begin(rig: Rig) -> None:
    rig.started(health={"a": True, "b": False})
    successor, anew = rig.keeper(), rig.keeper(flush_first=True)
    for keeper in (successor, anew):
        keeper.health = {"a": True, "b": False}
    assert successor.configure(TWO, "full").changes == Changes()
    changes = anew.configure(TWO, "full").changes
    assert [verdict.virtual_server for verdict in changes.started] == [VS]
    assert [(verdict.id.real_server, verdict.up) for verdict in changes.servers] == [("[10.0.0.2]:80", False)]


def test_memory_is_in_the_ledger(rig: Rig) -> None:
    rig.started(health={"a": False, "b": True})
    memory = rig.book.entries.memory
    assert memory == Memory(checks={"a": False, "b": True}, servers=memory.servers, quorums={VS: True})
    assert {id_.real_server: up for id_, up in memory.servers.items()} == {
        "[10.0.0.1]:80": False,
        "[10.0.0.2]:80": True,
    }
