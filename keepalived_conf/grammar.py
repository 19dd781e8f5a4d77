"""The grammar as data: one declarative table per block.

A row says what a keyword takes (type, range, unit), what it is when it is not written, whether
occurrences add up, who acts on it, and in one line what it does. The reader, the diagnostics and the
documentation are driven by these rows; only what one value does to another is code (``build``).

Facts: keepalived.conf(5), ranges and defaults as keepalived 2.4.3 has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from keepalived_conf.known import KNOWN_KEYWORDS

UINT32_MAX = 4294967295
INT32_MAX = 2147483647
GARP_DELAY_MAX_S = 4294
TIMER_MAX_S = 4294.967295


class Type(StrEnum):
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOL = "bool"
    """true|on|yes|false|off|no; bare: true."""
    FLAG = "flag"
    """No argument."""
    CHOICE = "choice"
    ADDRESS = "address"
    """Numeric IPv4 or IPv6 address; a prefix length behind it is allowed and dropped."""
    INTERFACE = "interface"
    TEXT = "text"
    WORDS = "words"
    """One or more words with rules of their own."""
    BLOCK = "block"
    INERT = "inert"
    """Known to keepalived, without effect here yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyword:
    name: str
    type: Type = Type.INERT
    low: float | None = None
    high: float | None = None
    raised_to: int | None = None
    """A smaller value is raised to this, and reported."""
    decimals: int = 0
    choices: tuple[str, ...] = ()
    unit: str = ""
    default: str = ""
    """As text for people; the value itself is in the model or in build."""
    repeatable: bool = False
    optional: bool = False
    """May stand without an argument."""
    stops_when_bare: bool = True
    """keepalived ends with status 2 when the argument is missing; otherwise it reports and goes on."""
    worker: str = ""
    """Who acts on it: vrrp, checker, ipvs, supervisor; joined by +."""
    alias_of: str = ""
    deprecated: str = ""
    """Why or what instead; empty: not deprecated."""
    help: str = ""
    block: Block | None = None

    @property
    def takes(self) -> str:
        """What may stand behind the keyword, in words, for hints and documentation."""
        if self.type is Type.INTEGER:
            return "a whole number" + self._range()
        if self.type is Type.DECIMAL:
            return f"a number of seconds with up to {self.decimals} decimals" + self._range()
        if self.type is Type.CHOICE:
            return "one of " + ", ".join(self.choices)
        return {
            Type.BOOL: "true, on, yes, false, off, no, or nothing",
            Type.FLAG: "nothing",
            Type.ADDRESS: "an IP address",
            Type.INTERFACE: "the name of a network interface",
            Type.TEXT: "one word",
            Type.BLOCK: "{ ... }",
        }.get(self.type, "")

    def _range(self) -> str:
        low = "" if self.low is None else f"{self.low:.6f}".rstrip("0").rstrip(".")
        high = "" if self.high is None else f"{self.high:.6f}".rstrip("0").rstrip(".")
        return f" from {low} to {high}" if low and high else f" from {low}" if low else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What may stand inside a pair of braces."""

    name: str
    keywords: dict[str, Keyword] = field(default_factory=dict)
    entries: bool = False
    """A value block: its lines are data, not keywords."""
    secret: bool = False
    """Its words are never shown, not even unknown ones."""


def _integer(
    name: str,
    low: int,
    high: int | None,
    help_: str,
    *,
    worker: str,
    default: str = "",
    unit: str = "",
    raised_to: int | None = None,
    optional: bool = False,
    alias_of: str = "",
    deprecated: str = "",
) -> Keyword:
    return Keyword(
        name=name,
        type=Type.INTEGER,
        low=low,
        high=high,
        help=help_,
        worker=worker,
        default=default,
        unit=unit,
        raised_to=raised_to,
        optional=optional,
        alias_of=alias_of,
        deprecated=deprecated,
    )


def _seconds(
    name: str,
    low: float,
    high: float | None,
    help_: str,
    *,
    worker: str,
    default: str = "",
    decimals: int = 6,
) -> Keyword:
    return Keyword(
        name=name,
        type=Type.DECIMAL,
        low=low,
        high=high,
        help=help_,
        worker=worker,
        default=default,
        unit="s",
        decimals=decimals,
    )


def _bool(name: str, help_: str, *, worker: str, default: str = "off") -> Keyword:
    return Keyword(name=name, type=Type.BOOL, optional=True, help=help_, worker=worker, default=default)


def _flag(name: str, help_: str, *, worker: str, default: str = "off", deprecated: str = "") -> Keyword:
    return Keyword(
        name=name,
        type=Type.FLAG,
        optional=True,
        help=help_,
        worker=worker,
        default=default,
        deprecated=deprecated,
    )


def _choice(
    name: str, choices: str, help_: str, *, worker: str, default: str = "", alias_of: str = ""
) -> Keyword:
    return Keyword(
        name=name,
        type=Type.CHOICE,
        choices=tuple(choices.split()),
        help=help_,
        worker=worker,
        default=default,
        alias_of=alias_of,
    )


def _plain(
    name: str,
    type_: Type,
    help_: str,
    *,
    worker: str,
    default: str = "",
    optional: bool = False,
    repeatable: bool = False,
    stops_when_bare: bool = True,
    alias_of: str = "",
) -> Keyword:
    return Keyword(
        name=name,
        type=type_,
        help=help_,
        worker=worker,
        default=default,
        optional=optional,
        repeatable=repeatable,
        stops_when_bare=stops_when_bare,
        alias_of=alias_of,
    )


def _block(
    path: str, rows: tuple[Keyword, ...] = (), *, entries: bool = False, secret: bool = False
) -> Block:
    """The block at a path: every known keyword, with the rows that have an effect in place of inert ones."""
    effective = {row.name: row for row in rows}
    keywords: dict[str, Keyword] = {}
    for word in KNOWN_KEYWORDS.get(path, "").split():
        name = word.rstrip("{[")
        row = effective.pop(name, None)
        if row is None:
            inner = (
                _block(
                    f"{path}.{name}" if path else name,
                    entries=word.endswith("["),
                    secret=name in ("auth_hmac", "SSL"),
                )
                if name != word
                else None
            )
            row = Keyword(name=name, block=inner, repeatable=inner is not None, optional=True)
        keywords[name] = row
    if effective:
        raise ValueError(f"not in the list of known keywords of {path!r}: {', '.join(effective)}")
    return Block(
        name=path.rpartition(".")[2] or "the top level", keywords=keywords, entries=entries, secret=secret
    )


def _opens(name: str, block: Block, help_: str, *, worker: str, stops_when_bare: bool = True) -> Keyword:
    return Keyword(
        name=name,
        type=Type.BLOCK,
        block=block,
        repeatable=True,
        optional=True,
        help=help_,
        worker=worker,
        stops_when_bare=stops_when_bare,
    )


# --- global_defs -----------------------------------------------------------------------------------

GLOBAL_DEFS = _block(
    "global_defs",
    (
        _plain(
            "router_id",
            Type.TEXT,
            "Name of this machine",
            worker="vrrp",
            default="host name",
            stops_when_bare=False,
        ),
        _plain(
            "vrrp_mcast_group4",
            Type.ADDRESS,
            "Default IPv4 destination of adverts",
            worker="vrrp",
            default="224.0.0.18",
        ),
        _plain(
            "vrrp_mcast_group6",
            Type.ADDRESS,
            "Default IPv6 destination of adverts",
            worker="vrrp",
            default="ff02::12",
        ),
        _seconds(
            "vrrp_startup_delay",
            0.001,
            TIMER_MAX_S,
            "Hold instances idle after start",
            worker="vrrp",
            default="0",
        ),
        _seconds(
            "vrrp_garp_interval",
            0.000001,
            TIMER_MAX_S,
            "Gap between gratuitous ARPs on one interface",
            worker="vrrp",
            default="0",
        ),
        _seconds(
            "vrrp_gna_interval",
            0.000001,
            TIMER_MAX_S,
            "Gap between unsolicited neighbour advertisements",
            worker="vrrp",
            default="0",
        ),
        _integer(
            "vrrp_garp_master_delay",
            0,
            GARP_DELAY_MAX_S,
            "Default of garp_master_delay",
            worker="vrrp",
            default="5",
            unit="s",
        ),
        _integer(
            "vrrp_garp_master_repeat",
            0,
            None,
            "Default of garp_master_repeat",
            worker="vrrp",
            default="5",
            raised_to=1,
        ),
        _integer(
            "vrrp_garp_master_refresh",
            0,
            None,
            "Default of garp_master_refresh",
            worker="vrrp",
            default="0",
            unit="s",
        ),
        _integer(
            "vrrp_garp_master_refresh_repeat",
            0,
            None,
            "Default of garp_master_refresh_repeat",
            worker="vrrp",
            default="1",
            raised_to=1,
        ),
        _integer(
            "vrrp_garp_lower_prio_delay",
            0,
            GARP_DELAY_MAX_S,
            "Default of garp_lower_prio_delay",
            worker="vrrp",
            default="vrrp_garp_master_delay",
            unit="s",
        ),
        _integer(
            "vrrp_garp_lower_prio_repeat",
            0,
            INT32_MAX,
            "Default of garp_lower_prio_repeat",
            worker="vrrp",
            default="vrrp_garp_master_repeat",
        ),
        _integer(
            "vrrp_down_timer_adverts", 1, 100, "Default of down_timer_adverts", worker="vrrp", default="3"
        ),
        _bool("vrrp_min_garp", "One gratuitous ARP only: repeat 1, delay 0, refresh repeat 0", worker="vrrp"),
        _bool("vrrp_lower_prio_no_advert", "Default of lower_prio_no_advert", worker="vrrp"),
        _bool("vrrp_higher_prio_send_advert", "Default of higher_prio_send_advert", worker="vrrp"),
        _choice("vrrp_version", "2 3", "Default protocol version", worker="vrrp", default="2"),
        _flag("vrrp_check_unicast_src", "Default of check_unicast_src", worker="vrrp"),
        _bool("vrrp_skip_check_adv_addr", "Default of skip_check_adv_addr", worker="vrrp"),
        _bool("vrrp_owner_ignore_adverts", "Default of owner_ignore_adverts", worker="vrrp"),
        _flag("v3_checksum_as_v2", "Default of v3_checksum_as_v2", worker="vrrp"),
        _flag("lvs_flush", "Clear the whole IPVS table at start", worker="ipvs"),
        _plain(
            "lvs_flush_on_stop",
            Type.WORDS,
            "Flush all of IPVS, or with VS our services, at stop",
            worker="ipvs",
            default="no",
            optional=True,
        ),
        _plain(
            "lvs_flush_onstop",
            Type.WORDS,
            "Misspelt early name",
            worker="ipvs",
            optional=True,
            alias_of="lvs_flush_on_stop",
        ),
        _bool("checker_log_all_failures", "Default of log_all_failures", worker="checker"),
    ),
)

# --- vrrp_instance -----------------------------------------------------------------------------------

AUTHENTICATION = _block(
    "vrrp_instance.authentication",
    (
        _choice(
            "auth_type", "PASS AH", "PASS: plain password (version 2). AH has no effect yet", worker="vrrp"
        ),
        _plain("auth_pass", Type.TEXT, "Password; only the first eight bytes count", worker="vrrp"),
    ),
    secret=True,
)

VRRP_INSTANCE = _block(
    "vrrp_instance",
    (
        _choice(
            "state",
            "MASTER BACKUP",
            "Wanted state at start",
            worker="vrrp",
            default="MASTER if priority is 255, else BACKUP",
        ),
        _plain(
            "interface",
            Type.INTERFACE,
            "Interface that carries the adverts",
            worker="vrrp",
            default="required",
        ),
        _integer(
            "virtual_router_id", 1, 255, "Identity of the virtual router", worker="vrrp", default="required"
        ),
        _integer(
            "priority",
            1,
            255,
            "Priority in the election",
            worker="vrrp",
            default="255 if state is MASTER, else 100",
        ),
        _choice("version", "2 3", "Protocol version", worker="vrrp", default="vrrp_version; 3 for IPv6"),
        _seconds(
            "advert_int",
            0.01,
            255,
            "Interval of adverts; version 2 whole seconds, version 3 at most 40.95",
            worker="vrrp",
            default="1",
        ),
        _opens("authentication", AUTHENTICATION, "Authentication of version 2", worker="vrrp"),
        _opens(
            "virtual_ipaddress",
            Block(name="virtual_ipaddress", entries=True),
            "Addresses that are advertised and held by the master",
            worker="vrrp",
        ),
        _opens(
            "virtual_ipaddress_excluded",
            Block(name="virtual_ipaddress_excluded", entries=True),
            "Addresses held by the master but not advertised",
            worker="vrrp",
        ),
        _flag("no_virtual_ipaddress", "Accept an instance without addresses", worker="vrrp"),
        _flag("native_ipv6", "Force IPv6", worker="vrrp", deprecated="the family follows from the addresses"),
        _opens(
            "unicast_peer",
            Block(name="unicast_peer", entries=True),
            "Send adverts to these peers only",
            worker="vrrp",
        ),
        _plain(
            "unicast_src_ip",
            Type.ADDRESS,
            "Source address of adverts; makes the instance unicast",
            worker="vrrp",
            default="address of the interface",
        ),
        _plain(
            "mcast_src_ip",
            Type.ADDRESS,
            "Source address of adverts",
            worker="vrrp",
            default="address of the interface",
        ),
        _plain(
            "mcast_dst_ip",
            Type.ADDRESS,
            "Destination of adverts",
            worker="vrrp",
            default="vrrp_mcast_group4/6",
        ),
        _integer(
            "unicast_ttl",
            0,
            255,
            "TTL or hop limit of unicast adverts",
            worker="vrrp",
            default="255 for IPv4",
        ),
        _flag(
            "check_unicast_src",
            "Accept adverts of listed peers only",
            worker="vrrp",
            default="vrrp_check_unicast_src",
        ),
        _flag(
            "preempt",
            "Take over from a master of lower priority",
            worker="vrrp",
            default="on",
            deprecated="it is the default",
        ),
        _flag("nopreempt", "Do not take over from a master of lower priority", worker="vrrp"),
        _seconds(
            "preempt_delay",
            0,
            1000,
            "Wait before taking over from a master of lower priority",
            worker="vrrp",
            default="0",
        ),
        _integer(
            "garp_master_delay",
            0,
            GARP_DELAY_MAX_S,
            "Wait before the second burst of gratuitous ARPs; 0: none",
            worker="vrrp",
            default="vrrp_garp_master_delay (5)",
            unit="s",
        ),
        _integer(
            "garp_master_repeat",
            0,
            None,
            "Gratuitous ARPs per burst",
            worker="vrrp",
            default="vrrp_garp_master_repeat (5)",
            raised_to=1,
        ),
        _integer(
            "garp_master_refresh",
            0,
            None,
            "Interval of gratuitous ARPs while master; 0: none",
            worker="vrrp",
            default="vrrp_garp_master_refresh (0)",
            unit="s",
        ),
        _integer(
            "garp_master_refresh_repeat",
            0,
            None,
            "Gratuitous ARPs per refresh",
            worker="vrrp",
            default="vrrp_garp_master_refresh_repeat (1)",
            raised_to=1,
        ),
        _integer(
            "garp_lower_prio_delay",
            0,
            GARP_DELAY_MAX_S,
            "Second burst after an advert of lower priority",
            worker="vrrp",
            default="vrrp_garp_lower_prio_delay, else garp_master_delay",
            unit="s",
        ),
        _integer(
            "garp_lower_prio_repeat",
            0,
            INT32_MAX,
            "Size of that burst",
            worker="vrrp",
            default="vrrp_garp_lower_prio_repeat, else garp_master_repeat",
        ),
        _integer(
            "down_timer_adverts",
            1,
            100,
            "Missed adverts before taking over",
            worker="vrrp",
            default="vrrp_down_timer_adverts (3)",
        ),
        _bool(
            "lower_prio_no_advert",
            "Do not answer adverts of lower priority",
            worker="vrrp",
            default="vrrp_lower_prio_no_advert",
        ),
        _bool(
            "higher_prio_send_advert",
            "Send one advert before yielding",
            worker="vrrp",
            default="vrrp_higher_prio_send_advert",
        ),
        _bool(
            "owner_ignore_adverts",
            "Priority 255 ignores received adverts",
            worker="vrrp",
            default="vrrp_owner_ignore_adverts",
        ),
        _bool(
            "v3_checksum_as_v2",
            "Version 3 checksum of IPv4 without pseudo header",
            worker="vrrp",
            default="the global value",
        ),
        _bool(
            "skip_check_adv_addr",
            "Skip the comparison of addresses for a known sender",
            worker="vrrp",
            default="vrrp_skip_check_adv_addr",
        ),
        _flag("dont_track_primary", "Ignore faults of the instance's interface", worker="vrrp"),
    ),
)

# --- virtual_server ------------------------------------------------------------------------------------

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "sh", "mh", "dh", "fo", "ovf", "lblcr", "sed", "nq", "twos")


def _check_rows(retry_default: str, delay_default: str) -> tuple[Keyword, ...]:
    return (
        _plain("connect_ip", Type.ADDRESS, "Address to connect to", worker="checker", default="real server"),
        _integer(
            "connect_port", 1, 65535, "Port to connect to", worker="checker", default="real server port"
        ),
        _plain("bindto", Type.ADDRESS, "Local address", worker="checker", default="kernel's choice"),
        _integer("bind_port", 1, 65535, "Local port", worker="checker", default="kernel's choice"),
        _plain(
            "bind_if", Type.INTERFACE, "Interface to bind to; required for link-local IPv6", worker="checker"
        ),
        _seconds(
            "connect_timeout",
            0.000001,
            TIMER_MAX_S,
            "Limit for connecting and for the reply",
            worker="checker",
            default="real_server connect_timeout (5)",
        ),
        _integer("fwmark", 0, UINT32_MAX, "Mark set on packets of the check", worker="checker", default="0"),
        _integer(
            "retry",
            0,
            UINT32_MAX,
            "Extra attempts before the check counts as failed",
            worker="checker",
            default=f"real_server retry, else {retry_default}",
        ),
        _seconds(
            "delay_before_retry",
            0,
            None,
            "Pause between attempts",
            worker="checker",
            default=f"real_server value, else {delay_default}",
        ),
        _seconds(
            "warmup",
            0,
            None,
            "First check after a random time up to this",
            worker="checker",
            default="real_server warmup, else delay_loop",
        ),
        _seconds(
            "delay_loop",
            0.000001,
            None,
            "Time between checks",
            worker="checker",
            default="real_server delay_loop (60)",
        ),
        _bool("alpha", "Down until the first success", worker="checker", default="real_server alpha"),
        _bool(
            "log_all_failures",
            "Log every failed attempt",
            worker="checker",
            default="checker_log_all_failures",
        ),
    )


_SERVER = "virtual_server.real_server"
TCP_CHECK = _block(f"{_SERVER}.TCP_CHECK", _check_rows("1", "1"))
URL = _block(
    f"{_SERVER}.HTTP_GET.url",
    (
        _plain("path", Type.TEXT, "Path and query to request", worker="checker", default="required"),
        _plain(
            "digest", Type.TEXT, "MD5 of the body, 32 hex digits", worker="checker", default="not checked"
        ),
        _plain(
            "status_code",
            Type.WORDS,
            "Good status codes and ranges, 100..599; lines add up",
            worker="checker",
            default="200-299",
            repeatable=True,
        ),
        _plain(
            "virtualhost",
            Type.TEXT,
            "Host header of this URL",
            worker="checker",
            default="virtualhost of the check",
        ),
        _plain("regex", Type.WORDS, "Pattern the body must match", worker="checker", default="not checked"),
        _flag("regex_no_match", "Succeed when the pattern does not match", worker="checker"),
    ),
)
HTTP_GET = _block(
    f"{_SERVER}.HTTP_GET",
    (
        *_check_rows("1", "3"),
        _integer(
            "nb_get_retry",
            0,
            UINT32_MAX,
            "Old name of retry",
            worker="checker",
            alias_of="retry",
            deprecated="write retry",
        ),
        _plain(
            "virtualhost",
            Type.TEXT,
            "Host header",
            worker="checker",
            default="real_server, virtual_server virtualhost",
        ),
        _choice(
            "http_protocol", "1.0 1.0C 1.0c 1.1", "Version of the request", worker="checker", default="1.0"
        ),
        _bool("fast_recovery", "No wait between URLs at start and recovery", worker="checker"),
        _opens("url", URL, "One URL to fetch", worker="checker"),
    ),
)


def _shared_rows(worker_default: str) -> tuple[Keyword, ...]:
    """Defaults of checks that may stand in virtual_server and real_server."""
    return (
        _integer(
            "retry", 1, UINT32_MAX, "Default of retry of the checks", worker="checker", default=worker_default
        ),
        _seconds(
            "delay_before_retry",
            0,
            None,
            "Default pause between attempts",
            worker="checker",
            default=worker_default,
        ),
        _seconds(
            "warmup",
            0,
            None,
            "Default bound of the random first delay",
            worker="checker",
            default=worker_default,
        ),
        _seconds(
            "connect_timeout",
            0.000001,
            TIMER_MAX_S,
            "Default connect timeout",
            worker="checker",
            default=worker_default,
        ),
        _seconds(
            "delay_loop",
            0.000001,
            None,
            "Default time between checks",
            worker="checker",
            default=worker_default,
        ),
        _plain("virtualhost", Type.TEXT, "Default Host header", worker="checker", default=worker_default),
    )


REAL_SERVER = _block(
    _SERVER,
    (
        *_shared_rows("of the virtual_server"),
        _integer("weight", 0, INT32_MAX, "IPVS weight", worker="ipvs", default="virtual_server weight (1)"),
        _plain(
            "lvs_method", Type.WORDS, "NAT, DR or TUN", worker="ipvs", default="virtual_server lvs_method"
        ),
        _integer("uthreshold", 0, UINT32_MAX, "Upper limit of connections", worker="ipvs", default="0"),
        _integer("lthreshold", 0, UINT32_MAX, "Lower limit of connections", worker="ipvs", default="0"),
        _bool(
            "inhibit_on_failure",
            "Weight 0 instead of removal on failure",
            worker="ipvs",
            default="of the virtual_server",
        ),
        _bool(
            "alpha", "Checks start in the down state", worker="ipvs+checker", default="of the virtual_server"
        ),
        _opens("TCP_CHECK", TCP_CHECK, "Good when a TCP connection opens", worker="checker"),
        _opens("HTTP_GET", HTTP_GET, "Fetches URLs and judges the answers", worker="checker"),
    ),
)

VIRTUAL_SERVER = _block(
    "virtual_server",
    (
        *_shared_rows("of the kind of check"),
        _choice(
            "ip_family",
            "inet inet6",
            "Family of a fwmark service",
            worker="ipvs",
            default="from real servers",
        ),
        _flag("inhibit_on_failure", "Weight 0 instead of removal of failed servers", worker="ipvs"),
        _plain("lb_algo", Type.TEXT, "Scheduler", worker="ipvs", default="wlc with an error"),
        _plain("lvs_sched", Type.TEXT, "Scheduler", worker="ipvs", alias_of="lb_algo"),
        _flag("hashed", "Accepted; IPVS services are always hashed", worker="ipvs"),
        _flag("ops", "One-packet scheduling (UDP)", worker="ipvs"),
        _flag("flag-1", "Scheduler flag 1", worker="ipvs"),
        _flag("flag-2", "Scheduler flag 2", worker="ipvs"),
        _flag("flag-3", "Scheduler flag 3", worker="ipvs"),
        _flag("sh-port", "sh hashes the port too", worker="ipvs"),
        _flag("sh-fallback", "sh passes over servers that are not usable", worker="ipvs"),
        _flag("mh-port", "mh hashes the port too", worker="ipvs"),
        _flag("mh-fallback", "mh passes over servers that are not usable", worker="ipvs"),
        _plain("lb_kind", Type.WORDS, "NAT, DR or TUN", worker="ipvs", default="NAT with an error"),
        _plain("lvs_method", Type.WORDS, "NAT, DR or TUN", worker="ipvs", alias_of="lb_kind"),
        _integer(
            "persistence_timeout",
            1,
            2678400,
            "Persistent connections",
            worker="ipvs",
            default="off; 360 when bare",
            unit="s",
            optional=True,
        ),
        _plain(
            "persistence_granularity",
            Type.TEXT,
            "Netmask (IPv4) or prefix length (IPv6) that groups clients",
            worker="ipvs",
            default="single client",
        ),
        _plain("protocol", Type.TEXT, "TCP, UDP or SCTP", worker="ipvs", default="UDP with an error"),
        _flag("alpha", "Servers start down until their checks succeed", worker="ipvs+checker"),
        _flag("omega", "Run the down notifications at stop", worker="ipvs"),
        _integer(
            "quorum", 1, UINT32_MAX, "Weight of live servers that is needed", worker="ipvs", default="1"
        ),
        _integer("hysteresis", 0, UINT32_MAX, "Margin around the quorum", worker="ipvs", default="0"),
        _integer("weight", 1, INT32_MAX, "Default weight of real servers", worker="ipvs", default="1"),
        _plain(
            "sorry_server", Type.WORDS, "Server used while the quorum is lost", worker="ipvs", default="none"
        ),
        _flag("sorry_server_inhibit", "inhibit_on_failure of the sorry server", worker="ipvs"),
        _plain(
            "sorry_server_lvs_method",
            Type.WORDS,
            "NAT, DR or TUN of the sorry server",
            worker="ipvs",
            default="lb_kind",
        ),
        _opens("real_server", REAL_SERVER, "One server behind the service", worker="ipvs+checker"),
    ),
)

# --- the top level ---------------------------------------------------------------------------------------

ROOT = _block(
    "",
    (
        _integer(
            "child_wait_time",
            0,
            None,
            "Wait for workers at stop before they are killed",
            worker="supervisor",
            default="5",
            unit="s",
        ),
        _opens("global_defs", GLOBAL_DEFS, "Settings of the whole daemon", worker=""),
        _opens("vrrp_instance", VRRP_INSTANCE, "One virtual router", worker="vrrp", stops_when_bare=False),
        _opens("virtual_server", VIRTUAL_SERVER, "One IPVS service", worker="ipvs+checker"),
    ),
)
