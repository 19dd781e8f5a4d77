"""What leaves on the wire, and in which order, when a router becomes master."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from keepalived_conf.model import UnicastPeer, VrrpInstance
from tests.lab import Lab
from tests.lab.system import wait_until
from tests.lab.wire import V4_GROUP, V6_GROUP, ArpFrame, NaFrame, VrrpFrame, build_advert
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import instance

SIX = ("fe80::100/64", "fd00:100::100/64")


def test_advert_then_address_then_gratuitous_arp(lab: Lab, worker: MakeWorker) -> None:
    wire, watch = lab.observer(), lab.address_watch("n1")
    worker("n1", instance(advert_int_cs=10, addresses=("192.0.2.100/24", "192.0.2.101/24"))).start()
    wait_until(lambda: len(wire.garps()) >= 10, 5, "five announcements of each address")
    frames = [f for f in wire.frames() if isinstance(f, VrrpFrame | ArpFrame)]
    assert isinstance(frames[0], VrrpFrame)
    garps = wire.garps()
    assert [str(g.sender) for g in garps] == ["192.0.2.100", "192.0.2.101"] * 5
    assert {g.src_mac for g in garps} == {g.sender_mac for g in garps} == {lab.mac("n1")}
    assert {g.target_mac for g in garps} == {"ff:ff:ff:ff:ff:ff"}
    assert {(g.dst_mac, g.op) for g in garps} == {("ff:ff:ff:ff:ff:ff", 1)}
    events = watch.take()
    assert all(event.added for event in events)
    assert [str(event.address) for event in events] == ["192.0.2.100", "192.0.2.101"]


def test_unsolicited_neighbour_advertisements(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    worker("n1", instance(advert_int_cs=10, addresses=SIX)).start()
    wait_until(lambda: len(wire.unsolicited_nas()) >= 10, 5, "five announcements of each address")
    found = wire.unsolicited_nas()
    assert [str(f.target) for f in found[:2]] == ["fe80::100", "fd00:100::100"]
    first = found[0]
    assert (first.router, first.solicited, first.override, first.hop_limit) == (True, False, True, 255)
    assert first.src == first.target
    assert first.link_address == first.src_mac == lab.mac("n1")
    assert first.dst_mac == "33:33:00:00:00:01"
    mine = [f for f in wire.frames() if isinstance(f, VrrpFrame | NaFrame)]
    assert isinstance(mine[0], VrrpFrame)
    assert {"fe80::100", "fd00:100::100"} <= lab.addresses("n1", "e0")


def _wire_cases() -> list[object]:
    peers4 = (UnicastPeer(address=IPv4Address("10.100.0.2")),)
    peers6 = (UnicastPeer(address=IPv6Address("fe80::2")),)
    return [
        pytest.param(instance(version=2, advert_int_cs=100, priority=255, state="MASTER"), id="v2"),
        pytest.param(instance(version=2, priority=255, state="MASTER", auth_pass=b"secret12"), id="v2-PASS"),
        pytest.param(instance(advert_int_cs=25), id="v3-ipv4"),
        pytest.param(instance(advert_int_cs=25, addresses=SIX), id="v3-ipv6"),
        pytest.param(instance(advert_int_cs=25, unicast_peers=peers4), id="v3-ipv4-unicast"),
        pytest.param(instance(advert_int_cs=25, unicast_peers=peers6, addresses=SIX), id="v3-ipv6-unicast"),
    ]


@pytest.mark.parametrize("config", _wire_cases())
def test_octets_of_the_advert(lab: Lab, worker: MakeWorker, config: VrrpInstance) -> None:
    wire = lab.observer()
    worker("n1", config).start()
    advert = wire.await_advert(5, active=True)
    group = V4_GROUP if config.family == 4 else V6_GROUP
    source = lab.address("n1") if config.family == 4 else lab.link_local("n1")
    destination = config.unicast_peers[0].address if config.unicast_peers else group
    assert (advert.src, advert.dst, advert.ttl) == (source, destination, 255)
    assert advert.src_mac == lab.mac("n1")
    if not config.unicast_peers:
        assert advert.dst_mac == ("01:00:5e:00:00:12" if config.family == 4 else "33:33:00:00:00:12")
    assert advert.payload == build_advert(
        version=config.version,
        src=source,
        dst=destination,
        vrid=51,
        priority=config.priority,
        interval_cs=config.advert_int_cs,
        addresses=[v.interface.ip for v in config.virtual_addresses],
        auth_pass=config.auth_pass,
    )


def test_each_unicast_peer_gets_a_valid_copy(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    addresses = [IPv4Address("10.100.0.2"), IPv4Address("10.100.0.9")]
    peers = tuple(UnicastPeer(address=address) for address in addresses)
    lab.ip("n2", "addr", "add", "10.100.0.9/16", "dev", "e0")
    worker("n1", instance(advert_int_cs=10, unicast_peers=peers, unicast_ttl=77)).start()
    wait_until(lambda: len(wire.adverts()) >= 4, 5, "adverts to both peers")
    adverts = wire.adverts()[:4]
    assert [a.dst for a in adverts] == addresses * 2
    assert {(a.ttl, a.checksum) for a in adverts} == {(77, "pseudo")}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("unicast", [False, True], ids=["multicast", "unicast"])
def test_two_routers_elect_one_and_hand_over(
    lab: Lab, worker: MakeWorker, family: int, unicast: bool
) -> None:
    wire = lab.observer()
    addresses = SIX if family == 6 else ("192.0.2.100/24",)
    where = {n: lab.link_local(n) if family == 6 else lab.address(n) for n in ("n1", "n2")}

    def config(priority: int, peer: str) -> VrrpInstance:
        peers = (UnicastPeer(address=where[peer]),) if unicast else ()
        return instance(priority=priority, advert_int_cs=20, addresses=addresses, unicast_peers=peers)

    low = worker("n2", config(50, "n1")).start()
    wire.await_advert(5, src=where["n2"], active=True)
    high = worker("n1", config(200, "n2")).start()
    wire.await_advert(5, src=where["n1"], active=True)
    address = addresses[0].split("/")[0]
    wait_until(lambda: address not in lab.addresses("n2"), 5, "the loser's address is gone")
    assert address in lab.addresses("n1")
    assert '"event": "vrrp.transition"' in low.log()
    high.stop()
    release = wire.await_advert(2, src=where["n1"], active=False)
    again = wire.await_advert(2, since=release.at, src=where["n2"], active=True)
    assert again.at - release.at < 1.0
    wait_until(lambda: address in lab.addresses("n2"), 2, "the address moved")
    assert address not in lab.addresses("n1")


def test_own_adverts_do_not_disturb_and_foreign_vrids_do_not_wake(lab: Lab, worker: MakeWorker) -> None:
    wire = lab.observer()
    one = worker("n1", instance(advert_int_cs=10)).start()
    worker(
        "n2", instance("OTHER", advert_int_cs=10, virtual_router_id=52, addresses=("192.0.2.7/24",))
    ).start()
    wire.await_advert(5, vrid=51)
    since = wire.await_advert(5, vrid=52).at
    wait_until(lambda: len(wire.adverts(since, vrid=51)) > 5, 5, "both go on")
    assert "packet_rejected" not in one.log()


def test_two_hundred_addresses_delay_no_advert(lab: Lab, worker: MakeWorker) -> None:
    wire, watch = lab.observer(), lab.address_watch("n1")
    excluded = tuple(f"198.18.{i // 200}.{i % 200 + 1}/32" for i in range(180))
    addresses = tuple(f"192.0.2.{i + 1}/32" for i in range(20))
    made = worker("n1", instance(advert_int_cs=10, addresses=addresses, excluded=excluded))
    made.start()
    wait_until(lambda: len(wire.garps()) >= 1000, 10, "200 addresses, five times")
    added = [event for event in watch.take() if event.added]
    assert len(added) == 200
    garps = wire.garps()
    assert [str(g.sender) for g in garps[:200]] == [str(e.address) for e in added]
    assert len(garps) == 1000
    took_s = made.stop()
    assert took_s < 2.0
    assert not lab.addresses("n1", "e0") & {str(e.address) for e in added}


def test_surplus_addresses_are_installed_but_not_listed(lab: Lab, worker: MakeWorker) -> None:
    """An advert is never fragmented: MTU 1500 has room for 90 IPv6 addresses."""
    wire = lab.observer()
    addresses = ("fe80::100/64", *(f"fd00:100::{i:x}/128" for i in range(0x1000, 0x1000 + 95)))
    worker("n1", instance(advert_int_cs=50, addresses=addresses)).start()
    advert = wire.await_advert(5)
    assert advert.count == 90
    assert advert.addresses == tuple(ip_address(text.split("/")[0]) for text in addresses[:90])
    wait_until(lambda: "fd00:100::105e" in lab.addresses("n1"), 5, "the last address")
