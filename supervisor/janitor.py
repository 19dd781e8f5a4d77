"""The janitor: takes off what a worker left behind when it cannot do so itself.

Standard library only (with the project's own black box and undo bytes, which are standard library
too). Used in a forked child while the supervisor lives, and by ``pykeepalived fence`` when nothing
lives any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from supervisor import rundir
from worker import undo
from worker.blackbox import BlackBox, BoxError
from worker.clock import boottime

ROLES = ("vrrp", "checker", "ipvs", "bus", "script", "bfd", "api")


def undo_slots(
    box: BlackBox, with_packets: tuple[int, ...], without_packets: tuple[int, ...] = ()
) -> list[str]:
    """Perform the undo of these slots and disarm them. Returns what could not be done, in words."""
    problems: list[str] = []
    for slots, packets in ((with_packets, True), (without_packets, False)):
        for slot in slots:
            problems += [
                f"slot {slot}: {problem}" for problem in undo.perform(box.undo(slot), packets=packets)
            ]
            box.disarm(slot)
    return problems


def end_process(pid: int, *, wait_s: float = 2.0) -> bool:
    """SIGKILL by pidfd and wait for the end; True when it is gone."""
    import select

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(wait_s * 1000))
    finally:
        os.close(pidfd)


def end_left_over_workers(run_dir: Path, *, patience_s: float) -> list[int]:
    """Wait ``patience_s`` for workers of a dead supervisor to leave, then end them. Returns who was ended."""
    deadline = time.monotonic() + patience_s
    holders: dict[str, int] = {}
    while True:
        holders = {}
        for role in ROLES:
            pid = rundir.lock_holder(run_dir / f"lock.{role}")
            if pid:
                holders[role] = pid
        if not holders or time.monotonic() >= deadline:
            break
        time.sleep(0.01)
    for pid in holders.values():
        end_process(pid)
    return sorted(holders.values())


def clean_ledger(box_path: Path | None) -> tuple[int, list[str]]:
    """Undo everything that the ledger at ``box_path`` says is still in place: (slots, problems)."""
    if box_path is None:
        return 0, []
    try:
        fd = os.open(box_path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0, []
    except OSError as error:
        return 0, [f"{box_path}: {error.strerror}"]
    try:
        box = BlackBox.attach(fd)
    except BoxError as error:
        return 0, [f"{box_path}: {error}"]
    finally:
        os.close(fd)
    now = boottime()
    armed = box.armed()
    early = tuple(item.slot for item in armed if now <= item.prio0_until_at)
    late = tuple(item.slot for item in armed if now > item.prio0_until_at)
    problems = undo_slots(box, early, late)
    box.close()
    return len(armed), problems


def fence(run_dir: Path) -> int:
    """``pykeepalived fence``: leave nothing of ours in the kernel. Returns an exit status.

    Refuses while a supervisor lives: it fences better itself.
    """
    pid = rundir.lock_holder(run_dir / "lock")
    if pid:
        print(f"pykeepalived: a supervisor runs with pid {pid}; use 'pykeepalived stop' to end it")
        return 1
    if not run_dir.is_dir():
        print(f"pykeepalived: nothing to fence: there is no {run_dir}")
        return 0
    ended = end_left_over_workers(run_dir, patience_s=0.3)
    boxes = rundir.box_dir(run_dir)
    slots, problems = clean_ledger(boxes / "box.vrrp" if boxes else None)
    for pid in ended:
        print(f"pykeepalived: ended left-over worker {pid}")
    print(f"pykeepalived: {slots} virtual routers fenced")
    for problem in problems:
        print(f"pykeepalived: {problem}")
    return 1 if problems else 0
