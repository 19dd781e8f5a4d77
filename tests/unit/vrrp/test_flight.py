"""Entries of the flight recorder: what is written is read back, and what is damaged is left out."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrp_proc import flight
from vrrp_proc.effects import Reason, State, Trigger
from vrrp_proc.flight import Change
from worker.blackbox import MAX_RING_BYTES

PEER = IPv4Address("192.0.2.2")
CHANGE = Change(
    from_state="MASTER",
    to_state="BACKUP",
    trigger="advert",
    reason="beaten",
    own_priority=100,
    peer=PEER,
    peer_priority=150,
    late_s=0.012,
)


def test_an_advert_and_an_event_are_read_back() -> None:
    assert flight.read(flight.advert(1.5, 3, 200, IPv6Address("fe80::2"))) == flight.Note(
        at=1.5, slot=3, text="advert priority 200 from fe80::2"
    )
    assert flight.read(flight.event(2.0, 4, "InterfaceDown e0")).text == "InterfaceDown e0"


@pytest.mark.parametrize("peer", [None, IPv4Address("192.0.2.2"), IPv6Address("2001:db8::1")])
@pytest.mark.parametrize("detail", ["", "script chk is bad (exit status 1)"])
def test_a_transition_is_read_back(peer: IPv4Address | IPv6Address | None, detail: str) -> None:
    change = Change(
        from_state="INIT", to_state="FAULT", trigger="script", reason="fault", own_priority=100, peer=peer,
        peer_priority=0, late_s=0.25, detail=detail,
    )  # fmt: skip
    (note,) = flight.read_all(flight.transition(7.0, 1, change))
    assert note.change == change
    assert note.text == "INIT -> FAULT" + (f" ({detail})" if detail else "")


def test_every_transition_fits_the_ring() -> None:
    for trigger in Trigger:
        for reason in Reason:
            for state in State:
                change = Change(
                    from_state=state.value, to_state="MASTER", trigger=trigger.value, reason=reason.value,
                    own_priority=255, peer=IPv4Address("203.0.113.200"), peer_priority=255, late_s=99.0,
                    detail="x" * 500,
                )  # fmt: skip
                entries = flight.transition(0.0, 511, change)
                assert all(len(entry) <= MAX_RING_BYTES for entry in entries)
                (note,) = flight.read_all(entries)
                assert note.change is not None
                assert (note.change.from_state, note.change.trigger) == (state.value, trigger.value)
                assert note.change.reason == reason.value


def test_words_of_another_transition_are_not_joined() -> None:
    first, words = flight.transition(1.0, 0, CHANGE)[0], flight.transition(2.0, 0, _with_words())[1]
    (note,) = flight.read_all([words, first, words])
    assert note.text == "MASTER -> BACKUP"


def test_damage_is_left_out() -> None:
    good = flight.event(1.0, 0, "Startup")
    advert, change = flight.advert(1.0, 0, 1, PEER)[:13], flight.transition(1.0, 0, CHANGE)[0][:14]
    damaged = [b"", good[:5], advert, change]
    assert [note.text for note in flight.read_all([*damaged, good])] == ["Startup"]
    with pytest.raises(ValueError, match="no flight-recorder entry"):
        flight.read(b"")


def _with_words() -> Change:
    return Change(
        from_state="BACKUP", to_state="FAULT", trigger="link", reason="fault", own_priority=1, peer=None,
        peer_priority=0, late_s=0.0, detail="interface e0 is down",
    )  # fmt: skip
