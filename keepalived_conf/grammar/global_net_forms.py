"""Forms of global_defs that concern addresses, packets and services."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.forms import Args, BadWordError, Shape
from keepalived_conf.grammar.global_forms import complain, exact_number, missing, surplus
from keepalived_conf.model import GarpExtraIf, IptablesChains, LvsSyncDaemon, LvsTimeouts
from keepalived_conf.syntax import values
from keepalived_conf.syntax.values import BadValueError

LVS_TIMEOUT_MAX_S = 2678400
SYNC_MAXLEN_BYTES = 65507
CHAIN_NAME_MAX, SET_NAME_MAX = 27, 30
"""Characters of names of chains and sets: XT_EXTENSION_MAXNAMELEN and IPSET_MAXNAMELEN less 2, as keepalived
counts."""


# --- VRRP ----------------------------------------------------------------------------------------------


def _read_dynamic(args: Args) -> str:
    if len(args.words) <= args.first:
        return "yes"
    word = args.words[args.first].text
    surplus(args, 1)
    if word == "allow_if_changes":
        return word
    complain(args, args.first, "invalid-value", f"'{word}' is not allow_if_changes; it is ignored")
    return "yes"


DYNAMIC_INTERFACES = Shape(
    takes="allow_if_changes, or nothing",
    reads=_read_dynamic,
    writes=lambda v: [v] if v == "allow_if_changes" else [],
)


def _read_extra_if(args: Args) -> GarpExtraIf:
    every, interval = False, 0
    for index in range(args.first, len(args.words)):
        if args.words[index].text == "all":
            every = True
        else:
            interval = exact_number(args, index, 1, 86400)
    if not interval:
        raise missing(args, "the interval is missing")
    return GarpExtraIf(interval_s=interval, all_interfaces=every)


GARP_EXTRA_IF = Shape(
    takes="[all] SECONDS",
    reads=_read_extra_if,
    writes=lambda v: [*(["all"] if v.all_interfaces else []), str(v.interval_s)],
)


def _read_rx_bufs(args: Args) -> str | int:
    if len(args.words) <= args.first:
        raise missing(args)
    found: dict[str, int] = {}
    for index in range(args.first, len(args.words)):
        word = args.words[index].text.upper()
        if word in ("MTU", "ADVERT"):
            found[word] = index
            continue
        # keepalived reads the first word wherever a number stands.
        found["size"] = exact_number(args, args.first, 0, 4294967295)
    if len(found) > 1:
        kept = "the size" if "size" in found else "MTU"
        complain(args, args.first, "conflict", f"only one of MTU, ADVERT and a size counts; {kept} is taken")
    return found.get("size", "MTU" if "MTU" in found else "ADVERT")


RX_BUFS = Shape(takes="MTU, ADVERT, or a size in bytes", reads=_read_rx_bufs, writes=lambda v: [str(v)])


def stronger_policy(old: str | int, new: str | int) -> str | int:
    """Of two lines of vrrp_rx_bufs_policy: a size counts more than MTU, and that more than ADVERT."""
    if isinstance(new, int):
        return new
    if isinstance(old, int):
        return old
    return "MTU" if "MTU" in (old, new) else "ADVERT"


def _read_iptables(args: Args) -> IptablesChains:
    # keepalived built without iptables says so in its class of errors, built with it, it is silent.
    args.note(
        0,
        "no-iptables",
        "rules are made by nftables, not by iptables",
        hint="write nftables instead",
        keepalived=KeepalivedClass.GENERAL_ERROR,
    )
    names = [word.text for word in args.words[args.first : args.first + 2]]
    for index, name in enumerate(names, args.first):
        if not 1 <= len(name) <= CHAIN_NAME_MAX:
            raise BadWordError(index, f"a chain has a name of 1 to {CHAIN_NAME_MAX} characters")
    if len(names) == 2 and names[0] == names[1]:
        raise BadWordError(args.first + 1, "the chains must differ", keepalived=KeepalivedClass.OK)
    surplus(args, 2)
    if not names:
        return IptablesChains(input="INPUT", output="OUTPUT")
    return IptablesChains(input=names[0], output=names[1] if len(names) == 2 else None)


IPTABLES = Shape(
    takes="[IN_CHAIN [OUT_CHAIN]]",
    reads=_read_iptables,
    writes=lambda v: [v.input, *([v.output] if v.output else [])],
)


def _read_ipsets(args: Args) -> tuple[str, ...]:
    names = [word.text for word in args.words[args.first : args.first + 6]]
    for index, name in enumerate(names, args.first):
        if not 1 <= len(name) <= SET_NAME_MAX:
            raise BadWordError(index, f"a set has a name of 1 to {SET_NAME_MAX} characters")
    surplus(args, 6)
    if not names:
        return ()
    if len(names) < 2:
        names.append(names[0][:SET_NAME_MAX] + "6")
    if len(names) < 3:
        names.append(names[1].removesuffix("6")[: SET_NAME_MAX - 3] + "_if6")
    for end in ("_igmp", "_mld", "_nd")[len(names) - 3 :]:
        names.append(names[0][: 26 if end == "_igmp" else 27] + end)
    for index, name in enumerate(names):
        if name in names[:index]:
            raise BadWordError(args.first, f"the name {name} is used for two sets")
    return tuple(names)


IPSETS = Shape(takes="up to six names of sets, or nothing for none", reads=_read_ipsets, writes=list)


# --- services ------------------------------------------------------------------------------------------


def _read_timeouts(args: Args) -> LvsTimeouts:
    if len(args.words) < args.first + 2:
        raise missing(args, "at least one timeout is needed")
    found: dict[str, int] = {}
    index = args.first
    while index < len(args.words):
        word = args.words[index].text
        if word not in ("tcp", "tcpfin", "udp"):
            complain(args, index, "invalid-value", f"'{word}' is none of tcp, tcpfin, udp; it is ignored")
            index += 1
            continue
        if index + 1 == len(args.words):
            complain(args, index, "missing-argument", f"no seconds behind {word}; it is ignored")
            break
        _option(args, index, 0, LVS_TIMEOUT_MAX_S, found, f"{word}_s")
        index += 2
    return LvsTimeouts(**found)


def _option(args: Args, index: int, low: int, high: int, found: dict[str, Any], name: str) -> None:
    """Take the number behind the word at ``index``, or report it."""
    try:
        found[name] = exact_number(args, index + 1, low, high)
    except BadWordError as bad:
        complain(args, index + 1, bad.code, f"{bad.message}; {args.words[index].text} is ignored")


def _write_timeouts(value: LvsTimeouts) -> list[str]:
    pairs = (("tcp", value.tcp_s), ("tcpfin", value.tcpfin_s), ("udp", value.udp_s))
    return [word for name, number in pairs if number is not None for word in (name, str(number))]


def add_timeouts(old: LvsTimeouts, new: LvsTimeouts) -> LvsTimeouts:
    """What a further line of lvs_timeouts adds."""
    names = ("tcp_s", "tcpfin_s", "udp_s")
    return dataclasses.replace(old, **{n: getattr(new, n) for n in names if getattr(new, n) is not None})


LVS_TIMEOUTS = Shape(
    takes="[tcp SECONDS] [tcpfin SECONDS] [udp SECONDS]", reads=_read_timeouts, writes=_write_timeouts
)

_SYNC_OPTIONS = {
    "id": ("sync_id", 0, 255),
    "maxlen": ("maxlen_bytes", 1, SYNC_MAXLEN_BYTES),
    "port": ("port", 1, 65535),
    "ttl": ("ttl", 1, 255),
}


def _read_sync_daemon(args: Args) -> LvsSyncDaemon:
    if len(args.words) <= args.first:
        raise missing(args, "the interface is missing")
    try:
        interface = values.interface_name(args.words[args.first].text)
    except BadValueError as bad:
        raise BadWordError(args.first, f"'{args.words[args.first].text}' {bad}") from None
    found: dict[str, Any] = {}
    index = start = args.first + 1
    while index < len(args.words):
        word = args.words[index].text
        last = index + 1 == len(args.words)
        if word == "inst":
            name = args.text(index + 1)
            if "instance" in found:
                complain(args, index, "written-twice", "the instance is already named; this one is ignored")
            found.setdefault("instance", name)
        elif word in (*_SYNC_OPTIONS, "group"):
            if last:
                complain(args, index, "missing-argument", f"nothing stands behind {word}; it is ignored")
                break
            if word == "group":
                _sync_group(args, index + 1, found)
            else:
                field, low, high = _SYNC_OPTIONS[word]
                _option(args, index, low, high, found, field)
        elif index == start:  # the old form: INTERFACE INSTANCE [ID]
            found["instance"] = word
            index += 1
            continue
        elif index == start + 1:
            complain(args, index, "old-form", f"'{word}' is taken for the id", hint=f"write id {word}")
            _option(args, index - 1, 0, 255, found, "sync_id")
            index += 1
            continue
        else:
            complain(args, index, "invalid-value", f"'{word}' is no option of lvs_sync_daemon")
            index += 1
            continue
        index += 2
    return LvsSyncDaemon(interface=interface, **found)


def _sync_group(args: Args, index: int, found: dict[str, Any]) -> None:
    word = args.words[index].text
    try:
        group = values.address(word)
    except BadValueError as bad:
        complain(args, index, "invalid-value", f"'{word}' {bad}; group is ignored")
        return
    if not group.is_multicast:
        complain(args, index, "invalid-value", f"{word} is not a multicast address; group is ignored")
        return
    found["group"] = group


def _write_sync_daemon(value: LvsSyncDaemon) -> list[str]:
    pairs = (
        ("inst", value.instance),
        ("id", value.sync_id),
        ("maxlen", value.maxlen_bytes),
        ("port", value.port),
        ("ttl", value.ttl),
        ("group", value.group),
    )
    return [value.interface, *(w for name, v in pairs if v is not None for w in (name, str(v)))]


SYNC_DAEMON = Shape(
    takes="INTERFACE [inst INSTANCE] [id N] [maxlen BYTES] [port N] [ttl N] [group ADDRESS]",
    reads=_read_sync_daemon,
    writes=_write_sync_daemon,
)
