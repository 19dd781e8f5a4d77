"""Whether one question from a node is answered: echo, TCP connection, link-layer address."""

from __future__ import annotations

import os
import select
import socket
import struct
import time

from tests.lab.net import Lab
from tests.lab.system import in_netns
from tests.lab.wire import checksum

ECHO_REQUEST, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def _target(address: str, port: int, dev: str) -> tuple[str, int] | tuple[str, int, int, int]:
    if _family(address) == 4:
        return address, port
    return address, port, 0, socket.if_nametoindex(dev) if address.startswith("fe80") else 0


def listen(lab: Lab, node: str, port: int) -> list[socket.socket]:
    """The kernel of a node takes connections to every address of it, until the sockets are closed."""
    with in_netns(lab.ns(node)):
        four = socket.create_server(("0.0.0.0", port))
        six = socket.create_server(("::", port), family=socket.AF_INET6)
    return [four, six]


def connects(lab: Lab, node: str, address: str, port: int, timeout_s: float, dev: str = "e0") -> bool:
    """Whether a TCP connection from ``node`` comes about."""
    with in_netns(lab.ns(node)):
        sock = socket.socket(socket.AF_INET if _family(address) == 4 else socket.AF_INET6)
        target = _target(address, port, dev)
    with sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(target)
        except OSError:
            return False
        return True


def echoes(lab: Lab, node: str, address: str, timeout_s: float, dev: str = "e0") -> bool:
    """Whether an echo request from ``node`` is answered; it is repeated until then."""
    family = _family(address)
    with in_netns(lab.ns(node)):
        if family == 4:
            sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        else:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        target = _target(address, 0, dev)
    mark = os.urandom(8)
    body = struct.pack("!BBHHH", ECHO_REQUEST[family], 0, 0, 1, 1) + mark
    if family == 4:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    end = time.monotonic() + timeout_s
    with sock:
        while time.monotonic() < end:
            try:
                sock.sendto(body, target)
            except OSError:
                time.sleep(0.05)
                continue
            again = time.monotonic() + 0.2
            while (left := min(again, end) - time.monotonic()) > 0:
                if select.select([sock], [], [], left)[0]:
                    data = sock.recv(2048)
                    data = data[20:] if family == 4 else data
                    if data[0] == ECHO_REPLY[family] and data[8:16] == mark:
                        return True
    return False


def neighbour(lab: Lab, node: str, address: str, dev: str = "e0") -> str | None:
    """The MAC that ``node`` has learned for an address."""
    words = lab.ip(node, "neigh", "show", address, "dev", dev).split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else None
