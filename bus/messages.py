"""Everything that is said on the bus: one frozen dataclass per kind of message.

Two families. A *state* is a keyed record of which only the last value matters (``VrrpInstanceState``
of one instance); an *event* happened once and is not repeated (``VrrpTransition``). States travel on
the stream ``s.<role>``, events on ``e.<role>``; ``PUBLISHERS`` says which roles may publish a kind, and
the broker enforces it. ``key`` of a state is unique within its stream.

Every class has a ``KIND`` (its name on the wire) and a ``VERSION``. A change to the fields of a class
is a new version. Instants: ``_at`` is CLOCK_BOOTTIME seconds of this machine, ``_wall_at`` is seconds
since the Unix epoch; durations name their unit. The wire form is specified in docs/bus.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from types import MappingProxyType
from typing import ClassVar, Literal, TypeVar

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface

ROLES: tuple[str, ...] = ("vrrp", "checker", "ipvs", "script", "supervisor")
"""Every role that publishes. ``supervisor`` speaks through the broker's control channel."""


class Message:
    """What every message class has; never instantiated itself."""

    __slots__ = ()
    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1
    PUBLISHERS: ClassVar[frozenset[str]]


class State(Message):
    """A keyed record; a newer one of the same key replaces it."""

    __slots__ = ()

    @property
    def key(self) -> str:
        """Identity of the record within its stream."""
        raise NotImplementedError


class Event(Message):
    """Something that happened once."""

    __slots__ = ()


_M = TypeVar("_M", bound=Message)
_registry: dict[tuple[str, int], type[Message]] = {}

REGISTRY: Mapping[tuple[str, int], type[Message]] = MappingProxyType(_registry)
"""(kind, version) -> class: all that a reader accepts."""


def _message(kind: str, *publishers: str, version: int = 1) -> Callable[[type[_M]], type[_M]]:
    """Class decorator: name a message class on the wire and enter it in ``REGISTRY``."""

    def enter(cls: type[_M]) -> type[_M]:
        unknown = set(publishers) - set(ROLES)
        if unknown or not publishers or (kind, version) in _registry:
            raise TypeError(
                f"message {kind!r} version {version}: registered twice or by unknown roles {unknown}"
            )
        cls.KIND, cls.VERSION, cls.PUBLISHERS = kind, version, frozenset(publishers)
        _registry[kind, version] = cls
        return cls

    return enter


# --- vrrp ----------------------------------------------------------------------------------------

VrrpStateName = Literal["INIT", "BACKUP", "MASTER", "FAULT"]
"""Initialize, Backup and Master of RFC 9568 section 6.3, and keepalived's FAULT."""

