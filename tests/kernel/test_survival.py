"""Workers and supervisor killed under a load balancer that works: clients, table and segment must not notice.

Each role is hit every 10.4 s, as the restart policy forgives a death after 10 s of health.
PYKEEPALIVED_CHAOS_ROUNDS scales the rounds (per cent).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from ipvs_proc.model import Entry, ServiceKey
from tests.chaos.pairs import in_parallel, rounds, stalls
from tests.kernel import ipvsadm
from tests.kernel.director import (
    ECHO_PORT,
    FIXED,
    REQUEST_EVERY_S,
    REQUEST_TIMEOUT_S,
    SLACK_S,
    START_S,
    VIP,
    WEB_PORT,
    Conversation,
    Director,
)
from tests.lab import Lab
from tests.lab.probes import Probe
from tests.lab.system import wait_until
from tests.unit.ipvs.builders import entry, fwmark, service, table

ROLES = ("checker", "ipvs", "bus", "vrrp")
SPACING_S = 2.6
KILLS, HANGS, STAGES = 8, 2, 2
DOWN_WITHIN_S = 1 + 2 * 1 + 1
"""delay_loop, two attempts of connect_timeout, delay_before_retry."""
WEB = f"{VIP}:{WEB_PORT}"
ECHO = f"{FIXED}:{ECHO_PORT}"


@contextlib.contextmanager
def stage() -> Iterator[Director]:
    with Lab(("d", "r1", "r2", "s", "c"), segments=2) as lab:
        found = Director(lab)
        try:
            yield found
        finally:
            found.close()


@pytest.fixture
def director() -> Iterator[Director]:
    with stage() as found:
        yield found


def asking(director: Director) -> Probe:
    """A client that asks for the page again and again; it has had an answer."""
    probe = director.lab.probe("c", "http", WEB, REQUEST_EVERY_S, REQUEST_TIMEOUT_S)
    probe.await_answer(10)
    return probe


def got(probe: Probe) -> Counter[str]:
    """Name of the server -> answers; lost ones under their error."""
    return Counter(answer.who if answer.ok else f"lost: {answer.error}" for answer in probe.stop())


def to_ipvs(orders: Counter[str]) -> dict[str, int]:
    """Without those about addresses: an instance that starts takes off what may be left of it."""
    return {name: count for name, count in orders.items() if not name.endswith("ADDR")}


def serving(director: Director, config: str | None = None) -> None:
    """Start the daemon; the watches have seen what it did."""
    director.start(config or director.config())
    director.await_table(director.wanted(), SLACK_S)
    assert director.holds()
    orders = Counter(director.tap.take())
    assert orders["NEWADDR"] == 1, "the tap sees every order"
    assert to_ipvs(orders) == {"NEW_SERVICE": 2, "NEW_DEST": 4}
    assert [event.added for event in director.addresses.take()] == [True]


def counted(director: Director, requests: int) -> None:
    """The service has gone on counting since it was made: it has never been made anew."""
    # The kernel sums up every two seconds. A source port met again soon is the same connection to it.
    wait_until(lambda: director.counters()[WEB, ""] >= 0.95 * requests, 6, f"{requests} counted", step_s=0.2)


class StarvedError(AssertionError):
    """Something was noticed, but the supervisor itself got no CPU meanwhile: no verdict."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(f"{why}\n{text}")
        self.why = why


class Quiet:
    """Nothing may change from its making to ``check``."""

    def __init__(self, director: Director) -> None:
        self.director = director
        self.since = time.time()
        self.table: dict[ServiceKey, Entry] = director.watch.now
        self.log_at = len(director.log())
        self.counters = director.counters()
        self.conversation = Conversation(director.lab.ns("c"), FIXED)
        self.probe = asking(director)
        self.orders: list[str] = []
        self.blows: list[str] = []
        director.tap.take()
        director.addresses.take()

    def hit(self, role: str, signum: int = signal.SIGKILL) -> int:
        """Signal a worker; returns its pid."""
        self.blows.append(f"{time.time():.2f} {signal.Signals(signum).name} {role}")
        return self.director.hit(role, signum)

    def look(self) -> None:
        self.conversation.say()
        self.orders += self.director.tap.take()

    def check(self) -> Counter[str]:
        """The verdict; returns who answered how often."""
        director = self.director
        self.look()
        answers = self.probe.stop()
        log = director.log()[self.log_at :]
        now = director.counters()
        said = r'"(vrrp\.transition|ipvs\.(?:service|server)_\w+|ipvs\.re\w+|ipvs\.flushed)"'
        noticed = {
            "requests lost": [f"{a.sent_at:.2f} {a.error}" for a in answers if not a.ok],
            "orders to the kernel": self.orders,
            "changes of the table": director.watch.changes(self.since),
            "changes of addresses": director.addresses.take(),
            "gratuitous ARP": [frame.at for frame in director.observer.garps(self.since)],
            "adverts of priority 0": director.observer.adverts(self.since, active=False),
            "what the log says": re.findall(said, log),
            "counters begun anew": [place for place, count in self.counters.items() if now[place] < count],
        }
        told = {what: found for what, found in noticed.items() if found}
        text = f"{told}\nblows: {self.blows}\n{log[-6000:]}"
        late_ms = max(map(int, re.findall(r'"supervisor\.late".*"late_ms": (\d+)', log)), default=0)
        if told and late_ms:
            raise StarvedError(f"the supervisor was late by {late_ms} ms", text)
        assert not told, text
        assert director.watch.now == self.table == ipvsadm.table(director.lab.ns("d"))
        counted(director, len(answers) + self.counters[WEB, ""])
        self.conversation.close()
        return Counter(answer.who for answer in answers)


