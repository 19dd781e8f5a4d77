"""Virtual servers whose real servers come and go, under one daemon; what that daemon says of them is kept.

The real servers are addresses of the director's own ``lo`` with a listening socket, or without one. Nothing
is sent to the services: who is told of what is looked at here, not who gets which packet.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.lab import Daemon, Lab, programs
from tests.lab.system import in_netns

PATIENCE_S = 30.0
QUIET_S = 1.0
"""So long nothing more is said: two checks of each server."""

SCRIPT = """#!/bin/sh
echo "$@" >> {folder}/scripts
[ "$1" = quorum_up ] || exit 0
names=$(env | cut -d= -f1 | grep -v -e '^_$' -e '^PWD$' -e '^OLDPWD$' -e '^SHLVL$' | sort | tr '\\n' ' ')
echo "$(id -u):$(id -g) $PATH $names" > {folder}/surroundings
"""
FIFO_SCRIPT = """#!/bin/sh
echo "$@" >> {folder}/fifo_script
exec cat "$2" >> {folder}/all
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """A virtual_server block. ``servers``: numbers of real servers -> further lines of each."""

    name: str
    head: str
    vs: str
    """As FIFO lines call it."""
    servers: Mapping[int, str]
    lines: str = ""
    family: int = 4
    protocol: str = "tcp"

    def line(self, what: str) -> str:
        """The FIFO line of ``VS UP`` or ``3 DOWN`` (the number of a server)."""
        who, state = what.split(" ")
        if who == "VS":
            return f"VS {self.vs} {state}"
        return f"RS [{server_address(int(who), self.family)}]:{self.protocol}:80 {self.vs} {state}"

    def call(self, what: str) -> str:
        """The arguments of the script that is run for it."""
        who, state = what.split(" ")
        if who == "VS":
            return f"quorum_{state.lower()} {self.name} -"
        return f"notify_{state.lower()} {self.name} {who}"


def server_address(number: int, family: int = 4) -> str:
    return f"10.100.2.{number}" if family == 4 else f"fd00:2::{number}"


@dataclass
class Told:
    """What a daemon told, step by step; lines and calls by the name of the service."""

    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    scripts: dict[str, list[str]] = field(default_factory=dict)
    """The arguments of scripts, sorted: keepalived starts all scripts of a change at once."""
    surroundings: str = ""
    """What a script found: user, PATH, names of variables."""
    raw: bytes = b""
    """All of lvs_notify_fifo."""
    all: bytes = b""
    """All of notify_fifo, as its script read it."""
    fifo_script: list[str] = field(default_factory=list)


