"""Stop, reload, links that come and go, addresses that others touch."""

from __future__ import annotations

import itertools
import time

import pytest

from keepalived_conf.model import UnicastPeer, VrrpSlice
from tests.lab import Lab
from tests.lab.system import wait_until
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import Worker, instance, vip
from worker.context import Options
from worker.control import Refused

VIP = "192.0.2.100"


def _master(made: Worker, lab: Lab, address: str = VIP) -> Worker:
    made.start()
    wait_until(lambda: address in lab.addresses(made.node), 10, "master with its address")
    return made


@pytest.mark.parametrize("how", ["stop", "supervisor gone"])
def test_leaving_gives_the_mastership_back(lab: Lab, worker: MakeWorker, how: str) -> None:
    wire, watch = lab.observer(), lab.address_watch("n1")
    made = _master(worker("n1", instance(advert_int_cs=20)), lab)
    watch.take()
    took_s = made.stop() if how == "stop" else made.abandon()
    assert took_s < 1.0
    assert wire.adverts()[-1].priority == 0
    assert len(wire.adverts(active=False)) == 1
    assert [(e.added, str(e.address)) for e in watch.take()] == [(False, VIP)]
    assert made.box.armed() == []


def test_stop_that_leaves_the_addresses(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=20))
    made.options = Options(release_vips=False)
    _master(made, lab)
    made.stop()
    assert VIP in lab.addresses("n1")
    assert wire.adverts(active=False) == []
    assert made.box.armed() == []


