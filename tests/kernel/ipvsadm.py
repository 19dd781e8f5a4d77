"""The table as ipvsadm prints it: a reader of the kernel that shares no line with ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from ipaddress import ip_address
from typing import Any

from ipvs_proc.model import (
    SVC_F_ONEPACKET,
    SVC_F_PERSISTENT,
    Destination,
    DestinationKey,
    Entry,
    Service,
    ServiceKey,
)

_PROTOCOLS = {"-t": "TCP", "-u": "UDP", "--sctp-service": "SCTP"}
_METHODS = {"-m": "NAT", "-g": "DR", "-i": "TUN"}
_FLAG_BITS = {"flag-1": 0x08, "flag-2": 0x10, "flag-3": 0x20}
_NAMED_FLAGS = {"sh": ("sh-fallback", "sh-port"), "mh": ("mh-fallback", "mh-port")}


def ipvsadm(*argv: str, netns: str | None = None) -> str:
    """Run ipvsadm and return what it prints; AssertionError with its words when it fails."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    binary = shutil.which("ipvsadm", path=path)
    assert binary is not None, "ipvsadm is not installed: ./run setup"
    prefix = ["ip", "netns", "exec", netns] if netns else []
    done = subprocess.run([*prefix, binary, *argv], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ipvsadm {' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout


def table(netns: str | None = None) -> dict[ServiceKey, Entry]:
    """What ``ipvsadm -Sn`` says, as our model. Thresholds and tunnel options are not in it."""
    found: dict[ServiceKey, Entry] = {}
    destinations: dict[ServiceKey, dict[DestinationKey, Destination]] = {}
    for line in ipvsadm("-Sn", netns=netns).splitlines():
        words = line.split()
        key, rest = _key(words[1:])
        if words[0] == "-A":
            destinations[key] = {}
            found[key] = Entry(service=_service(key, rest), destinations=destinations[key])
        else:
            destination = _destination(rest)
            destinations[key][destination.key] = destination
    return found


def _endpoint(text: str) -> tuple[Any, int]:
    host, _, port = text.rpartition(":")
    return ip_address(host.strip("[]")), int(port)


def _key(words: list[str]) -> tuple[ServiceKey, list[str]]:
    if words[0] == "-f":
        six = words[2:3] == ["-6"]
        return ServiceKey(family=6 if six else 4, fwmark=int(words[1])), words[3 if six else 2 :]
    address, port = _endpoint(words[1])
    protocol: Any = _PROTOCOLS[words[0]]
    key = ServiceKey(family=4 if address.version == 4 else 6, protocol=protocol, address=address, port=port)
    return key, words[2:]


def _service(key: ServiceKey, words: list[str]) -> Service:
    options = _options(words)
    scheduler = options["-s"]
    flags = SVC_F_PERSISTENT if "-p" in options else 0
    flags |= SVC_F_ONEPACKET if "-o" in options else 0
    names = dict(zip(_NAMED_FLAGS.get(scheduler, ()), (0x08, 0x10), strict=False)) | _FLAG_BITS
    for name in filter(None, options.get("-b", "").split(",")):
        flags |= names[name]
    mask = options.get("-M")
    if mask is None:
        prefix_length = 32 if key.family == 4 else 128
    else:
        prefix_length = int(ip_address(mask)).bit_count() if "." in mask else int(mask)
    return Service(
        key=key,
        scheduler=scheduler,
        flags=flags,
        timeout_s=int(options.get("-p", "0")),
        prefix_length=prefix_length,
    )


def _destination(words: list[str]) -> Destination:
    options = _options(words)
    address, port = _endpoint(options["-r"])
    method: Any = next(_METHODS[word] for word in words if word in _METHODS)
    return Destination(
        key=DestinationKey(address=address, port=port), method=method, weight=int(options["-w"])
    )


def _options(words: list[str]) -> dict[str, str]:
    """Option -> its value, empty for one without."""
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("-"):
            name = word
            found[name] = ""
        else:
            found[name] = word
    return found
