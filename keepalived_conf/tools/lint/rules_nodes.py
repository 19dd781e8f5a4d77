"""Rules across two nodes: what one file says against what the other says (users-ask 2, 15, 24, 26, 40).

Everything is said at the first file, with the place in the other one beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keepalived_conf.model import Config, IpAddress, Place
from keepalived_conf.tools.lint.finding import Finding
from keepalived_conf.tools.lint.rules_vrrp import addresses
from keepalived_conf.tools.lint.rules_weights import countable, reach, weighted
from keepalived_conf.tools.lint.view import Instance, View, text


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The same virtual router on both nodes."""

    here: Instance
    there: Instance

    def finding(self, code: str, keyword: str, message: str, hint: str, *, other: str = "") -> Finding:
        return Finding(
            code=code,
            place=self.here.at(keyword),
            width=self.here.width(keyword),
            message=f"({self.here.name}) {message}",
            hint=hint,
            also=(self.there.at(other or keyword),),
            secret=keyword in ("authentication", "auth_pass"),
        )


def pairs(here: View, there: View) -> tuple[list[Pair], list[Instance], list[Instance]]:
    """Instances matched: by name and id, by id, by name, by an address; and what is left on each side."""
    left, right = list(here.instances), list(there.instances)
    found: list[Pair] = []

    holds = {id(one): {a.interface.ip for a in addresses(one)} for one in (*left, *right)}

    def overlap(a: Instance, b: Instance) -> bool:
        return not holds[id(a)].isdisjoint(holds[id(b)])

    def same_id(a: Instance, b: Instance) -> bool:
        return (a.model.virtual_router_id, a.model.family) == (b.model.virtual_router_id, b.model.family)

    for alike in (
        lambda a, b: a.name == b.name and same_id(a, b),
        lambda a, b: same_id(a, b) and overlap(a, b),
        same_id,
        lambda a, b: a.name == b.name and a.model.family == b.model.family,
        overlap,
    ):
        for one in list(left):
            match = next((other for other in right if alike(one, other)), None)
            if match is not None:
                found.append(Pair(here=one, there=match))
                left.remove(one)
                right.remove(match)
    return found, left, right


def compare(here: View, there: View, configs: tuple[Config, Config]) -> Iterator[Finding]:
    """All rules of this module. ``configs``: of the first and the second file."""
    if not (here.instances or here.services) or not (there.instances or there.services):
        return
    matched, left, right = pairs(here, there)
    yield from _alone(left, right)
    for pair in matched:
        if pair.here.model.virtual_router_id != pair.there.model.virtual_router_id:
            yield pair.finding(
                "lint-peer-vrid",
                "virtual_router_id",
                f"virtual_router_id {pair.here.model.virtual_router_id} here and "
                f"{pair.there.model.virtual_router_id} on the other node: both become master",
                "write the same number on all nodes",
            )
            continue
        yield from _protocol(pair)
        yield from _destination(pair, configs)
        yield from _listed(pair)
        yield from _roles(pair)
        yield from _weights(pair)
    yield from _group_order(here, matched)
    yield from _router_id(here, there)
    yield from _services(here, there)


def _alone(left: list[Instance], right: list[Instance]) -> Iterator[Finding]:
    for one in left:
        yield Finding(
            code="lint-peer-instance",
            place=one.statement.place,
            width=len("vrrp_instance"),
            message=f"({one.name}) the other node has no instance with virtual_router_id "
            f"{one.model.virtual_router_id}: nobody takes over",
            hint="write the instance on both nodes",
        )
    for one in right:
        place = one.statement.place
        yield Finding(
            code="lint-peer-instance",
            place=place,
            width=len("vrrp_instance"),
            message=f"({one.name}) this instance of the other node has no counterpart with "
            f"virtual_router_id {one.model.virtual_router_id}: nobody takes over",
            hint="write the instance on both nodes",
        )


