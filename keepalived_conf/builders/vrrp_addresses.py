"""virtual_ipaddress(_excluded) of an instance: interfaces they are put on, VMACs of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from keepalived_conf.builders.entries import placed
from keepalived_conf.builders.vrrp_draft import Draft
from keepalived_conf.grammar.routing import VIRTUAL_IPADDRESS, VIRTUAL_IPADDRESS_EXCLUDED
from keepalived_conf.model import Family, VirtualAddress


def addresses_of(draft: Draft, interface: str) -> dict[int, VirtualAddress]:
    """id of a line of virtual_ipaddress(_excluded) -> its address; bad lines are reported, left out.

    ``interface``: of the instance, for lines that name none.
    """
    found: dict[int, VirtualAddress] = {}
    for keyword, block in (
        ("virtual_ipaddress", VIRTUAL_IPADDRESS),
        ("virtual_ipaddress_excluded", VIRTUAL_IPADDRESS_EXCLUDED),
    ):
        lines = draft.read.lines.get(keyword, ())
        for line, one in zip(lines, placed(draft.read, keyword, block, VirtualAddress), strict=True):
            if one.dev or interface:
                found[id(line)] = dataclasses.replace(one, dev=one.dev or interface)
                continue
            message = f"{keyword}: {one.interface.ip} has no interface: write dev and its name"
            draft.error_at(line, 0, "invalid-entry", f"{message}; the entry is ignored")
    return found


def one_vmac_each(
    draft: Draft,
    addresses: Iterable[VirtualAddress],
    *,
    family: Family,
    interface: str,
    use_vmac: bool,
    use_vmac_addr: bool,
) -> list[VirtualAddress]:
    """The addresses, without the use_vmac of those that are on a VMAC by their instance's settings."""
    found = []
    for one in addresses:
        at_home = one.dev == interface
        like_instance = one.interface.version == family
        if one.use_vmac and use_vmac and at_home and like_instance:
            setting = "use_vmac"
        elif one.use_vmac and use_vmac_addr and not (at_home and like_instance):
            setting = "use_vmac_addr"
        else:
            found.append(one)
            continue
        draft.diagnostics.error(
            one.places.get("use_vmac"),
            "vmac-twice",
            f"({draft.name}) {one.interface.ip} is on a VMAC by {setting} of the instance already; "
            "its use_vmac is ignored",
            hint="write it in one of the two places",
            width=len("use_vmac"),
        )
        found.append(dataclasses.replace(one, use_vmac=False))
    return found
