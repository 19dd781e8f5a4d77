"""The same services under keepalived and under us: the same FIFO lines and script arguments, in order.

Both run the same course beside each other, each in a network namespace of its own. What is expected is what
keepalived does; where it is plainly wrong, that is in ``DIFFERENCES``. Compared service by service: what
different services say at one instant comes in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kernel.services import Course, Service, Told
from tests.lab import Lab, programs

CHECK = """TCP_CHECK {
            connect_timeout 1
            retry 0
            warmup 0
        }"""
OTHER_CHECK = CHECK.replace("retry 0", "retry 0\n            connect_port 81")
INHIBITED = f"inhibit_on_failure\n        {CHECK}"
SORRY = "\n    sorry_server 10.100.2.9 80"

# Real servers 1, 2 and 3 work at first, 4 and 5 never do, 6 has no check.
WEB = Service(
    name="web", head="10.100.9.1 80", vs="[10.100.9.1]:tcp:80", servers={1: CHECK, 2: CHECK, 3: INHIBITED},
    lines="quorum 2\n    hysteresis 1" + SORRY,
)  # fmt: skip
WEB_2 = Service(
    name="web", head="10.100.9.1 80", vs="[10.100.9.1]:tcp:80", servers={1: CHECK, 3: INHIBITED, 4: CHECK},
    lines="quorum 2\n    hysteresis 1" + SORRY,
)  # fmt: skip
WEB_3 = Service(name="web", head=WEB.head, vs=WEB.vs, servers=WEB_2.servers, lines="quorum 3" + SORRY)
MARK = Service(
    name="mark", head="fwmark 7", vs="FWM 7", servers={1: CHECK, 6: ""}, protocol="none",
    lines="alpha\n    omega\n    quorum 2",
)  # fmt: skip
COLD = Service(
    name="cold", head="10.100.9.2 80", vs="[10.100.9.2]:tcp:80", servers={5: CHECK}, lines="alpha\n    omega"
)
TWICE = Service(
    name="twice", head="10.100.9.3 80", vs="[10.100.9.3]:tcp:80", lines="alpha",
    servers={5: f"{CHECK}\n        {OTHER_CHECK}"},
)  # fmt: skip
SIX = Service(
    name="six", head="fd00:9::1 80", vs="[fd00:9::1]:tcp:80", servers={1: CHECK, 2: CHECK}, family=6
)
LAST = Service(
    name="last", head="10.100.9.4 80", vs="[10.100.9.4]:tcp:80", servers={1: CHECK, 2: CHECK, 5: CHECK},
    lines="omega\n    quorum 2" + SORRY,
)  # fmt: skip
PLAIN = Service(name="plain", head="10.100.9.5 80", vs="[10.100.9.5]:tcp:80", servers={1: CHECK, 6: ""})
DEAD = Service(name="dead", head="10.100.9.6 80", vs="[10.100.9.6]:tcp:80", servers={5: CHECK}, lines="omega")
HALF = Service(
    name="half", head="10.100.9.7 80", vs="[10.100.9.7]:tcp:80", servers={1: CHECK, 5: CHECK},
    lines="omega\n    quorum 2",
)  # fmt: skip
GONE = Service(
    name="gone",
    head="10.100.9.8 80",
    vs="[10.100.9.8]:tcp:80",
    servers={3: CHECK, 5: CHECK},
    lines="quorum 2",
)
HEAVY = Service(
    name="heavy", head="10.100.9.9 80", vs="[10.100.9.9]:tcp:80", lines="quorum 2",
    servers={3: f"weight 3\n        {CHECK}", 5: f"weight 3\n        {CHECK}"},
)  # fmt: skip
HEAVY_2 = Service(
    name="heavy", head=HEAVY.head, vs=HEAVY.vs, lines="quorum 2",
    servers={3: f"weight 1\n        {CHECK}", 5: f"weight 3\n        {CHECK}"},
)  # fmt: skip
SHRINKS = Service(
    name="shrinks", head="10.100.9.10 80", vs="[10.100.9.10]:tcp:80", servers={3: CHECK, 5: CHECK}
)
SHRINKS_2 = Service(name="shrinks", head=SHRINKS.head, vs=SHRINKS.vs, servers={5: CHECK})
GROWS = Service(name="grows", head="10.100.9.11 80", vs="[10.100.9.11]:tcp:80", servers={5: CHECK})
GROWS_2 = Service(name="grows", head=GROWS.head, vs=GROWS.vs, servers={5: CHECK, 3: CHECK})
EDITED = Service(
    name="edited", head="10.100.9.12 80", vs="[10.100.9.12]:tcp:80", servers={3: CHECK, 5: CHECK}
)
EDITED_2 = Service(name="edited", head=EDITED.head, vs=EDITED.vs, servers={3: CHECK, 5: OTHER_CHECK})
NEW = Service(name="new", head="10.100.9.13 80", vs="[10.100.9.13]:tcp:80", servers={1: CHECK, 5: CHECK})
NEW_COLD = Service(
    name="new-cold", head="10.100.9.14 80", vs="[10.100.9.14]:tcp:80", servers={1: CHECK}, lines="alpha"
)

AT_FIRST = (
    WEB, MARK, COLD, TWICE, SIX, LAST, PLAIN, DEAD, HALF, GONE, HEAVY, SHRINKS, GROWS, EDITED,
)  # fmt: skip
THEN = (
    WEB_2, MARK, COLD, TWICE, SIX, LAST, DEAD, HALF, HEAVY, SHRINKS_2, GROWS_2, EDITED_2, NEW, NEW_COLD,
)  # fmt: skip
AT_LAST = (WEB_3, MARK, COLD, TWICE, SIX, LAST, DEAD, HALF, HEAVY_2, SHRINKS_2, GROWS_2, EDITED_2, NEW)
SERVICES = {service.name: service for service in (*AT_FIRST, *THEN)}

EXPECTED: dict[str, dict[str, list[str]]] = {
    # Without alpha a service begins with its quorum, and its servers are up without a word.
    "start": {
        "web": ["VS UP"],
        "mark": ["1 UP", "VS UP"],
        "cold": ["5 DOWN"],
        "twice": ["5 DOWN"],
        "six": ["VS UP"],
        "last": ["VS UP", "5 DOWN"],
        "plain": ["VS UP"],
        "dead": ["VS UP", "5 DOWN", "VS DOWN"],
        "half": ["VS UP", "5 DOWN", "VS DOWN"],
        "gone": ["VS UP", "5 DOWN", "VS DOWN"],
        "heavy": ["VS UP", "5 DOWN"],
        "shrinks": ["VS UP", "5 DOWN"],
        "grows": ["VS UP", "5 DOWN", "VS DOWN"],
        "edited": ["VS UP", "5 DOWN"],
    },
    "1 fails": {
        "web": ["1 DOWN"],
        "mark": ["1 DOWN", "VS DOWN"],
        "six": ["1 DOWN"],
        "last": ["1 DOWN", "VS DOWN"],
        "plain": ["1 DOWN"],
        "half": ["1 DOWN"],
    },
    "2 fails": {
        "web": ["2 DOWN"],
        "six": ["2 DOWN", "VS DOWN"],
        "last": ["2 DOWN"],
    },
    "3 fails": {
        "web": ["3 DOWN", "VS DOWN"],
        "gone": ["3 DOWN"],
        "heavy": ["3 DOWN", "VS DOWN"],
        "shrinks": ["3 DOWN", "VS DOWN"],
        "edited": ["3 DOWN", "VS DOWN"],
    },
    "1 comes back": {
        "web": ["1 UP"],
        "mark": ["1 UP", "VS UP"],
        "six": ["1 UP", "VS UP"],
        "last": ["1 UP"],
        "plain": ["1 UP"],
        "half": ["1 UP"],
    },
    "2 comes back": {
        "web": ["2 UP"],
        "six": ["2 UP"],
        "last": ["2 UP", "VS UP"],
    },
    "3 comes back": {
        "web": ["3 UP", "VS UP"],
        "gone": ["3 UP"],
        "heavy": ["3 UP", "VS UP"],
        "shrinks": ["3 UP", "VS UP"],
        "edited": ["3 UP", "VS UP"],
    },
    # What leaves goes down, with or without omega, if it was up. What comes is told of like at the start.
    "reload": {
        "web": ["2 DOWN", "4 DOWN"],
        "plain": ["1 DOWN", "6 DOWN", "VS DOWN"],
        "gone": ["3 DOWN"],
        "shrinks": ["3 DOWN", "VS DOWN"],
        "grows": ["VS UP"],
        "new": ["VS UP", "5 DOWN"],
        "new-cold": ["1 UP", "VS UP"],
    },
    "reload of quorum and weight": {
        "web": ["VS DOWN"],
        "heavy": ["VS DOWN"],
        "new-cold": ["1 DOWN", "VS DOWN"],
    },
    "the same again": {},
    "stop": {
        "mark": ["1 DOWN", "6 DOWN", "VS DOWN"],
        "last": ["1 DOWN", "2 DOWN", "VS DOWN"],
        "half": ["1 DOWN"],
    },
}
DIFFERENCES: dict[tuple[str, str], list[str]] = {
    # Each check of a server that never was up tells that it is down.
    ("start", "twice"): ["5 DOWN", "5 DOWN"],
    # The quorum is looked at twice.
    ("reload", "shrinks"): ["3 DOWN", "VS DOWN", "VS DOWN"],
    # A server that is down is put into service when its check is edited, until the new one has failed.
    ("reload", "edited"): ["5 UP", "5 DOWN"],
    # A quorum that is lost is lost once more.
    ("stop", "half"): ["1 DOWN", "VS DOWN"],
    ("stop", "cold"): ["VS DOWN"],
    ("stop", "dead"): ["VS DOWN"],
}
"""(step, service) -> what keepalived says, in place of ``EXPECTED``."""


def expected(program: str, step: str) -> dict[Service, list[str]]:
    found = dict(EXPECTED[step])
    if program == "keepalived":
        found |= {name: whats for (at, name), whats in DIFFERENCES.items() if at == step}
    return {SERVICES[name]: whats for name, whats in found.items()}


def lines_of(program: str, step: str) -> dict[str, list[str]]:
    """Service, as lines call it -> its lines."""
    return {service.vs: list(map(service.line, whats)) for service, whats in expected(program, step).items()}


def calls_of(program: str, step: str) -> list[str]:
    found = expected(program, step)
    return sorted(service.call(what) for service, whats in found.items() for what in whats)


def run(lab: Lab, node: str, program: str) -> Told:
    course = Course(lab, node, program)

    def step(name: str) -> None:
        course.step(name, lines_of(program, name))

    try:
        course.serve(1, 2, 3)
        course.start(course.config(AT_FIRST))
        step("start")
        for number in (1, 2, 3):
            course.fail(number)
            step(f"{number} fails")
        for number in (1, 2, 3):
            course.serve(number)
            step(f"{number} comes back")
        course.reload(course.config(THEN))
        step("reload")
        course.reload(course.config(AT_LAST))
        step("reload of quorum and weight")
        course.reload(course.config(AT_LAST))
        step("the same again")
        course.stop()
        step("stop")
        return course.finish()
    finally:
        course.close()


@pytest.fixture(scope="module")
def both() -> Mapping[str, Told]:
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    nodes = {"keepalived": "k", "ours": "o"}
    with Lab(tuple(nodes.values()), ipv6=True) as lab, ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(run, lab, node, name) for name, node in nodes.items()}
        return {name: future.result() for name, future in runs.items()}


@pytest.mark.parametrize("program", ["keepalived", "ours"])
@pytest.mark.parametrize("step", EXPECTED)
def test_lines(both: Mapping[str, Told], program: str, step: str) -> None:
    assert both[program].lines[step] == lines_of(program, step)


@pytest.mark.parametrize("program", ["keepalived", "ours"])
@pytest.mark.parametrize("step", EXPECTED)
def test_scripts_and_their_arguments(both: Mapping[str, Told], program: str, step: str) -> None:
    found, wanted = Counter(both[program].scripts[step]), Counter(calls_of(program, step))
    if (program, step) == ("keepalived", "stop"):
        assert found <= wanted  # it does not wait long for its scripts
    else:
        assert found == wanted


def test_scripts_find_the_same_user_and_environment(both: Mapping[str, Told]) -> None:
    assert both["ours"].surroundings == both["keepalived"].surroundings
    assert both["ours"].surroundings.startswith("0:0 /")


def test_the_general_fifo_gets_the_same_through_its_script(both: Mapping[str, Told]) -> None:
    assert both["ours"].all == both["ours"].raw
    # keepalived starts the script anew at each reload, and what the one before has not read is lost.
    remaining = iter(both["keepalived"].raw.splitlines())
    assert all(line in remaining for line in both["keepalived"].all.splitlines())
    assert set(both["ours"].fifo_script) == set(both["keepalived"].fifo_script) == {"with /all.fifo"}
