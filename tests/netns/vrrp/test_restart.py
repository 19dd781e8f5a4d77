"""A worker that dies or hangs and comes back: nobody notices, or somebody else is master already."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.lab import Lab
from tests.lab.system import in_netns, wait_until
from tests.lab.wire import V4_GROUP
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import Worker, instance, send_advert
from worker import undo
from worker.clock import boottime

VIP = "192.0.2.100"


def _master(made: Worker, lab: Lab) -> None:
    """Started, master, and done with announcing."""
    made.start()
    wait_until(lambda: VIP in lab.addresses(made.node), 10, "master with its address")
    wait_until(made.box.armed, 2, "guarded")
    time.sleep(0.3)


@pytest.mark.parametrize("times", [1, 3], ids=["once", "three times in a row"])
def test_killed_master_stays_master(lab: Lab, worker: MakeWorker, times: int) -> None:
    wire, watch = lab.observer(), lab.address_watch("n1")
    made = worker("n1", instance(priority=200, state="MASTER", advert_int_cs=50))
    _master(made, lab)
    peer = worker("n2", instance(priority=100, advert_int_cs=50)).start()
    time.sleep(0.6)
    watch.take()
    since = time.time()
    for _kill in range(times):
        made.kill()
        made.start(wait=False)
        time.sleep(0.1)
    made.await_any(lambda m: type(m).__name__ == "Ready")
    time.sleep(1.2)
    assert watch.take() == []
    assert wire.garps(since) == []
    assert wire.adverts(since, active=False) == []
    adverts = wire.adverts(since)
    assert {a.src for a in adverts} == {lab.address("n1")}
    assert len(adverts) >= 2
    assert made.log().count('"event": "vrrp.transition"') == 2  # to BACKUP, to MASTER: at the first start
    wait_until(lambda: '"event": "vrrp.resumed"' in made.log(), 2, "resumed, and it says so")
    assert '"to": "MASTER"' not in peer.log()


def test_first_advert_after_a_kill_is_not_late(lab: Lab, worker: MakeWorker) -> None:
    """At once, not at the next point of the grid: the gap is the time without a process."""
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=100))
    _master(made, lab)
    made.kill()
    made.start()
    first = wire.await_advert(5, since=made.forked_at)
    assert first.at - made.forked_at < 0.5


def test_killed_backup_keeps_the_remaining_down_time(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    backup = worker("n2", instance(priority=100, advert_int_cs=50))
    _send_every(lab, backup, rounds=2)
    last = wire.adverts(src=lab.address("n1"))[-1].at
    time.sleep(0.9)
    backup.kill()
    backup.start()
    won = wire.await_advert(10, src=lab.address("n2"), active=True)
    # 3 x 1 s learned from the master + skew 0.61 s, from its last advert: not from the restart.
    assert 3.5 < won.at - last < 4.1


def _send_every(lab: Lab, backup: Worker, rounds: int) -> None:
    backup.start()
    for _round in range(rounds):
        send_advert(lab, "n1", 200)
        time.sleep(0.2)


def test_better_advert_in_the_kept_socket_ends_the_mastership(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = worker("n1", instance(priority=100))
    _master(made, lab)
    made.kill()
    since = time.time()
    send_advert(lab, "n2", 200)
    made.start()
    wait_until(lambda: VIP not in lab.addresses("n1"), 3, "the address is off")
    assert wire.adverts(since, src=lab.address("n1")) == []
    wait_until(lambda: '"rule": "2a"' in made.log(), 2, "resumed, and it says why")
    assert made.box.armed() == []


def test_too_late_and_blind_comes_back_as_backup(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=10))
    _master(made, lab)
    made.kill()
    for name in list(made.kept):  # the sockets are lost: what was said meanwhile is not known
        os.close(made.kept.pop(name))
    time.sleep(0.6)
    since = time.time()
    made.start()
    wait_until(lambda: '"rule": "2d"' in made.log(), 3, "stepped down")
    assert VIP not in lab.addresses("n1")
    first = wire.await_advert(5, since=since)
    assert first.at - since > 0.3
    assert wire.adverts(since, active=False) == []


def test_late_but_not_blind_goes_on(lab: Lab, worker: MakeWorker) -> None:
    wire, watch = lab.observer(), lab.address_watch("n1")
    made = worker("n1", instance(advert_int_cs=10))
    _master(made, lab)
    watch.take()
    made.kill()
    time.sleep(0.6)
    since = time.time()
    made.start()
    wait_until(lambda: len(wire.garps(since)) >= 5, 3, "neighbours are told again")
    assert watch.take() == []
    # The record is written behind the packets.
    wait_until(lambda: '"rule": "2c"' in made.log(), 2, "resumed, and it says why")


def test_fenced_worker_starts_afresh(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=20))
    _master(made, lab)
    made.kill()
    (slot,) = made.box.armed()
    assert boottime() < slot.deadline_at < slot.prio0_until_at
    with in_netns(lab.ns("n1")):
        assert undo.perform(made.box.undo(slot.slot)) == []
    made.box.disarm(slot.slot)
    assert VIP not in lab.addresses("n1")
    release = wire.await_advert(2, active=False)
    assert (release.src, release.dst, release.ttl, release.checksum) == (
        lab.address("n1"),
        V4_GROUP,
        255,
        "pseudo",
    )
    since = time.time()
    made.start()
    assert wire.await_advert(5, since=since).at - since > 0.5  # a whole down timer
    assert '"rule": "1"' in made.log() or "rule 1" in made.log()


def test_hang_shorter_than_the_down_time_is_nothing(lab: Lab, worker: MakeWorker) -> None:
    wire, watch = lab.observer(), lab.address_watch("n1")
    made = worker("n1", instance(priority=200, advert_int_cs=50))
    _master(made, lab)
    worker("n2", instance(priority=100, advert_int_cs=50)).start()
    time.sleep(0.6)
    watch.take()
    since = made.signal(signal.SIGSTOP)
    time.sleep(0.75)
    woken = made.signal(signal.SIGCONT)
    assert wire.await_advert(2, since=woken).src == lab.address("n1")
    time.sleep(0.5)
    assert {a.src for a in wire.adverts(since)} == {lab.address("n1")}
    assert watch.take() == []
    assert wire.garps(since) == []


def test_hang_longer_than_the_down_time_gives_way(lab: Lab, worker: MakeWorker) -> None:
    """The queue is read before anything is sent: no advert as master beside the new one."""
    wire = lab.observer()
    made = worker("n1", instance(priority=100, advert_int_cs=20, preempt=False))
    _master(made, lab)
    worker("n2", instance(priority=90, advert_int_cs=20)).start()
    time.sleep(0.5)
    since = made.signal(signal.SIGSTOP)
    wire.await_advert(5, since=since + 0.05, src=lab.address("n2"), active=True)
    time.sleep(0.3)
    woken = made.signal(signal.SIGCONT)
    wait_until(lambda: VIP not in lab.addresses("n1"), 3, "the address is off")
    time.sleep(0.3)
    assert wire.adverts(woken, src=lab.address("n1")) == []
    assert VIP in lab.addresses("n2")


def test_configuration_changed_while_dead(lab: Lab, worker: MakeWorker) -> None:
    """One address more, one less: resumed, then reconciled. Never without the common one."""
    both = instance(advert_int_cs=50, addresses=("192.0.2.100/24", "192.0.2.101/24"))
    made = worker("n1", both)
    _master(made, lab)
    watch = lab.address_watch("n1")
    made.kill()
    changed = instance(advert_int_cs=50, addresses=("192.0.2.100/24", "192.0.2.102/24"))
    made.slice = type(made.slice)(globals=made.slice.globals, instances=(changed,))
    made.generation = 2
    made.start()
    wait_until(
        lambda: {"192.0.2.100", "192.0.2.102"} == {a for a in lab.addresses("n1") if a.startswith("192.")},
        3,
        "new addresses",
    )
    assert {(e.added, str(e.address)) for e in watch.take()} == {
        (True, "192.0.2.102"),
        (False, "192.0.2.101"),
    }
    wait_until(made.box.armed, 2, "guarded")


def test_instance_removed_while_dead_is_undone(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=50))
    _master(made, lab)
    made.kill()
    made.slice = type(made.slice)(globals=made.slice.globals, instances=())
    made.generation = 2
    made.start()
    assert VIP not in lab.addresses("n1")
    assert len(wire.adverts(active=False)) == 1
    assert made.box.armed() == []


def test_stopped_before_the_configuration_came_still_leaves_nothing(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=50))
    _master(made, lab)
    made.kill()
    made.fork()
    made.stop()
    assert VIP not in lab.addresses("n1")
    assert len(wire.adverts(active=False)) == 1
    assert made.box.armed() == []


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03])
def test_killed_in_the_middle_of_a_takeover(lab: Lab, worker: MakeWorker, after_s: float) -> None:
    """Two hundred addresses: those that are missing are put on, and all of them announced."""
    wire, watch = lab.observer(), lab.address_watch("n1")
    addresses = tuple(f"192.0.2.{n}/32" for n in range(1, 201))
    made = worker("n1", instance(advert_int_cs=20, addresses=addresses)).start()
    wire.await_advert(5)
    time.sleep(after_s)
    made.kill()
    made.start()
    wait_until(
        lambda: len(lab.addresses("n1", "e0") & {a[:-3] for a in addresses}) == 200, 5, "all addresses"
    )
    wait_until(lambda: len({str(g.sender) for g in wire.garps()}) == 200, 5, "all announced")
    assert wire.adverts(active=False) == []
    assert all(event.added for event in watch.take())
    made.stop()
    assert not lab.addresses("n1", "e0") & {a[:-3] for a in addresses}


def test_fresh_start_removes_what_was_left_over(lab: Lab, worker: MakeWorker) -> None:
    """An address in the kernel has no age: nobody is master because of it."""
    lab.ip("n1", "addr", "add", f"{VIP}/24", "dev", "e0")
    wire, watch = lab.observer(), lab.address_watch("n1")
    worker("n1", instance(advert_int_cs=50)).start()
    wait_until(lambda: VIP not in lab.addresses("n1"), 2, "the left-over address is gone")
    assert wire.adverts() == []
    assert [event.added for event in watch.take()] == [False]
