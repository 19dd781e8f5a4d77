"""A namespace of our own for real connections, and a loop that must come back clean."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import uvloop

from tests.lab.system import in_netns, run

T = TypeVar("T")
Play = Callable[[Coroutine[Any, Any, T]], T]

NETNS = f"chk{os.getpid()}"
"""lo; v0 (192.0.2.1/24, 2001:db8::1/64) whose wire nobody answers on."""


@pytest.fixture(scope="session")
def netns() -> Iterator[str]:
    run("ip", "netns", "add", NETNS)
    try:
        for line in (
            "link set lo up",
            "link add v0 type veth peer name v1",
            "link set v0 up",
            "link set v1 up",
            "addr add 192.0.2.1/24 dev v0",
            "addr add 2001:db8::1/64 dev v0 nodad",
            # Packets to .66 leave the machine's side of the wire and are never heard of again.
            "neigh add 192.0.2.66 lladdr 02:00:00:00:00:66 dev v0 nud permanent",
            "neigh add 2001:db8::66 lladdr 02:00:00:00:00:66 dev v0 nud permanent",
            "addr add 127.0.0.2/8 dev lo",
        ):
            run("ip", "-n", NETNS, *line.split())
        yield NETNS
    finally:
        run("ip", "netns", "del", NETNS)


@pytest.fixture
def play(netns: str) -> Iterator[Play[Any]]:
    """Run a coroutine on uvloop in the namespace; no descriptor and no loop error may be left behind."""
    problems: list[dict[str, Any]] = []

    def body(coroutine: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: problems.append(context))
            return runner.run(asyncio.wait_for(coroutine, 60))

    with in_netns(netns):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as first:
            first.run(asyncio.sleep(0))  # what the first loop of a process opens for good
        before = len(os.listdir("/proc/self/fd"))
        yield body
        assert len(os.listdir("/proc/self/fd")) == before, "descriptors were leaked"
    assert not problems
