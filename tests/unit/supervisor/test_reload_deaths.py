"""A worker that dies in the middle of a reload: its successor ends with what was committed, at once."""

from __future__ import annotations

import pytest

from supervisor import policy, reload
from tests.unit.supervisor.test_reload import ROLES, Answers, FakeLoader, Owner, loaded
from worker.control import Apply, Prepare


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Owner:
    monkeypatch.setattr(reload, "Loader", FakeLoader)
    return Owner()


def dies_and_starts(owner: Owner, role: str) -> None:
    """What the supervisor makes of a death: a successor that starts with the generation in force."""
    row = owner.table[role]
    owner.reload.worker_died(row)
    row.incarnation, row.state, row.generation = row.incarnation + 1, "starting", 0


def is_ready(owner: Owner, role: str, generation: int) -> None:
    """The successor has applied what it was started with."""
    row = owner.table[role]
    row.generation = generation
    owner.reload.applied(row, generation, "full")
    row.state = "ready"
    owner.reload.worker_ready()


def told(owner: Owner, role: str) -> list[Prepare | Apply]:
    return [message for who, message in owner.journal if who == role and isinstance(message, Prepare | Apply)]


def the_rest_applies(owner: Owner) -> None:
    for role, phase in policy.APPLY_ORDER:
        owner.applies(role, phase)


def test_one_that_dies_after_it_agreed(owner: Owner) -> None:
    client = Answers()
    owner.go(loaded(ROLES), client)
    owner.all_prepared("vrrp")
    dies_and_starts(owner, "ipvs")
    owner.journal.clear()
    owner.reload.prepared(owner.table["vrrp"], 2)
    assert owner.reload.current.number == 2
    assert told(owner, "ipvs") == [Prepare(generation=2)]
    owner.applies("checker", "full")
    assert told(owner, "ipvs") == [Prepare(generation=2)], "it has not even applied what it started with"
    is_ready(owner, "ipvs", 1)
    assert told(owner, "ipvs") == [Prepare(generation=2), Apply(generation=2, phase="additions")]
    the_rest_applies(owner)
    assert client.got == [{"ok": True, "generation": 2}]


def test_one_that_is_back_before_the_commit(owner: Owner) -> None:
    client = Answers()
    owner.go(loaded(ROLES), client)
    owner.all_prepared("vrrp")
    dies_and_starts(owner, "checker")
    is_ready(owner, "checker", 1)
    owner.journal.clear()
    owner.reload.prepared(owner.table["vrrp"], 2)
    assert told(owner, "checker") == [Prepare(generation=2), Apply(generation=2, phase="full")]
    the_rest_applies(owner)
    assert client.got == [{"ok": True, "generation": 2}]


def test_one_that_starts_after_the_commit_is_told_nothing(owner: Owner) -> None:
    owner.go(loaded(ROLES))
    owner.all_prepared()
    dies_and_starts(owner, "ipvs")
    owner.journal.clear()
    owner.applies("checker", "full")
    row = owner.table["ipvs"]
    row.state = "ready"
    owner.reload.worker_ready()  # in whichever order it says so
    is_ready(owner, "ipvs", 2)
    assert told(owner, "ipvs") == []
    owner.applies("vrrp", "full")
    assert owner.reload.attempt is None


def test_nobody_is_told_twice(owner: Owner) -> None:
    owner.go(loaded(ROLES))
    owner.all_prepared()
    for _ in range(3):
        owner.reload.worker_ready()
    assert told(owner, "checker").count(Apply(generation=2, phase="full")) == 1


def test_a_roll_back_reaches_one_that_is_starting(owner: Owner) -> None:
    client = Answers()
    owner.go(loaded(ROLES), client)
    owner.all_prepared()
    dies_and_starts(owner, "checker")
    owner.reload.failed(owner.table["vrrp"], 2, "no")
    assert owner.reload.current.number == 3
    owner.journal.clear()
    is_ready(owner, "checker", 2)  # it was started with the one that failed
    assert told(owner, "checker") == [Apply(generation=3, phase="full")]
    the_rest_applies(owner)
    assert client.got[0]["error"] == "rolled back, now generation 3"
