"""Trackers that really change while workers are killed: what was changed when, and when vrrp acted on it.

n1 has two virtual routers. V1 follows weights only: its priority says at any time which changes have come,
and it never changes its state. V2 follows ``chk`` without a weight: it is in FAULT as long as that fails.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.chaos.pairs import VIP, Pair, kill, stalls
from tests.lab import conf
from tests.lab.system import wait_until

SLACK_S = 0.25
"""What acting on a change may take beyond the script's own times."""
HANG_S = 1.3
"""A worker that hangs is found out 1.2 s after its last heartbeat; then a new one is started."""
HEALTHY_S = 10.3
"""After so long a death is the first one again, and the next start is at once (supervisor.policy)."""
DEATHS_AT_ONCE = 3
CALM = "no blow"
LATEST_S = 15.0
BASE, OTHER = 120, 100
_KEPT_S = 8.0
"""An advert may still say what was true so long ago."""

CHECK = """#!/bin/sh
# Good after some time, unless the file that it is given names a way to fail.
sleep "$2"
read -r how 2>/dev/null < "$1" || exit 0
case $how in
    hang) exec sleep 60 ;;
    signal) kill -9 $$ ;;
    *) exit 1 ;;
esac
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often scripts are run, and how many results decide."""

    interval_s: float
    timeout_s: float
    fall: int
    rise: int
    ways: tuple[str, ...] = ("exit", "signal")
    lasts_s: float = 0.0
    """How long a good run takes."""

    def bound_s(self, good: bool) -> float:
        return self.interval_s * (self.rise if good else self.fall) + self.timeout_s + SLACK_S


class Switch:
    """A tracker of n1 and the file that decides about it. ``pace`` None: it is a tracked file."""

    def __init__(self, folder: Path, name: str, weight: int, pace: Pace | None, values: int = 2) -> None:
        self.name, self.weight, self.pace, self.values = name, weight, pace, values
        self.path = folder / name
        self.value = 1
        self.way = ""
        """How it fails at present; empty: it does not."""
        self.quick = False
        """The present change is one of runs that end by themselves."""
        self.history: list[tuple[float, int]] = [(0.0, 1)]
        """(since when by the wall clock, value)."""
        if pace is None:
            self.path.write_text("1\n")

    @property
    def key(self) -> str:
        return f"{'file' if self.pace is None else 'script'}:{self.name}"

    def block(self, check: Path) -> str:
        if self.pace is None:
            return f"track_file {self.name} {{\n    file {self.path}\n}}\n"
        lines = [
            f'script "{check} {self.path} {self.pace.lasts_s:g}"',
            f"interval {self.pace.interval_s:g}",
            f"timeout {self.pace.timeout_s:g}",
            f"fall {self.pace.fall}",
            f"rise {self.pace.rise}",
            *([f"weight {self.weight}"] if self.weight else []),
        ]
        return f"vrrp_script {self.name} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"

    def change(self) -> float:
        """To another value; returns the instant just before."""
        self.value = random.choice([value for value in range(self.values) if value != self.value])
        before, self.way = self.way, ""
        at = time.time()
        if self.pace is not None and self.value:
            self.path.unlink()
        else:
            self.way = "" if self.pace is None else random.choice(self.pace.ways)
            young = self.path.with_suffix(".new")
            young.write_text(f"{self.way or self.value}\n")
            young.replace(self.path)
        self.quick = self.pace is not None and "hang" not in (before, self.way)
        self.history.append((at, self.value))
        return at

    def bound_s(self) -> float:
        """For the present change."""
        return 2 * SLACK_S if self.pace is None else self.pace.bound_s(bool(self.value))

    def room_s(self, blow: str) -> float:
        """By how much the bound may be exceeded around a hang. Not at all where the script worker hangs and
        runs are quick, if interval and timeout, which are in the bound, are as long as it is undiscovered."""
        paced = self.pace is not None and self.pace.interval_s + self.pace.timeout_s >= HANG_S
        hidden = blow == "hang script" and self.quick and paced
        return HANG_S if blow.startswith("hang") and not hidden else 0.0

    def lately(self, at: float, kept_s: float = _KEPT_S) -> set[int]:
        """Values that it had in the last seconds before ``at``."""
        ends = [since for since, _ in self.history[1:]] + [float("inf")]
        spans = zip(self.history, ends, strict=True)
        return {value for (since, value), until in spans if since <= at and until >= at - kept_s}

    def share(self, value: int) -> int:
        return self.weight * value


