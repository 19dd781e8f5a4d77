"""``Publisher``: how a worker speaks on the bus. Never blocks, whatever the broker does.

A DEALER without a fixed routing id around ``outbox.Outbox``. Nothing is written to the socket but in
``pump``, so setting a state in the middle of something urgent costs an entry in a table.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import zmq

from bus.messages import Event, State
from bus.outbox import Outbox

SNDHWM = 256
"""Messages handed to libzmq ahead of the broker. Small: what waits in the outbox coalesces."""
RECONNECT_MS = 10
RECONNECT_MAX_MS = 200


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Publisher:
    """States and events of one worker.

    ``generation`` may be set at any time; it is stamped on what is said from then on. In any event
    loop: watch ``fileno()`` for reading and call ``pump(now)`` when it is readable, after each use,
    and at least once a second (for the beat). Before the first ``announce`` everything is kept.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        *,
        role: str,
        incarnation: int,
        endpoint: str,
        generation: int = 0,
        clock: Callable[[], float] = boottime,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.generation = generation
        self.outbox = Outbox(role=role, incarnation=incarnation)
        self._clock = clock
        self._wall_clock = wall_clock
        self._socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, SNDHWM)
        self._socket.setsockopt(zmq.RCVHWM, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 1024)  # the broker has nothing to tell us here
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        self._socket.connect(endpoint)

    def set_state(self, record: State) -> None:
        """Set the record of its key. What is not sent yet is replaced."""
        self.outbox.set_state(
            record, at=self._clock(), wall_at=self._wall_clock(), generation=self.generation
        )

    def delete_state(self, stream: str, key: str) -> None:
        """Delete a record of our own stream (``s.<role>``)."""
        self.outbox.delete_state(
            stream, key, at=self._clock(), wall_at=self._wall_clock(), generation=self.generation
        )

    def event(self, event: Event) -> None:
        """Say that something happened. The oldest unsent event is lost, and counted, when too many wait."""
        self.outbox.event(event, at=self._clock(), wall_at=self._wall_clock(), generation=self.generation)

    def announce(self, epoch: int) -> None:
        """The supervisor has told an epoch: say everything again."""
        self.outbox.announce(epoch)

    def fileno(self) -> int:
        """libzmq's descriptor: readable when ``pump`` should be called; edge-triggered."""
        return int(self._socket.getsockopt(zmq.FD))

    def pump(self, now: float, *, limit: int = 64) -> bool:
        """Hand over at most ``limit`` messages. ``now``: CLOCK_BOOTTIME seconds.

        True: the bus would take more right now, call again soon. False: wait for ``fileno()``.
        """
        sent = 0
        while True:
            message = self.outbox.peek(now) if sent < limit else None
            if message is not None:
                try:
                    self._socket.send(message, zmq.DONTWAIT)
                except zmq.Again:
                    pass
                else:
                    self.outbox.pop()
                    sent += 1
                    continue
            # Reading EVENTS re-arms the descriptor; without it a wake-up would be lost.
            events = int(self._socket.getsockopt(zmq.EVENTS))
            if not events & zmq.POLLOUT:
                return False
            if sent >= limit:
                return self.outbox.peek(now) is not None
            if message is None:
                return False

    @property
    def problems(self) -> tuple[int, str]:
        """(messages that had no form on the wire, the last reason): a fault of ours, for the log."""
        return self.outbox.refused, self.outbox.last_problem

    def close(self) -> None:
        self._socket.close(linger=0)
