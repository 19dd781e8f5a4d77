"""Who leaves on purpose serves until its successor speaks: what clients, the wire and the addresses show."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest

from keepalived_conf.model import GlobalDefs, SyncGroup, VrrpInstance, VrrpSlice
from tests.lab import Lab, conf
from tests.lab.probes import longest_send_gap_s, outage_s
from tests.lab.system import wait_until
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import Worker, instance
from worker.clock import boottime
from worker.control import Answered, Held, Resume, StepDown, Stop, Unheld

VIP = "10.100.1.1"
EVERY_S = 0.002
STALLED_S = 0.02
"""A client that was itself held up for so long has seen a stalled host: the round does not count."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(("n1", "n2", "c"), ipv6=True) as made:
        yield made


@pytest.fixture
def worker(worker: MakeWorker) -> MakeWorker:
    """With the hand-over at a stop too, unless a test says otherwise."""

    def make(node: str, *instances: VrrpInstance, **globals_: Any) -> Worker:
        return worker(node, *instances, **({"handover": GlobalDefs().handover} | globals_))

    return make


def router(**given: Any) -> VrrpInstance:
    values: dict[str, Any] = {"addresses": (f"{VIP}/16",), "advert_int_cs": 20}
    return instance(**(values | given))


def holds(lab: Lab, node: str) -> bool:
    return VIP in lab.addresses(node)


def _master(made: Worker, lab: Lab) -> Worker:
    made.start()
    wait_until(lambda: holds(lab, made.node), 10, "master with its address")
    return made


def ask(made: Worker, message: StepDown | Resume, timeout_s: float = 10.0) -> Answered:
    assert made.channel is not None
    made.channel.send(message)
    return made.await_message(Answered, lambda m: m.request == message.request, timeout_s)


STRICT = "PYKEEPALIVED_TEST_HANDOVERS" in os.environ
"""The host is quiet: judge by the figures that are promised."""
COUNT = int(os.environ.get("PYKEEPALIVED_TEST_HANDOVERS", "3"))
"""Hand-overs that a client must have seen, those in which this host stalled not counted."""


def step_down(made: Worker, number: int = 1, *, name: str = "VI", until_at: float = 0.0) -> Answered:
    return ask(made, StepDown(name=name, reason="kernel update", until_at=until_at, request=number))


# --- what clients see -----------------------------------------------------------------------------------


@pytest.mark.parametrize("heir", [1, 100, 254])
def test_a_client_notices_nothing(lab: Lab, worker: MakeWorker, heir: int) -> None:
    """The successor needs up to a skew of 200 ms; the client does not notice."""
    wire = lab.observer()
    second = _master(worker("n1", router(priority=heir, state="BACKUP")), lab)
    lost: list[float] = []
    both: list[float] = []
    for _round in range(3 * COUNT):
        leaver = worker("n2", router(priority=min(254, heir + 50)))
        if heir == 254:  # of two equals the one that is there first stays
            second.stop()
            _master(leaver, lab)
            second = worker("n1", router(priority=heir)).start()
            time.sleep(0.3)
        else:
            leaver.start()
            wait_until(lambda: holds(lab, "n2") and not holds(lab, "n1"), 10, "preempted")
        time.sleep(0.3)
        client = lab.probe("c", "icmp", VIP, EVERY_S, 0.4)
        asker = lab.probe("c", "arp", VIP, EVERY_S, 0.4)
        client.await_answer(10)
        asker.await_answer(10)
        since = time.time()
        leaver.stop()
        wait_until(lambda: holds(lab, "n1"), 5, "taken over")
        time.sleep(0.1)
        answers, arps = client.stop(), [a for a in asker.stop() if a.ok]
        if longest_send_gap_s(a for a in answers if a.sent_at > since) > STALLED_S:
            continue
        lost.append(outage_s(answers, EVERY_S))
        of_n2 = [a.answered_at or 0.0 for a in arps if a.who == lab.mac("n2")]
        of_n1 = [a.answered_at or 0.0 for a in arps if a.who == lab.mac("n1")]
        both.append(max(0.0, max(of_n2) - min(of_n1)))
        assert len(wire.adverts(since, active=False)) == 1
        if len(lost) >= COUNT:
            break
    print(f"priority {heir}: lost {[round(s * 1000, 1) for s in lost]} ms, both {both}")
    assert len(lost) == COUNT, "the host stalled all the time"
    if STRICT:
        assert statistics.median(lost) < 0.010
        assert statistics.median(both) < 0.002
    # On a host that does other things as well; in the RFC's order it would be the skew, up to 200 ms.
    assert statistics.median(lost) < 0.05
    assert statistics.median(both) < 0.02


