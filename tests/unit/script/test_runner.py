"""Programs as real processes: whatever they do, each is told of once, reaped, and blocks nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import structlog
import uvloop

from script_proc import jobs, spawn
from script_proc import launch as launching
from script_proc import runner as running
from script_proc.jobs import Job, Result
from script_proc.launch import Refused, start_ticks
from script_proc.program import Identity, Program
from script_proc.runner import Runner, Started
from worker import log
from worker.clock import boottime

OURSELVES = Identity(user="us", uid=os.geteuid(), gid=os.getegid(), groups=tuple(os.getgroups()))
SHELL = "/bin/sh"
_OF_THE_C_LIBRARY = 0x180000000
"""Signals 32 and 33, which it keeps for itself."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as others")


def run_async(body: Callable[[], Awaitable[None]], within_s: float = 60.0) -> None:
    """On the loop that workers run on; no descriptor, process or thread of ours is left after it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as first:
        first.run(asyncio.sleep(0))  # the first loop of a process opens what all of them use
    before = set(os.listdir("/proc/self/fd"))

    async def bounded() -> None:
        async with asyncio.timeout(within_s):
            await body()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(bounded())
    left = {
        fd: os.readlink(f"/proc/self/fd/{fd}")
        for fd in set(os.listdir("/proc/self/fd")) - before
        if os.path.exists(f"/proc/self/fd/{fd}")
    }
    assert not left, f"descriptors left open: {left}"
    assert zombies() == []


def zombies() -> list[int]:
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            if words[0] == "Z" and int(words[1]) == os.getpid():
                found.append(int(name))
    return found


@pytest.fixture(autouse=True)
def less_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real programs, shorter waits."""
    monkeypatch.setattr(jobs, "KILL_AFTER_S", 0.3)
    monkeypatch.setattr(jobs, "RELEASE_AFTER_S", 0.6)


