"""What the supervisor tells others: its log, and its part of the bus (through the broker's channel)."""

from __future__ import annotations

import time
from typing import Literal

from bus import codec, messages
from bus.outbox import Outbox
from supervisor.table import Process
from worker import log
from worker.clock import boottime
from worker.control import Mirror

What = Literal["started", "ready", "died", "hung", "killed", "stopped", "fenced", "starved"]
_BACKLOG = 64


class Reporter:
    """Logs and mirrors. What the broker cannot take now waits in the outbox, as with every publisher."""

    def __init__(self) -> None:
        self.log = log.logger("supervisor")
        self.generation = 0
        self._broker: Process | None = None
        self._outbox = Outbox(role="supervisor", incarnation=int(boottime() * 1000))
        self.reload = messages.ReloadState(
            generation=0,
            attempted=0,
            result="running",
            errors=(),
            since_at=boottime(),
            since_wall_at=time.time(),
        )

    def broker_is(self, process: Process | None, epoch: int) -> None:
        """A new broker: announce everything under ``epoch`` (None: there is none just now)."""
        self._broker = process
        if process is not None:
            self._outbox.announce(epoch)
            self.pump(boottime())

    def pump(self, now: float) -> None:
        """Hand the broker what waits for it; call at least once a second, for the beat."""
        channel = self._broker.channel if self._broker is not None else None
        while channel is not None and not channel.closed and channel.backlog < _BACKLOG:
            payload = self._outbox.peek(now)
            if payload is None:
                return
            channel.send(Mirror(payload=payload))
            self._outbox.pop()

    def _send(self, message: messages.State | messages.Event) -> None:
        now, wall_at = boottime(), time.time()
        if isinstance(message, messages.State):
            self._outbox.set_state(message, at=now, wall_at=wall_at, generation=self.generation)
        else:
            self._outbox.event(message, at=now, wall_at=wall_at, generation=self.generation)
        self.pump(now)

    def state(self, process: Process) -> None:
        """Publish a row of the process table."""
        self._send(process_state(process))

    def event(self, process: Process, what: What, why: str = "", pid: int | None = None) -> None:
        """Log and publish that something happened to a process."""
        pid = pid or process.pid
        level = "info" if what in ("started", "ready", "stopped") else "warning"
        getattr(self.log, level)(
            f"process.{what}", role=process.role, role_pid=pid, incarnation=process.incarnation, why=why
        )
        self._send(
            messages.ProcessEvent(
                role=process.role, what=what, pid=pid, incarnation=process.incarnation, why=why
            )
        )
        self.state(process)

    def reload_step(
        self,
        what: Literal["started", "committed", "applied", "refused", "rolled_back"],
        generation: int,
        in_force: int,
        why: str = "",
        errors: tuple[str, ...] = (),
    ) -> None:
        """Log and publish a step of a reload."""
        level = "error" if what in ("refused", "rolled_back") else "info"
        getattr(self.log, level)(f"reload.{what}", generation=generation, in_force=in_force, why=why)
        self._send(messages.ReloadEvent(generation=generation, what=what, why=why[:500]))
        if what != "committed":
            self.reload = messages.ReloadState(
                generation=in_force,
                attempted=generation,
                result="running" if what == "started" else what,
                errors=tuple(error[:500] for error in errors[:100]),
                since_at=boottime(),
                since_wall_at=time.time(),
            )
            self._send(self.reload)

    def from_worker(self, process: Process, payload: bytes) -> None:
        """A report by a worker: only the broker's refusals are worth passing on."""
        try:
            message = codec.loads_message(payload)
        except codec.CodecError as error:
            self.log.warning("control.malformed", role=process.role, reason=str(error))
            return
        if isinstance(message, messages.BusRefused):
            self.log.warning(
                "bus.refused",
                ingress=message.ingress,
                peer_pid=message.pid,
                why=message.why,
                count=message.count,
            )
            self._send(message)
        else:
            self.log.info("worker.report", role=process.role, message=repr(message)[:500])


def process_state(process: Process) -> messages.ProcessState:
    return messages.ProcessState(
        role=process.role,
        pid=process.pid,
        incarnation=process.incarnation,
        state=process.state,
        since_at=process.since_at,
        since_wall_at=process.since_wall_at,
        restarts=process.restarts,
        last_exit=process.last_exit,
        generation=process.generation,
        heartbeat_at=process.beat_at if process.alive else None,
    )
