"""The same configuration under keepalived and under us: the same lines, script arguments and mails, in order.

Only what keepalived leaves to chance is left out: it starts all scripts of a change at once, so scripts are
compared for each instance and each keyword by itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.lab import Daemon, Lab, programs
from tests.lab.wire import V4_GROUP, build_advert

PATIENCE_S = 30.0
MAIL_PORT = 2525

SCRIPT = """#!/bin/sh
echo "$@" >> {folder}/scripts
"""
FIFO_SCRIPT = """#!/bin/sh
echo "$@" >> {folder}/fifo_script
exec cat "$2" >> {folder}/all
"""
SENDER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"e0")
for _ in range(int(sys.argv[2])):
    s.sendto(bytes.fromhex(sys.argv[1]), ("224.0.0.18", 0))
    time.sleep(0.2)
"""
MAIL_SERVER = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\\r\\n")
    def handle(self):
        self.say("220 here")
        while line := self.rfile.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                self.say("354 go on")
                data = b""
                while (line := self.rfile.readline()) not in (b".\\r\\n", b""):
                    data += line
                head = data.replace(b"\\r\\n", b"\\n").partition(b"\\n\\n")[0].decode().split("\\n")
                names = " ".join(row.partition(":")[0] for row in head[:5])
                values = dict(row.split(": ", 1) for row in head if ": " in row)
                with open(sys.argv[1], "a") as file:
                    print(names, "|", values["Subject"], "|", values["To"], file=file)
                self.say("250 taken")
            elif word == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


@dataclass
class Told:
    """What one daemon told."""

    lines: list[str] = field(default_factory=list)
    """Of vrrp_notify_fifo."""
    all: list[str] = field(default_factory=list)
    """Of notify_fifo, as its script read it."""
    scripts: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """(keyword, instance) -> arguments."""
    fifo_script: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    modes: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """FIFOs that were still there after the stop."""


