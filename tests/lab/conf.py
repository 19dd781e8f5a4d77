"""keepalived.conf text for the laboratory: the same words for every daemon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def block(head: str, lines: Iterable[str], indent: str = "    ") -> str:
    """``head { lines }``; empty text when there are no lines."""
    body = [f"{indent}    {line}\n" for line in lines]
    return f"{indent}{head} {{\n{''.join(body)}{indent}}}\n" if body else ""


def global_defs(*lines: str, router_id: str = "lab") -> str:
    return block("global_defs", [f"router_id {router_id}", *lines], "")


def instance(
    name: str = "V1",
    *,
    interface: str = "e0",
    vrid: int = 51,
    priority: int,
    advert_int: float = 1,
    version: int = 3,
    addresses: Sequence[str],
    excluded: Sequence[str] = (),
    auth_pass: str | None = None,
    unicast_src: str | None = None,
    unicast_peers: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> str:
    """A vrrp_instance block; ``state BACKUP`` always, so that only the election decides."""
    lines = [
        "state BACKUP",
        f"interface {interface}",
        f"virtual_router_id {vrid}",
        f"priority {priority}",
        f"advert_int {advert_int:g}",
        f"version {version}",
        *extra,
    ]
    if unicast_src:
        lines.append(f"unicast_src_ip {unicast_src}")
    text = f"vrrp_instance {name} {{\n" + "".join(f"    {line}\n" for line in lines)
    if auth_pass is not None:
        text += block("authentication", ["auth_type PASS", f"auth_pass {auth_pass}"])
    text += block("unicast_peer", unicast_peers)
    text += block("virtual_ipaddress", (f"{address} dev {interface}" for address in addresses))
    text += block("virtual_ipaddress_excluded", (f"{address} dev {interface}" for address in excluded))
    return text + "}\n"


def real_server(address: str, port: int, check: str, *, weight: int = 1) -> str:
    return f"    real_server {address} {port} {{\n        weight {weight}\n{check}    }}\n"


def tcp_check(*, timeout_s: float = 1, retry: int = 0, delay_before_retry_s: float = 1) -> str:
    lines = [
        f"connect_timeout {timeout_s:g}",
        f"retry {retry}",
        f"delay_before_retry {delay_before_retry_s:g}",
    ]
    return block("TCP_CHECK", lines, "        ")


def virtual_server(
    address: str,
    port: int,
    servers: Iterable[str],
    *,
    scheduler: str = "rr",
    method: str = "DR",
    delay_loop_s: float = 1,
    extra: Sequence[str] = (),
) -> str:
    """A virtual_server block; ``servers`` are ready blocks (see ``real_server``)."""
    lines = [
        f"delay_loop {delay_loop_s:g}",
        f"lb_algo {scheduler}",
        f"lb_kind {method}",
        "protocol TCP",
        *extra,
    ]
    head = f"virtual_server {address} {port} {{\n" + "".join(f"    {line}\n" for line in lines)
    return head + "".join(servers) + "}\n"


# --- what the RFCs promise ------------------------------------------------------------------------


def skew_s(priority: int, advert_int_s: float, version: int = 3) -> float:
    """Skew_Time: version 2 does not scale it with the interval (RFC 3768 6.1, RFC 9568 6.1)."""
    return (256 - priority) / 256 * (1.0 if version == 2 else advert_int_s)


def master_down_s(priority: int, advert_int_s: float, version: int = 3) -> float:
    """Master_Down_Interval / Active_Down_Interval."""
    return 3 * advert_int_s + skew_s(priority, advert_int_s, version)
