"""Names of iproute2: routing tables, scopes, protocols, realms, services, interface groups.

A word that is a number stands for itself; other words are looked up in iproute2's files, then among the
names that need no file. Which names there are is a matter of the host: files are read by ``load``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from keepalived_conf.syntax.values import BadValueError, c_number

UINT32_MASK = 0xFFFFFFFF


class Kind(StrEnum):
    """What a name stands for; the value is the name of iproute2's file."""

    TABLE = "rt_tables"
    SCOPE = "rt_scopes"
    PROTOCOL = "rt_protos"
    REALM = "rt_realms"
    DSFIELD = "rt_dsfield"
    GROUP = "group"


MAXIMUM: Mapping[Kind, int] = {
    Kind.TABLE: UINT32_MASK,
    Kind.SCOPE: 255,
    Kind.PROTOCOL: 255,
    Kind.REALM: 255,
    Kind.DSFIELD: 255,
    Kind.GROUP: 2147483647,
}

_LIKE: Mapping[Kind, str] = {
    Kind.TABLE: "a routing table",
    Kind.SCOPE: "a scope",
    Kind.PROTOCOL: "a routing protocol",
    Kind.REALM: "a realm",
    Kind.DSFIELD: "a type of service",
    Kind.GROUP: "an interface group",
}

# linux/rtnetlink.h: RT_TABLE_*, RT_SCOPE_*, RTPROT_*; the names that keepalived knows without a file.
_BUILT_IN: Mapping[Kind, Mapping[str, int]] = {
    Kind.TABLE: {"default": 253, "main": 254, "local": 255},
    Kind.SCOPE: {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255},
    Kind.PROTOCOL: {
        "none": 0, "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9, "mrt": 10,
        "zebra": 11, "bird": 12, "dnrouted": 13, "xorp": 14, "ntk": 15, "dhcp": 16, "babel": 42,
    },
}  # fmt: skip

ROUTE_TYPES: Mapping[str, int] = {
    "unicast": 1, "local": 2, "broadcast": 3, "brd": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
    "unreachable": 7, "prohibit": 8, "throw": 9, "nat": 10, "xresolve": 11,
}  # fmt: skip
"""linux/rtnetlink.h: RTN_*."""

# /etc/protocols as everybody has it: the protocols that carry traffic one would make a rule for.
IP_PROTOCOLS: Mapping[str, int] = {
    "ip": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9, "pup": 12,
    "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37,
    "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47,
    "esp": 50, "ah": 51, "skip": 57, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73,
    "vmtp": 81, "eigrp": 88, "ospf": 89, "ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103,
    "ipcomp": 108, "vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135,
    "udplite": 136, "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142,
}  # fmt: skip

FilesOf = Callable[[str], Mapping[str, int]]
"""Name of an iproute2 file -> the names in it."""


class Names:
    """Looks names up; asks for a file at the first word that needs it."""

    def __init__(self, files: FilesOf | None = None) -> None:
        self._files = files
        self._known: dict[Kind, dict[str, int]] = {}

    def names(self, kind: Kind) -> dict[str, int]:
        known = self._known.get(kind)
        if known is None:
            known = {}
            for name, number in (self._files(kind.value) if self._files is not None else {}).items():
                if number <= MAXIMUM[kind]:
                    known.setdefault(name, number)
            taken = set(known.values())
            for name, number in _BUILT_IN.get(kind, {}).items():
                # A number that a file names otherwise has no other name.
                if number not in taken:
                    known.setdefault(name, number)
            self._known[kind] = known
        return known

    def find(self, kind: Kind, word: str) -> int:
        """Number of a name. Raises BadValueError."""
        number = c_number(word)
        if number is not None:
            number &= UINT32_MASK
            if number > MAXIMUM[kind]:
                raise BadValueError(f"is more than {MAXIMUM[kind]}")
            return number
        found = self.names(kind).get(word)
        if found is None:
            raise BadValueError(f"is not {_LIKE[kind]}")
        return found


def parse_file(text: str) -> Iterator[tuple[str, int]]:
    """Entries of a file of iproute2: a number, blanks, a name; # starts a comment."""
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        if len(fields) != 2 or fields[0].startswith("-"):
            continue
        number = c_number(fields[0])
        if number is not None:
            yield fields[1], number