Trigger = Literal[
    "start",  # the worker applied its first configuration
    "advert",  # an advert of another router decided
    "priority_zero",  # the master said that it leaves
    "timer",  # Active_Down_Timer (RFC 9568 6.4.2) ran out; late_s says how late we saw it
    "preempt_delay",  # what was left of preempt_delay ran out
    "owner",  # priority 255: the address owner becomes master at once
    "link",  # interface down, up, gone, or back
    "address",  # the address that we send from went or came
    "tracker",
    "script",
    "operator",
    "reload",
    "resume",  # the resume rule after a restart or a stall
    "error",  # the kernel refused something we cannot be master without
    "stop",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransitionCause:
    """Why a VRRP instance is in its state."""

    trigger: Trigger
    detail: str = ""
    """For people: one line, no trailing full stop."""
    peer: IpAddress | None = None
    """The router whose packet (or silence) it was."""
    peer_priority: int | None = None
    own_priority: int | None = None
    late_s: float | None = None
    """How late after its deadline the timer, or after its arrival the packet, was handled."""


TrackerKind = Literal["interface", "script", "file", "process"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerShare:
    """What one tracker does to one instance at present."""

    tracker_kind: TrackerKind
    name: str
    value: int | None
    """As ``TrackerState.value``; of an interface 1 (usable) or 0. None: not known yet."""
    weight: int
    """As configured for this instance, reversal included in its sign; 0: no weight, a fault instead."""
    share: int
    """What it adds to the priority now."""
    fault: bool
    """It keeps the instance in FAULT."""
    stale: bool = False
    """Its last value is held while whoever finds it out is silent."""


@_message("vrrp_instance", "vrrp", version=2)
@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpInstanceState(State):
    """One vrrp_instance; key: its name."""

    instance: str
    interface: str
    vrid: int
    family: Literal[4, 6]
    version: Literal[2, 3]
    state: VrrpStateName
    priority: int
    """Effective priority 0..255, with trackers."""
    base_priority: int
    advert_int_cs: int
    """The interval in force, in centiseconds: own as master, learned as backup (version 3)."""
    master_address: IpAddress | None
    """Primary address of the router that we take for the master; ours when we are it."""
    master_priority: int | None
    addresses: tuple[IpInterface, ...]
    """The virtual addresses that are on our interfaces because of this instance."""
    since_at: float
    since_wall_at: float
    transitions: int
    """State changes since the instance was configured, over all incarnations."""
    cause: TransitionCause
    group: str = ""
    """vrrp_sync_group that it is a member of; empty: none."""
    trackers: tuple[TrackerShare, ...] = ()
    held_back: str = ""
    """An operator's step-down: the reason; empty: none."""
    held_back_until_wall_at: float | None = None
    """None: until ``resume``."""

    @property
    def key(self) -> str:
        return self.instance


@_message("vrrp_group", "vrrp")
@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpGroupState(State):
    """One vrrp_sync_group; key: ``group:`` and its name."""

    group: str
    state: VrrpStateName
    members: tuple[str, ...]
    since_at: float
    since_wall_at: float
    transitions: int
    """State changes of the group since it was configured, over all incarnations."""
    cause: TransitionCause
    decided_by: str
    """The member whose input it was; empty: none."""

    @property
    def key(self) -> str:
        return f"group:{self.group}"


@_message("vrrp_transition", "vrrp", version=2)
@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpTransition(Event):
    """An instance changed its state."""

    instance: str
    interface: str
    vrid: int
    family: Literal[4, 6]
    from_state: VrrpStateName
    to_state: VrrpStateName
    cause: TransitionCause
    number: int
    """``VrrpInstanceState.transitions`` with this one counted: each is one more than the one before."""
    priority: int
    """Effective priority at that moment."""
    removed: bool = False
    """It left because the configuration has it no more (``to_state`` is INIT)."""


@_message("vrrp_group_transition", "vrrp")
@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpGroupTransition(Event):
    """A vrrp_sync_group changed its state; said before the transitions of its members."""

    group: str
    from_state: VrrpStateName
    to_state: VrrpStateName
    cause: TransitionCause
    decided_by: str
    number: int
    """``VrrpGroupState.transitions`` with this one counted."""


@_message("vrrp_lower_priority_heard", "vrrp")
@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpLowerPriorityHeard(Event):
    """A master heard an advert that loses against it (keepalived's MASTER_RX_LOWER_PRI)."""

    instance: str
    priority: int
    """Ours."""
    peer: IpAddress
    peer_priority: int


@_message("vrrp_priority_changed", "vrrp")
@dataclass(frozen=True, kw_only=True, slots=True)
class VrrpPriorityChanged(Event):
    """The effective priority of an instance changed."""

    instance: str
    state: VrrpStateName
    priority: int
    before: int
    detail: str
    """For people: what changed it; ``reload``: the configuration."""


# --- checker -------------------------------------------------------------------------------------


@_message("check", "checker")
@dataclass(frozen=True, kw_only=True, slots=True)
class CheckState(State):
    """One check of one real server; key: its check_id, which does not depend on its position."""

    check_id: str
    virtual_server: str
    """``VirtualServer.key`` of the configuration model."""
    real_server: str
    """``RealServer.key`` of the configuration model."""
    check_kind: str
    """``TCP_CHECK``, ``HTTP_GET``."""
    up: bool | None
    """None: not known yet (no check finished, and the check does not begin in a known state)."""
    since_at: float
    since_wall_at: float
    interval_s: float
    """delay_loop: tells a reader when a silent owner makes the record stale."""
    last_result: str
    """For people: what the last probe found; empty before the first."""
    last_check_at: float | None
    attempts_failed: int
    """Failures in a row of the present round."""
    next_check_at: float | None

    @property
    def key(self) -> str:
        return self.check_id


@_message("health_changed", "checker")
@dataclass(frozen=True, kw_only=True, slots=True)
class HealthChanged(Event):
    """A check found its real server up or down, after its retries."""

    check_id: str
    virtual_server: str
    real_server: str
    check_kind: str
    up: bool
    reason: str


# --- ipvs ----------------------------------------------------------------------------------------


@_message("ipvs_status", "ipvs")
@dataclass(frozen=True, kw_only=True, slots=True)
class IpvsStatus(State):
    """The kernel's IPVS as the worker found it; one record, key ``ipvs``."""

    available: bool
    reason: str
    """Why it is not available and what to do; empty when it is."""
    kernel_version: str | None
    """IPVS version of the kernel, such as ``1.2.1``."""
    services: int
    servers: int
    repairs: int
    """Foreign changes to our services undone since the worker started."""

    @property
    def key(self) -> str:
        return "ipvs"


@_message("virtual_server", "ipvs")
@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualServerState(State):
    """One virtual_server; key: ``VirtualServer.key`` of the configuration model."""

    virtual_server: str
    quorum_up: bool
    quorum: int
    weight_up: int
    """Sum of the weights of the servers that are up."""
    scheduler: str
    lvs_method: Literal["NAT", "DR", "TUN"]
    sorry_server: str | None
    sorry_active: bool
    in_kernel: bool
    reason: str
    """What the kernel refused and how to mend it; empty when it is as configured."""
    since_at: float
    since_wall_at: float

    @property
    def key(self) -> str:
        return self.virtual_server


@_message("real_server", "ipvs")
@dataclass(frozen=True, kw_only=True, slots=True)
class RealServerState(State):
    """One real_server of one virtual_server; key: both keys, separated by a space."""

    virtual_server: str
    real_server: str
    alive: bool
    weight: int
    """The weight in force, 0 for an inhibited server."""
    in_kernel: bool
    reason: str
    """Why it is (not) in service: the check that decided, or what the kernel refused."""
    since_at: float
    since_wall_at: float

    @property
    def key(self) -> str:
        return f"{self.virtual_server} {self.real_server}"


@_message("real_server_changed", "ipvs")
@dataclass(frozen=True, kw_only=True, slots=True)
class RealServerChanged(Event):
    """A real server was put into or taken out of service, or its weight changed."""

    virtual_server: str
    real_server: str
    alive: bool
    weight: int
    reason: str
    turned: bool = True
    """It came up or went down; else only its weight or place in the table is another one."""
    confirmed: bool = False
    """It was down from the start by alpha, and a check has now said so; counts as ``turned``."""
    removed: bool = False
    """It was up, and the configuration has it no more."""


@_message("quorum_changed", "ipvs")
@dataclass(frozen=True, kw_only=True, slots=True)
class QuorumChanged(Event):
    """A virtual server gained or lost its quorum (with hysteresis), or begins with it."""

    virtual_server: str
    up: bool
    weight_up: int
    quorum: int
    sorry_active: bool
    removed: bool = False
    """It had its quorum, and the configuration has it no more."""


# --- script --------------------------------------------------------------------------------------


@_message("tracker", "script")
@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerState(State):
    """What a vrrp_script, track_file or vrrp_track_process says; key: kind and name."""

    tracker_kind: Literal["script", "file", "process"]
    name: str
    value: int | None
    """A script or process: 1 good, 0 bad; a file: its number. None: not known yet."""
    since_at: float
    since_wall_at: float
    interval_s: float
    """How often it is looked at, for the reader's judgement of staleness; 0: when it changes."""
    last_result: str
    """For people: exit status, deadline, number of processes; empty before the first."""
    last_at: float | None
    successes: int
    failures: int
    """In a row, of a script: at most ``rise`` and ``fall`` are counted."""

    @property
    def key(self) -> str:
        return f"{self.tracker_kind}:{self.name}"


@_message("tracker_changed", "script")
@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerChanged(Event):
    """A tracker has a new value."""

    tracker_kind: Literal["script", "file", "process"]
    name: str
    value: int
    before: int | None
    reason: str


@_message("script_ended", "script")
@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptEnded(Event):
    """A notify, quorum or FIFO script ended (of tracked scripts only what they find is told)."""

    purpose: str
    """What it was run for: ``INSTANCE VI_1 MASTER``, ``quorum_up ...``, ``fifo ...``."""
    program: str
    """Path, without arguments: they may hold secrets."""
    pid: int
    status: int | None
    """Exit status; None: ended by ``killed_by``, or never started."""
    killed_by: str = ""
    """Name of a signal."""
    why: str = ""
    """Why it was killed or not started; empty when it ended by itself."""
    waited_s: float
    """From the event to the start."""
    ran_s: float
    output: str
    """Its last words, at most 4096 octets."""


@_message("notify_status", "script")
@dataclass(frozen=True, kw_only=True, slots=True)
class NotifyStatus(State):
    """Queues of the script worker; one record, key ``notify``."""

    waiting: int
    """Notify scripts that wait for their turn."""
    running: int
    fifo_lines: int
    """Lines written to FIFOs."""
    fifo_waiting: int
    """Lines that wait for a reader."""
    fifo_lost: int
    """Lines given up because a FIFO stayed full."""
    mails_waiting: int
    mails_sent: int
    mails_lost: int

    @property
    def key(self) -> str:
        return "notify"


# --- supervisor ----------------------------------------------------------------------------------


@_message("process", "supervisor")
@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessState(State):
    """One process of ours; key: its role."""

    role: str
    pid: int | None
    """None: not running."""
    incarnation: int
    state: Literal["starting", "ready", "hung", "stopping", "backoff", "stopped"]
    since_at: float
    since_wall_at: float
    restarts: int
    """Restarts that nobody asked for."""
    last_exit: str | None
    """For people: how the last incarnation ended, such as ``killed by SIGKILL``."""
    generation: int
    """Configuration generation that it has applied; 0: none yet."""
    heartbeat_at: float | None

    @property
    def key(self) -> str:
        return self.role


@_message("reload", "supervisor")
@dataclass(frozen=True, kw_only=True, slots=True)
class ReloadState(State):
    """The configuration in force and how the last attempt to change it ended; key ``reload``."""

    generation: int
    """The generation in force."""
    attempted: int
    """The generation of the last attempt (equal to ``generation`` when it was applied)."""
    result: Literal["running", "applied", "refused", "rolled_back"]
    errors: tuple[str, ...]
    """One line each: file:line:column: what, and how to mend it. At most 100."""
    since_at: float
    since_wall_at: float

    @property
    def key(self) -> str:
        return "reload"


@_message("process_event", "supervisor")
@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessEvent(Event):
    """Something happened to a process of ours."""

    role: str
    what: Literal["started", "ready", "died", "hung", "killed", "stopped", "fenced", "starved"]
    pid: int | None
    incarnation: int
    why: str


@_message("reload_event", "supervisor")
@dataclass(frozen=True, kw_only=True, slots=True)
class ReloadEvent(Event):
    """A step of a reload."""

    generation: int
    what: Literal["started", "committed", "applied", "refused", "rolled_back"]
    why: str


@_message("bus_refused", "supervisor")
@dataclass(frozen=True, kw_only=True, slots=True)
class BusRefused(Event):
    """The broker refused messages. It reports this to the supervisor, which publishes it."""

    ingress: str
    """Role whose ingress it came in by."""
    pid: int | None
    """Process at the other end; None: not visible in our pid namespace."""
    why: str
    count: int
    """Refusals with this reason from this process that this report stands for."""


@_message("stale", *ROLES)
@dataclass(frozen=True, kw_only=True, slots=True)
class StaleEvent(Event):
    """The publisher met records whose owner has been silent for too long."""

    stream: str
    owner: str
    """Publisher of the records."""
    silent_s: float
    policy: Literal["hold", "fault", "ignore"]
    """What on_stale makes of it."""
