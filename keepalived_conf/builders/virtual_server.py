"""virtual_server blocks -> VirtualServer with real servers and checks: defaults, inheritance, completion.

Rules: keepalived 2.4.3's validation of the checker configuration. Inheritance of check settings runs
check, real_server, virtual_server, built-in, wherever the lines stand in their blocks.
"""

from __future__ import annotations

import dataclasses
from typing import cast

from keepalived_conf.builders.check import CheckBuilder
from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.virtual_server import REAL_SERVER, SCHEDULERS, VIRTUAL_SERVER
from keepalived_conf.model import (
    Check,
    Family,
    IpAddress,
    LvsMethod,
    Place,
    Protocol,
    RealServer,
    VirtualServer,
)
from keepalived_conf.syntax import values
from keepalived_conf.syntax.parser import Statement
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError

DEFAULT_PERSISTENCE_S = 360
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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Service:
    """What the words behind virtual_server say."""

    address: IpAddress | None = None
    port: int = 0
    fwmark: int | None = None


class LvsBuilder:
    def __init__(self, reader: Reader, *, log_all_failures: bool) -> None:
        self.reader = reader
        self.diagnostics = reader.diagnostics
        self.log_all_failures = log_all_failures
        self.servers: list[VirtualServer] = []
        self._keys: dict[str, Place | None] = {}

    def virtual_server(self, statement: Statement) -> None:
        """Add the service of one virtual_server block, or say why it cannot be."""
        service = self._service(statement)
        read = self.reader.block(statement, VIRTUAL_SERVER)
        if service is None:
            return
        built = _Builder(self, statement, read, service).build()
        if built is None:
            return
        if built.key in self._keys:
            self.diagnostics.error(
                statement.place,
                "duplicate-virtual-server",
                f"virtual server {built.key} is already defined at {self._keys[built.key]}; "
                "this block is ignored",
                width=len("virtual_server"),
            )
            return
        self._keys[built.key] = statement.place
        self.servers.append(built)

    def _service(self, statement: Statement) -> _Service | None:
        words = statement.words
        if len(words) < 2:
            self.reader.missing_word(
                statement, "write: virtual_server ADDRESS PORT {, or virtual_server fwmark MARK {"
            )
            return None
        if words[1].text == "group":
            if self.diagnostics.first_time("no-effect-yet", "virtual_server group"):
                self.diagnostics.warning(
                    statement.place_of(1),
                    "no-effect-yet",
                    "virtual_server group is understood, has no effect yet: no service is made",
                    hint="write one virtual_server per address until then",
                    width=len("group"),
                )
            return None
        if words[1].text == "fwmark":
            if len(words) < 3:
                self.reader.missing_word(
                    statement, "write: virtual_server ADDRESS PORT {, or virtual_server fwmark MARK {"
                )
                return None
            try:
                mark = values.integer(words[2].text)
            except (BadValueError, LeadingNumberError):
                mark = 0
            if not 1 <= mark <= 4294967295:
                self.diagnostics.error(
                    statement.place_of(2),
                    "invalid-number",
                    f"fwmark '{words[2].text}' is not a "
                    "whole number from 1 to 4294967295; the block is ignored",
                    width=len(words[2].text),
                    keepalived=KeepalivedClass.INVALID_NUMBER,
                )
                return None
            return _Service(fwmark=mark)
        endpoint = self.endpoint(statement, 0)
        return None if endpoint is None else _Service(address=endpoint[0], port=endpoint[1])

    def endpoint(self, statement: Statement, default_port: int) -> tuple[IpAddress, int] | None:
        """``KEYWORD ADDR [PORT]`` -> (address, port), or None after a diagnostic."""
        words = statement.words
        index = 1
        try:
            address = values.address(words[1].text)
            index = 2
            port = values.port(words[2].text) if len(words) > 2 else default_port
        except BadValueError as bad:
            self.diagnostics.error(
                statement.place_of(index),
                "invalid-address",
                f"{statement.name}: '{words[index].text}' {bad}; the block or line is ignored",
                hint=f"write {statement.name} ADDRESS PORT",
                width=len(words[index].text),
            )
            return None
        return address, port


