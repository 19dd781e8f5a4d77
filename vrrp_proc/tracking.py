"""What trackers do to a virtual router: values in, contributions and faults out. Pure functions.

A contribution is computed from the value at hand, never added up over time: whatever happened before, the
same values give the same priority. Rules of keepalived.conf(5): weight 0 means fault while bad; a positive
weight counts while good, a negative one while bad; ``reverse`` changes its sign, and of weight 0 what is bad.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from keepalived_conf.model import SyncGroup, TrackRef, VrrpInstance

Kind = Literal["interface", "script", "file", "process"]

OWNER_PRIORITY: Final = 255
WEIGHT_MAX: Final = 253
WAIT_MARGIN_S: Final = 5.0
"""How much longer than an interval and its timeout the first result of a tracker may take."""

_KINDS: Final[tuple[Kind, ...]] = ("interface", "script", "file", "process")
_WAITED_FOR: Final = frozenset({"script", "file", "process"})


def key_of(kind: str, name: str) -> str:
    """``script:chk``, as ``TrackerState.key``."""
    return f"{kind}:{name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Follow:
    """One tracker that an instance follows, its own or its sync group's."""

    kind: Kind
    name: str
    weight: int = 0
    reverse: bool = False

    @property
    def key(self) -> str:
        return key_of(self.kind, self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What one tracker does at present."""

    follow: Follow
    value: int | None
    """Of an interface, script or process 1 good, 0 bad; of a file its number. None: not known yet."""
    share: int
    """What it adds to the priority."""
    fault: bool
    stale: bool = False
    """The value is held while whoever finds it out is silent."""
    unusable: bool = False
    """It was tried and cannot be: nothing comes of waiting for it."""
    result: str = field(default="", compare=False)
    """For people: what was found last."""

    @property
    def waiting(self) -> bool:
        """It can be a fault, and nobody knows yet."""
        may_be_fault = self.follow.weight == 0 and self.follow.kind in _WAITED_FOR
        return self.value is None and may_be_fault and not self.unusable

    @property
    def text(self) -> str:
        """For people: ``script chk is bad (exit status 1)``."""
        follow = self.follow
        if self.value is None:
            said = "cannot be used" if self.unusable else "is not known yet"
        elif follow.kind == "file":
            said = f"holds {self.value}"
        elif follow.kind == "interface":
            said = "is up" if self.value else "is down"
        else:
            said = "is good" if self.value else "is bad"
        result = f" ({self.result})" if self.result and follow.kind != "interface" else ""
        return f"{follow.kind} {follow.name} {said}{result}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracking:
    """Everything that trackers say to one virtual router, as of now."""

    shares: tuple[Share, ...] = ()
    wait_s: float = WAIT_MARGIN_S
    """How long ``waiting`` may keep a router from starting, in s."""

    @property
    def sum(self) -> int:
        """What all of them add to the priority."""
        return sum(share.share for share in self.shares)

    @property
    def faults(self) -> tuple[str, ...]:
        """What keeps the router from taking part, in words."""
        return tuple(share.text for share in self.shares if share.fault)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Trackers that may be a fault and have not reported yet, in words."""
        return tuple(f"{s.follow.kind} {s.follow.name}" for s in self.shares if s.waiting)


def effective_priority(base: int, added: int) -> int:
    """Base priority and the sum of all contributions, within 1..254; an owner's (255) does not change."""
    if base == OWNER_PRIORITY:
        return OWNER_PRIORITY
    return max(1, min(OWNER_PRIORITY - 1, base + added))


def follows(config: VrrpInstance, group: SyncGroup | None = None) -> tuple[Follow, ...]:
    """All trackers of an instance, in the order of the file, those of its group behind its own.

    A tracker that the group follows too has the group's weight, unless it has none in the instance. Of an
    address owner the group's have no weight. Interfaces of addresses elsewhere are followed with weight 0,
    whatever weight is written for them."""
    found: dict[str, Follow] = {}
    for kind in _KINDS:
        for ref in _refs(config, kind):
            one = _follow(kind, ref)
            found[one.key] = one
    for one in () if group is None else _of_group(config, group):
        known = found.get(one.key)
        if known is None or known.weight:
            found[one.key] = one
    for address in (*config.virtual_addresses, *config.virtual_addresses_excluded):
        if address.dev != config.interface and not address.no_track:
            one = Follow(kind="interface", name=address.dev)
            found[one.key] = one
    return tuple(found.values())


def _of_group(config: VrrpInstance, group: SyncGroup) -> Iterable[Follow]:
    for kind in _KINDS:
        for ref in _refs(group, kind):
            if kind == "interface" and ref.name == config.interface and not config.dont_track_primary:
                continue  # followed anyway
            one = _follow(kind, ref)
            yield replace(one, weight=0) if config.priority == OWNER_PRIORITY else one


def _refs(who: VrrpInstance | SyncGroup, kind: Kind) -> tuple[TrackRef, ...]:
    refs: tuple[TrackRef, ...] = getattr(who, f"track_{kind}")
    return refs


def _follow(kind: Kind, ref: TrackRef) -> Follow:
    return Follow(kind=kind, name=ref.name, weight=ref.weight or 0, reverse=bool(ref.reverse))


def contribution(follow: Follow, value: int | None) -> tuple[int, bool]:
    """(what it adds to the priority, whether it is a fault). An unknown value does neither."""
    if value is None:
        return 0, False
    if follow.kind == "file":
        return _of_number(follow, value)
    good = value != 0
    if follow.weight == 0:
        return 0, good == follow.reverse
    counts = good if follow.weight > 0 else not good
    signed = -follow.weight if follow.reverse else follow.weight
    return (signed if counts else 0), False


def _of_number(follow: Follow, number: int) -> tuple[int, bool]:
    """A file's number times its weight, at most 253; -254 and below is a fault."""
    if follow.weight == 0:
        return 0, (number != 0) != follow.reverse
    product = number * (-follow.weight if follow.reverse else follow.weight)
    if product < -WEIGHT_MAX:
        return 0, True
    return min(product, WEIGHT_MAX), False


def judge(
    wanted: Iterable[Follow],
    values: Mapping[str, int | None],
    *,
    stale: Collection[str] = (),
    unusable: Collection[str] = (),
    results: Mapping[str, str] | None = None,
    runs_s: Mapping[str, float] | None = None,
) -> Tracking:
    """All trackers of one router. ``values`` by key; ``stale``: kinds whose owner is silent; ``unusable``:
    keys of those that were tried in vain; ``runs_s``: of scripts by name, interval + timeout."""
    shares = []
    wait_s = 0.0
    for follow in wanted:
        value = values.get(follow.key)
        added, fault = contribution(follow, value)
        result = (results or {}).get(follow.key, "")
        share = Share(
            follow=follow,
            value=value,
            share=added,
            fault=fault,
            stale=follow.kind in stale,
            unusable=value is None and follow.key in unusable,
            result=result,
        )
        shares.append(share)
        if share.waiting:
            run_s = (runs_s or {}).get(follow.name, 0.0) if follow.kind == "script" else 0.0
            wait_s = max(wait_s, run_s + WAIT_MARGIN_S)
    return Tracking(shares=tuple(shares), wait_s=wait_s)


def decisive(before: Tracking, after: Tracking) -> Share | None:
    """The tracker whose change made the difference, a fault first; None: no value changed."""
    old = {share.follow: share for share in before.shares}
    changed = [s for s in after.shares if s.follow not in old or old[s.follow].value != s.value]
    if not changed:
        return None
    became = [s for s in changed if s.fault != (s.follow in old and old[s.follow].fault)]
    moved = [s for s in changed if s.share != (old[s.follow].share if s.follow in old else 0)]
    return [*became, *moved, *changed][0]
