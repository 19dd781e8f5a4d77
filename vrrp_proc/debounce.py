"""interface_up_down_delays: a change of an interface counts when it has lasted for so long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keepalived_conf.model import InterfaceDelay


@dataclass(frozen=True, slots=True)
class Delays:
    """How long a change must last, in seconds."""

    down_s: float = 0.0
    up_s: float = 0.0


def capped(wanted: Iterable[InterfaceDelay], limits_s: Mapping[str, float]) -> dict[str, Delays]:
    """Delays by interface, none longer than ``limits_s`` of it: a backup whose link is down must not take
    the silence for the master's."""
    found: dict[str, Delays] = {}
    for one in wanted:
        limit_s = limits_s.get(one.interface, float("inf"))
        delays = Delays(min(one.down_s, limit_s), min(one.up_s, limit_s))
        if delays.down_s > 0 or delays.up_s > 0:
            found[one.interface] = delays
    return found


class Debounce:
    """What interfaces count as, by what they are."""

    def __init__(self) -> None:
        self._delays: Mapping[str, Delays] = {}
        self._counts: dict[str, bool] = {}
        self._due_at: dict[str, float] = {}

    def configure(self, delays: Mapping[str, Delays]) -> None:
        """New delays; a change that is waiting goes on waiting as it was to."""
        self._delays = delays
        for name in set(self._counts) - set(delays):
            del self._counts[name]
            self._due_at.pop(name, None)

    @property
    def names(self) -> tuple[str, ...]:
        """Interfaces that have delays."""
        return tuple(self._delays)

    def see(self, name: str, up: bool, now: float, *, gone: bool = False) -> None:
        """An interface is up or down now. One that is gone, or seen for the first time, counts at once."""
        delays = self._delays.get(name)
        if delays is None:
            return
        if gone or name not in self._counts:
            self._counts[name] = up
            self._due_at.pop(name, None)
        elif up == self._counts[name]:
            self._due_at.pop(name, None)
        elif name not in self._due_at:
            self._due_at[name] = now + (delays.up_s if up else delays.down_s)
        self.settle(now)

    def settle(self, now: float) -> None:
        """Changes that have lasted long enough count from now on."""
        for name in [name for name, at in self._due_at.items() if now >= at]:
            del self._due_at[name]
            self._counts[name] = not self._counts[name]

    def counts(self, name: str, up: bool) -> bool:
        """Does it count as up? ``up``: what it is."""
        return self._counts.get(name, up)

    def next_at(self) -> float | None:
        """When ``settle`` has something to do next."""
        return min(self._due_at.values(), default=None)
