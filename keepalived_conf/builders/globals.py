"""global_defs and the settings of the top level -> GlobalDefs."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from keepalived_conf.builders.reader import Read
from keepalived_conf.diagnostics import Diagnostics
from keepalived_conf.grammar.global_defs import GLOBAL_DEFS
from keepalived_conf.model import GlobalDefs
from keepalived_conf.syntax import values


def build_globals(root: Read, defs: Read, diagnostics: Diagnostics) -> GlobalDefs:
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
