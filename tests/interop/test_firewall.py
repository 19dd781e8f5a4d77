"""What a client reaches at a master under vrrp_strict, no_accept and accept: here and under keepalived.

And what else strict mode changes on the wire.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from tests.lab import Lab, conf, programs, reach
from tests.lab.system import in_netns, wait_until
from tests.lab.wire import V4_GROUP, build_advert

NODE, CLIENT, PORT = "n1", "c", 7118
FOUR, FOUR_EXCLUDED = "10.100.1.1", "10.100.1.2"
LINK_LOCAL, SIX = "fe80::51:1", "fd00:100::1:51"
SHUT_S, OPEN_S, ANSWERS_S = 0.5, 10.0, 2.0
BOTH = ("ours", "keepalived")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A master's configuration and whether its addresses are to answer."""

    name: str
    lets_in: bool
    global_lines: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    family: int = 4
    version: int = 3
    priority: int = 100
    auth_pass: str | None = None
    answers_losers: bool = True
    """Whether a losing advert is answered by one of ours."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return (FOUR,) if self.family == 4 else (LINK_LOCAL, SIX)

    def config(self) -> str:
        length = 16 if self.family == 4 else 64
        return conf.global_defs("vrrp_garp_master_delay 0", *self.global_lines) + conf.instance(
            priority=self.priority,
            version=self.version,
            advert_int=1,
            addresses=[f"{address}/{length}" for address in self.addresses],
            excluded=[f"{FOUR_EXCLUDED}/16"],
            auth_pass=self.auth_pass,
            extra=self.lines,
        )


STRICT = ("vrrp_strict",)
CASES = (
    Case(name="plain", lets_in=True),
    Case(name="strict v3", lets_in=False, global_lines=STRICT, answers_losers=False),
    Case(name="strict v2", lets_in=False, global_lines=STRICT, version=2, auth_pass="s3cret12",
         answers_losers=False),
    Case(name="strict and accept", lets_in=True, global_lines=STRICT, lines=("accept",),
         answers_losers=False),
    Case(name="strict v2 and accept", lets_in=False, global_lines=STRICT, lines=("accept",), version=2,
         answers_losers=False),
    Case(name="strict owner", lets_in=True, global_lines=STRICT, priority=255, answers_losers=False),
    Case(name="strict_mode of the instance", lets_in=False, lines=("strict_mode",), answers_losers=False),
    Case(name="not strict here", lets_in=True, global_lines=STRICT, lines=("strict_mode off",)),
    Case(name="no_accept", lets_in=False, lines=("no_accept",)),
    Case(name="owner with no_accept", lets_in=True, lines=("no_accept",), priority=255),
    Case(name="no_accept IPv6", lets_in=False, lines=("no_accept",), family=6),
    Case(name="strict IPv6", lets_in=False, global_lines=STRICT, family=6, answers_losers=False),
    Case(name="another table, by index", lets_in=False, lines=("no_accept",), family=6,
         global_lines=("nftables mine", "nftables_ifindex", "nftables_counters", "nftables_priority 7")),
)  # fmt: skip

Seen = dict[str, Any]


def observed(case: Case, program: str) -> Seen:
    """Everything that is compared: what answers, and what is on the wire."""
    with Lab((NODE, CLIENT), ipv6=True) as lab:
        wire = lab.observer()
        daemon = lab.daemon(NODE, programs.program(program), case.config()).start()
        wanted = {*case.addresses, FOUR_EXCLUDED}
        wait_until(
            lambda: wanted <= lab.addresses(NODE), 30, f"{program} is master: {daemon.log_text()[-800:]}"
        )
        listeners = reach.listen(lab, NODE, PORT)
        patience_s = OPEN_S if case.lets_in else SHUT_S
        seen: Seen = {}
        own = (lab.address(NODE), lab.address6(NODE), lab.link_local(NODE))
        for address, timeout_s in [
            *((str(a), OPEN_S) for a in own),
            *((a, patience_s) for a in sorted(wanted)),
        ]:
            seen[f"echo {address}"] = reach.echoes(lab, CLIENT, address, timeout_s)
            seen[f"tcp {address}"] = reach.connects(lab, CLIENT, address, PORT, timeout_s)
            seen[f"neighbour {address}"] = reach.neighbour(lab, CLIENT, address) == lab.mac(NODE)
        adverts = wire.adverts(active=True)
        seen["authentication"] = sorted(
            {advert.auth_type for advert in adverts if advert.auth_type is not None}
        )
        if case.family == 4 and case.version == 3:
            seen["answers losers"] = _answers(lab, wire)
        for listener in listeners:
            listener.close()
        return seen


def _answers(lab: Lab, wire: Any) -> bool:
    """Whether five losing adverts within half an interval bring more than the one each second."""
    source = lab.address(CLIENT)
    with in_netns(lab.ns(CLIENT)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    since = time.time()
    with sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        sock.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", source.packed, source.packed, 0)
        )
        for _advert in range(5):
            data = build_advert(
                version=3,
                src=source,
                dst=V4_GROUP,
                vrid=51,
                priority=1,
                interval_cs=100,
                addresses=[IPv4Address(FOUR)],
            )
            sock.sendto(data, (str(V4_GROUP), 0))
            time.sleep(0.1)
    while (elapsed_s := time.time() - since) < ANSWERS_S:
        if len(wire.adverts(since, src=lab.address(NODE))) >= elapsed_s + 2.5:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[tuple[Case, str], Future[Seen]]]:
    if os.geteuid():
        pytest.skip("needs root, or ./run test in a user namespace of its own (network namespaces)")
    with ThreadPoolExecutor(8) as pool:
        yield {
            (case, program): pool.submit(observed, case, program)
            for case in CASES
            for program in BOTH
            if programs.missing(program) is None
        }


@pytest.mark.parametrize("firewall", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("program", BOTH)
def test_what_a_client_reaches(
    runs: dict[tuple[Case, str], Future[Seen]], firewall: Case, program: str
) -> None:
    """The same of both daemons."""
    if why := programs.missing(program):
        pytest.skip(why)
    seen = runs[firewall, program].result()
    virtual = {*firewall.addresses, FOUR_EXCLUDED}
    for what, answered in seen.items():
        kind, _, address = what.partition(" ")
        if kind in ("echo", "tcp"):
            assert answered is (firewall.lets_in or address not in virtual), what
        if kind == "neighbour":
            assert answered, what
    assert seen["authentication"] in ([], [0]), "strict mode allows none"
    if "answers losers" in seen:
        assert seen["answers losers"] is firewall.answers_losers
