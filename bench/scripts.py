"""How late adverts are beside 255 tracked scripts, ours and keepalived side by side: ``./run bench scripts``.

Each round: some seconds without scripts, then a reload that brings 255 of them (interval and timeout 1 s,
all started at once); then a reload that takes them away again, and a look for what is left of them.

quick    all end at once, with status 0
mixed    8 each ignore SIGTERM, fork, close their output, flood it, fail

``late_without_s``, ``late_with_s``: an advert of a master after its predecessor, minus the interval (none
is early: 0), from the kernel's time stamps. ``grid_late_with_s``: after the earliest grid through its last
30 predecessors; this also grows where each advert is timed from the one before, which was late by a little.
``left``: processes of scripts that are there 6 s later; ``wrong_priorities``: instances that do not say the
priority that their scripts make.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bench import _samples
from bench._command import pause
from bench._samples import Round, Samples, Scenario, Stage, Take
from tests.lab import Lab, Observer, conf
from tests.lab.programs import Program
from tests.lab.system import pids_in_netns, send_signal, state_and_parent, wait_until
from tests.lab.wire import VrrpFrame

SCRIPTS = 255
INSTANCES = 10
INTERVALS_S = (0.1, 0.05)
"""In turn."""
BASE = 100
FIRST_VRID = 51
WITHOUT_S, WITH_S = 4.0, 8.0
GONE_S = 6.0
"""Patience: from the reload without scripts until nothing of them is left (then it is ended here)."""
PREDECESSORS = 30
PERCENTILES = (50.0, 99.0, 99.9)

KINDS = {
    "good": "exit 0",
    "bad": "exit 1",
    "stubborn": "trap '' TERM; sleep 1000 & wait; sleep 1000",
    "forks": "trap '' TERM; sleep 1000 & (sleep 1000 & sleep 1000) & sleep 1000",
    "mute": "exec >&- 2>&-; trap '' TERM; while :; do sleep 1; done",
    "flood": "trap '' TERM; exec yes",
}
OF_EACH = 8
"""Scripts of each kind but the first, which all the others are of."""


def kinds(*, mixed: bool) -> list[str]:
    """What each script does: the misbehaving ones are spread among the others."""
    found = ["good"] * SCRIPTS
    misbehaving = [kind for kind in KINDS if kind != "good"] * OF_EACH if mixed else []
    for place, kind in enumerate(misbehaving):
        found[place * SCRIPTS // len(misbehaving)] = kind
    return found


class Director:
    """One daemon, alone on its segment and master of all its instances."""

    def __init__(self, lab: Lab, program: Program, segment: int, mixed: bool) -> None:
        self.kinds = kinds(mixed=mixed)
        self.lab, self.segment, self.node = lab, segment, f"n{segment + 1}"
        self.wire: Observer = lab.observer(segment)
        self.folder = lab.dir / f"scripts-{self.node}"
        self.folder.mkdir()
        for kind, text in KINDS.items():
            path = self._script(kind)
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        self.daemon = lab.daemon(self.node, program, self._config(with_scripts=False))

    def _script(self, kind: str) -> pathlib.Path:
        return self.folder / f"{kind}.sh"

    def _config(self, *, with_scripts: bool) -> str:
        numbers = range(SCRIPTS) if with_scripts else range(0)
        text = conf.global_defs("script_user root") + "".join(
            f"vrrp_script s{number} {{\n    script {self._script(self.kinds[number])}\n"
            "    interval 1\n    timeout 1\n    rise 1\n    fall 1\n    weight 1\n}\n"
            for number in numbers
        )
        for place in range(INSTANCES):
            tracked = [f"s{number}" for number in numbers if number % INSTANCES == place]
            block = conf.block("track_script", tracked)
            text += conf.instance(
                f"V{place}",
                interface=f"e{self.segment}",
                vrid=FIRST_VRID + place,
                priority=BASE,
                advert_int=INTERVALS_S[place % len(INTERVALS_S)],
                addresses=[f"10.{100 + self.segment}.1.{place + 1}/16"],
                extra=block.strip().splitlines(),
            )
        return text

    def settle(self) -> None:
        for place in range(INSTANCES):
            self.wire.await_advert(20, vrid=FIRST_VRID + place, active=True)
        time.sleep(1.0)

    def _reload(self, *, with_scripts: bool) -> float:
        self.daemon.config_file.write_text(self._config(with_scripts=with_scripts))
        at = time.time()
        os.kill(self.daemon.parent_pid, signal.SIGHUP)
        return at

    def take(self) -> Round:
        """One round."""
        self.wire.forget()
        daemon = set(pids_in_netns(self.lab.ns(self.node)))
        stall_s = pause(WITHOUT_S)
        before = self.wire.frames()
        loaded_at = self._reload(with_scripts=True)
        time.sleep(WITH_S)
        wrong = self._wrong_weights()
        ended_at = self._reload(with_scripts=False)
        during = self.wire.frames(loaded_at - 1.0, ended_at)
        zombies = self._zombies()
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not self._left(daemon), GONE_S, "the end of all scripts")
        gone_s = time.time() - ended_at
        # What a daemon leaves behind must not burden the next one's round.
        send_signal(left := self._left(daemon), signal.SIGKILL)
        time.sleep(0.5)
        samples: Samples = {
            "late_without_s": list(_late(before, 0.0)),
            "late_with_s": list(_late(during, loaded_at)),
            "grid_late_with_s": list(_late(during, loaded_at, PREDECESSORS)),
            "all_gone_s": [gone_s],
            "left": [float(len(left))],
            "zombies": [float(zombies)],
            "wrong_priorities": [float(wrong)],
        }
        return Round(samples=samples, host_stall_s=stall_s)

    def _wrong_weights(self) -> int:
        """Instances whose priority on the wire is not what their scripts make it."""
        wrong = 0
        for place in range(INSTANCES):
            good = sum(self.kinds[n] == "good" for n in range(SCRIPTS) if n % INSTANCES == place)
            wrong += self.wire.adverts(vrid=FIRST_VRID + place)[-1].priority != BASE + good
        return wrong

    def _left(self, daemon: set[int]) -> list[int]:
        return [pid for pid in pids_in_netns(self.lab.ns(self.node)) if pid not in daemon]

    def _zombies(self) -> int:
        """Children of the daemon that ended and were not reaped within a tenth of a second."""
        family = set(self.daemon.pids())

        def dead() -> set[int]:
            states = {
                int(entry): state_and_parent(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()
            }
            return {pid for pid, state in states.items() if state and state[0] == "Z" and state[1] in family}

        first = dead()
        time.sleep(0.1)
        return len(first & dead())


def _late(frames: Sequence[object], since: float, predecessors: int = 1) -> Iterator[float]:
    """How late each advert since an instant was, after the earliest that its predecessors allow."""
    of_vrid: dict[int, list[float]] = {}
    for frame in frames:
        if not isinstance(frame, VrrpFrame) or not frame.priority:
            continue
        sent_at, interval_s = of_vrid.setdefault(frame.vrid, []), frame.interval_cs / 100
        if sent_at and frame.at >= since:
            last = sent_at[-predecessors:]
            due_at = min(at + (len(last) - place) * interval_s for place, at in enumerate(last))
            yield max(0.0, frame.at - due_at)
        sent_at.append(frame.at)


def stage(*, mixed: bool) -> Stage:
    @contextmanager
    def up(compared: Sequence[Program]) -> Iterator[Mapping[str, Take]]:
        nodes = [f"n{number + 1}" for number in range(len(compared))]
        with Lab(nodes, segments=len(compared)) as lab:
            directors = {}
            for segment, program in enumerate(compared):
                directors[program.name] = Director(lab, program, segment, mixed)
                directors[program.name].daemon.start()
            for director in directors.values():
                director.settle()
            yield {name: director.take for name, director in directors.items()}

    return up


SCENARIOS = (
    Scenario(name="quick", stage=stage(mixed=False), percentiles=PERCENTILES),
    Scenario(name="mixed", stage=stage(mixed=True), percentiles=PERCENTILES),
)


def main(argv: Sequence[str] | None = None) -> int:
    return _samples.main(__doc__.splitlines()[0] if __doc__ else "", SCENARIOS, argv, rounds=5)


if __name__ == "__main__":
    sys.exit(main())
