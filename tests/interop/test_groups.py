"""A sync group of an IPv4 and an IPv6 router, one node ours and one keepalived's, both ways round: they
move together whoever is the peer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.lab import Daemon, Lab, conf, programs
from tests.lab.system import wait_until

V4, V6 = "10.100.1.1", "fd00:100::1:51"
INTERVAL_S = 0.5
PATIENCE_S = 20.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (network namespaces)")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(("n1", "n2"), ipv6=True) as made:
        for node in ("n1", "n2"):
            made.ip(node, "link", "add", "d0", "type", "veth", "peer", "name", "d1")
            for dev in ("d0", "d1"):
                made.ip(node, "link", "set", dev, "up")
        yield made


def config(priority: int) -> str:
    """V4 follows the interface ``d0``, V6 only its own."""
    return (
        conf.global_defs("vrrp_garp_master_delay 1")
        + "vrrp_sync_group VG {\n    group {\n        V4\n        V6\n    }\n}\n"
        + conf.instance(
            "V4",
            vrid=51,
            priority=priority,
            advert_int=INTERVAL_S,
            addresses=[f"{V4}/16"],
            extra=["track_interface {", "d0", "}"],
        )
        + conf.instance(
            "V6",
            vrid=52,
            priority=priority,
            advert_int=INTERVAL_S,
            addresses=["fe80::51:1/64", f"{V6}/64"],
        )
    )


def held(lab: Lab, node: str) -> set[str]:
    return {V4, V6} & lab.addresses(node)


def moved(lab: Lab, to: str, off: str) -> None:
    wait_until(lambda: held(lab, to) == {V4, V6}, PATIENCE_S, f"{to} has both addresses")
    wait_until(lambda: not held(lab, off), PATIENCE_S, f"{off} has none")


def start(lab: Lab, node: str, name: str, priority: int) -> Daemon:
    return lab.daemon(node, programs.program(name), config(priority)).start()


@pytest.mark.parametrize(
    ("better", "other"), [("ours", "keepalived"), ("keepalived", "ours"), ("keepalived", "keepalived")]
)
def test_both_move_together(lab: Lab, better: str, other: str) -> None:
    for name in (better, other):
        if why := programs.missing(name):
            pytest.skip(why)
    second = start(lab, "n2", other, 100)
    moved(lab, "n2", "n1")
    first = start(lab, "n1", better, 150)
    moved(lab, "n1", "n2")  # the better one preempts with both
    lab.ip("n1", "link", "set", "d0", "down")
    moved(lab, "n2", "n1")  # a fault of V4 alone
    time.sleep(3 * INTERVAL_S)
    assert (held(lab, "n1"), held(lab, "n2")) == (set(), {V4, V6})
    lab.ip("n1", "link", "set", "d0", "up")
    moved(lab, "n1", "n2")
    time.sleep(3 * INTERVAL_S)
    assert (held(lab, "n1"), held(lab, "n2")) == ({V4, V6}, set())
    first.terminate()
    moved(lab, "n2", "n1")
    assert first.wait() == 0
    second.terminate()
    wait_until(lambda: not held(lab, "n2"), PATIENCE_S, "nobody has them")
    assert second.wait() == 0
