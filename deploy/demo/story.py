"""The steps of the demonstration and what each one costs the clients."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy.demo import stage as scene
from deploy.demo.stage import Stage
from tests.lab import conf, probes
from tests.lab.system import wait_until

WORKERS = ("vrrp", "checker", "ipvs", "bus")
HOST_LOSS = "host of the master lost"
LIMIT_SLACK_S = 0.5
STALL_S = 0.3
"""A client that was itself held up longer than this saw a stalled host."""
START_S = 20.0

Say = Callable[[str, str | None], None]


class Ended(Exception):  # noqa: N818 - not an error: the demonstration was called off
    """The demonstration is being called off."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What one step cost. ``lost_s`` is the span from the first lost question to the last."""

    step: str
    lost_s: float
    lost_requests: int
    requests: int
    lost_pings: int
    limit_s: float | None
    """At most this long is as it should be; None: not judged."""
    moved: bool
    """Did the mastership move?"""
    stall_s: float
    missing: str = ""
    """Not empty: the step could not be played, and why."""

    @property
    def ok(self) -> bool:
        if self.limit_s is None or self.missing:
            return True
        if self.limit_s == 0:
            return self.lost_requests == 0 and self.lost_pings == 0
        return self.lost_s <= self.limit_s + max(0.0, self.stall_s - STALL_S)