def _protocol(pair: Pair) -> Iterator[Finding]:
    """Adverts that the other side drops: version, authentication, interval (KA#1953)."""
    a, b = pair.here.model, pair.there.model
    if a.version != b.version:
        yield pair.finding(
            "lint-peer-version",
            "version",
            f"version {a.version} here and {b.version} on the other node: each drops the adverts of the "
            "other, and both become master",
            "write the same version (or vrrp_version) on all nodes",
        )
    kinds = [
        "auth_hmac" if one.auth_hmac else "AH" if one.auth_ah else "PASS" if one.auth_pass else "none"
        for one in (a, b)
    ]
    secrets = [(one.auth_pass, one.auth_ah) for one in (a, b)]
    if kinds[0] != kinds[1]:
        yield pair.finding(
            "lint-peer-auth",
            "authentication",
            f"authentication {kinds[0]} here and {kinds[1]} on the other node: adverts are dropped",
            "write the same authentication on all nodes",
        )
    elif secrets[0] != secrets[1]:
        yield pair.finding(
            "lint-peer-auth",
            "authentication",
            "the passwords of the two nodes differ: each drops the adverts of the other, and both "
            "become master",
            "write the same auth_pass on all nodes",
        )
    elif a.auth_hmac is not None and b.auth_hmac is not None:
        known = {key.number: (key.value, key.file) for key in b.auth_hmac.keys}
        number = a.auth_hmac.active_key
        mine, other = next((k.value for k in a.auth_hmac.keys if k.number == number), b""), known.get(number)
        if other is None or (mine and other[0] and mine != other[0]):
            yield pair.finding(
                "lint-peer-auth",
                "auth_hmac",
                f"the other node does not know key {number}, with which this one signs",
                "give all nodes the same keys before one of them signs with a new one",
            )
    if a.advert_int_cs != b.advert_int_cs:
        drops = a.version == 2 and b.version == 2
        yield pair.finding(
            "lint-peer-advert-int",
            "advert_int",
            f"an advert every {a.advert_int_cs / 100:g} s here and every {b.advert_int_cs / 100:g} s on the "
            "other node" + (": version 2 drops adverts with another interval" if drops else ""),
            "write the same advert_int on all nodes",
        )


def _destination(pair: Pair, configs: tuple[Config, Config]) -> Iterator[Finding]:
    """Adverts that do not reach the other side: unicast, peers, groups (users-ask 26; BRC#136, #116)."""
    a, b = pair.here.model, pair.there.model
    if bool(a.unicast_peers) != bool(b.unicast_peers):
        words = ("unicast", "multicast") if a.unicast_peers else ("multicast", "unicast")
        yield pair.finding(
            "lint-peer-unicast",
            "unicast_peer",
            f"{words[0]} here and {words[1]} on the other node: neither takes the adverts of the other",
            "write unicast_peer on both nodes or on none",
        )
        return
    if not a.unicast_peers:
        groups = []
        for one, config in zip((a, b), configs, strict=True):
            group4, group6 = config.globals.vrrp_mcast_group4, config.globals.vrrp_mcast_group6
            groups.append(one.mcast_dst_ip or (group4 if one.family == 4 else group6))
        if groups[0] != groups[1]:
            yield pair.finding(
                "lint-peer-multicast-group",
                "mcast_dst_ip",
                f"adverts go to {groups[0]} here and to {groups[1]} on the other node",
                "write the same multicast address on all nodes",
            )
        return
    for one, other, where in ((a, b, "here"), (b, a, "on the other node")):
        source = other.source_address
        if source is not None and source not in {peer.address for peer in one.unicast_peers}:
            whose = "the other node" if where == "here" else "this node"
            yield pair.finding(
                "lint-peer-unicast",
                "unicast_peer",
                f"unicast_peer {where} does not list {source}, the address of {whose}",
                "list the unicast_src_ip of every other node",
                other="unicast_src_ip" if where == "here" else "unicast_peer",
            )


def _listed(pair: Pair) -> Iterator[Finding]:
    """Addresses that move with one node only (the master of one list rejects that of the other)."""
    for keyword, field in (
        ("virtual_ipaddress", "virtual_addresses"),
        ("virtual_ipaddress_excluded", "virtual_addresses_excluded"),
    ):
        a, b = (
            {address.interface.ip for address in getattr(one.model, field)} for one in (pair.here, pair.there)
        )
        only = [f"only here: {_some(a - b)}"] if a - b else []
        only += [f"only on the other node: {_some(b - a)}"] if b - a else []
        if only:
            yield pair.finding(
                "lint-peer-addresses",
                keyword,
                f"{keyword} differs between the nodes; " + "; ".join(only),
                "list the same addresses on all nodes",
            )


def _some(found: set[IpAddress]) -> str:
    names = sorted(map(str, found))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _roles(pair: Pair) -> Iterator[Finding]:
    """Who is meant to be master (users-ask 2 and 24; KA#1884, #2032)."""
    a, b = pair.here.model, pair.there.model
    if pair.here.owner and pair.there.owner:
        yield pair.finding(
            "lint-peer-owner",
            "priority",
            "priority 255 on both nodes: it says that the node owns the address, and one only can",
            "write priorities from 1 to 254",
        )
        return
    moving = bool(weighted(pair.here) or weighted(pair.there))
    if a.priority == b.priority and "MASTER" in (a.state, b.state) and not moving:
        yield pair.finding(
            "lint-peer-same-priority",
            "priority",
            f"priority {a.priority} on both nodes: the higher address wins, not the state that is written",
            "give the node that should be master the higher priority, or write state BACKUP on both",
        )
    elif a.state == b.state == "MASTER":
        yield pair.finding(
            "lint-peer-two-masters",
            "state",
            "state MASTER on both nodes: both claim the address at start",
            "write state BACKUP on the node with the lower priority",
        )
    low, high = (pair.here, pair.there) if a.priority < b.priority else (pair.there, pair.here)
    if a.priority != b.priority and low.model.state == "MASTER" and high.model.state == "BACKUP":
        yield pair.finding(
            "lint-peer-master-lower",
            "state",
            f"state MASTER has the node with priority {low.model.priority}, and the other one has "
            f"{high.model.priority}: that one takes over",
            "give the node that should be master the higher priority",
        )
    if a.priority != b.priority and not low.model.preempt and high.model.preempt:
        yield pair.finding(
            "lint-peer-nopreempt",
            "nopreempt",
            f"nopreempt stands on the node with the lower priority ({low.model.priority}) only: the other "
            "one takes the address back all the same",
            "write nopreempt on the node with the higher priority, best on both",
        )


