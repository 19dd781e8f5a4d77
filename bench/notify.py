"""From a transition to who is told of it, ours and keepalived side by side: ``./run bench notify``.

script, script-20   a notify script of one instance, of 20 that change at one instant
fifo, fifo-20       a line of vrrp_notify_fifo likewise

The laboratory plays the peer: an advert of a higher priority makes a backup of the master at once, one of
priority 0 a master of the backup after its Skew_Time. What counts begins with a packet on the wire, stamped
by the kernel: the peer's advert (to_backup), the first advert of the new master (to_master). Both daemons
act on the first at once, and the second is the first thing that they do as masters. So the election is not
in the figures, and all that follows is: addresses, gratuitous ARP, and the way to whoever is told.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import select
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from bench import _samples
from bench._command import pause
from bench._samples import Round, Samples, Scenario, Stage, Take
from tests.lab import Lab, Observer, conf
from tests.lab.programs import Program
from tests.lab.system import LabError, in_netns, wait_until
from tests.lab.wire import V4_GROUP, VRRP_PROTOCOL, VrrpFrame, build_advert

ADVERT_INT_S = 0.1
PRIORITY, HIGHER = 250, 254
FIRST_VRID = 51
PATIENCE_S = 5.0
ALONE = 4
"""How often a round starts the script by itself, to show what of the figures is the script's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    instances: int
    by_script: bool
    """Told by a script; else by a FIFO."""
    flips: int
    """To backup and back, for a round."""


class Ear:
    """The reading end of a named pipe: lines, and when each could be read."""

    def __init__(self, path: pathlib.Path) -> None:
        # For writing as well: no end of file when a writer closes it.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""

    def lines(self, timeout_s: float) -> tuple[float, list[str]]:
        """Whole lines that are there, and the instant at which they were; none after a while."""
        select.select([self._fd], [], [], max(0.0, timeout_s))
        at = time.time()
        with contextlib.suppress(BlockingIOError):
            self._rest += os.read(self._fd, 65536)
        *whole, self._rest = self._rest.split(b"\n")
        return at, [line.decode() for line in whole]

    def close(self) -> None:
        os.close(self._fd)


