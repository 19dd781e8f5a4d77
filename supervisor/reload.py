"""Generations and reload: prepare everywhere, commit once, apply in order.

PREPARE goes to every worker (parsed, validated, nothing touched). Any refusal, death or time-out:
ABORT, the old generation stays everywhere. When all have agreed, ``current`` flips: that is the
commit, and every start from here gets the new generation. A worker that dies three times while it
applies takes the whole daemon back to the old content, as a generation of its own number.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bus import codec
from supervisor import boxes, policy, scheduling
from supervisor.loader import WALL_LIMIT_S, Loaded, Loader, Manifest, digest, empty_slices
from supervisor.scheduling import Scheduling
from supervisor.table import Process, describe_exit
from worker import log
from worker.clock import boottime
from worker.control import Abort, Apply, LogLevel, Prepare, make_slice

if TYPE_CHECKING:
    from supervisor.daemon import Supervisor
    from supervisor.operator import Client

PREPARE_LIMIT_S = 2.0
APPLY_LIMIT_S = 10.0
READY_LIMIT_S = 2.0


class Generation:
    """A number and what it means: role -> sealed memfd. Slices are opaque."""

    def __init__(self, number: int, loaded: Loaded | None) -> None:
        self.number = number
        manifest = loaded.manifest if loaded else Manifest(fatal=False, exit_status=0)
        self.slices: dict[str, int] = dict(loaded.slices) if loaded else {}
        self.records = dict(manifest.records)
        self.digests = dict(manifest.digests)
        self.capabilities = {role: tuple(names.split()) for role, names in manifest.capabilities.items()}
        self.child_wait_time_s = manifest.child_wait_time_s
        self.log_format = manifest.log_format
        self.scheduling = dict(manifest.scheduling)
        self.hooks = dict(manifest.hooks)
        self.summary = manifest.summary

    def copy(self, number: int) -> Generation:
        """The same content under a new number, with descriptors of its own."""
        other = Generation(number, None)
        other.slices = {role: os.dup(fd) for role, fd in self.slices.items()}
        other.capabilities, other.summary = self.capabilities, self.summary
        other.records, other.digests = self.records, self.digests
        other.child_wait_time_s = self.child_wait_time_s
        other.log_format = self.log_format
        other.scheduling = self.scheduling
        other.hooks = self.hooks
        return other

    def close(self) -> None:
        for fd in self.slices.values():
            os.close(fd)
        self.slices = {}


def restrict(loaded: Loaded, *, vrrp: bool, checkers: bool, all_workers: bool) -> Loaded:
    """Drop the slices that -P or -C exclude, add empty ones for --all."""
    keep = {"vrrp": vrrp, "checker": checkers, "ipvs": checkers, "script": True}
    for role in [role for role in loaded.slices if not keep.get(role, True)]:
        os.close(loaded.slices.pop(role))
    if all_workers:
        for role, make in empty_slices().items():
            if keep[role] and role not in loaded.slices:
                data = codec.dumps(make())
                loaded.slices[role] = make_slice(f"slice.{role}", data)
                loaded.manifest.digests[role] = digest(data)
    return loaded


@dataclass(kw_only=True, slots=True)
class _Attempt:
    """One reload under way."""

    phase: Literal["loading", "waiting", "preparing", "applying"]
    deadline_at: float
    loader: Loader | None = None
    new: Generation | None = None
    old: Generation | None = None
    """Kept from the commit until everything is applied, for a roll-back."""
    asked: set[str] = field(default_factory=set)
    prepared: dict[str, int] = field(default_factory=dict)
    """Role -> incarnation that was told to prepare: a later one knows nothing of it."""
    told: tuple[str, str, int] | None = None
    """Role, phase and incarnation of the last APPLY sent: never twice."""
    steps: list[tuple[str, str]] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    rolling_back: bool = False
    tries: int = 0


class Reload:
    """The reload state machine of one supervisor."""

    def __init__(self, owner: Supervisor) -> None:
        self.owner = owner
        self.current = Generation(0, None)
        self.highest = 1
        self.attempt: _Attempt | None = None
        self.again = False
        self.waiting: list[Client] = []
        self.waiting_next: list[Client] = []

    # --- asking --------------------------------------------------------------------------------

    def request(self, client: Client | None) -> None:
        """Reload now, or once more when the present attempt is over. ``client`` is told the end."""
        if self.owner.stopping:
            if client:
                client.answer({"ok": False, "error": "the daemon is stopping"})
            return
        if self.attempt is not None or self.owner.hooks.running:
            self.again = True
            if client:
                self.waiting_next.append(client)
            return
        if client:
            self.waiting.append(client)
        self._load(tries=0)

    def begin(self) -> None:
        """The workers are started: what was asked for before is done now."""
        self.waiting, self.waiting_next = self.waiting_next, []
        if self.again:
            self.again = False
            self._load(tries=0)

    def _load(self, tries: int) -> None:
        owner = self.owner
        owner.notifier.reloading()
        self.highest += 1
        owner.reporter.reload_step("started", self.highest, self.current.number)
        loader = Loader(
            os.path.abspath(owner.options.config),
            owner.options.config_id,
            all_config=owner.options.all_config,
            umask=owner.options.umask,
            fault=owner.worker_options.faults.get("loader", ""),
        )
        attempt = _Attempt(phase="loading", deadline_at=boottime() + WALL_LIMIT_S, loader=loader, tries=tries)
        self.attempt = attempt
        owner.watch(loader.fileno(), self._loader_readable)
        owner.children[loader.pid] = lambda status: self._loader_ended(attempt, status)

    def _loader_ended(self, attempt: _Attempt, status: int) -> None:
        """The child is gone; what it sent may still wait in the socket."""
        if attempt.phase == "loading" and attempt is self.attempt and attempt.loader is not None:
            self._loader_readable(describe_exit(status, None))

    def _loader_readable(self, how: str = "") -> None:
        attempt = self.attempt
        if attempt is None or attempt.loader is None:
            return
        try:
            loaded = attempt.loader.result()
        except BlockingIOError:
            if not how:
                return
            loaded = None
        if loaded is None and not how:
            # It ended, or is about to: how, comes with its status.
            self.owner.unwatch(attempt.loader.fileno())
            return
        self._drop_loader(attempt)
        if loaded is None:
            self._refuse(f"the configuration could not be read: loader {how}")
            return
        for finding in loaded.manifest.findings:
            if finding.severity != "note":
                self.owner.log.warning("config.finding", severity=finding.severity, text=finding.text)
        if loaded.manifest.fatal:
            errors = tuple(
                f"{f.place}: {f.message}" for f in loaded.manifest.findings if f.severity == "error"
            )
            loaded.close()
            self._refuse("the configuration is not usable: " + "; ".join(errors[:3]), errors)
            return
        options = self.owner.options
        restrict(loaded, vrrp=options.vrrp, checkers=options.checkers, all_workers=options.all_workers)
        attempt.new = Generation(self.highest, loaded)
        attempt.phase, attempt.deadline_at = "waiting", boottime() + READY_LIMIT_S
        self._prepare_when_all_ready()

    def _drop_loader(self, attempt: _Attempt) -> None:
        if attempt.loader is not None:
            self.owner.unwatch(attempt.loader.fileno())
            attempt.loader.close()
            attempt.loader = None

    # --- prepare -------------------------------------------------------------------------------

    def _participants(self, generation: Generation) -> list[Process]:
        return [
            self.owner.table[role]
            for role in policy.START_ORDER
            if role in generation.slices and self.owner.table[role].alive
        ]

    def _prepare_when_all_ready(self) -> None:
        attempt = self.attempt
        if attempt is None or attempt.phase != "waiting" or attempt.new is None:
            return
        rows = [row for row in self.owner.table.values() if row.role in self.current.slices]
        if any(row.state != "ready" for row in rows) and boottime() < attempt.deadline_at:
            return
        attempt.phase, attempt.deadline_at = "preparing", boottime() + PREPARE_LIMIT_S
        for row in self._participants(attempt.new):
            if not self._has_nothing_new(row, self.current, attempt.new) and self._prepare(row, attempt.new):
                attempt.asked.add(row.role)
        if not attempt.asked:
            self._commit()

    def _has_nothing_new(self, row: Process, old: Generation, new: Generation) -> bool:
        """Whether a worker runs exactly what it would be given: it is not disturbed then, least of all
        one that has an advert to send."""
        ours = old.digests.get(row.role)
        return (
            ours is not None
            and ours == new.digests.get(row.role)
            and row.state == "ready"
            and row.generation == old.number
        )

    def _prepare(self, row: Process, generation: Generation) -> bool:
        """Send PREPARE; False when there is nobody to send it to."""
        if row.channel is None or self.attempt is None:
            return False
        self.attempt.prepared[row.role] = row.incarnation
        row.channel.send(Prepare(generation=generation.number), generation.slices[row.role])
        return True

    def prepared(self, row: Process, generation: int) -> None:
        attempt = self.attempt
        if attempt and attempt.phase == "preparing" and attempt.new and attempt.new.number == generation:
            attempt.asked.discard(row.role)
            if not attempt.asked:
                self._commit()

    def refused(self, row: Process, generation: int, reason: str) -> None:
        attempt = self.attempt
        if attempt and attempt.phase == "preparing" and attempt.new and attempt.new.number == generation:
            self._abort(f"{row.role} refuses it: {reason}")
        elif generation == self.current.number:
            self.owner.log.error("config.refused", role=row.role, generation=generation, why=reason)
            row.kill(f"refused the configuration in force: {reason}")

    def _abort(self, why: str, *, again: bool = False) -> None:
        attempt = self.attempt
        assert attempt is not None
        if attempt.new is not None:
            for row in self._participants(attempt.new):
                if row.channel is not None:
                    row.channel.send(Abort(generation=attempt.new.number))
            attempt.new.close()
        if again and attempt.tries < 3:
            # The file is not to blame: a worker died. Its successor runs the old generation; ask again.
            self.owner.log.warning("reload.again", why=why)
            self.attempt = None
            self._load(attempt.tries + 1)
            return
        self._refuse(why)

    def _refuse(self, why: str, errors: tuple[str, ...] = ()) -> None:
        self.owner.reporter.reload_step("refused", self.highest, self.current.number, why, errors or (why,))
        self._end({"ok": False, "error": why, "errors": list(errors)})

    # --- commit and apply ----------------------------------------------------------------------

    def _commit(self) -> None:
        attempt = self.attempt
        assert attempt is not None
        assert attempt.new is not None
        old, self.current = self.current, attempt.new
        attempt.phase = "applying"
        if attempt.old is None:
            attempt.old = old
        else:
            old.close()
        self.owner.reporter.generation = self.current.number
        self.owner.reporter.reload_step("committed", self.current.number, self.current.number)
        self._use_log_format(old)
        kept = set()
        for role in policy.START_ORDER:
            if role not in self.current.slices:
                continue
            row = self.owner.table[role]
            if not row.alive and row.restart_at is None:
                self.owner.start_role(role)
            elif self._has_nothing_new(row, old, self.current):
                kept.add(role)
                row.generation = self.current.number
                self.owner.reporter.state(row)
                self.schedule(row, old.scheduling.get(role, Scheduling()))
            elif row.alive:
                self.schedule(row, old.scheduling.get(role, Scheduling()))
                if attempt.prepared.get(role) != row.incarnation:
                    # It started under the old generation after its predecessor had agreed.
                    self._prepare(row, self.current)
                needed = set(self.current.capabilities.get(role, ()))
                if not needed <= set(row.capabilities):
                    row.kill("the new configuration needs more capabilities")
                if boxes.too_small(row, self.current.records.get(role, 0)):  # its successor gets a larger one
                    row.kill("the new configuration needs a larger black box")
        attempt.steps = [
            step for step in policy.APPLY_ORDER if step[0] in self.current.slices and step[0] not in kept
        ]
        self._next_step()

    def _use_log_format(self, old: Generation) -> None:
        """Write records as the generation in force says; a worker that starts now has it from us."""
        if self.owner.options.given_log_format or old.log_format == self.current.log_format:
            return
        form = self.current.log_format or self.owner.options.log_format
        log.set_form(form)
        for row in self.owner.table.values():
            if row.channel is not None:
                row.channel.send(LogLevel(form=form))

    def schedule(self, row: Process, before: Scheduling) -> None:
        """Give a worker the priorities and processors of the generation in force."""
        wanted = self.current.scheduling.get(row.role)
        if wanted is None or wanted == before or row.pid is None:
            return
        for problem in scheduling.set_for(row.pid, wanted, before):
            self.owner.log.warning("process.scheduling", role=row.role, role_pid=row.pid, problem=problem)

    def _next_step(self) -> None:
        attempt = self.attempt
        assert attempt is not None
        while attempt.steps:
            role, phase = attempt.steps[0]
            row = self.owner.table[role]
            if row.generation == self.current.number and phase != "removals":
                attempt.steps.pop(0)
                continue
            step = (role, phase, row.incarnation)
            if attempt.told != step:
                attempt.deadline_at = boottime() + APPLY_LIMIT_S
                # One that is starting first applies what it was started with: this generation, or the
                # one before. We are called again when that is known.
                if row.state == "ready" and row.generation and row.channel is not None:
                    attempt.told = step
                    row.channel.send(Apply(generation=self.current.number, phase=phase))
            return
        self._finish()

    def applied(self, row: Process, generation: int, phase: str) -> None:
        attempt = self.attempt
        if not attempt or attempt.phase != "applying":
            return
        if generation != self.current.number:
            pass  # what it was started with; the current one is to follow
        elif phase == "full":  # a fresh start has done all phases at once
            attempt.steps = [step for step in attempt.steps if step[0] != row.role]
        elif (row.role, phase) in attempt.steps:
            attempt.steps.remove((row.role, phase))
        self._next_step()

    def failed(self, row: Process, generation: int, reason: str) -> None:
        self.owner.log.error("config.not_applied", role=row.role, generation=generation, why=reason)
        attempt = self.attempt
        if attempt and attempt.phase == "applying" and generation == self.current.number:
            self._roll_back(f"{row.role} could not apply it: {reason}")

    def _roll_back(self, why: str) -> None:
        attempt = self.attempt
        assert attempt is not None
        if attempt.rolling_back or attempt.old is None:
            self.owner.log.error("reload.roll_back_failed", why=why)
            attempt.steps = []
            self._finish()
            return
        self.highest += 1
        attempt.rolling_back = True
        new = attempt.old.copy(self.highest)
        refused = self.current
        self.owner.reporter.reload_step("rolled_back", self.current.number, new.number, why, (why,))
        self.current.close()
        self.current = new
        self.owner.reporter.generation = new.number
        self._use_log_format(refused)
        for row in self._participants(new):
            self._prepare(row, new)
        attempt.told = None
        attempt.steps = [step for step in policy.APPLY_ORDER if step[0] in new.slices]
        self._next_step()

    def _finish(self) -> None:
        attempt = self.attempt
        assert attempt is not None
        if attempt.old is not None:
            attempt.old.close()
        for role in policy.STOP_ORDER:
            row = self.owner.table[role]
            if (
                role != "bus"
                and role not in self.current.slices
                and (row.alive or row.restart_at is not None)
            ):
                self.owner.stop_role(row)
        number = self.current.number
        if attempt.rolling_back:
            self._end({"ok": False, "error": f"rolled back, now generation {number}", "errors": []})
            return
        self.owner.reporter.reload_step("applied", number, number)
        self._end({"ok": True, "generation": number})

    def _end(self, answer: dict[str, object]) -> None:
        self.attempt = None
        for client in self.waiting:
            client.answer(answer)
        self.waiting, self.waiting_next = self.waiting_next, []
        self.owner.notifier.ready(self.current.summary)
        if self.again and not self.owner.stopping:
            self.again = False
            self._load(tries=0)

    # --- what happens meanwhile ----------------------------------------------------------------

    def worker_ready(self) -> None:
        self._prepare_when_all_ready()
        if self.attempt is not None and self.attempt.phase == "applying":
            self._next_step()

    def worker_died(self, row: Process) -> None:
        attempt = self.attempt
        if attempt is None:
            return
        if attempt.phase == "preparing" and row.role in attempt.asked:
            self._abort(f"{row.role} died while it was asked: {row.last_exit}", again=True)
        elif attempt.phase == "applying" and row.role in self.current.slices:
            attempt.deaths[row.role] += 1
            if attempt.deaths[row.role] >= policy.APPLY_DEATHS_BEFORE_ROLLBACK and not attempt.rolling_back:
                self._roll_back(f"{row.role} died {attempt.deaths[row.role]} times applying it")

    def role_stopped(self, row: Process) -> None:
        """A role that the configuration no longer needs has ended: forget what was kept for it."""
        if row.role not in self.current.slices and row.role != "bus":
            for fd in row.kept.values():
                os.close(fd)
            row.kept.clear()

    def deadlines(self) -> list[float]:
        return [self.attempt.deadline_at] if self.attempt else []

    def timers(self, now: float) -> None:
        attempt = self.attempt
        if attempt is None or now < attempt.deadline_at:
            return
        if attempt.phase == "loading":
            if attempt.loader is not None:
                from supervisor.janitor import end_process

                end_process(attempt.loader.pid, wait_s=0)
            self._drop_loader(attempt)
            self._refuse(f"the configuration could not be read within {WALL_LIMIT_S:g} s")
        elif attempt.phase == "waiting":
            self._prepare_when_all_ready()
        elif attempt.phase == "preparing":
            late = ", ".join(sorted(attempt.asked))
            self._abort(f"no answer from {late} within {PREPARE_LIMIT_S:g} s", again=True)
        else:
            role, phase = attempt.steps[0] if attempt.steps else ("nobody", "")
            self._roll_back(f"{role} did not finish {phase} within {APPLY_LIMIT_S:g} s")

    def cancel(self) -> None:
        """The daemon stops: no attempt goes on."""
        if self.attempt is not None:
            self._drop_loader(self.attempt)
            self.attempt = None
        for client in self.waiting + self.waiting_next:
            client.answer({"ok": False, "error": "the daemon is stopping"})
        self.waiting, self.waiting_next = [], []
