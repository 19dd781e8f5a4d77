"""What the worker says on the bus, read by hand off its ingress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_interface

import pytest
import zmq

from bus.envelope import Begin, Change, End, Envelope, decode
from bus.messages import VrrpInstanceState, VrrpTransition
from tests.lab import Lab
from tests.netns.vrrp.conftest import MakeWorker
from tests.netns.vrrp.harness import instance


class Ingress:
    """A bare ROUTER in the broker's place."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(endpoint)
        self.heard: list[Envelope] = []

    def listen(self, seconds: float) -> list[Envelope]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._socket.poll(50):
                self.heard.append(decode(self._socket.recv_multipart()[-1]))
        return self.heard

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()


@pytest.fixture
def ingress(lab: Lab) -> Iterator[Ingress]:
    made = Ingress(f"ipc://{lab.dir}/in.vrrp")
    yield made
    made.close()


def _states(heard: list[Envelope]) -> list[VrrpInstanceState]:
    return [e.message for e in heard if isinstance(e, Change) and isinstance(e.message, VrrpInstanceState)]


def _transitions(heard: list[Envelope]) -> list[VrrpTransition]:
    return [e.message for e in heard if isinstance(e, Change) and isinstance(e.message, VrrpTransition)]


def test_states_and_transitions(lab: Lab, worker: MakeWorker, ingress: Ingress) -> None:
    made = worker("n1", instance(advert_int_cs=10)).start()
    heard = ingress.listen(1.5)
    assert any(isinstance(e, Begin) and e.epoch == 1 for e in heard)
    assert any(isinstance(e, End) for e in heard)
    last = _states(heard)[-1]
    assert (last.instance, last.interface, last.vrid, last.family, last.version) == ("VI", "e0", 51, 4, 3)
    assert (last.state, last.priority, last.base_priority) == ("MASTER", 100, 100)
    assert (last.master_address, last.master_priority) == (lab.address("n1"), 100)
    assert last.addresses == (ip_interface("192.0.2.100/24"),)
    assert last.transitions == 2
    assert abs(last.since_wall_at - time.time()) < 10
    changes = [(t.from_state, t.to_state, t.cause.trigger) for t in _transitions(heard)]
    assert changes == [("INIT", "BACKUP", "start"), ("BACKUP", "MASTER", "timer")]
    seen = len(_states(heard))
    assert len(_states(ingress.listen(1.0))) == seen  # adverts alone are no news
    made.stop()
    assert _transitions(ingress.listen(0.5))[-1].cause.trigger == "stop"


def test_restart_is_no_transition_and_keeps_the_count(lab: Lab, worker: MakeWorker, ingress: Ingress) -> None:
    made = worker("n1", instance(advert_int_cs=20)).start()
    ingress.listen(1.5)
    made.kill()
    ingress.heard.clear()
    made.start()
    heard = ingress.listen(1.0)
    last = _states(heard)[-1]
    assert (last.state, last.transitions, last.addresses) == ("MASTER", 2, (ip_interface("192.0.2.100/24"),))
    assert last.cause.trigger == "resume"
    assert _transitions(heard) == []
    assert {e.incarnation for e in heard} == {2}


def test_backup_names_its_master(lab: Lab, worker: MakeWorker, ingress: Ingress) -> None:
    other = worker("n2", instance(priority=200, advert_int_cs=10))
    other.start()
    ingress.listen(1.0)
    ingress.heard.clear()
    worker("n1", instance(priority=100, advert_int_cs=10)).start()
    mine = [s for s in _states(ingress.listen(1.0)) if s.priority == 100][-1]
    assert (mine.state, mine.master_address, mine.master_priority) == (
        "BACKUP",
        IPv4Address("10.100.0.2"),
        200,
    )
    assert mine.addresses == ()