class Course:
    """One daemon on one node. ``step`` names what was just done and keeps what is said of it."""

    def __init__(self, lab: Lab, node: str, program: str) -> None:
        self.lab, self.node, self.program = lab, node, program
        self.folder = lab.dir / f"course-{node}"
        self.folder.mkdir()
        self.told = Told()
        self._sockets: dict[int, list[socket.socket]] = {}
        self._fifo = -1
        self._seen = (0, 0)
        for name, text in (("s.sh", SCRIPT), ("f.sh", FIFO_SCRIPT)):
            (self.folder / name).write_text(text.format(folder=self.folder))
            (self.folder / name).chmod(0o755)
        for number in range(1, 10):
            lab.ip(node, "addr", "add", f"{server_address(number)}/32", "dev", "lo")
            lab.ip(node, "addr", "add", f"{server_address(number, 6)}/128", "dev", "lo", "nodad")
        self.daemon: Daemon

    def close(self) -> None:
        self.fail(*self._sockets)
        if self._fifo >= 0:
            os.close(self._fifo)
            self._fifo = -1

    # --- deeds -------------------------------------------------------------------------------------

    def serve(self, *numbers: int) -> None:
        for number in numbers:
            with in_netns(self.lab.ns(self.node)):
                self._sockets[number] = [
                    socket.create_server((server_address(number), 80), backlog=1024),
                    socket.create_server(
                        (server_address(number, 6), 80), backlog=1024, family=socket.AF_INET6
                    ),
                ]

    def fail(self, *numbers: int) -> None:
        for number in list(numbers):
            for one in self._sockets.pop(number):
                one.close()

    def start(self, config: str) -> None:
        self.daemon = self.lab.daemon(self.node, programs.program(self.program), config)
        self.daemon.start()

    def reload(self, config: str) -> None:
        self.daemon.config_file.write_text(config)
        self.daemon.signal(signal.SIGHUP)

    def stop(self) -> None:
        self.daemon.terminate()
        self.daemon.wait(30)

    # --- what is configured --------------------------------------------------------------------------

    def config(self, services: Iterable[Service]) -> str:
        blocks = "".join(map(self._block, services))
        return f"""global_defs {{
    router_id lab
    script_user root
    notify_fifo {self.folder}/all.fifo
    notify_fifo_script "{self.folder}/f.sh with"
    lvs_notify_fifo {self.folder}/lvs.fifo
}}
{blocks}"""

    def _block(self, service: Service) -> str:
        script = f"{self.folder}/s.sh"
        servers = "".join(
            f"""
    real_server {server_address(number, service.family)} 80 {{
        notify_up "{script} notify_up {service.name} {number}"
        notify_down "{script} notify_down {service.name} {number}"
        {lines}
    }}"""
            for number, lines in service.servers.items()
        )
        return f"""virtual_server {service.head} {{
    delay_loop 0.5
    lvs_sched rr
    lvs_method NAT
    protocol TCP
    quorum_up "{script} quorum_up {service.name} -"
    quorum_down "{script} quorum_down {service.name} -"
    {service.lines}{servers}
}}
"""

    # --- what is said ----------------------------------------------------------------------------------

    def pump(self) -> None:
        """Read what is in the FIFO."""
        path = self.folder / "lvs.fifo"
        while True:
            if self._fifo < 0:
                try:
                    self._fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                except FileNotFoundError:
                    return
            try:
                data = os.read(self._fifo, 65536)
            except BlockingIOError:
                return
            self.told.raw += data
            if not data:  # keepalived makes its FIFOs anew at a reload
                os.close(self._fifo)
                self._fifo = -1
                return

    def lines(self) -> list[str]:
        self.pump()
        return self.told.raw.decode().split("\n")[:-1]

    def calls(self) -> list[str]:
        path = self.folder / "scripts"
        return path.read_text().splitlines() if path.exists() else []

    def step(self, name: str, wanted: Mapping[str, list[str]]) -> None:
        """Wait until as much is said as ``wanted`` has, and then nothing more for a while."""
        ends_at = time.monotonic() + PATIENCE_S
        while not self._said(wanted):
            if time.monotonic() > ends_at:
                said = self._by_service(self.lines()[self._seen[0] :])
                log = self.daemon.log_text()[-6000:]
                raise TimeoutError(f"{self.program}, {name}: {said} instead of {wanted}\n{log}")
            time.sleep(0.02)
        counts, since = (-1, -1), 0.0
        while counts != (now := (len(self.lines()), len(self.calls()))) or time.monotonic() - since < QUIET_S:
            if counts != now:
                counts, since = now, time.monotonic()
            time.sleep(0.05)
        lines, calls = self.lines(), self.calls()
        self.told.lines[name] = self._by_service(lines[self._seen[0] :])
        self.told.scripts[name] = sorted(calls[self._seen[1] :])
        self._seen = len(lines), len(calls)

    def _said(self, wanted: Mapping[str, list[str]]) -> bool:
        found = self._by_service(self.lines()[self._seen[0] :])
        return all(len(found.get(service, [])) >= len(lines) for service, lines in wanted.items())

    @staticmethod
    def _by_service(lines: Iterable[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            words = line.split(" ")
            found[" ".join(words[2 if words[0] == "RS" else 1 : -1])].append(line)
        return dict(found)

    def finish(self) -> Told:
        """After the stop."""
        self.pump()
        with contextlib.suppress(FileNotFoundError):
            self.told.all = (self.folder / "all").read_bytes()
            text = (self.folder / "fifo_script").read_text()
            self.told.fifo_script = text.replace(str(self.folder), "").splitlines()
            self.told.surroundings = (self.folder / "surroundings").read_text()
        return self.told
