"""Who is told of what when a decision follows on another one, in keepalived's order."""

from __future__ import annotations

from bus.messages import QuorumChanged
from ipvs_proc import report
from ipvs_proc.changes import Changes, changes
from ipvs_proc.desired import Decision, Memory, desired
from keepalived_conf.model import IpvsSlice
from tests.unit.ipvs.builders import VS, config, real, virtual

A, B = "[10.0.0.1]:80", "[10.0.0.2]:80"
TWO = config(virtual(real(1, "a"), real(2, "b")))
ALPHA = config(virtual(real(1, "a", alpha=True), real(2, "b", alpha=True)))


class Worker:
    """Decides, and remembers what it told."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.decision: Decision | None = None

    def settle(self, config_: IpvsSlice, health: dict[str, bool | None]) -> Changes:
        now = desired(config_, health, self.memory)
        found = changes(config_, self.memory, self.decision, now)
        self.memory, self.decision = now.memory, now
        return found

    def told(self, config_: IpvsSlice, health: dict[str, bool | None]) -> list[str]:
        return lines(self.settle(config_, health))


def lines(found: Changes) -> list[str]:
    told = [f"{id_.real_server} left" for id_ in found.servers_left]
    told += [f"{key} left" for key in found.services_left]
    told += [f"{verdict.virtual_server} begins" for verdict in found.started]
    for verdict in found.servers:
        if verdict.id in found.turned:
            told.append(f"{verdict.id.real_server} {'up' if verdict.up else 'down'}")
        else:
            told.append(f"{verdict.id.real_server} weight {verdict.weight}")
    return told + [f"{v.virtual_server} {'up' if v.quorum_up else 'down'}" for v in found.quorums]


def test_a_new_service_begins_with_its_quorum_and_its_servers_are_not_told_of() -> None:
    worker = Worker()
    assert worker.told(TWO, {}) == [f"{VS} begins"]
    assert worker.told(TWO, {"a": True, "b": None}) == []


def test_what_checks_found_before_the_first_decision_comes_after_the_beginning() -> None:
    assert not Worker().settle(TWO, {"a": False, "b": False}).confirmed
    assert Worker().told(TWO, {"a": False, "b": False}) == [
        f"{VS} begins",
        f"{A} down",
        f"{B} down",
        f"{VS} down",
    ]


def test_with_alpha_the_first_word_of_each_server_is_told_also_a_bad_one() -> None:
    worker = Worker()
    assert worker.told(ALPHA, {}) == []
    found = worker.settle(ALPHA, {"a": False, "b": None})
    assert lines(found) == [f"{A} down"]
    assert found.confirmed == found.turned
    assert worker.told(ALPHA, {"a": False, "b": True}) == [f"{B} up", f"{VS} up"]
    assert Worker().told(ALPHA, {"a": True, "b": False}) == [f"{A} up", f"{B} down", f"{VS} up"]


def test_bad_news_is_told_once_whatever_is_forgotten_meanwhile() -> None:
    worker = Worker()
    worker.told(ALPHA, {})
    assert worker.told(ALPHA, {"a": False}) == [f"{A} down"]
    assert worker.told(ALPHA, {}) == []  # the bus is new
    assert worker.told(ALPHA, {"a": False}) == []
    successor = Worker(worker.memory)
    assert successor.told(ALPHA, {}) == []
    assert successor.told(ALPHA, {"a": False}) == []


def test_a_weight_is_a_change_of_another_kind() -> None:
    worker = Worker()
    worker.told(TWO, {})
    heavier = config(virtual(real(1, "a", weight=3), real(2, "b")))
    assert worker.told(heavier, {}) == [f"{A} weight 3"]


def test_what_was_up_and_is_not_configured_any_more_goes_down() -> None:
    worker = Worker()
    worker.told(TWO, {"a": True, "b": False})
    assert worker.told(config(virtual(real(2, "b"))), {"b": False}) == [f"{A} left", f"{VS} down"]
    assert worker.told(config(), {}) == []
    worker.told(TWO, {"a": True, "b": False})
    assert worker.told(config(), {}) == [f"{A} left", f"{VS} left"]


def test_a_server_that_is_added_is_told_of_when_it_goes_down() -> None:
    worker = Worker()
    worker.told(config(virtual(real(2, "b"))), {"b": False})
    assert worker.told(TWO, {"b": False}) == [f"{VS} up"]
    assert worker.told(TWO, {"a": False, "b": False}) == [f"{A} down", f"{VS} down"]


def test_last_words_are_for_omega_and_for_what_is_up() -> None:
    slice_ = config(
        virtual(real(1, "a"), real(2, "b"), omega=True),
        virtual(real(1, "a"), port=81),
        virtual(real(2, "b"), port=82, omega=True),
    )
    decision = desired(slice_, {"a": True, "b": False}, Memory())

    def words(mode: str) -> list[str]:
        return [
            f"{word.virtual_server} {'quorum' if isinstance(word, QuorumChanged) else word.real_server}"
            for word in report.last_words(slice_, decision, mode)
        ]

    assert words("no") == [f"{VS} {A}", f"{VS} quorum"]
    assert words("VS") == words("all") == [f"{VS} quorum"]
