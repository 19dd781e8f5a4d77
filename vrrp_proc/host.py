"""What a virtual router needs of the worker around it. ``process.VrrpWorker`` is the one that is shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from keepalived_conf.model import GlobalDefs
from vrrp_proc.addresses import AddressWork
from vrrp_proc.boxes import Ledger
from vrrp_proc.effects import LowerPriorityHeard, PriorityChanged, Resumed, Transition
from vrrp_proc.group_shell import Groups
from vrrp_proc.handover import Hold
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop
from vrrp_proc.sockets import SendSocket
from vrrp_proc.tracking import Tracking

if TYPE_CHECKING:
    from vrrp_proc.virtual_router import VirtualRouter


class Holds(Protocol):
    """Who is held back by an operator."""

    def hold_of(self, name: str) -> Hold | None: ...


class Reports(Protocol):
    """Who tells others what became of a router."""

    def transition(self, router: VirtualRouter, effect: Transition, number: int) -> None:
        """``number``: how many transitions of this router there were, with this one."""

    def resumed(self, router: VirtualRouter, effect: Resumed) -> None: ...

    def priority_changed(self, router: VirtualRouter, effect: PriorityChanged) -> None: ...

    def lower_heard(self, router: VirtualRouter, effect: LowerPriorityHeard) -> None: ...


class Host(Protocol):
    """What a virtual router needs of the worker around it."""

    loop: Loop
    links: LinkTable
    ledger: Ledger
    work: AddressWork
    globals: GlobalDefs
    groups: Groups

    @property
    def reports(self) -> Reports: ...

    @property
    def maintenance(self) -> Holds: ...

    def send_socket(self, interface: str, family: int) -> SendSocket | None: ...

    def deaf(self, interface: str, family: int) -> str | None:
        """Why adverts cannot be received there; None when they can."""

    def drain(self, interface: str, family: int) -> None:
        """Read the receive socket empty and feed what it held."""

    def suspended_s(self) -> float:
        """How long the machine has slept since it booted."""

    def advert_sent(self) -> None: ...

    def link_up(self, name: str) -> bool:
        """Does this interface count as up?"""

    def tracking(self, instance: str) -> Tracking:
        """What trackers say to this instance."""

    def changed(self, router: VirtualRouter) -> None:
        """Something that is published may have changed."""

    def log(self, level: str, event_id: str, **fields: Any) -> None: ...
