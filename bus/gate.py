"""Which process may speak on which ingress. Pure.

The supervisor names the process of each role before it lets that process go. A connection is judged by
the process at its other end (libzmq's Peer-Address, from SO_PEERCRED), which the shell reads once per
connection; naming a successor turns its predecessor's connections into former ones.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["present", "former", "stranger"]

FORMER_KEPT = 16
CONNECTIONS_KEPT = 256


def peer_pid(peer_address: str) -> int | None:
    """The pid in libzmq's Peer-Address of an ipc connection: ``[HOST]:UID:GID:PID``.

    None when there is none, or it is 0: a process outside our pid namespace.
    """
    parts = peer_address.rsplit(":", 3)
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        return None
    return int(parts[3]) or None


@dataclass(slots=True)
class _Ingress:
    pid: int | None = None
    former: list[int] = field(default_factory=list)
    connections: OrderedDict[bytes, int | None] = field(default_factory=OrderedDict)


class Gate:
    """The pids of all roles and the connections seen so far."""

    def __init__(self) -> None:
        self._ingress: dict[str, _Ingress] = {}

    def name(self, role: str, pid: int) -> None:
        """From now on only this process speaks for the role."""
        ingress = self._ingress.setdefault(role, _Ingress())
        if ingress.pid is not None and ingress.pid != pid:
            ingress.former = [*(old for old in ingress.former if old != pid), ingress.pid][-FORMER_KEPT:]
        ingress.pid = pid

    def known(self, role: str, connection: bytes) -> bool:
        """Whether the process behind a connection has been noted."""
        ingress = self._ingress.get(role)
        return ingress is not None and connection in ingress.connections

    def note(self, role: str, connection: bytes, pid: int | None) -> None:
        """A new connection (libzmq's routing id of it) and the process behind it."""
        connections = self._ingress.setdefault(role, _Ingress()).connections
        connections[connection] = pid
        while len(connections) > CONNECTIONS_KEPT:
            connections.popitem(last=False)

    def verdict(self, role: str, connection: bytes) -> Verdict:
        """``former``: a process that held the role before; its last words may be true."""
        ingress = self._ingress.get(role)
        pid = ingress.connections.get(connection) if ingress is not None else None
        if ingress is None or pid is None:
            return "stranger"
        if pid == ingress.pid:
            return "present"
        return "former" if pid in ingress.former else "stranger"

    def pid(self, role: str, connection: bytes) -> int | None:
        ingress = self._ingress.get(role)
        return ingress.connections.get(connection) if ingress is not None else None
