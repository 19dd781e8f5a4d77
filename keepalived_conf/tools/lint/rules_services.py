"""Rules about virtual servers: checks that miss, services that nobody can reach."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from keepalived_conf.model import BfdCheck, FileCheck, IpAddress, RealServer
from keepalived_conf.syntax.parser import Statement
from keepalived_conf.tools.lint.finding import Finding
from keepalived_conf.tools.lint.rules_vrrp import addresses
from keepalived_conf.tools.lint.view import Service, View, inner, last, text

SLOW_CHECK_S = 600
"""A dead server that keeps its clients for ten minutes and more."""
TLS_PORTS = frozenset({443, 8443})
PLAIN_PORTS = frozenset({80})


def checks(real: Statement) -> list[Statement]:
    """Those that are written: of one that cannot be used the loader speaks."""
    return [one for one in real.statements() if one.body is not None and one.name.isupper()]


def unchecked(view: View) -> Iterator[Finding]:
    """A server added without its check: it keeps its clients when it is dead (users-ask 22)."""
    for service in view.services:
        bare = [real for real in service.real_servers if not checks(real)]
        if len(bare) < len(service.real_servers):
            for real in bare:
                yield Finding(
                    code="lint-unchecked-real-server",
                    place=real.place,
                    width=len("real_server"),
                    message=f"{service.name}: real server {text(real)} has no check, the others have one",
                    hint="give it the check of the others",
                )
        elif bare and (sorry := last(service.statement, "sorry_server")) is not None:
            yield Finding(
                code="lint-unchecked-real-server",
                place=sorry.place,
                width=len("sorry_server"),
                message=f"{service.name}: no real server has a check, so none is ever down and the "
                "sorry_server never comes in",
                hint="give the real servers a check",
            )


def no_weight(view: View) -> Iterator[Finding]:
    """Every server at weight 0: no connection goes anywhere (users-ask 20)."""
    for service in view.services:
        reals = service.model.real_servers
        if reals and all(real.weight == 0 for real in reals) and not any(map(_weight_moves, reals)):
            yield Finding(
                code="lint-no-weight",
                place=reals[0].places.get("weight") or service.statement.place,
                width=len("weight"),
                message=f"{service.name}: every real server has weight 0 and gets no connection",
                hint="give at least one of them a weight of 1 or more",
            )


def _weight_moves(real: RealServer) -> bool:
    """A check sets or adds to the weight."""
    others = real.other_checks
    return others is not None and bool(others.file or any(check.misc_dynamic for check in others.misc))


def check_port(view: View) -> Iterator[Finding]:
    """HTTP_GET where TLS is spoken, SSL_GET where it is not: always down (KA#821, #804)."""
    for service in view.services:
        for real in service.model.real_servers:
            for check in real.checks:
                meant = any(low <= 400 <= high for url in check.urls for low, high in url.status_ranges)
                if check.kind == "HTTP_GET" and check.connect_port in TLS_PORTS and not meant:
                    yield Finding(
                        code="lint-http-on-tls-port",
                        place=check.places.get(""),
                        width=len(check.kind),
                        message=f"{service.name}: HTTP_GET asks port {check.connect_port}, where TLS is "
                        "spoken: the answer is an error",
                        hint="write SSL_GET, or connect_port and a port that speaks plain HTTP",
                    )
            for tls in real.other_checks.ssl_get if real.other_checks is not None else ():
                if tls.connect_port in PLAIN_PORTS:
                    yield Finding(
                        code="lint-tls-on-http-port",
                        place=tls.places.get(""),
                        width=len(tls.kind),
                        message=f"{service.name}: SSL_GET asks port {tls.connect_port}, where plain HTTP is "
                        "spoken: no handshake comes about",
                        hint="write HTTP_GET, or connect_port and a port that speaks TLS",
                    )


def slow_check(view: View) -> Iterator[Finding]:
    """A delay_loop of many minutes: a dead server keeps its clients (users-ask 22)."""
    for service in view.services:
        seen = set()
        for real in service.model.real_servers:
            for check in (*real.checks, *(real.other_checks or ())):
                if isinstance(check, BfdCheck | FileCheck) or check.delay_loop_s < SLOW_CHECK_S:
                    continue
                holders = (check.places, real.places, service.model.places)
                place = next((places["delay_loop"] for places in holders if "delay_loop" in places), None)
                if place is None or place in seen:
                    continue
                seen.add(place)
                yield Finding(
                    code="lint-slow-check",
                    place=place,
                    width=len("delay_loop"),
                    message=f"{service.name}: a check every {check.delay_loop_s:g} s: a dead server keeps "
                    "its clients for as long",
                    hint="delay_loop is in seconds; 5 to 30 is usual",
                )


def without_vip(view: View) -> Iterator[Finding]:
    """A service beside the addresses of the instances: a digit is wrong (KA#1699).

    Only in a subnet that has virtual addresses: an address elsewhere may be routed here.
    """
    virtual = {address.interface.ip for one in view.instances for address in addresses(one)}
    held = virtual | {address.interface.ip for address in view.config.static_addresses}
    near = {_subnet(ip) for ip in virtual}
    for service in view.services:
        address = service.model.address
        if address is None or address in held or _subnet(address) not in near or _brought_up(service):
            continue
        yield Finding(
            code="lint-service-without-vip",
            place=service.statement.place_of(1),
            width=len(text(service.statement)),
            message=f"{service.name}: {address} is no address of any vrrp_instance of this configuration",
            hint="write it in virtual_ipaddress, or mend the number",
        )


def _subnet(ip: IpAddress) -> IPv4Network | IPv6Network:
    """A usual one around the address."""
    return ip_network((ip, 24 if ip.version == 4 else 64), strict=False)


def _brought_up(service: Service) -> bool:
    """Scripts of the service may bring the address."""
    return any(last(service.statement, word) is not None for word in ("quorum_up", "ha_suspend"))


def serves_itself(view: View) -> Iterator[Finding]:
    """A real server that is the service: packets go round in a ring."""
    for service in view.services:
        for real in service.model.real_servers:
            if real.address == service.model.address and real.port == service.model.port:
                yield Finding(
                    code="lint-serves-itself",
                    place=real.places.get(""),
                    width=len("real_server"),
                    message=f"{service.name}: its real server {real.key} is the service itself",
                    hint="write the address of the machine that answers",
                )


def sorry_is_real(view: View) -> Iterator[Finding]:
    """The sorry server comes in when no real server is left: it must be another one."""
    for service in view.services:
        sorry = service.model.sorry_server
        reals = service.model.real_servers
        if sorry is not None and len(reals) == 1 and reals[0].key == sorry.key:
            line = next(inner(service.statement, "sorry_server"), service.statement)
            yield Finding(
                code="lint-sorry-is-real",
                place=line.place,
                width=len("sorry_server"),
                message=f"{service.name}: the sorry_server is the only real server: it is down as well",
                hint="name another machine",
            )


RULES = (unchecked, no_weight, check_port, slow_check, without_vip, serves_itself, sorry_is_real)