class _Builder:
    """One virtual_server block on its way to a VirtualServer."""

    def __init__(self, parent: LvsBuilder, statement: Statement, read: Read, service: _Service) -> None:
        self.parent = parent
        self.diagnostics = parent.diagnostics
        self.statement = statement
        self.read = read
        self.service = service
        self.label = (
            f"[{service.address}]:{service.port}" if service.fwmark is None else f"FWM {service.fwmark}"
        )

    def _error(
        self,
        keyword: str,
        code: str,
        message: str,
        *,
        hint: str = "",
        keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
    ) -> None:
        place = self.read.places.get(keyword)
        self.diagnostics.error(
            place or self.statement.place,
            code,
            f"virtual server {self.label}: {message}",
            hint=hint,
            width=len(keyword) if keyword and place else len("virtual_server"),
            keepalived=keepalived,
        )

    def build(self) -> VirtualServer | None:
        read, service = self.read, self.service
        method = self._method(read.last("lb_kind"))
        if method is None:
            if "lb_kind" not in read.refused:
                self._error(
                    "lb_kind",
                    "no-lvs-method",
                    "no lvs_method is set; NAT is taken",
                    hint="write lvs_method NAT",
                )
            method = "NAT"
        protocol = self._protocol()
        scheduler = self._scheduler()
        shell = VirtualServer(
            address=service.address,
            port=service.port,
            fwmark=service.fwmark,
            protocol=protocol,
            scheduler=scheduler,
            family=self._family(),
        )
        servers = self._real_servers(shell, method)
        if not servers:
            self._error(
                "", "no-real-server", "it has no real servers and is ignored", hint="add a real_server"
            )
            return None
        quorum, hysteresis = self._quorum(servers)
        sorry_inhibit = bool(read.get("sorry_server_inhibit", False))
        sorry = self._sorry_server(shell, method, servers, inhibit=sorry_inhibit)
        timeout_s, prefix = self._persistence(shell)
        if read.get("hashed"):
            self.diagnostics.warning(
                read.places["hashed"],
                "no-effect",
                "hashed has no effect",
                width=len("hashed"),
                keepalived=KeepalivedClass.GENERAL_ERROR,
            )
        return dataclasses.replace(
            shell,
            scheduler_flags=self._scheduler_flags(scheduler),
            ops=bool(read.get("ops", False)),
            lvs_method=method,
            persistence_timeout_s=timeout_s,
            persistence_prefix=prefix,
            quorum=quorum,
            hysteresis=hysteresis,
            alpha=bool(read.get("alpha", False)),
            omega=bool(read.get("omega", False)),
            sorry_server=sorry,
            sorry_server_inhibit=sorry_inhibit and sorry is not None,
            real_servers=tuple(servers),
            places=read.places,
        )

    # --- the service -------------------------------------------------------------------------------

    def _method(self, statement: Statement | None) -> LvsMethod | None:
        if statement is None:
            return None
        word = statement.words[1].text
        if word not in ("NAT", "DR", "TUN"):
            self.diagnostics.error(
                statement.place_of(1),
                "invalid-value",
                f"{statement.name}: '{word}' is not one of NAT, DR, TUN; the line is ignored",
                hint="the names are upper case",
                width=len(word),
            )
            return None
        if len(statement.words) > 2 and self.diagnostics.first_time("no-effect-yet", "tunnel options"):
            self.diagnostics.note(
                statement.place_of(2),
                "no-effect-yet",
                "tunnel options are understood, have no effect yet (type ipip is used)",
                width=len(statement.words[2].text),
            )
        return cast(LvsMethod, word)

    def _protocol(self) -> Protocol | None:
        written = self.read.get("protocol")
        if self.service.fwmark is not None:
            if written is not None:
                self._error("protocol", "protocol-ignored", "a fwmark service has no protocol; it is ignored")
            return None
        if written is not None:
            name = str(written).upper()
            if name in ("TCP", "UDP", "SCTP"):
                return cast(Protocol, name)
            self._error(
                "protocol", "invalid-value", f"protocol '{written}' is not TCP, UDP or SCTP; it is ignored"
            )
        self._error(
            "protocol" if written is not None else "",
            "no-protocol",
            "no protocol is set; UDP is taken",
            hint="write protocol TCP",
        )
        return "UDP"

    def _scheduler(self) -> str:
        written = self.read.get("lb_algo")
        if written in SCHEDULERS:
            return str(written)
        if written is not None:
            self._error(
                "lb_algo",
                "invalid-value",
                f"scheduler '{written}' is not known; it is ignored",
                hint="known are " + ", ".join(SCHEDULERS),
            )
        self._error(
            "lb_algo" if written is not None else "",
            "no-scheduler",
            "no lvs_sched is set; wlc is taken",
            hint="write lvs_sched wlc",
        )
        return "wlc"

    def _scheduler_flags(self, scheduler: str) -> int:
        flags = 0
        for name, bit in SCHED_FLAGS.items():
            if not self.read.get(name):
                continue
            owner = name.partition("-")[0]
            if owner in ("sh", "mh") and owner != scheduler:
                self._error(
                    name,
                    "flag-of-other-scheduler",
                    f"{name} does not go with scheduler {scheduler}; it is ignored",
                    hint=f"write lvs_sched {owner}",
                )
                continue
            flags |= bit
        return flags

    def _family(self) -> Family:
        if self.service.address is not None:
            return 6 if values.family_of(self.service.address) == 6 else 4
        written = self.read.get("ip_family")
        if written is not None:
            return 6 if written == "inet6" else 4
        for statement in self.read.statements.get("real_server", ()):
            try:
                return 6 if values.family_of(values.address(statement.words[1].text)) == 6 else 4
            except (BadValueError, IndexError):
                continue
        return 4

    def _persistence(self, shell: VirtualServer) -> tuple[int | None, int | None]:
        read = self.read
        timeout_s: int | None = None
        if read.has("persistence_timeout"):
            timeout_s = read.get("persistence_timeout") or DEFAULT_PERSISTENCE_S
        prefix: int | None = None
        word = read.get("persistence_granularity")
        if word is not None:
            try:
                prefix = values.netmask_prefix(word) if shell.family == 4 else values.integer(word)
                if not 1 <= prefix <= 128:
                    raise BadValueError("is not a prefix length from 1 to 128")
            except (BadValueError, LeadingNumberError) as bad:
                why = bad if isinstance(bad, BadValueError) else "is not a whole number"
                self._error(
                    "persistence_granularity",
                    "invalid-value",
                    f"persistence_granularity '{word}' {why}; it is ignored",
                )
                prefix = None
            else:
                timeout_s = timeout_s or DEFAULT_PERSISTENCE_S
        if shell.fwmark is None and shell.port == 0 and timeout_s is None:
            self._error(
                "",
                "port-zero",
                f"port 0 works with persistence only; {DEFAULT_PERSISTENCE_S} s is taken",
                hint="write persistence_timeout, or a port",
            )
            timeout_s = DEFAULT_PERSISTENCE_S
        return timeout_s, prefix

    def _quorum(self, servers: list[RealServer]) -> tuple[int, int]:
        quorum = int(self.read.get("quorum", 1))
        hysteresis = int(self.read.get("hysteresis", 0))
        total = sum(server.weight for server in servers)
        if quorum > total:
            # A sum of zero (all weights 0) leaves the quorum out of reach rather than always met.
            lowered = max(1, total)
            if lowered != quorum:
                self._error(
                    "quorum",
                    "quorum-lowered",
                    f"quorum {quorum} is more than the weight of all real servers "
                    f"({total}); {lowered} is taken",
                    hint="lower the quorum or raise the weights",
                )
            quorum = lowered
        if hysteresis >= quorum:
            if hysteresis:
                self._error(
                    "hysteresis",
                    "hysteresis-lowered",
                    f"hysteresis {hysteresis} is not below the quorum; {quorum - 1} is taken",
                    hint="write a hysteresis below the quorum",
                )
            hysteresis = quorum - 1
        return quorum, hysteresis

    # --- servers -------------------------------------------------------------------------------------

    def _real_servers(self, shell: VirtualServer, method: LvsMethod) -> list[RealServer]:
        found: dict[str, RealServer] = {}
        for statement in self.read.statements.get("real_server", ()):
            if len(statement.words) < 2:
                self.parent.reader.missing_word(statement, "write: real_server ADDRESS PORT {")
                continue
            endpoint = self.parent.endpoint(statement, shell.port)
            read = self.parent.reader.block(statement, REAL_SERVER)
            if endpoint is None:
                continue
            server = self._real_server(shell, method, statement, read, *endpoint)
            if server is None:
                continue
            if server.key in found:
                self.diagnostics.error(
                    statement.place,
                    "duplicate-real-server",
                    f"virtual server {self.label}: real server {server.key} is listed twice; "
                    "this block is ignored",
                    width=len("real_server"),
                )
                continue
            found[server.key] = server
        return list(found.values())

    def _fits(
        self, shell: VirtualServer, method: LvsMethod, address: IpAddress, statement: Statement
    ) -> bool:
        if method == "TUN" or values.family_of(address) == shell.family:
            return True
        self.diagnostics.error(
            statement.place_of(1),
            "mixed-families",
            f"virtual server {self.label}: {address} is not IPv{shell.family} as the service is; "
            "the server is ignored",
            hint="only lvs_method TUN can mix families",
            width=len(str(address)),
        )
        return False

    def _forwarded_port(
        self, shell: VirtualServer, method: LvsMethod, port: int, statement: Statement
    ) -> int:
        if method == "NAT" or port == shell.port:
            return port
        if len(statement.words) > 2:
            self.diagnostics.error(
                statement.place_of(2),
                "port-mismatch",
                f"virtual server {self.label}: with {method} the port of {statement.name} cannot "
                f"differ; {shell.port} is taken",
                width=len(statement.words[2].text),
            )
        return shell.port

    def _real_server(
        self,
        shell: VirtualServer,
        vs_method: LvsMethod,
        statement: Statement,
        read: Read,
        address: IpAddress,
        port: int,
    ) -> RealServer | None:
        method = self._method(read.last("lvs_method")) or vs_method
        if not self._fits(shell, method, address, statement):
            return None
        server = RealServer(
            address=address,
            port=self._forwarded_port(shell, method, port, statement),
            weight=read.get("weight", self.read.get("weight", 1)),
            lvs_method=method,
            inhibit_on_failure=read.get("inhibit_on_failure", self.read.get("inhibit_on_failure", False)),
            uthreshold=read.get("uthreshold", 0),
            lthreshold=read.get("lthreshold", 0),
            alpha=read.get("alpha", self.read.get("alpha", False)),
            places=read.places,
        )
        # Checks go to the port as written: the forced one is a matter of forwarding.
        checks: dict[str, Check] = {}
        for keyword, inner in read.blocks:
            check = CheckBuilder(
                self.parent.reader,
                (read, self.read),
                shell,
                server,
                port=port,
                log_all_failures=self.parent.log_all_failures,
            ).build(keyword.name, inner)
            if check is None:
                continue
            if check.check_id in checks:
                self.diagnostics.warning(
                    inner.place,
                    "duplicate-check",
                    f"the same {keyword.name} is written twice for {server.key}; one is used",
                    width=len(keyword.name),
                )
                continue
            checks[check.check_id] = check
        return dataclasses.replace(server, checks=tuple(checks.values()))

    def _sorry_server(
        self, shell: VirtualServer, vs_method: LvsMethod, servers: list[RealServer], *, inhibit: bool
    ) -> RealServer | None:
        statement = self.read.last("sorry_server")
        if statement is None:
            for name in ("sorry_server_inhibit", "sorry_server_lvs_method"):
                if name in self.read.places:
                    self._error(name, "no-sorry-server", f"{name} without sorry_server is ignored")
            return None
        endpoint = self.parent.endpoint(statement, shell.port)
        if endpoint is None:
            return None
        method = self._method(self.read.last("sorry_server_lvs_method")) or vs_method
        address, port = endpoint
        if not self._fits(shell, method, address, statement):
            return None
        sorry = RealServer(
            address=address,
            port=self._forwarded_port(shell, method, port, statement),
            lvs_method=method,
            inhibit_on_failure=inhibit,
            places={"": statement.place},
        )
        for server in servers:
            if server.key == sorry.key:
                return dataclasses.replace(sorry, inhibit_on_failure=server.inhibit_on_failure)
        return sorry
