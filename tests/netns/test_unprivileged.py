"""The daemon of an ordinary user: master in a network of their own, and a plain word without one."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import conf
from tests.lab.net import Lab
from tests.lab.programs import ours
from tests.lab.system import REPOSITORY, run, state_and_parent, wait_until

USER = 31234
VIP = "10.100.1.1"
CONFIG = conf.global_defs() + conf.instance(priority=150, advert_int=0.2, addresses=[f"{VIP}/16"])
NETWORK = (
    "ip link set lo up && ip link add e0 type veth peer name p0 && ip link set p0 up && "
    'ip link set e0 up && ip address add 10.100.0.1/16 dev e0 && exec "$@"'
)
OWN_NETWORK = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", NETWORK, "sh")


def somebody() -> tuple[str, ...]:
    """What makes an ordinary user of real root; who is none already runs these tests as one."""
    everybody = pathlib.Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    if os.geteuid() or not everybody:
        return ()
    return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


class Running:
    """A daemon and its log."""

    def __init__(self, folder: pathlib.Path, prefix: tuple[str, ...]) -> None:
        self.folder = folder
        (folder / "keepalived.conf").write_text(CONFIG)
        if somebody():
            os.chown(folder, USER, USER)
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *ours().argv, "-n", "-l", "-D", "-f", str(folder / "keepalived.conf"),
                 f"--run-dir={folder}/run", "-p", str(folder / "pid")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=os.environ | {"HOME": str(folder), "PYTHONPYCACHEPREFIX": f"{REPOSITORY}/.cache/pycache"},
            )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        found = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if record.get("event") == name:
                    found.append(record)
        return found

    def await_event(self, name: str, **fields: object) -> dict[str, Any]:
        def look() -> list[dict[str, Any]]:
            assert self.process.poll() is None, f"it ended: {self.log()[-3000:]}"
            wanted = self.events(name)
            return [one for one in wanted if all(one.get(key) == value for key, value in fields.items())]

        return wait_until(look, 20, f"{name} {fields}\n{self.log()[-3000:]}")[0]

    def worker(self, name: str) -> int:
        """The supervisor's child of that process name, 0 when there is none."""
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            found = state_and_parent(pid)
            if found and found[1] == self.process.pid and found[0] != "Z":
                with contextlib.suppress(OSError):
                    if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name:
                        return pid
        return 0

    def await_worker(self, other_than: int) -> int:
        return wait_until(lambda: (pid := self.worker("pyka-vrrp")) != other_than and pid, 10, "a successor")

    def addresses(self) -> str:
        return run(
            "nsenter", "--target", str(self.process.pid), "--net", "ip", "-br", "address", "show", "e0"
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    place = pathlib.Path(tempfile.mkdtemp(prefix="pku"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(autouse=True)
def _usable() -> None:
    """Skips where another user cannot even read the program, or may not have a namespace."""
    # By way of a shell: what setpriv itself starts is still looked up with root's rights.
    command = [*somebody(), "sh", "-c", 'exec "$@"', "sh", *ours().argv, "-v"]
    tried = subprocess.run(command, capture_output=True, check=False, cwd="/")
    if tried.returncode:
        pytest.skip("an ordinary user cannot run this tree's Python (it lies below a private folder)")


def test_master_in_a_network_of_their_own(folder: pathlib.Path) -> None:
    own = [*somebody(), "unshare", "--user", "--map-root-user", "--net", "true"]
    if subprocess.run(own, capture_output=True, check=False).returncode:
        pytest.skip("an ordinary user may not make user and network namespaces here")
    daemon = Running(folder, (*somebody(), *OWN_NETWORK))
    try:
        daemon.await_event("vrrp.transition", to="MASTER")
        assert VIP in daemon.addresses()
        users = daemon.await_event("start.limited", what="a user of its own for each worker")
        assert users["why"] == "this user namespace has no uid 64700"
        assert not [record for record in daemon.events("start.limited") if record["level"] == "error"]

        worker = wait_until(lambda: daemon.worker("pyka-vrrp"), 5, "a vrrp process")
        os.kill(worker, signal.SIGKILL)
        daemon.await_event("process.died", role="vrrp")
        daemon.await_event("process.ready", role="vrrp", role_pid=daemon.await_worker(worker))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.await_event("reload.applied", generation=2)
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.await_event("signal.without_effect", signal="SIGUSR1")
        moves = [record["to"] for record in daemon.events("vrrp.transition")]
        assert moves == ["BACKUP", "MASTER"], "neither the kill nor the reload moved anything"
        assert VIP in daemon.addresses()
        assert daemon.stop() == 0
        assert daemon.events("supervisor.stopped")
        assert "Traceback" not in daemon.log()
    finally:
        daemon.process.kill()
        daemon.process.wait()


def test_without_rights_one_line_says_why_and_what_to_do(folder: pathlib.Path) -> None:
    rights: tuple[str, ...] = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    if somebody():
        rights = (*somebody(), *rights[1:])
    with Lab(("n1",)) as lab:
        daemon = Running(folder, ("ip", "netns", "exec", lab.ns("n1"), *rights))
        try:
            daemon.await_event("supervisor.ready")
            said = [record for record in daemon.events("start.limited") if record["level"] == "error"]
            assert [record["why"] for record in said] == ["missing capabilities: NET_ADMIN, NET_RAW"]
            assert "start as root" in said[0]["meaning"]
            assert "unshare --user --map-root-user --net" in said[0]["meaning"]
            assert [record["to"] for record in daemon.events("vrrp.transition")] == ["FAULT"]
            assert daemon.stop() == 0
            assert "Traceback" not in daemon.log()
        finally:
            daemon.process.kill()
            daemon.process.wait()
