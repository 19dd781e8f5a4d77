"""What we write and what ipvsadm reads are the same, for everything a configuration can ask for."""

from __future__ import annotations

import errno
import re
from typing import Any

import pytest

from ipvs_proc.desired import Memory, desired
from ipvs_proc.model import SCHEDULERS, SVC_F_ONEPACKET, SVC_F_PERSISTENT
from ipvs_proc.netlink import NetlinkIpvs
from ipvs_proc.port import read_table
from ipvs_proc.reconcile import AddService, reconcile
from tests.kernel import ipvsadm
from tests.unit.ipvs.builders import config, destination, entry, fwmark, key, real, service, table, virtual
from tests.unit.ipvs.contract import address_for, done

IN_EVERY_KERNEL = SCHEDULERS - {"twos"}
"""``twos`` came with Linux 5.16 and is left out of many builds, the test kernel's among them."""

KEYS = (key(), key("2001:db8::1"), fwmark(7), fwmark(7, 6), key(port=53, protocol="UDP"))


def reach(port: NetlinkIpvs, wanted: Any) -> None:
    done(port, *reconcile(wanted, read_table(port), owned=set(read_table(port))))


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_every_scheduler(port: NetlinkIpvs, scheduler: str) -> None:
    wanted = table(*(entry(service(k, scheduler), destination(address_for(k, 1))) for k in KEYS))
    (error,) = port.perform([AddService(service=service(KEYS[0], scheduler))])
    if error is not None and scheduler not in IN_EVERY_KERNEL:
        assert error.code == errno.ENOENT
        assert f"modprobe ip_vs_{scheduler}" in str(error)
        pytest.skip(f"this kernel was built without ip_vs_{scheduler}")
    assert error is None
    reach(port, wanted)
    assert ipvsadm.table() == wanted


@pytest.mark.parametrize("method", ["NAT", "DR", "TUN"])
@pytest.mark.parametrize("key_", KEYS, ids=str)
def test_every_method_and_weight(port: NetlinkIpvs, key_: Any, method: str) -> None:
    servers = [
        destination(address_for(key_, n), key_.port, method=method, weight=weight)
        for n, weight in ((1, 0), (2, 1), (3, 65535))
    ]
    wanted = table(entry(service(key_), *servers))
    reach(port, wanted)
    assert ipvsadm.table() == wanted


@pytest.mark.parametrize(
    ("key_", "values"),
    [
        (key(), {"timeout_s": 360}),
        (key(), {"timeout_s": 360, "prefix_length": 24}),
        (key("2001:db8::1"), {"timeout_s": 60, "prefix_length": 64}),
        (fwmark(7), {"timeout_s": 60, "prefix_length": 16}),
        (fwmark(7, 6), {"timeout_s": 60, "prefix_length": 96}),
        (key(protocol="UDP"), {"flags": SVC_F_ONEPACKET}),
        (key(), {"scheduler": "sh", "flags": 0x08}),
        (key(), {"scheduler": "sh", "flags": 0x18}),
        (key(), {"scheduler": "mh", "flags": 0x10}),
        (key(), {"scheduler": "sh", "timeout_s": 60, "flags": SVC_F_PERSISTENT | 0x10}),
    ],
    ids=str,
)
def test_persistence_and_flags(port: NetlinkIpvs, key_: Any, values: dict[str, Any]) -> None:
    wanted = table(entry(service(key_, **values)))
    reach(port, wanted)
    assert ipvsadm.table() == wanted


def test_what_ipvsadm_writes_we_read(port: NetlinkIpvs) -> None:
    for line in (
        "-A -t 192.0.2.1:80 -s wrr -p 300 -M 255.255.255.0",
        "-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 5 -x 100 -y 50",
        "-a -t 192.0.2.1:80 -r 10.0.0.2:80 -i -w 0",
        "-A -u 192.0.2.1:53 -s rr -o",
        "-A -f 7 -6 -s sh -b sh-port",
        "-a -f 7 -6 -r [2001:db8:1::1]:0 -g -w 2",
    ):
        ipvsadm.ipvsadm(*line.split())
    assert read_table(port) == table(
        entry(
            service(key(), "wrr", timeout_s=300, prefix_length=24),
            destination("10.0.0.1", 8080, weight=5, upper_threshold=100, lower_threshold=50),
            destination("10.0.0.2", method="TUN", weight=0),
        ),
        entry(service(key(port=53, protocol="UDP"), flags=SVC_F_ONEPACKET)),
        entry(
            service(fwmark(7, 6), "sh", flags=0x10),
            destination("2001:db8:1::1", 0, method="DR", weight=2),
        ),
    )


@pytest.mark.parametrize("tunnel", ["ipip", "gue", "gre"])
def test_tunnel_options_of_others_are_read(port: NetlinkIpvs, tunnel: str) -> None:
    ipvsadm.ipvsadm(*["-A", "-t", "192.0.2.1:80", "-s", "rr"])
    extra = ["--tun-port", "6080"] if tunnel == "gue" else []
    ipvsadm.ipvsadm(*["-a", "-t", "192.0.2.1:80", "-r", "10.0.0.1:80", "-i", "--tun-type"], tunnel, *extra)
    (found,) = port.destinations(key())
    assert (found.tunnel_type, found.tunnel_port) == {"ipip": (0, 0), "gue": (1, 6080), "gre": (2, 0)}[tunnel]
    # Ours say plain IPIP, so this is drift and is mended in place.
    wanted = table(entry(service(key()), destination("10.0.0.1", method="TUN")))
    reach(port, wanted)
    assert read_table(port) == wanted


def test_tunnel_port_is_written_in_network_order(port: NetlinkIpvs) -> None:
    server = destination("10.0.0.1", method="TUN", tunnel_type=1, tunnel_port=6080)
    reach(port, table(entry(service(key()), server)))
    assert re.search(r"10\.0\.0\.1:80 +Tunnel +gue:6080", ipvsadm.ipvsadm("-Ln", "--tun-info"))
    assert port.destinations(key()) == [server]


def test_thresholds(port: NetlinkIpvs) -> None:
    server = destination("10.0.0.1", upper_threshold=1000, lower_threshold=900)
    reach(port, table(entry(service(key()), server)))
    assert re.search(r"10\.0\.0\.1:80 +1000 +900 ", ipvsadm.ipvsadm("-Ln", "--thresholds"))


def test_timeouts(port: NetlinkIpvs) -> None:
    ipvsadm.ipvsadm("--set", "100", "20", "30")
    found = port.timeouts()
    assert (found.tcp_s, found.tcp_fin_s, found.udp_s) == (100, 20, 30)


def test_a_whole_configuration(port: NetlinkIpvs) -> None:
    slice_ = config(
        virtual(real(1, "a", weight=3), real(2, "b"), sorry_server=real(9), scheduler="wrr"),
        virtual(real(1, "c"), sorry_server=real(9), port=443, lvs_method="DR"),
        virtual(real(1, port=0), address=None, protocol=None, fwmark=5, port=0, persistence_timeout_s=50),
    )
    decision = desired(slice_, {"a": True, "b": False, "c": False}, Memory())
    reach(port, decision.table)
    assert ipvsadm.table() == decision.table