def beaten(kills: int, hangs: int) -> str:
    """Hit each role so often under traffic; nothing may be seen of it. Returns a line about it."""
    with stage() as director:
        serving(director, director.config(advert_int=1))
        quiet = Quiet(director)
        began = time.time()
        for signum in [signal.SIGKILL] * kills + [signal.SIGSTOP] * hangs:
            for role in random.sample(ROLES, len(ROLES)):
                due = time.monotonic() + SPACING_S
                time.sleep(random.uniform(0, 1.0))
                pid = quiet.hit(role, signum)
                time.sleep(max(0.0, due - time.monotonic()))
                director.await_successor(role, pid)
                quiet.look()
        answers = quiet.check()
        assert set(answers) == {"r1", "r2"}
        # and it still works
        director.stop_serving("r1")
        director.await_table(director.wanted({"r2": 1}), DOWN_WITHIN_S + SLACK_S)
        return (
            f"each killed {kills} and hung {hangs} times, {answers.total()} requests, "
            f"table read {director.watch.readings} times "
            f"(at most {director.watch.longest_gap_s * 1000:.0f} ms apart), "
            f"longest stall {stalls.longest_s(began, time.time()) * 1000:.0f} ms"
        )


def judged(kills: int, hangs: int) -> str | StarvedError:
    try:
        return beaten(kills, hangs)
    except StarvedError as error:
        return error


