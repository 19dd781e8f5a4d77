"""Sub-keywords of an address, one row each. ``address_forms`` reads them."""

from __future__ import annotations

from keepalived_conf.grammar.entry_rows import sub
from keepalived_conf.grammar.schema import UINT32_MAX, Keyword, Type

_PLAIN = "the address is put on without it"
_TRACKED = "an address that somebody takes off is neither put back nor a fault yet, with or without it"


def address_rows(*, static: bool) -> tuple[Keyword, ...]:
    """Of virtual_ipaddress, or of static_ipaddress, which no worker puts on yet."""
    later = "static addresses are not put on yet" if static else ""
    own = (
        sub(
            "track_group",
            Type.TEXT,
            "Instances that fail when the address disappears; a track_group further up",
            since="2.0.3",
            reason=later,
        )
        if static
        else sub("use_vmac", Type.FLAG, "Put the address on a macvlan of its own interface", reason=_PLAIN)
    )
    return (
        sub(
            "IPADDR",
            Type.ADDRESS,
            "The address, with its prefix length: the first word",
            field="interface",
            default="prefix length 32 or 128",
            reason=later,
        ),
        sub(
            "dev",
            Type.INTERFACE,
            "Interface that gets the address",
            default="default_interface" if static else "interface of the instance",
            since="1.0.1",
            reason=later,
        ),
        sub(
            "scope",
            Type.TEXT,
            "Scope by name or number, IPv4 only",
            default="global",
            since="1.0.3",
            low=0,
            high=255,
            reason=later,
        ),
        sub(
            "brd",
            Type.TEXT,
            "Broadcast address, IPv4 only: an address, + (ones behind the prefix) or - (zeros)",
            field="broadcast",
            default="none",
            reason=later,
        ),
        sub(
            "broadcast",
            Type.TEXT,
            "Long form of brd",
            field="broadcast",
            alias_of="brd",
            reason=later,
        ),
        sub(
            "label",
            Type.TEXT,
            "Label of the address, IPv4 only, up to 15 characters",
            default="none",
            since="1.1.14",
            reason=later,
        ),
        sub(
            "peer",
            Type.ADDRESS,
            "Other end of a point-to-point address, without prefix length",
            default="none",
            reason=later,
        ),
        sub("home", Type.FLAG, "IPv6: home address of a mobile node", reason=later or _PLAIN),
        sub(
            "-nodad",
            Type.FLAG,
            "IPv6: look for a duplicate before the address is used",
            field="no_dad",
            default="no duplicate address detection",
            reason=later,
        ),
        sub(
            "mngtmpaddr",
            Type.FLAG,
            "IPv6: the kernel makes temporary addresses from it",
            reason=later or _PLAIN,
        ),
        sub("noprefixroute", Type.FLAG, "No route for the prefix is made", reason=later or _PLAIN),
        sub("autojoin", Type.FLAG, "Join the multicast group that it is", reason=later or _PLAIN),
        sub(
            "no_track",
            Type.FLAG,
            "Neither put back nor a fault when somebody takes it off",
            since="2.0.3",
            reason=later or _TRACKED,
        ),
        sub(
            "preferred_lft",
            Type.INTEGER,
            "Preferred lifetime, or forever",
            default="forever; 0 for an IPv6 address of 128 bits",
            unit="s",
            low=0,
            high=UINT32_MAX,
            reason=later,
        ),
        own,
    )
