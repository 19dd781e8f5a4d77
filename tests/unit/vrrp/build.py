"""Short hands for the tests of the VRRP core."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface, ip_address
from typing import Any

from keepalived_conf.model import IpAddress, VirtualAddress, VrrpInstance
from vrrp_proc import effects as ef
from vrrp_proc import events as ev
from vrrp_proc.effects import Effect, State
from vrrp_proc.instance import Instance
from vrrp_proc.packet import Advert
from vrrp_proc.tracking import Follow, Tracking, judge

T0 = 5000.0
VIP4 = tuple(VirtualAddress(interface=IPv4Interface(f"192.0.2.{n}/32"), dev="eth0") for n in (100, 101))
VIP6 = tuple(
    VirtualAddress(interface=IPv6Interface(a), dev="eth0") for a in ("fe80::5e:100", "2001:db8::100")
)


def config(**values: Any) -> VrrpInstance:
    """A version 3 IPv4 backup with priority 100 and an interval of one second."""
    family = values.get("family", 4)
    base: dict[str, Any] = {
        "name": "VI_1",
        "interface": "eth0",
        "virtual_router_id": 51,
        "family": family,
        "version": 3,
        "state": "BACKUP",
        "priority": 100,
        "advert_int_cs": 100,
        "virtual_addresses": VIP4 if family == 4 else VIP6,
    }
    return VrrpInstance(**{**base, **values})


def new(address: str = "192.0.2.5", link_up: bool = True, **values: Any) -> Instance:
    """An instance that has not started."""
    return Instance(
        config(**values), generation=1, local_address=ip_address(address), ifindex=2, link_up=link_up
    )


def backup(**values: Any) -> Instance:
    """A started backup at T0 whose leftovers are gone."""
    instance = new(**values)
    effects = instance.handle(ev.Startup(), T0)
    acknowledge(instance, effects, T0)
    assert instance.state is State.BACKUP
    return instance


def master(**values: Any) -> tuple[Instance, float]:
    """A master with everything acknowledged, and the instant it became master."""
    instance = new(**values)
    acknowledge(instance, instance.handle(ev.Startup(), T0), T0)
    at = T0
    if instance.state is not State.MASTER:
        at = instance.next_deadline() or 0.0
        acknowledge(instance, instance.wake(at, drained=True), at)
    assert instance.state is State.MASTER
    return instance, at


def acknowledge(instance: Instance, effects: list[Effect], now: float) -> list[Effect]:
    """Answer every question in ``effects`` as a healthy kernel would; what came of it."""
    more: list[Effect] = []
    for effect in effects:
        if isinstance(effect, ef.InstallAddresses):
            more += instance.handle(ev.AddressesInstalled(ticket=effect.ticket), now)
        elif isinstance(effect, ef.WithdrawAddresses):
            more += instance.handle(ev.AddressesWithdrawn(ticket=effect.ticket), now)
        elif isinstance(effect, ef.VerifyAddresses):
            more += instance.handle(ev.AddressesVerified(), now)
        elif isinstance(effect, ef.Announce):
            more += instance.handle(ev.Announced(ticket=effect.ticket), now)
    return more


def advert(
    priority: int, at: float, source: str = "192.0.2.9", interval_cs: int = 100, version: int = 3
) -> ev.AdvertReceived:
    """An accepted advert."""
    return ev.AdvertReceived(
        advert=Advert(version=version, virtual_router_id=51, priority=priority, interval_cs=interval_cs),
        source=ip_address(source),
        received_at=at,
    )


def tracking(*follows: Follow, **values: int | None) -> Tracking:
    """What trackers say; ``values`` by name."""
    return judge(follows, {one.key: values.get(one.name) for one in follows})


def added(weight: int) -> ev.TrackersChanged:
    """A good script of this weight (a bad one, if it is negative), and nothing else, is followed."""
    follow = Follow(kind="script", name="chk", weight=weight)
    return ev.TrackersChanged(tracking=tracking(follow, chk=int(weight > 0)))


def kinds(effects: list[Effect]) -> list[str]:
    """The effects by name, records left out."""
    return [type(e).__name__ for e in effects if not isinstance(e, ef.SaveRecord)]


def sent(effects: list[Effect]) -> list[int]:
    """Priorities of the adverts in ``effects``."""
    return [e.priority for e in effects if isinstance(e, ef.SendAdvert)]


def last_save(effects: list[Effect]) -> ef.SaveRecord:
    """What the record says after ``effects``."""
    return [e for e in effects if isinstance(e, ef.SaveRecord)][-1]


def transition(effects: list[Effect]) -> ef.Transition:
    """The one transition in ``effects``."""
    (found,) = [e for e in effects if isinstance(e, ef.Transition)]
    return found


def ip(text: str) -> IpAddress:
    return ip_address(text)


def state_of(instance: Instance) -> State:
    """The state, in a way that lets the type checker believe that it changes."""
    return instance.state
