"""Rules about one virtual router: its addresses, its peers, strict mode, intervals."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface

from keepalived_conf.model import IpAddress, Place, VirtualAddress
from keepalived_conf.tools.lint.finding import Finding
from keepalived_conf.tools.lint.view import Instance, View, base_name, last, lines

SLOW_ADVERT_CS = 3000
"""From here on a dead master goes unnoticed for a minute and a half and more."""

SERVERS = frozenset(
    {
        "apache", "apache2", "caddy", "dnsmasq", "dovecot", "envoy", "haproxy", "httpd", "kube-apiserver",
        "mariadb", "mariadbd", "mysql", "mysqld", "named", "nginx", "postfix", "postgres", "redis-server",
        "slapd", "squid", "traefik", "unbound", "varnishd",
    }
)  # fmt: skip
"""Programs that answer on an address: who tracks one has a service on it, not a router."""


def addresses(one: Instance) -> tuple[VirtualAddress, ...]:
    return one.model.virtual_addresses + one.model.virtual_addresses_excluded


def strict_blocks_vip(view: View) -> Iterator[Finding]:
    """vrrp_strict drops what is sent to the addresses: ping, service, all (users-ask 34; KA#2319, #2046)."""
    blocked: dict[Place, list[Instance]] = {}
    for one in view.instances:
        if one.model.strict_mode and not one.model.accept and not one.owner and addresses(one):
            own = one.model.places.get("strict_mode")
            blocked.setdefault(own or view.globals["vrrp_strict"].place, []).append(one)
    for place, instances in blocked.items():
        names = ", ".join(one.name for one in instances[:5]) + (", ..." if len(instances) > 5 else "")
        old = any(one.model.version == 2 for one in instances)
        yield Finding(
            code="lint-strict-blocks-vip",
            place=place,
            width=len("strict_mode" if "strict_mode" in instances[0].model.places else "vrrp_strict"),
            message=f"({names}) strict mode drops all packets to the virtual addresses: no ping, no service",
            hint=f"take the line out, or write {'version 3 and ' if old else ''}accept in the instance; "
            "right as it is for a pure router",
            also=(instances[0].at("virtual_ipaddress"),),
        )


def no_accept_service(view: View) -> Iterator[Finding]:
    """no_accept and yet a service on the address: nobody reaches it (users-ask 34; KA#1142)."""
    served = {one.model.address: one for one in view.services if one.model.address is not None}
    for one in view.instances:
        if one.model.accept or one.model.strict_mode or one.owner:
            continue
        service = next((served[a.interface.ip] for a in addresses(one) if a.interface.ip in served), None)
        tracked = _tracked_server(one, view)
        if service is None and tracked is None:
            continue
        yield Finding(
            code="lint-no-accept-service",
            place=one.at("no_accept"),
            width=one.width("no_accept"),
            message=f"({one.name}) no_accept drops what is sent to the addresses, and "
            + (f"{service.name} is one of them" if service else f"{tracked} serves on them"),
            hint="take no_accept out",
            also=(service.statement.place,) if service else (),
        )


def _tracked_server(one: Instance, view: View) -> str | None:
    commands = {("script", script.name): script.script.command for script in view.config.vrrp_scripts}
    commands.update({("process", known.name): known.process for known in view.config.track_processes})
    for tracker in one.effective:
        for word in " ".join(commands.get((tracker.kind, tracker.name), ())).split():
            if base_name(word) in SERVERS:
                return base_name(word)
    return None


def vip_is_network(view: View) -> Iterator[Finding]:
    """The subnet, or its broadcast address, in place of an address in it (KA#1367)."""
    for one in view.instances:
        for address in addresses(one):
            net = address.interface.network
            if not isinstance(address.interface, IPv4Interface) or net.prefixlen > 30:
                continue
            ip = address.interface.ip
            if ip not in (net.network_address, net.broadcast_address):
                continue
            what = "subnet" if ip == net.network_address else "broadcast address of the subnet"
            yield Finding(
                code="lint-vip-is-network",
                place=address.places.get(""),
                width=len(str(ip)),
                message=f"({one.name}) {address.interface} is the {what} itself: no host can have it",
                hint="write an address of the subnet",
            )


def vip_is_peer(view: View) -> Iterator[Finding]:
    """A virtual address that a node already has as its own: two hosts answer for it (KA#1367)."""
    for one in view.instances:
        peers = {peer.address for peer in one.model.unicast_peers}
        for address in addresses(one):
            ip = address.interface.ip
            if ip in peers:
                whose = "of another node: it is in unicast_peer"
            elif ip == one.model.source_address and not (one.owner or _own_link(one)):
                whose = "of this node: adverts are sent from it"
            else:
                continue
            yield Finding(
                code="lint-vip-is-peer",
                place=address.places.get(""),
                width=len(str(ip)),
                message=f"({one.name}) the virtual address {ip} is the own address {whose}",
                hint="take an address that no host has, or mend the other line",
            )


def _own_link(one: Instance) -> bool:
    """The instance has an interface of its own, which may well have no other address."""
    return any(last(one.statement, word) is not None for word in ("use_vmac", "use_ipvlan"))


def vip_twice(view: View) -> Iterator[Finding]:
    """The same address in two instances: one removes it while the other needs it (users-ask 12)."""
    seen: dict[tuple[IpAddress, str], tuple[Instance, VirtualAddress]] = {}
    for one in view.instances:
        for address in addresses(one):
            first, other = seen.setdefault((address.interface.ip, address.dev), (one, address))
            if first is one:
                continue
            place = other.places.get("")
            yield Finding(
                code="lint-vip-twice",
                place=address.places.get(""),
                width=len(str(address.interface.ip)),
                message=f"({one.name}) {address.interface.ip} is an address of {first.name} as well: "
                "one instance takes it away from the other",
                hint="leave it in one of them; a vrrp_sync_group keeps instances together",
                also=(place,) if place else (),
            )


def peer_is_self(view: View) -> Iterator[Finding]:
    """A peer list that holds the node itself: it answers to its own adverts (users-ask 26; BRC#137)."""
    for one in view.instances:
        source = one.model.source_address
        for line in lines(one.statement, "unicast_peer"):
            if source is not None and line.words[0].text.partition("/")[0].lower() == str(source):
                yield Finding(
                    code="lint-peer-is-self",
                    place=line.place,
                    width=len(line.words[0].text),
                    message=f"({one.name}) the peer {source} is this node itself",
                    hint="list the other nodes only",
                    also=(one.at("unicast_src_ip"),),
                )


def slow_advert(view: View) -> Iterator[Finding]:
    """An interval in milliseconds, read as seconds: minutes until the backup takes over (KA#421)."""
    for one in view.instances:
        if one.model.advert_int_cs < SLOW_ADVERT_CS:
            continue
        seconds = one.model.advert_int_cs / 100
        yield Finding(
            code="lint-slow-advert",
            place=one.at("advert_int"),
            width=one.width("advert_int"),
            message=f"({one.name}) an advert every {seconds:g} s: a dead master is noticed after "
            f"{seconds * one.model.down_timer_adverts:g} s",
            hint="advert_int is in seconds; 1 is usual",
        )


def owner_as_backup(view: View) -> Iterator[Finding]:
    """Priority 255 with state BACKUP: an owner takes over from everybody, and no tracker moves it."""
    for one in view.instances:
        if one.owner and one.model.state == "BACKUP" and "state" in one.model.places:
            yield Finding(
                code="lint-owner-as-backup",
                place=one.at("priority"),
                width=one.width("priority"),
                message=f"({one.name}) priority 255 is the owner of the address: it takes over from "
                "everybody, though its state is BACKUP",
                hint="write a priority from 1 to 254",
            )


def group_states(view: View) -> Iterator[Finding]:
    """A sync group whose members want different roles: the group follows one of them (users-ask 37)."""
    for group in view.groups:
        members = [one for one in view.instances if one.name in group.members]
        other = next((one for one in members if one.model.state != members[0].model.state), None)
        if other is None:
            continue
        yield Finding(
            code="lint-sync-group-states",
            place=other.at("state"),
            width=other.width("state"),
            message=f"({other.name}) state {other.model.state}, and {members[0].name} of the same sync "
            f"group {group.name} has {members[0].model.state}",
            hint="write the same state and the same order of priorities for all members of a group",
            also=(members[0].at("state"),),
        )


RULES = (
    strict_blocks_vip,
    no_accept_service,
    vip_is_network,
    vip_is_peer,
    vip_twice,
    peer_is_self,
    slow_advert,
    owner_as_backup,
    group_states,
)
