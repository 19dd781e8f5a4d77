"""Kills at the worst moments: around a cut, in a takeover, in preempt_delay, in a reload, in pairs.

Each case runs in several laboratories at once, and the cases side by side: they mostly wait for the
restart policy to forgive a death (10 s of health).
"""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address

import pytest

from supervisor.operator import OperatorError
from tests.chaos.pairs import VIP, Pair, in_parallel, kill, one_at_a_time, pair_config, rounds, stalls, told
from tests.lab import conf
from tests.lab.programs import Program
from tests.lab.system import REPOSITORY, wait_until

LABS = 4
SPACING_S = 10.4
"""The restart policy forgives a death after 10 s of health; a blow a role."""


def backup_silent(pair: Pair, since: float, until: float) -> list[str]:
    """Complaints when the backup spoke although nothing is wrong with the master."""
    spoken = [frame.at for frame in pair.observer.adverts(since, until, src="10.100.0.2")]
    if spoken and stalls.longest_s(since, until) < 0.25 * pair.advert_int:
        return [f"backup advertised {spoken[0] - since:.3f} s after the blow\n{pair.log('n1')[-3000:]}"]
    return []


# --- the backup is hit, then the master is cut --------------------------------------------------------


def _cut_after_kill(count: int) -> list[str]:
    complaints = []
    limit = conf.master_down_s(100, 1.0)
    with Pair(
        1.0, configs=(pair_config(150, 1, balancer=False), pair_config(100, 1, balancer=False))
    ) as pair:
        for _ in range(count):
            kill(pair.pid("n2", "vrrp"))
            time.sleep(random.uniform(0, 3))
            cut = pair.lab.cut("n1")
            first = pair.observer.await_advert(10, cut, src="10.100.0.2")
            last = max(frame.at for frame in pair.observer.adverts(until=cut, src="10.100.0.1"))
            took = first.at - last
            stalled = stalls.longest_s(last, first.at)
            if not limit - 0.02 <= took <= limit + 0.05 + stalled:
                text = f"takeover after {took:.3f} s, limit {limit:.3f}, stall {stalled:.3f}"
                complaints.append(f"{text}\n{pair.log('n2')[-3000:]}")
            plugged = pair.lab.plug("n1")
            pair.observer.await_advert(20, plugged, src="10.100.0.1", priority=150)
            wait_until(lambda: pair.holders() == {"n1"}, 10, "fail back")
            time.sleep(SPACING_S - 8)
    return complaints


# --- in the middle of a takeover with 200 addresses ---------------------------------------------------

MANY = [f"10.100.{2 + n // 200}.{n % 200 + 1}/32" for n in range(200)]


def _killed_while_taking_over(count: int) -> list[str]:
    complaints = []
    configs = tuple(
        pair_config(priority, 0.1, addresses=[f"{VIP}/16", *MANY[:99]], excluded=MANY[99:], balancer=False)
        for priority in (150, 100)
    )
    wanted = {str(ip_address(text.split("/")[0])) for text in MANY}
    with Pair(0.1, configs=(configs[0], configs[1])) as pair:
        for _ in range(count):
            cut = pair.lab.cut("n1")
            first = pair.observer.await_advert(10, cut, src="10.100.0.2")
            time.sleep(random.uniform(0, 0.03))
            killed = kill(pair.pid("n2", "vrrp"))
            try:
                wait_until(
                    lambda: wanted <= pair.lab.addresses("n2"), 5, "all 200 addresses on the new master"
                )
            except TimeoutError as error:
                missing = wanted - pair.lab.addresses("n2")
                complaints.append(f"{error}: {len(missing)} missing\n{pair.log('n2')[-3000:]}")
            time.sleep(1.5)
            released = pair.observer.adverts(first.at, src="10.100.0.2", active=False)
            if released and stalls.longest_s(killed - 0.3, killed + 0.5) < 0.05:
                complaints.append(f"gave up in the middle of its takeover\n{pair.log('n2')[-3000:]}")
            announced = {str(frame.sender) for frame in pair.observer.garps(first.at)}
            if not wanted <= announced:
                complaints.append(f"{len(wanted - announced)} addresses were never announced")
            plugged = pair.lab.plug("n1")
            pair.observer.await_advert(20, plugged, src="10.100.0.1", priority=150)
            wait_until(lambda: not wanted & pair.lab.addresses("n2"), 5, "old master without addresses")
            wait_until(lambda: wanted <= pair.lab.addresses("n1"), 5, "all addresses back")
            time.sleep(max(0.0, killed + SPACING_S + 1 - time.time()))
    return complaints


# --- during preempt_delay: what is left of it is kept -------------------------------------------------


