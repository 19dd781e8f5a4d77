"""The process table: one row per role, and how a row becomes a process."""

from __future__ import annotations

import fcntl
import importlib
import os
import pwd
import resource
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from supervisor import fork, policy
from supervisor.scheduling import Scheduling, set_for
from worker import control, log, privileges
from worker.blackbox import BlackBox
from worker.clock import boottime
from worker.context import Options, WorkerContext
from worker.control import WorkerEnd

State = Literal["starting", "ready", "hung", "stopping", "backoff", "stopped"]

UID_BASE = 64700
"""Numeric users for hosts without pykeepalived-ROLE accounts: inside the range that systemd keeps for
dynamic users (61184..65519), so no account is met."""
ROLE_NUMBER = {"bus": 0, "vrrp": 1, "checker": 2, "ipvs": 3, "script": 4}
CAPABILITIES: dict[str, tuple[str, ...]] = {
    "bus": (),
    "vrrp": ("NET_ADMIN", "NET_RAW"),
    "checker": (),
    "ipvs": ("NET_ADMIN",),
    "script": ("SETUID", "SETGID", "KILL"),
}
OOM_SCORE = {"supervisor": -1000, "vrrp": -900, "ipvs": -500, "bus": 0, "checker": 500, "script": 0}
"""Programs that the script worker starts have its score, and are not what should go first."""
BOXED = ("vrrp", "checker", "script")
"""Roles that resume from a black box. ipvs resumes from the kernel's table and a ledger of its own."""


def base_capabilities(role: str) -> tuple[str, ...]:
    """What the role always needs. vrrp locks its memory: by limit where that is open, else by capability."""
    found = CAPABILITIES[role]
    if role == "vrrp" and resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return (*found, "IPC_LOCK")
    return found


_FOR_OTHER_USERS = ("SETUID", "SETGID", "CHOWN", "KILL")
"""Become them, give them their sockets, end them: with less than all of it a worker keeps our user."""


def shared_user() -> str | None:
    """Why workers cannot have users of their own, or None where they can."""
    if os.geteuid() != 0:
        return f"the supervisor runs as uid {os.geteuid()}, not as root"
    missing = privileges.names_of(privileges.mask_of(_FOR_OTHER_USERS) & ~privileges.effective())
    if missing:
        return "missing capabilities: " + ", ".join(missing)
    if not _mapped(UID_BASE):
        return f"this user namespace has no uid {UID_BASE}"
    return None


def role_uid(role: str) -> int | None:
    """The user a role runs as, or None where it cannot be another one than ours."""
    if os.geteuid() != 0 or privileges.mask_of(_FOR_OTHER_USERS) & ~privileges.effective():
        return None
    try:
        uid = pwd.getpwnam(f"pykeepalived-{role}").pw_uid
    except KeyError:
        uid = UID_BASE + ROLE_NUMBER[role]
    return uid if _mapped(uid) else None


def _mapped(uid: int) -> bool:
    """In a user namespace only mapped users exist."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as table:
            rows = [tuple(map(int, line.split())) for line in table]
    except OSError:
        return False
    return any(inside <= uid < inside + count for inside, _, count in rows)


MODULES = {
    "bus": "bus.process",
    "vrrp": "vrrp_proc.process",
    "checker": "checker_proc.process",
    "ipvs": "ipvs_proc.process",
    "script": "script_proc.process",
}


def entry_point(role: str) -> Callable[[WorkerContext], None]:
    """``main`` of the role's worker package."""
    return cast("Callable[[WorkerContext], None]", importlib.import_module(MODULES[role]).main)


