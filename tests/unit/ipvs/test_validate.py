"""What is refused before anything is touched, and in which words."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ipvs_proc.validate import problems
from keepalived_conf.model import Place, RealServer
from tests.unit.ipvs.builders import config, real, virtual


def test_what_can_be_served_is_not_refused() -> None:
    six = RealServer(address=ip_address("2001:db8::1"), port=80, lvs_method="TUN")
    assert problems(config(virtual(real(1), six, sorry_server=real(9)), virtual(port=443))) == []
    assert problems(config(virtual(address=None, protocol=None, fwmark=1, port=0))) == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"scheduler": "fastest"}, "lvs_sched 'fastest' is not a scheduler: use one of dh fo lblc"),
        ({"address": None}, "needs an address and a protocol, or a fwmark"),
        ({"protocol": None}, "needs an address and a protocol, or a fwmark"),
        ({"family": 6}, "is said to be IPv6"),
        ({"address": None, "protocol": None, "fwmark": 0}, "fwmark must be 1..4294967295"),
        ({"persistence_prefix": 33}, "persistence_granularity must be a prefix length of 1..32"),
    ],
    ids=str,
)
def test_services(values: dict[str, Any], says: str) -> None:
    (found,) = problems(config(virtual(**values)))
    assert says in found


def test_servers_of_the_other_family_need_a_tunnel() -> None:
    six = RealServer(address=ip_address("2001:db8::1"), port=80)
    for virtual_server in (virtual(six), virtual(sorry_server=six)):
        (found,) = problems(config(virtual_server))
        assert "[2001:db8::1]:80" in found
        assert "lvs_method TUN" in found


def test_twins_are_named() -> None:
    (found,) = problems(config(virtual(real(1)), virtual(real(2))))
    assert "[192.0.2.1]:tcp:80 is defined twice" in found


def test_the_place_is_named() -> None:
    places = {
        "": Place(file="a.conf", line=3, column=1),
        "lvs_sched": Place(file="a.conf", line=5, column=9),
    }
    (found,) = problems(config(replace(virtual(scheduler="x"), places=places)))
    assert found.startswith("a.conf:5:9: virtual_server")