def test_reload_changes_only_what_differs(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    made = _master(worker("n1", instance(advert_int_cs=20, addresses=(f"{VIP}/24", "192.0.2.101/24"))), lab)
    wait_until(lambda: "192.0.2.101" in lab.addresses("n1"), 2, "both addresses")
    watch, since = lab.address_watch("n1"), time.time()
    made.reload(instance(advert_int_cs=20, addresses=(f"{VIP}/24", "192.0.2.102/24")))
    wait_until(lambda: "192.0.2.101" not in lab.addresses("n1"), 2, "removed")
    wait_until(lambda: "192.0.2.102" in lab.addresses("n1"), 2, "added")
    assert {(e.added, str(e.address)) for e in watch.take()} == {
        (True, "192.0.2.102"),
        (False, "192.0.2.101"),
    }
    assert wire.adverts(since, active=False) == []
    wait_until(
        lambda: wire.adverts(since)[-1].addresses[1:] == (vip("192.0.2.102").interface.ip,), 2, "listed"
    )


def test_reload_adds_and_removes_instances(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    one = instance("ONE", advert_int_cs=20)
    two = instance("TWO", advert_int_cs=20, virtual_router_id=52, addresses=("192.0.2.200/24",))
    made = _master(worker("n1", one), lab)
    made.reload(one, two)
    wait_until(lambda: "192.0.2.200" in lab.addresses("n1"), 5, "the new one is master")
    made.reload(two)
    wait_until(lambda: VIP not in lab.addresses("n1"), 2, "the removed one has left")
    assert [a.vrid for a in wire.adverts(active=False)] == [51]
    assert "192.0.2.200" in lab.addresses("n1")
    made.reload()
    wait_until(lambda: "192.0.2.200" not in lab.addresses("n1"), 2, "the last one has left")
    wait_until(lambda: _pumped(made), 2, "the socket was given back")


def test_a_renamed_instance_goes_on(lab: Lab, worker: MakeWorker) -> None:
    """By a reload, by names that change places, and by a worker that dies as it is told the new name."""
    wire = lab.observer()
    addresses = ("192.0.2.200/24",)
    made = _master(
        worker(
            "n1",
            instance("ONE", advert_int_cs=20),
            instance("TWO", advert_int_cs=20, virtual_router_id=52, addresses=addresses),
        ),
        lab,
    )
    wait_until(lambda: "192.0.2.200" in lab.addresses("n1"), 5, "both are master")
    watch, since = lab.address_watch("n1"), time.time()
    made.reload(
        instance("TWO", advert_int_cs=20),
        instance("THREE", advert_int_cs=20, virtual_router_id=52, addresses=addresses),
    )
    wait_until(lambda: made.log().count('"vrrp.renamed"') == 2, 5, "renamed")
    made.kill()
    made.slice = VrrpSlice(
        globals=made.slice.globals,
        instances=(
            instance("FOUR", advert_int_cs=20),
            instance("FIVE", advert_int_cs=20, virtual_router_id=52, addresses=addresses),
        ),
    )
    made.start()
    wait_until(lambda: made.log().count('"vrrp.resumed"') == 2, 5, "resumed under the newest names")
    time.sleep(0.5)
    assert watch.take() == []
    assert wire.adverts(since, active=False) == []
    assert made.log().count('"to": "MASTER"') == 2


def _pumped(made: Worker) -> bool:
    made.pump()
    return made.kept == {}


def _add_interface(lab: Lab) -> None:
    """d0: up, with carrier, 10.9.0.1/24."""
    lab.ip("n1", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
    lab.ip("n1", "link", "set", "d1", "up")
    lab.ip("n1", "link", "set", "d0", "up")
    lab.ip("n1", "addr", "add", "10.9.0.1/24", "dev", "d0")


def test_moved_to_another_interface(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    _add_interface(lab)
    made = _master(worker("n1", instance(advert_int_cs=20)), lab)
    moved = instance(advert_int_cs=20, interface="d0", virtual_addresses=(vip(f"{VIP}/24", "d0"),))
    made.reload(moved)
    wait_until(lambda: VIP in lab.addresses("n1", "d0"), 5, "master on the other interface")
    assert VIP not in lab.addresses("n1", "e0")
    assert len(wire.adverts(active=False)) == 1


def test_slice_that_cannot_be_read_is_refused(lab: Lab, worker: MakeWorker) -> None:
    made = _master(worker("n1", instance(advert_int_cs=20)), lab)
    answer = made.prepare_raw(b"\xc1 nonsense")
    assert isinstance(answer, Refused)
    assert "cannot be read" in answer.reason
    assert VIP in lab.addresses("n1")


def test_strict_mode_has_unicast_only_where_there_is_no_multicast(lab: Lab, worker: MakeWorker) -> None:
    peers = (UnicastPeer(address=lab.address("n2")),)
    strict = instance(strict_mode=True, unicast_peers=peers, advert_int_cs=20)
    refused = worker("n2", strict)
    refused.start(wait=False)
    said = refused.await_message(Refused)
    assert "take the peers out, or strict mode" in said.reason
    lab.ip("n1", "link", "set", "e0", "multicast", "off")
    made = _master(worker("n1", strict), lab)
    lab.ip("n1", "link", "set", "e0", "multicast", "on")
    made.kill()
    made.start()  # what was in force comes back
    wait_until(lambda: '"event": "vrrp.resumed"' in made.log(), 5, "resumed")
    assert made.log().count('"to": "MASTER"') == 1


def test_link_down_is_a_fault_and_it_comes_back(lab: Lab, worker: MakeWorker) -> None:
    made = _master(worker("n1", instance(advert_int_cs=20)), lab)
    lab.cut("n1")
    wait_until(lambda: '"to": "FAULT"' in made.log(), 5, "fault")
    wait_until(lambda: VIP not in lab.addresses("n1"), 5, "no address while faulty")
    since = lab.plug("n1")
    wait_until(lambda: VIP in lab.addresses("n1"), 10, "master again")
    assert lab.observer().await_advert(5, since=since).src == lab.address("n1")


def test_interface_that_appears_later(lab: Lab, worker: MakeWorker) -> None:
    config = instance(advert_int_cs=20, interface="d0", virtual_addresses=(vip(f"{VIP}/24", "d0"),))
    made = worker("n1", config).start()
    wait_until(lambda: '"to": "FAULT"' in made.log(), 2, "fault")
    for _life in range(2):
        _add_interface(lab)
        wait_until(lambda: VIP in lab.addresses("n1"), 10, "master")
        lab.ip("n1", "link", "del", "d0")
        time.sleep(0.2)
    made.stop()


def test_source_address_that_appears_later(lab: Lab, worker: MakeWorker) -> None:
    lab.ip("n1", "addr", "del", "10.100.0.1/16", "dev", "e0")
    wire = lab.observer()
    made = worker("n1", instance(advert_int_cs=20)).start()
    wait_until(lambda: '"to": "FAULT"' in made.log(), 2, "fault")
    lab.ip("n1", "addr", "add", "10.100.0.1/16", "dev", "e0")
    assert wire.await_advert(5).src == lab.address("n1")


@pytest.mark.parametrize("address", [f"{VIP}/24", "fe80::100/64"], ids=["ipv4", "ipv6"])
def test_address_removed_by_somebody_is_put_back(lab: Lab, worker: MakeWorker, address: str) -> None:
    wire = lab.observer()
    plain = address.split("/")[0]
    made = _master(worker("n1", instance(advert_int_cs=20, addresses=(address,))), lab, plain)
    time.sleep(0.3)
    since = time.time()
    lab.ip("n1", "addr", "del", address, "dev", "e0")
    wait_until(lambda: plain in lab.addresses("n1"), 5, "put back")
    wait_until(lambda: wire.garps(since) or wire.unsolicited_nas(since), 2, "announced")
    assert wire.adverts(since, active=False) == []
    assert "vrrp.address" in made.log()


def test_owner_does_not_take_off_what_was_there_before(lab: Lab, worker: MakeWorker) -> None:
    config = instance(
        priority=255, state="MASTER", advert_int_cs=20, addresses=("10.100.0.1/16", f"{VIP}/24")
    )
    watch = lab.address_watch("n1")
    made = _master(worker("n1", config), lab)
    made.kill()
    made.start()
    made.stop()
    assert "10.100.0.1" in lab.addresses("n1")
    assert VIP not in lab.addresses("n1")
    assert [(e.added, str(e.address)) for e in watch.take()] == [(True, VIP), (False, VIP)]


def test_paced_announcements(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    config = instance(advert_int_cs=10, garp_master_repeat=4)
    worker("n1", config, vrrp_garp_interval_s=0.05).start()
    wait_until(lambda: len(wire.garps()) == 4, 5, "four announcements")
    at = [g.at for g in wire.garps()]
    assert all(later - earlier > 0.045 for earlier, later in itertools.pairwise(at))


def test_startup_delay(lab: Lab, worker: MakeWorker) -> None:
    wire, since = lab.observer(), time.time()
    made = worker("n1", instance(advert_int_cs=10), vrrp_startup_delay_s=1.0).start()
    assert wire.await_advert(5).at - since > 1.2
    made.stop()
