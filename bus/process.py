"""The broker's process: sockets, poller and control channel around ``broker.Broker``.

The supervisor made the listening sockets (``listen:in.<role>``, ``listen:out`` among the kept
descriptors), so they outlive us: publishers and readers that connect while no broker lives wait in the
backlog. libzmq is given the descriptor (ZMQ_USE_FD) and neither binds nor unlinks the path.

Order of a turn: control, publishers, readers, beats. Nothing is read from a publisher before the
supervisor has told the epoch; name the peers that live already before that.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import zmq

from bus.broker import Broker, Frames, RefusedError
from bus.codec import MAX_MESSAGE_BYTES, dumps_message
from bus.gate import Gate, peer_pid
from bus.messages import BusRefused
from worker import log as logging
from worker.clock import boottime
from worker.context import HEARTBEAT_S, WorkerContext
from worker.control import (
    Abort,
    Apply,
    ControlClosed,
    ControlError,
    Epoch,
    LogLevel,
    Message,
    Mirror,
    Peer,
    Prepare,
    Stop,
)

if TYPE_CHECKING:
    Router = zmq.Socket[bytes]

LISTEN_OUT = "listen:out"
LISTEN_INGRESS = "listen:in."
SUPERVISOR = "supervisor"

OUT_SNDHWM = 4096
"""Messages kept for one slow reader; what comes on top is lost to it, and it sees that."""
INGRESS_RCVHWM = 1000
INGRESS_MAX_BYTES = 2 * MAX_MESSAGE_BYTES
"""libzmq drops the connection above this; between the message cap and this we can say what it was."""
SUBSCRIPTION_MAX_BYTES = 1024
MESSAGES_A_TURN = 200
SUBSCRIPTIONS_A_TURN = 16
COMPLAINT_INTERVAL_S = 1.0
COMPLAINTS_KEPT = 64


class _Complaints:
    """Refusals, gathered so that a flood of them is one line a second."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int | None, str], tuple[str, int]] = {}
        self._due_at = 0.0

    def add(self, role: str, pid: int | None, why: str) -> None:
        key = (role, pid, why.partition(":")[0])
        first, count = self._open.get(key, (why, 0))
        if count or len(self._open) < COMPLAINTS_KEPT:
            self._open[key] = (first, count + 1)

    def take(self, now: float, *, force: bool = False) -> list[BusRefused]:
        if not self._open or (now < self._due_at and not force):
            return []
        self._due_at = now + COMPLAINT_INTERVAL_S
        gathered, self._open = self._open, {}
        return [
            BusRefused(ingress=role, pid=pid, why=why, count=count)
            for (role, pid, _), (why, count) in gathered.items()
        ]

    @property
    def due_at(self) -> float | None:
        return self._due_at if self._open else None


