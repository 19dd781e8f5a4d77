"""use_vmac, use_ipvlan and what hangs on them; VRF."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived_conf.builders.lines import lines_of, value_of
from keepalived_conf.builders.vrrp_draft import Draft
from keepalived_conf.builders.vrrp_scan import Scan, wants_unicast
from keepalived_conf.grammar.vrrp_instance import VRRP_INSTANCE
from keepalived_conf.model import Ipvlan, Vmac
from keepalived_conf.model.base import Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """What the instance runs on."""

    vmac: Vmac | None
    ipvlan: Ipvlan | None
    xmit_base: bool
    promote_secondaries: bool
    vrf: str | None


def own_name(draft: Draft, names: dict[str, tuple[str, Place]], keyword: str, name: str | None) -> str | None:
    """The name of its VMAC or ipvlan interface, unless another instance has it."""
    if name is None:
        return None
    other = names.setdefault(name, (draft.name, draft.place(keyword)))
    if other[0] == draft.name:
        return name
    draft.error(
        keyword,
        "duplicate-interface",
        f"the interface {name} is that of {other[0]} at {other[1]} already; the name is ignored",
        hint="give it another name, or none",
    )
    return None


def link(
    draft: Draft, scan: Scan, names: dict[str, tuple[str, Place]], *, interface: str, strict: bool
) -> Link:
    """Of a complete instance. ``names``: of all VMAC and ipvlan interfaces so far."""
    read = draft.read
    vmac: Vmac | None = read.get("use_vmac")
    ipvlan = scan.ipvlan
    xmit_base = bool(read.get("vmac_xmit_base", False))
    _check_names(draft)
    if vmac is not None:
        vmac = replace(vmac, name=own_name(draft, names, "use_vmac", vmac.name))
    if ipvlan is not None:
        ipvlan = replace(ipvlan, name=own_name(draft, names, "use_ipvlan", ipvlan.name))
    if (vmac is not None or ipvlan is not None) and wants_unicast(draft):
        if not interface:
            draft.error_at_end(
                "vmac-without-interface",
                "VMAC and ipvlan need an interface; use_vmac is ignored",
                hint="write interface and its name",
            )
            vmac = ipvlan = None
        elif not xmit_base:
            draft.error_at_end(
                "xmit-base-set",
                "unicast with a VMAC needs vmac_xmit_base; it is set",
                hint="write vmac_xmit_base",
            )
            xmit_base = True
    if strict and vmac is not None and vmac.mac is not None:
        draft.error(
            "use_vmac",
            "strict-mode",
            "strict mode allows no MAC address of one's own; it is ignored",
            hint="take the address out",
        )
        vmac = replace(vmac, mac=None)
    if strict and vmac is not None and xmit_base:
        draft.error(
            "vmac_xmit_base",
            "strict-mode",
            "strict mode does not allow vmac_xmit_base; it is cleared",
            hint="take it out",
        )
        xmit_base = False
    elif xmit_base and vmac is None:
        draft.error(
            "vmac_xmit_base",
            "xmit-base-without-vmac",
            "vmac_xmit_base does nothing without use_vmac; it is cleared",
            hint="write use_vmac, or take it out",
        )
        xmit_base = False
    promote = bool(read.get("promote_secondaries", False))
    if promote and (vmac is not None or ipvlan is not None):
        draft.error(
            "promote_secondaries",
            "promote-implied",
            "a VMAC promotes secondaries by itself; promote_secondaries is ignored",
            hint="take it out",
        )
        promote = False
    if ipvlan is not None and ipvlan.address is None and (scan.family or 4) == 4:
        draft.error(
            "use_ipvlan",
            "ipvlan-without-address",
            "an ipvlan needs an address with IPv4; without one keepalived's instance stays in fault",
            hint="write the address behind use_ipvlan",
        )
    return Link(
        vmac=vmac,
        ipvlan=ipvlan,
        xmit_base=xmit_base,
        promote_secondaries=promote,
        vrf=_vrf(draft, scan, interface),
    )


def _check_names(draft: Draft) -> None:
    """Lines of use_vmac add to each other; of two names or MAC addresses the first counts. There is one name
    for a VMAC and an ipvlan."""
    above: dict[str, str] = {}
    for line in lines_of(draft.statement, "use_vmac", "use_ipvlan"):
        found: Vmac | Ipvlan | None = value_of(line, VRRP_INSTANCE, draft.silent)
        if found is None or (line.name == "use_ipvlan" and "use_ipvlan" in above):
            continue
        given = {"name": found.name, "MAC address": found.mac if isinstance(found, Vmac) else None}
        for what, word in given.items():
            if word is not None and what in above:
                draft.error_at(
                    line,
                    0,
                    "written-twice",
                    f"{line.name}: there is a {what} above already; '{word}' is ignored",
                    hint="write one line",
                )
            elif word is not None:
                above[what] = word
        above.setdefault(line.name, "")


def _vrf(draft: Draft, scan: Scan, interface: str) -> str | None:
    vrf: str | None = draft.read.get("vrf")
    if vrf is None or (not interface and scan.peers):
        return vrf
    draft.error(
        "vrf",
        "vrf-without-use",
        "vrf is for unicast " + ("without interface" if interface else "only") + "; it is ignored",
        hint="take it out: the interface says where adverts go"
        if interface
        else "list the peers in unicast_peer",
    )
    return None