class Director:
    """One daemon, master of its instances, and the peer that makes it change."""

    def __init__(self, lab: Lab, program: Program, segment: int, shape: Shape) -> None:
        self.shape = shape
        self.lab, self.segment, self.node = lab, segment, f"n{segment + 1}"
        self.names = [f"V{number}" for number in range(1, shape.instances + 1)]
        self.wire: Observer = lab.observer(segment)
        self.folder = lab.dir / f"told-{self.node}"
        self.folder.mkdir()
        self.pipe = self.folder / "pipe"
        self.script = self.folder / "notify.sh"
        self.ear: Ear | None = None
        if shape.by_script:
            os.mkfifo(self.pipe)
            self.script.write_text(
                f"#!{shutil.which('bash')}\n"
                f'printf \'%s "%s" %s %s\\n\' "$1" "$2" "$3" "$EPOCHREALTIME" >{self.pipe}\n'
            )
            self.script.chmod(0o755)
        self.daemon = lab.daemon(self.node, program, self._config())
        with in_netns(lab.ns("peer")):
            self._peer = socket.socket(socket.AF_INET, socket.SOCK_RAW, VRRP_PROTOCOL)
        self._source = lab.address("peer", segment)
        self._peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, self._source.packed)
        self._peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        self._peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)

    def _address(self, number: int) -> IPv4Address:
        return IPv4Address(f"10.{100 + self.segment}.1.{number + 1}")

    def _config(self) -> str:
        words = ["script_user root"]
        if not self.shape.by_script:
            words.append(f"vrrp_notify_fifo {self.pipe}")
        return conf.global_defs(*words) + "".join(
            conf.instance(
                name,
                interface=f"e{self.segment}",
                vrid=FIRST_VRID + number,
                priority=PRIORITY,
                advert_int=ADVERT_INT_S,
                addresses=[f"{self._address(number)}/16"],
                extra=[f"notify {self.script}"] if self.shape.by_script else [],
            )
            for number, name in enumerate(self.names)
        )

    def settle(self) -> None:
        """Wait until it is master of everything and has told so."""
        wait_until(self.pipe.exists, 20, f"{self.daemon.program.name}: {self.pipe}")
        self.ear = Ear(self.pipe)
        for number in range(len(self.names)):
            self.wire.await_advert(20, src=self._own, vrid=FIRST_VRID + number, active=True)
        time.sleep(1.0)
        self.ear.lines(0)

    @property
    def _own(self) -> IPv4Address:
        return self.lab.address(self.node, self.segment)

    def _say(self, priority: int) -> None:
        for number in range(len(self.names)):
            data = build_advert(
                version=3,
                src=self._source,
                dst=V4_GROUP,
                vrid=FIRST_VRID + number,
                priority=priority,
                interval_cs=int(ADVERT_INT_S * 100),
                addresses=[self._address(number)],
            )
            self._peer.sendto(data, (str(V4_GROUP), 0))

    def _told(self, state: str) -> dict[str, float]:
        """Name of each instance -> when somebody was told that it is in this state."""
        assert self.ear is not None
        found: dict[str, float] = {}
        end = time.time() + PATIENCE_S
        while len(found) < len(self.names):
            if time.time() > end:
                raise TimeoutError(f"{self.daemon.program.name} told of {len(found)} {state}: {found}")
            at, lines = self.ear.lines(0.5)
            for line in lines:
                words = line.split()
                if words[0] == "INSTANCE" and words[2] == state:
                    own = float(words[3].replace(",", ".")) if self.shape.by_script else at
                    found.setdefault(words[1].strip('"'), own)
        return found

    def take(self) -> Round:
        """One round of flips."""
        samples: Samples = {}
        stall_s = 0.0
        for _ in range(self.shape.flips):
            for metric, priority, state, cause in (
                ("to_backup_s", HIGHER, "BACKUP", self._source),
                ("to_master_s", 0, "MASTER", self._own),
            ):
                self.wire.forget()
                self._say(priority)
                told = self._told(state)
                stall_s = max(stall_s, pause(0.03 + random.random() * 0.05))
                first = _first_of_each(self.wire.adverts(src=cause))
                asked = _first_of_each(self.wire.adverts(src=self._source, priority=priority))
                for number, name in enumerate(self.names):
                    frame = first.get(FIRST_VRID + number)
                    if frame is None:
                        raise LabError(f"{self.daemon.program.name}: no advert of {name} was seen")
                    samples.setdefault(metric, []).append(told[name] - frame.at)
                    if state == "MASTER":
                        due_at = asked[FIRST_VRID + number].at + conf.skew_s(PRIORITY, ADVERT_INT_S)
                        samples.setdefault("master_over_skew_s", []).append(told[name] - due_at)
        if self.shape.by_script:
            samples["script_alone_s"] = [self._alone() for _ in range(ALONE)]
        return Round(samples=samples, host_stall_s=stall_s)

    def _alone(self) -> float:
        assert self.ear is not None
        at = time.time()
        words = [str(self.script), "NOBODY", "-", "-"]
        pid = os.posix_spawn(words[0], words, os.environ)
        _, lines = self.ear.lines(PATIENCE_S)
        os.waitpid(pid, 0)
        return float(lines[0].split()[3].replace(",", ".")) - at

    def close(self) -> None:
        self._peer.close()
        if self.ear is not None:
            self.ear.close()


def _first_of_each(frames: Sequence[VrrpFrame]) -> dict[int, VrrpFrame]:
    found: dict[int, VrrpFrame] = {}
    for frame in frames:
        found.setdefault(frame.vrid, frame)
    return found


def stage(shape: Shape) -> Stage:
    @contextmanager
    def up(compared: Sequence[Program]) -> Iterator[Mapping[str, Take]]:
        if shape.by_script and shutil.which("bash") is None:
            raise LabError("the script needs bash, which tells its own start (Debian: apt-get install bash)")
        nodes = [f"n{number + 1}" for number in range(len(compared))]
        with contextlib.ExitStack() as stack:
            lab = stack.enter_context(Lab((*nodes, "peer"), segments=len(compared)))
            directors = {}
            for segment, program in enumerate(compared):
                director = Director(lab, program, segment, shape)
                stack.callback(director.close)
                director.daemon.start()
                directors[program.name] = director
            for director in directors.values():
                director.settle()
            yield {name: director.take for name, director in directors.items()}

    return up


SCENARIOS = (
    Scenario(name="script", stage=stage(Shape(instances=1, by_script=True, flips=20))),
    Scenario(name="fifo", stage=stage(Shape(instances=1, by_script=False, flips=20))),
    Scenario(name="script-20", stage=stage(Shape(instances=20, by_script=True, flips=5))),
    Scenario(name="fifo-20", stage=stage(Shape(instances=20, by_script=False, flips=5))),
)


def main(argv: Sequence[str] | None = None) -> int:
    return _samples.main(__doc__.splitlines()[0] if __doc__ else "", SCENARIOS, argv, rounds=10)


if __name__ == "__main__":
    sys.exit(main())
