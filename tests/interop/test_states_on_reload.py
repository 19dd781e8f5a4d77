"""``fifo_write_vrrp_states_on_reload`` under keepalived and under us: the same lines after each reload.

But for one: keepalived 2.4.3 leaves out instances that are MASTER, where its manual promises all. Here they
are told like the others.
"""

from __future__ import annotations

import time

import pytest

from tests.interop.test_notify import Course, GroupCourse, Told, members_in_order, run_both

QUIET_S = 1.0
FLAG = "    fifo_write_vrrp_states_on_reload\n"
DONE = {"keepalived": "Reload complete", "pykeepalived": "reload.applied"}
"""What a daemon logs at the end of a reload."""


class Repeated(Course):
    """One instance, then two, then one again; reloads in every state."""

    def config(self, name: str, vrid: int, *extra: str) -> str:
        return with_flag(super().config(name, vrid, *extra))

    def two(self) -> str:
        """V1 and, below it, V2."""
        one, other = self.config("V1", 51), self.config("V2", 52)
        return one + other[other.index("vrrp_instance") :]

    def run(self) -> Told:
        told = Told()
        self.daemon.start()
        self.told('"V1" MASTER')
        self.settle()
        one = self.config("V1", 51)
        again(self, one)
        again(self, one.replace("priority 100", "priority 120"))
        again(self, one)
        again(self, self.two())
        self.told('"V2" MASTER')
        self.settle()
        again(self, self.two())
        again(self, one)
        self.lab.set_link("n1", "e0", up=False)
        self.told('"V1" FAULT')
        self.settle()
        for _ in range(2):
            again(self, one)
        self.lab.set_link("n1", "e0", up=True)
        self.told('"V1" BACKUP', 2)
        better = self.adverts(200, 30)
        again(self, one)
        better.wait()
        self.until(lambda: news(self.lines).count('INSTANCE "V1" MASTER 100') == 2, "MASTER again")
        self.settle()
        again(self, without_flag(one))
        self.stop(told, '"V1" STOP')
        return told


class RepeatedGroup(GroupCourse):
    """Two instances in a sync group."""

    def config(self, name: str, vrid: int, *extra: str) -> str:
        return with_flag(super().config(name, vrid, *extra))

    def run(self) -> Told:
        told = Told()
        self.daemon.start()
        self.told('"G1" MASTER')
        self.settle()
        again(self, self.config("V1", 51))
        self.lab.set_link("n1", "e0", up=False)
        self.told('"G1" FAULT')
        self.settle()
        again(self, self.config("V1", 51))
        self.stop(told, '"G1" STOP')
        return told


def again(course: Course, config: str) -> None:
    """Reload, and wait until nothing more comes of it."""
    word = DONE[course.daemon.program.name]
    before = course.daemon.log_text().count(word)
    course.reload(config)
    course.until(lambda: course.daemon.log_text().count(word) > before, word)
    # keepalived has made its FIFO anew: what it holds goes with the next reload.
    quiet_at, seen = time.monotonic() + QUIET_S, -1
    while time.monotonic() < quiet_at:
        if seen != len(course.lines):
            quiet_at, seen = time.monotonic() + QUIET_S, len(course.lines)
        time.sleep(0.02)


def with_flag(text: str) -> str:
    return text.replace("    script_user root\n", f"    script_user root\n{FLAG}", 1)


def without_flag(text: str) -> str:
    return text.replace(FLAG, "")


def news(lines: list[str]) -> list[str]:
    """Without instances that are told to be MASTER where they were told so last."""
    found: list[str] = []
    last: dict[str, str] = {}
    for line in lines:
        kind, name, state, _ = line.split()
        if (kind, state) != ("INSTANCE", "MASTER") or last.get(name) != state:
            found.append(line)
        last[name] = state
    return found


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return run_both(tmp_path_factory, Repeated)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return run_both(tmp_path_factory, RepeatedGroup)


def test_the_lines_are_equal(single: dict[str, Told]) -> None:
    assert news(single["ours"].lines) == single["keepalived"].lines
    assert single["ours"].lines == [
        'INSTANCE "V1" BACKUP 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V1" MASTER 120',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V2" BACKUP 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V2" MASTER 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V2" MASTER 100',
        'INSTANCE "V2" FAULT 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V1" FAULT 100',
        'INSTANCE "V1" FAULT 100',
        'INSTANCE "V1" FAULT 100',
        'INSTANCE "V1" BACKUP 100',
        'INSTANCE "V1" BACKUP 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V1" STOP 100',
    ]


def test_no_script_is_run_for_them(single: dict[str, Told]) -> None:
    assert single["ours"].scripts == single["keepalived"].scripts


def test_a_group_is_told_before_its_members(group: dict[str, Told]) -> None:
    assert members_in_order(news(group["ours"].lines)) == members_in_order(group["keepalived"].lines)
    at = group["ours"].lines.index('GROUP "G1" FAULT 0') + 1
    assert group["ours"].lines[at : at + 3] == [
        'GROUP "G1" FAULT 0',
        'INSTANCE "V1" FAULT 100',
        'INSTANCE "V2" FAULT 100',
    ]
