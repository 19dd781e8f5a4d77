"""One configuration under one daemon in namespaces of its own: what can be seen from outside, step by step.

    unshare -n -m python -m tests.interop.corpus_case CONFIG JSON-ARGV

Started by ``test_corpus_lab``. The interfaces that the configuration names are made, programs it names are
replaced by a stub that writes down its arguments and, tracked, fails when told to. Prints one JSON object:
step -> addresses held, adverts seen, programs run.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from keepalived_conf import load
from keepalived_conf.model import Config, VrrpInstance
from tests.lab import wire
from tests.lab.daemons import environment

ROOT = Path("/mnt")
STUB, FAIL, RUNS = ROOT / "stub", ROOT / "fail", ROOT / "runs"
START_S, DEAF_S = 60.0, 10.0
_PROGRAMS = re.compile(
    r"^(\s*)(script|notify|notify_(?:master|backup|fault|stop|deleted|up|down|master_rx_lower_pri)|quorum_up|"
    r"quorum_down)\s+(?!\{)(.+?)\s*$"
)
_NAMED = re.compile(r"^\s*(vrrp_script|vrrp_instance|vrrp_sync_group)\s+([^\s{]+)")
_USER = re.compile(r"^(\s*(?:script_user|user))\s+.*$")


def prepared(text: str) -> str:
    """The configuration with every program replaced by the stub."""
    lines, name = [], ""
    for written in text.splitlines():
        line = written
        block = _NAMED.match(line)
        if block:
            name = block[2]
        program = _PROGRAMS.match(line)
        if program:
            what = "track" if program[2] == "script" else program[2]
            line = f'{program[1]}{program[2]} "{STUB} {what} {name}"'
        lines.append(_USER.sub(r"\1 root", line))
    return "\n".join(lines) + "\n"


def links(config: Config) -> list[str]:
    """Every interface that the configuration needs."""
    found: dict[str, None] = {}
    for one in config.vrrp_instances:
        found[one.interface] = None
        for address in (*one.virtual_addresses, *one.virtual_addresses_excluded):
            found[address.dev] = None
        found.update(dict.fromkeys(ref.name for ref in one.track_interface))
    for group in config.sync_groups:
        found.update(dict.fromkeys(ref.name for ref in group.track_interface))
    return [name for name in found if name and name != "lo"]


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def make_links(config: Config) -> None:
    run("ip", "link", "set", "lo", "up")
    for number, name in enumerate(links(config)):
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"peer{number}")
        for end in (name, f"peer{number}"):
            Path(f"/proc/sys/net/ipv6/conf/{end}/accept_dad").write_text("0")
            run("ip", "link", "set", end, "up")
        run("ip", "address", "add", f"10.{200 + number}.0.1/24", "dev", name)
        for one in config.vrrp_instances:
            if one.interface == name and one.source_address is not None:
                length = 24 if one.source_address.version == 4 else 64
                subprocess.run(
                    ["ip", "address", "add", f"{one.source_address}/{length}", "dev", name],
                    check=False, capture_output=True,
                )  # fmt: skip


class Ear(threading.Thread):
    """Adverts that leave, by virtual router: the last priority of each."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.heard: dict[str, int] = {}

    def run(self) -> None:
        while True:
            data, address = self.sock.recvfrom(4096)
            if not str(address[0]).startswith("peer") or address[2] == socket.PACKET_OUTGOING:
                continue
            advert = advert_of(data)
            if advert is not None:
                self.heard[f"{advert[0]}/{advert[1]}"] = advert[2]

    def take(self) -> dict[str, int]:
        heard, self.heard = self.heard, {}
        return heard


def advert_of(data: bytes) -> tuple[int, int, int] | None:
    """(family, VRID, priority) of an IP packet that is an advert."""
    if data[:1] and data[0] >> 4 == 4 and data[9] == wire.VRRP_PROTOCOL:
        at = (data[0] & 15) * 4
        return 4, data[at + 1], data[at + 2]
    if data[:1] and data[0] >> 4 == 6 and data[6] == wire.VRRP_PROTOCOL:
        return 6, data[41], data[42]
    return None


def listening() -> bool:
    """Somebody in this namespace has a raw socket of VRRP."""
    lines = [line for table in ("raw", "raw6") for line in read_table(table)]
    return any(int(line.split()[1].rpartition(":")[2], 16) == wire.VRRP_PROTOCOL for line in lines)


def read_table(name: str) -> list[str]:
    try:
        return Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]
    except FileNotFoundError:  # no IPv6 here
        return []