class Course:
    """One daemon on one node; what other routers say is made by hand."""

    def __init__(self, lab: Lab, program: str, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.read = b""
        self.fifo = -1
        for name, text in (("s.sh", SCRIPT), ("f.sh", FIFO_SCRIPT)):
            (folder / name).write_text(text.format(folder=folder))
            (folder / name).chmod(0o755)
        (folder / "good").touch()
        (folder / "mail.py").write_text(MAIL_SERVER)
        lab.ip("n1", "link", "set", "lo", "up")
        lab.spawn("n1", sys.executable, str(folder / "mail.py"), str(folder / "mails"), str(MAIL_PORT))
        self.daemon: Daemon = lab.daemon("n1", programs.program(program), self.config("V1", 51))

    def config(self, name: str, vrid: int, *extra: str) -> str:
        script = f"{self.folder}/s.sh"
        notify = "".join(
            f'    notify{suffix} "{script} notify{suffix} {name}"\n'
            for suffix in ("_master", "_backup", "_fault", "_stop", "_master_rx_lower_pri", "")
        )
        return f"""global_defs {{
    router_id lab
    script_user root
    enable_script_security
    notify_fifo {self.folder}/all.fifo
    notify_fifo_script "{self.folder}/f.sh with"
    vrrp_notify_fifo {self.folder}/vrrp.fifo
    vrrp_notify_priority_changes true
    smtp_server 127.0.0.1 {MAIL_PORT}
    smtp_alert true
    notification_email {{
        root@example.net
    }}
    notification_email_from ka@example.net
}}
vrrp_script chk {{
    script "/usr/bin/test -e {self.folder}/good"
    interval 1
    weight -10
}}
vrrp_instance {name} {{
    state BACKUP
    interface e0
    virtual_router_id {vrid}
    priority 100
    advert_int 0.5
    version 3
    virtual_ipaddress {{
        10.100.1.{vrid}/16 dev e0
    }}
    track_script {{
        chk
    }}
{notify}    {" ".join(extra)}
}}
"""

    # --- deeds ---------------------------------------------------------------------------------------

    def adverts(self, priority: int, count: int) -> subprocess.Popen[str]:
        packet = build_advert(
            version=3, src=self.lab.address("n2"), dst=V4_GROUP, vrid=51, priority=priority, interval_cs=50,
            addresses=(ip_address("10.100.1.51"),),
        )  # fmt: skip
        return self.lab.spawn("n2", sys.executable, "-c", SENDER, packet.hex(), str(count))

    def reload(self, config: str) -> None:
        self.daemon.config_file.write_text(config)
        self.daemon.signal(1)

    def until(self, what: Callable[[], bool], name: str) -> None:
        ends_at = time.monotonic() + PATIENCE_S
        while not what():
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{name}: {self.lines}\n{self.daemon.log_text()[-3000:]}")
            time.sleep(0.02)

    @property
    def lines(self) -> list[str]:
        path = self.folder / "vrrp.fifo"
        if self.fifo < 0:
            if not path.exists():
                return self.read.decode().splitlines()
            self.fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.fifo, 65536)
            self.read += data
            if not data:  # keepalived makes its FIFOs anew at a reload
                os.close(self.fifo)
                self.fifo = -1
        return self.read.decode().splitlines()

    def told(self, words: str, count: int = 1) -> None:
        """Wait until the last line is this one, for the ``count``th time."""
        self.until(lambda: len([one for one in self.lines if words in one]) >= count, words)

    def content(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def settle(self, quiet_s: float = 0.7) -> None:
        """Wait until no script says anything more."""
        seen, since = -1, 0.0
        while seen != len(self.content("scripts")) or time.monotonic() - since < quiet_s:
            if seen != len(self.content("scripts")):
                seen, since = len(self.content("scripts")), time.monotonic()
            time.sleep(0.05)

    # --- the course ----------------------------------------------------------------------------------

    def run(self) -> Told:
        told = Told()
        self.daemon.start()
        self.told('"V1" BACKUP')
        self.told('"V1" MASTER')
        for name in ("all.fifo", "vrrp.fifo"):
            told.modes[name] = oct((self.folder / name).stat().st_mode)
        self.settle()
        self.adverts(50, 1).wait()
        self.told("MASTER_RX_LOWER_PRI")
        self.settle()

        (self.folder / "good").unlink()
        self.told("MASTER_PRIORITY 90")
        (self.folder / "good").touch()
        self.told("MASTER_PRIORITY 100")

        better = self.adverts(200, 15)
        self.told('"V1" BACKUP 100', 2)
        self.settle()
        better.wait()
        self.told('"V1" MASTER 100', 2)
        self.settle()

        self.lab.set_link("n1", "e0", up=False)
        self.told('"V1" FAULT')
        self.settle()
        self.lab.set_link("n1", "e0", up=True)
        self.told('"V1" MASTER 100', 3)
        self.settle()

        self.reload(self.config("V2", 52))
        self.told('"V2" MASTER')
        self.settle()
        deleted = f'notify_deleted "{self.folder}/s.sh notify_deleted V2"'
        self.reload(self.config("V2", 52, deleted))
        time.sleep(1.5)
        self.reload(self.config("V3", 53))
        self.told('"V2" DELETED')
        self.told('"V3" MASTER')
        self.settle()
        self.lab.set_link("n1", "e0", up=False)
        self.told('"V3" FAULT')
        self.settle()

        self.stop(told, '"V3" STOP')
        return told

    def stop(self, told: Told, last: str) -> None:
        self.daemon.terminate()
        self.daemon.wait()
        self.told(last)
        self.settle()
        told.lines = self.lines
        told.all = self.content("all")
        told.fifo_script = [line.replace(str(self.folder), "") for line in self.content("fifo_script")]
        scripts = defaultdict(list)
        for line in self.content("scripts"):
            keyword, name, *_ = line.split()
            scripts[keyword, name].append(line)
        told.scripts = dict(scripts)
        told.mails = self.content("mails")
        told.left = [name for name in ("all.fifo", "vrrp.fifo") if (self.folder / name).exists()]


class GroupCourse(Course):
    """Two instances in a sync group."""

    def config(self, name: str, vrid: int, *extra: str) -> str:
        single = super().config(name, vrid, *extra)
        head, instance = single[: single.index("vrrp_instance")], single[single.index("vrrp_instance") :]
        script = f"{self.folder}/s.sh"
        notify = "".join(
            f'    notify{suffix} "{script} notify{suffix} G1"\n'
            for suffix in ("_master", "_backup", "_fault", "_stop", "")
        )
        group = f"vrrp_sync_group G1 {{\n    group {{\n        V1\n        V2\n    }}\n{notify}}}\n"
        other = instance.replace("V1", "V2").replace("virtual_router_id 51", "virtual_router_id 52")
        # A member's weights do not count in a group: without one it would follow the script.
        text = head + group + instance + other.replace("10.100.1.51", "10.100.1.52")
        return text.replace("    track_script {\n        chk\n    }\n", "")

    def run(self) -> Told:
        told = Told()
        self.daemon.start()
        self.told('"G1" MASTER')
        self.settle()
        self.lab.set_link("n1", "e0", up=False)
        self.told('"G1" FAULT')
        self.settle()
        self.lab.set_link("n1", "e0", up=True)
        self.told('"G1" MASTER', 2)
        self.settle()
        better = self.adverts(200, 15)  # to one of the two
        self.told('"G1" BACKUP', 3)
        self.settle()
        better.wait()
        self.told('"G1" MASTER', 3)
        self.settle()
        self.stop(told, '"G1" STOP')
        return told


def run_both(tmp_path_factory: pytest.TempPathFactory, kind: type[Course]) -> dict[str, Told]:
    if os.geteuid():
        pytest.skip("needs root (network namespaces, scripts of root)")
    if why := programs.missing("keepalived"):
        pytest.skip(why)

    # Not below /tmp: anybody may write there, and such a script is not run as root. Made here: pytest's maker
    # of folders is not for two threads.
    folders = {name: tmp_path_factory.mktemp(name) for name in ("keepalived", "ours")}

    def run(program: str) -> Told:
        folder = folders[program]
        for one in (folder, folder.parent):
            one.chmod(0o755)
        with Lab() as lab:
            course = kind(lab, program, folder)
            try:
                return course.run()
            finally:
                if course.fifo >= 0:
                    os.close(course.fifo)

    with ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(run, name) for name in folders}
        return {name: future.result() for name, future in runs.items()}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return run_both(tmp_path_factory, Course)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return run_both(tmp_path_factory, GroupCourse)


