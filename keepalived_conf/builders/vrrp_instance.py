"""vrrp_instance blocks -> VrrpInstance: keepalived's defaults and completion rules.

Rules: defaults as keepalived 2.4.3 (vrrp_instance completion), RFC 9568 and RFC 3768 for what goes on
the wire. What cannot be run safely (no id, same id twice, version 3 without addresses) is fatal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from keepalived_conf.builders.entries import BadEntryError, unicast_peer, virtual_address
from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.builders.vrrp_defaults import VrrpDefaults
from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.grammar.vrrp_instance import AUTHENTICATION, VRRP_INSTANCE
from keepalived_conf.model import (
    Family,
    GlobalDefs,
    IpAddress,
    Place,
    Places,
    UnicastPeer,
    VirtualAddress,
    VrrpInstance,
)
from keepalived_conf.syntax import values
from keepalived_conf.syntax.parser import Statement

AUTH_PASS_BYTES = 8
ADVERTISED_MAX = 255
"""Count IPvX Addr is one octet (RFC 9568 section 5.2.5)."""
ADVERT_INT_MAX_V3_CS = 4095
OWNER_PRIORITY = 255
DEFAULT_PRIORITY = 100

T = TypeVar("T")


class VrrpBuilder:
    def __init__(self, reader: Reader, globals_: GlobalDefs, defaults: VrrpDefaults) -> None:
        self.reader = reader
        self.diagnostics: Diagnostics = reader.diagnostics
        self.globals = globals_
        self.defaults = defaults
        self.instances: list[VrrpInstance] = []
        self._names: dict[str, Place] = {}

    def instance(self, statement: Statement) -> None:
        """Add the instance of one vrrp_instance block, or say why it cannot be."""
        if len(statement.words) < 2:
            self.diagnostics.error(
                statement.place,
                "no-name",
                "vrrp_instance has no name; the block is ignored",
                hint="write: vrrp_instance NAME {",
            )
            return
        name = statement.words[1].text
        if name in self._names:
            self.diagnostics.error(
                statement.place_of(1),
                "duplicate-name",
                f"vrrp_instance {name} is already defined at {self._names[name]}; this block is ignored",
                hint="give it another name",
                width=len(name),
            )
            return
        self._names[name] = statement.place_of(1)
        _Instance(self, name, statement).complete()

    def check_conflicts(self) -> None:
        """The same id twice where packets could not tell them apart is fatal."""
        seen: dict[tuple[Any, ...], VrrpInstance] = {}
        for one in self.instances:
            for key in self._wire_identities(one):
                other = seen.setdefault(key, one)
                if other is one:
                    continue
                self.diagnostics.error(
                    one.places.get("virtual_router_id"),
                    "duplicate-virtual-router-id",
                    fatal=True,
                    message=f"({one.name}) virtual_router_id {one.virtual_router_id} is already used on "
                    f"{one.interface or 'the same address'} by {other.name} "
                    f"at {other.places.get('virtual_router_id')}",
                    hint="give one of them another virtual_router_id, interface or destination",
                    width=len("virtual_router_id"),
                )
                break

    def _wire_identities(self, one: VrrpInstance) -> list[tuple[Any, ...]]:
        base = (one.virtual_router_id, one.family, one.interface)
        if one.unicast_peers:
            return [(*base, "unicast", one.source_address, peer.address) for peer in one.unicast_peers]
        group = self.globals.vrrp_mcast_group4 if one.family == 4 else self.globals.vrrp_mcast_group6
        return [(*base, "multicast", one.mcast_dst_ip or group)]


class _Instance:
    """One block on its way to a VrrpInstance."""

    def __init__(self, builder: VrrpBuilder, name: str, statement: Statement) -> None:
        self.builder = builder
        self.diagnostics = builder.diagnostics
        self.name = name
        self.statement = statement
        self.read = builder.reader.block(statement, VRRP_INSTANCE)
        self.places: Places = self.read.places

    # --- messages -----------------------------------------------------------------------------

    def _place(self, keyword: str) -> Place:
        return self.places.get(keyword) or self.statement.place

    def _error(
        self,
        keyword: str,
        code: str,
        message: str,
        *,
        hint: str = "",
        fatal: bool = False,
        keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
    ) -> None:
        width = len(keyword) if keyword in self.places else len("vrrp_instance")
        self.diagnostics.error(
            self._place(keyword),
            code,
            f"({self.name}) {message}",
            hint=hint,
            fatal=fatal,
            keepalived=keepalived,
            width=width,
        )

    # --- completion ------------------------------------------------------------------------------

    def complete(self) -> None:
        read = self.read
        vrid = read.get("virtual_router_id")
        if vrid is None:
            self._error(
                "virtual_router_id",
                "no-virtual-router-id",
                "the virtual_router_id must be set",
                hint="write virtual_router_id and a number from 1 to 255",
                fatal=True,
            )
        interface = read.get("interface", "")
        self._check_interface(interface)
        listed, excluded = self._addresses(interface)
        peers = self._peers()
        family = self._family(listed, peers)
        listed = self._of_family(listed, family)
        peers = self._peers_of_family(peers, family)
        version = self._version(family)
        source = self._source(family)
        state, priority = self._state_and_priority()
        preempt, preempt_delay_s = self._preemption(state, priority)
        listed, excluded = self._limit(listed, excluded)
        self._check_presence(listed, excluded, version)
        self._check_unicast(peers)
        destination = self._of_family_or_none("mcast_dst_ip", family)
        if destination is not None and not destination.is_multicast:
            self._error(
                "mcast_dst_ip",
                "not-multicast",
                f"mcast_dst_ip {destination} is not a multicast address; it is ignored",
                hint="for unicast write unicast_peer { ... }",
            )
            destination = None
        if vrid is None:
            return
        common = self.builder.defaults
        delay = read.get("garp_master_delay", common.garp_master_delay_s)
        repeat = read.get("garp_master_repeat", common.garp_master_repeat)
        self.builder.instances.append(
            VrrpInstance(
                name=self.name,
                interface=interface,
                virtual_router_id=vrid,
                family=family,
                version=version,
                state=state,
                priority=priority,
                advert_int_cs=self._advert_int_cs(version),
                virtual_addresses=tuple(listed),
                virtual_addresses_excluded=tuple(excluded),
                preempt=preempt,
                preempt_delay_s=preempt_delay_s,
                source_address=source,
                mcast_dst_ip=destination,
                unicast_peers=tuple(peers),
                unicast_ttl=self._unicast_ttl(peers),
                check_unicast_src=bool(peers)
                and (
                    read.get("check_unicast_src", common.check_unicast_src)
                    or any(peer.min_ttl is not None or peer.max_ttl is not None for peer in peers)
                ),
                auth_pass=self._auth_pass(version),
                garp_master_delay_s=delay,
                garp_master_repeat=repeat,
                garp_master_refresh_s=read.get("garp_master_refresh", common.garp_master_refresh_s),
                garp_master_refresh_repeat=read.get(
                    "garp_master_refresh_repeat", common.garp_master_refresh_repeat
                ),
                garp_lower_prio_delay_s=_first(
                    read.get("garp_lower_prio_delay"), common.garp_lower_prio_delay_s, delay
                ),
                garp_lower_prio_repeat=_first(
                    read.get("garp_lower_prio_repeat"), common.garp_lower_prio_repeat, repeat
                ),
                down_timer_adverts=read.get("down_timer_adverts", common.down_timer_adverts),
                lower_prio_no_advert=read.get("lower_prio_no_advert", common.lower_prio_no_advert),
                higher_prio_send_advert=read.get("higher_prio_send_advert", common.higher_prio_send_advert),
                owner_ignore_adverts=self._owner_ignore_adverts(priority),
                v3_checksum_as_v2=read.get("v3_checksum_as_v2", common.v3_checksum_as_v2),
                skip_check_adv_addr=read.get("skip_check_adv_addr", common.skip_check_adv_addr),
                dont_track_primary=read.get("dont_track_primary", False),
                places=self.places,
            )
        )

    def _check_interface(self, interface: str) -> None:
        if interface == "lo":
            self._error(
                "interface",
                "loopback",
                "VRRP cannot run on the loopback interface",
                fatal=True,
                hint="name the interface that carries the adverts",
            )
        if interface:
            return
        source = self.read.get("unicast_src_ip")
        if source is not None and not source.is_link_local:
            return
        if self.read.refused & {"interface", "unicast_src_ip"}:
            self._error(
                "interface",
                "no-interface",
                "there is no usable interface",
                fatal=True,
                hint="mend the interface line",
            )
            return
        self._error(
            "interface",
            "no-interface",
            "the interface must be set",
            fatal=True,
            hint="write interface and its name (only unicast with unicast_src_ip works without)",
        )

    def _version(self, family: Family) -> Literal[2, 3]:
        written = self.read.get("version")
        if written is not None:
            return 3 if written == "3" else 2
        if family == 6:
            return 3
        return self.builder.defaults.version or 2

    def _state_and_priority(self) -> tuple[Literal["MASTER", "BACKUP"], int]:
        written = self.read.get("state")
        priority = self.read.get("priority")
        if priority is None:
            owner = written == "MASTER" and "priority" not in self.read.refused
            priority = OWNER_PRIORITY if owner else DEFAULT_PRIORITY
            if owner:
                self.diagnostics.warning(
                    self._place("state"),
                    "owner-by-state",
                    f"({self.name}) state MASTER without priority makes it the address owner (priority 255)",
                    hint="write a priority",
                    width=len("state"),
                )
        if written is None:
            owner = priority == OWNER_PRIORITY and "state" not in self.read.refused
            written = "MASTER" if owner else "BACKUP"
        return ("MASTER" if written == "MASTER" else "BACKUP"), priority

    def _preemption(self, state: str, priority: int) -> tuple[bool, float]:
        preempt = not self.read.get("nopreempt", False)
        if not preempt and self._written_later("preempt", "nopreempt"):
            preempt = True
        delay_s = float(self.read.get("preempt_delay", 0.0))
        if not preempt and state == "MASTER":
            self._error(
                "nopreempt",
                "nopreempt-cleared",
                "nopreempt does not work with initial state MASTER; it is cleared",
                hint="write state BACKUP on every node",
            )
            preempt = True
        elif not preempt and priority == OWNER_PRIORITY:
            self._error(
                "nopreempt",
                "nopreempt-cleared",
                "nopreempt does not work with priority 255; it is cleared",
                hint="use a priority below 255",
            )
            preempt = True
        if delay_s and state == "MASTER":
            self._error(
                "preempt_delay",
                "preempt-delay-cleared",
                "preempt_delay does not work with initial state MASTER; it is cleared",
                hint="write state BACKUP on every node",
            )
            delay_s = 0.0
        elif delay_s and not preempt:
            self._error(
                "preempt_delay",
                "preempt-delay-cleared",
                "preempt_delay does not work with nopreempt; it is cleared",
                hint="write one of the two",
            )
            delay_s = 0.0
        return preempt, delay_s

    def _written_later(self, one: str, other: str) -> bool:
        first, second = self.places.get(one), self.places.get(other)
        return (
            first is not None
            and second is not None
            and ((first.file, first.line, first.column) > (second.file, second.line, second.column))
        )

    def _advert_int_cs(self, version: int) -> int:
        written_s = float(self.read.get("advert_int", 1.0))
        if version == 2:
            interval_cs = max(100, math.floor(written_s + 0.5) * 100)
            if interval_cs != round(written_s * 100, 6):
                self._error(
                    "advert_int",
                    "advert-int-rounded",
                    f"advert_int {written_s:g}: version 2 knows whole "
                    f"seconds only; {interval_cs // 100} is taken",
                    hint="write version 3 for shorter intervals",
                )
            return interval_cs
        interval_cs = math.floor(written_s * 100 + 0.5)
        if interval_cs > ADVERT_INT_MAX_V3_CS:
            self._error(
                "advert_int",
                "advert-int-rounded",
                f"advert_int {written_s:g} is more than version 3 can say; 40.95 is taken",
                hint="write at most 40.95",
            )
            return ADVERT_INT_MAX_V3_CS
        if interval_cs != round(written_s * 100, 6):
            self._error(
                "advert_int",
                "advert-int-rounded",
                f"advert_int {written_s:g} is rounded to {interval_cs / 100:g} (10 ms steps)",
            )
        return max(1, interval_cs)

    def _auth_pass(self, version: int) -> bytes | None:
        blocks = self.read.statements.get("authentication", ())
        if not blocks:
            return None
        read = Read(blocks[0].place)
        for statement in blocks:
            self.builder.reader.into(read, statement.body or [], AUTHENTICATION)
        return self._complete_auth(read, version)

    def _complete_auth(self, read: Read, version: int) -> bytes | None:
        kind, text = read.get("auth_type"), read.get("auth_pass")
        if kind is None:
            if text is not None:
                self._error(
                    "authentication",
                    "no-auth-type",
                    "auth_pass without auth_type: no authentication is used",
                    hint="write auth_type PASS",
                )
            return None
        if version == 3:
            self._error(
                "authentication",
                "auth-in-version-3",
                "version 3 knows no authentication; it is not used",
                hint="take the authentication block out, or write version 2",
            )
            return None
        if kind == "AH":
            self._error(
                "authentication",
                "auth-ah",
                "auth_type AH is not supported: adverts are neither signed nor checked",
                hint="use auth_type PASS on every node",
                keepalived=KeepalivedClass.OK,
            )
            return None
        if not text:
            self._error(
                "authentication",
                "no-auth-pass",
                "auth_pass is missing: no authentication is used",
                hint="write auth_pass and up to eight characters",
            )
            return None
        secret = str(text).encode("utf-8", "surrogateescape")
        if len(secret) > AUTH_PASS_BYTES:
            place = read.places.get("auth_pass")
            self.diagnostics.error(
                place,
                "auth-pass-cut",
                f"({self.name}) auth_pass is longer than {AUTH_PASS_BYTES} "
                f"bytes; only the first {AUTH_PASS_BYTES} count",
                hint="shorten it",
                width=len("auth_pass"),
            )
        return secret[:AUTH_PASS_BYTES]

    def _owner_ignore_adverts(self, priority: int) -> bool:
        wanted = self.read.get("owner_ignore_adverts", self.builder.defaults.owner_ignore_adverts)
        return bool(wanted) and priority == OWNER_PRIORITY

    # --- addresses -----------------------------------------------------------------------------------

    def _addresses(self, interface: str) -> tuple[list[VirtualAddress], list[VirtualAddress]]:
        seen: set[tuple[IpAddress, str]] = set()
        lists: list[list[VirtualAddress]] = []
        for keyword in ("virtual_ipaddress", "virtual_ipaddress_excluded"):
            found: list[VirtualAddress] = []
            for statement in self.read.statements.get(keyword, ()):
                for entry in statement.statements():
                    one = self._entry(
                        entry, keyword, lambda e: virtual_address(e, interface, self._entry_note)
                    )
                    if one is None:
                        continue
                    key = (one.interface.ip, one.dev)
                    if key in seen:
                        self._entry_error(
                            entry,
                            0,
                            "duplicate-address",
                            f"{one.interface.ip} is listed twice; this entry is ignored",
                        )
                        continue
                    seen.add(key)
                    found.append(one)
            lists.append(found)
        return lists[0], lists[1]

    def _entry(self, entry: Statement, keyword: str, make: Callable[[Statement], T]) -> T | None:
        if not entry.words:
            return None
        if entry.body is not None:
            self._entry_error(entry, 0, "unexpected-block", f"an entry of {keyword} takes no block")
            return None
        try:
            return make(entry)
        except BadEntryError as bad:
            self._entry_error(entry, bad.index, "invalid-entry", f"{keyword}: {bad}; the entry is ignored")
            return None

    def _entry_error(self, entry: Statement, index: int, code: str, message: str) -> None:
        width = len(entry.words[index].text) if index < len(entry.words) else 1
        self.diagnostics.error(entry.place_of(index), code, f"({self.name}) {message}", width=width)

    def _entry_note(self, entry: Statement, index: int, message: str, *, known: bool) -> None:
        word = entry.words[index].text
        if not known:
            self._entry_error(entry, index, "unknown-word", message)
        elif self.diagnostics.first_time("no-effect-yet", f"address {word}"):
            self.diagnostics.note(entry.place_of(index), "no-effect-yet", message, width=len(word))

    def _peers(self) -> list[UnicastPeer]:
        found: list[UnicastPeer] = []
        for statement in self.read.statements.get("unicast_peer", ()):
            for entry in statement.statements():
                peer = self._entry(entry, "unicast_peer", unicast_peer)
                if peer is None:
                    continue
                if any(other.address == peer.address for other in found):
                    self._entry_error(
                        entry,
                        0,
                        "duplicate-peer",
                        f"peer {peer.address} is listed twice; this entry is ignored",
                    )
                    continue
                found.append(peer)
        return found

    def _family(self, listed: list[VirtualAddress], peers: list[UnicastPeer]) -> Family:
        """Family of the first address in the file; IPv4 without any."""
        if self.read.get("native_ipv6"):
            return 6
        candidates: list[tuple[Place, int]] = []
        for keyword, found in (
            ("virtual_ipaddress", listed[0].interface if listed else None),
            ("unicast_peer", peers[0].address if peers else None),
            ("unicast_src_ip", self.read.get("unicast_src_ip")),
            ("mcast_src_ip", self.read.get("mcast_src_ip")),
        ):
            if found is not None:
                candidates.append((self._place(keyword), values.family_of(found)))
        if not candidates:
            return 4
        return 6 if min(candidates, key=lambda c: (c[0].line, c[0].column))[1] == 6 else 4

    def _of_family(self, listed: list[VirtualAddress], family: Family) -> list[VirtualAddress]:
        kept = []
        for one in listed:
            if values.family_of(one.interface) == family:
                kept.append(one)
                continue
            self.diagnostics.error(
                one.places.get(""),
                "mixed-families",
                f"({self.name}) {one.interface.ip} is not IPv{family} as the instance is; it is ignored",
                hint="write it in virtual_ipaddress_excluded, or in an instance of its own",
                width=len(str(one.interface.ip)),
            )
        return kept

    def _peers_of_family(self, peers: list[UnicastPeer], family: Family) -> list[UnicastPeer]:
        kept = [peer for peer in peers if values.family_of(peer.address) == family]
        for peer in peers:
            if peer not in kept:
                self._error(
                    "unicast_peer",
                    "mixed-families",
                    f"peer {peer.address} is not IPv{family} as the instance is; it is ignored",
                )
        return kept

    def _of_family_or_none(self, keyword: str, family: Family) -> IpAddress | None:
        found: IpAddress | None = self.read.get(keyword)
        if found is not None and values.family_of(found) != family:
            self._error(
                keyword,
                "mixed-families",
                f"{keyword} {found} is not IPv{family} as the instance is; it is ignored",
            )
            return None
        return found

    def _source(self, family: Family) -> IpAddress | None:
        both = [k for k in ("mcast_src_ip", "unicast_src_ip") if self.read.has(k)]
        if len(both) == 2 and self._written_later("mcast_src_ip", "unicast_src_ip"):
            both.reverse()
        return self._of_family_or_none(both[-1], family) if both else None

    def _limit(
        self, listed: list[VirtualAddress], excluded: list[VirtualAddress]
    ) -> tuple[list[VirtualAddress], list[VirtualAddress]]:
        if len(listed) <= ADVERTISED_MAX:
            return listed, excluded
        self._error(
            "virtual_ipaddress",
            "too-many-addresses",
            f"an advert holds at most {ADVERTISED_MAX} addresses; "
            f"the other {len(listed) - ADVERTISED_MAX} are held but not advertised",
            hint="write them in virtual_ipaddress_excluded",
        )
        return listed[:ADVERTISED_MAX], listed[ADVERTISED_MAX:] + excluded

    def _check_presence(
        self, listed: list[VirtualAddress], excluded: list[VirtualAddress], version: int
    ) -> None:
        if listed or self.read.get("no_virtual_ipaddress"):
            return
        if version == 3:
            self._error(
                "virtual_ipaddress",
                "no-address",
                "version 3 needs at least one virtual_ipaddress",
                fatal=True,
                hint="add an address, or write no_virtual_ipaddress if none is meant",
            )
        else:
            more = " (virtual_ipaddress_excluded does not count)" if excluded else ""
            self.diagnostics.warning(
                self._place("virtual_ipaddress"),
                "no-address",
                f"({self.name}) there is no virtual_ipaddress{more}",
                hint="add an address",
                width=len("virtual_ipaddress")
                if "virtual_ipaddress" in self.places
                else len("vrrp_instance"),
                keepalived=KeepalivedClass.WARNING,
            )

    def _check_unicast(self, peers: list[UnicastPeer]) -> None:
        if peers:
            return
        used = [
            k
            for k in ("unicast_peer", "unicast_src_ip", "unicast_ttl", "check_unicast_src")
            if k in self.places
        ]
        if used:
            self.diagnostics.warning(
                self._place(used[0]),
                "unicast-without-peers",
                f"({self.name}) {used[0]} without any peer in unicast_peer: adverts go out by multicast",
                hint="list the peers in unicast_peer { ... }",
                width=len(used[0]),
                keepalived=KeepalivedClass.DEPRECATED,
            )

    def _unicast_ttl(self, peers: list[UnicastPeer]) -> int | None:
        ttl: int | None = self.read.get("unicast_ttl")
        if ttl is not None and not peers:
            self._error("unicast_ttl", "unicast-ttl-ignored", "unicast_ttl without unicast_peer is ignored")
            return None
        return ttl or None


def _first(*candidates: int | None) -> int:
    return next(c for c in candidates if c is not None)
