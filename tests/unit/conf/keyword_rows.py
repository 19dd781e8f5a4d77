"""The list of keepalived's keywords as test cases: where each stands, what may stand behind it.

``data/keywords.tsv``: facts about keepalived 2.4.3, one row a keyword. ``args``: UPPER CASE is a value,
``[...]`` may be left out, ``TYPE(low..high)`` has a range with both ends; ``-`` is nothing.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Keyword

DATA = Path(__file__).parent / "data" / "keywords.tsv"
UINT32_MAX = 4294967295


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    block: str
    keyword: str
    args: str
    repeatable: str
    default: str
    unit: str
    since: str
    status: str

    def __str__(self) -> str:
        return f"{self.block}:{self.keyword}"

    @property
    def key(self) -> tuple[str, str]:
        return self.block, self.keyword

    @property
    def is_entry(self) -> bool:
        """Stands in a line of a value block."""
        return ".entry" in self.block

    @property
    def positional(self) -> bool:
        """A word of an entry that is known by where it stands, not by its name."""
        return self.keyword == "(inherit)" or (self.is_entry and self.keyword.isupper())


def rows() -> list[Row]:
    with DATA.open(encoding="utf-8", newline="") as file:
        return [Row(**row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


# --- the tables ------------------------------------------------------------------------------------------


def steps(block: str) -> list[str]:
    """Keywords that lead to a block: blocks of entries belong to vrrp_instance where it has them."""
    parts = [] if block == "root" else [part for part in block.split(".") if part != "entry"]
    return (
        ["vrrp_instance", *parts]
        if parts and parts[0].startswith("virtual_i")
        else (
            ["vrrp_instance", *parts] if parts and parts[0] in ("virtual_routes", "virtual_rules") else parts
        )
    )


def opening(block: str) -> Keyword | None:
    """The row whose block this is."""
    at: Block = ROOT
    row: Keyword | None = None
    for part in steps(block):
        row = at.keywords.get(part)
        if row is None or row.block is None:
            return None
        at = row.block
    return row


def table_row(row: Row) -> Keyword | None:
    """The row of the grammar; of a positional word the row that opens its block."""
    above = opening(row.block)
    if row.block == "root":
        return ROOT.keywords.get(row.keyword)
    if above is None or above.block is None:
        return None
    return above.block.keywords.get(row.keyword) or (above if row.positional else None)


def path_of(row: Row) -> str:
    """``Block.path`` of the block that the row stands in."""
    return ".".join(steps(row.block))


# --- what surrounds a line ---------------------------------------------------------------------------------

DEFINITIONS = {
    "S1": "vrrp_script S1 {\nscript /usr/bin/true\n}\n",
    "P1": "vrrp_track_process P1 {\nprocess /usr/bin/true\n}\n",
    "F1": "track_file F1 {\nfile /tmp/f1\n}\n",
    "B1": "bfd_instance B1 {\nneighbor_ip 192.0.2.9\n}\n",
    "G1": "track_group G1 {\ngroup {\nZ\n}\n}\nvrrp_instance Z {\ninterface eth0\nvirtual_router_id 99\n"
    "virtual_ipaddress {\n10.0.0.99\n}\n}\n",
}
"""Name -> what defines it, for lines that mention it."""


def instance(lines: str, base: str = "interface eth0\nvirtual_router_id 7\n") -> str:
    return f"vrrp_instance A {{\n{base}{lines}\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"


def service(lines: str = "", real: str = "") -> str:
    return (
        f"virtual_server 10.1.0.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n{lines}\n"
        f"real_server 10.2.0.1 80 {{\n{real}\n}}\n}}\n"
    )


MINIMAL = {
    "MISC_CHECK": "misc_path /usr/bin/true",
    "BFD_CHECK": "name B1",
    "FILE_CHECK": "track_file F1",
    "SSL_GET": "url {\npath /\n}",
    "HTTP_GET": "url {\npath /\n}",
}
"""What a check needs besides the line."""

BLOCKS = {
    "root": "@@\n",
    "global_defs": "global_defs {\n@@\n}\n",
    "global_defs.notification_email.entry": "global_defs {\nnotification_email {\n@@\n}\n}\n",
    "linkbeat_interfaces.entry": "linkbeat_interfaces {\n@@\n}\n",
    "interface_up_down_delays.entry": "interface_up_down_delays {\n@@\n}\n",
    "bfd_instance": "bfd_instance A {\nneighbor_ip 192.0.2.1\nttl 255\n@@\n}\n",
    "track_group": "track_group G {\n@@\n}\n" + instance(""),
    "track_group.group.entry": "track_group G {\ngroup {\n@@\n}\n}\n" + instance(""),
    "vrrp_sync_group": "vrrp_sync_group G {\n@@\ngroup {\nA\nC\n}\n}\n"
    + instance("")
    + instance("", "interface eth0\nvirtual_router_id 8\n").replace(" A ", " C "),
    "vrrp_sync_group.group.entry": "vrrp_sync_group G {\ngroup {\nC\nD\n@@\n}\n}\n"
    + instance("")
    + instance("", "interface eth0\nvirtual_router_id 8\n").replace(" A ", " C ")
    + instance("", "interface eth0\nvirtual_router_id 9\n").replace(" A ", " D "),
    "garp_group": "garp_group {\n@@\n}\n",
    "garp_group.interfaces.entry": "garp_group {\ngarp_interval 1\ninterfaces {\n@@\n}\n}\n",
    "vrrp_script": "vrrp_script A {\nscript /usr/bin/false\n@@\n}\n" + instance("track_script {\nA\n}"),
    "vrrp_track_process": "vrrp_track_process A {\n@@\n}\n",
    "track_file": "track_file A {\n@@\n}\n",
    "vrrp_track_file": "vrrp_track_file A {\n@@\n}\n",
    "vrrp_instance": instance("@@"),
    "vrrp_instance.authentication": instance("authentication {\nauth_type PASS\nauth_pass first\n@@\n}"),
    "vrrp_instance.auth_hmac": instance(
        "auth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\nactive_key 1\n@@\n}"
    ),
    "static_ipaddress.entry": "static_ipaddress {\n@@\n}\n",
    "static_routes.entry": "static_routes {\n@@\n}\n",
    "static_rules.entry": "static_rules {\n@@\n}\n",
    "SSL": "SSL {\n@@\n}\n",
    "virtual_server_group.entry": "virtual_server_group G {\n10.9.0.1 80\n@@\n}\n",
    "virtual_server": service("@@", "weight 20\nHTTP_GET {\nurl {\npath /\n}\n}"),
    "virtual_server.real_server": service(real="@@\nHTTP_GET {\nurl {\npath /\n}\n}"),
    **{
        f"vrrp_instance.{name}.entry": instance(f"{name} {{\n@@\n}}")
        for name in (
            "unicast_peer",
            "track_interface",
            "track_script",
            "track_file",
            "track_process",
            "track_bfd",
        )
    },
    **{
        f"{name}.entry": instance(f"{name} {{\n@@\n}}", "interface eth0\nvirtual_router_id 7\n")
        for name in ("virtual_ipaddress", "virtual_ipaddress_excluded", "virtual_routes", "virtual_rules")
    },
}


def surroundings(block: str) -> str:
    """A good configuration with ``@@`` in place of the line; ``defined`` has to be put before it."""
    known = BLOCKS.get(block)
    if known is None and block.startswith("vrrp_sync_group.track_"):
        name = block.split(".")[1]
        known = BLOCKS["vrrp_sync_group"].replace("@@", f"{name} {{\n@@\n}}")
    if known is None and block == "virtual_routes.entry.nexthop":
        known = BLOCKS["virtual_routes.entry"]
    if known is None:
        # A check, or a block in one.
        kind, *inner = block.removeprefix("virtual_server.real_server.").split(".")
        if inner == ["url"]:
            body = "url {\npath /\n@@\n}"
        elif inner:
            body = f"{inner[0]} {{\n@@\n}}"
        else:
            body = f"{MINIMAL.get(kind, '')}\n@@"
        known = service(real=f"{kind} {{\n{body}\n}}")
    return known


def defined(text: str, *lines: str) -> str:
    """The text behind the definitions of what it or the lines mention."""
    words = set(re.findall(r"\b[SPFBG]1\b", " ".join((text, *lines))))
    return "".join(one for name, one in DEFINITIONS.items() if name in words) + text


# --- what may stand behind a keyword -----------------------------------------------------------------------

RANGE = re.compile(r"(INTEGER|DECIMAL|TIMER)\((-?[\d.]+)\.\.(-?[\d.]*)(?:, (\d) decimals|, clamped)?\)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    low: float
    high: float | None
    step: float
    """Distance to the next number beyond an end."""
    clamped: bool


def range_of(row: Row, decimals: int = 6) -> Range | None:
    """The range of a keyword whose argument is one number, perhaps with words behind it.

    ``decimals``: of fractions, where the list does not say.
    """
    args = row.args.removeprefix("[all] ").removeprefix("[")
    if args in ("2|3", "1|2", "0|1"):
        return Range(low=int(args[0]), high=int(args[2]), step=1, clamped=False)
    if args.startswith("INTEGER(int32)"):
        return Range(low=-(2**31), high=2**31 - 1, step=1, clamped=False)
    match = RANGE.match(args)
    if match is None or (row.args[match.end() :] + " ")[0] == "|" or ("|" in args and "[" not in args):
        return None
    kind, low, high, written = match.groups()
    if kind == "INTEGER":
        top = float(high) if high else float(UINT32_MAX)
        return Range(low=float(low), high=top, step=1, clamped="clamped" in args)
    return Range(
        low=float(low),
        high=float(high) if high else None,
        step=10.0 ** -int(written or decimals),
        clamped=False,
    )


def text_of(number: float) -> str:
    """As it is written: no exponent, no zeros behind."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