@dataclass(kw_only=True, slots=True)
class Process:
    """One role: its present incarnation (if any), its history, and what outlives incarnations."""

    role: str
    uid: int | None
    pid_file: Path | None = None
    # what outlives incarnations
    kept: dict[str, int] = field(default_factory=dict)
    box_fd: int | None = None
    box: BlackBox | None = None
    history: policy.History = field(default_factory=policy.History)
    restarts: int = 0
    last_exit: str | None = None
    # the present incarnation
    pid: int | None = None
    pidfd: int = -1
    channel: control.Channel | None = None
    incarnation: int = 0
    capabilities: tuple[str, ...] = ()
    state: State = "stopped"
    since_at: float = 0.0
    since_wall_at: float = 0.0
    generation: int = 0
    restart_at: float | None = None
    stop_deadline_at: float | None = None
    kill_reason: str | None = None
    # hang detection
    beat_at: float = 0.0
    lateness_s: float = 0.0
    run_delay_s: float = 0.0
    next_check_at: float = 0.0

    @property
    def alive(self) -> bool:
        return self.pid is not None

    @property
    def watched(self) -> bool:
        """Whether its silence means that it hangs. vrrp is master, or hands over, until it has stopped: it
        is watched to its end. All others may take their time to stop."""
        at_work = self.state in ("starting", "ready") or (self.role == "vrrp" and self.state == "stopping")
        return self.alive and at_work and self.kill_reason is None

    def become(self, state: State) -> None:
        self.state, self.since_at, self.since_wall_at = state, boottime(), time.time()

    def heard(self, now: float) -> None:
        """A heartbeat: forget all earlier silence."""
        self.beat_at, self.lateness_s = now, 0.0
        self.run_delay_s = run_delay(self.pid)
        self.next_check_at = now + policy.HUNG_AFTER_S

    def silence(self, now: float) -> policy.Silence:
        return policy.Silence(
            silent_s=now - self.beat_at,
            own_lateness_s=self.lateness_s,
            starved_s=max(0.0, run_delay(self.pid) - self.run_delay_s),
        )

    def kill(self, reason: str) -> None:
        """SIGKILL by pidfd: never a stranger who got the number."""
        if self.pid is not None:
            self.kill_reason = self.kill_reason or reason
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass


def run_delay(pid: int | None) -> float:
    """Seconds the process's main thread has waited for a CPU while it could have run (schedstat)."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def new_incarnation(process: Process) -> int:
    """A number above every earlier one of this role, also over restarts of the supervisor."""
    return max(process.incarnation + 1, int(boottime() * 1000))


def spawn(
    process: Process,
    *,
    run_dir: Path,
    options: Options,
    version: str,
    capabilities: tuple[str, ...],
    scheduling: Scheduling,
) -> None:
    """Fork the next incarnation of ``process``; OSError when the machine cannot."""
    incarnation = new_incarnation(process)
    channel, theirs = control.pair()
    process.kill_reason = None
    kept = dict(process.kept)
    box_fd = process.box_fd

    def body() -> None:
        # Before it gives up root's rights; what its threads and children inherit is not real-time.
        for problem in set_for(0, scheduling, Scheduling()):
            log.logger(process.role).warning("process.scheduling", problem=problem)
        _run_worker(process, theirs, incarnation, run_dir, options, version, capabilities)

    keep = [theirs.fileno(), *kept.values(), *log.sink.descriptors()]
    if box_fd is not None:
        keep.append(box_fd)
    try:
        pid = fork.fork_child(body, keep_fds=keep, role=process.role)
        process.pid, process.pidfd = pid, os.pidfd_open(pid)
    except OSError:
        channel.close()
        raise
    finally:
        theirs.close()
    process.channel, process.incarnation, process.capabilities = channel, incarnation, capabilities
    process.generation, process.restart_at, process.stop_deadline_at = 0, None, None
    process.become("starting")
    process.heard(boottime())


def _run_worker(
    process: Process,
    theirs: socket.socket,
    incarnation: int,
    run_dir: Path,
    options: Options,
    version: str,
    capabilities: tuple[str, ...],
) -> None:
    """In the child: take the role lock and become the worker."""
    role = process.role
    fork.set_oom_score(OOM_SCORE.get(role, 0))
    # Held until this process ends; opened here, because a lock on an inherited description would be
    # the supervisor's as well.
    lock = os.open(run_dir / f"lock.{role}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    fault, _, path = options.faults.get(role, "").partition(":")
    if fault == "die-if-exists" and os.path.exists(path):
        raise SystemExit(70)
    ctx = WorkerContext(
        role=role,
        incarnation=incarnation,
        control=WorkerEnd(theirs, version=version, role=role, incarnation=incarnation),
        box_fd=process.box_fd,
        kept_fds=dict(process.kept),
        run_dir=run_dir,
        bus_ingress=f"ipc://{run_dir}/in.{role}",
        bus_out=f"ipc://{run_dir}/out",
        options=options,
        uid=process.uid,
        capabilities=capabilities,
    )
    entry_point(role)(ctx)


def describe_exit(status: int, kill_reason: str | None) -> str:
    """A wait status in words."""
    if kill_reason:
        return f"killed: {kill_reason}"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"killed by {signal.Signals(number).name if number in set(signal.Signals) else number}"
    return f"exit status {os.WEXITSTATUS(status)}"


def listener(path: Path, uid: int | None, mode: int) -> int:
    """A listening UNIX stream socket, owned and restricted before anybody can connect."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    old = os.umask(0o777)
    try:
        sock.bind(str(path))
    finally:
        os.umask(old)
    if uid is not None:
        os.chown(path, uid, uid)
    path.chmod(mode)
    sock.listen(64)
    return sock.detach()