def _weights(pair: Pair) -> Iterator[Finding]:
    """Checks that can never move the address (users-ask 15; KA#2108, #2599, #942)."""
    a, b = pair.here, pair.there
    if a.owner or b.owner or not (countable(a) and countable(b)):
        return
    high, low = (a, b) if reach(a, good=True) >= reach(b, good=True) else (b, a)
    trackers = weighted(high)
    if not trackers:
        return
    sunk, best = reach(high, good=False), reach(low, good=True)
    names = ", ".join(dict.fromkeys(tracker.name for tracker in trackers))
    if sunk >= best:
        yield Finding(
            code="lint-weight-too-small",
            place=trackers[0].place,
            width=len(trackers[0].name),
            message=f"({high.name}) with {names} failing the priority is still {sunk}, and the other node "
            f"has at most {best}: the address never moves",
            hint="make the weight larger than the difference of the priorities, or take it out: "
            "a failing check then means FAULT",
            also=(high.at("priority"), low.at("priority")),
        )
    elif not low.model.preempt and high.model.preempt:
        yield Finding(
            code="lint-nopreempt-weight",
            place=low.at("nopreempt"),
            width=low.width("nopreempt"),
            message=f"({low.name}) nopreempt keeps this node from taking over when {names} fails on "
            "the other one",
            hint="take nopreempt out, or the weight: a failing check then means FAULT",
            also=(trackers[0].place,),
        )


def _group_order(here: View, matched: list[Pair]) -> Iterator[Finding]:
    """Members of a group that should be master on different nodes: the group is torn (KA#560, #1532)."""
    for group in here.groups:
        members = [pair for pair in matched if pair.here.name in group.members]
        higher = [p for p in members if p.here.model.priority > p.there.model.priority]
        lower = [p for p in members if p.here.model.priority < p.there.model.priority]
        if higher and lower:
            yield Finding(
                code="lint-sync-group-order",
                place=lower[0].here.at("priority"),
                width=lower[0].here.width("priority"),
                message=f"({group.name}) {higher[0].here.name} has the higher priority here and "
                f"{lower[0].here.name} on the other node: a sync group is master as a whole",
                hint="give all members of the group their higher priority on the same node",
                also=(higher[0].here.at("priority"),),
            )


def _router_id(here: View, there: View) -> Iterator[Finding]:
    """The same name for both nodes: mails and SNMP do not tell them apart (KA#666)."""
    a, b = here.globals.get("router_id"), there.globals.get("router_id")
    if a is not None and b is not None and text(a) == text(b):
        yield Finding(
            code="lint-peer-router-id",
            place=a.place,
            width=len("router_id"),
            message=f"router_id {text(a)} on both nodes: mails do not say which one sent them",
            hint="give each node a name of its own, or leave router_id out: then it is the host name",
            also=(b.place,),
        )


def _services(here: View, there: View) -> Iterator[Finding]:
    """Services that are on one node only, or with other servers: a failover changes what is served."""
    if not here.services or not there.services:
        return
    other = {one.model.key: one for one in there.services}
    for one in here.services:
        match = other.pop(one.model.key, None)
        also: tuple[Place, ...] = ()
        if match is None:
            message = f"{one.name} is not on the other node"
        else:
            mine = {real.key for real in one.model.real_servers}
            theirs = {real.key for real in match.model.real_servers}
            if mine == theirs:
                continue
            message = f"{one.name} has other real servers on the other node: {_keys(mine ^ theirs)}"
            also = (match.statement.place,)
        yield Finding(
            code="lint-peer-services",
            place=one.statement.place,
            width=len("virtual_server"),
            message=message,
            hint="write the same services on all nodes",
            also=also,
        )
    for one in other.values():
        yield Finding(
            code="lint-peer-services",
            place=one.statement.place,
            width=len("virtual_server"),
            message=f"{one.name} is on the other node only",
            hint="write the same services on all nodes",
        )


def _keys(found: set[str]) -> str:
    names = sorted(found)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
