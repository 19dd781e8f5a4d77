"""Queues, budget and deadlines of programs, under invented time."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from script_proc.jobs import (
    KILL_AFTER_S,
    RELEASE_AFTER_S,
    DeadlinePassed,
    Effect,
    Job,
    Jobs,
    Kill,
    Over,
    Result,
    Run,
    Start,
    Terminate,
)
from script_proc.program import Program

PROGRAM = Program(command=("/bin/true",), identity=None)


def job(key: str = "VI_1", *, at: float = 0.0, timeout_s: float | None = None, purpose: str = "p") -> Job:
    return Job(key=key, purpose=purpose, program=PROGRAM, asked_at=at, timeout_s=timeout_s)


def runs(effects: list[Effect], kind: type) -> list[Run]:
    return [effect.run for effect in effects if isinstance(effect, kind)]


def only_result(effects: list[Effect]) -> Result:
    (found,) = [effect.result for effect in effects if isinstance(effect, Over)]
    return found


def started(jobs: Jobs, wanted: Job, *, pid: int = 100, at: float = 0.0) -> Run:
    (run,) = runs(jobs.submit(wanted, at), Start)
    assert jobs.started(run, pid, at) == []
    return run


def test_jobs_of_one_key_run_one_after_the_other_in_order() -> None:
    jobs = Jobs(concurrent=32)
    wanted = [job() for _ in range(4)]
    (first,) = runs([effect for one in wanted for effect in jobs.submit(one, 0.0)], Start)
    assert first.job is wanted[0]
    assert (jobs.active, jobs.waiting) == (1, 3)
    run = first
    for following in wanted[1:]:
        jobs.started(run, 7, 1.0)
        over, start = jobs.exited(run, 2.0, status=0)
        assert isinstance(over, Over)
        assert over.run is run
        assert isinstance(start, Start)
        assert start.run.job is following
        run = start.run
    jobs.exited(run, 3.0, status=0)
    assert not jobs.busy("VI_1")
    assert (jobs.active, jobs.waiting) == (0, 0)


def test_other_keys_do_not_wait_for_a_slow_one() -> None:
    jobs = Jobs(concurrent=2)
    started(jobs, job("slow"))
    jobs.submit(job("slow"), 0.0)
    for number in range(10):
        run = started(jobs, job(f"quick{number}"))
        assert only_result(jobs.exited(run, 0.0, status=0)).good


def test_the_budget_is_kept_and_keys_take_turns() -> None:
    jobs = Jobs(concurrent=2)
    effects = [effect for key in "aabbcc" for effect in jobs.submit(job(key), 0.0)]
    order = []
    line = runs(effects, Start)
    while line:
        assert jobs.active <= 2
        run = line.pop(0)
        order.append(run.job.key)
        line += runs(jobs.exited(run, 1.0, status=0), Start)
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_too_many_waiting_of_one_key_lose_the_oldest_of_them() -> None:
    jobs = Jobs(concurrent=1, waiting_per_key=3)
    running = started(jobs, job(purpose="0"))
    dropped = []
    for number in range(1, 6):
        dropped += [run.job.purpose for run in runs(jobs.submit(job(purpose=str(number), at=1.0), 4.0), Over)]
    assert dropped == ["1", "2"]
    assert jobs.given_up == 2
    (following,) = runs(jobs.exited(running, 5.0, status=0), Start)
    assert following.job.purpose == "3"


def test_a_dropped_job_says_so_and_was_never_started() -> None:
    jobs = Jobs(concurrent=1, waiting_per_key=1)
    started(jobs, job())
    jobs.submit(job(), 0.0)
    result = only_result(jobs.submit(job(), 2.0))
    assert not result.started
    assert not result.good
    assert "more than 1" in result.why


def test_term_at_the_deadline_kill_a_second_later() -> None:
    jobs = Jobs(concurrent=1)
    run = started(jobs, job(timeout_s=5.0), at=10.0)
    assert jobs.next_at() == 15.0
    assert jobs.tick(14.9) == []
    assert jobs.tick(15.0) == [DeadlinePassed(run=run), Terminate(run=run)]
    assert jobs.next_at() == 15.0 + KILL_AFTER_S
    assert jobs.tick(16.0) == [Kill(run=run)]
    result = only_result(jobs.exited(run, 16.1, status=None, killed_by="SIGKILL"))
    assert result.late
    assert not result.good
    assert result.killed_by == "SIGKILL"
    assert "5 s" in result.why
    assert result.ran_s == pytest.approx(6.1)
    assert jobs.next_at() is None


def test_what_ends_with_status_0_after_its_deadline_is_not_good() -> None:
    jobs = Jobs(concurrent=1)
    run = started(jobs, job(timeout_s=1.0))
    jobs.tick(1.0)
    assert not only_result(jobs.exited(run, 1.1, status=0)).good


def test_after_a_deadline_the_rest_of_the_group_goes_before_the_next_starts() -> None:
    jobs = Jobs(concurrent=9)
    run = started(jobs, job(timeout_s=1.0))
    jobs.submit(job(), 0.0)
    jobs.tick(1.0)
    assert jobs.exited(run, 1.1, status=None, killed_by="SIGTERM", group_left=True) == []
    assert jobs.tick(2.0) == [Kill(run=run)]
    effects = jobs.group_gone(run, 2.1)
    assert only_result(effects).killed_by == "SIGTERM"
    assert len(runs(effects, Start)) == 1


def test_others_of_a_group_that_kill_does_not_end_block_nobody() -> None:
    jobs = Jobs(concurrent=9)
    run = started(jobs, job(timeout_s=1.0))
    jobs.submit(job(), 0.0)
    jobs.tick(1.0)
    jobs.tick(2.0)
    assert jobs.exited(run, 2.1, status=None, killed_by="SIGKILL", group_left=True) == [Kill(run=run)]
    effects = jobs.tick(2.0 + RELEASE_AFTER_S)
    assert only_result(effects).killed_by == "SIGKILL"
    assert len(runs(effects, Start)) == 1
    assert jobs.group_gone(run, 9.0) == []


def test_the_next_starts_as_soon_as_the_group_is_gone() -> None:
    jobs = Jobs(concurrent=9)
    run = started(jobs, job(timeout_s=1.0))
    jobs.tick(1.0)
    jobs.exited(run, 1.1, status=None, killed_by="SIGTERM", group_left=True)
    assert only_result(jobs.group_gone(run, 1.2)).late
    assert jobs.tick(9.0) == []


def test_background_children_of_a_program_that_ended_by_itself_do_not_count() -> None:
    jobs = Jobs(concurrent=1)
    run = started(jobs, job(timeout_s=5.0))
    assert runs(jobs.exited(run, 1.0, status=0, group_left=True), Over) == [run]


def test_a_process_that_kill_does_not_end_blocks_nobody() -> None:
    jobs = Jobs(concurrent=1)
    run = started(jobs, job(timeout_s=1.0))
    jobs.submit(job(), 0.0)
    jobs.tick(1.0)
    jobs.tick(2.0)
    effects = jobs.tick(2.0 + RELEASE_AFTER_S)
    assert "kernel" in only_result(effects).why
    assert len(runs(effects, Start)) == 1
    assert jobs.exited(run, 60.0, status=None, killed_by="SIGKILL") == []


def test_a_start_that_hangs_is_given_up_and_ended_should_it_come_about() -> None:
    jobs = Jobs(concurrent=1)
    (run,) = runs(jobs.submit(job(timeout_s=1.0), -9.0), Start)
    assert jobs.tick(-1.0) == [], "it waits for its start to begin: that is not its fault"
    jobs.launching(run, 0.0)
    assert jobs.tick(1.0) == [DeadlinePassed(run=run)], "there is nobody to send TERM to yet"
    assert jobs.tick(2.0) == []
    result = only_result(jobs.tick(2.0 + RELEASE_AFTER_S))
    assert not result.started
    assert not jobs.busy("VI_1")
    assert jobs.started(run, 55, 10.0) == [Kill(run=run)]
    assert jobs.exited(run, 10.1, status=None, killed_by="SIGKILL") == []


def test_what_is_told_to_end_while_it_starts_gets_term_once_it_is_there() -> None:
    jobs = Jobs(concurrent=1)
    (run,) = runs(jobs.submit(job(), 0.0), Start)
    assert jobs.terminate("VI_1", "reload", 0.0) == []
    assert jobs.started(run, 55, 0.5) == [Terminate(run=run)]
    assert only_result(jobs.exited(run, 0.6, status=None, killed_by="SIGTERM")).why == "reload"


def test_the_time_limit_counts_from_the_start_of_the_program() -> None:
    jobs = Jobs(concurrent=1)
    (run,) = runs(jobs.submit(job(timeout_s=1.0), 0.0), Start)
    jobs.started(run, 55, 0.7)
    assert jobs.next_at() == 1.7


def test_terminate_ends_what_runs_and_gives_up_what_waits() -> None:
    jobs = Jobs(concurrent=1)
    run = started(jobs, job())
    jobs.submit(job(), 0.0)
    jobs.submit(job("other"), 0.0)
    effects = jobs.terminate("VI_1", "removed", 1.0)
    assert runs(effects, Terminate) == [run]
    assert only_result(effects).why == "not run: removed"
    assert jobs.terminate("VI_1", "removed", 1.0) == [], "once is enough"
    assert jobs.terminate("unknown", "removed", 1.0) == []
    assert [one.job.key for one in runs(jobs.exited(run, 2.0, status=0), Start)] == ["other"]


def test_a_refused_start_frees_its_key() -> None:
    jobs = Jobs(concurrent=1)
    (run,) = runs(jobs.submit(job(timeout_s=9.0), 0.0), Start)
    result = only_result(jobs.refused(run, "does not exist", 0.1, trouble=True))
    assert (result.why, result.trouble, result.started) == ("does not exist", True, False)
    assert not jobs.busy("VI_1")
    assert jobs.next_at() is None


def test_adopted_processes_keep_their_key_busy_and_their_deadline() -> None:
    jobs = Jobs(concurrent=1)
    run, effects = jobs.adopt(job(timeout_s=5.0), 4711, 10.0, 12.0)
    assert effects == []
    assert jobs.submit(job(), 12.0) == []
    with pytest.raises(ValueError, match="VI_1"):
        jobs.adopt(job(), 4712, 10.0, 12.0)
    assert jobs.tick(15.0) == [DeadlinePassed(run=run), Terminate(run=run)]
    assert len(runs(jobs.exited(run, 15.1, status=None), Start)) == 1
    late, effects = jobs.adopt(job("old", timeout_s=5.0), 4713, 10.0, 30.0)
    assert effects == [DeadlinePassed(run=late), Terminate(run=late)], "its time was over long ago"


def test_hold_starts_nothing_more() -> None:
    jobs = Jobs(concurrent=1)
    run = started(jobs, job())
    jobs.submit(job(), 0.0)
    jobs.hold()
    assert runs(jobs.exited(run, 1.0, status=0), Start) == []
    assert runs(jobs.submit(job("other"), 1.0), Start) == []


@given(seed=st.integers(0, 10**6), concurrent=st.integers(1, 5))
def test_any_history_keeps_order_budget_and_ends(seed: int, concurrent: int) -> None:
    """Random programs: some hang, some hang in the kernel, some leave a group, some cannot be started."""
    draw = random.Random(seed)
    jobs = Jobs(concurrent=concurrent, waiting_per_key=5)
    now = 0.0
    pending: list[Run] = []  # Start was asked for
    alive: list[Run] = []
    asked: dict[str, list[Job]] = defaultdict(list)
    begun: dict[str, list[Job]] = defaultdict(list)
    over: list[Job] = []

    def carry_out(effects: list[Effect]) -> None:
        for effect in effects:
            run = effect.run
            if isinstance(effect, Start):
                assert all(one.job.key != run.job.key for one in jobs.running() if one is not run)
                begun[run.job.key].append(run.job)
                pending.append(run)
            elif isinstance(effect, Over):
                assert run.job not in over
                over.append(run.job)
            elif isinstance(effect, Terminate | Kill):
                assert run.pid, "nobody there to send a signal to"
        assert jobs.active <= concurrent

    for _ in range(120):
        now += draw.random()
        choice = draw.random()
        if choice < 0.4:
            one = job(draw.choice("abc"), at=now, timeout_s=draw.choice([None, 0.5, 2.0]))
            asked[one.key].append(one)
            carry_out(jobs.submit(one, now))
        elif choice < 0.6 and pending:
            run = pending.pop(draw.randrange(len(pending)))
            if draw.random() < 0.2:
                carry_out(jobs.refused(run, "no", now))
            else:
                alive.append(run)
                carry_out(jobs.started(run, 1000 + run.number, now))
        elif choice < 0.85 and alive:
            run = alive.pop(draw.randrange(len(alive)))
            carry_out(jobs.exited(run, now, status=draw.choice([0, 1]), group_left=draw.random() < 0.3))
        elif choice < 0.88:
            carry_out(jobs.terminate(draw.choice("abc"), "told", now))
        carry_out(jobs.tick(now))
    for run in pending:
        carry_out(jobs.refused(run, "no", now))
    for key in "abc":
        carry_out(jobs.terminate(key, "end", now))
    while (at := jobs.next_at()) is not None:
        carry_out(jobs.tick(at))
    assert jobs.names() == []
    assert (jobs.active, jobs.waiting) == (0, 0)
    assert sorted(map(id, over)) == sorted(id(one) for many in asked.values() for one in many)
    for key, many in begun.items():
        places = [asked[key].index(one) for one in many]
        assert places == sorted(places), "in the order in which they were asked for"