@pytest.fixture(params=["by a thread", "by a fork"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of starting a program."""
    if request.param == "by a fork":
        monkeypatch.setattr(spawn, "usable", lambda: False)
    elif not spawn.usable():
        pytest.skip("this machine starts programs by a fork only")
    return str(request.param)


async def until_async(true: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Look every few milliseconds."""
    end_at = boottime() + timeout_s
    while not true():
        assert boottime() < end_at, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(0.005)


class Told:
    """A runner, and all that it says."""

    def __init__(self, *, concurrent: int = 64, waiting_per_key: int = 1000) -> None:
        self.runner = Runner(
            name="notify",
            concurrent=concurrent,
            waiting_per_key=waiting_per_key,
            log=log.logger("script"),
        )
        self.started: list[Started] = []
        self.late: list[Job] = []
        self.ended: list[tuple[Job, Result]] = []

    def job(
        self,
        *command: str,
        key: str = "VI_1",
        timeout_s: float | None = None,
        who: Identity = OURSELVES,
        arguments: tuple[str, ...] = (),
        umask: int = 0o177,
    ) -> Job:
        return Job(
            key=key,
            purpose=f"test {key}",
            program=Program(command=command, identity=who, umask=umask),
            arguments=arguments,
            asked_at=boottime(),
            timeout_s=timeout_s,
        )

    def run(
        self,
        *command: str,
        key: str = "VI_1",
        timeout_s: float | None = None,
        who: Identity = OURSELVES,
        arguments: tuple[str, ...] = (),
        umask: int = 0o177,
    ) -> Job:
        job = self.job(*command, key=key, timeout_s=timeout_s, who=who, arguments=arguments, umask=umask)
        self.runner.submit(
            job,
            on_started=self.started.append,
            on_deadline=self.late.append,
            on_ended=lambda job, result: self.ended.append((job, result)),
        )
        return job

    def shell(self, script: str, *, key: str = "VI_1", timeout_s: float | None = None) -> Job:
        return self.run(SHELL, "-c", script, key=key, timeout_s=timeout_s)

    async def result(self, timeout_s: float = 20.0) -> Result:
        """Of the only job there is."""
        assert await self.runner.drain(timeout_s)
        ((_, result),) = self.ended
        return result


@contextlib.asynccontextmanager
async def told(*, concurrent: int = 64, waiting_per_key: int = 1000) -> AsyncIterator[Told]:
    made = Told(concurrent=concurrent, waiting_per_key=waiting_per_key)
    try:
        yield made
        assert await made.runner.end_all("the test is over", 10.0)
    finally:
        made.runner.close()


def single(
    body: Callable[[Told], Awaitable[None]],
    *,
    concurrent: int = 64,
    waiting_per_key: int = 1000,
    within_s: float = 60.0,
) -> None:
    async def whole() -> None:
        async with told(concurrent=concurrent, waiting_per_key=waiting_per_key) as made:
            await body(made)

    run_async(whole, within_s)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# --- how programs end ------------------------------------------------------------------------------


def test_status_output_and_times(way: str) -> None:
    async def body(t: Told) -> None:
        t.shell("echo out; echo err >&2; exit 3")
        result = await t.result()
        assert (result.status, result.killed_by, result.output) == (3, "", "out\nerr")
        assert result.pid == t.started[0].pid
        assert not result.good
        assert 0 < result.waited_s < 20
        assert 0 <= result.ran_s < 20

    single(body)


def test_status_0_is_good_and_arguments_are_passed_as_they_are(way: str) -> None:
    async def body(t: Told) -> None:
        t.run(SHELL, "-c", 'printf "%s|" "$@"', "sh", "own one", arguments=("INSTANCE", "VI 1", "$(id)", ""))
        result = await t.result()
        assert result.good
        assert result.output == "own one|INSTANCE|VI 1|$(id)||"

    single(body)


def test_killed_from_outside() -> None:
    async def body(t: Told) -> None:
        t.shell("exec sleep 100")
        await until_async(lambda: bool(t.started), "it runs")
        os.kill(t.started[0].pid, signal.SIGUSR1)
        result = await t.result()
        assert (result.status, result.killed_by, result.why) == (None, "SIGUSR1", "")

    single(body)


def test_a_program_that_does_not_exist_exists_later(tmp_path: Path) -> None:
    path = tmp_path / "later.sh"

    async def body(t: Told) -> None:
        t.run(str(path))
        result = await t.result()
        assert not result.started
        assert not result.trouble
        assert "does not exist" in result.why
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
        t.run(str(path))
        assert await t.runner.drain(20)
        assert t.ended[1][1].good

    with structlog.testing.capture_logs() as records:
        single(body)
    assert [record["event"] for record in records] == ["script.unusable", "script.usable_again"]


def test_what_is_wrong_with_a_program_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "x.sh"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)

    async def body(t: Told) -> None:
        for _ in range(5):
            t.run(str(path))
        assert await t.runner.drain(20)
        assert {result.why for _, result in t.ended} == {f"{path} is not executable for user us"}

    with structlog.testing.capture_logs() as records:
        single(body)
    assert [(record["event"], record["program"]) for record in records] == [("script.unusable", str(path))]


def test_the_interpreter_does_not_exist(way: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sh"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)

    async def body(t: Told) -> None:
        t.run(str(path))
        result = await t.result()
        assert not result.started
        assert "interpreter /no/such/interpreter does not exist" in result.why

    single(body)


def test_a_script_without_a_first_line_is_read_by_a_shell(way: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sh"
    path.write_text('echo "$0 $1"; exit 4\n')
    path.chmod(0o755)

    async def body(t: Told) -> None:
        t.run(str(path), "one")
        result = await t.result()
        assert (result.status, result.output) == (4, f"{path} one")

    single(body)


def test_whether_a_file_can_be_opened(tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    async def body(t: Told) -> None:
        t.run(f"<{flag}")
        assert not (await t.result()).good
        flag.touch()
        t.run(f"<{flag}")
        assert await t.runner.drain(20)
        assert t.ended[1][1].good

    single(body)


# --- deadlines -------------------------------------------------------------------------------------


def test_a_program_that_ignores_term_is_killed_and_its_owner_told_at_the_deadline() -> None:
    async def body(t: Told) -> None:
        job = t.shell("trap '' TERM; while :; do sleep 0.05; done", timeout_s=0.5)
        await until_async(lambda: bool(t.late), "the deadline is told")
        assert t.late == [job]
        assert not t.ended
        told_at = boottime()
        result = await t.result()
        assert (result.status, result.killed_by, result.late) == (None, "SIGKILL", True)
        assert "0.5 s" in result.why
        assert boottime() - told_at > 0.2, "some time to end by itself"

    single(body)


def test_who_ended_while_the_worker_had_no_turn_was_in_time() -> None:
    async def body(t: Told) -> None:
        t.shell("sleep 0.05", timeout_s=0.15)
        await until_async(lambda: bool(t.started), "it runs")
        time.sleep(0.3)  # as if the machine had no time for us
        t.runner._tick()  # before the loop has looked who has ended
        result = await t.result()
        assert (result.good, result.late, t.late) == (True, False, [])

    single(body)


def test_after_a_standstill_of_the_machine_a_deadline_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_STALL_S", 0.1)

    async def body(t: Told) -> None:
        t.shell("sleep 0.55", key="goes on", timeout_s=0.3)
        t.shell("exec sleep 100", key="hangs", timeout_s=0.3)
        await until_async(lambda: len(t.started) == 2, "they run")
        time.sleep(0.5)
        await asyncio.sleep(0)
        assert t.late == []
        assert await t.runner.drain(20)
        assert {job.key: result.late for job, result in t.ended} == {"goes on": False, "hangs": True}

    single(body)


def test_a_program_that_obeys_is_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KILL_AFTER_S", 8.0)

    async def body(t: Told) -> None:
        t.shell("trap 'echo bye; exit 0' TERM; sleep 100 & wait", timeout_s=0.3)
        result = await t.result()
        assert (result.status, result.output, result.late, result.good) == (0, "bye", True, False)
        took_s = boottime() - t.started[0].started_at
        assert took_s < 5.0, "nothing of its group is left: who waits for KILL?"

    single(body)


def test_after_a_deadline_its_children_go_too(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def body(t: Told) -> None:
        t.shell(
            f"sh -c 'trap \"\" TERM; echo $$ >{pid_file}; while :; do sleep 0.05; done' & wait", timeout_s=0.4
        )
        result = await t.result()
        assert result.killed_by == "SIGTERM"
        child = int(pid_file.read_text())
        await until_async(lambda: not alive(child), "the child that ignores TERM is gone")

    single(body)


def test_who_left_the_group_and_holds_the_pipe_blocks_nobody(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def body(t: Told) -> None:
        t.shell(f"setsid sh -c 'echo $$ >{pid_file}; exec sleep 100' & sleep 100", timeout_s=0.4)
        t.shell("echo next")
        assert await t.runner.drain(20)
        assert [result.late for _, result in t.ended] == [True, False]
        child = int(pid_file.read_text())
        assert alive(child), "it is no longer of our group"
        os.kill(child, signal.SIGKILL)

    single(body)


def test_what_goes_on_in_the_background_is_left_alone_and_may_write(tmp_path: Path) -> None:
    done = tmp_path / "done"

    async def body(t: Told) -> None:
        t.shell(f"(sleep 0.3; yes | head -c 300000; touch {done}) & echo front", timeout_s=10.0)
        result = await t.result()
        assert (result.good, result.output) == (True, "front")
        assert result.ran_s < 10
        await until_async(done.exists, "it wrote more than a pipe holds, and was not ended by it")

    single(body)


def test_after_the_worker_is_gone_a_program_may_write(tmp_path: Path) -> None:
    done = tmp_path / "done"

    async def body(t: Told) -> None:
        t.shell(f"sleep 0.3; echo for nobody; touch {done}")
        await until_async(lambda: bool(t.started), "it runs")
        pid = t.started[0].pid
        t.runner.close()
        await until_async(done.exists, "no SIGPIPE")
        os.waitpid(pid, 0)

    async def whole() -> None:
        await body(Told())

    run_async(whole)


@pytest.mark.parametrize(
    "script", ["exec >&- 2>&-; sleep 0.1; exit 5", "exec </dev/null >/dev/null 2>&1; exit 5"]
)
def test_a_program_that_closes_its_output(script: str) -> None:
    async def body(t: Told) -> None:
        t.shell(script)
        assert (await t.result()).status == 5

    single(body)


def test_a_flood_of_output_is_read_and_its_end_kept() -> None:
    async def body(t: Told) -> None:
        t.shell("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo the end")
        result = await t.result(60)
        assert result.good
        assert result.output.endswith("x\nthe end")
        assert len(result.output) <= 4096

    single(body)


def test_a_flood_takes_no_processor() -> None:
    async def body(t: Told) -> None:
        before_s = time.process_time()
        t.shell("exec yes", timeout_s=0.5)
        assert (await t.result()).killed_by == "SIGTERM"
        used_s = time.process_time() - before_s
        assert used_s < 0.1, f"{used_s:.3f} s of 0.5 went into reading"

    single(body)


def test_a_stopped_program_is_ended_too() -> None:
    async def body(t: Told) -> None:
        t.shell("kill -STOP $$", timeout_s=0.3)
        assert (await t.result()).killed_by == "SIGKILL"

    single(body)


# --- what a program finds --------------------------------------------------------------------------


def test_signals_environment_folder_and_session_of_a_program(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/tmp")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("IFS", "x")
    monkeypatch.setenv("KEPT", "yes")
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE)
    }

    ours, theirs = os.pipe()

    async def body(t: Told) -> None:
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)  # as in a worker
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGHUP})
        os.set_inheritable(theirs, True)  # as descriptors that came over a socket are
        running.use_signals_for_children()
        os.kill(os.getpid(), signal.SIGTERM)  # still ignored
        await asyncio.sleep(0.01)
        t.run(
            SHELL,
            "-c",
            "umask; pwd; readlink /proc/self/fd/0;"
            "ls /proc/self/fd | tr '\\n' ' '; echo; cut -d' ' -f5,6 /proc/self/stat; echo $$; env",
            umask=0o27,
        )
        lines = (await t.result()).output.splitlines()
        assert lines[:3] == ["0027", "/", "/dev/null"]
        assert lines[3].split() == ["0", "1", "2", "3"], "3 is the folder that ls reads"
        group, session = lines[4].split()
        assert group == session == lines[5], "a session of its own"
        names = {line.partition("=")[0] for line in lines[6:]}
        assert "KEPT" in names
        assert not names & {"LD_LIBRARY_PATH", "LD_PRELOAD", "IFS"}
        # Not by way of a shell, which blocks nothing whatever it was given.
        t.run("/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status")
        assert await t.runner.drain(20)
        blocked, ignored = (int(line.split()[1], 16) for line in t.ended[1][1].output.splitlines())
        assert blocked == 0
        assert ignored & ~_OF_THE_C_LIBRARY == 0

    try:
        single(body)
    finally:
        os.close(ours)
        os.close(theirs)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number, handler in handlers.items():
            signal.signal(number, handler)


@needs_root
def test_user_and_groups_of_a_program(way: str) -> None:
    who = Identity(user="somebody", uid=61234, gid=61235, groups=(61235, 61236))

    async def body(t: Told) -> None:
        t.run(SHELL, "-c", "grep -E '^(Uid|Gid|Groups|CapEff|NoNewPrivs)' /proc/self/status", who=who)
        lines = [line.split() for line in (await t.result()).output.splitlines()]
        assert lines == [
            ["Uid:", *["61234"] * 4],
            ["Gid:", *["61235"] * 4],
            ["Groups:", "61235", "61236"],
            ["CapEff:", "0000000000000000"],
            ["NoNewPrivs:", "0"],
        ]

    single(body)


def test_the_worker_stays_who_and_where_it_is() -> None:
    def status() -> list[str]:
        lines = Path("/proc/self/status").read_text().splitlines()
        return [line for line in lines if line.startswith(("Uid", "Gid", "Groups", "Cap", "Umask"))]

    who = OURSELVES if os.geteuid() else Identity(user="somebody", uid=61234, gid=61235, groups=(61235,))

    async def body(t: Told) -> None:
        before = status(), os.getcwd()
        for number in range(4):
            t.run(SHELL, "-c", "pwd", key=str(number), who=who, umask=0o20)
        assert await t.runner.drain(20)
        assert [result.output for _, result in t.ended] == ["/"] * 4
        assert (status(), os.getcwd()) == before

    single(body)


# --- many ------------------------------------------------------------------------------------------


def test_order_and_no_overlap_per_key(tmp_path: Path) -> None:
    async def body(t: Told) -> None:
        for number in range(8):
            for key in ("a", "b", "c"):
                lock = tmp_path / f"lock-{key}"
                t.shell(f"mkdir {lock} || exit 9; echo {number} >>{tmp_path}/{key}; rmdir {lock}", key=key)
        assert await t.runner.drain(50)
        assert {result.status for _, result in t.ended} == {0}
        for key in ("a", "b", "c"):
            assert (tmp_path / key).read_text().split() == [str(number) for number in range(8)]

    single(body)


def test_many_quick_runs_leave_nothing() -> None:
    async def body(t: Told) -> None:
        threads = threading.active_count()
        for number in range(60):
            t.run("/bin/true" if number % 3 else "/bin/false", key=f"VI_{number % 8}")
        assert await t.runner.drain(50)
        assert sorted(result.status or 0 for _, result in t.ended) == [0] * 40 + [1] * 20
        assert threading.active_count() - threads <= 3

    single(body)


def test_the_oldest_waiting_is_given_up() -> None:
    async def body(t: Told) -> None:
        for number in range(5):
            t.shell(f"sleep 0.05; echo {number}")
        assert await t.runner.drain(20)
        assert [result.output for _, result in t.ended if result.started] == ["0", "3", "4"]
        assert [result.started for _, result in t.ended].count(False) == t.runner.given_up == 2

    single(body, waiting_per_key=2)


# --- owners ----------------------------------------------------------------------------------------


def test_an_owner_that_fails_stops_nobody() -> None:
    async def body(t: Told) -> None:
        def fault(_: Job, __: Result) -> None:
            raise RuntimeError("of the owner")

        program = Program(command=("/bin/true",), identity=OURSELVES)
        t.runner.submit(Job(key="a", purpose="p", program=program, asked_at=boottime()), on_ended=fault)
        t.shell("echo fine")
        assert await t.runner.drain(20)
        assert [result.output for _, result in t.ended] == ["fine"]

    with structlog.testing.capture_logs() as records:
        single(body)
    assert "script.callback_failed" in [record["event"] for record in records]


def test_nothing_is_said_from_within_submit_and_each_end_before_the_next_start() -> None:
    async def body(t: Told) -> None:
        said: list[str] = []
        program = Program(command=("/bin/true",), identity=OURSELVES)
        for name in ("1", "2", "3"):
            job = Job(key="a", purpose=name, program=program, asked_at=boottime())
            t.runner.submit(
                job,
                on_started=lambda started: said.append(f"start {started.job.purpose}"),
                on_ended=lambda job, _: said.append(f"end {job.purpose}"),
            )
        assert not said
        assert await t.runner.drain(20)
        assert said == ["start 1", "end 1", "start 2", "end 2", "start 3", "end 3"]

    single(body)


def test_terminate_ends_what_runs_and_drops_what_waits() -> None:
    async def body(t: Told) -> None:
        t.shell("exec sleep 100")
        t.shell("echo never")
        t.shell("echo other", key="other")
        await until_async(lambda: len(t.started) == 2, "both run")
        t.runner.terminate("VI_1", "removed")
        assert [job for job, _ in t.ended if job.key == "VI_1"] == [], "never from within a call"
        assert await t.runner.drain(20)
        by_why = {result.why: result for _, result in t.ended}
        assert by_why["removed"].killed_by == "SIGTERM"
        assert not by_why["not run: removed"].started
        assert by_why[""].output == "other"

    single(body)


def test_end_all_takes_no_longer_than_kill(tmp_path: Path) -> None:
    async def body(t: Told) -> None:
        for number in range(5):
            ignoring = f"trap '' TERM; touch {tmp_path}/{number}; while :; do sleep 0.05; done"
            t.shell(ignoring, key=f"k{number}")
        await until_async(lambda: len(os.listdir(tmp_path)) == 5, "they ignore TERM")
        assert await t.runner.end_all("stop", 15.0)
        assert [result.killed_by for _, result in t.ended] == ["SIGKILL"] * 5
        t.shell("echo never")
        await asyncio.sleep(0.05)
        assert t.runner.waiting == 1, "nothing is started any more"
        t.runner.give_up("VI_1", "stop")
        await t.runner.drain(5)

    single(body)


# --- what an earlier worker left -------------------------------------------------------------------


def left_running(script: str) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen([SHELL, "-c", script], start_new_session=True)
    ticks = start_ticks(process.pid)
    assert ticks is not None
    return process, ticks


def adopt(t: Told, pid: int, ticks: int, *, timeout_s: float | None = None) -> bool:
    program = Program(command=("/bin/true",), identity=OURSELVES)
    job = Job(key="VI_1", purpose="left", program=program, asked_at=boottime(), timeout_s=timeout_s)
    return t.runner.adopt(
        job, pid, ticks, boottime(), on_ended=lambda job, result: t.ended.append((job, result))
    )


def test_a_program_of_an_earlier_worker_is_waited_for() -> None:
    async def body(t: Told) -> None:
        left, ticks = left_running("exec sleep 100")
        assert adopt(t, left.pid, ticks)
        t.shell("echo next")
        await asyncio.sleep(0.05)
        assert not t.started
        left.kill()
        assert await t.runner.drain(20)
        left.wait()
        first, second = (result for _, result in t.ended)
        assert (first.pid, first.status, first.killed_by) == (left.pid, None, "")
        assert second.output == "next"

    single(body)


def test_a_program_of_an_earlier_worker_has_its_deadline() -> None:
    async def body(t: Told) -> None:
        left, ticks = left_running("trap '' TERM; while :; do sleep 0.05; done")
        assert adopt(t, left.pid, ticks, timeout_s=0.1)
        assert (await t.result()).late
        assert left.wait() == -signal.SIGKILL

    single(body)


def test_another_process_under_the_same_number_is_left_alone() -> None:
    async def body(t: Told) -> None:
        left, ticks = left_running("exec sleep 100")
        assert not adopt(t, left.pid, ticks + 1)
        left.kill()
        left.wait()
        assert not adopt(t, left.pid, ticks), "it is gone"
        assert not adopt(t, 1, 0)
        assert not t.runner.busy("VI_1")

    single(body)


# --- what can hang or fail while starting ----------------------------------------------------------


def test_a_start_that_hangs_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    real = launching.launch

    def hanging(program: Program, arguments: tuple[str, ...]) -> launching.Launched | Refused:
        if "hang" in program.command:
            answers.wait(30)
        return real(program, arguments)

    monkeypatch.setattr(running, "launch", hanging)
    monkeypatch.setattr(running, "_STUCK_S", 0.05)

    async def body(t: Told) -> None:
        for number in range(3):
            t.run(SHELL, "-c", "sleep 100", "hang", key=f"h{number}", timeout_s=0.1)
        t.shell("echo fine", key="other")
        await until_async(lambda: len(t.ended) == 1, "the other one is run")
        assert t.ended[0][1].output == "fine"
        await until_async(lambda: len(t.ended) == 4, "those that hang are given up")
        assert all(result.late and not result.started for _, result in t.ended[1:])
        assert len(t.late) == 3
        answers.set()
        await until_async(lambda: not t.runner._told, "they came about, were ended and reaped")

    single(body)


def test_no_process_left_on_the_machine_says_nothing_about_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(spawn, "usable", lambda: True)
    monkeypatch.setattr(spawn, "spawn", none_left)

    async def body(t: Told) -> None:
        t.run("/bin/true")
        result = await t.result()
        assert (result.started, result.trouble) == (False, True)

    single(body)


def test_a_program_that_cannot_be_watched_is_not_left_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none_left(_: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)

    async def body(t: Told) -> None:
        t.shell(f"sleep 1; touch {tmp_path}/ran")
        result = await t.result()
        assert (result.started, result.trouble) == (False, True)

    single(body)
