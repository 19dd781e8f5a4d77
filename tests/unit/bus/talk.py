"""Short ways to say things in tests."""

from __future__ import annotations

from bus.messages import CheckState, State, TransitionCause, VrrpTransition
from bus.outbox import Outbox


def check(check_id: str, *, up: bool | None = True, failed: int = 0) -> CheckState:
    return CheckState(
        check_id=check_id,
        virtual_server="[192.0.2.1]:tcp:80",
        real_server="[198.51.100.1]:80",
        check_kind="TCP_CHECK",
        up=up,
        since_at=1.0,
        since_wall_at=1.0,
        interval_s=5.0,
        last_result="connected",
        last_check_at=1.0,
        attempts_failed=failed,
        next_check_at=6.0,
    )


def transition(number: int) -> VrrpTransition:
    return VrrpTransition(
        instance=f"VI_{number}",
        interface="eth0",
        vrid=number % 255 + 1,
        family=4,
        from_state="BACKUP",
        to_state="MASTER",
        cause=TransitionCause(trigger="timer", own_priority=100, late_s=0.001),
        number=number,
        priority=100,
    )


def say(outbox: Outbox, *records: State, at: float = 50.0) -> None:
    for record in records:
        outbox.set_state(record, at=at, wall_at=at, generation=1)


def said(outbox: Outbox, now: float = 100.0) -> list[bytes]:
    """All that the outbox has to say at ``now``."""
    messages = []
    while (message := outbox.peek(now)) is not None:
        messages.append(message)
        outbox.pop()
    return messages
