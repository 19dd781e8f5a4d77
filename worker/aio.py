"""The shell of a worker that runs on uvloop: control channel, heartbeats, an orderly end.

Subclass ``AioWorker`` and pass it to ``run_aio``. All methods run on the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib

import uvloop

from worker import log as logging
from worker.context import HEARTBEAT_S, WorkerContext
from worker.control import (
    Abort,
    Apply,
    ControlClosed,
    ControlError,
    Epoch,
    LogLevel,
    Message,
    Prepare,
    Stop,
)


class AioWorker:
    """What a worker does when; every method may be overridden."""

    async def start(self) -> None:
        """Once, on the running loop, before the first control message is read."""

    def prepare(self, generation: int, payload: bytes) -> str | None:  # noqa: ARG002
        """Parse and check a slice, touch nothing. Returns why it is refused, or None."""
        return None

    async def apply(self, generation: int, phase: str) -> str | None:  # noqa: ARG002
        """Make a prepared generation effective. Returns why it failed, or None."""
        return None

    def abort(self, generation: int) -> None:
        """Forget a prepared generation."""

    def epoch(self, epoch: int) -> None:
        """The broker is new."""

    def message(self, message: Message) -> None:
        """A control message that is none of the above (broker only)."""

    def tick(self) -> None:
        """With every heartbeat."""

    async def stop(self, *, supervisor_gone: bool) -> None:
        """Leave cleanly; the process ends when this returns."""


class _Runner:
    def __init__(self, ctx: WorkerContext, worker: AioWorker) -> None:
        self.ctx, self.worker, self.control = ctx, worker, ctx.control
        self.log = logging.logger(ctx.role)
        self.ended = asyncio.Event()
        self.supervisor_gone = False
        self.ready = False
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()

    async def run(self) -> None:
        self.control.hello()
        await self.worker.start()
        self.loop.add_reader(self.control.fileno(), self._readable)
        self._beat()
        work = asyncio.create_task(self._work())
        try:
            ended = asyncio.create_task(self.ended.wait())
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not self.ended.is_set():
                work.result()  # raises what ended it: the process must not live on half-working
        finally:
            self.loop.remove_reader(self.control.fileno())
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        await self.worker.stop(supervisor_gone=self.supervisor_gone)
        self.control.flush()

    def _beat(self) -> None:
        self.control.heartbeat()
        self.worker.tick()
        self.loop.call_later(HEARTBEAT_S, self._beat)

    def _readable(self) -> None:
        try:
            for message in self.control.receive():
                if isinstance(message, Stop):
                    self.ended.set()
                elif isinstance(message, LogLevel):
                    with contextlib.suppress(ValueError):
                        logging.adjust(message.level, message.form)
                else:
                    self.inbox.put_nowait(message)
        except ControlClosed:
            self.supervisor_gone = True
            self.ended.set()
        except ControlError as error:
            self.log.error("control.malformed", reason=str(error))

    async def _work(self) -> None:
        while True:
            message = await self.inbox.get()
            if isinstance(message, Prepare):
                reason = self.worker.prepare(message.generation, message.payload)
                if reason is None:
                    self.control.prepared(message.generation)
                else:
                    self.control.refused(message.generation, reason)
            elif isinstance(message, Apply):
                reason = await self.worker.apply(message.generation, message.phase)
                if reason is None:
                    self.control.applied(message.generation, message.phase)
                else:
                    self.control.failed(message.generation, message.phase, reason)
                if not self.ready:
                    self.ready = True
                    self.control.ready()
            elif isinstance(message, Abort):
                self.worker.abort(message.generation)
            elif isinstance(message, Epoch):
                self.worker.epoch(message.epoch)
            else:
                self.worker.message(message)


def run_aio(ctx: WorkerContext, worker: AioWorker) -> None:
    """Run ``worker`` until it is told to stop or the supervisor is gone."""

    async def body() -> None:
        await _Runner(ctx, worker).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())
