"""What the supervisor decides, from data alone: restarts, hangs, fences. Pure.

Nothing is given up for good: a worker that keeps dying is restarted for ever, ever less often. The
fence deadline stands whatever the back-off, so a virtual address never waits for a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

BACK_OFF_S = (0.0, 0.0, 0.05, 0.2, 1.0, 2.0, 5.0)
"""Pause before the n-th restart in a row."""
LAST_TRY_S = 0.15
"""Room for a restart before a fence deadline: a fork that is ready, on a busy host."""
HEALTHY_AFTER_S = 10.0
"""A worker that was ready this long starts with a clean history."""
HUNG_AFTER_S = 1.2
"""Three heartbeats of worker.context.HEARTBEAT_S."""
HARD_LIMIT_FACTOR = 4
"""However starved: silent for this many times the limit is hung."""
START_LIMIT_S = 10.0
"""Forked is not ready; not ready by now is hung."""
APPLY_DEATHS_BEFORE_ROLLBACK = 3
START_ORDER = ("bus", "script", "ipvs", "checker", "vrrp")
STOP_ORDER = ("vrrp", "checker", "ipvs", "script", "bus")
APPLY_ORDER = (
    ("script", "full"),
    ("checker", "full"),
    ("ipvs", "additions"),
    ("vrrp", "full"),
    ("ipvs", "removals"),
)
"""Commit order of a reload: what others listen to and tell (scripts, checks) first, what must exist before
traffic comes, addresses, and only then what nobody uses any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """How a role has fared: deaths in a row, and since when the present incarnation is ready."""

    deaths: int = 0
    ready_at: float | None = None


def after_death(history: History, now: float, *, host_starved: bool) -> tuple[History, float]:
    """(new history, instant of the restart) after a death at ``now``.

    A death while the host starved is the host's fault and does not count towards the back-off.
    """
    healthy = history.ready_at is not None and now - history.ready_at >= HEALTHY_AFTER_S
    deaths = 0 if healthy else history.deaths
    pause = BACK_OFF_S[min(deaths, len(BACK_OFF_S) - 1)]
    return History(deaths=deaths if host_starved else deaths + 1), now + pause


def not_after_fence(restart_at: float, now: float, fence_deadlines: list[float]) -> float:
    """The restart, brought forward if the back-off alone would let the first fence deadline pass.

    With a short advert_int the pauses are longer than the fence leaves: a failover would be the doing of
    the back-off. So a last try starts LAST_TRY_S before the deadline, whatever happened before.
    """
    coming = [deadline_at for deadline_at in fence_deadlines if deadline_at > now]
    if not coming:
        return restart_at
    return min(restart_at, max(now, min(coming) - LAST_TRY_S))


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """How long a worker has said nothing, and how much of that was not its fault (seconds)."""

    silent_s: float
    own_lateness_s: float
    """Time the supervisor itself was not running since the last heartbeat."""
    starved_s: float
    """Time the worker was runnable and waited for a CPU since the last heartbeat."""


def is_hung(silence: Silence) -> bool:
    """True when a worker must be taken for hung: excused time does not count, up to a hard limit."""
    accountable = silence.silent_s - silence.own_lateness_s
    if accountable >= HUNG_AFTER_S * HARD_LIMIT_FACTOR:
        return True
    return accountable - silence.starved_s >= HUNG_AFTER_S


def next_hang_check(silence: Silence, now: float) -> float:
    """When it is worth looking again: never before the worker could have become hung."""
    excused = silence.own_lateness_s + silence.starved_s
    return now + max(0.02, HUNG_AFTER_S - (silence.silent_s - excused))


@dataclass(frozen=True, kw_only=True, slots=True)
class FenceCase:
    """One armed fence slot of a worker that is not known to work."""

    slot: int
    deadline_at: float
    prio0_until_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FenceOrder:
    """What the janitor must undo now; without packets where a release has no meaning any more."""

    with_packets: tuple[int, ...]
    without_packets: tuple[int, ...]


def due_fences(cases: list[FenceCase], now: float) -> FenceOrder | None:
    """The slots whose deadline has passed at ``now``, or None."""
    due = [case for case in cases if case.deadline_at <= now]
    if not due:
        return None
    return FenceOrder(
        with_packets=tuple(case.slot for case in due if now <= case.prio0_until_at),
        without_packets=tuple(case.slot for case in due if now > case.prio0_until_at),
    )