def test_killed_and_hung_workers_cost_nothing() -> None:
    """Stages side by side make the number of rounds: a stage sleeps most of its time."""
    share = (-(-rounds(KILLS) // STAGES), -(-rounds(HANGS) // STAGES))
    for result in list(in_parallel([partial(judged, *share)] * STAGES)):
        if isinstance(result, StarvedError):
            print(f"\nrepeated alone, as {result.why}", end="")
        print(f"\n{result if isinstance(result, str) else beaten(*share)}", end="")


def test_a_killed_checker_goes_on_where_it_was(director: Director) -> None:
    retry = 3
    serving(director, director.config(retry=retry))
    without = director.wanted({"r2": 1})

    # in the middle of its retries
    director.stop_serving("r1")
    director.await_log('"check.failed"', 1 + SLACK_S)
    failed_at = time.time()
    director.await_successor("checker", director.hit("checker"))
    director.await_table(without, retry * 2 + SLACK_S)
    assert time.time() - failed_at > 1.0, "it began anew: one failure was enough"
    (down,) = re.findall(r"check\.down.*attempt (\d) of (\d)", director.log())
    assert down == (str(retry + 1), str(retry + 1))
    assert director.log().count('"check.failed"') == retry

    # while the server is down: it stays out, nobody asks it anything
    quiet = Quiet(director)
    for _ in range(2):
        director.await_successor("checker", quiet.hit("checker"))
        time.sleep(2.2)
    assert set(quiet.check()) == {"r2"}
    director.serve("r1")
    director.await_table(director.wanted(), 2 + SLACK_S)


def test_a_killed_ipvs_worker_catches_up(director: Director) -> None:
    serving(director, director.config(retry=0))
    since = time.time()
    for signum in (signal.SIGKILL, signal.SIGSTOP):
        # the server dies, and so does whoever should take it out; a hang outlasts the news of it
        director.stop_serving("r1")
        director.await_successor("ipvs", director.hit("ipvs", signum))
        director.await_table(director.wanted({"r2": 1}), DOWN_WITHIN_S + SLACK_S)
        probe = asking(director)
        time.sleep(1)
        assert set(got(probe)) == {"r2"}
        # the same on its way back, with the bus and the checker
        director.serve("r1")
        hit = {role: director.hit(role) for role in ("ipvs", "bus", "checker")}
        for role, pid in hit.items():
            director.await_successor(role, pid)
        director.await_table(director.wanted(), 2 + SLACK_S)
    seen = director.watch.changes(since)
    assert len(seen) >= 2
    assert all(found.keys() == director.wanted().keys() for found in seen)
    assert all(service_.destinations for found in seen for service_ in found.values()), "empty in between"


def test_the_table_outlives_the_supervisor(director: Director) -> None:
    serving(director)
    first = director.daemon
    foreign = table(entry(service(fwmark(99), "wlc")))
    ipvsadm.ipvsadm("-A", "-f", "99", "-s", "wlc", netns=director.lab.ns("d"))
    both = director.wanted() | foreign
    director.await_table(both, SLACK_S)
    talk = Conversation(director.lab.ns("c"), FIXED)
    talk.say()
    probe = asking(director)
    time.sleep(1)
    probe.stop()
    counters = director.counters()
    director.tap.take()
    began = time.time()

    os.kill(first.parent_pid, signal.SIGKILL)
    wait_until(lambda: not first.pids(), 20, "the workers to leave")
    assert not director.holds(), "addresses are given up"
    assert director.observer.adverts(began, active=False), "and the peers are told"
    assert set(director.tap.take()) <= {"DELADDR"}
    talk.say()
    Conversation(director.lab.ns("c"), FIXED).close()  # new connections are served as well

    # started again: adopted as it is
    director.start(director.config(), like=first)
    orders = Counter(director.tap.take())
    assert to_ipvs(orders) == {}, director.log()[-4000:]
    assert director.watch.changes(began) == []
    talk.say()
    now = director.counters()
    assert all(now[place] >= count for place, count in counters.items()), f"{counters} -> {now}"
    probe = asking(director)
    time.sleep(1)
    assert set(got(probe)) == {"r1", "r2"}

    # a clean stop takes ours away and nothing else
    director.daemon.terminate()
    assert director.daemon.wait(30) == 0
    director.await_table(foreign, SLACK_S)
    assert not director.holds()
    assert "FLUSH" not in director.tap.take()
    talk.close()


def test_lvs_flush_on_stop_holds_for_a_killed_supervisor(director: Director) -> None:
    serving(director, director.config(options=["lvs_flush_on_stop"]))
    os.kill(director.daemon.parent_pid, signal.SIGKILL)
    wait_until(lambda: not director.daemon.pids(), 20, "the workers to leave")
    director.await_table({}, SLACK_S)
    assert "FLUSH" in director.tap.take()
    # and the next start is a whole one
    director.start(director.config(), like=director.daemon)
    director.await_table(director.wanted(), START_S)


def test_a_reload_edits_in_place(director: Director) -> None:
    serving(director)
    talk = Conversation(director.lab.ns("c"), FIXED)
    probe = asking(director)
    director.tap.take()
    log_at = len(director.log())
    counters: Counter[tuple[str, str]] = Counter()

    def to(weights: dict[str, int], scheduler: str, orders: dict[str, int]) -> None:
        nonlocal counters
        director.reload(director.config(weights, scheduler=scheduler))
        director.await_table(director.wanted(weights, scheduler=scheduler), SLACK_S)
        assert Counter(director.tap.take()) == orders
        talk.say()
        now = director.counters()
        kept = [place for place in counters if place in now]
        assert all(now[place] >= counters[place] for place in kept), f"{counters} -> {now}"
        counters = now
        time.sleep(1)

    to({"r1": 3, "r2": 1}, "wrr", {"SET_SERVICE": 1, "SET_DEST": 1})
    to({"r1": 3, "r2": 1, "s": 2}, "wrr", {"NEW_DEST": 1})
    to({"r1": 0, "r2": 1, "s": 2}, "wlc", {"SET_SERVICE": 1, "SET_DEST": 1})
    # drained: it can go
    to({"r2": 1, "s": 2}, "wlc", {"DEL_DEST": 1})
    to({"s": 5, "r2": 1, "r1": 1}, "rr", {"SET_SERVICE": 1, "SET_DEST": 1, "NEW_DEST": 1})
    to({"s": 5, "r2": 1, "r1": 1}, "rr", {})
    answers = got(probe)
    assert set(answers) == {"r1", "r2", "s"}, f"{answers}\n{director.log()[-4000:]}"
    assert director.addresses.take() == []
    assert '"vrrp.transition"' not in director.log()[log_at:]
    counted(director, answers.total())
    talk.close()


def test_a_worker_killed_in_a_reload_loses_nothing(director: Director) -> None:
    """Old or new, never a mixture that serves nobody; in the end what was asked for."""
    serving(director)
    probe = asking(director)
    weights = [{"r1": 1, "r2": 1, "s": 1}, {"r1": 2, "r2": 2}]
    for number in range(max(2, rounds(6))):
        wanted = weights[number % 2]
        role = ("ipvs", "checker", "bus")[number % 3]
        director.daemon.config_file.write_text(director.config(wanted))
        os.kill(director.daemon.parent_pid, signal.SIGHUP)
        time.sleep(random.uniform(0, 0.3))
        director.await_successor(role, director.hit(role))
        director.await_table(director.wanted(wanted), START_S / 2)
        time.sleep(1)
    answers = got(probe)
    assert set(answers) == {"r1", "r2", "s"}, f"{answers}\n{director.log()[-4000:]}"
    talk = Conversation(director.lab.ns("c"), FIXED)
    talk.say()
    talk.close()
