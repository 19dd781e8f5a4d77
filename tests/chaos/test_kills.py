"""Any worker of the master killed or stopped at random instants, again and again: nobody outside may notice.

Each role is hit every 10.4 s, as the restart policy forgives a death after 10 s of health; several
pairs run side by side to make the number of rounds.
"""

from __future__ import annotations

import random
import signal
import statistics
import time
from functools import partial

import pytest

from tests.chaos.pairs import (
    Pair,
    Round,
    Verdict,
    adverts_around,
    fence_s,
    in_parallel,
    kill,
    rounds,
)

ROLES = ("vrrp", "checker", "ipvs", "bus")
PAIRS_EACH = 3
SPACING_S = 2.6
SERIES = [("kill", 1.0), ("kill", 0.1), ("hang", 1.0)]


def blows(how: str, advert_int: float, count: int) -> Verdict:
    """Hit each role of the master ``count`` times and watch from outside."""
    verdict = Verdict(advert_int=advert_int)
    with Pair(advert_int) as pair:
        pair.settle_announcements()
        watches = {node: pair.lab.address_watch(node) for node in ("n1", "n2")}
        log_before = {node: len(pair.log(node)) for node in ("n1", "n2")}
        began = time.time()
        for _ in range(count):
            for role in random.sample(ROLES, len(ROLES)):
                due = time.monotonic() + SPACING_S
                time.sleep(random.uniform(0, min(1.0, advert_int)))
                pid = pair.pid("n1", role)
                at = kill(pid, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
                blow = Round(role=role, at=at)
                time.sleep(max(0.0, due - time.monotonic()))
                adverts_around(pair, blow, time.time())
                verdict.rounds.append(blow)
                assert pair.pid("n1", role) != pid, f"{role} was never replaced"
        ended = time.time()
        pair.ready("n1")
        seen = pair.observer
        verdict.backup_adverts = [frame.at for frame in seen.adverts(began, ended, src="10.100.0.2")]
        verdict.priority_zero = [frame.at for frame in seen.adverts(began, ended, active=False)]
        verdict.garps = [frame.at for frame in seen.garps(began, ended)]
        for node, watch in watches.items():
            verdict.address_events += [f"{node} {event}" for event in watch.take()]
        for node, before in log_before.items():
            log = pair.log(node)[before:]
            verdict.transitions += [line for line in log.splitlines() if '"vrrp.transition"' in line]
        verdict.lost = [answer for answer in pair.probe.answers(began, ended - 1.0) if not answer.ok]
        verdict.logs = pair.log("n1")[-4000:]
    return verdict


@pytest.fixture(scope="module")
def verdicts() -> dict[tuple[str, float], list[Verdict]]:
    """All series run at the same time, each in pairs of its own."""
    total = rounds(50)
    pairs = min(PAIRS_EACH, -(-total // 5))
    share = -(-total // pairs)
    jobs = [partial(blows, how, adv, share) for _ in range(pairs) for how, adv in SERIES]
    keys = [series for _ in range(pairs) for series in SERIES]
    found: dict[tuple[str, float], list[Verdict]] = {series: [] for series in SERIES}
    for key, verdict in zip(keys, in_parallel(jobs), strict=True):
        found[key].append(verdict)
    return found


@pytest.mark.parametrize(("how", "advert_int"), SERIES)
def test_nobody_outside_notices(
    how: str, advert_int: float, verdicts: dict[tuple[str, float], list[Verdict]]
) -> None:
    series = verdicts[how, advert_int]
    hit = {role: sum(blow.role == role for v in series for blow in v.rounds) for role in ROLES}
    disturbed = sum(v.disturbed(blow.at) for v in series for blow in v.rounds)
    print(f"\n{how} at advert_int {advert_int}: rounds {hit}, host disturbed in {disturbed}")
    assert all(count >= rounds(50) for count in hit.values())
    for verdict in series:
        for name in ("backup_adverts", "priority_zero", "garps"):
            unexcused = [at for at in getattr(verdict, name) if not verdict.disturbed(at)]
            assert unexcused == [], f"{name}\n{verdict.logs}"
        if not any(verdict.disturbed(blow.at) for blow in verdict.rounds):
            assert verdict.address_events == [], verdict.logs
            assert verdict.transitions == [], verdict.logs
        lost = [answer.sent_at for answer in verdict.lost if not verdict.disturbed(answer.sent_at)]
        assert lost == [], verdict.logs
    assert disturbed <= 0.3 * sum(hit.values()), "this host stalls too often for a verdict"


@pytest.mark.parametrize(("how", "advert_int"), SERIES)
def test_adverts_go_on_before_the_fence(
    how: str, advert_int: float, verdicts: dict[tuple[str, float], list[Verdict]]
) -> None:
    blows_of_vrrp = [b for v in verdicts[how, advert_int] for b in v.rounds if b.role == "vrrp"]
    judged = [b for b in blows_of_vrrp if b.stall_s < 0.05]
    assert len(judged) >= 0.5 * len(blows_of_vrrp), "this host stalls too often for a verdict"
    late = [b for b in judged if b.advert_gap_s > fence_s(advert_int)]
    assert late == []
    nexts = [b.next_advert_s for b in judged if b.next_advert_s is not None]
    median = statistics.median(nexts)
    worst_gap = max(b.advert_gap_s for b in judged)
    print(
        f"\n{how} of vrrp at advert_int {advert_int}: next advert after {median * 1000:.1f} ms (median, "
        f"worst {max(nexts) * 1000:.0f}), longest gap {worst_gap * 1000:.0f} ms"
        f" of {fence_s(advert_int) * 1000:.0f}"
    )
    if how == "kill":
        assert median < 0.1
