"""What became of a virtual router, for people (the log) and for others (the bus), after the packets left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vrrp_proc.effects import LowerPriorityHeard, PriorityChanged, Resumed, Transition
from vrrp_proc.group_shell import Groups
from vrrp_proc.publish import BusVoice
from vrrp_proc.virtual_router import VirtualRouter


class Reporter:
    """Implements ``host.Reports``. Nothing is said before the loop has done what is urgent."""

    def __init__(
        self, defer: Callable[[Callable[[], None]], None], groups: Groups, voice: BusVoice, log: Any
    ) -> None:
        self._defer, self._groups, self._voice, self._log = defer, groups, voice, log

    def transition(self, router: VirtualRouter, effect: Transition, number: int) -> None:
        self._groups.tell(router, lambda: self._tell_transition(router, effect, number))

    def _tell_transition(self, router: VirtualRouter, effect: Transition, number: int) -> None:
        # The bus first: scripts and FIFOs wait for it, nobody for the log.
        self._voice.transition(router, effect, number)
        cause = effect.cause
        self._log.info(
            "vrrp.transition",
            instance=router.name,
            **{"from": effect.from_state.value, "to": effect.to_state.value},
            trigger=cause.trigger.value,
            reason=cause.reason.value,
            own_priority=cause.own_priority,
            peer=None if cause.peer is None else str(cause.peer),
            peer_priority=cause.peer_priority,
            late_s=round(cause.late_s, 6),
            rule=cause.rule,
            detail=cause.detail,
        )

    def resumed(self, router: VirtualRouter, effect: Resumed) -> None:
        gap_s = None if effect.gap_s is None else round(effect.gap_s, 4)
        self._defer(
            lambda: self._log.info(
                "vrrp.resumed",
                instance=router.name,
                state=effect.state.value,
                rule=effect.cause.rule,
                gap_s=gap_s,
                detail=effect.cause.detail,
            )
        )

    def priority_changed(self, router: VirtualRouter, effect: PriorityChanged) -> None:
        self._defer(lambda: self._tell_priority(router, effect))

    def _tell_priority(self, router: VirtualRouter, effect: PriorityChanged) -> None:
        self._voice.priority_changed(router, effect)
        self._log.info(
            "vrrp.priority",
            instance=router.name,
            priority=effect.priority,
            before=effect.before,
            detail=effect.detail,
        )

    def lower_heard(self, router: VirtualRouter, effect: LowerPriorityHeard) -> None:
        self._defer(lambda: self._tell_lower(router, effect))

    def _tell_lower(self, router: VirtualRouter, effect: LowerPriorityHeard) -> None:
        self._voice.lower_heard(router, effect)
        self._log.info(
            "vrrp.lower_priority_heard",
            instance=router.name,
            priority=effect.priority,
            peer=str(effect.peer),
            peer_priority=effect.peer_priority,
        )
