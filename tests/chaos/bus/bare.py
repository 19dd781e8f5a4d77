"""A reader written after docs/bus.md alone, with nothing but libzmq and msgpack.

``python bare.py ENDPOINT`` follows s.vrrp and e.vrrp, prints ``joined`` once it has both snapshots, and at
the record and the event of instance ``END`` what it knows, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import msgpack
import zmq


class Follower:
    def __init__(self, sub: Any, stream: str) -> None:
        self.sub, self.stream = sub, stream
        self.records: dict[str, Any] = {}
        self.confirmed: dict[str, tuple[int, int]] = {}
        self.owner: dict[str, str] = {}
        self.epoch = self.rev = 0
        self.live = self.first = False
        self.begin: Any = None
        self.rows: list[Any] = []
        self.nonce = 0
        self.asked_at = 0.0
        self.pause_s = 0.5
        self.cursor: dict[str, Any] = {}
        self.lost = self.gaps = self.applied = self.twice = self.unknowable = self.resyncs = 0
        self.applied_numbers: set[tuple[str, int, int]] = set()
        self.ended = False
        sub.setsockopt(zmq.SUBSCRIBE, stream.encode())
        sub.setsockopt(zmq.SUBSCRIBE, b"beat." + stream.encode())
        self.ask()

    def topic(self) -> bytes:
        return f"snap.{self.stream}.{os.getpid():x}-{id(self):x}-{self.nonce}".encode()

    def ask(self) -> None:
        if self.nonce:
            self.sub.setsockopt(zmq.UNSUBSCRIBE, self.topic())
        self.nonce += 1
        self.live, self.begin = False, None
        self.asked_at = time.monotonic()
        self.sub.setsockopt(zmq.SUBSCRIBE, self.topic())
        self.resyncs += 1

    def idle(self) -> None:
        if not self.live and time.monotonic() - self.asked_at > self.pause_s:
            self.pause_s = min(4.0, self.pause_s * 2)
            self.ask()

    # --- following a stream

    def message(self, head: Any, envelope: Any) -> None:
        if not self.live:
            return
        if head["epoch"] == self.epoch and head["rev"] <= self.rev:
            return
        if head["epoch"] != self.epoch or head["rev"] != self.rev + 1:
            self.ask()
            return
        self.rev = head["rev"]
        self.apply(envelope)

    def beat(self, status: Any) -> None:
        if self.live and (status["epoch"] != self.epoch or status["rev"] > self.rev):
            self.ask()

    def part(self, part: Any) -> None:
        if part["part"] == "begin":
            self.begin, self.rows = part, []
        elif self.begin is not None and part["part"] == "rows":
            self.rows += part["rows"]
        elif self.begin is not None and part["rows"] == len(self.rows):
            self.load()

    def load(self) -> None:
        begin, self.begin = self.begin, None
        self.sub.setsockopt(zmq.UNSUBSCRIBE, self.topic())
        self.epoch, self.rev, self.live, self.pause_s = begin["epoch"], begin["rev"], True, 0.5
        envelopes = [msgpack.unpackb(data) for _, data in self.rows]
        if not self.first:
            for pub, owner in begin["owners"].items():
                self.cursor[pub] = dict(owner, seen=set(), quiet=owner["open"])
        named = set()
        for envelope in envelopes:
            news = self.first and self.number(envelope, while_open=True)
            named.add(envelope.get("key"))
            self.store(envelope, news or not self.first)
        for key in list(self.records):
            if key not in named and not begin["owners"].get(self.owner[key], {"open": True})["open"]:
                del self.records[key]
        if self.first:
            for pub, owner in begin["owners"].items():
                cursor = self.cursor.setdefault(pub, dict(owner, seen=set(), quiet=True))
                if owner["inc"] != cursor["inc"]:
                    self.unknowable += 1
                elif not owner["open"]:
                    self.settle(cursor, owner["last"])
                    cursor["open"] = False
                else:
                    cursor["open"] = True
        self.first = True

    def apply(self, envelope: Any) -> None:
        op, pub = envelope["op"], envelope["pub"]
        if op == "begin":
            cursor = self.cursor.get(pub)
            if cursor is None or cursor["inc"] != envelope["inc"]:
                cursor = self.cursor[pub] = {
                    "inc": envelope["inc"], "last": 0, "seen": set(), "quiet": cursor is None
                }  # fmt: skip
            cursor["open"] = True
        elif op == "end":
            self.settle(self.cursor[pub], envelope["last"][self.stream])
            self.cursor[pub]["open"] = False
            for key, confirmed in list(self.confirmed.items()):
                if (
                    key in self.records
                    and self.owner[key] == pub
                    and confirmed != (self.epoch, envelope["inc"])
                ):
                    del self.records[key]
        elif envelope["num"] == 0:
            self.records.pop(envelope["key"], None)
        else:
            self.store(envelope, self.number(envelope))

    def store(self, envelope: Any, news: bool) -> None:
        if news:
            identity = (envelope["pub"], envelope["inc"], envelope["num"])
            self.twice += identity in self.applied_numbers
            self.applied_numbers.add(identity)
            self.applied += 1
        if envelope["op"] == "del":
            self.records.pop(envelope["key"], None)
            return
        if envelope["op"] == "set":
            self.records[envelope["key"]] = envelope["body"]
            self.confirmed[envelope["key"]] = (self.epoch, envelope["inc"])
            self.owner[envelope["key"]] = envelope["pub"]
        self.ended |= envelope["body"]["instance"] == "END"

    # --- counting

    def number(self, envelope: Any, while_open: bool = False) -> bool:
        cursor, num = self.cursor[envelope["pub"]], envelope["num"]
        if num <= cursor["last"] or num in cursor["seen"]:
            return False
        cursor["seen"].add(num)
        if not (cursor["open"] or while_open):
            self.settle(cursor, num)
        return True

    def settle(self, cursor: Any, n: int) -> None:
        lost = n - cursor["last"] - sum(1 for num in cursor["seen"] if num <= n)
        if lost > 0 and not cursor["quiet"]:
            self.lost += lost
            self.gaps += 1
        cursor["last"], cursor["quiet"] = max(n, cursor["last"]), False
        cursor["seen"] = {num for num in cursor["seen"] if num > cursor["last"]}


def main() -> None:
    sub = zmq.Context().socket(zmq.SUB)
    sub.setsockopt(zmq.RECONNECT_IVL, 10)
    sub.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
    sub.connect(sys.argv[1])
    followers = {stream: Follower(sub, stream) for stream in ("s.vrrp", "e.vrrp")}
    told = False
    while not all(follower.ended for follower in followers.values()):
        if not sub.poll(100):
            for follower in followers.values():
                follower.idle()
            continue
        topic, *rest = sub.recv_multipart()
        for stream, follower in followers.items():
            if topic == stream.encode():
                follower.message(msgpack.unpackb(rest[0]), msgpack.unpackb(rest[1]))
            elif topic == b"beat." + stream.encode():
                follower.beat(msgpack.unpackb(rest[0]))
            elif topic == follower.topic():
                follower.part(msgpack.unpackb(rest[0]))
        if not told and all(follower.first for follower in followers.values()):
            told = True
            print("joined", flush=True)
    names = ("records", "lost", "gaps", "applied", "twice", "unknowable", "resyncs")
    print(json.dumps({s: {name: getattr(f, name) for name in names} for s, f in followers.items()}))


if __name__ == "__main__":
    main()
