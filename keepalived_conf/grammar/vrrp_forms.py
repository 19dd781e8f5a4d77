"""Forms of vrrp_instance: VMAC and ipvlan, peers, and the small ones.

Judgement of each word as keepalived 2.4.3: most of what is wrong with a word is reported, and the rest of the
line counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_interface
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.common import SCRIPT, whole_number
from keepalived_conf.grammar.forms import Args, BadWordError, MissingWordError, Shape
from keepalived_conf.model import GarpExtraIf, IpInterface, Ipvlan, NotifyDeleted, UnicastPeer, Vmac
from keepalived_conf.syntax import values
from keepalived_conf.syntax.iproute import Kind
from keepalived_conf.syntax.values import BadValueError

GARP_EXTRA_IF_MAX_S = 86400
TTL_MAX = 255


def complain(
    args: Args,
    index: int,
    message: str,
    *,
    hint: str = "",
    code: str = "invalid-value",
    keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
) -> None:
    """A word that is ignored; the rest of the line counts."""
    args.note(index, code, message, hint=hint, severity=Severity.ERROR, keepalived=keepalived)


# --- use_vmac, use_ipvlan ----------------------------------------------------------------------------

_RFC_PREFIX = ("00", "00", "5e", "00")
_OCTET = re.compile(r"[0-9A-Fa-f]{1,2}")


def _mac(word: str) -> str:
    """Six octets, or five (a colon may follow): lower case, two digits each. BadValueError otherwise."""
    octets = word.split(":")
    if len(octets) == 6 and not octets[5]:
        octets.pop()
    if len(octets) not in (5, 6) or not all(_OCTET.fullmatch(one) for one in octets):
        raise BadValueError("is not a MAC address of five or six octets")
    octets = [one.lower().rjust(2, "0") for one in octets]
    if int(octets[0], 16) & 1:
        raise BadValueError("is a multicast MAC address")
    if tuple(octets[:4]) == _RFC_PREFIX and octets[4] in ("01", "02"):
        raise BadValueError("is a MAC address of the RFC: it is used without being written")
    return ":".join(octets)


def _device_name(word: str) -> str:
    if ":" in word or word in (".", ".."):
        raise BadValueError("is not the name of an interface")
    return values.interface_name(word)


def _read_vmac(args: Args) -> Vmac:
    found: dict[str, Any] = {}
    index = args.first
    while index < len(args.words):
        word = args.words[index].text
        if ":" in word:
            if "mac" in found:
                complain(args, index, f"the MAC address is written twice; '{word}' is ignored")
            else:
                _take(args, index, found, "mac", _mac)
        elif word == "netlink_notify_msg":
            found["netlink_notify"] = True
        elif word == "group":
            index += 1
            _take(args, index, found, "group", lambda word: args.names.find(Kind.GROUP, word))
        else:
            if word == "name":
                index += 1
                word = args.text(index)
            if "name" in found:
                complain(args, index, f"the name of the interface is written twice; '{word}' is ignored")
            else:
                _take(args, index, found, "name", _device_name)
        index += 1
    return Vmac(**found)


def _take(args: Args, index: int, found: dict[str, Any], key: str, read: Callable[[str], Any]) -> None:
    word = args.text(index)
    try:
        found[key] = read(word)
    except BadValueError as bad:
        complain(args, index, f"'{word}' {bad}; it is ignored")


def _write_vmac(value: Vmac) -> list[str]:
    return [
        # "name" is written only where it is needed: older versions do not know it.
        *([] if value.name is None else ["name", value.name] if value.name in _VMAC_WORDS else [value.name]),
        *([] if value.mac is None else [value.mac]),
        *(["netlink_notify_msg"] if value.netlink_notify else []),
        *([] if value.group is None else ["group", str(value.group)]),
    ]


_VMAC_WORDS = ("netlink_notify_msg", "group", "name")


def merged_vmac(before: Vmac, further: Vmac) -> Vmac:
    """Lines of use_vmac add to each other; what was written first counts."""
    return Vmac(
        name=before.name or further.name,
        mac=before.mac or further.mac,
        netlink_notify=before.netlink_notify or further.netlink_notify,
        group=before.group if further.group is None else further.group,
    )


VMAC = Shape(
    takes="[[name] INTERFACE] [MAC] [netlink_notify_msg] [group GROUP]", reads=_read_vmac, writes=_write_vmac
)

_IPVLAN_MODES = ("bridge", "private", "vepa")


def _read_ipvlan(args: Args) -> Ipvlan:
    found: dict[str, Any] = {}
    index = args.first
    while index < len(args.words):
        word = args.words[index].text
        address = _address_or_none(word)
        if word in _IPVLAN_MODES:
            if "mode" in found:
                complain(args, index, f"the kind of ipvlan is written twice; '{word}' is ignored")
            else:
                found["mode"] = word
        elif word == "group":
            index += 1
            _take(args, index, found, "group", lambda word: args.names.find(Kind.GROUP, word))
        elif word != "name" and address is not None:
            if "address" in found:
                complain(args, index, f"the address is written twice; '{word}' is ignored")
            else:
                found["address"] = address
        else:
            if word == "name":
                index += 1
                word = args.text(index)
            if "name" in found:
                complain(args, index, f"the name of the interface is written twice; '{word}' is ignored")
            else:
                _take(args, index, found, "name", values.interface_name)
        index += 1
    return Ipvlan(**found)


def _address_or_none(word: str) -> IpInterface | None:
    try:
        return values.interface_address(word)
    except BadValueError:
        return None


def _write_ipvlan(value: Ipvlan) -> list[str]:
    name = value.name
    needs_word = name is not None and (name in (*_IPVLAN_MODES, "group", "name") or _address_or_none(name))
    return [
        *([] if name is None else ["name", name] if needs_word else [name]),
        *([] if value.address is None else [_short(value.address)]),
        *([] if value.mode is None else [value.mode]),
        *([] if value.group is None else ["group", str(value.group)]),
    ]


def _short(address: IpInterface) -> str:
    host = ip_interface(address.ip)
    return str(address.ip) if host == address else str(address)


IPVLAN = Shape(
    takes="[[name] INTERFACE] [ADDRESS[/LENGTH]] [bridge|private|vepa] [group GROUP]",
    reads=_read_ipvlan,
    writes=_write_ipvlan,
)


# --- small ones ----------------------------------------------------------------------------------------


def _read_old_checksum(args: Args) -> str:
    if len(args.words) <= args.first:
        return "always"
    word = args.words[args.first].text
    if word != "never":
        raise BadWordError(args.first, f"'{word}' is not never")
    return "never"


OLD_CHECKSUM = Shape(
    takes="[never]", reads=_read_old_checksum, writes=lambda v: ["never"] if v == "never" else []
)


def _read_garp_extra_if(args: Args) -> GarpExtraIf:
    everywhere = False
    interval_s = None
    for index in range(args.first, len(args.words)):
        if args.words[index].text == "all":
            everywhere = True
        else:
            interval_s = whole_number(args, index, 0, GARP_EXTRA_IF_MAX_S)
    if interval_s is None:
        raise BadWordError(len(args.words), "there is no interval")
    return GarpExtraIf(interval_s=interval_s, all_interfaces=everywhere)


GARP_EXTRA_IF = Shape(
    takes=f"[all] and a whole number of seconds from 0 to {GARP_EXTRA_IF_MAX_S}",
    reads=_read_garp_extra_if,
    writes=lambda v: [*(["all"] if v.all_interfaces else []), str(v.interval_s)],
)


def _read_notify_deleted(args: Args) -> NotifyDeleted:
    return NotifyDeleted(script=SCRIPT.read(args) if len(args.words) > args.first else None)


NOTIFY_DELETED = Shape(
    takes="[SCRIPT [USER [GROUP]]]",
    reads=_read_notify_deleted,
    writes=lambda v: [] if v.script is None else SCRIPT.write(v.script),
)


def _read_address(args: Args) -> Any:
    """An address as instances take it: what stands behind - or / is dropped."""
    word = args.text(args.first)
    try:
        return values.address(re.split("[-/]", word, maxsplit=1)[0])
    except BadValueError as bad:
        raise BadWordError(args.first, f"'{word}' {bad}") from None


# --- unicast_peer ----------------------------------------------------------------------------------------


def _read_peer(args: Args) -> UnicastPeer:
    address = _read_address(args)
    ttl: dict[str, int] = {}
    index = args.first + 1
    while index < len(args.words):
        word = args.words[index].text
        if index + 1 >= len(args.words):
            complain(args, index, f"'{word}' has no value behind it; it is ignored", code="invalid-entry")
            break
        try:
            number = whole_number(args, index + 1, 0, TTL_MAX)
        except BadWordError as bad:
            complain(
                args, bad.index, f"{bad.message}; it is ignored", code=bad.code, keepalived=bad.keepalived
            )
        else:
            if word not in ("min_ttl", "max_ttl"):
                complain(
                    args,
                    index,
                    f"unknown word '{word}' behind a peer; the rest of the line is ignored",
                    hint="min_ttl N and max_ttl N are known",
                    code="unknown-word",
                )
                break
            args.use(index, word)
            ttl[word] = number
        index += 2
    peer = UnicastPeer(address=address, min_ttl=ttl.get("min_ttl"), max_ttl=ttl.get("max_ttl"))
    if (peer.min_ttl or 0) > (TTL_MAX if peer.max_ttl is None else peer.max_ttl):
        complain(
            args,
            args.first,
            f"min_ttl {peer.min_ttl} is above max_ttl {peer.max_ttl}: no advert of {address} counts",
            hint="write the smaller number as min_ttl",
            code="ttl-range-empty",
        )
    return peer


def _write_peer(value: UnicastPeer) -> list[str]:
    words = [str(value.address)]
    for word, ttl in (("min_ttl", value.min_ttl), ("max_ttl", value.max_ttl)):
        if ttl is not None:
            words += [word, str(ttl)]
    return words


PEER = Shape(takes="ADDRESS [min_ttl N] [max_ttl N]", reads=_read_peer, writes=_write_peer)


# --- names in value blocks -----------------------------------------------------------------------------


def _read_members(args: Args) -> tuple[str, ...]:
    found = tuple(word.text for word in args.words[args.first :])
    if not found:
        raise MissingWordError(len(args.words))
    return found


MEMBERS = Shape(
    takes="NAME...",
    reads=_read_members,
    # The model holds the names of all lines in one row: each is written on a line of its own.
    writes=lambda v: [v] if isinstance(v, str) else list(v),
)
"""Names on one line of a value block."""
