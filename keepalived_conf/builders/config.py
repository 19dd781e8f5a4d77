"""Syntax tree -> Config: global settings first, then instances and services, then what concerns several."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_conf.builders.bfd import build_bfd
from keepalived_conf.builders.globals import build_globals
from keepalived_conf.builders.groups import build_groups
from keepalived_conf.builders.interfaces import build_interfaces
from keepalived_conf.builders.reader import Read, Reader, Use
from keepalived_conf.builders.routing import NamesOf, build_routing, names_of_host, number_rules
from keepalived_conf.builders.ssl import build_ssl
from keepalived_conf.builders.trackers import build_trackers
from keepalived_conf.builders.virtual_server import LvsBuilder
from keepalived_conf.builders.virtual_server_group import build_virtual_server_groups
from keepalived_conf.builders.vrrp_defaults import vrrp_defaults
from keepalived_conf.builders.vrrp_instance import VrrpBuilder
from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.grammar.global_defs import GLOBAL_DEFS
from keepalived_conf.grammar.root import ROOT
from keepalived_conf.model import Config, Place
from keepalived_conf.syntax.parser import Node


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    config: Config
    used: tuple[Use, ...]
    """Every keyword the text uses, once, in file order."""


def build(nodes: list[Node], diagnostics: Diagnostics, names: NamesOf | None = None) -> Built:
    """The configuration a tree stands for. Look at ``diagnostics.fatal`` before using it.

    global_defs count wherever they stand, at start and at reload alike. ``names`` reads iproute2's files;
    None: only the names that need no file.
    """
    reader = Reader(diagnostics, names_of_host(nodes, names))
    root = Read(Place(file="", line=1, column=1))
    reader.into(root, list(nodes), ROOT)
    defs = Read(Place(file="", line=1, column=1))
    for statement in root.statements.get("global_defs", ()):
        reader.into(defs, statement.body or [], GLOBAL_DEFS)
    globals_ = build_globals(root, defs, reader)
    bfd = build_bfd(reader, root)
    trackers = build_trackers(reader, root, bfd.bfd_instances)
    routing = build_routing(reader, root, globals_)
    groups = build_groups(reader, root, trackers, globals_)
    interfaces = build_interfaces(reader, root)
    vrrp = VrrpBuilder(reader, globals_, vrrp_defaults(globals_, defs), trackers)
    server_groups = build_virtual_server_groups(reader, root)
    lvs = LvsBuilder(
        reader,
        defs,
        server_groups,
        bfd_instances=[one.name for one in bfd.bfd_instances if one.checker],
        track_files={one.name: one.weight for one in trackers.track_files},
    )
    for order, (keyword, statement) in enumerate(root.blocks):
        if keyword.name == "vrrp_instance":
            vrrp.instance(statement, order)
        else:
            lvs.block(keyword, statement)
    vrrp.complete(groups.sync_groups)
    vrrp.check_conflicts()
    static_rules, instances = number_rules(reader, root, routing.static_rules, vrrp.instances)
    if reader.script_place is not None and not reader.script_security:
        diagnostics.warning(
            reader.script_place,
            "no-script-security",
            "programs are configured without enable_script_security",
            hint="write enable_script_security and script_user in global_defs",
            keepalived=KeepalivedClass.SECURITY_ERROR,
        )
    if not vrrp.instances and not lvs.servers and not diagnostics.fatal:
        diagnostics.note(None, "nothing-to-do", "no vrrp_instance and no virtual_server is in effect")
    return Built(
        config=Config(
            globals=globals_,
            track_groups=groups.track_groups,
            static_addresses=routing.static_addresses,
            static_routes=routing.static_routes,
            static_rules=static_rules,
            sync_groups=vrrp.sync_groups,
            garp_groups=groups.garp_groups,
            linkbeat_interfaces=interfaces.linkbeat_interfaces,
            interface_delays=interfaces.interface_delays,
            vrrp_scripts=trackers.vrrp_scripts,
            track_processes=trackers.track_processes,
            track_files=trackers.track_files,
            bfd_instances=bfd.bfd_instances,
            vrrp_instances=instances,
            ssl=build_ssl(reader, root),
            virtual_server_groups=tuple(server_groups.values()),
            virtual_servers=tuple(lvs.servers),
        ),
        used=tuple(reader.used.values()),
    )
