"""Process 1 of a plain container: no service manager, read-only root, NET_ADMIN and NET_RAW only."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from supervisor.operator import OperatorError, ask
from tests.chaos import container
from tests.chaos.pairs import VIP, fence_s, kill, pair_config, stalls
from tests.lab import conf
from tests.lab.daemons import Daemon
from tests.lab.net import Lab
from tests.lab.observer import Observer
from tests.lab.programs import Program, ours
from tests.lab.system import alive, state_and_parent, wait_until
from worker.privileges import effective, mask_of

ADVERT_INT = 1.0
WISHES = ("vrrp_priority -10", "vrrp_rt_priority 50", "vrrp_no_swap", "checker_priority -5")


def events(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    """Log records of one event, in order."""
    found = []
    for line in daemon.log_text().splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if record.get("event") == name:
                found.append(record)
    return found


class Contained:
    """n1 in a container, n2 a plain backup, an observer on the wire."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.backup: Daemon | None = None

    def __enter__(self) -> Contained:
        self.lab.__enter__()
        try:
            self.observer: Observer = self.lab.observer()
            self.daemon = self.contain("n1", pair_config(150, ADVERT_INT))
            self.pid = self.first_process(self.daemon)
            self.observer.await_advert(30, src="10.100.0.1")
            backup = pair_config(100, ADVERT_INT, balancer=False)
            self.backup = self.lab.daemon("n2", ours(), backup).start()
            wait_until(lambda: self.states() == {"ready"}, 20, "all processes ready")
            wait_until(lambda: events(self._other(), "supervisor.ready"), 20, "the backup is ready")
        except BaseException:
            self.leave(failed=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.leave(failed=kind is not None)

    def leave(self, *, failed: bool) -> None:
        if failed:
            for daemon in self.lab.daemons:
                print(f"--- {daemon.node}\n{daemon.log_text()[-6000:]}", flush=True)
        self.lab.close()

    def _other(self) -> Daemon:
        assert self.backup is not None
        return self.backup

    def contain(self, node: str, config: str) -> Daemon:
        """Start a daemon in a container on a node."""
        text = config.replace("global_defs {", "\n    ".join(("global_defs {", *WISHES)), 1)
        run_dir = self.lab.dir / f"{node}-run-{len(self.lab.daemons)}"
        program = Program(name="contained", argv=(*container.prefix(run_dir), *ours().argv))
        self.run_dir = run_dir
        return self.lab.daemon(node, program, text, f"-n -l -D --run-dir={run_dir}").start()

    def first_process(self, daemon: Daemon) -> int:
        found = wait_until(partial(container.first_process, daemon.parent_pid), 10, "a process 1")
        assert found is not None
        return found

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The operator's socket lies on a tmpfs that only the container has mounted."""
        return ask(pathlib.Path(f"/proc/{self.pid}/root{self.run_dir}/operator.sock"), command, **arguments)

    def processes(self) -> dict[str, dict[str, Any]]:
        return {row["role"]: row for row in self.ask("status")["processes"]}

    def states(self) -> set[str]:
        try:
            return {row["state"] for row in self.processes().values()} - {"stopped"}
        except OperatorError:
            return set()

    def worker(self) -> int:
        """The vrrp worker, as the host numbers it."""
        found = wait_until(self.daemon.vrrp_pid, 5, "a vrrp process")
        assert found is not None
        return found

    def inside(self) -> dict[int, str]:
        """{pid as the host numbers it: state letter} of every process in the container."""
        wanted = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                state = state_and_parent(int(entry))
                if state and os.readlink(f"/proc/{entry}/ns/pid") == wanted:
                    found[int(entry)] = state[0]
        return found


@pytest.fixture(scope="module")
def contained() -> Iterator[Contained]:
    if mask_of(container.KEPT) & ~effective():
        pytest.skip("a container needs NET_ADMIN and NET_RAW to give: run as root")
    with Contained() as found:
        yield found


def test_the_container_is_as_poor_as_it_should_be(contained: Contained) -> None:
    status = pathlib.Path(f"/proc/{contained.pid}/status").read_text()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(masks[name], 16) == mask_of(container.KEPT)
    assert status.splitlines()[0] == "Name:\tpyka-supervisor"
    assert [line.split()[-1] for line in status.splitlines() if line.startswith("NSpid")] == ["1"]
    writable = set()
    for line in pathlib.Path(f"/proc/{contained.pid}/mountinfo").read_text().splitlines():
        _, _, device, _, place, options = line.split()[:6]
        with contextlib.suppress(OSError):
            seen = os.stat(f"/proc/{contained.pid}/root{place}").st_dev
            hidden = f"{os.major(seen)}:{os.minor(seen)}" != device
            if options.split(",")[0] == "rw" and not hidden:
                writable.add(place)
    assert writable == {"/proc", str(contained.run_dir)}


def test_it_says_what_it_cannot_honour(contained: Contained) -> None:
    limited = {record["what"]: record for record in events(contained.daemon, "start.limited")}
    users = limited["a user of its own for each worker"]
    assert users["level"] == "warning"
    assert users["why"] == "missing capabilities: CHOWN, KILL, SETGID, SETUID"
    assert "SYS_RESOURCE" in limited["oom_score_adj -1000"]["why"]
    assert len(limited) == 2
    locked = wait_until(
        lambda: events(contained.daemon, "vrrp.memory_not_locked"),
        5,
        "a word about memory that is not locked",
    )
    assert "CAP_IPC_LOCK" in locked[0]["hint"]
    files = events(contained.daemon, "pid_file.not_written")
    assert any("Read-only file system" in record["why"] for record in files)
    refused = {
        (record["process"], record["problem"].partition(":")[0])
        for record in events(contained.daemon, "process.scheduling")
    }
    assert {
        ("vrrp", "nice value -10"),
        ("vrrp", "real-time priority 50"),
        ("checker", "nice value -5"),
    } <= refused
    assert all("CAP_SYS_NICE" in r["problem"] for r in events(contained.daemon, "process.scheduling"))
    assert "Traceback" not in contained.daemon.log_text()


def test_it_is_master_and_the_peer_keeps_quiet(contained: Contained) -> None:
    assert contained.observer.await_advert(5, time.time(), src="10.100.0.1", priority=150)
    wait_until(lambda: VIP in contained.lab.addresses("n1"), 5, "the address is on n1")
    assert VIP not in contained.lab.addresses("n2")
    moves = [record["to"] for record in events(contained._other(), "vrrp.transition")]
    assert moves == ["BACKUP"], "the peer hears our adverts"


def test_a_killed_vrrp_worker_resumes(contained: Contained) -> None:
    first = contained.observer.await_advert(5, time.time(), src="10.100.0.1")
    at = kill(contained.worker())
    contained.observer.await_advert(5, at, src="10.100.0.1", active=True)
    time.sleep(2 * ADVERT_INT)
    frames = contained.observer.adverts(first.at - 0.001)
    stalled = stalls.longest_s(first.at, time.time())
    assert {str(frame.src) for frame in frames} == {"10.100.0.1"}
    assert all(frame.priority == 150 for frame in frames)
    gap = max(b.at - a.at for a, b in itertools.pairwise(frames))
    assert gap < fence_s(ADVERT_INT) + stalled
    assert VIP in contained.lab.addresses("n1")
    assert contained.processes()["vrrp"]["restarts"] >= 1


def test_orphans_are_reaped(contained: Contained) -> None:
    before = set(contained.inside())
    # The shell is the orphans' parent and ends before them: they are process 1's to bury.
    orphans = "sleep 2 & sleep 2 & sh -c 'sleep 2.2 & exec sleep 2' & exit 0"
    done = subprocess.run(
        ["nsenter", "--target", str(contained.pid), "--pid", "--mount", "sh", "-c", orphans], check=False
    )
    assert done.returncode == 0
    assert len(set(contained.inside()) - before) >= 3, "there are orphans to bury"
    wait_until(lambda: set(contained.inside()) <= before, 10, "every orphan is gone")
    assert "Z" not in contained.inside().values()


def test_hup_reloads_and_usr_signals_do_no_harm(contained: Contained) -> None:
    generation = contained.ask("status")["generation"]
    os.kill(contained.pid, signal.SIGHUP)
    wait_until(lambda: contained.ask("status")["generation"] == generation + 1, 10, "the next generation")
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        os.kill(contained.pid, number)
        wait_until(
            lambda name=number.name: (
                name  # type: ignore[misc]
                in {record["signal"] for record in events(contained.daemon, "signal.without_effect")}
            ),
            5,
            f"a word about {number.name}",
        )
    assert alive(contained.pid)
    wait_until(lambda: contained.states() == {"ready"}, 10, "all processes ready")
    assert contained.observer.await_advert(5, time.time(), src="10.100.0.1", priority=150)


def test_signals_at_the_start_are_heard(contained: Contained) -> None:
    config = pair_config(90, ADVERT_INT, balancer=False).replace("router_id 51", "router_id 52")
    early = contained.lab.daemon("c", ours(), config).start()
    wait_until(lambda: events(early, "supervisor.starting"), 10, "the first word", step_s=0.002)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(early.parent_pid, number)
    wait_until(lambda: events(early, "reload.applied"), 20, "the reload that was asked for early")
    assert early.process is not None
    assert early.process.poll() is None
    early.terminate()
    assert early.wait(10) == 0


def test_term_at_the_start_ends_process_1(contained: Contained) -> None:
    keep = contained.run_dir
    try:
        config = pair_config(90, ADVERT_INT, balancer=False).replace("router_id 51", "router_id 53")
        early = contained.contain("c", config)
        first = contained.first_process(early)
        wait_until(lambda: events(early, "supervisor.starting"), 10, "the first word", step_s=0.002)
        os.kill(first, signal.SIGTERM)
        assert early.wait(10) == 0
    finally:
        contained.run_dir = keep


def test_a_killed_container_is_cleaned_up_after(contained: Contained) -> None:
    """Nobody is left inside; a run directory that outlives the container is what others clean up by."""
    lab, vip = contained.lab, "10.100.1.4"
    config = pair_config(90, 0.2, balancer=False, addresses=[f"{vip}/16"])
    config = config.replace("virtual_router_id 51", "virtual_router_id 54")
    volume = pathlib.Path("/dev/shm") / f"{lab.prefix}-volume"  # memory, wherever this runs
    program = Program(name="contained", argv=(*container.prefix(volume, volume=True), *ours().argv))

    def killed_as_master() -> Daemon:
        began = time.time()
        daemon = lab.daemon("c", program, config, f"-n -l -D --run-dir={volume}").start()
        contained.observer.await_advert(20, began, vrid=54, active=True)
        wait_until(lambda: vip in lab.addresses("c"), 5, "the address is on c")
        time.sleep(0.1)
        # The kernel closes process 1's descriptors before it ends the others: a quick worker still leaves
        # in good order. This one does not.
        worker = wait_until(daemon.vrrp_pid, 5, "a vrrp process")
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)
        os.kill(contained.first_process(daemon), signal.SIGKILL)
        assert daemon.wait(10) == 128 + signal.SIGKILL
        assert vip in lab.addresses("c")
        return daemon

    try:
        killed_as_master()
        at = time.time()
        fence = subprocess.run(
            ["ip", "netns", "exec", lab.ns("c"), *ours().argv, "fence", f"--run-dir={volume}"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert (fence.returncode, fence.stdout) == (0, "pykeepalived: 1 virtual routers fenced\n")
        assert vip not in lab.addresses("c")
        assert contained.observer.await_advert(1, at, vrid=54, active=False)

        killed_as_master()
        last = killed_as_master()
        cleaned = events(last, "start.cleaned_up")
        assert [record["virtual_routers_fenced"] for record in cleaned] == [1]
        assert cleaned[0]["problems"] == []
    finally:
        lab.kill_node("c")
        lab.ip("c", "address", "flush", "to", f"{vip}/32")
        shutil.rmtree(volume, ignore_errors=True)


def test_term_gives_everything_back_and_ends_with_status_0(contained: Contained) -> None:
    """The last one: nothing is left of the container after it."""
    members = set(contained.inside())
    os.kill(contained.pid, signal.SIGTERM)
    at = time.time()
    assert contained.daemon.wait(10) == 0
    zero = contained.observer.await_advert(2, at, src="10.100.0.1", active=False)
    first = contained.observer.await_advert(10, at, src="10.100.0.2")
    limit = conf.skew_s(100, ADVERT_INT) + 0.2 + stalls.longest_s(zero.at, first.at)
    assert first.at - zero.at < limit
    assert VIP not in contained.lab.addresses("n1")
    wait_until(lambda: VIP in contained.lab.addresses("n2"), 5, "the address is on n2")
    assert not any(alive(pid) for pid in members)
    assert events(contained.daemon, "supervisor.stopped")
