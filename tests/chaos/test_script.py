"""The script worker and the bus killed and stopped while trackers change: only the changes are acted on."""

from __future__ import annotations

import signal
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.flips import CALM, Outcome, Pace, Sample, Storm
from tests.chaos.pairs import Pair, in_parallel, kill, pair_config, rounds
from tests.lab.system import wait_until

PACES = (
    Pace(interval_s=0.3, timeout_s=1.0, fall=2, rise=2, lasts_s=0.1),
    Pace(interval_s=1.0, timeout_s=1.0, fall=1, rise=1, lasts_s=0.2, ways=("exit", "signal", "hang")),
    Pace(interval_s=0.6, timeout_s=0.5, fall=3, rise=2, ways=("exit", "hang")),
)
"""One that hangs is found out within the bound where its timeout is not longer than its interval."""
QUOTA = {"kill script": 12, "hang script": 4, "kill bus": 4, "hang bus": 1}
STALLED_S = 0.5
"""A host that stood still for so long tells nothing about the bound."""


def share(total: int, number: int) -> int:
    """Of the one with this number, when all of them do ``total`` together."""
    return total // len(PACES) + (number < total % len(PACES))


def figures(title: str, samples: Sequence[Sample]) -> str:
    if not samples:
        return f"{title:<12} -"
    over_ms = [sample.over_s * 1000 for sample in samples]
    return (
        f"{title:<12}{len(samples):>5} changes, after the bound: median {statistics.median(over_ms):+.0f} ms,"
        f" worst {max(over_ms):+.0f} ms; at most {max(sample.took_s for sample in samples):.2f} s"
    )


def storm(folder: Path, number: int) -> Outcome:
    quota = {blow: share(rounds(count), number) for blow, count in QUOTA.items()}
    one = Storm(folder / f"lab{number}", PACES[number], quota)
    try:
        return one.run()
    except Exception as error:  # noqa: BLE001 - what the others found counts all the same
        one.outcome.complaints.append(f"broke off: {type(error).__name__}: {error}")
        return one.outcome


def test_kills_and_hangs_move_nothing_and_every_change_comes_in_time(tmp_path: Path) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    outcomes = list(in_parallel([partial(storm, tmp_path, number) for number in range(len(PACES))]))
    hits: Counter[str] = sum((outcome.hits for outcome in outcomes), Counter())
    samples = [sample for outcome in outcomes for sample in outcome.samples]
    judged = [sample for sample in samples if sample.stalled_s < STALLED_S]
    print(f"\n{dict(sorted(hits.items()))}: {sum(o.strange for o in outcomes)} transitions caused by them;")
    print(f"{sum(o.faults for o in outcomes)} failures of a script without weight, a FAULT for each")
    for blow in (*QUOTA, CALM):
        print(figures(blow, [sample for sample in judged if sample.blow == blow]))
    print(figures("chk alone", [sample for sample in judged if sample.tracker == "script:chk"]))
    print(f"not judged, the host stood still: {len(samples) - len(judged)} changes")
    assert [complaint for outcome in outcomes for complaint in outcome.complaints] == []
    assert hits == Counter({blow: rounds(count) for blow, count in QUOTA.items()})
    assert [sample for sample in judged if sample.over_s > sample.stalled_s] == []
    assert len(judged) >= 0.7 * len(samples), "this host stalls too often for a verdict"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_script_is_bad_while_nobody_runs_it(tmp_path: Path, how: signal.Signals) -> None:
    """It fails while the worker is away: found out by the successor."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    flag = tmp_path / "chk"
    script = f"vrrp_script chk {{\n    script \"/bin/sh -c 'test ! -e {flag}'\"\n    interval 1\n}}\n"
    text = script + pair_config(150, 1.0, extra=("track_script {", "chk", "}"), balancer=False)
    with Pair(1.0, configs=(text, ""), start=("n1",)) as pair:
        time.sleep(1.0)
        kill(pair.pid("n1", "script"), how)
        flag.touch()
        wait_until(lambda: not pair.holders(), 15, "a fault")
        flag.unlink()
        wait_until(lambda: pair.holders() == {"n1"}, 15, "service again")
