"""Programs in number, and as a worker with a user of its own starts them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from script_proc.jobs import Job, Result
from script_proc.launch import living_groups
from tests.unit.script.test_runner import OURSELVES, SHELL, Told, needs_root, single
from worker.clock import boottime

ROOT = Path(__file__).resolve().parents[3]
TIMEOUTS = int(os.environ.get("PYKEEPALIVED_TEST_TIMEOUTS", "500"))


async def longest_turns(t: Told) -> list[float]:
    """How long the loop was kept from its turn, until everything is over; the longest last."""
    gaps = []
    at = time.perf_counter()
    while t.runner.active or t.runner.waiting:
        await asyncio.sleep(0)
        now = time.perf_counter()
        gaps.append(now - at)
        at = now
    return sorted(gaps)


def test_255_at_one_instant_do_not_keep_the_loop_from_its_turn() -> None:
    async def body(t: Told) -> None:
        for number in range(255):
            t.run("/bin/true", key=f"VI_{number}", timeout_s=30.0)
        gaps = await longest_turns(t)
        assert await t.runner.drain(50)
        assert [result.good for _, result in t.ended] == [True] * 255
        # The machine takes the processor from us now and then; what we do ourselves would be in many gaps.
        assert gaps[-10] < 0.05, f"longest: {gaps[-10:]}"

    single(body)


def test_10000_quick_runs_leave_nothing() -> None:
    async def body(t: Told) -> None:
        number = 0

        def again(_: Job, result: Result) -> None:
            nonlocal number
            assert result.status == number_of[_] % 2, result
            if number < 10_000:
                submit()

        number_of: dict[Job, int] = {}

        def submit() -> None:
            nonlocal number
            job = t.job("/bin/false" if number % 2 else "/bin/true", key=f"VI_{number % 255}")
            number_of[job] = number
            number += 1
            t.runner.submit(job, on_ended=again)

        for _ in range(255):
            submit()
        assert await t.runner.drain(170)
        assert number == 10_000

    single(body, within_s=180.0)


def test_255_that_ignore_term_are_all_gone_a_second_after_their_deadline(tmp_path: Path) -> None:
    async def body(t: Told) -> None:
        ignoring = (
            "trap '' TERM; sleep 1000 & sleep 1000 & wait",
            "exec >&- 2>&-; trap '' TERM; while :; do sleep 1; done",
            "trap '' TERM; yes",
            "setsid sleep 3 & trap '' TERM; wait; wait; sleep 1000",
            f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >>{tmp_path}/pids; sleep 1000' & sleep 1000",
        )
        for number in range(255):
            script = ignoring[number % len(ignoring)]
            t.shell(script, key=f"s{number}", timeout_s=1.0 if "yes" in script else 2.0)
        assert await t.runner.drain(50)
        assert [result.killed_by for _, result in t.ended] == ["SIGKILL"] * 255
        assert len(t.late) == 255
        late_s = sorted(result.ran_s - (job.timeout_s or 0) for job, result in t.ended)
        # The last few are left to a host that takes the processors away.
        assert late_s[len(late_s) * 95 // 100] < 1.0, f"reaped after the deadline: {late_s[::25]}"
        assert late_s[-1] < 2.0, f"reaped {late_s[-1]} s after the deadline"
        for pid in (tmp_path / "pids").read_text().split():
            assert not os.path.exists(f"/proc/{pid}") or "Z" in Path(f"/proc/{pid}/stat").read_text()

    single(body, concurrent=255, within_s=120.0)


def test_timeouts_in_number_leave_nothing() -> None:
    """Each counts once as late, is ended, and is gone: one of ten takes SIGKILL for it."""

    async def body(t: Told) -> None:
        for number in range(TIMEOUTS):
            stubborn = "trap '' TERM; " if number % 10 == 0 else ""
            t.shell(f"{stubborn}sleep 1000 & wait; wait", key=f"s{number}", timeout_s=0.3)
        assert await t.runner.drain(TIMEOUTS * 0.05 + 30)
        assert len(t.late) == len(t.ended) == TIMEOUTS
        assert Counter(result.killed_by for _, result in t.ended) == {
            "SIGTERM": TIMEOUTS - TIMEOUTS // 10,
            "SIGKILL": TIMEOUTS // 10,
        }
        late_s = sorted(result.ran_s - (job.timeout_s or 0) for job, result in t.ended)
        assert late_s[len(late_s) * 95 // 100] < 1.0, f"reaped after the deadline: {late_s[-1]} s at worst"
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        states = {pid: Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] for pid in children}
        assert [pid for pid, state in states.items() if state == "Z"] == []

    single(body, concurrent=128, within_s=TIMEOUTS * 0.05 + 40)


_WORKER = """
import asyncio, json, os, sys
import uvloop
from keepalived_conf.model import GlobalDefs, Script
from script_proc.jobs import Job
from script_proc.runner import Runner, use_signals_for_children
from script_proc.users import program_of
from worker import log, privileges
from worker.clock import boottime

