"""virtual_server blocks, one after the other; what they share and what else they may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keepalived_conf.builders.other_checks import Trackers
from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.builders.service import ServiceBuilder
from keepalived_conf.grammar.lvs_forms import SERVICE, Service
from keepalived_conf.grammar.schema import Keyword
from keepalived_conf.model import (
    Place,
    VirtualServer,
    VirtualServerGroup,
    Weight,
)
from keepalived_conf.syntax.parser import Statement


class LvsBuilder:
    """All virtual servers of a configuration, block by block in file order."""

    def __init__(
        self,
        reader: Reader,
        defs: Read,
        groups: dict[str, VirtualServerGroup],
        *,
        bfd_instances: Iterable[str],
        track_files: Mapping[str, Weight],
    ) -> None:
        """``defs``: what was read of global_defs. ``bfd_instances``, ``track_files``: usable ones."""
        self.reader = reader
        self.diagnostics = reader.diagnostics
        self.defs = defs
        self.groups = groups
        self.log_all_failures = bool(defs.get("checker_log_all_failures", False))
        self.trackers = Trackers(bfd_instances=frozenset(bfd_instances), track_files=track_files)
        self.servers: list[VirtualServer] = []
        self._keys: dict[str, Place] = {}
        self._members: dict[str, int] = {}

    def smtp_alert(self, *, default: bool) -> bool:
        """Of a service or server that says nothing itself."""
        return bool(self.defs.get("smtp_alert_checker", self.defs.get("smtp_alert", default)))

    def block(self, keyword: Keyword, statement: Statement) -> None:
        """The next block of the top level, whatever it is."""
        if keyword.name == "virtual_server":
            self._virtual_server(statement)
        elif len(statement.words) > 1 and keyword.name == "bfd_instance":
            self.trackers.seen_bfd.add(statement.words[1].text)
        elif len(statement.words) > 1 and keyword.name in ("track_file", "vrrp_track_file"):
            self.trackers.seen_files.add(statement.words[1].text)

    def member(self, group: str) -> int:
        """Number of the next service of a group."""
        number = self._members.get(group, 0)
        self._members[group] = number + 1
        return number

    def _virtual_server(self, statement: Statement) -> None:
        """Add the service of one virtual_server block, or say why it cannot be."""
        # The block of a service that has no address is not looked into, as in keepalived.
        service: Service | None = self.reader.form(statement, SERVICE, 1)
        if service is None:
            return
        if service.fwmark == 0:
            self.diagnostics.warning(
                statement.place_of(2),
                "invalid-value",
                "fwmark 0 is what packets without a mark have; the block is ignored",
                hint="write a mark from 1 on",
                width=len(statement.words[2].text),
            )
            return
        built = ServiceBuilder(self, statement, service).build()
        if built is None:
            return
        if built.key in self._keys:
            self.diagnostics.warning(
                statement.place,
                "duplicate-virtual-server",
                f"virtual server {built.key} is already defined at {self._keys[built.key]}; "
                "this block is ignored",
                hint="remove one of the blocks",
                width=len("virtual_server"),
            )
            return
        self._keys[built.key] = statement.place
        self.servers.append(built)