def test_the_address_goes_with_the_first_advert_of_the_successor(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = _master(worker("n2", router(priority=150)), lab)
    worker("n1", router(priority=100)).start()
    time.sleep(0.5)
    since = time.time()
    made.stop()
    zero = wire.await_advert(2, since, active=False)
    heir = wire.await_advert(2, zero.at, src=lab.address("n1"), active=True)
    assert heir.at - zero.at > 0.9 * conf.skew_s(100, 0.2)
    assert not holds(lab, "n2")
    assert made.box.armed() == []
    assert f'"successor": "{lab.address("n1")}"' in made.log()
    assert [a.priority for a in wire.adverts(zero.at, src=lab.address("n2"))] == [0]


# --- how long ----------------------------------------------------------------------------------------------


def test_alone_it_serves_for_a_skew_and_an_interval_and_says_what_it_waited_for(
    lab: Lab, worker: MakeWorker
) -> None:
    made = _master(worker("n1", router(advert_int_cs=50)), lab)
    began = time.monotonic()
    assert made.channel is not None
    made.channel.send(Stop())
    time.sleep(0.5)
    assert holds(lab, "n1")
    made._reap(began, 5)
    took_s = time.monotonic() - began
    assert 0.95 < took_s < 1.6  # skew of priority 1 (0.498 s) and 0.5 s
    assert not holds(lab, "n1")
    assert '"event": "vrrp.leaving"' in made.log()
    assert "nobody took over in time" in made.log()


def test_a_stop_is_over_before_the_supervisor_kills(lab: Lab, worker: MakeWorker) -> None:
    made = _master(worker("n1", router(advert_int_cs=100), child_wait_time_s=1.0), lab)
    assert made.stop() < 0.95
    assert not holds(lab, "n1")


@pytest.mark.parametrize("why", ["handover off", "address owner", "no patience"])
def test_the_order_of_the_rfc(lab: Lab, worker: MakeWorker, why: str) -> None:
    if why == "handover off":
        made = worker("n1", router(advert_int_cs=100), handover=False)
    elif why == "no patience":
        made = worker("n1", router(advert_int_cs=100), child_wait_time_s=0.0)
    else:
        made = worker("n1", router(advert_int_cs=100, priority=255, state="MASTER"))
    _master(made, lab)
    wire = lab.observer()
    assert made.stop() < 0.9
    assert not holds(lab, "n1")
    assert len(wire.adverts(active=False)) == 1


def test_all_instances_leave_side_by_side(lab: Lab, worker: MakeWorker) -> None:
    routers = [
        router(name=f"VI_{n}", virtual_router_id=n, addresses=(f"10.100.2.{n}/16",), advert_int_cs=50)
        for n in range(1, 11)
    ]
    made = worker("n1", *routers).start()
    wait_until(lambda: len([a for a in lab.addresses("n1") if a.startswith("10.100.2.")]) == 10, 10, "all")
    assert made.stop() < 1.8
    assert not [a for a in lab.addresses("n1") if a.startswith("10.100.2.")]


def test_a_reload_that_gives_an_instance_up(lab: Lab, worker: MakeWorker) -> None:
    made = _master(
        worker(
            "n2", router(priority=150), router(name="B", virtual_router_id=9, addresses=("10.100.3.1/16",))
        ),
        lab,
    )
    worker("n1", router(priority=1)).start()
    time.sleep(0.5)
    made.reload(router(name="B", virtual_router_id=9, addresses=("10.100.3.1/16",)))
    assert holds(lab, "n2")
    wait_until(lambda: holds(lab, "n1"), 5, "taken over")
    wait_until(lambda: not holds(lab, "n2"), 1, "off")
    wait_until(lambda: '"vrrp.handed_over"' in made.log(), 2, "said")


def test_a_reload_that_puts_another_in_its_place_waits_for_nobody(lab: Lab, worker: MakeWorker) -> None:
    made = _master(worker("n1", router(advert_int_cs=100)), lab)
    made.reload(router(advert_int_cs=100, virtual_router_id=77))
    wait_until(lambda: not holds(lab, "n1"), 0.9, "off at once")
    assert '"vrrp.nobody_took_over"' not in made.log()


# --- what goes wrong in the middle -----------------------------------------------------------------------


def test_killed_in_the_middle_the_next_one_finishes(lab: Lab, worker: MakeWorker) -> None:
    """LEAVING is finished, not taken up again: whoever it was may be master by now."""
    wire = lab.observer()
    made = _master(worker("n2", router(priority=150, advert_int_cs=100)), lab)
    worker("n1", router(priority=100, advert_int_cs=100)).start()
    time.sleep(1.2)
    step_down_at = boottime()
    assert made.channel is not None
    made.channel.send(StepDown(name="VI", reason="", until_at=0.0, request=1))
    wire.await_advert(2, active=False)
    assert holds(lab, "n2")
    (slot,) = made.box.armed()
    assert slot.deadline_at < step_down_at + 0.5
    assert slot.prio0_until_at < step_down_at + 0.5
    made.kill()
    made.start()
    wait_until(lambda: not holds(lab, "n2"), 0.5, "off")
    wait_until(lambda: holds(lab, "n1"), 3, "taken over")
    wait_until(lambda: made.box.armed() == [], 2, "disarmed")


def test_the_link_goes_down_in_the_middle(lab: Lab, worker: MakeWorker) -> None:
    made = _master(worker("n1", router(advert_int_cs=200)), lab)
    assert made.channel is not None
    began = time.monotonic()
    made.channel.send(Stop())
    time.sleep(0.3)
    lab.ip("n1", "link", "set", "e0", "down")
    made._reap(began, 5)
    assert time.monotonic() - began < 2.0
    assert '"vrrp.nobody_took_over"' in made.log()


# --- step-down --------------------------------------------------------------------------------------------


def test_step_down_hands_over_and_resume_takes_back(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = _master(worker("n2", router(priority=150)), lab)
    worker("n1", router(priority=100)).start()
    time.sleep(0.5)
    answer = step_down(made)
    assert answer.ok
    assert answer.text.startswith(f"VI handed over to {lab.address('n1')} in 0.")
    assert made.await_message(Held).reason == "kernel update"
    assert holds(lab, "n1")
    time.sleep(1.0)  # it does not preempt
    assert not holds(lab, "n2")
    assert wire.adverts(time.time() - 0.9, src=lab.address("n2")) == []
    assert step_down(made, 2).text == f"VI is BACKUP already, the master is {lab.address('n1')}; held back"
    answer = ask(made, Resume(name="VI", request=3))
    assert answer.text == "VI takes part with priority 150 again"
    made.await_message(Unheld)
    wait_until(lambda: holds(lab, "n2") and not holds(lab, "n1"), 5, "preempted")
    assert ask(made, Resume(name="VI", request=4)).text == "VI was not held back"


def test_held_back_it_takes_over_when_nobody_else_is_there(lab: Lab, worker: MakeWorker) -> None:
    """As the lowest backup does: the service is worth more than the wish. And it gives way to anybody."""
    wire = lab.observer()
    made = _master(worker("n2", router(priority=150)), lab)
    peer = worker("n1", router(priority=100)).start()
    time.sleep(0.5)
    step_down(made)
    wait_until(lambda: holds(lab, "n1"), 5, "the successor's addresses, which come after its advert")
    peer.kill()
    lab.ip("n1", "addr", "del", f"{VIP}/16", "dev", "e0")
    wait_until(lambda: holds(lab, "n2"), 5, "the service is back")
    assert wire.await_advert(2, time.time(), src=lab.address("n2")).priority == 1
    assert '"vrrp.held_back_alone"' in made.log()
    worker("n1", router(priority=2, name="NEW")).start()
    wait_until(lambda: holds(lab, "n1") and not holds(lab, "n2"), 5, "given way")


def test_step_down_of_the_only_router_is_no_outage(lab: Lab, worker: MakeWorker) -> None:
    made = _master(worker("n1", router()), lab)
    client = lab.probe("c", "icmp", VIP, 0.01, 0.4)
    client.await_answer(10)
    watch = lab.address_watch("n1")
    answer = step_down(made)
    assert answer.text == "VI goes on as master with priority 1: no other router took over"
    time.sleep(0.5)
    assert [event for event in watch.take() if not event.added] == []
    assert outage_s(client.stop(), 0.01) < 0.1


@pytest.mark.parametrize("alone", [False, True], ids=["backup", "alone"])
def test_a_hold_survives_a_kill_and_a_reload(lab: Lab, worker: MakeWorker, alone: bool) -> None:
    wire = lab.observer()
    made = _master(worker("n2", router(priority=150)), lab)
    if not alone:
        worker("n1", router(priority=100)).start()
        time.sleep(0.5)
    step_down(made)
    held = made.await_message(Held)
    made.reload(router(priority=160))
    made.kill()
    made.fork()
    assert made.channel is not None
    made.channel.send(StepDown(name=held.name, reason=held.reason, until_at=held.until_at, request=0))
    made._configure()
    since = time.time()
    time.sleep(1.5)
    if alone:
        assert holds(lab, "n2")
        assert {a.priority for a in wire.adverts(since)} == {1}
    else:
        assert not holds(lab, "n2")
        assert wire.adverts(since, src=lab.address("n2")) == []
    assert ask(made, Resume(name="", request=9)).text == "VI takes part with priority 160 again"
    wait_until(lambda: holds(lab, "n2"), 5, "back")


def test_a_hold_ends_by_itself(lab: Lab, worker: MakeWorker) -> None:
    made = _master(worker("n2", router(priority=150)), lab)
    worker("n1", router(priority=100)).start()
    time.sleep(0.5)
    step_down(made, until_at=boottime() + 1.5)
    assert holds(lab, "n1")
    wait_until(lambda: holds(lab, "n2"), 6, "it comes back by itself")
    made.await_message(Unheld)
    assert '"vrrp.released"' in made.log()


def test_names(lab: Lab, worker: MakeWorker) -> None:
    made = worker(
        "n1",
        router(),
        router(name="OWNER", virtual_router_id=9, addresses=("10.100.3.1/16",), priority=255),
    )
    made.start()
    answer = step_down(made, name="VI_9")
    assert not answer.ok
    assert answer.text == "no vrrp_instance or vrrp_sync_group is named 'VI_9'; there are: VI, OWNER"
    answer = step_down(made, 2, name="OWNER")
    assert not answer.ok
    assert answer.text == "OWNER owns its addresses (priority 255): it cannot step down"
    assert step_down(made, 3, name="", until_at=boottime() + 100).ok


def test_a_sync_group_steps_down_as_one(lab: Lab, worker: MakeWorker) -> None:
    """Named by the group or by a member: all members hand over, and are told of."""
    six = {"addresses": ("fe80::51:1/64",), "virtual_router_id": 52}
    group = (SyncGroup(name="VG", members=("V4", "V6")),)

    def make(node: str, priority: int) -> Worker:
        made = worker(node, router(name="V4", priority=priority), router(name="V6", priority=priority, **six))
        made.slice = VrrpSlice(globals=made.slice.globals, instances=made.slice.instances, sync_groups=group)
        return made.start()

    def both(node: str) -> bool:
        return {VIP, "fe80::51:1"} <= lab.addresses(node)

    made = make("n2", 150)
    wait_until(lambda: both("n2"), 10, "master of both")
    make("n1", 100)
    time.sleep(0.6)
    for number, name in enumerate(("VG", "V6")):
        lines = step_down(made, 2 * number + 1, name=name).text.splitlines()
        assert [line.split(" in ")[0] for line in sorted(lines)] == [
            f"V4 handed over to {lab.address('n1')}",
            f"V6 handed over to {lab.link_local('n1')}",
        ]
        assert both("n1")
        assert not {VIP, "fe80::51:1"} & lab.addresses("n2")
        assert ask(made, Resume(name=name, request=2 * number + 2)).ok
        wait_until(lambda: both("n2") and not holds(lab, "n1"), 10, "back")
        time.sleep(0.5)