class _Shell:
    def __init__(self, ctx: WorkerContext, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.ctx = ctx
        self.control = ctx.control
        self.log = logging.logger(ctx.role)
        self.broker = Broker(roles=[SUPERVISOR])
        self.gate = Gate()
        self.complaints = _Complaints()
        self.stopping = False
        self.ready = False
        self.heartbeat_at = boottime()
        self.poller = zmq.Poller()
        self.poller.register(self.control.fileno(), zmq.POLLIN)
        self.ingress: dict[str, Router] = {}
        for name, fd in ctx.kept_fds.items():
            if name.startswith(LISTEN_INGRESS):
                router = context.socket(zmq.ROUTER)
                router.setsockopt(zmq.RCVHWM, INGRESS_RCVHWM)
                router.setsockopt(zmq.MAXMSGSIZE, INGRESS_MAX_BYTES)
                _listen(router, fd)
                self.ingress[name.removeprefix(LISTEN_INGRESS)] = router
        self.out: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self.out.setsockopt(zmq.SNDHWM, OUT_SNDHWM)
        self.out.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_MAX_BYTES)
        _listen(self.out, ctx.kept_fds[LISTEN_OUT])

    # --- the loop ----------------------------------------------------------------------------------

    def run(self) -> None:
        self.control.hello()
        opened = False
        while not self.stopping:
            now = boottime()
            if now >= self.heartbeat_at:
                self.control.heartbeat()
                self.heartbeat_at = now + HEARTBEAT_S
            self.poller.poll(self._timeout_ms(now))
            self._drain_control()
            if self.broker.next_deadline is not None and not opened:
                opened = True
                for sock in (self.out, *self.ingress.values()):
                    self.poller.register(sock, zmq.POLLIN)
            if not opened:
                continue
            drained = True
            for role, router in self.ingress.items():
                drained &= self._drain_ingress(role, router)
            self._drain_subscriptions()
            now = boottime()
            due_at = self.broker.next_deadline
            # A beat tells who is silent: only when everything that was said has been heard.
            if due_at is not None and (drained or now > due_at + 1.0):
                self._send(self.broker.tick(now))
            self._report(self.complaints.take(now))
        self._report(self.complaints.take(boottime(), force=True))
        self.control.flush()

    def _timeout_ms(self, now: float) -> int:
        deadlines = [self.heartbeat_at, self.broker.next_deadline, self.complaints.due_at]
        first = min(deadline for deadline in deadlines if deadline is not None)
        return max(0, int((first - now) * 1000) + 1)

    def _send(self, messages: Iterable[Frames]) -> None:
        for frames in messages:
            self.out.send_multipart(frames, zmq.DONTWAIT)  # XPUB drops for a slow reader, never blocks

    def _report(self, refusals: Iterable[BusRefused]) -> None:
        for refusal in refusals:
            self.log.debug(  # the supervisor logs what it is told
                "bus.refused",
                ingress=refusal.ingress,
                peer_pid=refusal.pid,
                reason=refusal.why,
                count=refusal.count,
            )
            self.control.report(dumps_message(refusal))

    # --- control -----------------------------------------------------------------------------------

    def _drain_control(self) -> None:
        try:
            for message in self.control.receive():
                self._control(message)
        except ControlClosed:
            self.stopping = True
        except ControlError as error:
            self.log.error("control.malformed", reason=str(error))
        self.control.flush()

    def _control(self, message: Message) -> None:
        now = boottime()
        if isinstance(message, Epoch):
            self.broker.start_epoch(message.epoch, now)
            self.log.info("bus.epoch", epoch=message.epoch)
        elif isinstance(message, Peer):
            self.gate.name(message.role, message.pid)
            if message.pid:
                self.broker.expect(message.role, now)
        elif isinstance(message, Mirror):
            try:
                self._send(self.broker.receive(SUPERVISOR, message.payload, now))
            except RefusedError as refused:
                self.complaints.add(SUPERVISOR, os.getppid(), str(refused))
        elif isinstance(message, Prepare):
            self.control.prepared(message.generation)
        elif isinstance(message, Apply):
            self.control.applied(message.generation, message.phase)
            if not self.ready:
                self.ready = True
                self.control.ready()
        elif isinstance(message, LogLevel):
            try:
                logging.adjust(message.level, message.form)
            except ValueError as error:
                self.log.warning("log.level_unknown", reason=str(error))
        elif isinstance(message, Stop):
            self.stopping = True
        elif not isinstance(message, Abort):
            self.log.error("control.unexpected", kind=message.KIND)

    # --- publishers --------------------------------------------------------------------------------

    def _drain_ingress(self, role: str, router: Router) -> bool:
        """Read at most a turn's share. True: nothing is left."""
        for _ in range(MESSAGES_A_TURN):
            try:
                connection = router.recv(zmq.DONTWAIT)
            except zmq.Again:
                return True
            data = self._body(role, router, connection)
            verdict = self.gate.verdict(role, connection)
            if verdict == "stranger":
                # The supervisor names a process before it lets it go, so its word is here already.
                self._drain_control()
                verdict = self.gate.verdict(role, connection)
            pid = self.gate.pid(role, connection)
            if verdict == "stranger":
                self.complaints.add(role, pid, "connection of a process that does not hold the role")
                continue
            if data is None:
                self.complaints.add(role, pid, "message of more than one frame")
                continue
            try:
                messages = self.broker.receive(role, data, boottime(), present=verdict == "present")
            except RefusedError as refused:
                self.complaints.add(role, pid, str(refused))
                continue
            self._send(messages)
        return False

    def _body(self, role: str, router: Router, connection: bytes) -> bytes | None:
        """The rest of a message after its connection; None unless it is one frame."""
        if self.gate.known(role, connection):
            data = router.recv(zmq.DONTWAIT)
        else:
            frame = router.recv(zmq.DONTWAIT, copy=False)
            self.gate.note(role, connection, peer_pid(_peer_address(frame)))
            data = frame.bytes
        single = True
        while router.getsockopt(zmq.RCVMORE):
            router.recv(zmq.DONTWAIT)
            single = False
        return data if single else None

    # --- readers -----------------------------------------------------------------------------------

    def _drain_subscriptions(self) -> None:
        for _ in range(SUBSCRIPTIONS_A_TURN):
            try:
                frames = self.out.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            self._send(self.broker.subscribed(frames[0], boottime()))


def _peer_address(frame: zmq.Frame) -> str:
    try:
        return str(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return ""


def _listen(sock: zmq.Socket[bytes], fd: int) -> None:
    """Accept on a listening unix socket that somebody else made; libzmq closes ``fd`` in the end."""
    os.set_blocking(fd, False)
    with socket.socket(fileno=os.dup(fd)) as listener:
        path = listener.getsockname()
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.USE_FD, fd)
    sock.bind(f"ipc://{path}")


def _missing(kept_fds: Mapping[str, int]) -> str | None:
    if LISTEN_OUT not in kept_fds:
        return f"{LISTEN_OUT} is not among the kept descriptors {sorted(kept_fds)}"
    return None


def main(ctx: WorkerContext) -> None:
    """Run the broker until the supervisor says stop or is gone."""
    missing = _missing(ctx.kept_fds)
    if missing is not None:
        raise RuntimeError(f"the broker cannot listen: {missing}")
    log = logging.logger(ctx.role)
    for problem in ctx.drop_privileges():  # before libzmq starts its thread, which inherits
        log.warning("process.privileges", reason=problem)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        _Shell(ctx, context).run()
    finally:
        context.destroy(linger=0)
