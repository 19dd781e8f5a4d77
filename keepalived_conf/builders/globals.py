"""global_defs and the settings of the top level -> GlobalDefs."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.grammar.global_defs import GLOBAL_DEFS, SETTINGS
from keepalived_conf.model import GlobalDefs
from keepalived_conf.syntax import values


def build_globals(root: Read, defs: Read, reader: Reader) -> GlobalDefs:
    """Everything of the whole daemon, with what one setting makes of another."""
    diagnostics = reader.diagnostics
    given: dict[str, Any] = {
        **_top_level(root),
        **_groups(defs, diagnostics),
        "lvs_flush_on_stop": _flush_on_stop(defs, diagnostics),
        "notification_email": _recipients(defs, diagnostics),
    }
    if defs.get("vrrp_min_garp"):
        # keepalived takes a value that is the default for one that is not written.
        for name, built_in, minimal in (("vrrp_garp_master_delay", 5, 0), ("vrrp_garp_master_repeat", 5, 1)):
            if defs.get(name, built_in) == built_in:
                given[GLOBAL_DEFS.keywords[name].field] = minimal
    if defs.get("enable_snmp_rfc"):
        given["enable_snmp_rfcv2"] = given["enable_snmp_rfcv3"] = True
    if not defs.has("snmp_rs_stats_update_interval") and defs.has("snmp_vs_stats_update_interval"):
        given["snmp_rs_stats_update_interval_s"] = defs.get("snmp_vs_stats_update_interval")
    if not defs.has("vmac_addr_prefix") and defs.has("vmac_prefix"):
        given["vmac_addr_prefix"] = defs.get("vmac_prefix")
    if defs.has("config_save_dir"):
        written = defs.get("config_save_dir")
        given["config_save_dir"] = written if written == "/" else written.removesuffix("/") or None
    reader.script_security = bool(defs.get("enable_script_security"))
    found = reader.model(defs, GLOBAL_DEFS, GlobalDefs, **given)
    settings = {row.name for row in SETTINGS}
    places = {
        name: place
        for name, place in {**root.places, **defs.places}.items()
        if name in GLOBAL_DEFS.keywords or name in settings
    }
    return dataclasses.replace(found, places=places)


def _top_level(root: Read) -> dict[str, Any]:
    found = {row.name: root.get(row.name) for row in SETTINGS if root.has(row.name)}
    if "child_wait_time" in found:
        found["child_wait_time_s"] = float(found.pop("child_wait_time"))
    if "net_namespace" in found or "instance" in found:
        # keepalived: several daemons on one machine must not meet in one PID file.
        found["use_pid_dir"] = True
    return found


def _groups(defs: Read, diagnostics: Diagnostics) -> dict[str, IPv4Address | IPv6Address]:
    kept: dict[str, IPv4Address | IPv6Address] = {}
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
            del defs.values[name]
            continue
        kept[name] = found
        if isinstance(found, IPv6Address) and int(found) >> 112 & 0xF != 2:
            diagnostics.warning(
                defs.places[name],
                "not-link-local",
                f"{name}: {found} is not a link-local multicast address",
                hint="write an address of ff02::/16",
                width=len(name),
                keepalived=KeepalivedClass.WARNING,
            )
    return kept


def _recipients(defs: Read, diagnostics: Diagnostics) -> tuple[str, ...]:
    for block in defs.statements.get("notification_email", ()):
        if not any(line.words for line in block.statements()):
            diagnostics.warning(
                block.end_place,
                "empty-block",
                "notification_email names nobody",
                hint="write one address a line",
                keepalived=KeepalivedClass.GENERAL_ERROR,
            )
    return tuple(address for line in defs.get("notification_email", ()) for address in line)


def _flush_on_stop(defs: Read, diagnostics: Diagnostics) -> Literal["no", "all", "VS"]:
    line = defs.last("lvs_flush_on_stop")
    if line is None:
        return "no"
    word = line.words[1].text if len(line.words) > 1 else ""
    if word in ("", "VS"):
        return "VS" if word else "all"
    diagnostics.error(
        line.place_of(1),
        "invalid-value",
        f"lvs_flush_on_stop: '{word}' is not VS; the line is ignored",
        hint="write lvs_flush_on_stop, or lvs_flush_on_stop VS",
        width=len(word),
    )
    return "no"
