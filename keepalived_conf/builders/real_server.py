"""real_server blocks and sorry_server lines -> RealServer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepalived_conf.builders.check import CheckBuilder, Target
from keepalived_conf.builders.other_checks import OtherCheckBuilder
from keepalived_conf.builders.reader import Read
from keepalived_conf.grammar.lvs_forms import Endpoint
from keepalived_conf.model import Check, Forwarding, OtherChecks, RealServer
from keepalived_conf.syntax.parser import Statement

if TYPE_CHECKING:
    from keepalived_conf.builders.service import ServiceBuilder
    from keepalived_conf.builders.virtual_server import LvsBuilder


@dataclass(kw_only=True, slots=True)
class Draft:
    """A real or sorry server as it was read; what the service says last may complete it."""

    statement: Statement
    endpoint: Endpoint
    forwarding: Forwarding | None
    """Its own, else what the service had said above it; None: neither."""
    read: Read | None = None
    """None: a sorry server."""
    inhibit: bool = False

    @property
    def family(self) -> int:
        return self.endpoint.address.version

    @property
    def tunnelled(self) -> bool:
        return self.forwarding is not None and self.forwarding.method == "TUN"


class RealServerBuilder:
    """Completes the servers of one service, whose own settings are known by now."""

    def __init__(self, parent: LvsBuilder, service: ServiceBuilder, *, port: int, service_key: str) -> None:
        self.parent = parent
        self.diagnostics = parent.diagnostics
        self.service = service
        self.port = port
        """Of the service; 0 for a mark or a group."""
        self.service_key = service_key

    def real(self, draft: Draft, forwarding: Forwarding) -> RealServer:
        read, above = draft.read, self.service.read
        assert read is not None
        own, common = read.values, above.values
        address = draft.endpoint.address
        port = self._forwarded_port(draft, forwarding)
        alpha = own.get("alpha", common.get("alpha", False))
        checks, others = self.checks(draft, port, alpha=alpha)
        return RealServer(
            address=address,
            port=port,
            weight=own.get("weight", common.get("weight", 1)),
            lvs_method=forwarding.method,
            tunnel=forwarding.tunnel,
            inhibit_on_failure=own.get("inhibit_on_failure", common.get("inhibit_on_failure", False)),
            uthreshold=own.get("uthreshold", 0),
            lthreshold=own.get("lthreshold", 0),
            alpha=alpha,
            notify_up=own.get("notify_up"),
            notify_down=own.get("notify_down"),
            smtp_alert=own.get("smtp_alert", self.parent.smtp_alert(default=True)),
            snmp_name=own.get("snmp_name"),
            checks=checks,
            other_checks=others,
            places=read.places,
        )

    def sorry(self, draft: Draft, forwarding: Forwarding) -> RealServer:
        return RealServer(
            address=draft.endpoint.address,
            port=self._forwarded_port(draft, forwarding),
            lvs_method=forwarding.method,
            tunnel=forwarding.tunnel,
            inhibit_on_failure=draft.inhibit,
            places={"": draft.statement.place},
        )

    def _forwarded_port(self, draft: Draft, forwarding: Forwarding) -> int:
        """Where IPVS sends packets: only NAT can change a port."""
        written = draft.endpoint.port
        name = draft.statement.name
        if self.service.service.group is not None:
            return self._port_in_group(draft, forwarding, written or 0, name)
        if written is None or written == self.port:
            return self.port
        if forwarding.method == "NAT":
            return written
        if self.service.service.fwmark is not None:
            what = "a fwmark service has no port"
        else:
            what = f"with {forwarding.method} the port of {name} cannot differ from that of the service"
        self._port_error(draft, f"{what}; {self.port} is taken")
        return self.port

    def _port_in_group(self, draft: Draft, forwarding: Forwarding, port: int, name: str) -> int:
        group = self.service.group
        if forwarding.method == "NAT" or not port or group is None:
            return port
        if group.marks:
            self._port_error(draft, f"a fwmark service has no port; that of {name} is ignored")
        for entry in group.addresses:
            if entry.port != port:
                self._port_error(
                    draft,
                    f"with {forwarding.method} the port of {name} cannot differ from that of "
                    f"{entry.first} in group {group.name} ({entry.port})",
                )
        return port

    def _port_error(self, draft: Draft, message: str) -> None:
        self.diagnostics.error(
            draft.statement.place_of(2),
            "port-mismatch",
            f"virtual server {self.service.label}: {message}",
            hint=f"only lvs_method NAT can change the port: leave it out of {draft.statement.name}",
            width=len(draft.statement.words[2].text) if len(draft.statement.words) > 2 else 1,
        )

    def checks(
        self, draft: Draft, port: int = 0, *, alpha: bool = False
    ) -> tuple[tuple[Check, ...], OtherChecks | None]:
        """``port``: where IPVS sends packets. Of a server that is dropped: for what is to be said of them."""
        read = draft.read
        if read is None or not read.blocks:
            return (), None
        address = draft.endpoint.address
        target = Target(
            virtual_server=self.service_key,
            real_server=f"[{address}]:{port}",
            address=address,
            # Checks go to the port as written: the forced one is a matter of forwarding.
            port=draft.endpoint.port or self.port,
            alpha=alpha,
        )
        base = CheckBuilder(
            self.parent.reader,
            (read, self.service.read),
            target,
            log_all_failures=self.parent.log_all_failures,
        )
        others: OtherCheckBuilder | None = None
        found: dict[str, Check] = {}
        for keyword, inner in read.blocks:
            if keyword.name not in ("TCP_CHECK", "HTTP_GET"):
                others = others or OtherCheckBuilder(base, self.parent.trackers)
                others.add(keyword.name, inner)
                continue
            check = base.build(keyword.name, inner)
            if check is None:
                continue
            if check.check_id in found:
                self.diagnostics.warning(
                    inner.place,
                    "duplicate-check",
                    f"the same {keyword.name} is written twice for {target.real_server}; one is used",
                    width=len(keyword.name),
                )
                continue
            found[check.check_id] = check
        return tuple(found.values()), None if others is None else others.checks()
