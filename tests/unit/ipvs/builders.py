"""Short ways to write configurations, services and tables in tests."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from ipvs_proc.model import (
    SVC_F_PERSISTENT,
    Destination,
    DestinationKey,
    Entry,
    Service,
    ServiceKey,
)
from keepalived_conf.model import Check, GlobalDefs, IpvsSlice, RealServer, VirtualServer

VIP = "192.0.2.1"
VS = f"[{VIP}]:tcp:80"


def check(name: str, *, alpha: bool = False, kind: Any = "TCP_CHECK") -> Check:
    return Check(
        check_id=name,
        kind=kind,
        virtual_server=VS,
        real_server="",
        connect_ip=ip_address("10.0.0.1"),
        connect_port=80,
        alpha=alpha,
    )


def real(host: int, *checks: str, port: int = 80, alpha: bool = False, **values: Any) -> RealServer:
    """10.0.0.HOST with a check for each name (``check_id``)."""
    return RealServer(
        address=ip_address(f"10.0.0.{host}"),
        port=port,
        checks=tuple(check(name, alpha=alpha) for name in checks),
        **values,
    )


def virtual(*real_servers: RealServer, port: int = 80, **values: Any) -> VirtualServer:
    values.setdefault("address", ip_address(VIP))
    return VirtualServer(port=port, real_servers=real_servers, **values)


def config(*virtual_servers: VirtualServer, **values: Any) -> IpvsSlice:
    return IpvsSlice(globals=GlobalDefs(**values), virtual_servers=virtual_servers)


def key(address: str = VIP, port: int = 80, protocol: Any = "TCP") -> ServiceKey:
    parsed = ip_address(address)
    return ServiceKey(family=4 if parsed.version == 4 else 6, protocol=protocol, address=parsed, port=port)


def fwmark(mark: int, family: Any = 4) -> ServiceKey:
    return ServiceKey(family=family, fwmark=mark)


def service(key_: ServiceKey, scheduler: str = "rr", *, timeout_s: int = 0, **values: Any) -> Service:
    values.setdefault("prefix_length", 32 if key_.family == 4 else 128)
    values.setdefault("flags", SVC_F_PERSISTENT if timeout_s else 0)
    return Service(key=key_, scheduler=scheduler, timeout_s=timeout_s, **values)


def destination(address: str, port: int = 80, **values: Any) -> Destination:
    return Destination(key=DestinationKey(address=ip_address(address), port=port), **values)


def entry(service_: Service, *destinations: Destination) -> Entry:
    return Entry(service=service_, destinations={d.key: d for d in destinations})


def table(*entries: Entry) -> dict[ServiceKey, Entry]:
    return {e.service.key: e for e in entries}


def weights(entry_: Entry) -> dict[str, int]:
    """host:port of each destination -> weight."""
    return {f"{d.key.address}:{d.key.port}": d.weight for d in entry_.destinations.values()}


def ids(names: Iterable[object]) -> list[str]:
    return [str(name) for name in names]
