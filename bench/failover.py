"""How long a failover takes, ours and keepalived side by side: ``./run bench failover``.

silent     cable cut and SIGKILL of every process of the master
graceful   SIGTERM to the master

``over_limit_s`` is what the backup takes beyond what the RFC asks of it: the Master_Down_Interval after
the last advert (silent), the Skew_Time after the advert of priority 0 (graceful).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

from bench import _trials
from bench._trials import PING_INTERVAL_S, STALL, Params, Result, Scenario, settled_pair
from tests.lab import conf, probes
from tests.lab.programs import Program

PRIORITIES = (150, 100)
INTERVALS = ({"advert_int": 1.0}, {"advert_int": 0.1})


def silent(program: Program, params: Params) -> Result:
    """One silent death of the master."""
    interval_s = params["advert_int"]
    with settled_pair(program, interval_s, PRIORITIES) as pair:
        lab, wire = pair.lab, pair.wire
        cut_at = lab.cut("n1")
        lab.kill_node("n1")
        advert = wire.await_advert(20, cut_at, src=lab.address("n2"), active=True)
        garp = wire.await_garp(5, cut_at, mac=lab.mac("n2"))
        time.sleep(0.3)
        answers = pair.pings.stop()
        last = wire.adverts(until=cut_at, src=lab.address("n1"))[-1]
        window = [a for a in answers if last.at <= a.sent_at <= advert.at + 0.05]
        return {
            "over_limit_s": advert.at - last.at - conf.master_down_s(PRIORITIES[1], interval_s),
            "last_advert_to_new_s": advert.at - last.at,
            "advert_to_garp_s": garp.at - advert.at,
            "client_outage_s": probes.outage_s(answers, PING_INTERVAL_S),
            STALL: probes.longest_send_gap_s(window),
        }


def graceful(program: Program, params: Params) -> Result:
    """One ordinary stop of the master."""
    interval_s = params["advert_int"]
    with settled_pair(program, interval_s, PRIORITIES) as pair:
        lab, wire = pair.lab, pair.wire
        ended_at: list[float] = []

        def watch() -> None:
            pair.master.wait(None)
            ended_at.append(time.time())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        term_at = pair.master.terminate()
        zero = wire.await_advert(5, term_at, src=lab.address("n1"), priority=0)
        advert = wire.await_advert(10, term_at, src=lab.address("n2"), active=True)
        garp = wire.await_garp(5, term_at, mac=lab.mac("n2"))
        watcher.join(15)
        if not ended_at:
            raise TimeoutError("the master's process did not end within 15 s of SIGTERM")
        exit_at = ended_at[0]
        time.sleep(0.2)
        answers = pair.pings.stop()
        window = [a for a in answers if term_at <= a.sent_at <= max(advert.at, exit_at) + 0.05]
        return {
            "term_to_priority_0_s": zero.at - term_at,
            "over_limit_s": advert.at - zero.at - conf.skew_s(PRIORITIES[1], interval_s),
            "advert_to_garp_s": garp.at - advert.at,
            "client_outage_s": probes.outage_s(answers, PING_INTERVAL_S),
            "term_to_exit_s": exit_at - term_at,
            STALL: probes.longest_send_gap_s(window),
        }


SCENARIOS = (
    Scenario(name="silent", trial=silent, params=INTERVALS),
    Scenario(name="graceful", trial=graceful, params=INTERVALS),
)


def main(argv: Sequence[str] | None = None) -> int:
    return _trials.main(__doc__.splitlines()[0] if __doc__ else "", SCENARIOS, argv)


if __name__ == "__main__":
    sys.exit(main())
