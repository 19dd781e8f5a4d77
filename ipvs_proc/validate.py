"""What the ipvs worker refuses before anything is touched: a slice that could never be served.

Pure. The parser has made the configuration consistent; this is the second pair of eyes of the process
that writes the kernel. What only the kernel can judge (a scheduler whose module is missing, a
threshold out of range) is reported when it refuses, without holding up the other services.
"""

from __future__ import annotations

from ipvs_proc.model import SCHEDULERS, address_family, service_key
from keepalived_conf.model import IpvsSlice, Places, RealServer, VirtualServer


def problems(config: IpvsSlice) -> list[str]:
    """One line per problem: where, what, and how to mend it. Empty when all can be served."""
    found: list[str] = []
    seen: dict[object, VirtualServer] = {}
    for virtual in config.virtual_servers:
        found += _service_problems(virtual)
        key = service_key(virtual)
        if key in seen:
            found.append(
                _at(virtual.places, "", f"virtual_server {virtual.key} is defined twice: remove one")
            )
        seen[key] = virtual
        servers = virtual.real_servers
        if virtual.sorry_server is not None:
            servers = (*servers, virtual.sorry_server)
        for server in servers:
            found += _server_problems(virtual, server)
    return found


def _service_problems(virtual: VirtualServer) -> list[str]:
    found: list[str] = []
    name = f"virtual_server {virtual.key}"
    if virtual.fwmark is not None:
        if not 0 < virtual.fwmark < 2**32:
            found.append(_at(virtual.places, "", f"{name}: fwmark must be 1..4294967295"))
    elif virtual.address is None or virtual.protocol is None:
        found.append(_at(virtual.places, "", f"{name}: needs an address and a protocol, or a fwmark"))
    elif address_family(virtual.address) != virtual.family:
        found.append(_at(virtual.places, "", f"{name}: is said to be IPv{virtual.family}"))
    if virtual.scheduler not in SCHEDULERS:
        known = " ".join(sorted(SCHEDULERS))
        text = f"{name}: lvs_sched {virtual.scheduler!r} is not a scheduler: use one of {known}"
        found.append(_at(virtual.places, "lvs_sched", text))
    if virtual.persistence_prefix is not None:
        longest = 32 if virtual.family == 4 else 128
        if not 1 <= virtual.persistence_prefix <= longest:
            text = f"{name}: persistence_granularity must be a prefix length of 1..{longest}"
            found.append(_at(virtual.places, "persistence_granularity", text))
    return found


def _server_problems(virtual: VirtualServer, server: RealServer) -> list[str]:
    if address_family(server.address) == virtual.family or server.lvs_method == "TUN":
        return []
    text = (
        f"virtual_server {virtual.key}: server {server.key} is of the other address family, "
        "which only lvs_method TUN can reach"
    )
    return [_at(server.places, "", text)]


def _at(places: Places, keyword: str, text: str) -> str:
    place = places.get(keyword) or places.get("")
    return f"{place}: {text}" if place else text
