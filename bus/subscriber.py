"""``Subscriber``: the public way to read the bus: snapshot, then live, with losses seen and repaired.

In a script::

    with Subscriber(endpoint="ipc:///run/pykeepalived/bus/out", streams=["s.vrrp", "e.vrrp"]) as bus:
        for update in bus:
            ...

In an event loop: watch ``fileno()``, call ``pump(now)`` when it is readable, and at least once a second.
Updates are the classes of ``bus.replica``; docs/bus.md has the wire for other languages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Self

import zmq

from bus.client import RECONNECT_MAX_MS, RECONNECT_MS, boottime
from bus.codec import MAX_MESSAGE_BYTES, CodecError
from bus.envelope import (
    STREAMS,
    beat_topic,
    decode_beat,
    decode_head,
    decode_part,
    parse_topic,
    snapshot_topic,
)
from bus.replica import STALE_AFTER_S, Ask, Record, StreamReplica, Update

RCVHWM = 16_384
"""Messages kept while the reader is busy. Above it they are lost; the reader sees that and asks again."""


class Subscriber:
    """A copy of some streams of the bus that keeps itself right."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        *,
        endpoint: str,
        streams: Iterable[str],
        stale_after_s: float = STALE_AFTER_S,
        receive_hwm: int = RCVHWM,
    ) -> None:
        """``context`` None: one of its own, ended by ``close``. ValueError for an unknown stream."""
        names = list(dict.fromkeys(streams))
        for name in names:
            if name not in STREAMS:
                raise ValueError(f"unknown stream {name!r}: use some of {', '.join(STREAMS)}")
        self.malformed = 0
        """Messages that did not follow docs/bus.md; ignored."""
        self.more = False
        """``pump`` stopped at its limit: call it again soon, ``fileno`` will not tell."""
        prefix = os.urandom(8).hex()
        self._replicas = {
            name: StreamReplica(name, nonce_prefix=prefix, stale_after_s=stale_after_s) for name in names
        }
        self._own_context = context is None
        self._context = context if context is not None else zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, receive_hwm)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 4 * MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        self._socket.connect(endpoint)
        now = boottime()
        for name, replica in self._replicas.items():
            self._socket.setsockopt(zmq.SUBSCRIBE, name.encode())
            self._socket.setsockopt(zmq.SUBSCRIBE, beat_topic(name))
            replica.start(now)
        self._perform_requests()

    # --- reading -------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """libzmq's descriptor: readable when ``pump`` should be called; edge-triggered."""
        return int(self._socket.getsockopt(zmq.FD))

    def pump(self, now: float, *, limit: int = 1000) -> list[Update]:
        """Read at most ``limit`` messages without waiting. ``now``: CLOCK_BOOTTIME seconds."""
        updates: list[Update] = []
        self.more = True
        for _ in range(limit):
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                self.more = False
                break
            try:
                updates += self._receive(frames, now)
            except CodecError:
                self.malformed += 1
            self._perform_requests()
        if not self.more:  # with messages still waiting, no answer is late and nobody is silent
            for replica in self._replicas.values():
                updates += replica.tick(now)
            self._perform_requests()
            self.more = bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
        return updates

    def wait(self, timeout_s: float) -> list[Update]:
        """Like ``pump``, but waits up to ``timeout_s`` for something to read."""
        if not self.more:
            self._socket.poll(max(0, int(timeout_s * 1000)))
        return self.pump(boottime())

    def join(self, timeout_s: float) -> list[Update]:
        """Wait until every stream has its first snapshot, complete if the broker can tell it so in time.

        Returns all updates until then; look at ``joined`` for what is there after a timeout.
        """
        deadline = time.monotonic() + timeout_s
        updates: list[Update] = []
        while not all(replica.joined and not replica.missing for replica in self._replicas.values()):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            updates += self.wait(min(left_s, 0.1))
        return updates

    def __iter__(self) -> Iterator[Update]:
        """All updates, for ever. Waits as long as nothing happens."""
        while True:
            yield from self.wait(0.5)

    # --- what is known -------------------------------------------------------------------------------

    def records(self, stream: str) -> dict[str, Record]:
        """key -> record of a state stream, as of the last ``pump``."""
        return dict(self._replicas[stream].rows)

    def joined(self, stream: str) -> bool:
        """The first snapshot has come."""
        return self._replicas[stream].joined

    def live(self, stream: str) -> bool:
        """The snapshot has come and nothing is known to be lost since."""
        return self._replicas[stream].live

    def missing(self, stream: str) -> tuple[str, ...]:
        """Publishers whose set is not complete."""
        return self._replicas[stream].missing

    def owner_silent_s(self, stream: str, now: float) -> float | None:
        """How long the stream's publisher has not been heard of; None: never heard of."""
        return self._replicas[stream].silent_s(stream[2:], now)

    def bus_silent_s(self, now: float) -> float:
        """How long the broker has not been heard of."""
        return min((replica.bus_silent_s(now) for replica in self._replicas.values()), default=0.0)

    # --- inside --------------------------------------------------------------------------------------

    def _receive(self, frames: list[bytes], now: float) -> list[Update]:
        topic = parse_topic(frames[0])
        if topic is None:
            return []
        what, stream, nonce = topic
        replica = self._replicas.get(stream)
        if replica is None:
            return []
        if len(frames) != (3 if what == "stream" else 2):
            raise CodecError(f"{what} message of {len(frames)} frames")
        if what == "stream":
            return replica.receive(decode_head(frames[1]), frames[2], now)
        if what == "beat":
            return replica.beat(decode_beat(frames[1]), now)
        return replica.snapshot(nonce, decode_part(frames[1]), now)

    def _perform_requests(self) -> None:
        for replica in self._replicas.values():
            if not replica.requests:
                continue
            for request in replica.requests:
                if isinstance(request, Ask):
                    if request.instead_of is not None:
                        former = snapshot_topic(request.stream, request.instead_of)
                        self._socket.setsockopt(zmq.UNSUBSCRIBE, former)
                    self._socket.setsockopt(zmq.SUBSCRIBE, snapshot_topic(request.stream, request.nonce))
                else:
                    self._socket.setsockopt(zmq.UNSUBSCRIBE, snapshot_topic(request.stream, request.nonce))
            replica.requests.clear()

    def close(self) -> None:
        self._socket.close(linger=0)
        if self._own_context:
            self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