class Story:
    """Plays all steps on one stage; ``losses`` grows as they are played."""

    def __init__(self, stage: Stage, say: Say, ended: threading.Event) -> None:
        self.stage = stage
        self.say = say
        self.ended = ended
        self.losses: list[Loss] = []

    def play(self) -> None:
        self._begin()
        self._host_loss()
        self._host_back()
        if self.stage.balancer:
            self._server_loss()
        for role in WORKERS:
            self._worker_kill(role)

    # --- steps ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        stage = self.stage
        started_at = stage.start_director("d1").started_at
        wait_until(stage.listening, START_S, "the VRRP socket of d1", 0.25)
        stage.start_director("d2")
        advert = stage.wire.await_advert(START_S, started_at, active=True)
        master = stage.node_of(advert.src)
        self.say(f"{master} is master {advert.at - started_at:.1f} s after its start", None)
        wait_until(stage.listening, START_S, "the VRRP socket of d2", 0.25)
        stage.start_clients()
        stage.requests.await_answer(START_S)
        if stage.balancer:
            wait_until(self._both_serve, START_S, "both web servers in service", 0.25)
            self.say("the client is served by w1 and w2", None)
        self._sleep(2.5 * scene.ADVERT_INT_S)  # the backup has heard the master, surely

    def _both_serve(self) -> bool:
        recent = self.stage.requests.answers(time.time() - 2)
        return set(probes.responders(recent)) >= set(scene.SERVERS)

    def _host_loss(self) -> None:
        stage = self.stage
        master = stage.master() or "d1"
        other = next(d for d in scene.DIRECTORS if d != master)
        limit_s = conf.master_down_s(scene.PRIORITY[other], scene.ADVERT_INT_S)
        self.say(f"cutting the cable of {master} and killing everything on it", "deed")
        cut_at = stage.lab.cut(master)
        stage.lab.kill_node(master)
        advert = stage.wire.await_advert(START_S, cut_at, src=stage.lab.address(other), active=True)
        self.say(f"{other} is master {(advert.at - cut_at) * 1000:.0f} ms after the cut", None)
        loss = self._measure(HOST_LOSS, cut_at, limit_s + LIMIT_SLACK_S)
        self._tell(loss)

    def _host_back(self) -> None:
        stage = self.stage
        gone = next(d for d in scene.DIRECTORS if d != stage.master())
        since = time.time()
        stage.lab.reboot(gone)
        stage.prepare_director(gone)
        stage.start_director(gone)
        self.say(f"{gone} is back, as backup (nopreempt)", "deed")
        wait_until(stage.listening, START_S, f"the VRRP socket of {gone}", 0.25)
        self._sleep(1.5 * scene.ADVERT_INT_S)
        self._tell(self._measure("host comes back as backup", since, None))

    def _server_loss(self) -> None:
        self.say("killing web server w1", "deed")
        at = self.stage.kill_server("w1")
        # found at the latest one round and one time-out later, and one request may be under way
        limit_s = scene.DELAY_LOOP_S + scene.CONNECT_TIMEOUT_S + LIMIT_SLACK_S
        self._tell(self._measure("web server killed", at, limit_s))
        since = time.time()
        self.stage.serve("w1")
        self.say("web server w1 is started again", "deed")
        wait_until(self._both_serve, START_S, "w1 back in service", 0.25)
        self._tell(self._measure("web server comes back", since, None))

    def _worker_kill(self, role: str) -> None:
        step = f"{role} worker killed"
        master = self.stage.master()
        daemon = self.stage.directors.get(master or "")
        pid = daemon.worker_pid(role) if daemon else None
        if daemon is None or pid is None:
            self.losses.append(_not_played(step, "no such process" if daemon else "no master"))
            return
        loss = self._killed(step, role, master, pid)
        if (
            not loss.ok
            and not loss.moved
            and loss.stall_s >= STALL_S
            and (again := daemon.worker_pid(role)) is not None
        ):
            self.say(f"the machine stalled for {loss.stall_s * 1000:.0f} ms meanwhile: once more", None)
            pid = again
            loss = self._killed(step, role, master, pid)
        successor = daemon.worker_pid(role)
        if successor is not None and successor != pid:
            self.say(f"a new {role} worker is there (pid {successor})", None)
        self._tell(loss)

    def _killed(self, step: str, role: str, master: str | None, pid: int) -> Loss:
        self.say(f"SIGKILL to the {role} worker of {master} (pid {pid})", "deed")
        at = time.time()
        os.kill(pid, signal.SIGKILL)
        return self._measure(step, at, 0.0)

    # --- measuring --------------------------------------------------------------------------------

    def _measure(self, step: str, since: float, limit_s: float | None, longest_s: float = 10.0) -> Loss:
        """Wait until clients have been served for a while again; what they lost since ``since``."""
        stage, quiet_s, settled_s = self.stage, 0.8, scene.ANSWER_TIMEOUT_S + 0.1
        before = stage.wire.adverts(until=since, active=True)
        while True:
            self._sleep(0.2)
            now = time.time()
            recent = self._answers(now - settled_s - quiet_s, now - settled_s)
            calm = bool(recent) and probes.lost(recent) == 0
            if now - since > longest_s or (calm and now - since > quiet_s + settled_s):
                break
        until = time.time() - settled_s
        pings = stage.pings.answers(since, until)
        requests = stage.requests.answers(since, until)
        masters = {frame.src for frame in stage.wire.adverts(since, active=True)}
        return Loss(
            step=step,
            lost_s=max(
                probes.trouble_s(pings, scene.PING_INTERVAL_S),
                probes.trouble_s(requests, scene.REQUEST_INTERVAL_S),
            ),
            lost_requests=probes.lost(requests),
            requests=len(requests),
            lost_pings=probes.lost(pings),
            limit_s=limit_s,
            moved=bool(before) and masters != {before[-1].src},
            stall_s=probes.longest_send_gap_s(pings),
        )

    def _answers(self, since: float, until: float) -> list[probes.Answer]:
        return self.stage.pings.answers(since, until) + self.stage.requests.answers(since, until)

    def _tell(self, loss: Loss) -> None:
        self.losses.append(loss)
        if loss.lost_requests or loss.lost_pings:
            text = (
                f"clients lost {loss.lost_s * 1000:.0f} ms ({loss.lost_requests} of {loss.requests} requests)"
            )
        else:
            text = f"clients lost nothing ({loss.requests} requests answered)"
        self.say(f"{loss.step}: {text}", "good" if loss.ok else "bad")

    def _sleep(self, seconds: float) -> None:
        if self.ended.wait(seconds):
            raise Ended


def _not_played(step: str, why: str) -> Loss:
    return Loss(
        step=step,
        lost_s=0.0,
        lost_requests=0,
        requests=0,
        lost_pings=0,
        limit_s=None,
        moved=False,
        stall_s=0.0,
        missing=why,
    )
