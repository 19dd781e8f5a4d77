"""vrrp_instance blocks -> VrrpInstance: keepalived's defaults and completion rules.

Rules: defaults as keepalived 2.4.3 (vrrp_instance completion), RFC 9568 and RFC 3768 for what goes on
the wire. What cannot be run safely (no id, same id twice, version 3 without addresses) is fatal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from keepalived_conf.builders.entries import placed
from keepalived_conf.builders.groups import Member, assign_members, drop_weights_of_owners
from keepalived_conf.builders.lines import lines_of, silent_reader
from keepalived_conf.builders.reader import Reader
from keepalived_conf.builders.trackers import Trackers
from keepalived_conf.builders.tracks import Tracks, tracks
from keepalived_conf.builders.vrrp_addresses import addresses_of, one_vmac_each
from keepalived_conf.builders.vrrp_auth import Auth, authentication
from keepalived_conf.builders.vrrp_defaults import VrrpDefaults
from keepalived_conf.builders.vrrp_draft import OWNER_PRIORITY, Draft
from keepalived_conf.builders.vrrp_scan import Scan, scan, wants_unicast
from keepalived_conf.builders.vrrp_timing import (
    accepts,
    advert_int_cs,
    answers,
    election,
    preemption,
)
from keepalived_conf.builders.vrrp_tracks import effective_tracks
from keepalived_conf.builders.vrrp_vmac import link
from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.grammar.routing import VIRTUAL_ROUTES, VIRTUAL_RULES
from keepalived_conf.model import (
    Family,
    GlobalDefs,
    Place,
    Route,
    Rule,
    SyncGroup,
    UnicastPeer,
    VirtualAddress,
    VrrpInstance,
)
from keepalived_conf.syntax.parser import Statement

ADVERTISED_MAX = 255
"""Count IPvX Addr is one octet (RFC 9568 section 5.2.5)."""
MTU_BYTES = 1500
"""Of the interface, as long as nobody has looked: what an advert must fit in."""
_HEADERS_BYTES = {4: 14 + 20 + 8, 6: 14 + 40 + 8}
"""Ethernet, IP and VRRP, as keepalived counts them."""
_ADDRESS_BYTES = {4: 4, 6: 16}


class VrrpBuilder:
    """Reads instances one by one; ``complete`` makes them when all are known."""

    def __init__(
        self, reader: Reader, globals_: GlobalDefs, defaults: VrrpDefaults, trackers: Trackers
    ) -> None:
        self.reader = reader
        self.diagnostics: Diagnostics = reader.diagnostics
        self.globals = globals_
        self.defaults = defaults
        self.trackers = trackers
        self.instances: list[VrrpInstance] = []
        self.sync_groups: tuple[SyncGroup, ...] = ()
        """Complete."""
        self.link_names: dict[str, tuple[str, Place]] = {}
        """Interface of a VMAC or ipvlan -> (instance, where)."""
        self._drafts: dict[str, _Instance] = {}
        self._silent = silent_reader()
        self._lvs_sync: Place | None = None

    def instance(self, statement: Statement, order: int) -> None:
        """Read one vrrp_instance block, the ``order``-th block of the top level."""
        if len(statement.words) != 2:
            self.diagnostics.error(
                statement.place if len(statement.words) < 2 else statement.place_of(2),
                "no-name",
                "vrrp_instance needs one name; the block is ignored",
                hint="write: vrrp_instance NAME {",
                width=len(statement.words[0].text) if len(statement.words) < 2 else 1,
            )
            return
        name = statement.words[1].text
        before = self._drafts.get(name)
        if before is not None:
            first = before.draft.statement.place_of(1)
            self.diagnostics.error(
                statement.place_of(1),
                "duplicate-name",
                f"vrrp_instance {name} is already defined at {first}; this block is ignored",
                hint="give it another name",
                width=len(name),
            )
            return
        self._drafts[name] = _Instance(self, Draft(self.reader, name, statement, order, self._silent))

    def complete(self, sync_groups: tuple[SyncGroup, ...]) -> None:
        """Instances with their defaults, and groups with the members there are."""
        members = {
            name: Member(state=one.scan.state, priority=one.draft.read.get("priority"))
            for name, one in self._drafts.items()
        }
        groups = assign_members(self.reader, sync_groups, members)
        group_of = {name: group for group in groups for name in group.members}
        for name, one in self._drafts.items():
            one.complete(group_of.get(name))
        owners = frozenset(one.name for one in self.instances if one.priority == OWNER_PRIORITY)
        self.sync_groups = drop_weights_of_owners(self.reader, groups, owners)

    def lvs_sync(self, draft: Draft) -> str | None:
        """lvs_sync_daemon_interface: the first in the file counts, and one in global_defs before all."""
        interface: str | None = draft.read.get("lvs_sync_daemon_interface")
        if interface is None:
            return None
        if self._lvs_sync is not None or self.globals.lvs_sync_daemon is not None:
            draft.error(
                "lvs_sync_daemon_interface",
                "written-twice",
                "there is an interface for the IPVS synchronisation already; the line is ignored",
                hint="take it out, and write lvs_sync_daemon in global_defs",
            )
            return None
        self._lvs_sync = draft.place("lvs_sync_daemon_interface")
        return interface

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

    def __init__(self, builder: VrrpBuilder, draft: Draft) -> None:
        self.builder = builder
        self.draft = draft
        self.diagnostics = draft.diagnostics
        self.read = draft.read
        self.interface = self._interface()
        self.scan: Scan = scan(draft, addresses_of(self.draft, self.interface))
        self.tracks: Tracks = tracks(draft.reader, builder.trackers, draft.read, draft.name, draft.order)

    def _interface(self) -> str:
        """Name of its interface; empty without a usable one."""
        interface: str = self.read.get("interface", "")
        if interface != "lo":
            return interface
        self.draft.error(
            "interface",
            "loopback",
            "VRRP cannot run on the loopback interface; it is ignored",
            hint="name the interface that carries the adverts",
        )
        return ""

    # --- completion ------------------------------------------------------------------------------

    def complete(self, group: SyncGroup | None) -> None:
        """Add the instance, or say why it cannot be."""
        draft, read, found, builder = self.draft, self.read, self.scan, self.builder
        defaults, globals_ = builder.defaults, builder.globals
        vrid = read.get("virtual_router_id")
        if vrid is None:
            draft.error(
                "virtual_router_id",
                "no-virtual-router-id",
                "the virtual_router_id must be set",
                hint="write virtual_router_id and a number from 1 to 255",
                fatal=True,
            )
        self._check_interface()
        strict = bool(read.get("strict_mode", globals_.vrrp_strict))
        family: Family = found.family or 4
        version = self._version(family, strict=strict)
        ttl = self._unicast_ttl()
        state, priority = election(draft, found, strict_mode=strict)
        auth = authentication(
            draft, strict=strict, version=version, family=family, state=state, priority=priority
        )
        if auth.clears_master:
            state = "BACKUP"
        self._check_unicast(strict=strict)
        on = link(draft, found, builder.link_names, interface=self.interface, strict=strict)
        self._check_first_address(family, strict=strict)
        listed, excluded = (
            one_vmac_each(
                draft,
                addresses,
                family=family,
                interface=self.interface,
                use_vmac=on.vmac is not None,
                use_vmac_addr=bool(read.get("use_vmac_addr", False)),
            )
            for addresses in self._limit(family, auth)
        )
        waiting = preemption(draft, found, state=state, priority=priority, strict_mode=strict)
        accept = accepts(draft, found, priority=priority, version=version, strict_mode=strict)
        destination = found.mcast_dst_ip
        if destination is not None and found.peers:
            draft.error(
                "mcast_dst_ip",
                "mcast-with-unicast",
                "mcast_dst_ip does not go with unicast_peer; it is ignored",
                hint="take one of them out",
            )
            destination = None
        resolved = answers(draft, defaults, priority=priority, strict_mode=strict)
        interval_cs = advert_int_cs(draft, version)
        no_address = self._no_address_is_meant(strict=strict)
        self._check_presence(listed, excluded, version, strict=strict, meant=no_address)
        followed = effective_tracks(
            draft, self.tracks, interface=self.interface, priority=priority, group=group
        )
        if vrid is None:
            return
        builder.instances.append(
            VrrpInstance(
                name=draft.name,
                interface=self.interface,
                virtual_router_id=vrid,
                family=family,
                version=version,
                state=state,
                priority=priority,
                advert_int_cs=interval_cs,
                virtual_addresses=tuple(listed),
                virtual_addresses_excluded=tuple(excluded),
                virtual_routes=tuple(placed(read, "virtual_routes", VIRTUAL_ROUTES, Route)),
                virtual_rules=tuple(placed(read, "virtual_rules", VIRTUAL_RULES, Rule)),
                preempt=waiting.preempt,
                preempt_delay_s=waiting.delay_s,
                source_address=found.source,
                mcast_dst_ip=destination,
                unicast_peers=tuple(found.peers),
                unicast_ttl=ttl,
                check_unicast_src=self._check_unicast_src(found.peers),
                auth_pass=auth.secret if auth.kind == "PASS" else None,
                garp_master_delay_s=read.get("garp_master_delay", defaults.garp_master_delay_s),
                garp_master_repeat=read.get("garp_master_repeat", defaults.garp_master_repeat),
                garp_master_refresh_s=self._garp_refresh_s(),
                garp_master_refresh_repeat=read.get(
                    "garp_master_refresh_repeat", defaults.garp_master_refresh_repeat
                ),
                v3_checksum_as_v2=read.get("v3_checksum_as_v2", defaults.v3_checksum_as_v2),
                skip_check_adv_addr=read.get("skip_check_adv_addr", defaults.skip_check_adv_addr),
                dont_track_primary=read.get("dont_track_primary", False),
                auth_ah=auth.secret if auth.kind == "AH" else None,
                auth_hmac=auth.hmac,
                strict_mode=strict,
                accept=accept,
                no_virtual_ipaddress=no_address,
                use_vmac=on.vmac,
                use_ipvlan=on.ipvlan,
                vmac_xmit_base=on.xmit_base,
                promote_secondaries=on.promote_secondaries,
                vrf=on.vrf,
                track_interface=followed.track_interface,
                track_script=followed.track_script,
                track_file=followed.track_file,
                track_process=followed.track_process,
                track_bfd=followed.track_bfd,
                track_src_ip=found.source is not None and read.get("track_src_ip", False),
                linkbeat_use_polling=bool(self.interface) and read.get("linkbeat_use_polling", False),
                smtp_alert=self._smtp_alert(),
                notify_priority_changes=self._notify_priority_changes(group),
                lvs_sync_daemon_interface=builder.lvs_sync(draft),
                timer_expired_backup=waiting.timer_expired_backup,
                garp_extra_if=read.get("garp_extra_if", globals_.vrrp_garp_extra_if),
                kernel_rx_buf_size_bytes=self._rx_buf_size(),
                places=draft.places,
                **resolved,
                **{name: read.get(name, default) for name, default in _AS_WRITTEN.items()},
            )
        )

    def _check_interface(self) -> None:
        if self.interface:
            return
        source = self.scan.source
        if wants_unicast(self.draft) and source is not None and not source.is_link_local:
            return
        if self.read.refused & {"interface", "unicast_src_ip", "mcast_src_ip"}:
            self.draft.error(
                "interface",
                "no-interface",
                "there is no usable interface",
                fatal=True,
                hint="mend the interface line",
            )
            return
        self.draft.error(
            "interface",
            "no-interface",
            "the interface must be set",
            fatal=True,
            hint="write interface and its name (only unicast with unicast_src_ip works without)",
        )

    def _version(self, family: Family, *, strict: bool) -> Literal[2, 3]:
        written = self.scan.version
        if family == 6 and written == 2 and strict:
            self.draft.error(
                "version",
                "strict-mode",
                "strict mode: IPv6 needs version 3; it is taken",
                hint="write version 3",
            )
            return 3
        if written is not None:
            return 3 if written == 3 else 2
        return 3 if family == 6 else self.builder.defaults.version or 2

    # --- unicast ---------------------------------------------------------------------------------

    def _check_unicast(self, *, strict: bool) -> None:
        draft, peers = self.draft, self.scan.peers
        if peers:
            if strict:
                draft.error(
                    "unicast_peer",
                    "unicast-in-strict-mode",
                    "strict mode allows no unicast where there is multicast: no instance runs then",
                    hint="take the peers out, or strict mode",
                )
            return
        keyword = draft.written("unicast_peer", "unicast_src_ip", "check_unicast_src", "old_unicast_checksum")
        if draft.written("unicast_fault_no_peer") or keyword is None:
            return
        draft.warning(
            keyword,
            "unicast-without-peers",
            f"{keyword} without any peer in unicast_peer: adverts go out by multicast",
            hint="list the peers in unicast_peer { ... }",
            keepalived=KeepalivedClass.DEPRECATED,
        )

    def _unicast_ttl(self) -> int | None:
        ttl: int | None = self.read.get("unicast_ttl")
        if ttl is not None and not self.scan.peers:
            self.draft.error_at_end(
                "unicast-ttl-ignored",
                "unicast_ttl without unicast_peer is ignored",
                hint="list the peers in unicast_peer { ... }, or take it out",
            )
            return None
        return ttl or None

    def _check_unicast_src(self, peers: list[UnicastPeer]) -> bool:
        limited = any(peer.min_ttl is not None or peer.max_ttl is not None for peer in peers)
        wanted = self.read.get("check_unicast_src", self.builder.defaults.check_unicast_src)
        return bool(peers) and (bool(wanted) or limited)

    # --- addresses -------------------------------------------------------------------------------

    def _check_first_address(self, family: Family, *, strict: bool) -> None:
        listed = self.scan.listed
        if (
            family == 6
            and strict
            and not self.scan.peers
            and listed
            and not listed[0].interface.is_link_local
        ):
            self.diagnostics.error(
                listed[0].places.get(""),
                "strict-mode",
                f"({self.draft.name}) strict mode: the first IPv6 address is a link-local one",
                hint="write the link-local address first",
                width=len(str(listed[0].interface.ip)),
            )

    def _limit(self, family: Family, auth: Auth) -> tuple[list[VirtualAddress], list[VirtualAddress]]:
        listed, excluded = self.scan.listed, self.scan.excluded
        taken = _HEADERS_BYTES[family] + auth.on_wire_bytes
        most = min(ADVERTISED_MAX, (MTU_BYTES - taken) // _ADDRESS_BYTES[family])
        if len(listed) <= most:
            return listed, excluded
        self.draft.error(
            "virtual_ipaddress",
            "too-many-addresses",
            f"an advert holds at most {most} addresses; "
            f"the other {len(listed) - most} are held but not advertised",
            hint="write them in virtual_ipaddress_excluded",
        )
        return listed[:most], excluded + listed[most:]

    def _no_address_is_meant(self, *, strict: bool) -> bool:
        if not self.read.get("no_virtual_ipaddress", False):
            return False
        if strict:
            self.draft.warning(
                "no_virtual_ipaddress",
                "strict-mode",
                "strict mode does not allow no_virtual_ipaddress; it is cleared",
                hint="take one of the two out",
                keepalived=KeepalivedClass.WARNING,
            )
        return not strict

    def _check_presence(
        self,
        listed: list[VirtualAddress],
        excluded: list[VirtualAddress],
        version: int,
        *,
        strict: bool,
        meant: bool,
    ) -> None:
        if listed or meant:
            return
        if version == 3 or strict:
            self.draft.error(
                "virtual_ipaddress",
                "no-address",
                ("strict mode" if strict else "version 3") + " needs at least one virtual_ipaddress",
                fatal=True,
                hint="add an address, or write no_virtual_ipaddress if none is meant",
            )
            return
        self.draft.warning(
            "virtual_ipaddress",
            "no-address",
            "there is no virtual_ipaddress" + (" (excluded ones do not count)" if excluded else ""),
            hint="add an address",
            keepalived=KeepalivedClass.WARNING,
        )

    # --- small ones ------------------------------------------------------------------------------

    def _garp_refresh_s(self) -> int:
        if "garp_master_refresh" in self.read.refused:
            return 0
        return int(self.read.get("garp_master_refresh", self.builder.defaults.garp_master_refresh_s))

    def _rx_buf_size(self) -> int | None:
        size: int | None = self.read.get("kernel_rx_buf_size")
        for line in lines_of(self.draft.statement, "kernel_rx_buf_size"):
            if len(line.words) > 2:
                message = "kernel_rx_buf_size takes one number; the line is ignored"
                self.draft.error_at(line, 2, "extra-words", message)
                size = None
        return size

    def _smtp_alert(self) -> bool:
        globals_ = self.builder.globals
        inherited: Iterable[bool | None] = (
            self.read.get("smtp_alert"),
            globals_.smtp_alert_vrrp,
            globals_.smtp_alert,
        )
        return next((bool(one) for one in inherited if one is not None), False)

    def _notify_priority_changes(self, group: SyncGroup | None) -> bool:
        own: bool | None = self.read.get("notify_priority_changes")
        if own is None and group is not None:
            own = group.notify_priority_changes
        return self.builder.globals.vrrp_notify_priority_changes if own is None else own


_AS_WRITTEN: dict[str, Any] = {
    "use_vmac_addr": False,
    "unicast_fault_no_peer": False,
    "old_unicast_checksum": None,
    "debug": 0,
    "notify_backup": None,
    "notify_master": None,
    "notify_fault": None,
    "notify_stop": None,
    "notify_deleted": None,
    "notify": None,
    "notify_master_rx_lower_pri": None,
}
"""Fields that no other line changes, with their defaults."""
