"""State changes of real VRRP cores: virtual routers under the simulator whose links flap."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import Any

from bus.messages import TransitionCause, VrrpInstanceState, VrrpTransition
from keepalived_conf.model import VirtualAddress, VrrpInstance
from tests.sim.core import Core, real_core
from tests.sim.lan import Lan, Node

ADDRESS = IPv4Interface("10.0.0.100/32")


def _segment(core: Core, number: int) -> Lan:
    lan = Lan(core, number, 0.0005)
    for index, priority in enumerate((100, 200)):
        config = VrrpInstance(
            name=f"VI_{number}_{'ab'[index]}",
            interface="eth0",
            virtual_router_id=number % 255 + 1,
            family=4,
            version=3,
            state="BACKUP",
            priority=priority,
            advert_int_cs=10,
            virtual_addresses=(VirtualAddress(interface=ADDRESS, dev="eth0"),),
            garp_master_delay_s=0,
        )
        Node(lan, "ab"[index], config, index + 1).boot()
    return lan


def changes(routers: int = 20) -> Iterator[tuple[VrrpInstanceState, VrrpTransition]]:
    """Without end: each transition of each router as its record and its event."""
    core = real_core()
    lans = [_segment(core, number) for number in range(routers)]
    counts: dict[str, int] = {}
    link_up = True
    while True:
        link_up = not link_up
        for lan in lans:
            before = len(lan.transitions)
            lan.nodes[1].set_link(link_up)
            lan.run_for(0.6)
            for at, node, effect in lan.transitions[before:]:
                name = node.config.name
                counts[name] = counts.get(name, 0) + 1
                yield _told(node, effect, at, counts[name])
            lan.transitions.clear()
            lan.adverts.clear()
            lan.log.clear()


def _told(node: Node, effect: Any, at: float, transitions: int) -> tuple[VrrpInstanceState, VrrpTransition]:
    cause = TransitionCause(
        trigger="timer" if effect.cause.trigger == "timer" else "link",
        detail=str(effect.cause.reason),
        own_priority=effect.cause.own_priority,
        late_s=effect.cause.late_s,
    )
    config = node.config
    record = VrrpInstanceState(
        instance=config.name,
        interface=config.interface,
        vrid=config.virtual_router_id,
        family=4,
        version=3,
        state=effect.to_state.value,
        priority=config.priority,
        base_priority=config.priority,
        advert_int_cs=config.advert_int_cs,
        master_address=None,
        master_priority=None,
        addresses=(ADDRESS,) if effect.to_state.value == "MASTER" else (),
        since_at=at,
        since_wall_at=at,
        transitions=transitions,
        cause=cause,
    )
    event = VrrpTransition(
        instance=config.name,
        interface=config.interface,
        vrid=config.virtual_router_id,
        family=4,
        from_state=effect.from_state.value,
        to_state=effect.to_state.value,
        cause=cause,
        number=transitions,
        priority=config.priority,
    )
    return record, event
