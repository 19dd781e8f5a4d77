"""Step-down and resume: what an operator asks of the vrrp worker, and what a restart must not forget.

The worker decides and answers. The supervisor passes the request on, keeps who is held back for the
worker's successors, and tells the operator when the answer does not come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.clock import boottime
from worker.control import Answered, Channel, Held, Message, Resume, StepDown, Unheld

if TYPE_CHECKING:
    from supervisor.daemon import Supervisor
    from supervisor.operator import Client

ANSWER_LIMIT_S = 5.0
REASON_MAX = 200
FOR_MAX_S = 366 * 86400.0


class Maintenance:
    """The holds and the open requests of one supervisor."""

    def __init__(self, owner: Supervisor) -> None:
        self._owner = owner
        self._held: dict[str, Held] = {}
        self._open: dict[int, tuple[Client, float]] = {}
        self._last = 0

    # --- the operator ----------------------------------------------------------------------------

    def step_down(self, request: dict[str, Any], client: Client) -> None:
        """``name`` (empty: all), ``reason``, ``for_s`` (0: until resume)."""
        name, reason, for_s = request.get("name"), request.get("reason"), request.get("for_s")
        if not isinstance(name, str) or not isinstance(reason, str) or not isinstance(for_s, int | float):
            client.answer({"ok": False, "error": "step-down needs name, reason and for_s"})
        elif not 0 <= for_s <= FOR_MAX_S:
            client.answer({"ok": False, "error": f"--for {for_s:g}: from 0 to {FOR_MAX_S:.0f} seconds"})
        else:
            reason = " ".join(reason.split())[:REASON_MAX] or "no reason given"
            until_at = boottime() + for_s if for_s else 0.0
            self._owner.log.warning("operator.step_down", name=name or "all", reason=reason, for_s=for_s)
            number = self._number()
            self._send(StepDown(name=name, reason=reason, until_at=until_at, request=number), number, client)

    def resume(self, request: dict[str, Any], client: Client) -> None:
        """``name`` (empty: all)."""
        name = request.get("name")
        if not isinstance(name, str):
            client.answer({"ok": False, "error": "resume needs a name"})
            return
        self._owner.log.info("operator.resume", name=name or "all")
        number = self._number()
        self._send(Resume(name=name, request=number), number, client)

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _send(self, message: Message, number: int, client: Client) -> None:
        row = self._owner.table.get("vrrp")
        if row is None or row.channel is None or row.state != "ready":
            state = "not configured" if row is None or row.state == "stopped" else row.state
            client.answer({"ok": False, "error": f"the vrrp worker is {state}; try again"})
            return
        self._open[number] = (client, boottime() + ANSWER_LIMIT_S)
        row.channel.send(message)

    # --- the worker ------------------------------------------------------------------------------

    def told(self, message: Message) -> bool:
        """Take in what the worker says of holds; False when it is about something else."""
        if isinstance(message, Held):
            self._held[message.name] = message
        elif isinstance(message, Unheld):
            self._held.pop(message.name, None)
        elif isinstance(message, Answered):
            client, _ = self._open.pop(message.request, (None, 0.0))
            if client is not None and message.ok:
                client.answer({"ok": True, "text": message.text})
            elif client is not None:
                client.answer({"ok": False, "error": message.text})
        else:
            return False
        return True

    def introduce(self, channel: Channel) -> None:
        """Tell a worker that starts who is held back, before it gets its configuration."""
        for held in self._held.values():
            channel.send(StepDown(name=held.name, reason=held.reason, until_at=held.until_at, request=0))

    def worker_died(self) -> None:
        self._close("the vrrp worker died meanwhile; look at the status, and try again", float("inf"))

    def deadlines(self) -> list[float]:
        return [late_at for _, late_at in self._open.values()]

    def timers(self, now: float) -> None:
        self._close(f"not over within {ANSWER_LIMIT_S:g} s; it goes on: look at the status", now)

    def _close(self, why: str, until: float) -> None:
        for number, (client, late_at) in list(self._open.items()):
            if late_at <= until:
                del self._open[number]
                client.answer({"ok": False, "error": why})
