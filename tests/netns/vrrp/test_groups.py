"""A sync group of an IPv4 and an IPv6 router on two nodes: they move together, on the wire and on the bus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bus.envelope import Change
from bus.messages import VrrpGroupState, VrrpGroupTransition, VrrpInstanceState, VrrpTransition
from keepalived_conf.model import SyncGroup, TrackRef, VrrpInstance
from tests.lab import Lab
from tests.lab.system import wait_until
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import Worker, instance
from tests.netns.vrrp.test_bus import Ingress
from worker.control import Applied

V4, V6 = "192.0.2.100", "fd00:100::1:51"
GROUP = SyncGroup(name="VG", members=("V4", "V6"))


@pytest.fixture
def ingress(lab: Lab) -> Iterator[Ingress]:
    made = Ingress(f"ipc://{lab.dir}/in.vrrp")
    yield made
    made.close()


def pair(priority: int, **of_v4: Any) -> tuple[VrrpInstance, VrrpInstance]:
    """V4 follows the interface ``d0``, V6 nothing but its own."""
    tracked = {"track_interface": (TrackRef(name="d0", weight=0, reverse=False),)}
    return (
        instance("V4", priority=priority, advert_int_cs=20, **(tracked | of_v4)),
        instance(
            "V6",
            priority=priority,
            advert_int_cs=20,
            virtual_router_id=52,
            addresses=("fe80::5e:52/64", f"{V6}/64"),
        ),
    )


def grouped(made: Worker, *groups: SyncGroup) -> Worker:
    made.slice = replace(made.slice, sync_groups=groups or (GROUP,))
    return made


def held(lab: Lab, node: str) -> set[str]:
    return {V4, V6} & lab.addresses(node)


def has_both(lab: Lab, node: str, other: str | None = None) -> None:
    wait_until(lambda: held(lab, node) == {V4, V6}, 15, f"{node} has both addresses")
    if other is not None:
        wait_until(lambda: not held(lab, other), 5, f"{other} has none")


@pytest.fixture
def two(lab: Lab, worker: MakeWorker) -> tuple[Worker, Worker]:
    """Both nodes up, n1 master of both."""
    for node in ("n1", "n2"):
        lab.ip(node, "link", "add", "d0", "type", "veth", "peer", "name", "d1")
        for dev in ("d0", "d1"):
            lab.ip(node, "link", "set", dev, "up")
    better = grouped(worker("n1", *pair(150))).start()
    has_both(lab, "n1")
    other = grouped(worker("n2", *pair(100))).start()
    time.sleep(0.8)
    assert held(lab, "n2") == set()
    return better, other


def test_a_fault_of_one_moves_both_and_both_come_back(lab: Lab, two: tuple[Worker, Worker]) -> None:
    better, other = two
    lab.ip("n1", "link", "set", "d0", "down")
    has_both(lab, "n2", "n1")
    assert better.log().count('"to": "FAULT"') == 3  # the group and its two members
    lab.ip("n1", "link", "set", "d0", "up")
    has_both(lab, "n1", "n2")
    assert '"to": "FAULT"' not in other.log()


def test_a_better_master_of_one_takes_none(lab: Lab, two: tuple[Worker, Worker]) -> None:
    """n2 outranks n1 on IPv4 only: its IPv6 half never wants to be master."""
    better, other = two
    before = better.log().count("vrrp.transition")
    v4, v6 = pair(100)
    other.slice = replace(other.slice, instances=(replace(v4, priority=200), v6))
    other.generation += 1
    other._configure()
    other.await_message(Applied, lambda m: m.generation == other.generation)
    time.sleep(2)
    assert held(lab, "n1") == {V4, V6}
    assert held(lab, "n2") == set()
    assert better.log().count("vrrp.transition") == before


def test_a_killed_worker_moves_nothing(lab: Lab, two: tuple[Worker, Worker]) -> None:
    better, other = two
    watch = lab.address_watch("n1")
    before = better.log().count('"to": ')
    for made in (better, other, better):
        made.kill()
        made.start()
        time.sleep(0.5)
    time.sleep(0.5)
    assert watch.take() == []
    assert better.log().count('"to": ') == before
    assert held(lab, "n2") == set()


def test_a_worker_killed_in_a_shared_fault_moves_nothing(lab: Lab, two: tuple[Worker, Worker]) -> None:
    better, _other = two
    lab.ip("n1", "link", "set", "d0", "down")
    has_both(lab, "n2", "n1")
    before = better.log().count('"to": ')
    better.kill()
    better.start()
    time.sleep(1)
    assert better.log().count('"to": ') == before
    lab.ip("n1", "link", "set", "d0", "up")
    has_both(lab, "n1", "n2")


def test_a_tracker_of_the_group_changes_every_member(lab: Lab, worker: MakeWorker) -> None:
    lab.ip("n1", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
    for dev in ("d0", "d1"):
        lab.ip("n1", "link", "set", dev, "up")
    follows_d0 = replace(GROUP, track_interface=(TrackRef(name="d0", weight=20, reverse=False),))
    grouped(worker("n1", *pair(100, track_interface=())), follows_d0).start()
    grouped(worker("n2", *pair(110, track_interface=()))).start()
    has_both(lab, "n1", "n2")  # 120 against 110
    lab.ip("n1", "link", "set", "d0", "down")
    has_both(lab, "n2", "n1")  # 100
    lab.ip("n1", "link", "set", "d0", "up")
    has_both(lab, "n1", "n2")


def test_a_stop_hands_both_over(lab: Lab, two: tuple[Worker, Worker]) -> None:
    better, _other = two
    better.stop()
    has_both(lab, "n2", "n1")


def test_a_member_that_a_reload_adds_comes_along(lab: Lab, two: tuple[Worker, Worker]) -> None:
    better, _other = two
    watch = lab.address_watch("n1")
    v4, v6 = pair(150)
    third = instance(
        "V4b", priority=150, advert_int_cs=20, virtual_router_id=53, addresses=("192.0.2.103/24",)
    )
    better.slice = replace(
        better.slice,
        instances=(v4, v6, third),
        sync_groups=(replace(GROUP, members=("V4", "V6", "V4b")),),
    )
    better.generation += 1
    better._configure()
    wait_until(lambda: "192.0.2.103" in lab.addresses("n1"), 5, "the new member is master with the others")
    time.sleep(0.3)
    assert not [event for event in watch.take() if V4 in str(event) or V6 in str(event)]


def test_the_group_is_told_before_its_members_and_counted_over_a_restart(
    lab: Lab, worker: MakeWorker, ingress: Ingress
) -> None:
    first, second = pair(100)
    made = grouped(worker("n1", replace(first, track_interface=()), second)).start()
    said = [e.message for e in ingress.listen(3) if isinstance(e, Change)]
    told = [m for m in said if isinstance(m, VrrpGroupTransition | VrrpTransition)]
    assert [_short(m) for m in told] == [
        "VG BACKUP 1", "V4 BACKUP 1", "V6 BACKUP 1", "VG MASTER 2", "V4 MASTER 2", "V6 MASTER 2",
    ]  # fmt: skip
    state = [m for m in said if isinstance(m, VrrpGroupState)][-1]
    assert (state.state, state.transitions, state.members) == ("MASTER", 2, ("V4", "V6"))
    assert state.decided_by in ("V4", "V6")
    assert {m.group for m in said if isinstance(m, VrrpInstanceState)} == {"VG"}
    made.kill()
    ingress.heard.clear()
    made.start()
    said = [e.message for e in ingress.listen(2) if isinstance(e, Change)]
    assert not [m for m in said if isinstance(m, VrrpGroupTransition | VrrpTransition)]
    state = [m for m in said if isinstance(m, VrrpGroupState)][-1]
    assert (state.state, state.transitions, state.cause.trigger) == ("MASTER", 2, "resume")
    ingress.heard.clear()
    made.stop()
    said = [e.message for e in ingress.listen(1) if isinstance(e, Change)]
    told = [m for m in said if isinstance(m, VrrpGroupTransition | VrrpTransition)]
    assert [_short(m) for m in told] == ["VG INIT 3", "V4 INIT 3", "V6 INIT 3"]


def _short(said: VrrpGroupTransition | VrrpTransition) -> str:
    name = said.group if isinstance(said, VrrpGroupTransition) else said.instance
    return f"{name} {said.to_state} {said.number}"
