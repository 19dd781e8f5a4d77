"""The control channel: typed, bounded, never blocking, and safe against nonsense."""

from __future__ import annotations

import dataclasses
import os
import random
import socket

import msgpack
import pytest

from worker import control
from worker.control import (
    Apply,
    Channel,
    ControlClosed,
    ControlError,
    Heartbeat,
    Prepare,
    Store,
    WorkerEnd,
    decode,
    encode,
    make_slice,
)


def ends() -> tuple[Channel, WorkerEnd]:
    ours, theirs = control.pair()
    return ours, WorkerEnd(theirs, version="0", role="vrrp", incarnation=7)


@pytest.mark.parametrize(
    "kinds", [control.TO_WORKER, control.TO_SUPERVISOR], ids=["to_worker", "to_supervisor"]
)
def test_every_message_survives_the_wire(kinds: dict[str, type[control.Message]]) -> None:
    samples = {"int": 5, "str": "x", "bytes": b"\0\1", "float": 1.5}
    for cls in kinds.values():
        values = {
            item.name: samples[str(item.type)]
            for item in dataclasses.fields(cls)
            if (cls.KIND, item.name) not in control._OFF_WIRE
        }
        message = cls(**values)
        assert decode(encode(message), kinds) == message


def test_a_slice_travels_as_a_sealed_memfd() -> None:
    ours, theirs = ends()
    fd = make_slice("slice", b"s" * 200_000)
    ours.send(Prepare(generation=3), fd)
    os.close(fd)
    assert theirs.receive() == [Prepare(generation=3, payload=b"s" * 200_000)]


def test_an_unsealed_slice_is_refused() -> None:
    ours, theirs = ends()
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(fd, b"still writable")
    ours.send(Prepare(generation=3), fd)
    with pytest.raises(ControlError, match="not sealed"):
        theirs.receive()


def test_a_stored_socket_works_at_the_other_end() -> None:
    ours, theirs = ends()
    left, right = socket.socketpair()
    theirs.store("rx:eth0:4", right.fileno())
    right.close()
    (message,) = ours.receive()
    assert isinstance(message, Store)
    left.send(b"advert")
    assert os.read(message.fd, 10) == b"advert"


def test_sending_never_blocks_and_keeps_the_order() -> None:
    ours, theirs = ends()
    for number in range(20_000):
        ours.send(Apply(generation=number))
    assert ours.backlog > 0
    seen: list[control.Message] = []
    while len(seen) < 20_000:
        seen += theirs.receive()
        ours.flush()
    assert seen == [Apply(generation=number) for number in range(20_000)]


def test_heartbeats_do_not_pile_up_behind_a_stopped_supervisor() -> None:
    ours, theirs = ends()
    for _ in range(200_000):
        theirs.heartbeat()
        if theirs.backlog:
            break
    for _ in range(1000):
        theirs.heartbeat()
    assert theirs.backlog == 1
    assert Heartbeat() in ours.receive()


def test_the_end_of_the_other_side_is_noticed_after_its_last_words() -> None:
    ours, theirs = ends()
    theirs.ready()
    theirs.close()
    assert len(ours.receive()) == 1
    with pytest.raises(ControlClosed):
        ours.receive()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"v": 2, "t": "stop"}, "version 2"),
        ({"v": 1, "t": "explode"}, "unknown control message"),
        ({"v": 1, "t": "apply", "generation": "1"}, "generation is a str, not int"),
        ({"v": 1, "t": "apply", "generation": True}, "generation is a bool, not int"),
        ({"v": 1, "t": "apply"}, "generation is missing"),
        ({"v": 1, "t": "stop", "x": 1}, "unknown field x"),
        ([1], "not a map"),
    ],
)
def test_wrong_messages_are_named(body: object, text: str) -> None:
    with pytest.raises(ControlError, match=text):
        decode(msgpack.packb(body), control.TO_WORKER)


@pytest.mark.parametrize(
    "kinds", [control.TO_WORKER, control.TO_SUPERVISOR], ids=["to_worker", "to_supervisor"]
)
def test_a_hundred_thousand_malformed_messages_raise_one_type_only(
    kinds: dict[str, type[control.Message]],
) -> None:
    dice = random.Random(4)
    samples = {"int": 5, "str": "eth0", "bytes": b"\0\1", "float": 1.5}
    good = []
    for cls in kinds.values():
        items = [item for item in dataclasses.fields(cls) if (cls.KIND, item.name) not in control._OFF_WIRE]
        good.append(encode(cls(**{item.name: samples[str(item.type)] for item in items})))
    refused = 0
    for number in range(50_000):
        data = bytearray(good[number % len(good)])
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if dice.random() < 0.2:
            del data[dice.randrange(len(data)) :]
        try:
            decode(bytes(data), kinds)
        except ControlError:
            refused += 1
    assert refused > 40_000


def test_too_long_is_refused_by_the_sender() -> None:
    with pytest.raises(ControlError, match="over 65536"):
        encode(control.Refused(generation=1, reason="x" * 70_000))