problems = privileges.drop(64704, ("SETUID", "SETGID", "KILL", "DAC_OVERRIDE"), starts_programs=True)
private = sys.argv[1]
look = ("/bin/grep", "-E", "^(Uid|CapEff|NoNewPrivs)", "/proc/self/status")

async def body():
    use_signals_for_children()
    runner = Runner(name="notify", concurrent=8, log=log.logger("script"))
    ended = {}
    wanted = {
        "root": Script(command=look),
        "user": Script(command=look, user="nobody"),
        "private": Script(command=(private,)),
        "deadline": Script(command=("/bin/sleep", "1000"), user="nobody"),
        "by a shell": Script(command=(sys.argv[2], "one"), user="nobody"),
    }
    for _ in range(3):
        for key, script in wanted.items():
            program = program_of(script, GlobalDefs())
            job = Job(key=key, purpose=key, program=program, asked_at=boottime(), timeout_s=2.0)
            runner.submit(job, on_ended=lambda job, result: ended.setdefault(job.key, []).append(result))
    await runner.drain(60)
    effective = privileges.names_of(privileges.effective())
    runner.close()
    return {
        "problems": problems,
        "effective": effective,
        "uid": os.getresuid(),
        "ended": {key: [[one.status, one.killed_by, one.output or one.why] for one in many]
                  for key, many in ended.items()},
    }

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
    print(json.dumps(loop.run(body())))
"""


@needs_root
def test_a_worker_with_a_user_of_its_own_starts_programs_as_root_and_as_others(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    script = private / "x.sh"
    script.write_text("#!/bin/sh\necho from a private folder\n")
    script.chmod(0o700)
    plain = tmp_path / "plain"
    plain.write_text("echo $1; id -u; id -G\n")
    plain.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, str(script), str(plain)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["problems"] == []
    assert found["uid"] == [64704] * 3
    assert set(found["effective"]) == {"SETUID", "SETGID", "KILL", "DAC_OVERRIDE"}
    ended = found["ended"]
    bounding = next(
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line
    )
    for status, _, output in ended["root"]:
        assert status == 0, output
        assert output.split() == ["Uid:", "0", "0", "0", "0", "CapEff:", bounding, "NoNewPrivs:", "0"]
    for status, _, output in ended["user"]:
        assert status == 0, output
        assert output.split() == ["Uid:", *["65534"] * 4, "CapEff:", "0" * 16, "NoNewPrivs:", "0"]
    assert [one[0::2] for one in ended["private"]] == [[0, "from a private folder"]] * 3
    assert [one[2].split() for one in ended["by a shell"]] == [["one", "65534", "65534"]] * 3
    assert [one[1] for one in ended["deadline"]] == ["SIGTERM"] * 3


def test_a_fork_bomb_of_a_tracked_script_is_gone_with_its_group() -> None:
    async def body(t: Told) -> None:
        t.run(
            SHELL,
            "-c",
            "for i in 1 2 3 4 5 6 7 8; do (trap '' TERM; sleep 1000; :) & done; wait",
            timeout_s=0.5,
            who=OURSELVES,
        )
        before = boottime()
        assert await t.runner.drain(20)
        assert boottime() - before < 10
        group = t.ended[0][1].pid
        assert group > 1
        assert group not in living_groups()

    single(body)
