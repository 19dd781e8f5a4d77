"""Who may speak, and what garbage does: forged, foreign and malformed messages at a real broker."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
import zmq

from bus.client import Publisher, boottime
from bus.envelope import Beat, Begin, Change, End, StreamStatus, encode, encode_beat, encode_head
from bus.messages import HealthChanged, ReloadState, State
from bus.outbox import Outbox
from bus.subscriber import Subscriber
from tests.chaos.bus.bench import ROOT, Bench, until
from tests.unit.bus.talk import check, transition

SPEAK = """
import sys, time, zmq
dealer = zmq.Context().socket(zmq.DEALER)
dealer.connect(sys.argv[1])
dealer.send(bytes.fromhex(sys.argv[2]))
time.sleep(60)
"""


@pytest.fixture
def running(bench: Bench) -> Bench:
    bench.name("vrrp", 1)
    bench.start()
    return bench


def change(**fields: object) -> bytes:
    values: dict[str, object] = {
        "op": "event", "publisher": "vrrp", "incarnation": 1, "stream": "e.vrrp", "number": 1, "key": "",
        "at": 1.0, "wall_at": 1.0, "generation": 1, "message": transition(1),
    }  # fmt: skip
    return encode(Change(**(values | fields)))  # type: ignore[arg-type]


def dealer(bench: Bench, role: str) -> zmq.Socket[bytes]:
    made: zmq.Socket[bytes] = bench.context.socket(zmq.DEALER)
    made.setsockopt(zmq.LINGER, 0)
    made.connect(bench.endpoint(f"in.{role}"))
    return made


def settled(bench: Bench, *publishers: Publisher) -> None:
    bench.drain(*publishers)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (change(), "claims to be vrrp"),
        (encode(Begin(publisher="vrrp", incarnation=9, epoch=1)), "claims to be vrrp"),
        (change(publisher="checker", stream="e.vrrp", message=HealthChanged(
            check_id="a", virtual_server="v", real_server="r", check_kind="TCP_CHECK", up=True, reason=""
        )), "publishes on e.vrrp"),
        (change(publisher="checker", stream="e.checker"), "does not publish vrrp_transition"),
    ],
)  # fmt: skip
def test_a_forged_publish_from_another_ingress_is_refused_and_reported(
    bench: Bench, data: bytes, why: str
) -> None:
    vrrp, checker = bench.publisher("vrrp"), bench.publisher("checker")
    bench.start()
    settled(bench, vrrp, checker)
    with Subscriber(bench.context, endpoint=bench.endpoint("out"), streams=["e.vrrp", "e.checker"]) as sub:
        sub.join(20.0)
        forger = dealer(bench, "checker")
        forger.send(data)
        report = bench.refused(why)
        assert (report.ingress, report.pid) == ("checker", os.getpid())
        # What comes after it on the same way is passed on: the forgery is not in between.
        vrrp.event(transition(7))
        settled(bench, vrrp)
        updates: list[object] = []

        def told() -> bool:
            updates.extend(sub.pump(boottime()))
            return bool(updates)

        until(told, "the genuine event is missing")
        [happened] = [update.record for update in updates if hasattr(update, "record")]
        assert happened.message == transition(7)
        forger.close()


def test_a_process_that_does_not_hold_the_role_is_refused_and_reported(bench: Bench) -> None:
    vrrp = bench.publisher("vrrp")
    bench.start()
    settled(bench, vrrp)
    command = [sys.executable, "-c", SPEAK, bench.endpoint("in.vrrp"), change().hex()]
    intruder = subprocess.Popen(command, cwd=ROOT)
    try:
        report = bench.refused("does not hold the role")
        assert (report.ingress, report.pid) == ("vrrp", intruder.pid)
        # Once the supervisor says so it holds the role, and we are the former holder.
        bench.reports.clear()
        bench.name("vrrp", intruder.pid)
        vrrp.event(transition(1))
        settled(bench, vrrp)
        bench.name("checker", os.getpid())
        forger = dealer(bench, "checker")
        forger.send(change())
        bench.refused("claims to be vrrp")
        # Our last words are no offence.
        assert not [report for report in bench.reports if report.ingress == "vrrp"]
        forger.close()
    finally:
        intruder.kill()
        intruder.wait()


def test_a_successor_named_before_it_speaks_is_never_refused(bench: Bench) -> None:
    """The name may still wait in the control channel when the first message comes."""
    bench.name("checker", 1)
    bench.start()
    for incarnation in range(1, 21):
        bench.name("checker", 1)
        worker = bench.publisher("checker", incarnation)
        worker.set_state(check(str(incarnation)))
        settled(bench, worker)
        worker.close()
        bench.publishers.remove(worker)
    last = bench.publisher("checker", 21)
    last.set_state(check("last"))
    with Subscriber(bench.context, endpoint=bench.endpoint("out"), streams=["s.checker"]) as sub:

        def known() -> bool:
            last.pump(boottime())
            sub.pump(boottime())
            return sub.records("s.checker").keys() == {"last"}

        until(known, "the last incarnation's set")
    bench.listen()
    assert bench.reports == []


def test_the_supervisor_speaks_through_the_control_channel(running: Bench) -> None:
    outbox = Outbox(role="supervisor", incarnation=5)
    record: State = ReloadState(
        generation=1, attempted=1, result="applied", errors=(), since_at=1.0, since_wall_at=1.0
    )
    outbox.set_state(record, at=1.0, wall_at=1.0, generation=1)
    outbox.announce(running.epoch)
    while (payload := outbox.peek(1.0)) is not None:
        running.mirror(payload)
        outbox.pop()
    with Subscriber(running.context, endpoint=running.endpoint("out"), streams=["s.supervisor"]) as sub:
        sub.join(20.0)
        assert [known.message for known in sub.records("s.supervisor").values()] == [record]
    running.mirror(change())
    assert running.refused("claims to be vrrp").ingress == "supervisor"


def test_listeners_survive_the_broker_and_their_files_are_never_touched(running: Bench) -> None:
    before = {path: path.stat().st_ino for path in Path(running.run_dir).iterdir() if path.is_socket()}
    until(lambda: _beats(running), "no heartbeat")
    assert running.stop() == 0
    assert {path: path.stat().st_ino for path in before} == before
    assert running.channel is not None
    running.channel.close()
    with Subscriber(running.context, endpoint=running.endpoint("out"), streams=["s.vrrp"]) as waiting:
        assert waiting.wait(0.05) == []  # accepted by the backlog, answered by nobody
        running.start()
        until(lambda: bool(waiting.pump(boottime())) or waiting.joined("s.vrrp"), "the successor's answer")
        assert waiting.missing("s.vrrp") == ("vrrp",)


def _beats(bench: Bench) -> bool:
    bench.listen()
    return bench.heartbeats > 0


def test_a_broker_without_its_supervisor_leaves(running: Bench) -> None:
    until(lambda: _beats(running), "no heartbeat")
    assert running.channel is not None
    running.channel.close()
    assert running.process is not None
    assert running.process.wait(timeout=20) == 0


# --- garbage -----------------------------------------------------------------------------------------


def _good() -> list[bytes]:
    """One of each kind that a checker may send, and some that it may not."""
    health = HealthChanged(
        check_id="a", virtual_server="v", real_server="r", check_kind="TCP_CHECK", up=True, reason=""
    )
    return [
        change(publisher="checker", stream="s.checker", op="set", key="a", message=check("a")),
        change(publisher="checker", stream="s.checker", op="del", key="a", message=None),
        change(publisher="checker", stream="e.checker", message=health),
        change(),
        encode(Begin(publisher="checker", incarnation=1, epoch=1)),
        encode(End(publisher="checker", incarnation=1, epoch=1, rows=0, last={"s.checker": 3})),
        encode(Beat(publisher="checker", incarnation=1)),
    ]


def garbage(seed: int, good: list[bytes]) -> Iterator[bytes]:
    """Without end: random bytes, and good messages with bytes or fields changed, cut or doubled."""
    rng = random.Random(seed)
    values: list[object] = [
        None,
        True,
        -1,
        2**63,
        1.5,
        float("nan"),
        "",
        "x" * 600,
        b"\0",
        [],
        {},
        [[]] * 9,
        {"a": 1},
    ]
    while True:
        data = bytearray(rng.choice(good))
        way = rng.randrange(5)
        if way == 0:
            data = bytearray(rng.randbytes(rng.randrange(64)))
        elif way == 1:
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        elif way == 2:
            del data[rng.randrange(len(data)) :]
        elif way == 3:
            data += data[: rng.randrange(1, len(data))]
        else:
            plain = msgpack.unpackb(bytes(data))
            place = plain["body"] if "body" in plain and rng.random() < 0.5 else plain
            place[rng.choice(list(place))] = rng.choice(values)
            data = bytearray(msgpack.packb(plain))
        yield bytes(data)


MESSAGES = 100_000


def test_a_hundred_thousand_malformed_messages_never_stop_the_broker(bench: Bench) -> None:
    vrrp = bench.publisher("vrrp")
    bench.name("checker", os.getpid())
    bench.start()
    settled(bench, vrrp)
    source = garbage(1, _good())
    enemy = dealer(bench, "checker")
    for number in range(MESSAGES):
        data = next(source)
        frames = [data, data] if number % 1000 == 0 else [data]
        while True:
            try:
                enemy.send_multipart(frames, zmq.DONTWAIT)
                break
            except zmq.Again:
                bench.listen()
                vrrp.pump(boottime())
                enemy.poll(100, zmq.POLLOUT)
    vrrp.event(transition(3))
    with Subscriber(bench.context, endpoint=bench.endpoint("out"), streams=["e.vrrp", "s.checker"]) as sub:
        updates: list[object] = []

        def told() -> bool:
            bench.listen()
            vrrp.pump(boottime())
            updates.extend(sub.pump(boottime()))
            return "VI_3" in str(updates)

        until(told, "a genuine event after the garbage", 60.0)
    assert bench.alive()

    def counted() -> bool:
        bench.listen()
        return sum(report.count for report in bench.reports) > MESSAGES // 2

    until(counted, "refusals are not reported")
    reported = len(bench.reports)
    assert reported < 500, f"{reported} reports: they must be gathered"
    assert {report.pid for report in bench.reports} == {os.getpid()}
    enemy.close()


def test_a_reader_outlives_a_broker_gone_mad(bench: Bench) -> None:
    """Twenty thousand malformed messages under every topic of the subscription."""
    out: zmq.Socket[bytes] = bench.context.socket(zmq.XPUB)
    path = bench.run_dir / "mad"
    out.bind(f"ipc://{path}")
    rng = random.Random(2)
    status = encode_beat(StreamStatus(epoch=1, rev=5, missing=(), owners={}))
    parts = [msgpack.packb(msgpack.unpackb(status) | {"part": part, "rows": 0}) for part in ("begin", "end")]
    bodies = garbage(3, [*_good(), status, *parts])
    with Subscriber(bench.context, endpoint=f"ipc://{path}", streams=["s.checker", "e.vrrp"]) as sub:
        until(lambda: bool(out.poll(0)), "no subscription")
        topics = [b"s.checker", b"e.vrrp", b"beat.s.checker", b"beat.e.vrrp", b"s.checkers", b"snap.", b""]
        for number in range(20_000):
            if out.poll(0):
                asked = out.recv()[1:]
                topics = [*(topic for topic in topics if topic != asked), asked][-40:]
            frames = [rng.choice(topics), *(next(bodies) for _ in range(rng.choice((0, 1, 2, 2, 3))))]
            if len(frames) == 3 and rng.random() < 0.7:
                frames[1] = encode_head(1, rng.randint(0, 9))
            out.send_multipart(frames)
            if number % 50 == 0:
                sub.pump(boottime())
        until(lambda: not sub.pump(boottime()) and not sub.more, "not read to the end")
        assert sub.malformed > 5_000
    out.close()
