"""One virtual router: the state machine (interface landed first, see the next commit for the inside)."""

from __future__ import annotations

from keepalived_conf.model import IpAddress, VrrpInstance
from vrrp_proc.counters import Counters
from vrrp_proc.effects import Effect, State
from vrrp_proc.events import Event


class Instance:
    """A virtual router of one interface, family and VRID. Sans-IO: see ``handle`` and ``wake``."""

    def __init__(
        self,
        config: VrrpInstance,
        *,
        generation: int,
        local_address: IpAddress | None,
        ifindex: int,
        link_up: bool,
    ) -> None:
        """``local_address``: what adverts are sent from. Nothing happens before ``Startup``."""
        self.config = config
        self.generation = generation
        self.state = State.INIT
        self.counters = Counters()
        raise NotImplementedError

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event at ``now``; what is to be done about it, in order."""
        raise NotImplementedError

    def wake(self, now: float, *, drained: bool) -> list[Effect]:
        """Act on every timer that is due at ``now``; harmless when none is.

        ``drained``: the receive queue was seen empty at or after ``now``. When it was not and an
        election (or a send after a stall) is due, the answer is ``[ReadPending()]`` and nothing else."""
        raise NotImplementedError

    def next_deadline(self) -> float | None:
        """When ``wake`` has something to do next (CLOCK_BOOTTIME s); None: only an event can help."""
        raise NotImplementedError

    @property
    def quiet(self) -> bool:
        """Shut down completely: state INIT, and the addresses are acknowledged to be gone."""
        raise NotImplementedError
