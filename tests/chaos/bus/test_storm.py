"""The bus under a storm: the broker killed, readers stopped, readers joining, all of it accounted for."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from bus.client import Publisher, boottime
from bus.codec import to_plain
from bus.messages import VrrpInstanceState, VrrpTransition
from bus.replica import Changed, EventHappened, Gap, Snapshot
from bus.subscriber import Subscriber
from tests.chaos.bus.bench import ROOT, Bench, until
from tests.chaos.bus.storm import changes

CHANGES = 10_000
KILLED_AT = {1_000, 3_000, 5_000, 7_000, 9_000}
STOPPED, CONTINUED = 4_000, 6_000


def _publish(publisher: Publisher, record: VrrpInstanceState, event: VrrpTransition) -> None:
    publisher.set_state(record)
    publisher.event(event)
    while publisher.pump(boottime()):
        pass


def _end(bench: Bench, publisher: Publisher, record: VrrpInstanceState, event: VrrpTransition) -> None:
    """The last record and the last event."""
    bench.drain(publisher)
    _publish(
        publisher, dataclasses.replace(record, instance="END"), dataclasses.replace(event, instance="END")
    )
    bench.drain(publisher)


def test_a_reader_written_after_the_specification_ends_with_the_truth(bench: Bench) -> None:
    publisher = bench.publisher("vrrp", incarnation=3)
    bench.start()
    bench.drain(publisher)
    command = [sys.executable, str(Path(__file__).with_name("bare.py")), bench.endpoint("out")]
    reader = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "joined\n"
        truth: dict[str, VrrpInstanceState] = {}
        for number, (record, event) in enumerate(islice(changes(), CHANGES)):
            truth[record.instance] = record
            _publish(publisher, record, event)
            if number in KILLED_AT:
                bench.kill()
                bench.start()
            if number == STOPPED:
                os.kill(reader.pid, signal.SIGSTOP)
            if number == CONTINUED:
                os.kill(reader.pid, signal.SIGCONT)
        for name in sorted(truth)[::3]:
            publisher.delete_state("s.vrrp", name)
            del truth[name]
        _end(bench, publisher, record, event)
        truth["END"] = dataclasses.replace(record, instance="END")
        answer = _answer(publisher, reader)
    finally:
        reader.kill()
        reader.wait()
    states, events = answer["s.vrrp"], answer["e.vrrp"]
    assert states["records"] == {name: json.loads(json.dumps(to_plain(r))) for name, r in truth.items()}
    said = publisher.outbox.last_numbers
    assert events["applied"] + events["lost"] == CHANGES + 1 == said["e.vrrp"]
    assert states["applied"] + states["lost"] == said["s.vrrp"]
    for seen in (states, events):
        assert (seen["twice"], seen["unknowable"]) == (0, 0)
        assert seen["resyncs"] > 1
    assert events["gaps"] > 0  # a broker died while it held messages for a reader that was stopped
    assert publisher.problems == (0, "")


def _answer(publisher: Publisher, reader: subprocess.Popen[str]) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while reader.poll() is None:
        assert time.monotonic() < deadline, "the reader did not reach the end"
        publisher.pump(boottime())
        time.sleep(0.02)
    assert reader.stdout is not None
    answer: dict[str, Any] = json.loads(reader.stdout.read())
    return answer


def test_sixty_joins_in_a_storm_leave_no_gap(bench: Bench) -> None:
    publisher = bench.publisher("vrrp")
    bench.start()
    source = changes()
    joined: list[Subscriber] = []
    told: dict[Subscriber, dict[str, int]] = {}
    finished = 0
    truth: dict[str, VrrpInstanceState] = {}
    deadline = time.monotonic() + 40
    while finished < 60:
        assert time.monotonic() < deadline, f"{finished} of 60 joins in 40 s"
        for record, event in islice(source, 5):
            truth[record.instance] = record
            _publish(publisher, record, event)
        if len(joined) < 6 and finished + len(joined) < 60:
            streams = ["s.vrrp", "e.vrrp"]
            subscriber = Subscriber(bench.context, endpoint=bench.endpoint("out"), streams=streams)
            joined.append(subscriber)
            told[subscriber] = {}
        for subscriber in list(joined):
            for update in subscriber.pump(boottime()):
                assert not isinstance(update, Gap), f"join {finished}: {update}"
                if isinstance(update, Snapshot):
                    assert update.stream not in told[subscriber], "a second snapshot"
                    told[subscriber][update.stream] = 0
                elif isinstance(update, Changed | EventHappened):
                    told[subscriber][update.record.stream] += 1
            if len(told[subscriber]) == 2 and min(told[subscriber].values()) >= 50:
                subscriber.close()
                joined.remove(subscriber)
                finished += 1
    with Subscriber(bench.context, endpoint=bench.endpoint("out"), streams=["s.vrrp"]) as subscriber:
        bench.drain(publisher)
        subscriber.join(20.0)
        until(lambda: _records(publisher, subscriber) == truth, "the last join has another truth")


def _records(publisher: Publisher, subscriber: Subscriber) -> dict[str, Any]:
    publisher.pump(boottime())
    subscriber.pump(boottime())
    return {key: record.message for key, record in subscriber.records("s.vrrp").items()}


def test_a_stopped_broker_and_a_stopped_reader_hold_up_nobody(bench: Bench) -> None:
    publisher = bench.publisher("vrrp")
    bench.start()
    with Subscriber(bench.context, endpoint=bench.endpoint("out"), streams=["s.vrrp"]) as subscriber:
        bench.drain(publisher)
        subscriber.join(20.0)
        assert bench.process is not None
        bench.process.send_signal(signal.SIGSTOP)
        truth = {}
        for record, event in islice(changes(), 3_000):  # far more than the queues hold
            truth[record.instance] = record
            _publish(publisher, record, event)
        bench.process.send_signal(signal.SIGCONT)
        assert _records(publisher, subscriber) != truth
        until(lambda: _records(publisher, subscriber) == truth, "the queues were not worked off")
