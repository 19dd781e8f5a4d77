"""Start to MASTER, and memory of all processes, ours and keepalived side by side: ``./run bench startup``.

A director alone on its segment. ``start_over_limit_s`` is the time from its start to its first advert
beyond the Master_Down_Interval that the RFC makes it wait: what the program itself takes. ``pss_kb`` is
the proportional set size of all its processes together, in KiB, two seconds after it became master.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from bench import _trials
from bench._trials import STALL, START_S, VIRTUAL_ADDRESS, Params, Result, Scenario
from tests.lab import Lab, conf, probes
from tests.lab.programs import Program

PRIORITY = 100


def startup(program: Program, params: Params) -> Result:
    """One start of a director that is alone."""
    interval_s = params["advert_int"]
    text = conf.global_defs() + conf.instance(
        priority=PRIORITY, advert_int=interval_s, addresses=[f"{VIRTUAL_ADDRESS}/16"]
    )
    with Lab(("n1", "c")) as lab:
        wire = lab.observer()
        ticks = lab.probe("c", "icmp", str(lab.address("n1")), 0.002)  # watches the host, not the daemon
        ticks.await_answer(10)
        daemon = lab.daemon("n1", program, text).start()
        advert = wire.await_advert(START_S, daemon.started_at, active=True)
        garp = wire.await_garp(5, daemon.started_at)
        time.sleep(2)
        memory_kb, processes = daemon.pss_kb(), len(daemon.pids())
        answers = [a for a in ticks.stop() if daemon.started_at <= a.sent_at <= advert.at]
        return {
            "start_over_limit_s": advert.at - daemon.started_at - conf.master_down_s(PRIORITY, interval_s),
            "start_to_master_s": advert.at - daemon.started_at,
            "advert_to_garp_s": garp.at - advert.at,
            "pss_kb": memory_kb,
            "processes": processes,
            # a daemon that starts is work for the host: only a pause that work does not explain counts
            STALL: max(0.0, probes.longest_send_gap_s(answers) - 0.05),
        }


SCENARIOS = (Scenario(name="startup", trial=startup, params=({"advert_int": 1.0}, {"advert_int": 0.1})),)


def main(argv: Sequence[str] | None = None) -> int:
    return _trials.main(__doc__.splitlines()[0] if __doc__ else "", SCENARIOS, argv)


if __name__ == "__main__":
    sys.exit(main())
