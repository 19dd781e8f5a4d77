"""Syntax tree -> Config: global settings first, then instances and services, then what concerns several."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from keepalived_conf.syntax import values
from keepalived_conf.build.virtual_server import LvsBuilder
from keepalived_conf.build.vrrp_instance import VrrpBuilder
from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.grammar.root import GLOBAL_DEFS, ROOT
from keepalived_conf.model import Config, GlobalDefs, Place
from keepalived_conf.syntax.parser import Node
from keepalived_conf.build.reader import Read, Reader, Use
from keepalived_conf.build.vrrp_defaults import vrrp_defaults


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    config: Config
    used: tuple[Use, ...]
    """Every keyword the text uses, once, in file order."""


def build(nodes: list[Node], diagnostics: Diagnostics) -> Built:
    """The configuration a tree stands for. Look at ``diagnostics.fatal`` before using it.

    global_defs count wherever they stand, at start and at reload alike.
    """
    reader = Reader(diagnostics)
    root = Read(Place(file="", line=1, column=1))
    reader.into(root, list(nodes), ROOT)
    defs = Read(Place(file="", line=1, column=1))
    for statement in root.statements.get("global_defs", ()):
        reader.into(defs, statement.body or [], GLOBAL_DEFS)
    globals_ = _globals(root, defs, diagnostics)
    vrrp = VrrpBuilder(reader, globals_, vrrp_defaults(defs))
    lvs = LvsBuilder(reader, log_all_failures=bool(defs.get("checker_log_all_failures", False)))
    for keyword, statement in root.blocks:
        if keyword.name == "vrrp_instance":
            vrrp.instance(statement)
        elif keyword.name == "virtual_server":
            lvs.virtual_server(statement)
    vrrp.check_conflicts()
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
            vrrp_instances=tuple(vrrp.instances),
            virtual_servers=tuple(lvs.servers),
        ),
        used=tuple(reader.used.values()),
    )


def _globals(root: Read, defs: Read, diagnostics: Diagnostics) -> GlobalDefs:
    places = {
        name: place
        for name, place in {**root.places, **defs.places}.items()
        if name in GLOBAL_DEFS.keywords or name == "child_wait_time"
    }
    base = GlobalDefs()
    group4, group6 = base.vrrp_mcast_group4, base.vrrp_mcast_group6
    for name in ("vrrp_mcast_group4", "vrrp_mcast_group6"):
        found = defs.get(name)
        if found is None:
            continue
        if values.family_of(found) != int(name[-1]) or not found.is_multicast:
            diagnostics.error(
                defs.places[name],
                "invalid-value",
                f"{name}: {found} is not an IPv{name[-1]} multicast address; the line is ignored",
                width=len(name),
            )
        elif isinstance(found, IPv4Address):
            group4 = found
        elif isinstance(found, IPv6Address):
            group6 = found
    flush_on_stop: Literal["no", "all", "VS"] = "no"
    line = defs.last("lvs_flush_on_stop")
    if line is not None:
        word = line.words[1].text if len(line.words) > 1 else ""
        if word in ("", "VS"):
            flush_on_stop = "VS" if word else "all"
        else:
            diagnostics.error(
                line.place_of(1),
                "invalid-value",
                f"lvs_flush_on_stop: '{word}' is not VS; the line is ignored",
                hint="write lvs_flush_on_stop, or lvs_flush_on_stop VS",
                width=len(word),
            )
    return GlobalDefs(
        router_id=defs.get("router_id", ""),
        vrrp_mcast_group4=group4,
        vrrp_mcast_group6=group6,
        vrrp_startup_delay_s=defs.get("vrrp_startup_delay", 0.0),
        vrrp_garp_interval_s=defs.get("vrrp_garp_interval", 0.0),
        vrrp_gna_interval_s=defs.get("vrrp_gna_interval", 0.0),
        lvs_flush=defs.get("lvs_flush", False),
        lvs_flush_on_stop=flush_on_stop,
        child_wait_time_s=float(root.get("child_wait_time", 5)),
        places=places,
    )
