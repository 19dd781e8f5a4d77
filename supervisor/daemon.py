"""The supervisor's loop: children, signals, heartbeats, fences, operators, start and stop.

One thread and one epoll. Everything that takes time (parsing, undoing) happens in forked children.
What is decided lives in ``policy`` (pure); this file observes and acts.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from supervisor import boxes, commands, fork, janitor, policy, rundir, table
from supervisor.commands import OPERATOR_RESTART
from supervisor.fence import Fence
from supervisor.hooks import Hooks
from supervisor.loader import Loaded
from supervisor.maintenance import Maintenance
from supervisor.mirror import Reporter
from supervisor.operator import OperatorServer
from supervisor.options import DUMPS, SIGNALS, DaemonOptions
from supervisor.reload import Generation, Reload
from supervisor.rundir import RunDir
from supervisor.scheduling import Scheduling
from supervisor.systemd import Notifier
from supervisor.table import Process
from worker import privileges
from worker.clock import boottime
from worker.context import Options
from worker.control import (
    Applied,
    Apply,
    Channel,
    ControlClosed,
    ControlError,
    Epoch,
    Failed,
    Heartbeat,
    Peer,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Report,
    Stop,
    Store,
    Unstore,
)

_MAX_WAIT_S = 0.4
_LATE_S = 0.02
_TURN_S = 0.1
"""Work of a turn; what takes longer was not ours."""


class Supervisor:
    """One daemon. ``run`` returns its exit status."""

    def __init__(self, options: DaemonOptions, run: RunDir, notifier: Notifier, version: str) -> None:
        self.options, self.run_dir, self.notifier, self.version = options, run, notifier, version
        self.worker_options = Options(
            log_level=options.log_level,
            log_format=options.log_format,
            detail=options.detail,
            release_vips=options.release_vips,
            dont_release_ipvs=options.dont_release_ipvs,
            faults=_faults(),
        )
        self.reporter = Reporter()
        self.log = self.reporter.log
        self.table: dict[str, Process] = {}
        self.epoch = 0
        self.started_at = boottime()
        self.stopping = False
        self.exit_status = 0
        self.ready_said = False
        self.epoll = select.epoll()
        self.readers: dict[int, Callable[[], None]] = {}
        self.reload = Reload(self)
        self.fence = Fence(self)
        self.maintenance = Maintenance(self)
        self.hooks = Hooks(self)
        self.own_lateness_at = 0.0
        self.watchdog_due_at = boottime()
        self.operator: OperatorServer | None = None
        self.children: dict[int, Callable[[int], None]] = {}

    # --- life ----------------------------------------------------------------------------------

    def run(self, first: Loaded) -> int:
        """Serve until told to stop. ``first`` is the configuration to start with."""
        self._set_up()
        self.reload.current = Generation(1, first)
        self.hooks.warm()
        warm(self.wanted_roles())
        self.hooks.before_start(self._start_workers)
        while True:
            wait_s = self._wait_time()
            before = boottime()
            try:
                ready = self.epoll.poll(wait_s)
            except InterruptedError:
                ready = []
            after = boottime()
            self._note_lateness(after - before - wait_s, after)
            for fd, _ in ready:
                reader = self.readers.get(fd)
                if reader is not None:
                    reader()
            self._reap()
            now = boottime()
            # We may have been stopped in this very turn: known before anybody is judged by ``now``.
            self._note_lateness(now - after - _TURN_S, now)
            self._timers(now)
            if self.stopping and self._stopped():
                break
            ended = boottime()
            self._note_lateness(ended - now - _TURN_S, ended)
        self._leave()
        return self.exit_status

    def _start_workers(self) -> None:
        if self.stopping:
            return
        for role in self.wanted_roles():
            self.start_role(role)
        self.reload.begin()

    def _set_up(self) -> None:
        fork.set_title(fork.title_of("supervisor"))
        self._say_what_is_denied(out_of_memory=fork.set_oom_score(table.OOM_SCORE["supervisor"]))
        # An orphan (a worker's child, or anybody's when we are PID 1) comes to us to be reaped.
        with contextlib.suppress(OSError):
            fork._libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 18), hard))
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self._clean_up_after_predecessor()
        for role in policy.START_ORDER:
            self.table[role] = self._row(role)
        wake_out, wake_in = socket.socketpair()
        for end in (wake_out, wake_in):
            end.setblocking(False)
        self._wake = (wake_out, wake_in)
        signal.set_wakeup_fd(wake_in.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *fork.OPERATOR_SIGNALS):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # What came while we were starting is heard now: a reload or a stop is late, never lost.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, fork.OPERATOR_SIGNALS)
        self.watch(wake_out.fileno(), self._signalled)
        self.operator = OperatorServer(self.run_dir.socket("operator.sock"), partial(commands.handle, self))
        self.watch(self.operator.fileno(), self._operator_connects)

    def _say_what_is_denied(self, *, out_of_memory: bool) -> None:
        """What this environment (a container, an ordinary user) withholds: said once, and lived with."""
        shared = table.shared_user()
        if shared:
            self.log.warning(
                "start.limited",
                what="a user of its own for each worker",
                why=shared,
                meaning="workers keep the supervisor's user; each drops the capabilities it can do without",
            )
        missing = privileges.mask_of(("NET_ADMIN", "NET_RAW")) & ~privileges.effective()
        if missing:
            self.log.error(
                "start.limited",
                what="addresses, VRRP sockets and the IPVS table",
                why="missing capabilities: " + ", ".join(privileges.names_of(missing)),
                meaning="no address can be served; start as root, grant these capabilities, or try it out in"
                " a network of your own: unshare --user --map-root-user --net",
            )
        if not out_of_memory:
            self.log.warning(
                "start.limited",
                what=f"oom_score_adj {table.OOM_SCORE['supervisor']}",
                why="missing capability: SYS_RESOURCE",
                meaning="the kernel may choose these processes when memory runs out, as any other",
            )

    def _clean_up_after_predecessor(self) -> None:
        ended = janitor.end_left_over_workers(self.run_dir.path, patience_s=0.3)
        slots, problems = janitor.clean_ledger(self.run_dir.box("vrrp"))
        if ended or slots or problems:
            self.log.warning(
                "start.cleaned_up", workers_ended=ended, virtual_routers_fenced=slots, problems=problems
            )

    def _row(self, role: str) -> Process:
        names = {"vrrp": self.options.vrrp_pid_file, "checker": self.options.checkers_pid_file}
        name = names.get(role)
        row = Process(role=role, uid=table.role_uid(role), pid_file=Path(name) if name else None)
        if role == "bus":
            for other in policy.START_ORDER:
                if other != "bus":
                    path = self.run_dir.socket(f"in.{other}")
                    row.kept[f"listen:in.{other}"] = table.listener(path, table.role_uid(other), 0o600)
            # Anyone may subscribe: what is published holds no secret, and an XPUB takes no state in.
            row.kept["listen:out"] = table.listener(self.run_dir.socket("out"), row.uid, 0o666)
        return row

    def _leave(self) -> None:
        for row in self.table.values():
            rundir.remove_pid_file(row.pid_file)
        rundir.remove_pid_file(Path(self.options.pid_file) if self.options.pid_file else None)
        if self.operator is not None:
            self.operator.close()
        self.run_dir.remove()
        uptime_s = round(boottime() - self.started_at, 3)
        self.log.info("supervisor.stopped", version=self.version, uptime_s=uptime_s)

    def watch(self, fd: int, reader: Callable[[], None]) -> None:
        self.readers[fd] = reader
        self.epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        if self.readers.pop(fd, None):
            with contextlib.suppress(OSError, ValueError):
                self.epoll.unregister(fd)

    # --- roles ---------------------------------------------------------------------------------

    def wanted_roles(self) -> list[str]:
        """Roles that the current generation and the options ask for, in start order."""
        return [role for role in policy.START_ORDER if role == "bus" or role in self.reload.current.slices]

    def start_role(self, role: str) -> None:
        """Fork the role's next incarnation and hand it everything it needs."""
        row = self.table[role]
        current = self.reload.current
        if role == "vrrp" and self.fence.running:  # what it left when it was told to stop
            row.restart_at = boottime()
            row.become("backoff")
            return
        try:
            boxes.fit(row, self.run_dir, self.reload.current.records.get(role, 0))
            table.entry_point(role)  # imported here, so that the child need not
            table.spawn(
                row,
                run_dir=self.run_dir.path,
                options=self.worker_options,
                version=self.version,
                capabilities=table.base_capabilities(role) + current.capabilities.get(role, ()),
                scheduling=current.scheduling.get(role, Scheduling()),
            )
        except OSError as error:
            row.last_exit = f"could not be forked: {error.strerror}"
            row.restart_at = boottime() + 0.2
            row.become("backoff")
            self.reporter.event(row, "died", row.last_exit)
            return
        channel = row.channel
        assert channel is not None
        self.watch(channel.fileno(), lambda: self._read(row, channel))
        problem = rundir.write_pid_file(row.pid_file, row.pid or 0)
        if problem:
            self.log.warning("pid_file.not_written", why=problem)
        if role == "bus":
            self._introduce_broker(row, channel)
        else:
            broker = self.table["bus"].channel
            if broker is not None:
                broker.send(Peer(role=role, pid=row.pid or 0))
            channel.send(Epoch(epoch=self.epoch))
            if role == "vrrp":
                self.maintenance.introduce(channel)
            channel.send(Prepare(generation=current.number), current.slices[role])
            channel.send(Apply(generation=current.number, phase="full"))
        self.reporter.event(row, "started")

    def _introduce_broker(self, row: Process, channel: Channel) -> None:
        self.epoch = max(self.epoch + 1, int(boottime() * 1000))
        others = [other for other in self.table.values() if other.role != "bus"]
        # Who may speak comes first: the broker reads nobody before it knows the epoch.
        for other in others:
            channel.send(Peer(role=other.role, pid=other.pid or 0))
        channel.send(Epoch(epoch=self.epoch))
        for other in others:
            if other.channel is not None:
                other.channel.send(Epoch(epoch=self.epoch))
        channel.send(Apply(generation=self.reload.current.number, phase="full"))
        self.reporter.broker_is(row, self.epoch)

    def stop_role(self, row: Process) -> None:
        """Ask for a clean end; killed and fenced if it does not come."""
        if not row.alive:
            row.restart_at = None
            row.become("stopped")
            return
        if row.state == "stopping":
            return
        row.become("stopping")
        row.stop_deadline_at = boottime() + self.reload.current.child_wait_time_s
        if row.channel is not None:
            row.channel.send(Stop())

    # --- what workers say ----------------------------------------------------------------------

    def _read(self, row: Process, channel: Channel) -> None:
        if row.channel is not channel:
            self.unwatch(channel.fileno())
            return
        try:
            messages = channel.receive()
        except ControlClosed:
            self.unwatch(channel.fileno())
            return  # the death itself is seen by reaping
        except ControlError as error:
            self.log.error("control.malformed", role=row.role, reason=str(error))
            row.kill("it broke the control protocol")
            return
        channel.flush()
        now = boottime()
        for message in messages:
            row.heard(now)
            if isinstance(message, Heartbeat):
                continue
            if isinstance(message, Ready):
                self._is_ready(row, now)
            elif isinstance(message, Store):
                old = row.kept.pop(message.name, None)
                if old is not None:
                    os.close(old)
                row.kept[message.name] = message.fd
            elif isinstance(message, Unstore):
                old = row.kept.pop(message.name, None)
                if old is not None:
                    os.close(old)
            elif isinstance(message, Applied):
                row.generation = message.generation
                self.reload.applied(row, message.generation, message.phase)
                self.reporter.state(row)
            elif isinstance(message, Prepared):
                self.reload.prepared(row, message.generation)
            elif isinstance(message, Refused):
                self.reload.refused(row, message.generation, message.reason)
            elif isinstance(message, Failed):
                self.reload.failed(row, message.generation, message.reason)
            elif isinstance(message, Report):
                self.reporter.from_worker(row, message.payload)
            else:
                self.maintenance.told(message)

    def _is_ready(self, row: Process, now: float) -> None:
        if row.state != "starting":
            return
        row.become("ready")
        row.history = policy.History(deaths=row.history.deaths, ready_at=now)
        self.fence.tries = 0
        self.reporter.event(row, "ready", f"{(now - row.incarnation / 1000) * 1000:.0f} ms after the fork")
        if not self.ready_said and all(self.table[role].state == "ready" for role in self.wanted_roles()):
            self.ready_said = True
            self.notifier.ready(self.reload.current.summary)
            self.log.info("supervisor.ready", after_s=round(now - self.started_at, 3))
        self.reload.worker_ready()

    # --- deaths --------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for row in self.table.values():
                if row.pid == pid:
                    self._died(row, status)
                    break
            else:
                ended = self.children.pop(pid, None)
                if ended is not None:
                    ended(status)

    def _died(self, row: Process, status: int) -> None:
        now = boottime()
        channel = row.channel
        if channel is not None:
            # Its last words may be sockets to keep.
            with contextlib.suppress(ControlClosed):
                self._read(row, channel)
            self.unwatch(channel.fileno())
            channel.close()
        pid, row.pid, row.channel = row.pid, None, None
        os.close(row.pidfd)
        row.pidfd = -1
        if row.role == "bus":
            self.reporter.broker_is(None, 0)
        else:
            broker = self.table["bus"].channel
            if broker is not None:
                broker.send(Peer(role=row.role, pid=0))
        row.last_exit = table.describe_exit(status, row.kill_reason)
        if row.role == "vrrp":
            self.maintenance.worker_died()
        if row.state == "stopping":
            row.become("stopped")
            rundir.remove_pid_file(row.pid_file)
            self.reporter.event(row, "stopped", row.last_exit, pid)
            self.reload.role_stopped(row)
            return
        starved = now - self.own_lateness_at < 1.0
        asked_for = row.kill_reason == OPERATOR_RESTART
        row.history, restart_at = policy.after_death(row.history, now, host_starved=starved or asked_for)
        row.history = policy.History(deaths=row.history.deaths)
        row.restarts += not asked_for
        row.become("backoff")
        row.restart_at = policy.not_after_fence(restart_at, now, self.fence.deadlines(row))
        self.reporter.event(row, "died", row.last_exit, pid)
        self.reload.worker_died(row)
        # Straight away where the policy allows it: every millisecond counts for vrrp.
        self._restart_if_due(row, now)

    def _restart_if_due(self, row: Process, now: float) -> None:
        if self.stopping or row.restart_at is None or row.alive or now < row.restart_at:
            return
        if row.role == "vrrp" and (self.fence.running or self.fence.if_due(row, now)):
            return
        self.start_role(row.role)

    # --- timers --------------------------------------------------------------------------------

    def _note_lateness(self, late_s: float, now: float) -> None:
        """We were not running for ``late_s``: nobody may be blamed for that time."""
        if late_s < _LATE_S:
            return
        for row in self.table.values():
            row.lateness_s += late_s
        if late_s > 0.3:
            self.own_lateness_at = now
            self.log.warning("supervisor.late", late_ms=round(late_s * 1000))

    def _wait_time(self) -> float:
        now = boottime()
        due = [now + _MAX_WAIT_S]
        for row in self.table.values():
            if row.restart_at is not None and not row.alive and not self.stopping:
                due.append(row.restart_at)
            if row.watched:
                due.append(row.next_check_at)
            if row.stop_deadline_at is not None and row.alive:
                due.append(row.stop_deadline_at)
            if row.state not in ("ready", "stopped", "stopping"):
                due += self.fence.deadlines(row)
        due += self.reload.deadlines()
        due += self.maintenance.deadlines()
        if self.notifier.watchdog_s is not None:
            due.append(self.watchdog_due_at)
        return max(0.0, min(due) - now)

    def _timers(self, now: float) -> None:
        if self.notifier.watchdog_s is not None and now >= self.watchdog_due_at:
            self.watchdog_due_at = now + self.notifier.watchdog_s
            self.notifier.alive()
        self.fence.timers(now)
        for row in self.table.values():
            if row.channel is not None:
                row.channel.flush()
            if row.watched and now >= row.next_check_at:
                self._check_hang(row, now)
            if row.alive and row.stop_deadline_at is not None and now >= row.stop_deadline_at:
                row.kill(f"did not stop within {self.reload.current.child_wait_time_s:g} s")
            if row.state == "stopped":
                self.fence.left_over(row)
            elif row.state not in ("ready", "stopping"):
                self.fence.if_due(row, now)
            self._restart_if_due(row, now)
        self.reload.timers(now)
        self.maintenance.timers(now)
        self.hooks.timers(now)
        self.reporter.pump(now)
        if self.stopping:
            self._continue_stop()

    def _check_hang(self, row: Process, now: float) -> None:
        if row.channel is not None:
            self._read(row, row.channel)  # its heartbeat may have waited for us
        silence = row.silence(now)
        if silence.silent_s < policy.HUNG_AFTER_S:
            if row.state == "starting" and now - row.since_at > policy.START_LIMIT_S:
                self._hung(row, f"not ready {policy.START_LIMIT_S:g} s after the fork")
            else:
                row.next_check_at = policy.next_hang_check(silence, now)
        elif policy.is_hung(silence):
            self._hung(
                row,
                f"silent for {silence.silent_s:.2f} s"
                f" (excused: {silence.own_lateness_s + silence.starved_s:.2f} s)",
            )
        else:
            row.next_check_at = policy.next_hang_check(silence, now)

    def _hung(self, row: Process, why: str) -> None:
        if row.state != "stopping":  # nobody comes after one that stops
            row.become("hung")
        self.reporter.event(row, "hung", why)
        row.kill(f"hung, {why}")

    # --- signals and operators -----------------------------------------------------------------

    def _signalled(self) -> None:
        try:
            numbers = set(self._wake[0].recv(4096))
        except BlockingIOError:
            return
        if signal.SIGTERM in numbers or (signal.SIGINT in numbers and not self.options.ignore_sigint):
            self.begin_stop("signal")
        elif signal.SIGHUP in numbers:
            self.reload.request(None)
        for name, shown in DUMPS.items():
            if SIGNALS[name] in numbers:
                self.log.warning(
                    "signal.without_effect", signal=shown, means=name, instead="pykeepalived status --json"
                )

    def _operator_connects(self) -> None:
        assert self.operator is not None
        server = self.operator
        client = server.accept()
        if client is not None:
            fd = client.sock.fileno()

            def readable() -> None:
                if not server.readable(client):
                    self.unwatch(fd)

            self.watch(fd, readable)

    # --- stop ----------------------------------------------------------------------------------

    def begin_stop(self, why: str) -> None:
        """Give mastership back first, then dismantle: vrrp, checker, ipvs, bus."""
        if self.stopping:
            return
        self.stopping = True
        self.notifier.stopping()
        self.log.info("supervisor.stopping", why=why)
        self.reload.cancel()
        self.hooks.stop()
        for row in self.table.values():
            row.restart_at = None
        self.fence.tries = 0
        self._continue_stop()

    def _continue_stop(self) -> None:
        for role in policy.STOP_ORDER:
            row = self.table[role]
            if row.alive:
                self.stop_role(row)
                return
            if row.role == "vrrp" and self.fence.left_over(row):
                return

    def _stopped(self) -> bool:
        self._continue_stop()
        gone = not self.fence.running and not any(row.alive for row in self.table.values())
        return gone and self.hooks.after_stop()


def _faults() -> dict[str, str]:
    """Fault hooks of the project's own tests: PYKEEPALIVED_FAULT="vrrp=die-if-exists:/x,loader=hang"."""
    text = os.environ.get("PYKEEPALIVED_FAULT", "")
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def warm(roles: Iterable[str]) -> None:
    """Import what these roles need, once and for all incarnations, and take it out of the collector's sight.

    A collection in a child would touch, and so un-share, every object it looks at.
    """
    for role in roles:
        table.entry_point(role)
    import encodings.ascii
    import encodings.idna  # noqa: F401 - sockets import it at the first name they meet

    import keepalived_conf.loading  # noqa: F401 - a reload must not need the installation

    gc.collect()
    gc.freeze()
