"""Traffic to the addresses of a master that does not accept it is dropped, whatever happens to the worker.

Judged by a client's packets; what the tables hold is read back where "nothing is left" must be shown.
"""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest

from tests.lab import Lab, reach
from tests.lab.system import in_netns, wait_until
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import Worker, instance, send_advert
from vrrp_proc import firewall, nft
from vrrp_proc.firewall import NftError, NftSocket

PORT = 7117
FOUR = ("10.100.1.1/16",)
SIX = ("fe80::51:1/64", "fd00:100::1:51/64")
CLIENT = "n2"
SHUT_S, OPEN_S = 0.4, 5.0


def plain(texts: tuple[str, ...]) -> list[str]:
    return [text.split("/")[0] for text in texts]


@pytest.fixture
def server(lab: Lab) -> Iterator[None]:
    """n1 takes TCP connections to every address of it."""
    listeners = reach.listen(lab, "n1", PORT)
    yield
    for one in listeners:
        one.close()


def nft_in(lab: Lab, node: str) -> NftSocket:
    with in_netns(lab.ns(node)):
        return NftSocket()


def tables(lab: Lab, node: str) -> list[nft.Table]:
    return nft_in(lab, node).tables()


def kept_out(lab: Lab, node: str, table: str = "keepalived") -> set[str]:
    """The addresses in the sets of a node."""
    asked = nft_in(lab, node)
    four = asked.keys(nft.IP, table, "vips")
    six = asked.keys(nft.IP6, table, "vips") | asked.keys(nft.IP6, table, "vips_link_local")
    return {str(ip_address(key)) for key in four} | {str(IPv6Address(key[:16])) for key in six}


def is_shut(lab: Lab, address: str) -> bool:
    return not reach.echoes(lab, CLIENT, address, SHUT_S) and not reach.connects(
        lab, CLIENT, address, PORT, SHUT_S
    )


def is_open(lab: Lab, address: str) -> bool:
    return reach.echoes(lab, CLIENT, address, OPEN_S) and reach.connects(lab, CLIENT, address, PORT, OPEN_S)


def strict(lab: Lab, worker: MakeWorker, *addresses: str, **given: Any) -> Worker:
    """A master on n1 that does not accept, with its addresses on."""
    values: dict[str, Any] = {"advert_int_cs": 20, "accept": False, "addresses": addresses} | given
    made = worker("n1", instance(**values)).start()
    wait_until(lambda: set(plain(addresses)) <= lab.addresses("n1"), 10, "master")
    return made


