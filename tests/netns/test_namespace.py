"""-s NAME: the whole daemon runs in another network namespace than it was started in."""

from __future__ import annotations

import pathlib
import signal
import subprocess

from tests.lab import conf
from tests.lab.net import Lab
from tests.lab.programs import ours
from tests.lab.system import wait_until

VIP = "10.100.1.1"
CONFIG = conf.global_defs() + conf.instance(priority=150, advert_int=0.2, addresses=[f"{VIP}/16"])


def start(folder: pathlib.Path, namespace: str) -> subprocess.Popen[bytes]:
    file = folder / "keepalived.conf"
    file.write_text(CONFIG)
    argv = [*ours().argv, "-n", "-l", "-P", "-s", namespace, "-f", str(file), "--run-dir", f"{folder}/run"]
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)


def test_it_serves_in_the_namespace_it_was_told(tmp_path: pathlib.Path) -> None:
    with Lab() as lab:
        observer = lab.observer()
        daemon = start(tmp_path, lab.ns("n1"))
        try:
            observer.await_advert(20, src="10.100.0.1")
            # The address comes behind the advert.
            wait_until(lambda: VIP in lab.addresses("n1"), 5, "the address in the namespace")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0
            assert VIP not in lab.addresses("n1")
        finally:
            daemon.kill()
            daemon.wait()


def test_a_namespace_that_does_not_exist_is_a_refused_start(tmp_path: pathlib.Path) -> None:
    daemon = start(tmp_path, "none-of-that-name")
    assert daemon.wait(20) == 1
    said = (tmp_path / "log").read_text()
    assert "network namespace none-of-that-name: No such file or directory" in said
    assert "ip netns add none-of-that-name" in said
    assert not (tmp_path / "run").exists()
