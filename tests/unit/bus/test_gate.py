"""Who may speak where."""

from __future__ import annotations

import pytest

from bus.gate import CONNECTIONS_KEPT, Gate, peer_pid


@pytest.mark.parametrize(
    ("text", "pid"),
    [
        ("localhost:0:0:6788", 6788),
        ("node-1:65534:65534:1", 1),
        ("host:with:colons:0:0:9", 9),
        ("localhost:0:0:0", None),
        ("localhost:0:0:-4", None),
        ("localhost:0:0:", None),
        ("192.0.2.1", None),
        ("", None),
    ],
)
def test_the_pid_of_a_peer_address(text: str, pid: int | None) -> None:
    assert peer_pid(text) == pid


def test_only_the_named_process_is_present() -> None:
    gate = Gate()
    gate.note("vrrp", b"a", 10)
    assert gate.verdict("vrrp", b"a") == "stranger"
    gate.name("vrrp", 10)
    assert gate.verdict("vrrp", b"a") == "present"
    gate.note("checker", b"a", 10)
    assert gate.verdict("checker", b"a") == "stranger"
    assert gate.verdict("vrrp", b"unseen") == "stranger"


def test_a_predecessor_is_former_and_a_returning_pid_present_again() -> None:
    gate = Gate()
    for connection, pid in ((b"a", 10), (b"b", 11)):
        gate.name("vrrp", pid)
        gate.note("vrrp", connection, pid)
    assert (gate.verdict("vrrp", b"a"), gate.verdict("vrrp", b"b")) == ("former", "present")
    gate.name("vrrp", 10)
    assert (gate.verdict("vrrp", b"a"), gate.verdict("vrrp", b"b")) == ("present", "former")


def test_nobody_is_named_by_pid_0_and_an_invisible_process_is_nobody() -> None:
    gate = Gate()
    gate.name("vrrp", 0)
    gate.note("vrrp", b"a", None)
    assert gate.verdict("vrrp", b"a") == "stranger"


def test_connections_are_bounded() -> None:
    gate = Gate()
    for index in range(CONNECTIONS_KEPT + 5):
        gate.note("vrrp", str(index).encode(), 1)
    assert not gate.known("vrrp", b"4")
    assert gate.known("vrrp", b"5")
