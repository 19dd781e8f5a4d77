"""How the kernel schedules each worker: nice value, real-time priority, processors.

From vrrp_priority, vrrp_rt_priority, vrrp_rlimit_rttime, vrrp_cpu_affinity and their like. A worker sets
them before it gives up its rights; on a reload the supervisor does it from outside. The checker's settings
are those of the ipvs worker as well: in keepalived they are one process.

An advert must not wait for scripts: where nothing is written for vrrp, its worker is put before what is at
the ordinary nice value, if this process may do that.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass

ROLES = {"vrrp": "vrrp", "checker": "checker", "ipvs": "checker"}
"""Role -> prefix of the keywords."""
PREFERRED_NICE = -10
"""Of the vrrp worker, unless something is written for it. 255 scripts that start at one instant on two
processors make adverts late by 30 ms without it, by 5 ms with it."""
LEAST_RTTIME_US = 500_000
"""keepalived's limit of 10 ms ends a process that handles a takeover of many addresses; here the limit is
only for one that runs away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduling:
    """None: as the supervisor itself was started."""

    nice: int | None = None
    """-20..19."""
    preferred: bool = False
    """Without ``nice``: before others, if that is allowed; nothing is said where it is not."""
    rt_priority: int | None = None
    """SCHED_RR, 1..99."""
    rlimit_rttime_us: int = 10_000
    """Processor time without a pause after which the kernel ends a real-time process (SIGXCPU)."""
    cpus: tuple[int, ...] | None = None


def set_for(pid: int, wanted: Scheduling, before: Scheduling) -> list[str]:
    """Make it so for one process (0: this one); returns what could not be done, in words. ``before``: what
    holds now."""
    problems: list[str] = []

    def attempt(what: str, needs: str, deed: Callable[[], object]) -> None:
        try:
            deed()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            problems.append(f"{what}: {why}{needs}")

    if (wanted.nice, wanted.preferred) != (before.nice, before.preferred):
        nice = os.getpriority(os.PRIO_PROCESS, 0) if wanted.nice is None else wanted.nice
        if wanted.nice is None and wanted.preferred:
            nice = min(nice, PREFERRED_NICE)
            with contextlib.suppress(OSError):
                _nice(pid, nice)
        else:
            attempt(f"nice value {nice}", " (needs CAP_SYS_NICE)", lambda: _nice(pid, nice))
    if (wanted.rt_priority, wanted.rlimit_rttime_us) != (before.rt_priority, before.rlimit_rttime_us):
        attempt(
            f"real-time priority {wanted.rt_priority or 'off'}",
            " (needs CAP_SYS_NICE, and a share of real-time processor time in its control group)",
            lambda: _real_time(pid, wanted),
        )
    if wanted.cpus != before.cpus:
        cpus = os.sched_getaffinity(0) if wanted.cpus is None else set(wanted.cpus)
        attempt(
            f"processors {','.join(map(str, sorted(cpus)))}",
            " (none of them is there, or the control group forbids them)",
            lambda: os.sched_setaffinity(pid, cpus),
        )
    return problems


def _nice(pid: int, nice: int) -> None:
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    # Outside of control groups Linux shares processors out among sessions first, and only then by the nice
    # values within one; each worker and each script is a session (sched_autogroup_enabled).
    with (
        contextlib.suppress(OSError),
        open(f"/proc/{pid or 'self'}/autogroup", "w", encoding="ascii") as file,
    ):
        file.write(str(nice))


def _real_time(pid: int, wanted: Scheduling) -> None:
    if wanted.rt_priority is None:
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        return
    highest = os.sched_get_priority_max(os.SCHED_RR)
    # What the worker starts (threads of libzmq, children) is not for real-time.
    os.sched_setscheduler(
        pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(min(wanted.rt_priority, highest))
    )
    limit_us = max(LEAST_RTTIME_US, wanted.rlimit_rttime_us)
    # Another user's process (a reload): only with CAP_SYS_RESOURCE; it keeps the limit it was started with.
    with contextlib.suppress(PermissionError):
        resource.prlimit(pid, resource.RLIMIT_RTTIME, (limit_us, limit_us))