PLAIN = {
    "(none)": [""],
    "(flag)": [""],
    "(action)": [""],
    "[BOOL]": ["on", "off"],
    "IPADDR": ["192.0.2.77"],
    "MCAST_IP": ["224.0.0.77"],
    "IPV4_MCAST": ["224.0.0.77"],
    "IPV6_MCAST": ["ff02::77"],
    "IPADDR[/LEN]": ["192.0.2.0/24", "192.0.2.77/24"],
    "[inet|inet6] IPADDR": ["192.0.2.77"],
    "IPV4|+|-": ["10.0.0.255"],
    "IF": ["eth7"],
    "SCRIPT [USER [GROUP]]": ["/usr/bin/true root root"],
    "[SCRIPT [USER [GROUP]]]": ["/usr/bin/true root root"],
    "NAME": ["name7"],
    "NAME(max 15)": ["name7"],
    "STRING": ["text7"],
    "STRING(1..8)": ["text7"],
    "EMAIL": ["a@example.org"],
    "PATH": ["/tmp/x7"],
    "DIR": ["/tmp"],
    "ADDRESS": ["tcp:127.0.0.1:705"],
    "[PATH]": ["", "/tmp/x7"],
    "[LOGFILE]": ["", "/tmp/x7"],
    "[TABLE]": ["", "table7"],
    "[VS]": ["", "VS"],
    "HOSTNAME": ["host7"],
    "[HOSTNAME]": ["host7"],
    "USER [GROUP]": ["root root"],
    "USER [[:]GROUP]": ["root :root"],
    "PATH [USER [GROUP]]": ["/tmp/x7 root root"],
    "CPU_ID...": ["0"],
    "HEX": ["0102"],
    "HEX(32)": ["0123456789abcdef0123456789abcdef"],
    "START MAX": ["16 64"],
    "UID-UID": ["5-7"],
    "PORT-PORT": ["5-7"],
    "GROUP": ["7"],
    "MARK[/MASK]": ["0x7/0xff"],
    "INTEGER(uint64)": ["7"],
    "[SRC/]DST": ["7/8"],
    "IPADDR [PORT]": ["10.3.0.1 81"],
    "IPADDR|HOSTNAME [PORT]": ["10.3.0.1 26"],
    "as lb_algo": ["wrr"],
    "as lb_kind": ["DR", "TUN"],
    "COMMAND [ARGS] (one quoted word or several words)": ['"/usr/bin/true one"'],
    "DOMAIN": ["example.org"],
}
"""args -> arguments to try."""


def candidates(row: Row) -> list[str]:
    """Arguments that keepalived accepts; at least one of them is no default."""
    if row.args in PLAIN:
        return PLAIN[row.args]
    if row.args == "NAME|NUMBER" or row.args == "NAME|0..255":
        return ["7"]
    found = range_of(row)
    if found is not None:
        ends = [found.low + 1, found.low] + ([] if found.high is None else [found.high])
        prefix = "all " if row.args.startswith("[all]") else ""
        return [prefix + text_of(number) for number in ends]
    if row.args.startswith(("[lock] ", "INTEGER")):
        return ["lock 7" if "lock" in row.args else "7"]
    words = re.split(r"[| ]", row.args)
    return [word for word in words if re.fullmatch(r"[\w.-]+", word)]
