"""Priorities and processors of a real process, as the kernel tells them."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keepalived_conf.model import GlobalDefs
from supervisor import loader, scheduling
from supervisor.scheduling import Scheduling

NONE = Scheduling()
may_change = pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise priorities: run it as root")


@pytest.fixture
def pid() -> Iterator[int]:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@may_change
def test_everything_is_set_and_taken_back(pid: int) -> None:
    first_cpu = min(os.sched_getaffinity(0))
    wanted = Scheduling(nice=-5, cpus=(first_cpu,))
    assert scheduling.set_for(pid, wanted, NONE) == []
    assert os.getpriority(os.PRIO_PROCESS, pid) == -5
    assert os.sched_getaffinity(pid) == {first_cpu}
    assert scheduling.set_for(pid, NONE, wanted) == []
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)
    assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)


@may_change
def test_real_time_or_the_reason_why_not(pid: int) -> None:
    wanted = Scheduling(rt_priority=7, rlimit_rttime_us=1)
    problems = scheduling.set_for(pid, wanted, NONE)
    if problems:  # a control group without a share of real-time processor time
        assert len(problems) == 1
        assert problems[0].startswith("real-time priority 7: ")
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER
        return
    assert os.sched_getscheduler(pid) == os.SCHED_RR | os.SCHED_RESET_ON_FORK
    assert os.sched_getparam(pid).sched_priority == 7
    limit = resource.prlimit(pid, resource.RLIMIT_RTTIME)
    assert limit == (scheduling.LEAST_RTTIME_US, scheduling.LEAST_RTTIME_US)
    assert scheduling.set_for(pid, replace(wanted, rt_priority=None), wanted) == []
    assert os.sched_getscheduler(pid) == os.SCHED_OTHER


@may_change
def test_vrrp_is_put_before_scripts_unless_something_is_written(pid: int) -> None:
    wanted = loader._scheduling(GlobalDefs())["vrrp"]
    assert scheduling.set_for(pid, wanted, NONE) == []
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(
        scheduling.PREFERRED_NICE, os.getpriority(os.PRIO_PROCESS, 0)
    )
    written = loader._scheduling(GlobalDefs(vrrp_priority=3))["vrrp"]
    assert scheduling.set_for(pid, written, wanted) == []
    assert os.getpriority(os.PRIO_PROCESS, pid) == 3
    assert not loader._scheduling(GlobalDefs(vrrp_rt_priority=3))["vrrp"].preferred


@may_change
def test_a_session_of_its_own_has_the_nice_value_too() -> None:
    path = "/proc/self/autogroup"
    if not os.path.exists(path):
        pytest.skip("this kernel has no autogroups (CONFIG_SCHED_AUTOGROUP)")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        scheduling.set_for(0, Scheduling(preferred=True), NONE)
        os.write(writing, Path(path).read_bytes())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reading, 100).split()
    os.close(reading)
    os.close(writing)
    assert int(said[-1]) <= scheduling.PREFERRED_NICE, said


def test_who_may_not_be_preferred_is_not_complained_of(pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    assert scheduling.set_for(pid, Scheduling(preferred=True), NONE) == []
    assert scheduling.set_for(pid, Scheduling(nice=-1), NONE) != []


def test_processors_that_are_not_there_are_a_sentence(pid: int) -> None:
    (problem,) = scheduling.set_for(pid, Scheduling(cpus=(1000,)), NONE)
    assert problem.startswith("processors 1000: ")


def test_nothing_new_touches_nothing(pid: int) -> None:
    same = Scheduling(nice=19, rt_priority=5, cpus=(1000,))
    assert scheduling.set_for(pid, same, same) == []
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)


def test_the_keywords_reach_their_processes() -> None:
    found = loader._scheduling(
        GlobalDefs(
            vrrp_priority=-3, checker_rt_priority=9, checker_cpu_affinity=(0,), vrrp_rlimit_rttime_us=7
        )
    )
    assert found == {
        "vrrp": Scheduling(nice=-3, rlimit_rttime_us=7),
        "checker": Scheduling(rt_priority=9, cpus=(0,)),
        "ipvs": Scheduling(rt_priority=9, cpus=(0,)),
    }