def _killed_in_preempt_delay(count: int) -> list[str]:
    complaints = []
    high = pair_config(150, 0.1, extra=["preempt_delay 3"], balancer=False)
    low = pair_config(100, 0.1, balancer=False)
    with Pair(0.1, configs=(high, low), start=("n2",)) as pair:
        for _ in range(count):
            pair.observer.await_advert(10, time.time(), src="10.100.0.2")
            pair.start("n1")
            pair.ready("n1")
            began = time.time()
            time.sleep(random.uniform(0.3, 2.5))
            kill(pair.pid("n1", "vrrp"))
            first = pair.observer.await_advert(10, began, src="10.100.0.1")
            took = first.at - began
            slack = 0.6 + stalls.longest_s(began, first.at)
            if not 3 - slack <= took <= 3 + conf.master_down_s(150, 0.1) + slack:
                complaints.append(
                    f"preempted {took:.3f} s after its start, delay 3\n{pair.log('n1')[-3000:]}"
                )
            pair.daemons["n1"].terminate()
            pair.daemons["n1"].wait(5)
            wait_until(lambda: pair.holders() == {"n2"}, 5, "the other one is master again")
    return complaints


# --- during a reload ----------------------------------------------------------------------------------


def _killed_while_reloading(count: int) -> list[str]:
    complaints = []
    both = {"10.100.1.2", "10.100.1.3"}
    texts = [
        pair_config(150, 1, addresses=[f"{VIP}/16", *more], extra=["preempt"])
        for more in ([], ["10.100.1.2/16", "10.100.1.3/16"])
    ]
    with Pair(1.0, configs=(texts[0], pair_config(100, 1, addresses=[f"{VIP}/16"]))) as pair:
        daemon = pair.daemons["n1"]
        for number in range(1, count + 1):
            text = texts[number % 2]
            daemon.config_file.write_text(text)
            began = time.time()
            daemon.signal(signal.SIGHUP)
            time.sleep(random.uniform(0, 0.25))
            role = ("vrrp", "checker", "ipvs", "bus")[number % 4]
            try:
                kill(pair.pid("n1", role))
            except ProcessLookupError:
                pass

            def settled() -> bool:
                try:
                    status = pair.ask("n1", "status")
                except OperatorError:
                    return False
                rows = [row for row in status["processes"] if row["role"] != "bus"]
                return status["reload"]["result"] in ("applied", "refused", "rolled_back") and all(
                    row["state"] == "ready" and row["generation"] == status["generation"] for row in rows
                )

            try:
                wait_until(settled, 12, "one generation everywhere")
            except TimeoutError as error:
                complaints.append(f"{error}: {pair.ask('n1', 'status')}\n{pair.log('n1')[-3000:]}")
                break
            result = pair.ask("n1", "status")["reload"]
            new = "10.100.1.2" in text
            want = both if new == (result["result"] == "applied") else set()
            time.sleep(0.3)
            have = pair.lab.addresses("n1")
            if have & both != want:
                complaints.append(f"mixture: {result}, {have}\n{pair.log('n1')[-3000:]}")
            if result["result"] != "applied":
                complaints.append(f"a death alone made the reload fail: {result}")
            complaints += backup_silent(pair, began, time.time())
            time.sleep(max(0.0, SPACING_S / 4 - (time.time() - began)))
    return complaints


# --- several at once ----------------------------------------------------------------------------------


def _both_nodes(pair: Pair) -> None:
    pids = [pair.pid(node, "vrrp") for node in ("n1", "n2")]
    with one_at_a_time:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _three_in_a_row(pair: Pair) -> None:
    for _ in range(3):
        kill(pair.pid("n1", "vrrp"))  # waits 100 ms


def _vrrp_and_bus(pair: Pair) -> None:
    pids = [pair.pid("n1", "vrrp"), pair.pid("n1", "bus")]
    random.shuffle(pids)
    with one_at_a_time:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _everything_stopped_for_a_second(pair: Pair) -> None:
    before = pair.processes("n1")
    pids = pair.daemons["n1"].pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.0)
    random.shuffle(pids)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    time.sleep(1.5)
    after = pair.processes("n1")
    for role, row in before.items():
        assert after[role]["pid"] == row["pid"], f"{role} was restarted\n{pair.log('n1')[-3000:]}"


def _blows(blow: Callable[[Pair], None], spacing_s: float, advert_int: float, count: int) -> list[str]:
    complaints = []
    configs = (pair_config(150, advert_int), pair_config(100, advert_int))
    with Pair(advert_int, configs=configs) as pair:
        pair.settle_announcements()
        watch = pair.lab.address_watch("n1")
        began = time.time()
        for _ in range(count):
            at = time.time()
            blow(pair)
            time.sleep(spacing_s)
            complaints += backup_silent(pair, at, time.time())
        quiet = stalls.longest_s(began, time.time()) < 0.25 * advert_int
        events, garps = watch.take(), pair.observer.garps(began)
        zeros = pair.observer.adverts(began, active=False)
        if quiet and (events or garps or zeros):
            complaints.append(f"{events} {garps} {zeros}\n{pair.log('n1')[-3000:]}")
        pair.ready("n1")
        pair.ready("n2")
    return complaints


