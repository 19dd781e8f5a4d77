"""The script worker and the bus killed or stopped while scripts flip: no kill causes a transition."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.pairs import VIP, Pair, kill, pair_config, rounds
from tests.lab.system import wait_until

INTERVAL_S, TIMEOUT_S, FALL = 0.3, 1.0, 2


def tracked(name: str, flag: Path, *more: str) -> str:
    """A vrrp_script that is good as long as the flag is not there."""
    lines = [f"script \"/bin/sh -c 'test ! -e {flag}'\"", f"interval {INTERVAL_S}", f"timeout {TIMEOUT_S:g}"]
    return f"vrrp_script {name} {{\n" + "".join(f"    {line}\n" for line in (*lines, *more)) + "}\n"


def config(folder: Path, priority: int) -> str:
    """``chk`` decides between service and fault, ``steady`` and ``flips`` about the priority."""
    text = tracked("chk", folder / "chk", f"fall {FALL}", "rise 2")
    text += tracked("steady", folder / "steady", "weight 5") + tracked("flips", folder / "flips", "weight 2")
    extra = ("track_script {", "chk", "steady", "flips", "}")
    return text + pair_config(priority, 1.0, extra=extra, balancer=False)


def records(pair: Pair, event: str, since: int = 0) -> list[dict[str, object]]:
    """Records of n1's log with that event, from a position of its text on."""
    lines = (line for line in pair.log("n1")[since:].splitlines() if f'"{event}"' in line)
    return [json.loads(line) for line in lines]


def worker(pair: Pair, role: str, instead_of: int = 0) -> int:
    """Pid of n1's worker; after many deaths in a row the next start waits for seconds."""
    daemon = pair.daemons["n1"]

    def look() -> int | None:
        pid = daemon.worker_pid(role)
        return None if pid == instead_of else pid

    found = wait_until(look, 30, f"a {role} worker")
    assert found is not None
    return found


def priority(pair: Pair) -> int:
    """Of n1's last advert on the wire."""
    return pair.observer.adverts(src="10.100.0.1")[-1].priority


def test_kills_of_the_script_worker_and_the_bus_move_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    backup = pair_config(100, 1.0, balancer=False)
    with Pair(1.0, configs=(config(tmp_path, 150), backup)) as pair:
        wait_until(lambda: priority(pair) == 157, 10, "both weights")
        before, began = len(pair.log("n1")), time.time()
        good, worst_s, hit = True, 0.0, {"script": 0, "bus": 0}
        for number in range(rounds(12)):
            role = "bus" if number % 5 == 4 else "script"
            hang = role == "script" and number % 4 == 2
            time.sleep(random.uniform(0.0, 1.0))
            pid = worker(pair, role)
            kill(pid, signal.SIGSTOP if hang else signal.SIGKILL)
            hit[role] += 1
            worker(pair, role, instead_of=pid)
            if number % 3 == 0:
                good = not good
                at = time.monotonic()
                (tmp_path / "flips").unlink(missing_ok=True) if good else (tmp_path / "flips").touch()
                wanted = 157 if good else 155
                wait_until(lambda wanted=wanted: priority(pair) == wanted, 15, f"priority {wanted}")  # type: ignore[misc]
                worst_s = max(worst_s, time.monotonic() - at)
        ended = time.time()
        print(f"\nkilled or stopped {hit}; a flip was on the wire after at most {worst_s:.1f} s")
        assert records(pair, "vrrp.transition", before) == [], "a kill caused a transition"
        assert {frame.priority for frame in pair.observer.adverts(began, ended, src="10.100.0.1")} <= {
            157,
            155,
        }
        assert pair.observer.adverts(began, ended, src="10.100.0.2") == []
        assert not [answer for answer in pair.probe.answers(began, ended - 1.0) if not answer.ok]

        # One that fails for real is acted on, and the other node takes over.
        pair.ready("n1")
        time.sleep(INTERVAL_S + TIMEOUT_S)
        before, failed_at = len(pair.log("n1")), time.time()
        (tmp_path / "chk").touch()
        wait_until(lambda: pair.holders() == {"n2"}, 15, f"{VIP} on n2")
        (bad,) = [r for r in records(pair, "tracker.bad", before) if r["name"] == "chk"]
        assert bad["reason"] == "exit status 1"
        pair.observer.await_advert(10, src="10.100.0.2", since=failed_at)
        (tmp_path / "chk").unlink()
        wait_until(lambda: pair.holders() == {"n1"}, 20, f"{VIP} back on n1")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_script_is_bad_while_nobody_runs_it(tmp_path: Path, how: signal.Signals) -> None:
    """It fails while the worker is away: found out by the successor, within its time."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    with Pair(1.0, configs=(config(tmp_path, 150), ""), start=("n1",)) as pair:
        wait_until(lambda: priority(pair) == 157, 10, "both weights")
        kill(worker(pair, "script"), how)
        (tmp_path / "chk").touch()
        wait_until(lambda: not pair.holders(), 15, "a fault")
        (tmp_path / "chk").unlink()
        wait_until(lambda: pair.holders() == {"n1"}, 15, "service again")
