"""One virtual_server block -> VirtualServer with its servers.

Rules: keepalived 2.4.3. Inheritance of check settings runs check, real_server, virtual_server, built-in,
wherever the lines stand in their blocks. Everything else depends on the order of lines: a method counts for
the servers below it, flags of a scheduler stand below it, what concerns the sorry server stands below that.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from keepalived_conf.builders.reader import Read
from keepalived_conf.builders.real_server import Draft, RealServerBuilder
from keepalived_conf.builders.service_rules import ServiceRules, complain
from keepalived_conf.builders.virtual_server_group import families
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.forms import Args, BadWordError, Form
from keepalived_conf.grammar.lvs_forms import ENDPOINT, FORWARDING, GRANULARITY, Service
from keepalived_conf.grammar.real_server import REAL_SERVER
from keepalived_conf.grammar.virtual_server import SCHEDULERS, VIRTUAL_SERVER
from keepalived_conf.model import (
    Family,
    Forwarding,
    Place,
    RealServer,
    VirtualServer,
    VirtualServerGroup,
)
from keepalived_conf.syntax import values
from keepalived_conf.syntax.parser import Statement
from keepalived_conf.syntax.values import BadValueError

if TYPE_CHECKING:
    from keepalived_conf.builders.virtual_server import LvsBuilder

SCHED_FLAGS = {
    "flag-1": 0x08,
    "flag-2": 0x10,
    "flag-3": 0x20,
    "sh-fallback": 0x08,
    "sh-port": 0x10,
    "mh-fallback": 0x08,
    "mh-port": 0x10,
}
"""IP_VS_SVC_F_SCHED1..3; SCHED_SH_* and SCHED_MH_* share the bits (linux/ip_vs.h)."""


class ServiceBuilder:
    """One virtual_server block on its way to a VirtualServer."""

    def __init__(self, parent: LvsBuilder, statement: Statement, service: Service) -> None:
        self.parent = parent
        self.reader = parent.reader
        self.diagnostics = parent.diagnostics
        self.statement = statement
        self.service = service
        if service.group is not None:
            self.label = f"group {service.group}"
        elif service.fwmark is not None:
            self.label = f"FWM {service.fwmark}"
        else:
            self.label = f"[{service.address}]:{service.port}"
        self.read = Read(statement.place)
        self.group: VirtualServerGroup | None = None
        # As far as the block has been read:
        self.family: int | None = None if service.address is None else service.address.version
        self.forwarding: Forwarding | None = None
        self.scheduler = ""
        self.flags = 0
        self.prefix: int | None = None
        self.persistent = False
        """A persistence_granularity makes it that, without a timeout too."""
        self.sorry: Draft | None = None
        self.drafts: list[Draft] = []

    def build(self) -> VirtualServer | None:
        self.reader.into(self.read, self.statement.body or [], VIRTUAL_SERVER)
        for line in self.statement.statements():
            if line.words and not line.words[0].quoted:
                step = _IN_ORDER.get(line.words[0].text)
                if step is not None:
                    step(self, line)
        self._note_tunnels()
        if not self.drafts:
            self.diagnostics.error(
                self.statement.end_place,
                "no-real-server",
                f"virtual server {self.label} has no real servers and is ignored",
                hint="add a real_server",
            )
            return None
        self._close()
        if self.service.group is not None and not self._join_group(self.service.group):
            for draft in self.drafts:
                self._look_at_checks(draft)
            return None
        return self._complete()

    # --- line by line ------------------------------------------------------------------------------

    def _again(self, line: Statement, form: Form) -> Any:
        """What the reader of the row has read already, and complained of where needed."""
        try:
            return form.read(Args(words=line.words, first=1, raw=line.raw))
        except BadWordError:
            return None

    def _method(self, line: Statement) -> None:
        self.forwarding = self._again(line, FORWARDING) or self.forwarding

    def _lb_algo(self, line: Statement) -> None:
        if len(line.words) > 1 and line.words[1].text in SCHEDULERS:
            self.scheduler = line.words[1].text

    def _flag(self, line: Statement) -> None:
        name = line.name
        owner = name.partition("-")[0]
        if owner == "flag" or (owner == self.scheduler and owner in ("sh", "mh")):
            self.flags |= SCHED_FLAGS[name]
            return
        if self.scheduler in ("sh", "mh"):
            if name != "hashed":
                self._flag_ignored(line, f"does not go with scheduler {self.scheduler}", KeepalivedClass.OK)
            return
        if name == "hashed":
            why = "goes with schedulers sh and mh only, and means nothing there"
        elif not self.scheduler and self.read.get("lb_algo") == owner:
            why = f"stands above lvs_sched {owner}"
        else:
            why = f"goes with scheduler {owner} only"
        self._flag_ignored(line, why, KeepalivedClass.GENERAL_ERROR)

    def _flag_ignored(self, line: Statement, why: str, keepalived: KeepalivedClass) -> None:
        owner = line.name.partition("-")[0]
        complain(
            self.diagnostics,
            line.place,
            "flag-of-other-scheduler",
            f"virtual server {self.label}: {line.name} {why}; it is ignored",
            hint="remove the line" if owner == "hashed" else f"write it below lvs_sched {owner}",
            width=len(line.name),
            keepalived=keepalived,
        )

    def _ip_family(self, line: Statement) -> None:
        word = line.words[1].text if len(line.words) > 1 else ""
        if word not in ("inet", "inet6"):
            return
        family = 6 if word == "inet6" else 4
        if self.family is not None and self.family != family:
            self.diagnostics.error(
                line.place_of(1),
                "mixed-families",
                f"virtual server {self.label}: the service is IPv{self.family}; ip_family is ignored",
                hint="write ip_family for fwmark services, above their servers",
                width=len(word),
            )
            return
        self.family = family

    def _granularity(self, line: Statement) -> None:
        written = self._again(line, GRANULARITY)
        if written is None:
            return
        family = self.family or (6 if isinstance(written, int) else 4)
        known = KeepalivedClass.GENERAL_ERROR
        try:
            if family == 6:
                if isinstance(written, IPv4Address) or not 1 <= written <= 128:
                    raise BadValueError("is not a prefix length from 1 to 128")
                self.prefix = int(written)
            else:
                # keepalived hands the kernel any 32 bits, and reads a bare number as such.
                known = KeepalivedClass.OK
                self.prefix = values.netmask_prefix(str(written))
        except BadValueError as bad:
            complain(
                self.diagnostics,
                line.place_of(1),
                "invalid-value",
                f"virtual server {self.label}: persistence_granularity '{written}' {bad}; it is ignored",
                hint="write a netmask such as 255.255.255.0, or for IPv6 a prefix length",
                width=len(line.words[1].text),
                keepalived=known,
            )
            if family == 6:
                return
        self.persistent = True
        self.family = self.family or (6 if family == 6 else 4)

    def _sorry_server(self, line: Statement) -> None:
        found = self._again(line, ENDPOINT)
        if found is not None:
            self.sorry = Draft(statement=line, endpoint=found, forwarding=self.forwarding)

    def _sorry_setting(self, line: Statement) -> None:
        if self.sorry is None:
            where = "above" if self.read.has("sorry_server") else "without"
            self.diagnostics.error(
                line.place,
                "no-sorry-server",
                f"virtual server {self.label}: {line.name} {where} sorry_server is ignored",
                hint=f"write {line.name} below sorry_server",
                width=len(line.name),
            )
        elif line.name == "sorry_server_inhibit":
            self.sorry.inhibit = True
        elif len(line.words) < 2:
            self.reader.missing_word(line, f"write {line.name} {FORWARDING.takes}")
        else:
            self.sorry.forwarding = self._again(line, FORWARDING) or self.sorry.forwarding

    def _real_server(self, line: Statement) -> None:
        endpoint = self.reader.form(line, ENDPOINT, 1)
        if endpoint is None:
            return
        read = self.reader.block(line, REAL_SERVER)
        draft = Draft(
            statement=line,
            endpoint=endpoint,
            forwarding=read.get("lvs_method", self.forwarding),
            read=read,
        )
        if not draft.tunnelled:
            if self.family is None:
                self.family = draft.family
            elif self.family != draft.family:
                self._look_at_checks(draft)
                self._wrong_family(line, line.end_place, draft)
                return
        self.drafts.append(draft)

    def _look_at_checks(self, draft: Draft) -> None:
        """Of a server that is dropped: its checks are read all the same."""
        key = f"[{draft.endpoint.address}]"
        RealServerBuilder(self.parent, self, port=self.service.port, service_key=key).checks(draft)

    def _wrong_family(self, line: Statement, place: Place, draft: Draft) -> None:
        self.diagnostics.error(
            place,
            "mixed-families",
            f"virtual server {self.label}: {line.name} {draft.endpoint.address} is not IPv{self.family} "
            "as the service is; the server is ignored",
            hint="only lvs_method TUN, written above it or in it, can mix families",
        )

    # --- the whole block -----------------------------------------------------------------------------

    def _note_tunnels(self) -> None:
        drafts = [*self.drafts, *([self.sorry] if self.sorry else ())]
        given = [self.forwarding, *(draft.forwarding for draft in drafts)]
        used = any(one is not None and one.tunnel is not None for one in given)
        if used and self.diagnostics.first_time("no-effect-yet", "tunnel options"):
            self.diagnostics.warning(
                self.statement.place,
                "no-effect-yet",
                f"virtual server {self.label}: tunnel options are understood, have no effect yet",
                hint="tunnels of type ipip are used",
                width=len("virtual_server"),
            )

    def _close(self) -> None:
        """At the closing brace: the sorry server, and the family where nothing has fixed it."""
        sorry = self.sorry
        if sorry is not None and not sorry.tunnelled:
            if self.family is None:
                self.family = sorry.family
            elif self.family != sorry.family:
                self._wrong_family(sorry.statement, self.statement.end_place, sorry)
                self.sorry = sorry = None
        if self.family is None and self.service.group is None:
            # All servers are tunnelled: their family if they agree, else IPv4.
            found = {draft.family for draft in (*self.drafts, *([sorry] if sorry else ()))}
            self.family = found.pop() if len(found) == 1 else 4

    def _join_group(self, name: str) -> bool:
        """Find the group and settle the family; keepalived logs what is wrong here, and no more."""
        if self.diagnostics.first_time("no-effect-yet", "virtual_server group"):
            self.diagnostics.warning(
                self.statement.place_of(1),
                "no-effect-yet",
                "virtual_server group is understood, has no effect yet: no service is made",
                hint="write one virtual_server per address until then",
                width=len("group"),
            )
        self.group = self.parent.groups.get(name)
        problem = ""
        if self.group is None:
            problem = f"virtual_server_group {name} is not defined, or not usable"
        else:
            found = families(self.group)
            if self.family is not None and found - {self.family}:
                problem = (
                    f"virtual_server_group {name} has lines that are not IPv{self.family} as its servers"
                )
            elif self.family is None:
                self.family = found.pop() if len(found) == 1 else 4
        if problem:
            self.diagnostics.warning(
                self.statement.place_of(2),
                "no-group",
                f"{problem}; this virtual server is ignored",
                hint=f"write virtual_server_group {name} {{ ADDRESS PORT }}" if self.group is None else "",
                width=len(name),
            )
        return not problem

    def _forwarding_of(self, draft: Draft) -> Forwarding:
        if draft.forwarding is not None:
            return draft.forwarding
        if self.forwarding is None:
            self.diagnostics.error(
                self.statement.place,
                "no-lvs-method",
                f"virtual server {self.label}: no lvs_method is set; NAT is taken",
                hint="write lvs_method NAT above the servers",
                width=len("virtual_server"),
            )
            self.forwarding = Forwarding(method="NAT")
        return self.forwarding

    def _complete(self) -> VirtualServer:
        read, service = self.read, self.service
        rules = ServiceRules(self)
        family: Family = 6 if self.family == 6 else 4
        settings = rules.service_settings()
        key = VirtualServer(
            address=service.address,
            port=service.port,
            fwmark=service.fwmark,
            group=service.group,
            group_member=self.parent.member(service.group) if service.group is not None else 0,
            protocol=settings.protocol,
            family=family,
        )
        builder = RealServerBuilder(self.parent, self, port=service.port, service_key=key.key)
        servers = self._servers(builder)
        quorum, hysteresis = rules.quorum(sum(server.weight for server in servers))
        forwarding = self.forwarding or Forwarding(method="NAT")
        return VirtualServer(
            address=key.address,
            port=key.port,
            fwmark=key.fwmark,
            group=key.group,
            group_member=key.group_member,
            family=family,
            protocol=settings.protocol,
            scheduler=settings.scheduler,
            scheduler_flags=self.flags,
            ops=settings.ops,
            lvs_method=forwarding.method,
            tunnel=forwarding.tunnel,
            persistence_engine=settings.persistence_engine,
            persistence_timeout_s=settings.persistence_timeout_s,
            persistence_prefix=self.prefix,
            quorum=quorum,
            hysteresis=hysteresis,
            alpha=bool(read.get("alpha", False)),
            omega=bool(read.get("omega", False)),
            ha_suspend=settings.ha_suspend,
            quorum_up=read.get("quorum_up"),
            quorum_down=read.get("quorum_down"),
            smtp_alert=bool(read.get("smtp_alert", self.parent.smtp_alert(default=False))),
            snmp_name=read.get("snmp_name"),
            sorry_server=self._sorry(builder, servers),
            sorry_server_inhibit=self.sorry is not None and self.sorry.inhibit,
            real_servers=tuple(servers),
            places=read.places,
        )

    def _servers(self, builder: RealServerBuilder) -> list[RealServer]:
        found: dict[str, RealServer] = {}
        written: set[tuple[object, int]] = set()
        for draft in self.drafts:
            as_written = (draft.endpoint.address, draft.endpoint.port or 0)
            if as_written in written:
                self._look_at_checks(draft)
                self._duplicate(draft, KeepalivedClass.GENERAL_ERROR)
                continue
            written.add(as_written)
            server = builder.real(draft, self._forwarding_of(draft))
            if server.key in found:
                # Equal once the port is filled in: keepalived finds out when the kernel refuses it.
                self._duplicate(draft, KeepalivedClass.OK)
                continue
            found[server.key] = server
        return list(found.values())

    def _duplicate(self, draft: Draft, keepalived: KeepalivedClass) -> None:
        address, port = draft.endpoint
        complain(
            self.diagnostics,
            draft.statement.place,
            "duplicate-real-server",
            f"virtual server {self.label}: real server [{address}]:{port or self.service.port} is listed "
            "twice; this block is ignored",
            hint="remove one of the blocks",
            width=len("real_server"),
            keepalived=keepalived,
        )

    def _sorry(self, builder: RealServerBuilder, servers: list[RealServer]) -> RealServer | None:
        draft = self.sorry
        if draft is None:
            return None
        twin = next(
            (
                one
                for one in servers
                if one.address == draft.endpoint.address
                and one.port == (draft.endpoint.port or self.service.port)
            ),
            None,
        )
        if twin is not None and twin.inhibit_on_failure != draft.inhibit:
            self.diagnostics.error(
                draft.statement.place,
                "sorry-server-inhibit",
                f"virtual server {self.label}: the sorry server is real server {twin.key} too, and takes "
                f"over its inhibit_on_failure ({'on' if twin.inhibit_on_failure else 'off'})",
                hint="write inhibit_on_failure there and sorry_server_inhibit here, or neither",
                width=len("sorry_server"),
            )
            draft.inhibit = twin.inhibit_on_failure
        return builder.sorry(draft, self._forwarding_of(draft))


_Step = Callable[[ServiceBuilder, Statement], None]
_IN_ORDER: dict[str, _Step] = {
    "lb_kind": ServiceBuilder._method,
    "lvs_method": ServiceBuilder._method,
    "lb_algo": ServiceBuilder._lb_algo,
    "lvs_sched": ServiceBuilder._lb_algo,
    **dict.fromkeys((*SCHED_FLAGS, "hashed"), ServiceBuilder._flag),
    "ip_family": ServiceBuilder._ip_family,
    "persistence_granularity": ServiceBuilder._granularity,
    "sorry_server": ServiceBuilder._sorry_server,
    "sorry_server_inhibit": ServiceBuilder._sorry_setting,
    "sorry_server_lvs_method": ServiceBuilder._sorry_setting,
    "real_server": ServiceBuilder._real_server,
}
"""Keywords whose meaning depends on what stands above them."""
