"""The kernel's IPVS table as a dozen verbs: what ``netlink`` implements and ``FakeIpvs`` stands in for.

Pure. One contract suite (tests/unit/ipvs/contract.py) runs against both, so the stand-in is not a rumour.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ipvs_proc.model import Destination, DestinationKey, Entry, Service, ServiceKey
from ipvs_proc.reconcile import (
    AddDestination,
    AddService,
    EditDestination,
    EditService,
    Operation,
    RemoveDestination,
    RemoveService,
    describe,
    perform,
)


class IpvsUnavailableError(Exception):
    """The kernel has no IPVS, or this process may not use it; the text says what to do."""


class IpvsError(Exception):
    """The kernel refused one operation. ``code`` is the errno, the text names service and server."""

    def __init__(self, what: str, code: int, detail: str = "") -> None:
        super().__init__(f"cannot {what}: {detail or os.strerror(code)}")
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Info:
    """What the kernel's IPVS says about itself."""

    version: str
    connection_table_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Connection timeouts in seconds; 0 in a request leaves one as it is."""

    tcp_s: int
    tcp_fin_s: int
    udp_s: int


class IpvsPort(Protocol):
    """All verbs raise IpvsUnavailableError when there is no IPVS (any more)."""

    def info(self) -> Info: ...

    def services(self) -> list[Service]:
        """All services, ours and foreign."""
        ...

    def destinations(self, key: ServiceKey) -> list[Destination]:
        """The destinations of a service, with connection counts; IpvsError ESRCH when it is gone."""
        ...

    def perform(self, operations: Sequence[Operation]) -> list[IpvsError | None]:
        """Do them in order, going on after a failure. One answer per operation, None for done."""
        ...

    def flush(self) -> None:
        """Remove every service, foreign ones too. Only for lvs_flush and lvs_flush_on_stop."""
        ...

    def timeouts(self) -> Timeouts: ...

    def set_timeouts(self, timeouts: Timeouts) -> None: ...

    def close(self) -> None: ...


def read_table(port: IpvsPort) -> dict[ServiceKey, Entry]:
    """The whole table at once. A service that vanishes while it is read is left out."""
    table: dict[ServiceKey, Entry] = {}
    for service in port.services():
        entry = read_entry(port, service)
        if entry is not None:
            table[service.key] = entry
    return table


def read_entry(port: IpvsPort, service: Service) -> Entry | None:
    """A service with its destinations; None when it is gone meanwhile."""
    try:
        found = port.destinations(service.key)
    except IpvsError as error:
        if error.code in (errno.ESRCH, errno.ENOENT):
            return None
        raise
    return Entry(service=service, destinations={d.key: d for d in found})


def explain(operation: Operation, code: int, kernel_says: str = "") -> IpvsError:
    """An errno the kernel answered, as an error that names what was tried and how to mend it."""
    hint = os.strerror(code)
    match operation, code:
        case ((AddService(service=s) | EditService(service=s)), errno.ENOENT):
            hint = f"the kernel does not know scheduler {s.scheduler!r} (modprobe ip_vs_{s.scheduler})" + (
                f" or persistence engine {s.persistence_engine!r}" if s.persistence_engine else ""
            )
        case _, errno.EAFNOSUPPORT | errno.EPROTONOSUPPORT:
            hint = "the kernel's IPVS was built without support for this address family or protocol"
        case ((AddService() | AddDestination()), errno.EEXIST):
            hint = "it is there already"
        case ((EditService() | RemoveService() | AddDestination()), errno.ESRCH):
            hint = "there is no such service in the kernel"
        case ((EditDestination() | RemoveDestination()), errno.ESRCH | errno.ENOENT):
            hint = "there is no such service or server in the kernel"
        case ((AddDestination(destination=d) | EditDestination(destination=d)), errno.ERANGE):
            hint = (
                f"weight {d.weight} or thresholds (upper {d.upper_threshold}, lower {d.lower_threshold}) "
                "are out of range: lthreshold may not be above uthreshold"
            )
        case ((AddDestination(destination=d) | EditDestination(destination=d)), errno.EINVAL):
            hint = (
                f"the kernel takes no server {d.key.address} here: the address must be a unicast address "
                "of a family and kind that the service can forward to, and the network must be up"
            )
        case _, errno.EPERM:
            hint = "not permitted: the ipvs worker needs CAP_NET_ADMIN"
        case _:
            pass
    return IpvsError(describe(operation), code, hint + (f" (kernel: {kernel_says})" if kernel_says else ""))


class FakeIpvs:
    """A table in memory that behaves as the kernel's does, for tests and simulations.

    ``refuse`` holds scheduler names that this "kernel" does not know.
    """

    def __init__(self) -> None:
        self.table: dict[ServiceKey, Entry] = {}
        self.performed: list[Operation] = []
        self.refuse: set[str] = set()
        self.available = True
        self.flushed = 0
        self._timeouts = Timeouts(tcp_s=900, tcp_fin_s=120, udp_s=300)

    def _check(self) -> None:
        if not self.available:
            raise IpvsUnavailableError("this fake kernel has no IPVS")

    def info(self) -> Info:
        self._check()
        return Info(version="1.2.1", connection_table_size=4096)

    def services(self) -> list[Service]:
        self._check()
        return [entry.service for entry in self.table.values()]

    def destinations(self, key: ServiceKey) -> list[Destination]:
        self._check()
        if key not in self.table:
            raise IpvsError(f"list servers of service {key}", errno.ESRCH)
        return list(self.table[key].destinations.values())

    def perform(self, operations: Sequence[Operation]) -> list[IpvsError | None]:
        self._check()
        return [self._one(operation) for operation in operations]

    def _one(self, operation: Operation) -> IpvsError | None:
        self.performed.append(operation)
        code = self._refusal(operation)
        if code:
            return explain(operation, code)
        self.table = perform(self.table, [operation])
        return None

    def _refusal(self, operation: Operation) -> int:
        match operation:
            case AddService(service=service):
                if service.key in self.table:
                    return errno.EEXIST
                return errno.ENOENT if service.scheduler in self.refuse else 0
            case EditService(service=service):
                if service.key not in self.table:
                    return errno.ESRCH
                return errno.ENOENT if service.scheduler in self.refuse else 0
            case RemoveService(key=key):
                return 0 if key in self.table else errno.ESRCH
            case AddDestination(service=key, destination=d):
                if key not in self.table:
                    return errno.ESRCH
                if d.lower_threshold > d.upper_threshold:
                    return errno.ERANGE
                return errno.EEXIST if d.key in self.table[key].destinations else 0
            case EditDestination(service=key, destination=d):
                if key not in self.table:
                    return errno.ESRCH
                if d.lower_threshold > d.upper_threshold:
                    return errno.ERANGE
                return 0 if d.key in self.table[key].destinations else errno.ENOENT
            case RemoveDestination(service=key, key=dest_key):
                if key not in self.table:
                    return errno.ESRCH
                return 0 if dest_key in self.table[key].destinations else errno.ENOENT

    def flush(self) -> None:
        self._check()
        self.table.clear()
        self.flushed += 1

    def timeouts(self) -> Timeouts:
        self._check()
        return self._timeouts

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._check()
        old = self._timeouts
        self._timeouts = Timeouts(
            tcp_s=timeouts.tcp_s or old.tcp_s,
            tcp_fin_s=timeouts.tcp_fin_s or old.tcp_fin_s,
            udp_s=timeouts.udp_s or old.udp_s,
        )

    def close(self) -> None:
        pass


def destination_key_of(operation: Operation) -> DestinationKey | None:
    """The destination an operation is about; None for operations on services."""
    match operation:
        case AddDestination(destination=d) | EditDestination(destination=d):
            return d.key
        case RemoveDestination(key=key):
            return key
        case _:
            return None


def service_key_of(operation: Operation) -> ServiceKey:
    """The service an operation is about."""
    match operation:
        case AddService(service=service) | EditService(service=service):
            return service.key
        case RemoveService(key=key):
            return key
        case AddDestination(service=key) | EditDestination(service=key) | RemoveDestination(service=key):
            return key