def test_the_lines_of_the_vrrp_fifo_are_equal(both: dict[str, Told]) -> None:
    assert both["ours"].lines == both["keepalived"].lines
    assert both["ours"].lines == [
        'INSTANCE "V1" BACKUP 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V1" MASTER_RX_LOWER_PRI 100',
        'INSTANCE "V1" MASTER_PRIORITY 90',
        'INSTANCE "V1" MASTER_PRIORITY 100',
        'INSTANCE "V1" BACKUP 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V1" FAULT 100',
        'INSTANCE "V1" BACKUP 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V1" FAULT 100',
        'INSTANCE "V2" BACKUP 100',
        'INSTANCE "V2" MASTER 100',
        'INSTANCE "V2" DELETED 100',
        'INSTANCE "V3" BACKUP 100',
        'INSTANCE "V3" MASTER 100',
        'INSTANCE "V3" FAULT 100',
        'INSTANCE "V3" STOP 100',
    ]


def test_the_general_fifo_gets_the_same_through_its_script(both: dict[str, Told]) -> None:
    assert both["ours"].all == both["ours"].lines
    # keepalived starts the script anew at each reload.
    assert set(both["ours"].fifo_script) == set(both["keepalived"].fifo_script)


def test_the_arguments_of_scripts_are_equal(both: dict[str, Told]) -> None:
    assert both["ours"].scripts == both["keepalived"].scripts
    assert ("notify_fault", "V1") in both["ours"].scripts
    assert len(both["ours"].scripts["notify_fault", "V1"]) == 1, "not of the reload that removed it"


def test_the_files_of_fifos_are_equal(both: dict[str, Told]) -> None:
    assert both["ours"].modes == both["keepalived"].modes
    assert both["ours"].left == both["keepalived"].left == []


def test_the_mails_are_equal(both: dict[str, Told]) -> None:
    def of(told: Told, name: str) -> list[str]:
        return [mail for mail in told.mails if f"Instance {name} -" in mail]

    for name in ("V1", "V2", "V3"):
        ours, theirs = of(both["ours"], name), of(both["keepalived"], name)
        # Each of keepalived's mails is a connection of its own: on a busy host one overtakes another, and
        # the last one is often not handed over before its end. Ours are all there.
        assert Counter(theirs) - Counter(ours) == Counter()
        assert len(theirs) >= len(ours) - 2
        assert ours
    assert len(both["ours"].mails) == 15


def members_in_order(lines: list[str]) -> list[str]:
    """Which member of a group becomes something first is chance."""
    found: list[str] = []
    members: list[str] = []
    for line in [*lines, "end"]:
        if line.startswith("INSTANCE"):
            members.append(line)
            continue
        found += [*sorted(members), line]
        members = []
    return found


def test_a_sync_group_is_told_as_keepalived_tells_it(groups: dict[str, Told]) -> None:
    ours, theirs = members_in_order(groups["ours"].lines), members_in_order(groups["keepalived"].lines)
    assert ours == theirs
    assert ours[:6] == [
        'GROUP "G1" BACKUP 0',
        'INSTANCE "V1" BACKUP 100',
        'INSTANCE "V1" MASTER 100',
        'INSTANCE "V2" BACKUP 100',
        'INSTANCE "V2" MASTER 100',
        'GROUP "G1" MASTER 0',
    ]
    assert ours[-2] == 'GROUP "G1" STOP 0'
    assert groups["ours"].scripts == groups["keepalived"].scripts
    assert ("notify_master", "G1") in groups["ours"].scripts
    for name in ("V1", "V2"):
        assert [line for line in groups["ours"].lines if f'"{name}"' in line] == [
            line for line in groups["keepalived"].lines if f'"{name}"' in line
        ]
