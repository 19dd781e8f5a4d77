"""The ledger: which services in the kernel are ours, and what was decided last.

It outlives the process, so that a successor removes what only we made, and holds instead of guessing.
Two files, written in turn and completely: sequence, CRC-32 and a JSON body. A process killed in the
middle of a write leaves the older one valid. The descriptors are opened before privileges are dropped
and kept by the supervisor for successors; where the run directory cannot be written, anonymous memory
takes its place (and lasts as long as the supervisor).

What another boot of the machine has left is ignored: its table is gone and its instants mean nothing.

``pack`` and ``unpack`` are pure; ``Ledger`` does the I/O.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ipvs_proc.desired import Memory, ServerId
from ipvs_proc.model import ServiceKey

NAMES = ("ipvs.ledger.a", "ipvs.ledger.b")
"""File names in the run directory, and names of the descriptors the supervisor keeps."""

_HEADER = struct.Struct("=4sIII")  # magic, sequence, length, CRC of sequence, length and body
_MAGIC = b"PKI1"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Entries:
    """What the ledger says."""

    owned: frozenset[ServiceKey] = frozenset()
    memory: Memory = field(default_factory=Memory)
    since: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Key of a published record -> (CLOCK_BOOTTIME s, wall clock s) of its last change."""


def pack(sequence: int, entries: Entries, boot: str = "") -> bytes:
    """One copy of the ledger as bytes. ``boot`` identifies the boot of the machine it is for."""
    memory = entries.memory
    body = json.dumps(
        {
            "boot": boot,
            "owned": sorted(_key_fields(key) for key in entries.owned),
            "checks": dict(memory.checks),
            "servers": [[id_.virtual_server, id_.real_server, up] for id_, up in memory.servers.items()],
            "quorums": dict(memory.quorums),
            "assumed": sorted(memory.assumed),
            "since": {name: list(at) for name, at in entries.since.items()},
        },
        separators=(",", ":"),
    ).encode()
    return _HEADER.pack(_MAGIC, sequence, len(body), _crc(sequence, body)) + body


def unpack(data: bytes, boot: str = "") -> tuple[int, Entries] | None:
    """(sequence, entries) of a copy; None when it is empty, cut off, damaged or of another boot."""
    if len(data) < _HEADER.size:
        return None
    magic, sequence, length, crc = _HEADER.unpack_from(data)
    body = data[_HEADER.size : _HEADER.size + length]
    if magic != _MAGIC or len(body) != length or crc != _crc(sequence, body):
        return None
    try:
        content = json.loads(body)
        if content["boot"] != boot:
            return None
        memory = Memory(
            checks={str(name): bool(up) for name, up in content["checks"].items()},
            servers={ServerId(str(vs), str(rs)): bool(up) for vs, rs, up in content["servers"]},
            quorums={str(name): bool(up) for name, up in content["quorums"].items()},
            assumed=frozenset(ServerId(str(vs), str(rs)) for vs, rs in content.get("assumed", ())),
        )
        owned = frozenset(_key(item) for item in content["owned"])
        since = {str(name): (float(at), float(wall_at)) for name, (at, wall_at) in content["since"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return sequence, Entries(owned=owned, memory=memory, since=since)


def _crc(sequence: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("=II", sequence, len(body))))


def _key_fields(key: ServiceKey) -> list[Any]:
    return [key.family, key.protocol or "", str(key.address or ""), key.port, key.fwmark or 0]


def _key(item: Any) -> ServiceKey:
    family, protocol, address, port, fwmark = item
    return ServiceKey(
        family=family,
        protocol=protocol or None,
        address=ip_address(address) if address else None,
        port=int(port),
        fwmark=int(fwmark) or None,
    )


class Ledger:
    """The ledger on two descriptors. Never raises after it is open: see ``problem``."""

    def __init__(self, fds: tuple[int, int], *, problem: str = "") -> None:
        self._fds = fds
        self._boot = _boot_id()
        self.problem = problem
        """Why the last write (or opening the files) failed; empty when all is well."""
        found = [copy for copy in map(self._read, fds) if copy is not None]
        self._sequence, self.entries = max(found, key=lambda copy: copy[0], default=(0, Entries()))

    @classmethod
    def open(cls, run_dir: Path, kept_fds: Mapping[str, int]) -> tuple[Ledger, bool]:
        """The ledger, and whether a predecessor under the same supervisor left it."""
        if all(name in kept_fds for name in NAMES):
            return cls((kept_fds[NAMES[0]], kept_fds[NAMES[1]])), True
        problem = ""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            first, second = (os.open(run_dir / name, flags, 0o600) for name in NAMES)
        except OSError as error:
            problem = f"cannot write {run_dir / NAMES[0]} ({error.strerror}): after a restart of the daemon"
            problem += " services that left the configuration meanwhile would not be removed"
            first, second = (os.memfd_create(name, os.MFD_CLOEXEC) for name in NAMES)
        return cls((first, second), problem=problem), False

    def descriptors(self) -> Iterable[tuple[str, int]]:
        """What the supervisor is to keep for the next incarnation."""
        return zip(NAMES, self._fds, strict=True)

    def write(self, entries: Entries) -> bool:
        """Make ``entries`` the content. False when it could not be written; ``problem`` says why."""
        if entries == self.entries:
            return True
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        data = pack(self._sequence, entries, self._boot)
        fd = self._fds[self._sequence % 2]
        try:
            written = os.pwrite(fd, data, 0)
            if written != len(data):
                raise OSError(28, os.strerror(28))
            os.ftruncate(fd, written)
        except OSError as error:
            self.problem = f"the ledger cannot be written: {error.strerror}"
            return False
        self.entries, self.problem = entries, ""
        return True

    def _read(self, fd: int) -> tuple[int, Entries] | None:
        try:
            return unpack(os.pread(fd, _MAX_BYTES, 0), self._boot)
        except OSError:
            return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