class Tail:
    """Records of a log as they come."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self.records: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """All records until now, each with its wall clock as ``wall_at``."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError, KeyError):
                record = json.loads(line)
                record["wall_at"] = datetime.datetime.fromisoformat(record["at"]).timestamp()
                self.records.append(record)
        return self.records

    def of(self, event: str, since: float = 0.0, **fields: object) -> list[dict[str, Any]]:
        return [
            record
            for record in self.read()
            if record["event"] == event
            and record["wall_at"] >= since
            and all(record.get(key) == value for key, value in fields.items())
        ]

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One change, and when vrrp acted on it."""

    tracker: str
    value: int
    blow: str
    """What was done around it: ``kill script``, ``hang bus``."""
    took_s: float
    over_s: float
    """Later than its bound, which is larger around a hang; negative: in time."""
    stalled_s: float
    """How long this host stood still meanwhile."""


@dataclass(kw_only=True, slots=True)
class Outcome:
    hits: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    faults: int = 0
    """Transitions to FAULT because a script failed for real."""
    strange: int = 0
    """Transitions that nobody can explain."""


class Storm:
    """One laboratory: blows and changes until the quota is used up."""

    def __init__(self, folder: Path, pace: Pace, quota: dict[str, int]) -> None:
        """``quota``: how often each of ``kill script``, ``hang script``, ``kill bus``, ``hang bus``."""
        folder.mkdir()
        folder.chmod(0o755)
        self.pace, self.outcome = pace, Outcome()
        self.quota = Counter(quota)
        once = replace(pace, fall=1, rise=1)
        slow = replace(once, timeout_s=5.0, lasts_s=pace.interval_s / 2)
        self.chk = Switch(folder, "chk", 0, pace)
        self.steady = Switch(folder, "steady", 8, slow)
        self.flips = [Switch(folder, "w1", 1, once), Switch(folder, "w2", 2, pace)]
        self.number = Switch(folder, "number", 16, None, values=3)
        self.weighted = [*self.flips, self.steady, self.number]
        check = folder / "check.sh"
        check.write_text(CHECK)
        check.chmod(0o755)
        self.configs = (self._config(check), conf.global_defs() + _instance("V1", 51, OTHER, VIP))

    def _config(self, check: Path) -> str:
        text = conf.global_defs("vrrp_garp_master_delay 1")
        text += "".join(switch.block(check) for switch in (self.chk, *self.weighted))
        scripts = ("track_script {", *(s.name for s in self.weighted if s.pace is not None), "}")
        files = ("track_file {", f"{self.number.name} weight {self.number.weight}", "}")
        text += _instance("V1", 51, BASE, VIP, *scripts, *files)
        return text + _instance("V2", 52, BASE, "10.100.1.2", "track_script {", self.chk.name, "}")

    def model(self) -> int:
        return BASE + sum(switch.share(switch.value) for switch in self.weighted)

    # --- doing ---------------------------------------------------------------------------------

    def run(self) -> Outcome:
        with Pair(1.0, configs=self.configs) as self.pair, self._watching():
            wait_until(lambda: self._priority() == self.model(), 20, "all weights on the wire")
            wait_until(
                lambda: self.tail.of("vrrp.transition", instance="V2", to="MASTER"), 20, "V2 is master"
            )
            self.began = time.time()
            while self.quota.total():
                self._window()
            self._judge()
        return self.outcome

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        self.tail = Tail(self.pair.daemons["n1"].log_file)
        self.other = Tail(self.pair.daemons["n2"].log_file)
        try:
            yield
        finally:
            self.tail.close()
            self.other.close()

    def _window(self) -> None:
        """A few blows for each role, then health, so that restarts are never held back."""
        blows = [
            blow
            for role, most in (("script", DEATHS_AT_ONCE), ("bus", 1))
            for blow in self._taken(role, most)
        ]
        random.shuffle(blows)
        for blow in blows:
            self._round(blow)
        self._round(CALM)
        while self.quota.total() and self._youngest_s() < HEALTHY_S:
            time.sleep(0.2)

    def _taken(self, role: str, most: int) -> list[str]:
        left = [blow for blow in self.quota.elements() if blow.endswith(role)]
        blows = random.sample(left, min(most, len(left)))
        self.quota.subtract(blows)
        return blows

    def _youngest_s(self) -> float:
        rows = self.pair.processes("n1")
        return min(float(rows[role]["for_s"]) for role in ("script", "bus"))

    def _round(self, blow: str) -> None:
        how, role = blow.split()
        pid = 0 if blow == CALM else self._ready(role)
        changing = [self.chk, random.choice(self.flips), self.number]
        plan = sorted((random.uniform(0.0, 0.9), random.random(), what) for what in (blow, *changing))
        began = time.monotonic()
        changed: list[tuple[Switch, float]] = []
        for after_s, _, what in plan:
            time.sleep(max(0.0, began + after_s - time.monotonic()))
            if isinstance(what, Switch):
                changed.append((what, what.change()))
            elif pid:
                kill(pid, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
                self.outcome.hits[blow] += 1
        for switch, at in changed:
            self._await(switch, at, blow)
        if pid:
            self._ready(role, instead_of=pid)
        time.sleep(random.uniform(0.0, self.pace.interval_s))

    def _ready(self, role: str, instead_of: int = 0) -> int:
        def look() -> int:
            row = self.pair.processes("n1")[role]
            return int(row["pid"]) if row["state"] == "ready" and row["pid"] != instead_of else 0

        return wait_until(look, LATEST_S, f"a new {role} worker", 0.05)

    def _await(self, switch: Switch, at: float, blow: str) -> None:
        """Wait until vrrp has acted on a change."""
        acted_at: float = wait_until(
            lambda: self._acted_at(switch, at),
            LATEST_S,
            f"{switch.key} is {switch.value} after a {blow}",
            0.02,
        )
        stalled_s = stalls.total_s(at, acted_at)
        bound_s = switch.bound_s() + switch.room_s(blow)
        took_s = acted_at - at
        self.outcome.samples.append(
            Sample(
                tracker=switch.key,
                value=switch.value,
                blow=blow,
                took_s=took_s,
                over_s=took_s - bound_s,
                stalled_s=stalled_s,
            )
        )

    def _acted_at(self, switch: Switch, at: float) -> float:
        """``chk``: V2 went to or left FAULT; the others: vrrp counted the value. 0: not yet."""
        if switch is self.chk:
            side = {"from": "FAULT"} if switch.value else {"to": "FAULT"}
            records = self.tail.of("vrrp.transition", at, instance="V2", **side)
        else:
            records = self.tail.of("vrrp.tracker", at, tracker=switch.key, value=switch.value)
        return float(records[0]["wall_at"]) if records else 0.0

    def _priority(self) -> int:
        """Of V1's last advert."""
        return self.pair.observer.adverts(src="10.100.0.1", vrid=51)[-1].priority

    # --- judging -------------------------------------------------------------------------------

    def _judge(self) -> None:
        ended = time.time()
        wait_until(lambda: self._priority() == self.model(), 5, f"the priority of the model, {self.model()}")
        self._judge_transitions()
        self._judge_values()
        for frame in self.pair.observer.adverts(self.began, ended, vrid=51):
            if str(frame.src) != "10.100.0.1":
                self._complain(f"{frame.src} advertised")
            elif frame.priority not in self._priorities(frame.at):
                self._complain(f"priority {frame.priority} on the wire at {frame.at:.2f}")
        lost = [answer for answer in self.pair.probe.answers(self.began, ended - 1.0) if not answer.ok]
        if lost and not stalls.total_s(lost[0].sent_at - 1.0, lost[-1].sent_at + 1.0):
            self._complain(f"{len(lost)} probes of {VIP} without an answer")

    def _complain(self, text: str) -> None:
        self.outcome.complaints.append(text)

    def _judge_transitions(self) -> None:
        strange = self.tail.of("vrrp.transition", self.began, instance="V1")
        strange += self.other.of("vrrp.transition", self.began)
        told = self.tail.of("vrrp.transition", self.began, instance="V2")
        expected = ["FAULT" if not value else "" for _, value in self.chk.history[1:]]
        decided = [record for record in told if "FAULT" in (record["from"], record["to"])]
        if [record["to"].replace("BACKUP", "") for record in decided] != expected:
            self._complain(f"chk was {expected}, V2 {[(r['at'], r['from'], r['to']) for r in decided]}")
        strange += [record for record in decided if record["trigger"] != "script"]
        strange += [r for r in told if r not in decided and (r["from"], r["to"]) != ("BACKUP", "MASTER")]
        for record in strange:
            self._complain(f"a transition that nobody asked for: {record}")
        self.outcome.faults += expected.count("FAULT")
        self.outcome.strange += len(strange)

    def _judge_values(self) -> None:
        """Each change came once, in order, and nothing else did; no run said what was not so."""
        for switch in (self.chk, *self.weighted):
            came = [r["value"] for r in self.tail.of("vrrp.tracker", self.began, tracker=switch.key)]
            wanted = [value for _, value in switch.history[1:]]
            if came != wanted:
                self._complain(f"{switch.key} was {wanted}, vrrp heard {came}")
            for event in ("tracker.result", "tracker.bad"):
                for record in self.tail.of(event, self.began, name=switch.name):
                    if record.get("failures", 1) and 0 not in switch.lately(record["wall_at"]):
                        self._complain(f"a run failed that was good: {record}")
        for event in ("script.fault", "vrrp.trackers_stale", "control.malformed"):
            for record in self.tail.of(event, self.began):
                self._complain(f"in the log: {record}")

    def _priorities(self, at: float) -> set[int]:
        shares = [[switch.share(value) for value in switch.lately(at)] for switch in self.weighted]
        return {BASE + sum(combination) for combination in itertools.product(*shares)}


def _instance(name: str, vrid: int, priority: int, address: str, *extra: str) -> str:
    return conf.instance(name, vrid=vrid, priority=priority, addresses=(f"{address}/16",), extra=extra)
