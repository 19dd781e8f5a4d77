"""Short ways to load text in tests."""

from __future__ import annotations

from keepalived_conf.diagnostics import Diagnostic
from keepalived_conf.loading import LoadResult, load_text
from keepalived_conf.model import Check, RealServer, VirtualServer, VrrpInstance

NAME = "t.conf"


def load(text: str | bytes, *, config_id: str = "node1") -> LoadResult:
    data = text if isinstance(text, bytes) else text.encode()
    return load_text(data, name=NAME, config_id=config_id)


def codes(result: LoadResult, *, severe: bool = True) -> list[str]:
    """Codes of what was found, in order; ``severe``: without notes."""
    return [item.code for item in result.diagnostics if not (severe and item.severity == "note")]


def find(result: LoadResult, code: str) -> Diagnostic:
    """The only diagnostic of that code."""
    found = [item for item in result.diagnostics if item.code == code]
    assert len(found) == 1, f"{code}: {[str(item) for item in result.diagnostics]}"
    return found[0]


def where(item: Diagnostic) -> tuple[int, int]:
    assert item.place is not None
    return item.place.line, item.place.column


def instance_text(lines: str = "", *, globals_: str = "", vips: str = "10.0.0.1", vrid: int = 1) -> str:
    """A good instance named A with further lines in it."""
    defs = f"global_defs {{\n{globals_}\n}}\n" if globals_ else ""
    return (
        f"{defs}vrrp_instance A {{\ninterface eth0\nvirtual_router_id {vrid}\npriority 100\n"
        f"virtual_ipaddress {{\n{vips}\n}}\n{lines}\n}}\n"
    )


def instance(
    lines: str = "", *, globals_: str = "", vips: str = "10.0.0.1"
) -> tuple[VrrpInstance, LoadResult]:
    result = load(instance_text(lines, globals_=globals_, vips=vips))
    assert not result.fatal, result.text()
    assert len(result.config.vrrp_instances) == 1, result.text()
    return result.config.vrrp_instances[0], result


def service_text(
    lines: str = "",
    *,
    rs: str = "",
    head: str = "10.1.0.1 80",
    rs_head: str = "10.2.0.1 80",
    method: str = "NAT",
    globals_: str = "",
) -> str:
    """A good virtual server with one real server and further lines in both."""
    defs = f"global_defs {{\n{globals_}\n}}\n" if globals_ else ""
    protocol = "" if head.startswith("fwmark") else "protocol TCP\n"
    return (
        f"{defs}virtual_server {head} {{\nlvs_sched rr\nlvs_method {method}\n{protocol}{lines}\n"
        f"real_server {rs_head} {{\n{rs}\n}}\n}}\n"
    )


def service(
    lines: str = "",
    *,
    rs: str = "",
    head: str = "10.1.0.1 80",
    rs_head: str = "10.2.0.1 80",
    method: str = "NAT",
    globals_: str = "",
) -> tuple[VirtualServer, LoadResult]:
    result = load(service_text(lines, rs=rs, head=head, rs_head=rs_head, method=method, globals_=globals_))
    assert not result.fatal, result.text()
    assert len(result.config.virtual_servers) == 1, result.text()
    return result.config.virtual_servers[0], result


def real_server(rs: str = "", **more: str) -> tuple[RealServer, LoadResult]:
    found, result = service(rs=rs, **more)
    assert len(found.real_servers) == 1, result.text()
    return found.real_servers[0], result


def check(body: str = "", *, kind: str = "TCP_CHECK", **more: str) -> tuple[Check, LoadResult]:
    if kind == "HTTP_GET" and "url" not in body:
        body += "\nurl {\npath /\n}\n"
    server, result = real_server(rs=f"{more.pop('rs', '')}\n{kind} {{\n{body}\n}}\n", **more)
    assert len(server.checks) == 1, result.text()
    return server.checks[0], result
