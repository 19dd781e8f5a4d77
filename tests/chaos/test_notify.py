"""The whole daemon, its script worker killed again and again: FIFO lines without a gap, scripts in order."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path

import pytest

from tests.lab import Lab, programs
from tests.netns.script.notify_lab import Reader

FLIPS = 30

CONFIG = """global_defs {{
    router_id lab
    script_user root
    enable_script_security
    vrrp_notify_fifo {folder}/fifo
}}
vrrp_instance V1 {{
    state BACKUP
    interface e0
    virtual_router_id 51
    priority 100
    version 3
    virtual_ipaddress {{
        10.100.1.1/16 dev e0
    }}
    notify "{folder}/s.sh"
}}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root (network namespaces, scripts of root)")
def test_no_line_and_no_script_is_lost_when_the_script_worker_is_killed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = tmp_path / "s.sh"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/runs\n')
    script.chmod(0o755)
    chance = random.Random(7)
    kills = 0
    with Lab() as lab:
        daemon = lab.daemon("n1", programs.ours(), CONFIG.format(folder=tmp_path)).start()
        fifo, runs = tmp_path / "fifo", tmp_path / "runs"
        until(fifo.exists)
        reader = Reader(fifo)
        reader.come()
        until(lambda: reader.lines[:1] == ['INSTANCE "V1" BACKUP 100'])
        for flip in range(FLIPS):
            lab.set_link("n1", "e0", up=flip % 2 == 1)
            time.sleep(chance.random() * 0.2)
            if chance.random() < 0.5 and (pid := daemon.worker_pid("script")) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
                    kills += 1
            time.sleep(chance.random() * 0.2)
        words = ["BACKUP", *(["FAULT", "BACKUP"] * (FLIPS // 2))]
        expected = [f'INSTANCE "V1" {word} 100' for word in words]
        with contextlib.suppress(TimeoutError):
            until(lambda: len([line for line in reader.lines if "MASTER" not in line]) >= len(expected))
            until(lambda: len(runs.read_text().splitlines()) >= len(reader.lines))
        daemon.terminate()
        daemon.wait()
        reader.go()
        lines = reader.lines
        log = daemon.log_text()[-3000:]
    assert kills > 5
    assert lines.pop() == 'INSTANCE "V1" STOP 100', log
    assert [line for line in lines if "MASTER" not in line] == expected, log
    told = [line.replace("INSTANCE V1", 'INSTANCE "V1"') for line in runs.read_text().splitlines()]
    assert told.pop() == 'INSTANCE "V1" STOP 100'
    # One that was running at a kill may have been run again.
    assert [line for line, before in zip(told, [None, *told], strict=False) if line != before] == lines


def until(what: object, timeout_s: float = 30.0) -> None:
    assert callable(what)
    ends_at = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > ends_at:
            raise TimeoutError
        time.sleep(0.02)