def held(config: Config) -> dict[str, list[str]]:
    """Instance -> its addresses that are on the machine."""
    shown = subprocess.run(["ip", "-j", "address"], capture_output=True, check=True).stdout
    there = {
        str(ip_interface(one["local"]).ip)
        for link in json.loads(shown)
        for one in link["addr_info"]
        if "local" in one
    }

    def of(one: VrrpInstance) -> list[str]:
        wanted = (*one.virtual_addresses, *one.virtual_addresses_excluded)
        return sorted(str(vip.interface.ip) for vip in wanted if str(vip.interface.ip) in there)

    return {one.name: of(one) for one in config.vrrp_instances}


class Case:
    def __init__(self, path: Path, argv: list[str]) -> None:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(ROOT))
        STUB.write_text(f'#!/bin/sh\ncase "$1" in track) test ! -e {FAIL};; *) echo "$@" >> {RUNS};; esac\n')
        STUB.chmod(0o755)
        RUNS.touch()
        RUNS.chmod(0o666)
        (ROOT / "keepalived.conf").write_text(
            prepared(path.read_text(encoding="utf-8", errors="surrogateescape"))
        )
        self.config = load(str(ROOT / "keepalived.conf"), config_id="oracle").config
        make_links(self.config)
        self.ear = Ear()
        self.ear.start()
        self.argv = argv
        self.seen: dict[str, Any] = {}
        self.told = 0
        instances = self.config.vrrp_instances
        self.advert_s = max((one.advert_int_cs / 100 for one in instances), default=1.0)
        scripts = self.config.vrrp_scripts
        self.script_s = max(
            (max(one.rise, one.fall) * one.interval_s + one.timeout_s for one in scripts), default=0.0
        )

    def look(self, step: str, after_s: float) -> None:
        """What holds at the end of a step: adverts of its last two intervals, programs run during it."""
        time.sleep(max(0.0, after_s - 2.2 * self.advert_s))
        self.ear.take()
        time.sleep(2.2 * self.advert_s)
        runs = RUNS.read_text().splitlines()
        new, self.told = runs[self.told :], len(runs)
        self.seen[step] = {"holds": held(self.config), "adverts": self.ear.take(), "runs": sorted(new)}

    def await_service(self, daemon: subprocess.Popen[bytes]) -> None:
        """Until it listens to adverts. On a busy machine that takes a while; with no interface that it could
        listen on it never does."""
        end, begun = time.monotonic() + START_S, False
        while time.monotonic() < end and daemon.poll() is None and not listening():
            if not begun and (ROOT / "r").exists():
                begun, end = True, time.monotonic() + DEAF_S
            time.sleep(0.05)

    def steps(self) -> dict[str, Any]:
        log = ROOT / "log"
        with log.open("wb") as out:
            pid_files = [word for flag in "prcb" for word in (f"-{flag}", str(ROOT / flag))]
            daemon = subprocess.Popen(
                [*self.argv, "-f", str(ROOT / "keepalived.conf"), "-n", "-l", "-D", "-P", *pid_files],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(ROOT),
            )
        self.await_service(daemon)
        down_s = 4 * self.advert_s + 3
        self.look("start", down_s + self.script_s + 2)
        if daemon.poll() is not None:
            self.seen["ended"] = daemon.returncode
            return self.seen
        if self.config.vrrp_scripts:
            FAIL.touch()
            self.look("scripts fail", self.script_s + 3 * self.advert_s + 1)
            FAIL.unlink()
            self.look("scripts good", self.script_s + down_s)
        tracked = {ref.name for one in self.config.vrrp_instances for ref in one.track_interface}
        tracked |= {ref.name for one in self.config.sync_groups for ref in one.track_interface}
        tracked |= {one.interface for one in self.config.vrrp_instances}
        for name in sorted(tracked - {"lo", ""}):
            run("ip", "link", "set", name, "down")
            self.look(f"{name} down", 2 * self.advert_s + 2)
            run("ip", "link", "set", name, "up")
            self.look(f"{name} up", down_s + 2)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(20)
        time.sleep(0.5)
        self.look("stop", 0.5)
        self.seen["ended"] = daemon.returncode
        return self.seen


if __name__ == "__main__":
    case = Case(Path(sys.argv[1]), json.loads(sys.argv[2]))
    found = case.steps()
    found["log"] = (ROOT / "log").read_text(errors="replace")[-3000:]
    print(json.dumps(found))