@pytest.mark.parametrize("addresses", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_a_client_reaches_the_node_but_not_the_virtual_address(
    lab: Lab, worker: MakeWorker, server: None, addresses: tuple[str, ...]
) -> None:
    strict(lab, worker, *addresses)
    own = lab.address("n1") if addresses is FOUR else lab.address6("n1")
    assert is_open(lab, str(own))
    for address in plain(addresses):
        assert is_shut(lab, address), address
        assert reach.neighbour(lab, CLIENT, address) == lab.mac("n1"), "ARP or neighbour discovery"
    if addresses is SIX:
        assert is_open(lab, str(lab.link_local("n1")))


def test_nothing_leaves_from_the_virtual_address(lab: Lab, worker: MakeWorker) -> None:
    strict(lab, worker, *FOUR)
    with in_netns(lab.ns("n1")):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind((plain(FOUR)[0], 0))
        with pytest.raises(PermissionError):
            sock.sendto(b"x", (str(lab.address(CLIENT)), 9))


def test_excluded_addresses_are_kept_out_too(lab: Lab, worker: MakeWorker, server: None) -> None:
    strict(lab, worker, *FOUR, excluded=("10.100.1.2/16",))
    wait_until(lambda: "10.100.1.2" in lab.addresses("n1"), 5, "the excluded address")
    assert is_shut(lab, "10.100.1.2")


def test_a_link_local_address_is_kept_out_at_its_own_interface_only(
    lab: Lab, worker: MakeWorker, server: None
) -> None:
    """The same address, on another interface, is somebody else's."""
    strict(lab, worker, *SIX)
    lab.ip("n1", "link", "add", "x0", "type", "veth", "peer", "x1", "netns", lab.ns(CLIENT))
    for node, dev, address in (("n1", "x0", "fe80::51:1/64"), (CLIENT, "x1", "fe80::7/64")):
        lab.ip(node, "link", "set", dev, "up")
        lab.ip(node, "addr", "add", address, "dev", dev, "nodad")
    assert reach.connects(lab, CLIENT, "fe80::51:1", PORT, OPEN_S, dev="x1")
    assert is_shut(lab, "fe80::51:1")


@pytest.mark.parametrize(
    "given",
    [{"accept": True}, {"accept": False, "priority": 255, "state": "MASTER"}],
    ids=["accept", "owner"],
)
def test_accept_and_owners_let_everything_in(
    lab: Lab, worker: MakeWorker, server: None, given: dict[str, object]
) -> None:
    strict(lab, worker, *FOUR, **given)
    assert is_open(lab, plain(FOUR)[0])
    assert tables(lab, "n1") == []


def test_not_one_packet_gets_through_during_the_takeover(lab: Lab, worker: MakeWorker) -> None:
    """The rules are there before the address is."""
    lab.ip(CLIENT, "neigh", "add", plain(FOUR)[0], "lladdr", lab.mac("n1"), "dev", "e0")
    probe = lab.probe(CLIENT, "icmp", plain(FOUR)[0], 0.001, 0.3)
    control = lab.probe(CLIENT, "icmp", str(lab.address("n1")), 0.01, 0.3)
    control.await_answer(10)
    made = strict(lab, worker, *FOUR)
    time.sleep(0.3)
    made.stop()
    assert [answer for answer in probe.stop() if answer.ok] == []
    assert tables(lab, "n1") == []
    control.stop()


def test_a_killed_worker_leaves_no_gap_and_no_stray(lab: Lab, worker: MakeWorker) -> None:
    made = strict(lab, worker, *FOUR, *("10.100.1.2/16",))
    probe = lab.probe(CLIENT, "icmp", plain(FOUR)[0], 0.001, 0.3)
    time.sleep(0.3)
    for _round in range(3):
        made.kill()
        assert kept_out(lab, "n1") == {"10.100.1.1", "10.100.1.2"}
        made.start()
        time.sleep(0.2)
    assert kept_out(lab, "n1") == {"10.100.1.1", "10.100.1.2"}
    assert {table.family for table in tables(lab, "n1")} == {nft.IP}
    assert nft_in(lab, "n1").rules(nft.IP, "keepalived") == 2
    assert made.log().count('"to": "MASTER"') == 1
    made.stop()
    assert [answer for answer in probe.stop() if answer.ok] == []
    assert tables(lab, "n1") == []


def test_a_killed_master_that_comes_back_as_backup_keeps_nothing_out(lab: Lab, worker: MakeWorker) -> None:
    made = strict(lab, worker, *FOUR, advert_int_cs=100)
    made.kill()
    send_advert(lab, CLIENT, 200)
    made.start()
    wait_until(lambda: "10.100.1.1" not in lab.addresses("n1"), 5, "beaten")
    wait_until(lambda: kept_out(lab, "n1") == set(), 5, "nothing to keep out")


def test_what_was_left_by_a_death_goes_with_the_next_start(
    lab: Lab, worker: MakeWorker, server: None
) -> None:
    """Nothing else is left of the first life: no black box, and another configuration."""
    strict(lab, worker, *FOUR, excluded=SIX).kill()
    assert len(tables(lab, "n1")) == 2
    worker("n1", instance(addresses=FOUR, advert_int_cs=20)).start()
    wait_until(lambda: tables(lab, "n1") == [], 5, "no table")
    wait_until(lambda: "10.100.1.1" in lab.addresses("n1"), 5, "master")
    assert is_open(lab, plain(FOUR)[0])


def test_what_a_death_left_goes_although_the_worker_is_stopped_at_once(lab: Lab, worker: MakeWorker) -> None:
    made = strict(lab, worker, *FOUR)
    made.kill()
    made.start()
    made.stop()
    assert tables(lab, "n1") == []
    assert "10.100.1.1" not in lab.addresses("n1")


def test_a_backup_keeps_nothing_out(lab: Lab, worker: MakeWorker, server: None) -> None:
    made = strict(lab, worker, *FOUR, priority=200)
    peer = worker("n2", instance(priority=100, accept=False, addresses=FOUR, advert_int_cs=20)).start()
    time.sleep(0.3)
    assert kept_out(lab, "n2") == set()
    made.stop()
    wait_until(lambda: "10.100.1.1" in lab.addresses("n2"), 5, "taken over")
    assert kept_out(lab, "n2") == {"10.100.1.1"}
    strict(lab, worker, *FOUR, priority=200)
    wait_until(lambda: kept_out(lab, "n2") == set(), 5, "given back")
    assert "firewall_refused" not in peer.log()


def test_a_hand_over_lets_nobody_in() -> None:
    """The leaver serves until its successor speaks: ARP and nothing else."""
    with Lab(("n1", "n2", "c")) as lab:
        values: dict[str, Any] = {"advert_int_cs": 50, "accept": False, "addresses": FOUR}
        made = [
            Worker(lab, node, instance(priority=priority, **values), handover=True)
            for node, priority in (("n1", 200), ("n2", 100))
        ]
        try:
            for one in made:
                one.start()
            wait_until(lambda: "10.100.1.1" in lab.addresses("n1"), 10, "master")
            probe = lab.probe("c", "icmp", "10.100.1.1", 0.001, 0.3)
            time.sleep(0.3)
            assert made[0].stop() > 0.1
            wait_until(lambda: "10.100.1.1" in lab.addresses("n2"), 5, "taken over")
            time.sleep(0.2)
            assert [answer for answer in probe.stop() if answer.ok] == []
            assert tables(lab, "n1") == []
            assert kept_out(lab, "n2") == {"10.100.1.1"}
        finally:
            for one in made:
                one.close()


def test_reload(lab: Lab, worker: MakeWorker, server: None) -> None:
    made = strict(lab, worker, *FOUR)
    config = made.slice.instances[0]
    more = dataclasses.replace(
        config, virtual_addresses=instance(addresses=("10.100.1.3/16",)).virtual_addresses
    )
    made.reload(more)
    wait_until(
        lambda: kept_out(lab, "n1") == {"10.100.1.3"}, 5, "the address that came, not the one that went"
    )
    made.reload(config, nftables="other", nftables_ifindex=True, nftables_counters=True, nftables_priority=-7)
    wait_until(lambda: {table.name for table in tables(lab, "n1")} == {"other"}, 5, "the table of that name")
    wait_until(lambda: kept_out(lab, "n1", "other") == {"10.100.1.1"}, 5, "the first address again")
    assert is_shut(lab, "10.100.1.1")
    made.reload(dataclasses.replace(config, accept=True))
    wait_until(lambda: tables(lab, "n1") == [], 5, "let in")
    assert is_open(lab, "10.100.1.1")
    made.reload(config)
    wait_until(lambda: kept_out(lab, "n1") == {"10.100.1.1"}, 5, "kept out again")
    assert is_shut(lab, "10.100.1.1")
    assert made.log().count('"to": "MASTER"') == 1


def test_interfaces_by_index(lab: Lab, worker: MakeWorker, server: None) -> None:
    made = worker(
        "n1", instance(accept=False, addresses=SIX, advert_int_cs=20), nftables_ifindex=True
    ).start()
    wait_until(lambda: set(plain(SIX)) <= lab.addresses("n1"), 10, "master")
    for address in plain(SIX):
        assert is_shut(lab, address)
    made.stop()


Undo = Callable[[NftSocket], None]


def _flush(asked: NftSocket) -> None:
    asked.commit([nft.delete_table(nft.IP, "keepalived")])


def _take_out(asked: NftSocket) -> None:
    asked.commit([nft.delete_elements(nft.IP, "keepalived", "vips", [ip_address("10.100.1.1").packed])])


def _put_in(asked: NftSocket) -> None:
    asked.commit([nft.new_rule(nft.IP, "keepalived", "in", nft.verdict(nft.ACCEPT))])


@pytest.mark.parametrize("deed", [_flush, _take_out, _put_in])
def test_what_somebody_else_does_to_the_tables_is_undone(
    lab: Lab, worker: MakeWorker, server: None, deed: Undo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewall, "_LOOK_EVERY_S", 0.3)
    made = strict(lab, worker, *FOUR)
    deed(nft_in(lab, "n1"))
    wait_until(lambda: "firewall_repaired" in made.log(), 5, "seen")
    assert is_shut(lab, plain(FOUR)[0])


def test_a_table_of_that_name_that_others_left_is_replaced_and_other_tables_are_not(
    lab: Lab, worker: MakeWorker
) -> None:
    asked = nft_in(lab, "n1")
    asked.commit([nft.new_table(nft.IP, "keepalived"), nft.new_table(nft.IP, "filter"),
                  nft.new_table(nft.IP6, "keepalived", "somebody else's")])  # fmt: skip
    made = strict(lab, worker, *FOUR)
    assert kept_out(lab, "n1") == {"10.100.1.1"}
    made.stop()
    left = [(table.family, table.name) for table in tables(lab, "n1")]
    assert sorted(left) == [(nft.IP, "filter"), (nft.IP6, "keepalived")]


def test_vrrp_goes_on_without_a_firewall_and_says_so(
    lab: Lab, worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: NftSocket, _messages: list[bytes]) -> None:
        raise NftError("Operation not supported")

    with monkeypatch.context() as broken:
        broken.setattr(NftSocket, "commit", refuse)
        broken.setattr(firewall, "_RETRY_S", 0.2)
        made = strict(lab, worker, *FOUR)
    wait_until(lambda: "firewall_refused" in made.log(), 5, "said")
    time.sleep(1.0)
    assert made.log().count("firewall_refused") == 1
    made.stop()
    assert "10.100.1.1" not in lab.addresses("n1")