# --- installation gone, disk full ---------------------------------------------------------------------

PACKAGES = (
    "supervisor", "vrrp_proc", "checker_proc", "ipvs_proc", "script_proc", "bus", "keepalived_conf", "worker",
)  # fmt: skip


def _without_installation(count: int) -> list[str]:
    complaints: list[str] = []
    import zmq

    with Pair(1.0, start=()) as pair:
        install = pair.lab.dir / "installed"
        install.mkdir()
        for package in PACKAGES:
            shutil.copytree(
                REPOSITORY / package, install / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        site = pathlib.Path(zmq.__file__).parents[1]
        shutil.copytree(site, install / "site", ignore=shutil.ignore_patterns("mypy*", "ruff*", "hypothesis"))
        # Its logs and run directory stand on a file system that is then filled to the last byte.
        disk = pair.lab.dir / "disk"
        disk.mkdir()
        program = Program(
            name="pykeepalived",
            argv=("env", f"PYTHONPATH={install}:{install / 'site'}", sys.executable, "-m", "supervisor.cli"),
        )
        mount(disk)
        try:
            daemon = pair.lab.daemon("n1", program, pair.configs[0])
            daemon.log_file = disk / "log"
            daemon.argv.append(f"--run-dir={disk / 'run'}")
            pair.daemons["n1"] = daemon.start()
            pair.run_dir = lambda _node: disk / "run"  # type: ignore[assignment,method-assign]
            pair.observer.await_advert(30, src="10.100.0.1")
            backup = pair.start("n2")
            wait_until(lambda: backup.vrrp_pid() is not None, 10, "the backup runs")
            pair.settle_announcements()
            install.rename(pair.lab.dir / "gone")
            with open(disk / "filler", "wb", buffering=0) as filler:
                try:
                    while filler.write(b"\0" * 65536):
                        pass
                except OSError:
                    pass
            began = time.time()
            for _ in range(count):
                at = time.time()
                for role in ("vrrp", "bus", "checker", "ipvs"):
                    kill(pair.pid("n1", role))
                time.sleep(SPACING_S)
                complaints += backup_silent(pair, at, time.time())
                pair.ready("n1")
            if pair.observer.garps(began) and stalls.longest_s(began, time.time()) < 0.25:
                complaints.append("announced again")
        finally:
            for running in pair.daemons.values():
                running.terminate()
                running.wait(10)
            pair.daemons.clear()
            unmount(disk)
    return complaints


def mount(path: pathlib.Path) -> None:
    from tests.lab.system import run

    run("mount", "-t", "tmpfs", "-o", "size=16m", "none", str(path))


def unmount(path: pathlib.Path) -> None:
    from tests.lab.system import run

    run("umount", "-l", str(path))


# --- all of them --------------------------------------------------------------------------------------

CASES: dict[str, Callable[[int], list[str]]] = {
    "backup killed before the master is cut": _cut_after_kill,
    "killed in the middle of a takeover of 200 addresses": _killed_while_taking_over,
    "what is left of preempt_delay is kept": _killed_in_preempt_delay,
    "killed during a reload: old or new everywhere": _killed_while_reloading,
    "both nodes at once": partial(_blows, _both_nodes, SPACING_S, 1.0),
    "three kills 100 ms apart": partial(_blows, _three_in_a_row, SPACING_S, 1.0),
    "vrrp and bus in the same millisecond": partial(_blows, _vrrp_and_bus, SPACING_S, 1.0),
    "everything stopped for a second restarts nothing": partial(
        _blows, _everything_stopped_for_a_second, 0.5, 1.0
    ),
    "installation renamed away and disk full": _without_installation,
}


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """case -> complaints; only the selected cases run, all of them side by side."""
    wanted = [
        item.callspec.params["case"]  # type: ignore[attr-defined]
        for item in request.session.items
        if item.path == request.path
    ]
    total = rounds(20)
    labs = min(LABS, total)
    names = [name for _ in range(labs) for name in wanted]
    jobs = [partial(told, CASES[name], -(-total // labs)) for name in names]
    found: dict[str, list[str]] = {name: [] for name in wanted}
    for name, complaints in zip(names, in_parallel(jobs, 12), strict=True):
        found[name] += complaints
    return found


@pytest.mark.parametrize("case", CASES)
def test_twenty_rounds(case: str, outcomes: dict[str, list[str]]) -> None:
    assert outcomes[case] == [], "\n\n".join(outcomes[case])
