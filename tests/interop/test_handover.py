"""keepalived takes over from us on purpose, and we from it: what a client sees, and who has the address."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.lab import Daemon, Lab, conf, programs
from tests.lab.probes import longest_send_gap_s, outage_s
from tests.lab.system import wait_until

if os.geteuid():
    pytest.skip("needs root (network namespaces)", allow_module_level=True)

VIP = "10.100.1.1"
EVERY_S = 0.002
STALLED_S = 0.02


@pytest.fixture
def lab() -> Iterator[Lab]:
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    with Lab() as made:
        yield made


def start(lab: Lab, node: str, name: str, priority: int, version: int = 3) -> Daemon:
    text = conf.global_defs() + conf.instance(
        priority=priority, advert_int=1 if version == 2 else 0.5, addresses=[f"{VIP}/16"], version=version
    )
    return lab.daemon(
        node, programs.program(name), text, None if name == "keepalived" else "-n -l -D -P"
    ).start()


def holds(lab: Lab, node: str) -> bool:
    return VIP in lab.addresses(node)


@pytest.mark.parametrize("version", [2, 3])
def test_keepalived_as_the_successor(lab: Lab, version: int) -> None:
    """Its skew is 0.3 s (version 2: 0.6 s); in the RFC's order nobody would answer for so long."""
    wire = lab.observer()
    start(lab, "n1", "keepalived", 100, version)
    wait_until(lambda: holds(lab, "n1"), 30, "keepalived is master")
    lost: list[float] = []
    for _round in range(6):
        leaver = start(lab, "n2", "ours", 150, version)
        wait_until(lambda: holds(lab, "n2") and not holds(lab, "n1"), 30, "ours is master")
        time.sleep(1.2)
        client = lab.probe("c", "icmp", VIP, EVERY_S, 0.4)
        client.await_answer(10)
        since = leaver.terminate()
        assert leaver.wait() == 0
        wait_until(lambda: holds(lab, "n1"), 5, "taken over")
        time.sleep(0.2)
        answers = client.stop()
        zeros = wire.adverts(since, src=lab.address("n2"), active=False)
        heir = wire.adverts(since, src=lab.address("n1"), active=True)[0]
        assert len(zeros) == 1
        assert heir.at - zeros[0].at > 0.8 * conf.skew_s(100, 0.5, version)
        assert not holds(lab, "n2")
        if longest_send_gap_s(a for a in answers if a.sent_at > since) < STALLED_S:
            lost.append(outage_s(answers, EVERY_S))
        if len(lost) >= 3:
            break
    print(f"version {version}: lost {[round(s * 1000, 1) for s in lost]} ms")
    assert lost, "the host stalled all the time"
    # Less than 10 ms on a quiet host; in the RFC's order it would be the skew, 0.3 s and more.
    assert statistics.median(lost) < 0.05


def test_a_step_down_in_favour_of_keepalived(lab: Lab) -> None:
    from supervisor.operator import ask

    start(lab, "n1", "keepalived", 100)
    ours = start(lab, "n2", "ours", 150)
    wait_until(lambda: holds(lab, "n2") and not holds(lab, "n1"), 30, "ours is master")
    time.sleep(1.2)
    path = ours.folder / "run" / "operator.sock"
    answer = ask(path, "step-down", name="V1", reason="test", for_s=0.0)
    assert answer["text"].startswith(f"V1 handed over to {lab.address('n1')} in 0.")
    time.sleep(2.0)
    assert holds(lab, "n1")
    assert not holds(lab, "n2")
    ask(path, "resume", name="V1")
    wait_until(lambda: holds(lab, "n2") and not holds(lab, "n1"), 10, "ours is master again")
