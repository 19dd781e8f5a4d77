"""What in an instance depends on the order of its lines: family, version, addresses, peers, state.

keepalived reads an instance line by line: the first address of any kind decides the family, and a line that
does not go with what stands above it is refused. This walk does the same, once the reader has judged each
line for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from keepalived_conf.builders.lines import value_of
from keepalived_conf.builders.vrrp_draft import Draft
from keepalived_conf.grammar.vrrp_instance import VRRP_INSTANCE
from keepalived_conf.model import Family, IpAddress, IpInterface, Ipvlan, UnicastPeer, VirtualAddress
from keepalived_conf.syntax import values
from keepalived_conf.syntax.parser import Statement

_UNICAST = ("unicast_peer", "unicast_src_ip", "check_unicast_src", "old_unicast_checksum")
"""Keywords that say that unicast is meant."""


@dataclass(slots=True)
class Scan:
    family: Family | None = None
    version: int | None = None
    state: str | None = None
    listed: list[VirtualAddress] = field(default_factory=list)
    excluded: list[VirtualAddress] = field(default_factory=list)
    peers: list[UnicastPeer] = field(default_factory=list)
    source: IpAddress | None = None
    mcast_dst_ip: IpAddress | None = None
    ipvlan: Ipvlan | None = None
    nopreempt: bool = False
    accept: bool | None = None
    """None: not written."""


def wants_unicast(draft: Draft) -> bool:
    return draft.written(*_UNICAST, "unicast_fault_no_peer") is not None


class _Walk:
    def __init__(self, draft: Draft, addresses: dict[int, VirtualAddress]) -> None:
        self.draft = draft
        self.found = Scan()
        self.addresses = addresses
        read = draft.read
        lines, peers = read.lines.get("unicast_peer", ()), read.get("unicast_peer", ())
        self.peers: dict[int, UnicastPeer] = {id(line): peer for line, peer in zip(lines, peers, strict=True)}

    def run(self) -> Scan:
        takes: dict[str, Callable[[Statement], None]] = {
            "unicast_peer": self._unicast_peer,
            "virtual_ipaddress": self._virtual_ipaddress,
            "virtual_ipaddress_excluded": self._excluded,
            "mcast_src_ip": self._source,
            "unicast_src_ip": self._source,
            "mcast_dst_ip": self._destination,
            "use_ipvlan": self._ipvlan,
            "native_ipv6": self._native_ipv6,
            "version": self._version,
            "state": self._state,
        }
        for line in self.draft.statement.statements():
            if not line.words or line.words[0].quoted:
                continue
            take = takes.get(line.name)
            if take is not None:
                take(line)
            elif line.name in ("preempt", "nopreempt"):
                self.found.nopreempt = line.name == "nopreempt"
            elif line.name in ("accept", "no_accept"):
                self.found.accept = line.name == "accept"
        if self.found.source is None and self.found.ipvlan is not None and self.found.ipvlan.address:
            # A source of the wrong family was taken back; the ipvlan has no other address than its own.
            self.found.source = self.found.ipvlan.address.ip
        return self.found

    def _goes(
        self, line: Statement, index: int, address: IpAddress | IpInterface, what: str, hint: str = ""
    ) -> bool:
        """Whether an address is of the family of the instance, which the first one decides."""
        family: Family = 6 if values.family_of(address) == 6 else 4
        if self.found.family is None:
            self.found.family = family
        if self.found.family == family:
            return True
        self.draft.error_at(
            line,
            index,
            "mixed-families",
            f"{what} is not IPv{self.found.family} as the instance is; it is ignored",
            hint=hint,
        )
        return False

    def _unicast_peer(self, line: Statement) -> None:
        for entry in line.statements():
            peer = self.peers.get(id(entry))
            if peer is None or not self._goes(entry, 0, peer.address, f"peer {peer.address}"):
                continue
            if any(other.address == peer.address for other in self.found.peers):
                self.draft.error_at(
                    entry,
                    0,
                    "duplicate-peer",
                    f"peer {peer.address} is listed twice; this entry is ignored",
                )
                continue
            self.found.peers.append(peer)

    def _virtual_ipaddress(self, line: Statement) -> None:
        for entry in line.statements():
            one = self.addresses.get(id(entry))
            if one is None or not self._goes(
                entry,
                0,
                one.interface,
                str(one.interface.ip),
                "write it in virtual_ipaddress_excluded, or in an instance of its own",
            ):
                continue
            ip = one.interface.ip
            same = [other for other in self.found.listed if other.interface.ip == ip]
            if self._new(entry, one, seen=bool(same), same=same):
                self.found.listed.append(one)

    def _excluded(self, line: Statement) -> None:
        for entry in line.statements():
            one = self.addresses.get(id(entry))
            if one is not None and self._new(
                entry, one, seen=False, same=[other for other in self.found.listed if _same(one, other)]
            ):
                self.found.excluded.append(one)

    def _new(self, entry: Statement, one: VirtualAddress, *, seen: bool, same: list[VirtualAddress]) -> bool:
        """``same``: addresses of virtual_ipaddress that it repeats; ``seen``: keepalived sees that too."""
        same = same + [other for other in self.found.excluded if _same(one, other)]
        if not same:
            return True
        message = f"{one.interface.ip} is listed twice; this entry is ignored"
        # It compares interfaces as they are written: one that is left out is none.
        if seen or any(("dev" in one.places) == ("dev" in other.places) for other in same):
            self.draft.error_at(entry, 0, "duplicate-address", message)
        else:
            self.draft.diagnostics.warning(
                entry.place, "duplicate-address", f"({self.draft.name}) {message}", width=len(entry.name)
            )
        return False

    def _source(self, line: Statement) -> None:
        address: IpAddress | None = value_of(line, VRRP_INSTANCE, self.draft.silent)
        if address is None:
            return
        # A line of the wrong family takes back the address of a line above.
        self.found.source = address if self._goes(line, 1, address, f"{line.name} {address}") else None

    def _destination(self, line: Statement) -> None:
        address: IpAddress | None = value_of(line, VRRP_INSTANCE, self.draft.silent)
        if address is None:
            return
        self.found.mcast_dst_ip = None
        if not self._goes(line, 1, address, f"mcast_dst_ip {address}"):
            return
        link_local = address.packed[1] & 0x0F == 2 if isinstance(address, IPv6Address) else True
        if not (address.is_multicast and link_local):
            what = "a link-local multicast" if isinstance(address, IPv6Address) else "a multicast"
            self.draft.error_at(
                line,
                1,
                "not-multicast",
                f"mcast_dst_ip {address} is not {what} address; it is ignored",
                hint="for unicast write unicast_peer { ... }",
            )
            return
        self.found.mcast_dst_ip = address

    def _ipvlan(self, line: Statement) -> None:
        if self.found.ipvlan is not None:
            return
        value: Ipvlan | None = value_of(line, VRRP_INSTANCE, self.draft.silent)
        if value is None:
            return
        address = value.address
        if address is not None:
            text = str(address.ip)
            at = next((i for i, word in enumerate(line.words) if word.text.startswith(text)), 1)
            if not self._goes(line, at, address, f"the address {address}"):
                value = Ipvlan(name=value.name, mode=value.mode, group=value.group)
            elif self.found.source is None:
                self.found.source = address.ip
        self.found.ipvlan = value

    def _native_ipv6(self, line: Statement) -> None:
        if self.found.family == 4:
            self.draft.error_at(
                line,
                0,
                "mixed-families",
                "native_ipv6 does not go with IPv4 addresses; it is ignored",
                hint="take it out: the family follows from the addresses",
            )
            return
        self.found.family = 6
        self.found.version = 3

    def _version(self, line: Statement) -> None:
        version: int | None = value_of(line, VRRP_INSTANCE, self.draft.silent)
        if version is None:
            return
        before = self.found.version
        if (before is not None and before != version) or (version == 2 and self.found.family == 6):
            why = f"version {before} above" if before is not None else "the IPv6 addresses above"
            self.draft.error_at(
                line,
                1,
                "version-conflict",
                f"version {version} does not go with {why}; the line is ignored",
                hint="take one of them out" if before is not None else "take it out: IPv6 needs version 3",
            )
            return
        self.found.version = version

    def _state(self, line: Statement) -> None:
        if len(line.words) < 2:
            return
        word = line.words[1].text
        if word == "BACKUP" and self.found.state == "MASTER":
            self.draft.error_at(
                line,
                1,
                "state-twice",
                "state MASTER stands above; this line is ignored",
                hint="keep one of the two lines",
            )
            return
        # What is neither, keepalived takes for BACKUP.
        self.found.state = "MASTER" if word == "MASTER" else "BACKUP"


def _same(one: VirtualAddress, other: VirtualAddress) -> bool:
    return one.interface.ip == other.interface.ip and one.dev == other.dev


def scan(draft: Draft, addresses: dict[int, VirtualAddress]) -> Scan:
    """``addresses``: id of a line of virtual_ipaddress(_excluded) -> what it says; bad lines left out."""
    return _Walk(draft, addresses).run()
